/* ledger_test.c - arithmetic and byte form of ledgers. */
#include "lib/test.h"

#include <stdlib.h>

#include "model/ledger.h"

/* Returns a ledger with a different number in each field, so that mixed-up fields are noticed. */
static struct ledger
all_different(void)
{
    struct ledger l = {{{0}}};
    uint64_t next = 1;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++)
            l.count[k][f] = next++;
        l.stored[k] = next++;
        l.pending[k] = next++;
    }
    return l;
}

/* Returns a ledger that balances for one kind: each term but pending has its number, and received
 * is the sum. */
static struct ledger
balanced(enum ledger_kind kind)
{
    struct ledger l = {{{0}}};
    uint64_t *c = l.count[kind];
    static const enum ledger_field stored_once[] = {LEDGER_SUPERSEDED,
                                                    LEDGER_EXPIRED,
                                                    LEDGER_DELETED,
                                                    LEDGER_DAMAGED,
                                                    LEDGER_PASSED_ON,
                                                    LEDGER_DOWNSAMPLED,
                                                    LEDGER_SUPERSEDED_BY_WINDOW,
                                                    LEDGER_MISSED_BY_WINDOW};
    l.stored[kind] = 1000;
    l.pending[kind] = 2000;
    c[LEDGER_ACCEPTED] = 3000;
    for (unsigned i = 0; i < sizeof stored_once / sizeof *stored_once; i++) {
        c[stored_once[i]] = 10 + i;
        c[LEDGER_ACCEPTED] += 10 + i;
    }
    c[LEDGER_DUPLICATE] = 5;
    c[LEDGER_RECEIVED] = c[LEDGER_ACCEPTED] + 5;
    for (unsigned r = 0; r < REJECT_COUNT; r++) {
        c[LEDGER_REJECTED + r] = 100 + r;
        c[LEDGER_RECEIVED] += 100 + r;
    }
    return l;
}

UNIT_TEST(test_ledger_adds_and_subtracts_every_count)
{
    const struct ledger l = all_different();
    struct ledger sum = {{{0}}};
    ledger_add(&sum, &l);
    assert_memory_equal(&sum, &l, sizeof l);
    ledger_add(&sum, &l);
    ledger_subtract(&sum, &l);
    assert_memory_equal(&sum, &l, sizeof l);
    ledger_subtract(&sum, &l);
    assert_true(ledger_is_zero(&sum));
}

UNIT_TEST(test_ledger_reads_what_it_wrote)
{
    struct ledger l = all_different(), got = {{{0}}};
    struct buf to;
    buf_init(&to, NULL, 1 << 16);
    ledger_put(&to, &l);
    struct cursor from = cursor_of(buf_bytes(&to));
    assert_int_equal(ledger_get(&from, &got), OK);
    assert_int_equal(cursor_left(&from), 0);
    memset(l.pending, 0, sizeof l.pending); /* never written */
    assert_memory_equal(&got, &l, sizeof l);
    from = cursor_of(buf_bytes(&to));
    assert_int_equal(ledger_get(&from, &got), OK); /* ledger_get() adds */
    ledger_subtract(&got, &l);
    assert_memory_equal(&got, &l, sizeof l);
    buf_fini(&to);
}

UNIT_TEST(test_ledger_difference_is_what_no_term_counts)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        enum ledger_kind kind = (enum ledger_kind)k;
        struct ledger l = balanced(kind);
        assert_int_equal(ledger_difference(&l, kind), 0);
        assert_int_equal(ledger_should_pend(&l, kind), l.pending[kind]);
        assert_true(ledger_balances(&l));
        for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++) {
            bool unused = f > LEDGER_MISSED_BY_WINDOW && f < LEDGER_REJECTED;
            if (f == LEDGER_ACCEPTED || unused) continue;
            l.count[kind][f]++;
            assert_int_equal(ledger_difference(&l, kind), f == LEDGER_RECEIVED ? 1 : -1);
            l.count[kind][f]--;
        }
        l.pending[kind]--;
        assert_int_equal(ledger_difference(&l, kind), 1);
        l.pending[kind]++;
        l.stored[kind]--;
        assert_int_equal(ledger_difference(&l, kind), 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_adds_and_subtracts_every_count),
        cmocka_unit_test(test_ledger_reads_what_it_wrote),
        cmocka_unit_test(test_ledger_difference_is_what_no_term_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
