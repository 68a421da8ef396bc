/*
 * tsdb_levels_test.c - levels of downsampling: rollups and samples that are read from a store,
 * joined by hour, are the rollups of the samples that were sent, whatever was flushed, merged,
 * deleted, restarted or came late in between; plain reading gives last samples; the ledger
 * balances.
 */
#include "lib/test.h"

#include <math.h>

#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "model/series_rules.h"
#include "tsdb/store/manifest.h"

enum { SERIES = 5, SAMPLES_MAX = 40000, HOURS = 24 * 20, STEP_MS = 15000 };
#define FINE_MS   (5 * MINUTE_MS)
#define COARSE_MS (60 * MINUTE_MS)

struct point {
    int64_t t_ms;
    uint64_t bits;
};

struct world {
    struct machine m;
    struct rng r;
    struct point *points[SERIES];
    uint32_t count[SERIES];
    bool deleted[SERIES][HOURS];
    uint64_t late[SERIES]
                 [HOURS]; /* samples that came after a merge may have rolled up their hour */
    struct rollup read[SERIES][HOURS];
    uint64_t rollups_read;
    bool seen_fine;
    bool seen_coarse;
    bool seen_before;
    struct series_rules *fine;
    struct series_rules *coarse;
    int64_t begin_ms;
    int64_t now_ms;
};

static void
set_levels(struct world *w)
{
    const struct series_rule fine = {"{n!=\"4\"}", NULL, 0, 3 * COARSE_MS};
    const struct series_rule coarse = {"{n!~\"[04]\"}", NULL, 0, 12 * COARSE_MS};
    must(series_rules_new(&fine, 1, NULL, &w->fine, &w->m.why));
    must(series_rules_new(&coarse, 1, NULL, &w->coarse, &w->m.why));
    w->m.limits.levels[0] = (struct tsdb_level){FINE_MS, w->fine};
    w->m.limits.levels[1] = (struct tsdb_level){COARSE_MS, w->coarse};
    w->m.limits.level_count = 2;
}

static uint32_t
hour_of(const struct world *w, int64_t t_ms)
{
    int64_t hour = (rollup_window_end(t_ms, COARSE_MS) - w->begin_ms) / COARSE_MS;
    assert_true(hour >= 0 && hour < HOURS);
    return (uint32_t)hour;
}

static uint64_t
value_at(struct world *w, uint32_t series, uint32_t n)
{
    if (series < 2) return double_bits((double)(n % 500)); /* counters, with resets */
    if (series == 2) return double_bits(7);
    if (rng_below(&w->r, 300) == 0) return STALE_NAN_BITS;
    if (rng_below(&w->r, 300) == 0) return double_bits(__builtin_nan(""));
    return double_bits((double)rng_below(&w->r, 1000) / 10 - 20);
}

/* Inserts by time. False if there is one of that time. */
static bool
note_point(struct world *w, uint32_t series, struct point p)
{
    struct point *all = w->points[series];
    uint32_t at = w->count[series];
    while (at > 0 && all[at - 1].t_ms > p.t_ms)
        at--;
    if (at > 0 && all[at - 1].t_ms == p.t_ms) return false;
    assert_true(w->count[series] < SAMPLES_MAX);
    memmove(all + at + 1, all + at, (w->count[series] - at) * sizeof *all);
    all[at] = p;
    w->count[series]++;
    return true;
}

static void
send(struct world *w, uint32_t series, const struct point *points, uint32_t count)
{
    char labels[40];
    struct rq rq;
    if (count == 0) return;
    snprintf(labels, sizeof labels, "__name__=m,n=%u", series);
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    for (uint32_t i = 0; i < count; i++)
        rq_float(&rq, points[i].t_ms, points[i].bits, 0);
    must(machine_send(&w->m, "a", &rq));
    rq_fini(&rq);
}

/* Sends the samples up to a moment, in random order within it, some only at the next call. */
static void
send_until(struct world *w, int64_t until_ms)
{
    static struct point points[4000];
    sim_env_advance_ns(w->m.sim, (until_ms - w->now_ms) * NS_PER_MS);
    for (uint32_t s = 0; s < SERIES; s++) {
        uint32_t n = 0;
        bool gap = rng_below(&w->r, 6) == 0;
        for (int64_t t = w->now_ms + STEP_MS; t <= until_ms && !gap; t += STEP_MS) {
            int64_t jitter = s == 1 ? (int64_t)rng_below(&w->r, 2000) : 0;
            struct point p = {t - jitter, value_at(w, s, (uint32_t)(t / STEP_MS))};
            if (rng_below(&w->r, 40) == 0) continue;
            if (note_point(w, s, p)) points[n++] = p;
        }
        uint32_t cut = n == 0 ? 0 : (uint32_t)rng_below(&w->r, n);
        bool late = rng_below(&w->r, 4) == 0;
        send(w, s, points + (late ? cut : 0), n - (late ? cut : 0));
        if (late) send(w, s, points, cut);
    }
    machine_commit(&w->m);
    w->now_ms = until_ms;
}

/* Sends a sample that is older than a level. */
static void
send_late(struct world *w)
{
    uint32_t series = (uint32_t)rng_below(&w->r, SERIES);
    int64_t most_ms = w->now_ms - w->begin_ms;
    struct point p = {w->begin_ms + 1 + (int64_t)rng_below(&w->r, (uint64_t)most_ms),
                      double_bits(5)};
    uint32_t hour = hour_of(w, p.t_ms);
    if (w->deleted[series][hour]) return;
    w->late[series][hour]++;
    send(w, series, &p, 1);
    machine_commit(&w->m);
}

static void
delete_hours(struct world *w)
{
    char match[40];
    struct selector selector;
    struct tsdb_deletion d;
    uint32_t series = (uint32_t)rng_below(&w->r, SERIES);
    int64_t hours = (w->now_ms - w->begin_ms) / COARSE_MS;
    if (hours < 2) return;
    int64_t first = (int64_t)rng_below(&w->r, (uint64_t)hours - 1) + 1;
    snprintf(match, sizeof match, "m{n=\"%u\"}", series);
    must(selector_parse(text(match), &selector, &w->m.why));
    int64_t end_ms = w->begin_ms + first * COARSE_MS;
    machine_flush(&w->m); /* the caller of tsdb_delete() does */
    must(tsdb_delete(w->m.db, text("a"), &selector, 1, end_ms - COARSE_MS + 1, end_ms, &d,
                     &w->m.why));
    w->deleted[series][first] = true;
    w->late[series][first] = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->count[series]; i++) {
        struct point p = w->points[series][i];
        if (hour_of(w, p.t_ms) != first) w->points[series][kept++] = p;
    }
    w->count[series] = kept;
}

static void
merge(struct world *w, enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    machine_flush(&w->m); /* what is in the head may be of windows that are rolled up */
    do {
        must(tsdb_merge(w->m.db, &options, &r, &w->m.why));
    } while (r.input_count > 0);
}

static uint32_t
series_of(struct bytes labels)
{
    struct bytes n = labels_get(labels, text("n"));
    assert_int_equal(n.size, 1);
    return (uint32_t)(n.at[0] - '0');
}

/* Reads rollups, and joins them with samples by hour. */
static void
read_hours(struct world *w)
{
    struct question q;
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    memset(w->read, 0, sizeof w->read);
    w->rollups_read = 0;
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.hints.rollups = ROLLUP_WHOLE;
    must(answerer_select(tsdb_answerer(w->m.db), &q.request, &set, &w->m.why));
    while (series_set_next(set, &labels, &w->m.why) == OK && labels.at != NULL) {
        uint32_t series = series_of(labels);
        int64_t last_ms = INT64_MIN;
        for (;;) {
            must(series_set_batch(set, &b, &w->m.why));
            if (b.count == 0) break;
            for (uint32_t i = 0; i < b.count; i++) {
                struct rollup one = b.rollups != NULL
                                        ? b.rollups[i]
                                        : rollup_of_sample(b.times_ms[i], b.value_bits[i]);
                assert_true(rollup_begin_ms(&one) > last_ms);
                last_ms = rollup_end_ms(&one);
                w->rollups_read += b.rollups != NULL;
                w->seen_fine |= b.rollups != NULL && b.resolution_ms == FINE_MS;
                w->seen_coarse |= b.rollups != NULL && b.resolution_ms == COARSE_MS;
                assert_true(b.rollups == NULL || series != 4); /* no rule matches */
                assert_true(b.rollups == NULL || series != 0 || b.resolution_ms == FINE_MS);
                rollup_join(&w->read[series][hour_of(w, last_ms)], &one);
            }
        }
    }
    series_set_free(set);
    question_fini(&q);
}

/* A question about a moment in a window of an hour is given what ended before it, too. */
static void
read_before(struct world *w, uint32_t hour)
{
    struct question q;
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    int64_t t_ms = w->begin_ms + hour * COARSE_MS - COARSE_MS / 2;
    question_init(&q, "a", every_series, 1, t_ms, t_ms);
    q.request.hints.rollups = ROLLUP_LAST;
    must(answerer_select(tsdb_answerer(w->m.db), &q.request, &set, &w->m.why));
    while (series_set_next(set, &labels, &w->m.why) == OK && labels.at != NULL) {
        uint32_t series = series_of(labels);
        struct rollup before = {.count = 0};
        bool in_window = false;
        for (;;) {
            must(series_set_batch(set, &b, &w->m.why));
            if (b.count == 0) break;
            for (uint32_t i = 0; i < b.count; i++) {
                struct rollup one = b.rollups != NULL
                                        ? b.rollups[i]
                                        : rollup_of_sample(b.times_ms[i], b.value_bits[i]);
                uint32_t its_hour = hour_of(w, rollup_end_ms(&one));
                if (its_hour + 1 == hour) rollup_join(&before, &one);
                in_window |= its_hour == hour && b.resolution_ms == COARSE_MS;
            }
        }
        if (!in_window) continue;
        int64_t last_ms = w->read[series][hour - 1].last_ms;
        if (before.count == 0 && last_ms <= t_ms - COARSE_MS) continue; /* no window has it */
        assert_int_equal(before.last_ms, last_ms);
        w->seen_before = true;
    }
    series_set_free(set);
    question_fini(&q);
}

static void
expect_near(double got, double want)
{
    if (isnan(want)) {
        assert_true(isnan(got));
        return;
    }
    assert_true(fabs(got - want) <= 1e-9 * (1 + fabs(want)));
}

static void
expect_hour(const struct rollup *got, const struct rollup *want, uint64_t late)
{
    if (late > 0) { /* some may have lost */
        assert_true(got->count >= want->count);
        assert_true(got->count <= want->count + late);
        return;
    }
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->is_stale, want->is_stale);
    if (want->is_stale) assert_int_equal(got->stale_ms, want->stale_ms);
    if (want->count == 0) return;
    assert_int_equal(got->first_ms, want->first_ms);
    assert_int_equal(got->last_ms, want->last_ms);
    assert_int_equal(got->first_bits, want->first_bits);
    assert_int_equal(got->last_bits, want->last_bits);
    assert_int_equal(got->nan_count, want->nan_count);
    assert_int_equal(got->resets, want->resets);
    assert_int_equal(got->changes, want->changes);
    if (want->count > want->nan_count) {
        assert_true(got->least == want->least);
        assert_true(got->greatest == want->greatest);
    }
    expect_near(rollup_sum(got), rollup_sum(want));
    if (!isnan(got->correction)) expect_near(got->correction, want->correction);
}

static void
compare_hours(struct world *w)
{
    read_hours(w);
    for (uint32_t s = 0; s < SERIES; s++) {
        uint32_t at = 0;
        for (uint32_t hour = 0; hour < HOURS; hour++) {
            struct rollup want = {.count = 0};
            for (; at < w->count[s] && hour_of(w, w->points[s][at].t_ms) == hour; at++) {
                struct rollup one = rollup_of_sample(w->points[s][at].t_ms, w->points[s][at].bits);
                rollup_join(&want, &one);
            }
            expect_hour(&w->read[s][hour], &want, w->late[s][hour]);
        }
    }
}

struct plain {
    struct world *world;
    uint32_t series;
    uint32_t at;
    uint64_t count;
};

/* Each sample is one that was sent, with its bits. */
static void
check_plain(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    struct plain *x = context;
    const struct world *w = x->world;
    uint32_t s = series_of(labels);
    int64_t t_ms = batch->times_ms[index];
    if (s != x->series) *x = (struct plain){x->world, s, 0, x->count};
    x->count++;
    if (w->late[s][hour_of(w, t_ms)] > 0) return;
    while (x->at < w->count[s] && w->points[s][x->at].t_ms < t_ms)
        x->at++;
    assert_true(x->at < w->count[s]);
    assert_int_equal(w->points[s][x->at].t_ms, t_ms);
    assert_int_equal(w->points[s][x->at].bits, batch->value_bits[index]);
}

static void
compare_plain(struct world *w)
{
    struct question q;
    struct query_control control = {.env = w->m.env};
    struct plain x = {w, UINT32_MAX, 0, 0};
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.control = &control;
    must(machine_select(&w->m, &q, check_plain, &x));
    question_fini(&q);
    assert_true((atomic_load(&control.thinned_to_ms) > 0) == (w->rollups_read > 0));
}

static void
world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->r.state = seed;
    machine_init(&w->m, seed);
    for (uint32_t s = 0; s < SERIES; s++)
        w->points[s] = calloc(SAMPLES_MAX, sizeof *w->points[s]);
    set_levels(w);
    machine_must_open(&w->m);
    w->begin_ms = w->now_ms = SIM_BEGIN;
}

static void
world_fini(struct world *w)
{
    w->m.limits.level_count = 0;
    if (w->m.db != NULL) tsdb_set_limits(w->m.db, &w->m.limits);
    series_rules_unref(w->fine);
    series_rules_unref(w->coarse);
    for (uint32_t s = 0; s < SERIES; s++)
        free(w->points[s]);
    machine_fini(&w->m);
}

static void
crash_in_merge(struct world *w)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    machine_flush(&w->m);
    fault_env_arm(w->m.fe, (struct fault){FAULT_EIO, 1 + rng_below(&w->r, 60), true});
    err_ignore(tsdb_merge(w->m.db, &options, &r, &w->m.why), "the power may fail in it");
    fault_env_disarm(w->m.fe);
    sim_env_power_loss(w->m.sim);
    machine_close(&w->m);
    machine_must_open(&w->m);
}

/* Both rules have counted; what they do not count was joined with a window that existed. */
static void
compare_rules(struct world *w, uint64_t downsampled)
{
    struct arena arena;
    struct manifest manifest;
    uint64_t samples = 0;
    arena_init(&arena, NULL, 0, 0);
    must(manifest_read(w->m.env, STORE_DIR, &arena, &manifest, &w->m.why));
    assert_int_equal(manifest.done_count[RULES_DOWNSAMPLE], 2);
    for (uint32_t i = 0; i < 2; i++) {
        const struct manifest_done *r = &manifest.done[RULES_DOWNSAMPLE][i];
        bool is_fine = r->resolution_ms == FINE_MS;
        assert_true(is_fine || r->resolution_ms == COARSE_MS);
        assert_true(bytes_equal_text(r->match, is_fine ? "{n!=\"4\"}" : "{n!~\"[04]\"}"));
        assert_true(r->done.samples[LEDGER_FLOAT] > 0 && r->done.windows > 0 && r->done.bytes > 0);
        samples += r->done.samples[LEDGER_FLOAT];
    }
    assert_true(samples <= downsampled && samples > downsampled / 2);
    arena_fini(&arena);
}

/* Returns the samples that came after a window of their time. */
static uint64_t
run_random(uint64_t seed, uint32_t steps, bool deletes, bool late)
{
    static struct world w;
    uint64_t rollups = 0;
    world_init(&w, seed);
    for (uint32_t i = 0; i < steps; i++) {
        send_until(&w, w.now_ms + STEP_MS * (int64_t)(1 + rng_below(&w.r, 700)));
        switch (rng_below(&w.r, 7)) {
        case 0:
            merge(&w, TSDB_MERGE_DUE);
            break;
        case 1:
            merge(&w, TSDB_MERGE_FULL);
            break;
        case 2:
            machine_flush(&w.m);
            machine_verified_restart(&w.m);
            break;
        case 3:
            if (deletes) delete_hours(&w);
            break;
        case 4:
            if (late) send_late(&w);
            break;
        case 5:
            crash_in_merge(&w);
            break;
        default:
            machine_flush(&w.m);
        }
        compare_hours(&w);
        compare_plain(&w);
        for (uint32_t hour = 1; hour < HOURS; hour += 1 + (uint32_t)rng_below(&w.r, 9))
            read_before(&w, hour);
        machine_ledger(&w.m, "a");
        rollups += w.rollups_read;
    }
    merge(&w, TSDB_MERGE_FULL);
    compare_hours(&w);
    struct ledger l = machine_ledger(&w.m, "a");
    assert_true(rollups > 0 && w.seen_fine && w.seen_coarse && w.seen_before);
    assert_true(l.count[LEDGER_FLOAT][LEDGER_DOWNSAMPLED] > 0);
    machine_verified_restart(&w.m);
    compare_rules(&w, l.count[LEDGER_FLOAT][LEDGER_DOWNSAMPLED]);
    world_fini(&w);
    return l.count[LEDGER_FLOAT][LEDGER_SUPERSEDED_BY_WINDOW] +
           l.count[LEDGER_FLOAT][LEDGER_MISSED_BY_WINDOW];
}

UNIT_TEST(test_rollups_are_those_of_the_samples_that_were_sent)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        assert_int_equal(run_random(seed, 40, false, false), 0);
}

UNIT_TEST(test_deleted_windows_are_hidden_and_others_stay)
{
    for (uint64_t seed = 101; seed <= 104; seed++)
        assert_int_equal(run_random(seed, 40, true, false), 0);
}

UNIT_TEST(test_late_samples_are_joined_or_lose_and_change_nothing_else)
{
    uint64_t by_window = 0;
    for (uint64_t seed = 201; seed <= 204; seed++)
        by_window += run_random(seed, 40, false, true);
    assert_true(by_window > 0);
}

static void
count_deltas(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    bool is_delta = series_of(labels) == 2 && batch->starts_ms != NULL &&
                    batch->starts_ms[index] == batch->times_ms[index] - STEP_MS;
    *(uint32_t *)context += is_delta;
}

/* Beside a counter with the same samples, whose start time is that of all. */
UNIT_TEST(test_deltas_stay_samples_with_their_start_times)
{
    enum { SAMPLES = 6 * 240 };
    static struct world w;
    world_init(&w, 301);
    w.now_ms += SAMPLES * STEP_MS;
    sim_env_advance_ns(w.m.sim, SAMPLES * STEP_MS * NS_PER_MS);
    for (uint32_t s = 2; s < 4; s++) {
        char labels[40];
        struct rq rq;
        snprintf(labels, sizeof labels, "__name__=m,n=%u", s);
        rq_init(&rq, RW_V2);
        rq_series(&rq, labels);
        for (uint32_t i = 1; i <= SAMPLES; i++) {
            int64_t t_ms = w.begin_ms + i * STEP_MS;
            uint64_t bits = double_bits((double)rng_below(&w.r, 1 << 30) / 7);
            rq_float(&rq, t_ms, bits, s == 2 ? t_ms - STEP_MS : w.begin_ms);
        }
        must(machine_send(&w.m, "a", &rq));
        rq_fini(&rq);
    }
    machine_commit(&w.m);
    for (unsigned i = 0; i < 8; i++)
        send_until(&w, w.now_ms + 2 * COARSE_MS);
    merge(&w, TSDB_MERGE_FULL);
    read_hours(&w);
    assert_true(w.rollups_read > 0);
    struct question q;
    uint32_t deltas = 0;
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    must(machine_select(&w.m, &q, count_deltas, &deltas));
    assert_int_equal(deltas, SAMPLES);
    question_fini(&q);
    world_fini(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rollups_are_those_of_the_samples_that_were_sent, tell_seed),
        cmocka_unit_test_teardown(test_deleted_windows_are_hidden_and_others_stay, tell_seed),
        cmocka_unit_test_teardown(test_late_samples_are_joined_or_lose_and_change_nothing_else,
                                  tell_seed),
        cmocka_unit_test_teardown(test_deltas_stay_samples_with_their_start_times, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
