/*
 * chunk.c - the writer of XOR chunks: src/wire/README.md.
 *
 * struct bits_out writes bits into a plain byte buffer. It lives in registers while samples are put
 * and in the writer between calls, so the buffer may move when it grows.
 */
#include "wire/chunk/chunk.h"

#include <assert.h>

#include "wire/chunk/chunk_bits.h"

enum {
    CHUNK_HEADER_BYTES = 2,
    CHUNK_BYTES_MAX = 64 << 20, /* larger than any sensible frame: the chunk is full */
    /* A sample takes up to 68 bits of time and 77 of value, a first sample 10 + 8 bytes. */
    XOR_SAMPLE_BYTES_MAX = 19,
};

struct chunk_writer {
    struct budget *budget;
    uint32_t count;
    struct buf data; /* whole bytes; the unfinished byte follows them */
    uint64_t held;   /* state of the struct bits_out between two calls */
    unsigned fill;
    struct dod_state time;
    struct xor_state value;
};

enum err
chunk_writer_new(struct budget *budget, struct chunk_writer **ret_writer)
{
    struct chunk_writer *writer = mem_new(budget, sizeof *writer);
    if (writer == NULL) return ERR_NOMEM;
    writer->budget = budget;
    buf_init(&writer->data, budget, CHUNK_BYTES_MAX);
    chunk_begin(writer);
    *ret_writer = writer;
    return OK;
}

void
chunk_writer_free(struct chunk_writer *writer)
{
    if (writer == NULL) return;
    buf_fini(&writer->data);
    mem_free(writer->budget, writer, sizeof *writer);
}

void
chunk_begin(struct chunk_writer *writer)
{
    writer->count = 0;
    buf_clear(&writer->data);
    writer->held = 0;
    writer->fill = 0;
    writer->time = (struct dod_state){0};
    writer->value = (struct xor_state){.leading = XOR_NO_WINDOW};
}

uint32_t
chunk_count(const struct chunk_writer *writer)
{
    return writer->count;
}

size_t
chunk_size(const struct chunk_writer *writer)
{
    return writer->data.size + (writer->fill > 0 ? 1 : 0);
}

/* Without always_inline `out` stays in memory for the whole chunk: a third more instructions per
 * float. */
static inline __attribute__((always_inline)) void
put_varint(struct bits_out *out, uint64_t v)
{
    uint8_t varint[VARINT_SIZE_MAX];
    size_t size = varint_put(varint, v);
    for (size_t i = 0; i < size; i++) {
        bits_put(out, varint[i], 8);
    }
}

static inline void
xor_put_dod(struct bits_out *out, uint64_t dod)
{
    if (dod == 0) {
        bits_put(out, 0, 1);
        return;
    }
    unsigned bits = bits_of_signed(dod);
    if (bits <= 14) {
        bits_put(out, (uint64_t)2 << 14 | (dod & bits_mask(14)), 16);
    } else if (bits <= 17) {
        bits_put(out, (uint64_t)6 << 17 | (dod & bits_mask(17)), 20);
    } else if (bits <= 20) {
        bits_put(out, (uint64_t)14 << 20 | (dod & bits_mask(20)), 24);
    } else {
        bits_put(out, 15, 4);
        bits_put_wide(out, dod, 64);
    }
}

enum err
chunk_put_floats(struct chunk_writer *writer, uint32_t count, const int64_t *times_ms,
                 const uint64_t *bits)
{
    if (count > CHUNK_SAMPLES_MAX - writer->count) return ERR_LIMIT;
    size_t bytes = (size_t)count * XOR_SAMPLE_BYTES_MAX + CHUNK_HEADER_BYTES + BITS_OUT_SLACK;
    if (!buf_reserve(&writer->data, bytes)) {
        enum err e = buf_error(&writer->data);
        writer->data.failed = OK; /* no bytes were lost */
        return e;
    }
    struct bits_out out = {writer->data.at + writer->data.size, writer->held, writer->fill};

    uint32_t i = 0;
    struct dod_state time = writer->time;
    struct xor_state value = writer->value;
    for (; i < count && writer->count + i < 2; i++) {
        uint64_t t = (uint64_t)times_ms[i];
        if (writer->count + i == 0) {
            bits_put(&out, 0, 16); /* count, written at the end */
            put_varint(&out, zigzag(times_ms[i]));
            bits_put_wide(&out, bits[i], 64);
            value.before = bits[i];
        } else {
            time.delta = t - time.before;
            put_varint(&out, time.delta);
            xor_put(&out, &value, bits[i]);
        }
        time.before = t;
    }
    for (; i < count; i++) {
        uint64_t delta = (uint64_t)times_ms[i] - time.before;
        xor_put_dod(&out, delta - time.delta);
        xor_put(&out, &value, bits[i]);
        time.before = (uint64_t)times_ms[i];
        time.delta = delta;
    }
    writer->time = time;
    writer->value = value;
    writer->count += count;
    writer->data.size = (size_t)(out.at - writer->data.at);
    writer->held = out.held;
    writer->fill = out.fill;
    return OK;
}

struct bytes
chunk_end(struct chunk_writer *writer)
{
    assert(writer->count > 0);
    store_be16(writer->data.at, (uint16_t)writer->count);
    return (struct bytes){writer->data.at, chunk_size(writer)};
}
