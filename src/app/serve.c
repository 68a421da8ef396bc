/*
 * serve.c - `firekeep serve`: a server and the signals it obeys; see server.h.
 *
 *      SIGHUP    reload, all or nothing
 *      SIGTERM   no request is accepted -> pending ones end -> long reads are canceled
 *                -> the head is written out -> exit 0
 *      a second SIGTERM, or 28 s: the rest is left to the next start, whose log has everything
 */

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/process.h"
#include "app/server.h"
#include "app/server_private.h"
#include "base/log.h"
#include "cli/cli.h"

enum { STOP_SECONDS = 28, REQUESTS_SECONDS = 10, CANCELED_SECONDS = 12, TICK_MS = 250 };

/* Waits for a signal for some milliseconds; 0: none came. */
static int
wait_signal(const sigset_t *signals, int64_t ms)
{
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    int got = sigtimedwait(signals, NULL, &wait);
    return got > 0 ? got : 0;
}

static bool
is_end(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGINT;
}

/* Waits for `done` or the deadline. True: a second signal asks to leave now. */
static bool
wait_until(struct server *server, const sigset_t *signals, int64_t deadline_ns,
           bool (*done)(struct server *server))
{
    while (!done(server) && env_monotonic_ns(env_real()) < deadline_ns) {
        if (is_end(wait_signal(signals, 10))) return true;
        server_tick(server);
    }
    return false;
}

/* Leaves without waiting for clients or the flush. */
static void
leave_now(struct server *server)
{
    if (server_is_flushed(server))
        log_warn("stopping, open requests are cut off");
    else
        log_warn("stopping immediately, the next start replays the log");
    keeper_commit_last(&server->keeper);
    log_stop();
    _exit(EXIT_DONE);
}

static void
stop(struct server *server, const sigset_t *signals)
{
    int64_t began = env_monotonic_ns(env_real());
    log_info("stopping, finishing open requests");
    server_quiesce(server);
    if (wait_until(server, signals, began + REQUESTS_SECONDS * NS_PER_S, server_is_idle))
        leave_now(server);
    api_cancel_reads(server->api);
    if (wait_until(server, signals, began + CANCELED_SECONDS * NS_PER_S, server_is_idle))
        leave_now(server);
    server_flush_all(server);
    if (wait_until(server, signals, began + STOP_SECONDS * NS_PER_S, server_is_flushed))
        leave_now(server);
    if (!server_is_flushed(server) || !server_is_idle(server)) leave_now(server);
    log_info("stopped", KV("took_ms", (env_monotonic_ns(env_real()) - began) / NS_PER_MS));
}

static void
run(struct server *server, const sigset_t *signals)
{
    for (;;) {
        int got = wait_signal(signals, TICK_MS);
        server_tick(server);
        if (is_end(got)) return;
        if (got == SIGHUP) server_want_reload(server);
    }
}

/* As many files as the system allows: the limit that is in force without this is for programs that
 * use select(). Members of Alertmanagers, senders and parts take a descriptor each. */
static void
raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* on an error the old limit stays */
}

static void
confine(const struct settings *settings)
{
    struct why why = {""};
    if (!settings->process_core_dumps) confine_memory();
    if (settings->process_seccomp && confine_calls(&why) != OK)
        log_warn("cannot limit system calls", KV("error", &why));
}

/* The lists are taken on success. */
static enum err
start(const struct settings *settings, struct config_lists *lists, int flag_count,
      char **flag_words, const struct serve_companion *companion, struct server **ret_server,
      struct why *why)
{
    struct server *server;
    enum err e = log_start();
    if (e) return why_set(why, e, "cannot start the log thread: %s", err_word(e));
    struct env *env = companion != NULL ? companion->env : env_real();
    e = server_start(env, settings, lists, flag_count, flag_words, &server, why);
    if (e == OK && companion != NULL) {
        e = companion->begin(companion->context, why);
        if (e) server_free(server);
    }
    if (e == OK) *ret_server = server;
    return e;
}

int
serve_with(const char *command, int argc, char **argv, const struct serve_companion *companion,
           struct why *why)
{
    struct settings settings;
    struct config_lists lists;
    struct server *server = NULL;
    sigset_t signals; /* SIGHUP is blocked since process_begin(); the others end what waits here */
    enum err e = settings_load(&settings, &lists, argc - 1, argv + 1, why);
    if (e) return cli_usage_error(command, "%s", why->text);
    log_configure(settings.log_level, settings.log_format);
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    confine(&settings);
    process_metrics_register();
    e = start(&settings, &lists, argc - 1, argv + 1, companion, &server, why);
    if (e) {
        config_lists_free(&lists);
        log_error("cannot start", KV("error", why));
    } else {
        run(server, &signals);
        if (companion != NULL) companion->end(companion->context);
        stop(server, &signals);
        server_free(server);
    }
    log_stop();
    return e ? EXIT_FAILED : EXIT_DONE;
}

static int
serve(int argc, char **argv)
{
    struct why why = {""};
    return serve_with("serve", argc, argv, NULL, &why);
}

const struct command command_serve = {
    "serve", "[flags]",
    "run the server: receive, store and return samples until stopped by a signal", serve,
    .details = settings_help};
