/*
 * obstacle.c - see obstacle.h. The diagram omits the prefix obstacle_ of the functions:
 *
 *            blocked()                             judged(), call_refused()
 *        +--------------------- NONE ------------------------------------+
 *        v                      ^  ^                                     v
 *     BLOCKED -- taken(), ------+  +-- taken() GOOD_PROBES times, -- REFUSING
 *        ^       prepared(),           part_taken(), mended()            |
 *        |       mended()                                                |
 *        +--------------------------- blocked() -------------------------+
 *
 * A destination that refuses most samples is sent no more of them, as they would all become dead
 * letters. "Most" is more than REFUSALS_MAX of the REFUSALS_WINDOW samples judged last. Where
 * responses do not say which samples of a call are refused, it is CALLS_REFUSED_MAX refused calls
 * in a row; there, one accepted call ends the state at once.
 *
 * `failing` is independent of the state: it says that the last attempt failed.
 *
 * Invariants:
 * 1. In each slot `refusals` is at most `judged`.
 * 2. The current slot is never full.
 */
#include "relay/lane/breaker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "relay/lane/advice.h"

enum { LOG_AGAIN_MS = 60 * 1000 };

void
obstacle_init(struct obstacle *o, struct env *env, const char *name)
{
    *o = (struct obstacle){.env = env, .name = name};
}

static void
note_error(struct obstacle *o, const char *reason, const char *text)
{
    snprintf(o->error, sizeof o->error, "%s: %s", reason, text);
    o->error_ms = env_realtime_ms(o->env);
    o->failed_total++;
}

void
obstacle_failed(struct obstacle *o, const char *what, const char *reason, const char *text)
{
    note_error(o, reason, text);
    o->failing = true;
    int64_t now_ns = env_monotonic_ns(o->env);
    if (o->logged_ns != 0 && now_ns - o->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    o->logged_ns = now_ns;
    log_warn("relay: operation failed, retrying", KV("destination", o->name), KV("operation", what),
             KV("reason", reason), KV("error", text));
}

/* Enters a state in which only probes are sent. */
static void
begin(struct obstacle *o, enum obstacle_state state, const char *reason, const char *text)
{
    note_error(o, reason == NULL ? "refused" : reason, text == NULL ? "" : text);
    o->state = state;
    o->probe_ns = env_monotonic_ns(o->env) + PROBE_MS * NS_PER_MS;
}

void
obstacle_blocked(struct obstacle *o, const char *reason, const char *text)
{
    bool news = o->state != OBSTACLE_BLOCKED;
    int64_t now_ns = env_monotonic_ns(o->env);
    begin(o, OBSTACLE_BLOCKED, reason, text);
    if (!news && now_ns - o->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    o->logged_ns = now_ns;
    const char *advice = advice_on(reason);
    if (advice[0] == 0)
        advice = "run `firekeep destinations test`, which tries one step after another";
    log_error("relay: delivery is blocked until this is fixed, keeping everything",
              KV("destination", o->name), KV("reason", reason), KV("answer", text),
              KV("advice", advice), KV("tried_again_s", PROBE_MS / 1000));
}

static void
forget_refused_calls(struct obstacle *o)
{
    o->calls_refused = 0;
    o->samples_refused = 0;
}

void
obstacle_mended(struct obstacle *o)
{
    o->state = OBSTACLE_NONE;
    memset(o->refusals, 0, sizeof o->refusals);
    memset(o->judged, 0, sizeof o->judged);
    forget_refused_calls(o);
}

static void
end(struct obstacle *o)
{
    if (o->state != OBSTACLE_NONE) {
        log_info("relay: delivery works again", KV("destination", o->name));
        obstacle_mended(o);
    }
    o->error[0] = 0;
}

void
obstacle_taken(struct obstacle *o)
{
    o->failing = false;
    o->delivered_ms = env_realtime_ms(o->env);
    bool takes_nothing = o->calls_refused > 0; /* as was assumed; this call disproves it */
    forget_refused_calls(o);
    if (o->state == OBSTACLE_REFUSING && !takes_nothing && ++o->good_probes < GOOD_PROBES) {
        o->probe_ns = env_monotonic_ns(o->env); /* one accepted sample says little of the next */
        return;
    }
    end(o);
}

void
obstacle_part_taken(struct obstacle *o)
{
    forget_refused_calls(o);
    if (o->state == OBSTACLE_REFUSING) end(o);
}

void
obstacle_prepared(struct obstacle *o)
{
    o->failing = false;
    o->error[0] = 0;
    if (o->state != OBSTACLE_BLOCKED) return;
    o->state = OBSTACLE_NONE;
    log_info("relay: delivery works again", KV("destination", o->name));
}

void
obstacle_judged(struct obstacle *o, uint32_t judged, uint32_t refused, const char *reason,
                const char *answer)
{
    /* Slots have one size, whatever a call holds: its refusals are spread over its samples. */
    enum { SLOT = REFUSALS_WINDOW / REFUSALS_SLOTS };
    assert(refused <= judged);
    while (judged > 0) {
        uint32_t *slot = &o->judged[o->refusal_slot], room = SLOT - *slot;
        assert(*slot < SLOT); /* invariant 2 */
        uint32_t part = judged < room ? judged : room;
        uint32_t bad = (uint32_t)((uint64_t)refused * part / judged);
        *slot += part;
        o->refusals[o->refusal_slot] += bad;
        assert(o->refusals[o->refusal_slot] <= *slot); /* invariant 1 */
        judged -= part;
        refused -= bad;
        if (part < room) continue;
        o->refusal_slot = (o->refusal_slot + 1) % REFUSALS_SLOTS;
        o->judged[o->refusal_slot] = o->refusals[o->refusal_slot] = 0;
    }
    if (refused > 0) o->good_probes = 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < REFUSALS_SLOTS; i++) {
        sum += o->refusals[i];
    }
    if (sum <= REFUSALS_MAX || o->state != OBSTACLE_NONE) return;
    begin(o, OBSTACLE_REFUSING, reason, answer);
    log_error("relay: destination refuses most samples, sending only one every 10 s until it "
              "accepts them",
              KV("destination", o->name), KV("refused", sum), KV("of_the_last", REFUSALS_WINDOW));
}

void
obstacle_call_refused(struct obstacle *o, uint32_t samples, const char *reason, const char *answer)
{
    o->calls_refused++;
    o->samples_refused += samples;
    if (o->calls_refused < CALLS_REFUSED_MAX || o->samples_refused < REFUSALS_WINDOW) return;
    if (o->state != OBSTACLE_NONE) return;
    begin(o, OBSTACLE_REFUSING, reason, answer);
    log_error("relay: every request is refused permanently, keeping unsent samples until the "
              "destination accepts one",
              KV("destination", o->name), KV("requests", o->calls_refused),
              KV("samples", o->samples_refused), KV("reason", reason), KV("answer", answer),
              KV("tried_again_s", PROBE_MS / 1000));
}

bool
obstacle_may_probe(struct obstacle *o, int64_t now_ns)
{
    if (o->state == OBSTACLE_NONE) return true;
    if (now_ns < o->probe_ns) return false;
    o->probe_ns = now_ns + PROBE_MS * NS_PER_MS;
    return true;
}
