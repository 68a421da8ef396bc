/*
 * http_calls.c - libcurl's multi interface.
 *
 * A transfer is an easy handle with its call and its answer. It keeps its handle for the next call;
 * connections belong to the multi handle, which reuses them for any transfer.
 *
 *   IDLE --http_calls_start()--> PENDING --http_calls_poll()--> DONE --http_calls_done()--> SHOWN
 *    ^                              |                            |                            |
 *    +---- http_calls_give_up() ----+----------------------------+-- next http_calls_done() --+
 *
 * Invariants:
 *
 * 1. A transfer is in the list of its state, or in `shown`, and nowhere else.
 * 2. The multi handle has the easy handles of PENDING transfers, and no others.
 * 3. `count` is the number of PENDING transfers, `idle_count` of IDLE ones, at most IDLE_MAX.
 * 4. An IDLE transfer has neither headers nor a body: they may hold secrets.
 * 5. The body of an answer is a view of its transfer while that is SHOWN.
 * 6. `body` is at most as long as its call allows.
 * 7. After http_calls_reset_given_up(), `sockets` has the descriptors that libcurl has open.
 *
 * A stream that has no room pauses its transfer: libcurl reads nothing more from its connection, so
 * that the sender has to wait.
 *
 * libcurl looks up names by getaddrinfo(), each on its own thread, which cannot be interrupted:
 * with name servers that do not answer it takes 10 s or more. Without CURLOPT_QUICK_EXIT libcurl
 * waits for that thread when the call times out or is given up, and all other calls wait, too. With
 * it the thread ends by itself.
 *
 * Only http and https are allowed; redirects are not followed (a POST must not turn into a GET),
 * and answers are uncompressed. If a body is longer than its call allows, its beginning is kept,
 * and the rest is read and dropped up to a limit, so that the connection can be used again.
 */
#include "net/http_calls.h"

#include <assert.h>
#include <curl/curl.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "net/http_answer.h"

enum {
    ANSWER_BYTES_MAX = 64 << 20,
    CUT_BYTES_MAX = 16 << 20,
    IDLE_MAX = 8,
    STREAM_PIECE_BYTES = 64 * 1024, /* largest piece of a stream */
};

enum transfer_state { TRANSFER_IDLE, TRANSFER_PENDING, TRANSFER_DONE, TRANSFER_SHOWN };

struct transfer {
    struct transfer *next;
    enum transfer_state state;
    struct http_calls *calls;
    CURL *curl;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    struct http_call call;
    struct http_call_answer answer;
    struct buf body;
    struct bytes sending; /* rest of the piece of the call's body that is being sent */
    char error[CURL_ERROR_SIZE];
    CURLcode code;
    char retry_after[48]; /* as it was sent: it may be a date, and come before the Date header */
    bool headers_whole;   /* the empty line after them has come */
    bool streams;         /* the body goes to the call's stream */
    uint64_t cut_bytes;   /* bytes of the body that were dropped */
    bool endless;         /* cut_bytes exceeded its limit */
};

struct http_calls {
    struct env *env;
    struct budget *budget;
    CURLM *multi;
    char user_agent[80];
    uint32_t count;
    struct transfer *pending; /* lists */
    struct transfer *done;
    struct transfer *idle;
    uint32_t idle_count;
    struct transfer *shown; /* NULL, or the transfer whose answer the caller has */
    bool resets;            /* http_calls_reset_given_up(); the rest is for that */
    bool gives_up;          /* connections that are closed now are reset */
    int *sockets;           /* descriptors of all connections */
    uint32_t socket_count, socket_capacity;
};

static void
transfer_enter(struct transfer *t, enum transfer_state from, enum transfer_state to)
{
    assert(t->state == from); /* invariant 1 */
    t->state = to;
}

/* Asserts the invariants of the lists. O(n): in debug builds only. */
static void
calls_validate(const struct http_calls *calls)
{
#ifdef LOCK_CHECK
    uint32_t pending = 0, idle = 0;
    for (const struct transfer *t = calls->pending; t != NULL; t = t->next, pending++)
        assert(t->state == TRANSFER_PENDING); /* invariant 1 */
    for (const struct transfer *t = calls->done; t != NULL; t = t->next)
        assert(t->state == TRANSFER_DONE); /* invariant 1 */
    for (const struct transfer *t = calls->idle; t != NULL; t = t->next, idle++) {
        assert(t->state == TRANSFER_IDLE);                   /* invariant 1 */
        assert(t->headers == NULL && t->body.capacity == 0); /* invariant 4 */
    }
    assert(calls->shown == NULL || calls->shown->state == TRANSFER_SHOWN); /* invariant 1 */
    assert(calls->count == pending);                                       /* invariant 3 */
    assert(calls->idle_count == idle);                                     /* invariant 3 */
#else
    (void)calls;
#endif
}

/* Headers hold secrets. */
static void
lines_free(struct curl_slist *lines)
{
    for (struct curl_slist *line = lines; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(lines);
}

static void
transfer_free(struct transfer *t)
{
    if (t == NULL) return;
    if (t->curl != NULL) curl_easy_cleanup(t->curl);
    lines_free(t->headers);
    curl_slist_free_all(t->connect_to);
    buf_fini(&t->body);
    mem_free(NULL, t, sizeof *t);
}

static void
list_free(struct transfer *list)
{
    while (list != NULL) {
        struct transfer *next = list->next;
        transfer_free(list);
        list = next;
    }
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_is_there; /* written once, before any thread looks */

static void
library_init(void)
{
    library_is_there = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum err
http_calls_new(struct env *env, struct budget *budget, const char *user_agent,
               struct http_calls **ret_calls, struct why *why)
{
    struct http_calls *calls = mem_new(NULL, sizeof *calls);
    if (calls != NULL) {
        calls->env = env;
        calls->budget = budget;
        snprintf(calls->user_agent, sizeof calls->user_agent, "%s", user_agent);
        pthread_once(&library_once, library_init);
        if (library_is_there) calls->multi = curl_multi_init();
    }
    if (calls == NULL || calls->multi == NULL) {
        http_calls_free(calls);
        return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    }
    *ret_calls = calls;
    return OK;
}

void
http_calls_free(struct http_calls *calls)
{
    if (calls == NULL) return;
    for (struct transfer *t = calls->pending; t != NULL; t = t->next) {
        assert(t->state == TRANSFER_PENDING); /* invariant 1 */
        curl_multi_remove_handle(calls->multi, t->curl);
    }
    list_free(calls->pending);
    list_free(calls->done);
    list_free(calls->idle);
    transfer_free(calls->shown);
    if (calls->multi != NULL) curl_multi_cleanup(calls->multi);
    array_free(NULL, calls->sockets, calls->socket_capacity);
    mem_free(NULL, calls, sizeof *calls);
}

/* --- callbacks -------------------------------------------------------------------------------- */

static size_t
on_body(char *data, size_t item, size_t count, void *context)
{
    struct transfer *t = context;
    assert(t->state == TRANSFER_PENDING);
    assert(t->body.size <= t->call.answer_bytes_max); /* invariant 6 */
    size_t size = item * count, room = t->call.answer_bytes_max - t->body.size;
    if (t->streams) {
        bool taken = t->call.stream->take(t->call.context, bytes_of((const uint8_t *)data, size));
        return taken ? size : CURL_WRITEFUNC_PAUSE;
    }
    size_t kept = size < room ? size : room;
    t->answer.body_cut |= kept < size;
    buf_put(&t->body, data, kept);
    t->cut_bytes += size - kept;
    t->endless = t->cut_bytes > CUT_BYTES_MAX;
    return buf_error(&t->body) == OK && !t->endless ? size : 0;
}

/* Begins the stream of a final answer: a 100 is skipped, and the headers of a proxy do not come. */
static void
begin_stream(struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->call.stream == NULL || status < 200) return;
    t->streams = status < 300;
    t->answer.status = (unsigned)status;
    t->call.stream->begun(t->call.context, &t->answer);
}

static size_t
on_header(char *line, size_t item, size_t count, void *context)
{
    struct transfer *t = context;
    struct http_call_answer *a = &t->answer;
    size_t size = item * count;
    char value[HTTP_CALLS_WANTED_BYTES];
    if (size > 5 && memcmp(line, "HTTP/", 5) == 0) {
        /* A new status line begins a new answer, after a 100. */
        memset(a->wanted, 0, sizeof a->wanted);
        a->date_s = 0;
        t->retry_after[0] = '\0';
        t->headers_whole = false;
    }
    (void)http_header_value(line, size, "Retry-After", t->retry_after, sizeof t->retry_after);
    if (http_header_value(line, size, "Date", value, sizeof value)) {
        int64_t date = curl_getdate(value, NULL);
        if (date > 0) a->date_s = date;
    }
    for (unsigned i = 0; t->call.wanted != NULL && t->call.wanted[i] != NULL; i++)
        (void)http_header_value(line, size, t->call.wanted[i], a->wanted[i], sizeof a->wanted[i]);
    if ((line[0] == '\r' || line[0] == '\n') && !t->headers_whole) {
        t->headers_whole = true;
        /* Compares a date with the server's clock, which may differ from ours. */
        int64_t now_s = a->date_s != 0 ? a->date_s : env_realtime_ms(t->calls->env) / 1000;
        a->retry_after_ns = http_retry_after_ns(t->retry_after, now_s);
        begin_stream(t);
    }
    return size;
}

/* False: not enough memory; the list is as before. */
static bool
append_line(struct curl_slist **list, const char *text)
{
    struct curl_slist *more = curl_slist_append(*list, text);
    if (more != NULL) *list = more;
    return more != NULL;
}

static size_t
on_send(char *to, size_t item, size_t count, void *context)
{
    struct transfer *t = context;
    const struct http_call_pieces *pieces = t->call.pieces;
    size_t room = item * count;
    if (t->sending.size == 0 && pieces->next(pieces->context, &t->sending) != OK)
        return CURL_READFUNC_ABORT;
    size_t size = t->sending.size < room ? t->sending.size : room;
    if (size == 0) return 0;
    memcpy(to, t->sending.at, size);
    t->sending = bytes_of(t->sending.at + size, t->sending.size - size);
    return size;
}

static int
on_trailers(struct curl_slist **list, void *context)
{
    struct transfer *t = context;
    const struct http_call_pieces *pieces = t->call.pieces;
    bool fine = true;
    for (const char *const *line = pieces->trailers(pieces->context); fine && *line != NULL; line++)
        fine = append_line(list, *line);
    return fine ? CURL_TRAILERFUNC_OK : CURL_TRAILERFUNC_ABORT;
}

/* --- connections ------------------------------------------------------------------------------ */

static curl_socket_t
on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_calls *calls = context;
    (void)purpose;
    if (!array_reserve(NULL, &calls->sockets, &calls->socket_capacity, calls->socket_count + 1))
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    calls->sockets[calls->socket_count++] = fd;
    return fd;
}

/* Closes a connection. A reset discards what the kernel has not sent. */
static int
on_close(void *context, curl_socket_t fd)
{
    struct http_calls *calls = context;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uint32_t i = 0;
    while (i < calls->socket_count && calls->sockets[i] != fd)
        i++;
    assert(i < calls->socket_count); /* invariant 7 */
    calls->sockets[i] = calls->sockets[--calls->socket_count];
    if (calls->gives_up) (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return close(fd);
}

void
http_calls_reset_given_up(struct http_calls *calls)
{
    assert(calls->count == 0);
    calls->resets = true;
}

void
http_calls_renew(struct http_calls *calls)
{
    for (uint32_t i = 0; i < calls->socket_count; i++)
        (void)shutdown(calls->sockets[i], SHUT_RDWR); /* libcurl sees it before it uses one again */
}

/* --- targets ---------------------------------------------------------------------------------- */

/* libcurl with GnuTLS does not read the variable. */
int64_t
http_time_ms(const char *text)
{
    int64_t s = curl_getdate(text, NULL);
    return s < 0 ? INT64_MIN : s * 1000;
}

const char *
http_calls_ca_file(const char *configured)
{
    const char *path = configured != NULL ? configured : getenv("SSL_CERT_FILE");
    return path == NULL || path[0] == '\0' ? NULL : path;
}

/* Returns libcurl's number of a version; shifted left by 16 bits it sets the greatest version. */
static long
tls_version(const char *name)
{
    static const struct {
        const char *name;
        long number;
    } versions[] = {{"TLS10", CURL_SSLVERSION_TLSv1_0},
                    {"TLS11", CURL_SSLVERSION_TLSv1_1},
                    {"TLS12", CURL_SSLVERSION_TLSv1_2},
                    {"TLS13", CURL_SSLVERSION_TLSv1_3}};
    for (size_t i = 0; name != NULL && i < sizeof versions / sizeof *versions; i++)
        if (strcmp(name, versions[i].name) == 0) return versions[i].number;
    return CURL_SSLVERSION_DEFAULT;
}

/* Returns the path that libcurl gets for a file that it opens. It would wait for a pipe, and all
 * transfers of the thread with it, so for a pipe this is a path that cannot be opened. The error
 * names the configured path: describe_tls_error(). */
static const char *
file_or_error(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) ? "/dev/null/not-a-file" : path;
}

/* Sets TLS, proxy, socket and timeouts. */
static void
apply_target(CURL *curl, const struct http_calls_target *target)
{
    if (target->proxy_url != NULL) {
        const char *no_proxy = target->no_proxy == NULL ? "" : target->no_proxy;
        curl_easy_setopt(curl, CURLOPT_PROXY, target->proxy_url);
        curl_easy_setopt(curl, CURLOPT_NOPROXY, no_proxy); /* not that of the environment */
    }
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target->unix_path);
    if (target->ca_file != NULL) { /* nothing else is trusted: Debian's libcurl has a CAPATH, too */
        const char *ca_file = file_or_error(target->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_PROXY_CAPATH, NULL);
    }
    if (target->cert_file != NULL)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, file_or_error(target->cert_file));
    if (target->key_file != NULL)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, file_or_error(target->key_file));
    long versions = tls_version(target->min_version) | tls_version(target->max_version) << 16;
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, versions);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, target->insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, target->insecure ? 0L : 2L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)target->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
}

/* libcurl checks a certificate against the URL's host, and has no option for another name. So the
 * URL gets the expected name, and the connection and the Host header get the host of the URL. */
static bool
set_url(struct transfer *t)
{
    char text[1024], *host = NULL, *port = NULL, *url = NULL;
    const char *name = t->call.target->server_name, *whole = t->call.url;
    bool tls = strncasecmp(whole, "https", 5) == 0;
    if (name == NULL || !tls) return curl_easy_setopt(t->curl, CURLOPT_URL, whole) == CURLE_OK;
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, whole, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK;
    if (ok) {
        snprintf(text, sizeof text, "%s:%s:%s:%s", name, port, host, port);
        ok = append_line(&t->connect_to, text);
        bool usual = strcmp(port, "443") == 0; /* Host leaves out the usual port */
        snprintf(text, sizeof text, usual ? "Host: %s" : "Host: %s:%s", host, port);
        ok = ok && append_line(&t->headers, text);
    }
    ok = ok && curl_easy_setopt(t->curl, CURLOPT_CONNECT_TO, t->connect_to) == CURLE_OK &&
         curl_easy_setopt(t->curl, CURLOPT_URL, url) == CURLE_OK;
    curl_free(host);
    curl_free(port);
    curl_free(url);
    curl_url_cleanup(u);
    return ok;
}

/* --- a call begins ---------------------------------------------------------------------------- */

static struct transfer *
transfer_take(struct http_calls *calls)
{
    struct transfer *t = calls->idle;
    if (t != NULL) {
        assert(calls->idle_count > 0);     /* invariant 3 */
        assert(t->state == TRANSFER_IDLE); /* invariant 1 */
        calls->idle = t->next;
        calls->idle_count--;
        return t;
    }
    t = mem_new(NULL, sizeof *t);
    if (t == NULL) return NULL;
    t->calls = calls;
    t->curl = curl_easy_init();
    if (t->curl == NULL) {
        transfer_free(t);
        return NULL;
    }
    buf_init_secret(&t->body, calls->budget, ANSWER_BYTES_MAX); /* it may be a token */
    return t;
}

static bool
set_headers(struct transfer *t)
{
    bool ok = append_line(&t->headers, "Expect:"); /* no waiting for a "100 Continue" */
    if (t->call.pieces != NULL) ok = ok && append_line(&t->headers, "Transfer-Encoding: chunked");
    for (const char *const *h = t->call.headers; ok && h != NULL && *h != NULL; h++)
        ok = append_line(&t->headers, *h);
    /* A proxy that is asked for a connection does not see them. */
    curl_easy_setopt(t->curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    return ok && curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
}

static void
set_method(struct transfer *t)
{
    CURL *curl = t->curl;
    const struct http_call *call = &t->call;
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (call->pieces != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_TRAILERFUNCTION, on_trailers);
        curl_easy_setopt(curl, CURLOPT_TRAILERDATA, t);
    } else if (call->body.size > 0 || strcmp(call->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                         call->body.size > 0 ? (const char *)call->body.at : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
    }
    if (strcmp(call->method, "HEAD") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

static bool
set_all(struct transfer *t)
{
    CURL *curl = t->curl;
    curl_easy_reset(curl); /* connections stay with the multi handle */
    curl_easy_setopt(curl, CURLOPT_PRIVATE, t);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L); /* finds a server that has vanished */
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* does not wait for name lookups: see above */
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, t->calls->user_agent);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    if (t->call.stream != NULL) {
        curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)STREAM_PIECE_BYTES);
    }
    if (t->calls->resets) {
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t->calls);
        curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close);
        curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, t->calls);
        curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    }
    apply_target(curl, t->call.target);
    set_method(t);
    return set_url(t) && set_headers(t);
}

enum err
http_calls_start(struct http_calls *calls, const struct http_call *call, struct why *why)
{
    unsigned wanted = 0;
    while (call->wanted != NULL && call->wanted[wanted] != NULL)
        wanted++;
    if (wanted > HTTP_CALLS_WANTED_MAX)
        return why_set(why, ERR_INPUT, "too many headers of the response are requested");
    struct transfer *t = transfer_take(calls);
    if (t == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP request");
    assert(t->headers == NULL);    /* invariant 4 */
    assert(t->connect_to == NULL); /* invariant 4 */
    t->call = *call;
    t->answer = (struct http_call_answer){.context = call->context};
    t->error[0] = '\0';
    t->retry_after[0] = '\0';
    t->headers_whole = false;
    t->streams = false;
    t->cut_bytes = 0;
    t->endless = false;
    t->sending = bytes_of(NULL, 0);
    buf_clear(&t->body);
    if (t->call.answer_bytes_max > ANSWER_BYTES_MAX) t->call.answer_bytes_max = ANSWER_BYTES_MAX;
    if (!set_all(t) || curl_multi_add_handle(calls->multi, t->curl) != CURLM_OK) {
        transfer_free(t);
        return why_set(why, ERR_NOMEM, "not enough memory for an HTTP request");
    }
    transfer_enter(t, TRANSFER_IDLE, TRANSFER_PENDING);
    t->next = calls->pending;
    calls->pending = t;
    calls->count++;
    return OK;
}

/* --- and ends --------------------------------------------------------------------------------- */

static enum http_call_failure
failure_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return HTTP_CALL_ANSWERED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HTTP_CALL_BAD_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return HTTP_CALL_RESOLVE;
    case CURLE_COULDNT_CONNECT:
        return HTTP_CALL_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        return HTTP_CALL_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_CALL_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR: /* no memory for its body */
        return HTTP_CALL_NO_MEMORY;
    default:
        return HTTP_CALL_BROKEN;
    }
}

void
http_calls_poll(struct http_calls *calls, int wait_ms)
{
    http_calls_poll_also(calls, NULL, 0, wait_ms);
}

static void
calls_wait(struct http_calls *calls, struct pollfd *also, uint32_t count, int wait_ms)
{
    struct curl_waitfd fds[HTTP_CALLS_ALSO_MAX];
    assert(count <= HTTP_CALLS_ALSO_MAX);
    for (uint32_t i = 0; i < count; i++) {
        bool reads = (also[i].events & POLLIN) != 0, writes = (also[i].events & POLLOUT) != 0;
        fds[i] = (struct curl_waitfd){
            .fd = also[i].fd,
            .events = (short)((reads ? CURL_WAIT_POLLIN : 0) | (writes ? CURL_WAIT_POLLOUT : 0)),
        };
        also[i].revents = 0;
    }
    curl_multi_poll(calls->multi, fds, count, wait_ms, NULL);
    for (uint32_t i = 0; i < count; i++) {
        if ((fds[i].revents & CURL_WAIT_POLLIN) != 0) also[i].revents |= POLLIN;
        if ((fds[i].revents & CURL_WAIT_POLLOUT) != 0) also[i].revents |= POLLOUT;
    }
}

void
http_calls_poll_also(struct http_calls *calls, struct pollfd *also, uint32_t count, int wait_ms)
{
    bool has_done = calls->done != NULL;
    if (!has_done || count > 0) calls_wait(calls, also, count, has_done ? 0 : wait_ms);
    http_calls_go_on(calls);
}

void
http_calls_wait(struct http_calls *calls, int wait_ms)
{
    if (calls->done == NULL) calls_wait(calls, NULL, 0, wait_ms);
}

void
http_calls_go_on(struct http_calls *calls)
{
    int running, left;
    CURLMsg *message;
    curl_multi_perform(calls->multi, &running);
    while ((message = curl_multi_info_read(calls->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) continue;
        struct transfer *t = NULL, **at = &calls->pending;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        assert(t->curl == message->easy_handle);         /* invariant 2 */
        curl_multi_remove_handle(calls->multi, t->curl); /* frees the message */
        while (*at != t) {
            assert(*at != NULL); /* invariant 1 */
            at = &(*at)->next;
        }
        *at = t->next;
        assert(calls->count > 0); /* invariant 3 */
        calls->count--;
        transfer_enter(t, TRANSFER_PENDING, TRANSFER_DONE);
        t->code = code;
        t->next = calls->done;
        calls->done = t;
    }
    calls_validate(calls);
}

/* Makes a transfer IDLE that has left its list. */
static void
give_back(struct http_calls *calls, struct transfer *t)
{
    assert(t->state != TRANSFER_IDLE);
    assert(calls->idle_count <= IDLE_MAX); /* invariant 3 */
    lines_free(t->headers);
    curl_slist_free_all(t->connect_to);
    t->headers = t->connect_to = NULL;
    if (calls->idle_count == IDLE_MAX) {
        transfer_free(t);
        return;
    }
    buf_fini(&t->body);
    t->state = TRANSFER_IDLE;
    t->next = calls->idle;
    calls->idle = t;
    calls->idle_count++;
}

/* Describes why a certificate is not trusted. libcurl keeps GnuTLS' finding and does not say it. */
static void
describe_untrusted(struct transfer *t)
{
    static const struct {
        unsigned bit;
        const char *text;
    } findings[] = {
        {GNUTLS_CERT_REVOKED, "it, or one above it, was revoked"},
        {GNUTLS_CERT_NOT_ACTIVATED, "it, or one above it, is not valid yet"},
        {GNUTLS_CERT_EXPIRED, "it, or one above it, has expired"},
        {GNUTLS_CERT_SIGNER_NOT_FOUND, "its issuer is not among the trusted authorities"},
        {GNUTLS_CERT_INSECURE_ALGORITHM, "it, or one above it, has an insecure algorithm"},
    };
    const char *ca_file = t->call.target->ca_file;
    long found = 0;
    curl_easy_getinfo(t->curl, CURLINFO_SSL_VERIFYRESULT, &found);
    for (size_t i = 0; i < sizeof findings / sizeof *findings; i++) {
        if (((unsigned long)found & findings[i].bit) == 0) continue;
        snprintf(t->error, sizeof t->error,
                 "the server's certificate is not trusted: %s (ca_file %s)", findings[i].text,
                 ca_file == NULL ? "not set" : ca_file);
        return;
    }
}

/* Describes an error of TLS with the files that caused it, which libcurl does not name. */
static void
describe_tls_error(struct transfer *t)
{
    const struct http_calls_target *target = t->call.target;
    if (strstr(t->error, gnutls_strerror(GNUTLS_E_UNEXPECTED_PACKET)) != NULL) {
        t->answer.failure = HTTP_CALL_NO_TLS;
        snprintf(t->error, sizeof t->error,
                 "the server does not speak TLS at this address; use http:// instead of https://");
    } else if (t->code == CURLE_SSL_CACERT_BADFILE && target->ca_file != NULL) {
        snprintf(t->error, sizeof t->error, "cannot read certificates from ca_file %s",
                 target->ca_file);
    } else if (strstr(t->error, "error reading X.509") != NULL && target->cert_file != NULL) {
        snprintf(t->error, sizeof t->error,
                 "cannot read cert_file %s and key_file %s, or they do not belong together",
                 target->cert_file, target->key_file == NULL ? "(not set)" : target->key_file);
    } else if (t->code == CURLE_PEER_FAILED_VERIFICATION &&
               strstr(t->error, "verification failed") != NULL) {
        describe_untrusted(t);
    }
}

static void
mask_text(const struct transfer *t, uint8_t *text, size_t size)
{
    const struct http_calls_target *target = t->call.target;
    for (const struct curl_slist *line = t->headers; line != NULL; line = line->next)
        http_mask_echo(text, size, line->data);
    if (target != NULL) http_mask_proxy(text, size, target->proxy_url);
}

void
http_calls_mask(const struct http_calls *calls, char *text)
{
    if (calls->shown != NULL) mask_text(calls->shown, (uint8_t *)text, strlen(text));
}

void
http_call_mask_form(char *text, struct bytes form)
{
    http_mask_form((uint8_t *)text, strlen(text), form);
}

void
http_calls_mask_answer(struct http_calls *calls, struct http_call_answer *answer)
{
    struct transfer *t = calls->shown;
    assert(t != NULL && answer->context == t->answer.context);
    mask_text(t, t->body.at, t->body.size);
    for (unsigned i = 0; i < HTTP_CALLS_WANTED_MAX; i++)
        http_calls_mask(calls, answer->wanted[i]);
}

bool
http_calls_done(struct http_calls *calls, struct http_call_answer *ret)
{
    if (calls->shown != NULL) give_back(calls, calls->shown); /* invariant 5 */
    struct transfer *t = calls->shown = calls->done;
    if (t == NULL) return false;
    calls->done = t->next;
    transfer_enter(t, TRANSFER_DONE, TRANSFER_SHOWN);
    long status = 0, port = 0, number = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_OS_ERRNO, &number);
    curl_easy_getinfo(t->curl, CURLINFO_PRIMARY_PORT, &port);
    t->answer.failure = failure_of(t->code);
    describe_tls_error(t);
    /* Adds the system's error to libcurl's message that it could not connect. */
    const char *text = strerrordesc_np((int)number);
    size_t size = strlen(t->error);
    if (t->code == CURLE_COULDNT_CONNECT && number != 0 && text != NULL)
        snprintf(t->error + size, sizeof t->error - size, ": %s", text);
    if (t->code == CURLE_UNSUPPORTED_PROTOCOL && port > 0) { /* libcurl 8 has -1 where 7 has 0 */
        t->answer.failure = HTTP_CALL_BROKEN;                /* the URL is fine */
        snprintf(t->error, sizeof t->error, "the response is not HTTP");
    }
    /* To libcurl an answer that ends among its headers is an answer without a body. */
    if (t->answer.failure == HTTP_CALL_ANSWERED && !t->headers_whole) {
        t->answer.failure = HTTP_CALL_BROKEN;
        snprintf(t->error, sizeof t->error,
                 "the connection was closed before the end of the response");
    }
    if (t->endless) {
        t->answer.failure = HTTP_CALL_BROKEN;
        snprintf(t->error, sizeof t->error, "the response is too large");
    }
    if (t->answer.failure == HTTP_CALL_ANSWERED) {
        t->answer.status = (unsigned)status;
        /* The lines that were sent: the caller may have changed its own since. */
        for (const struct curl_slist *line = t->headers; line != NULL; line = line->next)
            if (status >= 300) http_mask_token(t->body.at, t->body.size, line->data);
        t->answer.body = buf_bytes(&t->body);
    } else {
        /* libcurl's message repeats a proxy's URL that it cannot parse, password included. */
        bool fine = t->error[0] != '\0' && strchr(t->error, '@') == NULL;
        snprintf(t->answer.error, sizeof t->answer.error, "%s",
                 fine ? t->error : curl_easy_strerror(t->code));
        status = 0; /* from here on, the status with which a proxy refused to connect */
        bool may_be = t->code != CURLE_OK && t->code != CURLE_OPERATION_TIMEDOUT;
        if (may_be) curl_easy_getinfo(t->curl, CURLINFO_HTTP_CONNECTCODE, &status);
        t->answer.proxy_status = status >= 300 ? (unsigned)status : 0;
        if (t->answer.proxy_status != 0) t->answer.failure = HTTP_CALL_PROXY;
    }
    *ret = t->answer;
    return true;
}

void
http_calls_resume(struct http_calls *calls, const void *context)
{
    for (struct transfer *t = calls->pending; t != NULL; t = t->next)
        if (t->call.context == context) curl_easy_pause(t->curl, CURLPAUSE_CONT);
}

void
http_calls_give_up(struct http_calls *calls, const void *context)
{
    struct transfer **at = &calls->pending, *t;
    while ((t = *at) != NULL) {
        if (t->call.context != context) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        assert(calls->count > 0); /* invariant 3 */
        calls->count--;
        calls->gives_up = calls->resets;
        curl_multi_remove_handle(calls->multi, t->curl);
        calls->gives_up = false;
        give_back(calls, t);
    }
    for (at = &calls->done; (t = *at) != NULL;) { /* its answer is not wanted any more */
        if (t->call.context != context) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        give_back(calls, t);
    }
}

uint32_t
http_calls_count(const struct http_calls *calls)
{
    return calls->count;
}

uint64_t
http_calls_moved(const struct http_calls *calls)
{
    uint64_t bytes = 0;
    for (const struct transfer *t = calls->pending; t != NULL; t = t->next) {
        curl_off_t up = 0, down = 0;
        curl_easy_getinfo(t->curl, CURLINFO_SIZE_UPLOAD_T, &up);
        curl_easy_getinfo(t->curl, CURLINFO_SIZE_DOWNLOAD_T, &down);
        bytes += (uint64_t)up + (uint64_t)down;
    }
    return bytes;
}

void
http_calls_wake(struct http_calls *calls)
{
    curl_multi_wakeup(calls->multi);
}
