/*
 * jwt_users.c - see tokens.h. A token is verified with the keys of the issuers that it may be
 * from: those of users who expect its claim `iss`, and those of users who expect none. The claim
 * only chooses whose keys are tried; whose token it is depends on the keys that verify it.
 *
 * Invariants:
 *  1. A user of a token has no permission and no tenant that the configured user does not have.
 *  2. With a tenant claim, a user of a token has at least one entry in `tenants`, and none of them
 *     is a pattern: an empty list would mean all tenants.
 */
#include "auth/tokens/tokens.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "auth/tokens/jwt.h"
#include "model/tenant_name.h"

struct jwt_account {
    const struct user *user;
    struct jwt_settings settings;
    uint32_t issuer; /* index */
};

struct jwt_users {
    struct arena arena; /* owns this struct, too */
    struct jwt_account *accounts;
    uint32_t account_count;
    struct issuer *issuers[ISSUERS_MAX]; /* held; each once */
    uint32_t issuer_count;
};

/* The user of a token. */
struct jwt_user {
    struct user user; /* is first */
    struct arena arena;
};

/* --- making ----------------------------------------------------------------------------------- */

/* Copies what is read of the settings after the issuer was found. */
static bool
copy_settings(struct arena *arena, const struct jwt_settings *from, struct jwt_settings *to)
{
    *to = (struct jwt_settings){.given = true};
    return text_copy(arena, from->issuer, &to->issuer) &&
           text_list_copy(arena, &from->audience, &to->audience) &&
           named_texts_copy(arena, &from->claims, &to->claims) &&
           text_copy(arena, from->tenant_claim, &to->tenant_claim) &&
           text_copy(arena, from->permissions_claim, &to->permissions_claim);
}

/* Holds the issuer of the settings, unless a user before has it. */
static enum err
add_issuer(struct jwt_users *u, const struct jwt_settings *settings, struct issuers *issuers,
           uint32_t *ret_index, struct why *why)
{
    struct issuer *issuer = NULL;
    enum err e = issuers_get(issuers, settings, &issuer, why);
    if (e) return e;
    uint32_t i = 0;
    while (i < u->issuer_count && u->issuers[i] != issuer)
        i++;
    *ret_index = i;
    if (i < u->issuer_count) {
        issuer_release(issuer);
        return OK;
    }
    assert(u->issuer_count < ISSUERS_MAX); /* the limit of issuers_get() */
    u->issuers[u->issuer_count++] = issuer;
    return OK;
}

/* Limits the key sets that are tried with tokens of any issuer. */
static enum err
check_unnamed(const struct jwt_users *u, struct why *why)
{
    uint64_t unnamed = 0; /* a bit for each issuer */
    for (uint32_t i = 0; i < u->account_count; i++)
        if (u->accounts[i].settings.issuer == NULL) unnamed |= UINT64_C(1) << u->accounts[i].issuer;
    if (__builtin_popcountll(unnamed) <= JWT_UNNAMED_MAX) return OK;
    return why_set(why, ERR_LIMIT,
                   "users: more than %d jwks_file and jwks_url are used without an issuer: set "
                   "'issuer' beside them",
                   JWT_UNNAMED_MAX);
}

enum err
jwt_users_new(const struct user_list *list, const struct user *users, struct issuers *issuers,
              struct budget *memory, struct jwt_users **ret_users, struct why *why)
{
    struct arena arena;
    struct jwt_users *u = NULL;
    enum err e = OK;
    _Static_assert(ISSUERS_MAX <= 64, "a uint64_t has a bit for each issuer");
    *ret_users = NULL;
    for (uint32_t i = 0; i < list->count && e == OK; i++) {
        const struct user_settings *s = &list->items[i];
        if (!s->jwt.given) continue;
        if (u == NULL) {
            arena_init(&arena, memory, 0, 0);
            u = arena_new(&arena, sizeof *u);
            if (u == NULL) return why_set(why, ERR_NOMEM, "not enough memory for users");
            u->arena = arena;
        }
        struct jwt_account *grown =
            arena_push(&u->arena, u->accounts, u->account_count, sizeof *grown);
        if (grown != NULL) u->accounts = grown;
        struct jwt_account account = {.user = &users[i]};
        if (grown == NULL || !copy_settings(&u->arena, &s->jwt, &account.settings))
            e = why_set(why, ERR_NOMEM, "not enough memory for users");
        if (e == OK) e = add_issuer(u, &s->jwt, issuers, &account.issuer, why);
        if (e && e != ERR_NOMEM) why_prefix(why, e, "user %s: jwt", s->name);
        if (e == OK) u->accounts[u->account_count++] = account;
    }
    if (e == OK && u != NULL) e = check_unnamed(u, why);
    if (e)
        jwt_users_free(u);
    else
        *ret_users = u;
    return e;
}

void
jwt_users_free(struct jwt_users *u)
{
    if (u == NULL) return;
    for (uint32_t i = 0; i < u->issuer_count; i++)
        issuer_release(u->issuers[i]);
    struct arena arena = u->arena;
    arena_fini(&arena);
}

/* --- the user of a token ---------------------------------------------------------------------- */

/* Leaves the permissions that the claim names. Words of others are those of other programs. */
static enum err
select_permissions(struct jwt_user *own, const struct jwt *jwt, const char *claim, struct why *why)
{
    static const char *const words[] = {"write", "read", "rules", "admin", "metrics"};
    struct text_list texts;
    unsigned named = 0;
    enum err e = jwt_claim_texts(jwt, claim, &own->arena, &texts);
    if (e) return e;
    if (texts.count > JWT_CLAIM_TEXTS_MAX)
        return why_set(why, ERR_INPUT, "token's claim for permissions has more than %d texts",
                       JWT_CLAIM_TEXTS_MAX);
    for (uint32_t i = 0; i < texts.count; i++) {
        for (unsigned bit = 0; bit < sizeof words / sizeof *words; bit++)
            if (strcmp(texts.items[i], words[bit]) == 0) named |= 1U << bit;
    }
    own->user.permissions &= named;
    return OK;
}

static bool
has_text(const struct text_list *list, const char *text)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0) return true;
    return false;
}

/* Leaves the tenants that the claim names, each once. */
static enum err
select_tenants(struct jwt_user *own, const struct user *user, const struct jwt *jwt,
               const char *claim, struct why *why)
{
    struct text_list texts, kept = {NULL, 0};
    enum err e = jwt_claim_texts(jwt, claim, &own->arena, &texts);
    if (e) return e;
    if (texts.count > JWT_CLAIM_TEXTS_MAX)
        return why_set(why, ERR_INPUT, "token's claim for tenants has more than %d texts",
                       JWT_CLAIM_TEXTS_MAX);
    kept.items = arena_new(&own->arena, texts.count * sizeof *kept.items);
    if (kept.items == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < texts.count; i++) {
        const char *name = texts.items[i];
        if (strchr(name, '*') != NULL) continue; /* it would be a pattern: invariant 2 */
        if (tenant_name_check(bytes_of_text(name), NULL) != OK) continue;
        if (!user_may_use(user, bytes_of_text(name))) continue; /* invariant 1 */
        if (!has_text(&kept, name)) kept.items[kept.count++] = name;
    }
    if (kept.count == 0) {
        kept.items[kept.count++] = ""; /* no tenant has this name */
        own->user.permissions = 0;
    }
    assert(kept.count > 0); /* invariant 2 */
    own->user.tenants = kept;
    return OK;
}

/* Sets "USER:SUB". */
static enum err
name_user(struct jwt_user *own, const char *name, struct bytes subject)
{
    size_t size = strlen(name) + subject.size + 2;
    if (subject.size == 0) return OK;
    char *text = arena_alloc(&own->arena, size);
    if (text == NULL) return ERR_NOMEM;
    snprintf(text, size, "%s:%s", name, (const char *)subject.at); /* jansson's text ends in NUL */
    own->user.name = text;
    return OK;
}

/* Makes the user of a verified token that matches the account. ERR_INPUT: it names too much. */
static enum err
make_user(const struct jwt_account *account, const struct jwt *jwt, struct budget *memory,
          struct user **ret_user, struct why *why)
{
    struct arena arena;
    arena_init(&arena, memory, 0, 512);
    struct jwt_user *own = arena_new(&arena, sizeof *own);
    if (own == NULL) return ERR_NOMEM;
    own->arena = arena;
    own->user = *account->user;
    own->user.password = NULL;
    const struct jwt_settings *s = &account->settings;
    enum err e = name_user(own, account->user->name, jwt_subject(jwt));
    if (e == OK && s->permissions_claim != NULL)
        e = select_permissions(own, jwt, s->permissions_claim, why);
    if (e == OK && s->tenant_claim != NULL)
        e = select_tenants(own, account->user, jwt, s->tenant_claim, why);
    assert((own->user.permissions & ~account->user->permissions) == 0); /* invariant 1 */
    if (e)
        jwt_user_free(&own->user);
    else
        *ret_user = &own->user;
    return e;
}

void
jwt_user_free(struct user *user)
{
    struct arena arena = ((struct jwt_user *)user)->arena;
    arena_fini(&arena);
}

/* --- judging ---------------------------------------------------------------------------------- */

/* Finds the first user whose settings a verified token matches. */
static enum jwt_user_verdict
match_user(const struct jwt_users *u, uint32_t issuer, const struct jwt *jwt,
           const struct jwks *keys, struct budget *memory, struct user **ret_user, struct why *why)
{
    for (uint32_t i = 0; i < u->account_count; i++) {
        const struct jwt_account *account = &u->accounts[i];
        if (account->issuer != issuer) continue;
        enum jwt_verdict verdict = jwt_match(jwt, keys, &account->settings, why);
        if (verdict == JWT_NO_MEMORY) return JWT_USER_LATER;
        if (verdict != JWT_ACCEPTED) continue;
        enum err e = make_user(account, jwt, memory, ret_user, why);
        if (e == ERR_NOMEM) return JWT_USER_LATER;
        return e ? JWT_USER_UNKNOWN : JWT_USER_KNOWN;
    }
    return JWT_USER_UNKNOWN;
}

/* Verifies a token with the keys of an issuer, and finds its user. */
static enum jwt_user_verdict
judge_with(const struct jwt_users *u, uint32_t issuer, struct jwt *jwt, int64_t now_s,
           struct budget *memory, struct user **ret_user, struct why *why)
{
    struct issuer_keys *keys = issuer_keys_hold(u->issuers[issuer]);
    enum jwt_verdict verdict = JWT_UNKNOWN_KEY;
    enum jwt_user_verdict result = JWT_USER_UNKNOWN;
    if (keys != NULL)
        verdict = jwt_verify(jwt, keys->set, now_s, why);
    else
        why_set(why, ERR_AGAIN, "the keys of the token's issuer were never read");
    if (verdict == JWT_ACCEPTED)
        result = match_user(u, issuer, jwt, keys->set, memory, ret_user, why);
    if (verdict == JWT_NO_MEMORY) result = JWT_USER_LATER;
    if (verdict == JWT_UNKNOWN_KEY && issuer_miss(u->issuers[issuer], keys))
        result = JWT_USER_LATER;
    issuer_keys_release(keys);
    return result;
}

enum jwt_user_verdict
jwt_users_judge(const struct jwt_users *u, struct bytes token, int64_t now_s, struct budget *memory,
                struct user **ret_user, struct why *why)
{
    struct jwt *jwt = NULL;
    enum jwt_verdict verdict = jwt_read(memory, token, &jwt, why);
    if (verdict != JWT_ACCEPTED)
        return verdict == JWT_NO_MEMORY ? JWT_USER_LATER : JWT_USER_UNKNOWN;
    struct bytes named = jwt_unverified_issuer(jwt);
    uint64_t issuers = 0; /* that the token may be from, a bit for each */
    for (uint32_t i = 0; i < u->account_count; i++) {
        const char *expected = u->accounts[i].settings.issuer;
        if (expected != NULL && (named.at == NULL || !bytes_equal_text(named, expected))) continue;
        issuers |= UINT64_C(1) << u->accounts[i].issuer;
    }
    enum jwt_user_verdict result = JWT_USER_UNKNOWN;
    why_set(why, ERR_INPUT, "no user has tokens of this issuer");
    for (uint32_t i = 0; i < u->issuer_count && result != JWT_USER_KNOWN; i++) {
        if ((issuers >> i & 1) == 0) continue;
        enum jwt_user_verdict one = judge_with(u, i, jwt, now_s, memory, ret_user, why);
        if (one != JWT_USER_UNKNOWN) result = one; /* LATER, unless another one knows the token */
    }
    jwt_free(jwt);
    return result;
}
