/*
 * watch.c - the status that other threads see, and the requests that they leave. One lock guards
 * both: the status is copied there after each step, requests are taken before each step. Only the
 * stepping thread writes watch.now, and watch.status, its copy as of the end of a step. A wish is
 * taken once: after watch_take_wish() none is left, unless another thread has left a new one.
 */
#include "relay/relay_private.h"

#include "base/log.h"

const char *
relay_state_text(enum relay_state_word state)
{
    static const char *const words[] = {
        [RELAY_RUNNING] = "running", [RELAY_PAUSED] = "paused",     [RELAY_RETRYING] = "retrying",
        [RELAY_BLOCKED] = "blocked", [RELAY_REFUSING] = "refusing", [RELAY_FILLING] = "filling",
        [RELAY_DRY_RUN] = "dry_run",
    };
    return words[state];
}

/* --- published status ------------------------------------------------------------------------- */

/* The number of samples that the store gave once more. */
static uint64_t
repeats_of(const struct relay_state *state)
{
    const struct fates *f = &state->fates;
    return state->repeats_total + f->count[ITEM_FLOAT][FATE_REPEATED] +
           f->count[ITEM_HISTOGRAM][FATE_REPEATED];
}

static void
shown_set(struct relay_shown *shown, const struct relay_state *durable)
{
    struct fates all = durable->fates;
    fates_add(&all, &durable->ahead);
    shown->fates = all;
    fates_add(&shown->fates, &durable->beside);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t settled = fates_settled(&all, kind), counted = durable->counted[kind];
        shown->again[kind] = fates_settled(&durable->beside, kind);
        shown->taken[kind] = counted + shown->again[kind];
        shown->fates.count[kind][FATE_OPEN] = counted > settled ? counted - settled : 0;
    }
}

static enum relay_state_word
state_word(const struct relay *r)
{
    if (relay_is_paused(r)) return RELAY_PAUSED;
    if (r->breaker.state == BREAKER_BLOCKED) return RELAY_BLOCKED;
    if (r->breaker.state == BREAKER_REFUSING) return RELAY_REFUSING;
    if (r->context.settings->dry_run) return RELAY_DRY_RUN;
    if (r->breaker.failing) return RELAY_RETRYING;
    return feed_reads_store(&r->feed) ? RELAY_FILLING : RELAY_RUNNING;
}

/* The account and the lag of a destination that reads the log. */
static void
publish_log(struct relay *r, struct relay_status *s)
{
    const struct relay_context *c = &r->context;
    bool dry = c->settings->dry_run; /* it settles nothing */
    s->fates = r->account.base;
    fates_add(&s->fates, &r->window->all);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t open = account_queued(&r->account, kind);
        s->fates.count[kind][FATE_OPEN] = open;
        s->taken[kind] = dry ? open : account_taken(&r->account, kind);
        s->difference[kind] = dry ? 0 : account_difference(&r->account, kind);
    }
    shown_set(&s->shown, &r->state);
    if (dry) s->shown = r->watch.left;
    s->replaying = letter_list_replaying(&r->letters.list);
    s->repeats_total = dry ? r->watch.left_repeats : repeats_of(&r->state);
    /* A difference is an alarm; it is part of the saved state, and stays until it is explained. */
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        int64_t difference = r->watch.now.difference[kind];
        if (difference == r->watch.logged_difference[kind]) continue;
        r->watch.logged_difference[kind] = difference;
        if (difference == 0) continue;
        log_error("relay: the ledger does not balance: items are lost or miscounted",
                  KV("destination", c->settings->name), KV("kind", item_kind_word(kind)),
                  KV("difference", difference), KV("taken", r->watch.now.taken[kind]),
                  KV("to_do", LEDGER_DIFFERENCE_TO_DO));
    }
    int64_t oldest_ms =
        feed_reads_store(&r->feed) ? r->state.fill.since_ms : window_oldest_ms(r->window);
    s->cursor_pos = feed_reads_store(&r->feed) ? r->state.fill.from_pos
                                               : window_saved_cursor(r->window, NULL).pos;
    s->behind_bytes = wal_bytes_from(c->options.wal, s->cursor_pos);
    int64_t now_ms = env_realtime_ms(c->options.env);
    bool unread = oldest_ms == 0 && s->behind_bytes > 0; /* the age of unread records is unknown */
    if (!unread) r->watch.unread_ms = 0;
    if (unread && r->watch.unread_ms == 0) r->watch.unread_ms = now_ms;
    if (unread) oldest_ms = r->watch.unread_ms;
    s->behind_ms = oldest_ms == 0 ? 0 : now_ms - oldest_ms;
    s->full =
        c->options.tsdb == NULL && c->settings->on_full == ON_FULL_BLOCK && catch_up_is_due(r);
}

void
watch_publish(struct relay *r)
{
    const struct relay_context *c = &r->context;
    struct relay_status *s = &r->watch.now;
    s->state = state_word(r);
    memcpy(s->error, r->breaker.error, sizeof s->error);
    s->error_ms = r->breaker.error_ms;
    s->delivered_ms = r->breaker.delivered_ms;
    if (relay_is_direct(r)) {
        const struct queue_reader *reader = &r->direct.reader;
        int64_t oldest_ms = queue_reader_oldest_ms(reader);
        s->fates = reader->fates;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            uint64_t counted = fates_settled(&s->fates, kind) + s->fates.count[kind][FATE_OPEN];
            s->taken[kind] = s->shown.taken[kind] = reader->taken[kind];
            s->difference[kind] = (int64_t)(reader->taken[kind] - counted);
        }
        s->shown.fates = s->fates;
        s->behind_ms = oldest_ms == 0 ? 0 : env_realtime_ms(r->context.options.env) - oldest_ms;
    } else {
        publish_log(r, s);
    }
    int64_t since_ms = s->dry.since_ms;
    s->calls_total = r->sent.calls;
    s->calls_failed_total = r->breaker.failed_total;
    s->sent_bytes_total = r->sent.bytes;
    s->resent_samples_total = r->sent.resent_samples;
    s->units_total = r->sent.units;
    s->dry = r->sent.dry;
    s->dry.since_ms = since_ms;
    if (since_ms != 0) s->dry.for_ms = env_realtime_ms(c->options.env) - since_ms;
    s->lanes = throttle_allows(&r->lanes.throttle);
    s->lanes_busy = lanes_busy(&r->lanes);
    s->batch_bytes_max = r->lanes.bounds.bytes;
    s->memory_bytes = budget_used(c->options.memory);
    lock_take(&r->watch.lock);
    r->watch.status = *s;
    lock_drop(&r->watch.lock);
}

void
watch_begin(struct relay *r)
{
    const struct relay_context *c = &r->context;
    struct relay_state left;
    struct watch *w = &r->watch;
    if (c->settings->dry_run) {
        w->now.dry.since_ms = env_realtime_ms(c->options.env);
        /* A dry run saves nothing, and has an account of its own. Counters stay at the values with
         * which the destination will continue. */
        if (relay_state_read(c->options.env, c->dir, &r->saving.scratch, &left, NULL) == OK) {
            shown_set(&w->left, &left);
            w->left_repeats = repeats_of(&left);
        }
    }
    watch_publish(r);
}

void
relay_status(struct relay *r, struct relay_status *ret_status)
{
    lock_take(&r->watch.lock);
    *ret_status = r->watch.status;
    lock_drop(&r->watch.lock);
    if (relay_is_direct(r)) return;
    /* Includes what was written since the last step: a lag of 0 means that nothing is queued. */
    ret_status->behind_bytes = wal_bytes_from(r->context.options.wal, ret_status->cursor_pos);
}

bool
relay_is_full(const struct relay *r)
{
    return r->watch.now.full;
}

/* --- requests of operators -------------------------------------------------------------------- */

void
relay_wish(struct relay *r, bool paused)
{
    lock_take(&r->watch.lock);
    r->watch.wish = paused ? RELAY_WISH_PAUSE : RELAY_WISH_RESUME;
    lock_drop(&r->watch.lock);
    relay_wake(r);
}

enum err
relay_replay(struct relay *r, int64_t from_ms, struct why *why)
{
    if (r->context.options.tsdb == NULL) {
        return why_set(why, ERR_UNSUPPORTED,
                       "cannot replay stored samples: none are stored with storage.mode=none");
    }
    struct watch *w = &r->watch;
    lock_take(&w->lock);
    bool behind = w->status.cursor_pos < tsdb_store_pos(r->context.options.tsdb);
    w->again_wanted |= !behind;
    w->wanted_from_ms = from_ms;
    lock_drop(&w->lock);
    if (behind)
        return why_set(why, ERR_AGAIN,
                       "the destination has not yet taken all stored samples, retry later");
    relay_wake(r);
    return OK;
}

void
watch_take_wish(struct relay *r)
{
    struct watch *w = &r->watch;
    lock_take(&w->lock);
    enum relay_wish wish = w->wish;
    w->wish = RELAY_WISH_NONE;
    if (w->again_wanted) {
        w->gives_again = true;
        w->again_from_ms = w->wanted_from_ms;
    }
    w->again_wanted = false;
    lock_drop(&w->lock);
    if (wish == RELAY_WISH_NONE) return;
    r->state.wish = wish;
    if (wish == RELAY_WISH_RESUME) breaker_reset(&r->breaker);
    save_want(&r->saving, SAVE_SOON);
}

enum err
relay_letters_want(struct relay *r, bool drop, uint64_t *ret_number, struct why *why)
{
    struct watch *w = &r->watch;
    if (relay_is_direct(r) || r->context.settings->dry_run) {
        return why_set(why, ERR_UNSUPPORTED, "%s",
                       relay_is_direct(r) ? "the destination keeps no dead letters"
                                          : "a dry run does not change dead letters");
    }
    lock_take(&w->lock);
    bool free = w->letters_number == w->letters_done;
    if (free) {
        w->letters_wanted = true;
        w->letters_drop = drop;
        *ret_number = ++w->letters_number;
    }
    lock_drop(&w->lock);
    if (!free) return why_set(why, ERR_AGAIN, "another request for dead letters is pending, retry");
    relay_wake(r);
    return OK;
}

enum err
relay_letters_done(struct relay *r, uint64_t number, bool *ret_done, uint64_t *ret_lines,
                   struct why *why)
{
    struct watch *w = &r->watch;
    lock_take(&w->lock);
    bool known = number <= w->letters_number;
    *ret_done = number <= w->letters_done;
    *ret_lines = w->done_lines;
    lock_drop(&w->lock);
    return known ? OK : why_set(why, ERR_AGAIN, "the destination was closed meanwhile, retry");
}

void
watch_take_letters(struct relay *r)
{
    struct watch *w = &r->watch;
    lock_take(&w->lock);
    bool wanted = w->letters_wanted, drop = w->letters_drop;
    w->letters_wanted = false;
    lock_drop(&w->lock);
    if (!wanted) return;
    w->letters_lines = letters_decide(&r->letters, drop ? LETTERS_DROP : LETTERS_REPLAY);
    w->letters_decided = true;
}

void
watch_letters_lost(struct relay *r)
{
    struct watch *w = &r->watch;
    lock_take(&w->lock);
    w->letters_wanted |= w->letters_decided;
    lock_drop(&w->lock);
    w->letters_decided = false;
}

void
watch_letters_saved(struct relay *r)
{
    struct watch *w = &r->watch;
    if (!w->letters_decided) return;
    w->letters_decided = false;
    lock_take(&w->lock);
    w->letters_done = w->letters_number;
    w->done_lines = w->letters_lines;
    lock_drop(&w->lock);
}
