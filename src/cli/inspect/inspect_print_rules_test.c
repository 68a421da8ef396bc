/* inspect_print_rules_test.c - the state of rules is summed up for each tenant. */
#include "lib/test.h"

#include <stdlib.h>

#include "cli/inspect/inspect.h"
#include "lib/checkpoint_copy.h"

#define AT(s) (1767225600000000000 + (s)*NS_PER_S)
#define VIEW(t)                           \
    {                                     \
        (const uint8_t *)t, sizeof(t) - 1 \
    }
#define ALERT(s)                                                                         \
    {                                                                                    \
        CHECKPOINT_ALERT, .alert = { {.state = s}, {VIEW("\n\16\n\11alertname\22\1A")} } \
    }

UNIT_TEST(test_groups_and_alerts_are_counted_for_each_tenant)
{
    const struct checkpoint_head head = {.written_ns = AT(61)};
    const struct checkpoint_record records[] = {
        {CHECKPOINT_TENANT, .tenant = {VIEW("a"), AT(59) / NS_PER_MS}},
        {CHECKPOINT_GROUP, .group = {VIEW("f"), VIEW("1"), NS_PER_S, .next_ns = AT(90)}},
        {CHECKPOINT_RULE, .rule.name = VIEW("A")},
        ALERT(ALERT_FIRING),
        ALERT(ALERT_FIRING),
        ALERT(ALERT_PENDING),
        ALERT(ALERT_INACTIVE),
        {CHECKPOINT_RULE, .rule.name = VIEW("A")},
        ALERT(ALERT_FIRING),
        {CHECKPOINT_GROUP, .group = {VIEW("f"), VIEW("2"), NS_PER_S, .next_ns = AT(60)}},
        {CHECKPOINT_GROUP, .group = {VIEW("f"), VIEW("3"), NS_PER_S, AT(30), AT(31)}},
        {CHECKPOINT_TENANT, .tenant = {VIEW("b"), INT64_MIN}},
    };
    struct checkpoint_reader reader;
    struct buf file;
    buf_init(&file, NULL, CHECKPOINT_BYTES_MAX);
    assert_int_equal(
        checkpoint_of_records(&head, records, sizeof records / sizeof *records, &file, NULL), OK);
    assert_int_equal(checkpoint_open(&reader, buf_bytes(&file), NULL), OK);
    char *text;
    size_t size;
    struct report *r;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(report_new(REPORT_TEXT, to, NULL, &r, NULL), OK);
    inspect_print_rules(r, &reader);
    assert_int_equal(report_end(r, NULL), OK);
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
    buf_fini(&file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_and_alerts_are_counted_for_each_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
