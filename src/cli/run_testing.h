/*
 * run_testing.h - runs the program within a test, with what it prints in files in memory. For tests
 * only.
 */
#ifndef CLI_RUN_TESTING_H
#define CLI_RUN_TESTING_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

/* What the last run printed. */
static char out[256 * 1024], err[65536];

enum { RUN_WORDS_MAX = 16 };

static int
memory_file(void)
{
    int fd = memfd_create("printed", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Moves a stream into a file; returns what it was. */
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

/* Runs "firekeep" and the words up to NULL, with stdout in `out_fd`, which is closed. */
static inline int
run_into(int out_fd, const struct command *const *commands, const char *const *words)
{
    char *argv[RUN_WORDS_MAX + 2] = {strdup("firekeep")}, *owned[RUN_WORDS_MAX + 2];
    int argc = 1, err_fd = memory_file();
    for (; *words != NULL; words++) {
        assert_in_range(argc, 1, RUN_WORDS_MAX);
        argv[argc++] = strdup(*words);
    }
    memcpy(owned, argv, sizeof owned); /* a command sorts its words */
    int saved_out = divert(stdout, out_fd), saved_err = divert(stderr, err_fd);
    int code = cli_run(commands, argc, argv);
    restore(stdout, saved_out, out_fd, out, sizeof out);
    restore(stderr, saved_err, err_fd, err, sizeof err);
    for (int i = 0; i < argc; i++) {
        free(owned[i]);
    }
    return code;
}

enum { TEST_DIR_BYTES = 64 };

/* Makes a directory, in memory if the machine has one there: stores sync often. False: it cannot.
 */
static inline bool
make_test_dir(char dir[TEST_DIR_BYTES])
{
    strcpy(dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/firekeep-XXXXXX" : "/tmp/firekeep-XXXXXX");
    return mkdtemp(dir) != NULL;
}

static inline void
read_printed(int from, char *text, size_t size)
{
    ssize_t got = pread(from, text, size - 1, 0);
    text[got > 0 ? got : 0] = 0;
    close(from);
}

/* The same in a process of its own, for commands that hold a lock until their process ends. */
static inline int
run_child(const struct command *const *commands, const char *const *words)
{
    char *argv[RUN_WORDS_MAX + 2] = {strdup("firekeep")}, *owned[RUN_WORDS_MAX + 2];
    int argc = 1, status, out_fd = memory_file(), err_fd = memory_file();
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
    read_printed(out_fd, out, sizeof out);
    read_printed(err_fd, err, sizeof err);
    for (int i = 0; i < argc; i++) {
        free(owned[i]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
