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
 * Starts a program and waits for it: this blocks, `limit_ms` at most. There is no shell: blanks
 * part the words, '...', "..." and \ quote as a shell's do, nothing is expanded. The program is
 * searched in PATH, has our environment, no input, and what it complains about is not read: that
 * may hold secrets. What it does not end by itself is killed, with all it started.
 *
 * What it said is appended to `output`, which the caller has to overwrite.
 * ERR_INPUT: no command, or quotes that do not end; ERR_LIMIT: the command or the output is too
 * long; ERR_MISSING: no such program; ERR_AGAIN: it took too long, or failed; ERR_NOMEM; ERR_IO.
 */
MUST_CHECK enum err aws_process_run(struct env *env, struct bytes command, int64_t limit_ms,
                                    struct buf *output, struct why *why);

#endif
