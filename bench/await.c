/*
 * await.c - waits for a server: requests URL every millisecond until it answers with 2xx.
 *
 *     await http://HOST:PORT/PATH SECONDS
 *
 * Prints the Unix time of the answer in microseconds. Status 1: no such answer in that time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/tool.h"

static bool
answers(const struct address *a)
{
    char text[1536];
    unsigned status = 0;
    int fd = address_connect(a);
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 2}, sizeof(struct timeval));
    int size =
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 a->path, a->host);
    ssize_t got = write(fd, text, (size_t)size) == size ? read(fd, text, sizeof text - 1) : 0;
    close(fd);
    if (got <= 0) return false;
    text[got] = '\0';
    return sscanf(text, "HTTP/1.%*d %u", &status) == 1 && status / 100 == 2;
}

int
main(int argc, char **argv)
{
    struct address a;
    if (argc != 3) tell_usage("usage: await http://HOST:PORT/PATH SECONDS\n", 0);
    address_parse(&a, argv[1], "/");
    double end_s = now_s(CLOCK_MONOTONIC) + parse_number("seconds", argv[2]);
    while (!answers(&a)) {
        if (now_s(CLOCK_MONOTONIC) > end_s) return 1;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    printf("%.0f\n", now_s(CLOCK_REALTIME) * 1e6);
    return 0;
}
