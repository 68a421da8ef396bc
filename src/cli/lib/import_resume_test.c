/* import_resume_test.c - progress files of imports. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lib/resume.h"
#include "lib/test_dir.h"
#include "lib/texts.h"

static struct resume
resume_of(struct resume_file *files, uint32_t count)
{
    return (struct resume){
        .path = test_path, .target = "http://x", .tenant = "", .files = files, .file_count = count};
}

UNIT_TEST(test_a_saved_state_is_loaded)
{
    struct why why = {""};
    struct resume_file files[] = {{"a b.om", 12, 3, true}, {"-", 1ull << 40, 0, false}};
    struct resume r = resume_of(files, 2);
    assert_int_equal(resume_save(&r, true, &why), OK);
    struct resume_file again[] = {{.path = "-"}, {.path = "other"}, {.path = "a b.om"}};
    r = resume_of(again, 3);
    assert_int_equal(resume_load(&r, &why), OK);
    assert_int_equal(again[0].lines, 1ull << 40);
    assert_false(again[0].done);
    assert_int_equal(again[1].lines, 0);
    assert_int_equal(again[2].lines, 12);
    assert_int_equal(again[2].bad, 3);
    assert_true(again[2].done);
}

UNIT_TEST(test_no_file_is_a_beginning)
{
    struct why why = {""};
    struct resume_file files[] = {{.path = "a"}};
    struct resume r = resume_of(files, 1);
    assert_int_equal(resume_load(&r, &why), OK);
    assert_int_equal(files[0].lines, 0);
    r.path = NULL;
    assert_int_equal(resume_load(&r, &why), OK);
    assert_int_equal(resume_save(&r, true, &why), OK);
}

UNIT_TEST(test_one_run_at_a_time_has_it)
{
    struct why why = {""};
    assert_int_equal(resume_lock(NULL, &why), OK);
    assert_int_equal(resume_lock(test_path, &why), OK);
    assert_int_equal(resume_lock(test_path, &why), ERR_AGAIN);
    assert_non_null(strstr(why.text, " is in use by another run"));
    char lock[sizeof test_path + 8];
    snprintf(lock, sizeof lock, "%s.lock", test_path);
    assert_int_equal(unlink(lock), 0);
}

static void
refuse(const char *text)
{
    struct why why = {""};
    struct resume_file files[] = {{.path = "a"}};
    struct resume r = resume_of(files, 1);
    write_text_file(test_path, text);
    assert_int_equal(resume_load(&r, &why), ERR_INPUT);
    assert_true(why.text[0] != '\0');
}

UNIT_TEST(test_files_of_something_else_are_refused)
{
    refuse("");
    refuse("something\nelse\naltogether\n");
    refuse("firekeep import 2\nto http://y\ntenant \n");
    refuse("firekeep import 2\nto http://x\ntenant z\n");
    refuse("firekeep import 2\nto http://x\ntenant \nfile 1 2\n");
    refuse("firekeep import 2\nto http://x\ntenant \nfile x 2 part 0 0 a\n");
    refuse("firekeep import 1\nto http://x\ntenant \n");
}

UNIT_TEST(test_a_file_that_grew_goes_on_and_another_one_is_refused)
{
    struct why why = {""};
    char data[160];
    snprintf(data, sizeof data, "%s/data", test_dir);
    write_text_file(data, "one\ntwo\n");
    struct resume_file files[] = {{.path = data}};
    struct resume r = resume_of(files, 1);
    assert_int_equal(resume_load(&r, &why), OK);
    files[0].lines = 2;
    files[0].done = true;
    assert_int_equal(resume_save(&r, true, &why), OK);
    assert_int_equal(resume_load(&r, &why), OK);
    assert_true(files[0].done);

    write_text_file(data, "one\ntwo\nthree\n");
    assert_int_equal(resume_load(&r, &why), OK);
    assert_int_equal(files[0].lines, 2);
    assert_false(files[0].done);

    write_text_file(data, "one\nTWO\nthree\n");
    assert_int_equal(resume_load(&r, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "is no longer the file"));
    write_text_file(data, "one\n");
    assert_int_equal(resume_load(&r, &why), ERR_INPUT);
    unlink(data);
}

/* Only the start is compared, and it is the same. */
UNIT_TEST(test_a_long_file_cut_short_is_refused)
{
    static char text[100001];
    struct why why = {""};
    char data[160];
    snprintf(data, sizeof data, "%s/data", test_dir);
    memset(text, '\n', sizeof text - 1);
    write_text_file(data, text);
    struct resume_file files[] = {{.path = data}};
    struct resume r = resume_of(files, 1);
    assert_int_equal(resume_load(&r, &why), OK);
    files[0].lines = 2;
    assert_int_equal(resume_save(&r, true, &why), OK);
    assert_int_equal(truncate(data, (off_t)sizeof text - 2), 0);
    assert_int_equal(resume_load(&r, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "is no longer the file"));
    unlink(data);
}

UNIT_TEST(test_it_is_not_written_more_than_once_a_second)
{
    struct why why = {""};
    struct resume_file files[] = {{.path = "a", .lines = 1}};
    struct resume r = resume_of(files, 1);
    assert_int_equal(resume_save(&r, true, &why), OK);
    files[0].lines = 2;
    assert_int_equal(resume_save(&r, false, &why), OK);
    files[0].lines = 0;
    assert_int_equal(resume_load(&r, &why), OK);
    assert_int_equal(files[0].lines, 1);
}

#define RESUME_TEST(name) cmocka_unit_test_setup_teardown(name, test_dir_make, test_dir_remove)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RESUME_TEST(test_a_saved_state_is_loaded),
        RESUME_TEST(test_no_file_is_a_beginning),
        RESUME_TEST(test_files_of_something_else_are_refused),
        RESUME_TEST(test_a_file_that_grew_goes_on_and_another_one_is_refused),
        RESUME_TEST(test_a_long_file_cut_short_is_refused),
        RESUME_TEST(test_it_is_not_written_more_than_once_a_second),
        RESUME_TEST(test_one_run_at_a_time_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
