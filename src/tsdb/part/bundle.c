/* bundle.c - see bundle.h. Invariant: at most one page is held, of `source`. */
#include "tsdb/part/bundle.h"

#include <assert.h>

#include "tsdb/part/walk.h"
#include "wire/remote/remote_read.h"

enum {
    CHUNK_BYTES = 16 * 1024, /* a chunk that is larger ends: a frame holds many chunks */
    NUMBER_BITS = 31,        /* for the number of a block in its row */
};

struct bundles {
    struct budget *budget;
    struct histogram_chunks *chunks;
    struct arena arena; /* for one block */
    struct buf made;
    struct page_source *source; /* source of `page` */
    const struct page *page;    /* held; NULL if the last bundle was not in the cache */
};

static enum err
take_chunk(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct buf *made = context;
    (void)why;
    rr_chunk_put(made, chunk->type, chunk->min_ms, chunk->max_ms, chunk->data);
    return buf_error(made);
}

enum err
bundles_new(struct budget *budget, struct bundles **ret_bundles)
{
    struct bundles *b = mem_new(budget, sizeof *b);
    if (b == NULL) return ERR_NOMEM;
    b->budget = budget;
    arena_init(&b->arena, budget, 0, 0);
    buf_init(&b->made, budget, PAGE_BYTES_MAX);
    enum err e = histogram_chunks_new(budget, CHUNK_LAYOUTS_UNITED, CHUNK_BYTES, take_chunk,
                                      &b->made, &b->chunks);
    if (e) {
        bundles_free(b);
        return e;
    }
    *ret_bundles = b;
    return OK;
}

static void
let_go(struct bundles *b)
{
    if (b->page != NULL) page_release(b->source, b->page);
    b->page = NULL;
}

void
bundles_free(struct bundles *b)
{
    if (b == NULL) return;
    let_go(b);
    histogram_chunks_free(b->chunks);
    arena_fini(&b->arena);
    buf_fini(&b->made);
    mem_free(b->budget, b, sizeof *b);
}

static enum err
add_block(struct bundles *b, struct part *part, const struct block_ref *block)
{
    struct hist_columns columns;
    arena_reset(&b->arena);
    int64_t *times_ms = arena_alloc(&b->arena, block->count * sizeof *times_ms);
    if (times_ms == NULL) return ERR_NOMEM;
    enum err e = block_read_times(part, block, times_ms, NULL);
    if (e == OK) e = block_read_columns(part, block, &columns, &b->arena, NULL);
    return e ? e
             : histogram_chunks_put_columns(b->chunks, &columns, 0, block->count, times_ms, NULL);
}

enum err
bundles_get(struct bundles *b, struct part *part, uint32_t row, const struct block_ref *first,
            struct bytes *ret_chunks)
{
    uint64_t number = (uint64_t)row << NUMBER_BITS | first->number;
    assert(first->bundled > 0);
    let_go(b);
    b->source = &part->source;
    b->page = page_find_made(b->source, number);
    if (b->page != NULL) {
        *ret_chunks = bytes_of(b->page->at, b->page->size);
        return OK;
    }
    buf_clear(&b->made);
    enum err e = OK;
    for (uint32_t i = 0; i < first->bundled && e == OK; i++) {
        e = add_block(b, part, &first[i]);
    }
    if (e == OK) e = histogram_chunks_end(b->chunks, NULL);
    if (e) return e;
    page_keep_made(b->source, number, buf_bytes(&b->made));
    *ret_chunks = buf_bytes(&b->made);
    return OK;
}
