/*
 * read_bench.c - the cost of a sample in answers: XOR encoding alone, the streamed answer, the
 * SAMPLES answer. CPU time of this thread, best of several rounds.
 *
 *     make bench-tools && build/release/bench/read_bench
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/chunk/chunk.h"
#include "wire/remote/remote_read.h"

enum { SERIES = 2000, SAMPLES = 1000, BATCH = 240, ROUNDS = 7 };

/* Series rotate through so many sets of samples that no compressor sees a set again. */
enum { SETS = 32 };
static int64_t set_times_ms[SETS][SAMPLES];
static uint64_t set_bits[SETS][SAMPLES];
static uint64_t written_bytes;

static double
cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
must(enum err e)
{
    if (e == OK) return;
    fprintf(stderr, "read_bench: %s\n", err_word(e));
    exit(1);
}

static uint64_t
random_next(void)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 16;
}

enum shape { CONSTANT, COUNTER, GAUGE, DECIMAL, RANDOM, SHAPES };
static const char *const shape_names[SHAPES] = {"constant", "counter", "gauge", "decimal",
                                                "random"};

static void
make_set(unsigned set, enum shape shape, bool jitter)
{
    int64_t *times_ms = set_times_ms[set];
    uint64_t *bits = set_bits[set];
    int64_t t = 1700000000000;
    double v = 1000;
    for (unsigned i = 0; i < SAMPLES; i++) {
        times_ms[i] = t + (jitter ? (int64_t)(random_next() % 20) : 0);
        t += 15000;
        switch (shape) {
        case CONSTANT:
            break;
        case COUNTER:
            v += (double)(random_next() % 1000);
            break;
        case GAUGE: /* bytes: whole, large, changing */
            v = 4e9 + (double)(random_next() % 100000) * 4096;
            break;
        case DECIMAL:
            v = (double)(random_next() % 100000) / 1000;
            break;
        default:
            v = (double)random_next() / 3;
        }
        bits[i] = double_bits(v);
    }
}

static void
make_samples(enum shape shape, bool jitter)
{
    for (unsigned set = 0; set < SETS; set++)
        make_set(set, shape, jitter);
}

static enum err
swallow(void *context, struct bytes piece, struct why *why)
{
    (void)context;
    (void)why;
    written_bytes += piece.size;
    return OK;
}

static const struct rr_sink sink = {swallow, NULL};

static void
encode_chunks(void)
{
    struct chunk_writer *writer;
    must(chunk_writer_new(NULL, &writer));
    for (unsigned s = 0; s < SERIES; s++) {
        const int64_t *times_ms = set_times_ms[s % SETS];
        const uint64_t *bits = set_bits[s % SETS];
        for (uint32_t at = 0; at < SAMPLES;) {
            uint32_t some = SAMPLES - at < CHUNK_SAMPLES ? SAMPLES - at : CHUNK_SAMPLES;
            chunk_begin(writer);
            must(chunk_put_floats(writer, some, times_ms + at, bits + at));
            written_bytes += chunk_end(writer).size;
            at += some;
        }
    }
    chunk_writer_free(writer);
}

static struct bytes
series_labels(unsigned number, uint8_t *to, size_t to_size)
{
    char value[32];
    int value_size = snprintf(value, sizeof value, "host-%06u.example.net", number);
    static const char *const names[] = {"__name__", "cpu", "instance", "job"};
    const char *values[] = {"node_cpu_seconds_total", "0", value, "node"};
    size_t size = 0;
    for (unsigned i = 0; i < 4; i++) {
        size_t n = strlen(names[i]);
        size_t v = i == 2 ? (size_t)value_size : strlen(values[i]);
        if (size + n + v + 6 > to_size) abort();
        to[size++] = 0x0a;
        to[size++] = (uint8_t)(n + v + 4);
        to[size++] = 0x0a;
        to[size++] = (uint8_t)n;
        memcpy(to + size, names[i], n);
        size += n;
        to[size++] = 0x12;
        to[size++] = (uint8_t)v;
        memcpy(to + size, values[i], v);
        size += v;
    }
    return bytes_of(to, size);
}

static void
stream(void)
{
    struct rr_stream *out;
    uint8_t labels[256];
    must(rr_stream_new(&sink, RR_FRAME_BYTES, NULL, &out));
    must(rr_stream_query(out, 0, NULL));
    for (unsigned s = 0; s < SERIES; s++) {
        const int64_t *times_ms = set_times_ms[s % SETS];
        const uint64_t *bits = set_bits[s % SETS];
        must(rr_stream_series(out, series_labels(s, labels, sizeof labels), NULL));
        for (uint32_t at = 0; at < SAMPLES; at += BATCH) {
            uint32_t some = SAMPLES - at < BATCH ? SAMPLES - at : BATCH;
            must(rr_stream_floats(out, some, times_ms + at, bits + at, NULL));
        }
    }
    must(rr_stream_end(out, NULL));
    rr_stream_free(out);
}

static void
samples(void)
{
    struct rr_samples *out;
    uint8_t labels[256];
    must(rr_samples_new(NULL, &out));
    must(rr_samples_query(out));
    for (unsigned s = 0; s < SERIES; s++) {
        const int64_t *times_ms = set_times_ms[s % SETS];
        const uint64_t *bits = set_bits[s % SETS];
        must(rr_samples_series(out, series_labels(s, labels, sizeof labels)));
        for (uint32_t at = 0; at < SAMPLES; at += BATCH) {
            uint32_t some = SAMPLES - at < BATCH ? SAMPLES - at : BATCH;
            must(rr_samples_floats(out, some, times_ms + at, bits + at));
        }
    }
    uint64_t size;
    must(rr_samples_end(out, &size));
    must(rr_samples_write(out, &sink, NULL));
    rr_samples_free(out);
}

static void
measure(void (*run)(void))
{
    double best = 1e18;
    for (unsigned i = 0; i < ROUNDS; i++) {
        written_bytes = 0;
        double begin = cpu_ns();
        run();
        double took = cpu_ns() - begin;
        if (took < best) best = took;
    }
    double count = (double)SERIES * SAMPLES;
    printf("  %6.2f ns %5.1f M/s %5.2f B", best / count, count / best * 1000,
           (double)written_bytes / count);
}

int
main(void)
{
    printf("per sample           XOR                        streamed                   SAMPLES\n");
    for (int shape = 0; shape < SHAPES; shape++) {
        for (int jitter = 0; jitter <= 1; jitter++) {
            make_samples((enum shape)shape, jitter != 0);
            printf("%-9s %-7s", shape_names[shape], jitter ? "jitter" : "regular");
            measure(encode_chunks);
            measure(stream);
            measure(samples);
            printf("\n");
        }
    }
    return 0;
}
