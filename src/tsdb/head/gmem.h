/*
 * gmem.h - private to head/: the memory of one generation of the head. Small pieces that grow and
 * move, all freed together. Pieces are cut from blocks charged to a budget; freed pieces are reused
 * by size class: steps of 16 bytes up to 1 KiB, of a quarter of a power of two up to 32 KiB.
 *
 * Threads: the caller's lock.
 */
#ifndef TSDB_HEAD_GMEM_H
#define TSDB_HEAD_GMEM_H

#include "base/mem.h"

enum { GMEM_CLASSES = 64 + 20, GMEM_STEP = 16 };

struct gmem_block;
struct gmem {
    struct budget *budget;
    struct gmem_block *blocks;
    struct gmem_block *spare; /* reserved by gmem_reserve() and unused; NULL without one */
    uint8_t *at;              /* the free rest of the block being cut */
    uint8_t *end;
    uint64_t total_bytes;           /* size of all blocks, with the spare */
    void *free_lists[GMEM_CLASSES]; /* freed pieces, by class */
};

void gmem_init(struct gmem *gmem, struct budget *budget);
void gmem_fini(struct gmem *gmem);

/* After OK, allocations of at most `bytes` in all (gmem_piece_bytes() each) do not fail.
 * ERR_NOMEM. */
MUST_CHECK enum err gmem_reserve(struct gmem *gmem, size_t bytes);
/* Returns the size of the piece that is allocated for `size` bytes; the caller may use all of it.
 */
size_t gmem_piece_bytes(size_t size);

/* Not zeroed, aligned to 16. NULL if the budget is exhausted. */
void *gmem_alloc(struct gmem *gmem, size_t size);
/* `size` is the size given to gmem_alloc(). NULL is fine. Pieces of more than 32 KiB are not
 * reused. */
void gmem_free(struct gmem *gmem, void *piece, size_t size);
/* Moves the first `used` bytes into a larger piece and frees the old one. NULL if the budget is
 * exhausted: the old piece is untouched. */
void *gmem_grow(struct gmem *gmem, void *piece, size_t old_size, size_t used, size_t new_size);

/* Asserts the invariants of gmem.c; O(blocks + freed pieces). For tests and debug builds. */
void gmem_validate(const struct gmem *gmem);

#endif
