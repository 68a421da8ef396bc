/*
 * process.h - the output of a program that the operator names in his AWS profile
 * (credential_process).
 */
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
 * Starts a program. There is no shell: blanks part the words, '...', "..." and \ quote as a shell's
 * do, nothing is expanded. The program is searched in PATH, has our environment, no input, and what
 * it complains about is not read: that may hold secrets.
 * ERR_INPUT: no command, or quotes that do not end; ERR_LIMIT: the command is too long;
 * ERR_MISSING: no such program; ERR_NOMEM; ERR_IO.
 */
struct aws_process;
MUST_CHECK enum err aws_process_start(struct env *env, struct budget *memory, struct bytes command,
                                      int64_t limit_ms, struct aws_process **ret_process,
                                      struct why *why);
/*
 * Appends what it says to `output`, which the caller has to overwrite, until it ends or `wait_ms`
 * are over. ERR_LIMIT: it says too much; ERR_AGAIN: it takes longer than `limit_ms`, or failed;
 * ERR_NOMEM; ERR_IO.
 */
MUST_CHECK enum err aws_process_poll(struct aws_process *process, int64_t wait_ms,
                                     struct buf *output, bool *ret_has_ended, struct why *why);
/* What has not ended by itself is killed, with all it started. NULL is fine. */
void aws_process_free(struct aws_process *process);

#endif
