/* target_server.c - a running server as a target: remote write, remote read and the query API
 * over HTTP. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/remote/answerer.h"
#include "base/text/hex.h"
#include "base/version.h"
#include "cli/lib/query.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "net/http_calls.h"
#include "net/http_client.h"
#include "wire/snappy.h"

enum {
    PACKED_BYTES_MAX = 160 << 20,
    FORM_BYTES_MAX = 64 << 20,
    WANTED_COUNT = LEDGER_KIND_COUNT,
    COMMON_HEADERS_MAX = HTTP_CALLS_HEADERS_MAX + 2, /* the tenant's, and NULL */
    OWN_HEADERS_MAX = 3,
};

struct target_server {
    struct target target;
    struct http_client *client;
    struct http_client_options http;
    struct client_access *access; /* own unless options.like is set */
    const char *base;
    char url[CLIENT_URL_BYTES];
    char *tenant_header; /* NULL: not sent */
    char read_url[CLIENT_URL_BYTES];
    const char *common[COMMON_HEADERS_MAX]; /* headers of all requests, NULL after the last */
    struct buf packed;
};

static struct target_server *
server_of(struct target *target)
{
    return (struct target_server *)(void *)target; /* the first member */
}

static void
server_free(struct target *target)
{
    struct target_server *s = server_of(target);
    http_client_free(s->client);
    buf_fini(&s->packed);
    if (s->tenant_header != NULL) mem_free(NULL, s->tenant_header, strlen(s->tenant_header) + 1);
    if (s->target.answerer != NULL) s->target.answerer->ops->free(s->target.answerer);
    if (s->target.options.like == NULL) client_access_free(s->access);
    mem_free(NULL, s, sizeof *s);
}

static const char *
advice(const struct http_client_answer *answer)
{
    if (strstr(answer->text, "missing header X-Scope-OrgID") != NULL) return "; use --tenant";
    if (answer->status == 401) return CLIENT_ADVICE;
    bool elsewhere = answer->status == 404 || answer->status == 405;
    return elsewhere ? "; --url must end with the server's web.route_prefix" : "";
}

/* Describes an error answer by its status, and its sentence without the JSON of the API. Returns
 * `e`. */
static enum err
refused(const struct target_server *s, const struct http_client_answer *answer, enum err e,
        struct why *why)
{
    return why_set(why, e, "%s: status %u: %s%s", s->url, answer->status,
                   query_answer_sentence(answer).text, advice(answer));
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
judge_answer(struct target_server *s, enum rw_version version,
             const struct http_client_answer *answer, const struct target_counts *counts,
             struct target_result *result, struct why *why)
{
    bool stored = answer->status >= 200 && answer->status < 300, has_counts = false;
    uint64_t sent = 0, rejected = 0;
    if (!stored && answer->status != 400 && answer->status != 413)
        return refused(s, answer, ERR_INPUT, why);
    /* Headers of an answer 400 may count the rejected samples. */
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        const char *text = answer->wanted[kind];
        uint64_t written = strtoull(text, NULL, 10), of = counts->of[kind];
        if (text[0] == '\0' && stored) written = of;
        result->rejected.of[kind] = written < of ? of - written : 0;
        rejected += result->rejected.of[kind];
        sent += of;
        has_counts |= text[0] != '\0';
    }
    /* A receiver of 1.0 mistakes a 2.0 request for an empty one, and returns success. */
    if (stored && version == RW_V2 && sent > 0 && !has_counts) {
        return why_set(why, ERR_INPUT, "%s does not support remote write 2.0; use --protocol=1",
                       s->url);
    }
    result->too_large = answer->status == 413;
    if (stored && rejected == 0) return OK;
    if (stored && rejected == result->rejected.of[LEDGER_EXEMPLAR])
        snprintf(result->text, sizeof result->text,
                 "%" PRIu64 " exemplars; the server's log has the reasons", rejected);
    else
        snprintf(result->text, sizeof result->text, "%s",
                 answer->text[0] != '\0' ? answer->text : "the server did not store all of it");
    return OK;
}

static enum err
server_write(struct target *target, enum rw_version version, struct bytes message,
             struct bytes packed, const struct target_counts *counts, struct target_result *result,
             struct why *why)
{
    struct target_server *s = server_of(target);
    const char *headers[OWN_HEADERS_MAX + COMMON_HEADERS_MAX] = {
        "Content-Encoding: snappy",
        version == RW_V2
            ? "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
            : "Content-Type: application/x-protobuf",
        version == RW_V2 ? "X-Prometheus-Remote-Write-Version: 2.0.0"
                         : "X-Prometheus-Remote-Write-Version: 0.1.0"};
    static const char *const wanted[WANTED_COUNT + 1] = {
        "X-Prometheus-Remote-Write-Samples-Written", "X-Prometheus-Remote-Write-Histograms-Written",
        "X-Prometheus-Remote-Write-Exemplars-Written"};
    struct http_client_answer answer;
    enum err e = OK;
    if (packed.at == NULL) {
        buf_clear(&s->packed);
        e = snappy_pack(message, &s->packed);
        if (e) return why_set(why, e, "not enough memory for a request");
        packed = buf_bytes(&s->packed);
    }
    e = client_url_of_page("--url", s->base, "/api/v1/write", s->url, why);
    if (e) return e;
    memcpy(headers + 3, s->common, sizeof s->common);
    struct http_client_request request = {
        .url = s->url, .headers = headers, .wanted = wanted, .body = packed};
    e = http_client_send(s->client, &request, &answer, why);
    return e ? e : judge_answer(s, version, &answer, counts, result, why);
}

/* --- the query API ---------------------------------------------------------------------------- */

/* Appends the API's path to the URL, which may itself have a path. */
static enum err
make_api_url(struct target_server *s, const char *path, struct why *why)
{
    int n = snprintf(s->url, sizeof s->url, "%s%s", s->base, path);
    return n < (int)sizeof s->url ? OK : why_set(why, ERR_INPUT, "--url: URL is too long");
}

static enum err
server_query(struct target *target, const struct query_parameters *parameters,
             struct query_sink *sink, struct query_failure *failure, struct why *why)
{
    struct target_server *s = server_of(target);
    struct query_server server = {.base = s->url, .headers = s->common, .http = s->http};
    enum err e = make_api_url(s, "", why);
    return e ? e : query_server(&server, parameters, sink, failure, why);
}

static enum err
server_fetch(struct target *target, const char *path, struct buf *to, unsigned *ret_status,
             struct why *why)
{
    struct target_server *s = server_of(target);
    struct http_client_answer answer = {.status = 0};
    enum err e = make_api_url(s, path, why);
    struct http_client_request request = {.url = s->url, .headers = s->common};
    if (e == OK) e = http_client_fetch(s->client, &request, to, &answer, why);
    *ret_status = answer.status;
    if (e == OK && answer.status / 100 != 2)
        err_ignore(refused(s, &answer, OK, why), "the caller judges the status");
    return e;
}

static enum err
server_delete(struct target *target, const struct bytes *selectors, uint32_t count, int64_t min_ms,
              int64_t max_ms, uint64_t *ret_samples, struct why *why)
{
    struct target_server *s = server_of(target);
    struct http_client_answer answer = {.status = 0};
    struct http_client_options once = s->http;
    struct http_client *client = NULL;
    struct buf url; /* servers refuse a form */
    once.retry_ns = 0;
    enum err e = make_api_url(s, "/api/v1/admin/tsdb/delete_series", why);
    if (e) return e;
    buf_init(&url, NULL, FORM_BYTES_MAX);
    buf_put_text(&url, s->url);
    query_put_time(&url, "?start=", min_ms);
    query_put_time(&url, "&end=", max_ms);
    for (uint32_t i = 0; i < count; i++) {
        buf_put_text(&url, "&match%5B%5D=");
        buf_put_percent(&url, selectors[i], "");
    }
    buf_put_u8(&url, '\0');
    if (buf_error(&url)) e = why_set(why, ERR_NOMEM, "not enough memory for a request");
    struct http_client_request request = {
        .url = (const char *)url.at, .headers = s->common, .body = bytes_of_text("")};
    /* A server that does not allow this answers 503 or 500; it must not be retried. */
    if (e == OK) e = http_client_new(&once, &client, why);
    if (e == OK) e = http_client_send(client, &request, &answer, why);
    bool is_refused = answer.status / 100 == 4 || strstr(answer.text, "admin API") != NULL;
    if (e == ERR_AGAIN && !is_refused) e = http_client_send(s->client, &request, &answer, why);
    http_client_free(client);
    buf_fini(&url);
    if (answer.status != 0 && answer.status / 100 != 2 && e != ERR_CANCELED)
        return refused(s, &answer, answer.status == 422 ? ERR_LIMIT : ERR_INPUT, why);
    if (e) return e;
    static const char key[] = "\"samples\":";
    const char *at = strstr(answer.text, key);
    *ret_samples = at == NULL ? 0 : strtoull(at + sizeof key - 1, NULL, 10);
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

static const struct target_ops server_ops = {
    .write = server_write,
    .query = server_query,
    .delete = server_delete,
    .fetch = server_fetch,
    .free = server_free,
};

static void
retrying(void *progress, const char *reason, int64_t wait_ns)
{
    progress_say(progress, "%s; retrying in %.1f s", reason, (double)wait_ns / 1e9);
}

/* Takes the URL and the headers of the access. */
static enum err
put_access(struct target_server *s, struct why *why)
{
    const char *const *lines;
    uint32_t count = 0;
    s->base = client_access_url(s->access);
    s->target.name = client_access_name(s->access);
    enum err e = client_access_headers(s->access, &lines, why);
    if (e) return e;
    if (s->tenant_header != NULL) s->common[count++] = s->tenant_header;
    while (*lines != NULL && count < COMMON_HEADERS_MAX - 1)
        s->common[count++] = *lines++;
    return OK;
}

enum err
target_server_open(const struct target_options *options, struct target **ret_target,
                   struct why *why)
{
    struct target_server *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    s->target.ops = &server_ops;
    s->target.options = *options;
    buf_init(&s->packed, NULL, PACKED_BYTES_MAX);
    const struct client_access_options reach = {target_url_flag(options), options->url,
                                                options->http_config_file};
    const struct target_server *like = (const struct target_server *)(const void *)options->like;
    enum err e = OK;
    if (like != NULL)
        s->access = like->access;
    else
        e = client_access_new(&reach, &s->access, why);
    if (e == OK && options->tenant != NULL) {
        static const char name[] = "X-Scope-OrgID: ";
        size_t size = sizeof name + strlen(options->tenant);
        s->tenant_header = mem_alloc(NULL, size);
        if (s->tenant_header == NULL)
            e = why_set(why, ERR_NOMEM, "not enough memory");
        else
            snprintf(s->tenant_header, size, "%s%s", name, options->tenant);
    }
    if (e == OK) e = put_access(s, why);
    s->http = (struct http_client_options){.env = env_real(),
                                           .user_agent = "firekeep/" FIREKEEP_VERSION,
                                           .connect_timeout_ns = 10 * NS_PER_S,
                                           .idle_timeout_ns = 120 * NS_PER_S,
                                           .retry_ns = options->retry_ns,
                                           .stop = options->stop,
                                           .retrying = options->progress == NULL ? NULL : retrying,
                                           .context = options->progress};
    if (e == OK) client_access_http(s->access, &s->http);
    if (e == OK) e = http_client_new(&s->http, &s->client, why);
    if (e == OK) e = client_url_of_page("--url", s->base, "/api/v1/read", s->read_url, why);
    struct remote_answerer_options reading = {
        .url = s->read_url, .headers = s->common, .http = s->http};
    if (e == OK) e = remote_answerer_new(&reading, &s->target.answerer, why);
    if (e) {
        server_free(&s->target);
        return e;
    }
    *ret_target = &s->target;
    return OK;
}
