/*
 * decode_bench.c - the number of samples (floats and histograms) in captured remote write requests
 * that one core decodes per second.
 *
 *     decode_bench v1|v2 FILE [SECONDS]
 *
 * FILE holds records of a little-endian uint32 length and a snappy block. Two figures: the decoder
 * alone over messages uncompressed beforehand, and snappy with it, as a request needs both. Process
 * CPU time; the best of several rounds, as the others were disturbed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

enum { RECORDS_MAX = 1 << 16, MESSAGE_BYTES_MAX = 64 << 20 };

struct bench {
    enum rw_version version;
    struct rw_request request;
    struct buf raw;
    uint32_t count;
    struct bytes blocks[RECORDS_MAX];
    struct bytes messages[RECORDS_MAX];
    uint64_t message_bytes;
    uint64_t sample_count;
    uint64_t series_count;
};

static double
cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct bytes
copy_of(struct bytes from)
{
    uint8_t *at = malloc(from.size + 1);
    if (at == NULL) abort();
    memcpy(at, from.at, from.size);
    return bytes_of(at, from.size);
}

static bool
load(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    bool good = true;
    for (uint32_t size; good && fread(&size, sizeof size, 1, f) == 1;) {
        uint8_t *at = size > MESSAGE_BYTES_MAX ? NULL : malloc(size + 1);
        good = at != NULL && b->count < RECORDS_MAX && fread(at, 1, size, f) == size &&
               snappy_unpack(bytes_of(at, size), &b->raw, NULL) == OK;
        if (!good) {
            free(at);
            break;
        }
        b->blocks[b->count] = bytes_of(at, size);
        b->messages[b->count++] = copy_of(buf_bytes(&b->raw));
        b->message_bytes += b->raw.size;
    }
    fclose(f);
    return good;
}

/* Decodes everything once; counts what was in it. */
static bool
decode_all(struct bench *b, bool unpack)
{
    b->sample_count = b->series_count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct bytes message = b->messages[i];
        if (unpack) {
            if (snappy_unpack(b->blocks[i], &b->raw, NULL) != OK) return false;
            message = buf_bytes(&b->raw);
        }
        if (rw_decode(&b->request, b->version, message, 1, NULL) != OK) return false;
        b->sample_count += (uint64_t)b->request.float_count + b->request.histogram_count;
        b->series_count += b->request.series_count;
        rw_request_clear(&b->request);
    }
    return true;
}

static bool
measure(struct bench *b, bool unpack, double seconds)
{
    double best = 1e9;
    for (double start = cpu_seconds(); cpu_seconds() - start < seconds;) {
        double before = cpu_seconds();
        if (!decode_all(b, unpack)) return false;
        double took = cpu_seconds() - before;
        if (took < best) best = took;
    }
    printf("%-16s %8.2f M samples/s  %8.2f M series/s  %8.0f MB/s\n",
           unpack ? "snappy + decode" : "decode", (double)b->sample_count / best / 1e6,
           (double)b->series_count / best / 1e6, (double)b->message_bytes / best / 1e6);
    return true;
}

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: decode_bench v1|v2 FILE [SECONDS]\n");
        return 2;
    }
    static struct bench b;
    double seconds = argc > 3 ? atof(argv[3]) : 3;
    b.version = strcmp(argv[1], "v2") == 0 ? RW_V2 : RW_V1;
    buf_init(&b.raw, NULL, MESSAGE_BYTES_MAX);
    if (rw_request_init(&b.request, NULL) != OK || !load(&b, argv[2])) {
        fprintf(stderr, "decode_bench: cannot read %s\n", argv[2]);
        return 1;
    }
    bool good = measure(&b, false, seconds) && measure(&b, true, seconds);
    if (good) {
        printf("%u requests, %llu samples in %llu series, %.1f MB of messages\n", b.count,
               (unsigned long long)b.sample_count, (unsigned long long)b.series_count,
               (double)b.message_bytes / 1e6);
    }
    for (uint32_t i = 0; i < b.count; i++) {
        free((void *)(uintptr_t)b.blocks[i].at);
        free((void *)(uintptr_t)b.messages[i].at);
    }
    buf_fini(&b.raw);
    rw_request_fini(&b.request);
    return good ? 0 : 1;
}
