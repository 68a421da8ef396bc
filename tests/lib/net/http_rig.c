/*
 * http_rig.c - see http_rig.h.
 *
 * Handlers either answer at once, or hand the request to the test (/later), to the echo thread
 * (/elsewhere, /overtaken) or to the stream thread (/stream). The rig's mutex guards these hand-
 * overs. The clock counts how often the server's watch thread looks at it, so that
 * http_rig_advance() can wait until the thread has acted on the new time.
 */
#include "lib/net/http_rig.h"

#include <gnutls/gnutls.h>

#include "lib/net/certificates.h"
#include "net/http_private.h"
#include "net/tls.h"

/* --- the rig: a server, its routes, and requests kept for later ------------------------------- */

unsigned
http_number_argument(const struct http_request *request, const char *name)
{
    const char *text = http_argument(request, name);
    return text == NULL ? 0 : (unsigned)strtoul(text, NULL, 10);
}

static void
handle_text(void *context, struct http_request *request)
{
    (void)context;
    http_reply_text(request, 200, "hello");
}

static void
reply_echo(struct http_request *request)
{
    http_reply(request, &(struct http_answer){
                            .status = 200,
                            .content_type = "application/octet-stream",
                            .body = http_body(request),
                        });
}

static void
handle_echo(void *context, struct http_request *request)
{
    (void)context;
    reply_echo(request);
}

static void
handle_views(void *context, struct http_request *request)
{
    (void)context;
    const char *header = http_header(request, "x-tEsT");
    uint32_t at = 0;
    const char *first = http_argument_next(request, "match[]", &at);
    const char *second = http_argument_next(request, "match[]", &at);
    const char *third = http_argument_next(request, "match[]", &at);
    const char *flag = http_argument(request, "flag");
    const char *wrong = http_query_wrong(request);
    http_reply_text(request, 200, "%d|%s|%s|%s|%s|%s|%s|%s|%.9s|%s", (int)http_method(request),
                    http_path(request), header == NULL ? "-" : header, first == NULL ? "-" : first,
                    second == NULL ? "-" : second, third == NULL ? "-" : third,
                    flag == NULL ? "-" : flag,
                    http_argument(request, "absent") == NULL ? "none" : "some", http_peer(request),
                    wrong == NULL ? "-" : wrong);
}

static void
handle_sent(void *context, struct http_request *request)
{
    (void)context;
    const char *sent = http_path_sent(request);
    http_reply_text(request, 200, "%s|%s", http_path(request), sent == NULL ? "-" : sent);
}

/* Answers with "0123456789012..." of ?size bytes, of type ?type or text. */
static void
handle_blob(void *context, struct http_request *request)
{
    (void)context;
    size_t size = http_number_argument(request, "size");
    const char *type = http_argument(request, "type");
    bool is_gzip = http_argument(request, "gzip") != NULL;
    uint8_t *body = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)('0' + i % 10);
    struct buf file;
    if (is_gzip) assert_true(http_gzip(NULL, bytes_of(body, size), &file));
    http_reply(request, &(struct http_answer){
                            .status = 200,
                            .content_type = type == NULL ? "text/plain" : type,
                            .is_gzip = is_gzip,
                            .body = is_gzip ? buf_bytes(&file) : bytes_of(body, size),
                            .headers = {{"X-One", "1"}, {"X-Two", "2"}},
                        });
    if (is_gzip) buf_fini(&file);
    free(body);
}

static void
handle_later(void *context, struct http_request *request)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    rig->held[rig->held_count++] = request;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

/* Answers with the method, and with headers that any answer would have. */
static void
handle_also(void *context, struct http_request *request)
{
    (void)context;
    const char *origin = http_header(request, "Origin");
    http_answer_also(request, "X-Also", "1");
    http_answer_also(request, "X-Origin", origin == NULL ? "" : origin);
    http_reply_text(request, 200, "%d", (int)http_method(request));
}

/* Holds its worker, which a handler must not do, until the test lets go. */
static void
handle_block(void *context, struct http_request *request)
{
    struct http_rig *rig = context;
    handle_later(rig, request);
    pthread_mutex_lock(&rig->mutex);
    while (!rig->released)
        pthread_cond_wait(&rig->changed, &rig->mutex);
    pthread_mutex_unlock(&rig->mutex);
}

/* Another thread answers the request before this handler returns. */
static void
handle_overtaken(void *context, struct http_request *request)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    rig->to_echo[rig->to_echo_count++] = request;
    pthread_cond_broadcast(&rig->changed);
    while (rig->to_echo_count > 0)
        pthread_cond_wait(&rig->changed, &rig->mutex);
    pthread_mutex_unlock(&rig->mutex);
}

static void
handle_elsewhere(void *context, struct http_request *request)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    rig->to_echo[rig->to_echo_count++] = request;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

static void *
run_echoer(void *context)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    while (!rig->stopping) {
        if (rig->to_echo_count == 0) {
            pthread_cond_wait(&rig->changed, &rig->mutex);
            continue;
        }
        struct http_request *request = rig->to_echo[rig->to_echo_count - 1];
        pthread_mutex_unlock(&rig->mutex);
        reply_echo(request);
        pthread_mutex_lock(&rig->mutex);
        /* Requests that came meanwhile lie above it. */
        unsigned at = 0;
        while (rig->to_echo[at] != request)
            at++;
        rig->to_echo[at] = rig->to_echo[--rig->to_echo_count];
        pthread_cond_broadcast(&rig->changed);
    }
    pthread_mutex_unlock(&rig->mutex);
    return NULL;
}

static void
handle_stream(void *context, struct http_request *request)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    assert_null(rig->to_stream);
    rig->to_stream = request;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

/* Sends ?size bytes in pieces of ?piece; ?known announces the size; ?cut ends early. */
static void
stream_one(struct http_rig *rig, struct http_request *request)
{
    uint64_t size = http_number_argument(request, "size");
    size_t piece = http_number_argument(request, "piece");
    uint64_t length = http_argument(request, "known") == NULL ? UINT64_MAX : size;
    bool complete = http_argument(request, "cut") == NULL;
    const struct http_answer answer = {.status = 200, .content_type = "text/x-stream"};
    uint8_t bytes[5000];
    uint64_t written = 0;
    enum err e = http_stream_begin(request, &answer, length, NULL);
    if (e) {
        http_reply_text(request, 503, "%s", err_word(e));
    } else {
        while (e == OK && written < (complete ? size : size / 2)) {
            if (piece > size - written) piece = (size_t)(size - written);
            for (size_t i = 0; i < piece; i++)
                bytes[i] = (uint8_t)('0' + (written + i) % 10);
            e = http_stream_write(request, bytes_of(bytes, piece), NULL);
            if (e == OK) written += piece;
        }
        http_stream_end(request, complete && e == OK);
    }
    pthread_mutex_lock(&rig->mutex);
    rig->stream_error = e;
    rig->stream_written = written;
    rig->stream_complete = complete && e == OK;
    rig->stream_done = true;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

static void *
run_streamer(void *context)
{
    struct http_rig *rig = context;
    pthread_mutex_lock(&rig->mutex);
    while (!rig->stopping) {
        struct http_request *request = rig->to_stream;
        rig->to_stream = NULL;
        if (request == NULL) {
            pthread_cond_wait(&rig->changed, &rig->mutex);
            continue;
        }
        pthread_mutex_unlock(&rig->mutex);
        stream_one(rig, request);
        pthread_mutex_lock(&rig->mutex);
    }
    pthread_mutex_unlock(&rig->mutex);
    return NULL;
}

static struct timespec
wait_limit(void)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += WAIT_S;
    return at;
}

enum err
http_rig_wait_stream(struct http_rig *rig)
{
    struct timespec at = wait_limit();
    pthread_mutex_lock(&rig->mutex);
    while (!rig->stream_done)
        assert_int_equal(pthread_cond_timedwait(&rig->changed, &rig->mutex, &at), 0);
    rig->stream_done = false;
    enum err e = rig->stream_error;
    pthread_mutex_unlock(&rig->mutex);
    return e;
}

struct http_request *
http_rig_take_held(struct http_rig *rig)
{
    struct timespec at = wait_limit();
    pthread_mutex_lock(&rig->mutex);
    while (rig->held_count == 0)
        assert_int_equal(pthread_cond_timedwait(&rig->changed, &rig->mutex, &at), 0);
    struct http_request *request = rig->held[0];
    memmove(rig->held, rig->held + 1, --rig->held_count * sizeof *rig->held);
    pthread_mutex_unlock(&rig->mutex);
    return request;
}

static struct {
    const char *priority; /* NULL: clear text */
    struct tls *server;
    gnutls_certificate_credentials_t client;
} rig_tls;

void
http_rig_use_tls(const char *priority)
{
    if (rig_tls.priority != NULL) {
        tls_release(rig_tls.server);
        gnutls_certificate_free_credentials(rig_tls.client);
        rig_tls.server = NULL;
    }
    rig_tls.priority = priority;
    if (priority == NULL) return;
    struct certificate ca = certificate_ca("CA");
    struct certificate own = certificate_issue(&ca, "server", (struct certificate_kind){NULL});
    struct tls_server_settings settings = {.given = true,
                                           .cert = own.cert,
                                           .key = own.key,
                                           .client_auth = TLS_CLIENT_VERIFY_IF_GIVEN,
                                           .client_ca = ca.cert,
                                           .min_version = TLS_VERSION_12,
                                           .max_version = TLS_VERSION_13};
    gnutls_datum_t trusted = {(unsigned char *)ca.cert, (unsigned)strlen(ca.cert)};
    assert_int_equal(tls_new(&settings, NULL, &rig_tls.server, NULL), OK);
    assert_int_equal(gnutls_certificate_allocate_credentials(&rig_tls.client), 0);
    assert_int_equal(
        gnutls_certificate_set_x509_trust_mem(rig_tls.client, &trusted, GNUTLS_X509_FMT_PEM), 1);
    struct certificate_kind kind = {"rig.test", true, HTTP_RIG_CERTIFICATE_S};
    struct certificate client = certificate_issue(&ca, "client", kind);
    gnutls_datum_t cert = {(unsigned char *)client.cert, (unsigned)strlen(client.cert)};
    gnutls_datum_t key = {(unsigned char *)client.key, (unsigned)strlen(client.key)};
    assert_true(
        gnutls_certificate_set_x509_key_mem(rig_tls.client, &cert, &key, GNUTLS_X509_FMT_PEM) >= 0);
    certificate_free(&client);
    certificate_free(&own);
    certificate_free(&ca);
}

bool
http_rig_has_tls(void)
{
    return rig_tls.priority != NULL;
}

struct http_options
http_rig_options(void)
{
    static struct http_place loopback = {.name = "loopback", .host = "127.0.0.1"};
    loopback.tls = rig_tls.server;
    return (struct http_options){
        .places = &loopback,
        .place_count = 1,
        .workers = 2,
        .connections_max = 1024,
        .header_bytes_max = 8192,
        .body_bytes_max = BODY_MAX,
        .header_timeout_ns = 60 * NS_PER_S,
        .body_timeout_ns = 60 * NS_PER_S,
        .idle_timeout_ns = 300 * NS_PER_S,
        .send_timeout_ns = 30 * NS_PER_S,
        .stream_buffer_bytes = 64 * 1024,
    };
}

enum err
http_rig_start_server(struct http_rig *rig, struct http_options options)
{
    struct http_route routes[] = {
        {.path = "/text", .methods = HTTP_GET | HTTP_PUT, .handler = handle_text},
        {.path = "/echo", .methods = HTTP_POST | HTTP_PUT, .handler = handle_echo},
        {.path = "/views*", .methods = HTTP_GET | HTTP_DELETE, .handler = handle_views},
        {.path = "/views", .methods = HTTP_POST, .handler = handle_echo},
        {.path = "/sent*", .methods = HTTP_GET, .handler = handle_sent},
        {.path = "/blob", .methods = HTTP_GET, .handler = handle_blob},
        {.path = "/json", .methods = HTTP_GET, .handler = handle_text, .errors_in_json = true},
        {.path = "/later",
         .methods = HTTP_GET | HTTP_POST,
         .handler = handle_later,
         .context = rig},
        {.path = "/overtaken", .methods = HTTP_POST, .handler = handle_overtaken, .context = rig},
        {.path = "/elsewhere", .methods = HTTP_POST, .handler = handle_elsewhere, .context = rig},
        {.path = "/block", .methods = HTTP_GET, .handler = handle_block, .context = rig},
        {.path = "/stream", .methods = HTTP_GET, .handler = handle_stream, .context = rig},
        {.path = "/also/one", .methods = HTTP_GET | HTTP_OPTIONS, .handler = handle_also},
        {.path = "/also/*", .methods = HTTP_OPTIONS, .handler = handle_also},
        {.path = "/small", .methods = HTTP_POST, .handler = handle_echo, .body_bytes_max = 100},
        {.path = "/snappy",
         .methods = HTTP_POST,
         .handler = handle_echo,
         .encodings = "zstd snappy"},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        bool is_blob = strcmp(routes[i].path, "/blob") == 0;
        routes[i].access = is_blob                        ? HTTP_RIG_OPEN
                           : routes[i].methods & HTTP_GET ? HTTP_RIG_READ
                                                          : HTTP_RIG_WRITE;
    }
    options.env = rig->env;
    options.budget = &rig->budget;
    assert_true(sizeof routes <= sizeof rig->routes);
    memcpy(rig->routes, routes, sizeof routes);
    options.routes = rig->routes;
    options.route_count = sizeof routes / sizeof *routes;
    return http_server_start(&options, &rig->server, NULL);
}

_Atomic int64_t http_rig_clock_ns;     /* 0: the real clock */
static _Atomic unsigned clock_watched; /* counts reads of the clock by the watch thread */

static int64_t
http_rig_clock(struct env *env)
{
    char name[16] = "";
    (void)env;
    if (http_rig_clock_ns == 0) return env_monotonic_ns(env_real());
    int64_t now = http_rig_clock_ns;
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strcmp(name, "http-watch") == 0) clock_watched++;
    return now;
}

void
http_rig_advance(struct http_rig *rig, int64_t by_ns)
{
    struct http_stats stats = {.connections_now = 1};
    http_rig_clock_ns += by_ns;
    unsigned seen = clock_watched;
    for (int ms = 0; clock_watched - seen < 5 && stats.connections_now > 0; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
        http_server_stats(rig->server, &stats);
    }
}

struct http_rig *
http_rig_new(struct http_options options)
{
    struct http_rig *rig = calloc(1, sizeof *rig);
    rig->ops = *env_real()->ops;
    rig->ops.monotonic_ns = http_rig_clock;
    rig->own_env.ops = &rig->ops;
    rig->env = &rig->own_env;
    budget_init(&rig->budget, "http", 0, NULL);
    pthread_mutex_init(&rig->mutex, NULL);
    pthread_cond_init(&rig->changed, NULL);
    assert_int_equal(pthread_create(&rig->echoer, NULL, run_echoer, rig), 0);
    assert_int_equal(pthread_create(&rig->streamer, NULL, run_streamer, rig), 0);
    assert_int_equal(http_rig_start_server(rig, options), OK);
    return rig;
}

void
http_rig_wait_idle(struct http_rig *rig)
{
    for (int ms = 0; http_server_busy(rig->server) > 0; ms++) {
        assert_true(ms < WAIT_S * 1000);
        poll(NULL, 0, 1);
    }
}

void
http_rig_free(struct http_rig *rig)
{
    http_rig_wait_idle(rig);
    http_server_free(rig->server);
    pthread_mutex_lock(&rig->mutex);
    rig->stopping = true;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
    pthread_join(rig->echoer, NULL);
    pthread_join(rig->streamer, NULL);
    pthread_mutex_destroy(&rig->mutex);
    pthread_cond_destroy(&rig->changed);
    assert_int_equal(budget_used(&rig->budget), 0);
    free(rig);
    http_rig_clock_ns = 0;
}

/* --- the client ------------------------------------------------------------------------------- */

/* The server may end the connection instead. */
static void
begin_tls(struct client *client)
{
    assert_int_equal(gnutls_init(&client->tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(client->tls, rig_tls.priority, NULL), 0);
    assert_int_equal(gnutls_credentials_set(client->tls, GNUTLS_CRD_CERTIFICATE, rig_tls.client),
                     0);
    gnutls_session_set_verify_cert(client->tls, "localhost", 0);
    gnutls_transport_set_int(client->tls, client->fd);
    gnutls_handshake_set_timeout(client->tls, WAIT_S * 1000);
    (void)!gnutls_handshake(client->tls);
}

struct client
client_connect_to(uint16_t port, int receive_bytes)
{
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(client.fd >= 0);
    if (receive_bytes > 0)
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    struct timeval limit = {.tv_sec = WAIT_S};
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int on = 1;
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (connect(client.fd, (struct sockaddr *)&to, sizeof to) < 0) {
        close(client.fd);
        client.fd = -1;
    } else {
        client.bytes = malloc(CLIENT_BYTES);
        if (rig_tls.priority != NULL) begin_tls(&client);
    }
    return client;
}

struct client
client_connect_buffered(struct http_rig *rig, int receive_bytes)
{
    return client_connect_to(http_server_port(rig->server), receive_bytes);
}

struct client
client_connect(struct http_rig *rig)
{
    struct client client = client_connect_buffered(rig, 0);
    assert_true(client.fd >= 0);
    return client;
}

void
client_close(struct client *client)
{
    if (client->tls != NULL) gnutls_deinit(client->tls);
    if (client->fd >= 0) close(client->fd);
    free(client->bytes);
    *client = (struct client){.fd = -1};
}

bool
client_send_bytes(struct client *client, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = client->tls != NULL ? gnutls_record_send(client->tls, at, size)
                                           : send(client->fd, at, size, MSG_NOSIGNAL);
        if (sent < 0) return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool
client_send(struct client *client, const char *text)
{
    return client_send_bytes(client, text, strlen(text));
}

bool
client_read_more(struct client *client)
{
    ssize_t got;
    char *to = client->bytes + client->size;
    size_t room = CLIENT_BYTES - client->size;
    assert_true(room > 0);
    do {
        errno = 0;
        got = client->tls != NULL ? gnutls_record_recv(client->tls, to, room)
                                  : recv(client->fd, to, room, 0);
    } while (client->tls != NULL && got == GNUTLS_E_AGAIN && errno == 0); /* a ticket came */
    if (got < 0 && errno == EAGAIN) fail_msg("no answer within %d s", WAIT_S);
    client->reset = got < 0;
    client->ended = got <= 0;
    if (got > 0) client->size += (size_t)got;
    return got > 0;
}

static void
client_consume(struct client *client, size_t size)
{
    memmove(client->bytes, client->bytes + size, client->size - size);
    client->size -= size;
}

const char *
response_header(const struct response *response, const char *name)
{
    static char value[512];
    size_t name_size = strlen(name);
    for (const char *line = response->header; line != NULL && *line != '\0';) {
        if (strncasecmp(line, name, name_size) == 0 && line[name_size] == ':') {
            const char *at = line + name_size + 1;
            at += strspn(at, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
            return value;
        }
        line = strstr(line, "\r\n");
        if (line != NULL) line += 2;
    }
    return NULL;
}

static void
body_add(struct response *response, const char *bytes, size_t size)
{
    response->body = realloc(response->body, response->body_size + size + 1);
    memcpy(response->body + response->body_size, bytes, size);
    response->body_size += size;
    response->body[response->body_size] = '\0';
}

bool
client_have(struct client *client, size_t size)
{
    while (client->size < size)
        if (!client_read_more(client)) return false;
    return true;
}

size_t
client_line(struct client *client)
{
    for (;;) {
        char *end = memmem(client->bytes, client->size, "\r\n", 2);
        if (end != NULL) return (size_t)(end - client->bytes) + 2;
        if (!client_read_more(client)) return 0;
    }
}

static void
read_chunks(struct client *client, struct response *response)
{
    for (;;) {
        size_t line = client_line(client);
        if (line == 0) return;
        size_t size = strtoul(client->bytes, NULL, 16);
        client_consume(client, line);
        if (!client_have(client, size + 2)) return;
        body_add(response, client->bytes, size);
        client_consume(client, size + 2);
        if (size == 0) {
            response->whole = true;
            return;
        }
    }
}

static void
read_counted(struct client *client, struct response *response, size_t size)
{
    while (size > 0) {
        if (client->size == 0 && !client_read_more(client)) return;
        size_t part = client->size < size ? client->size : size;
        body_add(response, client->bytes, part);
        client_consume(client, part);
        size -= part;
    }
    response->whole = true;
}

struct response
client_response(struct client *client, bool head)
{
    struct response response = {0};
    body_add(&response, "", 0);
    char *end;
    while ((end = memmem(client->bytes, client->size, "\r\n\r\n", 4)) == NULL)
        if (!client_read_more(client)) return response;
    size_t size = (size_t)(end - client->bytes) + 4;
    assert_true(size < sizeof response.header);
    memcpy(response.header, client->bytes, size);
    client_consume(client, size);
    assert_int_equal(sscanf(response.header, "HTTP/1.1 %d ", &response.status), 1);
    const char *sniffed = response_header(&response, "X-Content-Type-Options");
    if (response.status >= 200 && (sniffed == NULL || strcmp(sniffed, "nosniff") != 0))
        fail_msg("browsers may guess the type: %s", response.header);
    const char *length = response_header(&response, "Content-Length");
    if (head || response.status < 200 || response.status == 204) {
        response.whole = true;
    } else if (length != NULL) {
        read_counted(client, &response, strtoul(length, NULL, 10));
    } else if (response_header(&response, "Transfer-Encoding") != NULL) {
        read_chunks(client, &response);
    } else {
        read_counted(client, &response, SIZE_MAX);
        response.whole = !client->reset;
    }
    return response;
}

void
response_free(struct response *response)
{
    free(response->body);
    *response = (struct response){0};
}

void
client_expect(struct client *client, int status, const char *body)
{
    struct response response = client_response(client, false);
    assert_int_equal(response.status, status);
    if (body != NULL) assert_string_equal(response.body, body);
    response_free(&response);
}

void
client_expect_end(struct client *client)
{
    while (client_read_more(client)) {
    }
    assert_true(client->ended);
}

void
http_rig_expect_works(struct http_rig *rig)
{
    struct client client = client_connect(rig);
    client_send(&client, "GET /text" HTTP_11 "\r\n");
    client_expect(&client, 200, "hello");
    client_close(&client);
}

struct http_stats
http_rig_stats(struct http_rig *rig)
{
    struct http_stats stats;
    http_server_stats(rig->server, &stats);
    return stats;
}
