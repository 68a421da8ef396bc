/* test_dir.h - a real directory for each test, and the name of a file in it. For tests. */
#ifndef LIB_TEST_DIR_H
#define LIB_TEST_DIR_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char test_dir[64];
extern char test_path[128]; /* a file in test_dir, which the test makes */

/* Make the directory and remove it with the file: setup and teardown of a test. */
int test_dir_make(void **state);
int test_dir_remove(void **state);

enum { TEST_DIR_BYTES = 64 };

/*
 * Makes a directory, in memory if the machine has one there, because stores sync often. Returns
 * false if it cannot.
 */
bool make_test_dir(char dir[TEST_DIR_BYTES]);

#endif
