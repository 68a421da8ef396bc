/*
 * clock.c - a clock that can be set, preloaded into a program (LD_PRELOAD): the time of day is
 * ahead by the number of seconds in the file CLOCK_AHEAD. Monotonic clocks go on, as when a real
 * clock is set.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long
ahead(void)
{
    char text[32] = "";
    const char *path = getenv("CLOCK_AHEAD");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    return size > 0 ? strtol(text, NULL, 10) : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *to)
{
    int result = (int)syscall(SYS_clock_gettime, clock, to);
    if (result == 0 && clock == CLOCK_REALTIME) to->tv_sec += ahead();
    return result;
}
