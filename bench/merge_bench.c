/*
 * merge_bench.c - the cost of a sample in merges: flush parts of a few samples per series into one,
 * many such into a day, days into longer parts, also downsampled, and parts whose series differ.
 *
 *     [ROUNDS=3] merge_bench [DIR]
 *
 * Parts are written below DIR, or in memory; each merge is repeated. Values are made: constants,
 * counters, decimals and real doubles; times are shared by the series of a target, some with a
 * little jitter. Times are CPU time of this process.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/series_rules.h"
#include "model/storage_layout.h"
#include "sys/sim.h"
#include "tsdb/merge/parts.h"

enum { TARGET_SERIES = 200, STEP_MS = 15000, PARTS_MAX = 64 };

static const int64_t BASE_MS = 1700000000000;

struct bench {
    struct env *env;
    char dir[200];
    struct budget budget;
    struct budget cache_budget;
    struct page_cache *cache;
    uint64_t random;
    uint64_t next_part;
    double *last; /* value of each series */
    uint32_t rounds;
    int64_t resolution_ms; /* of the level that merges apply; 0 for none */
    struct series_rules *rules;
};

static void
die(const char *what)
{
    fprintf(stderr, "merge_bench: %s\n", what);
    exit(1);
}

static void
must(enum err e)
{
    if (e) die(err_word(e));
}

static double
cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t
random_next(struct bench *b)
{
    uint64_t z = b->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* --- making parts ----------------------------------------------------------------------------- */

static double
next_value(struct bench *b, uint32_t series)
{
    double v = b->last[series];
    uint64_t dice = random_next(b);
    switch (series % 20) {
    case 0 ... 6: /* mostly constant */
        if (dice % 500 == 0) v = (double)(dice >> 20 & 0xff);
        break;
    case 7 ... 13: /* counters */
        v += (double)(dice % (1 + series % 1000));
        break;
    case 14 ... 17: /* decimals */
        v += ((double)(dice % 200) - 100) / 1000;
        v = (double)(int64_t)(v * 1000) / 1000;
        break;
    default: /* real */
        v = v * 0.9 + (double)(dice >> 11) * 0x1p-53;
    }
    return b->last[series] = v;
}

static void
put_pair(struct part_writer *w, const char *name, const char *stem, unsigned number)
{
    char value[64];
    snprintf(value, sizeof value, "%s%05u", stem, number);
    must(part_write_pair(w, (struct label){bytes_of_text(name), bytes_of_text(value)}, NULL));
}

/* Makes a part of the samples first..first+count of every series; `churn`: with other targets
 * than before. */
static struct part *
make_part(struct bench *b, uint32_t series, uint32_t first, uint32_t count, uint32_t churn)
{
    uint32_t targets = series / TARGET_SERIES;
    int64_t *times = malloc(count * sizeof *times * targets);
    uint64_t *bits = malloc(count * sizeof *bits);
    struct part_writer *w;
    struct part_info info;
    struct part *part;
    uint64_t number = b->next_part++;
    if (times == NULL || bits == NULL) die("no memory");
    for (uint32_t t = 0; t < targets; t++) {
        for (uint32_t i = 0; i < count; i++) {
            int64_t late = t % 4 == 0 && random_next(b) % 10 == 0 ? 1 : 0;
            times[t * count + i] = BASE_MS + (int64_t)(first + i) * STEP_MS + t * 137 + late;
        }
    }
    must(part_writer_new(b->env, &b->budget, b->dir, number, number, number + 1, &w, NULL));
    must(part_write_tenant(w, bytes_of_text("anonymous"), NULL));
    for (unsigned i = 0; i < TARGET_SERIES; i++)
        put_pair(w, "__name__", "node_something_number_", i);
    for (unsigned i = 0; i < targets; i++)
        put_pair(w, "instance", "host.example.org:9100-", churn * targets + i);
    put_pair(w, "job", "node", 0);
    for (uint32_t s = 0; s < series; s++) {
        uint32_t target = s % targets;
        uint32_t pairs[] = {s / targets, TARGET_SERIES + target, TARGET_SERIES + targets};
        must(part_write_series(w, pairs, 3, NULL));
        for (uint32_t i = 0; i < count; i++)
            bits[i] = double_bits(next_value(b, s));
        struct sample_batch batch = {SAMPLE_FLOAT, count, times + target * count, bits, NULL, NULL};
        must(part_write_samples(w, &batch, NULL));
    }
    must(part_writer_finish(w, &info, NULL));
    part_writer_free(w);
    free(times);
    free(bits);
    must(part_open(b->env, &b->cache_budget, b->cache, b->dir, number, &part, NULL));
    return part;
}

/* --- merging ---------------------------------------------------------------------------------- */

static struct part *
merge_parts(struct bench *b, const char *what, struct part *const *parts, uint32_t count)
{
    struct part_merge_input inputs[PARTS_MAX] = {0};
    uint64_t samples = 0, bytes = 0, number = b->next_part++, steps = 0;
    for (uint32_t i = 0; i < count; i++) {
        inputs[i].part = parts[i];
        samples += part_info(parts[i])->sample_count[LEDGER_FLOAT];
        bytes += part_info(parts[i])->file_bytes;
    }
    struct rule_done rolled = {0};
    struct part_merge_level level = {b->resolution_ms, b->rules, &rolled};
    struct part_merge_options options = {
        .env = b->env,
        .budget = &b->budget,
        .parts_dir = b->dir,
        .inputs = inputs,
        .input_count = count,
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .levels = &level,
        .level_count = b->resolution_ms > 0,
        .levels_now_ms = INT64_MAX,
        .with_metadata = true,
        .number = number,
        .level = 1,
    };
    struct part_merge *m;
    struct part_info info;
    struct part *part;
    const struct part_merge_counts *counts;
    uint32_t counts_count, bad;
    bool done = false;
    atomic_store(&b->budget.peak_bytes, 0);
    double start = cpu_seconds(), longest = 0;
    must(part_merge_new(&options, &m, NULL));
    while (!done) {
        double before = cpu_seconds();
        must(part_merge_step(m, 100000, &done, &bad, NULL));
        double spent = cpu_seconds() - before;
        if (spent > longest) longest = spent;
        steps++;
    }
    must(part_merge_finish(m, &info, &counts, &counts_count, NULL));
    double spent = cpu_seconds() - start, n = (double)samples;
    part_merge_free(m);
    printf("%-44s %9" PRIu64 " samples  %.4f CPU s a million  %6.3f -> %6.3f bytes a sample  "
           "%6.2f MiB memory  %" PRIu64 " steps, longest %.1f ms\n",
           what, samples, 1e6 * spent / n, (double)bytes / n, (double)info.file_bytes / n,
           (double)b->budget.peak_bytes / 1048576, steps, 1e3 * longest);
    must(part_open(b->env, &b->cache_budget, b->cache, b->dir, number, &part, NULL));
    return part;
}

static void
drop(struct bench *b, struct part **parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char path[256];
        must(storage_part_path(path, sizeof path, b->dir, part_info(parts[i])->number,
                               STORAGE_PART));
        part_unref(parts[i]);
        must(env_remove_tree(b->env, path, NULL));
        parts[i] = NULL;
    }
}

static void
bench_merge(struct bench *b, const char *what, uint32_t series, uint32_t parts_count,
            uint32_t samples, bool churn)
{
    struct part *parts[PARTS_MAX];
    b->last = calloc(series, sizeof *b->last);
    if (b->last == NULL) die("no memory");
    for (uint32_t i = 0; i < parts_count; i++)
        parts[i] = make_part(b, series, i * samples, samples, churn ? i : 0);
    for (uint32_t i = 0; i < b->rounds; i++) {
        struct part *part = merge_parts(b, what, parts, parts_count);
        drop(b, &part, 1);
    }
    drop(b, parts, parts_count);
    free(b->last);
}

int
main(int argc, char **argv)
{
    struct bench b = {.random = 42, .next_part = 1};
    struct sim_env *sim = NULL;
    const char *rounds = getenv("ROUNDS");
    b.rounds = rounds == NULL ? 3 : (uint32_t)strtoul(rounds, NULL, 10);
    if (argc > 1) {
        b.env = env_real();
        snprintf(b.dir, sizeof b.dir, "%s", argv[1]);
    } else {
        must(sim_env_new(1, &sim));
        b.env = sim_env_env(sim);
        snprintf(b.dir, sizeof b.dir, "/parts");
    }
    must(env_mkdir(b.env, b.dir, NULL));
    budget_init(&b.budget, "merge", 0, NULL);
    budget_init(&b.cache_budget, "cache", 0, NULL);
    must(page_cache_new(&b.cache_budget, 32 << 20, &b.cache));
    bench_merge(&b, "8 parts, 40 samples of 20,000 series", 20000, 8, 40, false);
    bench_merge(&b, "24 parts, 240 samples of 2,000 series", 2000, 24, 240, false);
    const struct series_rule all = {.match = "{}"};
    must(series_rules_new(&all, 1, NULL, &b.rules, NULL));
    bench_merge(&b, "8 parts, 5760 samples of 200 series", 200, 8, 5760, false);
    b.resolution_ms = 5 * 60 * 1000;
    bench_merge(&b, "the same, downsampled to 5 m", 200, 8, 5760, false);
    b.resolution_ms = 60 * 60 * 1000;
    bench_merge(&b, "the same, downsampled to 1 h", 200, 8, 5760, false);
    b.resolution_ms = 0;
    series_rules_unref(b.rules);
    bench_merge(&b, "8 parts, 40 samples of 20,000 other series", 20000, 8, 40, true);
    page_cache_free(b.cache);
    sim_env_free(sim);
    return 0;
}
