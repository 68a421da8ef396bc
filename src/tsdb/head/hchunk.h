/*
 * hchunk.h - private to head/: chunks of the head: up to 240 samples of one series and kind,
 * compressed as they arrive. In memory only; never stored.
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
#ifndef TSDB_HEAD_HCHUNK_H
#define TSDB_HEAD_HCHUNK_H

#include "model/histogram.h"
#include "tsdb/head/gmem.h"

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

#endif
