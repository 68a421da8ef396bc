/* slice_state_test.c - progress files of slices. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lib/resume.h"
#include "lib/test_dir.h"

static const char question[] = "firekeep copy 1\nfrom a\nto b\n";

static struct slice_state
state_of(int64_t min_ms, int64_t max_ms, int64_t slice_ms)
{
    return (struct slice_state){.path = test_path,
                                .question = bytes_of_text(question),
                                .min_ms = min_ms,
                                .max_ms = max_ms,
                                .slice_ms = slice_ms};
}

static void
loads(struct slice_state *s)
{
    struct why why = {""};
    assert_int_equal(slice_state_load(s, &why), OK);
}

UNIT_TEST(test_slices_begin_at_multiples_of_their_length_and_cover_all)
{
    static const int64_t ranges[][3] = {
        {5, 5, 10},  {0, 9, 10},    {0, 10, 10},
        {-1, 0, 10}, {-25, 31, 10}, {1795100000000, 1795190000000, 86400000},
    };
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        struct slice_state s = state_of(ranges[r][0], ranges[r][1], ranges[r][2]);
        int64_t next = s.min_ms;
        loads(&s);
        for (uint32_t i = 0; i < s.count; i++) {
            int64_t min_ms, max_ms;
            slice_state_times(&s, i, &min_ms, &max_ms);
            assert_true(min_ms == next && max_ms >= min_ms);
            assert_true(i == 0 || min_ms % s.slice_ms == 0);
            assert_true(max_ms - min_ms < s.slice_ms);
            next = max_ms + 1;
        }
        assert_true(next == s.max_ms + 1);
        slice_state_fini(&s);
    }
}

UNIT_TEST(test_a_saved_state_is_loaded_with_the_range_of_the_first_run)
{
    struct why why = {""};
    struct slice_state s = state_of(0, 49, 10), again = state_of(3, 1000, 10);
    loads(&s);
    memcpy(s.slices, "cvdCx", 5);
    s.counts[0] = 1ULL << 40;
    s.counts[1] = 7;
    s.counts[2] = 3;
    assert_int_equal(slice_state_save(&s, true, &why), OK);
    loads(&again);
    assert_true(again.min_ms == 0 && again.max_ms == 49);
    assert_int_equal(again.count, 5);
    assert_string_equal(again.slices, "cvdCx");
    assert_true(again.counts[0] == 1ULL << 40 && again.counts[1] == 7 && again.counts[2] == 3);
    assert_int_equal(slice_state_in(&again, "cC"), 2);
    slice_state_fini(&s);
    slice_state_fini(&again);
}

/* Each byte of a file is cut off or changed: the result is another copy's, or other numbers; never
 * a crash, and never slices that do not exist. */
UNIT_TEST(test_no_file_is_taken_for_one_that_it_is_not)
{
    struct why why = {""};
    struct slice_state s = state_of(0, 49, 10);
    struct buf whole;
    loads(&s);
    memcpy(s.slices, "cv.Cx", 5);
    assert_int_equal(slice_state_save(&s, true, &why), OK);
    buf_init(&whole, NULL, 4096);
    assert_int_equal(resume_text_read(test_path, &whole, &why), OK);
    for (size_t cut = 0; cut < whole.size; cut++) {
        struct slice_state again = state_of(0, 49, 10);
        assert_int_equal(resume_text_write(test_path, bytes_of(whole.at, cut), &why), OK);
        assert_int_equal(slice_state_load(&again, &why), ERR_INPUT);
        slice_state_fini(&again);
    }
    for (size_t i = 0; i < whole.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct slice_state again = state_of(0, 49, 10);
            whole.at[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(resume_text_write(test_path, buf_bytes(&whole), &why), OK);
            enum err e = slice_state_load(&again, &why);
            assert_true(e == ERR_INPUT || (e == OK && i >= sizeof question - 1));
            if (e == OK) assert_int_equal(strspn(again.slices, ".cvdCx"), again.count);
            slice_state_fini(&again);
            whole.at[i] ^= (uint8_t)(1u << bit);
        }
    }
    buf_fini(&whole);
    slice_state_fini(&s);
}

UNIT_TEST(test_too_many_slices_are_refused)
{
    struct why why = {""};
    struct slice_state s = state_of(0, (int64_t)SLICES_MAX * 1000, 1000);
    assert_int_equal(slice_state_load(&s, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "--slice"));
    slice_state_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_slices_begin_at_multiples_of_their_length_and_cover_all, test_dir_make,
            test_dir_remove),
        cmocka_unit_test_setup_teardown(
            test_a_saved_state_is_loaded_with_the_range_of_the_first_run, test_dir_make,
            test_dir_remove),
        cmocka_unit_test_setup_teardown(test_no_file_is_taken_for_one_that_it_is_not, test_dir_make,
                                        test_dir_remove),
        cmocka_unit_test_setup_teardown(test_too_many_slices_are_refused, test_dir_make,
                                        test_dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
