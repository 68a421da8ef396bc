/*
 * process.c - runs a child in a process group of its own, and reads its output through a pipe.
 *
 * Until waitpid() reaps the child, its process group id cannot be reused, so killing the group is
 * safe.
 */
#include "backend/aws/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_POLL_MS = 5 };

struct aws_process {
    struct env *env;
    struct budget *memory;
    pid_t child;
    int from;            /* pipe of its output */
    int64_t deadline_ns; /* monotonic */
    size_t output_bytes;
    bool is_silent; /* the output has ended */
    bool is_gone;   /* reaped by waitpid() */
};

/* --- words ------------------------------------------------------------------------------------ */

struct words {
    char text[AWS_PROCESS_COMMAND_BYTES_MAX + 1];
    char *list[AWS_PROCESS_WORDS_MAX + 1]; /* ends in NULL */
};

/* Copies one word from `*from` to `*to`, and moves both. False: a quote is not closed. */
static bool
split_word(const char **from, char **to)
{
    const char *at = *from;
    char quote = '\0';
    for (; *at != '\0' && (quote != '\0' || (*at != ' ' && *at != '\t')); at++) {
        bool escapes = *at == '\\' && quote != '\'' && at[1] != '\0';
        /* Within double quotes a backslash escapes only these; before others it is literal. */
        if (escapes && (quote == '\0' || strchr("\"\\$`", at[1]) != NULL))
            *(*to)++ = *++at;
        else if (*at == quote)
            quote = '\0';
        else if (quote == '\0' && (*at == '"' || *at == '\''))
            quote = *at;
        else
            *(*to)++ = *at;
    }
    *(*to)++ = '\0';
    *from = at;
    return quote == '\0';
}

static enum err
split_command(struct bytes command, struct words *ret, struct why *why)
{
    char line[AWS_PROCESS_COMMAND_BYTES_MAX + 1];
    size_t count = 0;
    if (command.size > AWS_PROCESS_COMMAND_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the command must be at most %d bytes",
                       AWS_PROCESS_COMMAND_BYTES_MAX);
    }
    if (command.size > 0) memcpy(line, command.at, command.size);
    line[command.size] = '\0';
    const char *at = line;
    /* In place: a word with its NUL never needs more bytes than its source with a separator. */
    for (char *to = ret->text;; count++) {
        at += strspn(at, " \t");
        if (*at == '\0') break;
        if (count == AWS_PROCESS_WORDS_MAX) {
            return why_set(why, ERR_LIMIT, "the command must have at most %d words",
                           AWS_PROCESS_WORDS_MAX);
        }
        ret->list[count] = to;
        if (!split_word(&at, &to))
            return why_set(why, ERR_INPUT, "missing closing quote in the command");
    }
    ret->list[count] = NULL;
    bool empty = count == 0 || ret->list[0][0] == '\0';
    return empty ? why_set(why, ERR_INPUT, "the command is empty") : OK;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Resets signals to their defaults. */
static int
set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (failed == 0) failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (failed == 0) failed = posix_spawnattr_setpgroup(attributes, 0);
    if (failed != 0) return failed;
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
}

/* The output first: without a standard input of this process, its number may be 0. */
static int
set_files(posix_spawn_file_actions_t *actions, int output)
{
    int failed = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (failed == 0)
        failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (failed != 0) return failed;
    return posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
}

/* Returns 0 or an errno value. */
static int
spawn(char *const *words, int output, pid_t *ret_child)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int failed = posix_spawnattr_init(&attributes);
    if (failed != 0) return failed;
    failed = posix_spawn_file_actions_init(&actions);
    if (failed == 0) {
        failed = set_attributes(&attributes);
        if (failed == 0) failed = set_files(&actions, output);
        if (failed == 0)
            failed = posix_spawnp(ret_child, words[0], &actions, &attributes, words, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static int
left_ms(const struct aws_process *p, int64_t until_ns)
{
    int64_t left_ns = until_ns - env_monotonic_ns(p->env);
    return left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* Fails if the time limit has passed. */
static enum err
check_deadline(const struct aws_process *p, const char *sentence, struct why *why)
{
    return left_ms(p, p->deadline_ns) > 0 ? OK : why_set(why, ERR_AGAIN, "%s", sentence);
}

/* Reads until the output ends, at most until `until_ns`. */
static enum err
read_output(struct aws_process *p, int64_t until_ns, struct buf *output, struct why *why)
{
    /* Reserves the maximum, because output is read directly into the buffer. */
    if (!buf_reserve(output, AWS_PROCESS_OUTPUT_BYTES_MAX + 1 - p->output_bytes))
        return why_set(why, buf_error(output), "not enough memory for the output of the command");
    while (!p->is_silent) {
        struct pollfd polled = {.fd = p->from, .events = POLLIN};
        int wait_ms = left_ms(p, until_ns);
        int ready = poll(&polled, 1, wait_ms);
        if (ready == 0 && wait_ms == 0) return check_deadline(p, "the command timed out", why);
        if (ready <= 0) continue; /* interrupted, or time to check the clock */
        size_t room = AWS_PROCESS_OUTPUT_BYTES_MAX + 1 - p->output_bytes;
        ssize_t got = read(p->from, output->at + output->size, room);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return why_set(why, ERR_IO, "cannot read the output of the command");
        p->is_silent = got == 0;
        output->size += (size_t)got;
        p->output_bytes += (size_t)got;
        if ((size_t)got == room) {
            return why_set(why, ERR_LIMIT, "the output of the command must be at most %d bytes",
                           AWS_PROCESS_OUTPUT_BYTES_MAX);
        }
    }
    return OK;
}

/* A child that has closed its output is about to end: it is polled. */
static enum err
wait_for(struct aws_process *p, int64_t until_ns, struct why *why)
{
    int status;
    pid_t got;
    while ((got = waitpid(p->child, &status, WNOHANG)) <= 0) {
        if (got < 0 && errno != EINTR) {
            p->is_gone = true;
            return why_set(why, ERR_IO, "cannot wait for the command");
        }
        if (left_ms(p, until_ns) == 0)
            return check_deadline(p, "the command did not exit in time", why);
        (void)poll(NULL, 0, EXIT_POLL_MS);
    }
    p->is_gone = true;
    if (WIFSIGNALED(status))
        return why_set(why, ERR_AGAIN, "the command was killed by signal %d", WTERMSIG(status));
    int code = WEXITSTATUS(status);
    return code == 0 ? OK : why_set(why, ERR_AGAIN, "the command exited with status %d", code);
}

/* --- the interface ---------------------------------------------------------------------------- */

enum err
aws_process_start(struct env *env, struct budget *memory, struct bytes command, int64_t limit_ms,
                  struct aws_process **ret_process, struct why *why)
{
    struct words words;
    int ends[2];
    enum err e = split_command(command, &words, why);
    if (e) return e;
    struct aws_process *p = mem_new(memory, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the command");
    p->env = env;
    p->memory = memory;
    p->deadline_ns = env_monotonic_ns(env) + limit_ms * NS_PER_MS;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        mem_free(memory, p, sizeof *p);
        return why_set(why, err_from_errno(errno), "cannot create a pipe for the command");
    }
    int failed = spawn(words.list, ends[1], &p->child);
    close(ends[1]);
    p->from = ends[0];
    if (failed == 0) {
        *ret_process = p;
        return OK;
    }
    p->is_gone = true;
    aws_process_free(p);
    return why_set(why, err_from_errno(failed), "cannot start %.80s: %s", words.list[0],
                   strerrordesc_np(failed));
}

enum err
aws_process_poll(struct aws_process *p, int64_t wait_ms, struct buf *output, bool *ret_has_ended,
                 struct why *why)
{
    int64_t until_ns = env_monotonic_ns(p->env) + wait_ms * NS_PER_MS;
    if (until_ns > p->deadline_ns) until_ns = p->deadline_ns;
    enum err e = read_output(p, until_ns, output, why);
    if (e == OK && p->is_silent) e = wait_for(p, until_ns, why);
    *ret_has_ended = p->is_gone;
    return e;
}

void
aws_process_free(struct aws_process *p)
{
    if (p == NULL) return;
    if (!p->is_gone) {
        kill(-p->child, SIGKILL);
        while (waitpid(p->child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close(p->from);
    mem_free(p->memory, p, sizeof *p);
}
