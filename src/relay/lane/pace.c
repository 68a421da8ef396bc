/*
 * pace.c - see pace.h. The diagram of the breaker omits the prefix breaker_ of the functions:
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
 * Invariants of the breaker:
 * 1. In each slot `refusals` is at most `judged`.
 * 2. The current slot is never full.
 */
#include "relay/lane/pace.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

const char *
advice_on(const char *reason)
{
    static const struct {
        const char *reason, *advice;
    } known[] = {
        {"resolve", "check the host name in the settings and the DNS resolver of this machine"},
        {"connect",
         "check the address and port, that the server runs, and the firewalls in between"},
        {"proxy", "check the user and password of proxy_url, and what the proxy allows"},
        {"timeout", "check the address and port and the firewalls in between, or raise `timeout`"},
        {"tls", "check tls_config.ca_file and tls_config.server_name, and that the server uses TLS "
                "at this address"},
        {"bad_url", "check the address in the settings"},
        {"http_401", "check user, password or token"},
        {"http_403", "check the token or password and its permissions"},
        {"http_404", "check the path and the names in the settings, or create what is missing"},
        {"http_405", "check the path in the settings"},
        {"http_407", "check the user and password of proxy_url"},
        {"credentials", "check the keys, the profile or the role: docs/destinations/aws.md"},
        {"not_found", "create it, or check its name, the region and the account"},
        {"clock", "set this machine's clock"},
        {"region", "check the region"},
        {"throttled", "retry; if it fails again, request a higher limit"},
        {"unavailable", "retry later"},
        {"configuration", "fix the settings"},
        {"directory", "create it, or make it writable for the user that runs the server"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(reason, known[i].reason) == 0) return known[i].advice;
    return "";
}

enum { SAMPLE_BYTES = 512, COPIES = 4 };

struct call_bounds
call_bounds_of(const struct writer_limits *limits, const struct destination_settings *settings)
{
    const struct batch_settings *batch = &settings->batch;
    struct call_bounds b = {
        .samples = batch->max_samples != 0 ? batch->max_samples : limits->samples,
        .bytes = batch->max_bytes != 0 ? batch->max_bytes : limits->bytes,
        .age_ms = limits->max_age_ms != 0 ? limits->max_age_ms : batch->max_age_ms,
        .lanes = settings->concurrency != 0 ? settings->concurrency : limits->concurrency,
    };
    if (b.samples > limits->samples_max) b.samples = limits->samples_max;
    if (b.bytes > limits->bytes_max) b.bytes = limits->bytes_max;
    if (b.lanes > LANES_MAX) b.lanes = LANES_MAX;
    if (limits->one_lane) b.lanes = 1;
    return b;
}

/* A lane has two calls (queued ones have a limit of their own), and each exists twice for a moment:
 * as it was filled, and packed. The other half of the memory is for chunks, and for the positions
 * of pending items. */
void
call_bounds_fit(struct call_bounds *b, uint64_t memory_bytes)
{
    if (memory_bytes == 0) return;
    uint64_t call_bytes = (uint64_t)b->samples * SAMPLE_BYTES, room = memory_bytes / 2 / COPIES;
    if (call_bytes > b->bytes) call_bytes = b->bytes;
    if (call_bytes <= room / b->lanes) return;
    b->lanes = call_bytes <= room ? (uint32_t)(room / call_bytes) : 1;
    if (call_bytes <= room) return;
    b->bytes = room > SAMPLE_BYTES ? room : SAMPLE_BYTES;
    b->samples = (uint32_t)(b->bytes / SAMPLE_BYTES);
}

void
rates_init(struct rates *r, const struct destination_settings *settings, int64_t now_ns)
{
    *r = (struct rates){
        .samples.rate = settings->max_rate_samples,
        .bytes.rate = settings->max_rate_bytes,
        .filled.rate = settings->fill_rate_samples,
        .at_ns = now_ns,
    };
}

static bool
refill(struct token_bucket *bucket, double seconds)
{
    bucket->tokens += (double)bucket->rate * seconds;
    if (bucket->tokens > (double)bucket->rate) bucket->tokens = (double)bucket->rate;
    return bucket->rate == 0 || bucket->tokens >= 0;
}

bool
rates_allow(struct rates *r, bool filling, int64_t now_ns)
{
    double seconds = (double)(now_ns - r->at_ns) / (double)NS_PER_S;
    r->at_ns = now_ns;
    bool samples = refill(&r->samples, seconds), bytes = refill(&r->bytes, seconds);
    bool filled = refill(&r->filled, seconds) || !filling;
    return samples && bytes && filled;
}

void
rates_note_sent(struct rates *r, bool filling, uint32_t samples, uint64_t bytes)
{
    r->samples.tokens -= samples;
    r->bytes.tokens -= (double)bytes;
    if (filling) r->filled.tokens -= samples;
}

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
    assert(t->allowed >= 1); /* invariant 3 of struct throttle */
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
    assert(!admits || t->works || pending == 0);   /* invariant 1 of struct throttle */
    assert(!admits || now_ns >= t->pause.next_ns); /* invariant 2 of struct throttle */
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

/*
 * Invariant: `next_ns` never moves back, so an answer to an older call cannot shorten a pause.
 *
 * Pauses grow by half because destinations fail now and then more often than for good: while half
 * of all calls fail, a search for refused samples that takes 24 answers waits 4.2 s on average and
 * 9 s in one case of 20. With pauses that double it waited 8.9 s and 30 s. The price is 12 tries
 * instead of 8 until the pause is 10 s.
 */

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
        assert(*slot < SLOT); /* invariant 2 of the breaker */
        uint32_t part = judged < room ? judged : room;
        uint32_t bad = (uint32_t)((uint64_t)refused * part / judged);
        *slot += part;
        b->refusals[b->refusal_slot] += bad;
        assert(b->refusals[b->refusal_slot] <= *slot); /* invariant 1 of the breaker */
        judged -= part;
        refused -= bad;
        if (part < room) continue;
        b->refusal_slot = (b->refusal_slot + 1) % REFUSALS_SLOTS;
        b->judged[b->refusal_slot] = b->refusals[b->refusal_slot] = 0;
    }
    if (refused > 0) b->good_probes = 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < REFUSALS_SLOTS; i++)
        sum += b->refusals[i];
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
