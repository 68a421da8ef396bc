/*
 * access_checks.c - rules of TLS, HTTP and listeners that the tables of access_keys.c cannot
 * express; user_checks.c has those of users, and shared_checks.c says how rules are written. What
 * Prometheus refuses in its file is refused here, too, except that both forms of a certificate
 * cannot be given together.
 */
#include "config/lists/access/access_checks.h"

#include <assert.h>
#include <inttypes.h>

#include "base/hash/hash.h"
#include "base/text/suggest.h"
#include "config/lists/root_keys.h"
#include "config/lists/shared_keys.h"
#include "net/tls.h"

/* --- unique texts ----------------------------------------------------------------------------- */

void
access_reading_fini(struct access_reading *reading)
{
    table_fini(&reading->table, NULL);
}

enum err
check_unique(struct schema_place *place, enum unique_kind kind, const char *text,
             uint32_t *ret_line)
{
    const struct schema_reader *x = schema_reader_of(place);
    const struct root_context *root = x->context;
    struct access_reading *r = root->state;
    uint64_t hash = hash_bytes(bytes_of_text(text), (uint64_t)kind);
    for (uint32_t at = TABLE_START, id; table_next(&r->table, hash, &at, &id);) {
        if (r->seen[id].kind != kind || strcmp(r->seen[id].text, text) != 0) continue;
        *ret_line = r->seen[id].line;
        return OK;
    }
    struct unique_text *seen = arena_push(x->arena, r->seen, r->seen_count, sizeof *seen);
    if (seen == NULL || !table_reserve(&r->table, NULL, 1)) {
        return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
    }
    r->seen = seen;
    seen[r->seen_count] = (struct unique_text){kind, schema_line(place), text};
    table_add(&r->table, hash, r->seen_count++);
    *ret_line = 0;
    return OK;
}

/* --- TLS -------------------------------------------------------------------------------------- */

static enum err
check_known(const char *text, const char *(*name)(unsigned index), const char *what,
            struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(text));
    for (unsigned i = 0; name(i) != NULL; i++) {
        if (strcmp(name(i), text) == 0) return OK;
        suggest_try(&near, name(i));
    }
    return why_set(why, ERR_INPUT, "expected %s, got %s%s", what,
                   shown_of(bytes_of_text(text)).text, suggest_hint(&near, "").text);
}

enum err
check_cipher_suite(const char *text, struct why *why)
{
    return check_known(text, tls_suite_name, "the name of a cipher suite in Go", why);
}

enum err
check_curve(const char *text, struct why *why)
{
    return check_known(text, tls_curve_name, "the name of a curve in Go", why);
}

/* Checks that the versions have one of the suites. */
static enum err
check_versions(struct schema_place *place, const struct tls_server_settings *tls)
{
    struct buf priority;
    struct why why = {""};
    if (tls->min_version > tls->max_version) {
        return schema_complain(place, "max_version", "is older than min_version");
    }
    buf_init(&priority, NULL, 4096);
    enum err e = tls_priority(tls, &priority, NULL, &why);
    buf_fini(&priority);
    if (e == ERR_INPUT) return schema_complain(place, "cipher_suites", "%s", why.text);
    return e ? why_set(schema_reader_of(place)->in->why, e, "not enough memory") : OK;
}

static enum err
check_clients(struct schema_place *place, const struct tls_server_settings *tls)
{
    const char *ca = schema_given_of(place, GROUP_CLIENT_CA);
    enum tls_client_auth auth = tls->client_auth;
    if (ca != NULL && auth == TLS_CLIENT_NONE) {
        return schema_complain(place, ca,
                               "requires 'client_auth_type': clients are not asked for "
                               "certificates");
    }
    if (ca == NULL && auth == TLS_CLIENT_REQUIRE) {
        return schema_complain(place, "client_auth_type",
                               "RequireAndVerifyClientCert requires 'client_ca_file'");
    }
    if (tls->client_allowed_sans.count == 0) return OK;
    if (auth == TLS_CLIENT_REQUIRE || auth == TLS_CLIENT_REQUIRE_ANY) return OK;
    return schema_complain(place, "client_allowed_sans",
                           "requires client_auth_type RequireAndVerifyClientCert (or "
                           "RequireAnyClientCert): other types let clients come without a "
                           "certificate");
}

enum err
check_tls_server(struct schema_place *place, void *base)
{
    struct tls_server_settings *tls = base;
    const char *client = schema_given_of(place, GROUP_CLIENT_CA);
    if (client == NULL && tls->client_auth != TLS_CLIENT_NONE) client = "client_auth_type";
    tls->given = tls->cert_file != NULL || tls->cert != NULL;
    if (client != NULL && !tls->given) {
        return schema_complain(place, client, "requires 'cert_file' and 'key_file'");
    }
    if (schema_given(place, "client_allowed_sans") && tls->client_allowed_sans.count == 0) {
        return schema_complain(place, "client_allowed_sans", "must not be empty");
    }
    enum err e = check_versions(place, tls);
    return e ? e : check_clients(place, tls);
}

/* --- HTTP ------------------------------------------------------------------------------------- */

enum err
check_answer_header(const char *text, struct why *why)
{
    static const char *const names[] = {"Content-Security-Policy", "Strict-Transport-Security",
                                        "X-Content-Type-Options", "X-Frame-Options",
                                        "X-XSS-Protection"};
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(text));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) return OK;
        suggest_try(&near, names[i]);
    }
    return why_set(why, ERR_INPUT, "header %s cannot be configured%s",
                   shown_of(bytes_of_text(text)).text, suggest_hint(&near, "").text);
}

/* Returns the values that a header may have, or NULL if it may have any. */
static const char *
header_values(const char *name, const char *value)
{
    if (strcmp(name, "X-Content-Type-Options") == 0) {
        return strcmp(value, "nosniff") == 0 ? NULL : "nosniff";
    }
    if (strcmp(name, "X-Frame-Options") != 0) return NULL;
    bool fine = strcmp(value, "deny") == 0 || strcmp(value, "sameorigin") == 0;
    return fine ? NULL : "deny or sameorigin";
}

/* An empty value means that the header is not set. */
enum err
check_http_server(struct schema_place *place, void *base)
{
    struct named_texts *headers = &((struct http_server_settings *)base)->headers;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct named_text *header = &headers->items[i];
        if (header->value[0] == '\0') continue;
        const char *expected = header_values(header->name, header->value);
        if (expected != NULL) {
            return schema_complain(place, "headers", "%s: expected %s, got %s", header->name,
                                   expected, shown_of(bytes_of_text(header->value)).text);
        }
        headers->items[kept++] = *header;
    }
    headers->count = kept;
    return OK;
}

enum err
check_rate_limit(struct schema_place *place, void *base)
{
    const struct http_server_settings *http = base;
    if (http->rate_interval_ns == 0 || http->rate_burst > 0) return OK;
    return schema_complain(place, "burst", "must be at least 1: with 0, no request is answered");
}

/* --- listeners -------------------------------------------------------------------------------- */

enum err
check_listener_address(const char *text, struct why *why)
{
    enum listener_kind kind;
    const char *at;
    return settings_listener(text, &kind, &at, why);
}

enum err
check_listener(struct schema_place *place, void *base)
{
    enum { MODE = 0660 };
    struct listener_settings *listener = base;
    const struct root_context *root = schema_reader_of(place)->context;
    char other[SETTING_TEXT_BYTES];
    uint32_t line;
    enum err e = settings_listener(listener->address, &listener->kind, &listener->place, NULL);
    assert(e == OK);
    listener->line = schema_line(place);
    e = check_unique(place, UNIQUE_ADDRESS, listener->address, &line);
    if (e) return e;
    if (line != 0) {
        return schema_complain(place, "address",
                               "the listener on line %" PRIu32 " has the same address", line);
    }
    const char *rest = root->settings->web_listen_address;
    while ((rest = settings_list_next(rest, other)) != NULL) {
        if (strcmp(other, listener->address) != 0) continue;
        return schema_complain(place, "address",
                               "%s is also in web.listen_address; set that to [] if there are only "
                               "these listeners",
                               listener->address);
    }
    if (listener->allow == 0) return schema_complain(place, "allow", "must not be empty");
    if (listener->kind == LISTENER_UNIX && listener->mode == 0) listener->mode = MODE;
    if (listener->kind != LISTENER_UNIX && listener->mode != 0) {
        return schema_complain(place, "mode", "is only valid for unix:PATH");
    }
    return OK;
}

/* --- roots ------------------------------------------------------------------------------------ */

static const char *const web_key_names[WEB_KEY_COUNT] = {
    [WEB_KEY_TLS] = "tls_server_config",
    [WEB_KEY_HTTP] = "http_server_config",
    [WEB_KEY_USERS] = "basic_auth_users",
    [WEB_KEY_RATE] = "rate_limit",
};

enum err
check_access_root(struct schema_place *place, void *base)
{
    struct access_keys *keys = base;
    for (unsigned i = 0; i < WEB_KEY_COUNT; i++) {
        keys->web.lines[i] = schema_value_line(place, web_key_names[i]);
    }
    if (keys->users.count > 0 || !schema_given(place, "users")) return OK;
    return schema_complain(place, "users",
                           "must not be empty; remove the key if everyone may do everything");
}

enum err
check_web_file(struct schema_place *place, void *base)
{
    struct web_keys *keys = base;
    const struct root_context *root = schema_reader_of(place)->context;
    const struct access_reading *reading = root->state;
    for (unsigned i = 0; i < WEB_KEY_COUNT; i++) {
        keys->lines[i] = schema_value_line(place, web_key_names[i]);
        uint32_t line = reading->elsewhere->lines[i];
        if (line == 0 || keys->lines[i] == 0) continue;
        return schema_complain(place, web_key_names[i],
                               "is also on line %" PRIu32 " of %s; remove one of them", line,
                               reading->elsewhere_name);
    }
    return OK;
}
