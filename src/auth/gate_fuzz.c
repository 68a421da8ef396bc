/*
 * gate_fuzz.c - sends any bytes on a connection to a real HTTP server with a gate and users, in
 * clear text or, after a first byte 't', to a place with TLS. A handler is never called for a
 * request that its user may not send; what is answered begins as HTTP does, and a 401 has a
 * challenge. An assertion of the server ends the program.
 *
 * The server listens on sockets without a name, and lives as long as the program. The client sends
 * everything, ends its side, and reads to the end.
 */
#include "auth/gate.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/net/certificates.h"
#include "lib/texts.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 64 * 1024, ANSWER_BYTES_MAX = 1 << 20, WAIT_MS = 60000 };

/* SHA-256 of "abc"; bcrypt of "secret", cost 4. */
#define ABC    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SECRET "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

static struct user_settings settings[] = {
    {.name = "reader", .password = SECRET, .permissions = PERMISSION_READ, .tenants = TEXTS("t")},
    {.name = "writer", .tokens = TEXTS(ABC), .permissions = PERMISSION_WRITE},
};

static struct budget memory;
static struct sockaddr_un addresses[2]; /* clear text, TLS */
static socklen_t address_sizes[2];

/* --- the server ------------------------------------------------------------------------------- */

static void
handle(void *context, struct http_request *request)
{
    unsigned access = http_access(request, 0);
    const struct user *user = gate_user(request);
    (void)context;
    assert(access != 0);
    if (access != ACCESS_OPEN && http_method(request) != HTTP_OPTIONS) {
        assert(user != NULL);
        assert(access == ACCESS_KNOWN || (user->permissions & access) != 0);
    }
    http_reply(request, &(struct http_answer){.status = 200,
                                              .content_type = "text/plain",
                                              .body = http_body(request)});
}

/* Returns a socket that listens at an address that the kernel chooses. */
static int
listen_anywhere(size_t index)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failed = bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family);
    assert(failed == 0);
    failed = listen(fd, 64);
    assert(failed == 0);
    address_sizes[index] = sizeof addresses[index];
    failed = getsockname(fd, (struct sockaddr *)&addresses[index], &address_sizes[index]);
    assert(failed == 0);
    return fd;
}

static struct tls *
make_tls(void)
{
    struct tls *tls = NULL;
    struct certificate ca = certificate_ca("CA");
    struct certificate own = certificate_issue(&ca, "server", (struct certificate_kind){NULL});
    struct tls_server_settings s = {.given = true,
                                    .cert = own.cert,
                                    .key = own.key,
                                    .client_ca = ca.cert,
                                    .client_auth = TLS_CLIENT_VERIFY_IF_GIVEN,
                                    .min_version = TLS_VERSION_12,
                                    .max_version = TLS_VERSION_13};
    enum err e = tls_new(&s, NULL, &tls, NULL);
    assert(e == OK);
    certificate_free(&own);
    certificate_free(&ca);
    return tls;
}

static void
start(void)
{
    static const struct http_route routes[] = {
        {"/open", HTTP_GET, 0, handle, NULL, NULL, false, ACCESS_OPEN},
        {"/known", HTTP_GET, 0, handle, NULL, NULL, false, ACCESS_KNOWN},
        {"/read*", HTTP_GET | HTTP_POST, 0, handle, NULL, NULL, true, ACCESS_READ},
        {"/write", HTTP_POST, 1000, handle, NULL, "snappy", false, ACCESS_WRITE},
        {"/metrics", HTTP_GET | HTTP_OPTIONS, 0, handle, NULL, NULL, false, ACCESS_METRICS},
    };
    struct http_place places[] = {{.name = "clear", .socket = listen_anywhere(0)},
                                  {.name = "tls", .socket = listen_anywhere(1), .tls = make_tls()}};
    struct http_options options = {
        .env = env_real(),
        .places = places,
        .place_count = 2,
        .workers = 2,
        .connections_max = 1000,
        .header_bytes_max = 8192,
        .body_bytes_max = 32 * 1024,
        .header_timeout_ns = 60 * NS_PER_S,
        .body_timeout_ns = 60 * NS_PER_S,
        .idle_timeout_ns = 60 * NS_PER_S,
        .send_timeout_ns = 60 * NS_PER_S,
        .stream_buffer_bytes = 64 * 1024,
        .budget = &memory,
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
    };
    static struct gate *gate;
    static struct http_server *server;
    struct user_list list = {settings, sizeof settings / sizeof *settings};
    struct users *users = NULL;
    log_to_fd(-1);
    budget_init(&memory, "fuzz", 0, NULL);
    enum err e = gate_new(env_real(), &memory, &gate, NULL);
    assert(e == OK);
    e = users_new(&list, NULL, &memory, &users, NULL);
    assert(e == OK);
    gate_set_users(gate, users);
    options.gate = gate_of_server(gate);
    e = http_server_start(&options, &server, NULL);
    assert(e == OK);
}

/* --- the client ------------------------------------------------------------------------------- */

/* Sends all, while it reads what is answered. Returns the size of the answers; their end is the end
 * of the connection. */
static size_t
exchange(int fd, struct bytes request, char *answers)
{
    size_t size = 0;
    bool ends = false;
    for (;;) {
        struct pollfd event = {fd, (short)(POLLIN | (request.size > 0 ? POLLOUT : 0)), 0};
        if (request.size == 0 && !ends) {
            ends = true;
            (void)shutdown(fd, SHUT_WR);
        }
        int count;
        do {
            count = poll(&event, 1, WAIT_MS);
        } while (count < 0 && errno == EINTR); /* by the fuzzer's timer */
        assert(count == 1); /* else a request was not answered, and its connection not closed */
        if (event.revents & POLLOUT) {
            ssize_t sent = send(fd, request.at, request.size, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0) request.size = 0; /* the server has closed */
            if (sent > 0) request = bytes_of(request.at + sent, request.size - (size_t)sent);
        }
        if ((event.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
        ssize_t got = recv(fd, answers + size, ANSWER_BYTES_MAX - size, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return size;
        if (got > 0) size += (size_t)got;
        assert(size < ANSWER_BYTES_MAX);
    }
}

/* Checks the first answer: where others begin depends on the requests. */
static void
check_answer(const char *answers, size_t size)
{
    static const char begin[] = "HTTP/1.1 ", challenge[] = "\r\nWWW-Authenticate: Basic ",
                      page_challenge[] = "\r\nWWW-Authenticate: Session ";
    if (size == 0) return;
    assert(size > sizeof begin + 3 && memcmp(answers, begin, sizeof begin - 1) == 0);
    const char *end = memmem(answers, size, "\r\n\r\n", 4);
    assert(end != NULL);
    size_t head_size = (size_t)(end - answers);
    bool has_challenge =
        memmem(answers, head_size, challenge, sizeof challenge - 1) != NULL ||
        memmem(answers, head_size, page_challenge, sizeof page_challenge - 1) != NULL;
    bool is_401 = memcmp(answers + sizeof begin - 1, "401", 3) == 0;
    assert(is_401 == has_challenge);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answers[ANSWER_BYTES_MAX];
    if (address_sizes[0] == 0) start();
    if (size == 0 || size > INPUT_BYTES_MAX) return 0;
    size_t index = data[0] == 't';
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = connect(fd, (const struct sockaddr *)&addresses[index], address_sizes[index]);
    assert(failed == 0);
    size_t got = exchange(fd, bytes_of(data + index, size - index), answers);
    if (index == 0) check_answer(answers, got);
    close(fd);
    return 0;
}
