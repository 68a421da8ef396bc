/*
 * get.c - get URL [SECONDS]: the body of a plain HTTP GET, on standard output.
 *
 * Scripts ask thousands of times; this starts in a tenth of curl's time, as it needs no library but
 * libc. The URL is http://HOST:PORT/PATH with an IPv4 address; the path is sent as it is. Status
 * 22: the answer is 400 or above; 28: it took longer than SECONDS (10); 1: no answer, or not a
 * whole one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES_MAX = 64 << 10, ANSWER_TIMEOUT = 28, ANSWER_REFUSED = 22 };

static FILE *answer;

__attribute__((noreturn, format(printf, 2, 3))) static void
fail(int status, const char *format, ...)
{
    va_list args;
    fputs("get: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(status);
}

static void
on_alarm(int signal)
{
    (void)signal;
    static const char text[] = "get: timeout\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(ANSWER_TIMEOUT);
}

/* A line of the head or between chunks, without its end. */
static const char *
read_line(void)
{
    static char line[HEAD_BYTES_MAX];
    if (fgets(line, sizeof line, answer) == NULL) fail(1, "the answer ends early");
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

/* `length` bytes; negative: all until the end. */
static void
pass_on(long long length)
{
    static char piece[64 << 10];
    while (length != 0) {
        size_t wanted =
            length < 0 || length > (long long)sizeof piece ? sizeof piece : (size_t)length;
        size_t got = fread(piece, 1, wanted, answer);
        if (fwrite(piece, 1, got, stdout) != got) fail(1, "cannot write: %s", strerror(errno));
        if (length > 0) length -= (long long)got;
        if (got < wanted && (length > 0 || ferror(answer))) fail(1, "the answer ends early");
        if (got < wanted) break;
    }
}

static void
pass_on_chunks(void)
{
    long long length;
    do {
        char *end;
        const char *line = read_line();
        length = strtoll(line, &end, 16);
        if (end == line || length < 0) fail(1, "not a chunk: %s", line);
        pass_on(length);
        read_line();
    } while (length > 0);
}

static int
connect_to(const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail(1, "not an IPv4 address: %s", host);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail(1, "cannot connect to %s:%d: %s", host, port, strerror(errno));
    return fd;
}

int
main(int argc, char **argv)
{
    char host[64];
    int port, path_at = 0;
    if (argc < 2 || argc > 3 || sscanf(argv[1], "http://%63[^:/]:%d%n", host, &port, &path_at) != 2)
        fail(2, "usage: get http://HOST:PORT/PATH [SECONDS]");
    const char *path = argv[1] + path_at;
    signal(SIGALRM, on_alarm);
    signal(SIGPIPE, SIG_IGN);
    alarm(argc > 2 ? (unsigned)atoi(argv[2]) : 10);
    int fd = connect_to(host, port);
    if (dprintf(fd, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                *path == '/' ? path : "/", host, port) < 0 ||
        (answer = fdopen(fd, "r")) == NULL)
        fail(1, "cannot ask %s: %s", argv[1], strerror(errno));
    int status = 0;
    long long length = -1;
    bool is_chunked = false;
    if (sscanf(read_line(), "HTTP/1.%*d %d", &status) != 1) fail(1, "not an answer of HTTP");
    for (const char *line = read_line(); *line != 0; line = read_line()) {
        if (strncasecmp(line, "Content-Length:", 15) == 0) length = atoll(line + 15);
        if (strncasecmp(line, "Transfer-Encoding: chunked", 26) == 0) is_chunked = true;
    }
    if (status >= 400) fail(ANSWER_REFUSED, "%s answers %d", argv[1], status);
    if (is_chunked)
        pass_on_chunks();
    else
        pass_on(length);
    return fflush(stdout) == 0 ? 0 : 1;
}
