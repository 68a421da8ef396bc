/*
 * signed.c - see signed.h.
 *
 * The time of a request is that of its first byte, in both stages: a body that takes long to arrive
 * does not make its signature too old.
 */
#include "auth/signed.h"

#include <assert.h>

static bool
header_at(const void *context, uint32_t index, struct sigv4_header *ret_header)
{
    const char *name, *value;
    if (!http_header_at(context, index, &name, &value)) return false;
    *ret_header = (struct sigv4_header){bytes_of_text(name), bytes_of_text(value)};
    return true;
}

/* Tries each secret of the key. */
static enum sigv4_verdict
judge_with_key(struct sigv4_claim *claim, const struct signing_key *key, struct sigv4_terms *terms,
               int64_t now_s, const char *body_hash, struct why *why)
{
    enum sigv4_verdict verdict = SIGV4_REFUSED;
    terms->session_token = key->session_token;
    for (uint32_t i = 0; i < key->secret_count && verdict == SIGV4_REFUSED; i++) {
        terms->secret_key = key->secrets[i];
        verdict = sigv4_judge(claim, terms, now_s, body_hash, why);
    }
    return verdict;
}

/* Does the work of a known key. */
static enum sigv4_verdict
judge_unknown_key(struct sigv4_claim *claim, struct sigv4_terms *terms, int64_t now_s,
                  struct why *why)
{
    terms->secret_key = bytes_of_text("0123456789012345678901234567890123456789");
    enum sigv4_verdict verdict = sigv4_judge(claim, terms, now_s, NULL, why);
    if (verdict == SIGV4_NO_MEMORY) return verdict;
    why_set(why, ERR_INPUT, "no user has this access key");
    return SIGV4_REFUSED;
}

/* Returns the Unix time of the request's first byte. */
static int64_t
began_s(struct env *env, const struct http_request *request)
{
    int64_t ago_ns = env_monotonic_ns(env) - http_began_ns(request);
    return (env_realtime_ms(env) - ago_ns / NS_PER_MS) / 1000;
}

static enum sigv4_verdict
judge_claim(struct env *env, const struct users *users, const struct http_request *request,
            struct sigv4_claim *claim, enum signed_stage stage, const struct user **ret_user,
            struct why *why)
{
    const struct signing_settings *settings = users_signing(users);
    const struct signing_key *key;
    const struct user *user = users_by_access_key(users, claim->key_id, &key);
    const char *host = settings->host;
    char hash[SIGV4_HASH_BYTES];
    int64_t now_s = began_s(env, request);
    struct sigv4_terms terms = {
        .services = settings->services,
        .region = settings->region,
        .hosts = {&host, host != NULL},
        .unsigned_payload = settings->unsigned_payload,
        .unsigned_tenant = user != NULL && user->tenant_header == TENANT_HEADER_IGNORE,
    };
    if (user == NULL) return judge_unknown_key(claim, &terms, now_s, why);
    if (stage == SIGNED_WHOLE) sigv4_hash(http_body(request), hash);
    enum sigv4_verdict verdict =
        judge_with_key(claim, key, &terms, now_s, stage == SIGNED_WHOLE ? hash : NULL, why);
    assert(verdict != SIGV4_NEEDS_BODY || stage == SIGNED_HEAD);
    if (verdict == SIGV4_GOOD) *ret_user = user;
    return verdict;
}

enum sigv4_verdict
signed_judge(struct env *env, const struct users *users, const struct http_request *request,
             enum signed_stage stage, struct budget *memory, const struct user **ret_user,
             struct why *why)
{
    struct sigv4_arrival arrival = {
        .method = bytes_of_text(http_method_sent(request)),
        .target = bytes_of_text(http_target_sent(request)),
        .header_at = header_at,
        .context = request,
        .is_tls = http_has_tls(request),
    };
    struct sigv4_claim claim;
    if (signing_keys_count(users_signing_keys(users)) == 0) return SIGV4_ABSENT;
    enum sigv4_verdict verdict = sigv4_claim_read(&arrival, memory, &claim, why);
    if (verdict == SIGV4_CLAIMED)
        verdict = judge_claim(env, users, request, &claim, stage, ret_user, why);
    sigv4_claim_fini(&claim);
    return verdict;
}
