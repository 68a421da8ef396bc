/* path_from_test.c - relative paths in files. */
#include "lib/test.h"

#include "sys/paths.h"

UNIT_TEST(test_relative_paths_begin_at_the_directory_of_the_file)
{
    static const struct {
        const char *file, *path, *expected;
    } cases[] = {
        {"/etc/firekeep/firekeep.yml", "rules/*.yml", "/etc/firekeep/rules/*.yml"},
        {"/etc/firekeep/firekeep.yml", "/var/rules/./*.yml", "/var/rules/./*.yml"},
        {"/firekeep.yml", "a.yml", "/a.yml"},
        {"/firekeep.yml", "../../a.yml", "/a.yml"},
        {"firekeep.yml", "a.yml", "a.yml"},
        {"firekeep.yml", "./a//b/../c.yml", "a/c.yml"},
        {"firekeep.yml", "../a.yml", "../a.yml"},
        {"firekeep.yml", "../../a.yml", "../../a.yml"},
        {"firekeep.yml", "a/..", "."},
        {"./conf/firekeep.yml", "rules.yml", "conf/rules.yml"},
        {"../conf/firekeep.yml", "../rules.yml", "../rules.yml"},
        {"../conf/firekeep.yml", "../../rules.yml", "../../rules.yml"},
        {"../conf/firekeep.yml", "../../../rules.yml", "../../../rules.yml"},
        {"conf/firekeep.yml", "..a/...", "conf/..a/..."},
        {"a/b/firekeep.yml", "../../c", "c"},
        {"/a//b/firekeep.yml", "c/", "/a/b/c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        arena_init(&arena, NULL, 0, 0);
        const char *got = path_from(&arena, cases[i].file, cases[i].path);
        assert_non_null(got);
        assert_string_equal(got, cases[i].expected);
        arena_fini(&arena);
    }
}

UNIT_TEST(test_a_full_arena_is_reported)
{
    struct arena arena;
    arena_init(&arena, NULL, 8, 0);
    assert_null(path_from(&arena, "f.yml", "a long path"));
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative_paths_begin_at_the_directory_of_the_file),
        cmocka_unit_test(test_a_full_arena_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
