/*
 * http_rig.h - a real HTTP server with routes for tests, and a client. For tests.
 *
 * The client is a socket and a buffer, so that it can send anything. All waiting is for events (an
 * answer, the end of a connection, a request that a handler holds) and fails the test after WAIT_S.
 */
#ifndef LIB_NET_HTTP_RIG_H
#define LIB_NET_HTTP_RIG_H

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
#include <zstd.h>

#include "base/lock.h"
#include "base/log.h"
#include "net/http_server.h"

enum { WAIT_S = 100, HELD_MAX = 600, BODY_MAX = 100 * 1000, CLIENT_BYTES = 1 << 20 };

/* --- the rig: a server, its routes, and requests kept for later ------------------------------- */

struct http_rig {
    struct env *env; /* the real one, except for its clock: see http_rig_advance() */
    struct env own_env;
    struct env_ops ops;
    struct budget budget;
    struct http_server *server;
    struct http_route routes[24];

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct http_request *held[HELD_MAX];
    unsigned held_count;
    bool stopping;
    bool released; /* ends the requests of /block */
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

/* Returns an argument as a number, 0 if it is missing. */
unsigned http_number_argument(const struct http_request *request, const char *name);

/* Waits until the answer of /stream has ended; returns its error. */
enum err http_rig_wait_stream(struct http_rig *rig);

/* Waits for the oldest request that /later holds and returns it; the test answers it. */
struct http_request *http_rig_take_held(struct http_rig *rig);

/* `access` of the routes: READ if they have GET, WRITE if not, OPEN for /blob. */
enum { HTTP_RIG_WRITE = 1, HTTP_RIG_READ = 2, HTTP_RIG_OPEN = 512 };

/* Returns generous options, which a test changes. */
struct http_options http_rig_options(void);

/* Gives later options TLS; clients that connect use it with these priorities ("NORMAL"), and a
 * certificate that lasts from this call on. NULL: clear text. */
enum { HTTP_RIG_CERTIFICATE_S = 3600 };
void http_rig_use_tls(const char *priority);
bool http_rig_has_tls(void);

/* TLS in a version; a client of 1.2 has received all of the handshake when that has ended. */
#define TLS_1_2 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS_1_3 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* Starts the server again, on a rig whose server the test has freed. */
enum err http_rig_start_server(struct http_rig *rig, struct http_options options);

/* The monotonic clock. 0: the real one; else only http_rig_advance() moves it. */
extern _Atomic int64_t http_rig_clock_ns;

/* Moves the clock on, and waits until the watch thread has done what is due if there are
 * connections. */
void http_rig_advance(struct http_rig *rig, int64_t by_ns);

/* Starts a server with its routes; waits until no request is with a handler; stops it. */
struct http_rig *http_rig_new(struct http_options options);
void http_rig_wait_idle(struct http_rig *rig);
void http_rig_free(struct http_rig *rig);

/* --- the client ------------------------------------------------------------------------------- */

/* The end of a request line, with the header that HTTP/1.1 requires. */
#define HTTP_11 " HTTP/1.1\r\nHost: x\r\n"

struct client {
    int fd;
    char *bytes; /* received and not consumed */
    size_t size;
    bool ended;
    bool reset;                     /* by an error, not an orderly end */
    struct gnutls_session_int *tls; /* NULL: clear text */
};

struct response {
    int status;
    char header[4096];
    char *body;
    size_t body_size;
    bool whole; /* the body ended as announced */
};

/* Connects; `fd` is -1 if the port refuses. `receive_bytes` sets the socket's buffer unless it is
 * 0. */
struct client client_connect_to(uint16_t port, int receive_bytes);

struct client client_connect_buffered(struct http_rig *rig, int receive_bytes);
struct client client_connect(struct http_rig *rig);
void client_close(struct client *client);

/* Send; read what has arrived into client->bytes. False if the server has closed. */
bool client_send_bytes(struct client *client, const void *bytes, size_t size);
bool client_send(struct client *client, const char *text);
bool client_read_more(struct client *client);

/* Returns the value of a header, a view until the next call, or NULL. */
const char *response_header(const struct response *response, const char *name);

/* Reads until there are `size` bytes. False if the connection ends before. */
bool client_have(struct client *client, size_t size);

/* Returns the size of the next line with its end; 0 if the connection ends before. */
size_t client_line(struct client *client);

/* Reads an answer, which must say nosniff; its status is 0 if the connection ended before. With
 * `head` it has no body. */
struct response client_response(struct client *client, bool head);

void response_free(struct response *response);

/* Read an answer and check it; read to the orderly end of the connection. */
void client_expect(struct client *client, int status, const char *body);
void client_expect_end(struct client *client);

/* Checks that a new connection is served. */
void http_rig_expect_works(struct http_rig *rig);

struct http_stats http_rig_stats(struct http_rig *rig);

#endif
