/* storage_layout_test.c - classifies names in a storage directory, and makes paths of parts. */
#include <string.h>

#include "lib/test.h"

#include "model/storage_layout.h"

UNIT_TEST(test_entries_are_known_only_as_what_they_are_file_or_directory)
{
    static const char *const files[] = {"FORMAT",   "LOCK",      "MANIFEST",
                                        "IDENTITY", "WITNESS.0", "WITNESS.1"};
    static const char *const dirs[] = {"wal", "parts", "rules", "snapshots"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(storage_entry_of(files[i], false), STORAGE_FILE);
        assert_int_equal(storage_entry_of(files[i], true), STORAGE_OTHER);
    }
    for (unsigned i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        assert_int_equal(storage_entry_of(dirs[i], true), STORAGE_DIRECTORY);
        assert_int_equal(storage_entry_of(dirs[i], false), STORAGE_OTHER);
    }
    assert_int_equal(storage_entry_of("relay", true), STORAGE_DESTINATIONS);
    assert_int_equal(storage_entry_of("relay", false), STORAGE_OTHER);
    assert_int_equal(storage_entry_of("FORMAT.tmp", false), STORAGE_OTHER);
    assert_int_equal(storage_entry_of("", true), STORAGE_OTHER);
}

UNIT_TEST(test_each_path_of_a_part_ends_with_a_name_of_its_kind)
{
    char path[64];
    uint64_t number;
    for (unsigned kind = STORAGE_PART; kind < STORAGE_PART_OTHER; kind++) {
        enum storage_part made = (enum storage_part)kind;
        assert_int_equal(storage_part_path(path, sizeof path, "/db/parts", 0x2a, made), OK);
        assert_memory_equal(path, "/db/parts/", 10);
        assert_int_equal(storage_part_of(path + 10, &number), made);
        assert_int_equal(number, 0x2a);
        assert_int_equal(storage_part_path(path, strlen(path), "/db/parts", 0x2a, made), ERR_LIMIT);
    }
    static const char *const others[] = {"", "000000000000002", "000000000000002A",
                                         "000000000000002a.tmp", "000000000000002a.damaged.1"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(storage_part_of(others[i], &number), STORAGE_PART_OTHER);
}

UNIT_TEST(test_a_destination_has_a_directory_below_relay)
{
    char path[16];
    assert_int_equal(storage_relay_path(path, sizeof path, "/db", "north"), OK);
    assert_string_equal(path, "/db/relay/north");
    assert_int_equal(storage_relay_path(path, sizeof path, "/db", "norths"), ERR_LIMIT);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_are_known_only_as_what_they_are_file_or_directory),
        cmocka_unit_test(test_each_path_of_a_part_ends_with_a_name_of_its_kind),
        cmocka_unit_test(test_a_destination_has_a_directory_below_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
