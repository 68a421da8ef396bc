/*
 * head_bench.c - the cost of a sample in the head and in a part: a capture of real scrapes (remote
 * write 1.0 requests, each a little-endian length and a snappy block) goes into a generation in the
 * order it was sent, then into a part, and is read back; then in pieces into parts that are merged.
 *
 *     head_bench [file.rw ...]
 *
 * Without arguments it looks for node15s.rw and node1s.rw in $FIREKEEP_SHARED/data or
 * ../shared/data. Times are CPU time of this process.
 */
#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sys/sim.h"
#include "tsdb/head/gen.h"
#include "tsdb/merge/parts.h"
#include "tsdb/read/interleave.h"

enum { SAMPLES_MAX = 8 * 1000 * 1000 };

/* One sample of the capture, in the order of arrival. */
struct arrival {
    uint32_t series;
    int64_t t_ms;
    uint64_t bits;
};

struct bench {
    struct budget budget;
    struct registry *registry;
    struct gen *gen;
    struct arrival *arrivals;
    uint32_t count;
    uint32_t *by_label; /* series ids in label order */
    struct sim_env *sim;
    struct page_cache *cache;
};

static void
die(const char *what)
{
    fprintf(stderr, "head_bench: %s\n", what);
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

/* --- reading the capture ---------------------------------------------------------------------- */

static void
read_sample(struct cursor c, struct arrival *a)
{
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        if (tag == 9) a->bits = cursor_le64(&c);
        if (tag == 16) a->t_ms = (int64_t)cursor_varint(&c);
        if (tag != 9 && tag != 16) die("not a sample");
    }
}

static struct series *
find_series(struct bench *b, struct bytes labels)
{
    if (!labels_valid(labels)) die("labels are not canonical");
    struct series *s = registry_find_labels(b->registry, 0, labels);
    if (s == NULL) must(registry_add(b->registry, 0, labels, &s));
    return s;
}

/* Reads one time series: its labels (all fields 1, in order), then its samples. */
static void
read_series(struct bench *b, struct cursor c)
{
    const uint8_t *labels = c.at;
    size_t labels_size = 0;
    struct series *s = NULL;
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        struct bytes inner = cursor_counted(&c);
        if (c.bad) die("not a time series");
        if (tag == 10) labels_size = (size_t)(c.at - labels);
        if (tag != 18 || b->count == SAMPLES_MAX) continue;
        if (s == NULL) s = find_series(b, bytes_of(labels, labels_size));
        struct arrival *a = &b->arrivals[b->count++];
        a->series = s->id;
        read_sample(cursor_of(inner), a);
    }
}

static void
read_request(struct bench *b, const uint8_t *packed, size_t size)
{
    size_t raw_size;
    if (snappy_uncompressed_length((const char *)packed, size, &raw_size) != SNAPPY_OK)
        die("snappy");
    uint8_t *raw = malloc(raw_size + 1);
    if (raw == NULL) die("out of memory");
    if (snappy_uncompress((const char *)packed, size, (char *)raw, &raw_size) != SNAPPY_OK)
        die("snappy");
    struct cursor c = cursor_of(bytes_of(raw, raw_size));
    while (cursor_left(&c) > 0) {
        uint64_t tag = cursor_varint(&c);
        struct bytes inner = cursor_counted(&c);
        if (c.bad) die("not a write request");
        if (tag == 10) read_series(b, cursor_of(inner));
    }
    free(raw);
}

static bool
read_capture(struct bench *b, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    uint8_t head[4];
    b->arrivals = malloc(SAMPLES_MAX * sizeof *b->arrivals);
    if (b->arrivals == NULL) die("out of memory");
    while (fread(head, 1, sizeof head, f) == sizeof head) {
        size_t size = load_le32(head);
        uint8_t *packed = malloc(size + 1);
        if (packed == NULL || fread(packed, 1, size, f) != size) die("short file");
        read_request(b, packed, size);
        free(packed);
    }
    fclose(f);
    return true;
}

/* --- the head --------------------------------------------------------------------------------- */

static bool
append(struct gen *gen, const struct series *s, const struct arrival *a)
{
    struct sample_value v = {SAMPLE_FLOAT, a->bits, NULL};
    struct gen_series *samples;
    enum presence presence;
    uint32_t epoch;
    must(gen_series_get(gen, s, &samples));
    must(gen_presence(gen, s, a->t_ms, &v, NULL, &presence, &epoch));
    if (presence == PRESENT_NOT) must(gen_append(gen, samples, a->t_ms, 0, &v, 1, 1));
    return presence == PRESENT_NOT;
}

static void
bench_append(struct bench *b)
{
    uint64_t before = budget_used(&b->budget), added = 0, bytes = 0, chunks = 0;
    double start = cpu_seconds();
    for (uint32_t i = 0; i < b->count; i++) {
        const struct arrival *a = &b->arrivals[i];
        added += append(b->gen, registry_series(b->registry, a->series), a);
    }
    double spent = cpu_seconds() - start;
    for (uint32_t i = 0; i < b->registry->series.count; i++) {
        const struct gen_series *s = gen_series(b->gen, i);
        bytes += s->open.size_bytes;
        for (const struct hchunk *c = s->past == NULL ? NULL : s->past->sealed; c != NULL;
             c = c->next) {
            bytes += c->size_bytes;
            chunks++;
        }
    }
    double n = (double)added;
    printf("  head    %u series, %.1f KiB each without samples; %" PRIu64 " samples\n",
           b->registry->series.count, (double)before / 1024 / b->registry->series.count, added);
    printf("          %.1f ns a sample; %.3f encoded bytes, %.3f of the budget; %" PRIu64
           " sealed chunks\n",
           1e9 * spent / n, (double)bytes / n, (double)(budget_used(&b->budget) - before) / n,
           chunks);
}

static const struct registry *sort_registry;

static int
by_labels(const void *a, const void *b)
{
    return series_compare(sort_registry, registry_series(sort_registry, *(const uint32_t *)a),
                          registry_series(sort_registry, *(const uint32_t *)b));
}

static int
by_pair(const void *a, const void *b)
{
    struct label x = pair_label(registry_pair(sort_registry, *(const uint32_t *)a));
    struct label y = pair_label(registry_pair(sort_registry, *(const uint32_t *)b));
    int order = bytes_compare(x.name, y.name);
    return order != 0 ? order : bytes_compare(x.value, y.value);
}

static uint32_t *
sorted(uint32_t count, int (*compare)(const void *, const void *))
{
    uint32_t *ids = malloc((count + 1) * sizeof *ids);
    if (ids == NULL) die("out of memory");
    for (uint32_t i = 0; i < count; i++)
        ids[i] = i;
    qsort(ids, count, sizeof *ids, compare);
    return ids;
}

static uint64_t
drain(struct interleave *m, const struct gen *gen, const struct gen_series *s,
      struct part_writer *w)
{
    uint64_t got = 0;
    interleave_reset(m, INT64_MIN, INT64_MAX, false);
    must(interleave_add_series(m, gen, s, 1, 0));
    interleave_begin(m);
    for (;;) {
        struct sample_batch batch;
        must(interleave_next(m, &batch, NULL));
        if (batch.count == 0) return got;
        if (w != NULL) must(part_write_samples(w, &batch, NULL));
        got += batch.count;
    }
}

static void
bench_read_head(struct bench *b)
{
    struct interleave m;
    uint64_t got = 0;
    interleave_init(&m, NULL, NULL);
    double start = cpu_seconds();
    for (uint32_t i = 0; i < b->registry->series.count; i++)
        got += drain(&m, b->gen, gen_series(b->gen, i), NULL);
    printf("          read back: %.2f ns a sample\n", 1e9 * (cpu_seconds() - start) / (double)got);
    interleave_fini(&m);
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Writes a generation as part `number`. */
static void
write_part(struct bench *b, struct gen *gen, uint64_t number, struct budget *budget,
           struct part_info *ret_info)
{
    struct part_writer *w;
    struct interleave m;
    interleave_init(&m, budget, NULL);
    const struct registry *r = sort_registry = gen->registry;
    uint32_t *pairs = sorted(r->pairs.count, by_pair);
    uint32_t *places = malloc((r->pairs.count + 1) * sizeof *places);
    uint32_t *series = sorted(r->series.count, by_labels);
    if (places == NULL) die("out of memory");
    must(part_writer_new(sim_env_env(b->sim), budget, "/parts", number, number, number + 1, &w,
                         NULL));
    must(part_write_tenant(w, bytes_of_text("anonymous"), NULL));
    for (uint32_t i = 0; i < r->pairs.count; i++) {
        must(part_write_pair(w, pair_label(registry_pair(r, pairs[i])), NULL));
        places[pairs[i]] = i;
    }
    for (uint32_t i = 0; i < r->series.count; i++) {
        const struct series_pairs *row = registry_series(r, series[i])->pairs;
        uint32_t own[64];
        if (row->count > 64) die("too many labels");
        for (uint32_t j = 0; j < row->count; j++)
            own[j] = places[row->ids[j]];
        must(part_write_series(w, own, row->count, NULL));
        (void)drain(&m, gen, gen_series(gen, series[i]), w);
    }
    must(part_writer_finish(w, ret_info, NULL));
    part_writer_free(w);
    interleave_fini(&m);
    free(pairs);
    free(places);
    free(series);
}

static void
bench_write(struct bench *b)
{
    struct budget budget;
    struct part_info info;
    budget_init(&budget, "flush", 0, NULL);
    double start = cpu_seconds();
    write_part(b, b->gen, 1, &budget, &info);
    double spent = cpu_seconds() - start, n = (double)info.sample_count[0];
    printf("  part    written: %.1f ns a sample; %.4f bytes a sample, %.1f MiB of memory\n",
           1e9 * spent / n, (double)info.file_bytes / n, (double)budget.peak_bytes / 1048576);
}

static const char *const kind_words[] = {
    "",      "times",     "values",   "rows",      "label values", "postings",
    "names", "exemplars", "metadata", "directory", "root"};

/* Prints the bytes of each kind. */
static void
bench_layout(struct bench *b, const struct part_info *info)
{
    struct page_source source = {.cache = b->cache, .part_number = 1};
    uint64_t bytes[11] = {0}, at = 64;
    must(file_open(sim_env_env(b->sim), "/parts/0000000000000001/part", FILE_READ, &source.file,
                   NULL));
    must(file_size(&source.file, &source.file_bytes, NULL));
    while (at < source.file_bytes - 64) {
        struct page_facts facts;
        must(page_check(&source, at, &facts, NULL));
        bytes[facts.kind] += facts.next - at;
        at = facts.next;
    }
    printf("         ");
    for (unsigned k = 1; k <= 10; k++) {
        if (bytes[k] == 0) continue;
        printf(" %s %.4f", kind_words[k], (double)bytes[k] / (double)info->sample_count[0]);
    }
    printf(" bytes a sample\n");
    file_close(&source.file);
}

static uint64_t
read_row_samples(struct row_reader *rows, struct part *part, uint32_t number)
{
    static int64_t times[CODEC_SAMPLES_MAX], starts[CODEC_SAMPLES_MAX];
    static uint64_t bits[CODEC_SAMPLES_MAX];
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    uint64_t got = 0;
    must(row_read(rows, number, &labels, &blocks, &count, NULL));
    for (uint32_t i = 0; i < count; i++) {
        must(block_read(part, &blocks[i], times, bits, starts, NULL, NULL, NULL));
        got += blocks[i].count;
    }
    return got;
}

static void
bench_read(struct bench *b)
{
    struct part *part;
    struct part_index index;
    struct row_reader *rows;
    struct arena arena;
    struct budget budget;
    budget_init(&budget, "query", 0, NULL);
    arena_init(&arena, &budget, 0, 0);
    must(part_open(sim_env_env(b->sim), &budget, b->cache, "/parts", 1, &part, NULL));
    bench_layout(b, part_info(part));
    const struct part_tenant *t = part_tenant_at(part, 0);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t got = 0;
        double start = cpu_seconds();
        must(part_index_load(part, t, &arena, &index, NULL));
        must(row_reader_new(&index, &budget, &rows));
        for (uint32_t i = 0; i < t->series_count; i++)
            got += read_row_samples(rows, part, i);
        row_reader_free(rows);
        printf("          read %s: %.2f ns a sample\n", round == 0 ? "cold" : "warm",
               1e9 * (cpu_seconds() - start) / (double)got);
    }
    printf("          %.1f KiB of memory for the reader\n", (double)budget.peak_bytes / 1024);
    arena_fini(&arena);
    part_unref(part);
}

/* Writes the arrivals of one range of the capture as a part. */
static struct part *
make_piece(struct bench *b, uint64_t number, uint32_t from, uint32_t end)
{
    struct registry *r;
    struct gen *gen;
    struct buf labels;
    struct part_info info;
    struct part *part;
    must(registry_new(NULL, 1, 42, &r));
    must(gen_new(NULL, 1, r, NULL, &gen));
    buf_init(&labels, NULL, 1 << 20);
    for (uint32_t i = from; i < end; i++) {
        const struct arrival *a = &b->arrivals[i];
        buf_clear(&labels);
        series_labels(b->registry, registry_series(b->registry, a->series), &labels);
        struct series *s = registry_find_labels(r, 0, buf_bytes(&labels));
        if (s == NULL) must(registry_add(r, 0, buf_bytes(&labels), &s));
        append(gen, s, a);
    }
    write_part(b, gen, number, NULL, &info);
    buf_fini(&labels);
    gen_unref(gen);
    registry_unref(r);
    must(part_open(sim_env_env(b->sim), NULL, b->cache, "/parts", number, &part, NULL));
    return part;
}

/* Writes the capture in pieces and merges them, to compare the result with writing it at once. */
static void
bench_merge(struct bench *b)
{
    enum { PIECES = 8, FIRST = 2 };
    struct part_merge_input inputs[PIECES] = {0};
    struct budget budget;
    struct part_merge *m;
    struct part_info info;
    const struct part_merge_counts *counts;
    uint32_t count, bad;
    uint64_t bytes = 0, samples = 0;
    bool done = false;
    budget_init(&budget, "merge", 0, NULL);
    for (uint32_t i = 0; i < PIECES; i++) {
        inputs[i].part = make_piece(b, FIRST + i, (uint32_t)((uint64_t)b->count * i / PIECES),
                                    (uint32_t)((uint64_t)b->count * (i + 1) / PIECES));
        bytes += part_info(inputs[i].part)->file_bytes;
        samples += part_info(inputs[i].part)->sample_count[0];
    }
    struct part_merge_options options = {
        .env = sim_env_env(b->sim),
        .budget = &budget,
        .parts_dir = "/parts",
        .inputs = inputs,
        .input_count = PIECES,
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .number = FIRST + PIECES,
        .level = 1,
    };
    double start = cpu_seconds();
    must(part_merge_new(&options, &m, NULL));
    while (!done)
        must(part_merge_step(m, 100000, &done, &bad, NULL));
    must(part_merge_finish(m, &info, &counts, &count, NULL));
    double spent = cpu_seconds() - start, n = (double)samples;
    part_merge_free(m);
    printf("  merge   %d parts of %.0f samples, %.4f bytes a sample\n", PIECES, n / PIECES,
           (double)bytes / n);
    printf("          %.1f ns a sample; %.4f bytes a sample, %.1f MiB of memory\n", 1e9 * spent / n,
           (double)info.file_bytes / (double)info.sample_count[0],
           (double)budget.peak_bytes / 1048576);
    for (uint32_t i = 0; i < PIECES; i++)
        part_unref(inputs[i].part);
}

static void
bench(const char *path)
{
    struct bench b = {0};
    budget_init(&b.budget, "head", 0, NULL);
    must(registry_new(&b.budget, 1, 42, &b.registry));
    must(gen_new(&b.budget, 1, b.registry, NULL, &b.gen));
    if (!read_capture(&b, path)) {
        printf("%s: absent, skipped\n", path);
        gen_unref(b.gen);
        registry_unref(b.registry);
        return;
    }
    printf("%s\n", path);
    must(sim_env_new(1, &b.sim));
    must(env_mkdir(sim_env_env(b.sim), "/parts", NULL));
    must(page_cache_new(NULL, 64 << 20, &b.cache));
    bench_append(&b);
    bench_read_head(&b);
    bench_write(&b);
    bench_read(&b);
    bench_merge(&b);
    page_cache_free(b.cache);
    sim_env_free(b.sim);
    gen_unref(b.gen);
    registry_unref(b.registry);
    free(b.arrivals);
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        bench(argv[i]);
    if (argc == 1) {
        const char *shared = getenv("FIREKEEP_SHARED");
        static const char *const names[] = {"node15s.rw", "node1s.rw"};
        for (unsigned i = 0; i < 2; i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/data/%s", shared != NULL ? shared : "../shared",
                     names[i]);
            bench(path);
        }
    }
    return 0;
}
