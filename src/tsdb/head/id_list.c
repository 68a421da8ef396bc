/*
 * id_list.c - blocks of varints: each the difference to the id before, so none begins with a zero
 * byte. Blocks begin zeroed: a zero where a varint should begin, or the block's end, leads to the
 * next block.
 *
 * Invariants:
 *  1. Ids ascend.
 *  2. A list of at most one id has no block, or only a reserved one; any other has `last`, of which
 *     used_bytes are written.
 *  3. A difference lies in one block: a block takes it only if DIFFERENCE_BYTES_MAX are free.
 */
#include "tsdb/head/registry.h"

#include <assert.h>

enum { PIECE_FIRST = 32, PIECE_MAX = 2048, DIFFERENCE_BYTES_MAX = 5 };

struct id_block {
    struct id_block *next;
    uint32_t size_bytes; /* size of `bytes` */
    uint8_t bytes[];
};

static size_t
next_piece_bytes(const struct id_block *last)
{
    if (last == NULL) return PIECE_FIRST;
    size_t piece = 2 * (offsetof(struct id_block, bytes) + last->size_bytes);
    return piece < PIECE_MAX ? piece : PIECE_MAX;
}

enum err
id_list_reserve(struct id_list *list, struct gmem *gmem)
{
    if (list->count == 0) return OK;
    if (list->last != NULL && list->last->size_bytes - list->used_bytes >= DIFFERENCE_BYTES_MAX) {
        return OK;
    }
    size_t piece = next_piece_bytes(list->last);
    struct id_block *block = gmem_alloc(gmem, piece);
    if (block == NULL) return ERR_NOMEM;
    memset(block, 0, piece);
    block->size_bytes = (uint32_t)(piece - offsetof(struct id_block, bytes));
    if (list->last == NULL) {
        list->first = block;
    } else {
        list->last->next = block;
    }
    list->last = block;
    list->used_bytes = 0;
    return OK;
}

void
id_list_push(struct id_list *list, uint32_t id)
{
    if (list->count++ == 0) {
        list->first_id = list->last_id = id;
        return;
    }
    assert(id > list->last_id);                                                /* invariant 1 */
    assert(list->last->size_bytes - list->used_bytes >= DIFFERENCE_BYTES_MAX); /* invariant 3 */
    uint8_t *at = list->last->bytes + list->used_bytes;
    list->used_bytes += (uint32_t)varint_put(at, id - list->last_id);
    assert(list->used_bytes <= list->last->size_bytes); /* invariant 2 */
    list->last_id = id;
}

struct id_walk
id_list_walk(const struct id_list *list)
{
    const struct id_block *first = list->first;
    return (struct id_walk){first, first == NULL ? NULL : first->bytes, list->count,
                            list->first_id};
}

static uint32_t
read_difference(struct id_walk *w)
{
    while (w->at == w->block->bytes + w->block->size_bytes || *w->at == 0) {
        w->block = w->block->next;
        assert(w->block != NULL); /* w->left says that another id follows */
        w->at = w->block->bytes;
    }
    uint32_t v = 0;
    unsigned shift = 0;
    uint8_t b;
    do {
        b = *w->at++;
        v |= (uint32_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b >= 0x80);
    return v;
}

uint32_t
id_walk_read(struct id_walk *w, uint32_t *ret_ids, uint32_t max)
{
    uint32_t count = w->left < max ? w->left : max;
    for (uint32_t i = 0; i < count; i++) {
        ret_ids[i] = w->next_id;
        if (--w->left > 0) w->next_id += read_difference(w);
    }
    return count;
}
