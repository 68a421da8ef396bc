/* Alerts as JSON, as Alertmanager's API v2 takes them and Prometheus writes them. */
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
    put_alert_labels(&labels, "Down", (const char *[]){"job", "a b", NULL});
    encoding = (struct alert_encoding){.memory = &budget, .seed = 7, .external_url = ""};
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
make(enum err want)
{
    struct encoded_alert *alert = NULL;
    assert_int_equal(encoded_alert_new(&encoding, buf_bytes(&labels), &notice, &scratch, &alert),
                     want);
    return alert;
}

#define LABELS "{\"labels\":{\"alertname\":\"Down\",\"job\":\"a b\"},"
#define TIMES  "\"startsAt\":\"2026-01-02T03:04:05.678Z\",\"endsAt\":\"2026-01-02T03:08:05.000Z\""

static void
test_an_alert_has_labels_annotations_times_and_where_it_comes_from(void **state)
{
    static const struct {
        const char *claim, *url, *annotations[4], *want;
    } cases[] = {
        {"it has all of that",
         "http://firekeep:9201/x",
         {"summary", "\"x\"\n", "empty", ""},
         LABELS "\"annotations\":{\"summary\":\"\\\"x\\\"\\n\",\"empty\":\"\"}," TIMES
                ",\"generatorURL\":\"http://firekeep:9201/x/graph?g0.expr="
                "up%7Bjob%3D%22a+b%22%7D+%3D%3D+0+%2B+1+-+~.%2A_&g0.tab=1\"}"},
        {"without a URL of ours it has no generator", "", {NULL}, LABELS TIMES "}"},
        {"a path is no URL", "/behind/a/proxy", {NULL}, LABELS TIMES "}"},
        {"bytes that are not text are replaced",
         "",
         {"a", "\xff", NULL},
         LABELS "\"annotations\":{\"a\":\"\xef\xbf\xbd\"}," TIMES "}"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct label annotations[2];
        notice.annotations = annotations;
        notice.expression = bytes_of_text("up{job=\"a b\"} == 0 + 1 - ~.*_");
        encoding.external_url = cases[i].url;
        for (unsigned k = notice.annotation_count = 0; k < 4 && cases[i].annotations[k]; k += 2) {
            annotations[notice.annotation_count++] = (struct label){
                bytes_of_text(cases[i].annotations[k]), bytes_of_text(cases[i].annotations[k + 1])};
        }
        struct encoded_alert *alert = make(OK);
        struct bytes got = encoded_alert_json(alert);
        if (!bytes_equal_text(got, cases[i].want)) {
            fail_msg("%s: %.*s", cases[i].claim, (int)got.size, (const char *)got.at);
        }
        assert_true(bytes_equal(encoded_alert_labels(alert), buf_bytes(&labels)));
        encoded_alert_unref(alert);
    }
}

static void
test_an_alert_expires_15_minutes_after_its_end_or_after_it_was_made(void **state)
{
    static const struct {
        const char *claim;
        int64_t now_ms, ends_ms, from_ms;
    } cases[] = {
        {"it fires", 1000, 9000, 9000},
        {"it ended before", 9000, 1000, 9000},
        {"it is sent for the last time", 900000 + 1, 1, 900000 + 1},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        encoding.now_ms = cases[i].now_ms;
        notice.ends_ns = cases[i].ends_ms * NS_PER_MS;
        struct encoded_alert *alert = make(OK);
        int64_t kept_ms = alert->expires_ms - cases[i].from_ms;
        if (kept_ms != ENCODED_ALERT_KEPT_MS) fail_msg("%s: %ld", cases[i].claim, kept_ms);
        encoded_alert_unref(alert);
    }
}

static void
test_equal_labels_have_equal_hashes_of_one_seed(void **state)
{
    uint64_t hashes[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        notice.starts_ns += NS_PER_MS;
        encoding.seed = 7 + i / 2;
        struct encoded_alert *alert = make(OK);
        hashes[i] = alert->hash;
        encoded_alert_unref(alert);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] != hashes[2]);
}

static void
test_an_alert_that_is_too_long_is_refused(void **state)
{
    static char text[ENCODED_ALERT_BYTES_MAX];
    const struct label annotation = {bytes_of_text("a"), bytes_of(text, sizeof text - 1)};
    (void)state;
    memset(text, 'x', sizeof text);
    notice.annotations = &annotation;
    notice.annotation_count = 1;
    (void)make(ERR_LIMIT);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_alert_has_labels_annotations_times_and_where_it_comes_from),
        TEST(test_an_alert_expires_15_minutes_after_its_end_or_after_it_was_made),
        TEST(test_equal_labels_have_equal_hashes_of_one_seed),
        TEST(test_an_alert_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
