/*
 * http_rig.h - for the tests of the HTTP server: a server with routes, and a client.
 *
 * The client is a socket and a buffer, so that tests can be as rude as they like. Waiting is for
 * events: an answer, the end of a connection, a request in the hands of a handler. What never comes
 * fails the test after WAIT_S.
 */
#ifndef LIB_HTTP_RIG_H
#define LIB_HTTP_RIG_H

#include "lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/lock.h"
#include "base/log.h"
#include "net/http_server.h"

enum { WAIT_S = 10, HELD_MAX = 600, BODY_MAX = 100 * 1000, CLIENT_BYTES = 1 << 20 };

/* --- the rig: a server, its routes, and requests kept for later ------------------------------- */

struct http_rig {
    struct env *env; /* the real one, but for its clock: see rig_advance() */
    struct env own_env;
    struct env_ops ops;
    struct budget budget;
    struct http_server *server;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct http_request *held[HELD_MAX];
    unsigned held_count;
    bool stopping;
    bool released; /* for those who block */
    enum err stream_error;
    uint64_t stream_written;
    bool stream_done;
    bool stream_complete;

    pthread_t echoer;
    pthread_t streamer;
    struct http_request *to_echo[HELD_MAX];
    unsigned to_echo_count;
    struct http_request *to_stream;
};

unsigned http_number_argument(const struct http_request *request, const char *name);

enum err http_rig_wait_stream(struct http_rig *rig);

/* The next request that /later keeps, oldest first. */
struct http_request *http_rig_take_held(struct http_rig *rig);

struct http_options http_rig_options(void);

enum err http_rig_start_server(struct http_rig *rig, struct http_options options);

/* The monotonic clock stands still but for rig_advance(), where a test asks for that. */
extern _Atomic int64_t http_rig_clock_ns; /* 0: it is the real one */

/* So much later, when the watch thread has seen that and done what is due: it looks at its clock
 * twice in each round, and has no rounds without connections. */
void http_rig_advance(struct http_rig *rig, int64_t by_ns);

struct http_rig *http_rig_new(struct http_options options);

void http_rig_wait_idle(struct http_rig *rig);

void http_rig_free(struct http_rig *rig);

/* --- the client ------------------------------------------------------------------------------- */

/* The end of a request line, with the header that HTTP/1.1 requires. */
#define HTTP_11 " HTTP/1.1\r\nHost: x\r\n"

struct client {
    int fd;
    char *bytes; /* read and not consumed yet */
    size_t size;
    bool ended;
    bool reset; /* by an error, not an orderly end */
};

struct response {
    int status;
    char header[4096];
    char *body;
    size_t body_size;
    bool whole; /* the body ended as announced */
};

/* `receive_bytes` 0: as the kernel likes. `fd` is -1 when nobody listens. */
struct client client_connect_to(uint16_t port, int receive_bytes);

struct client client_connect_buffered(struct http_rig *rig, int receive_bytes);

struct client client_connect(struct http_rig *rig);

void client_close(struct client *client);

/* False when the server has closed. */
bool client_send_bytes(struct client *client, const void *bytes, size_t size);

bool client_send(struct client *client, const char *text);

bool client_read_more(struct client *client);

/* The value of a header, or NULL; valid until the next call. */
const char *response_header(const struct response *response, const char *name);

bool client_have(struct client *client, size_t size);

/* The size of the next line with its end, 0 when there is none. */
size_t client_line(struct client *client);

/* `status` 0 when the connection ended before. `head`: no body follows. */
struct response client_response(struct client *client, bool head);

void response_free(struct response *response);

/* Reads one answer and checks it. */
void client_expect(struct client *client, int status, const char *body);

void client_expect_end(struct client *client);

void http_rig_expect_works(struct http_rig *rig);

struct http_stats http_rig_stats(struct http_rig *rig);

#endif
