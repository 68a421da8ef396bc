/*
 * fsync_probe.c - the cost of a durable write in a directory: 4 KiB of a file written before, then
 * fdatasync, as in the log.
 *
 *     fsync_probe DIR
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 500, PIECE = 4096 };

static double
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int
measure(int fd, double *ms)
{
    static char piece[PIECE];
    for (int i = 0; i < ROUNDS; i++)
        if (pwrite(fd, piece, PIECE, (off_t)i * PIECE) != PIECE) return -1;
    if (fsync(fd) != 0) return -1;
    memset(piece, 1, PIECE);
    for (int i = 0; i < ROUNDS; i++) {
        double began = now_ms();
        if (pwrite(fd, piece, PIECE, (off_t)i * PIECE) != PIECE || fdatasync(fd) != 0) return -1;
        ms[i] = now_ms() - began;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    char path[4096];
    double ms[ROUNDS];
    if (argc != 2) {
        fputs("usage: fsync_probe DIR\n", stderr);
        return 2;
    }
    snprintf(path, sizeof path, "%s/probe.tmp", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int failed = fd < 0 ? -1 : measure(fd, ms);
    if (fd >= 0) close(fd);
    unlink(path);
    if (failed) {
        perror(path);
        return 2;
    }
    qsort(ms, ROUNDS, sizeof *ms, by_value);
    printf("fdatasync_p50_ms=%.3f\nfdatasync_p99_ms=%.3f\n", ms[ROUNDS / 2], ms[ROUNDS * 99 / 100]);
    return 0;
}
