/*
 * part_fuzz.c - arbitrary bytes as the file of a part: each use by a query, a merge or a check ends
 * in an answer or an error. Checksums are corrected first, so that the code after the check is
 * reached; page headers keep their sizes as far as the file goes.
 */
#include <assert.h>
#include <roaring/roaring.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "model/histogram.h"
#include "sys/sim.h"
#include "tsdb/inspect/inspect.h"
#include "tsdb/merge/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER = 1, END_BYTES = 64, ROWS_MAX = 300, TENANTS_MAX = 20 };
enum { PACKED = 1 << 28, SIZE_MASK = PACKED - 1 };

static struct budget budget;
static struct {
    int64_t times[CODEC_SAMPLES_MAX];
    int64_t starts[CODEC_SAMPLES_MAX];
    uint64_t bits[CODEC_SAMPLES_MAX];
    struct histogram histograms[CODEC_SAMPLES_MAX];
    struct rollup rollups[CODEC_SAMPLES_MAX];
    struct histogram_rollup histogram_rollups[CODEC_SAMPLES_MAX];
} columns;

/* --- checksums: docs/format/part.md ----------------------------------------------------------- */

static void
mend_end(uint8_t *end, const char *magic)
{
    memcpy(end, magic, 8);
    store_le64(end + 16, NUMBER);
    store_le64(end + 56, hash_bytes(bytes_of(end, 56), NUMBER));
}

static void
mend(uint8_t *file, size_t size)
{
    size_t at = END_BYTES, end = size - END_BYTES;
    mend_end(file, "FKPARTHD");
    store_le64(file + end + 32, size);
    mend_end(file + end, "FKPARTFT");
    while (end - at >= PAGE_HEADER_BYTES) {
        uint8_t *header = file + at;
        uint32_t first = load_le32(header), raw = load_le32(header + 4);
        size_t room = end - at - PAGE_HEADER_BYTES, stored = first & SIZE_MASK;
        if (stored > room) stored = room;
        store_le32(header, (first & ~(uint32_t)SIZE_MASK) | (uint32_t)stored);
        if ((raw & PACKED) == 0) store_le32(header + 4, (uint32_t)stored);
        uint64_t seed = hash_mix(NUMBER, at);
        store_le32(header + 8, (uint32_t)hash_bytes(bytes_of(header, 8), seed));
        seed = hash_mix(seed, load_le64(header));
        struct bytes payload = bytes_of(header + PAGE_HEADER_BYTES, stored);
        store_le32(header + 12, (uint32_t)hash_bytes(payload, seed));
        at += PAGE_HEADER_BYTES + stored;
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
expect(enum err e, const struct why *why)
{
    assert(e == OK || e == ERR_CORRUPT || e == ERR_NOMEM);
    assert(e != ERR_CORRUPT || why->text[0] != 0);
}

static void
check_histograms(uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++) {
        /* Comparing and storing histograms is safe whatever was read. */
        (void)histogram_equal(&columns.histograms[i], &columns.histograms[i + 1]);
        err_ignore(histogram_check(&columns.histograms[i], NULL), "it may be none");
    }
}

static void
read_block(struct part *part, const struct block_ref *b)
{
    struct arena arena;
    struct why why = {""};
    uint32_t windows;
    arena_init(&arena, &budget, 16 << 20, 0);
    if (b->resolution_ms > 0 && block_kind(b) == SAMPLE_FLOAT) {
        expect(block_read_rollups(part, b, ROLLUP_WHOLE, columns.times, columns.bits,
                                  columns.rollups, &windows, &why),
               &why);
    } else if (b->resolution_ms > 0) {
        expect(block_read_histogram_rollups(part, b, columns.times, &arena,
                                            columns.histogram_rollups, &windows, &why),
               &why);
    }
    enum err e = block_read(part, b, columns.times, columns.bits, columns.starts,
                            columns.histograms, &arena, &why);
    expect(e, &why);
    if (e == OK && block_kind(b) != SAMPLE_FLOAT) check_histograms(b->count);
    for (uint32_t i = 1; e == OK && i < b->count; i++)
        assert(columns.times[i - 1] < columns.times[i]);
    arena_fini(&arena);
}

static void
read_rows(const struct part_index *index)
{
    struct row_reader *rows;
    if (row_reader_new(index, &budget, &rows) != OK) return;
    const struct part_tenant *t = index->tenant;
    for (uint32_t i = 0; i < t->series_count && i < ROWS_MAX; i++) {
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count;
        struct why why = {""};
        enum err e = row_read(rows, t->first_series + i, &labels, &blocks, &count, &why);
        expect(e, &why);
        if (e) break;
        for (uint32_t j = 0; j < count && j < 20; j++)
            read_block(index->part, &blocks[j]);
    }
    row_reader_free(rows);
}

/* Reads the same by the batch, and then some of them again, in another order. */
static void
read_batch(const struct part_index *index)
{
    const struct part_tenant *t = index->tenant;
    struct row_range range = {part_info(index->part)->time.min_ms, INT64_MAX, true};
    struct row_batch *batch = NULL;
    uint32_t count = t->series_count < ROWS_MAX ? t->series_count : ROWS_MAX;
    roaring_bitmap_t *set = roaring_bitmap_from_range(t->first_series, t->first_series + count, 2);
    struct row_of_batch row = {.labels = {(const uint8_t *)"", 0}};
    struct why why = {""};
    if (set == NULL) set = roaring_bitmap_create();
    enum err e = row_batch_new(index, set, &range, &budget, &batch);
    while (e == OK && row.labels.at != NULL) {
        e = row_batch_next(batch, &row, &why);
        assert(e != OK || row.labels.at == NULL || row.block_count > 0);
    }
    expect(e, &why);
    row_batch_free(batch);
    roaring_bitmap_free(set);
}

static void
read_backwards(const struct part_index *index)
{
    enum { STEP = 37 };
    struct row_reader *rows;
    const struct part_tenant *t = index->tenant;
    if (row_reader_new(index, &budget, &rows) != OK) return;
    for (uint32_t i = t->series_count < ROWS_MAX ? t->series_count : ROWS_MAX; i > STEP;
         i -= STEP) {
        struct why why = {""};
        bool meets;
        enum err e = row_seek(rows, t->first_series + i - 1, &why);
        if (e == OK) e = row_meets(rows, 0, INT64_MAX, &meets, &why);
        expect(e, &why);
    }
    row_reader_free(rows);
}

static void
try_match(const struct part_index *index, enum matcher_type type, const char *name,
          const char *pattern)
{
    struct matcher *m;
    roaring_bitmap_t *set;
    struct why why = {""};
    if (matcher_new(type, bytes_of_text(name), bytes_of_text(pattern), NULL, &m, NULL) != OK)
        return;
    enum err e = part_match(index, &m, 1, &set, &why);
    expect(e, &why);
    if (e == OK) {
        assert(roaring_bitmap_get_cardinality(set) <= index->tenant->series_count);
        roaring_bitmap_free(set);
    }
    matcher_free(m);
}

static enum err
each_exemplar(void *context, uint32_t series, const struct exemplar *x)
{
    assert(series < part_info(context)->series_count);
    assert(labels_valid(x->labels));
    return OK;
}

static enum err
each_metadata(void *context, const struct metadata *m)
{
    uint64_t *sum = context;
    *sum += m->family.size + m->help.size + m->unit.size;
    return OK;
}

static void
read_tenant(struct part *part, const struct part_tenant *t)
{
    struct arena arena;
    struct part_index index;
    struct why why = {""};
    uint64_t sum = 0;
    arena_init(&arena, &budget, 0, 0);
    enum err e = part_index_load(part, t, &arena, &index, &why);
    expect(e, &why);
    if (e == OK) {
        read_rows(&index);
        read_batch(&index);
        read_backwards(&index);
        try_match(&index, MATCH_EQUAL, "__name__", "metric_1");
        try_match(&index, MATCH_REGEX, "instance", "v.*");
        try_match(&index, MATCH_NOT_REGEX, "job", ".*1|v2");
        try_match(&index, MATCH_NOT_EQUAL, "a", "");
    }
    expect(part_exemplars(part, t->first_series, each_exemplar, part, &why), &why);
    expect(part_metadata(part, t, each_metadata, &sum, &why), &why);
    arena_fini(&arena);
}

static void
each_damage(void *context, uint64_t offset, const struct why *why)
{
    (void)context;
    (void)offset;
    assert(why->text[0] != 0);
}

/* Merges the part; with `twice`, with itself, and without its first and last sample. */
static void
merge_part(struct env *env, struct part *part, bool twice)
{
    const struct part_info *info = part_info(part);
    struct part_merge_input inputs[] = {{.part = part}, {.part = part}};
    struct part_merge_options options = {
        .env = env,
        .budget = &budget,
        .parts_dir = "/parts",
        .inputs = inputs,
        .input_count = twice ? 2 : 1,
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .with_metadata = true,
        .number = NUMBER + 1,
    };
    struct part_merge *m = NULL;
    struct part_info made;
    const struct part_merge_counts *counts;
    uint32_t count, bad = UINT32_MAX;
    struct why why = {""};
    bool done = false;
    if (twice && info->time.min_ms < info->time.max_ms) {
        options.window = (struct time_range){info->time.min_ms, info->time.max_ms - 1};
        options.expired_before_ms = info->time.min_ms + 1;
    }
    enum err e = part_merge_new(&options, &m, &why);
    while (e == OK && !done)
        e = part_merge_step(m, 1000, &done, &bad, &why);
    assert(e != ERR_CORRUPT || bad < options.input_count);
    if (e == OK) e = part_merge_finish(m, &made, &counts, &count, &why);
    expect(e, &why);
    part_merge_free(m);
}

/* Checks that pages and the rest add up to the file. */
static void
inspect(struct env *env)
{
    struct inspect_options options = {.env = env, .memory = &budget};
    struct inspect_target target = {
        .kind = INSPECT_PART, .dir = "/parts", .name = "0000000000000001", .number = NUMBER};
    struct inspect_part p;
    struct why why = {""};
    enum err e = inspect_part(&options, &target, &p, &why);
    expect(e, &why);
    if (e) return;
    uint64_t bytes = p.end_bytes + p.unreadable_bytes;
    for (unsigned k = 0; k < INSPECT_PAGE_KINDS; k++)
        bytes += p.pages[k].header_bytes + p.pages[k].stored_bytes;
    assert(bytes == p.file_bytes);
    inspect_part_fini(&p);
}

static void
read_part(struct env *env, struct page_cache *cache)
{
    struct part *part;
    struct why why = {""};
    enum err e = part_open(env, &budget, cache, "/parts", NUMBER, &part, &why);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_NOMEM || e == ERR_UNSUPPORTED);
    assert(e == OK || why.text[0] != 0);
    if (e) return;
    for (uint32_t i = 0; i < part_tenant_count(part) && i < TENANTS_MAX; i++)
        read_tenant(part, part_tenant_at(part, i));
    expect(part_verify(part, each_damage, NULL, &why), &why);
    merge_part(env, part, false);
    merge_part(env, part, true);
    inspect(env);
    part_unref(part);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_env *sim;
    struct page_cache *cache = NULL;
    if (size < 2 * END_BYTES || sim_env_new(1, &sim) != OK) return 0;
    budget_init(&budget, "part", 64 << 20, NULL);
    struct env *env = sim_env_env(sim);
    uint8_t *copy = malloc(size);
    assert(copy != NULL);
    memcpy(copy, data, size);
    mend(copy, size);
    enum err e = env_mkdir(env, "/parts", NULL);
    if (e == OK) e = env_mkdir(env, "/parts/0000000000000001", NULL);
    struct bytes content = bytes_of(copy, size);
    if (e == OK) e = env_write_whole(env, "/parts/0000000000000001", "part", content, NULL);
    if (e == OK) e = page_cache_new(&budget, 1 << 20, &cache);
    if (e == OK) read_part(env, cache);
    page_cache_free(cache);
    assert(budget_used(&budget) == 0);
    free(copy);
    sim_env_free(sim);
    return 0;
}
