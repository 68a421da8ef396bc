/*
 * recover.c - reads the log from front to back: recovery, and verification.
 *
 * Both walk each segment with segment_walk(), give its records, and note losses. Damage is skipped
 * and counted; a torn tail is the end of the log.
 *
 * Invariant: totals never go back, except to those of a header or commit that is read after damage.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "wal/wal_private.h"

enum { REWRITE_PIECE_BYTES = 1024 * 1024 };

typedef enum err record_each(void *context, const struct wal_record *record, struct why *why);

struct log_walk {
    struct segment_reader reader;
    const char *dir;
    uint64_t from_pos;
    bool none_yet; /* a log without segments is not a loss */
    record_each *each;
    void *context;
    struct wal_damage *damage;
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted up to the last valid commit */
    bool totals_known;
    bool unsure;          /* the last damaged place is not covered by later totals so far */
    uint64_t end_pos;     /* position after the last commit, whole or damaged */
    uint64_t durable_pos; /* durable position that the last readable commit names */
    uint64_t sequence;    /* sequence number of the last readable commit */
    struct why *why;
};

/* --- losses ----------------------------------------------------------------------------------- */

/* Counts a damaged place; the first one is described. */
PRINTF_LIKE(3, 4)
static void
note_place(struct log_walk *w, uint64_t bytes, const char *format, ...)
{
    va_list args;
    w->damage->bytes += bytes;
    if (w->damage->places++ > 0) return;
    va_start(args, format);
    vsnprintf(w->damage->first, sizeof w->damage->first, format, args);
    va_end(args);
}

static void
note_range(struct log_walk *w, uint64_t from, uint64_t to, const char *reason)
{
    if (to <= w->from_pos) return;
    note_place(w, to - from, "%.180s at byte %" PRIu64 ": %.40s", w->reader.file.path,
               segment_offset(&w->reader.segment, from), reason);
}

/* Samples lost in damaged places show as a jump of the running totals after them. */
static void
note_totals(struct log_walk *w, const uint64_t *before, uint64_t pos)
{
    bool counts = w->totals_known && pos > w->from_pos, more = false;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        more |= counts && before[k] > w->totals[k];
    if (more && !w->damage->counts_from) {
        w->damage->counts_from = true;
        memcpy(w->damage->from_totals, w->totals, sizeof w->totals);
    }
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        if (counts && before[k] > w->totals[k]) w->damage->samples[k] += before[k] - w->totals[k];
        w->totals[k] = before[k];
    }
    w->totals_known = true;
    w->unsure = false;
}

/* Notes lost segments that the chain of headers does not reach. */
static void
note_lost_segments(struct log_walk *w, const struct segment_list *list)
{
    for (uint32_t i = 0; i < list->stray_count; i++) {
        const struct stray *s = &list->strays[i];
        if (!stray_is_loss(list, s, w->from_pos == 0)) continue;
        w->damage->samples_unknown = true;
        note_place(w, s->file_bytes, "%.160s: segment %016" PRIx64 " has no readable header",
                   w->dir, s->number);
    }
    bool none = list->count == 0 && w->damage->places == 0;
    if (none && w->from_pos > 0 && !w->none_yet) { /* the newest segment is never released */
        w->damage->samples_unknown = true;
        note_place(w, 0, "%.160s: no log segments found", w->dir);
    }
    if (list->count == 0 || w->from_pos == 0) return;
    const struct segment *oldest = &list->items[0];
    if (oldest->prev_number == 0 || w->from_pos >= oldest->prev_end_pos) return;
    w->damage->samples_unknown = true;
    note_place(w, oldest->prev_end_pos - w->from_pos, "%.160s: segment %016" PRIx64 " is missing",
               w->dir, oldest->prev_number);
}

/* --- records ---------------------------------------------------------------------------------- */

static enum err
recover_on_record(void *context, const struct raw_record *raw, const struct commit *commit,
                  bool salvaged)
{
    struct log_walk *w = context;
    bool wanted = raw->pos >= w->from_pos || raw->type == WAL_SERIES;
    if (!wanted || raw->type == WAL_COMMIT || raw->type == WAL_PADDING ||
        !record_is_known(raw->type, raw->version, raw->flags))
        return OK;
    struct wal_record record = segment_record(&w->reader, raw, commit, salvaged);
    enum err e = segment_unpack(&w->reader, raw, &record.payload, w->why);
    if (e == ERR_CORRUPT) {
        note_range(w, raw->pos, raw->end_pos, w->why->text);
        w->damage->samples_unknown = true; /* the totals count its samples as readable */
        return OK;
    }
    if (e) return e;
    return w->each == NULL ? OK : w->each(w->context, &record, w->why);
}

/* --- commits ---------------------------------------------------------------------------------- */

static void
note_commit(struct log_walk *w, uint64_t pos, const struct commit *commit)
{
    note_totals(w, commit->totals_before, pos);
    if (w->durable_pos < commit->durable_pos) w->durable_pos = commit->durable_pos;
    w->sequence = commit->sequence;
}

static enum err
recover_on_commit(void *context, uint64_t pos, const struct commit *commit)
{
    struct log_walk *w = context;
    note_commit(w, pos, commit);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        w->totals[k] += commit->accepted[k];
    return OK;
}

static enum err
recover_on_broken(void *context, const struct broken_commit *b)
{
    struct log_walk *w = context;
    if (b->commit != NULL) note_commit(w, b->pos, b->commit);
    if (b->durable) {
        note_range(w, b->bad_pos, b->next_pos, b->reason);
        w->unsure = true;
    } else {
        bool longer = b->commit != NULL && b->last_pos < b->commit->end_pos;
        w->damage->torn_bytes += (longer ? b->commit->end_pos : b->last_pos) - b->pos;
    }
    return OK;
}

static enum err
recover_on_gap(void *context, uint64_t from, uint64_t to, const char *reason)
{
    struct log_walk *w = context;
    struct wal_gaps *gaps = &w->damage->gaps;
    (void)reason;
    if (to <= w->from_pos || gaps->count == WAL_GAPS_MAX) return OK;
    assert(gaps->count == 0 || gaps->of[gaps->count - 1].to_pos <= from);
    gaps->of[gaps->count].from_pos = from;
    gaps->of[gaps->count++].to_pos = to;
    return OK;
}

/* --- whole segments --------------------------------------------------------------------------- */

/* Walks the segments from the one that holds `from_pos` on. The newest one's end becomes known. */
static enum err
walk_log(struct log_walk *w, struct segment_list *list)
{
    note_lost_segments(w, list);
    for (uint32_t i = 0; i < list->count; i++) {
        struct segment *s = &list->items[i];
        if (s->end_pos <= w->from_pos && s->end_pos != SEGMENT_POS_NONE) continue;
        const struct segment_visitor visitor = {
            .commit = recover_on_commit,
            .record = recover_on_record,
            .broken = recover_on_broken,
            .gap = recover_on_gap,
            .context = w,
        };
        enum err e = segment_reader_open(&w->reader, w->dir, s, w->why);
        if (e) return e;
        bool more = false; /* commits are lost as a whole: see wal_raise_totals() */
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            more |= s->totals[k] > w->totals[k];
        if (more && w->totals_known && !w->unsure && s->base_pos > w->from_pos) {
            note_place(w, 0, "%.160s: commits are missing before segment %016" PRIx64, w->dir,
                       s->number);
        }
        note_totals(w, s->totals, s->base_pos);
        w->durable_pos = s->base_pos;
        e = segment_walk(&w->reader, &visitor, &w->end_pos, w->why);
        if (e) return e;
        if (s->copy_damaged) {
            note_place(w, SEGMENT_COPY_BYTES, "%.180s: one of its two headers is damaged",
                       w->reader.file.path);
        }
        if (s->end_pos == SEGMENT_POS_NONE) s->end_pos = w->end_pos;
    }
    w->damage->samples_unknown |= w->unsure;
    return OK;
}

/* Notes where the log ends. If the newest segment has no commit, the one before has the end. */
static void
note_end(struct log_walk *w, const struct segment *newest)
{
    if (newest == NULL) return;
    bool unused = newest->end_pos == newest->base_pos;
    w->damage->end_pos = unused ? newest->prev_end_pos : newest->end_pos;
    memcpy(w->damage->totals, w->totals, sizeof w->totals);
    memcpy(w->damage->log_id, newest->log_id, sizeof newest->log_id);
}

/* --- making durable --------------------------------------------------------------------------- */

enum err
wal_rewrite(struct file *file, struct budget *memory, uint64_t from, uint64_t to, struct why *why)
{
    size_t room = to - from < REWRITE_PIECE_BYTES ? (size_t)(to - from) : REWRITE_PIECE_BYTES;
    uint8_t *piece = room == 0 ? NULL : mem_alloc(memory, room);
    enum err e = room > 0 && piece == NULL ? ERR_NOMEM : OK;
    while (e == OK && from < to) {
        size_t size = to - from < room ? (size_t)(to - from) : room;
        e = file_read_at(file, piece, size, from, why);
        if (e == OK) e = file_write_at(file, bytes_of(piece, size), from, why);
        from += size;
    }
    if (e == OK) e = file_sync(file, why);
    mem_free(memory, piece, room);
    return e;
}

/* Rewrites both copies of the header, from the one that is whole. */
static enum err
rewrite_header(struct file *file, uint64_t number, struct why *why)
{
    uint8_t header[SEGMENT_HEADER_BYTES] = {0};
    size_t size; /* less than all if the header was written in part */
    enum err e = file_read_some(file, header, sizeof header, 0, &size, why);
    if (e) return e;
    size_t copy = segment_header_copy(bytes_of(header, sizeof header), number);
    if (copy == SIZE_MAX)
        return why_set(why, ERR_CORRUPT, "%s: its header is no longer readable", file->path);
    struct bytes whole = bytes_of(header + copy, SEGMENT_COPY_BYTES);
    e = file_write_at(file, whole, 0, why);
    return e ? e : file_write_at(file, whole, SEGMENT_COPY_OFFSET, why);
}

/*
 * Makes the end of the log durable. A process that was killed may have left the newest commits, or
 * the newest header, in the page cache only; perhaps after a sync that failed, so that another sync
 * proves nothing. Readers must not see records that a power loss could take back, and the next
 * header will say that they are durable.
 */
static enum err
make_end_durable(struct wal *wal, const struct segment *newest, uint64_t durable_pos,
                 struct why *why)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, newest->number);
    if (e == OK) e = file_open(wal->env, path, FILE_UPDATE, &file, why);
    if (e == OK) e = rewrite_header(&file, newest->number, why);
    if (e == OK) {
        e = wal_rewrite(&file, wal->memory, segment_offset(newest, durable_pos),
                        segment_offset(newest, newest->end_pos), why);
    }
    e = err_first(e, file_close(&file));
    if (e) return e;
    /* A changed directory is synced even if an earlier sync of it failed. */
    e = path_join(path, sizeof path, wal->dir, "settle.tmp");
    if (e == OK) e = file_open(wal->env, path, FILE_REPLACE, &file, NULL);
    if (e == OK) e = file_close(&file);
    err_ignore(e, "it only makes sure that the directory is written again");
    err_ignore(env_unlink(wal->env, path, NULL), "swept when recovery ends");
    return env_syncdir(wal->env, wal->dir, why);
}

/* --- recovery and verification ---------------------------------------------------------------- */

enum err
wal_recover(struct wal *wal, uint64_t from_pos, record_each *each, void *context,
            struct wal_damage *ret_damage, struct why *why)
{
    memset(ret_damage, 0, sizeof *ret_damage);
    struct why local = {""};
    struct log_walk w = {
        .dir = wal->dir,
        .from_pos = from_pos,
        .none_yet = wal->none_yet,
        .each = each,
        .context = context,
        .damage = ret_damage,
        .why = why == NULL ? &local : why,
    };
    segment_reader_init(&w.reader, wal->env, wal->memory);
    enum err e = walk_log(&w, &wal->list);
    segment_reader_fini(&w.reader);
    const struct segment *newest = wal_last_segment(wal);
    if (e == OK && newest != NULL && !wal->read_only)
        e = make_end_durable(wal, newest, w.durable_pos, why);
    if (e) return e;
    note_end(&w, newest);
    lock_take(&wal->lock);
    assert(!wal->recovered);
    wal->recovered = true;
    assert(newest == NULL || ret_damage->end_pos <= wal->tried_pos); /* wal.c, invariant 7 */
    if (newest != NULL) wal->end_pos = wal->synced_pos = ret_damage->end_pos;
    memcpy(wal->totals, w.totals, sizeof wal->totals);
    wal->sequence_base = w.sequence;
    wal->down = wal->read_only;
    lock_drop(&wal->lock);
    if (!wal->read_only) segment_list_sweep(&wal->list, wal->env, wal->dir);
    return OK;
}

void
wal_raise_totals(struct wal *wal, const uint64_t totals[LEDGER_KIND_COUNT])
{
    lock_take(&wal->lock);
    assert(wal->recovered);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        if (wal->totals[k] < totals[k]) wal->totals[k] = totals[k];
    lock_drop(&wal->lock);
}

enum err
wal_verify(struct env *env, const char *dir, uint64_t from_pos, bool none_yet, record_each *each,
           void *context, struct wal_damage *ret_damage, struct why *why)
{
    memset(ret_damage, 0, sizeof *ret_damage);
    struct segment_list list;
    enum err e = segment_list_read(env, dir, NULL, &list, why);
    if (e) return e;
    struct why local = {""};
    struct log_walk w = {
        .dir = dir,
        .from_pos = from_pos,
        .none_yet = none_yet,
        .each = each,
        .context = context,
        .damage = ret_damage,
        .why = why == NULL ? &local : why,
    };
    segment_reader_init(&w.reader, env, NULL);
    e = walk_log(&w, &list);
    if (e == OK) note_end(&w, list.count == 0 ? NULL : &list.items[list.count - 1]);
    segment_reader_fini(&w.reader);
    segment_list_fini(&list, NULL);
    return e;
}
