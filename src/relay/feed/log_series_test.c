/* log_series_test.c - every series of a segment is found in its record, in any order. */
#include "lib/test.h"

#include "base/bytes.h"
#include "lib/random.h"
#include "lib/seeds.h"
#include "relay/feed/log_items.h"

#define must(call) assert_int_equal((call), OK)

enum { REFS_MAX = 20000, RECORDS_MAX = 40, RECORD_MAX = 400 };

/* The series that the segment defines. */
struct model {
    uint32_t record[REFS_MAX]; /* record that defined it first: number + 1; 0: not defined */
    uint32_t refs[RECORDS_MAX][RECORD_MAX];
    uint64_t pos[RECORDS_MAX];
    uint32_t records;
};

static struct model model;

static void
add_record(struct log_series *s, struct rng *rng, uint32_t first, uint32_t count, unsigned shuffle)
{
    uint64_t pos = 512 + 8 * (uint64_t)model.records * 1000;
    must(log_series_begin(s, pos));
    model.pos[model.records] = pos;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t ref = first + i;
        if (rng_below(rng, 100) < shuffle) ref = (uint32_t)rng_below(rng, REFS_MAX);
        ref %= REFS_MAX;
        must(log_series_add(s, 1000000000000 + ref, ref % 3 == 0));
        model.refs[model.records][i] = ref;
        if (model.record[ref] == 0) model.record[ref] = model.records + 1;
    }
    must(log_series_end(s));
    model.records++;
    assert_int_equal(log_series_records(s), model.records);
}

static void
check_all(struct log_series *s)
{
    struct log_series_place place;
    for (uint32_t ref = 0; ref < REFS_MAX; ref++) {
        bool found = log_series_find(s, 1000000000000 + ref, &place);
        assert_int_equal(found, model.record[ref] != 0);
        if (!found) continue;
        assert_int_equal(place.record, model.record[ref] - 1);
        assert_int_equal(place.record_pos, model.pos[place.record]);
        assert_int_equal(model.refs[place.record][place.index], ref);
        assert_int_equal(place.taken, ref % 3 == 0);
    }
    assert_false(log_series_find(s, 0, &place));
    assert_false(log_series_find(s, UINT64_MAX, &place));
}

UNIT_TEST(test_each_series_is_found_where_it_was_named_first)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng = {shifted_seed(seed)};
        struct budget budget;
        struct log_series *s;
        memset(&model, 0, sizeof model);
        budget_init(&budget, "test", 0, NULL);
        must(log_series_new(&budget, 7, &s));
        unsigned shuffle = (unsigned)(seed % 4 * 30);
        for (unsigned i = 0; i < RECORDS_MAX; i++) {
            uint32_t first = (uint32_t)rng_below(&rng, REFS_MAX);
            add_record(s, &rng, first, (uint32_t)rng_below(&rng, RECORD_MAX), shuffle);
        }
        check_all(s);
        log_series_free(s);
        assert_int_equal(budget_used(&budget), 0);
    }
}

UNIT_TEST(test_series_in_order_cost_a_bit_each)
{
    struct budget budget;
    struct log_series *s;
    budget_init(&budget, "test", 0, NULL);
    must(log_series_new(&budget, 1, &s));
    for (unsigned record = 0; record < 500; record++) {
        must(log_series_begin(s, 512 + record));
        for (unsigned i = 0; i < 2000; i++)
            must(log_series_add(s, 2000 * record + i, true));
        must(log_series_end(s));
    }
    assert_true(budget_used(&budget) < 1000000 / 8 * 2);
    log_series_free(s);
}

UNIT_TEST(test_a_record_that_found_no_memory_is_begun_again)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        struct budget budget;
        struct log_series *s;
        budget_init(&budget, "test", 0, NULL);
        must(log_series_new(&budget, 1, &s));
        enum err e = OK;
        mem_fail_nth(nth, false);
        for (unsigned attempt = 0; attempt < 2; attempt++) {
            e = log_series_begin(s, 512);
            for (unsigned i = 0; i < 300 && e == OK; i++)
                e = log_series_add(s, i * 3, i % 2 == 0);
            if (e == OK) e = log_series_end(s);
            if (e == OK) break;
            assert_int_equal(e, ERR_NOMEM);
        }
        mem_fail_nth(0, false);
        must(e);
        struct log_series_place place;
        assert_int_equal(log_series_records(s), 1);
        for (unsigned i = 0; i < 300; i++) {
            assert_true(log_series_find(s, i * 3, &place));
            assert_int_equal(place.index, i);
            assert_int_equal(place.taken, i % 2 == 0);
            assert_false(log_series_find(s, i * 3 + 1, &place));
        }
        log_series_free(s);
        assert_int_equal(budget_used(&budget), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_series_is_found_where_it_was_named_first),
        cmocka_unit_test(test_series_in_order_cost_a_bit_each),
        cmocka_unit_test(test_a_record_that_found_no_memory_is_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
