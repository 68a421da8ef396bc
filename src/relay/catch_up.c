/*
 * catch_up.c - what happens to a destination that is too far behind: it leaves the log, is given
 * from the store what came up to a recorded position, and follows the log again from there on. If
 * the log has gone on too far meanwhile, the same once more.
 *
 * Leaving is a restart: nothing is under way, what was settled is saved, and a new run begins with
 * what the state says. So all it takes is another state.
 */
#include "base/log.h"
#include "relay/relay_private.h"

/* --- where it is ------------------------------------------------------------------------------ */

/* Where the destination is in the log. */
static uint64_t
log_pos(struct relay *r)
{
    return r->fill != NULL ? r->state.fill.from_pos : relay_cursor(r, NULL).pos;
}

bool
catch_up_is_due(struct relay *r)
{
    return wal_bytes_from(r->options.wal, log_pos(r)) > r->settings->log_budget_bytes;
}

static void
keep_apart(struct relay *r)
{
    const struct relay_fill *fill = &r->state.fill;
    if (fill->active)
        guard_set_borders(r->options.guard, fill->from_pos, fill->to_pos);
    else
        guard_set_borders(r->options.guard, r->ahead.scout != NULL || r->gone ? log_pos(r) : 0, 0);
}

uint64_t
catch_up_end(struct relay *r, uint64_t from_pos)
{
    uint64_t pos;
    do {
        pos = tsdb_store_pos(r->options.tsdb);
        guard_set_borders(r->options.guard, from_pos, pos);
    } while (tsdb_store_pos(r->options.tsdb) != pos);
    return pos;
}

/* A state, and a run that begins with it; on an error, with the one that is saved. */
static void
begin_with(struct relay *r, const struct relay_state *state)
{
    struct why why = {""};
    struct relay_state next = *state;
    shown_keep_taken(&next, &r->state);
    enum err e = relay_state_put(r, &next, &why);
    if (e)
        relay_note_failure(r, "state", "state", why.text);
    else
        r->state = next;
    relay_run_again(r);
}

/* --- to the store ----------------------------------------------------------------------------- */

/* Letters of what was settled ahead of the cursor: it comes by again, under other positions. */
static enum err
take_letters_back(struct relay *r, struct why *why)
{
    dead_letters_free(r->letters);
    r->letters = NULL;
    enum err e = relay_open_letters(r, why);
    if (e == OK) e = dead_letters_sync(r->letters, why);
    if (e == OK) letters_taken_back(r, &r->state.letters);
    return e;
}

static void
leave_log(struct relay *r)
{
    struct why why = {""};
    enum err e = relay_save(r, &why);
    if (e == OK) e = take_letters_back(r, &why);
    if (e) {
        relay_note_failure(r, "leaving the log", "state", why.text);
        relay_run_again(r);
        return;
    }
    struct relay_state next = r->state;
    struct fates before;
    relay_cursor(r, &before);
    uint64_t counted_pos = r->ahead.pos > relay_read_pos(r) ? r->ahead.pos : relay_read_pos(r);
    int64_t oldest_ms = window_oldest_ms(r->window);
    next.fill = (struct relay_fill){
        .active = true,
        .from_pos = next.cursor.pos,
        .to_pos = catch_up_end(r, next.cursor.pos),
        .since_ms = oldest_ms != 0 ? oldest_ms : env_realtime_ms(r->options.env),
    };
    next.cursor = (struct relay_cursor){.pos = fill_first_pos(++next.fill_count)};
    bool whole = (!r->gone || r->ahead.lasting) && !r->ahead.blind;
    if (!whole || counted_pos < next.fill.to_pos) { /* any number more may come */
        memset(r->ahead.margin, 0xff, sizeof r->ahead.margin);
    }
    r->ahead.lasting = true;
    r->ahead.pos = counted_pos > next.fill.to_pos ? counted_pos : next.fill.to_pos;
    account_expected(r, &before, &next.expected);
    account_leave(r, &next);
    next.left_out = (struct samples_left_out){0};
    next.log_count.known = false;
    log_warn("relay: far behind: what waits is read from the store, then the log is followed again",
             KV("destination", r->settings->name), KV("from", next.fill.from_pos),
             KV("to", next.fill.to_pos), KV("log_is_gone", r->gone));
    begin_with(r, &next);
}

/* Letters of what comes by again in the log: they are counted again then. */
static enum err
uncount_letters(struct relay *r, struct relay_state *next, struct why *why)
{
    uint64_t kept[ITEM_KIND_COUNT], replaying[ITEM_KIND_COUNT];
    enum err e = dead_letters_count_again(r->letters, next, kept, replaying, why);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && e == OK; kind++) {
        next->fates.count[kind][FATE_DEAD_LETTERED] -= kept[kind];
        next->letters.replaying[kind] -= replaying[kind];
        next->taken[kind] -= kept[kind] + replaying[kind];
    }
    return e;
}

/* All that is stored from a time on, once more; what is older is not wanted before the cursor. */
static void
give_again(struct relay *r)
{
    struct why why = {""};
    enum err e = relay_save(r, &why);
    uint64_t to_pos = catch_up_end(r, 0);
    /* If more was stored meanwhile: it is to be taken first. */
    if (e == OK && to_pos > r->state.cursor.pos) return;
    if (e == OK) e = take_letters_back(r, &why);
    struct relay_state next = r->state;
    next.begin_ms = r->replays_from_ms;
    next.begin_pos = next.cursor.pos;
    next.log_count.known = false;
    next.fill = (struct relay_fill){
        .active = true,
        .to_pos = to_pos,
        .since_ms = env_realtime_ms(r->options.env),
    };
    next.cursor = (struct relay_cursor){.pos = fill_first_pos(++next.fill_count)};
    if (e == OK) e = uncount_letters(r, &next, &why);
    if (e) {
        relay_note_failure(r, "a replay", "state", why.text);
        relay_run_again(r);
        return;
    }
    begin_with(r, &next);
    r->replays = !r->state.fill.active; /* it could not begin: again later */
    if (r->replays) return;
    log_info("relay: what is stored is given again", KV("destination", r->settings->name),
             KV("to", next.fill.to_pos));
}

static bool
lanes_are_empty(const struct relay *r)
{
    bool empty = true;
    for (uint32_t i = 0; i < r->lane_count; i++) {
        empty &= lane_is_empty(&r->lanes[i]);
    }
    return empty;
}

/* Whether the store has enough of what waits, and all of that was counted. */
static bool
should_leave(struct relay *r)
{
    uint64_t store_pos = tsdb_store_pos(r->options.tsdb), pos = log_pos(r);
    bool counted = relay_read_pos(r) >= store_pos || r->ahead.pos >= store_pos;
    if (r->hole_pos > store_pos || r->reload_pos > store_pos) tsdb_want_parts(r->options.tsdb);
    if (store_pos <= pos) return false;
    if (r->reload_pos > 0) return counted && store_pos >= r->reload_pos;
    if (r->hole_pos > 0) return counted && store_pos >= r->hole_pos && lanes_are_empty(r);
    if (r->gone) return counted || !r->ahead.lasting;
    struct wal *wal = r->options.wal;
    uint64_t covered = wal_bytes_from(wal, pos) - wal_bytes_from(wal, store_pos);
    return counted && covered >= r->settings->log_budget_bytes / 2;
}

/* --- and back --------------------------------------------------------------------------------- */

static void
follow_log(struct relay *r)
{
    struct why why = {""};
    if (relay_save(r, &why) != OK) {
        relay_note_failure(r, "state", "state", why.text);
        return;
    }
    struct relay_state next = r->state;
    next.cursor = (struct relay_cursor){.pos = next.fill.to_pos};
    next.fill = (struct relay_fill){.active = false};
    log_info("relay: the store was read, the log is followed again",
             KV("destination", r->settings->name), KV("from", next.cursor.pos));
    begin_with(r, &next);
}

static void
go_on_filling(struct relay *r)
{
    uint64_t behind = wal_bytes_from(r->options.wal, r->state.fill.to_pos);
    if (behind > r->settings->log_budget_bytes) guard_let_go(r->options.guard);
    if (r->fill_done && window_records(r->window) == 0) follow_log(r);
}

/* --- without a store -------------------------------------------------------------------------- */

static void
give_up_oldest(struct relay *r)
{
    uint64_t end_pos = wal_end(r->options.wal), budget = r->settings->log_budget_bytes;
    struct why why = {""};
    if (relay_save(r, &why) != OK) {
        relay_note_failure(r, "state", "state", why.text);
        return;
    }
    struct relay_state next = r->state;
    if (r->gone) { /* how much that is says the log's first record */
        next.cursor = (struct relay_cursor){0};
        begin_with(r, &next);
        return;
    }
    next.drop_pos = end_pos - budget + budget / 8;
    next.drop_reason = DROP_LOG_BUDGET;
    log_error("relay: the log's budget is reached: the oldest samples are lost to this destination",
              KV("destination", r->settings->name), KV("from", r->state.cursor.pos),
              KV("to", next.drop_pos));
    begin_with(r, &next);
}

/* --- both ------------------------------------------------------------------------------------- */

void
catch_up(struct relay *r)
{
    keep_apart(r);
    bool stored = r->options.tsdb != NULL,
         due = r->gone || r->restart || r->hole_pos > 0 || r->reload_pos > 0;
    if (r->fill != NULL && !r->restart) {
        go_on_filling(r);
        return;
    }
    if (!due && catch_up_is_due(r)) due = stored || r->settings->on_full == ON_FULL_DROP_OLDEST;
    if (due && stored && !r->restart) due = should_leave(r);
    bool again = stored && r->replays && log_pos(r) >= tsdb_store_pos(r->options.tsdb);
    due |= again;
    r->leaving = due;
    if (!due || !relay_is_idle(r)) return; /* answers that are on their way are waited for */
    if (r->restart)
        relay_run_again(r);
    else if (again)
        give_again(r);
    else if (stored)
        leave_log(r);
    else
        give_up_oldest(r);
}
