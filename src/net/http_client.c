/*
 * http_client.c - libcurl's easy interface; what is ours is what to repeat and when.
 *
 * Only http and https, no redirects (a POST must not turn into a GET), no proxy but the one the
 * environment names, answers uncompressed. A transfer that idles is found by the progress callback,
 * which libcurl calls about once a second at least; the same callback sees `stop`.
 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_answer.h"

enum { HEADER_BYTES_MAX = 512, PAUSE_STEP_MS = 50 };

#define PAUSE_FIRST_NS (200 * NS_PER_MS)
#define PAUSE_MAX_NS   (10 * NS_PER_S)
#define ASKED_MAX_NS   (60 * NS_PER_S)

struct http_client {
    struct http_client_options options;
    CURL *curl;
    char error[CURL_ERROR_SIZE];

    /* Of the attempt at hand. */
    const struct http_client_request *request;
    struct http_client_answer *answer;
    struct why *why;
    enum err take_error;
    bool taken;       /* a piece was handed on */
    size_t text_size; /* in answer->text */
    int64_t asked_ns; /* Retry-After */
    int64_t moved_ns; /* when a byte moved last */
    curl_off_t moved_bytes;
    bool idle;
};

/* --- callbacks -------------------------------------------------------------------------------- */

static void
keep_text(struct http_client *c, const char *data, size_t size)
{
    for (size_t i = 0; i < size && c->text_size + 1 < HTTP_CLIENT_TEXT_BYTES; i++) {
        uint8_t byte = (uint8_t)data[i];
        c->answer->text[c->text_size++] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    c->answer->text[c->text_size] = '\0';
}

static size_t
on_body(char *data, size_t item, size_t count, void *context)
{
    struct http_client *c = context;
    size_t size = item * count;
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (c->request->take == NULL || status < 200 || status > 299) {
        keep_text(c, data, size);
        return size;
    }
    c->taken = true;
    c->take_error = c->request->take(c->request->context, bytes_of(data, size), c->why);
    return c->take_error ? 0 : size;
}

static size_t
on_header(char *line, size_t item, size_t count, void *context)
{
    struct http_client *c = context;
    size_t size = item * count;
    char value[HEADER_BYTES_MAX];
    if (http_header_value(line, size, "Retry-After", value, sizeof value)) {
        int64_t ns = http_retry_after_ns(value, env_realtime_ms(c->options.env) / 1000);
        c->asked_ns = ns < ASKED_MAX_NS ? ns : ASKED_MAX_NS;
    }
    for (struct http_client_header *h = c->answer->wanted; h != NULL && h->name != NULL; h++) {
        (void)http_header_value(line, size, h->name, h->value, sizeof h->value);
    }
    return size;
}

static bool
is_stopped(const struct http_client *c)
{
    return c->options.stop != NULL && atomic_load_explicit(c->options.stop, memory_order_relaxed);
}

static int
on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
            curl_off_t up)
{
    struct http_client *c = context;
    int64_t now = env_monotonic_ns(c->options.env);
    (void)down_total;
    (void)up_total;
    if (down + up != c->moved_bytes) {
        c->moved_bytes = down + up;
        c->moved_ns = now;
    }
    c->idle = c->options.idle_timeout_ns != 0 && now - c->moved_ns > c->options.idle_timeout_ns;
    return c->idle || is_stopped(c);
}

/* --- a client --------------------------------------------------------------------------------- */

static long
milliseconds(int64_t ns)
{
    return (long)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void
set_up(struct http_client *c)
{
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, c->options.user_agent);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS,
                     milliseconds(c->options.connect_timeout_ns));
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, milliseconds(c->options.request_timeout_ns));
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
}

enum err
http_client_new(const struct http_client_options *options, struct http_client **ret_client,
                struct why *why)
{
    struct http_client *c = mem_new(NULL, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "no memory for an HTTP client");
    c->options = *options;
    CURLcode code = curl_global_init(CURL_GLOBAL_ALL); /* counts how often it is called */
    if (code != CURLE_OK) {
        mem_free(NULL, c, sizeof *c);
        return why_set(why, ERR_UNSUPPORTED, "libcurl: %s", curl_easy_strerror(code));
    }
    c->curl = curl_easy_init();
    if (c->curl == NULL) {
        http_client_free(c);
        return why_set(why, ERR_NOMEM, "no memory for an HTTP client");
    }
    set_up(c);
    *ret_client = c;
    return OK;
}

void
http_client_free(struct http_client *c)
{
    if (c == NULL) return;
    curl_easy_cleanup(c->curl);
    curl_global_cleanup();
    mem_free(NULL, c, sizeof *c);
}

/* --- an attempt ------------------------------------------------------------------------------- */

static void
begin_attempt(struct http_client *c)
{
    struct http_client_header *wanted = c->answer->wanted;
    uint32_t attempts = c->answer->attempts;
    *c->answer = (struct http_client_answer){.attempts = attempts + 1, .wanted = wanted};
    for (struct http_client_header *h = wanted; h != NULL && h->name != NULL; h++) {
        h->value[0] = '\0';
    }
    c->error[0] = '\0';
    c->take_error = OK;
    c->text_size = 0;
    c->asked_ns = 0;
    c->moved_bytes = 0;
    c->moved_ns = env_monotonic_ns(c->options.env);
    c->idle = false;
}

static bool
is_hopeless(CURLcode code)
{
    return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_PEER_FAILED_VERIFICATION;
}

/* The server says that it will not have another answer. */
static bool
is_final(const struct http_client *c)
{
    const char *name = c->request->final_header;
    const struct http_client_header *h = c->answer->wanted;
    for (; name != NULL && h != NULL && h->name != NULL; h++) {
        if (strcasecmp(h->name, name) == 0 && h->value[0] != '\0') return true;
    }
    return false;
}

/* OK: an answer that stands. ERR_AGAIN: worth another attempt. */
static enum err
attempt(struct http_client *c)
{
    begin_attempt(c);
    CURLcode code = curl_easy_perform(c->curl);
    const char *url = c->request->url;
    if (c->take_error) return c->take_error;
    if (code != CURLE_OK && is_stopped(c)) return why_set(c->why, ERR_CANCELED, "stopped");
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    const char *told = c->idle               ? "no byte came for too long"
                       : c->error[0] != '\0' ? c->error
                                             : curl_easy_strerror(code);
    if (code != CURLE_OK) {
        enum err e = is_hopeless(code) ? ERR_INPUT : c->taken ? ERR_IO : ERR_AGAIN;
        return why_set(c->why, e, "%s: %s", url, told);
    }
    c->answer->status = (unsigned)status;
    if ((status != 429 && status < 500) || is_final(c)) return OK;
    return why_set(c->why, ERR_AGAIN, "%s: status %ld%s%s", url, status,
                   c->text_size > 0 ? ": " : "", c->answer->text);
}

/* In small steps, so that `stop` is seen. */
static void
pause_ns(struct http_client *c, int64_t ns)
{
    int64_t until = env_monotonic_ns(c->options.env) + ns;
    for (;;) {
        int64_t left = until - env_monotonic_ns(c->options.env);
        if (left <= 0 || is_stopped(c)) return;
        int64_t step = left < PAUSE_STEP_MS * NS_PER_MS ? left : PAUSE_STEP_MS * NS_PER_MS;
        struct timespec t = {.tv_nsec = step};
        nanosleep(&t, NULL);
    }
}

static enum err
attempts(struct http_client *c)
{
    int64_t deadline = env_monotonic_ns(c->options.env) + c->options.retry_ns;
    int64_t wait = PAUSE_FIRST_NS;
    for (;;) {
        enum err e = attempt(c);
        if (e != ERR_AGAIN || c->options.retry_ns == 0) return e;
        int64_t pause = c->asked_ns > wait ? c->asked_ns : wait;
        if (env_monotonic_ns(c->options.env) + pause >= deadline) return e;
        if (c->options.retrying != NULL) {
            c->options.retrying(c->options.context, c->why->text, pause);
        }
        pause_ns(c, pause);
        if (is_stopped(c)) return why_set(c->why, ERR_CANCELED, "stopped");
        wait = wait * 2 < PAUSE_MAX_NS ? wait * 2 : PAUSE_MAX_NS;
    }
}

static enum err
make_headers(const struct http_client_request *request, struct curl_slist **ret_list)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no question before the body */
    for (const char *const *h = request->headers; list != NULL && h != NULL && *h != NULL; h++) {
        struct curl_slist *longer = curl_slist_append(list, *h);
        if (longer == NULL) curl_slist_free_all(list);
        list = longer;
    }
    *ret_list = list;
    return list == NULL ? ERR_NOMEM : OK;
}

/* No proxy stands between a machine and itself, whatever the environment says. */
static bool
is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    host = host == NULL ? url : host + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

enum err
http_client_send(struct http_client *c, const struct http_client_request *request,
                 struct http_client_answer *answer, struct why *why)
{
    struct why unwanted;
    struct curl_slist *headers;
    enum err e = make_headers(request, &headers);
    if (e) return why_set(why, e, "no memory for a request");
    c->request = request;
    c->answer = answer;
    c->why = why == NULL ? &unwanted : why;
    c->taken = false;
    answer->attempts = 0;
    answer->status = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, request->url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_PROXY, is_loopback(request->url) ? "" : NULL);
    if (request->body.at != NULL) {
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, request->body.at);
    } else {
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    }
    e = attempts(c);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return e;
}
