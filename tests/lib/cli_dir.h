/* cli_dir.h - a directory for each test of commands, and names in it. For tests. */
#ifndef LIB_CLI_DIR_H
#define LIB_CLI_DIR_H

#include "lib/test_dir.h"

extern char cli_dir[TEST_DIR_BYTES];
extern char cli_store[96], cli_file[96]; /* names in it, which the test makes */

/* Make the directory and remove it with its content: setup and teardown of a test. */
int cli_dir_make(void **state);
int cli_dir_remove(void **state);

/* Changes a byte of the only part of cli_store. */
void cli_damage_part(long offset);

/* Expects this status of the last run, and these words in its output. */
void cli_expect(int got, int expected, const char *words);

#endif
