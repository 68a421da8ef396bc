/*
 * letters_mark.c - see letters_mark.h. Format: docs/format/relay.md.
 *
 * Invariant, which the reader verifies: runs of files ascend and do not overlap.
 */
#include "relay/state/letters_mark.h"

#include <assert.h>

enum { MARK_BYTES_MAX = 512 };

static void
mark_fields(const struct fields *f, struct letters_mark *m)
{
    field_bool(f, &m->known);
    field_u32(f, &m->file);
    field_varint(f, &m->offset);
    field_u32(f, &m->letter_count);
    field_u32(f, &m->whole_from);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        field_varint(f, &m->live[kind]);
        field_varint(f, &m->replaying[kind]);
    }
    field_le64(f, &m->print);
    field_u32(f, &m->run_count);
    fields_check(f, m->run_count <= LETTERS_MARK_RUNS_MAX);
    uint64_t behind = 0;
    for (uint32_t i = 0; i < m->run_count && fields_are_good(f); i++) {
        uint64_t first = m->runs[i].first - behind;
        field_varint(f, &first);
        field_u32(f, &m->runs[i].count);
        fields_check(f, first <= UINT32_MAX);
        first += behind;
        behind = first + m->runs[i].count;
        fields_check(f, behind <= UINT32_MAX);
        m->runs[i].first = (uint32_t)first;
    }
}

void
letters_mark_fields(const struct fields *f, struct letters_mark *m)
{
    if (f->to != NULL) {
        uint8_t memory[MARK_BYTES_MAX];
        struct buf own = {.at = memory, .capacity = sizeof memory, .limit = sizeof memory};
        const struct fields fields = {.to = &own};
        mark_fields(&fields, m);
        assert(buf_error(&own) == OK); /* MARK_BYTES_MAX is enough */
        buf_put_counted(f->to, buf_bytes(&own));
        return;
    }
    *m = (struct letters_mark){.known = false};
    if (!fields_follow(f)) return;
    struct cursor c = cursor_of(cursor_counted(f->from));
    const struct fields fields = {.from = &c};
    mark_fields(&fields, m);
    fields_check(f, !c.bad);
}

void
letters_mark_add(struct letters_mark *m, uint32_t file)
{
    if (m->run_count > 0) {
        uint32_t last = m->run_count - 1;
        assert((uint64_t)m->runs[last].first + m->runs[last].count <= file);
        if (m->runs[last].first + m->runs[last].count == file) {
            m->runs[last].count++;
            return;
        }
    }
    if (m->run_count == LETTERS_MARK_RUNS_MAX) return;
    m->runs[m->run_count].first = file;
    m->runs[m->run_count++].count = 1;
}
