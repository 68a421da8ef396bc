/* parts_test.c - merges have the same result as a model, over windows, with deletions
 * and expiry. */
#include "lib/tsdb/part_merge.h"

static struct merge_world_shape
shape_of(uint64_t seed)
{
    static const struct merge_world_shape shapes[] = {
        {2, 2, 6, 60, false},  {3, 1, 20, 30, false}, {8, 3, 4, 20, false}, {2, 12, 3, 9, false},
        {4, 1, 3, 700, false}, {1, 4, 9, 40, false},  {5, 40, 2, 5, false}, {3, 1, 2, 9000, true},
    };
    return shapes[seed % (sizeof shapes / sizeof shapes[0])];
}

/* --- results ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_merge_gives_what_the_model_gives)
{
    for (uint64_t seed = 0; seed < 160; seed++) {
        struct merge_world w;
        merge_world_init(&w, seed, shape_of(seed));
        struct part_merge_options o = merge_world_options(&w);
        o.with_metadata = rng_below(&w.r, 4) > 0;
        o.level = (int)rng_below(&w.r, 3);
        merge_world_merge_and_check(&w, &o, 1 + rng_below(&w.r, 100));
        o.window = merge_world_range(&w);
        merge_world_merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        if (rng_below(&w.r, 2) == 0) o.window = (struct time_range){INT64_MIN, INT64_MAX};
        merge_world_delete(&w);
        const struct part_deletion *first = &w.deletions[0][0];
        if (first->series != NULL && rng_below(&w.r, 2) == 0) /* they touch */
            o.window = (struct time_range){first->range.max_ms, INT64_MAX};
        merge_world_merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        o.expired_before_ms = merge_world_time(&w);
        merge_world_merge_and_check(&w, &o, 1 + rng_below(&w.r, 10000));
        merge_world_fini(&w);
    }
}

/* Returns the windows [MIN, cut), [cut, cut), ... [cut, MAX]. */
static uint32_t
merge_world_windows(struct merge_world *w, struct time_range *windows, uint32_t most)
{
    uint32_t count = 0;
    int64_t from = INT64_MIN;
    while (count + 1 < most) {
        int64_t cut = from == INT64_MIN ? merge_world_time(w)
                                        : from + 1 + (merge_world_time(w) - BASE_MS) / 3;
        windows[count++] = (struct time_range){from, cut - 1};
        from = cut;
    }
    windows[count++] = (struct time_range){from, INT64_MAX};
    return count;
}

UNIT_TEST(test_windows_share_out_every_sample_and_merge_to_the_whole)
{
    for (uint64_t seed = 1000; seed < 1048; seed++) {
        struct merge_world w;
        struct merge_model whole;
        struct time_range windows[5];
        struct part *parts[5] = {NULL};
        struct part_merge_input inputs[5] = {0};
        uint64_t counted[LEDGER_KIND_COUNT] = {0}, given[LEDGER_KIND_COUNT] = {0};
        uint32_t made = 0;
        merge_world_init(&w, seed, shape_of(seed));
        if (seed % 2 == 0) merge_world_delete(&w);
        struct part_merge_options o = merge_world_options(&w);
        if (seed % 4 == 0) o.expired_before_ms = merge_world_time(&w);
        uint32_t count = merge_world_windows(&w, windows, 5);
        merge_model_init(&whole, &w, &o);
        for (uint32_t i = 0; i < count; i++) {
            o.window = windows[i];
            o.number = OUTPUT + i;
            struct merge_outcome x = merge_world_merge_and_check(&w, &o, 5000);
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
                counted[k] += x.counted[k];
            if (x.info.number == 0) continue;
            assert_int_equal(
                part_open(w.env, &w.cache_budget, w.cache, "/parts", o.number, &parts[made], NULL),
                OK);
            inputs[made].part = parts[made];
            made++;
        }
        for (uint32_t i = 0; i < w.shape.inputs; i++)
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
                given[k] += part_info(w.parts[i])->sample_count[k];
        assert_memory_equal(counted, given, sizeof given);
        o = merge_world_options(&w);
        o.inputs = inputs;
        o.input_count = made;
        struct merge_outcome x = merge_world_merge(&o, 5000, NULL);
        assert_int_equal(x.e, OK);
        if (made > 0) check_part(&w, OUTPUT, &whole.want);
        for (uint32_t i = 0; i < made; i++)
            part_unref(parts[i]);
        merge_model_fini(&whole);
        merge_world_fini(&w);
    }
}

/* --- steps and costs -------------------------------------------------------------------------- */

/* Reads the blocks of a series. */
struct blocks {
    struct part *part;
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *at;
    uint32_t count;
};

static void
blocks_open(struct merge_world *w, struct blocks *b, uint64_t number, uint32_t tenant)
{
    arena_init(&b->arena, NULL, 0, 0);
    assert_int_equal(
        part_open(w->env, &w->cache_budget, w->cache, "/parts", number, &b->part, NULL), OK);
    assert_int_equal(
        part_index_load(b->part, part_tenant_at(b->part, tenant), &b->arena, &b->index, NULL), OK);
    assert_int_equal(row_reader_new(&b->index, NULL, &b->rows), OK);
}

static void
blocks_read(struct blocks *b, uint32_t series)
{
    assert_int_equal(row_read(b->rows, series, NULL, &b->at, &b->count, NULL), OK);
}

static void
blocks_close(struct blocks *b)
{
    row_reader_free(b->rows);
    arena_fini(&b->arena);
    part_unref(b->part);
}

static void
assert_same_block(struct part *p, const struct block_ref *a, struct part *q,
                  const struct block_ref *b)
{
    struct block_bytes x, y;
    assert_int_equal(block_hold(p, a, &x, NULL), OK);
    assert_int_equal(block_hold(q, b, &y, NULL), OK);
    assert_true(bytes_equal(x.times, y.times));
    assert_true(bytes_equal(x.values, y.values));
    assert_true(bytes_equal(x.third, y.third));
    block_release(p, &x);
    block_release(q, &y);
}

UNIT_TEST(test_a_part_merged_alone_stays_as_it_is)
{
    for (uint64_t seed = 2000; seed < 2016; seed++) {
        struct merge_world w;
        struct merge_world_shape shape = shape_of(seed);
        struct blocks a, b;
        shape.inputs = 1;
        merge_world_init(&w, seed, shape);
        struct part_merge_options o = merge_world_options(&w);
        struct merge_outcome x = merge_world_merge_and_check(&w, &o, 1000);
        if (x.info.number == 0) { /* the merge had no content */
            merge_world_fini(&w);
            continue;
        }
        const struct part_info *info = part_info(w.parts[0]);
        assert_int_equal(x.info.block_count, info->block_count);
        assert_int_equal(x.info.time.min_ms, info->time.min_ms);
        assert_int_equal(x.info.time.max_ms, info->time.max_ms);
        assert_memory_equal(x.info.sample_count, info->sample_count,
                            LEDGER_EXEMPLAR * sizeof info->sample_count[0]);
        assert_in_range(x.info.file_bytes, info->file_bytes * 98 / 100,
                        info->file_bytes * 102 / 100 + 16);
        for (uint32_t t = 0; t < part_tenant_count(w.parts[0]); t++) {
            blocks_open(&w, &a, 1, t);
            blocks_open(&w, &b, OUTPUT, t);
            for (uint32_t i = 0; i < a.index.tenant->series_count; i++) {
                blocks_read(&a, a.index.tenant->first_series + i);
                blocks_read(&b, a.index.tenant->first_series + i);
                assert_int_equal(a.count, b.count);
                for (uint32_t n = 0; n < a.count; n++)
                    assert_same_block(a.part, &a.at[n], b.part, &b.at[n]);
            }
            blocks_close(&a);
            blocks_close(&b);
        }
        merge_world_fini(&w);
    }
}

/* A world of one tenant, whose series are "a", "b", ...; input `i` has the samples first..end of
 * series `s` given by ranges[i][s]. */
struct samples_of {
    uint32_t first;
    uint32_t end;
};

static void
merge_world_of_ranges(struct merge_world *w, uint32_t inputs, uint32_t series,
                      const struct samples_of *ranges)
{
    merge_world_machine(w, 1);
    w->shape = (struct merge_world_shape){inputs, 1, series, 0, true};
    for (uint32_t i = 0; i < inputs; i++) {
        struct content *c = &w->contents[i];
        arena_init(&c->arena, NULL, 0, 0);
        struct content_tenant *t = c->tenants = arena_new(&c->arena, sizeof *c->tenants);
        c->tenant_count = 1;
        t->name = bytes_of_text("tenant-00000");
        t->series = arena_new(&c->arena, series * sizeof *t->series);
        for (uint32_t n = 0; n < series; n++) {
            struct samples_of range = ranges[i * series + n];
            char text[2] = {(char)('a' + n), 0};
            struct buf labels;
            if (range.first == range.end) continue;
            struct content_series *s = &t->series[t->series_count++];
            buf_init(&labels, NULL, 1 << 20);
            labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(text)});
            s->labels = arena_copy(&c->arena, buf_bytes(&labels));
            buf_fini(&labels);
            s->samples = arena_new(&c->arena, (range.end - range.first) * sizeof *s->samples);
            for (uint32_t k = range.first; k < range.end; k++) {
                struct content_sample *x = &s->samples[s->sample_count++];
                x->t_ms = BASE_MS + (int64_t)k * STEP_MS;
                x->bits = double_bits((double)(k * n % 1000));
            }
        }
        content_pairs(c, t);
        merge_world_write(w, i);
    }
}

UNIT_TEST(test_large_blocks_are_copied_and_small_ones_joined)
{
    static const struct samples_of ranges[] = {
        /* a and c whole; b by halves; d overlaps; e: small before large */
        {0, 5000},      {0, 2500},    {0, 5000}, {0, 10}, {0, 100},
        {5000, 10000},  {2500, 5000}, {0, 0},    {0, 0},  {100, 5100},
        {10000, 10040}, {0, 0},       {0, 0},    {0, 0},  {0, 0},
        {10040, 10080}, {0, 0},       {0, 0},    {5, 20}, {0, 0},
    };
    struct merge_world w;
    struct blocks from, to;
    struct page_place times;
    merge_world_of_ranges(&w, 4, 5, ranges);
    struct part_merge_options o = merge_world_options(&w);
    merge_world_merge_and_check(&w, &o, 1000);
    blocks_open(&w, &from, 1, 0);
    blocks_open(&w, &to, OUTPUT, 0);
    blocks_read(&from, 0);
    blocks_read(&to, 0);
    assert_int_equal(to.count, 3);
    assert_int_equal(to.at[0].count, 5000);
    assert_int_equal(to.at[1].count, 5000);
    assert_int_equal(to.at[2].count, 80);
    assert_same_block(from.part, &from.at[0], to.part, &to.at[0]);
    times = to.at[0].times;
    for (uint32_t n = 1; n < 3; n++) { /* b was encoded, c copied: both share the column of a */
        blocks_read(&to, n);
        assert_int_equal(to.count, 1);
        assert_int_equal(to.at[0].count, 5000);
        assert_memory_equal(&to.at[0].times, &times, sizeof times);
    }
    blocks_read(&to, 3);
    assert_int_equal(to.count, 1);
    assert_int_equal(to.at[0].count, 20);
    blocks_read(&to, 4);
    assert_int_equal(to.count, 2);
    assert_int_equal(to.at[1].count, 5000);
    blocks_close(&from);
    blocks_close(&to);
    merge_world_fini(&w);
}

static uint64_t
peak_of_long_series(uint32_t samples)
{
    const struct samples_of ranges[] = {{0, samples * 2 / 3}, {samples / 3, samples}};
    struct merge_world w;
    merge_world_of_ranges(&w, 2, 1, ranges);
    struct part_merge_options o = merge_world_options(&w);
    atomic_store(&w.budget.peak_bytes, 0);
    struct merge_outcome x = merge_world_merge(&o, 10000, NULL);
    assert_int_equal(x.e, OK);
    assert_int_equal(x.counted[LEDGER_FLOAT], samples / 3 * 4);
    assert_int_equal(x.info.sample_count[LEDGER_FLOAT], samples);
    assert_true(x.steps > samples / (10000 + CODEC_SAMPLES_MAX));
    uint64_t peak = atomic_load(&w.budget.peak_bytes);
    merge_world_fini(&w);
    return peak;
}

UNIT_TEST(test_memory_and_steps_do_not_grow_with_the_samples)
{
    uint64_t small = peak_of_long_series(60000), large = peak_of_long_series(300000);
    assert_true(large < small + 64 * 1024);
}

UNIT_TEST(test_many_tenants_cost_what_they_hold)
{
    struct merge_world w;
    merge_world_init(&w, 77, (struct merge_world_shape){3, 3000, 2, 3, true});
    struct part_merge_options o = merge_world_options(&w);
    atomic_store(&w.budget.peak_bytes, 0);
    merge_world_merge_and_check(&w, &o, 1000);
    o.window.min_ms = BASE_MS + STEP_MS;
    merge_world_merge_and_check(&w, &o, 1000);
    assert_true(atomic_load(&w.budget.peak_bytes) < 4 << 20);
    merge_world_fini(&w);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Returns the peak memory of a merge of existing parts, in percent of the limit it promises. */
static unsigned
memory_percent(struct merge_world *w, struct part_merge_options *o)
{
    enum { WRITER_BYTES = 2 << 20 };
    struct part_merge_input inputs[INPUTS_MAX];
    struct page_cache *cache;
    uint64_t promised = part_merge_memory_base(WRITER_BYTES);
    bool has_rollups = o->level_count > 0, has_histograms = false;
    struct why why = {""};
    struct part_merge_options options = *o;
    assert_int_equal(page_cache_new(&w->budget, 1, &cache), OK);
    assert_int_equal(budget_used(&w->budget), 0);
    atomic_store(&w->budget.peak_bytes, 0);
    for (uint32_t i = 0; i < o->input_count; i++) {
        inputs[i] = o->inputs[i];
        uint64_t number = part_info(o->inputs[i].part)->number;
        enum err e = part_open(w->env, &w->budget, cache, "/parts", number, &inputs[i].part, &why);
        if (e) fail_msg("%s", why.text);
        const struct part_info *own = part_info(inputs[i].part);
        promised += part_merge_memory(inputs[i].part);
        has_rollups |= own->rollup_rows > 0;
        has_histograms |= own->sample_count[LEDGER_HISTOGRAM] + own->histogram_rollup_rows > 0;
    }
    if (has_rollups) promised += part_merge_memory_levels(has_histograms);
    options.inputs = inputs;
    options.writer_bytes = WRITER_BYTES;
    struct part_merge *m;
    bool done = false;
    uint32_t input, count;
    struct part_info info;
    const struct part_merge_counts *counts;
    assert_int_equal(part_merge_new(&options, &m, &why), OK);
    while (!done)
        assert_int_equal(part_merge_step(m, 1 << 20, &done, &input, &why), OK);
    assert_int_equal(part_merge_finish(m, &info, &counts, &count, &why), OK);
    part_merge_free(m);
    for (uint32_t i = 0; i < o->input_count; i++)
        part_unref(inputs[i].part);
    page_cache_free(cache);
    uint64_t peak = atomic_load(&w->budget.peak_bytes);
    if (peak > promised)
        fail_msg("seed %llu: %llu bytes, promised %llu", (unsigned long long)w->seed,
                 (unsigned long long)peak, (unsigned long long)promised);
    return (unsigned)(peak * 100 / promised);
}

UNIT_TEST(test_random_merges_take_no_more_memory_than_is_promised)
{
    unsigned most = 0;
    for (uint64_t seed = 7000; seed < 7080; seed++) {
        struct merge_world w;
        merge_world_init(&w, seed, shape_of(seed));
        struct part_merge_options o = merge_world_options(&w);
        o.level = (int)rng_below(&w.r, 4);
        if (rng_below(&w.r, 2) == 0) o.window = merge_world_range(&w);
        if (rng_below(&w.r, 2) == 0) merge_world_delete(&w);
        unsigned percent = memory_percent(&w, &o);
        if (percent > most) most = percent;
        merge_world_fini(&w);
    }
    print_message("at most %u %%\n", most);
}

/* Makes a sample a histogram with buckets that say little about the next one's. */
static void
become_histogram(struct merge_world *w, struct arena *arena, struct content_sample *x)
{
    enum { BUCKETS = 60 };
    static const struct hist_span spans[] = {{-5, BUCKETS}};
    int64_t *deltas = arena_alloc(arena, BUCKETS * sizeof *deltas), before = 0;
    assert_non_null(deltas);
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = rng_next(&w->r) >> 2};
    for (uint32_t i = 0; i < BUCKETS; i++) {
        int64_t count = (int64_t)rng_below(&w->r, 100000);
        deltas[i] = count - before;
        before = count;
        h.count += (uint64_t)count;
    }
    h.positive = (struct hist_buckets){
        .spans = spans, .span_count = 1, .deltas = deltas, .bucket_count = BUCKETS};
    x->kind = h.kind;
    x->histogram = h;
}

static void
expect_memory_of_levels(bool histograms)
{
    const struct samples_of ranges[] = {{0, 40000}, {20000, 60000}};
    const struct series_rule all = {"{}", NULL, 0, 0};
    const int64_t resolutions_ms[] = {300000, 3600000};
    struct merge_world w;
    struct series_rules *rules;
    struct part_merge_level level;
    struct rule_done rolled = {.windows = 0};
    struct part *fine;
    merge_world_of_ranges(&w, 2, 1, ranges);
    for (uint32_t i = 0; i < 2; i++) {
        struct content_series *s = &w.contents[i].tenants[0].series[0];
        for (uint32_t k = 0; k < s->sample_count; k++) {
            s->samples[k].bits = rng_next(&w.r) >> 2;
            if (histograms) become_histogram(&w, &w.contents[i].arena, &s->samples[k]);
        }
        part_unref(w.parts[i]);
        merge_world_write(&w, i);
    }
    struct part_merge_options o = merge_world_options(&w);
    assert_int_equal(series_rules_new(&all, 1, NULL, &rules, NULL), OK);
    o.levels = &level;
    o.level_count = 1;
    o.levels_now_ms = BASE_MS + 1000000LL * STEP_MS;
    level = (struct part_merge_level){resolutions_ms[0], rules, &rolled};
    unsigned samples = memory_percent(&w, &o);
    assert_int_equal(part_open(w.env, &w.cache_budget, w.cache, "/parts", OUTPUT, &fine, NULL), OK);
    assert_true(part_info(fine)->rollup_rows > 0);
    const struct part_merge_input one = {.part = fine};
    o.inputs = &one;
    o.input_count = 1;
    o.number = OUTPUT + 1;
    level.resolution_ms = resolutions_ms[1];
    unsigned windows = memory_percent(&w, &o);
    o.level_count = 0;
    o.number = OUTPUT + 2;
    print_message("%u %%, %u %%, %u %% without a level\n", samples, windows,
                  memory_percent(&w, &o));
    part_unref(fine);
    series_rules_unref(rules);
    merge_world_fini(&w);
}

UNIT_TEST(test_merges_that_roll_up_take_no_more_memory_than_is_promised)
{
    expect_memory_of_levels(false);
}

UNIT_TEST(test_merges_that_roll_up_histograms_take_no_more_memory)
{
    expect_memory_of_levels(true);
}

/*
 * Writes series that each have an id, another one in each input (every other id, or in no order),
 * and one of two methods, which makes the longest possible lists.
 */
static void
write_ids(struct merge_world *w, uint32_t input, uint32_t rows)
{
    static const char *const names[] = {"__name__", "id", "method"};
    struct part_writer *writer;
    struct part_info info;
    uint32_t counts[] = {1, rows, 2};
    assert_int_equal(
        part_writer_new(w->env, &w->budget, "/parts", input + 1, input, input + 1, &writer, NULL),
        OK);
    assert_int_equal(part_write_tenant(writer, bytes_of_text("anonymous"), NULL), OK);
    for (unsigned n = 0; n < 3; n++) {
        for (uint32_t i = 0; i < counts[n]; i++) {
            char value[40];
            snprintf(value, sizeof value, "%08x-%u", i, n == 1 ? input : 0);
            struct label label = {bytes_of_text(names[n]), bytes_of_text(value)};
            assert_int_equal(part_write_pair(writer, label, NULL), OK);
        }
    }
    for (uint32_t i = 0; i < rows; i++) {
        int64_t t_ms = BASE_MS + input;
        uint64_t bits = 0;
        uint32_t method = input % 2 == 0 ? i % 2 : (uint32_t)rng_below(&w->r, 2);
        uint32_t pairs[] = {0, 1 + i, 1 + rows + method};
        struct sample_batch b = {.count = 1, .times_ms = &t_ms, .value_bits = &bits};
        assert_int_equal(part_write_series(writer, pairs, 3, NULL), OK);
        assert_int_equal(part_write_samples(writer, &b, NULL), OK);
    }
    assert_int_equal(part_writer_finish(writer, &info, NULL), OK);
    part_writer_free(writer);
    assert_int_equal(
        part_open(w->env, &w->cache_budget, w->cache, "/parts", input + 1, &w->parts[input], NULL),
        OK);
    w->inputs[input] = (struct part_merge_input){.part = w->parts[input]};
}

UNIT_TEST(test_merges_of_many_pairs_take_no_more_memory_than_is_promised)
{
    for (uint32_t inputs = 1; inputs <= INPUTS_MAX; inputs *= 2) {
        struct merge_world w;
        merge_world_machine(&w, 8000 + inputs);
        w.shape = (struct merge_world_shape){.inputs = inputs, .samples = 1};
        for (uint32_t i = 0; i < inputs; i++)
            write_ids(&w, i, 1000 * 1000 / inputs);
        struct part_merge_options o = merge_world_options(&w);
        print_message("%u inputs: %u %%\n", inputs, memory_percent(&w, &o));
        merge_world_delete(&w); /* with a deletion that must check each series */
        o.number++;
        print_message("%u inputs, half deleted: %u %%\n", inputs, memory_percent(&w, &o));
        merge_world_fini(&w);
    }
}

UNIT_TEST(test_merges_of_many_tenants_take_no_more_memory_than_is_promised)
{
    struct merge_world w;
    merge_world_init(&w, 9000, (struct merge_world_shape){4, 4000, 3, 2, true});
    struct part_merge_options o = merge_world_options(&w);
    print_message("%u %%\n", memory_percent(&w, &o));
    merge_world_fini(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_merge_gives_what_the_model_gives, merge_world_print_seed),
        cmocka_unit_test_teardown(test_windows_share_out_every_sample_and_merge_to_the_whole,
                                  merge_world_print_seed),
        cmocka_unit_test_teardown(test_a_part_merged_alone_stays_as_it_is, merge_world_print_seed),
        cmocka_unit_test(test_large_blocks_are_copied_and_small_ones_joined),
        cmocka_unit_test(test_memory_and_steps_do_not_grow_with_the_samples),
        cmocka_unit_test(test_many_tenants_cost_what_they_hold),
        cmocka_unit_test(test_random_merges_take_no_more_memory_than_is_promised),
        cmocka_unit_test(test_merges_that_roll_up_take_no_more_memory_than_is_promised),
        cmocka_unit_test(test_merges_that_roll_up_histograms_take_no_more_memory),
        cmocka_unit_test(test_merges_of_many_pairs_take_no_more_memory_than_is_promised),
        cmocka_unit_test(test_merges_of_many_tenants_take_no_more_memory_than_is_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
