/* serve.h - runs a server until a signal ends it, alone or with a companion in the same process. */
#ifndef APP_SERVE_H
#define APP_SERVE_H

#include "sys/env.h"

struct serve_companion {
    void *context;
    struct env *env; /* the server's */
    /* Begins, when the server accepts requests. An error ends the process. */
    enum err (*begin)(void *context, struct why *why);
    /* Ends, before the server does. */
    void (*end)(void *context);
};

/* Runs the server with the flags of `serve`, and returns the exit code of `command`; if it is not
 * EXIT_DONE, `why` says why the server did not start. argv[0] is not a flag. `companion` may be
 * NULL. */
int serve_with(const char *command, int argc, char **argv, const struct serve_companion *companion,
               struct why *why);

#endif
