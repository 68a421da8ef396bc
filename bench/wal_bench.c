/*
 * wal_bench.c - commits per second, latency and CPU per MiB of the write-ahead log on a real
 * directory, and the speed of reading it back.
 *
 *     wal_bench DIR [SECONDS]
 *
 * DIR/wal-bench is made and removed. Each line is one load, by the number of records in a commit
 * and their size: once with a prepared segment and once without.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash/hash.h"
#include "wal/wal.h"

enum { LATENCIES_MAX = 1 << 20, SEGMENT_BYTES = 64 << 20 };

struct load {
    const char *name;
    uint32_t records; /* per commit */
    uint32_t record_bytes;
    bool compress;
    bool prepare;
    enum wal_sync sync;
};

static const struct load loads[] = {
    {"1 record of 200 B", 1, 200, false, true, WAL_SYNC_FSYNC},
    {"1 record of 200 B, no prepared file", 1, 200, false, false, WAL_SYNC_FSYNC},
    {"8 records of 4 KiB", 8, 4096, false, true, WAL_SYNC_FSYNC},
    {"64 records of 16 KiB", 64, 16384, false, true, WAL_SYNC_FSYNC},
    {"64 records of 16 KiB, no prepared file", 64, 16384, false, false, WAL_SYNC_FSYNC},
    {"64 records of 16 KiB, compressed", 64, 16384, true, true, WAL_SYNC_FSYNC},
    {"8 records of 4 KiB, written only", 8, 4096, false, true, WAL_SYNC_WRITTEN},
};

static uint32_t latencies_us[LATENCIES_MAX];

static void
must(enum err e, const struct why *why)
{
    if (e == OK) return;
    fprintf(stderr, "wal_bench: %s: %s\n", err_word(e), why->text);
    exit(1);
}

static double
seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Fills a payload, half of which repeats, as in encoded samples. */
static void
fill_payload(uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t word = hash_mix(9, i / 16);
        at[i] = i % 16 < 8 ? (uint8_t)(i % 7) : (uint8_t)(word >> (8 * (i % 8)));
    }
}

static enum err
count_record(void *context, const struct wal_record *record, struct why *why)
{
    (void)why;
    uint64_t *bytes = context;
    *bytes += record->payload.size;
    return OK;
}

static struct wal *
open_log(const char *dir, const struct load *load, uint64_t *ret_read_bytes)
{
    struct wal_options options = {
        .env = env_real(),
        .dir = dir,
        .segment_bytes = SEGMENT_BYTES,
        .batch_bytes_max = 32 << 20,
        .sync = load->sync,
    };
    struct wal *wal;
    struct wal_damage damage;
    struct why why = {""};
    *ret_read_bytes = 0;
    must(wal_open(&options, &wal, &why), &why);
    must(wal_recover(wal, 0, count_record, ret_read_bytes, &damage, &why), &why);
    return wal;
}

/* Commits for a while; the segments stay, so that they can be read back. */
static uint32_t
write_for(struct wal *wal, const struct load *load, double seconds, double *ret_wall,
          double *ret_cpu)
{
    struct why why = {""};
    uint8_t *payload = malloc(load->record_bytes);
    if (payload == NULL) exit(1);
    fill_payload(payload, load->record_bytes);
    uint32_t commits = 0;
    double wall = 0, cpu = 0;
    while (wall < seconds && commits < LATENCIES_MAX) {
        /* In the program, another thread prepares segments. */
        if (load->prepare) must(wal_prepare(wal, &why), &why);
        double wall_before = seconds_of(CLOCK_MONOTONIC);
        double cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        for (uint32_t i = 0; i < load->records; i++) {
            struct bytes record = bytes_of(payload, load->record_bytes);
            must(wal_put(wal, WAL_FLOATS, record, load->compress), &why);
        }
        wal_take(wal);
        must(wal_commit(wal, &why), &why);
        double took = seconds_of(CLOCK_MONOTONIC) - wall_before;
        cpu += seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
        wall += took;
        latencies_us[commits++] = (uint32_t)(took * 1e6);
    }
    must(wal_sync(wal, &why), &why);
    free(payload);
    *ret_wall = wall;
    *ret_cpu = cpu;
    return commits;
}

static void
run(const char *dir, const struct load *load, double seconds)
{
    struct why why = {""};
    uint64_t read_bytes;
    must(env_remove_tree(env_real(), dir, &why), &why);
    struct wal *wal = open_log(dir, load, &read_bytes);
    double wall, cpu;
    uint32_t commits = write_for(wal, load, seconds, &wall, &cpu);
    struct wal_stats stats;
    wal_stats(wal, &stats);
    wal_free(wal);
    qsort(latencies_us, commits, sizeof *latencies_us, by_value);
    double raw_mib = (double)commits * load->records * load->record_bytes / (1 << 20);

    double read_before = seconds_of(CLOCK_MONOTONIC);
    wal = open_log(dir, load, &read_bytes);
    double read = seconds_of(CLOCK_MONOTONIC) - read_before;
    wal_free(wal);
    printf("%-40s %8.0f %8.1f %7.2f %8u %8u %9.2f %9.0f\n", load->name, commits / wall,
           raw_mib / wall, (double)stats.commit_bytes_total / (1 << 20) / raw_mib,
           latencies_us[commits / 2], latencies_us[(size_t)commits * 99 / 100], 1e3 * cpu / raw_mib,
           (double)read_bytes / (1 << 20) / read);
    fflush(stdout);
    must(env_remove_tree(env_real(), dir, &why), &why);
}

int
main(int argc, char **argv)
{
    char dir[180];
    if (argc < 2 || path_join(dir, sizeof dir, argv[1], "wal-bench") != OK) {
        fprintf(stderr, "usage: wal_bench DIR [SECONDS]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 3;
    printf("%-40s %8s %8s %7s %8s %8s %9s %9s\n", "", "commits", "MiB", "stored", "median", "99 %",
           "CPU ms", "read MiB");
    printf("%-40s %8s %8s %7s %8s %8s %9s %9s\n", "a commit carries", "a s", "a s", "of 1", "us",
           "us", "a MiB", "a s");
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        run(dir, &loads[i], seconds);
    return 0;
}
