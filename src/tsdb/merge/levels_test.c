/* levels_test.c - which windows a merge rolls up, and what it keeps of them: at exact bounds, of
 * staleness markers, and of windows without corrections. */
#include "lib/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "sys/sim.h"
#include "tsdb/merge/parts.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, STEP_MS = 5 * SECOND_MS };
enum { R_MS = 5 * MINUTE_MS, HOUR_MS = 60 * MINUTE_MS, SAMPLES_MAX = 4096, PARTS_MAX = 8 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct page_cache *cache;
    struct arena arena;
    struct series_rules *rules;
    struct rule_done rolled;
    struct part_merge_level level;
    struct part_merge_options options;
    struct part_merge_input inputs[PARTS_MAX];
    struct part *parts[PARTS_MAX];
    uint32_t part_count;
    uint64_t number; /* of the part that was written last */
    bool histograms;

    /* What is written next. */
    struct rng rng;
    double value;
    uint32_t count;
    int64_t times_ms[SAMPLES_MAX];
    uint64_t bits[SAMPLES_MAX]; /* of histograms the number of observations */

    /* The result of the last merge. */
    uint32_t window_count, sample_count;
    struct rollup windows[SAMPLES_MAX]; /* of histograms only what is compared */
    int64_t left_ms[SAMPLES_MAX];       /* times of samples that were not rolled up */
};

static struct rig *
rig_new(bool histograms)
{
    static const struct series_rule all = {"{}", NULL, 0, 0};
    struct rig *g = calloc(1, sizeof *g);
    assert_non_null(g);
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    arena_init(&g->arena, NULL, 0, 0);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &g->cache), OK);
    assert_int_equal(series_rules_new(&all, 1, NULL, &g->rules, NULL), OK);
    g->level = (struct part_merge_level){R_MS, g->rules, &g->rolled};
    g->options = (struct part_merge_options){
        .env = g->env,
        .parts_dir = "/parts",
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .levels = &g->level,
        .level_count = 1,
        .levels_now_ms = INT64_MAX,
    };
    g->histograms = histograms;
    g->rng.state = 7;
    return g;
}

static void
rig_free(struct rig *g)
{
    for (uint32_t i = 0; i < g->part_count; i++)
        part_unref(g->parts[i]);
    series_rules_unref(g->rules);
    arena_fini(&g->arena);
    page_cache_free(g->cache);
    sim_env_free(g->sim);
    free(g);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
add(struct rig *g, int64_t t_ms, uint64_t bits)
{
    assert_true(g->count < SAMPLES_MAX);
    g->times_ms[g->count] = t_ms;
    g->bits[g->count++] = bits;
}

/* Adds samples of a counter in (from, to], which restarts so often; 0 for never. */
static void
add_counter(struct rig *g, int64_t from_ms, int64_t to_ms, int64_t restart_each_ms)
{
    for (int64_t t_ms = from_ms + STEP_MS; t_ms <= to_ms; t_ms += STEP_MS) {
        g->value += 1 + (double)rng_below(&g->rng, 1000);
        if (restart_each_ms > 0 && t_ms % restart_each_ms == 0) g->value = 1;
        add(g, t_ms, double_bits(g->value));
    }
}

static struct histogram
histogram_of(uint64_t bits)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = bits};
    if (bits != STALE_NAN_BITS) h.count = h.zero_count = (uint64_t)bits_double(bits);
    return h;
}

static struct part_writer *
begin_part(struct rig *g)
{
    struct part_writer *w;
    uint32_t pair = 0;
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    uint64_t number = ++g->number;
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, number, number + 1, &w, NULL),
                     OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, &pair, 1, NULL), OK);
    return w;
}

static void
finish_part(struct rig *g, struct part_writer *w)
{
    struct part_info info;
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    struct part **to = &g->parts[g->part_count++];
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", g->number, to, NULL), OK);
    g->count = 0;
}

/* Writes a part of the samples that were added. */
static void
write_samples(struct rig *g)
{
    static struct histogram histograms[SAMPLES_MAX];
    struct part_writer *w = begin_part(g);
    for (uint32_t i = 0; i < g->count; i++)
        histograms[i] = histogram_of(g->bits[i]);
    struct sample_batch batch = {.count = g->count, .times_ms = g->times_ms};
    batch.kind = g->histograms ? SAMPLE_HISTOGRAM_INT : SAMPLE_FLOAT;
    batch.value_bits = g->bits;
    batch.histograms = histograms;
    assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    finish_part(g, w);
}

/* Joins the samples that were added to windows of R. */
static uint32_t
join_samples(struct rig *g, struct rollup *windows, struct histogram_rollup *of_histograms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        bool is_new = i == 0 || rollup_window_end(g->times_ms[i], R_MS) !=
                                    rollup_window_end(g->times_ms[i - 1], R_MS);
        if (is_new) {
            windows[n] = (struct rollup){.count = 0};
            of_histograms[n++] = (struct histogram_rollup){.count = 0};
        }
        struct rollup one = rollup_of_sample(g->times_ms[i], g->bits[i]);
        rollup_join(&windows[n - 1], &one);
        struct histogram h = histogram_of(g->bits[i]);
        struct histogram_rollup x;
        assert_int_equal(histogram_rollup_of_sample(&g->arena, g->times_ms[i], &h, &x), OK);
        assert_int_equal(histogram_rollup_join(&g->arena, &of_histograms[n - 1], &x), OK);
    }
    return n;
}

/* Writes a part of windows of R, without corrections: so it was written of series of which more
 * than a quarter of the windows had resets. */
static void
write_old_windows(struct rig *g)
{
    static struct rollup windows[SAMPLES_MAX];
    static struct histogram_rollup of_histograms[SAMPLES_MAX];
    uint32_t count = join_samples(g, windows, of_histograms);
    for (uint32_t i = 0; i < count; i++) {
        if (windows[i].resets > 0) windows[i].correction = NAN;
        of_histograms[i].correction_lost = of_histograms[i].correction != NULL;
        of_histograms[i].correction = NULL;
    }
    struct part_writer *w = begin_part(g);
    if (g->histograms)
        assert_int_equal(part_write_histogram_rollups(w, of_histograms, count, R_MS, NULL), OK);
    else
        assert_int_equal(part_write_rollups(w, windows, count, R_MS, NULL), OK);
    finish_part(g, w);
}

/* --- merges ----------------------------------------------------------------------------------- */

static struct rollup
shown(const struct histogram_rollup *h)
{
    struct rollup r = histogram_rollup_times(h);
    r.resets = h->resets;
    if (h->correction != NULL) fhist_settle(h->correction);
    r.correction = h->correction_lost ? NAN : h->correction == NULL ? 0 : h->correction->count;
    return r;
}

static void
read_block(struct rig *g, struct part *part, const struct block_ref *b)
{
    static int64_t times[2 * SAMPLES_MAX];
    static uint64_t bits[2 * SAMPLES_MAX];
    static struct histogram_rollup of_histograms[2 * SAMPLES_MAX];
    uint32_t count;
    if (b->resolution_ms == 0) {
        assert_int_equal(block_read_times(part, b, g->left_ms + g->sample_count, NULL), OK);
        g->sample_count += b->count;
        return;
    }
    assert_int_equal(b->resolution_ms, g->level.resolution_ms);
    struct rollup *to = g->windows + g->window_count;
    if (!g->histograms) {
        assert_int_equal(block_read_rollups(part, b, ROLLUP_WHOLE, times, bits, to, &count, NULL),
                         OK);
        g->window_count += count;
        return;
    }
    assert_int_equal(
        block_read_histogram_rollups(part, b, times, &g->arena, of_histograms, &count, NULL), OK);
    for (uint32_t i = 0; i < count; i++) {
        struct rollup r = shown(&of_histograms[i]);
        struct rollup *before = g->window_count > 0 ? &g->windows[g->window_count - 1] : NULL;
        /* The marker of a window may be in the next block. */
        if (before != NULL && r.count == 0 &&
            rollup_window_end(r.stale_ms, b->resolution_ms) ==
                rollup_window_end(rollup_begin_ms(before), b->resolution_ms)) {
            before->is_stale = true;
            before->stale_ms = r.stale_ms;
            continue;
        }
        g->windows[g->window_count++] = r;
    }
}

/* Merges all parts to one, which is the only one then, and reads it. */
static void
merge(struct rig *g)
{
    struct part_merge *m;
    struct part_info info;
    const struct part_merge_counts *counts;
    const struct block_ref *blocks;
    struct part_index index;
    struct row_reader *rows;
    uint32_t count, bad;
    bool done = false;
    for (uint32_t i = 0; i < g->part_count; i++)
        g->inputs[i] = (struct part_merge_input){.part = g->parts[i]};
    g->options.inputs = g->inputs;
    g->options.input_count = g->part_count;
    g->options.number = ++g->number;
    g->options.to_pos = g->number;
    assert_int_equal(part_merge_new(&g->options, &m, NULL), OK);
    while (!done)
        assert_int_equal(part_merge_step(m, 1000, &done, &bad, NULL), OK);
    assert_int_equal(part_merge_finish(m, &info, &counts, &count, NULL), OK);
    part_merge_free(m);
    for (uint32_t i = 0; i < g->part_count; i++)
        part_unref(g->parts[i]);
    g->part_count = 1;
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", g->number, &g->parts[0], NULL),
                     OK);
    g->window_count = g->sample_count = 0;
    assert_int_equal(
        part_index_load(g->parts[0], part_tenant_at(g->parts[0], 0), &g->arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
    assert_int_equal(row_read(rows, 0, NULL, &blocks, &count, NULL), OK);
    for (uint32_t i = 0; i < count; i++)
        read_block(g, g->parts[0], &blocks[i]);
    row_reader_free(rows);
}

/* --- bounds ----------------------------------------------------------------------------------- */

UNIT_TEST(test_a_window_is_rolled_up_if_all_of_it_is_old_and_here)
{
    enum { END_MS = 8 * R_MS, NEVER = INT32_MIN };
    static const struct {
        int64_t now_ms;            /* samples of this time and before are old enough */
        int64_t from_ms, until_ms; /* the first and the last time of the output */
        int64_t foreign_ms;        /* another part has a sample of this time */
        uint32_t windows;
        int64_t left_ms; /* the first time that is not rolled up; 0: there is none */
    } cases[] = {
        {END_MS, INT64_MIN, INT64_MAX, NEVER, 8, 0},
        {END_MS + 1, INT64_MIN, INT64_MAX, NEVER, 8, 0},
        {END_MS - 1, INT64_MIN, INT64_MAX, NEVER, 7, 7 * R_MS + STEP_MS},
        {7 * R_MS, INT64_MIN, INT64_MAX, NEVER, 7, 7 * R_MS + STEP_MS},
        {R_MS, INT64_MIN, INT64_MAX, NEVER, 1, R_MS + STEP_MS},
        {R_MS - 1, INT64_MIN, INT64_MAX, NEVER, 0, STEP_MS},
        {END_MS, 1, END_MS, NEVER, 8, 0},
        {END_MS, 2, END_MS, NEVER, 7, STEP_MS},
        {END_MS, 1, END_MS - 1, NEVER, 7, 7 * R_MS + STEP_MS},
        {END_MS, INT64_MIN, INT64_MAX, 0, 8, 0},
        {END_MS, INT64_MIN, INT64_MAX, 1, 7, STEP_MS},
        {END_MS, INT64_MIN, INT64_MAX, R_MS, 7, STEP_MS},
        {END_MS, INT64_MIN, INT64_MAX, R_MS + 1, 7, R_MS + STEP_MS},
        {END_MS, INT64_MIN, INT64_MAX, END_MS, 7, 7 * R_MS + STEP_MS},
        {END_MS, INT64_MIN, INT64_MAX, END_MS + 1, 8, 0},
    };
    for (unsigned i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct rig *g = rig_new(i % 2 == 1);
        const struct time_range foreign = {cases[i / 2].foreign_ms, cases[i / 2].foreign_ms};
        add_counter(g, 0, END_MS, 0);
        write_samples(g);
        g->options.levels_now_ms = cases[i / 2].now_ms;
        g->options.window = (struct time_range){cases[i / 2].from_ms, cases[i / 2].until_ms};
        g->options.foreign = &foreign;
        g->options.foreign_count = foreign.min_ms == NEVER ? 0 : 1;
        merge(g);
        assert_int_equal(g->window_count, cases[i / 2].windows);
        assert_int_equal(g->sample_count > 0 ? g->left_ms[0] : 0, cases[i / 2].left_ms);
        rig_free(g);
    }
}

/* --- markers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_window_keeps_the_first_marker_after_its_last_sample)
{
    /* The last samples of a window, S, and staleness markers, M; and the marker that is kept. */
    static const struct {
        const char *text;
        int kept;
    } cases[] = {{"SSSS", -1}, {"SSSM", 3}, {"SSMM", 2}, {"SMMM", 1},
                 {"SMSM", 3},  {"MMSM", 3}, {"MSMM", 2}, {"MMMS", -1}};
    enum { WINDOW_ENDS = 4 };
    for (unsigned i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct rig *g = rig_new(i % 2 == 1);
        add_counter(g, 0, 2 * R_MS, 0);
        uint32_t end = R_MS / STEP_MS;
        for (unsigned k = 0; k < WINDOW_ENDS; k++) {
            uint32_t at = end - WINDOW_ENDS + k;
            if (cases[i / 2].text[k] == 'M') g->bits[at] = STALE_NAN_BITS;
        }
        write_samples(g);
        merge(g);
        assert_int_equal(g->window_count, 2);
        assert_int_equal(g->windows[0].is_stale, cases[i / 2].kept >= 0);
        if (cases[i / 2].kept >= 0) {
            int64_t first_ms = R_MS - (WINDOW_ENDS - 1) * STEP_MS;
            assert_int_equal(g->windows[0].stale_ms, first_ms + cases[i / 2].kept * STEP_MS);
        }
        assert_false(g->windows[1].is_stale);
        rig_free(g);
    }
}

UNIT_TEST(test_of_markers_alone_in_a_window_the_first_is_kept)
{
    for (unsigned i = 0; i < 2; i++) {
        struct rig *g = rig_new(i == 1);
        add_counter(g, 0, R_MS, 0);
        for (int64_t t_ms = R_MS + STEP_MS; t_ms <= R_MS + 3 * STEP_MS; t_ms += STEP_MS)
            add(g, t_ms, STALE_NAN_BITS);
        add_counter(g, 2 * R_MS, 3 * R_MS, 0);
        write_samples(g);
        merge(g);
        assert_int_equal(g->window_count, 3);
        assert_int_equal(g->windows[1].count, 0);
        assert_true(g->windows[1].is_stale);
        assert_int_equal(g->windows[1].stale_ms, R_MS + STEP_MS);
        rig_free(g);
    }
}

/* --- corrections ------------------------------------------------------------------------------ */

/* Returns the sum of the values before resets in (from, to] of the samples that were added. */
static double
correction_of(const struct rig *g, int64_t from_ms, int64_t to_ms)
{
    double sum = 0;
    for (uint32_t i = 1; i < g->count; i++) {
        double before = bits_double(g->bits[i - 1]), now = bits_double(g->bits[i]);
        if (g->times_ms[i - 1] > from_ms && g->times_ms[i] <= to_ms && now < before) sum += before;
    }
    return sum;
}

UNIT_TEST(test_windows_of_a_counter_keep_corrections_however_often_it_restarts)
{
    static const int64_t restart_each_ms[] = {R_MS / 10, R_MS / 2, R_MS - STEP_MS, 2 * R_MS};
    for (unsigned i = 0; i < 2 * sizeof restart_each_ms / sizeof *restart_each_ms; i++) {
        struct rig *g = rig_new(i % 2 == 1);
        double expected[4];
        g->level.resolution_ms = HOUR_MS;
        add_counter(g, 0, 4 * HOUR_MS, restart_each_ms[i / 2]);
        for (unsigned hour = 0; hour < 4; hour++)
            expected[hour] = correction_of(g, hour * HOUR_MS, (hour + 1) * HOUR_MS);
        write_samples(g);
        merge(g);
        assert_int_equal(g->window_count, 4);
        for (unsigned hour = 0; hour < 4; hour++) {
            assert_true(g->windows[hour].resets > 0);
            assert_true(g->windows[hour].correction == expected[hour]);
        }
        rig_free(g);
    }
}

UNIT_TEST(test_windows_without_corrections_stay_so_through_merges)
{
    static const bool lost[] = {false, true, true, false};
    for (unsigned i = 0; i < 2; i++) {
        struct rig *g = rig_new(i == 1);
        /* Windows of 5 m without restarts for an hour, with them for an hour and a half; samples
         * for an hour and a half. */
        add_counter(g, 0, HOUR_MS, 0);
        add_counter(g, HOUR_MS, 5 * HOUR_MS / 2, 2 * MINUTE_MS);
        write_old_windows(g);
        add_counter(g, 5 * HOUR_MS / 2, 4 * HOUR_MS, 10 * MINUTE_MS);
        double last = correction_of(g, 3 * HOUR_MS, 4 * HOUR_MS);
        write_samples(g);
        merge(g); /* at the resolution of the old ones */
        assert_int_equal(g->window_count, 4 * HOUR_MS / R_MS);
        for (uint32_t k = 0; k < g->window_count; k++) {
            bool is_old = g->windows[k].last_ms <= 5 * HOUR_MS / 2;
            assert_int_equal(isnan(g->windows[k].correction), is_old && g->windows[k].resets > 0);
        }
        g->level.resolution_ms = HOUR_MS;
        merge(g);
        assert_int_equal(g->window_count, 4);
        for (unsigned hour = 0; hour < 4; hour++) {
            assert_int_equal(isnan(g->windows[hour].correction), lost[hour]);
            assert_int_equal(g->windows[hour].resets > 0, hour > 0);
        }
        assert_true(g->windows[0].correction == 0);
        assert_true(g->windows[3].correction == last);
        g->level.resolution_ms = 2 * HOUR_MS;
        merge(g);
        assert_int_equal(g->window_count, 2);
        assert_true(isnan(g->windows[0].correction) && isnan(g->windows[1].correction));
        rig_free(g);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_window_is_rolled_up_if_all_of_it_is_old_and_here),
        cmocka_unit_test(test_a_window_keeps_the_first_marker_after_its_last_sample),
        cmocka_unit_test(test_of_markers_alone_in_a_window_the_first_is_kept),
        cmocka_unit_test(test_windows_of_a_counter_keep_corrections_however_often_it_restarts),
        cmocka_unit_test(test_windows_without_corrections_stay_so_through_merges),
    };
    return cmocka_run_group_tests_name("tsdb/merge/levels", tests, NULL, NULL);
}
