/* plain_http.c - see plain_http.h. */
#include "plain_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 64 << 10 };

bool
plain_url_parse(const char *text, struct plain_url *ret_url)
{
    int path_at = 0;
    if (sscanf(text, "http://%63[^:/]:%d%n", ret_url->host, &ret_url->port, &path_at) != 2)
        return false;
    ret_url->path = text[path_at] == '/' ? text + path_at : "/";
    return true;
}

static int
connect_to(const struct plain_url *url, int seconds)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)url->port)};
    const char *host = strcmp(url->host, "localhost") == 0 ? "127.0.0.1" : url->host;
    struct timeval limit = {.tv_sec = seconds};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

/* Sends the request. A server that answers before all of it was sent may close: that is not an
 * error here. */
static bool
send_request(int fd, const struct plain_url *url, const struct plain_request *request)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length); /* one packet, if it fits into one */
    if (out == NULL) return false;
    fprintf(out, "%s %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\nConnection: close\r\n",
            request->method, url->path, url->host, url->port);
    for (size_t i = 0; i < request->header_count; i++)
        fprintf(out, "%s\r\n", request->headers[i]);
    if (request->body != NULL) fprintf(out, "Content-Length: %zu\r\n", request->body_length);
    fputs("\r\n", out);
    if (request->body != NULL) fwrite(request->body, 1, request->body_length, out);
    if (fclose(out) != 0) return false;
    for (size_t sent = 0; sent < length;) {
        ssize_t count = send(fd, text + sent, length - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += (size_t)count;
    }
    free(text);
    return true;
}

/* Reads all until the other side closes, and adds a 0; NULL: errno has the reason. */
static char *
receive_all(int fd, size_t *ret_length)
{
    size_t length = 0, size = RECEIVE_BYTES;
    char *all = malloc(size + 1);
    while (all != NULL) {
        ssize_t got = recv(fd, all + length, size - length, 0);
        bool is_reset = got < 0 && errno == ECONNRESET && length > 0;
        if (got < 0 && !is_reset) break;
        if (got == 0 || is_reset) {
            all[length] = 0;
            *ret_length = length;
            return all;
        }
        length += (size_t)got;
        if (length < size) continue;
        size *= 2;
        char *grown = realloc(all, size + 1);
        if (grown == NULL) break;
        all = grown;
    }
    int cause = errno;
    free(all);
    errno = cause;
    return NULL;
}

/* Joins the chunks; returns false if the last one is missing. */
static bool
join_chunks(char *body, size_t *length)
{
    const char *from = body, *end = body + *length;
    char *to = body;
    for (;;) {
        char *digits_end;
        unsigned long long chunk = strtoull(from, &digits_end, 16);
        const char *line_end = strstr(from, "\r\n");
        if (digits_end == from || line_end == NULL) return false;
        from = line_end + 2;
        if (chunk == 0) break;
        if (chunk > (size_t)(end - from)) return false;
        memmove(to, from, chunk);
        to += chunk;
        from += chunk + 2;
        if (from > end) return false;
    }
    *to = 0;
    *length = (size_t)(to - body);
    return true;
}

/* Splits `all` into head and body; returns false if the answer is not whole. */
static bool
take_apart(char *all, size_t size, bool has_body, struct plain_answer *answer)
{
    char *end = strstr(all, "\r\n\r\n");
    answer->head = all;
    if (end == NULL || sscanf(all, "HTTP/1.%*d %d", &answer->status) != 1) return false;
    answer->body = end + 4;
    answer->head_length = (size_t)(answer->body - all);
    answer->length = size - answer->head_length;
    if (!has_body) return true;
    bool is_chunked = false;
    for (const char *line = strstr(all, "\r\n") + 2; line < end + 2;
         line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "Content-Length:", 15) == 0 &&
            strtoull(line + 15, NULL, 10) != answer->length)
            return false;
        if (strncasecmp(line, "Transfer-Encoding: chunked", 26) == 0) is_chunked = true;
    }
    return !is_chunked || join_chunks(answer->body, &answer->length);
}

bool
plain_http(const struct plain_url *url, const struct plain_request *request, int seconds,
           struct plain_answer *ret_answer, char error[PLAIN_ERROR_SIZE])
{
    *ret_answer = (struct plain_answer){0};
    int fd = connect_to(url, seconds);
    if (fd < 0) {
        snprintf(error, PLAIN_ERROR_SIZE, "cannot connect to %s:%d: %s", url->host, url->port,
                 strerror(errno));
        return false;
    }
    size_t size = 0;
    char *all = send_request(fd, url, request) ? receive_all(fd, &size) : NULL;
    if (all == NULL)
        snprintf(error, PLAIN_ERROR_SIZE, "%s:%d does not answer: %s", url->host, url->port,
                 strerror(errno));
    close(fd);
    if (all == NULL) return false;
    if (take_apart(all, size, strcmp(request->method, "HEAD") != 0, ret_answer)) return true;
    snprintf(error, PLAIN_ERROR_SIZE, "%s:%d gives no whole answer", url->host, url->port);
    plain_answer_fini(ret_answer);
    return false;
}

void
plain_answer_fini(struct plain_answer *answer)
{
    free(answer->head);
    *answer = (struct plain_answer){0};
}
