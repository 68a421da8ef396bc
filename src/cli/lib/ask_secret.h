/*
 * ask_secret.h - asks for a password or token: on the terminal, which does not show it, or from
 * standard input.
 *
 * Threads: one; signal handlers of the process are replaced while the terminal is read.
 */
#ifndef CLI_LIB_ASK_SECRET_H
#define CLI_LIB_ASK_SECRET_H

#include "base/buf.h"
#include "base/err.h"

enum { SECRET_LINE_BYTES_MAX = 4096 };

/*
 * Prints the prompt on the process's terminal, whatever standard input is, and appends the line
 * that is typed, without its end. The terminal does not show it.
 *
 * ERR_UNSUPPORTED: the process has no terminal; ERR_CANCELED: a signal or the end of the input
 * came; ERR_LIMIT: the line is longer than SECRET_LINE_BYTES_MAX; ERR_IO.
 */
MUST_CHECK enum err ask_secret(const char *prompt, struct buf *to, struct why *why);

/* Appends standard input, one line, without its end. ERR_INPUT: more than one line; ERR_LIMIT;
 * ERR_IO. */
MUST_CHECK enum err secret_from_stdin(struct buf *to, struct why *why);

#endif
