/*
 * feed.c - see feed.h. The states of a run; the diagram omits the prefixes FEED_ and feed_:
 *
 *     begin()
 *     the oldest of the log --> OLDEST --- open_chunk() ---> LOG <-- begin(): from the cursor
 *                                 |                           |
 *                                 | read(): the log           | read(), gets_again()
 *                                 | has removed it            v
 *                                 +-----------------------> GONE
 *
 *     the store ------------> STORE --- read(): that was all -----> STORE_END
 *                                 |                                     |
 *                                 | moved(): it has changed             |
 *                                 +-----------> STORE_MOVED <-----------+
 *
 * In GONE, STORE_END and STORE_MOVED nothing further is read, and catch_up.c begins another run. It
 * also does so where the log is damaged and the store may have the lost items: reading waits before
 * a hole (`hole_pos`); for an item that cannot be read again (`reload_pos`) only its call waits.
 *
 * Invariants:
 * 1. The log is open in OLDEST and LOG, the store in STORE, STORE_END and STORE_MOVED. Never both.
 * 2. `next` is at most `count`; a chunk is read and opened only when they are equal.
 * 3. Holes are only in the log: hole_pos and reload_pos are 0 while the store is read.
 * 4. From a hole on, no record is opened before the items of the hole are accounted for: they are
 *    counted as lost, or the run ends and the next one reads them from the store. Until then the
 *    cursor stays at or before the start of the hole.
 */
#include "relay/feed/feed.h"

#include <assert.h>

#include "base/log.h"

enum {
    FILL_REST_MS = 10 * 1000, /* the store is released if nothing was read for so long */
    LABEL_CACHE_BYTES = 2 * 1024 * 1024,
    FILL_KEPT_BYTES = 4 * 1024 * 1024,
    FILL_WINDOW_MS = 6 * 3600 * 1000,
    /* A window short enough to have at most one sample of most series, so that calls which may hold
     * one sample of each series get many. */
    FILL_MOMENT_MS = 10 * 1000,
};

/* --- beginning and end ------------------------------------------------------------------------ */

void
feed_init(struct feed *f, const struct relay_context *context)
{
    *f = (struct feed){.context = context};
}

static enum err
open_log(struct feed *f, const struct feed_start *start, struct why *why)
{
    const struct relay_context *c = f->context;
    uint64_t limit = relay_memory_limit(c);
    bool scarce = limit > 0 && limit / 8 < LABEL_CACHE_BYTES;
    struct log_items_options options = {
        .wal = c->options.wal,
        .name = c->settings->name,
        .selection = c->selection,
        .memory = c->options.memory,
        .cache_bytes = scarce ? (size_t)(limit / 8) : LABEL_CACHE_BYTES,
        .begin = start->log_count,
    };
    enum err e = log_items_open(&options, start->cursor.pos, &f->log, why);
    f->state = start->cursor.pos == 0 ? FEED_OLDEST : FEED_LOG;
    if (e == OK && f->state == FEED_OLDEST) f->from.pos = log_items_pos(f->log);
    if (e != ERR_MISSING) return e;
    f->state = FEED_GONE;
    return OK;
}

static enum err
open_fill(struct feed *f, const struct feed_start *start, const struct writer_limits *limits,
          struct why *why)
{
    const struct relay_context *c = f->context;
    if (c->options.tsdb == NULL) {
        return why_set(why, ERR_INPUT,
                       "cannot continue reading the store: there is none with storage.mode=none");
    }
    bool all = start->begin_pos <= start->stretch.from_pos;
    struct fill_options options = {
        .env = c->options.env,
        .tsdb = c->options.tsdb,
        .name = c->settings->name,
        .selection = c->selection,
        .memory = c->options.memory,
        .stretch = start->stretch,
        .min_ms = all ? INT64_MIN : start->begin_ms,
        .window_ms = limits->one_of_a_series ? FILL_MOMENT_MS : FILL_WINDOW_MS,
        .takes_metadata = limits->takes_metadata,
        .kept_bytes = FILL_KEPT_BYTES,
    };
    f->state = FEED_STORE;
    return fill_open(&options, start->cursor.pos, start->place, &f->fill, why);
}

enum err
feed_begin(struct feed *f, const struct feed_start *start, const struct writer_limits *limits,
           struct why *why)
{
    f->from = start->cursor;
    f->begin_ms = start->begin_ms;
    f->begin_pos = start->begin_pos;
    f->takes_metadata = limits->takes_metadata;
    chunk_init(&f->log_chunk, f->context->options.memory);
    chunk_init(&f->read_again, f->context->options.memory);
    return start->from_store ? open_fill(f, start, limits, why) : open_log(f, start, why);
}

void
feed_end(struct feed *f)
{
    log_items_close(f->log);
    fill_close(f->fill);
    chunk_fini(&f->log_chunk);
    chunk_fini(&f->read_again);
    feed_init(f, f->context);
}

/* --- items read again ------------------------------------------------------------------------- */

/* Notes that the store has changed since it was read. Nothing is lost: items that are not settled
 * are read once more. */
static void
store_moved(struct feed *f)
{
    assert(f->fill != NULL); /* invariant 1 */
    f->state = FEED_STORE_MOVED;
}

bool
feed_gets_again(struct feed *f, uint64_t pos, enum err e)
{
    assert(f->fill == NULL); /* invariants 1 and 3 */
    if (e == ERR_MISSING) f->state = FEED_GONE;
    if (e == ERR_MISSING || f->context->options.tsdb == NULL) return e == ERR_MISSING;
    f->reload_pos = pos + 1;
    return true;
}

enum err
feed_load(struct feed *f, uint64_t pos, uint32_t index, struct item *ret_item, struct why *why)
{
    enum err e = OK;
    if (f->fill != NULL) {
        const struct chunk *chunk;
        e = fill_load(f->fill, pos, &chunk, why);
        if (e == OK) chunk_item(chunk, index, ret_item);
        if (e != ERR_CORRUPT) return e;
        store_moved(f);
        return ERR_AGAIN;
    }
    if (f->read_again_pos != pos) {
        f->read_again_pos = 0;
        e = log_items_load(f->log, pos, &f->read_again, why);
        if (e) return e;
        f->read_again_pos = pos;
    }
    if (index >= f->read_again.count)
        return why_set(why, ERR_CORRUPT, "a record of the log has changed since it was read");
    return log_items_item(f->log, &f->read_again, index, ret_item, why);
}

void
feed_forget(struct feed *f, uint64_t pos, uint64_t segment)
{
    if (segment == 0) segment = f->log_chunk.segment;
    if (f->fill != NULL) fill_pass(f->fill, pos);
    if (f->log != NULL) log_items_pass(f->log, pos, segment);
}

enum err
feed_place(struct feed *f, uint64_t pos, struct buf *to, struct why *why)
{
    enum err e = fill_place(f->fill, pos, to, why);
    if (e == ERR_CORRUPT) store_moved(f);
    return e;
}

/* --- chunks ----------------------------------------------------------------------------------- */

/* Reads the next chunk. ERR_AGAIN: there is none now. */
static enum err
read_chunk(struct feed *f, struct why *why)
{
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
 * Notes what the log could not give: damage, which shows where the bytes are, or a record before
 * which items are missing by the log's totals. These were at the end of the log when the server was
 * started last, or earlier; or they are those of damage in the commit before.
 */
static void
note_hole(struct feed *f, enum err e, uint64_t before_pos)
{
    const struct tsdb *tsdb = f->context->options.tsdb;
    uint64_t pos = log_items_pos(f->log), lost = 0;
    if (e == ERR_CORRUPT) before_pos = log_items_damage_pos(f->log);
    bool damaged =
        e == ERR_CORRUPT && pos > before_pos; /* else it is before the start of the run */
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && e == OK; kind++)
        lost += f->log_chunk.lost[kind];
    if (!damaged && lost == 0) return;
    if (f->hole.begin_pos == 0) f->hole = (struct log_hole){before_pos, before_pos, false};
    if (damaged) f->hole.end_pos = pos;
    bool lacks = tsdb == NULL;
    if (!lacks && damaged)
        lacks = tsdb_lacks(tsdb, log_items_bad_pos(f->log), pos);
    else if (!lacks)
        lacks = tsdb_lacks_end(tsdb, f->hole.begin_pos);
    f->hole.stored |= !lacks;
    assert(f->hole.begin_pos <= f->hole.end_pos); /* invariant 4 */
}

enum err
feed_read(struct feed *f, struct why *why)
{
    assert(f->next == f->count); /* invariant 2 */
    if (f->is_read) return OK;
    uint64_t before = f->log == NULL ? 0 : log_items_pos(f->log);
    enum err e = read_chunk(f, why);
    f->is_read = e == OK;
    if (f->log != NULL) note_hole(f, e, before);
    if (e == ERR_MISSING) f->state = FEED_GONE; /* catch_up() acts on it */
    return e;
}

void
feed_open_chunk(struct feed *f, uint64_t record)
{
    assert(f->is_read);
    if (f->state == FEED_OLDEST) f->state = FEED_LOG;
    f->is_read = false;
    f->hole = (struct log_hole){0}; /* its items are accounted for */
    f->record = record;
    f->next = 0;
    f->count = f->chunk->count;
    f->over = feed_settled_before(f, f->chunk);
    f->untaken = 0;
}

void
feed_note_untaken(struct feed *f, uint32_t count)
{
    assert(count <= f->count - f->next - f->over);
    f->untaken = count;
}

bool
feed_wait_at_hole(struct feed *f)
{
    assert(f->fill == NULL); /* invariant 3 */
    if (!f->hole.stored) return false;
    assert(f->hole.begin_pos != 0); /* invariant 4 */
    f->hole_pos = f->is_read ? f->log_chunk.pos : f->hole.end_pos;
    log_error("relay: part of the log is damaged, reading it from the store instead",
              KV("destination", f->context->settings->name),
              KV("after_position", f->hole.begin_pos), KV("before_position", f->hole_pos));
    return true;
}

void
feed_hole_counted(struct feed *f, unsigned kind)
{
    f->log_chunk.lost[kind] = 0;
}

bool
feed_wait_at_damage(struct feed *f, const struct why *why)
{
    bool stored = f->context->options.tsdb != NULL;
    assert(f->fill == NULL); /* invariant 3 */
    if (f->damaged_pos != f->chunk->pos) {
        log_error("relay: the labels of a series are lost in the log",
                  KV("destination", f->context->settings->name), KV("error", why),
                  KV("then", stored ? "reading its samples from the store"
                                    : "dropping its samples, counted as damaged"));
    }
    f->damaged_pos = f->chunk->pos;
    if (stored) f->hole_pos = f->chunk->end_pos;
    return stored;
}

/* --- items ------------------------------------------------------------------------------------ */

/* Says whether the destination wants item `i` of a chunk that `log` has read. */
static bool
takes(const struct feed *f, const struct chunk *c, uint32_t i, struct log_items *log)
{
    if (c->filled) return true;
    if (c->kind == ITEM_METADATA) return f->takes_metadata && log_items_takes(log, c, i);
    if (c->pos < f->begin_pos && chunk_time_ms(c, i) < f->begin_ms) return false;
    return log_items_takes(log, c, i);
}

uint32_t
feed_count_wanted(const struct feed *f, const struct chunk *c, uint32_t from, struct log_items *log)
{
    uint32_t wanted = 0;
    if (log == NULL) log = f->log;
    for (uint32_t i = from; i < c->count; i++)
        wanted += takes(f, c, i, log);
    return wanted;
}

uint32_t
feed_settled_before(const struct feed *f, const struct chunk *c)
{
    const struct relay_cursor *from = &f->from;
    if (is_fill_pos(from->pos) != c->filled)
        return 0; /* a chunk of the log, read ahead while the store is read */
    if (c->pos < from->pos) return c->count;
    if (c->pos > from->pos) return 0;
    return from->index < c->count ? from->index : c->count;
}

uint32_t
feed_count_alike(struct feed *f, bool wanted)
{
    uint32_t i = f->next;
    if (f->untaken == 0) return wanted ? f->count - i : 0;
    while (i < f->count && takes(f, f->chunk, i, f->log) == wanted)
        i++;
    return i - f->next;
}

enum err
feed_item(struct feed *f, struct item *ret_item, struct why *why)
{
    if (f->fill != NULL) {
        chunk_item(f->chunk, f->next, ret_item);
        return OK;
    }
    enum err e = log_items_item(f->log, f->chunk, f->next, ret_item, why);
    if (e == ERR_MISSING) f->state = FEED_GONE; /* catch_up() acts on it */
    return e;
}

void
feed_pass_untaken(struct feed *f, uint32_t count)
{
    assert(count <= f->untaken);
    feed_pass(f, count);
    f->untaken -= count;
}

/* --- progress of reading ---------------------------------------------------------------------- */

/* True if a record of the log was read that is not in the window. */
static bool
has_unread(const struct feed *f)
{
    return f->fill == NULL && f->is_read;
}

uint64_t
feed_read_pos(const struct feed *f)
{
    if (f->log == NULL) return 0;
    if (f->hole.begin_pos != 0 && f->context->options.tsdb != NULL) return f->hole.begin_pos;
    return has_unread(f) ? f->log_chunk.pos : log_items_pos(f->log);
}

struct log_count
feed_read_count(const struct feed *f)
{
    struct log_count count = *log_items_count(f->log);
    const struct chunk *c = &f->log_chunk;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && has_unread(f); kind++)
        count.of[kind] -= c->lost[kind] + (c->kind == kind ? c->count : 0);
    return count;
}

uint64_t
feed_given_pos(const struct feed *f)
{
    if (f->log == NULL || f->is_read || f->next < f->count) return 0;
    return f->hole.begin_pos != 0 ? f->hole.begin_pos : log_items_pos(f->log);
}

bool
feed_found_damage(const struct feed *f)
{
    return f->fill != NULL && fill_found_damage(f->fill);
}

void
feed_left_out(const struct feed *f, struct samples_left_out *add_to)
{
    if (f->fill != NULL) fill_left_out(f->fill, add_to);
}

void
feed_rest(struct feed *f)
{
    if (f->fill == NULL) return;
    int64_t now_ns = relay_now_ns(f->context);
    if (fill_pos(f->fill) != f->fill_read_pos) {
        f->fill_read_pos = fill_pos(f->fill);
        f->fill_read_ns = now_ns;
    } else if (now_ns - f->fill_read_ns >= FILL_REST_MS * NS_PER_MS) {
        fill_rest(f->fill);
        f->fill_read_ns = now_ns;
    }
}
