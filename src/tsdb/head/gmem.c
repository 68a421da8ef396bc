/*
 * gmem.c - the memory of a generation. Blocks are a list, freed pieces a list for each class of
 * sizes; the link to the next freed piece is in its first bytes.
 *
 * Invariants:
 *  1. [at, end) is the free rest of one block of the list, or both are NULL.
 *  2. total_bytes is the sum of the sizes of all blocks and the spare.
 *  3. Each piece is aligned to GMEM_STEP, and its size is that of its class or above CLASSED_MAX.
 */
#include "tsdb/head/registry.h"

#include <assert.h>

enum {
    BLOCK_BYTES_FIRST = 32 * 1024, /* a small generation stays small */
    BLOCK_BYTES = 256 * 1024,
    BLOCK_HEADER_BYTES = 32,
    SMALL_MAX = 1024, /* class steps: GMEM_STEP up to here, a quarter of a power of two above */
    SMALL_CLASSES = SMALL_MAX / GMEM_STEP,
    CLASSED_MAX = 32 * 1024,
};

_Static_assert(SMALL_CLASSES + 20 == GMEM_CLASSES, "4 classes for each of 5 powers of two");

struct gmem_block {
    struct gmem_block *next;
    size_t size_bytes; /* with this header */
};

_Static_assert(sizeof(struct gmem_block) <= BLOCK_HEADER_BYTES, "pieces stay aligned to 16");

void
gmem_init(struct gmem *gmem, struct budget *budget)
{
    *gmem = (struct gmem){.budget = budget};
}

void
gmem_fini(struct gmem *gmem)
{
    struct gmem_block *lists[2] = {gmem->blocks, gmem->spare};
    for (unsigned i = 0; i < 2; i++) {
        struct gmem_block *next;
        for (struct gmem_block *b = lists[i]; b != NULL; b = next) {
            next = b->next;
            mem_free(gmem->budget, b, b->size_bytes);
        }
    }
    gmem_init(gmem, gmem->budget);
}

static size_t
round_up(size_t size, size_t step)
{
    return (size + step - 1) & ~(step - 1);
}

static unsigned
log2_of(size_t size)
{
    return 63u - (unsigned)__builtin_clzll(size);
}

size_t
gmem_piece_bytes(size_t size)
{
    if (size == 0) return GMEM_STEP;
    if (size <= SMALL_MAX || size > CLASSED_MAX) return round_up(size, GMEM_STEP);
    return round_up(size, (size_t)1 << (log2_of(size - 1) - 2));
}

/* `size` is that of a piece. GMEM_CLASSES if the piece is too large for a class. */
static unsigned
class_of(size_t size)
{
    if (size <= SMALL_MAX) return (unsigned)(size / GMEM_STEP - 1);
    if (size > CLASSED_MAX) return GMEM_CLASSES;
    unsigned power = log2_of(size - 1); /* size is in (2^power, 2^(power + 1)] */
    size_t step = (size_t)1 << (power - 2);
    return SMALL_CLASSES + 4 * (power - 10) + (unsigned)((size - ((size_t)1 << power)) / step) - 1;
}

static struct gmem_block *
block_new(struct gmem *gmem, size_t payload_bytes)
{
    size_t size = payload_bytes + BLOCK_HEADER_BYTES;
    size_t least = gmem->total_bytes < BLOCK_BYTES ? BLOCK_BYTES_FIRST : BLOCK_BYTES;
    if (size < least) size = least;
    struct gmem_block *b = mem_alloc(gmem->budget, size);
    if (b == NULL) return NULL;
    b->size_bytes = size;
    gmem->total_bytes += size;
    return b;
}

static void
block_begin(struct gmem *gmem, struct gmem_block *b)
{
    b->next = gmem->blocks;
    gmem->blocks = b;
    gmem->at = (uint8_t *)b + BLOCK_HEADER_BYTES;
    gmem->end = (uint8_t *)b + b->size_bytes;
    assert(gmem->at <= gmem->end); /* invariant 1 */
}

static size_t
block_room(const struct gmem_block *b)
{
    return b == NULL ? 0 : b->size_bytes - BLOCK_HEADER_BYTES;
}

/* The rest of a block may be too small for the next piece, so the spare block must hold all. */
enum err
gmem_reserve(struct gmem *gmem, size_t bytes)
{
    if ((size_t)(gmem->end - gmem->at) >= bytes) return OK;
    if (block_room(gmem->spare) >= bytes) return OK;
    struct gmem_block *b = block_new(gmem, bytes);
    if (b == NULL) return ERR_NOMEM;
    if (gmem->spare != NULL) { /* was never touched, so replacing it is cheap */
        assert(gmem->total_bytes > gmem->spare->size_bytes); /* invariant 2 */
        gmem->total_bytes -= gmem->spare->size_bytes;
        mem_free(gmem->budget, gmem->spare, gmem->spare->size_bytes);
    }
    b->next = NULL;
    gmem->spare = b;
    return OK;
}

void *
gmem_alloc(struct gmem *gmem, size_t size)
{
    size = gmem_piece_bytes(size);
    unsigned class = class_of(size);
    if (class < GMEM_CLASSES && gmem->free_lists[class] != NULL) {
        void *piece = gmem->free_lists[class];
        memcpy(&gmem->free_lists[class], piece, sizeof(void *));
        return piece;
    }
    if ((size_t)(gmem->end - gmem->at) < size) {
        if (block_room(gmem->spare) >= size) {
            struct gmem_block *b = gmem->spare;
            gmem->spare = NULL;
            block_begin(gmem, b);
        } else {
            struct gmem_block *b = block_new(gmem, size);
            if (b == NULL) return NULL;
            if (block_room(b) - size <
                (size_t)(gmem->end - gmem->at)) { /* the old rest is larger */
                b->next = gmem->blocks;
                gmem->blocks = b;
                return (uint8_t *)b + BLOCK_HEADER_BYTES;
            }
            block_begin(gmem, b);
        }
    }
    void *piece = gmem->at;
    gmem->at += size;
    return piece;
}

void
gmem_free(struct gmem *gmem, void *piece, size_t size)
{
    if (piece == NULL) return;
    assert((uintptr_t)piece % GMEM_STEP == 0); /* invariant 3 */
    unsigned class = class_of(gmem_piece_bytes(size));
    if (class >= GMEM_CLASSES) return;
    memcpy(piece, &gmem->free_lists[class], sizeof(void *));
    gmem->free_lists[class] = piece;
}

void *
gmem_grow(struct gmem *gmem, void *piece, size_t old_size, size_t used, size_t new_size)
{
    assert(used <= old_size && old_size <= new_size);
    void *larger = gmem_alloc(gmem, new_size);
    if (larger == NULL) return NULL;
    if (used > 0) memcpy(larger, piece, used);
    gmem_free(gmem, piece, old_size);
    return larger;
}

void
gmem_validate(const struct gmem *gmem)
{
    uint64_t bytes = gmem->spare == NULL ? 0 : gmem->spare->size_bytes;
    bool inside = gmem->at == NULL && gmem->end == NULL;
    for (const struct gmem_block *b = gmem->blocks; b != NULL; b = b->next) {
        const uint8_t *begin = (const uint8_t *)b;
        bytes += b->size_bytes;
        inside |= gmem->at >= begin + BLOCK_HEADER_BYTES && gmem->end == begin + b->size_bytes;
    }
    assert(inside);                     /* invariant 1 */
    assert(gmem->at <= gmem->end);      /* invariant 1 */
    assert(bytes == gmem->total_bytes); /* invariant 2 */
    for (unsigned class = 0; class < GMEM_CLASSES; class ++) {
        for (const void *piece = gmem->free_lists[class]; piece != NULL;) {
            assert((uintptr_t)piece % GMEM_STEP == 0); /* invariant 3 */
            memcpy(&piece, piece, sizeof piece);
        }
    }
}
