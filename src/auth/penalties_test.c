/*
 * penalties_test.c - when an address is refused, and what the bounded table guarantees, also
 * against a model that remembers each address.
 */
#include "lib/test.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "auth/gate_private.h"

#define S INT64_C(1000000000)

enum { FAILURES = 3, INTERVAL_S = 10 };

static struct penalties *
start(struct penalties *t, uint32_t addresses_max)
{
    const struct penalties_options options = {.addresses_max = addresses_max,
                                              .failures = FAILURES,
                                              .interval_ns = INTERVAL_S * S,
                                              .log_interval_ns = 60 * S,
                                              .seed = 7};
    assert_int_equal(penalties_init(t, NULL, &options), OK);
    return t;
}

static struct penalty_key
key_of_text(const char *text)
{
    uint8_t address[16];
    assert_int_equal(inet_pton(AF_INET6, text, address), 1);
    return penalty_key_of(address);
}

/* Returns the key of an IPv4 address. */
static struct penalty_key
key_of(uint32_t number)
{
    uint8_t address[16] = {[10] = 0xff, 0xff};
    number = __builtin_bswap32(number);
    memcpy(address + 12, &number, sizeof number);
    return penalty_key_of(address);
}

static void
failures(struct penalties *t, struct penalty_key key, int64_t now_ns, unsigned count)
{
    uint64_t lines;
    for (unsigned i = 0; i < count; i++)
        (void)penalties_add(t, key, now_ns, &lines);
}

UNIT_TEST(test_an_address_is_refused_after_its_failures_and_no_other)
{
    struct penalties penalties, *t = start(&penalties, 8);
    for (unsigned i = 0; i < FAILURES; i++) {
        assert_int_equal(penalties_retry_after_s(t, key_of(1), 5 * S), 0);
        failures(t, key_of(1), 5 * S, 1);
    }
    assert_int_equal(penalties_retry_after_s(t, key_of(1), 5 * S), INTERVAL_S);
    assert_int_equal(penalties_retry_after_s(t, key_of(2), 5 * S), 0);
    penalties_fini(t);
}

UNIT_TEST(test_a_refused_address_gets_one_check_per_interval)
{
    struct penalties penalties, *t = start(&penalties, 8);
    int64_t now_ns = 100 * S;
    failures(t, key_of(1), now_ns, FAILURES);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(penalties_retry_after_s(t, key_of(1), now_ns + 1), INTERVAL_S);
        now_ns += INTERVAL_S * S;
        assert_int_equal(penalties_retry_after_s(t, key_of(1), now_ns - 1), 1);
        assert_int_equal(penalties_retry_after_s(t, key_of(1), now_ns), 0);
        failures(t, key_of(1), now_ns, 1);
    }
    penalties_fini(t);
}

UNIT_TEST(test_failures_are_forgotten_with_time)
{
    struct penalties penalties, *t = start(&penalties, 8);
    failures(t, key_of(1), 0, FAILURES);
    int64_t now_ns = FAILURES * INTERVAL_S * S;
    failures(t, key_of(1), now_ns, FAILURES - 1);
    assert_int_equal(penalties_retry_after_s(t, key_of(1), now_ns), 0);
    failures(t, key_of(1), now_ns, 1);
    assert_int_equal(penalties_retry_after_s(t, key_of(1), now_ns), INTERVAL_S);
    penalties_fini(t);
}

UNIT_TEST(test_many_failures_at_once_refuse_for_one_interval_only)
{
    struct penalties penalties, *t = start(&penalties, 8);
    failures(t, key_of(1), 0, 1000);
    assert_int_equal(penalties_retry_after_s(t, key_of(1), 0), INTERVAL_S);
    assert_int_equal(penalties_retry_after_s(t, key_of(1), INTERVAL_S * S), 0);
    penalties_fini(t);
}

UNIT_TEST(test_an_ipv6_network_of_64_bits_is_one_address)
{
    struct penalties penalties, *t = start(&penalties, 8);
    failures(t, key_of_text("2001:db8:1:2::1"), 0, 1);
    failures(t, key_of_text("2001:db8:1:2:ffff:ffff:ffff:ffff"), 0, 2);
    assert_int_not_equal(penalties_retry_after_s(t, key_of_text("2001:db8:1:2:3::"), 0), 0);
    assert_int_equal(penalties_retry_after_s(t, key_of_text("2001:db8:1:3::1"), 0), 0);
    penalties_fini(t);
}

UNIT_TEST(test_ipv4_addresses_differ_in_any_bit)
{
    struct penalties penalties, *t = start(&penalties, 8);
    failures(t, key_of_text("::ffff:192.0.2.1"), 0, FAILURES);
    assert_int_not_equal(penalties_retry_after_s(t, key_of_text("::ffff:192.0.2.1"), 0), 0);
    assert_int_equal(penalties_retry_after_s(t, key_of_text("::ffff:192.0.2.2"), 0), 0);
    assert_int_equal(penalties_retry_after_s(t, key_of_text("::1"), 0), 0);
    penalties_fini(t);
}

/* --- the bounded table ------------------------------------------------------------------------ */

UNIT_TEST(test_new_addresses_do_not_evict_a_refused_one)
{
    struct penalties penalties, *t = start(&penalties, 8);
    failures(t, key_of(1), 0, FAILURES);
    for (uint32_t i = 2; i < 2 + 7 * (FAILURES - 1); i++) {
        failures(t, key_of(i), 0, 1);
        assert_int_not_equal(penalties_retry_after_s(t, key_of(1), 0), 0);
    }
    assert_int_equal(t->count, 8);
    penalties_fini(t);
}

/* Lets each address try until it is refused. Returns the number of checks. */
static unsigned
rotate(struct penalties *t, uint32_t addresses, int64_t now_ns)
{
    unsigned checks = 0;
    for (uint32_t i = 0; i < addresses; i++) {
        while (penalties_retry_after_s(t, key_of(i), now_ns) == 0) {
            failures(t, key_of(i), now_ns, 1);
            checks++;
        }
    }
    return checks;
}

UNIT_TEST(test_rotating_over_many_addresses_gets_one_check_per_turn)
{
    struct penalties penalties, *t = start(&penalties, 16);
    assert_int_equal(rotate(t, 1000, 0), 16 * FAILURES + (1000 - 16));
    for (int turn = 0; turn < 3; turn++) {
        unsigned checks = rotate(t, 1000, 0);
        if (checks > 1000) fail_msg("%u checks", checks);
    }
    penalties_fini(t);
}

UNIT_TEST(test_a_level_is_never_below_that_of_an_unbounded_table)
{
    enum { ADDRESSES = 40, STEPS = 20000 };
    struct penalties bounded, unbounded, *t = start(&bounded, 8), *model = start(&unbounded, 64);
    uint64_t seed = 12345;
    int64_t now_ns = 0;
    unsigned refused = 0;
    for (int i = 0; i < STEPS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t number = (uint32_t)(seed >> 33), address = number % ADDRESSES;
        /* Lower numbers fail more often. */
        if (number / ADDRESSES % 2 == 0) address %= 6;
        now_ns += (int64_t)(number / 256 % 4) * S;
        failures(t, key_of(address), now_ns, 1);
        failures(model, key_of(address), now_ns, 1);
        uint32_t wait_s = penalties_retry_after_s(t, key_of(address), now_ns);
        if (wait_s < penalties_retry_after_s(model, key_of(address), now_ns))
            fail_msg("step %d", i);
        refused += wait_s > 0;
    }
    assert_true(refused > STEPS / 10 && refused < STEPS);
    penalties_fini(t);
    penalties_fini(model);
}

/* --- log lines, memory ------------------------------------------------------------------------ */

UNIT_TEST(test_one_line_per_minute_and_address_has_the_count)
{
    struct penalties penalties, *t = start(&penalties, 8);
    uint64_t count = 0;
    assert_true(penalties_add(t, key_of(1), 0, &count));
    assert_int_equal(count, 1);
    for (int64_t s = 1; s < 60; s++)
        assert_false(penalties_add(t, key_of(1), s * S, &count));
    assert_true(penalties_add(t, key_of(2), 59 * S, &count));
    assert_int_equal(count, 1);
    assert_true(penalties_add(t, key_of(1), 60 * S, &count));
    assert_int_equal(count, 60);
    assert_false(penalties_add(t, key_of(1), 61 * S, &count));
    penalties_fini(t);
}

UNIT_TEST(test_init_fails_at_each_allocation_and_holds_nothing)
{
    const struct penalties_options options = {
        .addresses_max = 8, .failures = 1, .interval_ns = S, .log_interval_ns = S};
    unsigned refused = 0;
    for (uint64_t nth = 1;; nth++) {
        struct budget budget;
        struct penalties t;
        budget_init(&budget, "test", 0, NULL);
        mem_fail_nth(nth, false);
        enum err e = penalties_init(&t, &budget, &options);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (fired) assert_int_equal(budget_used(&budget), 0);
        penalties_fini(&t);
        assert_int_equal(budget_used(&budget), 0);
        refused += fired;
        if (!fired) break;
    }
    assert_int_equal(refused, 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_is_refused_after_its_failures_and_no_other),
        cmocka_unit_test(test_a_refused_address_gets_one_check_per_interval),
        cmocka_unit_test(test_failures_are_forgotten_with_time),
        cmocka_unit_test(test_many_failures_at_once_refuse_for_one_interval_only),
        cmocka_unit_test(test_an_ipv6_network_of_64_bits_is_one_address),
        cmocka_unit_test(test_ipv4_addresses_differ_in_any_bit),
        cmocka_unit_test(test_new_addresses_do_not_evict_a_refused_one),
        cmocka_unit_test(test_rotating_over_many_addresses_gets_one_check_per_turn),
        cmocka_unit_test(test_a_level_is_never_below_that_of_an_unbounded_table),
        cmocka_unit_test(test_one_line_per_minute_and_address_has_the_count),
        cmocka_unit_test(test_init_fails_at_each_allocation_and_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
