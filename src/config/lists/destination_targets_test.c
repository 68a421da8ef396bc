/* destination_targets_test.c - destinations that may coexist. */
#include "lib/test.h"

#include "config/lists/lists.h"

static enum err
check_paths(const char *one, const char *other)
{
    struct destination_settings items[] = {
        {.name = "a", .type = DESTINATION_FILE, .u.file.path = one},
        {.name = "b", .type = DESTINATION_FILE, .u.file.path = other},
    };
    struct destinations list = {.items = items, .count = 2};
    return destinations_check(&list, "/store", NULL);
}

UNIT_TEST(test_two_files_with_one_path_are_refused_however_it_is_written)
{
    static const char *const same[][2] = {
        {"/data/out", "/data/out"},
        {"/data/out", "/data/out/"},
        {"/data/out", "/data//./out"},
        {"out", "./out"},
        {".", "./"},
    };
    static const char *const others[][2] = {
        {"/data/out", "data/out"},    {"/data/out", "/data/out/in"}, {"/data/out", "/data/ou"},
        {"/data/.out", "/data/out"},  {"/data/..", "/data/."},       {"/data/o", "/data/out"},
        {"/data/${tenant}", "/data"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(check_paths(same[i][0], same[i][1]), ERR_INPUT);
        assert_int_equal(check_paths(same[i][1], same[i][0]), ERR_INPUT);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(check_paths(others[i][0], others[i][1]), OK);
        assert_int_equal(check_paths(others[i][1], others[i][0]), OK);
    }
}

static enum err
check_path(const char *path, const char *storage)
{
    struct destination_settings item = {.name = "a", .type = DESTINATION_FILE, .u.file.path = path};
    struct destinations list = {.items = &item, .count = 1};
    return destinations_check(&list, storage, NULL);
}

UNIT_TEST(test_files_in_the_storage_directory_are_refused_however_it_is_written)
{
    static const char *const inside[] = {
        "/no/store",       "/no/store/wal",       "/no/store/",    "/no/other/../store/new/deep",
        "/no//./store/x",  "/no/store/${tenant}", "/no/${tenant}", "/${tenant}/store/wal",
        "/no/st${tenant}", "/no/${tenant}ore/x",
    };
    static const char *const outside[] = {
        "/no/stores",
        "/no",
        "/",
        "/no/stor",
        "/no/store/../x",
        "/no/${tenant}x",
        "/no/stores/${tenant}",
        "/no/store${tenant}",
    };
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        assert_int_equal(check_path(inside[i], "/no/store"), ERR_INPUT);
        assert_int_equal(check_path(inside[i], "/no/x/../store/"), ERR_INPUT);
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_int_equal(check_path(outside[i], "/no/store"), OK);
    assert_int_equal(check_path("data/out", "data"), ERR_INPUT);
    assert_int_equal(check_path("${tenant}/out", "data"), ERR_INPUT);
    assert_int_equal(check_path("out", "data"), OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_files_with_one_path_are_refused_however_it_is_written),
        cmocka_unit_test(test_files_in_the_storage_directory_are_refused_however_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
