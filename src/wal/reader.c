/*
 * reader.c - readers that follow the log while it is written.
 *
 * A reader looks up under the log's lock which segment holds its position and how far that is
 * committed, and reads the file without the lock. Bytes after the committed end are never read, and
 * those before it never change: except in a segment that is recycled while a reader lags, whose
 * checksums then fail.
 *
 * Invariants:
 *  1. Once the first segment is open, `pos` only rises. It does not change before a record can be
 *     returned, so that after ERR_IO and ERR_NOMEM the same call can be repeated.
 *  2. pass_pos only rises; segments that end after it stay unless the log has overtaken the reader.
 *  3. An open reader is in the log's list of readers.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "wal/wal_private.h"

/* Records that are read again are far apart, most of them smaller than this. */
enum { AGAIN_WINDOW_BYTES = 16 * 1024 };

enum err
wal_reader_open(struct wal *wal, const char *name, uint64_t pos, struct wal_reader **ret_reader,
                struct why *why)
{
    struct wal_reader *r = mem_new(wal->memory, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a log reader");
    r->wal = wal;
    snprintf(r->name, sizeof r->name, "%s", name);
    segment_reader_init(&r->reader, wal->env, wal->memory);
    segment_reader_init(&r->again, wal->env, wal->memory);
    r->again.window_bytes = AGAIN_WINDOW_BYTES;
    lock_take(&wal->lock);
    if (pos == 0) {
        pos = wal->end_pos;
        for (uint32_t i = wal->list.count; i-- > 0;)
            if (!wal->list.items[i].going) pos = wal->list.items[i].base_pos;
    }
    r->start_pos = r->pos = r->pass_pos = pos;
    r->next = wal->readers;
    wal->readers = r;
    lock_drop(&wal->lock);
    *ret_reader = r;
    return OK;
}

void
wal_reader_close(struct wal_reader *reader)
{
    if (reader == NULL) return;
    struct wal *wal = reader->wal;
    lock_take(&wal->lock);
    struct wal_reader **link = &wal->readers;
    while (*link != reader) {
        assert(*link != NULL); /* invariant 3 */
        link = &(*link)->next;
    }
    *link = reader->next;
    lock_drop(&wal->lock);
    segment_reader_fini(&reader->reader);
    segment_reader_fini(&reader->again);
    mem_free(wal->memory, reader, sizeof *reader);
}

void
wal_reader_pass(struct wal_reader *reader, uint64_t pos)
{
    lock_take(&reader->wal->lock);
    assert(pos >= reader->pass_pos); /* invariant 2 */
    reader->pass_pos = pos;
    lock_drop(&reader->wal->lock);
}

uint64_t
wal_reader_pos(const struct wal_reader *reader)
{
    return reader->pos < reader->start_pos ? reader->start_pos : reader->pos;
}

uint64_t
wal_reader_bad_pos(const struct wal_reader *reader)
{
    return reader->bad_pos < reader->start_pos ? reader->start_pos : reader->bad_pos;
}

bool
wal_reader_start_totals(const struct wal_reader *reader, uint64_t ret_totals[LEDGER_KIND_COUNT])
{
    if (reader->start_known) memcpy(ret_totals, reader->start_totals, sizeof reader->start_totals);
    return reader->start_known;
}

/* --- positions -------------------------------------------------------------------------------- */

/*
 * Finds the segment that holds the reader's position, or the next one after it, and the end of its
 * committed records. ERR_AGAIN: nothing is committed there. ERR_MISSING: it was released.
 */
static enum err
reader_place(struct wal_reader *r, struct segment *ret_segment, uint64_t *ret_limit)
{
    struct wal *wal = r->wal;
    enum err e = ERR_AGAIN;
    lock_take(&wal->lock);
    assert(wal->recovered);
    const struct segment *oldest = wal->list.count == 0 ? NULL : &wal->list.items[0];
    if (r->behind || (oldest != NULL && r->pos < oldest->prev_end_pos)) e = ERR_MISSING;
    for (uint32_t i = 0; e == ERR_AGAIN && i < wal->list.count; i++) {
        const struct segment *s = &wal->list.items[i];
        uint64_t limit = s->end_pos == SEGMENT_POS_NONE ? wal->end_pos : s->end_pos;
        if (r->pos >= limit || s->base_pos >= limit) continue; /* read, or never used */
        *ret_segment = *s;
        *ret_limit = limit;
        e = OK;
    }
    lock_drop(&wal->lock);
    return e;
}

/* Turns damage into ERR_MISSING if the segment was released meanwhile. */
static enum err
reader_blame(struct wal_reader *r, enum err e, const struct segment *segment)
{
    struct wal *wal = r->wal;
    if (e != ERR_CORRUPT && e != ERR_MISSING) return e;
    lock_take(&wal->lock);
    const struct segment *oldest = &wal->list.items[0];
    bool gone = r->behind || segment->number < oldest->number ||
                (segment->number == oldest->number && oldest->going);
    lock_drop(&wal->lock);
    return gone ? ERR_MISSING : e;
}

/* Opens a segment; the first one is read from its beginning, for its series records. */
static enum err
reader_enter(struct wal_reader *r, const struct segment *segment, struct why *why)
{
    if (r->open && r->reader.segment.number == segment->number) return OK;
    bool first = !r->open && r->reader.segment.number == 0;
    enum err e = segment_reader_open(&r->reader, r->wal->dir, segment, why);
    r->open = e == OK;
    if (e) {
        if (first) r->reader.segment.number = 0;
        return e;
    }
    r->commit_end = 0;
    r->salvaging = false;
    if (first || r->pos < segment->base_pos) r->pos = segment->base_pos;
    if (first && r->start_pos == segment->base_pos) {
        r->start_known = true;
        memcpy(r->start_totals, segment->totals, sizeof r->start_totals);
    }
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Moves on to the next whole record after damage. */
static enum err
reader_skip_bad(struct wal_reader *r, uint64_t bad_pos, uint64_t limit, struct why *why)
{
    struct why reason = why == NULL ? (struct why){""} : *why;
    struct raw_record raw;
    enum err e = segment_find(&r->reader, bad_pos + 8, limit, &raw, why);
    if (e != OK && e != ERR_MISSING) return e;
    r->pos = e == OK ? raw.pos : limit;
    assert(r->pos > bad_pos); /* invariant 1 */
    r->bad_pos = bad_pos;
    r->salvaging = true;
    return why_set(why, ERR_CORRUPT, "%s: positions %" PRIu64 " to %" PRIu64 " are damaged: %s",
                   r->reader.file.path, bad_pos, r->pos, reason.text);
}

/* Reads one record. *ret_given: the caller gets it. */
static enum err
reader_step(struct wal_reader *r, uint64_t limit, struct wal_record *ret_record, bool *ret_given,
            struct why *why)
{
    struct raw_record raw;
    *ret_given = false;
    enum err e = segment_read(&r->reader, r->pos, limit, &raw, why);
    if (e) return e;
    bool inside = raw.end_pos <= r->commit_end;
    bool wanted = raw.pos >= r->start_pos || raw.type == WAL_SERIES;
    if (raw.type == WAL_COMMIT) {
        struct commit commit;
        bool known = commit_unpack(&raw, &commit) == OK;
        r->commit_pos = raw.pos;
        r->realtime_ms = known ? commit.realtime_ms : 0;
        r->commit_end = known ? commit.end_pos : 0;
        r->records_end = known ? commit.end_pos - commit.padding_bytes : 0;
        r->sequence = known ? commit.sequence : 0;
        r->salvaging = !known;
        if (known) memcpy(r->totals, commit.totals_before, sizeof r->totals);
        if (known && commit.end_pos == r->start_pos) {
            r->start_known = true;
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
                r->start_totals[k] = commit.totals_before[k] + commit.accepted[k];
        }
    } else if (wanted && raw.type != WAL_PADDING &&
               record_is_known(raw.type, raw.version, raw.flags)) {
        struct wal_record record = {
            .pos = raw.pos,
            .commit_end_pos = inside ? r->commit_end : raw.end_pos,
            .realtime_ms = inside ? r->realtime_ms : 0,
            .segment = r->reader.segment.number,
            .epoch = inside ? r->sequence : 0,
            .type = raw.type,
            .version = raw.version,
            .skippable = (raw.flags & FLAG_SKIPPABLE) != 0,
            .salvaged = r->salvaging,
            .totals_known = inside,
        };
        if (inside) record.commit_pos = r->commit_pos;
        if (inside) memcpy(record.totals, r->totals, sizeof record.totals);
        e = segment_unpack(&r->reader, &raw, &record.payload, why);
        if (e) return e;
        *ret_record = record;
        *ret_given = true;
    }
    /* After its last record a commit is read whole: its padding is skipped. */
    uint64_t next = inside && raw.end_pos == r->records_end ? r->commit_end : raw.end_pos;
    assert(next > r->pos); /* invariant 1 */
    r->pos = next;
    return OK;
}

enum err
wal_reader_next(struct wal_reader *r, struct wal_record *ret_record, struct why *why)
{
    for (bool given = false; !given;) {
        struct segment segment;
        uint64_t limit;
        enum err e = reader_place(r, &segment, &limit);
        if (e) return e;
        e = reader_enter(r, &segment, why);
        if (e == OK) e = reader_step(r, limit, ret_record, &given, why);
        e = reader_blame(r, e, &segment);
        if (e == ERR_CORRUPT) return reader_skip_bad(r, r->pos, limit, why);
        if (e) return e;
    }
    return OK;
}

/* --- reading again ---------------------------------------------------------------------------- */

enum err
wal_reader_again(struct wal_reader *r, uint64_t pos, struct wal_record *ret_record, struct why *why)
{
    struct segment segment;
    uint64_t limit = 0;
    enum err e = ERR_MISSING;
    lock_take(&r->wal->lock);
    for (uint32_t i = 0; e && i < r->wal->list.count; i++) {
        segment = r->wal->list.items[i];
        limit = segment.end_pos == SEGMENT_POS_NONE ? r->wal->end_pos : segment.end_pos;
        if (!segment.going && pos >= segment.base_pos && pos < limit) e = OK;
    }
    lock_drop(&r->wal->lock);
    if (e) return why_set(why, e, "position %" PRIu64 " is no longer in the log", pos);
    if (r->again.segment.number != segment.number || r->again.file.handle < 0)
        e = segment_reader_open(&r->again, r->wal->dir, &segment, why);
    struct raw_record raw;
    if (e == OK) e = segment_read(&r->again, pos, limit, &raw, why);
    struct wal_record record = {.pos = pos, .segment = segment.number};
    if (e == OK) e = segment_unpack(&r->again, &raw, &record.payload, why);
    if (e) return reader_blame(r, e, &segment);
    record.type = raw.type;
    record.version = raw.version;
    record.skippable = (raw.flags & FLAG_SKIPPABLE) != 0;
    *ret_record = record;
    return OK;
}
