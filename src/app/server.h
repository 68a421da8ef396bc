/*
 * server.h - the whole server: store, log, HTTP, their threads. `serve` drives it with signals;
 * tests drive it in their own process, on machines that fail.
 *
 * Threads: the one that owns the server.
 */
#ifndef APP_SERVER_H
#define APP_SERVER_H

#include "config/lists/lists.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

struct server;

/* Opens the store, replays its log, and serves when it returns. `flag_words` are read again by a
 * reload and outlive the server. `lists` are taken: empty on success, else still the caller's.
 * ERR_INPUT: the settings cannot be served; errors of the store and of listening. */
MUST_CHECK enum err server_start(struct env *env, const struct settings *settings,
                                 struct config_lists *lists, int flag_count, char **flag_words,
                                 struct server **ret_server, struct why *why);
/* Checks deadlines of queued requests and whether commits hang; several times per second. */
void server_tick(struct server *server);
/* Reloads everything or nothing, and logs the result. This and the next one are callbacks, too. */
MUST_CHECK enum err server_reload(void *server, struct why *why);
/* Reloads soon, on a thread of its own: a reload waits for disks, and for a pending write of stored
 * rules. Several requests during a reload cause one more reload. */
void server_want_reload(void *server);

/* Stops in steps, so that the caller can give up between them. */
void server_quiesce(struct server *server);    /* accepts no more requests */
bool server_is_idle(struct server *server);    /* no request or reload runs */
void server_flush_all(struct server *server);  /* begins to flush the head */
bool server_is_flushed(struct server *server); /* the flush is done or has failed */
/* Ends all threads and connections; waits for requests with a handler. All acknowledged requests
 * are durable. */
void server_free(struct server *server);

/* --- serve.c ---------------------------------------------------------------------------------- */

/* A companion of a server in the same process. */
struct serve_companion {
    void *context;
    struct env *env; /* the server's */
    /* Begins, when the server accepts requests. An error ends the process. */
    enum err (*begin)(void *context, struct why *why);
    /* Ends, before the server does. */
    void (*end)(void *context);
};

/* Runs a server with the flags of `serve` until a signal ends it, and returns the exit code of
 * `command`; if it is not EXIT_DONE, `why` says why the server did not start. argv[0] is not a
 * flag. `companion` may be NULL. */
int serve_with(const char *command, int argc, char **argv, const struct serve_companion *companion,
               struct why *why);

#endif
