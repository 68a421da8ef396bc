/*
 * inspect.c - describes one segment, or lists all, for people.
 *
 * Walks as recovery does, but one file at a time, and continues where recovery would
 * refuse: if other files of the log are missing, or this one does not belong to the log any more.
 */
#include <inttypes.h>
#include <stdio.h>

#include "wal/wal_private.h"

/* --- headers ---------------------------------------------------------------------------------- */

static const enum wal_segment_state stray_states[] = {
    [STRAY_BLANK] = WAL_SEGMENT_BLANK,
    [STRAY_VOID] = WAL_SEGMENT_VOID,
    [STRAY_DAMAGED] = WAL_SEGMENT_DAMAGED,
    [STRAY_ASIDE] = WAL_SEGMENT_ASIDE,
};

/* Fills in what the list of segments has, and more from `header`. */
static void
info_fill(struct wal_segment_info *info, const struct segment *s, struct bytes header)
{
    info->number = s->number;
    info->file_bytes = s->file_bytes;
    info->copy_damaged = s->copy_damaged;
    info->base_pos = s->base_pos;
    info->limit_pos = s->limit_pos;
    info->prev_number = s->prev_number;
    info->prev_end_pos = s->prev_end_pos;
    info->end_pos = s->end_pos != SEGMENT_POS_NONE ? s->end_pos : s->base_pos;
    memcpy(info->totals, s->totals, sizeof info->totals);
    size_t copy = segment_header_copy(header, info->number);
    if (copy == SIZE_MAX) return;
    info->version = load_le16(header.at + copy + 8);
    info->min_reader = load_le16(header.at + copy + 10);
    info->made_ms = (int64_t)load_le64(header.at + copy + 64);
}

/* --- one segment ------------------------------------------------------------------------------ */

struct log_looking {
    struct segment_reader reader;
    struct segment segment;
    const struct wal_inspector *inspector;
    struct wal_inspection *result;
    struct why *why;
};

static enum err
on_gap(void *context, uint64_t from, uint64_t to, const char *reason)
{
    struct log_looking *l = context;
    char text[400];
    l->result->damaged_bytes += to - from;
    if (l->inspector->damage == NULL) return OK;
    snprintf(text, sizeof text, "%s at byte %" PRIu64 ": %.100s", l->reader.file.path,
             segment_offset(&l->segment, from), reason);
    l->inspector->damage(l->inspector->context, from, to - from, text);
    return OK;
}

static enum err
on_record(void *context, const struct raw_record *raw, const struct commit *commit, bool salvaged)
{
    struct log_looking *l = context;
    if (l->inspector->record == NULL) return OK;
    struct wal_record_info info = {
        .record = segment_record(&l->reader, raw, commit, salvaged),
        .record_bytes = raw->end_pos - raw->pos,
        .payload_bytes = (uint32_t)raw->stored.size,
        .packed = (raw->flags & FLAG_ZSTD) != 0,
    };
    bool known = record_is_known(raw->type, raw->version, raw->flags);
    enum err e = known ? segment_unpack(&l->reader, raw, &info.record.payload, l->why) : OK;
    if (e == ERR_CORRUPT) return on_gap(l, raw->pos, raw->end_pos, l->why->text);
    return e ? e : l->inspector->record(l->inspector->context, &info);
}

static enum err
on_commit(void *context, uint64_t pos, const struct commit *commit)
{
    struct log_looking *l = context;
    struct wal_commit_info info = {
        .pos = pos,
        .bytes = commit->end_pos - pos,
        .realtime_ms = commit->realtime_ms,
        .record_count = commit->record_count,
    };
    memcpy(info.accepted, commit->accepted, sizeof info.accepted);
    return l->inspector->commit == NULL ? OK : l->inspector->commit(l->inspector->context, &info);
}

/* Describes the end of the segment, unless the commit was durable: then its gaps follow. */
static enum err
on_broken(void *context, const struct broken_commit *b)
{
    struct log_looking *l = context;
    if (b->durable) return OK;
    l->result->torn_bytes = (b->last_pos > b->bad_pos ? b->last_pos : b->bad_pos) - b->pos;
    uint8_t next[RECORD_HEADER_BYTES];
    size_t size;
    if (b->bad_pos > b->pos || b->last_pos > b->pos) {
        l->result->end = WAL_END_TORN;
        return OK;
    }
    enum err e = file_read_some(&l->reader.file, next, sizeof next,
                                segment_offset(&l->segment, b->pos), &size, l->why);
    if (e) return e;
    bool zero = true;
    for (size_t i = 0; i < size; i++)
        zero &= next[i] == 0;
    l->result->end = size < sizeof next ? WAL_END_FILE : zero ? WAL_END_ZERO : WAL_END_OTHER;
    return OK;
}

enum err
wal_inspect(struct env *env, const char *dir, uint64_t number, struct budget *memory,
            const struct wal_inspector *inspector, struct wal_inspection *ret_inspection,
            struct why *why)
{
    char path[256];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct bytes header;
    uint64_t file_bytes = 0;
    enum segment_state state;
    struct why local = {""};
    struct wal_inspection result = {.segment = {.number = number}};
    struct log_looking l = {
        .inspector = inspector, .result = &result, .why = why == NULL ? &local : why};
    enum err e = segment_path(path, sizeof path, dir, number);
    if (e == OK) e = segment_header_read(env, path, bytes, &header, &file_bytes, l.why);
    if (e == OK) e = segment_header_unpack(header, number, &state, &l.segment, l.why);
    if (e) return e;
    result.segment.file_bytes = l.segment.file_bytes = file_bytes;
    if (state != SEGMENT_USED) {
        result.segment.state = state == SEGMENT_BLANK ? WAL_SEGMENT_BLANK : WAL_SEGMENT_DAMAGED;
        *ret_inspection = result;
        return OK;
    }
    /* The next segment's header says where this one ends; without it the end is not known. */
    struct segment_list list = {0};
    err_ignore(segment_list_read(env, dir, memory, &list, NULL), "the segment is read alone");
    for (uint32_t i = 0; i < list.count; i++)
        if (list.items[i].number == number) l.segment.end_pos = list.items[i].end_pos;
    for (uint32_t i = 0; i < list.stray_count; i++) {
        if (list.strays[i].number != number) continue;
        result.segment.state = stray_states[list.strays[i].kind];
    }
    segment_list_fini(&list, memory);
    info_fill(&result.segment, &l.segment, header);
    segment_reader_init(&l.reader, env, memory);
    e = segment_reader_open(&l.reader, dir, &l.segment, l.why);
    if (e == OK) {
        const struct segment_visitor visitor = {on_commit, on_record, on_broken, on_gap, &l};
        bool known = l.segment.end_pos != SEGMENT_POS_NONE;
        l.result->end = known ? WAL_END_NEXT : WAL_END_FILE;
        e = segment_walk(&l.reader, &visitor, &l.result->end_pos, l.why);
    }
    segment_reader_fini(&l.reader);
    if (e == OK) *ret_inspection = result;
    return e;
}

/* --- all segments ----------------------------------------------------------------------------- */

static enum err
sum_commit(void *context, uint64_t pos, const struct commit *commit)
{
    struct wal_segment_info *info = context;
    (void)pos;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        info->end_totals[k] += commit->accepted[k];
    return OK;
}

enum err
wal_segments(struct env *env, const char *dir, struct budget *memory,
             enum err (*each)(void *context, const struct wal_segment_info *segment), void *context,
             struct why *why)
{
    struct segment_list list;
    struct why local = {""};
    if (why == NULL) why = &local;
    enum err e = segment_list_read(env, dir, memory, &list, why);
    if (e) return e;
    for (uint32_t i = 0; i < list.count && e == OK; i++) {
        char path[256];
        uint8_t bytes[SEGMENT_HEADER_BYTES];
        struct bytes header;
        uint64_t file_bytes;
        struct wal_segment_info info = {.state = WAL_SEGMENT_LIVE};
        e = segment_path(path, sizeof path, dir, list.items[i].number);
        if (e == OK) e = segment_header_read(env, path, bytes, &header, &file_bytes, why);
        if (e) break;
        info_fill(&info, &list.items[i], header);
        if (i + 1 < list.count)
            memcpy(info.end_totals, list.items[i + 1].totals, sizeof info.end_totals);
        else {
            const struct segment_visitor visitor = {.commit = sum_commit, .context = &info};
            struct segment_reader reader;
            memcpy(info.end_totals, info.totals, sizeof info.end_totals);
            segment_reader_init(&reader, env, memory);
            e = segment_reader_open(&reader, dir, &list.items[i], why);
            if (e == OK) e = segment_walk(&reader, &visitor, &info.end_pos, why);
            segment_reader_fini(&reader);
        }
        if (e == OK) e = each(context, &info);
    }
    for (uint32_t i = 0; i < list.stray_count && e == OK; i++) {
        const struct stray *s = &list.strays[i];
        struct wal_segment_info info = {
            .number = s->number, .file_bytes = s->file_bytes, .state = stray_states[s->kind]};
        e = each(context, &info);
    }
    segment_list_fini(&list, memory);
    return e;
}
