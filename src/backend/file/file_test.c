/* file_test.c - messages of type `file` about its directory, before anything is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/writer.h"
#include "lib/test.h"

static char dir[64];

static int
begin(void **state)
{
    char path[80];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/firekeep-file-XXXXXX");
    if (mkdtemp(dir) == NULL) return 1;
    snprintf(path, sizeof path, "%s/plain", dir);
    FILE *plain = fopen(path, "w");
    return plain != NULL && fclose(plain) == 0 ? 0 : 1;
}

static int
end(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : 1;
}

static struct writer_step
check(const char *below)
{
    char path[160], what[WRITER_ANSWER_BYTES];
    struct writer_step step = {.next = WRITER_SEND};
    struct writer *writer;
    snprintf(path, sizeof path, "%s%s", dir, below);
    struct destination_settings settings = {.name = "test", .u.file = {.path = path}};
    struct writer_options options = {
        .env = env_real(), .settings = &settings, .dir = "", .instance = "00"};
    assert_int_equal(writer_new(&file_writer, &options, &writer, NULL), OK);
    assert_true(file_writer.check(writer, 0, NULL, &step, what));
    assert_non_null(strstr(what, path));
    assert_int_equal(step.next, WRITER_DONE);
    assert_false(file_writer.check(writer, 1, NULL, &(struct writer_step){0}, what));
    writer_free(&file_writer, writer);
    return step;
}

UNIT_TEST(test_a_directory_is_there_or_can_be_made_and_is_not_made)
{
    char path[80];
    struct writer_step step = check("");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_non_null(strstr(step.answer, "exists"));
    step = check("/some/where");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_non_null(strstr(step.answer, "will be created in /tmp/firekeep-file-"));
    step = check("/${tenant}/x");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    snprintf(path, sizeof path, "%s/some", dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

UNIT_TEST(test_a_directory_below_a_file_blocks_the_writer)
{
    struct writer_step step = check("/plain/below");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "directory");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_directory_is_there_or_can_be_made_and_is_not_made),
        cmocka_unit_test(test_a_directory_below_a_file_blocks_the_writer),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
