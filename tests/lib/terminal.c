/* terminal.c - see terminal.h. */
#include "lib/terminal.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NO_TERMINAL = 101 };

void
terminal_begin(struct terminal *t, int (*run)(void *context), void *context)
{
    char name[64];
    memset(t, 0, sizeof *t);
    t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(t->master >= 0);
    assert_int_equal(grantpt(t->master), 0);
    assert_int_equal(unlockpt(t->master), 0);
    assert_int_equal(ptsname_r(t->master, name, sizeof name), 0);
    fflush(stdout);
    fflush(stderr);
    t->process = fork();
    assert_true(t->process >= 0);
    if (t->process > 0) return;
    setsid();
    int fd = open(name, O_RDWR);
    bool fine = fd >= 0 && ioctl(fd, TIOCSCTTY, 0) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO;
    int code = fine ? run(context) : EXIT_NO_TERMINAL;
    fflush(stdout);
    fflush(stderr);
    _exit(code);
}

/* Returns false at the end: no process has the terminal. */
static bool
read_more(struct terminal *t)
{
    size_t size = strlen(t->screen);
    assert_true(size < sizeof t->screen - 1);
    ssize_t got = read(t->master, t->screen + size, sizeof t->screen - 1 - size);
    return got > 0;
}

void
terminal_await(struct terminal *t, const char *text)
{
    while (strstr(t->screen, text) == NULL)
        assert_true(read_more(t));
}

void
terminal_type(struct terminal *t, const char *text)
{
    assert_int_equal(write(t->master, text, strlen(text)), (ssize_t)strlen(text));
}

int
terminal_end(struct terminal *t)
{
    int status;
    while (read_more(t)) {
    }
    assert_int_equal(waitpid(t->process, &status, 0), t->process);
    close(t->master);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
