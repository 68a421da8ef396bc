/*
 * registry.h - private to head/: the series that the head knows: their labels and an index over
 * them. Generations hold samples of its series by id.
 *
 * A registry is shared by generation after generation while most of its series are alive, so that a
 * series is added once and not after every flush. When too many are dead, the next generation
 * begins a new registry, and the old one is freed with the last generation that uses it. A registry
 * also has series without samples in a generation: readers leave them out.
 *
 * Locking: all changes and all look-ups are under the head lock. Pointers that a reader keeps stay
 * valid while it holds a reference: series, pairs and names have stable addresses and their labels
 * never change; walks of id lists may continue.
 */
#ifndef TSDB_HEAD_REGISTRY_H
#define TSDB_HEAD_REGISTRY_H

#include "base/hash/hash.h"
#include "base/mem.h"
#include "base/table.h"
#include "model/labels.h"

/* --- memory ----------------------------------------------------------------------------------- */

/*
 * The memory of one generation of the head, or of a registry: small pieces that grow and move, all
 * freed together. Pieces are cut from blocks charged to a budget; freed pieces are reused by size
 * class: steps of 16 bytes up to 1 KiB, of a quarter of a power of two up to 32 KiB.
 *
 * Threads: the caller's lock.
 */

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
/* Returns the size of the piece allocated for `size` bytes; the caller may use all of it. */
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

/* --- arrays in pages -------------------------------------------------------------------------- */

/*
 * An array of fixed-size items with stable addresses, in pages of 64,
 * 64, 128, ... up to 8192 items, each aligned to 64 bytes. Pages are allocated from a gmem.
 *
 * An array is filled either in order, by paged_push(), or in any order, by paged_touch(). Threads:
 * readers may use items below a count they read under the lock that guards the array.
 */

struct paged {
    uint8_t **pages;
    uint32_t item_bytes;
    uint32_t count;
};

MUST_CHECK enum err paged_init(struct paged *p, uint32_t item_bytes);
void paged_fini(struct paged *p);
/* Appends an item, zeroed. NULL without memory, or if the array is full. */
void *paged_push(struct paged *p, struct gmem *gmem, uint32_t *ret_id);
/*
 * Makes the page of `id`, if it is missing, zeroes it, and calls `begin` for each of its items.
 * ERR_NOMEM.
 */
MUST_CHECK enum err paged_touch(struct paged *p, struct gmem *gmem, uint32_t id,
                                void (*begin)(void *item));

enum { PAGED_FIRST = 64, PAGED_FULL = 8192, PAGED_FULL_FROM = 8 };

static inline uint32_t
paged_page_of(uint32_t id, uint32_t *ret_first)
{
    if (id >= PAGED_FULL) {
        *ret_first = id & ~(uint32_t)(PAGED_FULL - 1);
        return PAGED_FULL_FROM + id / PAGED_FULL - 1;
    }
    if (id < PAGED_FIRST) {
        *ret_first = 0;
        return 0;
    }
    unsigned power = 31u - (unsigned)__builtin_clz(id);
    *ret_first = 1u << power;
    return power - 5;
}

static inline void *
paged_at(const struct paged *p, uint32_t id)
{
    uint32_t first, page = paged_page_of(id, &first);
    return p->pages[page] + (size_t)(id - first) * p->item_bytes;
}

/* NULL if the page of `id` was not made. */
static inline void *
paged_find(const struct paged *p, uint32_t id)
{
    uint32_t first, page = paged_page_of(id, &first);
    uint8_t *items = p->pages[page];
    return items == NULL ? NULL : items + (size_t)(id - first) * p->item_bytes;
}

/* --- tables of ids ---------------------------------------------------------------------------- */

/*
 * A table of ids (base/table.h) in shards, so that growing one shard
 * is a short pause. Ids are never removed.
 */

enum { ID_TABLE_SHARDS = 64 };

/* Zeroed memory is an empty table. */
struct id_table {
    struct table shards[ID_TABLE_SHARDS];
};

/* The shard of a hash, for table_next(), table_reserve(), table_add(). */
#define id_table_shard(t, hash) (&(t)->shards[(hash) >> 58])

static inline void
id_table_fini(struct id_table *t, struct budget *budget)
{
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++)
        table_fini(&t->shards[s], budget);
}

static inline uint64_t
id_table_bytes(const struct id_table *t)
{
    uint64_t bytes = 0;
    for (unsigned s = 0; s < ID_TABLE_SHARDS; s++)
        bytes += t->shards[s].capacity * sizeof(struct table_slot);
    return bytes;
}

/* --- lists of ids ----------------------------------------------------------------------------- */

/*
 * Ascending ids, as differences of mostly one byte each.
 *
 * A list only grows, and written bytes never move: a walk that was begun under the lock that guards
 * the list may continue without it, and sees the ids that the list had when it began.
 */

struct id_block;

/* Zeroed memory is an empty list. */
struct id_list {
    struct id_block *first; /* blocks hold all ids but the first */
    struct id_block *last;
    uint32_t used_bytes; /* bytes written in the last block */
    uint32_t count;
    uint32_t first_id;
    uint32_t last_id;
};

/* Allocates memory for the next id_list_push(). ERR_NOMEM. */
MUST_CHECK enum err id_list_reserve(struct id_list *list, struct gmem *gmem);
/* Appends an id that is greater than all in the list, after id_list_reserve(). */
void id_list_push(struct id_list *list, uint32_t id);

struct id_walk {
    const struct id_block *block;
    const uint8_t *at;
    uint32_t left;
    uint32_t next_id;
};

struct id_walk id_list_walk(const struct id_list *list);
/* Reads the next ids, at most `max`; returns how many, 0 at the end. */
uint32_t id_walk_read(struct id_walk *walk, uint32_t *ret_ids, uint32_t max);

static inline bool
id_walk_next(struct id_walk *walk, uint32_t *ret_id)
{
    return id_walk_read(walk, ret_id, 1) == 1;
}

/* --- series and their labels ------------------------------------------------------------------ */

/* One label of one tenant: the bytes of its field in canonical labels. */
struct pair {
    const uint8_t *field;
    uint32_t field_size;
    uint32_t tenant;
};

/* The series that have a pair, by the pair's id. Apart from struct pair, because labels are
 * compared more often than looked up. */
struct pair_use {
    uint32_t name;
    struct id_list series;
};

struct registry_name {
    struct bytes text;
    uint32_t tenant;
    struct id_list pairs; /* one per value, in the order in which they were added */
};

struct registry_tenant {
    struct id_list names;
    struct id_list series;
};

struct series_pairs {
    uint32_t count;
    uint32_t ids[]; /* in label order */
};

struct series {
    const struct series_pairs *pairs;
    uint32_t id;
    uint32_t tenant : 31;
    uint32_t nameless : 1;  /* the series has no __name__ */
    uint32_t metadata_hash; /* hash of the metadata last sent with it; 0 without */
    uint32_t defined_in;    /* low bits of the log segment that holds its labels */
    uint32_t after_plus_1;  /* series that followed it last in a request; 0 if unknown */
    uint32_t before_plus_1; /* the same series in the registry of the frozen generation, if that is
                               another registry; 0 if it is not there */
};

struct registry {
    struct budget *budget;       /* "head" */
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    uint64_t ref_base;           /* in the log, a series' reference is this plus its id */
    uint64_t hash_seed;
    struct gmem gmem;
    struct id_table series_table;
    struct id_table pair_table;
    struct id_table name_table;
    struct paged series;
    struct paged prints; /* struct fingerprint of each series' labels as last sent */
    struct paged pairs;
    struct paged pair_uses;
    struct paged names;
    struct paged tenants; /* tenants by their id */
    uint8_t *row_at;      /* the next series_pairs is stored here */
    uint8_t *row_end;
    uint32_t alias_count; /* additional keys in series_table */
};

/* The reference of a series is `ref_base` plus its id. Given, with one reference. ERR_NOMEM. */
MUST_CHECK enum err registry_new(struct budget *budget, uint64_t ref_base, uint64_t hash_seed,
                                 struct registry **ret_registry);
/* Any thread. registry_unref() accepts NULL. */
void registry_ref(struct registry *r);
void registry_unref(struct registry *r);
/* Returns the memory that is freed with the registry, in bytes. */
uint64_t registry_bytes(const struct registry *r);
/* Asserts the invariants of registry.c; O(n). For tests and debug builds. Under the head lock. */
void registry_validate(const struct registry *r);

static inline struct series *
registry_series(const struct registry *r, uint32_t id)
{
    return paged_at(&r->series, id);
}

static inline struct fingerprint *
registry_print(const struct registry *r, uint32_t id)
{
    return paged_at(&r->prints, id);
}

static inline struct pair *
registry_pair(const struct registry *r, uint32_t id)
{
    return paged_at(&r->pairs, id);
}

static inline struct pair_use *
registry_pair_use(const struct registry *r, uint32_t id)
{
    return paged_at(&r->pair_uses, id);
}

static inline struct registry_name *
registry_name(const struct registry *r, uint32_t id)
{
    return paged_at(&r->names, id);
}

static inline uint64_t
series_ref(const struct registry *r, const struct series *series)
{
    return r->ref_base + series->id;
}

/* NULL if the tenant has no series here. It may have none even if not NULL. */
struct registry_tenant *registry_tenant(const struct registry *r, uint32_t tenant);
/* Returns views of the pair's memory, which lives as long as the registry. */
struct label pair_label(const struct pair *pair);

/* Returns the hash of canonical labels (equal to rw_series.key of a canonical 1.0 series). */
uint64_t registry_labels_hash(const struct registry *r, struct bytes labels);

/* Finds a series by any key under which it was sent; `equal` decides. NULL if not found. */
struct series *registry_find(const struct registry *r, uint32_t tenant, uint64_t key,
                             bool (*equal)(void *context, const struct registry *r,
                                           const struct series *series),
                             void *context);
/* Finds a series by its canonical labels. NULL if not found. */
struct series *registry_find_labels(const struct registry *r, uint32_t tenant, struct bytes labels);
/* Returns the name of a tenant; NULL if none of its series has it. */
struct registry_name *registry_find_name(const struct registry *r, uint32_t tenant,
                                         struct bytes text);
/* Finds the pair of a tenant with exactly this label. False if not found, or if `scratch`, which is
 * overwritten, has an error. */
bool registry_find_pair(const struct registry *r, uint32_t tenant, struct label label,
                        struct buf *scratch, uint32_t *ret_id);

/*
 * For many keys in a row: the first function prefetches a key's slot in the table; some keys later,
 * the second one returns the series that the key probably belongs to (NULL if none) and prefetches
 * it. The caller compares labels: another series may have the same hash.
 */
void registry_prefetch_key(const struct registry *r, uint32_t tenant, uint64_t key);
struct series *registry_guess(const struct registry *r, uint32_t tenant, uint64_t key);

/* Remembers a further key (labels sent in another order or form). Does nothing without memory, or
 * if there are too many. */
void registry_alias(struct registry *r, const struct series *series, uint64_t key);

/* Adds a series that does not exist. ERR_NOMEM: some of its labels may remain without a series. */
MUST_CHECK enum err registry_add(struct registry *r, uint32_t tenant, struct bytes labels,
                                 struct series **ret_series);

/* True if the series has exactly these canonical labels. */
bool series_has_labels(const struct registry *r, const struct series *series, struct bytes labels);
/* Returns the size of the canonical labels, in bytes. */
size_t series_labels_size(const struct registry *r, const struct series *series);
/* Appends the canonical labels. */
void series_labels(const struct registry *r, const struct series *series, struct buf *to);
/* Compares two series of one tenant in label order. */
int series_compare(const struct registry *r, const struct series *a, const struct series *b);

#endif
