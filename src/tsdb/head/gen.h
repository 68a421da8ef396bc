/*
 * gen.h - private to tsdb/: a generation of the head: the samples of series, in chunks, and
 * exemplars, in one memory that is freed as a whole once the generation's part is live. The series
 * and their labels are in its registry.
 *
 * One generation is active (takes samples), at most one is frozen (being flushed).
 *
 * Locking: all changes and all look-ups are under the head lock. Pointers that a reader keeps
 * stay valid while it holds a reference to the generation: the bytes of sealed chunks are
 * immutable; how many of their samples count is read under the lock.
 */
#ifndef TSDB_HEAD_GEN_H
#define TSDB_HEAD_GEN_H

#include "base/array.h"
#include "base/lock.h"
#include "base/mem.h"
#include "model/histogram.h"
#include "model/sample.h"
#include "tsdb/head/registry.h"

/* --- chunks ----------------------------------------------------------------------------------- */

/*
 * Chunks have up to 240 samples of one series and kind, compressed as they arrive. In memory only;
 * never stored.
 *
 * Floats are byte tokens on decimal integers k / 10^e, times on second differences:
 *
 *      00-3F     1..64 more samples with the same step in time and the same value
 *      40-7F     z = 1..64, the zigzag of the difference of k; the step in time is the same
 *      80-BF     z in 14 bits, high bits first in the token
 *      C0-DF     z in 21 bits
 *      E0-EF     z in 28 bits
 *      F0-F4     z in 4..8 bytes that follow, little endian
 *      F8 varint prefix: zigzag of the change of the step in time
 *      F9 varint prefix: zigzag of the change of the start time, from this sample on
 *      FD        the same value as before, after a prefix
 *      FE 8      a value as its bits; k is 0 after it
 *      FF e      prefix: from here on k is of exponent e (31: k is the bits in the order of
 *                doubles), and was 0
 *
 * The first sample's time precedes the first token, as a zigzag varint. The state before the first
 * sample is value 0, k 0, exponent 0, step in time 0.
 *
 * Histograms of one layout: time and start as zigzag varints, the first as in
 * docs/format/histogram.md, then rows: zigzag of the change of the step in time, of the change of
 * the start time, the hint, then `row_words` varints of differences: count, zero count, sum,
 * buckets of both sides.
 *
 * A chunk counts its last samples that are not durable so far: those of the epoch `tag`, and those
 * of the one before. More than two epochs are never pending at once.
 */

enum {
    HCHUNK_SAMPLES_MAX = 240,
    HCHUNK_FLOAT_BYTES_MAX = 40,
    HCHUNK_BYTES_FULL = 32 * 1024, /* histograms: a larger chunk takes no more */
};

/* A finished chunk. Its bytes are immutable; the rest changes when samples are undone. */
struct hchunk {
    struct hchunk *next; /* older */
    int64_t min_ms;
    int64_t max_ms;
    uint32_t size_bytes;
    uint32_t tag;
    uint32_t rows_at;   /* histograms: offset of the rows in `bytes` */
    uint32_t row_words; /* histograms: words in each row */
    uint8_t kind;       /* enum sample_kind */
    uint8_t count;
    uint8_t pending_now;    /* samples of epoch `tag`, the last in the chunk */
    uint8_t pending_before; /* samples of epoch tag - 1, before those */
    uint8_t bytes[];
};

/* State that only chunks with start times or histograms need. */
struct hchunk_extra {
    int64_t start_ms;
    struct histogram *last_histogram; /* with its arrays in one piece of hist_bytes */
    uint32_t hist_bytes;
    uint32_t rows_at;
    uint32_t row_words;
};

/*
 * The chunk being written. Zeroed memory is an empty one. While it is empty, `last_ms` belongs to
 * the owner.
 */
struct hchunk_open {
    uint8_t *bytes;
    struct hchunk_extra *extra; /* NULL without start times and histograms */
    int64_t last_ms;
    uint64_t last; /* k of the last value; its bits if it is `special` */
    uint32_t step_ms;
    uint32_t tag;
    uint32_t size_bytes;
    uint32_t capacity_bytes;
    uint8_t count;
    uint8_t pending_now;
    uint8_t pending_before;
    uint8_t kind;
    uint8_t exponent;
    bool run_open; /* the last byte is a run that may grow */
    bool special;  /* the last value was written as its bits */
};

/* The division of a chunk's samples among epochs. */
struct chunk_marks {
    int64_t first_ms; /* sealed chunks only; 0 for open ones, see hchunk_first_ms() */
    uint32_t tag;
    uint8_t count;
    uint8_t now;
    uint8_t before;
};

static inline struct chunk_marks
hchunk_open_marks(const struct hchunk_open *o)
{
    return (struct chunk_marks){
        .tag = o->tag, .count = o->count, .now = o->pending_now, .before = o->pending_before};
}

static inline struct chunk_marks
hchunk_sealed_marks(const struct hchunk *c)
{
    return (struct chunk_marks){.first_ms = c->min_ms,
                                .tag = c->tag,
                                .count = c->count,
                                .now = c->pending_now,
                                .before = c->pending_before};
}

/* True if the marks suffice to say which samples a view of this epoch sees. */
static inline bool
chunk_marks_suffice(const struct chunk_marks *chunk, uint32_t epoch)
{
    return (int32_t)(epoch - (chunk->tag - 2)) >= 0 ||
           chunk->count == chunk->now + chunk->before; /* all samples are later */
}

/* Returns the number of samples, from the first, that are durable at this epoch. */
uint32_t hchunk_visible(uint32_t count, uint32_t tag, uint32_t now, uint32_t before,
                        uint32_t durable_epoch);
/* Returns the epoch of the sample at `index`; 0 if it is older than epochs that may be pending. */
uint32_t hchunk_epoch(uint32_t index, uint32_t count, uint32_t tag, uint32_t now, uint32_t before);

/* True if a sample of this kind and time can follow the last one. A histogram of another layout
 * may still be refused. */
bool hchunk_takes(const struct hchunk_open *open, enum sample_kind kind, int64_t t_ms);
/* Returns the bytes of the generation's memory that the next append may take at worst. For a float:
 * the chunk sealed and its buffer grown by a quarter, each rounded up by a quarter, and a fixed
 * part. */
static inline size_t
hchunk_float_reserve(const struct hchunk_open *open)
{
    return 2 * ((size_t)open->size_bytes + open->capacity_bytes) + 256;
}
size_t hchunk_histogram_reserve(const struct hchunk_open *open, const struct histogram *h);

/* Makes a copy with its arrays in one piece of hchunk_histogram_bytes(). NULL without memory. */
struct histogram *hchunk_keep_histogram(struct gmem *gmem, const struct histogram *h);
size_t hchunk_histogram_bytes(const struct histogram *h);

/* Appends after the last sample; hchunk_takes() it. ERR_NOMEM: nothing changed. ERR_AGAIN: the
 * histogram has another layout; seal the chunk first. */
MUST_CHECK enum err hchunk_put_float(struct hchunk_open *open, struct gmem *gmem, int64_t t_ms,
                                     uint64_t bits, int64_t start_ms, uint32_t epoch);
MUST_CHECK enum err hchunk_put_histogram(struct hchunk_open *open, struct gmem *gmem, int64_t t_ms,
                                         const struct histogram *h, int64_t start_ms,
                                         uint32_t epoch);
/* Finishes the chunk (count > 0) and empties `open`; last_ms stays. ERR_NOMEM. */
MUST_CHECK enum err hchunk_seal(struct hchunk_open *open, struct gmem *gmem,
                                struct hchunk **ret_chunk);
/* Finishes a copy of the chunk and leaves `open` unchanged. ERR_NOMEM. */
MUST_CHECK enum err hchunk_seal_copy(const struct hchunk_open *open, struct gmem *gmem,
                                     struct hchunk **ret_chunk);
/* Empties the chunk and frees its memory; last_ms stays. */
void hchunk_drop(struct hchunk_open *open, struct gmem *gmem);

/* The samples of an open or a sealed chunk, as readers need them. */
struct hchunk_view {
    enum sample_kind kind;
    uint32_t count;
    uint32_t rows_at;
    uint32_t row_words;
    struct bytes bytes;
};
int64_t hchunk_first_ms(const struct hchunk_open *open);
/* Returns the last value of a chunk of floats. */
uint64_t hchunk_last_bits(const struct hchunk_open *open);
struct hchunk_view hchunk_open_view(const struct hchunk_open *open);
struct hchunk_view hchunk_sealed_view(const struct hchunk *chunk);

/* Searches the sample at `t_ms`. *ret_index gets its index; view->count if not found. *ret_bits
 * gets the value of a float; *ret_histogram (may be NULL) a histogram, with arrays in `scratch`,
 * which is not used otherwise. ERR_NOMEM: no memory for the histogram that was found. */
MUST_CHECK enum err hchunk_find(const struct hchunk_view *view, int64_t t_ms, struct arena *scratch,
                                uint32_t *ret_index, uint64_t *ret_bits,
                                struct histogram *ret_histogram);

/*
 * Removes all samples but the first `keep` (0 < keep < count), which are of `epoch` or older. Takes
 * no memory of the generation. ERR_NOMEM: the arena, only for histograms; nothing changed.
 */
MUST_CHECK enum err hchunk_cut_open(struct hchunk_open *open, uint32_t keep, uint32_t epoch,
                                    struct arena *scratch);
void hchunk_cut_sealed(struct hchunk *chunk, uint32_t keep, uint32_t epoch);

/*
 * Reads the first `count` samples; `ret_bits` only for floats, `ret_histograms` (arrays in the
 * arena) only for histograms. *ret_has_starts: some sample has a start time. ERR_NOMEM: the arena.
 */
MUST_CHECK enum err hchunk_unpack(enum sample_kind kind, struct bytes bytes, uint32_t count,
                                  struct arena *arena, int64_t *ret_times_ms,
                                  int64_t *ret_starts_ms, uint64_t *ret_bits,
                                  struct histogram *ret_histograms, bool *ret_has_starts);

/*
 * The epochs of the head that open views see.
 *
 * A view sees the samples of the epochs up to its own, whatever is appended while it is open. The
 * generations keep notes for that (struct view_notes). If notes take too much memory, the oldest
 * view is lost, so that a view that is held for long does not harm short ones. A failed commit also
 * loses views, as undoing it changes what chunks know about earlier epochs. A query on a lost view
 * fails.
 *
 * Locking: everything under the head lock.
 */

enum view_loss {
    VIEW_NOT_LOST,
    VIEW_LOST_COMMIT, /* a commit failed, and samples that the view may have seen were undone */
    VIEW_LOST_MEMORY, /* it was the oldest when there was no memory for notes */
};

struct head_view {
    struct head_view *older; /* a list in the order of epochs */
    struct head_view *newer;
    int64_t opened_ns; /* monotonic */
    uint32_t epoch;
    enum view_loss lost;
};

struct views {
    struct budget budget; /* "views": pays for the notes */
    struct head_view *oldest;
    struct head_view *newest;
    uint64_t lost_total;
};

/* Lists a view, whose memory is the caller's until views_close(). */
void views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns);
void views_close(struct views *views, struct head_view *view);

/* Gives the least epoch of a view that is open, not lost, and at `from` or later. False without
 * such a view. */
bool views_next(const struct views *views, uint32_t from, uint32_t *ret_epoch);
/* True if a view that is not lost has an epoch in [from, to). */
bool views_meet(const struct views *views, uint32_t from, uint32_t to);

/* --- notes of open chunks --------------------------------------------------------------------- */

/*
 * Notes record how many samples the open chunks of a generation held at earlier epochs, as long as
 * a view of such an epoch is open.
 *
 * A chunk knows how many of its samples are of its last epoch, the tag, and of the previous one; so
 * it knows exactly which samples epochs from tag - 2 on see. Before a sample with a later tag is
 * appended, these counts are noted if a view needs them. A reader whose epoch the chunk no longer
 * knows looks for the chunk's newest note that knows it; without one, the chunk began later. There
 * is at most one note for each chunk and view.
 *
 * Notes are in pages, each larger than the one before, which are freed when no view needs them.
 */
struct view_notes_page;
struct view_notes {
    struct view_notes_page *newest;
};

/* Called before a sample of `epoch` is appended to the open chunk of a series, which is identified
 * by its address. Without memory for a note, views are lost, the oldest first, until there is
 * memory. `frozen` are the notes of the previous generation; NULL without one. */
void view_notes_append(struct view_notes *notes, struct view_notes *frozen, struct views *views,
                       const void *series, const struct hchunk_open *open, uint32_t epoch);

/* Returns the number of samples of the chunk, from the first, that a view of this epoch sees. */
uint32_t view_notes_visible(const struct view_notes *notes, const void *series,
                            const struct chunk_marks *chunk, uint32_t epoch);

/* Frees the pages that no view needs. */
void view_notes_trim(struct view_notes *notes, struct views *views);
void view_notes_fini(struct view_notes *notes, struct views *views);

/* An out-of-order sample waiting in a small sorted buffer. */
struct late_sample {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram; /* its arrays follow it; NULL for floats */
    uint32_t histogram_bytes;
    uint32_t epoch;
};

struct late {
    struct late_sample *samples; /* ascending */
    uint32_t count;
    uint32_t capacity;
    size_t histogram_reserve; /* memory that sealing its histograms may take, in bytes */
    uint64_t sealed_count;    /* samples that went from here into chunks */
    uint64_t work;            /* spent on searching without an index, see gen.c */
    struct late_index *index; /* NULL if the series has no index */
};

/* Returns the index of the first late sample at or after t; `count` if all are earlier. */
static inline uint32_t
late_from(const struct late *late, int64_t t_ms)
{
    return search_first(i, 0u, late->count, late->samples[i].t_ms >= t_ms);
}

/* The samples of a series that are not in its open chunk. */
struct gen_past {
    struct hchunk *sealed; /* newest first; some were sealed out of the late buffer */
    struct late *late;     /* NULL until the first late sample */
};

/*
 * A series' samples in a generation: one line of cache. `open.last_ms` is the newest time of the
 * series, including the generation before, also while the open chunk is empty: older samples never
 * go into the open chunk. INT64_MIN if the series has no sample.
 */
struct gen_series {
    struct hchunk_open open;
    struct gen_past *past; /* NULL if all samples are in the open chunk */
};

_Static_assert(sizeof(struct gen_series) == 64, "a line of cache");

struct gen_exemplar {
    uint32_t series;
    uint32_t epoch;
    int64_t t_ms;
    uint64_t bits;
    const uint8_t *labels; /* canonical */
    uint32_t labels_size;
    bool undone; /* its epoch failed: readers skip it */
};

struct gen {
    struct budget *budget;       /* "head" */
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    uint64_t number;
    struct registry *registry; /* holds a reference */
    uint64_t begin_pos;        /* log position at which the generation begins */
    int64_t begun_ns;          /* monotonic */

    struct gen *before; /* the frozen generation until its part is live; no reference */
    struct gmem gmem;
    struct paged series; /* struct gen_series by the registry's ids; pages only where needed */
    struct id_table exemplar_table;
    struct paged exemplars;
    uint32_t series_count;                    /* series that have samples */
    uint64_t sample_count[LEDGER_KIND_COUNT]; /* samples and exemplars, by kind */
    int64_t min_ms; /* bounds of all samples ever appended; min > max before the first */
    int64_t max_ms;
    size_t histogram_bytes_max;      /* unpacked size of the largest histogram appended */
    struct late_index *late_indexes; /* list of all indexes of its series */
    struct views *views;             /* NULL if no views are opened */
    struct view_notes notes;
};

/* Takes a reference to the registry. `views` outlives it, and may be NULL. */
MUST_CHECK enum err gen_new(struct budget *budget, uint64_t number, struct registry *registry,
                            struct views *views, struct gen **ret_gen);
/* Any thread. The last gen_unref() frees all samples at once; NULL is fine. */
void gen_ref(struct gen *gen);
void gen_unref(struct gen *gen);
/* Memory that is freed with the generation, in bytes; without the registry. */
uint64_t gen_bytes(const struct gen *gen);
/* Asserts the invariants of gen.c; O(n). For tests and debug builds. Under the head lock. */
void gen_validate(const struct gen *gen);

/* NULL if the series has no sample in the generation. It may have none even if not NULL. */
static inline struct gen_series *
gen_series(const struct gen *gen, uint32_t id)
{
    return paged_find(&gen->series, id);
}

/* Finds or makes the samples of a series of the registry. ERR_NOMEM. */
MUST_CHECK enum err gen_series_get(struct gen *gen, const struct series *series,
                                   struct gen_series **ret_series);
/* True if the series has neither chunks nor late samples. */
bool gen_series_is_empty(const struct gen_series *series);
/* Returns the number of a chunk's samples, from the first, that are of `epoch` or earlier ones.
 * `epoch` is that of a view, or the durable one. */
uint32_t gen_open_visible(const struct gen *gen, const struct gen_series *series, uint32_t epoch);
uint32_t gen_sealed_visible(const struct gen *gen, const struct gen_series *series,
                            const struct hchunk *chunk, uint32_t epoch);
/* True if a chunk or late sample that `epoch` sees meets [min, max]. The chunk may have a gap
 * there. */
bool gen_series_meets(const struct gen *gen, const struct gen_series *series, int64_t min_ms,
                      int64_t max_ms, uint32_t epoch);
/* `id` is a number that the generation gave; valid as long as the generation. */
struct gen_exemplar *gen_exemplar(const struct gen *gen, uint32_t id);

/* Prefetches the memory that appending to the series touches. */
void gen_prefetch_series(const struct gen *gen, const struct series *series);
void gen_prefetch_chunk(const struct gen *gen, const struct series *series);

/*
 * Looks for a sample at (series, t) in this generation and the one before it, and says whether it
 * has the same value. `ret_epoch` gets the epoch in which that sample came, 0 if it is older than
 * anything pending. ERR_NOMEM: `scratch` could not hold one histogram; floats do not use it.
 */
enum presence { PRESENT_NOT, PRESENT_SAME, PRESENT_OTHER };
struct sample_value {
    enum sample_kind kind;
    uint64_t bits;
    const struct histogram *histogram;
};
/* True for the same kind and equal values: floats bit for bit, histograms by histogram_equal(). */
bool sample_value_is(const struct sample_value *value, enum sample_kind kind, uint64_t bits,
                     const struct histogram *histogram);
/* `series` is one of the registry of the generation. */
MUST_CHECK enum err gen_presence(const struct gen *gen, const struct series *series, int64_t t_ms,
                                 const struct sample_value *value, struct arena *scratch,
                                 enum presence *ret_presence, uint32_t *ret_epoch);

/* Bytes that `scratch` must hold so that gen_presence() cannot fail, if no histogram larger than
 * `more` (may be NULL) is appended before. */
size_t gen_presence_reserve(const struct gen *gen, const struct histogram *more);

/*
 * Bytes that appending `count` samples in a row, of which the first is `value`, may need at worst.
 * For floats the caller adds (6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk)) for each.
 */
size_t gen_append_reserve(const struct gen_series *series, const struct sample_value *value,
                          uint32_t count);
/* Adds a sample at a time without one, in or out of order. After gmem_reserve() it cannot fail. */
MUST_CHECK enum err gen_append(struct gen *gen, struct gen_series *series, int64_t t_ms,
                               int64_t start_ms, const struct sample_value *value, uint32_t epoch,
                               uint32_t durable_epoch);

/* ERR_AGAIN: an identical exemplar is in this generation (then *ret_epoch is its epoch) or in the
 * previous one (0). ERR_NOMEM. */
MUST_CHECK enum err gen_add_exemplar(struct gen *gen, const struct series *series, int64_t t_ms,
                                     uint64_t bits, struct bytes labels, uint32_t epoch,
                                     uint32_t *ret_epoch);

/* Undoes all epochs above `durable_epoch`, without memory of the generation. ERR_NOMEM: the system
 * has no memory; some samples may remain: call again. */
MUST_CHECK enum err gen_undo(struct gen *gen, uint32_t durable_epoch);

#endif
