/* http_player.c - see http_player.h. */
#include "lib/net/http_player.h"

static bool
wait_readable(const struct player *p, int fd)
{
    while (!atomic_load(&p->over)) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        if (poll(&polled, 1, 20) == 1) return true;
    }
    return false;
}

/* Reads the headers and a body of the length that they announce, or in chunks. */
static void
read_request(struct player *p, int fd)
{
    size_t size = 0;
    for (;;) {
        if (!wait_readable(p, fd)) return;
        ssize_t got = read(fd, p->seen + size, sizeof p->seen - 1 - size);
        if (got <= 0) return;
        size += (size_t)got;
        p->seen[size] = '\0';
        atomic_store_explicit(&p->seen_bytes, size, memory_order_release);
        const char *end = strstr(p->seen, "\r\n\r\n");
        const char *length = strstr(p->seen, "Content-Length: ");
        size_t body = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
        if (strstr(p->seen, "Transfer-Encoding: chunked") != NULL) {
            const char *last = memmem(p->seen, size, "\r\n0\r\n", 5);
            size_t left = last == NULL ? 0 : (size_t)(p->seen + size - last) - 3;
            if (last == NULL || memmem(last + 3, left, "\r\n\r\n", 4) == NULL) continue;
        }
        if (end != NULL && size >= (size_t)(end + 4 - p->seen) + body) return;
    }
}

static void *
play(void *context)
{
    struct player *p = context;
    for (unsigned i = 0; i < p->count; i++) {
        if (!wait_readable(p, p->listener)) return NULL;
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0) return NULL;
        read_request(p, fd);
        const char *answer = p->answers[i];
        if (answer != NULL && answer[0] == '\0') {
            (void)wait_readable(p, fd); /* until the client gives up */
        } else if (answer != NULL) {
            ssize_t put = send(fd, answer, p->sizes[i], MSG_NOSIGNAL);
            (void)put;
            if (atomic_load(&p->holds)) (void)wait_readable(p, fd);
        }
        close(fd);
    }
    return NULL;
}

void
player_start_sized(struct player *p, unsigned count, const char *const *answers,
                   const size_t *sizes)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    memset(p, 0, sizeof *p);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
    snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u/path", ntohs(at.sin_port));
    p->count = count;
    for (unsigned i = 0; i < count; i++) {
        p->answers[i] = answers[i];
        p->sizes[i] = sizes != NULL ? sizes[i] : answers[i] == NULL ? 0 : strlen(answers[i]);
    }
    assert_int_equal(pthread_create(&p->thread, NULL, play, p), 0);
}

void
player_start(struct player *p, unsigned count, const char *const *answers)
{
    player_start_sized(p, count, answers, NULL);
}

void
player_stop(struct player *p)
{
    atomic_store(&p->over, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
}
