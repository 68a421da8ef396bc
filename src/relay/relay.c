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
#include "relay/relay_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text/time_text.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"

/* --- states ----------------------------------------------------------------------------------- */

/*
 * Makes settled items durable: builds the next state from what the parts know, writes it, and
 * replaces r->state by it. At most once per second, but at once if a lane waits for it.
 *
 * r->state is durable, except for what was changed since and the next state will say (see
 * relay_private.h). In a dry run it is never written.
 *
 * Invariants of states:
 * 1. During a run the cursor does not move back.
 * 2. The fates of items after the cursor are those of the window without those before the cursor.
 */

/* Builds the next state; its bytes are in next_writer and next_place. */
static enum err
next_state(struct relay *r, struct relay_state *ret_state, struct why *why)
{
    struct fates before;
    struct relay_state *s = ret_state;
    account_found(&r->account, &r->state);
    *s = r->state;
    s->cursor = window_saved_cursor(r->window, &before);
    assert(s->cursor.pos >= r->state.cursor.pos); /* invariant 1 of states */
    s->fates = r->account.base;
    fates_add(&s->fates, &before);
    const struct fates *all = &r->window->all;
    memset(&s->ahead, 0, sizeof s->ahead);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->taken[kind] = account_taken_before(&r->account, kind);
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            assert(before.count[kind][fate] <= all->count[kind][fate]); /* invariant 2 of states */
            if (!fate_is_term(fate)) continue;
            s->ahead.count[kind][fate] = all->count[kind][fate] - before.count[kind][fate];
        }
    }
    account_expected(&r->account, &before, &s->expected);
    account_remember(&r->account, s);
    if (feed_reads_log(&r->feed)) { /* else the count is still that of the cursor */
        s->log_count = feed_read_count(&r->feed);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
            s->log_count.of[kind] -= r->window->held[kind];
    }
    /* Notes what the store has lost, while the log is followed and nothing of it is expected. */
    const struct relay_options *o = &r->context.options;
    bool follows = !feed_reads_store(&r->feed) && o->tsdb != NULL && !r->account.ahead.lasting;
    bool waits = r->feed.hole_pos > 0 || r->feed.reload_pos > 0;
    if (follows) tsdb_gone(o->tsdb, &s->gone, &s->gone_exemplars);
    if (follows && (waits || feed_read_pos(&r->feed) < wal_end(o->wal))) {
        /* Items of the log that were not read may be among those that the store lost. */
        s->gone.damaged = r->state.gone.damaged;
        s->gone_exemplars.damaged = r->state.gone_exemplars.damaged;
    }
    buf_clear(&r->saving.next_letters);
    letter_list_put(&r->letters.list, &r->saving.next_letters);
    s->letters = buf_bytes(&r->saving.next_letters);
    enum err e = buf_error(&r->saving.next_letters);
    if (e) return why_set(why, e, "not enough memory for the state");
    e = saving_ask_writer(&r->saving, r->writer, why);
    s->writer = buf_bytes(&r->saving.next_writer);
    if (e || !feed_reads_store(&r->feed)) return e;
    return saving_ask_place(&r->saving, &r->feed, s, why);
}

enum err
relay_save(struct relay *r, struct why *why)
{
    const struct writer_class *class = r->context.class;
    struct relay_state state;
    struct saving *saving = &r->saving;
    assert(r->phase != RUN_NONE);
    enum err e = letters_write(&r->letters, window_saved_cursor(r->window, NULL), why);
    if (e == OK) e = next_state(r, &state, why);
    if (e == OK) shown_keep(&state, &r->state);
    if (e == OK) e = saving_put(saving, &state, why);
    if (e) return e;
    bool lanes_wait = saving->need == SAVE_NOW;
    r->state = state;
    saving_done(saving, &r->state);
    letters_saved(&r->letters);
    watch_letters_saved(r);
    account_saved(&r->account, &r->state);
    /* Nothing before the cursor is needed any more. */
    guard_follow(r->context.options.guard, &r->state);
    feed_forget(&r->feed, r->state.cursor.pos, window_segment(r->window));
    e = class->saved == NULL ? OK : class->saved(r->writer, why);
    if (e == OK)
        lanes_saved(&r->lanes);
    else if (lanes_wait)
        save_want(saving, SAVE_NOW);
    return e;
}

/*
 * Makes removed directories again. Without its state a destination would begin as a new one at the
 * next start, and forget what is queued for it. A directory without a state is safe: it keeps the
 * destination closed.
 */
static enum err
make_dirs_again(struct relay *r, struct why *why)
{
    struct env *env = r->context.options.env;
    char parent[256];
    const char *slash = strrchr(r->context.options.dir, '/');
    snprintf(parent, sizeof parent, "%.*s",
             slash == NULL ? 1 : (int)(slash - r->context.options.dir),
             slash == NULL ? "." : r->context.options.dir);
    log_error(
        "relay: the state of a destination was removed while the server runs, writing it again",
        KV("destination", r->context.settings->name));
    enum err e = env_mkdir(env, r->context.options.dir, why);
    if (e == OK) e = env_syncdir(env, parent, why);
    if (e == OK) e = env_mkdir(env, r->context.dir, why);
    return e ? e : env_syncdir(env, r->context.options.dir, why);
}

/* Saves the state, if a second has passed or a lane waits, and something has changed. */
static void
save_if_due(struct relay *r)
{
    const struct relay_context *c = &r->context;
    struct why why = {""}, letters_why = {""};
    /* Moves the cursor past records of the log that have nothing for this destination. */
    uint64_t pos = feed_given_pos(&r->feed);
    if (r->window->first == r->window->next && pos > r->state.cursor.pos)
        window_skip(r->window, (struct relay_cursor){.pos = pos});
    if (!saving_is_due(&r->saving)) return;
    watch_take_letters(r);
    enum err e = letters_tend(&r->letters, &letters_why);
    if (e) breaker_failed(&r->breaker, "update dead letters", "dead_letters", letters_why.text);
    e = c->class->tend == NULL ? OK : c->class->tend(r->writer, false, &why);
    if (e == OK) e = saving_ask_writer(&r->saving, r->writer, &why);
    bool removed = !c->settings->dry_run && relay_state_is_missing(c->options.env, c->dir);
    if (e == OK && removed) e = make_dirs_again(r, &why);
    if (e == OK) account_found(&r->account, &r->state);
    struct relay_cursor cursor = window_saved_cursor(r->window, NULL);
    uint64_t counted[ITEM_KIND_COUNT];
    account_counted(&r->account, &r->state, counted);
    bool has_news = cursor.pos != r->state.cursor.pos || cursor.index != r->state.cursor.index ||
                    memcmp(counted, r->state.counted, sizeof counted) != 0 ||
                    saving_has_news(&r->saving);
    if (e == OK && (removed || has_news)) e = relay_save(r, &why);
    if (e) breaker_failed(&r->breaker, "save the state", "state", why.text);
}

/* --- moving items ----------------------------------------------------------------------------- */

/*
 * Moves items from the feed, and dead letters that are sent again, into the lanes: record by
 * record, item by item, until a lane has no room. The item that had no room is the first one of the
 * next call, so that the order is kept.
 *
 * Invariants of moving items:
 * 1. An item is passed in the feed exactly when it is in a call or settled in the window.
 */

enum {
    RELAY_ITEMS_AT_ONCE = 32 * 1024, /* items of one call, so that responses do not wait */
    LETTERS_AT_ONCE = 4096,
};

/* --- records ---------------------------------------------------------------------------------- */

/*
 * Handles a hole of the log before the record that is read next, or was read. That record is opened
 * only after the store has given the items of the hole (catch_up.c), or they were counted as lost.
 * False if it has to wait.
 */
static bool
pass_hole(struct relay *r)
{
    struct feed *f = &r->feed;
    if (f->hole.begin_pos == 0) return true;
    if (feed_wait_at_hole(f)) return false;
    if (!f->is_read) return true; /* the next record shows what is lost */
    /* Without a store it does not matter whether an item before the hole is open: invariant 6 of
     * account.c. */
    window_saved_cursor(r->window, NULL); /* removes settled records */
    bool waits = r->context.options.tsdb != NULL && r->window->first < r->window->next;
    if (waits || !account_is_ahead(&r->account, f->chunk)) return false;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        if (f->chunk->lost[kind] == 0) continue;
        if (account_lost(&r->account, f->chunk, kind) != OK) return false;
        feed_hole_counted(f, kind);
    }
    return true;
}

static void
note_unread(struct relay *r, enum err e, const struct why *why)
{
    if (e == ERR_MISSING) return; /* catch_up() handles it */
    breaker_failed(&r->breaker, "read the next samples", "storage", why->text);
}

/* Opens the next chunk. False if there is none now, or it has to wait. */
static bool
next_chunk(struct relay *r)
{
    struct feed *f = &r->feed;
    struct why why = {""};
    uint64_t record;
    enum err e = feed_read(f, &why);
    if (e == ERR_AGAIN) return false;
    if (e == ERR_CORRUPT && !feed_reads_store(f)) {
        log_error("relay: cannot read part of the log, skipping it",
                  KV("destination", r->context.settings->name), KV("error", &why));
        return pass_hole(r);
    }
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    if (!feed_reads_store(f) && !pass_hole(r)) return false;
    if (window_push(r->window, f->chunk, &record) != OK) return false;
    feed_open_chunk(f, record);
    feed_note_untaken(f, account_chunk(&r->account));
    return true;
}

/* --- items ------------------------------------------------------------------------------------ */

/* Settles the next `count` items without handing them to a lane. */
static enum err
settle_next(struct relay *r, uint32_t count, unsigned fate)
{
    const struct feed *f = &r->feed;
    assert(count <= f->count - f->next);
    return window_settle(r->window, f->record, f->next, count, (uint8_t)fate);
}

/* Does the same, and passes the items. */
static bool
pass_over(struct relay *r, uint32_t count, unsigned fate)
{
    if (settle_next(r, count, fate) != OK) return false;
    feed_pass(&r->feed, count);
    return true;
}

/* Offers an item to its lane, or settles it if it cannot be sent. False if it has to wait. */
static bool
offer(struct relay *r, const struct item *item, struct call_item *at)
{
    struct why why = {""};
    switch (lanes_offer(&r->lanes, item, at, &why)) {
    case LANE_TOOK:
        return true;
    case LANE_UNFIT:
        return settle_bury(&r->settling, at, item, BURY_UNREPRESENTABLE, "unrepresentable",
                           why.text) == OK;
    case LANE_TOO_OLD: /* only samples of the store may be */
        return settle_item(&r->settling, at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION) == OK;
    default:
        return false;
    }
}

/* Hands on the next item. False if it has to wait. */
static bool
hand_on(struct relay *r)
{
    struct feed *f = &r->feed;
    struct why why = {""};
    struct item item;
    enum err e = feed_item(f, &item, &why);
    if (e == ERR_CORRUPT)
        return !feed_wait_at_damage(f, &why) && pass_over(r, 1, FATE_DROPPED + DROP_DAMAGED);
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    struct call_item at = {.record = f->record, .index = f->next, .count = 1};
    if (!offer(r, &item, &at)) return false;
    feed_pass(f, 1); /* invariant 1 of moving items */
    return true;
}

/* Moves items into calls as long as lanes have room. False if there is nothing more to read, or no
 * room. */
static bool
pump_items(struct relay *r)
{
    struct feed *f = &r->feed;
    const struct relay_state *s = &r->state;
    for (uint32_t items = 0; items < RELAY_ITEMS_AT_ONCE && f->hole_pos == 0; items++) {
        while (f->next == f->count)
            if (!next_chunk(r)) return false;
        if (f->over > 0) {
            if (!pass_over(r, f->over, FATE_PASSED)) return false;
            continue;
        }
        uint32_t unwanted = feed_count_alike(f, false);
        if (unwanted > 0) {
            if (settle_next(r, unwanted, FATE_NOT_TAKEN) != OK) return false;
            feed_pass_untaken(f, unwanted);
            continue;
        }
        if (!feed_reads_store(f) && f->chunk->pos < s->drop_pos) {
            uint32_t dropped = feed_count_alike(f, true);
            if (!pass_over(r, dropped, FATE_DROPPED + s->drop_reason)) return false;
            continue;
        }
        if (!hand_on(r)) return false;
    }
    return f->hole_pos == 0;
}

/* --- letters ---------------------------------------------------------------------------------- */

/* Moves dead letters that are sent again into calls. */
static void
pump_letters(struct relay *r)
{
    struct letters *l = &r->letters;
    for (unsigned i = 0; i < LETTERS_AT_ONCE; i++) {
        struct dead_letter letter;
        struct call_item at = {.record = REPLAY_RECORD, .count = 1};
        struct why why = {""};
        if (letters_replay_next(l, &letter, &at.index, &why) != OK) return;
        if (!offer(r, &letter.item, &at)) return;
        letters_replay_handed_on(l);
    }
}

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
    r->settling.window = NULL;
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

static enum err
relay_begin_run(struct relay *r, struct why *why)
{
    assert(r->phase == RUN_NONE);
    assert(r->writer == NULL); /* invariant 1 */
    assert(r->window == NULL);
    assert(!r->letters.is_open);
    r->phase = RUN_ON;
    if (relay_is_direct(r)) { /* no window and no letters; it ends with the relay */
        enum err e = open_writer(r, why);
        if (e == OK) e = direct_begin(r, why);
        if (e) relay_end_run(r);
        return e;
    }
    guard_follow(r->context.options.guard, &r->state);
    enum err e = window_new(r->context.options.memory, r->state.cursor, &r->window);
    account_begin(&r->account, &r->state, r->window);
    r->settling.window = r->window;
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
    lock_init(&r->watch.lock, LOCK_RANK_RELAY);
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
    lock_fini(&r->watch.lock);
    mem_free(r->context.options.memory, r, sizeof *r);
}

/* --- stepping --------------------------------------------------------------------------------- */

int
relay_idle_ms(const struct relay *r)
{
    int64_t now_ns = relay_now_ns(&r->context), next_ns = now_ns + POLL_MS * NS_PER_MS;
    int64_t lanes_ns = lanes_next_ns(&r->lanes);
    if (lanes_ns < next_ns) next_ns = lanes_ns;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void
relay_take_answers(struct relay *r)
{
    struct http_call_answer answer;
    while (http_calls_done(r->context.http, &answer))
        if (answer.context == &r->preparation)
            prepare_answered(&r->preparation, &answer);
        else
            lanes_answered(&r->lanes, answer.context, &answer);
}

int
relay_step(struct relay *r)
{
    if (relay_is_direct(r)) return direct_step(r);
    watch_take_wish(r);
    if (r->phase == RUN_NONE) {
        int64_t now_ns = relay_now_ns(&r->context);
        struct why why = {""};
        if (now_ns < r->run_again_ns) return RUN_AGAIN_MS;
        if (relay_begin_run(r, &why) != OK) {
            breaker_failed(&r->breaker, "resume", "state", why.text);
            r->run_again_ns = now_ns + RUN_AGAIN_MS * NS_PER_MS;
            return RUN_AGAIN_MS;
        }
    }
    prepare_hold(&r->preparation, relay_is_paused(r) || r->stopping || r->phase == RUN_LEAVING);
    relay_take_answers(r);
    bool paused = relay_is_paused(r);
    bool drops = r->state.drop_pos > r->state.cursor.pos; /* reads even while paused */
    bool may_read = (!paused || drops) && !r->stopping && r->phase == RUN_ON;
    bool more = may_read && pump_items(r);
    if (may_read && !r->context.settings->dry_run) pump_letters(r);
    feed_rest(&r->feed);
    account_close(&r->account, &r->state);
    more |= !r->stopping && account_read_ahead(&r->account, &r->state, paused);
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
