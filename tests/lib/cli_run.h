/* cli_run.h - runs the program in the process of a test and keeps what it prints. For tests. */
#ifndef LIB_CLI_RUN_H
#define LIB_CLI_RUN_H

#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

/* Output of the last run: stdout, and stderr. */
extern char cli_out[256 * 1024], cli_err[65536];

enum { RUN_WORDS_MAX = 16 };

/* Opens an empty file in memory. */
int cli_memory_file(void);

/* Runs "firekeep" with the words up to NULL and returns its status. stdout is `out_fd`: taken. */
int cli_run_into(int out_fd, const struct command *const *commands, const char *const *words);

/* Does the same in a process of its own, for commands that hold a lock until their process ends. */
int cli_run_child(const struct command *const *commands, const char *const *words);

/* The same, with stdout and stderr in one file, as after 2>&1: cli_out is what both printed. */
int cli_run_joined(const struct command *const *commands, const char *const *words);

#endif
