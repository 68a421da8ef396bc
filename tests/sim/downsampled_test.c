/* downsampled_test.c - answers over downsampled samples against those over the samples themselves.
 */
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
#include "views/memory_store.h"
#include "views/replica_merge.h"
#include "views/stack.h"

enum {
    SERIES = ANSWER_SERIES,
    HOUR_MS = ROLLED_COARSE_MS,
    MINUTE_MS = 60000,
    HOURS = 12,
    ROUNDS = 60
};
#define BASE_MS (400000 * (int64_t)HOUR_MS)

struct world {
    struct memory_store *store;
    struct rolled_levels levels;
    struct rng rng;
    struct arena arena;
    int64_t last_ms[SERIES];  /* time of the last sample that is no marker */
    bool is_tame;             /* values are numbers whose sums do not overflow */
    uint32_t restarts_one_in; /* all series are counters, which restart so often; 0: any series */
    double from;              /* is added to all values */
    uint64_t compared;        /* number of values over raw samples */
    bool is_twofold;          /* downsampled samples come from two sources */
};

/* --- series ----------------------------------------------------------------------------------- */

static double
next_value(struct rng *rng, unsigned class, double before)
{
    static const double strange[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e6, -1e6, 5e-324};
    switch (class) {
    case 0: /* a counter with resets */
        return rng_below(rng, 40) == 0 ? (double)rng_below(rng, 3)
                                       : before + (double)rng_below(rng, 50);
    case 1: /* a gauge */
        return (double)rng_below(rng, 2000) / 8 - 100;
    case 2: /* mostly constant */
        return rng_below(rng, 30) == 0 ? (double)rng_below(rng, 4) : before;
    case 3:
        return rng_below(rng, 5) == 0 ? strange[rng_below(rng, 8)] : before + 1;
    default:
        return strange[rng_below(rng, 8)];
    }
}

static void
add(struct world *w, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    enum memory_verdict verdict;
    struct memory_sample x = {t_ms, bits, NULL};
    assert_int_equal(memory_store_add(w->store, labels, &x, &verdict, NULL), OK);
}

/* Adds a series with gaps, staleness markers in any minute, resets, and irregular times. */
static void
add_series(struct world *w, unsigned i)
{
    struct rng *rng = &w->rng;
    char text[64];
    snprintf(text, sizeof text, "__name__=m_total i=%u", i);
    struct bytes labels = labels_of_text(text, &w->arena);
    unsigned class = (unsigned)rng_below(rng, w->is_tame ? 3 : 5);
    int64_t every_ms = 15000 << rng_below(rng, 4), jitter_ms = rng_below(rng, 2) == 0 ? 1 : 9000;
    int64_t t_ms = BASE_MS + (int64_t)rng_below(rng, 2) * (int64_t)rng_below(rng, 4 * HOUR_MS);
    int64_t end_ms = BASE_MS + HOURS * (int64_t)HOUR_MS;
    if (rng_below(rng, 2) == 0) end_ms -= (int64_t)rng_below(rng, 6 * HOUR_MS);
    double value = w->restarts_one_in > 0 && rng_below(rng, 2) == 0 ? 1e6 : 0;
    w->last_ms[i] = INT64_MIN;
    while (t_ms <= end_ms) {
        if (w->restarts_one_in > 0)
            value = rng_below(rng, w->restarts_one_in) == 0
                        ? (double)rng_below(rng, 3)
                        : value + 1 + (double)rng_below(rng, 50);
        else
            value = next_value(rng, class, isfinite(value) ? value : 0);
        bool is_stale = rng_below(rng, 60) == 0;
        add(w, labels, t_ms, is_stale ? STALE_NAN_BITS : double_bits(w->from + value));
        if (!is_stale) w->last_ms[i] = t_ms;
        t_ms += every_ms + (int64_t)rng_below(rng, (uint64_t)jitter_ms);
        if (rng_below(rng, 80) == 0) t_ms += (int64_t)rng_below(rng, 2 * HOUR_MS);
        if (rng_below(rng, 20) == 0) t_ms = rollup_window_end(t_ms, ROLLED_FINE_MS);
    }
    if (rng_below(rng, 3) == 0) add(w, labels, t_ms, STALE_NAN_BITS);
}

static struct world
world_of(uint64_t seed, bool is_tame, uint32_t restarts_one_in, double from)
{
    struct world w = {.rng = {seed}, .is_tame = is_tame};
    w.restarts_one_in = restarts_one_in;
    w.from = from;
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
world_new(uint64_t seed, bool is_tame)
{
    return world_of(seed, is_tame, 0, 0);
}

static void
world_free(struct world *w)
{
    memory_store_free(w->store);
    arena_fini(&w->arena);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct view *twofold_new(struct world *w, struct view *first);

static struct answer
ask(struct world *w, bool rolled, const char *text, const struct promql_options *options)
{
    struct view *view;
    struct why why;
    assert_int_equal(memory_store_open(w->store, NULL, &view, &why), OK);
    if (rolled) view = rolled_view_new(view, &w->levels);
    if (rolled && w->is_twofold) view = twofold_new(w, view);
    return answer_over(view, text, options);
}

static struct promql_options
options_over(int64_t first_ms, int64_t step_ms)
{
    int64_t last_ms = BASE_MS + (HOURS + 2) * (int64_t)HOUR_MS;
    return (struct promql_options){
        .tenant = bytes_of_text("a"),
        .first_ms = first_ms,
        .last_ms = last_ms,
        .step_ms = step_ms,
        .lookback_ms = 5 * MINUTE_MS,
        .subquery_step_ms = MINUTE_MS,
    };
}

/* Expects the same values over raw and downsampled samples, and no notes of the latter. */
static void
expect_same(struct world *w, const char *text, const struct promql_options *o)
{
    struct answer raw = ask(w, false, text, o), rolled = ask(w, true, text, o);
    struct answer_values *a = answer_values_of(&raw, o), *b = answer_values_of(&rolled, o);
    uint32_t infos = promql_note_count(rolled.result, PROMQL_INFO);
    assert_int_equal(infos, promql_note_count(raw.result, PROMQL_INFO));
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

static const struct {
    const char *before, *after; /* of the range */
    bool adds;                  /* sums of any values are not compared */
} exact[] = {
    {"count_over_time(m_total[", "])"},
    {"sum_over_time(m_total[", "])", true},
    {"avg_over_time(m_total[", "])", true},
    {"min_over_time(m_total[", "])"},
    {"max_over_time(m_total[", "])"},
    {"first_over_time(m_total[", "])"},
    {"last_over_time(m_total[", "])"},
    {"present_over_time(m_total[", "])"},
    {"absent_over_time(m_total[", "])"},
    {"ts_of_first_over_time(m_total[", "])"},
    {"ts_of_last_over_time(m_total[", "])"},
    {"changes(m_total[", "])"},
    {"resets(m_total[", "])"},
    {"rate(m_total[", "])"},
    {"increase(m_total[", "])"},
    {"delta(m_total[", "])"},
    {"rate(m_total[", "] offset 1h)"},
    {"sum(increase(m_total[", "]))"},
    {"rate(m_total[", "] @ end())"},
    {"max_over_time(rate(m_total[", "])[2h:1h])"},
};

UNIT_TEST(test_functions_of_whole_windows_are_exact_across_levels)
{
    static const char *const ranges[] = {"1h", "2h", "5h"};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(100 + round), round % 2 == 0);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        for (unsigned i = 0; i < sizeof exact / sizeof *exact; i++) {
            char text[128];
            if (exact[i].adds && !w.is_tame) continue;
            snprintf(text, sizeof text, "%s%s%s", exact[i].before, ranges[rng_below(&w.rng, 3)],
                     exact[i].after);
            expect_same(&w, text, &o);
        }
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

/* Of the windows of an hour, between none and all have a reset, or several. */
UNIT_TEST(test_counters_that_restart_in_any_share_of_windows_are_exact)
{
    static const char *const texts[] = {"rate(m_total[1h])",     "increase(m_total[1h])",
                                        "increase(m_total[5h])", "resets(m_total[2h])",
                                        "changes(m_total[2h])",  "rate(m_total[3h] offset 1h)",
                                        "delta(m_total[1h])",    "sum(increase(m_total[1h]))"};
    static const uint32_t restarts_one_in[] = {1000000, 2000, 500, 200, 50, 20, 5};
    for (unsigned round = 0; round < 7 * 8; round++) {
        uint32_t one_in = restarts_one_in[round % 7];
        struct world w = world_of(shifted_seed(2000 + round), true, one_in, 0);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        w.levels.stored = true;
        for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
            expect_same(&w, texts[i], &o);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

UNIT_TEST(test_instant_vectors_at_the_ends_of_windows_are_exact)
{
    static const char *const texts[] = {
        "m_total",         "timestamp(m_total)",  "count(m_total)",   "m_total offset 2h",
        "absent(m_total)", "sum(m_total) by (i)", "m_total @ start()"};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(200 + round), false);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
            expect_same(&w, texts[i], &o);
        world_free(&w);
    }
}

/* --- merged ----------------------------------------------------------------------------------- */

/* Two views of the same samples, at different levels, merged. */
struct twofold {
    struct view view; /* first */
    struct view *of[2];
};

static enum err
twofold_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
               struct why *why)
{
    struct twofold *t = (struct twofold *)view;
    struct series_set *sets[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(view_select(t->of[i], request, &sets[i], why), OK);
    return merged_set_new(sets, 2, NULL, ret_set, why);
}

static void
twofold_free(struct view *view)
{
    struct twofold *t = (struct twofold *)view;
    view_free(t->of[0]);
    view_free(t->of[1]);
    free(t);
}

/* Adds a view of the samples as they are, or at levels of another seed. */
static struct view *
twofold_new(struct world *w, struct view *first)
{
    static const struct view_ops ops = {.select = twofold_select, .free = twofold_free};
    struct twofold *t = malloc(sizeof *t);
    struct view *second;
    struct why why;
    struct rolled_levels levels = w->levels;
    assert_non_null(t);
    levels.seed++;
    assert_int_equal(memory_store_open(w->store, NULL, &second, &why), OK);
    if (levels.seed % 2 == 0) second = rolled_view_new(second, &levels);
    *t = (struct twofold){{&ops}, {first, second}};
    return &t->view;
}

UNIT_TEST(test_levels_of_two_sources_are_merged_exactly)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(700 + round), true);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        w.is_twofold = true;
        expect_same(&w, "m_total", &o);
        expect_same(&w, "count_over_time(m_total[1h])", &o);
        expect_same(&w, "rate(m_total[2h])", &o);
        expect_same(&w, "sum_over_time(m_total[3h])", &o);
        expect_same(&w, "changes(m_total[5h])", &o);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

/* --- replicas --------------------------------------------------------------------------------- */

static enum err
replica_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    return series_set_batch(from, ret_batch, why);
}

/* Returns the counts of the windows of an hour of two replicas and of both as one; the replicas
 * have the same samples, each without hours of its own. */
static void
count_windows(uint64_t seed, uint32_t ret_counts[3][HOURS + 2])
{
    struct world w[2] = {world_new(seed, true), world_new(seed, true)};
    struct rng rng = {seed};
    struct series_set *sets[2];
    struct view *views[2];
    struct replica_merge merge;
    struct bytes labels[2], name = labels_of_text("__name__=m_total", &w[0].arena);
    struct query_request request = {.min_ms = BASE_MS, .max_ms = BASE_MS + HOURS * HOUR_MS};
    struct sample_batch b;
    struct why why;
    request.hints.rollups = ROLLUP_WHOLE;
    for (unsigned i = 0; i < 2; i++) {
        memory_store_free(w[i].store);
        assert_int_equal(memory_store_new(NULL, &w[i].store), OK);
    }
    for (int64_t t_ms = BASE_MS + 7000; t_ms < request.max_ms; t_ms += 15000) {
        uint64_t hour = (uint64_t)(t_ms / HOUR_MS);
        for (unsigned i = 0; i < 2; i++) {
            struct rng own = {hour * 2 + i + seed * 1000};
            unsigned one_in = 1 + (unsigned)rng_below(&own, 4);
            bool is_edge = t_ms == BASE_MS + 7000;
            if (!is_edge && (rng_below(&own, 5) == 0 || rng_below(&rng, one_in) > 0)) continue;
            add(&w[i], name, t_ms + i * 1000, double_bits((double)t_ms));
        }
    }
    memset(ret_counts, 0, 3 * sizeof *ret_counts);
    replica_merge_init(&merge, replica_batch, &request, NULL);
    for (unsigned of = 0; of < 3; of++) {
        replica_merge_clear(&merge);
        for (unsigned i = 0; i < 2; i++) {
            w[i].levels.whole = true;
            w[i].levels.coarse_until_ms = INT64_MAX / 2;
            assert_int_equal(memory_store_open(w[i].store, NULL, &views[i], &why), OK);
            views[i] = rolled_view_new(views[i], &w[i].levels);
            assert_int_equal(view_select(views[i], &request, &sets[i], &why), OK);
            assert_int_equal(series_set_next(sets[i], &labels[i], &why), OK);
            assert_non_null(labels[i].at);
            if (of == 2 || of == i) assert_int_equal(replica_merge_add(&merge, sets[i]), OK);
        }
        int64_t last_ms = INT64_MIN;
        while (replica_merge_batch(&merge, &b, &why) == OK && b.count > 0) {
            assert_non_null(b.rollups);
            for (uint32_t i = 0; i < b.count; i++) {
                const struct rollup *r = &b.rollups[i];
                int64_t end_ms = rollup_window_end(r->last_ms, HOUR_MS);
                assert_true(r->first_ms > last_ms);
                last_ms = r->last_ms;
                ret_counts[of][(end_ms - BASE_MS) / HOUR_MS] = r->count;
            }
        }
        for (unsigned i = 0; i < 2; i++) {
            series_set_free(sets[i]);
            view_free(views[i]);
        }
    }
    replica_merge_fini(&merge);
    world_free(&w[0]);
    world_free(&w[1]);
}

UNIT_TEST(test_the_replica_with_more_samples_gives_a_window)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t counts[3][HOURS + 2];
        count_windows(shifted_seed(800 + round), counts);
        for (unsigned i = 0; i < HOURS + 2; i++) {
            uint32_t most = counts[0][i] > counts[1][i] ? counts[0][i] : counts[1][i];
            bool is_filled = counts[2][i] + 1 + counts[2][i] / 16 >= most;
            assert_true(counts[2][i] <= most);
            if (!is_filled)
                fail_msg("hour %u: %u, %u, as one %u", i, counts[0][i], counts[1][i], counts[2][i]);
        }
    }
}

/* --- between the ends of windows -------------------------------------------------------------- */

/* In each minute: values are there wherever raw ones are, none is newer, and after the last sample
 * of a series it is shown no longer than `alive` has a raw value: a rate needs two samples, but it
 * is not known where those within a window are. */
static void
expect_alive(struct world *w, const char *text, const char *alive, bool is_time)
{
    struct promql_options o = options_over(BASE_MS + 17000, MINUTE_MS);
    struct answer answers[] = {ask(w, false, text, &o), ask(w, true, text, &o),
                               ask(w, false, alive, &o)};
    struct answer_values *raw = answer_values_of(&answers[0], &o),
                         *rolled = answer_values_of(&answers[1], &o);
    struct answer_values *lives = answer_values_of(&answers[2], &o);
    for (unsigned i = 0; i < SERIES; i++) {
        for (unsigned step = 0; step < ANSWER_STEPS; step++) {
            int64_t t_ms = o.first_ms + step * o.step_ms;
            uint64_t x = raw->bits[i][step], y = rolled->bits[i][step];
            bool is_gap = answer_is_there(x) && !answer_is_there(y);
            bool is_late = t_ms >= w->last_ms[i] && answer_is_there(y) &&
                           !answer_is_there(lives->bits[i][step]);
            bool is_newer = is_time && answer_is_there(x) && bits_double(y) > bits_double(x);
            w->compared += answer_is_there(x);
            if (is_gap || is_late || is_newer) {
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

UNIT_TEST(test_a_death_is_shown_in_time_and_there_are_no_gaps)
{
    static const struct {
        const char *text, *alive;
        bool is_time;
    } cases[] = {
        {"ts_of_last_over_time(m_total[20m])", "present_over_time(m_total[20m])", true},
        {"last_over_time(m_total[3m])", "present_over_time(m_total[3m])"},
        {"present_over_time(m_total[1m])", "present_over_time(m_total[1m])"},
        {"count_over_time(m_total[7m])", "present_over_time(m_total[7m])"},
        {"quantile_over_time(0.5, m_total[10m])", "present_over_time(m_total[10m])"},
        {"rate(m_total[5m])", "present_over_time(m_total[5m])"},
        {"increase(m_total[90m])", "present_over_time(m_total[90m])"},
        {"irate(m_total[5m])", "present_over_time(m_total[5m])"},
        {"deriv(m_total[5m])", "present_over_time(m_total[5m])"},
        {"m_total smoothed", "m_total smoothed"},
    };
    for (unsigned round = 0; round < ROUNDS / 2; round++) {
        struct world w = world_new(shifted_seed(300 + round), false);
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
            expect_alive(&w, cases[i].text, cases[i].alive, cases[i].is_time);
        assert_true(w.compared > 0);
        world_free(&w);
    }
}

/* --- instant vectors within windows ----------------------------------------------------------- */

struct piece {
    int64_t resolution_ms; /* 0: a sample or a marker */
    struct rollup rollup;
};
struct pieces {
    struct piece *of[SERIES];
    uint32_t count[SERIES];
};

/* Returns all that the downsampled view has. */
static struct pieces
pieces_of(struct world *w)
{
    struct pieces p = {.count = {0}};
    struct view *view;
    struct series_set *set;
    struct why why;
    struct bytes labels;
    struct sample_batch b;
    struct query_request request = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    request.hints.rollups = ROLLUP_WHOLE;
    assert_int_equal(memory_store_open(w->store, NULL, &view, &why), OK);
    view = rolled_view_new(view, &w->levels);
    assert_int_equal(view_select(view, &request, &set, &why), OK);
    while (series_set_next(set, &labels, &why) == OK && labels.at != NULL) {
        unsigned at = labels_get(labels, bytes_of("i", 1)).at[0] - '0';
        while (series_set_batch(set, &b, &why) == OK && b.count > 0) {
            p.of[at] = realloc(p.of[at], (p.count[at] + b.count) * sizeof *p.of[at]);
            assert_non_null(p.of[at]);
            for (uint32_t i = 0; i < b.count; i++) {
                p.of[at][p.count[at]++] = (struct piece){
                    .resolution_ms = b.resolution_ms,
                    .rollup = b.rollups == NULL ? rollup_of_sample(b.times_ms[i], b.value_bits[i])
                                                : b.rollups[i],
                };
            }
        }
    }
    series_set_free(set);
    view_free(view);
    return p;
}

static int64_t
piece_end_ms(const struct piece *x)
{
    int64_t end_ms = rollup_end_ms(&x->rollup);
    return x->resolution_ms == 0 ? end_ms : rollup_window_end(end_ms, x->resolution_ms);
}

/* Returns the sample that an instant vector has: the last of what ended, if the window around the
 * time, or that sample itself, shows that the series is alive. NULL if none. */
static const struct rollup *
expected_at(const struct piece *of, uint32_t count, int64_t t_ms, bool *ret_in_window)
{
    const int64_t lookback_ms = 5 * MINUTE_MS;
    const struct piece *ended = NULL, *around = NULL;
    *ret_in_window = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct piece *x = &of[i];
        if (piece_end_ms(x) <= t_ms) ended = x;
        if (piece_end_ms(x) <= t_ms || piece_end_ms(x) - x->resolution_ms >= t_ms) continue;
        *ret_in_window = true; /* which may have forgotten a marker before its first sample */
        if (rollup_begin_ms(&x->rollup) <= t_ms) around = x;
    }
    if (ended == NULL || ended->rollup.is_stale) return NULL;
    if (around == NULL) return ended->rollup.last_ms > t_ms - lookback_ms ? &ended->rollup : NULL;
    const struct rollup *n = &around->rollup;
    if (n->is_stale && n->stale_ms <= t_ms) return NULL;
    if (n->last_ms <= t_ms - lookback_ms) return NULL;
    int64_t reach_ms = lookback_ms;
    if (around->resolution_ms > reach_ms) reach_ms = around->resolution_ms;
    if (ended->resolution_ms > reach_ms) reach_ms = ended->resolution_ms;
    return piece_end_ms(ended) > t_ms - reach_ms ? &ended->rollup : NULL;
}

/* Expects at each step the sample that is known, and outside of windows that of the raw samples. */
static void
expect_known(struct world *w, const struct pieces *p, bool is_time, const struct promql_options *o)
{
    const char *text = is_time ? "timestamp(m_total)" : "m_total";
    struct answer answers[] = {ask(w, false, text, o), ask(w, true, text, o)};
    struct answer_values *raw = answer_values_of(&answers[0], o),
                         *rolled = answer_values_of(&answers[1], o);
    uint32_t steps = o->step_ms == 0 ? 1 : (uint32_t)((o->last_ms - o->first_ms) / o->step_ms) + 1;
    for (unsigned i = 0; i < SERIES; i++) {
        for (unsigned step = 0; step < steps; step++) {
            int64_t t_ms = o->first_ms + step * o->step_ms;
            uint64_t x = raw->bits[i][step], y = rolled->bits[i][step], want = STALE_NAN_BITS;
            bool in_window,
                is_late = t_ms >= w->last_ms[i] && answer_is_there(y) && !answer_is_there(x);
            const struct rollup *r = expected_at(p->of[i], p->count[i], t_ms, &in_window);
            if (r != NULL) want = is_time ? double_bits((double)r->last_ms / 1000) : r->last_bits;
            w->compared += in_window && answer_is_there(y);
            if (y != want || is_late || (!in_window && y != x)) {
                fail_msg("%s, seed %llu, series %u, step %u: %g, not %g; raw %g", text,
                         (unsigned long long)w->levels.seed, i, step, bits_double(y),
                         bits_double(want), bits_double(x));
            }
        }
    }
    free(raw);
    free(rolled);
    answer_free(&answers[0]);
    answer_free(&answers[1]);
}

UNIT_TEST(test_within_a_window_a_series_has_what_ended_before_it)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(1900 + round), false);
        struct pieces p = pieces_of(&w);
        for (unsigned i = 0; i < 40; i++) {
            uint64_t minute = rng_below(&w.rng, HOURS * 60ULL);
            struct promql_options o =
                options_over(BASE_MS + (int64_t)minute * MINUTE_MS + 17000, MINUTE_MS);
            if (i > 0) { /* what is known does not depend on the range */
                o.last_ms = o.first_ms;
                o.step_ms = 0;
            }
            expect_known(&w, &p, false, &o);
            expect_known(&w, &p, true, &o);
        }
        assert_true(w.compared > 0);
        for (unsigned i = 0; i < SERIES; i++)
            free(p.of[i]);
        world_free(&w);
    }
}

/* --- approximate ------------------------------------------------------------------------------ */

/* Returns the least and the greatest value of all windows that a range of an hour has, as bounds.
 */
static void
expect_within(struct world *w, const char *text)
{
    struct promql_options o = options_over(BASE_MS, HOUR_MS);
    struct answer rolled = ask(w, true, text, &o);
    struct answer least = ask(w, false, "min_over_time(m_total[2h])", &o);
    struct answer most = ask(w, false, "max_over_time(m_total[2h])", &o);
    struct answer_values *v = answer_values_of(&rolled, &o), *lo = answer_values_of(&least, &o);
    struct answer_values *hi = answer_values_of(&most, &o);
    for (unsigned i = 0; i < SERIES; i++) {
        for (unsigned step = 0; step < ANSWER_STEPS; step++) {
            double x = bits_double(v->bits[i][step]);
            assert_int_equal(answer_is_there(v->bits[i][step]), answer_is_there(lo->bits[i][step]));
            if (!answer_is_there(v->bits[i][step])) continue;
            assert_true(x >= bits_double(lo->bits[i][step]) - 1e-9);
            assert_true(x <= bits_double(hi->bits[i][step]) + 1e-9);
        }
    }
    free(v);
    free(lo);
    free(hi);
    answer_free(&rolled);
    answer_free(&least);
    answer_free(&most);
}

UNIT_TEST(test_quantiles_lie_between_the_least_and_the_greatest_value)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(400 + round), true);
        expect_within(&w, "quantile_over_time(0.1, m_total[2h])");
        expect_within(&w, "quantile_over_time(0.5, m_total[2h])");
        expect_within(&w, "quantile_over_time(1, m_total[2h])");
        world_free(&w);
    }
}

/* --- lines and neighbours: functions of the first and the last sample of each window ---------- */

/* Keeps of each window of an hour the first and the last sample. */
static struct memory_store *
thinned(struct world *w)
{
    struct memory_store *to;
    struct view *view;
    struct series_set *set;
    struct why why;
    struct bytes labels;
    struct sample_batch b;
    struct query_request request = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    assert_int_equal(memory_store_new(NULL, &to), OK);
    assert_int_equal(memory_store_open(w->store, NULL, &view, &why), OK);
    request.hints.rollups = ROLLUP_WHOLE;
    view = rolled_view_new(view, &w->levels);
    assert_int_equal(view_select(view, &request, &set, &why), OK);
    struct memory_store *raw = w->store;
    w->store = to;
    while (series_set_next(set, &labels, &why) == OK && labels.at != NULL) {
        while (series_set_batch(set, &b, &why) == OK && b.count > 0) {
            for (uint32_t i = 0; i < b.count; i++) {
                const struct rollup *r = b.rollups == NULL ? NULL : &b.rollups[i];
                if (r == NULL) add(w, labels, b.times_ms[i], b.value_bits[i]);
                if (r != NULL && r->count > 1) add(w, labels, r->first_ms, r->first_bits);
                if (r != NULL && r->count > 0) add(w, labels, r->last_ms, r->last_bits);
                if (r != NULL && r->is_stale) add(w, labels, r->stale_ms, STALE_NAN_BITS);
            }
        }
    }
    w->store = raw;
    series_set_free(set);
    view_free(view);
    return to;
}

UNIT_TEST(test_lines_and_neighbours_use_the_ends_of_windows)
{
    static const char *const texts[] = {"irate(m_total[2h])", "idelta(m_total[1h])",
                                        "deriv(m_total[3h])", "predict_linear(m_total[2h], 60)",
                                        "double_exponential_smoothing(m_total[2h], 0.3, 0.2)"};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(500 + round), round % 2 == 0);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        struct memory_store *kept = thinned(&w), *raw = w.store;
        for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct answer rolled = ask(&w, true, texts[i], &o);
            w.store = kept;
            struct answer ends = ask(&w, false, texts[i], &o);
            w.store = raw;
            struct answer_values *a = answer_values_of(&rolled, &o),
                                 *b = answer_values_of(&ends, &o);
            assert_memory_equal(a, b, sizeof *a);
            free(a);
            free(b);
            answer_free(&rolled);
            answer_free(&ends);
        }
        memory_store_free(kept);
        world_free(&w);
    }
}

UNIT_TEST(test_rates_without_corrections_err_within_the_bounds_of_windows)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(600 + round), true);
        struct promql_options o = options_over(BASE_MS, HOUR_MS);
        w.levels.keeps_correction = false;
        struct answer raw = ask(&w, false, "increase(m_total[1h])", &o);
        struct answer rolled = ask(&w, true, "increase(m_total[1h])", &o);
        struct answer bound = ask(
            &w, false,
            "resets(m_total[1h]) * (max_over_time(m_total[1h]) - min_over_time(m_total[1h]))", &o);
        struct answer_values *a = answer_values_of(&raw, &o), *b = answer_values_of(&rolled, &o);
        struct answer_values *most = answer_values_of(&bound, &o);
        for (unsigned i = 0; i < SERIES * ANSWER_STEPS; i++) {
            uint64_t x = (&a->bits[0][0])[i], y = (&b->bits[0][0])[i];
            assert_int_equal(answer_is_there(x), answer_is_there(y));
            if (!answer_is_there(x)) continue;
            double error = fabs(bits_double(x) - bits_double(y));
            assert_true(error <= 2 * bits_double((&most->bits[0][0])[i]) + 1e-6);
        }
        free(a);
        free(b);
        free(most);
        answer_free(&raw);
        answer_free(&rolled);
        answer_free(&bound);
        world_free(&w);
    }
}

/* Expects of an increase that differs from that of the samples: an info, and that it is not below
 * zero, and not above what a series can rise that has so many resets between its least and its
 * greatest value. Returns the number of such values. */
static unsigned
expect_bounded(struct world *w, const char *increase, const char *most)
{
    struct promql_options o = options_over(BASE_MS, HOUR_MS);
    struct answer answers[] = {ask(w, false, increase, &o), ask(w, true, increase, &o),
                               ask(w, false, most, &o)};
    struct answer_values *raw = answer_values_of(&answers[0], &o);
    struct answer_values *rolled = answer_values_of(&answers[1], &o);
    struct answer_values *bound = answer_values_of(&answers[2], &o);
    unsigned guessed = 0;
    for (unsigned i = 0; i < SERIES * ANSWER_STEPS; i++) {
        uint64_t x = (&raw->bits[0][0])[i], y = (&rolled->bits[0][0])[i];
        assert_int_equal(answer_is_there(x), answer_is_there(y));
        if (!answer_is_there(x) || answer_is_near(bits_double(x), bits_double(y), 1)) continue;
        guessed++;
        assert_true(bits_double(y) >= 0);
        assert_true(bits_double(y) <= bits_double((&bound->bits[0][0])[i]) * (1 + 1e-9));
    }
    if (guessed > 0) assert_true(promql_note_count(answers[1].result, PROMQL_INFO) > 0);
    free(raw);
    free(rolled);
    free(bound);
    for (unsigned i = 0; i < 3; i++)
        answer_free(&answers[i]);
    return guessed;
}

#define MOST(range)                                                    \
    "(resets(m_total[" range "]) + 1) * (max_over_time(m_total[" range \
    "]) - min_over_time(m_total[" range "]))"

UNIT_TEST(test_increases_without_corrections_are_between_zero_and_what_fits)
{
    static const uint32_t restarts_one_in[] = {0, 0, 0, 200, 50, 20, 5, 2};
    unsigned guessed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double from = round % 3 == 0 ? 10000 : round % 3 == 1 ? -10000 : 0;
        struct world w =
            world_of(shifted_seed(2100 + round), true, restarts_one_in[round % 8], from);
        w.levels.keeps_correction = false;
        w.levels.stored = round % 2 == 0;
        guessed += expect_bounded(&w, "increase(m_total[1h])", MOST("1h"));
        guessed += expect_bounded(&w, "increase(m_total[5h])", MOST("5h"));
        world_free(&w);
    }
    assert_true(guessed > 0);
}

/* --- words ------------------------------------------------------------------------------------ */

/* A counter of a sample each minute: an hour of windows of 1 h, an hour of 5 m, then raw. */
static struct world
plain_world(void)
{
    struct world w = {.is_tame = true};
    arena_init(&w.arena, NULL, 0, 0);
    assert_int_equal(memory_store_new(NULL, &w.store), OK);
    struct bytes labels = labels_of_text("__name__=m_total i=0", &w.arena);
    for (int64_t i = 1; i <= 180; i++)
        add(&w, labels, BASE_MS + i * MINUTE_MS, double_bits((double)i));
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
        while (promql_next_series(a.result, &labels))
            while (promql_next_point(a.result, false, &p))
                buf_printf(&words, "%g ", p.value);
        for (uint32_t i = 0; promql_note(a.result, PROMQL_INFO, i, &words); i++) {
        }
    }
    buf_put_u8(&words, 0);
    assert_string_equal((const char *)words.at, expected);
    buf_fini(&words);
    answer_free(&a);
    world_free(&w);
}

/* --- infos ------------------------------------------------------------------------------------ */

/* Writes an expression of one series over a range, or of an instant. */
static void
random_expression(struct rng *rng, bool is_tame, char to[160])
{
    static const char *const calls[] = {"count_over_time(",
                                        "min_over_time(",
                                        "max_over_time(",
                                        "first_over_time(",
                                        "last_over_time(",
                                        "present_over_time(",
                                        "absent_over_time(",
                                        "ts_of_first_over_time(",
                                        "ts_of_last_over_time(",
                                        "ts_of_max_over_time(",
                                        "ts_of_min_over_time(",
                                        "changes(",
                                        "resets(",
                                        "rate(",
                                        "increase(",
                                        "delta(",
                                        "irate(",
                                        "idelta(",
                                        "deriv(",
                                        "quantile_over_time(0.3, ",
                                        "stddev_over_time(",
                                        "mad_over_time(",
                                        "sum_over_time(",
                                        "avg_over_time("};
    static const char *const ranges[] = {"15s", "1m", "4m",  "5m", "301s", "10m",
                                         "59m", "1h", "61m", "2h", "3h",   "5h"};
    static const char *const shifts[] = {
        "", "", "", " offset 5m", " offset 1h", " offset -1h", " offset 17m"};
    enum { CALLS = sizeof calls / sizeof *calls, ADDING = 2 };
    unsigned series = (unsigned)rng_below(rng, SERIES);
    const char *shift = shifts[rng_below(rng, 7)];
    if (rng_below(rng, 4) == 0) {
        static const char *const around[] = {"(", "timestamp(", "absent(", "count("};
        snprintf(to, 160, "%sm_total{i=\"%u\"}%s)", around[rng_below(rng, 4)], series, shift);
        return;
    }
    snprintf(to, 160, "%sm_total{i=\"%u\"}[%s]%s)",
             calls[rng_below(rng, is_tame ? CALLS : CALLS - ADDING)], series,
             ranges[rng_below(rng, 12)], shift);
}

/* A time on, or around, the end of a window, or any. */
static int64_t
random_time(struct rng *rng)
{
    int64_t t_ms = BASE_MS + (int64_t)rng_below(rng, (HOURS + 1) * (uint64_t)HOUR_MS);
    switch (rng_below(rng, 4)) {
    case 0:
        return t_ms;
    case 1:
        return rollup_window_end(t_ms, ROLLED_FINE_MS) + (int64_t)rng_below(rng, 3) - 1;
    case 2:
        return rollup_window_end(t_ms, HOUR_MS) + (int64_t)rng_below(rng, 3) - 1;
    default:
        return rollup_window_end(t_ms, HOUR_MS);
    }
}

UNIT_TEST(test_answers_without_an_info_are_those_of_the_raw_samples)
{
    enum { QUESTIONS = 200 };
    static const int64_t lookbacks_ms[] = {MINUTE_MS, 5 * MINUTE_MS, 5 * MINUTE_MS, HOUR_MS};
    uint64_t without = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = world_new(shifted_seed(1900 + round), round % 2 == 0);
        for (unsigned i = 0; i < QUESTIONS; i++) {
            char text[160];
            random_expression(&w.rng, w.is_tame, text);
            struct promql_options o = options_over(random_time(&w.rng), 0);
            o.last_ms = o.first_ms;
            o.lookback_ms = lookbacks_ms[rng_below(&w.rng, 4)];
            struct answer rolled = ask(&w, true, text, &o), raw = ask(&w, false, text, &o);
            bool is_told = promql_note_count(rolled.result, PROMQL_INFO) !=
                           promql_note_count(raw.result, PROMQL_INFO);
            answer_free(&rolled);
            answer_free(&raw);
            if (is_told) continue;
            without++;
            expect_same(&w, text, &o);
        }
        world_free(&w);
    }
    assert_true(without > 0);
}

UNIT_TEST(test_infos_say_where_answers_are_approximate)
{
    expect_words("m_total", 60, -1, "60 ");
    expect_words("m_total", 90, -1, "90 ");
    expect_words("m_total", 0, -1, "");
    expect_words("m_total", 30, -1,
                 "PromQL info: samples are downsampled to 1h; series that begin in a window are "
                 "shown from its end on (1:1)");
    expect_words("m_total", 92, -1,
                 "90 PromQL info: samples are downsampled to 5m; values are up to 5m older (1:1)");
    expect_words("increase(m_total[1h])", 60, -1, "60 ");
    expect_words("increase(m_total[1h])", 150, -1, "60 ");
    expect_words("increase(m_total[5m])", 60, -1,
                 "5 PromQL info: samples are downsampled to 1h; the range was widened to whole "
                 "windows (1:10)");
    expect_words("increase(m_total[6m])", 100, -1,
                 "6 PromQL info: samples are downsampled to 5m; the range was widened to whole "
                 "windows (1:10)");
    expect_words("deriv(m_total[1h])", 60, -1,
                 "0.0166667 PromQL info: samples are downsampled to 1h; deriv() is approximate "
                 "(1:7)");
    expect_words("m_total[10m]", 60, -1,
                 "60 PromQL info: samples are downsampled to 1h; a range has the last one of each "
                 "window (1:1)");
}

UNIT_TEST(test_a_finer_resolution_than_there_is_is_refused_and_says_until_when)
{
    expect_words("m_total", 60, HOUR_MS, "60 ");
    expect_words("m_total", 180, 0, "180 ");
    expect_words("m_total", 60, 0,
                 "samples until 2015-08-19T17:00:00.000Z are downsampled to 1h, "
                 "max_source_resolution is 0s");
    expect_words("rate(m_total[1h])", 120, 0,
                 "samples until 2015-08-19T18:00:00.000Z are downsampled to 5m, "
                 "max_source_resolution is 0s");
    expect_words("m_total[1h]", 60, ROLLED_FINE_MS,
                 "samples until 2015-08-19T17:00:00.000Z are downsampled to 1h, "
                 "max_source_resolution is 5m");
}

UNIT_TEST(test_an_analysis_says_which_resolution_an_operator_was_given)
{
    struct world w = plain_world();
    struct promql_options o = options_over(BASE_MS + HOUR_MS, 0);
    struct promql_tree *tree;
    struct promql_result *result;
    struct view *view;
    struct buf text;
    struct why why;
    buf_init(&text, NULL, 1 << 16);
    assert_int_equal(memory_store_open(w.store, NULL, &view, &why), OK);
    view = rolled_view_new(view, &w.levels);
    struct bytes query = bytes_of_text("rate(m_total[1h])");
    assert_int_equal(promql_parse(query, NULL, NULL, &tree, &text), OK);
    assert_int_equal(promql_explain(tree, view, &o, &o.plan, &text, &why), OK);
    assert_int_equal(promql_plan_put(o.plan, PLAN_MEMORY_HIDDEN, &text), OK);
    buf_put_u8(&text, 0);
    assert_null(strstr((const char *)text.at, "downsampled"));
    buf_clear(&text);
    assert_int_equal(promql_run(tree, view, &o, &result, &text, &why), OK);
    assert_int_equal(promql_plan_put(o.plan, PLAN_MEMORY_HIDDEN, &text), OK);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.at, "; downsampled to 1h\""));
    promql_result_free(result);
    promql_plan_free(o.plan);
    promql_free(tree);
    view_free(view);
    buf_fini(&text);
    world_free(&w);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_of_whole_windows_are_exact_across_levels),
        cmocka_unit_test(test_counters_that_restart_in_any_share_of_windows_are_exact),
        cmocka_unit_test(test_instant_vectors_at_the_ends_of_windows_are_exact),
        cmocka_unit_test(test_levels_of_two_sources_are_merged_exactly),
        cmocka_unit_test(test_the_replica_with_more_samples_gives_a_window),
        cmocka_unit_test(test_within_a_window_a_series_has_what_ended_before_it),
        cmocka_unit_test(test_a_death_is_shown_in_time_and_there_are_no_gaps),
        cmocka_unit_test(test_quantiles_lie_between_the_least_and_the_greatest_value),
        cmocka_unit_test(test_lines_and_neighbours_use_the_ends_of_windows),
        cmocka_unit_test(test_rates_without_corrections_err_within_the_bounds_of_windows),
        cmocka_unit_test(test_increases_without_corrections_are_between_zero_and_what_fits),
        cmocka_unit_test(test_answers_without_an_info_are_those_of_the_raw_samples),
        cmocka_unit_test(test_infos_say_where_answers_are_approximate),
        cmocka_unit_test(test_an_analysis_says_which_resolution_an_operator_was_given),
        cmocka_unit_test(test_a_finer_resolution_than_there_is_is_refused_and_says_until_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
