/* test_dir_testing.h - a directory of its own for each test, and a file in it. For tests only. */
#ifndef CLI_TEST_DIR_TESTING_H
#define CLI_TEST_DIR_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static char path[128]; /* in it; there is no file yet */

static int
make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/firekeep-cli-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

#endif
