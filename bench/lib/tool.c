/* tool.c - see tool.h. */
#include "lib/tool.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void
die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void *
must(void *memory)
{
    if (memory == NULL) die("no memory");
    return memory;
}

void
tell_usage(const char *usage, int asked)
{
    fputs(usage, asked ? stdout : stderr);
    exit(asked ? 0 : 2);
}

double
parse_number(const char *option, const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0)) die("--%s: not a number", option);
    return number;
}

double
now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint64_t
random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void
address_parse(struct address *a, const char *url, const char *path)
{
    a->path[0] = '\0';
    a->is_tls = strncmp(url, "https:", 6) == 0;
    if (!a->is_tls && strncmp(url, "http:", 5) != 0) die("a URL is http(s)://HOST:PORT[/PATH]");
    int n = sscanf(strchr(url, ':'), "://%127[^:/]:%15[0-9]%1023s", a->host, a->port, a->path);
    if (n < 2) die("a URL is http(s)://HOST:PORT[/PATH]");
    if (strlen(a->path) == sizeof a->path - 1) die("a path is too long");
    if (a->path[0] == '\0') snprintf(a->path, sizeof a->path, "%s", path);
}

int
address_connect(const struct address *a)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(a->host, a->port, &hints, &list) != 0) return -1;
    int on = 1, fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, 0);
    int failed = fd < 0 ? -1 : connect(fd, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    if (failed) {
        if (fd >= 0) close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}
