/*
 * lookup_bench.c - the cost of finding series in a part of a million: label names, values of a
 * label, matchers.
 *
 *     [LEVEL=3] lookup_bench [DIR]
 *
 * The part is written below DIR, or in memory: 500 metrics of 2000 instances in 20 jobs; 50 of the
 * metrics also have a label of 100,000 values. LEVEL=1: as a flush writes it, in smaller pages.
 * "Cold": the part was just opened, and no page of it is in the cache (files may be in that of the
 * kernel); "warm": the same question again. CPU time of this thread, the median of several.
 *
 * Then a part whose series have a label in another order than theirs, read with a cache that is too
 * small for its values: row by row and by the batch.
 */
#include <inttypes.h>
#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sys/sim.h"
#include "tsdb/part/pages.h"
#include "tsdb/part/part.h"

enum { METRICS = 500, INSTANCES = 2000, JOBS = 20, WITH_ID = 50, IDS = WITH_ID * INSTANCES };
enum { ROUNDS = 15, NUMBER = 1 };
enum { SCATTERED = 100000, SCATTERED_NUMBER = 2, STRIDE = 61657, SMALL_CACHE = 512 * 1024 };

static const int64_t BASE_MS = 1700000000000;

struct bench {
    struct env *env;
    char dir[200];
    struct page_cache *cache;
    struct part *part;
};

static void
must(enum err e)
{
    if (e == OK) return;
    fprintf(stderr, "lookup_bench: %s\n", err_word(e));
    exit(1);
}

static double
cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* --- the part --------------------------------------------------------------------------------- */

static void
put_pairs(struct part_writer *w, const char *name, const char *before, int digits,
          const char *after, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char value[64];
        snprintf(value, sizeof value, "%s%0*u%s", before, digits, i, after);
        must(part_write_pair(w, (struct label){bytes_of_text(name), bytes_of_text(value)}, NULL));
    }
}

/* Writes series with the labels __name__, id, instance, job, in this order, by which pairs
 * are numbered. */
static void
put_series(struct part_writer *w, unsigned metric, unsigned instance)
{
    uint32_t pairs[4], count = 0;
    pairs[count++] = metric;
    if (metric % (METRICS / WITH_ID) == 0)
        pairs[count++] = METRICS + metric / (METRICS / WITH_ID) * INSTANCES + instance;
    pairs[count++] = METRICS + IDS + instance;
    pairs[count++] = METRICS + IDS + INSTANCES + instance % JOBS;
    must(part_write_series(w, pairs, count, NULL));
    int64_t times[] = {BASE_MS + instance, BASE_MS + instance + 15000};
    uint64_t bits[] = {double_bits(metric), double_bits(instance)};
    struct sample_batch batch = {SAMPLE_FLOAT, 2, times, bits, NULL, NULL};
    must(part_write_samples(w, &batch, NULL));
}

static void
make_part(struct bench *b)
{
    struct part_writer *w;
    struct part_info info;
    double start = cpu_us();
    must(part_writer_new(b->env, NULL, b->dir, NUMBER, 1, 2, &w, NULL));
    const char *level = getenv("LEVEL");
    part_writer_set_level(w, level == NULL ? PART_LEVEL_LAST : atoi(level));
    must(part_write_tenant(w, bytes_of_text("anonymous"), NULL));
    put_pairs(w, "__name__", "application_metric_", 3, "_total", METRICS);
    put_pairs(w, "id", "/kubepods/pod-", 6, "/main", IDS);
    put_pairs(w, "instance", "host-", 4, ".example.org:9100", INSTANCES);
    put_pairs(w, "job", "job-", 2, "", JOBS);
    for (unsigned m = 0; m < METRICS; m++)
        for (unsigned i = 0; i < INSTANCES; i++)
            put_series(w, m, i);
    must(part_writer_finish(w, &info, NULL));
    part_writer_free(w);
    printf("%" PRIu64 " series, %" PRIu64 " label values: %.1f bytes a series but for its samples, "
           "%.2f us to write one\n\n",
           info.series_count, info.pair_count,
           (double)(info.file_bytes - info.data_bytes) / (double)info.series_count,
           (cpu_us() - start) / (double)info.series_count);
}

static void
reopen(struct bench *b)
{
    part_unref(b->part);
    must(part_open(b->env, NULL, b->cache, b->dir, NUMBER, &b->part, NULL));
}

/* --- questions -------------------------------------------------------------------------------- */

struct question {
    const char *values_of; /* a label; "": label names */
    enum matcher_type types[2];
    const char *names[2];
    const char *patterns[2];
};

static enum err
count_value(void *context, struct bytes value)
{
    uint64_t *count = context;
    *count += value.size > 0;
    return OK;
}

static uint64_t
ask(struct bench *b, const struct question *q, struct matcher *const *matchers, uint32_t count)
{
    struct arena arena;
    struct part_index index;
    uint64_t found = 0;
    arena_init(&arena, NULL, 0, 0);
    must(part_index_load(b->part, part_tenant_at(b->part, 0), &arena, &index, NULL));
    if (count > 0) {
        roaring_bitmap_t *series;
        must(part_match(&index, matchers, count, &series, NULL));
        found = roaring_bitmap_get_cardinality(series);
        roaring_bitmap_free(series);
    } else if (q->values_of[0] == 0) {
        found = index.name_count;
    } else {
        must(part_values(&index, bytes_of_text(q->values_of), count_value, &found, NULL));
    }
    arena_fini(&arena);
    return found;
}

/* Reads labels and samples of one series. */
static void
read_one(struct bench *b, uint32_t number)
{
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    static int64_t times[CODEC_SAMPLES_MAX], starts[CODEC_SAMPLES_MAX];
    static uint64_t bits[CODEC_SAMPLES_MAX];
    arena_init(&arena, NULL, 0, 0);
    must(part_index_load(b->part, part_tenant_at(b->part, 0), &arena, &index, NULL));
    must(row_reader_new(&index, NULL, &rows));
    must(row_read(rows, number, &labels, &blocks, &count, NULL));
    for (uint32_t i = 0; i < count; i++)
        must(block_read(b->part, &blocks[i], times, bits, starts, NULL, NULL, NULL));
    row_reader_free(rows);
    arena_fini(&arena);
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
print_line(const char *text, uint64_t found, double *cold, double *warm)
{
    qsort(cold, ROUNDS, sizeof *cold, by_size);
    qsort(warm, ROUNDS, sizeof *warm, by_size);
    printf("%-76s %8" PRIu64 " %10.1f %10.1f\n", text, found, cold[ROUNDS / 2], warm[ROUNDS / 2]);
}

static void
measure_one(struct bench *b)
{
    double cold[ROUNDS], warm[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t number = (uint32_t)((uint64_t)i * 77773 % ((uint64_t)METRICS * INSTANCES));
        reopen(b);
        double start = cpu_us();
        read_one(b, number);
        cold[i] = cpu_us() - start;
        start = cpu_us();
        read_one(b, number);
        warm[i] = cpu_us() - start;
    }
    print_line("labels and samples of one series, by its number", 1, cold, warm);
}

/* Returns every row of one instance: 500 among a million, 2000 apart. */
static roaring_bitmap_t *
series_of_instance(unsigned instance)
{
    roaring_bitmap_t *set = roaring_bitmap_create();
    for (unsigned m = 0; m < METRICS; m++)
        roaring_bitmap_add(set, m * INSTANCES + instance);
    return set;
}

static uint64_t
read_pairs(struct part_index *index, const roaring_bitmap_t *set)
{
    struct row_reader *rows;
    roaring_uint32_iterator_t it;
    uint64_t count = 0;
    must(row_reader_new(index, NULL, &rows));
    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        must(row_seek(rows, it.current_value, NULL));
        count++;
    }
    row_reader_free(rows);
    return count;
}

static uint64_t
read_labels(struct part_index *index, const roaring_bitmap_t *set)
{
    struct row_batch *batch;
    struct row_of_batch row;
    struct row_range range = {INT64_MIN, INT64_MAX, false};
    uint64_t count = 0;
    must(row_batch_new(index, set, &range, NULL, &batch));
    for (;; count++) {
        must(row_batch_next(batch, &row, NULL));
        if (row.labels.at == NULL) break;
    }
    row_batch_free(batch);
    return count;
}

static double
timed(struct bench *b, uint64_t (*read)(struct part_index *index, const roaring_bitmap_t *set),
      const roaring_bitmap_t *set, uint64_t *ret_found)
{
    struct arena arena;
    struct part_index index;
    arena_init(&arena, NULL, 0, 0);
    double start = cpu_us();
    must(part_index_load(b->part, part_tenant_at(b->part, 0), &arena, &index, NULL));
    *ret_found = read(&index, set);
    double took = cpu_us() - start;
    arena_fini(&arena);
    return took;
}

static void
measure_rows(struct bench *b, const char *text,
             uint64_t (*read)(struct part_index *index, const roaring_bitmap_t *set))
{
    double cold[ROUNDS], warm[ROUNDS];
    uint64_t found;
    for (unsigned i = 0; i < ROUNDS; i++) {
        roaring_bitmap_t *set = series_of_instance(i * 131);
        reopen(b);
        cold[i] = timed(b, read, set, &found);
        warm[i] = timed(b, read, set, &found);
        roaring_bitmap_free(set);
    }
    print_line(text, found, cold, warm);
}

/* --- labels in another order ------------------------------------------------------------------ */

static void
make_scattered(struct bench *b)
{
    struct part_writer *w;
    struct part_info info;
    must(part_writer_new(b->env, NULL, b->dir, SCATTERED_NUMBER, 1, 2, &w, NULL));
    part_writer_set_level(w, PART_LEVEL_LAST);
    must(part_write_tenant(w, bytes_of_text("anonymous"), NULL));
    put_pairs(w, "a", "in-the-order-of-series-", 6, "", SCATTERED);
    put_pairs(w, "b", "in-another-order-", 6, "", SCATTERED);
    for (uint32_t i = 0; i < SCATTERED; i++) {
        uint32_t pairs[] = {i, SCATTERED + (uint32_t)((uint64_t)i * STRIDE % SCATTERED)};
        int64_t t_ms = BASE_MS;
        uint64_t bits = double_bits(1);
        struct sample_batch batch = {SAMPLE_FLOAT, 1, &t_ms, &bits, NULL, NULL};
        must(part_write_series(w, pairs, 2, NULL));
        must(part_write_samples(w, &batch, NULL));
    }
    must(part_writer_finish(w, &info, NULL));
    part_writer_free(w);
}

static uint64_t
read_row_by_row(struct part_index *index, const roaring_bitmap_t *set)
{
    struct row_reader *rows;
    roaring_uint32_iterator_t it;
    uint64_t count = 0;
    must(row_reader_new(index, NULL, &rows));
    for (roaring_init_iterator(set, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t block_count;
        must(row_read(rows, it.current_value, &labels, &blocks, &block_count, NULL));
        count++;
    }
    row_reader_free(rows);
    return count;
}

static void
measure_scattered(struct bench *b)
{
    struct bench small = *b;
    struct page_cache_stats before, after;
    uint64_t found;
    make_scattered(b);
    must(page_cache_new(NULL, SMALL_CACHE, &small.cache));
    must(part_open(b->env, NULL, small.cache, b->dir, SCATTERED_NUMBER, &small.part, NULL));
    roaring_bitmap_t *set = roaring_bitmap_from_range(0, SCATTERED, 1);
    printf("\n%d series with a label in another order, a cache of %d KiB\n", SCATTERED,
           SMALL_CACHE / 1024);
    for (unsigned batch = 0; batch < 2; batch++) {
        page_cache_stats(small.cache, &before);
        double took = timed(&small, batch ? read_labels : read_row_by_row, set, &found);
        page_cache_stats(small.cache, &after);
        printf("%-16s %10.1f us, %" PRIu64 " pages unpacked\n",
               batch ? "by the batch" : "row by row", took, after.misses - before.misses);
    }
    roaring_bitmap_free(set);
    part_unref(small.part);
    page_cache_free(small.cache);
}

/* --- questions, asked and printed ------------------------------------------------------------- */

static void
describe(char *to, size_t size, const struct question *q)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    if (q->values_of != NULL) {
        const char *what = q->values_of[0] == 0 ? "label names" : "values of ";
        snprintf(to, size, "%s%s", what, q->values_of);
        return;
    }
    size_t n = (size_t)snprintf(to, size, "{");
    for (unsigned i = 0; i < 2 && q->names[i] != NULL && n < size; i++) {
        n += (size_t)snprintf(to + n, size - n, "%s%s%s\"%s\"", i > 0 ? ", " : "", q->names[i],
                              operators[q->types[i]], q->patterns[i]);
    }
    if (n < size) snprintf(to + n, size - n, "}");
}

static void
measure(struct bench *b, const struct question *q)
{
    struct matcher *matchers[2];
    uint32_t count = 0;
    double cold[ROUNDS], warm[ROUNDS];
    uint64_t found = 0;
    char text[160];
    for (; count < 2 && q->names[count] != NULL; count++) {
        must(matcher_new(q->types[count], bytes_of_text(q->names[count]),
                         bytes_of_text(q->patterns[count]), NULL, &matchers[count], NULL));
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        reopen(b);
        double start = cpu_us();
        found = ask(b, q, matchers, count);
        cold[i] = cpu_us() - start;
        start = cpu_us();
        ask(b, q, matchers, count);
        warm[i] = cpu_us() - start;
    }
    describe(text, sizeof text, q);
    print_line(text, found, cold, warm);
    for (uint32_t i = 0; i < count; i++)
        matcher_free(matchers[i]);
}

#define METRIC     "application_metric_123_total"
#define HOST(n)    "host-" n ".example.org:9100"
#define HOST_RE(n) "host-" n "\\.example\\.org:9100"

static const struct question questions[] = {
    {.values_of = ""},
    {.values_of = "__name__"},
    {.values_of = "instance"},
    {.values_of = "id"},
    {NULL, {MATCH_EQUAL}, {"__name__"}, {METRIC}},
    {NULL, {MATCH_EQUAL}, {"job"}, {"job-07"}},
    {NULL, {MATCH_EQUAL, MATCH_EQUAL}, {"__name__", "job"}, {METRIC, "job-07"}},
    {NULL, {MATCH_EQUAL}, {"id"}, {"/kubepods/pod-077777/main"}},
    {NULL, {MATCH_REGEX}, {"instance"}, {HOST_RE("0001") "|" HOST_RE("0700") "|" HOST_RE("1900")}},
    {NULL, {MATCH_REGEX}, {"instance"}, {"host-012.*"}},
    {NULL, {MATCH_REGEX}, {"id"}, {"/kubepods/pod-0777.*"}},
    {NULL, {MATCH_EQUAL, MATCH_NOT_EQUAL}, {"__name__", "instance"}, {METRIC, HOST("0700")}},
    {NULL, {MATCH_EQUAL, MATCH_NOT_REGEX}, {"__name__", "job"}, {METRIC, "job-0.*"}},
    {NULL, {MATCH_NOT_EQUAL}, {"job"}, {"job-07"}},
    {NULL, {MATCH_NOT_EQUAL}, {"instance"}, {""}},
    {NULL, {MATCH_REGEX}, {"__name__"}, {".+"}},
    {NULL, {MATCH_REGEX}, {"instance"}, {".*7.e.*0"}},
    {NULL, {MATCH_EQUAL, MATCH_REGEX}, {"__name__", "instance"}, {METRIC, ".*7.e.*0"}},
    {NULL, {MATCH_EQUAL, MATCH_REGEX}, {"job", "id"}, {"job-07", ".*7.m.*n"}},
    {NULL, {MATCH_EQUAL, MATCH_EQUAL}, {"__name__", "id"}, {METRIC, ""}},
};

int
main(int argc, char **argv)
{
    struct bench b = {0};
    struct sim_env *sim = NULL;
    if (argc > 1) {
        b.env = env_real();
        snprintf(b.dir, sizeof b.dir, "%s", argv[1]);
    } else {
        must(sim_env_new(1, &sim));
        b.env = sim_env_env(sim);
        snprintf(b.dir, sizeof b.dir, "/parts");
    }
    must(env_mkdir(b.env, b.dir, NULL));
    must(page_cache_new(NULL, 256 << 20, &b.cache));
    make_part(&b);
    printf("%-76s %8s %10s %10s\n", "", "found", "cold, us", "warm, us");
    for (unsigned i = 0; i < sizeof questions / sizeof *questions; i++)
        measure(&b, &questions[i]);
    measure_one(&b);
    measure_rows(&b, "pairs of the series of one instance", read_pairs);
    measure_rows(&b, "labels of the series of one instance", read_labels);
    measure_scattered(&b);
    part_unref(b.part);
    page_cache_free(b.cache);
    sim_env_free(sim);
    return 0;
}
