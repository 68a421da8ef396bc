/*
 * jwt.c - see jwt.h.
 *
 * Invariants:
 *  1. Claims other than the issuer are read only after the signature was verified: `verified_with`
 *     is the key set that did it.
 *  2. A token is matched only with settings of that key set.
 */
#include "auth/tokens/jwt.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/quote.h"
#include "base/text/texts.h"
#include "wire/json/json_tree.h"

enum { JWT_VALUES_MAX = 2048 };

/* Times beyond are not those of a token: 30 million years. */
static const double TIME_MAX_S = 1e15;

struct jwt {
    struct budget *budget;
    struct bytes input;   /* the signed part of the token; the caller's */
    struct buf signature; /* secret: it is what makes the token a credential */
    struct json_tree header;
    struct json_tree claims;
    const struct jwks *verified_with; /* NULL before jwt_verify() accepts the token */
};

/* --- reading ---------------------------------------------------------------------------------- */

void
jwt_free(struct jwt *jwt)
{
    if (jwt == NULL) return;
    json_tree_fini(&jwt->header);
    json_tree_fini(&jwt->claims);
    buf_fini(&jwt->signature);
    mem_free(jwt->budget, jwt, sizeof *jwt);
}

/* Reads a part of the token, which is a JSON object in base64url. */
static enum err
read_part(struct jwt *jwt, const char *name, struct bytes text, struct json_tree *ret,
          struct why *why)
{
    struct buf decoded;
    buf_init_secret(&decoded, jwt->budget, JWT_BYTES_MAX);
    enum err e = base64url_get(text, &decoded);
    if (e == ERR_INPUT) why_set(why, e, "it is not base64url");
    if (e == OK) e = json_tree_read(jwt->budget, buf_bytes(&decoded), JWT_VALUES_MAX, ret, why);
    buf_fini(&decoded);
    return e ? why_prefix(why, e, "token's %s", name) : OK;
}

static enum err
read_parts(struct jwt *jwt, struct bytes token, struct why *why)
{
    struct bytes rest = token, header = text_cut(&rest, '.'), payload = text_cut(&rest, '.');
    if (rest.at == NULL || memchr(rest.at, '.', rest.size) != NULL)
        return why_set(why, ERR_INPUT, "token does not have three parts");
    jwt->input = bytes_of(token.at, token.size - rest.size - 1);
    enum err e = base64url_get(rest, &jwt->signature);
    if (e == ERR_INPUT) why_set(why, e, "token's signature is not base64url");
    if (e) return e;
    e = read_part(jwt, "header", header, &jwt->header, why);
    if (e == OK) e = read_part(jwt, "payload", payload, &jwt->claims, why);
    if (e) return e;
    const json_t *id = json_object_get(jwt->header.root, "kid");
    if (!json_is_string(json_object_get(jwt->header.root, "alg")))
        return why_set(why, ERR_INPUT, "token's header has no alg that is a string");
    if (id != NULL && !json_is_string(id))
        return why_set(why, ERR_INPUT, "token's kid is not a string");
    return OK;
}

enum jwt_verdict
jwt_read(struct budget *budget, struct bytes token, struct jwt **ret_jwt, struct why *why)
{
    if (token.size > JWT_BYTES_MAX) {
        why_set(why, ERR_LIMIT, "token is longer than %d bytes", JWT_BYTES_MAX);
        return JWT_MALFORMED;
    }
    struct jwt *jwt = mem_new(budget, sizeof *jwt);
    if (jwt == NULL) return JWT_NO_MEMORY;
    jwt->budget = budget;
    buf_init_secret(&jwt->signature, budget, JWT_BYTES_MAX);
    enum err e = read_parts(jwt, token, why);
    if (e == OK) {
        *ret_jwt = jwt;
        return JWT_ACCEPTED;
    }
    jwt_free(jwt);
    return e == ERR_NOMEM ? JWT_NO_MEMORY : JWT_MALFORMED;
}

struct bytes
jwt_unverified_issuer(const struct jwt *jwt)
{
    return json_tree_text(json_object_get(jwt->claims.root, "iss"));
}

/* --- verifying -------------------------------------------------------------------------------- */

static bool
is_accepted_type(struct bytes type)
{
    static const char prefix[] = "application/";
    const char *text = (const char *)type.at;
    if (strncasecmp(text, prefix, sizeof prefix - 1) == 0) text += sizeof prefix - 1;
    return strcasecmp(text, "JWT") == 0 || strcasecmp(text, "JOSE") == 0 ||
           strcasecmp(text, "at+jwt") == 0;
}

/* Judges the fields of the header that the signature's verification does not use. */
static enum err
judge_header(const json_t *header, struct why *why)
{
    const json_t *type = json_object_get(header, "typ");
    if (json_object_get(header, "crit") != NULL)
        return why_set(why, ERR_INPUT, "token has crit, and no extension is supported");
    if (type == NULL || (json_is_string(type) && is_accepted_type(json_tree_text(type)))) return OK;
    return why_set(why, ERR_INPUT, "token's typ is %s, expected JWT, JOSE or at+jwt",
                   shown_of(json_tree_text(type)).text);
}

/* Reads a NumericDate, rounded down. False if the claim is not a time. */
static bool
read_time(const json_t *claim, int64_t *ret_s)
{
    double value = json_number_value(claim);
    if (!json_is_number(claim) || !(value > -TIME_MAX_S && value < TIME_MAX_S)) return false;
    *ret_s = json_is_integer(claim) ? json_integer_value(claim) : (int64_t)floor(value);
    return true;
}

static enum err
judge_times(const struct jwt *jwt, int64_t now_s, struct why *why)
{
    static const char *const begins[] = {"nbf", "iat"};
    int64_t at_s;
    if (!read_time(json_object_get(jwt->claims.root, "exp"), &at_s))
        return why_set(why, ERR_INPUT, "token has no exp that is a time");
    if (now_s >= at_s + JWT_LEEWAY_S)
        return why_set(why, ERR_INPUT, "token expired %" PRId64 " s ago", now_s - at_s);
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        const json_t *claim = json_object_get(jwt->claims.root, begins[i]);
        if (claim == NULL) continue;
        if (!read_time(claim, &at_s))
            return why_set(why, ERR_INPUT, "token's %s is not a time", begins[i]);
        if (now_s < at_s - JWT_LEEWAY_S)
            return why_set(why, ERR_INPUT, "token's %s is %" PRId64 " s in the future", begins[i],
                           at_s - now_s);
    }
    return OK;
}

enum jwt_verdict
jwt_verify(struct jwt *jwt, const struct jwks *keys, int64_t now_s, struct why *why)
{
    const json_t *header = jwt->header.root;
    const struct jwks_signature signature = {
        .algorithm = json_tree_text(json_object_get(header, "alg")),
        .key_id = json_tree_text(json_object_get(header, "kid")),
        .input = jwt->input,
        .signature = buf_bytes(&jwt->signature),
    };
    jwt->verified_with = NULL;
    if (judge_header(header, why)) return JWT_REFUSED;
    enum jwt_verdict verdict = jwks_verify(keys, &signature, why);
    if (verdict == JWT_ACCEPTED && judge_times(jwt, now_s, why)) verdict = JWT_REFUSED;
    if (verdict == JWT_ACCEPTED) jwt->verified_with = keys;
    return verdict;
}

/* --- claims ----------------------------------------------------------------------------------- */

/* Finds the whole path as a name, else the longest name before a dot with the rest inside it. */
static const json_t *
find_claim(const json_t *object, const char *path, size_t size)
{
    const json_t *found = json_object_getn(object, path, size);
    for (size_t end = size; found == NULL && end > 0; end--) {
        const json_t *inner = path[end - 1] == '.' ? json_object_getn(object, path, end - 1) : NULL;
        if (inner != NULL) found = find_claim(inner, path + end, size - end);
    }
    return found;
}

/* Returns the next word of a string, and moves `rest` past it; empty at the end. */
static struct bytes
next_word(struct bytes *rest)
{
    size_t from = 0;
    if (rest->size == 0) return *rest;
    while (from < rest->size && rest->at[from] == ' ')
        from++;
    size_t to = from;
    while (to < rest->size && rest->at[to] != ' ')
        to++;
    struct bytes word = bytes_of(rest->at + from, to - from);
    *rest = bytes_of(rest->at + to, rest->size - to);
    return word;
}

/* Only these claims are matched by words: in others, such as a name that a user may choose, a word
 * is not a value. */
static bool
has_words(const char *claim)
{
    const char *dot = strrchr(claim, '.');
    const char *name = dot == NULL ? claim : dot + 1;
    return strcmp(name, "scope") == 0 || strcmp(name, "scp") == 0;
}

/* A string, integer or boolean as text. `at` is NULL for other values. */
struct scalar {
    char digits[24];
    struct bytes text;
};

static void
scalar_read(struct scalar *s, const json_t *value)
{
    s->text = json_tree_text(value);
    if (json_is_boolean(value)) s->text = bytes_of_text(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value)) {
        int size = snprintf(s->digits, sizeof s->digits, "%" JSON_INTEGER_FORMAT,
                            json_integer_value(value));
        s->text = bytes_of(s->digits, (size_t)size);
    }
}

static bool
scalar_equals(const json_t *value, const char *expected)
{
    struct scalar s;
    if (json_is_real(value)) {
        char *end;
        double number = strtod(expected, &end);
        return end != expected && *end == '\0' && number == json_real_value(value);
    }
    scalar_read(&s, value);
    return s.text.at != NULL && bytes_equal_text(s.text, expected);
}

static bool
claim_has(const json_t *claim, const char *expected, bool words)
{
    if (scalar_equals(claim, expected)) return true;
    for (size_t i = 0; i < json_array_size(claim); i++)
        if (scalar_equals(json_array_get(claim, i), expected)) return true;
    struct bytes rest = words ? json_tree_text(claim) : bytes_of(NULL, 0), word;
    while ((word = next_word(&rest)).size > 0)
        if (bytes_equal_text(word, expected)) return true;
    return false;
}

static bool
has_audience(const json_t *claim, const struct text_list *audience)
{
    for (uint32_t i = 0; i < audience->count; i++)
        if (claim_has(claim, audience->items[i], false)) return true;
    return false;
}

/* The texts of a claim, one after the other. */
struct claim_texts {
    const json_t *claim;
    struct bytes words; /* the rest of a string */
    size_t index;       /* in an array; 0 of another value */
    struct scalar scalar;
};

static struct claim_texts
claim_texts_of(const json_t *claim)
{
    return (struct claim_texts){.claim = claim, .words = json_tree_text(claim)};
}

/* Returns the next text that is not empty; empty at the end. */
static struct bytes
claim_texts_next(struct claim_texts *texts)
{
    if (json_is_string(texts->claim)) return next_word(&texts->words);
    bool is_array = json_is_array(texts->claim);
    size_t count = is_array ? json_array_size(texts->claim) : 1;
    while (texts->index < count) {
        size_t i = texts->index++;
        scalar_read(&texts->scalar, is_array ? json_array_get(texts->claim, i) : texts->claim);
        if (texts->scalar.text.size > 0) return texts->scalar.text;
    }
    return bytes_of(NULL, 0);
}

static const json_t *
claim_of(const struct jwt *jwt, const char *name)
{
    assert(jwt->verified_with != NULL); /* invariant 1 */
    return find_claim(jwt->claims.root, name, strlen(name));
}

struct bytes
jwt_subject(const struct jwt *jwt)
{
    assert(jwt->verified_with != NULL); /* invariant 1 */
    return json_tree_text(json_object_get(jwt->claims.root, "sub"));
}

enum jwt_verdict
jwt_match(const struct jwt *jwt, const struct jwks *keys, const struct jwt_settings *settings,
          struct why *why)
{
    const char *const listing[] = {settings->tenant_claim, settings->permissions_claim};
    struct bytes issuer = jwt_unverified_issuer(jwt);
    assert(jwt->verified_with == keys); /* invariant 2 */
    if (settings->issuer != NULL &&
        (issuer.at == NULL || !bytes_equal_text(issuer, settings->issuer))) {
        why_set(why, ERR_INPUT, "token's iss is %s", shown_of(issuer).text);
        return JWT_REFUSED;
    }
    if (!has_audience(claim_of(jwt, "aud"), &settings->audience)) {
        why_set(why, ERR_INPUT, "token's aud has none of the configured audiences");
        return JWT_REFUSED;
    }
    for (uint32_t i = 0; i < settings->claims.count; i++) {
        const struct named_text *wanted = &settings->claims.items[i];
        if (claim_has(claim_of(jwt, wanted->name), wanted->value, has_words(wanted->name)))
            continue;
        why_set(why, ERR_INPUT, "token's claim %s does not match",
                shown_of(bytes_of_text(wanted->name)).text);
        return JWT_REFUSED;
    }
    for (size_t i = 0; i < sizeof listing / sizeof *listing; i++) {
        if (listing[i] == NULL) continue;
        struct claim_texts texts = claim_texts_of(claim_of(jwt, listing[i]));
        if (claim_texts_next(&texts).size > 0) continue;
        why_set(why, ERR_INPUT, "token's claim %s is missing or empty",
                shown_of(bytes_of_text(listing[i])).text);
        return JWT_REFUSED;
    }
    return JWT_ACCEPTED;
}

enum err
jwt_claim_texts(const struct jwt *jwt, const char *claim, struct arena *arena,
                struct text_list *ret_texts)
{
    struct claim_texts texts = claim_texts_of(claim_of(jwt, claim));
    struct text_list list = {NULL, 0};
    struct bytes text;
    while ((text = claim_texts_next(&texts)).size > 0) {
        const char **items = arena_push(arena, list.items, list.count, sizeof *list.items);
        char *copy = arena_alloc(arena, text.size + 1);
        if (items == NULL || copy == NULL) return ERR_NOMEM;
        memcpy(copy, text.at, text.size);
        copy[text.size] = '\0';
        list.items = items;
        list.items[list.count++] = copy;
    }
    if (list.count == 0) return ERR_MISSING;
    *ret_texts = list;
    return OK;
}
