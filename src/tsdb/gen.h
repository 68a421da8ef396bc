/*
 * gen.h - private to tsdb/: a generation of the head: series, their labels, an index over them,
 * chunks and exemplars, everything in one memory that is freed as a whole once the generation's
 * part is live.
 *
 * One generation is active (takes samples), at most one is frozen (being flushed).
 *
 * Locking: everything that changes is changed, and found, under the head lock. What a reader
 * keeps beyond it stays valid while the reader holds a reference to the generation:
 *  1. series, pairs and names have stable addresses, and their labels never change;
 *  2. an id list only grows, and never in place beyond its capacity: a (pointer, count) seen under
 * the lock stays readable;
 *  3. the bytes of sealed chunks are immutable; how many samples of them count is read under the
 *     lock.
 */
#ifndef TSDB_GEN_H
#define TSDB_GEN_H

#include "base/lock.h"
#include "model/labels.h"
#include "model/sample.h"
#include "tsdb/hchunk.h"

/* Ids of something in this generation, ascending. */
struct id_list {
    uint32_t *at;
    uint32_t count;
    uint32_t capacity;
};

/* One label of one tenant: the bytes of its field in canonical labels. */
struct pair {
    const uint8_t *field;
    uint32_t field_size;
    uint32_t tenant;
    uint32_t name;
    struct id_list series; /* those that have it */
};

struct gen_name {
    struct bytes text;
    uint32_t tenant;
    struct id_list pairs; /* one per value, in the order they came */
};

/* An out-of-order sample waiting in a small sorted buffer. */
struct late_sample {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram; /* with its arrays behind it; NULL for floats */
    uint32_t histogram_bytes;
    uint32_t epoch;
};

struct late {
    struct late_sample *samples; /* ascending */
    uint32_t count;
    uint32_t capacity;
    uint64_t sealed_count;    /* so many went into chunks before */
    uint64_t work;            /* of searching without an index, see late_index.h */
    struct late_index *index; /* NULL: none */
};

struct series {
    uint64_t ref;
    uint32_t id;
    uint32_t tenant;
    uint32_t *pairs; /* in label order */
    uint32_t pair_count;
    uint32_t metadata_hash; /* of what was last said about it; 0: nothing */
    uint32_t defined_in;    /* low bits of the log segment that holds its labels */
    struct series
        *before; /* the same series in the frozen generation; valid while gen->before is */
    struct hchunk *sealed; /* newest first, late ones among them */
    struct late *late;
    int64_t max_ms; /* newest sample, `before` included; INT64_MIN: none */
    struct hchunk_open open;
};

struct gen_exemplar {
    uint32_t series;
    uint32_t epoch;
    int64_t t_ms;
    uint64_t bits;
    const uint8_t *labels; /* canonical */
    uint32_t labels_size;
    bool undone; /* its epoch failed: not there */
};

enum { GEN_SHARDS = 64, GEN_PAGE_FIRST = 64, GEN_PAGE = 8192, GEN_PAGES_MAX = 8192 };

/* A hash table of ids in shards, so that growing one is a short pause. */
struct id_slot {
    uint32_t hash;
    uint32_t id_plus_1; /* 0: free */
};
struct id_table {
    struct {
        struct id_slot *slots;
        uint32_t capacity; /* a power of two, or 0 */
        uint32_t count;
    } shards[GEN_SHARDS];
};

/* An array of fixed-size items with stable addresses: pages of 64, 64, 128, ... up to 8192 items.
 */
struct paged {
    uint8_t **pages;
    uint32_t item_bytes;
    uint32_t count;
};

struct gen_tenant {
    struct id_list names;
    struct id_list series;
};

struct gen {
    struct budget *budget;       /* "head" */
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    uint64_t number;
    uint64_t ref_base;
    uint64_t hash_seed;
    uint64_t begin_pos; /* position of the log at which it begins */
    int64_t begun_ns;

    struct gen *before; /* the frozen one, while it is not live as a part; no reference */
    struct gmem gmem;
    struct id_table series_table;
    struct id_table pair_table;
    struct id_table name_table;
    struct id_table exemplar_table;
    struct paged series;
    struct paged pairs;
    struct paged names;
    struct paged exemplars;
    struct paged tenants;                     /* by tenant id */
    uint64_t sample_count[LEDGER_KIND_COUNT]; /* exemplars too */
    size_t histogram_bytes_max;               /* unpacked, of the largest appended */
    uint32_t alias_count;
    struct late_index *late_indexes; /* a list */
};

MUST_CHECK enum err gen_new(struct budget *budget, uint64_t number, uint64_t ref_base,
                            uint64_t hash_seed, struct gen **ret_gen);
void gen_ref(struct gen *gen);
void gen_unref(struct gen *gen);
/* Gives all series new references; only before any of them is logged. */
void gen_rebase(struct gen *gen, uint64_t ref_base);

struct series *gen_series(const struct gen *gen, uint32_t id);
struct pair *gen_pair(const struct gen *gen, uint32_t id);
struct gen_name *gen_name(const struct gen *gen, uint32_t id);
struct gen_exemplar *gen_exemplar(const struct gen *gen, uint32_t id);
/* NULL: the tenant has nothing here. */
struct gen_tenant *gen_tenant(const struct gen *gen, uint32_t tenant);
struct label pair_label(const struct pair *pair);
/* The pair of a tenant with exactly this label; NULL: there is none. `scratch` is overwritten. */
struct pair *gen_find_pair(const struct gen *gen, uint32_t tenant, struct label label,
                           struct buf *scratch);

/* Hash of canonical labels (equal to rw_series.key of a 1.0 series that is canonical). */
uint64_t gen_labels_hash(const struct gen *gen, struct bytes labels);

/*
 * Finds a series by any key under which it was seen; `equal` decides.
 */
struct series *gen_find(const struct gen *gen, uint32_t tenant, uint64_t key,
                        bool (*equal)(void *context, const struct gen *gen,
                                      const struct series *series),
                        void *context);
/*
 * For many keys in a row: asks the processor for a key's place in the table; some keys later, says
 * which series it is likely to be (NULL: none) and asks for that; some keys later, for what a
 * comparison and an append touch. The caller compares: another series may have the same hash.
 */
void gen_prefetch_key(const struct gen *gen, uint32_t tenant, uint64_t key);
struct series *gen_guess(const struct gen *gen, uint32_t tenant, uint64_t key);
void gen_prefetch_chunk(const struct series *series);
struct series *gen_find_labels(const struct gen *gen, uint32_t tenant, struct bytes labels);
/* Remembers a further key (labels sent in another order or form). Failing is harmless. */
void gen_alias(struct gen *gen, const struct series *series, uint64_t key);
bool series_has_labels(const struct gen *gen, const struct series *series, struct bytes labels);

/* A new series; it must not exist yet. ERR_NOMEM: labels of it may stay behind without a series. */
MUST_CHECK enum err gen_add_series(struct gen *gen, uint32_t tenant, struct bytes labels,
                                   struct series **ret_series);
/* Appends the canonical labels. */
void series_labels(const struct gen *gen, const struct series *series, struct buf *to);
/* Label order, of two series of one tenant. */
int series_compare(const struct gen *gen, const struct series *a, const struct series *b);

/*
 * What is at (series, t) in this generation and the one before it: duplicate, conflict, or nothing.
 * `ret_epoch` gets the epoch the finding leans on, 0 if it is older than anything pending.
 * ERR_NOMEM: `scratch` could not hold one histogram; for floats it is not used.
 */
enum presence { PRESENT_NOT, PRESENT_SAME, PRESENT_OTHER };
struct sample_value {
    enum sample_kind kind;
    uint64_t bits;
    const struct histogram *histogram;
};
MUST_CHECK enum err series_presence(const struct gen *gen, const struct series *series,
                                    int64_t t_ms, const struct sample_value *value,
                                    struct arena *scratch, enum presence *ret_presence,
                                    uint32_t *ret_epoch);

/* What `scratch` must hold so that series_presence() cannot fail, if nothing larger than `more`
 * (may be NULL) is appended before. */
size_t gen_presence_reserve(const struct gen *gen, const struct histogram *more);

/*
 * Memory that series_append() may need at worst. For n floats in a row this once, and n times
 * (6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk)), are enough.
 */
size_t series_append_reserve(const struct series *series, const struct sample_value *value);
/* Adds a sample that is not there yet, in or out of order. After gmem_reserve() it cannot fail. */
MUST_CHECK enum err series_append(struct gen *gen, struct series *series, int64_t t_ms,
                                  int64_t start_ms, const struct sample_value *value,
                                  uint32_t epoch, uint32_t durable_epoch);

/* ERR_AGAIN: it is there already, identical, in this generation (then *ret_epoch is its epoch) or
 * the one before (0). */
MUST_CHECK enum err gen_add_exemplar(struct gen *gen, struct series *series, int64_t t_ms,
                                     uint64_t bits, struct bytes labels, uint32_t epoch,
                                     uint32_t *ret_epoch);

/*
 * Takes back everything of epochs above `durable_epoch`. Takes no memory of the generation.
 * ERR_NOMEM: not even the machine has a little; some samples may not be taken back yet: call again.
 */
MUST_CHECK enum err gen_undo(struct gen *gen, uint32_t durable_epoch);

#endif
