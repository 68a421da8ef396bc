/*
 * chunk_fuzz.c - reads any bytes as a chunk (the first byte is its type); the samples read are
 * written again, and must be the same when read.
 */
#include <stdlib.h>

#include "wire/chunk/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 16 << 20 };

/* All of a sample except the hint, as one number. */
struct digest {
    uint64_t sum;
    uint32_t count;
};

static void
mix(struct digest *d, uint64_t word)
{
    d->sum = (d->sum ^ word) * 0x9e3779b97f4a7c15u;
    d->sum ^= d->sum >> 29;
}

static void
mix_side(struct digest *d, const struct hist_buckets *b)
{
    for (uint32_t i = 0; i < b->span_count; i++) {
        mix(d, (uint64_t)(int64_t)b->spans[i].offset);
        mix(d, b->spans[i].length);
    }
    for (uint32_t i = 0; i < b->bucket_count; i++)
        mix(d, b->deltas != NULL ? (uint64_t)b->deltas[i] : b->counts[i]);
}

static enum err
digest_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct digest *d = context;
    d->count++;
    mix(d, (uint64_t)t_ms);
    mix(d, bits);
    if (h == NULL) return OK;
    mix(d, (uint64_t)(int64_t)h->schema);
    mix(d, h->zero_threshold_bits);
    mix(d, h->count);
    mix(d, h->zero_count);
    mix(d, h->sum_bits);
    mix_side(d, &h->positive);
    mix_side(d, &h->negative);
    for (uint32_t i = 0; i < h->custom_count; i++)
        mix(d, h->custom_bits[i]);
    return OK;
}

struct rewriter {
    struct chunk_writer *floats;
    struct histogram_chunks *histograms;
    struct digest digest;
};

static enum err
digest_again(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct rewriter *w = context;
    struct arena arena;
    (void)why;
    arena_init(&arena, NULL, 0, 0);
    if (chunk_read(chunk->type, chunk->data, &arena, digest_sample, &w->digest) != OK) abort();
    arena_fini(&arena);
    return OK;
}

static enum err
rewrite(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct rewriter *w = context;
    enum err e = h == NULL ? chunk_put_floats(w->floats, 1, &t_ms, &bits)
                           : histogram_chunks_put(w->histograms, 1, &t_ms, h, NULL);
    if (e) abort();
    return OK;
}

static void
finish(struct rewriter *w)
{
    if (histogram_chunks_end(w->histograms, NULL) != OK) abort();
    if (chunk_count(w->floats) == 0) return;
    struct histogram_chunk chunk = {.type = CHUNK_XOR, .data = chunk_end(w->floats)};
    (void)digest_again(w, &chunk, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    enum chunk_type type = (enum chunk_type)(CHUNK_XOR + data[0] % 3);
    struct rewriter w = {0};
    struct arena arena;
    arena_init(&arena, NULL, ARENA_BYTES, 0);
    struct digest digest = {0};
    struct bytes chunk = {data + 1, size - 1};
    enum err e = chunk_read(type, chunk, &arena, digest_sample, &digest);
    if (e == OK) {
        if (chunk_writer_new(NULL, &w.floats) != OK ||
            histogram_chunks_new(NULL, 1 << 16, digest_again, &w, &w.histograms) != OK)
            abort();
        arena_reset(&arena);
        if (chunk_read(type, chunk, &arena, rewrite, &w) != OK) abort();
        finish(&w);
        if (digest.count != w.digest.count || digest.sum != w.digest.sum) abort();
        chunk_writer_free(w.floats);
        histogram_chunks_free(w.histograms);
    } else if (e != ERR_CORRUPT && e != ERR_NOMEM) {
        abort();
    }
    arena_fini(&arena);
    return 0;
}
