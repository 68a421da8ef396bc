/*
 * users.c - see users.h.
 *
 * Tokens are found by their SHA-256, which the settings have. The time of a look-up therefore says
 * nothing about a token: a client that does not know it cannot choose bytes of its hash.
 */
#include "auth/users.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <string.h>

#include "auth/password.h"
#include "auth/tokens/tokens.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "base/text/hex.h"
#include "model/labels.h"
#include "model/selector.h"

enum { DIGEST_BYTES = 32, MEMORY_BYTES_MAX = 256 << 20 };

struct token {
    uint8_t digest[DIGEST_BYTES];
    uint32_t user;
};

struct users {
    _Atomic unsigned references; /* acq_rel: the last one to release sees all uses */
    struct arena arena;          /* of this struct and all but the tables */
    struct user *items;
    uint32_t count;
    struct token *tokens;
    uint32_t token_count;
    const char **certificates; /* of each user; may be NULL */
    struct text_list *callers; /* of each user */
    struct matcher **matchers; /* of read_sets of all users, which are freed with them */
    uint32_t matcher_count;
    const char *dearest;
    struct jwt_users *jwt; /* NULL: no user has tokens of issuers */
    struct table by_name, by_token, by_certificate;
    struct signing_keys *signing_keys;
    struct signing_settings signing;
};

/* --- making ----------------------------------------------------------------------------------- */

static bool
read_digest(const char *text, uint8_t *to)
{
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_digit((uint8_t)text[2 * i]);
        int low = high < 0 ? -1 : hex_digit((uint8_t)text[2 * i + 1]);
        if (low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * DIGEST_BYTES] == '\0';
}

static bool
add_tokens(struct users *u, const struct text_list *tokens, uint32_t user)
{
    if (!table_reserve(&u->by_token, u->arena.budget, tokens->count)) return false;
    for (uint32_t i = 0; i < tokens->count; i++) {
        struct token *grown = arena_push(&u->arena, u->tokens, u->token_count, sizeof *grown);
        if (grown == NULL) return false;
        u->tokens = grown;
        struct token *token = &u->tokens[u->token_count];
        token->user = user;
        if (!read_digest(tokens->items[i], token->digest)) continue; /* the settings refuse it */
        table_add(&u->by_token, hash_bytes(bytes_of(token->digest, DIGEST_BYTES), 0),
                  u->token_count++);
    }
    return true;
}

/* Parses an alternative of read_matchers. */
static enum err
read_set(struct users *u, const char *text, struct matcher_set *ret, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(text), &selector, why);
    if (e) return e;
    uint32_t kept = 0;
    struct matcher **own = arena_alloc(&u->arena, (selector.count + 1) * sizeof *own);
    for (; own != NULL && kept < selector.count; kept++) {
        struct matcher **all = arena_push(&u->arena, u->matchers, u->matcher_count, sizeof *all);
        if (all == NULL) break;
        u->matchers = all;
        all[u->matcher_count++] = own[kept] = selector.matchers[kept];
    }
    if (own != NULL && kept == selector.count) {
        *ret = (struct matcher_set){own, kept};
        return OK;
    }
    while (selector.count > kept)
        matcher_free(selector.matchers[--selector.count]);
    return ERR_NOMEM;
}

static enum err
add_read_sets(struct users *u, const struct text_list *list, struct user *user, struct why *why)
{
    if (list->count == 0) return OK;
    struct matcher_set *sets = arena_new(&u->arena, list->count * sizeof *sets);
    enum err e = sets == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; i < list->count && e == OK; i++) {
        e = read_set(u, list->items[i], &sets[i], why);
        if (e && e != ERR_NOMEM)
            why_prefix(why, e, "user %s: read_matchers: %s", user->name, list->items[i]);
    }
    user->read_sets = sets;
    user->read_set_count = list->count;
    return e;
}

static enum err
add_write_labels(struct users *u, const struct named_texts *list, struct user *user,
                 struct why *why)
{
    static const struct labels_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct buf labels;
    if (list->count == 0) return OK;
    struct label *given = arena_new(&u->arena, list->count * sizeof *given);
    if (given == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++) {
        given[i] =
            (struct label){bytes_of_text(list->items[i].name), bytes_of_text(list->items[i].value)};
    }
    buf_init(&labels, u->arena.budget, MEMORY_BYTES_MAX);
    enum reject reject = labels_build(given, list->count, &limits, &labels);
    user->write_labels = arena_copy(&u->arena, buf_bytes(&labels));
    bool fits = buf_error(&labels) == OK && user->write_labels.at != NULL;
    buf_fini(&labels);
    if (reject == REJECT_NONE) return fits ? OK : ERR_NOMEM;
    return why_set(why, ERR_INPUT, "user %s: write_labels: %s", user->name, reject_word(reject));
}

/* Writes a hash that changes with the password and with each token. */
static bool
hash_secrets(const struct user_settings *s, uint8_t *ret_hash)
{
    gnutls_hash_hd_t hash;
    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0) return false;
    const char *password = s->password == NULL ? "" : s->password;
    bool failed = gnutls_hash(hash, password, strlen(password) + 1) < 0;
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        const char *token = s->tokens.items[i];
        failed |= gnutls_hash(hash, token, strlen(token) + 1) < 0;
    }
    gnutls_hash_deinit(hash, ret_hash);
    return !failed;
}

static bool
add_user(struct users *u, const struct user_settings *s)
{
    uint32_t index = u->count;
    struct user *user = &u->items[index];
    *user =
        (struct user){.set = u, .permissions = s->permissions, .tenant_header = s->tenant_header};
    if (!text_copy(&u->arena, s->name, &user->name) ||
        !text_copy(&u->arena, s->password, &user->password) ||
        !text_list_copy(&u->arena, &s->tenants, &user->tenants) ||
        !text_copy(&u->arena, s->client_certificate, &u->certificates[index]) ||
        !text_list_copy(&u->arena, &s->iam_callers, &u->callers[index]) ||
        !hash_secrets(s, user->secret) || !table_reserve(&u->by_name, u->arena.budget, 1) ||
        !table_reserve(&u->by_certificate, u->arena.budget, 1) || !add_tokens(u, &s->tokens, index))
        return false;
    table_add(&u->by_name, hash_bytes(bytes_of_text(user->name), 0), index);
    if (u->certificates[index] != NULL)
        table_add(&u->by_certificate, hash_bytes(bytes_of_text(u->certificates[index]), 0), index);
    if (user->password != NULL) u->dearest = password_dearer(u->dearest, user->password);
    u->count++;
    return true;
}

static enum err
users_add_all(struct users *u, const struct user_list *list, struct why *why)
{
    u->items = arena_new(&u->arena, (list->count + 1) * sizeof *u->items);
    u->certificates = arena_new(&u->arena, (list->count + 1) * sizeof *u->certificates);
    u->callers = arena_new(&u->arena, (list->count + 1) * sizeof *u->callers);
    if (u->items == NULL || u->certificates == NULL || u->callers == NULL) return ERR_NOMEM;
    while (u->count < list->count) {
        uint32_t i = u->count;
        if (!add_user(u, &list->items[i])) return ERR_NOMEM;
        enum err e = add_read_sets(u, &list->items[i].read_matchers, &u->items[i], why);
        if (e == OK) e = add_write_labels(u, &list->items[i].write_labels, &u->items[i], why);
        if (e) return e;
    }
    return OK;
}

static enum err
add_signing_keys(struct users *u, const struct user_list *list, struct why *why)
{
    u->signing = list->signing;
    if (!text_list_copy(&u->arena, &list->signing.services, &u->signing.services) ||
        !text_copy(&u->arena, list->signing.region, &u->signing.region) ||
        !text_copy(&u->arena, list->signing.host, &u->signing.host))
        return ERR_NOMEM;
    return signing_keys_read(list, u->arena.budget, &u->signing_keys, why);
}

enum err
users_new(const struct user_list *list, struct issuers *issuers, struct budget *memory,
          struct users **ret_users, struct why *why)
{
    struct arena arena;
    if (list->count > USERS_MAX)
        return why_set(why, ERR_LIMIT, "there are more than %d users", USERS_MAX);
    arena_init_secret(&arena, memory, MEMORY_BYTES_MAX, 0);
    struct users *u = arena_new(&arena, sizeof *u);
    if (u == NULL) return why_set(why, ERR_NOMEM, "not enough memory for users");
    u->arena = arena;
    atomic_init(&u->references, 1);
    enum err e = users_add_all(u, list, why);
    if (e == OK && issuers != NULL)
        e = jwt_users_new(list, u->items, issuers, memory, &u->jwt, why);
    if (e == OK) e = add_signing_keys(u, list, why);
    if (e) users_release(u);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for users");
    if (e) return e;
    *ret_users = u;
    return OK;
}

enum err
users_check_files(const struct user_list *list, struct env *env, struct why *why)
{
    struct issuers *issuers = NULL;
    struct users *users = NULL;
    enum err e = issuers_new(env, NULL, &issuers, why);
    if (e == OK) e = users_new(list, issuers, NULL, &users, why);
    users_release(users);
    issuers_free(issuers);
    return e;
}

struct users *
users_hold(struct users *u)
{
    atomic_fetch_add_explicit(&u->references, 1, memory_order_relaxed);
    return u;
}

void
users_release(struct users *u)
{
    if (u == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&u->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    struct arena arena = u->arena;
    jwt_users_free(u->jwt);
    for (uint32_t i = 0; i < u->matcher_count; i++)
        matcher_free(u->matchers[i]);
    table_fini(&u->by_name, arena.budget);
    table_fini(&u->by_token, arena.budget);
    table_fini(&u->by_certificate, arena.budget);
    signing_keys_free(u->signing_keys);
    arena_fini(&arena);
}

/* --- look-ups --------------------------------------------------------------------------------- */

uint32_t
users_count(const struct users *u)
{
    return u->count;
}

const char *
users_dearest_password(const struct users *u)
{
    return u->dearest;
}

const struct user *
users_by_name(const struct users *u, struct bytes name)
{
    for (uint32_t at = TABLE_START, id; table_next(&u->by_name, hash_bytes(name, 0), &at, &id);)
        if (bytes_equal(bytes_of_text(u->items[id].name), name)) return &u->items[id];
    return NULL;
}

const struct user *
users_by_token(const struct users *u, struct bytes token)
{
    uint8_t digest[DIGEST_BYTES];
    if (u->token_count == 0 || token.size > USER_TOKEN_BYTES_MAX) return NULL;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, token.at, token.size, digest)) return NULL;
    uint64_t hash = hash_bytes(bytes_of(digest, DIGEST_BYTES), 0);
    for (uint32_t at = TABLE_START, id; table_next(&u->by_token, hash, &at, &id);) {
        const struct token *t = &u->tokens[id];
        if (gnutls_memcmp(t->digest, digest, DIGEST_BYTES) == 0) return &u->items[t->user];
    }
    return NULL;
}

const struct jwt_users *
users_jwt(const struct users *u)
{
    return u->jwt;
}

static const struct user *
by_certificate_name(const struct users *u, const char *name)
{
    uint64_t hash = hash_bytes(bytes_of_text(name), 0);
    for (uint32_t at = TABLE_START, id; table_next(&u->by_certificate, hash, &at, &id);)
        if (strcmp(u->certificates[id], name) == 0) return &u->items[id];
    return NULL;
}

const struct user *
users_by_certificate(const struct users *u, const char *subject, const char *const *names,
                     uint32_t name_count)
{
    const struct user *user = by_certificate_name(u, subject);
    for (uint32_t i = 0; i < name_count && user == NULL; i++)
        user = by_certificate_name(u, names[i]);
    return user;
}

const struct user *
users_by_access_key(const struct users *u, struct bytes id, const struct signing_key **ret_key)
{
    *ret_key = signing_keys_find(u->signing_keys, id);
    return *ret_key == NULL ? NULL : &u->items[(*ret_key)->user];
}

const struct signing_keys *
users_signing_keys(const struct users *u)
{
    return u->signing_keys;
}

const struct signing_settings *
users_signing(const struct users *u)
{
    return &u->signing;
}

/* --- patterns: tenants, callers --------------------------------------------------------------- */

/* Compares with a name in which each "*" stands for any bytes. */
static bool
matches(const char *pattern, struct bytes name)
{
    const char *star = NULL; /* the last one seen; the name is tried again after it */
    size_t at = 0, again = 0;
    while (at < name.size) {
        if (*pattern == '*') {
            star = pattern++;
            again = at;
        } else if (*pattern != '\0' && (uint8_t)*pattern == name.at[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star + 1;
            at = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

const struct user *
users_by_caller(const struct users *u, struct bytes caller)
{
    for (uint32_t i = 0; i < u->count; i++) {
        for (uint32_t k = 0; k < u->callers[i].count; k++)
            if (matches(u->callers[i].items[k], caller)) return &u->items[i];
    }
    return NULL;
}

bool
user_may_use(const struct user *user, struct bytes tenant)
{
    bool may = user->tenants.count == 0;
    for (uint32_t i = 0; i < user->tenants.count && !may; i++)
        may = matches(user->tenants.items[i], tenant);
    return may;
}

const char *
user_only_tenant(const struct user *user)
{
    bool is_one = user->tenants.count == 1 && strchr(user->tenants.items[0], '*') == NULL;
    return is_one ? user->tenants.items[0] : NULL;
}
