/*
 * catch_up.c - switches a destination that lags too far to the store: it reads from the store the
 * items up to a recorded position, and then follows the log again from there. If the log has grown
 * too much meanwhile, the same is repeated.
 *
 * The switch is a restart: no request is pending, the state is saved with all settled items, and a
 * new run begins with that state. So only the state has to be changed.
 *
 * Invariants:
 * 1. A run ends only while no request is pending.
 * 2. The log is left only for a stretch that is not empty, from the cursor to the end of the parts,
 *    which reaches beyond a hole at which reading waits.
 * 3. The log is followed again only when all items of the stretch are settled.
 */
#include "relay/relay_private.h"

#include <assert.h>

#include "base/log.h"
#include "relay/state/state.h"

/* --- position in the log ---------------------------------------------------------------------- */

/* The destination's position in the log. */
static uint64_t
log_pos(struct relay *r)
{
    return feed_reads_store(&r->feed) ? r->state.fill.from_pos
                                      : window_saved_cursor(r->window, NULL).pos;
}

bool
catch_up_is_due(struct relay *r)
{
    return wal_bytes_from(r->context.options.wal, log_pos(r)) >
           r->context.settings->log_budget_bytes;
}

uint64_t
catch_up_end(const struct relay_context *c, uint64_t from_pos, struct log_count *ret_count)
{
    uint64_t pos;
    do {
        pos = tsdb_store_pos(c->options.tsdb);
        guard_set_borders(c->options.guard, from_pos, pos);
        ret_count->known = tsdb_store_totals(c->options.tsdb, pos, ret_count->of);
    } while (tsdb_store_pos(c->options.tsdb) != pos);
    return pos;
}

void
catch_up_fill(struct relay_state *s, uint64_t from_pos, uint64_t to_pos, int64_t since_ms)
{
    s->fill = (struct relay_fill){
        .active = true, .from_pos = from_pos, .to_pos = to_pos, .since_ms = since_ms};
    s->cursor = (struct relay_cursor){.pos = fill_first_pos(++s->fill_count)};
}

/* Saves the state. False if that failed; the next step tries again. */
static bool
is_saved(struct relay *r)
{
    struct why why = {""};
    enum err e = relay_save(r, &why);
    if (e) breaker_failed(&r->breaker, "save the state", "state", why.text);
    return e == OK;
}

/* Saves another state and ends the run; the next one begins with it, or on an error with the state
 * that is saved. */
static void
begin_with(struct relay *r, const struct relay_state *state)
{
    struct why why = {""};
    assert(relay_is_idle(r)); /* invariant 1 */
    if (save_instead(&r->saving, &r->state, state, &why) != OK)
        breaker_failed(&r->breaker, "save the state", "state", why.text);
    relay_run_again(r);
}

/* --- to the store ----------------------------------------------------------------------------- */

static void
leave_log(struct relay *r)
{
    struct why why = {""};
    assert(!feed_reads_store(&r->feed));
    enum err e = relay_save(r, &why);
    if (e) {
        breaker_failed(&r->breaker, "switch from the log to the store", "state", why.text);
        relay_run_again(r);
        return;
    }
    struct relay_state next = r->state;
    struct fates before;
    window_saved_cursor(r->window, &before);
    int64_t oldest_ms = window_oldest_ms(r->window);
    uint64_t to_pos = catch_up_end(&r->context, next.cursor.pos, &next.log_count);
    catch_up_fill(&next, next.cursor.pos, to_pos,
                  oldest_ms != 0 ? oldest_ms : env_realtime_ms(r->context.options.env));
    assert(next.fill.to_pos > next.fill.from_pos); /* invariant 2 */
    assert(next.fill.to_pos >= r->feed.hole_pos);
    account_leave(&r->account, &before, &next);
    next.left_out = (struct samples_left_out){0};
    log_warn("relay: destination is far behind, reading queued samples from the store before "
             "following the log again",
             KV("destination", r->context.settings->name), KV("from", next.fill.from_pos),
             KV("to", next.fill.to_pos), KV("log_is_gone", r->feed.state == FEED_GONE));
    begin_with(r, &next);
}

/* Begins to read again all that is stored from a time on; older samples before the cursor are not
 * wanted. */
static void
give_again(struct relay *r)
{
    struct why why = {""};
    enum err e = relay_save(r, &why);
    struct log_count log_count;
    uint64_t to_pos = catch_up_end(&r->context, 0, &log_count);
    /* If more was stored meanwhile, that is taken first. */
    if (e == OK && to_pos > r->state.cursor.pos) return;
    struct relay_state next = r->state;
    next.begin_ms = r->watch.again_from_ms;
    next.begin_pos = next.cursor.pos;
    next.log_count = log_count;
    catch_up_fill(&next, 0, to_pos, env_realtime_ms(r->context.options.env));
    if (e) {
        breaker_failed(&r->breaker, "begin a replay", "state", why.text);
        relay_run_again(r);
        return;
    }
    begin_with(r, &next);
    if (!r->state.fill.active) return; /* the state could not be saved: tried again later */
    r->watch.gives_again = false;      /* the request was carried out */
    log_info("relay: sending stored samples again", KV("destination", r->context.settings->name),
             KV("to", next.fill.to_pos));
}

/* True if the store has enough of the queued items, and all of these were counted, or cannot be. */
static bool
should_leave(struct relay *r)
{
    const struct relay_context *c = &r->context;
    uint64_t store_pos = tsdb_store_pos(c->options.tsdb), pos = log_pos(r);
    bool counted = account_knows(&r->account, store_pos);
    bool gone = r->feed.state == FEED_GONE && store_pos <= pos;
    if (r->feed.hole_pos > store_pos || r->feed.reload_pos > store_pos || gone)
        tsdb_want_parts(c->options.tsdb);
    if (gone) r->state.log_lost = true; /* the log is left only for what parts have */
    if (store_pos <= pos) return false;
    if (r->feed.state == FEED_GONE) return counted || !r->account.ahead.lasting;
    if (r->feed.reload_pos > 0) return counted && store_pos >= r->feed.reload_pos;
    if (r->feed.hole_pos > 0)
        return counted && store_pos >= r->feed.hole_pos && lanes_are_empty(&r->lanes);
    struct wal *wal = c->options.wal;
    uint64_t covered = wal_bytes_from(wal, pos) - wal_bytes_from(wal, store_pos);
    return counted && covered >= c->settings->log_budget_bytes / 2;
}

/* --- and back --------------------------------------------------------------------------------- */

/* Reads on in the parts that were written meanwhile, which have items that the log has lost. */
static void
read_newer_parts(struct relay *r)
{
    struct relay_state next = r->state;
    uint64_t to_pos = catch_up_end(&r->context, next.fill.to_pos, &next.log_count);
    catch_up_fill(&next, next.fill.to_pos, to_pos, next.fill.since_ms);
    assert(next.fill.to_pos > next.fill.from_pos);    /* invariant 2 */
    if (next.expected.until_pos < next.fill.to_pos) { /* more may come than is expected */
        next.expected.until_pos = next.fill.to_pos;
        account_widen(&next.log_count, &next.expected.log_count, next.expected.margin);
    }
    log_warn("relay: the log has lost queued samples, reading on in the store",
             KV("destination", r->context.settings->name), KV("from", next.fill.from_pos),
             KV("to", next.fill.to_pos));
    begin_with(r, &next);
}

static void
follow_log(struct relay *r)
{
    assert(r->window->first == r->window->next); /* invariant 3 */
    if (!is_saved(r)) return;
    struct relay_state next = r->state;
    if (next.log_lost && tsdb_store_pos(r->context.options.tsdb) > next.fill.to_pos) {
        read_newer_parts(r);
        return;
    }
    next.cursor = (struct relay_cursor){.pos = next.fill.to_pos};
    next.fill = (struct relay_fill){.active = false};
    log_info("relay: finished reading the store, following the log again",
             KV("destination", r->context.settings->name), KV("from", next.cursor.pos));
    begin_with(r, &next);
}

/* --- without a store -------------------------------------------------------------------------- */

static void
give_up_oldest(struct relay *r)
{
    const struct relay_context *c = &r->context;
    uint64_t end_pos = wal_end(c->options.wal), budget = c->settings->log_budget_bytes;
    if (!is_saved(r)) return;
    struct relay_state next = r->state;
    if (r->feed.state == FEED_GONE) { /* the log's first record shows how much that is */
        next.cursor = (struct relay_cursor){0};
        begin_with(r, &next);
        return;
    }
    next.drop_pos = end_pos - budget + budget / 8;
    next.drop_reason = DROP_LOG_BUDGET;
    log_error("relay: log budget of the destination is used up, dropping its oldest samples "
              "(reason log_budget)",
              KV("destination", c->settings->name), KV("from", r->state.cursor.pos),
              KV("to", next.drop_pos));
    begin_with(r, &next);
}

/* --- both ------------------------------------------------------------------------------------- */

void
catch_up(struct relay *r)
{
    const struct feed *f = &r->feed;
    const struct relay_fill *fill = &r->state.fill;
    bool stored = r->context.options.tsdb != NULL, moved = f->state == FEED_STORE_MOVED;
    bool may_leave = r->account.ahead.log != NULL || f->state == FEED_GONE;
    uint64_t log_border = may_leave ? log_pos(r) : 0;
    guard_set_borders(r->context.options.guard, fill->active ? fill->from_pos : log_border,
                      fill->active ? fill->to_pos : 0);
    if (feed_reads_store(f) && !moved) {
        uint64_t behind = wal_bytes_from(r->context.options.wal, fill->to_pos);
        if (behind > r->context.settings->log_budget_bytes) guard_let_go(r->context.options.guard);
        bool done = f->state == FEED_STORE_END && r->window->first == r->window->next;
        relay_leave_run(r, done);
        if (done && relay_is_idle(r)) follow_log(r); /* replayed letters may be pending */
        return;
    }
    bool due = moved || f->state == FEED_GONE || f->hole_pos > 0 || f->reload_pos > 0;
    if (!due && catch_up_is_due(r))
        due = stored || r->context.settings->on_full == ON_FULL_DROP_OLDEST;
    if (due && stored && !moved) due = should_leave(r);
    bool again =
        stored && r->watch.gives_again && log_pos(r) >= tsdb_store_pos(r->context.options.tsdb);
    due |= again;
    relay_leave_run(r, due);
    if (!due || !relay_is_idle(r)) return; /* waits for pending responses (invariant 1) */
    if (moved)
        relay_run_again(r);
    else if (again)
        give_again(r);
    else if (stored)
        leave_log(r);
    else
        give_up_oldest(r);
}
