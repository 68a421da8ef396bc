/* refusals_test.c - log lines about refused samples: their limits and content. */
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "api/routes.h"
#include "base/log.h"

/* Lines go to a pipe while a test runs; gates live longer than a test, so each test has
 * another day. */
static int pipe_ends[2];
static int64_t now_ns;

static int
listen_to_log(void **state)
{
    (void)state;
    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    log_to_fd(pipe_ends[1]);
    log_configure(LOG_INFO, LOG_LOGFMT);
    now_ns += 86400 * NS_PER_S;
    return 0;
}

static int
stop_listening(void **state)
{
    (void)state;
    log_to_fd(2);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

static const char *
logged(void)
{
    static char text[60000];
    ssize_t got = read(pipe_ends[0], text, sizeof text - 1);
    text[got < 0 ? 0 : got] = '\0';
    return text;
}

static void
refuse(const char *tenant, uint64_t too_old, uint64_t conflicts, const char *offenders)
{
    struct ingest_result result = {.rejected_total = too_old + conflicts};
    result.rejected_for[REJECT_TOO_OLD] = too_old;
    result.rejected_for[REJECT_CONFLICT] = conflicts;
    snprintf(result.text, sizeof result.text, "refused: so many%s", offenders);
    refusals_log(now_ns, bytes_of_text(tenant), &result);
}

UNIT_TEST(test_each_reason_is_logged_once_a_minute_with_all_that_came_meanwhile)
{
    refuse("a", 2, 1, "; too_old at 5: {x=\"1\"}; conflict at 6: {y=\"2\"}");
    const char *lines = logged();
    assert_non_null(strstr(lines, "reason=too_old count=2 tenant=a first=\"too_old at 5: "));
    assert_non_null(strstr(lines, "reason=conflict count=1 tenant=a first=\"conflict at 6: "));
    for (int second = 1; second < 60; second++) {
        now_ns += NS_PER_S;
        refuse("b", 3, 0, "; too_old at 7: {z=\"3\"}");
    }
    assert_string_equal(logged(), "");
    now_ns += NS_PER_S;
    refuse("c", 3, 0, "; too_old at 8: {z=\"3\"}");
    lines = logged();
    assert_non_null(strstr(lines, "reason=too_old count=180 tenant=c first=\"too_old at 8: "));
    assert_null(strstr(lines, "conflict"));
}

UNIT_TEST(test_refused_exemplars_of_accepted_requests_are_logged_separately)
{
    struct ingest_result result = {.rejected_total = 2};
    result.rejected[LEDGER_EXEMPLAR] = 2;
    result.rejected_for[REJECT_TOO_OLD] = 2;
    snprintf(result.text, sizeof result.text,
             "refused: 2 too_old; too_old at 5: {x=\"1\"}: exemplar");
    refusals_log(now_ns, bytes_of_text("a"), &result);
    assert_non_null(strstr(logged(), "msg=\"exemplars refused\" reason=too_old count=2 tenant=a "
                                     "first=\"too_old at 5: "));
    refuse("a", 1, 0, "; too_old at 6: {y=\"2\"}");
    assert_non_null(strstr(logged(), "msg=\"samples refused with status 400\" reason=too_old "
                                     "count=1 tenant=a first=\"too_old at 6: "));
}

UNIT_TEST(test_who_was_first_is_named_by_whatever_the_answer_names)
{
    refuse("a", 0, 1, "");
    assert_non_null(strstr(logged(), "reason=conflict count=1 tenant=a first=\"\""));
    refuse("a", 1, 0, "; conflict at 6: {y=\"2\"}"); /* there was no room for the other one */
    assert_non_null(strstr(logged(), "reason=too_old count=1 tenant=a first=\"conflict at 6: "));
}

UNIT_TEST(test_missing_types_of_a_prometheus_are_reported_once_a_day)
{
    struct rw_series series[2] = {{.has_metadata = false}, {.has_metadata = true}};
    struct rw_request request = {.version = RW_V2, .series_count = 2, .series = series};
    types_missing_log(now_ns, "Prometheus/3.5.3", "p:1", &request);
    series[1].has_metadata = false;
    types_missing_log(now_ns, NULL, "p:1", &request);
    types_missing_log(now_ns, "vmagent", "p:1", &request);
    request.version = RW_V1;
    types_missing_log(now_ns, "Prometheus/3.5.3", "p:1", &request);
    request.version = RW_V2;
    request.series_count = 0;
    types_missing_log(now_ns, "Prometheus/3.5.3", "p:1", &request);
    assert_string_equal(logged(), "");
    request.series_count = 2;
    types_missing_log(now_ns, "Prometheus/3.5.3", "p:1", &request);
    assert_non_null(strstr(logged(), "--enable-feature=metadata-wal-records, or use remote write "
                                     "1.0\" sender=Prometheus/3.5.3 address=p:1"));
    types_missing_log(now_ns + 86399 * NS_PER_S, "Prometheus/3.5.3", "p:1", &request);
    assert_string_equal(logged(), "");
    types_missing_log(now_ns + 86400 * NS_PER_S, "Prometheus/3.5.3", "p:1", &request);
    assert_non_null(strstr(logged(), "level=info"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_each_reason_is_logged_once_a_minute_with_all_that_came_meanwhile, listen_to_log,
            stop_listening),
        cmocka_unit_test_setup_teardown(
            test_refused_exemplars_of_accepted_requests_are_logged_separately, listen_to_log,
            stop_listening),
        cmocka_unit_test_setup_teardown(test_missing_types_of_a_prometheus_are_reported_once_a_day,
                                        listen_to_log, stop_listening),
        cmocka_unit_test_setup_teardown(test_who_was_first_is_named_by_whatever_the_answer_names,
                                        listen_to_log, stop_listening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
