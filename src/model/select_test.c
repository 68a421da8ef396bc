#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/select.h"
#include "sys/env.h"

static int64_t clock_ns;

static int64_t
read_clock(struct env *env)
{
    (void)env;
    return clock_ns;
}

static void
test_query_ends_at_its_deadline(void **state)
{
    (void)state;
    static const struct env_ops ops = {.monotonic_ns = read_clock};
    struct env env = {&ops};
    struct query_control control = {.env = &env, .deadline_ns = 1000};
    struct why why = {""};
    clock_ns = 999;
    assert_int_equal(query_control_check(&control, &why), OK);
    clock_ns = 1000;
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "the query timed out");
    assert_int_equal(query_control_check(&control, NULL), ERR_CANCELED);
}

static void
test_query_without_deadline_asks_no_clock(void **state)
{
    (void)state;
    struct query_control control = {.env = NULL};
    assert_int_equal(query_control_check(&control, NULL), OK);
}

static void
test_query_ends_when_canceled(void **state)
{
    (void)state;
    struct query_control control = {.env = NULL};
    struct why why = {""};
    atomic_store(&control.canceled, true);
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "the query was canceled: its client has gone");
}

static bool
is_gone(void *context)
{
    unsigned *asked = context;
    return ++*asked == 3;
}

static void
test_whether_the_client_is_gone_is_asked_now_and_then(void **state)
{
    (void)state;
    static const struct env_ops ops = {.monotonic_ns = read_clock};
    struct env env = {&ops};
    unsigned asked = 0;
    struct query_control control = {.env = &env, .is_gone = is_gone, .gone_context = &asked};
    clock_ns = 1000 * NS_PER_MS;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(query_control_check(&control, NULL), OK);
    }
    assert_int_equal(asked, 1);
    clock_ns += 10 * NS_PER_MS;
    assert_int_equal(query_control_check(&control, NULL), OK);
    clock_ns += 10 * NS_PER_MS;
    struct why why = {""};
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_string_equal(why.text, "the query was canceled: its client has gone");
    assert_int_equal(query_control_check(&control, &why), ERR_CANCELED);
    assert_int_equal(asked, 3);
}

static void
test_limits_hold_for_all_that_work_for_a_query(void **state)
{
    (void)state;
    struct query_control control = {.series_max = 2, .samples_max = 100, .bytes_max = 1000};
    struct why why = {""};
    assert_int_equal(query_control_add_series(&control, &why), OK);
    assert_int_equal(query_control_add_series(&control, &why), OK);
    assert_int_equal(query_control_add_series(&control, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "series"));
    assert_int_equal(query_control_add_samples(&control, 100, &why), OK);
    assert_int_equal(query_control_add_samples(&control, 1, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "samples"));
    assert_int_equal(query_control_add_bytes(&control, 1001, &why), ERR_LIMIT);
    assert_non_null(strstr(why.text, "bytes"));
    assert_int_equal(query_control_add_bytes(NULL, 1, &why), OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_ends_at_its_deadline),
        cmocka_unit_test(test_whether_the_client_is_gone_is_asked_now_and_then),
        cmocka_unit_test(test_limits_hold_for_all_that_work_for_a_query),
        cmocka_unit_test(test_query_without_deadline_asks_no_clock),
        cmocka_unit_test(test_query_ends_when_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
