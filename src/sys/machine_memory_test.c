/* machine_memory_test.c - memory limits of control groups, in trees made for the test. */
#include "lib/test.h"
#include "lib/texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/env.h"

static char dir[64];

static int
setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/machine_memory_test.XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* Writes a file, and makes missing directories. */
static void
put(const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *slash = path + strlen(dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    write_text_file(path, text);
}

static uint64_t
limit_of(const char *groups)
{
    char file[100];
    put("groups", groups);
    snprintf(file, sizeof file, "%s/groups", dir);
    return cgroup_memory_limit(file, dir);
}

UNIT_TEST(test_the_least_limit_on_the_way_up_counts)
{
    put("memory.max", "900\n");
    put("a/memory.max", "500\n");
    put("a/b/memory.max", "max\n");
    put("a/b/c/memory.max", "700\n");
    assert_int_equal(limit_of("0::/a/b/c\n"), 500);
    assert_int_equal(limit_of("0::/\n"), 900);
    assert_int_equal(limit_of("0::/not/there\n"), 900);
}

UNIT_TEST(test_groups_of_the_first_version_count_by_their_controller)
{
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/x/memory.limit_in_bytes", "4096\n");
    put("memory/y/memory.limit_in_bytes", "1024\n");
    assert_int_equal(limit_of("5:cpu,memory:/x\n4:pids:/y\n0::/\n"), 4096);
    assert_int_equal(limit_of("5:cpu:/x\n3:nomemory:/y\n"), UINT64_MAX);
}

UNIT_TEST(test_a_malformed_list_of_groups_sets_no_limit)
{
    put("memory.max", "900\n");
    assert_int_equal(limit_of(""), UINT64_MAX);
    assert_int_equal(limit_of("nonsense\n:::\n5:memory\n"), UINT64_MAX);
    assert_int_equal(cgroup_memory_limit("/nowhere", dir), UINT64_MAX);
    assert_true(machine_memory_bytes() > 1 << 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_least_limit_on_the_way_up_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups_of_the_first_version_count_by_their_controller,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_malformed_list_of_groups_sets_no_limit, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
