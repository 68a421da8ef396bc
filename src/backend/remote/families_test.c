/* families_test.c - metadata is found by a family's name, or by the names of its series. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/remote/remote_private.h"
#include "lib/test.h"

#define must(call) assert_int_equal((call), OK)

static struct bytes
b(const char *text)
{
    return bytes_of_text(text);
}

UNIT_TEST(test_a_family_is_found_by_its_name_and_those_of_its_series)
{
    struct families *f;
    struct sent_family got, in = {METRIC_HISTOGRAM, b("how long"), b("seconds")};
    must(families_new(NULL, &f));
    assert_false(families_find(f, b("t"), b("latency"), &got));
    must(families_put(f, b("t"), b("latency"), &in));
    static const char *const names[] = {"latency", "latency_bucket", "latency_sum",
                                        "latency_count"};
    for (unsigned i = 0; i < 4; i++) {
        assert_true(families_find(f, b("t"), b(names[i]), &got));
        assert_int_equal(got.type, METRIC_HISTOGRAM);
        assert_true(bytes_equal_text(got.help, "how long"));
        assert_true(bytes_equal_text(got.unit, "seconds"));
    }
    assert_false(families_find(f, b("other"), b("latency"), &got));
    assert_false(families_find(f, b("t"), b("latency_max"), &got));
    assert_false(families_find(f, b("t"), b("_sum"), &got));
    families_free(f);
}

UNIT_TEST(test_the_last_family_is_kept_and_memory_is_reused)
{
    struct budget budget;
    struct families *f;
    struct sent_family got;
    budget_init(&budget, "test", 0, NULL);
    must(families_new(&budget, &f));
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 300; i++) {
            char name[32], help[64];
            snprintf(name, sizeof name, "family_%u", i);
            snprintf(help, sizeof help, "help of %u, round %u", i, round);
            struct sent_family in = {METRIC_COUNTER, b(help), b("")};
            must(families_put(f, b("t"), b(name), &in));
        }
    }
    assert_true(budget_used(&budget) < 256 * 1024);
    for (unsigned i = 0; i < 300; i++) {
        char name[32], help[64];
        snprintf(name, sizeof name, "family_%u_total", i);
        snprintf(help, sizeof help, "help of %u, round 199", i);
        assert_true(families_find(f, b("t"), b(name), &got));
        assert_true(bytes_equal_text(got.help, help));
    }
    families_free(f);
    assert_int_equal(budget_used(&budget), 0);
}

UNIT_TEST(test_there_is_room_for_so_many_and_no_more)
{
    struct families *f;
    struct sent_family in = {METRIC_GAUGE, b(""), b("")};
    must(families_new(NULL, &f));
    enum err e = OK;
    unsigned count = 0;
    for (; e == OK && count < 1000000; count++) {
        char name[32];
        snprintf(name, sizeof name, "f%u", count);
        e = families_put(f, b("t"), b(name), &in);
    }
    assert_int_equal(e, ERR_LIMIT);
    assert_int_equal(count - 1, 32 * 1024);
    in.type = METRIC_COUNTER;
    must(families_put(f, b("t"), b("f7"), &in)); /* known ones may change */
    families_free(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_family_is_found_by_its_name_and_those_of_its_series),
        cmocka_unit_test(test_the_last_family_is_kept_and_memory_is_reused),
        cmocka_unit_test(test_there_is_room_for_so_many_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
