/* letters_mark.c - see letters_mark.h. Format: docs/format/relay.md. */
#include "relay/letters/letters_mark.h"

enum { MARK_BYTES_MAX = 512 };

void
letters_mark_put(struct buf *to, const struct letters_mark *m)
{
    uint8_t memory[MARK_BYTES_MAX];
    struct buf own = {.at = memory, .capacity = sizeof memory, .limit = sizeof memory};
    buf_put_u8(&own, m->known);
    buf_put_varint(&own, m->file);
    buf_put_varint(&own, m->offset);
    buf_put_varint(&own, m->letter_count);
    buf_put_varint(&own, m->whole_from);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        buf_put_varint(&own, m->live[kind]);
        buf_put_varint(&own, m->replaying[kind]);
    }
    buf_put_le64(&own, m->print);
    buf_put_varint(&own, m->run_count);
    uint32_t behind = 0;
    for (uint32_t i = 0; i < m->run_count; i++) {
        buf_put_varint(&own, m->runs[i].first - behind);
        buf_put_varint(&own, m->runs[i].count);
        behind = m->runs[i].first + m->runs[i].count;
    }
    buf_put_counted(to, buf_bytes(&own));
}

static uint32_t
get_u32(struct cursor *c)
{
    uint64_t v = cursor_varint(c);
    if (v > UINT32_MAX) cursor_fail(c);
    return (uint32_t)v;
}

enum err
letters_mark_get(struct cursor *from, struct letters_mark *ret_mark)
{
    struct letters_mark m = {.known = false};
    if (cursor_left(from) > 0) {
        struct cursor c = cursor_of(cursor_counted(from));
        m.known = cursor_u8(&c) == 1;
        m.file = get_u32(&c);
        m.offset = cursor_varint(&c);
        m.letter_count = get_u32(&c);
        m.whole_from = get_u32(&c);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            m.live[kind] = cursor_varint(&c);
            m.replaying[kind] = cursor_varint(&c);
        }
        m.print = cursor_le64(&c);
        uint64_t count = cursor_varint(&c), behind = 0;
        if (count > LETTERS_MARK_RUNS_MAX) cursor_fail(&c);
        for (uint64_t i = 0; i < count && !c.bad; i++) {
            uint64_t first = behind + get_u32(&c);
            uint32_t of_it = get_u32(&c);
            behind = first + of_it;
            if (behind > UINT32_MAX) cursor_fail(&c);
            m.runs[i].first = (uint32_t)first;
            m.runs[i].count = of_it;
            m.run_count++;
        }
        if (c.bad) return ERR_CORRUPT;
    }
    if (from->bad) return ERR_CORRUPT;
    *ret_mark = m;
    return OK;
}

bool
letters_mark_names(const struct letters_mark *m, uint32_t file)
{
    for (uint32_t i = 0; i < m->run_count; i++) {
        if (file >= m->runs[i].first && file - m->runs[i].first < m->runs[i].count) return true;
    }
    return false;
}

void
letters_mark_add(struct letters_mark *m, uint32_t file)
{
    if (m->run_count > 0) {
        uint32_t last = m->run_count - 1;
        if (m->runs[last].first + m->runs[last].count == file) {
            m->runs[last].count++;
            return;
        }
    }
    if (m->run_count == LETTERS_MARK_RUNS_MAX) return;
    m->runs[m->run_count].first = file;
    m->runs[m->run_count++].count = 1;
}
