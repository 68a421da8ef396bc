/* cli_run.c - see cli_run.h. */
#include "lib/cli_run.h"

char cli_out[256 * 1024], cli_err[65536];

int
cli_memory_file(void)
{
    int fd = memfd_create("printed", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Redirects a stream into a file; returns a duplicate of its old descriptor. */
static inline int
divert(FILE *stream, int to)
{
    fflush(stream);
    int saved = dup(fileno(stream));
    assert_true(saved >= 0);
    assert_true(dup2(to, fileno(stream)) >= 0);
    return saved;
}

static inline void
restore(FILE *stream, int saved, int from, char *text, size_t size)
{
    fflush(stream);
    clearerr(stream);
    assert_true(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    ssize_t got = pread(from, text, size - 1, 0);
    text[got > 0 ? got : 0] = 0;
    close(from);
}

int
cli_run_into(int out_fd, const struct command *const *commands, const char *const *words)
{
    char *argv[RUN_WORDS_MAX + 2] = {strdup("firekeep")}, *owned[RUN_WORDS_MAX + 2];
    int argc = 1, err_fd = cli_memory_file();
    for (; *words != NULL; words++) {
        assert_in_range(argc, 1, RUN_WORDS_MAX);
        argv[argc++] = strdup(*words);
    }
    memcpy(owned, argv, sizeof owned); /* a command reorders its arguments */
    int saved_out = divert(stdout, out_fd), saved_err = divert(stderr, err_fd);
    int code = cli_run(commands, argc, argv);
    restore(stdout, saved_out, out_fd, cli_out, sizeof cli_out);
    restore(stderr, saved_err, err_fd, cli_err, sizeof cli_err);
    for (int i = 0; i < argc; i++)
        free(owned[i]);
    return code;
}

/* Stores what was printed into the file in `text`, and closes the file. */
static void
read_printed(int from, char *text, size_t size)
{
    ssize_t got = pread(from, text, size - 1, 0);
    text[got > 0 ? got : 0] = 0;
    close(from);
}

static int
run_child(const struct command *const *commands, const char *const *words, int out_fd, int err_fd)
{
    char *argv[RUN_WORDS_MAX + 2] = {strdup("firekeep")}, *owned[RUN_WORDS_MAX + 2];
    int argc = 1, status;
    for (; *words != NULL; words++) {
        assert_in_range(argc, 1, RUN_WORDS_MAX);
        argv[argc++] = strdup(*words);
    }
    memcpy(owned, argv, sizeof owned);
    fflush(stdout);
    fflush(stderr);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out_fd, STDOUT_FILENO);
        dup2(err_fd, STDERR_FILENO);
        int code = cli_run(commands, argc, argv);
        fflush(stdout);
        fflush(stderr);
        _exit(code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    read_printed(out_fd, cli_out, sizeof cli_out);
    read_printed(err_fd, cli_err, sizeof cli_err);
    for (int i = 0; i < argc; i++)
        free(owned[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
cli_run_child(const struct command *const *commands, const char *const *words)
{
    return run_child(commands, words, cli_memory_file(), cli_memory_file());
}

int
cli_run_joined(const struct command *const *commands, const char *const *words)
{
    int out_fd = cli_memory_file();
    return run_child(commands, words, out_fd, dup(out_fd));
}
