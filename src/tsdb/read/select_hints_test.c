/*
 * select_hints_test.c - hints do not change answers: statistics used instead of samples give the
 * same values, and shards add up to the whole.
 */
#include <stdlib.h>

#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"

enum { SERIES = 24, ROUNDS = 24, QUESTIONS = 60, SAMPLES_MAX = 200000, SHARDS = 3 };

#define T0 (SIM_BEGIN - 600 * MINUTE_MS)

static struct machine m;

static int
setup(void **state)
{
    (void)state;
    machine_init(&m, 1);
    machine_must_open(&m);
    return 0;
}

static int
teardown(void **state)
{
    if (machine_seed >= 0) machine_fini(&m);
    return tell_seed(state);
}

/* --- stored samples --------------------------------------------------------------------------- */

/* Returns the next value; each series has its own pattern: counters, some with resets, zeros of
 * both signs, one value... */
static uint64_t
next_value(struct rng *r, unsigned series, int64_t t_ms, double *at)
{
    switch (series % 8) {
    case 0:
        *at += (double)rng_below(r, 10);
        break;
    case 1:
        *at = rng_below(r, 40) == 0 ? 0 : *at + (double)rng_below(r, 10) / 8;
        break;
    case 2:
        *at = 3.5;
        break;
    case 3:
        *at = rng_below(r, 2) == 0 ? 0.0 : -0.0;
        if (series < 8)
            *at = t_ms % (20 * 60 * 1000) > 100000 ? 1.0 : *at;
        else if (rng_below(r, 3) == 0)
            *at = series < SERIES / 2 ? 1.0 : -1.0;
        break;
    case 4:
    /* sums of histograms: a marker in the middle of a block, and NaN that are not markers */
    case 6:
    case 7:
        *at = rng_below(r, 100) == 0 ? __builtin_nan("") : (double)rng_below(r, 1000) - 500;
        break;
    default:
        *at = 1.0 / (1.0 + (double)rng_below(r, 100000));
    }
    return double_bits(*at);
}

/* Adds a sample; two of eight series have histograms, where staleness markers do not
 * begin a block. */
static void
put_sample(struct rq *rq, struct rng *r, unsigned series, int64_t t_ms, uint64_t bits)
{
    if (series % 8 < 6) {
        rq_float(rq, t_ms, bits, 0);
        return;
    }
    bool is_stale = bits == STALE_NAN_BITS || rng_below(r, 300) == 0;
    struct histogram h = {
        .kind = series % 8 == 6 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
        .sum_bits = is_stale ? STALE_NAN_BITS : bits,
    };
    rq_histogram(rq, t_ms, &h, 0);
}

/* Sends a run of samples of each series, a second apart; some series end. */
static void
send_runs(struct rng *r, int64_t t_ms, uint32_t count, double *at)
{
    for (unsigned s = 0; s < SERIES; s++) {
        char labels[64];
        struct rq rq;
        if (rng_below(r, 8) == 0) continue;
        snprintf(labels, sizeof labels, "__name__=m,s=%02u", s);
        rq_init(&rq, RW_V1);
        rq_series(&rq, labels);
        for (uint32_t i = 0; i < count; i++) {
            bool ends = i + 1 == count && rng_below(r, 10) == 0;
            put_sample(&rq, r, s, t_ms + i * 1000,
                       ends ? STALE_NAN_BITS : next_value(r, s, t_ms + i * 1000, &at[s]));
        }
        must(machine_send(&m, "a", &rq));
        rq_fini(&rq);
        machine_commit(&m);
    }
}

static uint64_t
bits_at(const struct sample_batch *b, uint32_t i)
{
    return b->kind == SAMPLE_FLOAT ? b->value_bits[i] : b->histograms[i].sum_bits;
}

/* --- an answer -------------------------------------------------------------------------------- */

struct got {
    uint32_t series;
    int64_t t_ms;
    uint64_t bits; /* bits of the sum, for a histogram */
    enum sample_kind kind;
};

struct answer {
    struct got *items;
    uint32_t count;
    uint32_t at; /* position in the answer with hints: the next expected sample */
    uint32_t summaries;
    uint32_t histogram_summaries;
};

static struct query_request
all_between(int64_t min_ms, int64_t max_ms)
{
    return (struct query_request){.tenant = bytes_of_text("a"), .min_ms = min_ms, .max_ms = max_ms};
}

static uint32_t
number_of(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label = {.name = bytes_of(NULL, 0)};
    while (labels_next(&c, &label) && !bytes_equal_text(label.name, "s")) {
    }
    assert_true(bytes_equal_text(label.name, "s"));
    return (uint32_t)(label.value.at[0] - '0') * 10 + (uint32_t)(label.value.at[1] - '0');
}

static void
collect(const struct query_request *request, struct answer *to)
{
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    must(answerer_select(tsdb_answerer(m.db), request, &set, &m.why));
    for (;;) {
        must(series_set_next(set, &labels, &m.why));
        if (labels.at == NULL) break;
        uint32_t series = number_of(labels);
        for (;;) {
            must(series_set_batch(set, &b, &m.why));
            if (b.count == 0) break;
            assert_null(b.summary);
            assert_true(to->count + b.count <= SAMPLES_MAX);
            for (uint32_t i = 0; i < b.count; i++) {
                to->items[to->count++] =
                    (struct got){series, b.times_ms[i], bits_at(&b, i), b.kind};
            }
        }
    }
    series_set_free(set);
}

/* --- the same with summaries ------------------------------------------------------------------ */

static void
check_summary(const struct got *x, uint32_t count, const struct sample_summary *s, unsigned wanted)
{
    double least = bits_double(x[0].bits), greatest = least;
    assert_int_equal(x[0].t_ms, s->min_ms);
    assert_int_equal(x[count - 1].t_ms, s->max_ms);
    for (uint32_t i = 0; i < count; i++) {
        double v = bits_double(x[i].bits);
        if (x[0].kind != SAMPLE_FLOAT) {
            assert_int_equal(wanted, SUMMARY_COUNT);
            assert_true(x[i].bits != STALE_NAN_BITS);
            continue;
        }
        assert_true(v == v);
        if (v < least) least = v;
        if (v > greatest) greatest = v;
        if (i > 0 && (wanted & SUMMARY_ENDS)) assert_true(v >= bits_double(x[i - 1].bits));
    }
    if (wanted & SUMMARY_EXTREMES) {
        assert_int_equal(double_bits(s->least), double_bits(least));
        assert_int_equal(double_bits(s->greatest), double_bits(greatest));
    }
    if (wanted & SUMMARY_ENDS) {
        assert_int_equal(double_bits(s->first), x[0].bits);
        assert_int_equal(double_bits(s->last), x[count - 1].bits);
    }
}

/* Checks that each window covers all samples or none. Windows that end before the first sample or
 * begin after the last one cover none. */
static void
check_windows(const struct query_windows *w, int64_t min_ms, int64_t max_ms)
{
    int64_t end_ms = w->first_ms;
    if (w->step_ms > 0 && min_ms > end_ms) end_ms += (min_ms - end_ms) / w->step_ms * w->step_ms;
    for (; end_ms == w->first_ms || end_ms <= w->last_ms; end_ms += w->step_ms) {
        int64_t begin_ms = end_ms - w->range_ms;
        bool all = begin_ms < min_ms && max_ms <= end_ms;
        assert_true(all || max_ms <= begin_ms || min_ms > end_ms);
        if (w->step_ms == 0 || begin_ms >= max_ms) break;
    }
}

static void
compare_batch(struct answer *plain, uint32_t series, const struct sample_batch *b,
              const struct query_hints *hints)
{
    const struct got *x = &plain->items[plain->at];
    assert_true(plain->at + b->count <= plain->count);
    plain->at += b->count;
    if (b->summary != NULL) {
        plain->summaries++;
        plain->histogram_summaries += b->kind != SAMPLE_FLOAT;
        check_summary(x, b->count, b->summary, hints->summaries);
        check_windows(&hints->windows, b->summary->min_ms, b->summary->max_ms);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        assert_int_equal(x[i].series, series);
        assert_int_equal(x[i].kind, b->kind);
        if (b->summary != NULL) continue;
        assert_int_equal(x[i].t_ms, b->times_ms[i]);
        assert_int_equal(x[i].bits, bits_at(b, i));
    }
}

static void
compare(struct answer *plain, const struct query_request *request)
{
    struct series_set *set;
    struct bytes labels;
    struct sample_batch b;
    plain->at = 0;
    must(answerer_select(tsdb_answerer(m.db), request, &set, &m.why));
    for (;;) {
        must(series_set_next(set, &labels, &m.why));
        if (labels.at == NULL) break;
        uint32_t series = number_of(labels);
        for (;;) {
            must(series_set_batch(set, &b, &m.why));
            if (b.count == 0) break;
            compare_batch(plain, series, &b, &request->hints);
        }
    }
    assert_int_equal(plain->at, plain->count);
    series_set_free(set);
}

static void
ask(struct rng *r, struct answer *plain)
{
    int64_t span_ms = ROUNDS * 10 * MINUTE_MS;
    int64_t min_ms = T0 + (int64_t)rng_below(r, (uint64_t)span_ms);
    int64_t max_ms = min_ms + (int64_t)rng_below(r, (uint64_t)span_ms);
    if (rng_below(r, 3) == 0) min_ms = INT64_MIN, max_ms = INT64_MAX;
    struct query_request request = all_between(min_ms, max_ms);
    plain->count = 0;
    collect(&request, plain);
    request.hints.summaries = rng_below(r, 2) == 0 ? SUMMARY_COUNT : 1 + (unsigned)rng_below(r, 7);
    request.hints.windows = (struct query_windows){
        .first_ms = T0 + (int64_t)rng_below(r, (uint64_t)span_ms),
        .last_ms = T0 + span_ms,
        .step_ms = (int64_t)rng_below(r, 2) * (1 + (int64_t)rng_below(r, 100) * MINUTE_MS),
        .range_ms = (int64_t)rng_below(r, (uint64_t)span_ms),
    };
    compare(plain, &request);
}

static void
delete_some(struct rng *r)
{
    struct tsdb_deletion deletion;
    struct selector s;
    int64_t min_ms = T0 + (int64_t)rng_below(r, ROUNDS * 10 * MINUTE_MS);
    must(selector_parse(bytes_of_text("{s=~\".*[3-5]\"}"), &s, &m.why));
    must(tsdb_delete(m.db, bytes_of_text("a"), &s, 1, min_ms, min_ms + 5 * MINUTE_MS, &deletion,
                     &m.why));
}

static void
merge_some(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result result;
    must(tsdb_merge(m.db, &options, &result, &m.why));
}

UNIT_TEST(test_summaries_say_what_the_samples_say)
{
    struct rng r = {7};
    double at[SERIES] = {0};
    struct answer plain = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Now and then samples are late and overlap others. */
        unsigned when = rng_below(&r, 6) == 0 ? (unsigned)rng_below(&r, round + 1) : round;
        send_runs(&r, T0 + when * 10 * MINUTE_MS + 500 * (when != round),
                  1 + (uint32_t)rng_below(&r, 400), at);
        if (round % 4 != 3) machine_flush(&m);
        if (round % 9 == 8) delete_some(&r);
        if (round == 10) merge_some(TSDB_MERGE_DUE);
        if (round == 20) merge_some(TSDB_MERGE_FULL);
        for (unsigned i = 0; i < QUESTIONS; i++)
            ask(&r, &plain);
    }
    print_message("%u summaries stood for samples, %u for histograms\n", plain.summaries,
                  plain.histogram_summaries);
    assert_true(plain.summaries > 5000);
    assert_true(plain.histogram_summaries > 500);
    free(plain.items);
}

/* --- shards ----------------------------------------------------------------------------------- */

UNIT_TEST(test_shards_make_up_the_whole)
{
    struct rng r = {8};
    double at[SERIES] = {0};
    struct answer plain = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    struct answer some = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    for (unsigned round = 0; round < 4; round++) {
        send_runs(&r, T0 + round * 10 * MINUTE_MS, 20, at);
        if (round < 3) machine_flush(&m);
    }
    struct query_request request = all_between(INT64_MIN, INT64_MAX);
    collect(&request, &plain);
    bool seen[SERIES] = {false};
    uint32_t sum = 0;
    request.hints.shard_count = SHARDS;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        request.hints.shard = shard;
        some.count = 0;
        collect(&request, &some);
        assert_in_range(some.count, 1, plain.count - 1);
        for (uint32_t i = 0; i < some.count; i++) {
            bool first = i == 0 || some.items[i].series != some.items[i - 1].series;
            if (first) assert_false(seen[some.items[i].series]);
            seen[some.items[i].series] = true;
        }
        sum += some.count;
    }
    assert_int_equal(sum, plain.count);
    free(plain.items);
    free(some.items);
}

/* All series have one label besides `s`: one shard has all of them. */
UNIT_TEST(test_labels_may_not_count_for_a_shard)
{
    struct rng r = {9};
    double at[SERIES] = {0};
    struct answer plain = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    struct answer some = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    for (unsigned round = 0; round < 2; round++) {
        send_runs(&r, T0 + round * 10 * MINUTE_MS, 20, at);
        if (round < 1) machine_flush(&m);
    }
    struct query_request request = all_between(INT64_MIN, INT64_MAX);
    collect(&request, &plain);
    unsigned of_all = 0;
    request.hints.shard_count = SHARDS;
    request.hints.shard_without_count = 1;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        struct bytes name = bytes_of_text("s");
        request.hints.shard = shard;
        request.hints.shard_without = &name;
        some.count = 0;
        collect(&request, &some);
        assert_true(some.count == 0 || some.count == plain.count);
        of_all += some.count > 0;
    }
    assert_int_equal(of_all, 1);
    free(plain.items);
    free(some.items);
}

/* --- labels only ------------------------------------------------------------------------------ */

UNIT_TEST(test_labels_alone_are_of_the_same_series)
{
    struct rng r = {10};
    double at[SERIES] = {0};
    for (unsigned round = 0; round < 4; round++) {
        send_runs(&r, T0 + round * 10 * MINUTE_MS, 20, at);
        if (round % 2 == 0) machine_flush(&m);
    }
    for (unsigned round = 0; round < 50; round++) {
        int64_t from_ms = T0 + (int64_t)rng_below(&r, 50 * MINUTE_MS);
        struct query_request request = all_between(from_ms, from_ms + MINUTE_MS);
        struct series_set *both[2];
        struct bytes labels[2] = {bytes_of("", 0)};
        for (unsigned i = 0; i < 2; i++) {
            request.kind = i == 1 ? SELECT_LABELS : SELECT_SAMPLES;
            must(answerer_select(tsdb_answerer(m.db), &request, &both[i], &m.why));
        }
        while (labels[0].at != NULL) {
            must(series_set_next(both[0], &labels[0], &m.why));
            must(series_set_next(both[1], &labels[1], &m.why));
            assert_int_equal(labels[0].at == NULL, labels[1].at == NULL);
            assert_true(bytes_equal(labels[0], labels[1]));
        }
        series_set_free(both[0]);
        series_set_free(both[1]);
    }
}

/* --- bytes ------------------------------------------------------------------------------------ */

static enum err
drain(const struct query_request *request)
{
    struct series_set *set;
    struct bytes labels = bytes_of("", 0);
    enum err e = answerer_select(tsdb_answerer(m.db), request, &set, &m.why);
    if (e) return e;
    while (e == OK && labels.at != NULL) {
        e = series_set_next(set, &labels, &m.why);
        struct sample_batch b = {.count = e == OK && labels.at != NULL};
        while (e == OK && b.count > 0)
            e = series_set_batch(set, &b, &m.why);
    }
    series_set_free(set);
    return e;
}

UNIT_TEST(test_a_query_reads_no_more_bytes_than_it_may)
{
    struct rng r = {9};
    double at[SERIES] = {0};
    struct answer plain = {.items = calloc(SAMPLES_MAX, sizeof(struct got))};
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        struct query_control control = {.env = m.env};
        struct query_request request = all_between(INT64_MIN, INT64_MAX);
        request.control = &control;
        if (flushed == 0) send_runs(&r, T0, 300, at);
        if (flushed == 1) machine_flush(&m);
        plain.count = 0;
        collect(&request, &plain);
        uint64_t bytes = control.bytes_seen;
        assert_in_range(bytes, plain.count / 8, plain.count * 24);
        control.bytes_seen = 0;
        control.bytes_max = bytes;
        must(drain(&request));
        control.bytes_seen = 0;
        control.bytes_max = bytes - 1;
        assert_int_equal(drain(&request), ERR_LIMIT);
        assert_non_null(strstr(m.why.text, "bytes"));
        control.bytes_seen = 0;
        request.hints.summaries = SUMMARY_COUNT; /* none of which is read */
        request.hints.windows.range_ms = INT64_MAX;
        request.hints.windows.first_ms = INT64_MAX;
        m.why.text[0] = '\0';
        if (flushed == 1) compare(&plain, &request);
        if (flushed == 1) assert_in_range(control.bytes_seen, 0, bytes / 2);
    }
    free(plain.items);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_summaries_say_what_the_samples_say, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shards_make_up_the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels_may_not_count_for_a_shard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels_alone_are_of_the_same_series, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_query_reads_no_more_bytes_than_it_may, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
