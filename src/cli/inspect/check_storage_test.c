/* check_storage_test.c - the versions of each file of a storage directory. */
#include "cli/inspect/inspect.h"

#include <string.h>
#include <sys/stat.h>

#include "base/fields.h"
#include "cli/lib/target/target.h"
#include "lib/test.h"
#include "lib/test_dir.h"

enum { NEWER = 99 };

static char dir[TEST_DIR_BYTES];
static struct why why;

static int
setup(void **state)
{
    struct target_options options = {.storage = dir, .writing = true};
    struct target *target;
    (void)state;
    assert_true(make_test_dir(dir));
    assert_int_equal(target_open(&options, &target, &why), OK);
    assert_int_equal(target_finish(target, &why), OK);
    target_free(target);
    return 0;
}

static int
teardown(void **state)
{
    char command[TEST_DIR_BYTES + 20];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void
put_file(const char *name, struct bytes content)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *slash = path + strlen(dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content.at, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
}

static void
put_framed(const char *name, const char magic[8], uint32_t version)
{
    struct buf file;
    buf_init(&file, NULL, 100);
    framed_begin(&file);
    framed_end(&file, (const uint8_t *)magic, version);
    assert_int_equal(buf_error(&file), OK);
    put_file(name, buf_bytes(&file));
    buf_fini(&file);
}

/* Expects that a newer version of the file is refused and named, and that damage is not. */
static void
expect_versions(const char *name, const char magic[8])
{
    put_framed(name, magic, NEWER);
    assert_int_equal(check_storage(dir, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, name));
    assert_non_null(strstr(why.text, "version 99 of the file is newer than version"));
    put_file(name, bytes_of_text("no such file"));
    assert_int_equal(check_storage(dir, &why), OK);
}

UNIT_TEST(test_its_own_directory_can_be_opened)
{
    assert_int_equal(check_storage(dir, &why), OK);
}

UNIT_TEST(test_another_directory_is_not_a_storage_directory)
{
    assert_int_equal(check_storage("/", &why), ERR_INPUT);
    assert_int_equal(check_storage("/does/not/exist", &why), ERR_INPUT);
}

UNIT_TEST(test_a_newer_format_is_refused)
{
    put_file("FORMAT", bytes_of_text("firekeep storage\nversion 99\nmin_reader 99\n"));
    assert_int_equal(check_storage(dir, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "version 99"));
}

UNIT_TEST(test_a_newer_state_of_a_destination_is_refused_damage_is_not)
{
    expect_versions("relay/x/state", "FKRELAY");
}

UNIT_TEST(test_a_newer_state_of_rules_is_refused_damage_is_not)
{
    expect_versions("rules/state", "FKRSTATE");
}

UNIT_TEST(test_newer_stored_rules_are_refused_damage_is_not)
{
    expect_versions("rules/t.groups", "FKRULES");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_its_own_directory_can_be_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_directory_is_not_a_storage_directory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_newer_format_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_newer_state_of_a_destination_is_refused_damage_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_newer_state_of_rules_is_refused_damage_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_newer_stored_rules_are_refused_damage_is_not, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
