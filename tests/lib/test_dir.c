/* test_dir.c - see test_dir.h. */
#include "lib/test_dir.h"

#include <string.h>

char test_dir[64];

char test_path[128]; /* in test_dir; no file exists at first */

int
test_dir_make(void **state)
{
    (void)state;
    snprintf(test_dir, sizeof test_dir, "/tmp/firekeep-cli-XXXXXX");
    if (mkdtemp(test_dir) == NULL) return -1;
    snprintf(test_path, sizeof test_path, "%s/file", test_dir);
    return 0;
}

int
test_dir_remove(void **state)
{
    (void)state;
    unlink(test_path);
    return rmdir(test_dir);
}

bool
make_test_dir(char dir[TEST_DIR_BYTES])
{
    strcpy(dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/firekeep-XXXXXX" : "/tmp/firekeep-XXXXXX");
    return mkdtemp(dir) != NULL;
}
