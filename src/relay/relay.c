/*
 * relay.c - see relay.h: opens, begins, steps and closes one destination.
 *
 *              relay_begin_run()             catch_up()
 *     RUN_NONE -----------------> RUN_ON <---------------> RUN_LEAVING
 *        ^                          |                           |
 *        +---- relay_run_again(), relay_end_run() --------------+
 *
 * A run has the objects that are made from a state: writer, lanes, window, and the reader of log or
 * store. It can end, and another run begins from the state, as after a restart: so a change from
 * the log to the store is another state and another run.
 *
 * Invariants:
 * 1. A run has a writer, a window and open dead letters; in RUN_NONE there are none of these.
 * 2. A run ends only while no request is pending, since responses name attempts of its lanes.
 */
#include <assert.h>

#include "base/log.h"
#include "base/text/time_text.h"
#include "relay/relay_private.h"
#include "relay/state/directory.h"
#include "relay/state/guard.h"

enum {
    POLL_MS = 100, /* new samples are seen after at most this time */
    RUN_AGAIN_MS = 1000,
};

/* --- runs ------------------------------------------------------------------------------------- */

static enum err
open_writer(struct relay *r, struct why *why)
{
    const struct relay_context *c = &r->context;
    struct writer_options options = {
        .env = c->options.env,
        .memory = c->options.memory,
        .settings = c->settings,
        .dir = c->dir,
        .instance = c->options.instance,
        .saved = r->state.writer,
        .fills = r->state.fill_count,
        .again_pos = r->state.fill_count > 0 ? r->state.begin_pos : 0,
    };
    enum err e = writer_new(c->class, &options, &r->writer, why);
    if (e) return e;
    r->limits = *writer_limits_of(r->writer);
    prepare_begin(&r->preparation, r->writer, &r->limits);
    return lanes_begin(&r->lanes, r->writer, &r->limits);
}

static enum err
open_feed(struct relay *r, struct why *why)
{
    const struct relay_state *s = &r->state;
    struct feed_start start = {
        .cursor = s->cursor,
        .log_count = s->log_count,
        .from_store = s->fill.active,
        .stretch = {s->fill.from_pos, s->fill.to_pos},
        .place = s->fill.place,
        .begin_ms = s->begin_ms,
        .begin_pos = s->begin_pos,
    };
    enum err e = feed_begin(&r->feed, &start, &r->limits, why);
    if (e || r->feed.state != FEED_OLDEST) return e;
    r->state.cursor = r->feed.from; /* the log knows its oldest record */
    window_skip(r->window, r->feed.from);
    return OK;
}

static void
relay_end_run(struct relay *r)
{
    if (relay_is_direct(r)) direct_end(r);
    lanes_end(&r->lanes);
    prepare_end(&r->preparation);
    if (r->writer != NULL) writer_free(r->context.class, r->writer);
    settle_end(&r->settling);
    watch_letters_lost(r);
    letters_end(&r->letters);
    window_free(r->window);
    account_end(&r->account);
    feed_left_out(&r->feed, &r->state.left_out);
    feed_end(&r->feed);
    r->writer = NULL;
    r->window = NULL;
    r->phase = RUN_NONE;
}

/* A run without a log has no window and no letters. It begins once, and ends with the relay. */
static enum err
begin_direct(struct relay *r, struct why *why)
{
    r->phase = RUN_ON;
    enum err e = open_writer(r, why);
    if (e == OK) e = direct_begin(r, why);
    if (e) relay_end_run(r);
    return e;
}

static enum err
relay_begin_run(struct relay *r, struct why *why)
{
    assert(r->phase == RUN_NONE);
    assert(r->writer == NULL); /* invariant 1 */
    assert(r->window == NULL);
    assert(!r->letters.is_open);
    if (relay_is_direct(r)) return begin_direct(r, why);
    guard_follow(r->context.options.guard, &r->state);
    r->phase = RUN_ON;
    enum err e = window_new(r->context.options.memory, r->state.cursor, &r->window);
    account_begin(&r->account, &r->state, r->window);
    settle_begin(&r->settling, r->window);
    if (e == OK) e = letters_begin(&r->letters, &r->state, why);
    if (e == OK) e = open_writer(r, why);
    if (e == OK) e = open_feed(r, why);
    if (e) relay_end_run(r);
    return e;
}

void
relay_leave_run(struct relay *r, bool leaves)
{
    assert(r->phase != RUN_NONE);
    r->phase = leaves ? RUN_LEAVING : RUN_ON;
}

void
relay_run_again(struct relay *r)
{
    assert(relay_is_idle(r)); /* invariant 2 */
    relay_end_run(r);
    r->run_again_ns = 0;
}

bool
relay_is_paused(const struct relay *r)
{
    bool as_set = r->state.wish == RELAY_WISH_NONE;
    return as_set ? r->context.settings->paused : r->state.wish == RELAY_WISH_PAUSE;
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
    bool at_time = r->context.settings->start == START_TIME;
    log_info("relay: destination has no saved state, starting as a new one",
             KV("destination", r->context.settings->name),
             KV("begins", at_time ? time_print(r->context.settings->start_ms, text)
                                  : words[r->context.settings->start]),
             KV("log_position", s->fill.active ? s->fill.to_pos : s->cursor.pos),
             KV("from_store", s->fill.active));
}

/* Gives each part what it uses of others. */
static void
join_parts(struct relay *r)
{
    const struct relay_context *c = &r->context;
    saving_init(&r->saving, c);
    watch_init(&r->watch);
    rates_init(&r->rates, c->settings, relay_now_ns(c));
    breaker_init(&r->breaker, c->options.env, c->settings->name);
    feed_init(&r->feed, c);
    account_init(&r->account, c, &r->feed, &r->saving);
    letters_init(&r->letters, c, &r->account, &r->saving);
    r->settling = (struct settling){
        .context = c,
        .feed = &r->feed,
        .letters = &r->letters,
        .saving = &r->saving,
        .breaker = &r->breaker,
        .sent = &r->sent,
    };
    if (relay_is_direct(r)) {
        queue_reader_init(&r->direct.reader, c);
        r->settling.queue = &r->direct.reader;
        r->breaker.senders_wait = true;
    }
    prepare_init(&r->preparation, c, &r->breaker, &r->lanes.throttle);
    lanes_init(&r->lanes, &r->settling, &r->preparation, &r->rates);
}

enum err
relay_open(const struct relay_options *options, struct relay **ret_relay, struct why *why)
{
    struct relay *r = mem_new(options->memory, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a destination");
    struct relay_context *c = &r->context;
    const struct destination_settings *settings = options->settings;
    c->options = *options;
    if (options->epoch_ns == 0) {
        c->options.epoch_ms = env_realtime_ms(options->env);
        c->options.epoch_ns = env_monotonic_ns(options->env);
    }
    c->settings = settings;
    c->class = options->writer;
    join_parts(r);
    enum err e = path_in(c->dir, sizeof c->dir, options->dir, settings->name, why);
    bool is_new = e == OK && !settings->dry_run && !relay_is_direct(r) &&
                  relay_directory_look(options->env, c->dir, NULL) == ERR_MISSING;
    if (e == OK && !relay_is_direct(r)) e = relay_load_state(r, why);
    if (e == OK && is_new) note_new(r);
    if (e == OK) e = selection_new(settings, &c->selection, why);
    if (e == OK)
        e = http_calls_new(options->env, options->memory, options->user_agent, &c->http, why);
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
    if (relay_is_direct(r) && r->phase != RUN_NONE) relay_end_run(r); /* while it can be woken */
    http_calls_free(r->context.http);
    if (r->phase != RUN_NONE) relay_end_run(r);
    selection_free(r->context.selection);
    saving_fini(&r->saving);
    watch_fini(&r->watch);
    mem_free(r->context.options.memory, r, sizeof *r);
}

/* --- stepping --------------------------------------------------------------------------------- */

/* Begins the next run from the state. False if that failed, or is not due. */
static bool
run(struct relay *r)
{
    int64_t now_ns = relay_now_ns(&r->context);
    struct why why = {""};
    if (now_ns < r->run_again_ns) return false;
    if (relay_begin_run(r, &why) == OK) return true;
    breaker_failed(&r->breaker, "resume", "state", why.text);
    r->run_again_ns = now_ns + RUN_AGAIN_MS * NS_PER_MS;
    return false;
}

static bool
read_on(struct relay *r)
{
    bool drops = r->state.drop_pos > r->state.cursor.pos; /* reads even while paused */
    bool may_read = (!relay_is_paused(r) || drops) && !r->stopping && r->phase == RUN_ON;
    bool more = may_read && pump_items(r);
    if (may_read && !r->context.settings->dry_run) pump_letters(r);
    feed_rest(&r->feed);
    account_close(&r->account, &r->state);
    bool paused = relay_is_paused(r);
    return (!r->stopping && account_read_ahead(&r->account, &r->state, paused)) || more;
}

int
relay_idle_ms(const struct relay *r)
{
    int64_t now_ns = relay_now_ns(&r->context), next_ns = now_ns + POLL_MS * NS_PER_MS;
    int64_t lanes_ns = lanes_next_ns(&r->lanes);
    if (lanes_ns < next_ns) next_ns = lanes_ns;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

int
relay_step(struct relay *r)
{
    if (relay_is_direct(r)) return direct_step(r);
    watch_take_wish(r);
    if (r->phase == RUN_NONE && !run(r)) return RUN_AGAIN_MS;
    struct http_call_answer answer;
    prepare_hold(&r->preparation, relay_is_paused(r) || r->stopping || r->phase == RUN_LEAVING);
    while (http_calls_done(r->context.http, &answer)) {
        if (answer.context == &r->preparation)
            prepare_answered(&r->preparation, &answer);
        else
            lanes_answered(&r->lanes, answer.context, &answer);
    }
    bool more = read_on(r);
    lanes_hurry(&r->lanes, r->draining && !more);
    if (!r->preparation.looked) prepare_early(&r->preparation, lanes_busy(&r->lanes));
    lanes_send(&r->lanes);
    save_if_due(r);
    watch_publish(r);
    int wait_ms = more || r->lanes.has_room ? 0 : relay_idle_ms(r);
    if (!r->stopping) catch_up(r);
    return r->phase == RUN_NONE ? 0 : wait_ms;
}

void
relay_wait(struct relay *r, int wait_ms)
{
    if (relay_is_direct(r))
        direct_wait(r, wait_ms);
    else
        http_calls_poll(r->context.http, wait_ms);
}

void
relay_wake(struct relay *r)
{
    http_calls_wake(r->context.http);
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
    return http_calls_count(r->context.http) == 0;
}

enum err
relay_close(struct relay *r, struct why *why)
{
    enum err e = OK, saved = OK;
    if (relay_is_direct(r)) {
        relay_free(r);
        return OK;
    }
    if (r->context.settings->dry_run) {
        const struct sent *sent = &r->sent;
        log_info("relay: dry run ended, it would have sent",
                 KV("destination", r->context.settings->name), KV("samples", sent->dry.samples),
                 KV("requests", sent->calls), KV("bytes", sent->bytes),
                 KV("billed_units", sent->units), KV("mapped", sent->dry.mapped),
                 KV("unrepresentable", sent->dry.unrepresentable));
    }
    if (r->phase != RUN_NONE) {
        watch_take_wish(r); /* one that came after the last step */
        watch_take_letters(r);
        e = r->context.class->tend == NULL ? OK : r->context.class->tend(r->writer, true, why);
        saved = relay_save(r, e == OK ? why : NULL);
    }
    relay_free(r);
    return e ? e : saved;
}
