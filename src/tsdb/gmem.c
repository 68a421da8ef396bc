#include "tsdb/gmem.h"

#include <assert.h>

enum { BLOCK_BYTES = 256 * 1024, BLOCK_HEADER_BYTES = 32 };

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

size_t
gmem_piece_bytes(size_t size)
{
    return (size + GMEM_STEP - 1) & ~(size_t)(GMEM_STEP - 1);
}

static struct gmem_block *
block_new(struct gmem *gmem, size_t payload_bytes)
{
    size_t size = payload_bytes + BLOCK_HEADER_BYTES;
    if (size < BLOCK_BYTES) size = BLOCK_BYTES;
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
}

static size_t
block_room(const struct gmem_block *b)
{
    return b == NULL ? 0 : b->size_bytes - BLOCK_HEADER_BYTES;
}

/* The rest of a block may be too small for the next piece: so the spare block alone must hold all.
 */
enum err
gmem_reserve(struct gmem *gmem, size_t bytes)
{
    if ((size_t)(gmem->end - gmem->at) >= bytes) return OK;
    if (block_room(gmem->spare) >= bytes) return OK;
    struct gmem_block *b = block_new(gmem, bytes);
    if (b == NULL) return ERR_NOMEM;
    if (gmem->spare != NULL) {
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
    size = gmem_piece_bytes(size == 0 ? 1 : size);
    size_t class = size / GMEM_STEP - 1;
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
    size = gmem_piece_bytes(size == 0 ? 1 : size);
    size_t class = size / GMEM_STEP - 1;
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
