/* query_test.c - parameters of queries: ranges, limits, the cache, and missing data. */
#include "lib/api/api_asked.h"
#include "lib/test.h"
#include "model/trouble.h"

/* --- a store of which data may be missing ----------------------------------------------------- */

enum hole {
    HOLE_NONE,
    HOLE_DAMAGE, /* an error, or a warning for requests of partial answers */
    HOLE_SOURCE, /* a warning: a source that may fail has failed */
    HOLE_GONE,   /* an error: an object of this view is gone */
};

/* An answerer and a view over the store; a view has the hole that the answerer had when it
 * was opened. */
struct holey_answerer {
    struct answerer answerer; /* first */
    struct answerer *below;
    enum hole hole;
    unsigned gone; /* the next views have HOLE_GONE */
};
struct holey_view {
    struct view view; /* first */
    struct view *below;
    enum hole hole;
};

static enum err
holey_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    (void)set, (void)why;
    *ret_labels = bytes_of(NULL, 0);
    return OK;
}

static enum err
holey_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    (void)set, (void)ret, (void)why;
    return ERR_MISSING; /* there are no series */
}

static const char *
holey_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    return index == 0 ? "page 7 is damaged" : NULL;
}

static void
holey_set_free(struct series_set *set)
{
    (void)set;
}

static enum err
holey_select(struct view *view, const struct query_request *request, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = holey_next, .batch = holey_batch, .warning = holey_warning, .free = holey_set_free};
    static struct series_set empty = {&ops};
    const struct holey_view *v = (const struct holey_view *)view;
    if (v->hole == HOLE_NONE) return view_select(v->below, request, ret, why);
    if (v->hole == HOLE_GONE)
        return trouble_say(why, TROUBLE_GONE, why_set(why, ERR_IO, "there is no object parts/7"));
    if (v->hole == HOLE_DAMAGE && !request->partial)
        return why_set(why, ERR_CORRUPT, "page 7 is damaged");
    *ret = &empty;
    return OK;
}

static enum err
holey_metadata(struct view *view, const struct query_request *request, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    return view_metadata(((struct holey_view *)view)->below, request, family, each, context, why);
}

static enum err
holey_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
              struct bytes name, const struct text_sink *to, struct why *why)
{
    return view_look_up(((struct holey_view *)view)->below, kind, request, name, to, why);
}

static struct view_mark
holey_mark(const struct view *view)
{
    struct view_mark mark = {0};
    (void)view_has_mark(((const struct holey_view *)view)->below, &mark);
    return mark;
}

static int64_t
holey_same_before(const struct view *view, struct bytes tenant, const struct view_mark *mark)
{
    return view_same_before(((const struct holey_view *)view)->below, tenant, mark);
}

static void
holey_view_free(struct view *view)
{
    view_free(((struct holey_view *)view)->below);
    free(view);
}

static enum err
holey_open(struct answerer *answerer, struct query_control *control, struct view **ret,
           struct why *why)
{
    static const struct view_ops ops = {.select = holey_select,
                                        .metadata = holey_metadata,
                                        .look_up = holey_look_up,
                                        .mark = holey_mark,
                                        .same_before = holey_same_before,
                                        .free = holey_view_free};
    struct holey_answerer *a = (struct holey_answerer *)answerer;
    struct holey_view *v = calloc(1, sizeof *v);
    assert_non_null(v);
    *v = (struct holey_view){.view = {&ops}, .hole = a->gone > 0 ? HOLE_GONE : a->hole};
    a->gone -= a->gone > 0;
    must(view_open(a->below, control, &v->below, why));
    *ret = &v->view;
    return OK;
}

static const struct answerer_ops holey_ops = {.open = holey_open};
static struct holey_answerer holey;

/* Stores up{i="0"} to up{i="2"}, with a sample in each of the last twenty seconds. */
static struct api_rig *
query_rig_new(void)
{
    struct api_rig *rig = api_rig_new();
    holey = (struct holey_answerer){.answerer = *tsdb_answerer(rig->m.db),
                                    .below = tsdb_answerer(rig->m.db)};
    holey.answerer.ops = &holey_ops;
    rig->options.answerer = &holey.answerer;
    rig->limits.query.cache_bytes = 1 << 20;
    api_rig_start(rig);
    for (unsigned i = 0; i < 3; i++) {
        char labels[32];
        struct rq rq;
        snprintf(labels, sizeof labels, "__name__=up,i=%u", i);
        rq_init(&rq, RW_V1);
        rq_series(&rq, labels);
        for (int64_t s = 20; s > 0; s--)
            rq_float(&rq, SIM_BEGIN - s * 1000, double_bits(i), 0);
        must(machine_send(&rig->m, "anonymous", &rq));
        rq_fini(&rq);
    }
    machine_commit(&rig->m);
    return rig;
}

#define RANGE    "/api/v1/query_range?query=up&start=1767225590&end=1767225595&step=1"
#define INSTANT  "/api/v1/query?query=up&time=1767225590"
#define ALL      "{\"metric\":{\"__name__\":\"up\",\"i\":\"2\"},\"value"
#define TWO_ONLY "{\"metric\":{\"__name__\":\"up\",\"i\":\"1\"},\"value\":[1767225590,\"1\"]}]}"
#define CUT      "\"warnings\":[\"results truncated due to limit\"]"
#define WARNED   "\"result\":[]},\"warnings\":[\"page 7 is damaged\"]}"

static void
expect_answer(struct api_rig *rig, const char *target, unsigned status, const char *fragment)
{
    struct asked c = {target, HTTP_GET, target, NULL, NULL, 0, status, JSON_TYPE, fragment};
    api_ask(rig, &c);
}

static void
expect_no(struct api_rig *rig, const char *target, const char *fragment)
{
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_GET, target, NULL, bytes_of("", 0));
    assert_int_equal(r.status, 200);
    const char *got = http_double_text(&r);
    if (strstr(got, fragment) != NULL) fail_msg("%s: %s", target, got);
    buf_fini(&r.text);
}

static void
expect_cached(struct api_rig *rig, uint64_t queries, uint64_t hits, uint64_t entries)
{
    struct promql_cache_facts facts = promql_cache_look(rig->api->results);
    assert_int_equal(facts.queries, queries);
    assert_int_equal(facts.hits, hits);
    assert_int_equal(facts.entries, entries);
}

/* --- the cache -------------------------------------------------------------------------------- */

UNIT_TEST(test_nocache_neither_reads_nor_writes_the_cache)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, RANGE "&nocache=1", 200, ALL);
    expect_cached(rig, 0, 0, 0);
    expect_answer(rig, RANGE, 200, ALL);
    expect_answer(rig, RANGE "&nocache=0", 200, ALL);
    expect_cached(rig, 2, 1, 1);
    expect_answer(rig, RANGE "&nocache=true", 200, ALL);
    expect_cached(rig, 2, 1, 1);
    expect_answer(rig, RANGE "&nocache=maybe", 400, "invalid parameter \\\"nocache\\\"");
    api_rig_free(rig);
}

/* Replica labels change the answer, so they are a part of the key of the cache. */
UNIT_TEST(test_other_replica_labels_do_not_get_what_is_cached)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, RANGE, 200, ALL);
    expect_answer(rig, RANGE "&replicaLabels[]=replica", 200, ALL);
    expect_cached(rig, 2, 0, 2);
    expect_answer(rig, RANGE "&replicaLabels[]=replica", 200, ALL);
    expect_answer(rig, RANGE "&replicaLabels[]=other", 200, ALL);
    expect_answer(rig, RANGE "&replicaLabels[]=replica&replicaLabels[]=other", 200, ALL);
    expect_cached(rig, 5, 1, 4);
    api_rig_free(rig);
}

UNIT_TEST(test_statistics_are_of_queries_without_the_cache)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, RANGE, 200, ALL);
    expect_answer(rig, RANGE "&stats=all", 200, "\"totalQueryableSamples\":18,");
    expect_answer(rig, RANGE "&stats=1", 200, "\"totalQueryableSamples\":18,");
    expect_cached(rig, 1, 0, 1);
    api_rig_free(rig);
}

UNIT_TEST(test_the_cost_of_a_query_says_which_steps_were_cached)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, RANGE "&stats=cost", 200, "\"cachedSteps\":0}}");
    expect_answer(rig, RANGE "&stats=cost", 200, "\"samplesRead\":0,\"bytesRead\":0,");
    expect_answer(rig, RANGE "&stats=cost&nocache=1", 200, "\"cachedSteps\":0}}");
    expect_cached(rig, 2, 1, 1);
    api_rig_free(rig);
}

UNIT_TEST(test_a_partial_answer_is_not_that_of_later_queries)
{
    struct api_rig *rig = query_rig_new();
    holey.hole = HOLE_DAMAGE;
    for (unsigned i = 0; i < 2; i++) {
        expect_answer(rig, RANGE "&partial_response=true", 200, WARNED);
        expect_answer(rig, RANGE, 500, "page 7 is damaged");
        expect_answer(rig, RANGE "&partial_response=0", 500, "page 7 is damaged");
    }
    holey.hole = HOLE_NONE;
    expect_answer(rig, RANGE "&partial_response=true", 200, ALL);
    expect_no(rig, RANGE "&partial_response=true", "warnings");
    expect_answer(rig, RANGE, 200, ALL);
    expect_no(rig, RANGE, "warnings");
    api_rig_free(rig);
}

UNIT_TEST(test_an_answer_without_a_source_is_not_that_of_later_queries)
{
    struct api_rig *rig = query_rig_new();
    holey.hole = HOLE_SOURCE;
    expect_answer(rig, RANGE, 200, WARNED);
    expect_answer(rig, RANGE, 200, WARNED);
    expect_cached(rig, 2, 0, 0);
    holey.hole = HOLE_NONE;
    expect_answer(rig, RANGE, 200, ALL);
    expect_no(rig, RANGE, "warnings");
    api_rig_free(rig);
}

UNIT_TEST(test_a_query_is_repeated_once_if_an_object_of_its_view_is_gone)
{
    struct api_rig *rig = query_rig_new();
    for (unsigned i = 0; i < 2; i++) {
        const char *target = i == 0 ? RANGE "&nocache=1" : INSTANT;
        holey.gone = 1;
        expect_answer(rig, target, 200, ALL);
        holey.gone = 3;
        expect_answer(rig, target, 500, "there is no object parts/7");
        assert_int_equal(holey.gone, 1);
        expect_answer(rig, target, 200, ALL);
    }
    api_rig_free(rig);
}

/* A cached result of more series than the limit, or one cut at the limit, is not used
 * for others. */
UNIT_TEST(test_limits_do_not_shape_what_is_kept)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, RANGE "&limit=1", 200, CUT);
    expect_answer(rig, RANGE, 200, ALL);
    expect_no(rig, RANGE, "warnings");
    expect_answer(rig, RANGE "&limit=1", 200, CUT);
    expect_no(rig, RANGE "&limit=1", "\"i\":\"1\"");
    expect_cached(rig, 5, 4, 1);
    api_rig_free(rig);
}

/* --- ranges and limits ------------------------------------------------------------------------ */

UNIT_TEST(test_a_range_may_end_where_it_begins)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, "/api/v1/query_range?query=1&start=5&end=5&step=1", 200,
                  "\"values\":[[5,\"1\"]]}");
    expect_answer(rig, "/api/v1/query_range?query=1&start=5&end=4.999&step=1", 400,
                  "end timestamp must not be before start time");
    expect_answer(rig, "/api/v1/explain?query=1&start=5&end=5&step=1", 200, "\"success\"");
    api_rig_free(rig);
}

UNIT_TEST(test_as_many_steps_as_the_maximum_are_allowed)
{
    static const struct {
        uint64_t max;
        const char *words;
    } cases[] = {{7, "resolution of 7 points"},
                 {999, "resolution of 999 points"},
                 {1000, "resolution of 1,000 points"},
                 {1234567, "resolution of 1,234,567 points"}};
    struct api_rig *rig = query_rig_new();
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[200];
        rig->limits.query.points_max = cases[i].max;
        api_set_limits(rig->api, &rig->limits);
        snprintf(target, sizeof target, "/api/v1/query_range?query=none&start=0&end=%llu&step=1",
                 (unsigned long long)cases[i].max + 1);
        expect_answer(rig, target, 400, cases[i].words);
        snprintf(target, sizeof target, "/api/v1/query_range?query=none&start=0&end=%llu&step=1",
                 (unsigned long long)cases[i].max);
        expect_answer(rig, target, 200, "\"result\":[]");
    }
    api_rig_free(rig);
}

UNIT_TEST(test_a_limit_cuts_off_only_what_is_beyond_it)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, INSTANT "&limit=3", 200, ALL);
    expect_no(rig, INSTANT "&limit=3", "warnings");
    expect_no(rig, INSTANT "&limit=0", "warnings");
    expect_answer(rig, INSTANT "&limit=2", 200, TWO_ONLY "," CUT);
    expect_answer(rig, RANGE "&limit=3", 200, ALL);
    expect_no(rig, RANGE "&limit=3", "warnings");
    expect_answer(rig, RANGE "&limit=2", 200, CUT);
    expect_no(rig, RANGE "&limit=2", "\"i\":\"2\"");
    api_rig_free(rig);
}

UNIT_TEST(test_the_lookback_of_a_request_is_that_of_its_query)
{
    struct api_rig *rig = query_rig_new();
    expect_answer(rig, "/api/v1/query?query=up&time=1767225600", 200, ALL);
    expect_no(rig, "/api/v1/query?query=up&time=1767225600&lookback_delta=1s", "\"i\"");
    expect_answer(rig, "/api/v1/query?query=up&time=1767225600&lookback_delta=1.1", 200, ALL);
    api_rig_free(rig);
}

UNIT_TEST(test_exactly_the_maximum_of_samples_is_allowed)
{
    struct api_rig *rig = query_rig_new();
    for (unsigned less = 0; less < 2; less++) {
        rig->limits.query.samples_max = 18 - less;
        api_set_limits(rig->api, &rig->limits);
        expect_answer(rig, RANGE "&nocache=1", less ? 422 : 200,
                      less ? "more than 17 at a time (query.max_samples)" : ALL);
    }
    api_rig_free(rig);
}

/* --- histograms ------------------------------------------------------------------------------- */

/* Stores h, with 4 observations in two buckets that are not adjacent, and a zero bucket. */
static void
put_histogram(struct api_rig *rig)
{
    struct hist_span spans[] = {{0, 1}, {1, 1}};
    int64_t deltas[] = {1, 1};
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = 4,
        .sum_bits = double_bits(7.5),
        .zero_threshold_bits = double_bits(0.25),
        .zero_count = 1,
        .positive = {.spans = spans, .span_count = 2, .deltas = deltas, .bucket_count = 2}};
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=h");
    rq_histogram(&rq, SIM_BEGIN - 10000, &h, 0);
    must(machine_send(&rig->m, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&rig->m);
}

#define BUCKETS                                                                              \
    "{\"count\":\"4\",\"sum\":\"7.5\",\"buckets\":[[3,\"-0.25\",\"0.25\",\"1\"],[0,\"0.5\"," \
    "\"1\",\"1\"],[0,\"2\",\"4\",\"2\"]]}"

UNIT_TEST(test_histograms_are_given_with_all_buckets_that_have_observations)
{
    struct api_rig *rig = query_rig_new();
    put_histogram(rig);
    expect_answer(rig, "/api/v1/query?query=h&time=1767225590", 200,
                  "{\"metric\":{\"__name__\":\"h\"},\"histogram\":[1767225590," BUCKETS "]}");
    expect_answer(rig, "/api/v1/query_range?query=h&start=1767225590&end=1767225591&step=1", 200,
                  "\"histograms\":[[1767225590," BUCKETS "],[1767225591," BUCKETS "]]}");
    api_rig_free(rig);
}

/* --- federation ------------------------------------------------------------------------------- */

UNIT_TEST(test_a_stale_histogram_is_not_federated)
{
    struct api_rig *rig = query_rig_new();
    struct hist_span span = {0, 1};
    int64_t delta = 4;
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = 4,
        .positive = {.spans = &span, .span_count = 1, .deltas = &delta, .bucket_count = 1}};
    struct histogram stale = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = STALE_NAN_BITS};
    for (unsigned is_stale = 0; is_stale < 2; is_stale++) {
        struct http_request r;
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=h");
        rq_histogram(&rq, SIM_BEGIN - 2000 + is_stale * 1000, is_stale ? &stale : &h, 0);
        must(machine_send(&rig->m, "anonymous", &rq));
        rq_fini(&rq);
        machine_commit(&rig->m);
        api_rig_ask(
            rig, &r, HTTP_GET, "/federate?match[]=h",
            "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            "encoding=delimited",
            bytes_of("", 0));
        assert_int_equal(r.status, 200);
        assert_int_equal(r.text.size == 0, is_stale);
        buf_fini(&r.text);
    }
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nocache_neither_reads_nor_writes_the_cache),
        cmocka_unit_test(test_other_replica_labels_do_not_get_what_is_cached),
        cmocka_unit_test(test_statistics_are_of_queries_without_the_cache),
        cmocka_unit_test(test_the_cost_of_a_query_says_which_steps_were_cached),
        cmocka_unit_test(test_a_partial_answer_is_not_that_of_later_queries),
        cmocka_unit_test(test_an_answer_without_a_source_is_not_that_of_later_queries),
        cmocka_unit_test(test_a_query_is_repeated_once_if_an_object_of_its_view_is_gone),
        cmocka_unit_test(test_limits_do_not_shape_what_is_kept),
        cmocka_unit_test(test_a_range_may_end_where_it_begins),
        cmocka_unit_test(test_as_many_steps_as_the_maximum_are_allowed),
        cmocka_unit_test(test_a_limit_cuts_off_only_what_is_beyond_it),
        cmocka_unit_test(test_the_lookback_of_a_request_is_that_of_its_query),
        cmocka_unit_test(test_exactly_the_maximum_of_samples_is_allowed),
        cmocka_unit_test(test_histograms_are_given_with_all_buckets_that_have_observations),
        cmocka_unit_test(test_a_stale_histogram_is_not_federated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
