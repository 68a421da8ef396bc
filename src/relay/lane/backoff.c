/*
 * backoff.c - see backoff.h.
 *
 * Invariant: `next_ns` never moves back, so an answer to an older call cannot shorten a pause.
 *
 * Pauses grow by half because destinations fail now and then more often than for good: while half
 * of all calls fail, a search for refused samples that takes 24 answers waits 4.2 s on average and
 * 9 s in one case of 20. With pauses that double it waited 8.9 s and 30 s. The price is 12 tries
 * instead of 8 until the pause is 10 s.
 */
#include "relay/lane/backoff.h"

/* Longest pause that a destination may ask for: more is a mistake, or was misunderstood. */
enum { RETRY_AFTER_MAX_MS = 5 * 60 * 1000 };

static int64_t
at_most(int64_t ms, int64_t most)
{
    return ms < most ? ms : most;
}

void
backoff_failed(struct backoff *b, struct env *env, const struct retry_settings *retry,
               int64_t retry_after_ms)
{
    int64_t now_ns = env_monotonic_ns(env);
    /* Several calls that were pending together count as one failure. */
    bool waits = b->next_ns > now_ns && b->wait_ms > 0;
    if (!waits) {
        int64_t longer_ms = b->wait_ms == 0 ? retry->min_backoff_ms : (3 * b->wait_ms + 1) / 2;
        b->wait_ms = at_most(longer_ms, retry->max_backoff_ms);
    }
    uint32_t random = 0;
    if (env_random(env, &random, sizeof random) != OK) random = 0;
    int64_t wait_ms = b->wait_ms - (int64_t)(random % 256) * b->wait_ms / 1024;
    if (wait_ms < 1) wait_ms = 1;
    retry_after_ms = at_most(retry_after_ms, RETRY_AFTER_MAX_MS);
    if (retry_after_ms > wait_ms) wait_ms = retry_after_ms;
    int64_t next_ns = now_ns + wait_ms * NS_PER_MS;
    if (next_ns > b->next_ns) b->next_ns = next_ns;
}

void
backoff_ended(struct backoff *b)
{
    b->wait_ms = 0;
}
