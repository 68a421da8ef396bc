/*
 * hang.c - a disk that hangs, preloaded into a program (LD_PRELOAD): syncs do not end as long as
 * the file DISK_HANGS exists.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void
hang(void)
{
    const struct timespec moment = {0, 20000000};
    const char *path = getenv("DISK_HANGS");
    while (path != NULL && access(path, F_OK) == 0)
        nanosleep(&moment, NULL);
}

int
fdatasync(int file)
{
    hang();
    return (int)syscall(SYS_fdatasync, file);
}

int
fsync(int file)
{
    hang();
    return (int)syscall(SYS_fsync, file);
}
