/*
 * cli_run.h - runs the program within a test, with what it prints in files in memory. For tests
 * only.
 */
#ifndef LIB_CLI_RUN_H
#define LIB_CLI_RUN_H

#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"

/* What the last run printed. */
extern char cli_out[256 * 1024], cli_err[65536];

enum { RUN_WORDS_MAX = 12 };

int cli_memory_file(void);

/* Runs "firekeep" and the words up to NULL, with stdout in `out_fd`, which is closed. */
int cli_run_into(int out_fd, const struct command *const *commands, const char *const *words);

#endif
