/*
 * breaker.c - see breaker.h. The diagram omits the prefix breaker_ of the functions:
 *
 *            blocked()                   judged(), call_refused(), unproven()
 *        +--------------------- CLOSED ------------------------------------+
 *        v                      ^    ^                                     v
 *     BLOCKED -- accepted(), ---+    +-- accepted() GOOD_PROBES   -- REFUSING
 *        ^       prepared(),             times, part_accepted(),           |
 *        |       reset()                 reset()                           |
 *        +---------------------------- blocked() --------------------------+
 *
 * A destination that refuses most samples is sent no more of them, as they would all become dead
 * letters. "Most" is more than REFUSALS_MAX of the REFUSALS_WINDOW samples judged last. If
 * responses do not say which samples of a call are refused, it is CALLS_REFUSED_MAX refused calls
 * in a row; there, one accepted call closes the breaker at once. The same applies if the first
 * sample is refused by a destination whose check was refused, too (unproven()).
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
breaker_init(struct breaker *b, struct env *env, const char *name)
{
    *b = (struct breaker){.env = env, .name = name};
}

static void
note_error(struct breaker *b, const char *reason, const char *text)
{
    snprintf(b->error, sizeof b->error, "%s: %s", reason, text);
    b->error_ms = env_realtime_ms(b->env);
    b->failed_total++;
}

void
breaker_failed(struct breaker *b, const char *what, const char *reason, const char *text)
{
    note_error(b, reason, text);
    b->failing = true;
    int64_t now_ns = env_monotonic_ns(b->env);
    if (b->logged_ns != 0 && now_ns - b->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    b->logged_ns = now_ns;
    log_warn("relay: operation failed, retrying", KV("destination", b->name), KV("operation", what),
             KV("reason", reason), KV("error", text));
}

/* Opens the breaker: only probes are sent. */
static void
trip(struct breaker *b, enum breaker_state state, const char *reason, const char *text)
{
    note_error(b, reason == NULL ? "refused" : reason, text == NULL ? "" : text);
    b->state = state;
    b->probe_ns = env_monotonic_ns(b->env) + PROBE_MS * NS_PER_MS;
}

void
breaker_blocked(struct breaker *b, const char *reason, const char *text)
{
    bool is_new = b->state != BREAKER_BLOCKED;
    int64_t now_ns = env_monotonic_ns(b->env);
    trip(b, BREAKER_BLOCKED, reason, text);
    if (!is_new && now_ns - b->logged_ns < LOG_AGAIN_MS * NS_PER_MS) return;
    b->logged_ns = now_ns;
    const char *advice = advice_on(reason);
    if (advice[0] == 0)
        advice = "run `firekeep destinations test`, which tries one step after another";
    log_error("relay: delivery is blocked until this is fixed, keeping everything",
              KV("destination", b->name), KV("reason", reason), KV("answer", text),
              KV("advice", advice), KV("tried_again_s", PROBE_MS / 1000));
}

static void
forget_refused_calls(struct breaker *b)
{
    b->calls_refused = 0;
    b->samples_refused = 0;
}

void
breaker_reset(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->is_proven = true;
    memset(b->refusals, 0, sizeof b->refusals);
    memset(b->judged, 0, sizeof b->judged);
    forget_refused_calls(b);
}

static void
close_breaker(struct breaker *b)
{
    if (b->state != BREAKER_CLOSED) {
        log_info("relay: delivery works again", KV("destination", b->name));
        breaker_reset(b);
    }
    b->error[0] = 0;
}

void
breaker_accepted(struct breaker *b)
{
    b->failing = false;
    b->delivered_ms = env_realtime_ms(b->env);
    /* It was assumed to accept nothing, which this call disproves. */
    bool takes_nothing = b->calls_refused > 0 || breaker_doubts(b);
    b->is_proven = true;
    forget_refused_calls(b);
    if (b->state == BREAKER_REFUSING && !takes_nothing && ++b->good_probes < GOOD_PROBES) {
        b->probe_ns = env_monotonic_ns(b->env); /* one accepted sample says little of the next */
        return;
    }
    close_breaker(b);
}

void
breaker_part_accepted(struct breaker *b)
{
    forget_refused_calls(b);
    b->is_proven = true;
    if (b->state == BREAKER_REFUSING) close_breaker(b);
}

void
breaker_doubt(struct breaker *b)
{
    b->is_doubted = true;
}

void
breaker_unproven(struct breaker *b, const char *reason, const char *answer)
{
    bool is_new = b->state != BREAKER_REFUSING;
    assert(breaker_doubts(b));
    trip(b, BREAKER_REFUSING, reason, answer);
    if (!is_new) return;
    log_error("relay: destination refuses the first samples like the empty write at the start, "
              "keeping everything until it accepts a sample",
              KV("destination", b->name), KV("reason", reason), KV("answer", answer),
              KV("tried_again_s", PROBE_MS / 1000));
}

void
breaker_prepared(struct breaker *b)
{
    b->failing = false;
    b->error[0] = 0;
    if (b->state != BREAKER_BLOCKED) return;
    b->state = BREAKER_CLOSED;
    log_info("relay: delivery works again", KV("destination", b->name));
}

void
breaker_judged(struct breaker *b, uint32_t judged, uint32_t refused, const char *reason,
               const char *answer)
{
    /* Slots have one size, whatever a call holds: its refusals are spread over its samples. */
    enum { SLOT = REFUSALS_WINDOW / REFUSALS_SLOTS };
    assert(refused <= judged);
    while (judged > 0) {
        uint32_t *slot = &b->judged[b->refusal_slot], room = SLOT - *slot;
        assert(*slot < SLOT); /* invariant 2 */
        uint32_t part = judged < room ? judged : room;
        uint32_t bad = (uint32_t)((uint64_t)refused * part / judged);
        *slot += part;
        b->refusals[b->refusal_slot] += bad;
        assert(b->refusals[b->refusal_slot] <= *slot); /* invariant 1 */
        judged -= part;
        refused -= bad;
        if (part < room) continue;
        b->refusal_slot = (b->refusal_slot + 1) % REFUSALS_SLOTS;
        b->judged[b->refusal_slot] = b->refusals[b->refusal_slot] = 0;
    }
    if (refused > 0) b->good_probes = 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < REFUSALS_SLOTS; i++) {
        sum += b->refusals[i];
    }
    if (sum <= REFUSALS_MAX || b->state != BREAKER_CLOSED || b->senders_wait) return;
    trip(b, BREAKER_REFUSING, reason, answer);
    log_error("relay: destination refuses most samples, sending only one every 10 s until it "
              "accepts them",
              KV("destination", b->name), KV("refused", sum), KV("of_the_last", REFUSALS_WINDOW));
}

void
breaker_call_refused(struct breaker *b, uint32_t samples, const char *reason, const char *answer)
{
    b->calls_refused++;
    b->samples_refused += samples;
    if (b->calls_refused < CALLS_REFUSED_MAX || b->samples_refused < REFUSALS_WINDOW) return;
    if (b->state != BREAKER_CLOSED || b->senders_wait) return;
    trip(b, BREAKER_REFUSING, reason, answer);
    log_error("relay: every request is refused permanently, keeping unsent samples until the "
              "destination accepts one",
              KV("destination", b->name), KV("requests", b->calls_refused),
              KV("samples", b->samples_refused), KV("reason", reason), KV("answer", answer),
              KV("tried_again_s", PROBE_MS / 1000));
}

bool
breaker_may_send(struct breaker *b, int64_t now_ns)
{
    if (b->state == BREAKER_CLOSED) return true;
    if (now_ns < b->probe_ns) return false;
    b->probe_ns = now_ns + PROBE_MS * NS_PER_MS;
    return true;
}
