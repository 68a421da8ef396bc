/*
 * user_checks.c - rules of users that the tables of access_keys.c cannot express. An error never
 * shows a hash or a token. A user without a way of signing in is found by access_settings_merge(),
 * because basic_auth_users may have the password.
 */
#include <inttypes.h>

#include "auth/password.h"
#include "base/text/hex.h"
#include "base/text/utf8.h"
#include "config/lists/access/access_checks.h"
#include "config/lists/root_keys.h"
#include "config/lists/shared_keys.h"
#include "model/selector.h"
#include "model/tenant_name.h"

/* --- texts ------------------------------------------------------------------------------------ */

enum err
check_user_name(const char *text, struct why *why)
{
    if (strchr(text, ':') == NULL && utf8_valid(bytes_of_text(text))) return OK;
    return refuse_text(why, "a name in UTF-8 without ':'", text);
}

enum err
check_password_hash(const char *text, struct why *why)
{
    struct password_hash hash;
    return password_hash_parse(text, &hash, why);
}

enum err
check_token_hash(const char *text, struct why *why)
{
    enum { DIGITS = 64 };
    size_t i = 0;
    while (text[i] != '\0' && hex_digit((uint8_t)text[i]) >= 0)
        i++;
    if (i == DIGITS && text[i] == '\0') return OK;
    return why_set(why, ERR_INPUT,
                   "expected the SHA-256 of a token, 64 hexadecimal digits, and not a token");
}

enum err
check_access_key_id(const char *text, struct why *why)
{
    /* The ID is a part of a header between slashes. */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-_.";
    if (text[strspn(text, letters)] == '\0') return OK;
    return refuse_text(why, "letters, digits, '-', '_' and '.'", text);
}

enum err
check_tenant_pattern(const char *text, struct why *why)
{
    char name[SCHEMA_TEXT_BYTES_MAX + 1];
    size_t size = strlen(text);
    memcpy(name, text, size + 1);
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '*') name[i] = 'a'; /* a pattern has the form of a name otherwise */
    }
    if (tenant_name_check(bytes_of_text(name), NULL) == OK) return OK;
    if (strchr(text, '*') == NULL) return tenant_name_check(bytes_of_text(text), why);
    return refuse_text(why, "a tenant name, in which * stands for any text", text);
}

/* Selectors may match series without the label: {team!="b"} hides a team. */
enum err
check_read_matcher(const char *text, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(text), &selector, why);
    if (e) return e;
    bool is_empty = selector.count == 0;
    selector_fini(&selector);
    if (!is_empty) return OK;
    return why_set(why, ERR_INPUT, "selector matches every series; to permit all, remove the key");
}

enum err
check_written_label(const char *text, struct why *why)
{
    if (!utf8_valid(bytes_of_text(text))) return refuse_text(why, "a label name in UTF-8", text);
    return check_added_label(text, why);
}

/* --- ways of signing in ----------------------------------------------------------------------- */

enum err
check_access_key(struct schema_place *place, void *base)
{
    const struct access_key_settings *key = base;
    uint32_t line;
    enum err e = check_unique(place, UNIQUE_ACCESS_KEY, key->id, &line);
    if (e) return e;
    if (line == 0) return OK;
    return schema_complain(place, "id", "the access key on line %" PRIu32 " has the same ID", line);
}

enum err
check_jwt(struct schema_place *place, void *base)
{
    const struct jwt_settings *jwt = base;
    struct why why = {""};
    const char *keys = schema_given_of(place, GROUP_JWKS);
    if (keys == NULL && jwt->issuer == NULL) {
        return schema_complain(place, NULL, "requires 'issuer', 'jwks_file' or 'jwks_url'");
    }
    if (jwt->audience.count == 0) {
        return schema_complain(place, "audience", "must name at least one audience");
    }
    if (jwt->claims.count == 0 && schema_given(place, "claims")) {
        return schema_complain(place, "claims",
                               "must not be empty; without the key, all tokens for the audience "
                               "are accepted");
    }
    if (jwt->jwks_file != NULL && jwt->ca_file != NULL) {
        return schema_complain(place, "ca_file", "has no effect with 'jwks_file'; remove it");
    }
    enum err e = keys == NULL ? check_url(jwt->issuer, &why) : OK; /* it is fetched */
    if (e == ERR_INPUT) return schema_complain(place, "issuer", "%s", why.text);
    if (e) return why_set(schema_reader_of(place)->in->why, e, "%s", why.text);
    if (keys == NULL && strchr(jwt->issuer, '?') != NULL)
        return schema_complain(place, "issuer", "must not contain a query: it is discovered");
    return OK;
}

/* Replaces the tokens by their forms in lower case, so that equal ones are equal texts. */
static enum err
take_tokens(struct schema_place *place, struct user_settings *user)
{
    const struct schema_reader *x = schema_reader_of(place);
    uint32_t line = 0;
    for (uint32_t i = 0; i < user->tokens.count; i++) {
        struct bytes copy = arena_copy(
            x->arena, bytes_of(user->tokens.items[i], strlen(user->tokens.items[i]) + 1));
        if (copy.at == NULL) {
            return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
        }
        char *digits = (char *)(uintptr_t)copy.at;
        for (char *p = digits; *p != '\0'; p++) {
            if (*p >= 'A' && *p <= 'F') *p = (char)(*p - 'A' + 'a');
        }
        user->tokens.items[i] = digits;
        enum err e = check_unique(place, UNIQUE_TOKEN, digits, &line);
        if (e) return e;
        if (line == schema_line(place)) {
            return schema_complain(place, "tokens", "a token is there twice");
        }
        if (line != 0) {
            return schema_complain(place, "tokens",
                                   "the user on line %" PRIu32 " has one of these tokens", line);
        }
    }
    return OK;
}

static enum err
check_identity(struct schema_place *place, struct user_settings *user)
{
    uint32_t line;
    enum err e = check_unique(place, UNIQUE_NAME, user->name, &line);
    if (e) return e;
    if (line != 0) {
        return schema_complain(place, "name", "the user on line %" PRIu32 " has the same name",
                               line);
    }
    if (user->client_certificate != NULL) {
        e = check_unique(place, UNIQUE_CERTIFICATE, user->client_certificate, &line);
        if (e) return e;
        if (line != 0) {
            return schema_complain(place, "client_certificate",
                                   "the user on line %" PRIu32 " has the same certificate", line);
        }
    }
    return take_tokens(place, user);
}

/* --- what they may do ------------------------------------------------------------------------- */

static enum err
check_permissions(struct schema_place *place, const struct user_settings *user)
{
    static const struct {
        unsigned permission;
        const char *word;
    } whole[] = {{PERMISSION_ADMIN, "admin"}, {PERMISSION_METRICS, "metrics"}};
    if (user->permissions == 0) {
        return schema_complain(place, "permissions", "must not be empty");
    }
    const char *limit = user->tenants.count > 0          ? "tenants"
                        : user->jwt.tenant_claim != NULL ? "jwt.tenant_claim"
                        : user->read_matchers.count > 0  ? "read_matchers"
                                                         : NULL;
    for (size_t i = 0; i < sizeof whole / sizeof *whole && limit != NULL; i++) {
        if ((user->permissions & whole[i].permission) == 0) continue;
        return schema_complain(place, "permissions",
                               "%s is a permission for the whole server, and cannot be combined "
                               "with %s",
                               whole[i].word, limit);
    }
    const char *labels = user->read_matchers.count > 0  ? "read_matchers"
                         : user->write_labels.count > 0 ? "write_labels"
                                                        : NULL;
    if (labels == NULL || (user->permissions & PERMISSION_RULES) == 0) return OK;
    return schema_complain(place, "permissions",
                           "rules cannot be combined with %s: a rule reads and writes all series",
                           labels);
}

static enum err
check_user_tenants(struct schema_place *place, const struct user_settings *user)
{
    const struct root_context *root = schema_reader_of(place)->context;
    bool is_one = user->tenants.count == 1 && strchr(user->tenants.items[0], '*') == NULL;
    if (!root->settings->tenancy_enabled && user->tenants.count > 0) {
        return schema_complain(place, "tenants", "requires tenancy.enabled: true");
    }
    if (!root->settings->tenancy_enabled && user->jwt.tenant_claim != NULL) {
        return schema_complain(place, "jwt", "tenant_claim requires tenancy.enabled: true");
    }
    if (user->tenant_header == TENANT_HEADER_CHECK || is_one) return OK;
    return schema_complain(place, "tenant_header",
                           "ignore requires one entry in 'tenants', which is not a pattern");
}

/* Refuses lists that are given without items, which would not restrict the user at all. */
static enum err
check_restrictions(struct schema_place *place, const struct user_settings *user)
{
    const struct {
        const char *key;
        uint32_t count;
        const char *without;
    } lists[] = {
        {"tenants", user->tenants.count, "the user may name all tenants"},
        {"read_matchers", user->read_matchers.count, "the user may read all series"},
        {"write_labels", user->write_labels.count, "labels are written as they are sent"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (lists[i].count > 0 || !schema_given(place, lists[i].key)) continue;
        return schema_complain(place, lists[i].key, "must not be empty; without the key, %s",
                               lists[i].without);
    }
    return OK;
}

enum err
check_user(struct schema_place *place, void *base)
{
    struct user_settings *user = base;
    user->line = schema_line(place);
    user->column = schema_column(place);
    enum err e = check_identity(place, user);
    if (e == OK) e = check_permissions(place, user);
    if (e == OK) e = check_restrictions(place, user);
    return e ? e : check_user_tenants(place, user);
}
