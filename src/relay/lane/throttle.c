/* throttle.c - see throttle.h. */
#include "relay/lane/throttle.h"

#include <assert.h>

enum { JUDGED_S = 1, JUDGED_MOST_S = 10, ANSWERS_ENOUGH = 10 };

static void
begin(struct throttle *t, int64_t now_ns)
{
    t->answers = t->throttled = 0;
    t->began_ns = now_ns;
}

void
throttle_init(struct throttle *t, uint32_t most, int64_t now_ns)
{
    assert(most > 0);
    *t = (struct throttle){.allowed = most, .most = most};
    begin(t, now_ns);
}

void
throttle_answered(struct throttle *t, int64_t now_ns, double share)
{
    int64_t after_ns = now_ns - t->began_ns;
    assert(share >= 0);
    assert(share <= 1);
    if (t->answers == 0 && after_ns > JUDGED_S * NS_PER_S) {
        begin(t, now_ns); /* the idle time before this answer does not count */
        after_ns = 0;
    }
    t->answers++;
    t->throttled += share;
    if (after_ns < JUDGED_S * NS_PER_S) return;
    if (t->answers < ANSWERS_ENOUGH && after_ns < JUDGED_MOST_S * NS_PER_S) return;
    double of = t->answers > ANSWERS_ENOUGH ? t->answers : ANSWERS_ENOUGH;
    t->allowed = t->allowed * (1 - t->throttled / of) + 1;
    if (t->allowed > t->most) t->allowed = t->most;
    assert(t->throttled <= t->answers);
    assert(t->allowed >= 1); /* invariant 3 */
    begin(t, now_ns);
}

uint32_t
throttle_allows(const struct throttle *t)
{
    return t->works ? (uint32_t)t->allowed : 1;
}

bool
throttle_admits(const struct throttle *t, uint32_t pending, int64_t now_ns)
{
    bool admits = pending < throttle_allows(t) && now_ns >= t->pause.next_ns;
    assert(!admits || t->works || pending == 0);   /* invariant 1 */
    assert(!admits || now_ns >= t->pause.next_ns); /* invariant 2 */
    return admits;
}

void
throttle_failed(struct throttle *t, struct env *env, const struct retry_settings *retry,
                int64_t retry_after_ms)
{
    t->works = false;
    backoff_failed(&t->pause, env, retry, retry_after_ms);
}

void
throttle_doubt(struct throttle *t)
{
    t->works = false;
}

void
throttle_works(struct throttle *t)
{
    t->works = true;
    backoff_ended(&t->pause);
}
