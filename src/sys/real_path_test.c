/* real_path_test.c - resolved paths, in a directory of its own. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/paths.h"

static char root[REAL_PATH_BYTES];

static int
make_root(void **state)
{
    (void)state;
    char name[] = "/tmp/real_path_test.XXXXXX";
    if (mkdtemp(name) == NULL || realpath(name, root) == NULL || chdir(root) != 0) return -1;
    if (mkdir("store", 0700) != 0 || mkdir("store/wal", 0700) != 0) return -1;
    return symlink("store", "link") != 0 || symlink("nowhere", "dangling") != 0 ? -1 : 0;
}

static int
remove_root(void **state)
{
    (void)state;
    return unlink("link") | unlink("dangling") | rmdir("store/wal") | rmdir("store") | rmdir(root);
}

static void
assert_leads_to(const char *path, const char *expected)
{
    char whole[2 * REAL_PATH_BYTES], real[REAL_PATH_BYTES];
    snprintf(whole, sizeof whole, "%s%s", root, expected);
    assert_int_equal(real_path(path, real), OK);
    assert_string_equal(real, whole);
}

UNIT_TEST(test_links_and_dots_are_resolved_as_far_as_a_path_is_there)
{
    assert_leads_to("store/wal/", "/store/wal");
    assert_leads_to("link/wal", "/store/wal");
    assert_leads_to("./link//new/./deeper", "/store/new/deeper");
    assert_leads_to("link/wal/../parts", "/store/parts");
    assert_leads_to("new/../link/new", "/store/new");
    assert_leads_to("new/deep/../../store", "/store");
    assert_leads_to("dangling/x", "/dangling/x");
    assert_leads_to(".", "");
    char real[REAL_PATH_BYTES];
    assert_int_equal(real_path("/..", real), OK);
    assert_string_equal(real, "/");
}

UNIT_TEST(test_a_path_that_is_too_long_is_an_error)
{
    char path[REAL_PATH_BYTES + 2], real[REAL_PATH_BYTES];
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(real_path(path, real), ERR_LIMIT);
}

UNIT_TEST(test_a_directory_contains_itself_and_its_tree_but_not_its_siblings)
{
    assert_true(real_path_is_within("/a/b", "/a/b"));
    assert_true(real_path_is_within("/a/b/c", "/a/b"));
    assert_true(real_path_is_within("/a", "/"));
    assert_false(real_path_is_within("/a/bc", "/a/b"));
    assert_false(real_path_is_within("/a", "/a/b"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_and_dots_are_resolved_as_far_as_a_path_is_there),
        cmocka_unit_test(test_a_path_that_is_too_long_is_an_error),
        cmocka_unit_test(test_a_directory_contains_itself_and_its_tree_but_not_its_siblings),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
