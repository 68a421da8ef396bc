/*
 * read.c - the reading half of the log: recovery, checking, and readers that follow.
 *
 * All three walk commit by commit. What to make of a place that cannot be read is decided in one
 * function, place_is_damage(): either it was durable once (damage: skip it, say so), or it never
 * was (a torn tail).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "wal/internal.h"

typedef enum err record_each(void *context, const struct wal_record *record, struct why *why);

struct walk {
    struct segment_reader reader;
    uint64_t from_pos;
    record_each *each;
    void *context;
    struct wal_damage *damage;
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted up to the last whole commit */
    bool totals_known;
    uint64_t end_pos; /* of the last whole commit */
    struct why *why;
};

/* --- one record, given on ------------------------------------------------------------------------
 */

static enum err
record_check_known(const struct raw_record *raw, struct why *why)
{
    if (wal_type_known(raw->type, raw->version) || (raw->flags & FLAG_SKIPPABLE)) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "the log holds a record of type %u version %u, which a newer program wrote",
                   raw->type, raw->version);
}

static enum err
walk_give(struct walk *w, const struct raw_record *raw, const struct commit *commit, bool salvaged)
{
    bool wanted = raw->pos >= w->from_pos || raw->type == WAL_SERIES;
    if (w->each == NULL || !wanted) return OK;
    enum err e = record_check_known(raw, w->why);
    if (e) return e;
    if (!wal_type_known(raw->type, raw->version)) return OK;
    struct wal_record record = {
        .pos = raw->pos,
        .commit_end_pos = commit == NULL ? raw->end_pos : commit->end_pos,
        .segment = w->reader.segment.number,
        .epoch = commit == NULL ? 0 : commit->epoch,
        .type = raw->type,
        .version = raw->version,
        .salvaged = salvaged,
    };
    e = segment_unpack(&w->reader, raw, &record.payload, w->why);
    return e ? e : w->each(w->context, &record, w->why);
}

static enum err
walk_give_commit(struct walk *w, uint64_t pos, const struct commit *commit)
{
    struct raw_record raw = {.end_pos = pos};
    while (raw.end_pos < commit->end_pos) {
        enum err e = segment_read(&w->reader, raw.end_pos, commit->end_pos, &raw, w->why);
        if (e) return e;
        if (raw.type == WAL_COMMIT) continue;
        e = walk_give(w, &raw, commit, false);
        if (e) return e;
    }
    return OK;
}

/* --- damage or torn tail
 * --------------------------------------------------------------------------- */

/*
 * Was `bad_pos` ever durable? Looks for a commit record behind it that says so. `ret_next` is where
 * whole commits may go on: the first commit record behind it, or `limit`.
 */
static enum err
place_is_damage(struct segment_reader *reader, uint64_t bad_pos, bool durable, uint64_t limit,
                bool *ret_damage, uint64_t *ret_next, struct why *why)
{
    bool found = false;
    uint64_t next = limit;
    *ret_damage = durable;
    for (uint64_t pos = bad_pos + 8; pos < limit;) {
        struct raw_record raw;
        struct commit commit;
        enum err e = segment_find(reader, pos, limit, &raw, why);
        if (e == ERR_MISSING) break;
        if (e) return e;
        pos = raw.end_pos;
        if (commit_unpack(&raw, &commit) != OK) continue;
        if (!found) next = raw.pos;
        found = true;
        if (commit.durable_pos > bad_pos) *ret_damage = true;
        if (*ret_damage) break;
    }
    *ret_next = next;
    return OK;
}

static void
damage_note(struct wal_damage *damage, const struct segment_reader *reader, uint64_t from,
            uint64_t to, const char *reason)
{
    damage->bytes += to - from;
    if (damage->places++ == 0) {
        snprintf(damage->first, sizeof damage->first, "%.180s at byte %" PRIu64 ": %.40s",
                 reader->file.path, from - reader->segment.base_pos + SEGMENT_HEADER_BYTES, reason);
    }
}

/* Gives on what is whole between two places; not the commit records. */
static enum err
walk_salvage(struct walk *w, uint64_t from, uint64_t to)
{
    uint64_t pos = from;
    while (pos < to) {
        struct raw_record raw;
        enum err e = segment_find(&w->reader, pos, to, &raw, w->why);
        if (e == ERR_MISSING) return OK;
        if (e) return e;
        pos = raw.end_pos;
        if (raw.type == WAL_COMMIT) continue;
        e = walk_give(w, &raw, NULL, true);
        if (e) return e;
    }
    return OK;
}

static enum err
walk_bad_place(struct walk *w, uint64_t pos, uint64_t bad_pos, uint64_t limit, bool durable,
               uint64_t *ret_next)
{
    struct why reason = w->why == NULL ? (struct why){""} : *w->why;
    bool damage;
    uint64_t next;
    enum err e = place_is_damage(&w->reader, bad_pos, durable, limit, &damage, &next, w->why);
    if (e) return e;
    if (!damage) {
        w->damage->torn_bytes += limit > pos && durable ? limit - pos : 0;
        *ret_next = SEGMENT_POS_NONE;
        return OK;
    }
    damage_note(w->damage, &w->reader, bad_pos, next, reason.text);
    *ret_next = next;
    return walk_salvage(w, pos, next);
}

/* What stood in damaged places shows as a jump of the running totals. */
static void
walk_count(struct walk *w, const struct commit *commit)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        if (w->totals_known && commit->totals_before[k] > w->totals[k]) {
            w->damage->samples[k] += commit->totals_before[k] - w->totals[k];
        }
        w->totals[k] = commit->totals_before[k] + commit->accepted[k];
    }
    w->totals_known = true;
}

/* --- whole segments
 * ----------------------------------------------------------------------------------- */

static enum err
walk_segment(struct walk *w, const char *dir, const struct segment *segment)
{
    enum err e = segment_reader_open(&w->reader, dir, segment, w->why);
    if (e) return e;
    bool durable = segment->end_pos != SEGMENT_POS_NONE;
    uint64_t limit = durable
                         ? segment->end_pos
                         : segment->base_pos + segment->file_bytes -
                               (segment->file_bytes < SEGMENT_HEADER_BYTES ? segment->file_bytes
                                                                           : SEGMENT_HEADER_BYTES);
    uint64_t pos = segment->base_pos;
    w->end_pos = pos;
    struct why local;
    if (w->why == NULL) w->why = &local;
    while (pos < limit) {
        struct commit commit;
        uint64_t bad_pos, next;
        e = segment_commit_whole(&w->reader, pos, limit, &commit, &bad_pos, w->why);
        if (e == ERR_CORRUPT) {
            e = walk_bad_place(w, pos, bad_pos, limit, durable, &next);
            if (e || next == SEGMENT_POS_NONE) return e;
            pos = next;
            continue;
        }
        if (e) return e;
        walk_count(w, &commit);
        e = walk_give_commit(w, pos, &commit);
        if (e) return e;
        pos = commit.end_pos;
        w->end_pos = pos;
    }
    return OK;
}

/* The segments from the one that holds `from_pos` on. */
static enum err
walk_log(struct walk *w, const char *dir, struct segment *segments, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (segments[i].end_pos <= w->from_pos) continue;
        enum err e = walk_segment(w, dir, &segments[i]);
        if (e) return e;
        /* The newest segment ends where its last whole commit does. */
        if (segments[i].end_pos == SEGMENT_POS_NONE) segments[i].end_pos = w->end_pos;
    }
    return OK;
}

static void
damage_unreadable_segments(struct wal_damage *damage, const char *dir, uint32_t count)
{
    if (count == 0) return;
    if (damage->places == 0) {
        snprintf(damage->first, sizeof damage->first, "%.200s: a segment without a readable header",
                 dir);
    }
    damage->places += count;
}

enum err
wal_recover(struct wal *wal, uint64_t from_pos, record_each *each, void *context,
            struct wal_damage *ret_damage, struct why *why)
{
    memset(ret_damage, 0, sizeof *ret_damage);
    struct why local = {""};
    struct walk w = {
        .from_pos = from_pos,
        .each = each,
        .context = context,
        .damage = ret_damage,
        .why = why == NULL ? &local : why,
    };
    damage_unreadable_segments(ret_damage, wal->dir, wal->damaged_count);
    segment_reader_init(&w.reader, wal->env, wal->memory);
    enum err e = walk_log(&w, wal->dir, wal->segments, wal->segment_count);
    segment_reader_fini(&w.reader);
    if (e) return e;
    uint64_t end =
        wal->segment_count == 0 ? wal->end_pos : wal->segments[wal->segment_count - 1].end_pos;
    wal_begin_at(wal, end, w.totals);
    return OK;
}

enum err
wal_verify(struct env *env, const char *dir, record_each *each, void *context,
           struct wal_damage *ret_damage, struct why *why)
{
    memset(ret_damage, 0, sizeof *ret_damage);
    struct segment *segments = NULL;
    uint32_t count = 0, capacity = 0, damaged = 0;
    enum err e = segments_list(env, dir, NULL, &segments, &count, &capacity, &damaged, why);
    if (e) return e;
    struct why local = {""};
    struct walk w = {
        .each = each,
        .context = context,
        .damage = ret_damage,
        .why = why == NULL ? &local : why,
    };
    damage_unreadable_segments(ret_damage, dir, damaged);
    segment_reader_init(&w.reader, env, NULL);
    e = walk_log(&w, dir, segments, count);
    segment_reader_fini(&w.reader);
    mem_free(NULL, segments, capacity * sizeof *segments);
    return e;
}

/* --- following
 * ------------------------------------------------------------------------------------------ */

enum err
wal_reader_open(struct wal *wal, const char *name, uint64_t pos, struct wal_reader **ret_reader,
                struct why *why)
{
    struct wal_reader *r = mem_new(wal->memory, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "no memory for a reader of the log");
    r->wal = wal;
    snprintf(r->name, sizeof r->name, "%s", name);
    segment_reader_init(&r->reader, wal->env, wal->memory);
    lock_take(&wal->lock);
    if (pos == 0) pos = wal->segment_count == 0 ? wal->end_pos : wal->segments[0].base_pos;
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
        link = &(*link)->next;
    }
    *link = reader->next;
    lock_drop(&wal->lock);
    segment_reader_fini(&reader->reader);
    mem_free(wal->memory, reader, sizeof *reader);
}

void
wal_reader_pass(struct wal_reader *reader, uint64_t pos)
{
    lock_take(&reader->wal->lock);
    assert(pos >= reader->pass_pos);
    reader->pass_pos = pos;
    lock_drop(&reader->wal->lock);
}

uint64_t
wal_reader_pos(const struct wal_reader *reader)
{
    return reader->pos;
}

/*
 * The segment that holds `pos`, or the next one behind it, and up to where it is committed.
 * ERR_AGAIN: nothing is committed there yet. ERR_MISSING: it was given up.
 */
static enum err
reader_place(struct wal_reader *r, struct segment *ret_segment, uint64_t *ret_limit)
{
    struct wal *wal = r->wal;
    enum err e = ERR_AGAIN;
    lock_take(&wal->lock);
    if (r->behind || (wal->segment_count > 0 && r->pos < wal->segments[0].base_pos &&
                      r->pos < wal->segments[0].prev_end_pos)) {
        e = ERR_MISSING;
    }
    for (uint32_t i = 0; e == ERR_AGAIN && i < wal->segment_count; i++) {
        const struct segment *s = &wal->segments[i];
        uint64_t limit = s->end_pos == SEGMENT_POS_NONE ? wal->end_pos : s->end_pos;
        if (r->pos >= limit) continue;
        *ret_segment = *s;
        *ret_limit = limit;
        e = OK;
    }
    lock_drop(&wal->lock);
    return e;
}

/* Opens the segment at hand; the first one is read from its beginning, for its series records. */
static enum err
reader_enter(struct wal_reader *r, const struct segment *segment, struct why *why)
{
    if (r->open && r->reader.segment.number == segment->number) return OK;
    bool first = !r->open;
    enum err e = segment_reader_open(&r->reader, r->wal->dir, segment, why);
    if (e) return e;
    r->open = true;
    r->commit_end = 0;
    if (first || r->pos < segment->base_pos) r->pos = segment->base_pos;
    return OK;
}

static enum err
reader_skip_bad(struct wal_reader *r, uint64_t limit, struct why *why)
{
    struct why reason = why == NULL ? (struct why){""} : *why;
    bool damage;
    uint64_t next, from = r->pos;
    enum err e = place_is_damage(&r->reader, r->pos, true, limit, &damage, &next, why);
    if (e) return e;
    r->pos = next;
    r->commit_end = 0;
    return why_set(why, ERR_CORRUPT,
                   "%s: bytes of positions %" PRIu64 " to %" PRIu64 " are damaged: %s",
                   r->reader.file.path, from, next, reason.text);
}

static enum err
reader_read(struct wal_reader *r, uint64_t limit, struct raw_record *ret_raw, struct why *why)
{
    enum err e = segment_read(&r->reader, r->pos, limit, ret_raw, why);
    if (e != ERR_CORRUPT) return e;
    lock_take(&r->wal->lock);
    bool behind = r->behind;
    lock_drop(&r->wal->lock);
    return behind ? ERR_MISSING : reader_skip_bad(r, limit, why);
}

enum err
wal_reader_next(struct wal_reader *r, struct wal_record *ret_record, struct why *why)
{
    for (;;) {
        struct segment segment;
        uint64_t limit;
        enum err e = reader_place(r, &segment, &limit);
        if (e == OK) e = reader_enter(r, &segment, why);
        if (e) return e;
        if (r->pos >= r->seen_limit) {
            buf_clear(&r->reader.window); /* what it shows there was read before the commit */
            r->seen_limit = limit;
        }
        struct raw_record raw;
        e = reader_read(r, limit, &raw, why);
        if (e) return e;
        r->pos = raw.end_pos;
        struct commit commit;
        if (raw.type == WAL_COMMIT) {
            e = commit_unpack(&raw, &commit);
            if (e) return why_set(why, e, "a commit record makes no sense");
            r->commit_end = commit.end_pos;
            r->epoch = commit.epoch;
            continue;
        }
        if (raw.pos < r->start_pos && raw.type != WAL_SERIES) continue;
        e = record_check_known(&raw, why);
        if (e) return e;
        if (!wal_type_known(raw.type, raw.version)) continue;
        *ret_record = (struct wal_record){
            .pos = raw.pos,
            .commit_end_pos = r->commit_end,
            .segment = segment.number,
            .epoch = r->epoch,
            .type = raw.type,
            .version = raw.version,
        };
        return segment_unpack(&r->reader, &raw, &ret_record->payload, why);
    }
}
