/*
 * relay.c - see relay.h: opens, begins, steps and closes one destination.
 *
 *              relay_begin_run()             catch_up()
 *     RUN_NONE -----------------> RUN_ON <---------------> RUN_LEAVING
 *        ^                          |                           |
 *        +---- relay_run_again(), relay_end_run() --------------+
 *
 * A run consists of what works from one state on: writer, lanes, window, and the reader of log or
 * store. It can end, and another one begin with what the state says, as after a restart: so a
 * change from the log to the store is another state and another run.
 *
 * Invariants:
 * 1. A run has a writer, a window and open dead letters; in RUN_NONE there are none of these.
 * 2. A run ends only while no request is pending, since responses name attempts of its lanes.
 */
#include <assert.h>

#include "base/log.h"
#include "base/time_text.h"
#include "relay/relay_private.h"
#include "relay/state/directory.h"

enum {
    POLL_MS = 100, /* new samples are seen after at most this time */
    RUN_AGAIN_MS = 1000,
};

int64_t
relay_now_ns(const struct relay *r)
{
    return env_monotonic_ns(r->options.env);
}

uint64_t
relay_memory_limit(const struct relay *r)
{
    return atomic_load_explicit(&r->options.memory->limit_bytes, memory_order_relaxed);
}

/* --- runs ------------------------------------------------------------------------------------- */

static enum err
open_writer(struct relay *r, struct why *why)
{
    struct writer_options options = {
        .env = r->options.env,
        .memory = r->options.memory,
        .settings = r->settings,
        .dir = r->dir,
        .instance = r->options.instance,
        .saved = r->state.writer,
        .fills = r->state.fill_count,
        .again_pos = r->state.fill_count > 0 ? r->state.begin_pos : 0,
    };
    enum err e = writer_new(r->class, &options, &r->writer, why);
    if (e) return e;
    r->limits = *writer_limits_of(r->writer);
    r->bounds = call_bounds_of(&r->limits, r->settings);
    call_bounds_fit(&r->bounds, relay_memory_limit(r));
    return lanes_begin(r);
}

static void
relay_end_run(struct relay *r)
{
    if (r->writer != NULL) {
        lanes_end(r);
        writer_free(r->class, r->writer);
    }
    letters_replay_end(r);
    prepare_end(r);
    window_free(r->window);
    account_end(r);
    feed_end(r);
    dead_letters_free(r->letters);
    r->writer = NULL;
    r->window = NULL;
    r->letters = NULL;
    r->phase = RUN_NONE;
}

static enum err
relay_begin_run(struct relay *r, struct why *why)
{
    assert(r->phase == RUN_NONE);
    assert(r->writer == NULL); /* invariant 1 */
    assert(r->window == NULL);
    assert(r->letters == NULL);
    guard_follow(r->options.guard, &r->state);
    r->phase = RUN_ON;
    account_begin(r);
    enum err e = relay_open_letters(r, why);
    if (e == OK) e = open_writer(r, why);
    if (e == OK) e = feed_begin(r, why);
    if (e == OK) e = window_new(r->options.memory, r->feed.from, &r->window);
    if (e) relay_end_run(r);
    return e;
}

void
relay_run_again(struct relay *r)
{
    assert(relay_is_idle(r)); /* invariant 2 */
    relay_end_run(r);
    r->run_again_ns = 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Logs that a destination has no state: only this line shows that its directory was removed. */
static void
note_new(const struct relay *r)
{
    static const char *const words[] = {
        [START_NOW] = "now", [START_BEGINNING] = "beginning", [START_TIME] = "time"};
    char text[TIME_TEXT_BYTES];
    const struct relay_state *s = &r->state;
    bool at_time = r->settings->start == START_TIME;
    log_info(
        "relay: destination has no saved state, starting as a new one",
        KV("destination", r->settings->name),
        KV("begins", at_time ? time_print(r->settings->start_ms, text) : words[r->settings->start]),
        KV("log_position", s->fill.active ? s->fill.to_pos : s->cursor.pos),
        KV("from_store", s->fill.active));
}

enum err
relay_open(const struct relay_options *options, struct relay **ret_relay, struct why *why)
{
    struct relay *r = mem_new(options->memory, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a destination");
    r->options = *options;
    if (options->epoch_ns == 0) {
        r->options.epoch_ms = env_realtime_ms(options->env);
        r->options.epoch_ns = env_monotonic_ns(options->env);
    }
    r->settings = options->settings;
    r->class = options->writer;
    lock_init(&r->watch.lock, LOCK_RANK_RELAY);
    rates_init(&r->rates, r->settings, relay_now_ns(r));
    obstacle_init(&r->obstacle, options->env, r->settings->name);
    save_init(r);
    enum err e = path_in(r->dir, sizeof r->dir, options->dir, r->settings->name, why);
    bool is_new = e == OK && !r->settings->dry_run &&
                  relay_directory_look(options->env, r->dir, NULL) == ERR_MISSING;
    if (e == OK) e = relay_load_state(r, why);
    if (e == OK && is_new) note_new(r);
    if (e == OK) e = selection_new(r->settings, &r->selection, why);
    if (e == OK)
        e = http_calls_new(options->env, options->memory, options->user_agent, &r->http, why);
    if (e == OK) e = relay_begin_run(r, why);
    if (e) {
        relay_free(r);
        return e;
    }
    watch_begin(r); /* a status before the first step must not say that nothing is queued */
    *ret_relay = r;
    return OK;
}

void
relay_free(struct relay *r)
{
    if (r == NULL) return;
    http_calls_free(r->http);
    if (r->phase != RUN_NONE) relay_end_run(r);
    selection_free(r->selection);
    save_fini(r);
    lock_fini(&r->watch.lock);
    mem_free(r->options.memory, r, sizeof *r);
}

/* --- stepping --------------------------------------------------------------------------------- */

/* Begins the next run from the state. False if that failed, or is not due. */
static bool
run(struct relay *r)
{
    int64_t now_ns = relay_now_ns(r);
    struct why why = {""};
    if (now_ns < r->run_again_ns) return false;
    if (relay_begin_run(r, &why) == OK) return true;
    obstacle_failed(&r->obstacle, "resume", "state", why.text);
    r->run_again_ns = now_ns + RUN_AGAIN_MS * NS_PER_MS;
    return false;
}

static bool
read_on(struct relay *r)
{
    bool drops = r->state.drop_pos > r->state.cursor.pos; /* reads even while paused */
    bool may_read = (!relay_is_paused(r) || drops) && !r->stopping && r->phase == RUN_ON;
    bool more = may_read && relay_feed(r);
    if (may_read && !r->settings->dry_run) letters_replay_feed(r);
    feed_rest(r);
    account_close(r);
    return (!r->stopping && account_read_ahead(r)) || more;
}

/* The time until something is due, in milliseconds; new samples may come earlier. */
static int
idle_ms(struct relay *r)
{
    int64_t now_ns = relay_now_ns(r), next_ns = now_ns + POLL_MS * NS_PER_MS;
    int64_t lanes_ns = lanes_next_ns(r);
    if (lanes_ns < next_ns) next_ns = lanes_ns;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

int
relay_step(struct relay *r)
{
    watch_take_wish(r);
    if (r->phase == RUN_NONE && !run(r)) return RUN_AGAIN_MS;
    struct http_call_answer answer;
    while (http_calls_done(r->http, &answer)) {
        if (answer.context == r)
            prepare_answered(r, &answer);
        else
            lane_answered(r, answer.context, &answer);
    }
    bool more = read_on(r);
    r->lanes.age_ms = r->draining && !more ? 0 : r->bounds.age_ms;
    prepare_early(r);
    lanes_send(r);
    save_if_due(r);
    watch_publish(r);
    int wait_ms = more || r->lanes.has_room ? 0 : idle_ms(r);
    if (!r->stopping) catch_up(r);
    return r->phase == RUN_NONE ? 0 : wait_ms;
}

void
relay_wait(struct relay *r, int wait_ms)
{
    http_calls_poll(r->http, wait_ms);
}

void
relay_wake(struct relay *r)
{
    http_calls_wake(r->http);
}

void
relay_drain(struct relay *r)
{
    r->draining = true;
}

void
relay_stop(struct relay *r)
{
    r->stopping = true;
}

bool
relay_is_idle(const struct relay *r)
{
    return http_calls_count(r->http) == 0;
}

enum err
relay_close(struct relay *r, struct why *why)
{
    enum err e = OK, saved = OK;
    if (r->settings->dry_run) {
        const struct sent *sent = &r->sent;
        log_info("relay: dry run ended, it would have sent", KV("destination", r->settings->name),
                 KV("samples", sent->dry.samples), KV("requests", sent->calls),
                 KV("bytes", sent->bytes), KV("billed_units", sent->units),
                 KV("mapped", sent->dry.mapped), KV("unrepresentable", sent->dry.unrepresentable));
    }
    if (r->phase != RUN_NONE) {
        e = r->class->tend == NULL ? OK : r->class->tend(r->writer, true, why);
        saved = relay_save(r, e == OK ? why : NULL);
        /* The first save settles delivered letters; the second makes that durable. */
        if (saved == OK && r->saving.need != SAVE_IF_MOVED)
            saved = relay_save(r, e == OK ? why : NULL);
    }
    relay_free(r);
    return e ? e : saved;
}
