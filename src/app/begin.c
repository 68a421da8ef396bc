/*
 * begin.c - see begin.h. Nothing is initialized here but the C library itself: only system calls
 * are made, and sanitizers, which are not initialized either, see nothing of it.
 *
 * The loader alone runs before this. It maps 45 libraries and relocates them, which is about 70 %
 * of the processor time from exec to main(), and nothing of the program can run earlier: in that
 * time SIGHUP ends the process, as it ends every program whose parent neither blocks nor ignores
 * it.
 */
#include "app/begin.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BARE __attribute__((no_sanitize_address, no_sanitize_thread))

/* A descriptor that is opened as a path fails to read and to write, so that a command whose output
 * is closed still reports that. It needs no device, and "/" is always there. */
BARE static void
occupy_standard_files(void)
{
    for (int file = 0; file <= 2; file++) {
        bool is_closed = syscall(SYS_fcntl, file, F_GETFD) < 0;
        if (is_closed) syscall(SYS_openat, AT_FDCWD, "/", O_PATH, 0);
    }
}

BARE static bool
is_serve(const char *word)
{
    static const char name[] = "serve";
    for (size_t i = 0; i < sizeof name; i++) {
        if (word[i] != name[i]) return false;
    }
    return true;
}

BARE void
process_begin(int argc, char **argv, char **environment)
{
    (void)environment;
    occupy_standard_files();
    if (argc < 2 || !is_serve(argv[1])) return;
    uint64_t hangup =
        UINT64_C(1) << (SIGHUP - 1); /* the kernel's sigset_t: a bit for each signal */
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &hangup, NULL, sizeof hangup);
}
