/*
 * process.c - a child in a process group of its own, its output through a pipe.
 *
 * The child is ours until waitpid() took it, so its group cannot be somebody else's when it is
 * killed.
 */
#include "backend/aws/process.h"

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

/* --- words ------------------------------------------------------------------------------------ */

struct words {
    char text[AWS_PROCESS_COMMAND_BYTES_MAX + 1];
    char *list[AWS_PROCESS_WORDS_MAX + 1]; /* ends in NULL */
};

/* One word, from `*from` to `*to`, both advanced. False: a quote does not end. */
static bool
take_word(const char **from, char **to)
{
    const char *at = *from;
    char quote = '\0';
    for (; *at != '\0' && (quote != '\0' || (*at != ' ' && *at != '\t')); at++) {
        bool escapes = *at == '\\' && quote != '\'' && at[1] != '\0';
        /* Within double quotes a backslash quotes only these; before others it is itself. */
        if (escapes && (quote == '\0' || strchr("\"\\$`", at[1]) != NULL)) {
            *(*to)++ = *++at;
        } else if (*at == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*at == '"' || *at == '\'')) {
            quote = *at;
        } else {
            *(*to)++ = *at;
        }
    }
    *(*to)++ = '\0';
    *from = at;
    return quote == '\0';
}

static enum err
split(struct bytes command, struct words *ret, struct why *why)
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
    /* A word takes no more than it did with the blank or the end after it. */
    for (char *to = ret->text;; count++) {
        at += strspn(at, " \t");
        if (*at == '\0') break;
        if (count == AWS_PROCESS_WORDS_MAX) {
            return why_set(why, ERR_LIMIT, "the command must have at most %d words",
                           AWS_PROCESS_WORDS_MAX);
        }
        ret->list[count] = to;
        if (!take_word(&at, &to))
            return why_set(why, ERR_INPUT, "missing closing quote in the command");
    }
    ret->list[count] = NULL;
    bool empty = count == 0 || ret->list[0][0] == '\0';
    return empty ? why_set(why, ERR_INPUT, "the command is empty") : OK;
}

/* --- the child -------------------------------------------------------------------------------- */

/* Signals as a program expects them, whatever we do with ours. */
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

/* The output first: where we run without a standard input, its number may be 0. */
static int
set_files(posix_spawn_file_actions_t *actions, int output)
{
    int failed = posix_spawn_file_actions_adddup2(actions, output, 1);
    if (failed == 0) {
        failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    }
    if (failed != 0) return failed;
    return posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
}

/* 0 or an errno value. */
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
        if (failed == 0) {
            failed = posix_spawnp(ret_child, words[0], &actions, &attributes, words, environ);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static int
left_ms(struct env *env, int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - env_monotonic_ns(env);
    return left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* Until the end of the output. */
static enum err
read_output(struct env *env, int from, int64_t deadline_ns, struct buf *output, struct why *why)
{
    /* At once: it is read straight into it. */
    if (!buf_reserve(output, AWS_PROCESS_OUTPUT_BYTES_MAX + 1)) {
        return why_set(why, buf_error(output), "not enough memory for the output of the command");
    }
    size_t begin = output->size;
    for (;;) {
        struct pollfd polled = {.fd = from, .events = POLLIN};
        int wait_ms = left_ms(env, deadline_ns);
        int ready = poll(&polled, 1, wait_ms);
        if (ready == 0 && wait_ms == 0) return why_set(why, ERR_AGAIN, "the command timed out");
        if (ready <= 0) continue; /* interrupted, or time to look at the clock */
        size_t room = AWS_PROCESS_OUTPUT_BYTES_MAX + 1 - (output->size - begin);
        ssize_t got = read(from, output->at + output->size, room);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return why_set(why, ERR_IO, "cannot read the output of the command");
        if (got == 0) return OK;
        output->size += (size_t)got;
        if ((size_t)got == room) {
            return why_set(why, ERR_LIMIT, "the output of the command must be at most %d bytes",
                           AWS_PROCESS_OUTPUT_BYTES_MAX);
        }
    }
}

/* A child that has closed its output is about to end: it is looked at now and then. */
static enum err
wait_for(struct env *env, pid_t child, int64_t deadline_ns, bool *ret_gone, struct why *why)
{
    int status;
    pid_t got;
    while ((got = waitpid(child, &status, WNOHANG)) <= 0) {
        if (got < 0 && errno != EINTR) {
            *ret_gone = true;
            return why_set(why, ERR_IO, "cannot wait for the command");
        }
        if (left_ms(env, deadline_ns) == 0)
            return why_set(why, ERR_AGAIN, "the command did not exit in time");
        (void)poll(NULL, 0, EXIT_POLL_MS);
    }
    *ret_gone = true;
    if (WIFSIGNALED(status)) {
        return why_set(why, ERR_AGAIN, "the command was killed by signal %d", WTERMSIG(status));
    }
    int code = WEXITSTATUS(status);
    return code == 0 ? OK : why_set(why, ERR_AGAIN, "the command exited with status %d", code);
}

static void
end(pid_t child)
{
    kill(-child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
}

enum err
aws_process_run(struct env *env, struct bytes command, int64_t limit_ms, struct buf *output,
                struct why *why)
{
    struct words words;
    int ends[2];
    pid_t child;
    bool gone = false;
    enum err e = split(command, &words, why);
    if (e) return e;
    int64_t deadline_ns = env_monotonic_ns(env) + limit_ms * NS_PER_MS;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return why_set(why, err_from_errno(errno), "cannot create a pipe for the command");
    int failed = spawn(words.list, ends[1], &child);
    close(ends[1]);
    if (failed != 0) {
        close(ends[0]);
        return why_set(why, err_from_errno(failed), "cannot start %.80s: %s", words.list[0],
                       strerrordesc_np(failed));
    }
    e = read_output(env, ends[0], deadline_ns, output, why);
    if (e == OK) e = wait_for(env, child, deadline_ns, &gone, why);
    if (!gone) end(child);
    close(ends[0]);
    return e;
}
