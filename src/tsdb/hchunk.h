/*
 * hchunk.h - private to tsdb/: chunks of the head: up to 240 samples of one series and kind,
 * compressed as they arrive. In memory only; never stored.
 *
 * Floats are byte tokens on decimal integers k / 10^e, times on second differences:
 *
 *      00-3F        1..64 samples more with the same step in time and the same value
 *      40-7F        z = 1..64             z = zigzag of the difference of k; the step in time is
 * the same 80-BF        z in 14 bits, high bits first in the token C0-DF        z in 21 bits E0-EF
 * z in 28 bits F0-F4        z in 4..8 bytes that follow, little endian F8 varint    prefix: zigzag
 * of the change of the step in time F9 varint    prefix: zigzag of the change of the start time,
 * from this sample on FD           the same value as before, after a prefix FE 8 bytes   a value as
 * its bits; k stays FF e         prefix: from here on k is of exponent e (31: k is the bits in the
 * order of doubles), and was 0
 *
 * The first sample's time stands before the first token, as a zigzag varint; k was 0, the exponent
 * 0, the step in time 0.
 *
 * Histograms of one layout: the first as in docs/format/histogram.md, then rows of differences.
 *
 * A chunk knows how many of its last samples are not durable yet: those of the epoch `tag`, and
 * those of the one before. More than two are never on their way at once.
 */
#ifndef TSDB_HCHUNK_H
#define TSDB_HCHUNK_H

#include "model/histogram.h"
#include "tsdb/gmem.h"

enum { HCHUNK_SAMPLES_MAX = 240, HCHUNK_FLOAT_BYTES_MAX = 40 };

/* A finished chunk; immutable but for `pending`. */
struct hchunk {
    struct hchunk *next; /* older */
    int64_t min_ms;
    int64_t max_ms;
    uint32_t size_bytes;
    uint32_t tag;
    uint8_t kind; /* enum sample_kind */
    uint8_t count;
    uint8_t pending_now;    /* of epoch `tag`, the last in the chunk */
    uint8_t pending_before; /* of epoch tag - 1, before those */
    uint8_t bytes[];
};

/* The chunk being written. Zeroed memory is an empty one. */
struct hchunk_open {
    uint8_t *bytes;
    uint32_t size_bytes;
    uint32_t capacity_bytes;
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms;
    int64_t start_ms;
    uint64_t last_bits;
    int64_t last_k;
    struct histogram *last_histogram; /* with its arrays, one piece of hist_bytes */
    uint32_t hist_bytes;
    uint32_t tag;
    uint8_t kind;
    uint8_t count;
    uint8_t pending_now;
    uint8_t pending_before;
    uint8_t exponent;
    bool run_open; /* the last byte is a run that may grow */
};

/* How many samples, from the first, are durable at this epoch. */
uint32_t hchunk_visible(uint32_t count, uint32_t tag, uint32_t now, uint32_t before,
                        uint32_t durable_epoch);

/* Could another sample of this kind be put behind the last one? (Not: does the histogram's layout
 * fit.) */
bool hchunk_takes(const struct hchunk_open *open, enum sample_kind kind, int64_t t_ms);
/* Room that the next append may take at worst from the generation's memory. */
size_t hchunk_float_reserve(const struct hchunk_open *open);
size_t hchunk_histogram_reserve(const struct hchunk_open *open, const struct histogram *h);

/* Appends behind the last sample. ERR_NOMEM: nothing changed. ERR_AGAIN: another layout: seal
 * first. */
MUST_CHECK enum err hchunk_put_float(struct hchunk_open *open, struct gmem *gmem, int64_t t_ms,
                                     uint64_t bits, int64_t start_ms, uint32_t epoch);
MUST_CHECK enum err hchunk_put_histogram(struct hchunk_open *open, struct gmem *gmem, int64_t t_ms,
                                         const struct histogram *h, int64_t start_ms,
                                         uint32_t epoch);
/* Finishes the chunk (count > 0) and leaves `open` empty. */
MUST_CHECK enum err hchunk_seal(struct hchunk_open *open, struct gmem *gmem,
                                struct hchunk **ret_chunk);
/* Gives its memory back. */
void hchunk_drop(struct hchunk_open *open, struct gmem *gmem);

struct hchunk_samples {
    uint32_t count;
    bool has_starts;
    int64_t times_ms[HCHUNK_SAMPLES_MAX];
    int64_t starts_ms[HCHUNK_SAMPLES_MAX];
    uint64_t bits[HCHUNK_SAMPLES_MAX];               /* floats */
    struct histogram histograms[HCHUNK_SAMPLES_MAX]; /* arrays in the arena */
};
/* Reads the first `count` samples. ERR_NOMEM: the arena (only used for histograms). */
MUST_CHECK enum err hchunk_read(enum sample_kind kind, struct bytes bytes, uint32_t count,
                                struct arena *arena, struct hchunk_samples *ret_samples);

#endif
