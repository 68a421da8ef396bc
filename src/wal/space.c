/*
 * space.c - the disk space of a log: files prepared in advance, released segments, the budget.
 *
 * Prepared files for the next segments are named by index and used as a stack. The first one is
 * filled with zeros before it is needed; later, released segments are recycled. The number of files
 * that a log needs varies: so some are kept, as long as the budget has room for a new segment.
 *
 * Invariants, under the log's lock:
 *  1. prepared.count <= PREPARED_MAX; files 0 to count - 1 exist, or were removed by others.
 *  2. With prepared.busy one thread works on a prepared file; only that thread changes count.
 *  3. The newest segment is never released. A segment that is `going` is the oldest one, and only
 *     one is.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "wal/wal_private.h"

enum { PREPARE_PIECE_BYTES = 1024 * 1024 };

static const char HALF_NAME[] = "half-prepared.tmp";

/* --- the budget ------------------------------------------------------------------------------- */

/* The sizes of all files, in bytes. */
static uint64_t
used_bytes_locked(const struct wal *wal)
{
    uint64_t bytes = wal->prepared.making_bytes;
    for (uint32_t i = 0; i < wal->prepared.count; i++) {
        bytes += wal->prepared.bytes[i];
    }
    for (uint32_t i = 0; i < wal->list.count; i++) {
        bytes += wal->list.items[i].file_bytes;
    }
    return bytes;
}

bool
wal_over_budget_locked(const struct wal *wal)
{
    /* There is always one segment; a budget smaller than that must not stop all writers. */
    return wal->budget_bytes != 0 && wal->list.count > 1 &&
           used_bytes_locked(wal) > wal->budget_bytes;
}

/* True if there is room for another file of a segment's size. */
static bool
has_room_locked(const struct wal *wal)
{
    return wal->budget_bytes == 0 ||
           used_bytes_locked(wal) + wal_segment_file_bytes(wal) <= wal->budget_bytes;
}

void
wal_set_budget(struct wal *wal, uint64_t budget_bytes)
{
    lock_take(&wal->lock);
    wal->budget_bytes = budget_bytes;
    lock_drop(&wal->lock);
}

/* --- prepared files --------------------------------------------------------------------------- */

static enum err
prepared_path(const struct wal *wal, uint32_t index, char *to, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "prepared-%" PRIu32 ".tmp", index);
    return path_join(to, size, wal->dir, name);
}

bool
wal_next_is_near(struct wal *wal)
{
    lock_take(&wal->lock);
    const struct segment *last = wal_last_segment(wal);
    bool near = last == NULL || last->base_pos + wal->segment_bytes / 2 <= wal->end_pos;
    lock_drop(&wal->lock);
    return near;
}

enum err
wal_prepare(struct wal *wal, struct why *why)
{
    struct wal_prepared *p = &wal->prepared;
    lock_take(&wal->lock);
    bool wanted = !p->busy && p->count == 0 && !wal->down && has_room_locked(wal);
    if (wanted) {
        p->busy = true;
        p->making_bytes = wal_segment_file_bytes(wal);
    }
    lock_drop(&wal->lock);
    if (!wanted) return OK;
    char half[256], path[256];
    enum err e = path_join(half, sizeof half, wal->dir, HALF_NAME);
    if (e == OK) e = prepared_path(wal, 0, path, sizeof path);
    if (e == OK) {
        /* Writes zeros to the whole of a new file, so that later syncs need not write its block
         * map. */
        struct file file = FILE_CLOSED;
        uint8_t *zeros = mem_new(wal->memory, PREPARE_PIECE_BYTES);
        e = zeros == NULL ? why_set(why, ERR_NOMEM, "not enough memory to prepare a log segment")
                          : file_open(wal->env, half, FILE_REPLACE, &file, why);
        uint64_t size = wal_segment_file_bytes(wal);
        for (uint64_t at = 0; e == OK && at < size; at += PREPARE_PIECE_BYTES) {
            uint64_t piece = size - at < PREPARE_PIECE_BYTES ? size - at : PREPARE_PIECE_BYTES;
            e = file_write_at(&file, bytes_of(zeros, piece), at, why);
        }
        if (e == OK) e = file_sync(&file, why);
        enum err closed = file_close(&file);
        mem_free(wal->memory, zeros, PREPARE_PIECE_BYTES);
        e = err_first(e, closed);
    }
    if (e == OK) e = env_rename(wal->env, half, path, why);
    if (e) err_ignore(env_unlink(wal->env, half, NULL), "swept when the log is opened");
    lock_take(&wal->lock);
    assert(p->busy);       /* invariant 2 */
    assert(p->count == 0); /* invariant 2 */
    if (e == OK) p->bytes[p->count++] = p->making_bytes;
    p->making_bytes = 0;
    p->busy = false;
    lock_drop(&wal->lock);
    return e;
}

/* Takes the last file, until prepared_taken(). False without a file, or if a thread is busy. */
static bool
prepared_take_locked(struct wal *wal)
{
    struct wal_prepared *p = &wal->prepared;
    if (p->busy || p->count == 0) return false;
    p->busy = true;
    return true;
}

static void
prepared_taken(struct wal *wal, bool gone)
{
    lock_take(&wal->lock);
    assert(wal->prepared.busy);      /* invariant 2 */
    assert(wal->prepared.count > 0); /* invariant 2 */
    wal->prepared.busy = false;
    if (gone) wal->prepared.count--;
    lock_drop(&wal->lock);
}

enum err
wal_take_prepared(struct wal *wal, const char *path, struct file *ret_file, struct why *why)
{
    char from[256];
    lock_take(&wal->lock);
    bool taken = prepared_take_locked(wal);
    uint32_t count = wal->prepared.count;
    lock_drop(&wal->lock);
    enum err e = taken ? prepared_path(wal, count - 1, from, sizeof from) : ERR_MISSING;
    if (e == OK) e = env_rename(wal->env, from, path, why);
    if (taken) prepared_taken(wal, e == OK || e == ERR_MISSING);
    if (e == ERR_MISSING) return file_open(wal->env, path, FILE_REPLACE, ret_file, why);
    return e ? e : file_open(wal->env, path, FILE_UPDATE, ret_file, why);
}

/* Removes prepared files but one while the budget has no room for a new segment. */
static enum err
remove_spares(struct wal *wal, struct why *why)
{
    for (;;) {
        char path[256];
        lock_take(&wal->lock);
        uint32_t count = wal->prepared.count;
        bool go = count > 1 && !has_room_locked(wal) && prepared_take_locked(wal);
        lock_drop(&wal->lock);
        if (!go) return OK;
        enum err e = prepared_path(wal, count - 1, path, sizeof path);
        if (e == OK) e = env_unlink(wal->env, path, why);
        if (e == ERR_MISSING) e = OK;
        prepared_taken(wal, e == OK);
        if (e) return e;
    }
}

/* --- released segments ------------------------------------------------------------------------ */

/* Counts the readers that still need records before `pos`; with `leave_behind` marks them. */
static unsigned
readers_before_locked(struct wal *wal, uint64_t pos, bool leave_behind)
{
    unsigned count = 0;
    for (struct wal_reader *r = wal->readers; r != NULL; r = r->next) {
        if (r->behind || r->pass_pos >= pos) continue;
        count++;
        if (leave_behind) r->behind = true;
    }
    return count;
}

/* Marks the oldest segment as going, if it may be released; it stays in the list until its file is
 * removed. Segments that readers need are released before the budget is reached: the next segment
 * needs room, too. */
static bool
oldest_take_locked(struct wal *wal, uint64_t store_pos, struct segment *ret_segment,
                   bool *ret_recycle)
{
    if (wal->list.count < 2) return false; /* invariant 3 */
    struct segment *oldest = &wal->list.items[0];
    assert(!oldest->going);         /* invariant 3 */
    uint64_t end = oldest->end_pos; /* known: it is not the newest */
    if (end > store_pos) return false;
    struct wal_prepared *p = &wal->prepared;
    bool tight = p->count == 0 ? !has_room_locked(wal) : wal_over_budget_locked(wal);
    if (readers_before_locked(wal, end, false) > 0) {
        if (!tight || wal->keep_for_readers) return false;
        readers_before_locked(wal, end, true);
    }
    oldest->going = true;
    uint64_t whole = wal_segment_file_bytes(wal), bytes = oldest->file_bytes;
    *ret_segment = *oldest;
    bool room = p->count == 0 ? !wal_over_budget_locked(wal) : has_room_locked(wal);
    *ret_recycle =
        !p->busy && p->count < PREPARED_MAX && bytes >= whole && bytes <= 2 * whole && room;
    if (*ret_recycle) p->busy = true;
    return true;
}

enum err
wal_trim(struct wal *wal, uint64_t store_pos, struct why *why)
{
    enum err e = remove_spares(wal, why);
    while (e == OK) {
        char path[256], prepared[256];
        struct segment oldest;
        bool recycle = false;
        lock_take(&wal->lock);
        bool go = oldest_take_locked(wal, store_pos, &oldest, &recycle);
        uint32_t index = wal->prepared.count;
        lock_drop(&wal->lock);
        if (!go) break;
        e = segment_path(path, sizeof path, wal->dir, oldest.number);
        if (e == OK) e = prepared_path(wal, index, prepared, sizeof prepared);
        if (e == OK && recycle) e = env_rename(wal->env, path, prepared, why);
        if (e == OK && !recycle) e = env_unlink(wal->env, path, why);
        struct wal_prepared *p = &wal->prepared;
        lock_take(&wal->lock);
        assert(wal->list.count > 1);                        /* invariant 3 */
        assert(wal->list.items[0].number == oldest.number); /* invariant 3 */
        assert(wal->list.items[0].going);                   /* invariant 3 */
        if (e == OK || e == ERR_MISSING) { /* missing: removed by another process */
            memmove(wal->list.items, wal->list.items + 1,
                    --wal->list.count * sizeof *wal->list.items);
        } else {
            wal->list.items[0].going = false;
        }
        if (recycle && e == OK) {
            assert(p->count < PREPARED_MAX); /* invariant 1 */
            p->bytes[p->count++] = oldest.file_bytes;
            wal->stats.segments_recycled_total++;
        }
        if (recycle) p->busy = false;
        lock_drop(&wal->lock);
        if (e == ERR_MISSING) e = OK;
    }
    return e;
}

/*
 * A crash or a failure left a segment unfinished: after its end are bytes that were never
 * committed, or zeros, which readers do not read. If it is released or recycled meanwhile, nothing
 * is lost: only the committing thread, which is here, opens a recycled file as a segment.
 */
void
wal_cut_tail(struct wal *wal, uint64_t number, uint64_t file_bytes)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, number);
    if (e == OK) e = file_open(wal->env, path, FILE_UPDATE, &file, NULL);
    if (e == OK) e = file_truncate(&file, file_bytes, NULL);
    file_close(&file);
    if (e == OK) {
        lock_take(&wal->lock);
        for (uint32_t i = 0; i < wal->list.count; i++) {
            struct segment *s = &wal->list.items[i];
            if (s->number == number) s->file_bytes = file_bytes;
        }
        lock_drop(&wal->lock);
    }
    err_ignore(e, "the room comes back when the segment is released");
}

void
wal_stats(struct wal *wal, struct wal_stats *ret_stats)
{
    lock_take(&wal->lock);
    struct wal_stats s = wal->stats;
    s.end_pos = wal->end_pos;
    s.next_pos = wal->tried_pos;
    memcpy(s.totals, wal->totals, sizeof s.totals);
    s.begin_pos = wal->list.count == 0 ? wal->end_pos : wal->list.items[0].base_pos;
    s.before_pos = wal->list.count == 0 ? wal->end_pos : wal->list.items[0].prev_end_pos;
    if (s.before_pos == WAL_FIRST_POS) s.before_pos = 0;
    s.segment_count = wal->list.count;
    s.segment_bytes = used_bytes_locked(wal);
    for (struct wal_reader *r = wal->readers; r != NULL; r = r->next) {
        s.readers++;
        s.readers_behind += r->behind;
    }
    s.down = wal->down;
    s.over_budget = wal_over_budget_locked(wal);
    lock_drop(&wal->lock);
    *ret_stats = s;
}
