/*
 * feed.c - moves items from the log, or the store, into the lanes: record by record, item by item,
 * until a lane has no room. The item that had no room is the first one of the next call, so that
 * the order is kept.
 *
 *     feed_begin()
 *     the oldest of the log --> OLDEST --- next_chunk() ---> LOG <-- feed_begin(): from the cursor
 *                                 |                           |
 *                                 | note_unread(): the log    | note_unread(), feed_gets_again()
 *                                 | has removed it            v
 *                                 +-----------------------> GONE
 *
 *     the store ------------> STORE --- read_chunk(): that was all ---> STORE_END
 *                                 |                                       |
 *                                 | feed_moved(): it has changed          |
 *                                 +------------> STORE_MOVED <------------+
 *
 * In GONE, STORE_END and STORE_MOVED nothing further is read, and catch_up.c begins another run. It
 * also does so where the log is damaged and the store may have the lost items: reading waits before
 * a hole (`hole_pos`); for an item that cannot be read again (`reload_pos`) only its call waits.
 *
 * Invariants:
 * 1. The log is open in OLDEST and LOG, the store in STORE, STORE_END and STORE_MOVED. Never both.
 * 2. `next` is at most `count`; a chunk is read and pushed only when they are equal.
 * 3. Holes are only in the log: hole_pos and reload_pos are 0 while the store is read.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum {
    FEED_ITEMS_MAX = 32 * 1024, /* items of one call, so that responses do not wait */
    FILL_REST_MS = 10 * 1000,   /* the store is released if nothing was read for so long */
    LABEL_CACHE_BYTES = 2 * 1024 * 1024,
    FILL_KEPT_BYTES = 4 * 1024 * 1024,
    FILL_WINDOW_MS = 6 * 3600 * 1000,
    /* A window short enough to have at most one sample of most series, so that calls which may hold
     * one sample of each series get many. */
    FILL_MOMENT_MS = 10 * 1000,
};

/* --- beginning and end ------------------------------------------------------------------------ */

static enum err
open_log(struct relay *r, struct why *why)
{
    struct feed *f = &r->feed;
    uint64_t limit = relay_memory_limit(r);
    bool scarce = limit > 0 && limit / 8 < LABEL_CACHE_BYTES;
    struct log_items_options options = {
        .wal = r->options.wal,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .cache_bytes = scarce ? (size_t)(limit / 8) : LABEL_CACHE_BYTES,
        .begin = r->state.log_count,
    };
    enum err e = log_items_open(&options, r->state.cursor.pos, &f->log, why);
    f->state = r->state.cursor.pos == 0 ? FEED_OLDEST : FEED_LOG;
    if (e == OK && f->state == FEED_OLDEST) r->state.cursor.pos = log_items_pos(f->log);
    if (e != ERR_MISSING) return e;
    f->state = FEED_GONE;
    return OK;
}

static enum err
open_fill(struct relay *r, struct why *why)
{
    const struct relay_fill *fill = &r->state.fill;
    if (r->options.tsdb == NULL) {
        return why_set(why, ERR_INPUT,
                       "cannot continue reading the store: there is none with storage.mode=none");
    }
    bool all = r->state.begin_pos <= fill->from_pos;
    struct fill_options options = {
        .env = r->options.env,
        .tsdb = r->options.tsdb,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .stretch = {fill->from_pos, fill->to_pos},
        .min_ms = all ? INT64_MIN : r->state.begin_ms,
        .window_ms = r->limits.one_of_a_series ? FILL_MOMENT_MS : FILL_WINDOW_MS,
        .takes_metadata = r->limits.takes_metadata,
        .kept_bytes = FILL_KEPT_BYTES,
    };
    r->feed.state = FEED_STORE;
    return fill_open(&options, r->state.cursor.pos, fill->place, &r->feed.fill, why);
}

enum err
feed_begin(struct relay *r, struct why *why)
{
    chunk_init(&r->feed.log_chunk, r->options.memory);
    chunk_init(&r->feed.read_again, r->options.memory);
    enum err e = r->state.fill.active ? open_fill(r, why) : open_log(r, why);
    r->feed.from = r->state.cursor;
    return e;
}

void
feed_end(struct relay *r)
{
    log_items_close(r->feed.log);
    fill_close(r->feed.fill);
    chunk_fini(&r->feed.log_chunk);
    chunk_fini(&r->feed.read_again);
    r->feed = (struct feed){.log = NULL};
}

/* --- items again ------------------------------------------------------------------------------ */

void
feed_moved(struct relay *r)
{
    assert(r->feed.fill != NULL); /* invariant 1 */
    r->feed.state = FEED_STORE_MOVED;
}

bool
feed_gets_again(struct relay *r, const struct call_item *at, enum err e)
{
    assert(r->feed.fill == NULL); /* invariants 1 and 3 */
    if (e == ERR_MISSING) r->feed.state = FEED_GONE;
    if (e == ERR_MISSING || r->options.tsdb == NULL) return e == ERR_MISSING;
    r->feed.reload_pos = window_place(r->window, at->record).pos + 1;
    return true;
}

enum err
relay_load_item(struct relay *r, uint64_t record, uint32_t index, struct item *ret_item,
                struct why *why)
{
    struct feed *f = &r->feed;
    if (record == REPLAY_RECORD) return letters_replay_load(r, index, ret_item, why);
    uint64_t pos = window_place(r->window, record).pos;
    enum err e = OK;
    if (f->fill != NULL) {
        const struct chunk *chunk;
        e = fill_load(f->fill, pos, &chunk, why);
        if (e == OK) chunk_item(chunk, index, ret_item);
        if (e != ERR_CORRUPT) return e;
        feed_moved(r);
        return ERR_AGAIN;
    }
    if (f->read_again_pos != pos) {
        f->read_again_pos = 0;
        e = log_items_load(f->log, pos, &f->read_again, why);
        if (e) return e;
        f->read_again_pos = pos;
    }
    if (index >= f->read_again.count) {
        return why_set(why, ERR_CORRUPT, "a record of the log has changed since it was read");
    }
    return log_items_item(f->log, &f->read_again, index, ret_item, why);
}

/* --- reading on ------------------------------------------------------------------------------- */

/* True if a record of the log was read that is not in the window. */
static bool
has_unread(const struct relay *r)
{
    return r->feed.fill == NULL && r->feed.is_read;
}

uint64_t
relay_read_pos(const struct relay *r)
{
    if (r->feed.log == NULL) return 0;
    return has_unread(r) ? r->feed.log_chunk.pos : log_items_pos(r->feed.log);
}

struct log_count
relay_read_count(const struct relay *r)
{
    struct log_count count = *log_items_count(r->feed.log);
    const struct chunk *c = &r->feed.log_chunk;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && has_unread(r); kind++) {
        count.of[kind] -= c->lost[kind] + (c->kind == kind ? c->count : 0);
    }
    return count;
}

bool
relay_takes(struct relay *r, const struct chunk *c, uint32_t i, struct log_items *log)
{
    if (c->filled) return true;
    if (c->kind == ITEM_METADATA) return r->limits.takes_metadata && log_items_takes(log, c, i);
    int64_t t_ms = c->kind == ITEM_FLOAT       ? (int64_t)c->floats.times[i]
                   : c->kind == ITEM_HISTOGRAM ? c->histograms[i].t_ms
                                               : c->exemplars[i].t_ms;
    if (c->pos < r->state.begin_pos && t_ms < r->state.begin_ms) return false;
    return log_items_takes(log, c, i);
}

/* Settles the next `count` items without handing them to a lane. */
static enum err
pass_over(struct relay *r, uint32_t count, enum fate fate)
{
    assert(count <= r->feed.count - r->feed.next); /* invariant 2 */
    enum err e = window_settle(r->window, r->feed.record, r->feed.next, count, (uint8_t)fate);
    if (e == OK) r->feed.next += count;
    return e;
}

uint32_t
relay_settled_before(const struct relay *r, const struct chunk *c)
{
    const struct relay_cursor *from = &r->feed.from;
    if (is_fill_pos(from->pos) != c->filled)
        return 0; /* a chunk of the log, read ahead while the store is read */
    if (c->pos < from->pos) return c->count;
    if (c->pos > from->pos) return 0;
    return from->index < c->count ? from->index : c->count;
}

static void
note_unread(struct relay *r, enum err e, const struct why *why)
{
    if (e == ERR_MISSING)
        r->feed.state = FEED_GONE; /* catch_up() acts on it */
    else
        obstacle_failed(&r->obstacle, "read the next samples", "storage", why->text);
}

/* Reads the next chunk. ERR_AGAIN: there is none now. */
static enum err
read_chunk(struct relay *r, struct why *why)
{
    struct feed *f = &r->feed;
    enum err e = ERR_AGAIN;
    switch (f->state) {
    case FEED_OLDEST:
    case FEED_LOG:
        assert(f->log != NULL); /* invariant 1 */
        f->chunk = &f->log_chunk;
        return log_items_next(f->log, &f->log_chunk, why);
    case FEED_STORE:
        assert(f->fill != NULL); /* invariant 1 */
        e = fill_next(f->fill, &f->chunk, why);
        if (e == ERR_MISSING) f->state = FEED_STORE_END;
        return e == ERR_MISSING ? ERR_AGAIN : e;
    case FEED_GONE:
    case FEED_STORE_END:
    case FEED_STORE_MOVED:
        break;
    }
    return e;
}

/*
 * Handles items of the log that are lost before the record that was read. The record is handed on
 * only after the store has given these (catch_up.c), or they were counted as lost. False if it has
 * to wait.
 */
static bool
pass_hole(struct relay *r)
{
    struct chunk *c = &r->feed.log_chunk;
    uint64_t lost = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        lost += c->lost[kind];
    }
    if (lost == 0) return true;
    bool stored = r->options.tsdb != NULL;
    if (!stored || (r->feed.hole_pos == 0 && !account_hole(r, c))) return account_lost(r, c) == OK;
    if (r->feed.hole_pos == 0) {
        r->feed.hole_pos = c->pos;
        log_error("relay: part of the log is damaged, reading it from the store instead",
                  KV("destination", r->settings->name), KV("items", lost),
                  KV("before_position", c->pos));
    }
    return false;
}

/* Reads the next chunk and pushes it into the window. False if there is none now. */
static bool
next_chunk(struct relay *r)
{
    struct why why = {""};
    assert(r->feed.next == r->feed.count); /* invariant 2 */
    if (!r->feed.is_read) {
        enum err e = read_chunk(r, &why);
        if (e == ERR_AGAIN) return false;
        if (e == ERR_CORRUPT && r->feed.fill == NULL) { /* the next record shows what is lost */
            log_error("relay: cannot read part of the log, skipping it",
                      KV("destination", r->settings->name), KV("error", &why));
            return true;
        }
        if (e) {
            note_unread(r, e, &why);
            return false;
        }
        r->feed.is_read = true;
    }
    if (r->feed.fill == NULL && !pass_hole(r)) return false;
    if (r->feed.state == FEED_OLDEST) r->feed.state = FEED_LOG;
    if (window_push(r->window, r->feed.chunk, &r->feed.record) != OK) return false;
    r->feed.is_read = false;
    r->feed.next = 0;
    r->feed.count = r->feed.chunk->count;
    r->feed.over = relay_settled_before(r, r->feed.chunk);
    r->feed.untaken = account_chunk(r);
    return true;
}

/* The number of consecutive items, from the next one on, that are wanted, or that are not. */
static uint32_t
count_alike(struct relay *r, bool wanted)
{
    uint32_t i = r->feed.next;
    if (r->feed.untaken == 0) return wanted ? r->feed.count - i : 0;
    while (i < r->feed.count && relay_takes(r, r->feed.chunk, i, r->feed.log) == wanted) {
        i++;
    }
    return i - r->feed.next;
}

/*
 * Handles a sample whose series is damaged in the log: only the store has its labels. False if it
 * has to wait for these.
 */
static bool
pass_damaged(struct relay *r, const struct why *why)
{
    bool stored = r->options.tsdb != NULL;
    if (r->feed.damaged_pos != r->feed.chunk->pos) {
        log_error("relay: the labels of a series are lost in the log",
                  KV("destination", r->settings->name), KV("error", why),
                  KV("then", stored ? "reading its samples from the store"
                                    : "dropping its samples, counted as damaged"));
    }
    r->feed.damaged_pos = r->feed.chunk->pos;
    if (stored) r->feed.hole_pos = r->feed.chunk->end_pos;
    return !stored && pass_over(r, 1, FATE_DROPPED + DROP_DAMAGED) == OK;
}

/* Hands on the next item. False if it has to wait. */
static bool
feed_item(struct relay *r)
{
    struct why why = {""};
    struct item item;
    enum err e = OK;
    if (r->feed.fill != NULL)
        chunk_item(r->feed.chunk, r->feed.next, &item);
    else
        e = log_items_item(r->feed.log, r->feed.chunk, r->feed.next, &item, &why);
    if (e == ERR_CORRUPT) return pass_damaged(r, &why);
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    struct lane *lane = &r->lanes.all[item.series_hash % r->lanes.count];
    struct call_item at = {.record = r->feed.record, .index = r->feed.next, .count = 1};
    switch (lane_offer(r, lane, &item, at, &why)) {
    case LANE_TOOK:
        r->feed.next++;
        return true;
    case LANE_UNFIT:
        e = relay_bury(r, &at, &item, BURY_UNREPRESENTABLE, "unrepresentable", why.text);
        if (e == OK) r->feed.next++;
        return e == OK;
    case LANE_TOO_OLD:
        e = relay_settle(r, &at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
        if (e == OK) r->feed.next++;
        return e == OK;
    default:
        return false;
    }
}

bool
relay_feed(struct relay *r)
{
    for (uint32_t items = 0; items < FEED_ITEMS_MAX && r->feed.hole_pos == 0; items++) {
        while (r->feed.next == r->feed.count) {
            if (!next_chunk(r)) return false;
        }
        if (r->feed.over > 0) {
            if (pass_over(r, r->feed.over, FATE_PASSED) != OK) return false;
            r->feed.over = 0;
            continue;
        }
        uint32_t unwanted = count_alike(r, false);
        if (unwanted > 0) {
            if (pass_over(r, unwanted, FATE_NOT_TAKEN) != OK) return false;
            r->feed.untaken -= unwanted;
            continue;
        }
        if (r->feed.fill == NULL && r->feed.chunk->pos < r->state.drop_pos) {
            uint32_t dropped = count_alike(r, true);
            if (pass_over(r, dropped, FATE_DROPPED + r->state.drop_reason) != OK) return false;
            continue;
        }
        if (!feed_item(r)) return false;
    }
    return r->feed.hole_pos == 0;
}

void
feed_skip_ahead(struct relay *r)
{
    const struct feed *f = &r->feed;
    if (f->log == NULL || window_records(r->window) > 0 || f->is_read) return;
    bool read = log_items_pos(f->log) > r->state.cursor.pos && f->next == f->count;
    if (read) window_skip(r->window, (struct relay_cursor){.pos = log_items_pos(f->log)});
}

void
feed_rest(struct relay *r)
{
    struct feed *f = &r->feed;
    if (f->fill == NULL) return;
    int64_t now_ns = relay_now_ns(r);
    if (fill_pos(f->fill) != f->fill_read_pos) {
        f->fill_read_pos = fill_pos(f->fill);
        f->fill_read_ns = now_ns;
    } else if (now_ns - f->fill_read_ns >= FILL_REST_MS * NS_PER_MS) {
        fill_rest(f->fill);
        f->fill_read_ns = now_ns;
    }
}
