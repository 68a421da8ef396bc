/* asker.c - see asker.h. */
#include "lib/asker.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_S_MAX = 900, HEAD_LINE_BYTES = 1024 };

struct head {
    bool chunked;
    bool closes;
    uint64_t size;
};

void
asker_init(struct asker *a, const struct address *to)
{
    a->to = to;
    a->fd = -1;
    a->kept = NULL;
    a->at = a->end = 0;
    buf_init(&a->request, NULL, 1 << 20);
}

static void
hang_up(struct asker *a)
{
    if (a->fd >= 0) close(a->fd);
    a->fd = -1;
}

void
asker_fini(struct asker *a)
{
    hang_up(a);
    buf_fini(&a->request);
}

static bool
fill(struct asker *a)
{
    ssize_t n = read(a->fd, a->piece, sizeof a->piece);
    a->at = 0;
    a->end = n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* Reads a line without its CR and LF. */
static bool
read_line(struct asker *a, char line[HEAD_LINE_BYTES])
{
    for (size_t n = 0;;) {
        if (a->at == a->end && !fill(a)) return false;
        char c = a->piece[a->at++];
        if (c == '\n') {
            line[n - (n > 0 && line[n - 1] == '\r')] = '\0';
            return true;
        }
        if (n == HEAD_LINE_BYTES - 1) return false;
        line[n++] = c;
    }
}

static bool
read_head(struct asker *a, struct head *head)
{
    char line[HEAD_LINE_BYTES];
    if (!read_line(a, line) || sscanf(line, "HTTP/1.1 %u", &a->status) != 1) return false;
    while (read_line(a, line)) {
        if (line[0] == '\0') return true;
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            head->size = strtoull(line + 15, NULL, 10);
        head->chunked |= strcasecmp(line, "Transfer-Encoding: chunked") == 0;
        head->closes |= strcasecmp(line, "Connection: close") == 0;
    }
    return false;
}

static bool
read_body(struct asker *a, uint64_t size)
{
    while (size > 0) {
        if (a->at == a->end && !fill(a)) return false;
        size_t n = a->end - a->at;
        if (n > size) n = (size_t)size;
        size_t known = strlen(a->error), room = sizeof a->error - 1 - known;
        if (a->status != 200)
            snprintf(a->error + known, room + 1, "%.*s", (int)n, a->piece + a->at);
        if (a->kept != NULL) buf_put(a->kept, a->piece + a->at, n);
        a->at += n;
        a->bytes += n;
        size -= n;
    }
    return true;
}

static bool
read_chunks(struct asker *a)
{
    char line[HEAD_LINE_BYTES];
    for (uint64_t size = 1; size > 0;) {
        if (!read_line(a, line)) return false;
        size = strtoull(line, NULL, 16);
        if (!read_body(a, size) || !read_line(a, line)) return false;
    }
    return true;
}

static bool
send_request(struct asker *a)
{
    const struct timeval patience = {.tv_sec = ANSWER_S_MAX};
    if (a->fd < 0) {
        a->fd = address_connect(a->to);
        a->at = a->end = 0;
        if (a->fd < 0) return false;
        setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    for (size_t sent = 0; sent < a->request.size;) {
        ssize_t n = send(a->fd, a->request.at + sent, a->request.size - sent, MSG_NOSIGNAL);
        if (n <= 0) return false;
        sent += (size_t)n;
    }
    return true;
}

static bool
ask_once(struct asker *a)
{
    struct head head = {0};
    a->status = 0;
    a->bytes = 0;
    a->error[0] = '\0';
    bool whole = send_request(a) && read_head(a, &head) &&
                 (head.chunked ? read_chunks(a) : read_body(a, head.size));
    if (!whole || head.closes) hang_up(a);
    return whole;
}

bool
asker_post(struct asker *a, const char *path, struct bytes form)
{
    bool kept = a->fd >= 0;
    buf_clear(&a->request);
    buf_printf(&a->request,
               "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/x-www-form-urlencoded"
               "\r\nContent-Length: %zu\r\n\r\n",
               path, a->to->host, a->to->port, form.size);
    buf_put_bytes(&a->request, form);
    if (buf_error(&a->request)) die("no memory");
    if (ask_once(a)) return true;
    return kept && a->status == 0 && ask_once(a);
}
