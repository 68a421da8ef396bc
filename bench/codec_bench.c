/*
 * codec_bench.c - size and speed of encoding and decoding samples: the codec over a capture of real
 * scrapes (remote write 1.0 requests, each a little-endian length and a snappy block).
 *
 *     codec_bench [file.rw ...]
 *
 * Without arguments it looks for node15s.rw and node1s.rw in $FIREKEEP_SHARED/data or
 * ../shared/data. Series of fewer than 20 samples are left out. Speeds are millions of values per
 * second of this process' CPU time.
 */
#include <inttypes.h>
#include <math.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/hash/hash.h"
#include "tsdb/codec/codec.h"

enum { SERIES_SAMPLES_MIN = 20, SLOTS = 1 << 16 };

struct series {
    struct bytes labels; /* the fields of a request */
    uint64_t hash;
    uint64_t *values;
    int64_t *times;
    uint32_t count, capacity;
};

struct capture {
    struct series *series;
    uint32_t count;
    uint32_t slots[SLOTS]; /* index + 1 */
};

/* A block of one series, and the position of its encoding. */
struct block {
    const struct series *series;
    uint32_t from, count;
    size_t at, size;
    int group;
};

enum { GROUP_CONSTANT, GROUP_INTEGER, GROUP_DECIMAL, GROUP_REAL, GROUP_COUNT };
static const char *const group_words[] = {"constant", "integer", "decimal", "real", "all"};

static void
die(const char *what)
{
    fprintf(stderr, "codec_bench: %s\n", what);
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

static struct series *
series_find(struct capture *capture, struct bytes labels)
{
    uint64_t hash = hash_bytes(labels, 0);
    uint32_t slot = (uint32_t)hash & (SLOTS - 1);
    for (; capture->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        struct series *s = &capture->series[capture->slots[slot] - 1];
        if (s->hash == hash && bytes_equal(s->labels, labels)) return s;
    }
    if (capture->count >= SLOTS / 2) die("too many series");
    capture->series = grow(capture->series, (capture->count + 1) * sizeof *capture->series);
    uint8_t *copy = grow(NULL, labels.size + 1);
    memcpy(copy, labels.at, labels.size);
    struct series *s = &capture->series[capture->count++];
    *s = (struct series){.labels = {copy, labels.size}, .hash = hash};
    capture->slots[slot] = capture->count;
    return s;
}

static void
series_append(struct series *s, int64_t time, uint64_t value)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : 2 * s->capacity;
        s->times = grow(s->times, s->capacity * sizeof *s->times);
        s->values = grow(s->values, s->capacity * sizeof *s->values);
    }
    s->times[s->count] = time;
    s->values[s->count++] = value;
}

static void
read_sample(struct cursor c, struct series *s)
{
    uint64_t value = 0;
    int64_t time = 0;
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        if (tag == 9) value = cursor_le64(&c);
        if (tag == 16) time = (int64_t)cursor_varint(&c);
        if (tag != 9 && tag != 16) die("not a sample");
    }
    series_append(s, time, value);
}

/* Reads one time series: its labels (all fields 1, in order), then its samples. */
static void
read_series(struct cursor c, struct capture *capture)
{
    const uint8_t *labels = c.at;
    size_t labels_size = 0;
    struct series *s = NULL;
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        struct bytes inner = cursor_counted(&c);
        if (c.bad) die("not a time series");
        if (tag == 10) labels_size = (size_t)(c.at - labels);
        if (tag != 18) continue;
        if (s == NULL) s = series_find(capture, bytes_of(labels, labels_size));
        read_sample(cursor_of(inner), s);
    }
}

static bool
capture_read(const char *path, struct capture *capture)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    uint8_t *packed = NULL, *raw = NULL;
    uint8_t head[4];
    while (fread(head, 1, sizeof head, f) == sizeof head) {
        size_t size = load_le32(head), raw_size;
        packed = grow(packed, size);
        if (fread(packed, 1, size, f) != size) die("short file");
        if (snappy_uncompressed_length((char *)packed, size, &raw_size) != SNAPPY_OK) die("snappy");
        raw = grow(raw, raw_size);
        if (snappy_uncompress((char *)packed, size, (char *)raw, &raw_size) != SNAPPY_OK)
            die("snappy");
        struct cursor c = cursor_of(bytes_of(raw, raw_size));
        while (cursor_left(&c) > 0) {
            uint64_t tag = cursor_varint(&c);
            struct bytes inner = cursor_counted(&c);
            if (c.bad) die("not a write request");
            if (tag == 10) read_series(cursor_of(inner), capture);
        }
    }
    free(packed);
    free(raw);
    fclose(f);
    return true;
}

/* --- measuring -------------------------------------------------------------------------------- */

static int
group_of(const uint64_t *bits, uint32_t count)
{
    bool equal = true;
    uint32_t whole = 0, decimal = 0;
    for (uint32_t i = 0; i < count; i++) {
        unsigned e;
        int64_t k;
        equal = equal && bits[i] == bits[0];
        double v = bits_double(bits[i]);
        whole += v == trunc(v);
        decimal += codec_decimal(bits[i], 0, &e, &k) && llabs(k) < 1000000000000000;
    }
    if (equal) return GROUP_CONSTANT;
    if (whole >= count * 0.95) return GROUP_INTEGER;
    return decimal >= count * 0.95 ? GROUP_DECIMAL : GROUP_REAL;
}

static uint32_t
cut_blocks(const struct capture *capture, uint32_t block_samples, struct block **ret_blocks)
{
    struct block *blocks = NULL;
    uint32_t count = 0, room = 0;
    for (uint32_t i = 0; i < capture->count; i++) {
        const struct series *s = &capture->series[i];
        if (s->count < SERIES_SAMPLES_MIN) continue;
        for (uint32_t from = 0; from < s->count; from += block_samples) {
            uint32_t size = s->count - from < block_samples ? s->count - from : block_samples;
            if (count == room) blocks = grow(blocks, (room = room * 2 + 64) * sizeof *blocks);
            blocks[count++] = (struct block){.series = s,
                                             .from = from,
                                             .count = size,
                                             .group = group_of(s->values + from, size)};
        }
    }
    *ret_blocks = blocks;
    return count;
}

struct result {
    uint32_t blocks;
    uint64_t samples, bytes, time_bytes;
    double encode_m, decode_m, stats_m;
};

static bool
wanted(const struct block *b, int group)
{
    return group == GROUP_COUNT || b->group == group;
}

/* Keeps the compiler from removing computations. */
static volatile double sink;

static struct result
measure(struct codec_scratch *scratch, struct block *blocks, uint32_t count, int group)
{
    enum { MIN_TENTHS = 3 };
    struct result r = {0};
    struct buf out;
    buf_init(&out, NULL, SIZE_MAX / 2);
    static uint64_t values[CODEC_SAMPLES_MAX];
    uint64_t done = 0;
    double start = cpu_seconds(), spent;
    do {
        buf_clear(&out);
        for (uint32_t i = 0; i < count; i++) {
            struct block *b = &blocks[i];
            if (!wanted(b, group)) continue;
            b->at = out.size;
            codec_float_encode(scratch, b->series->values + b->from, b->count, &out);
            b->size = out.size - b->at;
            done += b->count;
        }
        if (done == 0) goto out;
    } while ((spent = cpu_seconds() - start) < 0.1 * MIN_TENTHS);
    r.encode_m = 1e-6 * (double)done / spent;
    r.bytes = out.size;
    if (!buf_reserve(&out, CODEC_SLACK)) die("out of memory");
    memset(out.at + out.size, 0, CODEC_SLACK);

    for (uint32_t i = 0; i < count; i++) {
        const struct block *b = &blocks[i];
        if (!wanted(b, group)) continue;
        r.blocks++;
        r.samples += b->count;
        if (codec_float_decode_from(bytes_of(out.at + b->at, b->size), 0, b->count, values) != OK ||
            memcmp(values, b->series->values + b->from, b->count * sizeof *values) != 0)
            die("a block did not come back");
    }
    done = 0;
    start = cpu_seconds();
    do {
        for (uint32_t i = 0; i < count; i++) {
            const struct block *b = &blocks[i];
            if (!wanted(b, group)) continue;
            if (codec_float_decode_from(bytes_of(out.at + b->at, b->size), 0, b->count, values))
                die("?");
            done += b->count;
        }
    } while ((spent = cpu_seconds() - start) < 0.1 * MIN_TENTHS);
    r.decode_m = 1e-6 * (double)done / spent;
    done = 0;
    start = cpu_seconds();
    do {
        for (uint32_t i = 0; i < count; i++) {
            const struct block *b = &blocks[i];
            if (!wanted(b, group)) continue;
            struct codec_stats stats;
            codec_float_stats(b->series->values + b->from, b->count, &stats);
            sink = stats.sum;
            done += b->count;
        }
    } while ((spent = cpu_seconds() - start) < 0.1 * MIN_TENTHS);
    r.stats_m = 1e-6 * (double)done / spent;
out:
    buf_fini(&out);
    return r;
}

static void
measure_times(struct codec_scratch *scratch, const struct block *blocks, uint32_t count)
{
    struct buf out;
    buf_init(&out, NULL, SIZE_MAX / 2);
    uint64_t samples = 0;
    double start = cpu_seconds();
    size_t *ends = grow(NULL, (count + 1) * sizeof *ends);
    ends[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct block *b = &blocks[i];
        codec_times_encode(scratch, b->series->times + b->from, b->count, &out);
        samples += b->count;
        ends[i + 1] = out.size;
    }
    double encode = cpu_seconds() - start;
    if (!buf_reserve(&out, CODEC_SLACK)) die("out of memory");
    static int64_t times[CODEC_SAMPLES_MAX];
    start = cpu_seconds();
    for (uint32_t i = 0; i < count; i++) {
        struct cursor cursor = cursor_of(bytes_of(out.at + ends[i], ends[i + 1] - ends[i]));
        if (codec_int_decode(&cursor, blocks[i].count, times)) die("times did not come back");
    }
    double decode = cpu_seconds() - start;
    printf("  times    %8u %9" PRIu64 "  %6.3f  %7.1f  %7.1f\n", count, samples,
           (double)out.size / (double)samples, 1e-6 * (double)samples / encode,
           1e-6 * (double)samples / decode);
    free(ends);
    buf_fini(&out);
}

/* Measures the head's use: one value at a time, with the hint from the value before. */
static void
measure_decimal(const struct block *blocks, uint32_t count, int group)
{
    uint64_t done = 0, found = 0;
    int64_t sum = 0;
    double start = cpu_seconds(), spent;
    do {
        for (uint32_t i = 0; i < count; i++) {
            const struct block *b = &blocks[i];
            if (!wanted(b, group)) continue;
            unsigned e = 0;
            for (uint32_t j = 0; j < b->count; j++) {
                int64_t k;
                if (!codec_decimal(b->series->values[b->from + j], e, &e, &k)) continue;
                found++;
                sum += k & 1;
            }
            done += b->count;
        }
        if (done == 0) return;
    } while ((spent = cpu_seconds() - start) < 0.2);
    sink = (double)sum;
    printf("  codec_decimal, %-8s %5.1f ns a value, %5.1f %% decimals\n", group_words[group],
           1e9 * spent / (double)done, 100.0 * (double)found / (double)done);
}

static void
bench(struct codec_scratch *scratch, const char *path)
{
    static const uint32_t block_sizes[] = {120, 1024, 8192};
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL) die("out of memory");
    if (!capture_read(path, capture)) {
        printf("%s: absent, skipped\n", path);
        free(capture);
        return;
    }
    for (unsigned i = 0; i < sizeof block_sizes / sizeof *block_sizes; i++) {
        struct block *blocks;
        uint32_t count = cut_blocks(capture, block_sizes[i], &blocks);
        printf("%s, blocks of %u\n  group      blocks   samples     B/s  enc M/s  dec M/s  stats\n",
               path, block_sizes[i]);
        for (int group = 0; group <= GROUP_COUNT; group++) {
            struct result r = measure(scratch, blocks, count, group);
            if (r.samples == 0) continue;
            printf("  %-8s %8u %9" PRIu64 "  %6.4f  %7.1f  %7.1f  %5.0f\n", group_words[group],
                   r.blocks, r.samples, (double)r.bytes / (double)r.samples, r.encode_m, r.decode_m,
                   r.stats_m);
        }
        measure_times(scratch, blocks, count);
        if (i == 0)
            for (int group = 0; group <= GROUP_COUNT; group++)
                measure_decimal(blocks, count, group);
        free(blocks);
    }
    for (uint32_t i = 0; i < capture->count; i++) {
        free(capture->series[i].values);
        free(capture->series[i].times);
        free((void *)(uintptr_t)capture->series[i].labels.at);
    }
    free(capture->series);
    free(capture);
}

int
main(int argc, char **argv)
{
    struct codec_scratch *scratch;
    if (codec_scratch_new(NULL, &scratch)) die("out of memory");
    for (int i = 1; i < argc; i++)
        bench(scratch, argv[i]);
    if (argc == 1) {
        const char *shared = getenv("FIREKEEP_SHARED");
        static const char *const names[] = {"node15s.rw", "node1s.rw"};
        for (unsigned i = 0; i < 2; i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/data/%s", shared != NULL ? shared : "../shared",
                     names[i]);
            bench(scratch, path);
        }
    }
    codec_scratch_free(scratch);
    return 0;
}
