/*
 * chunk_writer.h - what chunk.c and chunk_histogram.c share of the writer. Private to them.
 */
#ifndef WIRE_CHUNK_WRITER_H
#define WIRE_CHUNK_WRITER_H

#include "wire/chunk.h"
#include "wire/chunk_bits.h"

/* The header's two bits, in place. */
enum chunk_reset {
    CHUNK_RESET_UNKNOWN = 0x00,
    CHUNK_RESET_NO = 0x40,
    CHUNK_RESET_YES = 0x80,
    CHUNK_RESET_GAUGE = 0xc0
};

enum {
    CHUNK_HEADER_BYTES = 2,
    CHUNK_HISTOGRAM_HEADER_BYTES = 3,
    CHUNK_BYTES_MAX = 64 << 20, /* beyond any sensible frame: the chunk is full */
};

/* A number written as delta of deltas; wraps, so that nothing is too large for it. */
struct dod_state {
    uint64_t before;
    uint64_t delta;
};

/* What a count of an integer (dod) or a float histogram (xored) remembers. */
union bucket_state {
    struct dod_state dod;
    struct xor_state xored;
};

struct chunk_histogram_state {
    /* The chunk's layout: its arrays are ours, its counts are not set. */
    struct histogram layout;
    enum chunk_reset header;
    bool stale; /* the last sample was a staleness marker */
    union bucket_state count;
    union bucket_state zero_count;
    struct xor_state sum;

    struct hist_span *spans; /* positive, then negative */
    size_t spans_bytes;
    uint64_t *custom;
    size_t custom_bytes;
    union bucket_state *buckets; /* positive, then negative */
    size_t buckets_bytes;

    /* Why the last put was answered ERR_AGAIN: the header of the chunk that begins with it. */
    bool has_next;
    enum chunk_reset next_header;
    int64_t next_ms;
};

struct chunk_writer {
    struct budget *budget;
    enum chunk_type type;
    uint32_t count;
    struct buf data; /* whole bytes; the unfinished one lies behind them */
    uint64_t held;   /* the state of a struct bits_out between two puts */
    unsigned fill;
    struct dod_state time;
    struct xor_state value;
    struct chunk_histogram_state histogram;
};

/* Room for `bytes` more. Then bits may be put between chunk_bits_begin() and chunk_bits_done(). */
MUST_CHECK enum err chunk_reserve(struct chunk_writer *writer, size_t bytes);
struct bits_out chunk_bits_begin(const struct chunk_writer *writer);
void chunk_bits_done(struct chunk_writer *writer, const struct bits_out *out);

void chunk_histogram_fini(struct chunk_writer *writer);

#endif
