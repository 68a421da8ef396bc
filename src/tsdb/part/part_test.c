/*
 * part_test.c - parts return their content; matchers find the same as a scan over all labels;
 * damage, failing devices and refused memory are reported errors.
 */
#include "lib/test.h"

#include <roaring/roaring.h>

#include "base/hash/hash.h"
#include "lib/tsdb/random_part.h"
#include "sys/fault.h"
#include "sys/sim.h"

enum { NUMBER = 0x1234, CACHE_BYTES = 8 << 20 };

struct rig {
    struct sim_env *sim;
    struct fault_env *fault;
    struct env *env;
    struct budget budget;
    struct budget cache_budget;
    struct page_cache *cache;
};

static void
rig_open(struct rig *g)
{
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    assert_int_equal(fault_env_new(sim_env_env(g->sim), &g->fault), OK);
    g->env = fault_env_env(g->fault);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    budget_init(&g->budget, "parts", 0, NULL);
    budget_init(&g->cache_budget, "cache", 0, NULL);
    assert_int_equal(page_cache_new(&g->cache_budget, CACHE_BYTES, &g->cache), OK);
}

static void
rig_close(struct rig *g)
{
    page_cache_free(g->cache);
    assert_int_equal(budget_used(&g->cache_budget), 0);
    assert_int_equal(budget_used(&g->budget), 0);
    fault_env_free(g->fault);
    sim_env_free(g->sim);
}

/* --- reading all of it ------------------------------------------------------------------------ */

/* A hash of every answer; an answer that differs from `want` (may be NULL) fails the test. */
struct reading {
    struct rig *rig;
    struct part *part;
    const struct content *want;
    const struct content_tenant *tenant;
    uint32_t tenant_first;
    uint32_t count;
    uint64_t hash;
    struct why why;
};

static void
note(struct reading *x, struct bytes b)
{
    x->hash = hash_mix(hash_mix(x->hash, b.size), hash_bytes(b, 1));
}

static void
note_u64(struct reading *x, uint64_t v)
{
    x->hash = hash_mix(x->hash, v);
}

static void
note_histogram(struct reading *x, const struct histogram *h)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 26);
    note_u64(x, h->kind);
    if (histogram_check(h, NULL) == OK) histogram_put(&to, h);
    note(x, buf_bytes(&to));
    buf_fini(&to);
}

struct columns {
    int64_t times[CODEC_SAMPLES_MAX];
    int64_t starts[CODEC_SAMPLES_MAX];
    uint64_t bits[CODEC_SAMPLES_MAX];
    struct histogram histograms[CODEC_SAMPLES_MAX];
};

static void
check_stats(const struct block_ref *b, const uint64_t *bits)
{
    struct codec_stats stats;
    codec_float_stats(bits, b->count, &stats);
    assert_true(b->has_stats);
    assert_int_equal(double_bits(stats.min), double_bits(b->stats.min));
    assert_int_equal(double_bits(stats.max), double_bits(b->stats.max));
    assert_int_equal(double_bits(stats.sum), double_bits(b->stats.sum));
    assert_int_equal(double_bits(stats.first), double_bits(b->stats.first));
    assert_int_equal(double_bits(stats.last), double_bits(b->stats.last));
    assert_int_equal(stats.number_count, b->stats.number_count);
    assert_int_equal(stats.reset_count, b->stats.reset_count);
}

static enum err
read_block(struct reading *x, const struct block_ref *b, const struct content_series *want,
           uint32_t *at)
{
    static struct columns c;
    struct arena arena;
    arena_init(&arena, &x->rig->budget, 0, 0);
    enum err e = block_read(x->part, b, c.times, c.bits, c.starts, c.histograms, &arena, &x->why);
    bool floats = block_kind(b) == SAMPLE_FLOAT;
    if (e == OK && want != NULL && floats) check_stats(b, c.bits);
    for (uint32_t i = 0; i < b->count && e == OK; i++, ++*at) {
        int64_t start = b->has_starts ? c.starts[i] : 0;
        note_u64(x, (uint64_t)c.times[i]);
        note_u64(x, (uint64_t)start);
        if (floats)
            note_u64(x, c.bits[i]);
        else
            note_histogram(x, &c.histograms[i]);
        if (want == NULL) continue;
        const struct content_sample *s = &want->samples[*at];
        assert_true(*at < want->sample_count);
        assert_int_equal(s->t_ms, c.times[i]);
        assert_int_equal(s->start_ms, start);
        assert_int_equal(s->kind, block_kind(b));
        if (floats) {
            assert_int_equal(s->bits, c.bits[i]);
        } else {
            assert_true(same_histogram_bits(&s->histogram, &c.histograms[i]));
            assert_int_equal(s->histogram.reset_hint, c.histograms[i].reset_hint);
        }
    }
    arena_fini(&arena);
    return e;
}

static enum err
read_row(struct reading *x, struct row_reader *rows, uint32_t number)
{
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count, at = 0;
    enum err e = row_read(rows, number, &labels, &blocks, &count, &x->why);
    if (e) return e;
    note(x, labels);
    const struct content_series *want = NULL;
    if (x->tenant != NULL) {
        want = &x->tenant->series[number - x->tenant_first];
        assert_true(bytes_equal(labels, want->labels));
    }
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = read_block(x, &blocks[i], want, &at);
    if (e == OK && want != NULL) assert_int_equal(at, want->sample_count);
    return e;
}

static enum err
each_exemplar(void *context, uint32_t series, const struct exemplar *exemplar)
{
    struct reading *x = context;
    note_u64(x, series);
    note_u64(x, (uint64_t)exemplar->t_ms);
    note_u64(x, exemplar->value_bits);
    note(x, exemplar->labels);
    if (x->tenant == NULL) return OK;
    if (series - x->tenant_first >= x->tenant->series_count) return ERR_CANCELED;
    const struct content_exemplar *want = &x->tenant->exemplars[x->count++];
    assert_true(x->count <= x->tenant->exemplar_count);
    assert_int_equal(series, x->tenant_first + want->series);
    assert_int_equal(exemplar->t_ms, want->t_ms);
    assert_int_equal(exemplar->value_bits, want->bits);
    assert_true(bytes_equal(exemplar->labels, want->labels));
    return OK;
}

static enum err
each_metadata(void *context, const struct metadata *m)
{
    struct reading *x = context;
    note(x, m->family);
    note_u64(x, m->type);
    note(x, m->help);
    note(x, m->unit);
    if (x->tenant == NULL) return OK;
    const struct metadata *want = &x->tenant->metadata[x->count++];
    assert_true(x->count <= x->tenant->metadata_count);
    assert_true(bytes_equal(m->family, want->family));
    assert_true(bytes_equal(m->help, want->help));
    assert_true(bytes_equal(m->unit, want->unit));
    assert_int_equal(m->type, want->type);
    return OK;
}

static void
note_match(struct reading *x, const roaring_bitmap_t *set)
{
    roaring_uint32_iterator_t it;
    roaring_init_iterator(set, &it);
    for (; it.has_value; roaring_advance_uint32_iterator(&it))
        note_u64(x, it.current_value);
}

static enum err
read_match(struct reading *x, const struct part_index *index, enum matcher_type type,
           const char *name, const char *pattern)
{
    struct matcher *m;
    roaring_bitmap_t *set = NULL;
    assert_int_equal(matcher_new(type, bytes_of_text(name), bytes_of_text(pattern), NULL, &m, NULL),
                     OK);
    enum err e = part_match(index, &m, 1, &set, &x->why);
    if (e == OK) {
        note_match(x, set);
        roaring_bitmap_free(set);
    }
    matcher_free(m);
    return e;
}

static enum err
read_tenant(struct reading *x, const struct part_tenant *t)
{
    struct arena arena;
    struct part_index index;
    struct row_reader *rows = NULL;
    arena_init(&arena, &x->rig->budget, 0, 0);
    enum err e = part_index_load(x->part, t, &arena, &index, &x->why);
    if (e == OK) e = row_reader_new(&index, &x->rig->budget, &rows);
    for (uint32_t i = 0; i < t->series_count && e == OK; i++)
        e = read_row(x, rows, t->first_series + i);
    if (e == OK) e = read_match(x, &index, MATCH_REGEX, "instance", ".*1.*");
    if (e == OK) e = read_match(x, &index, MATCH_NOT_EQUAL, "__name__", "metric_0");
    row_reader_free(rows);
    arena_fini(&arena);
    x->count = 0;
    if (e == OK) e = part_exemplars(x->part, t->first_series, each_exemplar, x, &x->why);
    if (e == OK && x->tenant != NULL) assert_int_equal(x->count, x->tenant->exemplar_count);
    x->count = 0;
    if (e == OK) e = part_metadata(x->part, t, each_metadata, x, &x->why);
    if (e == OK && x->tenant != NULL) assert_int_equal(x->count, x->tenant->metadata_count);
    return e;
}

static enum err
read_all(struct rig *g, const struct content *want, struct reading *x)
{
    *x = (struct reading){.rig = g, .want = want};
    enum err e = part_open(g->env, &g->budget, g->cache, "/parts", NUMBER, &x->part, &x->why);
    if (e) return e;
    note_u64(x, part_tenant_count(x->part));
    for (uint32_t i = 0; i < part_tenant_count(x->part) && e == OK; i++) {
        const struct part_tenant *t = part_tenant_at(x->part, i);
        if (want != NULL) {
            x->tenant = &want->tenants[i];
            x->tenant_first = t->first_series;
            assert_true(bytes_equal(t->name, x->tenant->name));
            assert_ptr_equal(part_tenant(x->part, t->name), t);
            assert_int_equal(t->series_count, x->tenant->series_count);
            assert_int_equal(t->pair_count, x->tenant->pair_count);
        }
        note(x, t->name);
        e = read_tenant(x, t);
    }
    part_unref(x->part);
    return e;
}

static void
write_content(struct rig *g, const struct content *c, int level, struct part_info *ret_info)
{
    struct why why = {""};
    enum err e = content_write(c, g->env, &g->budget, "/parts", NUMBER, level, ret_info, &why);
    if (e) fail_msg("%s", why.text);
    assert_int_equal(budget_used(&g->budget), 0);
}

UNIT_TEST(test_everything_written_comes_back)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct rig g;
        struct content c;
        struct part_info info;
        struct reading x;
        rig_open(&g);
        struct content_size size = {1 + seed % 5, 60, seed % 4 == 0 ? 20000 : 300, 40};
        if (seed % 7 == 3) size = (struct content_size){40, 3, 10, 3};
        if (size.samples > 300) size.series = 12;
        content_make(&c, seed, size);
        write_content(&g, &c, (int)(seed % 3), &info);
        enum err e = read_all(&g, &c, &x);
        if (e) fail_msg("seed %u: %s", (unsigned)seed, x.why.text);
        assert_int_equal(info.from_pos, 100);
        assert_int_equal(info.to_pos, 2000);
        content_free(&c);
        rig_close(&g);
    }
}

UNIT_TEST(test_the_summary_counts_what_is_there)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct part *part;
    uint64_t counts[LEDGER_KIND_COUNT] = {0}, series = 0;
    int64_t min = INT64_MAX, max = INT64_MIN;
    rig_open(&g);
    content_make(&c, 9, (struct content_size){3, 50, 200, 30});
    for (uint32_t i = 0; i < c.tenant_count; i++) {
        const struct content_tenant *t = &c.tenants[i];
        series += t->series_count;
        counts[LEDGER_EXEMPLAR] += t->exemplar_count;
        for (uint32_t j = 0; j < t->exemplar_count; j++) {
            if (t->exemplars[j].t_ms < min) min = t->exemplars[j].t_ms;
            if (t->exemplars[j].t_ms > max) max = t->exemplars[j].t_ms;
        }
        for (uint32_t j = 0; j < t->series_count; j++) {
            for (uint32_t k = 0; k < t->series[j].sample_count; k++) {
                const struct content_sample *s = &t->series[j].samples[k];
                counts[ledger_kind_of(s->kind)]++;
                if (s->t_ms < min) min = s->t_ms;
                if (s->t_ms > max) max = s->t_ms;
            }
        }
    }
    write_content(&g, &c, 1, &info);
    assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, NULL), OK);
    const struct part_info *read = part_info(part);
    assert_memory_equal(read, &info, sizeof info);
    assert_int_equal(info.number, NUMBER);
    assert_int_equal(info.series_count, series);
    assert_memory_equal(info.sample_count, counts, sizeof counts);
    assert_int_equal(info.time.min_ms, min);
    assert_int_equal(info.time.max_ms, max);
    part_unref(part);
    content_free(&c);
    rig_close(&g);
}

/* --- matching --------------------------------------------------------------------------------- */

static struct matcher *
random_matcher(struct rng *r)
{
    static const char *const names[] = {"__name__", "a", "instance", "job", "le", "zone", "none"};
    static const char *const patterns[] = {
        "",         "v0",        "v1|v2",    "v1|",          ".*",     ".+",      "v1.*",
        "metric_1", "metric_.*", "v(1|2|3)", "(v1)?",        "v[0-4]", "absent",  "v.*1",
        "x.*",      "v1?",       "|",        "metric_(1|2)", "m.+2",   ".*0|.*1", "v10|v3|v3",
    };
    enum matcher_type type = (enum matcher_type)rng_below(r, 4);
    const char *name = names[rng_below(r, 7)];
    const char *pattern = patterns[rng_below(r, sizeof patterns / sizeof patterns[0])];
    struct matcher *m;
    assert_int_equal(matcher_new(type, bytes_of_text(name), bytes_of_text(pattern), NULL, &m, NULL),
                     OK);
    return m;
}

static bool
model_matches(const struct content_series *s, struct matcher *const *matchers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value = labels_get(s->labels, matcher_name(matchers[i]));
        if (!matcher_matches(matchers[i], value)) return false;
    }
    return true;
}

static void
check_match(const struct part_index *index, const struct content_tenant *t, struct rng *r)
{
    struct matcher *matchers[3];
    uint32_t count = 1 + (uint32_t)rng_below(r, 3);
    roaring_bitmap_t *set;
    for (uint32_t i = 0; i < count; i++)
        matchers[i] = random_matcher(r);
    assert_int_equal(part_match(index, matchers, count, &set, NULL), OK);
    for (uint32_t i = 0; i < t->series_count; i++) {
        bool want = model_matches(&t->series[i], matchers, count);
        bool got = roaring_bitmap_contains(set, index->tenant->first_series + i);
        if (want != got) {
            struct bytes p = matcher_pattern(matchers[0]);
            fail_msg("series %u: first of %u matchers: type %d, %.*s", i, count,
                     matcher_type(matchers[0]), (int)p.size, (const char *)p.at);
        }
    }
    assert_true(roaring_bitmap_get_cardinality(set) <= t->series_count);
    roaring_bitmap_free(set);
    for (uint32_t i = 0; i < count; i++)
        matcher_free(matchers[i]);
}

UNIT_TEST(test_matchers_find_what_a_scan_finds)
{
    struct rng r = {4};
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct rig g;
        struct content c;
        struct part_info info;
        struct part *part;
        rig_open(&g);
        uint32_t values = seed % 2 == 0 ? 20 : 3000;
        content_make(&c, seed, (struct content_size){3, seed == 5 ? 3000 : 100, 1, values});
        write_content(&g, &c, 1, &info);
        assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, NULL), OK);
        for (uint32_t i = 0; i < c.tenant_count; i++) {
            struct arena arena;
            struct part_index index;
            arena_init(&arena, NULL, 0, 0);
            const struct part_tenant *t = part_tenant_at(part, i);
            assert_int_equal(part_index_load(part, t, &arena, &index, NULL), OK);
            for (unsigned n = 0; n < 150; n++)
                check_match(&index, &c.tenants[i], &r);
            arena_fini(&arena);
        }
        part_unref(part);
        content_free(&c);
        rig_close(&g);
    }
}

UNIT_TEST(test_rows_are_read_in_any_order)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading x = {.rig = &g};
    struct rng r = {8};
    rig_open(&g);
    content_make(&c, 3, (struct content_size){2, 2000, 2, 500});
    write_content(&g, &c, 1, &info);
    assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &x.part, NULL), OK);
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    arena_init(&arena, NULL, 0, 0);
    const struct part_tenant *t = part_tenant_at(x.part, 1);
    x.tenant = &c.tenants[1];
    x.tenant_first = t->first_series;
    assert_int_equal(part_index_load(x.part, t, &arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, &g.budget, &rows), OK);
    for (unsigned n = 0; n < 2000; n++) {
        uint32_t number = t->first_series + (uint32_t)rng_below(&r, t->series_count);
        assert_int_equal(read_row(&x, rows, number), OK);
    }
    assert_true(budget_used(&g.budget) < 256 * 1024);
    row_reader_free(rows);
    arena_fini(&arena);
    part_unref(x.part);
    content_free(&c);
    rig_close(&g);
}

/* --- layout ----------------------------------------------------------------------------------- */

struct place_use {
    uint64_t page;
    uint32_t tenant;
};

static void
use_page(struct place_use *uses, uint32_t *count, uint64_t page, uint32_t tenant)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (uses[i].page != page) continue;
        if (uses[i].tenant != tenant) fail_msg("page %u spans tenants", (unsigned)page);
        return;
    }
    uses[(*count)++] = (struct place_use){page, tenant};
}

UNIT_TEST(test_a_page_never_spans_tenants_and_columns_are_shared)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct part *part;
    rig_open(&g);
    content_make(&c, 21, (struct content_size){12, 30, 40, 20});
    for (uint32_t i = 0; i < c.tenant_count; i++) { /* the same times everywhere */
        for (uint32_t j = 0; j < c.tenants[i].series_count; j++) {
            struct content_series *s = &c.tenants[i].series[j];
            s->sample_count = s->sample_count == 0 ? 0 : 1;
            s->samples[0].t_ms = 5;
        }
    }
    write_content(&g, &c, 1, &info);
    assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, NULL), OK);
    static struct place_use uses[4096];
    uint32_t use_count = 0;
    for (uint32_t i = 0; i < c.tenant_count; i++) {
        struct arena arena;
        struct part_index index;
        struct row_reader *rows;
        arena_init(&arena, NULL, 0, 0);
        const struct part_tenant *t = part_tenant_at(part, i);
        assert_int_equal(part_index_load(part, t, &arena, &index, NULL), OK);
        assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
        const struct page_place *first = NULL;
        struct page_place shared;
        for (uint32_t j = 0; j < t->series_count; j++) {
            const struct block_ref *blocks;
            uint32_t count;
            assert_int_equal(row_read(rows, t->first_series + j, NULL, &blocks, &count, NULL), OK);
            if (count == 0) continue;
            use_page(uses, &use_count, blocks[0].times.page, i);
            if (!blocks[0].is_constant) use_page(uses, &use_count, blocks[0].values.page, i);
            if (first == NULL) shared = blocks[0].times;
            first = &shared;
            assert_memory_equal(&shared, &blocks[0].times, sizeof shared);
        }
        row_reader_free(rows);
        arena_fini(&arena);
    }
    part_unref(part);
    content_free(&c);
    rig_close(&g);
}

static void
write_huge(struct part_writer *w)
{
    enum { BUCKETS = 60000, VALUE = 300000 };
    static int64_t deltas[BUCKETS];
    static uint8_t value[VALUE];
    static const uint32_t pairs[] = {0, 1};
    struct hist_span span = {0, BUCKETS};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    h.positive = (struct hist_buckets){&span, 1, BUCKETS, deltas, NULL};
    memset(value, 'y', VALUE);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    label = (struct label){bytes_of_text("c"), bytes_of(value, VALUE)};
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, pairs, 2, NULL), OK);
    for (int64_t t = 0; t < 40; t++) {
        struct sample_batch b = {SAMPLE_HISTOGRAM_INT, 1, &t, NULL, &h, NULL};
        assert_int_equal(part_write_samples(w, &b, NULL), OK);
    }
}

UNIT_TEST(test_huge_items_have_pages_of_their_own)
{
    struct rig g;
    struct part_writer *w;
    struct part_info info;
    struct reading x;
    rig_open(&g);
    assert_int_equal(part_writer_new(g.env, &g.budget, "/parts", NUMBER, 0, 1, &w, NULL), OK);
    write_huge(w);
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_true(g.budget.peak_bytes < 40 << 20);
    enum err e = read_all(&g, NULL, &x);
    if (e) fail_msg("%s", x.why.text);
    assert_int_equal(info.sample_count[LEDGER_HISTOGRAM], 40);
    rig_close(&g);
}

UNIT_TEST(test_a_part_of_nothing_is_a_part)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading x;
    rig_open(&g);
    content_make(&c, 1, (struct content_size){0, 0, 0, 0});
    write_content(&g, &c, 1, &info);
    assert_int_equal(read_all(&g, &c, &x), OK);
    content_free(&c);
    content_make(&c, 1, (struct content_size){3, 0, 0, 0}); /* tenants with metadata only */
    write_content(&g, &c, 1, &info);
    assert_int_equal(read_all(&g, &c, &x), OK);
    content_free(&c);
    rig_close(&g);
}

/* --- failures --------------------------------------------------------------------------------- */

static const struct content_size SMALL = {2, 5, 30, 4};
static const char PATH[] = "/parts/0000000000001234/part";

static void
no_damage(void *context, uint64_t offset, const struct why *why)
{
    (void)offset;
    (void)why;
    ++*(uint32_t *)context;
}

UNIT_TEST(test_no_flipped_byte_goes_unnoticed)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading whole, x;
    rig_open(&g);
    content_make(&c, 6, SMALL);
    write_content(&g, &c, 1, &info);
    assert_int_equal(read_all(&g, &c, &x), OK);
    assert_int_equal(read_all(&g, NULL, &whole), OK);
    struct file file;
    assert_int_equal(file_open(sim_env_env(g.sim), PATH, FILE_UPDATE, &file, NULL), OK);
    uint32_t noticed = 0;
    for (uint64_t at = 0; at < info.file_bytes; at++) {
        uint8_t byte, flipped;
        assert_int_equal(file_read_at(&file, &byte, 1, at, NULL), OK);
        flipped = byte ^ (uint8_t)(1u << at % 8);
        assert_int_equal(file_write_at(&file, bytes_of(&flipped, 1), at, NULL), OK);
        enum err e = read_all(&g, NULL, &x);
        noticed += e != OK;
        if (e == OK) assert_int_equal(x.hash, whole.hash);
        if (e && e != ERR_CORRUPT && e != ERR_UNSUPPORTED) fail_msg("byte %u: %d", (unsigned)at, e);
        if (e) assert_non_null(strstr(x.why.text, PATH));
        struct part *part;
        if (part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, NULL) == OK) {
            uint32_t damaged = 0;
            assert_int_equal(part_verify(part, no_damage, &damaged, NULL), OK);
            assert_int_equal(damaged, 1);
            part_unref(part);
        }
        assert_int_equal(file_write_at(&file, bytes_of(&byte, 1), at, NULL), OK);
    }
    assert_true(noticed > info.file_bytes * 9 / 10);
    file_close(&file);
    content_free(&c);
    rig_close(&g);
}

UNIT_TEST(test_a_part_cut_short_is_damaged)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading x;
    rig_open(&g);
    content_make(&c, 6, SMALL);
    write_content(&g, &c, 1, &info);
    struct file file;
    assert_int_equal(file_open(g.env, PATH, FILE_UPDATE, &file, NULL), OK);
    for (uint64_t size = info.file_bytes; size > 0;) {
        size -= 1 + size / 10;
        assert_int_equal(file_truncate(&file, size, NULL), OK);
        assert_int_equal(read_all(&g, NULL, &x), ERR_CORRUPT);
    }
    file_close(&file);
    content_free(&c);
    rig_close(&g);
}

UNIT_TEST(test_a_newer_part_is_not_damage)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading x;
    uint8_t end[64];
    rig_open(&g);
    content_make(&c, 6, SMALL);
    write_content(&g, &c, 1, &info);
    struct file file;
    assert_int_equal(file_open(g.env, PATH, FILE_UPDATE, &file, NULL), OK);
    assert_int_equal(file_read_at(&file, end, sizeof end, 0, NULL), OK);
    store_le16(end + 8, 9);
    store_le64(end + 56, hash_bytes(bytes_of(end, 56), NUMBER));
    assert_int_equal(file_write_at(&file, bytes_of(end, sizeof end), 0, NULL), OK);
    assert_int_equal(read_all(&g, &c, &x),
                     OK); /* min_reader is 1, so this reader accepts version 9 */
    store_le16(end + 10, 7);
    store_le64(end + 56, hash_bytes(bytes_of(end, 56), NUMBER));
    assert_int_equal(file_write_at(&file, bytes_of(end, sizeof end), 0, NULL), OK);
    assert_int_equal(read_all(&g, NULL, &x), ERR_UNSUPPORTED);
    assert_non_null(strstr(x.why.text, "version 9"));
    assert_non_null(strstr(x.why.text, "version 3"));
    file_close(&file);
    assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", 99, &x.part, NULL),
                     ERR_MISSING);
    content_free(&c);
    rig_close(&g);
}

UNIT_TEST(test_a_device_failure_while_writing_is_reported)
{
    static const struct {
        enum fault_kind kind;
        enum err want;
    } faults[] = {{FAULT_EIO, ERR_IO}, {FAULT_ENOSPC, ERR_FULL}, {FAULT_TORN, ERR_IO}};
    struct content c;
    content_make(&c, 6, (struct content_size){2, 30, 2000, 20});
    for (unsigned f = 0; f < 3; f++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct rig g;
            struct part_info info;
            struct reading x;
            struct why why = {""};
            rig_open(&g);
            fault_env_arm(g.fault, (struct fault){faults[f].kind, nth, false});
            enum err e = content_write(&c, g.env, &g.budget, "/parts", NUMBER, 1, &info, &why);
            fired = fault_env_fired(g.fault);
            fault_env_disarm(g.fault);
            assert_int_equal(e, fired ? faults[f].want : OK);
            if (fired) assert_string_not_equal(why.text, "");
            write_content(&g, &c, 1, &info); /* left-over files do not disturb */
            assert_int_equal(read_all(&g, &c, &x), OK);
            rig_close(&g);
        }
    }
    content_free(&c);
}

UNIT_TEST(test_a_finished_part_survives_a_power_loss)
{
    struct content c;
    content_make(&c, 6, SMALL);
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct rig g;
        struct part_info info;
        struct reading x;
        rig_open(&g);
        assert_int_equal(env_syncdir(g.env, "/", NULL), OK);
        write_content(&g, &c, 1, &info);
        sim_env_power_loss(g.sim);
        assert_int_equal(read_all(&g, &c, &x), OK);
        rig_close(&g);
    }
    content_free(&c);
}

UNIT_TEST(test_a_failed_allocation_while_writing_is_reported)
{
    struct content c;
    content_make(&c, 6, (struct content_size){2, 8, 300, 20});
    struct rig g;
    rig_open(&g);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct part_info info;
        struct why why = {""};
        mem_fail_nth(nth, nth % 2 == 0);
        enum err e = content_write(&c, g.env, &g.budget, "/parts", NUMBER, 1, &info, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&g.budget), 0);
        if (!fired) assert_int_equal(e, OK);
        if (e) assert_string_not_equal(why.text, "");
    }
    struct reading x;
    assert_int_equal(read_all(&g, &c, &x), OK);
    rig_close(&g);
    content_free(&c);
}

UNIT_TEST(test_a_failed_allocation_while_reading_is_reported)
{
    struct rig g;
    struct content c;
    struct part_info info;
    struct reading whole, x;
    rig_open(&g);
    content_make(&c, 6, SMALL);
    write_content(&g, &c, 1, &info);
    assert_int_equal(read_all(&g, &c, &whole), OK);
    bool fired = true;
    for (uint64_t nth = 1; fired && nth < 100000; nth++) {
        mem_fail_nth(nth, false);
        x.why.text[0] = 0;
        struct part *part;
        /* The test makes the matchers without failures, as they are not under test. */
        enum err e = part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, &x.why);
        if (e == OK) {
            x = (struct reading){.rig = &g, .part = part};
            for (uint32_t i = 0; i < part_tenant_count(part) && e == OK; i++) {
                const struct part_tenant *t = part_tenant_at(part, i);
                struct arena arena;
                struct part_index index;
                struct row_reader *rows = NULL;
                arena_init(&arena, &g.budget, 0, 16); /* each name is an allocation */
                e = part_index_load(part, t, &arena, &index, &x.why);
                if (e == OK) e = row_reader_new(&index, &g.budget, &rows);
                for (uint32_t j = 0; j < t->series_count && e == OK; j++)
                    e = read_row(&x, rows, t->first_series + j);
                row_reader_free(rows);
                arena_fini(&arena);
                if (e == OK) e = part_exemplars(part, t->first_series, each_exemplar, &x, &x.why);
            }
            part_unref(part);
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e != OK && e != ERR_NOMEM) fail_msg("allocation %u: %s", (unsigned)nth, x.why.text);
        if (e == ERR_NOMEM) assert_true(fired);
    }
    content_free(&c);
    rig_close(&g);
}

UNIT_TEST(test_many_series_make_a_part)
{
    enum { SERIES = 100000 };
    struct rig g;
    struct part_writer *w;
    struct part_info info;
    struct part *part;
    rig_open(&g);
    assert_int_equal(part_writer_new(g.env, &g.budget, "/parts", NUMBER, 0, 1, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    char text[32];
    /* instance: 1000 values, job: 1, series: one each */
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "host-%04u", i);
        struct label l = {bytes_of_text("instance"), bytes_of_text(text)};
        assert_int_equal(part_write_pair(w, l, NULL), OK);
    }
    struct label job = {bytes_of_text("job"), bytes_of_text("node")};
    assert_int_equal(part_write_pair(w, job, NULL), OK);
    for (unsigned i = 0; i < SERIES; i++) {
        snprintf(text, sizeof text, "id-%08u", i);
        struct label l = {bytes_of_text("unique"), bytes_of_text(text)};
        assert_int_equal(part_write_pair(w, l, NULL), OK);
    }
    static int64_t times[8];
    static uint64_t bits[8];
    for (unsigned i = 0; i < SERIES; i++) {
        uint32_t pairs[] = {i / 100, 1000, 1001 + i};
        assert_int_equal(part_write_series(w, pairs, 3, NULL), OK);
        for (unsigned j = 0; j < 8; j++) {
            times[j] = 1700000000000 + 15000 * j + i / 100 % 10;
            bits[j] = double_bits((double)(i + j));
        }
        struct sample_batch b = {SAMPLE_FLOAT, 8, times, bits, NULL, NULL};
        assert_int_equal(part_write_samples(w, &b, NULL), OK);
    }
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(info.series_count, SERIES);
    assert_int_equal(part_open(g.env, &g.budget, g.cache, "/parts", NUMBER, &part, NULL), OK);
    struct arena arena;
    struct part_index index;
    struct matcher *m[2];
    roaring_bitmap_t *set;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(part_index_load(part, part_tenant_at(part, 0), &arena, &index, NULL), OK);
    assert_int_equal(matcher_new(MATCH_EQUAL, bytes_of_text("instance"), bytes_of_text("host-0500"),
                                 NULL, &m[0], NULL),
                     OK);
    assert_int_equal(matcher_new(MATCH_REGEX, bytes_of_text("unique"), bytes_of_text("id-.*7"),
                                 NULL, &m[1], NULL),
                     OK);
    assert_int_equal(part_match(&index, m, 2, &set, NULL), OK);
    assert_int_equal(roaring_bitmap_get_cardinality(set), 10);
    assert_true(roaring_bitmap_contains(set, 50007));
    roaring_bitmap_free(set);
    matcher_free(m[0]);
    matcher_free(m[1]);
    arena_fini(&arena);
    part_unref(part);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_written_comes_back),
        cmocka_unit_test(test_the_summary_counts_what_is_there),
        cmocka_unit_test(test_matchers_find_what_a_scan_finds),
        cmocka_unit_test(test_rows_are_read_in_any_order),
        cmocka_unit_test(test_a_page_never_spans_tenants_and_columns_are_shared),
        cmocka_unit_test(test_huge_items_have_pages_of_their_own),
        cmocka_unit_test(test_a_part_of_nothing_is_a_part),
        cmocka_unit_test(test_no_flipped_byte_goes_unnoticed),
        cmocka_unit_test(test_a_part_cut_short_is_damaged),
        cmocka_unit_test(test_a_newer_part_is_not_damage),
        cmocka_unit_test(test_a_device_failure_while_writing_is_reported),
        cmocka_unit_test(test_a_finished_part_survives_a_power_loss),
        cmocka_unit_test(test_a_failed_allocation_while_writing_is_reported),
        cmocka_unit_test(test_a_failed_allocation_while_reading_is_reported),
        cmocka_unit_test(test_many_series_make_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
