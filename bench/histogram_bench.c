/*
 * histogram_bench.c - size and speed of encoding native histograms: the histogram codec over a
 * capture of remote write 2.0 requests (each a little-endian length and a snappy block).
 *
 *     histogram_bench [file.rw]
 *
 * Without an argument it looks for v2hist.rw in $FIREKEEP_SHARED/data or ../shared/data. A block is
 * a run of histograms of one series with one layout, 120 or 8192 at most.
 */
#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash/hash.h"
#include "tsdb/codec/codec.h"
#include "wire/chunk/chunk.h"

enum { SLOTS = 4096, SYMBOLS_MAX = 1 << 16 };

struct series {
    uint64_t hash;
    struct histogram *histograms;
    uint32_t count, capacity;
};

static struct series series[SLOTS]; /* hash 0: free */
static struct bytes symbols[SYMBOLS_MAX];
static uint32_t symbol_count;
static struct arena arena;

static void
die(const char *what)
{
    fprintf(stderr, "histogram_bench: %s\n", what);
    exit(1);
}

static void *
grow(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    if (memory == NULL) die("out of memory");
    return memory;
}

static double
cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- reading the capture ---------------------------------------------------------------------- */

/* Reads packed numbers, zigzag or 8 bytes each, into the arena. */
static uint64_t *
read_packed(struct bytes packed, bool zigzagged, uint32_t *ret_count)
{
    uint64_t *to = arena_alloc(&arena, (packed.size + 1) * sizeof *to);
    if (to == NULL) die("out of memory");
    struct cursor c = cursor_of(packed);
    uint32_t count = 0;
    while (cursor_left(&c) > 0)
        to[count++] = zigzagged ? (uint64_t)cursor_zigzag(&c) : cursor_le64(&c);
    *ret_count = count;
    return to;
}

static void
read_span(struct bytes message, struct hist_buckets *side)
{
    struct hist_span span = {0, 0};
    struct cursor c = cursor_of(message);
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        if (tag == 8) span.offset = (int32_t)cursor_zigzag(&c);
        if (tag == 16) span.length = (uint32_t)cursor_varint(&c);
    }
    struct hist_span *spans = arena_alloc(&arena, (side->span_count + 1) * sizeof *spans);
    if (spans == NULL) die("out of memory");
    if (side->span_count > 0) memcpy(spans, side->spans, side->span_count * sizeof *spans);
    spans[side->span_count++] = span;
    side->spans = spans;
}

static void
read_bytes_field(struct histogram *h, uint64_t field, struct bytes b)
{
    struct hist_buckets *side = field >= 11 && field <= 13 ? &h->positive : &h->negative;
    if (field == 8 || field == 11) read_span(b, side);
    if (field == 9 || field == 12)
        side->deltas = (const int64_t *)read_packed(b, true, &side->bucket_count);
    if (field == 10 || field == 13) side->counts = read_packed(b, false, &side->bucket_count);
    if (field == 16) h->custom_bits = read_packed(b, false, &h->custom_count);
}

static struct histogram
read_histogram(struct bytes message)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    struct cursor c = cursor_of(message);
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c), field = tag >> 3;
        if ((tag & 7) == 2) {
            read_bytes_field(&h, field, cursor_counted(&c));
            continue;
        }
        uint64_t v = (tag & 7) == 1 ? cursor_le64(&c) : cursor_varint(&c);
        if (field == 2) h.kind = SAMPLE_HISTOGRAM_FLOAT;
        if (field == 1 || field == 2) h.count = v;
        if (field == 3) h.sum_bits = v;
        if (field == 4) h.schema = (int32_t)unzigzag(v);
        if (field == 5) h.zero_threshold_bits = v;
        if (field == 6 || field == 7) h.zero_count = v;
        if (field == 14) h.reset_hint = (enum reset_hint)v;
    }
    if (c.bad) die("not a histogram");
    return h;
}

static void
read_series(struct bytes message)
{
    struct series *s = NULL;
    struct cursor c = cursor_of(message);
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        struct bytes inner = cursor_counted(&c);
        if (c.bad) die("not a time series");
        if (tag == 10) {
            uint64_t hash = 1;
            struct cursor refs = cursor_of(inner);
            while (cursor_left(&refs) > 0) {
                uint64_t ref = cursor_varint(&refs);
                if (ref >= symbol_count) die("not a symbol");
                hash = hash_mix(hash, hash_bytes(symbols[ref], 0));
            }
            uint32_t slot = (uint32_t)hash % SLOTS;
            while (series[slot].hash != 0 && series[slot].hash != hash)
                slot = (slot + 1) % SLOTS;
            s = &series[slot];
            s->hash = hash;
        }
        if (tag != 26 || s == NULL) continue;
        if (s->count == s->capacity) {
            s->capacity = s->capacity == 0 ? 64 : 2 * s->capacity;
            s->histograms = grow(s->histograms, s->capacity * sizeof *s->histograms);
        }
        s->histograms[s->count++] = read_histogram(inner);
    }
}

static void
read_request(struct bytes request)
{
    symbol_count = 0;
    for (unsigned pass = 0; pass < 2; pass++) { /* symbols may follow the series */
        struct cursor c = cursor_of(request);
        while (cursor_left(&c) > 0) {
            uint64_t tag = cursor_varint(&c);
            struct bytes inner = cursor_counted(&c);
            if (c.bad) die("not a write request");
            if (tag == 34 && pass == 0) {
                if (symbol_count == SYMBOLS_MAX) die("too many symbols");
                symbols[symbol_count++] = inner;
            }
            if (tag == 42 && pass == 1) read_series(inner);
        }
    }
}

static bool
capture_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    uint8_t head[4], *packed = NULL, *raw = NULL;
    while (fread(head, 1, sizeof head, f) == sizeof head) {
        size_t size = load_le32(head), raw_size;
        packed = grow(packed, size);
        if (fread(packed, 1, size, f) != size) die("short file");
        if (snappy_uncompressed_length((char *)packed, size, &raw_size) != SNAPPY_OK) die("snappy");
        raw = grow(raw, raw_size);
        if (snappy_uncompress((char *)packed, size, (char *)raw, &raw_size) != SNAPPY_OK)
            die("snappy");
        read_request(bytes_of(raw, raw_size));
    }
    free(packed);
    free(raw);
    fclose(f);
    return true;
}

/* --- measuring -------------------------------------------------------------------------------- */

enum { REPEATS = 10 };

struct totals {
    uint64_t blocks, histograms, cells, bytes, chunks, chunk_bytes;
    double encode, decode, stream;
};

/* The blocks of a series. */
struct block {
    size_t at;
    uint32_t count;
};
static struct block blocks[1 << 16];
static struct buf encoded;

static void
measure_block(struct codec_scratch *scratch, const struct histogram *h, uint32_t count,
              uint32_t block_count, struct totals *totals)
{
    static struct histogram decoded[CODEC_SAMPLES_MAX];
    struct buf out;
    buf_init(&out, NULL, 64 << 20);
    struct arena to;
    arena_init(&to, NULL, 0, 1 << 20);
    double start = cpu_seconds();
    for (unsigned i = 0; i < REPEATS; i++) {
        buf_clear(&out);
        codec_histogram_encode(scratch, h, count, &out);
    }
    totals->encode += (cpu_seconds() - start) / REPEATS;
    if (!buf_reserve(&out, CODEC_SLACK)) die("out of memory");
    memset(out.at + out.size, 0, CODEC_SLACK);
    start = cpu_seconds();
    for (unsigned i = 0; i < REPEATS; i++) {
        arena_reset(&to);
        if (codec_histogram_decode(buf_bytes(&out), count, &to, decoded)) die("corrupt");
    }
    totals->decode += (cpu_seconds() - start) / REPEATS;
    blocks[block_count] = (struct block){encoded.size, count};
    buf_put_bytes(&encoded, buf_bytes(&out));
    totals->blocks++;
    totals->histograms += count;
    totals->cells += (uint64_t)count * (h->positive.bucket_count + h->negative.bucket_count);
    totals->bytes += out.size;
    arena_fini(&to);
    buf_fini(&out);
}

static enum err
count_chunk(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct totals *totals = context;
    (void)why;
    totals->chunks++;
    totals->chunk_bytes += chunk->data.size;
    return OK;
}

/* Encodes blocks as chunks, as a streamed read does. */
static void
stream_series(struct histogram_chunks *chunks, uint32_t block_count, int64_t *times_ms,
              struct arena *to)
{
    struct hist_columns columns;
    struct why why;
    int64_t t_ms = 1700000000000;
    for (uint32_t i = 0; i < block_count; i++) {
        const struct block *b = &blocks[i];
        size_t end = i + 1 < block_count ? b[1].at : encoded.size;
        for (uint32_t k = 0; k < b->count; k++)
            times_ms[k] = t_ms += 1000 + (k % 16 == 0);
        arena_reset(to);
        if (codec_histogram_columns(bytes_of(encoded.at + b->at, end - b->at), b->count, to,
                                    &columns) ||
            histogram_chunks_put_columns(chunks, &columns, 0, b->count, times_ms, &why))
            die("not streamed");
    }
    if (histogram_chunks_end(chunks, &why)) die("not streamed");
}

static void
measure_stream(uint32_t block_count, struct totals *totals)
{
    static int64_t times_ms[CODEC_SAMPLES_MAX];
    struct histogram_chunks *chunks;
    struct arena to;
    if (!buf_reserve(&encoded, CODEC_SLACK)) die("out of memory");
    if (histogram_chunks_new(NULL, 1 << 17, count_chunk, totals, &chunks)) die("out of memory");
    arena_init(&to, NULL, 0, 1 << 20);
    double start = cpu_seconds();
    for (unsigned i = 0; i < REPEATS; i++)
        stream_series(chunks, block_count, times_ms, &to);
    totals->stream += (cpu_seconds() - start) / REPEATS;
    arena_fini(&to);
    histogram_chunks_free(chunks);
}

static void
measure(struct codec_scratch *scratch, uint32_t block_max)
{
    struct totals t = {0};
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct series *s = &series[i];
        uint32_t block_count = 0;
        buf_clear(&encoded);
        for (uint32_t from = 0, to; from < s->count; from = to) {
            to = from + 1;
            while (to < s->count && to - from < block_max &&
                   histogram_same_layout(&s->histograms[from], &s->histograms[to]) &&
                   codec_histogram_fits(&s->histograms[from], to - from + 1))
                to++;
            measure_block(scratch, s->histograms + from, to - from, block_count++, &t);
        }
        if (block_count > 0) measure_stream(block_count, &t);
    }
    if (t.histograms == 0) return;
    printf("blocks of at most %u: %" PRIu64 " blocks, %" PRIu64 " histograms, %" PRIu64
           " buckets\n",
           block_max, t.blocks, t.histograms, t.cells);
    printf("  %.1f bytes a histogram, %.3f a bucket; M buckets/s: encode %.1f, decode %.1f\n",
           (double)t.bytes / (double)t.histograms, (double)t.bytes / (double)t.cells,
           1e-6 * (double)t.cells / t.encode, 1e-6 * (double)t.cells / t.decode);
    printf("  as chunks: %.1f ns, %.2f bytes a histogram, %.1f histograms a chunk\n",
           1e9 * t.stream / (double)t.histograms,
           (double)t.chunk_bytes / REPEATS / (double)t.histograms,
           REPEATS * (double)t.histograms / (double)t.chunks);
}

int
main(int argc, char **argv)
{
    const char *shared = getenv("FIREKEEP_SHARED");
    char path[4096];
    snprintf(path, sizeof path, "%s/data/v2hist.rw", shared != NULL ? shared : "../shared");
    arena_init(&arena, NULL, 0, 1 << 20);
    buf_init(&encoded, NULL, 1 << 30);
    struct codec_scratch *scratch;
    if (codec_scratch_new(NULL, &scratch)) die("out of memory");
    if (capture_read(argc > 1 ? argv[1] : path)) {
        measure(scratch, 120);
        measure(scratch, CODEC_SAMPLES_MAX);
    } else {
        printf("%s: absent, skipped\n", argc > 1 ? argv[1] : path);
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        free(series[i].histograms);
    codec_scratch_free(scratch);
    buf_fini(&encoded);
    arena_fini(&arena);
    return 0;
}
