/*
 * tsdb_read_test.c - queries of stored data: matchers, bounds, snapshots, exemplars, metadata,
 * labels.
 */
#include <inttypes.h>

#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"

/* --- matchers --------------------------------------------------------------------------------- */

enum { MODEL_SERIES = 60 };

static const char *const model_jobs[] = {"", "node", "api", "api2", "no\nde"};
static const char *const model_zones[] = {"", "eu-1", "eu-2", "us"};

/* Returns the value of a label of series i; empty if it has none. */
static const char *
model_value(uint32_t i, const char *name)
{
    static char text_of[20];
    if (strcmp(name, "job") == 0) return model_jobs[i % 5];
    if (strcmp(name, "zone") == 0) return model_zones[i % 4];
    if (strcmp(name, "i") == 0) {
        snprintf(text_of, sizeof text_of, "%u", i);
        return text_of;
    }
    return strcmp(name, "__name__") == 0 ? "m" : "";
}

static void
send_model_series(void)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t i = 0; i < MODEL_SERIES; i++) {
        char labels[100];
        snprintf(labels, sizeof labels, "__name__=m,i=%u,job=%s,zone=%s", i, model_jobs[i % 5],
                 model_zones[i % 4]);
        rq_series(&rq, labels);
        rq_float(&rq, T0, double_bits(i), 0);
    }
    must(machine_send(&machine, "anonymous", &rq));
    must(machine_send(&machine, "b", &rq)); /* another tenant with the same samples */
    rq_fini(&rq);
    machine_commit(&machine);
}

static void
mark_series(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    bool *found = context;
    (void)labels;
    uint32_t number = (uint32_t)bits_double(b->value_bits[i]);
    assert_true(number < MODEL_SERIES);
    assert_false(found[number]);
    found[number] = true;
}

static void
expect_matches(const struct matcher_text *matchers, uint32_t count)
{
    struct question q;
    bool found[MODEL_SERIES] = {false};
    question_init(&q, "anonymous", matchers, count, T0, T0);
    must(machine_select(&machine, &q, mark_series, found));
    for (uint32_t i = 0; i < MODEL_SERIES; i++) {
        bool expected = true;
        for (uint32_t k = 0; k < count; k++)
            expected &= matcher_matches(q.made[k], text(model_value(i, matchers[k].name)));
        if (found[i] != expected) {
            fail_msg("series %u: %s=%d=%s and %u more", i, matchers[0].name, matchers[0].type,
                     matchers[0].pattern, count - 1);
        }
    }
    question_fini(&q);
}

static void
expect_all_matchers(void)
{
    static const char *const names[] = {"job", "zone", "i", "__name__", "nobody-has-this"};
    static const char *const patterns[] = {"",     "node", "api",        "api2?", "no.de",  "eu-.*",
                                           ".*",   ".+",   "us|eu-1",    "|api",  "1[0-9]", "m",
                                           "none", "n.*",  "(api|node)", "[a-z]*"};
    enum { PATTERNS = sizeof patterns / sizeof patterns[0] };
    for (unsigned n = 0; n < 5; n++) {
        for (unsigned p = 0; p < PATTERNS; p++) {
            for (unsigned type = 0; type < 4; type++) {
                struct matcher_text two[] = {{(enum matcher_type)type, names[n], patterns[p]},
                                             {(enum matcher_type)(p % 4), names[(n + p) % 5],
                                              patterns[(p * 7 + type) % PATTERNS]}};
                expect_matches(two, 1);
                expect_matches(two, 2);
            }
        }
    }
}

UNIT_TEST(test_matchers_select_as_the_model_does_at_every_stage)
{
    send_model_series();
    expect_all_matchers();
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    expect_all_matchers();
    must(tsdb_flush(machine.db, &machine.why));
    expect_all_matchers();
    send_model_series(); /* in a part and in the head */
    expect_all_matchers();
    machine_verified_restart(&machine);
    expect_all_matchers();
}

/* --- bounds and snapshots --------------------------------------------------------------------- */

static void
expect_bounds(void)
{
    for (int from = -1; from <= 5; from++) {
        for (int to = from; to <= 5; to++) {
            char lines[600] = "";
            for (int i = from < 0 ? 0 : from; i <= to && i < 5; i++) {
                size_t used = strlen(lines);
                snprintf(lines + used, sizeof lines - used, "{__name__=\"m\"} %lld %d\n",
                         (long long)T0 + i, i);
            }
            expect_lines(&machine, "anonymous", every_series, 1, T0 + from, T0 + to, lines);
        }
    }
    expect_lines(&machine, "anonymous", every_series, 1, T0 + 9, T0 + 10, "");
    expect_lines(&machine, "anonymous", every_series, 1, T0 + 3, T0 + 2, "");
}

UNIT_TEST(test_both_bounds_are_inclusive)
{
    static const int order[] = {1, 3, 2, 0, 4};
    for (int i = 0; i < 5; i++)
        must_send_float("anonymous", "__name__=m", T0 + order[i], order[i]);
    machine_commit(&machine);
    expect_bounds();
    machine_flush(&machine);
    expect_bounds();
    machine_verified_restart(&machine);
    expect_bounds();
}

static void
count_sample(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    (void)labels;
    (void)b;
    (void)i;
    ++*(uint32_t *)context;
}

UNIT_TEST(test_set_stays_whole_while_its_generation_becomes_a_part)
{
    enum { SETS = 5, SERIES_COUNT = 100 };
    struct series_set *sets[SETS];
    struct question q;
    char labels[50];
    struct answerer *a = tsdb_answerer(machine.db);
    for (int i = 0; i < SERIES_COUNT; i++) {
        snprintf(labels, sizeof labels, "__name__=m,i=%d", i);
        must_send_float("anonymous", labels, T0, i);
    }
    machine_commit(&machine);
    question_init(&q, "anonymous", every_series, 1, T0, T0);
    must(answerer_select(a, &q.request, &sets[0], NULL));
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    must(answerer_select(a, &q.request, &sets[1], NULL));
    for (int i = 0; i < 2; i++) { /* queries that are begun and continued later */
        struct bytes first;
        struct sample_batch batch;
        must(series_set_next(sets[i], &first, NULL));
        must(series_set_batch(sets[i], &batch, NULL));
        assert_int_equal(batch.count, 1);
    }
    must(tsdb_flush(machine.db, &machine.why));
    must(answerer_select(a, &q.request, &sets[2], NULL));
    must_send_float("anonymous", "__name__=z", T0, 1);
    machine_commit(&machine);
    must(answerer_select(a, &q.request, &sets[3], NULL));
    machine_flush(&machine);
    must(answerer_select(a, &q.request, &sets[4], NULL));
    for (int i = 0; i < SETS; i++) {
        uint32_t count = i < 2; /* one was read already */
        must(set_walk(sets[i], &q.request, count_sample, &count, NULL));
        assert_int_equal(count, SERIES_COUNT + (i >= 3));
        series_set_free(sets[i]);
    }
    question_fini(&q);
    machine_verified_restart(&machine);
}

UNIT_TEST(test_limits_of_a_query_end_it)
{
    struct question q;
    struct query_control control = {.env = machine.env, .series_max = 10};
    uint32_t count = 0;
    send_model_series();
    question_init(&q, "anonymous", every_series, 1, T0, T0);
    q.request.control = &control;
    assert_int_equal(machine_select(&machine, &q, count_sample, &count), ERR_LIMIT);
    assert_int_equal(count, 10);
    control = (struct query_control){.env = machine.env, .samples_max = 10};
    assert_int_equal(machine_select(&machine, &q, count_sample, &count), ERR_LIMIT);
    control = (struct query_control){.env = machine.env, .deadline_ns = 1};
    assert_int_equal(machine_select(&machine, &q, count_sample, &count), ERR_CANCELED);
    struct budget small;
    budget_init(&small, "small", 3000, NULL);
    control = (struct query_control){.env = machine.env, .budget = &small};
    assert_int_equal(machine_select(&machine, &q, count_sample, &count), ERR_NOMEM);
    assert_int_equal(budget_used(&small), 0);
    question_fini(&q);
}

/* --- exemplars -------------------------------------------------------------------------------- */

static enum err
print_exemplar(void *context, const struct exemplar *x)
{
    struct buf *to = context;
    labels_print(to, x->series_labels);
    buf_printf(to, " %lld ", (long long)x->t_ms);
    labels_print(to, x->labels);
    buf_printf(to, " %g\n", bits_double(x->value_bits));
    return OK;
}

static void
expect_exemplars(const char *tenant, int64_t min_ms, int64_t max_ms, const char *expected)
{
    struct question q;
    struct buf lines;
    struct matcher_text matchers[] = {{MATCH_REGEX, "__name__", "m.*"}};
    buf_init(&lines, NULL, 1 << 20);
    question_init(&q, tenant, matchers, 1, min_ms, max_ms);
    must(machine_exemplars(&machine, &q.request, print_exemplar, &lines));
    buf_put_u8(&lines, 0);
    assert_string_equal((const char *)lines.at, expected);
    buf_fini(&lines);
    question_fini(&q);
}

static void
send_exemplars(const char *tenant)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m1");
    rq_float(&rq, T0, double_bits(1), 0);
    rq_exemplar(&rq, T0 + 9000, double_bits(2), "trace_id=b");
    rq_exemplar(&rq, T0 - 9000, double_bits(3), "trace_id=a,span=x");
    rq_exemplar(&rq, T0 - 9000, double_bits(3), "span=x,trace_id=a");
    rq_series(&rq, "__name__=m2"); /* it has only exemplars */
    rq_exemplar(&rq, T0 + 1, double_bits(5), "");
    rq_exemplar(&rq, T0 + 1, double_bits(4), "trace_id=z"); /* values are compared before labels */
    rq_series(&rq, "__name__=other");
    rq_exemplar(&rq, T0 + 1, double_bits(6), "");
    must(machine_send(&machine, tenant, &rq));
    rq_fini(&rq);
    assert_int_equal(machine.result.written[LEDGER_EXEMPLAR], 6);
}

static void
expect_all_exemplars(const char *tenant)
{
    char lines[400];
    snprintf(lines, sizeof lines,
             "{__name__=\"m1\"} %lld {span=\"x\", trace_id=\"a\"} 3\n"
             "{__name__=\"m1\"} %lld {trace_id=\"b\"} 2\n"
             "{__name__=\"m2\"} %lld {trace_id=\"z\"} 4\n{__name__=\"m2\"} %lld {} 5\n",
             (long long)T0 - 9000, (long long)T0 + 9000, (long long)T0 + 1, (long long)T0 + 1);
    expect_exemplars(tenant, INT64_MIN, INT64_MAX, lines);
    snprintf(lines, sizeof lines, "{__name__=\"m1\"} %lld {trace_id=\"b\"} 2\n",
             (long long)T0 + 9000);
    expect_exemplars(tenant, T0 + 9000, T0 + 9000, lines); /* no sample is that late */
    expect_exemplars(tenant, T0 + 9001, INT64_MAX, "");
    snprintf(lines, sizeof lines, "{__name__=\"m1\"} %lld {span=\"x\", trace_id=\"a\"} 3\n",
             (long long)T0 - 9000);
    expect_exemplars(tenant, T0 - 9000, T0 - 9000, lines); /* or that early */
    expect_exemplars(tenant, INT64_MIN, T0 - 9001, "");
}

UNIT_TEST(test_exemplars_are_found_at_every_stage)
{
    static const char *const names[] = {"b", "a", "c"};
    for (int i = 0; i < 3; i++) {
        if (i == 1) must_send_float("c", "__name__=m1", T0 + 1, 9);
        send_exemplars(names[i]);
        expect_exemplars(names[i], INT64_MIN, INT64_MAX, "");
    }
    machine_commit(&machine);
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < 3; i++)
            expect_all_exemplars(names[i]);
        expect_exemplars("nobody", INT64_MIN, INT64_MAX, "");
        if (stage == 0) machine_verified_restart(&machine);
        if (stage == 1) machine_flush(&machine);
        if (stage == 2) machine_verified_restart(&machine);
    }
    send_exemplars("a"); /* an exemplar in both a part and the head is returned once */
    machine_commit(&machine);
    expect_all_exemplars("a");
    machine_flush(&machine);
    expect_all_exemplars("a");
    machine_verified_restart(&machine);
}

/* --- metadata --------------------------------------------------------------------------------- */

static enum err
print_metadata(void *context, const struct metadata *x)
{
    buf_printf(context, "%.*s %s %.*s %.*s\n", (int)x->family.size, (const char *)x->family.at,
               metric_type_word(x->type), (int)x->help.size, (const char *)x->help.at,
               (int)x->unit.size, (const char *)x->unit.at);
    return OK;
}

static void
expect_metadata(const char *tenant, const char *family, const char *expected)
{
    struct buf lines;
    buf_init(&lines, NULL, 1 << 20);
    must(machine_metadata(&machine, tenant, family, print_metadata, &lines));
    buf_put_u8(&lines, 0);
    assert_string_equal((const char *)lines.at, expected);
    buf_fini(&lines);
}

static enum err
send_metadata(enum rw_version version, const char *help)
{
    struct rq rq;
    rq_init(&rq, version);
    rq_series(&rq, "__name__=up");
    if (version == RW_V2) rq_metadata(&rq, METRIC_GAUGE, "", help, "bool");
    rq_float(&rq, T0, double_bits(1), 0);
    if (version == RW_V1) rq_metadata(&rq, METRIC_GAUGE, "up", help, "bool");
    enum err e = machine_send(&machine, "anonymous", &rq);
    rq_fini(&rq);
    return e;
}

UNIT_TEST(test_last_metadata_is_kept_at_every_stage)
{
    must(send_metadata(RW_V1, "first"));
    must(send_metadata(RW_V2, "second"));
    machine_commit(&machine);
    for (int stage = 0; stage < 4; stage++) {
        expect_metadata("anonymous", "", "up gauge second bool\n");
        expect_metadata("anonymous", "up", "up gauge second bool\n");
        expect_metadata("anonymous", "down", "");
        expect_metadata("nobody", "", "");
        if (stage == 0) machine_verified_restart(&machine);
        if (stage == 1) machine_flush(&machine);
        if (stage == 2) machine_verified_restart(&machine);
    }
    must(send_metadata(RW_V1, "third"));
    machine_commit(&machine);
    machine_flush(&machine); /* metadata alone makes a part */
    machine_verified_restart(&machine);
    expect_metadata("anonymous", "", "up gauge third bool\n");
}

/* Flushes a part with one sample of `up`. */
static void
flush_one(int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=up");
    rq_float(&rq, t_ms, double_bits(1), 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
    machine_flush(&machine);
}

UNIT_TEST(test_the_newest_part_never_goes_for_its_size)
{
    struct tsdb_merge_result result;
    struct tsdb_stats stats;
    flush_one(T0 + 1000);
    flush_one(T0);
    machine.limits.retention_bytes = 1;
    tsdb_set_limits(machine.db, &machine.limits);
    must(tsdb_expire(machine.db, &result, &machine.why));
    assert_int_equal(result.input_count, 1);
    assert_int_equal(result.samples, 1);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.parts, 1);
    assert_int_equal(stats.oldest_ms, T0 + 1000);
    assert_int_equal(result.bytes_too_many, stats.part_bytes - 1);
    must(tsdb_expire(machine.db, &result, &machine.why));
    assert_int_equal(result.input_count, 0);
    assert_true(result.bytes_too_many > 0);
    machine_verified_restart(&machine);
}

/* Senders send metadata once, so it must not be only in the part that expires. */
UNIT_TEST(test_metadata_outlives_the_part_that_expires)
{
    struct tsdb_merge_result result;
    flush_one(T0 + 1000);
    must(send_metadata(RW_V1, "kept"));
    machine_commit(&machine);
    machine_flush(&machine);
    machine.limits.retention_bytes = 1;
    tsdb_set_limits(machine.db, &machine.limits);
    must(tsdb_expire(machine.db, &result, &machine.why));
    assert_int_equal(result.input_count, 0); /* no newer part has the metadata */
    assert_true(tsdb_flush_due(machine.db));
    machine_restart(&machine);
    expect_metadata("anonymous", "", "up gauge kept bool\n");
    must(tsdb_expire(machine.db, &result, &machine.why));
    machine_flush(&machine);
    must(tsdb_expire(machine.db, &result, &machine.why));
    assert_int_equal(result.input_count, 1);
    must(tsdb_expire(machine.db, &result, &machine.why));
    assert_int_equal(result.input_count, 0);
    assert_false(tsdb_flush_due(machine.db));
    machine_verified_restart(&machine);
    expect_metadata("anonymous", "", "up gauge kept bool\n");
}

UNIT_TEST(test_metadata_of_a_failed_commit_comes_with_the_repetition)
{
    char expected[50] = "";
    for (enum rw_version version = RW_V1; version <= RW_V2; version++) {
        char help[20];
        snprintf(help, sizeof help, "help%d", (int)version);
        must(send_metadata(version, help));
        fault_env_arm(machine.fe, (struct fault){FAULT_SYNC, 1, false});
        assert_int_equal(tsdb_commit(machine.db, &machine.why), ERR_IO);
        must(tsdb_reopen(machine.db, &machine.why));
        expect_metadata("anonymous", "", expected); /* unchanged */
        snprintf(expected, sizeof expected, "up gauge %s bool\n", help);
        must(send_metadata(version, help));
        must(tsdb_commit(machine.db, &machine.why));
        expect_metadata("anonymous", "", expected);
        machine_verified_restart(&machine);
        expect_metadata("anonymous", "", expected);
    }
}

UNIT_TEST(test_metadata_of_a_refused_request_comes_with_the_repetition)
{
    for (uint64_t nth = 1;; nth++) {
        char help[30], expected[60];
        snprintf(help, sizeof help, "help%d", (int)nth);
        snprintf(expected, sizeof expected, "up gauge %s bool\n", help);
        memory_arm(&machine, nth, false);
        enum err e = send_metadata(nth % 2 == 0 ? RW_V1 : RW_V2, help);
        memory_arm(&machine, 0, false);
        if (!machine.memory_failed) break;
        if (e == ERR_NOMEM) e = send_metadata(nth % 2 == 0 ? RW_V1 : RW_V2, help);
        must(e);
        machine_commit(&machine);
        machine_restart(&machine);
        expect_metadata("anonymous", "", expected);
    }
}

/* --- labels ----------------------------------------------------------------------------------- */

static enum err
put_word(void *context, struct bytes text)
{
    buf_put_bytes(context, text);
    buf_put_u8(context, ' ');
    return OK;
}

static enum err
put_labels(void *context, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label)) {
        buf_put_bytes(context, label.value);
        buf_put_u8(context, ',');
    }
    buf_put_u8(context, ' ');
    return OK;
}

/* Checks a look-up. `what`: a label whose values are wanted, "*" for names, "" for series.
 * `selector` NULL: all. */
static void
expect_labels(const char *tenant, const char *what, const char *selector, int64_t min_ms,
              int64_t max_ms, const char *expected)
{
    struct selector s = {.count = 0};
    if (selector != NULL) must(selector_parse(bytes_of_text(selector), &s, &machine.why));
    struct matcher_set set = {s.matchers, s.count};
    struct query_request r = {.tenant = bytes_of_text(tenant),
                              .sets = &set,
                              .set_count = selector != NULL,
                              .min_ms = min_ms,
                              .max_ms = max_ms};
    struct buf got;
    buf_init(&got, NULL, 1 << 16);
    must(machine_texts(&machine, &r, what, what[0] == '\0' ? put_labels : put_word, &got));
    buf_put_u8(&got, '\0');
    assert_string_equal((const char *)got.at, expected);
    buf_fini(&got);
    selector_fini(&s);
}

static void
expect_labels_of_a(void)
{
    int64_t all = INT64_MAX;
    expect_labels("a", "*", NULL, INT64_MIN, all, "__name__ i x ");
    expect_labels("a", "__name__", NULL, INT64_MIN, all, "m n ");
    expect_labels("a", "i", NULL, INT64_MIN, all, "1 2 3 ");
    expect_labels("a", "i", "m", INT64_MIN, all, "1 2 ");
    expect_labels("a", "i", "{i!=\"2\",__name__=~\"m|n\"}", INT64_MIN, all, "1 3 ");
    expect_labels("a", "*", "n", INT64_MIN, all, "__name__ i x ");
    expect_labels("a", "", "{__name__=~\"[mn]\"}", INT64_MIN, all, "m,1, m,2, n,3,y, ");
    expect_labels("a", "", "m", T0 + 1, all, "m,2, ");
    expect_labels("a", "nothing", NULL, INT64_MIN, all, "");
    expect_labels("b", "*", NULL, INT64_MIN, all, "__name__ ");
    expect_labels("c", "*", NULL, INT64_MIN, all, "");
}

UNIT_TEST(test_labels_are_looked_up_at_every_stage)
{
    must_send_float("a", "__name__=m,i=1", T0, 1);
    expect_labels("a", "*", NULL, INT64_MIN, INT64_MAX, ""); /* no commit is durable */
    must_send_float("a", "__name__=m,i=2", T0 + 1, 1);
    must_send_float("a", "__name__=n,i=3,x=y", T0, 1);
    must_send_float("b", "__name__=m", T0, 1);
    machine_commit(&machine);
    expect_labels_of_a();
    machine_verified_restart(&machine);
    expect_labels_of_a();
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    expect_labels_of_a();
    must_send_float("a", "__name__=m,i=2", T0 + 2, 1); /* in two generations of one registry */
    machine_commit(&machine);
    expect_labels_of_a();
    must(tsdb_flush(machine.db, &machine.why));
    expect_labels_of_a();
    machine_flush(&machine);
    expect_labels_of_a();
    machine_verified_restart(&machine);
    expect_labels_of_a();
}

static void
delete_of(const char *text, int64_t min_ms, int64_t max_ms)
{
    struct selector s;
    struct tsdb_deletion deletion;
    machine_flush(&machine);
    must(selector_parse(bytes_of_text(text), &s, &machine.why));
    must(tsdb_delete(machine.db, bytes_of_text("a"), &s, 1, min_ms, max_ms, &deletion,
                     &machine.why));
}

static struct tsdb_preview
preview_of(const char *text, int64_t min_ms, int64_t max_ms)
{
    struct selector s;
    struct tsdb_preview found;
    must(selector_parse(bytes_of_text(text), &s, &machine.why));
    struct matcher_set set = {s.matchers, s.count};
    const struct query_request request = {.tenant = bytes_of_text("a"),
                                          .sets = &set,
                                          .set_count = 1,
                                          .min_ms = min_ms,
                                          .max_ms = max_ms};
    must(tsdb_delete_preview(machine.db, &request, &found, &machine.why));
    selector_fini(&s);
    return found;
}

UNIT_TEST(test_a_preview_shows_what_a_deletion_hides_and_hides_nothing)
{
    for (int i = 0; i < 4; i++) {
        must_send_float("a", "__name__=m,i=1", T0 + i, 1);
        must_send_float("a", "__name__=n,i=2", T0 + i, 1);
    }
    machine_commit(&machine);
    struct tsdb_preview p = preview_of("n", T0, T0 + 9);
    assert_int_equal(p.series, 1);
    assert_int_equal(p.samples, 4);
    assert_int_equal(p.part_bytes, 0);
    assert_true(p.head_bytes > 0);
    machine_flush(&machine);
    must_send_float("a", "__name__=n,i=3", T0 + 4, 1);
    machine_commit(&machine);
    p = preview_of("n", T0, T0 + 9);
    assert_true(p.exact);
    assert_int_equal(p.series, 2);
    assert_int_equal(p.samples, 5);
    assert_true(p.part_bytes > 0);
    assert_true(p.head_bytes > 0);
    assert_int_equal(preview_of("n", T0 + 10, INT64_MAX).series, 0);
    assert_int_equal(preview_of("none", INT64_MIN, INT64_MAX).samples, 0);
    expect_labels("a", "i", NULL, INT64_MIN, INT64_MAX, "1 2 3 ");
    delete_of("n", T0, T0 + 9);
    assert_int_equal(preview_of("n", T0, T0 + 9).series, 0);
}

UNIT_TEST(test_labels_of_what_is_deleted_are_gone_at_once)
{
    for (int i = 0; i < 4; i++) {
        must_send_float("a", "__name__=m,i=1", T0 + i, 1);
        must_send_float("a", "__name__=n,i=2", T0 + i, 1);
    }
    machine_commit(&machine);
    delete_of("n", T0, T0 + 1);
    expect_labels("a", "i", NULL, INT64_MIN, INT64_MAX, "1 2 ");
    delete_of("n", T0 + 2, T0 + 3); /* only both deletions together hide the whole block */
    expect_labels("a", "i", NULL, INT64_MIN, INT64_MAX, "1 ");
    expect_labels("a", "__name__", NULL, INT64_MIN, INT64_MAX, "m ");
    expect_labels("a", "", "{i=~\".+\"}", INT64_MIN, INT64_MAX, "m,1, ");
    must_send_float("a", "__name__=n,i=2", T0 + 9, 1);
    machine_commit(&machine);
    expect_labels("a", "i", NULL, INT64_MIN, INT64_MAX, "1 2 ");
}

static void
expect_top(const struct tsdb_top *top, enum tsdb_ranking ranking, const char *expected)
{
    char got[400] = "";
    for (uint32_t i = 0; i < top->counts[ranking]; i++) {
        size_t used = strlen(got);
        const struct tsdb_cardinality *c = &top->items[ranking][i];
        snprintf(got + used, sizeof got - used, "%.*s %" PRIu64 ", ", (int)c->name.size,
                 (const char *)c->name.at, c->count);
    }
    assert_string_equal(got, expected);
}

UNIT_TEST(test_the_largest_metrics_and_labels_of_a_tenant_are_found)
{
    static const char *const series[] = {"__name__=m,i=1", "__name__=m,i=2,long=aaaa",
                                         "__name__=n,i=2", "__name__=m,i=3"};
    struct arena arena;
    struct tsdb_top top;
    for (unsigned i = 0; i < 4; i++)
        must_send_float("a", series[i], T0, 1);
    must_send_float("b", "__name__=other,i=9", T0, 1);
    arena_init(&arena, NULL, 0, 0);
    must(tsdb_top(machine.db, text("a"), &arena, 2, &top));
    assert_int_equal(top.pairs, 6);
    expect_top(&top, TSDB_METRICS_BY_SERIES, "m 3, n 1, ");
    expect_top(&top, TSDB_NAMES_BY_VALUES, "i 3, __name__ 2, ");
    expect_top(&top, TSDB_NAMES_BY_BYTES, "__name__ 4, i 4, ");
    expect_top(&top, TSDB_PAIRS_BY_SERIES, "__name__=m 3, i=2 2, ");
    must(tsdb_top(machine.db, text("a"), &arena, 10, &top));
    expect_top(&top, TSDB_NAMES_BY_BYTES, "__name__ 4, i 4, long 4, ");
    must(tsdb_top(machine.db, text("c"), &arena, 10, &top));
    assert_int_equal(top.pairs, 0);
    assert_int_equal(top.counts[TSDB_PAIRS_BY_SERIES], 0);
    arena_fini(&arena);
}

static void
count_part(void *context, const struct part_info *part)
{
    uint64_t *samples = context;
    assert_int_equal(part->time.min_ms, T0);
    assert_int_equal(part->time.max_ms, T0 + 7);
    assert_int_equal(part->series_count, 2);
    *samples += part->sample_count[LEDGER_FLOAT] + part->sample_count[LEDGER_HISTOGRAM];
}

UNIT_TEST(test_parts_report_their_content)
{
    uint64_t samples = 0;
    struct tsdb_stats stats;
    tsdb_parts(machine.db, count_part, &samples);
    tsdb_stats(machine.db, &stats);
    assert_true(stats.head_min_ms > stats.head_max_ms);
    must_send_float("a", "__name__=m", T0, 1);
    must_send_float("a", "__name__=n", T0 + 7, 1);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.head_min_ms, T0);
    assert_int_equal(stats.head_max_ms, T0 + 7);
    machine_commit(&machine);
    machine_flush(&machine);
    tsdb_parts(machine.db, count_part, &samples);
    assert_int_equal(samples, 2);
}

static void
send_at(int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    rq_float(&rq, t_ms, double_bits(1), 0);
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&machine);
}

static void
expect_range(int64_t min_ms, int64_t max_ms)
{
    struct answerer *a = tsdb_answerer(machine.db);
    int64_t first_ms, last_ms;
    a->ops->range(a, &first_ms, &last_ms);
    assert_int_equal(first_ms, min_ms);
    assert_int_equal(last_ms, max_ms);
}

/* Queries of the time before are sent to other sources only. */
UNIT_TEST(test_the_range_of_the_store_spans_parts_and_head)
{
    expect_range(INT64_MAX, INT64_MIN);
    send_at(T0 + 5);
    expect_range(T0 + 5, T0 + 5);
    machine_flush(&machine);
    expect_range(T0 + 5, T0 + 5);
    send_at(T0 + 2); /* only the head has it */
    expect_range(T0 + 2, T0 + 5);
    machine_flush(&machine);
    send_at(T0 + 9);
    expect_range(T0 + 2, T0 + 9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_matchers_select_as_the_model_does_at_every_stage),
        claim(test_both_bounds_are_inclusive),
        claim(test_set_stays_whole_while_its_generation_becomes_a_part),
        claim(test_labels_are_looked_up_at_every_stage),
        claim(test_a_preview_shows_what_a_deletion_hides_and_hides_nothing),
        claim(test_labels_of_what_is_deleted_are_gone_at_once),
        claim(test_limits_of_a_query_end_it),
        claim(test_the_largest_metrics_and_labels_of_a_tenant_are_found),
        claim(test_parts_report_their_content),
        claim(test_the_range_of_the_store_spans_parts_and_head),
        claim(test_exemplars_are_found_at_every_stage),
        claim(test_last_metadata_is_kept_at_every_stage),
        claim(test_the_newest_part_never_goes_for_its_size),
        claim(test_metadata_outlives_the_part_that_expires),
        claim(test_metadata_of_a_failed_commit_comes_with_the_repetition),
        claim(test_metadata_of_a_refused_request_comes_with_the_repetition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
