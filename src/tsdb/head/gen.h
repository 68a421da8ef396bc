/*
 * gen.h - private to tsdb/: a generation of the head: the samples of series, in chunks, and
 * exemplars, in one memory that is freed as a whole once the generation's part is live. Which
 * series there are, and their labels, says its registry.
 *
 * One generation is active (takes samples), at most one is frozen (being flushed).
 *
 * Locking: everything that changes is changed, and found, under the head lock. What a reader keeps
 * beyond it stays valid while the reader holds a reference to the generation: the bytes of sealed
 * chunks are immutable; how many samples of them count is read under the lock.
 */
#ifndef TSDB_HEAD_GEN_H
#define TSDB_HEAD_GEN_H

#include "base/lock.h"
#include "base/search.h"
#include "model/sample.h"
#include "tsdb/head/hchunk.h"
#include "tsdb/head/registry.h"
#include "tsdb/head/views.h"

/* An out-of-order sample waiting in a small sorted buffer. */
struct late_sample {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram; /* with its arrays after it; NULL for floats */
    uint32_t histogram_bytes;
    uint32_t epoch;
};

struct late {
    struct late_sample *samples; /* ascending */
    uint32_t count;
    uint32_t capacity;
    size_t histogram_reserve; /* what sealing its histograms may take */
    uint64_t sealed_count;    /* so many went into chunks before */
    uint64_t work;            /* of searching without an index, see late_index.h */
    struct late_index *index; /* NULL: none */
};

/* The place of the first late sample at or after t. */
static inline uint32_t
late_from(const struct late *late, int64_t t_ms)
{
    return search_first(i, 0u, late->count, late->samples[i].t_ms >= t_ms);
}

/* What of a series is not in its open chunk. */
struct gen_past {
    struct hchunk *sealed; /* newest first, late ones among them */
    struct late *late;
};

/*
 * A series' samples in a generation: one line of cache. `open.last_ms` is the newest time of the
 * series, of the generation before included, also while the open chunk is empty: what is older
 * never goes into the open chunk. INT64_MIN: none.
 */
struct gen_series {
    struct hchunk_open open;
    struct gen_past *past; /* NULL: nothing */
};

_Static_assert(sizeof(struct gen_series) == 64, "a line of cache");

struct gen_exemplar {
    uint32_t series;
    uint32_t epoch;
    int64_t t_ms;
    uint64_t bits;
    const uint8_t *labels; /* canonical */
    uint32_t labels_size;
    bool undone; /* its epoch failed: not there */
};

struct gen {
    struct budget *budget;       /* "head" */
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    uint64_t number;
    struct registry *registry; /* a reference */
    uint64_t begin_pos;        /* position of the log at which it begins */
    int64_t begun_ns;

    struct gen *before; /* the frozen one, while it is not live as a part; no reference */
    struct gmem gmem;
    struct paged series; /* struct gen_series by the registry's ids; pages only where needed */
    struct id_table exemplar_table;
    struct paged exemplars;
    uint32_t series_count;                    /* that have samples */
    uint64_t sample_count[LEDGER_KIND_COUNT]; /* exemplars too */
    int64_t min_ms;                           /* of what was ever appended; none: min > max */
    int64_t max_ms;
    size_t histogram_bytes_max;      /* unpacked, of the largest appended */
    struct late_index *late_indexes; /* a list */
    struct views *views;             /* NULL: nobody looks before an epoch is durable */
    struct view_notes notes;
};

/* Takes a reference to the registry. `views` outlives it, and may be NULL. */
MUST_CHECK enum err gen_new(struct budget *budget, uint64_t number, struct registry *registry,
                            struct views *views, struct gen **ret_gen);
void gen_ref(struct gen *gen);
void gen_unref(struct gen *gen);
/* Memory that goes with it, without the registry. */
uint64_t gen_bytes(const struct gen *gen);

/* NULL: it has nothing here (but not each that is there has something). */
static inline struct gen_series *
gen_series(const struct gen *gen, uint32_t id)
{
    return paged_find(&gen->series, id);
}

/* The place for a series of the registry's. ERR_NOMEM. */
MUST_CHECK enum err gen_series_get(struct gen *gen, const struct series *series,
                                   struct gen_series **ret_series);
/* The series in the generation before. NULL: nothing of it can be there. */
const struct gen_series *gen_before(const struct gen *gen, const struct series *series);
bool gen_series_is_empty(const struct gen_series *series);
/* How many of a chunk's samples, from the first, are of this epoch or earlier ones: of a view's, or
 * the durable one. */
uint32_t gen_open_visible(const struct gen *gen, const struct gen_series *series, uint32_t epoch);
uint32_t gen_sealed_visible(const struct gen *gen, const struct gen_series *series,
                            const struct hchunk *chunk, uint32_t epoch);
/* May it have such a sample in the time? As far as its chunks tell. */
bool gen_series_meets(const struct gen *gen, const struct gen_series *series, int64_t min_ms,
                      int64_t max_ms, uint32_t epoch);
struct gen_exemplar *gen_exemplar(const struct gen *gen, uint32_t id);

/* Asks the processor for what appending to the series touches. */
void gen_prefetch_series(const struct gen *gen, const struct series *series);
void gen_prefetch_chunk(const struct gen *gen, const struct series *series);

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
/* The same kind and, bit for bit or as histogram_equal() has it, the same value? */
bool sample_value_is(const struct sample_value *value, enum sample_kind kind, uint64_t bits,
                     const struct histogram *histogram);
MUST_CHECK enum err gen_presence(const struct gen *gen, const struct series *series, int64_t t_ms,
                                 const struct sample_value *value, struct arena *scratch,
                                 enum presence *ret_presence, uint32_t *ret_epoch);

/* What `scratch` must hold so that gen_presence() cannot fail, if nothing larger than `more` (may
 * be NULL) is appended before. */
size_t gen_presence_reserve(const struct gen *gen, const struct histogram *more);

/*
 * Memory that appending `count` samples in a row may need at worst, of which the first is `value`:
 * for floats this and for each of them (6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk)).
 */
size_t gen_append_reserve(const struct gen_series *series, const struct sample_value *value,
                          uint32_t count);
/* Adds a sample that is not there yet, in or out of order. After gmem_reserve() it cannot fail. */
MUST_CHECK enum err gen_append(struct gen *gen, struct gen_series *series, int64_t t_ms,
                               int64_t start_ms, const struct sample_value *value, uint32_t epoch,
                               uint32_t durable_epoch);

/* ERR_AGAIN: it is there already, identical, in this generation (then *ret_epoch is its epoch) or
 * the one before (0). */
MUST_CHECK enum err gen_add_exemplar(struct gen *gen, const struct series *series, int64_t t_ms,
                                     uint64_t bits, struct bytes labels, uint32_t epoch,
                                     uint32_t *ret_epoch);

/*
 * Takes back everything of epochs above `durable_epoch`. Takes no memory of the generation.
 * ERR_NOMEM: not even the machine has a little; some samples may not be taken back yet: call again.
 */
MUST_CHECK enum err gen_undo(struct gen *gen, uint32_t durable_epoch);

#endif
