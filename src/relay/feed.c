/*
 * feed.c - from the log, or the store, into the lanes: record by record, item by item, until a lane
 * has no room. The item that had none is the first one of the next time, so that nothing is
 * reordered.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum { FEED_ITEMS_MAX = 32 * 1024 }; /* at a time: answers want to be looked at, too */

/* A record again, from the log. */
static enum err
load_record(struct relay *r, uint64_t pos, struct why *why)
{
    if (r->read_again_pos == pos) return OK;
    r->read_again_pos = 0;
    enum err e = source_load(r->source, pos, &r->read_again, why);
    if (e == OK) r->read_again_pos = pos;
    return e;
}

static enum err
load_filled(struct relay *r, uint64_t pos, uint32_t index, struct item *ret_item, struct why *why)
{
    const struct chunk *chunk;
    enum err e = fill_load(r->fill, pos, &chunk, why);
    if (e == OK) chunk_item(chunk, index, ret_item);
    if (e != ERR_CORRUPT) return e;
    r->restart = true; /* nothing is lost: what is not settled is read anew */
    return ERR_AGAIN;
}

enum err
relay_load_item(struct relay *r, uint64_t record, uint32_t index, struct item *ret_item,
                struct why *why)
{
    if (record == REPLAY_RECORD) return replay_load(r, index, ret_item, why);
    uint64_t pos = window_place(r->window, record).pos;
    if (r->fill != NULL) return load_filled(r, pos, index, ret_item, why);
    enum err e = load_record(r, pos, why);
    if (e) return e;
    if (index >= r->read_again.count) {
        return why_set(why, ERR_CORRUPT, "a record of the log is not what it was");
    }
    return source_item(r->source, &r->read_again, index, ret_item, why);
}

/* A record that is at hand and not in the window. */
static bool
has_unread(const struct relay *r)
{
    return r->fill == NULL && r->chunk_read;
}

uint64_t
relay_read_pos(const struct relay *r)
{
    if (r->source == NULL) return 0;
    return has_unread(r) ? r->log_chunk.pos : source_pos(r->source);
}

struct log_count
relay_read_count(const struct relay *r)
{
    struct log_count count = *source_count(r->source);
    const struct chunk *c = &r->log_chunk;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && has_unread(r); kind++) {
        count.of[kind] -= c->lost[kind] + (c->kind == kind ? c->count : 0);
    }
    return count;
}

static int64_t
time_of(const struct chunk *c, uint32_t i)
{
    if (c->kind == ITEM_FLOAT) return (int64_t)c->floats.times[i];
    return c->kind == ITEM_HISTOGRAM ? c->histograms[i].t_ms : c->exemplars[i].t_ms;
}

bool
relay_takes(struct relay *r, const struct chunk *c, uint32_t i, struct source *source)
{
    if (c->filled) return true;
    if (c->kind == ITEM_METADATA) return r->limits.takes_metadata && source_takes(source, c, i);
    if (c->pos < r->state.begin_pos && time_of(c, i) < r->state.begin_ms) return false;
    return source_takes(source, c, i);
}

/* What was settled before a restart, or is no concern of this destination. */
static enum err
pass_over(struct relay *r, uint32_t count, enum fate fate)
{
    enum err e = window_settle(r->window, r->chunk_record, r->chunk_next, count, (uint8_t)fate);
    if (e == OK) r->chunk_next += count;
    return e;
}

uint32_t
relay_settled_before(const struct relay *r, const struct chunk *c)
{
    const struct relay_cursor *from = &r->run_from;
    if (is_fill_pos(from->pos) != c->filled)
        return 0; /* what the scout has while the store is read */
    if (c->pos < from->pos) return c->count;
    if (c->pos > from->pos) return 0;
    return from->index < c->count ? from->index : c->count;
}

static void
begin_chunk(struct relay *r)
{
    r->chunk_next = 0;
    r->chunk_count = r->chunk->count;
    r->chunk_over = relay_settled_before(r, r->chunk);
    account_chunk(r);
}

static void
note_unread(struct relay *r, enum err e, const struct why *why)
{
    if (e == ERR_MISSING)
        r->gone = true; /* catch_up() knows what to do */
    else
        relay_note_failure(r, "what comes next cannot be read", "storage", why->text);
}

static enum err
read_chunk(struct relay *r, struct why *why)
{
    if (r->fill != NULL) {
        enum err e = fill_next(r->fill, &r->chunk, why);
        r->fill_done = e == ERR_MISSING;
        return r->fill_done ? ERR_AGAIN : e;
    }
    r->chunk = &r->log_chunk;
    return r->gone ? ERR_AGAIN : source_next(r->source, &r->log_chunk, why);
}

/*
 * The log is damaged before the record at hand. Nothing behind that is handed on before the store
 * has given what stood there (catch_up.c), or it is counted as lost. False: not now.
 */
static bool
pass_hole(struct relay *r)
{
    struct chunk *c = &r->log_chunk;
    uint64_t lost = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        lost += c->lost[kind];
    }
    if (lost == 0) return true;
    bool stored = r->options.tsdb != NULL;
    if (!stored || (r->hole_pos == 0 && !account_hole(r, c))) return account_lost(r, c) == OK;
    if (r->hole_pos == 0) {
        r->hole_pos = c->pos;
        log_error("relay: part of the log is damaged; reading it from the store instead",
                  KV("destination", r->settings->name), KV("items", lost),
                  KV("before_position", c->pos));
    }
    return false;
}

/* False: nothing to be had now. */
static bool
next_chunk(struct relay *r)
{
    struct why why = {""};
    if (!r->chunk_read) {
        if (r->fill_done) return false;
        enum err e = read_chunk(r, &why);
        if (e == ERR_AGAIN) return false;
        if (e == ERR_CORRUPT && r->fill == NULL) { /* the record behind it says what is lost */
            log_error("relay: cannot read part of the log", KV("destination", r->settings->name),
                      KV("error", &why));
            return true;
        }
        if (e) {
            note_unread(r, e, &why);
            return false;
        }
        r->chunk_read = true;
    }
    if (r->fill == NULL && !pass_hole(r)) return false;
    r->from_oldest = false;
    if (window_push(r->window, r->chunk, &r->chunk_record) != OK) return false;
    r->chunk_read = false;
    begin_chunk(r);
    return true;
}

/* How many items from here on are wanted, or are not. */
static uint32_t
count_alike(struct relay *r, bool wanted)
{
    uint32_t i = r->chunk_next;
    if (r->chunk_untaken == 0) return wanted ? r->chunk_count - i : 0;
    while (i < r->chunk_count && relay_takes(r, r->chunk, i, r->source) == wanted) {
        i++;
    }
    return i - r->chunk_next;
}

/*
 * A sample whose series was damaged in the log: only the store can say whose it is. False: it has
 * to wait for that.
 */
static bool
pass_damaged(struct relay *r, const struct why *why)
{
    bool stored = r->options.tsdb != NULL;
    if (r->damaged_pos != r->chunk->pos) {
        log_error("relay: the labels of a series are lost in the log",
                  KV("destination", r->settings->name), KV("error", why),
                  KV("then", stored ? "reading its samples from the store"
                                    : "dropping its samples, counted as damaged"));
    }
    r->damaged_pos = r->chunk->pos;
    if (stored) r->hole_pos = r->chunk->end_pos;
    return !stored && pass_over(r, 1, FATE_DROPPED + DROP_DAMAGED) == OK;
}

/* One item. False: it has to wait. */
static bool
feed_item(struct relay *r)
{
    struct why why = {""};
    struct item item;
    enum err e = OK;
    if (r->fill != NULL)
        chunk_item(r->chunk, r->chunk_next, &item);
    else
        e = source_item(r->source, r->chunk, r->chunk_next, &item, &why);
    if (e == ERR_CORRUPT) return pass_damaged(r, &why);
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    struct lane *lane = &r->lanes[item.series_hash % r->lane_count];
    struct call_item at = {.record = r->chunk_record, .index = r->chunk_next, .count = 1};
    switch (lane_offer(r, lane, &item, at, &why)) {
    case LANE_TOOK:
        r->chunk_next++;
        return true;
    case LANE_UNFIT:
        e = relay_bury(r, &at, &item, BURY_UNREPRESENTABLE, "unrepresentable", why.text);
        if (e == OK) r->chunk_next++;
        return e == OK;
    case LANE_TOO_OLD:
        e = relay_settle(r, &at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
        if (e == OK) r->chunk_next++;
        return e == OK;
    default:
        return false;
    }
}

bool
relay_feed(struct relay *r)
{
    for (uint32_t items = 0; items < FEED_ITEMS_MAX && r->hole_pos == 0; items++) {
        while (r->chunk_next == r->chunk_count) {
            if (!next_chunk(r)) return false;
        }
        if (r->chunk_over > 0) {
            if (pass_over(r, r->chunk_over, FATE_PASSED) != OK) return false;
            r->chunk_over = 0;
            continue;
        }
        uint32_t unwanted = count_alike(r, false);
        if (unwanted > 0) {
            if (pass_over(r, unwanted, FATE_NOT_TAKEN) != OK) return false;
            r->chunk_untaken -= unwanted;
            continue;
        }
        if (r->fill == NULL && r->chunk->pos < r->state.drop_pos) {
            uint32_t dropped = count_alike(r, true);
            if (pass_over(r, dropped, FATE_DROPPED + r->state.drop_reason) != OK) return false;
            continue;
        }
        if (!feed_item(r)) return false;
    }
    return r->hole_pos == 0;
}
