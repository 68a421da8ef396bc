/* terminal.h - a process with a terminal of its own, on which a test types. For tests. */
#ifndef LIB_TERMINAL_H
#define LIB_TERMINAL_H

#include "lib/test.h"

#include <sys/types.h>

struct terminal {
    int master;
    pid_t process;
    char screen[4096]; /* shown by the terminal until now */
};

/* Starts a process whose controlling terminal and standard input are a new terminal; it exits with
 * the result of run(). */
void terminal_begin(struct terminal *t, int (*run)(void *context), void *context);
/* Waits until the terminal has shown the text. */
void terminal_await(struct terminal *t, const char *text);
void terminal_type(struct terminal *t, const char *text);
/* Waits for the end of the process, and returns its status, or 1000 and the signal. */
int terminal_end(struct terminal *t);

#endif
