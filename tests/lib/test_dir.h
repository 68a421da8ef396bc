/* test_dir.h - a directory of its own for each test, and a file in it. For tests only. */
#ifndef LIB_TEST_DIR_H
#define LIB_TEST_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char test_dir[64];

extern char test_path[128]; /* in it; there is no file yet */

int test_dir_make(void **state);

int test_dir_remove(void **state);

#endif
