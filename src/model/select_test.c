#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_ends_at_its_deadline),
        cmocka_unit_test(test_query_without_deadline_asks_no_clock),
        cmocka_unit_test(test_query_ends_when_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
