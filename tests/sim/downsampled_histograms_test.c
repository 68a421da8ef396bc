/* downsampled_histograms_test.c - answers over downsampled native histograms against those over the
 * histograms themselves. */
#include "lib/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/label_text.h"
#include "lib/promql/answer.h"
#include "lib/random.h"
#include "lib/seeds.h"
#include "lib/views/rolled_view.h"
#include "model/histogram.h"
#include "views/memory_store.h"
#include "views/replica_merge.h"
#include "views/stack.h"

enum { SERIES = ANSWER_SERIES, HOUR_MS = ROLLED_COARSE_MS, MINUTE_MS = 60000 };
enum { HOURS = 8, ROUNDS = 40 };
#define BASE_MS (400000 * (int64_t)HOUR_MS)

struct world {
    struct memory_store *store;
    struct rolled_levels levels;
    struct rng rng;
    struct arena arena;
    int64_t last_ms[SERIES];  /* time of the last sample that is no marker */
    bool is_calm;             /* the layout of a series stays; it has histograms alone */
    bool has_gauges;          /* of calm series some are gauges, */
    uint32_t restarts_one_in; /* and all begin again so often */
    uint64_t compared;        /* number of values over raw samples */
};

/* --- series ----------------------------------------------------------------------------------- */

static struct histogram
valid_histogram(struct world *w, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(&w->rng, &w->arena, kind);
    } while (histogram_check(&h, NULL));
    return h;
}

/* A counter without observations, in the layout of another. */
static struct histogram
reset_histogram(struct world *w, const struct histogram *from)
{
    struct histogram h = *from;
    uint32_t count = h.positive.bucket_count + h.negative.bucket_count + 1;
    void *zeros = arena_new(&w->arena, count * sizeof(uint64_t));
    bool is_int = h.kind == SAMPLE_HISTOGRAM_INT;
    h.positive.deltas = h.negative.deltas = is_int ? zeros : NULL;
    h.positive.counts = h.negative.counts = is_int ? NULL : zeros;
    h.count = h.zero_count = 0;
    h.sum_bits = 0;
    return h;
}

static struct histogram
next_histogram(struct world *w, const struct histogram *before)
{
    struct histogram h;
    bool resets = w->is_calm && (before->reset_hint != RESET_GAUGE || w->restarts_one_in != 40);
    if (resets && rng_below(&w->rng, w->restarts_one_in) == 0) {
        h = reset_histogram(w, before);
    } else {
        h = w->is_calm || rng_below(&w->rng, 2) == 0
                ? random_grown(&w->rng, &w->arena, before)
                : random_next_histogram(&w->rng, &w->arena, before);
        if (h.sum_bits == STALE_NAN_BITS) return h;
        h.sum_bits = double_bits((double)rng_below(&w->rng, 8000) / 8);
    }
    return histogram_check(&h, NULL) ? valid_histogram(w, before->kind) : h;
}

static void
add(struct world *w, struct bytes labels, int64_t t_ms, const struct histogram *h, uint64_t bits)
{
    enum memory_verdict verdict;
    struct memory_sample x = {t_ms, bits, h};
    assert_int_equal(memory_store_add(w->store, labels, &x, &verdict, NULL), OK);
}

/* Adds a series with gaps, staleness markers, resets, and irregular times; unless it is calm, also
 * with other layouts, kinds and schemas, and with floats among the histograms. */
static void
add_series(struct world *w, unsigned i)
{
    struct rng *rng = &w->rng;
    char text[64];
    snprintf(text, sizeof text, "__name__=m i=%u", i);
    struct bytes labels = labels_of_text(text, &w->arena);
    bool is_gauge = rng_below(rng, 4) == 0 && w->has_gauges,
         has_floats = !w->is_calm && rng_below(rng, 3) == 0;
    enum sample_kind kind = i % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    struct histogram h = valid_histogram(w, kind);
    int64_t every_ms = 30000 << rng_below(rng, 3), jitter_ms = rng_below(rng, 2) == 0 ? 1 : 9000;
    int64_t t_ms = BASE_MS + (int64_t)rng_below(rng, 2) * (int64_t)rng_below(rng, 3 * HOUR_MS);
    int64_t end_ms = BASE_MS + HOURS * (int64_t)HOUR_MS;
    if (rng_below(rng, 2) == 0) end_ms -= (int64_t)rng_below(rng, 4 * HOUR_MS);
    h.sum_bits = 0;
    w->last_ms[i] = INT64_MIN;
    for (bool is_float = false; t_ms <= end_ms;) {
        if (has_floats && rng_below(rng, 60) == 0) is_float = !is_float;
        if (!w->is_calm && rng_below(rng, 200) == 0) {
            kind = kind == SAMPLE_HISTOGRAM_INT ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT;
            h = valid_histogram(w, kind);
            h.sum_bits = 0;
        }
        h.reset_hint = is_gauge ? RESET_GAUGE : h.reset_hint;
        struct histogram stale = stale_histogram(kind);
        bool ends = rng_below(rng, 60) == 0, is_stale = ends || h.sum_bits == STALE_NAN_BITS;
        if (is_float)
            add(w, labels, t_ms, NULL, ends ? STALE_NAN_BITS : double_bits((double)(t_ms % 100)));
        else
            add(w, labels, t_ms, ends ? &stale : &h, 0);
        if (is_float ? !ends : !is_stale) w->last_ms[i] = t_ms;
        h = next_histogram(w, &h);
        t_ms += every_ms + (int64_t)rng_below(rng, (uint64_t)jitter_ms);
        if (rng_below(rng, 80) == 0) t_ms += (int64_t)rng_below(rng, 2 * HOUR_MS);
        if (rng_below(rng, 20) == 0) t_ms = rollup_window_end(t_ms, ROLLED_FINE_MS);
    }
    struct histogram stale = stale_histogram(kind);
    if (rng_below(rng, 3) == 0) add(w, labels, t_ms, &stale, 0);
}

static struct world
world_of(uint64_t seed, bool is_calm, bool has_gauges, uint32_t restarts_one_in)
{
    struct world w = {.rng = {seed},
                      .is_calm = is_calm,
                      .has_gauges = has_gauges,
                      .restarts_one_in = restarts_one_in};
    arena_init(&w.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &w.store), OK);
    for (unsigned i = 0; i < SERIES; i++)
        add_series(&w, i);
    w.levels = (struct rolled_levels){
        .seed = seed,
        .coarse_until_ms = BASE_MS + (int64_t)rng_below(&w.rng, HOURS * (uint64_t)HOUR_MS),
        .keeps_correction = true,
    };
    w.levels.fine_until_ms =
        w.levels.coarse_until_ms + (int64_t)rng_below(&w.rng, 4 * (uint64_t)HOUR_MS);
    return w;
}

static struct world
world_new(uint64_t seed, bool is_calm)
{
    return world_of(seed, is_calm, true, 40);
}

static void
world_free(struct world *w)
{
    memory_store_free(w->store);
    arena_fini(&w->arena);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct answer
ask(struct world *w, bool rolled, const char *text, const struct promql_options *options)
{
    struct view *view;
    struct why why;
    assert_int_equal(memory_store_open(w->store, NULL, &view, &why), OK);
    if (rolled) view = rolled_view_new(view, &w->levels);
    return answer_over(view, text, options);
}

static struct promql_options
options_over(int64_t first_ms, int64_t step_ms)
{
    int64_t last_ms = BASE_MS + (HOURS + 2) * (int64_t)HOUR_MS;
    return (struct promql_options){
        .tenant = bytes_of_text("a"),
        .first_ms = first_ms,
        .last_ms = step_ms == 0 ? first_ms : last_ms,
        .step_ms = step_ms,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
    };
}

/* True if an info says that samples are downsampled. */
static bool
has_info(struct answer *a)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    for (uint32_t i = 0; promql_note(a->result, PROMQL_INFO, i, &text); i++) {
    }
    buf_put_u8(&text, 0);
    bool has = strstr((const char *)text.at, "downsampled") != NULL;
    buf_fini(&text);
    return has;
}

static void
expect_same(struct world *w, const char *text, const struct promql_options *o)
{
    struct answer raw = ask(w, false, text, o), rolled = ask(w, true, text, o);
    struct answer_values *a = answer_values_of(&raw, o), *b = answer_values_of(&rolled, o);
    assert_false(has_info(&rolled));
    for (unsigned i = 0; i < SERIES; i++) {
        for (unsigned step = 0; step < ANSWER_STEPS; step++) {
            uint64_t x = a->bits[i][step], y = b->bits[i][step];
            w->compared += answer_is_there(x);
            if (x == y) continue;
            if (answer_is_there(x) && answer_is_there(y) &&
                answer_is_near(bits_double(x), bits_double(y), 1))
                continue;
            fail_msg("%s, seed %llu, series %u, step %u: %g, rolled %g", text,
                     (unsigned long long)w->levels.seed, i, step, bits_double(x), bits_double(y));
        }
    }
    free(a);
    free(b);
    answer_free(&raw);
    answer_free(&rolled);
}

/* --- exact ------------------------------------------------------------------------------------ */

/* The text before and after what a function is called with. */
struct call {
    const char *before, *after;
};

/* Functions of a range with a number for each series. */
static const struct call numbers[] = {
    {"count_over_time(m[", "])"},
    {"present_over_time(m[", "])"},
    {"absent_over_time(m[", "])"},
    {"ts_of_first_over_time(m[", "])"},
    {"ts_of_last_over_time(m[", "])"},
    {"changes(m[", "])"},
    {"resets(m[", "])"},
    {"max_over_time(m[", "])"},
};

/* Functions of a range with a histogram for each series. */
static const struct call histograms[] = {
    {"first_over_time(m[", "])"},
    {"last_over_time(m[", "])"},
    {"sum_over_time(m[", "])"},
    {"avg_over_time(m[", "])"},
    {"rate(m[", "])"},
    {"increase(m[", "])"},
    {"delta(m[", "])"},
    {"increase(m[", "] offset 1h)"},
    {"rate(m[", "] @ end())"},
};

/* Numbers that are made of histograms; those after the second depend on their buckets. */
static const struct call parts[] = {
    {"histogram_count(", ")"},         {"histogram_sum(", ")"},
    {"histogram_quantile(0.9, ", ")"}, {"histogram_fraction(-1, 0.5, ", ")"},
    {"histogram_stddev(", ")"},
};

enum { TEXT_BYTES = 128 };
#define COUNT_OF(items) (sizeof(items) / sizeof *(items))

static void
call_text(const struct call *call, const char *inner, char *ret_text)
{
    snprintf(ret_text, TEXT_BYTES, "%s%s%s", call->before, inner, call->after);
}

static void
expect_all(struct world *w, const char *range, const struct promql_options *o)
{
    char inner[TEXT_BYTES], text[TEXT_BYTES];
    for (unsigned i = 0; i < COUNT_OF(numbers); i++) {
        call_text(&numbers[i], range, text);
        expect_same(w, text, o);
    }
    for (unsigned i = 0; i < COUNT_OF(histograms); i++) {
        call_text(&histograms[i], range, inner);
        for (unsigned k = 0; k < (w->is_calm ? COUNT_OF(parts) : 2); k++) {
            call_text(&parts[k], inner, text);
            expect_same(w, text, o);
        }
    }
}

UNIT_TEST(test_functions_of_whole_windows_of_histograms_are_exact)
{
    static const char *const ranges[] = {"1h", "2h", "5h"};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(1100 + round), round % 2 == 0);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        expect_all(&w, ranges[rng_below(&w.rng, 3)], &o);
        expect_same(&w, "sum(histogram_count(increase(m[1h])))", &o);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

static const uint32_t restarts[] = {1000000, 1000, 300, 100, 30, 10, 5};
enum { RESTARTS = sizeof restarts / sizeof *restarts };

/* Of the windows of an hour, between none and all have a reset, or several. */
UNIT_TEST(test_histograms_that_restart_in_any_share_of_windows_are_exact)
{
    static const char *const ranges[] = {"1h", "2h", "5h"};
    for (unsigned round = 0; round < RESTARTS * 3; round++) {
        struct world w =
            world_of(shifted_seed(1600 + round), true, false, restarts[round % RESTARTS]);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        w.levels.stored = true;
        expect_all(&w, ranges[round / RESTARTS], &o);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

UNIT_TEST(test_instant_histograms_at_the_ends_of_windows_are_exact)
{
    static const char *const texts[] = {
        "histogram_count(m)",
        "histogram_sum(m)",
        "histogram_quantile(0.5, m)",
        "timestamp(m)",
        "count(m)",
        "histogram_count(m offset 2h)",
        "absent(m)",
        "sum(histogram_count(m))",
        "histogram_count(m @ start())",
    };
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(1200 + round), round % 2 == 0);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
            expect_same(&w, texts[i], &o);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

/* --- between the ends of windows -------------------------------------------------------------- */

/* In each minute: values are there wherever raw ones are, and after the last sample of a series it
 * is shown no longer than `alive` has a raw value. Instant vectors in a window may have less: they
 * begin with the end of the first one. */
static void
expect_alive(struct world *w, const char *text, const char *alive, bool may_lack)
{
    struct promql_options o = options_over(BASE_MS + 17000, MINUTE_MS);
    struct answer answers[] = {ask(w, false, text, &o), ask(w, true, text, &o),
                               ask(w, false, alive, &o)};
    struct answer_values *raw = answer_values_of(&answers[0], &o);
    struct answer_values *rolled = answer_values_of(&answers[1], &o);
    struct answer_values *lives = answer_values_of(&answers[2], &o);
    for (unsigned i = 0; i < SERIES; i++) {
        for (unsigned step = 0; step < ANSWER_STEPS; step++) {
            int64_t t_ms = o.first_ms + step * o.step_ms;
            uint64_t x = raw->bits[i][step], y = rolled->bits[i][step];
            bool is_gap = answer_is_there(x) && !answer_is_there(y) && !may_lack;
            bool is_late = t_ms >= w->last_ms[i] && answer_is_there(y) &&
                           !answer_is_there(lives->bits[i][step]);
            w->compared += answer_is_there(x);
            if (is_gap || is_late) {
                fail_msg("%s, seed %llu, series %u, step %u: %g, rolled %g", text,
                         (unsigned long long)w->levels.seed, i, step, bits_double(x),
                         bits_double(y));
            }
        }
    }
    free(raw);
    free(rolled);
    free(lives);
    for (unsigned i = 0; i < 3; i++)
        answer_free(&answers[i]);
}

UNIT_TEST(test_the_death_of_a_histogram_is_shown_in_time_without_gaps)
{
    static const struct {
        const char *text, *alive;
        bool may_lack;
    } cases[] = {
        {"count_over_time(m[7m])", "present_over_time(m[7m])"},
        {"present_over_time(m[1m])", "present_over_time(m[1m])"},
        {"histogram_count(last_over_time(m[3m]))", "present_over_time(m[3m])"},
        {"histogram_count(sum_over_time(m[10m]))", "present_over_time(m[10m])", true},
        {"histogram_count(rate(m[5m]))", "present_over_time(m[5m])", true},
        {"histogram_count(increase(m[90m]))", "present_over_time(m[90m])", true},
        {"histogram_count(irate(m[5m]))", "present_over_time(m[5m])", true},
        {"timestamp(m)", "timestamp(m)", true},
        {"histogram_count(m)", "timestamp(m)", true},
    };
    for (unsigned round = 0; round < ROUNDS / 2; round++) {
        struct world w = world_new(shifted_seed(1300 + round), round % 2 == 0);
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            bool may_lack = cases[i].may_lack && (!w.is_calm || strchr(cases[i].text, '[') == NULL);
            expect_alive(&w, cases[i].text, cases[i].alive, may_lack);
        }
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

/* --- replicas and sources --------------------------------------------------------------------- */

/* A series of histograms with one observation each, of which some hours lack most. */
struct one_sided {
    struct world world;
    struct series_set *set;
    uint32_t counts[HOURS];
};

static void
one_sided_init(struct one_sided *x, uint64_t seed, unsigned side, bool whole,
               const struct query_request *request)
{
    struct view *view;
    struct why why;
    struct bytes labels;
    *x = (struct one_sided){.world = {.rng = {seed + side}}};
    arena_init(&x->world.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &x->world.store), OK);
    struct bytes name = labels_of_text("__name__=m", &x->world.arena);
    const struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                                .count = 1,
                                .zero_count = 1,
                                .reset_hint = RESET_GAUGE,
                                .sum_bits = double_bits(1)};
    for (int64_t t_ms = BASE_MS + 15000; t_ms <= BASE_MS + HOURS * (int64_t)HOUR_MS;
         t_ms += 15000) {
        unsigned hour = (unsigned)((t_ms - BASE_MS - 1) / HOUR_MS);
        bool lacks = whole && hour % 2 == side && rng_below(&x->world.rng, 4) > 0;
        if (lacks && t_ms != BASE_MS + 15000) continue;
        add(&x->world, name, t_ms, &h, 0);
        x->counts[hour]++;
    }
    x->world.levels = (struct rolled_levels){.seed = seed + side,
                                             .coarse_until_ms = BASE_MS + 4 * HOUR_MS,
                                             .fine_until_ms = BASE_MS + 6 * HOUR_MS};
    if (whole) x->world.levels.coarse_until_ms = INT64_MAX / 2;
    x->world.levels.whole = whole;
    assert_int_equal(memory_store_open(x->world.store, NULL, &view, &why), OK);
    view = rolled_view_new(view, &x->world.levels);
    assert_int_equal(view_select(view, request, &x->set, &why), OK);
    view_free(view);
    if (whole) assert_int_equal(series_set_next(x->set, &labels, &why), OK);
}

/* Counts the histograms of each hour; a window has the sum of its own. */
static void
count_histograms(const struct sample_batch *b, uint32_t *counts, int64_t *last_ms)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct histogram_rollup *r = b->histogram_rollups;
        int64_t first_ms = r != NULL ? r[i].first_ms : b->times_ms[i];
        assert_true(first_ms > *last_ms);
        *last_ms = r != NULL ? r[i].last_ms : first_ms;
        if (r != NULL) assert_true(r[i].sum->count == r[i].count && r[i].last.count == 1);
        counts[(*last_ms - BASE_MS - 1) / HOUR_MS] += r != NULL ? r[i].count : 1;
    }
}

static enum err
replica_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(from, ret_batch, why);
}

UNIT_TEST(test_the_replica_with_more_histograms_gives_a_window)
{
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct query_request request = {.min_ms = BASE_MS, .max_ms = BASE_MS + HOURS * HOUR_MS};
        struct one_sided sides[2];
        struct replica_merge merge;
        struct sample_batch b;
        struct why why;
        uint32_t counts[HOURS] = {0};
        int64_t last_ms = INT64_MIN;
        request.hints.rollups = true;
        replica_merge_init(&merge, replica_batch, &request, NULL);
        for (unsigned i = 0; i < 2; i++) {
            one_sided_init(&sides[i], shifted_seed(1400 + round), i, true, &request);
            assert_int_equal(replica_merge_add(&merge, sides[i].set), OK);
        }
        while (replica_merge_batch(&merge, &b, &why) == OK && b.count > 0) {
            assert_non_null(b.histogram_rollups);
            count_histograms(&b, counts, &last_ms);
        }
        for (unsigned hour = 0; hour < HOURS; hour++)
            assert_int_equal(counts[hour], HOUR_MS / 15000);
        replica_merge_fini(&merge);
        for (unsigned i = 0; i < 2; i++) {
            series_set_free(sides[i].set);
            world_free(&sides[i].world);
        }
    }
}

UNIT_TEST(test_windows_of_histograms_of_two_sources_are_merged)
{
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct query_request request = {.min_ms = BASE_MS, .max_ms = BASE_MS + HOURS * HOUR_MS};
        struct one_sided sides[2];
        struct series_set *sets[2], *merged;
        struct sample_batch b;
        struct bytes labels;
        struct why why;
        uint32_t counts[HOURS] = {0};
        int64_t last_ms = INT64_MIN;
        request.hints.rollups = true;
        for (unsigned i = 0; i < 2; i++) {
            one_sided_init(&sides[i], shifted_seed(1500 + round), i, false, &request);
            sets[i] = sides[i].set;
        }
        assert_int_equal(merged_set_new(sets, 2, NULL, &merged, &why), OK);
        assert_int_equal(series_set_next(merged, &labels, &why), OK);
        while (series_set_batch(merged, &b, &why) == OK && b.count > 0)
            count_histograms(&b, counts, &last_ms);
        for (unsigned hour = 0; hour < HOURS; hour++)
            assert_int_equal(counts[hour], HOUR_MS / 15000);
        series_set_free(merged);
        for (unsigned i = 0; i < 2; i++)
            world_free(&sides[i].world);
    }
}

/* --- words ------------------------------------------------------------------------------------ */

static void
add_count(struct world *w, struct bytes labels, int64_t minute, uint64_t count)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .count = count,
                          .zero_count = count,
                          .sum_bits = double_bits((double)count)};
    add(w, labels, BASE_MS + minute * MINUTE_MS, &h, 0);
}

/* A counter of a histogram each minute: an hour of windows of 1 h, an hour of 5 m, then raw. */
static struct world
plain_world(void)
{
    struct world w = {.is_calm = true};
    arena_init(&w.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &w.store), OK);
    struct bytes labels = labels_of_text("__name__=m i=0", &w.arena);
    for (uint64_t i = 1; i <= 180; i++)
        add_count(&w, labels, (int64_t)i, i);
    w.levels = (struct rolled_levels){
        .coarse_until_ms = BASE_MS + HOUR_MS,
        .fine_until_ms = BASE_MS + 2 * HOUR_MS,
        .whole = true,
        .keeps_correction = true,
    };
    return w;
}

/* Expects the first value, or the error, and the only info, of an instant query. */
static void
expect_words(const char *text, int64_t minute, int64_t resolution_max_ms, const char *expected)
{
    struct world w = plain_world();
    struct promql_options o = options_over(BASE_MS + minute * MINUTE_MS, 0);
    struct buf words;
    struct bytes labels;
    struct promql_point p;
    o.limits_resolution = resolution_max_ms >= 0;
    o.resolution_max_ms = resolution_max_ms;
    struct answer a = ask(&w, true, text, &o);
    buf_init(&words, NULL, 1 << 16);
    if (a.e) {
        buf_put_bytes(&words, buf_bytes(&a.error));
    } else {
        while (promql_next_series(a.result, &labels)) {
            while (promql_next_point(a.result, false, &p))
                buf_printf(&words, "%g ", p.value);
            while (promql_next_point(a.result, true, &p))
                buf_printf(&words, "%g in all ", p.histogram->count);
        }
        for (uint32_t i = 0; promql_note(a.result, PROMQL_INFO, i, &words); i++) {
        }
    }
    buf_put_u8(&words, 0);
    assert_string_equal((const char *)words.at, expected);
    buf_fini(&words);
    answer_free(&a);
    world_free(&w);
}

UNIT_TEST(test_infos_say_where_answers_of_histograms_are_approximate)
{
    expect_words("m", 60, -1, "60 in all ");
    expect_words("m", 90, -1, "90 in all ");
    expect_words("m", 30, -1,
                 "PromQL info: samples are downsampled to 1h; series that begin in a window are "
                 "shown from its end on (1:1)");
    expect_words("m", 92, -1,
                 "90 in all PromQL info: samples are downsampled to 5m; values are up to 5m older "
                 "(1:1)");
    expect_words("increase(m[1h])", 60, -1, "60 in all ");
    expect_words("increase(m[1h])", 150, -1, "60 in all ");
    expect_words("increase(m[6m])", 100, -1,
                 "6 in all PromQL info: samples are downsampled to 5m; the range was widened to "
                 "whole windows (1:10)");
    expect_words("irate(m[1h])", 60, -1,
                 "0.0166667 in all PromQL info: samples are downsampled to 1h; irate() is "
                 "approximate (1:7)");
    expect_words("increase(m[1h] smoothed)", 60, -1,
                 "59 in all PromQL info: samples are downsampled to 1h; increase() is approximate "
                 "(1:10)");
    expect_words("m[10m]", 60, -1,
                 "60 in all PromQL info: samples are downsampled to 1h; a range has the last one "
                 "of each window (1:1)");
}

UNIT_TEST(test_a_finer_resolution_of_histograms_is_an_error)
{
    expect_words("m", 60, HOUR_MS, "60 in all ");
    expect_words("m", 60, 0,
                 "samples until 2015-08-19T17:00:00.000Z are downsampled to 1h, "
                 "max_source_resolution is 0s");
    expect_words("rate(m[1h])", 120, 0,
                 "samples until 2015-08-19T18:00:00.000Z are downsampled to 5m, "
                 "max_source_resolution is 0s");
}

/* Rates of a counter that rises evenly between resets, whose corrections were lost, are near. */
UNIT_TEST(test_lost_corrections_of_histograms_are_guessed_with_an_info)
{
    struct world w = {.is_calm = true};
    struct promql_options o = options_over(BASE_MS + HOUR_MS, 0);
    arena_init(&w.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &w.store), OK);
    struct bytes labels = labels_of_text("__name__=m i=0", &w.arena);
    for (uint64_t i = 1; i <= 60; i++)
        add_count(&w, labels, (int64_t)i, i % 20 * 10);
    const char *text = "histogram_count(increase(m[1h]))";
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        w.levels = (struct rolled_levels){
            .seed = seed, .coarse_until_ms = BASE_MS + 9 * HOUR_MS, .whole = true};
        struct answer raw = ask(&w, false, text, &o), rolled = ask(&w, true, text, &o);
        struct answer_values *a = answer_values_of(&raw, &o), *b = answer_values_of(&rolled, &o);
        double x = bits_double(a->bits[0][0]), y = bits_double(b->bits[0][0]);
        lost += has_info(&rolled);
        assert_true(fabs(x - y) <= 0.1 * x);
        assert_true(has_info(&rolled) || answer_is_near(x, y, 1));
        free(a);
        free(b);
        answer_free(&raw);
        answer_free(&rolled);
    }
    assert_in_range(lost, 1, 7);
    world_free(&w);
}

static void
expect_not_negative(const struct fhist_side *side)
{
    for (uint32_t i = 0; i < side->count; i++)
        assert_true(side->counts[i] >= 0);
}

/* Neither of counters nor of gauges that fall. */
UNIT_TEST(test_no_count_of_a_rate_without_corrections_is_negative)
{
    static const char *const texts[] = {"rate(m[1h])", "increase(m[1h])", "increase(m[5h])",
                                        "increase(m[90m])"};
    unsigned guessed = 0, seen = 0;
    for (unsigned round = 0; round < RESTARTS * 4; round++) {
        struct world w =
            world_of(shifted_seed(1700 + round), true, true, restarts[round % RESTARTS]);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        w.levels.stored = true;
        w.levels.keeps_correction = false;
        struct answer a = ask(&w, true, texts[round % 4], &o);
        struct bytes labels;
        struct promql_point p;
        guessed += has_info(&a);
        while (promql_next_series(a.result, &labels)) {
            while (promql_next_point(a.result, true, &p)) {
                assert_true(p.histogram->count >= 0 && p.histogram->zero_count >= 0);
                expect_not_negative(&p.histogram->positive);
                expect_not_negative(&p.histogram->negative);
                seen++;
            }
        }
        answer_free(&a);
        world_free(&w);
    }
    assert_true(guessed > 0 && seen > 0);
}

/* A counter that ran for long restarts at some minute and at the 40th; the guess is of the order of
 * the truth. */
UNIT_TEST(test_a_lost_correction_after_a_long_life_makes_no_spike)
{
    enum { AGAIN = 40, RISE = 7 };
    for (int64_t restart = 2; restart < AGAIN; restart += 4) {
        struct world w = {.is_calm = true};
        struct promql_options o = options_over(BASE_MS + HOUR_MS, 0);
        arena_init(&w.arena, NULL, 0, 0);
        assert_int_equal(memory_store_new(NULL, &w.store), OK);
        struct bytes labels = labels_of_text("__name__=m i=0", &w.arena);
        for (int64_t i = 1; i <= 60; i++) {
            int64_t since = i < restart ? -1000000 : i < AGAIN ? restart : AGAIN;
            add_count(&w, labels, i, (uint64_t)(RISE * (i - since)));
        }
        for (uint64_t seed = 0; seed < 8; seed++) {
            w.levels = (struct rolled_levels){
                .seed = seed, .coarse_until_ms = BASE_MS + 9 * HOUR_MS, .whole = true};
            struct answer a = ask(&w, true, "histogram_count(increase(m[1h]))", &o);
            struct answer_values *v = answer_values_of(&a, &o);
            assert_in_range((int64_t)bits_double(v->bits[0][0]), 60 * RISE / 2, 60 * RISE * 2);
            free(v);
            answer_free(&a);
        }
        world_free(&w);
    }
}

UNIT_TEST(test_a_first_histogram_before_a_reset_is_not_added)
{
    struct world w = {.is_calm = true};
    struct promql_options o = options_over(BASE_MS + 2 * HOUR_MS, 0);
    arena_init(&w.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &w.store), OK);
    struct bytes labels = labels_of_text("__name__=m i=0", &w.arena);
    add_count(&w, labels, 60, 100);
    for (uint64_t i = 1; i <= 60; i++)
        add_count(&w, labels, 60 + (int64_t)i, i);
    w.levels = (struct rolled_levels){
        .coarse_until_ms = BASE_MS + 9 * HOUR_MS, .whole = true, .keeps_correction = true};
    expect_same(&w, "histogram_count(increase(m[2h]))", &o);
    expect_same(&w, "histogram_count(delta(m[2h]))", &o);
    assert_int_equal(w.compared, 2);
    world_free(&w);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_of_whole_windows_of_histograms_are_exact),
        cmocka_unit_test(test_histograms_that_restart_in_any_share_of_windows_are_exact),
        cmocka_unit_test(test_instant_histograms_at_the_ends_of_windows_are_exact),
        cmocka_unit_test(test_the_death_of_a_histogram_is_shown_in_time_without_gaps),
        cmocka_unit_test(test_the_replica_with_more_histograms_gives_a_window),
        cmocka_unit_test(test_windows_of_histograms_of_two_sources_are_merged),
        cmocka_unit_test(test_infos_say_where_answers_of_histograms_are_approximate),
        cmocka_unit_test(test_a_finer_resolution_of_histograms_is_an_error),
        cmocka_unit_test(test_a_first_histogram_before_a_reset_is_not_added),
        cmocka_unit_test(test_lost_corrections_of_histograms_are_guessed_with_an_info),
        cmocka_unit_test(test_no_count_of_a_rate_without_corrections_is_negative),
        cmocka_unit_test(test_a_lost_correction_after_a_long_life_makes_no_spike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
