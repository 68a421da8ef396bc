/* process.h - reads the output of a program named in an AWS profile (credential_process). */
#ifndef BACKEND_AWS_PROCESS_H
#define BACKEND_AWS_PROCESS_H

#include "base/buf.h"
#include "sys/env.h"

enum {
    AWS_PROCESS_COMMAND_BYTES_MAX = 4096,
    AWS_PROCESS_WORDS_MAX = 64,
    AWS_PROCESS_OUTPUT_BYTES_MAX = 64 << 10,
};

/*
 * Starts a program, without a shell: words are separated by blanks, '...', "..." and \ quote as in
 * a shell, nothing is expanded. The program is searched in PATH, inherits the environment, has no
 * input, and its stderr is not read, because that may hold secrets. ERR_INPUT: no command, or an
 * unclosed quote; ERR_LIMIT: the command is too long; ERR_MISSING: the program does not exist;
 * ERR_NOMEM; ERR_IO.
 */
struct aws_process;
MUST_CHECK enum err aws_process_start(struct env *env, struct budget *memory, struct bytes command,
                                      int64_t limit_ms, struct aws_process **ret_process,
                                      struct why *why);
/*
 * Appends its output to `output`, which the caller has to overwrite, until it ends or `wait_ms`
 * have passed. ERR_LIMIT: too much output; ERR_AGAIN: it takes longer than `limit_ms`, or failed;
 * ERR_NOMEM; ERR_IO.
 */
MUST_CHECK enum err aws_process_poll(struct aws_process *process, int64_t wait_ms,
                                     struct buf *output, bool *ret_has_ended, struct why *why);
/* Kills the program, if it has not ended, and all its children. NULL is fine. */
void aws_process_free(struct aws_process *process);

#endif
