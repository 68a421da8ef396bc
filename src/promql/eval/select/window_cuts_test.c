/* window_cuts_test.c - cached cuts of windows are found only for the same times and steps. */
#include "lib/test.h"

#include "promql/eval/select/window.h"

enum { TIMES = 4 };

static const int64_t times_ms[TIMES] = {0, 1000, 2000, 3000};

static bool
finds(struct cuts *cuts, const struct cut_key *key)
{
    bool known;
    assert_non_null(cuts_find(cuts, key, &known));
    return known;
}

UNIT_TEST(test_a_cut_is_known_for_the_same_times_and_steps_only)
{
    static const int64_t others_ms[TIMES] = {0, 1000, 2000, 3001},
                         moved_ms[TIMES] = {1, 1000, 2000};
    const struct cut_key key = {
        .times_ms = times_ms, .time_count = TIMES, .step = 2, .begin = 1, .end = 3};
    struct cut_key other[7];
    for (unsigned i = 0; i < 7; i++)
        other[i] = key;
    other[0].times_ms = others_ms;
    other[1].times_ms = moved_ms;
    other[2].time_count--;
    other[3].step++;
    other[4].begin++;
    other[5].end--;
    other[6].at_end = true;
    for (unsigned i = 0; i < 7; i++) {
        struct cuts cuts;
        cuts_init(&cuts, NULL);
        assert_false(finds(&cuts, &key));
        assert_true(finds(&cuts, &key));
        assert_false(finds(&cuts, &other[i]));
        assert_true(finds(&cuts, &other[i]));
        cuts_fini(&cuts);
    }
}

/* With this many steps, some share a slot with the first. */
UNIT_TEST(test_a_cut_of_another_step_in_the_same_slot_is_not_known)
{
    const struct cut_key key = {
        .times_ms = times_ms, .time_count = TIMES, .step = 2, .begin = 1, .end = 3};
    struct cuts cuts;
    cuts_init(&cuts, NULL);
    for (uint32_t more = 1; more < 20 * CUT_SLOTS; more++) {
        struct cut_key other = key;
        (void)finds(&cuts, &key);
        other.step += more;
        assert_false(finds(&cuts, &other));
        other = key;
        (void)finds(&cuts, &key);
        other.begin += more;
        assert_false(finds(&cuts, &other));
    }
    cuts_fini(&cuts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_is_known_for_the_same_times_and_steps_only),
        cmocka_unit_test(test_a_cut_of_another_step_in_the_same_slot_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
