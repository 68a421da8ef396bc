/* Alerts as JSON, as Alertmanager's API v2 takes them and Prometheus writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "notify/notify_testing.h"

static struct budget budget;
static struct buf labels, scratch;
static struct alert_notice notice;
static struct alert_encoding encoding;

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    buf_init(&labels, NULL, 4 << 20);
    buf_init(&scratch, &budget, 4 << 20);
    encoding = (struct alert_encoding){
        .memory = &budget, .seed = 7, .external_url = "http://firekeep:9201/x"};
    notice = (struct alert_notice){.starts_ns = 1767323045678 * NS_PER_MS + 999999,
                                   .ends_ns = 1767323285000 * NS_PER_MS};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&labels);
    buf_fini(&scratch);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static struct encoded_alert *
make(void)
{
    struct encoded_alert *alert;
    assert_int_equal(encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert),
                     OK);
    return alert;
}

static void
expect_json(const char *want)
{
    struct encoded_alert *alert = make();
    if (!bytes_equal_text(encoded_alert_json(alert), want)) {
        fail_msg("%.*s", (int)encoded_alert_json(alert).size,
                 (const char *)encoded_alert_json(alert).at);
    }
    assert_true(bytes_equal(encoded_alert_labels(alert), buf_bytes(&labels)));
    encoded_alert_unref(alert);
}

static void
test_an_alert_has_labels_annotations_times_and_where_it_comes_from(void **state)
{
    (void)state;
    const struct label annotations[] = {{bytes_of_text("summary"), bytes_of_text("\"x\"\n")},
                                        {bytes_of_text("empty"), bytes_of_text("")}};
    put_alert_labels(&labels, "Down", (const char *[]){"job", "a b", NULL});
    notice.annotations = annotations;
    notice.annotation_count = 2;
    notice.expression = bytes_of_text("up{job=\"a b\"} == 0 + 1 - ~.*_");
    expect_json("{\"labels\":{\"alertname\":\"Down\",\"job\":\"a b\"},"
                "\"annotations\":{\"summary\":\"\\\"x\\\"\\n\",\"empty\":\"\"},"
                "\"startsAt\":\"2026-01-02T03:04:05.678Z\",\"endsAt\":\"2026-01-02T03:08:05.000Z\","
                "\"generatorURL\":\"http://firekeep:9201/x/graph?g0.expr="
                "up%7Bjob%3D%22a+b%22%7D+%3D%3D+0+%2B+1+-+~.%2A_&g0.tab=1\"}");
}

static void
test_without_a_url_of_ours_nothing_is_said_of_it(void **state)
{
    (void)state;
    put_alert_labels(&labels, "Down", NULL);
    static const char *const urls[] = {"", "/behind/a/proxy"};
    for (unsigned i = 0; i < 2; i++) {
        encoding.external_url = urls[i];
        expect_json("{\"labels\":{\"alertname\":\"Down\"},"
                    "\"startsAt\":\"2026-01-02T03:04:05.678Z\","
                    "\"endsAt\":\"2026-01-02T03:08:05.000Z\"}");
    }
}

static void
test_an_alert_expires_15_minutes_after_its_end_or_after_it_was_made(void **state)
{
    (void)state;
    static const struct {
        int64_t now_ms, ends_ms, want_ms;
    } cases[] = {
        {1000, 9000, 9000 + ENCODED_ALERT_KEPT_MS},         /* it fires */
        {9000, 1000, 9000 + ENCODED_ALERT_KEPT_MS},         /* it ended before */
        {900000 + 1, 1, 900000 + 1 + ENCODED_ALERT_KEPT_MS} /* the last time that it is sent */
    };
    put_alert_labels(&labels, "Down", NULL);
    for (unsigned i = 0; i < 3; i++) {
        encoding.now_ms = cases[i].now_ms;
        notice.ends_ns = cases[i].ends_ms * NS_PER_MS;
        struct encoded_alert *alert = make();
        assert_int_equal(alert->expires_ms, cases[i].want_ms);
        encoded_alert_unref(alert);
    }
}

static void
test_bytes_that_are_no_text_are_replaced(void **state)
{
    (void)state;
    const struct label annotation = {bytes_of_text("a"), bytes_of_text("\xff")};
    put_alert_labels(&labels, "Down", NULL);
    notice.annotations = &annotation;
    notice.annotation_count = 1;
    struct encoded_alert *alert = make();
    assert_non_null(memmem(encoded_alert_json(alert).at, encoded_alert_json(alert).size,
                           "\"\xef\xbf\xbd\"", 5));
    encoded_alert_unref(alert);
}

static void
test_equal_labels_have_equal_hashes_of_one_seed(void **state)
{
    (void)state;
    put_alert_labels(&labels, "Down", NULL);
    struct encoded_alert *a = make();
    notice.starts_ns += NS_PER_MS;
    struct encoded_alert *b = make();
    encoding.seed++;
    struct encoded_alert *c = make();
    assert_true(a->hash == b->hash);
    assert_true(a->hash != c->hash);
    encoded_alert_unref(a);
    encoded_alert_unref(b);
    encoded_alert_unref(c);
}

static void
test_an_alert_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char *text = calloc(1, ENCODED_ALERT_BYTES_MAX);
    struct encoded_alert *alert;
    memset(text, 'x', ENCODED_ALERT_BYTES_MAX - 1);
    const struct label annotation = {bytes_of_text("a"), bytes_of_text(text)};
    put_alert_labels(&labels, "Down", NULL);
    notice.annotations = &annotation;
    notice.annotation_count = 1;
    assert_int_equal(encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert),
                     ERR_LIMIT);
    free(text);
}

static void
test_each_allocation_may_fail(void **state)
{
    (void)state;
    put_alert_labels(&labels, "Down", NULL);
    notice.expression = bytes_of_text("up == 0");
    for (uint64_t nth = 1;; nth++) {
        struct encoded_alert *alert = NULL;
        buf_fini(&scratch);
        mem_fail_nth(nth, false);
        enum err e = encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        encoded_alert_unref(alert);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_alert_has_labels_annotations_times_and_where_it_comes_from),
        TEST(test_without_a_url_of_ours_nothing_is_said_of_it),
        TEST(test_an_alert_expires_15_minutes_after_its_end_or_after_it_was_made),
        TEST(test_bytes_that_are_no_text_are_replaced),
        TEST(test_equal_labels_have_equal_hashes_of_one_seed),
        TEST(test_an_alert_that_is_too_long_is_refused),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
