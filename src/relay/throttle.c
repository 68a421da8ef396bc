/* throttle.c - see throttle.h. */
#include "relay/throttle.h"

#include <assert.h>

#include "sys/env.h"

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
    if (t->answers == 0 && after_ns > JUDGED_S * NS_PER_S) {
        begin(t, now_ns); /* nobody asked before */
        after_ns = 0;
    }
    t->answers++;
    t->throttled += share;
    if (after_ns < JUDGED_S * NS_PER_S) return;
    if (t->answers < ANSWERS_ENOUGH && after_ns < JUDGED_MOST_S * NS_PER_S) return;
    double of = t->answers > ANSWERS_ENOUGH ? t->answers : ANSWERS_ENOUGH;
    t->allowed = t->allowed * (1 - t->throttled / of) + 1;
    if (t->allowed > t->most) t->allowed = t->most;
    begin(t, now_ns);
}

uint32_t
throttle_allows(const struct throttle *t)
{
    return (uint32_t)t->allowed;
}
