/* inspect_print_rules_test.c - the state of rules is summed up for each tenant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cli/inspect_print.h"
#include "rules/checkpoint.h"

#define AT(s) (1767225600000000000 + (s)*NS_PER_S)

static void
test_groups_and_alerts_are_counted_for_each_tenant(void **state)
{
    (void)state;
    struct checkpoint_alert alerts[] = {{.state = ALERT_FIRING},
                                        {.state = ALERT_FIRING},
                                        {.state = ALERT_PENDING},
                                        {.state = ALERT_INACTIVE}};
    struct checkpoint_rule rules[] = {{.alerts = alerts, .alert_count = 4},
                                      {.alerts = alerts, .alert_count = 1}};
    struct checkpoint_group groups[] = {
        {.next_ns = AT(90), .rules = rules, .rule_count = 2},
        {.next_ns = AT(60)},
        {.next_ns = AT(30), .retired_ns = AT(31)},
    };
    struct checkpoint_tenant tenants[] = {
        {bytes_of_text("a"), AT(59) / NS_PER_MS, groups, 3},
        {bytes_of_text("b"), INT64_MIN, NULL, 0},
    };
    const struct checkpoint c = {.head = {.written_ns = AT(61)},
                                 .tenants = tenants,
                                 .tenant_count = 2,
                                 .group_count = 3,
                                 .alert_count = 5};
    char *text;
    size_t size;
    struct report *r;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(report_new(REPORT_TEXT, to, NULL, &r), OK);
    inspect_print_rules(r, &c);
    assert_int_equal(report_end(r), OK);
    report_free(r);
    fclose(to);
    assert_string_equal(
        text,
        "State of rules\n"
        "  written                    2026-01-01T00:01:01.000Z (1767225661000)\n"
        "  latest evaluation          -\n"
        "  groups                     3\n"
        "  alerts                     5\n"
        "\n"
        "Tenants: state of rules\n"
        "  tenant  last write                groups  removed groups  next evaluation           "
        "pending  firing  resolved\n"
        "  a       2026-01-01T00:00:59.000Z       2               1  2026-01-01T00:01:00.000Z  "
        "      1       3         1\n"
        "  b       -                              0               0  -                         "
        "      0       0         0\n");
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_and_alerts_are_counted_for_each_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
