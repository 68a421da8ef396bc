/* walk.c - see walk.h. */
#include "wal/walk.h"

#include <assert.h>

/* Finds out whether b->bad_pos was durable, unless b->durable, and what is after it. */
static enum err
look_after(struct segment_reader *reader, struct broken_commit *b, uint64_t limit, struct why *why)
{
    bool found = false;
    b->next_pos = limit;
    b->last_pos = b->bad_pos;
    for (uint64_t pos = b->bad_pos + 8; pos < limit && !(b->durable && found);) {
        struct raw_record raw;
        struct commit commit;
        enum err e = segment_find(reader, pos, limit, &raw, why);
        if (e == ERR_MISSING) break;
        if (e) return e;
        pos = b->last_pos = raw.end_pos;
        if (commit_unpack(&raw, &commit) != OK) continue;
        if (!found) b->next_pos = raw.pos;
        found = true;
        if (commit.durable_pos > b->bad_pos) b->durable = true;
    }
    return OK;
}

/* *ret_next is SEGMENT_POS_NONE at a torn tail. */
static enum err
walk_broken(struct segment_reader *reader, const struct segment_visitor *v, struct broken_commit *b,
            uint64_t limit, uint64_t *ret_next, struct why *why)
{
    struct why reason = *why;
    b->reason = reason.text;
    enum err e = look_after(reader, b, limit, why);
    if (e == OK && v->broken != NULL) e = v->broken(v->context, b);
    *ret_next = b->durable ? b->next_pos : SEGMENT_POS_NONE;
    if (e || !b->durable) return e;
    assert(b->next_pos > b->pos);
    for (uint64_t pos = b->pos; pos < b->next_pos && e == OK;) {
        struct raw_record raw;
        enum err found = segment_find(reader, pos, b->next_pos, &raw, why);
        if (found && found != ERR_MISSING) return found;
        if (found) raw.pos = raw.end_pos = b->next_pos;
        if (raw.pos > pos && v->gap != NULL) e = v->gap(v->context, pos, raw.pos, b->reason);
        bool inside = b->commit != NULL && raw.end_pos <= b->commit->end_pos;
        if (e == OK && found == OK && v->record != NULL) {
            e = v->record(v->context, &raw, inside ? b->commit : NULL, true);
        }
        pos = raw.end_pos;
    }
    return e;
}

enum err
segment_walk(struct segment_reader *reader, const struct segment_visitor *visitor,
             uint64_t *ret_end_pos, struct why *why)
{
    const struct segment *s = &reader->segment;
    bool durable = s->end_pos != SEGMENT_POS_NONE;
    uint64_t limit = durable ? s->end_pos : segment_file_end(s), pos = s->base_pos;
    enum err e = OK;
    while (pos < limit) {
        struct commit commit;
        uint64_t bad_pos, next;
        e = segment_commit_whole(reader, pos, limit, &commit, &bad_pos, why);
        if (e == ERR_CORRUPT && !durable) {
            /* The newest segment may be growing: the window may have been read before the commit
             * was written, so it is read again. */
            buf_clear(&reader->window);
            e = segment_commit_whole(reader, pos, limit, &commit, &bad_pos, why);
        }
        if (e == OK) {
            e = visitor->commit == NULL ? OK : visitor->commit(visitor->context, pos, &commit);
            struct raw_record raw = {.end_pos = pos};
            while (e == OK && raw.end_pos < commit.end_pos && visitor->record != NULL) {
                e = segment_read(reader, raw.end_pos, commit.end_pos, &raw, why);
                if (e == OK) e = visitor->record(visitor->context, &raw, &commit, false);
            }
            next = commit.end_pos;
        } else if (e == ERR_CORRUPT) {
            struct broken_commit broken = {.pos = pos,
                                           .bad_pos = bad_pos,
                                           .commit = bad_pos == pos ? NULL : &commit,
                                           .durable = durable};
            e = walk_broken(reader, visitor, &broken, limit, &next, why);
        }
        if (e || next == SEGMENT_POS_NONE) break;
        assert(next > pos);
        pos = next;
    }
    assert(e || pos <= limit);
    *ret_end_pos = pos;
    return e;
}

struct wal_record
segment_record(const struct segment_reader *reader, const struct raw_record *raw,
               const struct commit *commit, bool salvaged)
{
    return (struct wal_record){
        .pos = raw->pos,
        .commit_end_pos = commit == NULL ? raw->end_pos : commit->end_pos,
        .realtime_ms = commit == NULL ? 0 : commit->realtime_ms,
        .segment = reader->segment.number,
        .epoch = commit == NULL ? 0 : commit->sequence,
        .type = raw->type,
        .version = raw->version,
        .skippable = (raw->flags & FLAG_SKIPPABLE) != 0,
        .salvaged = salvaged,
    };
}
