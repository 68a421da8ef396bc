/* target_server.c - a running server: remote write and remote read over HTTP. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/version.h"
#include "cli/target_private.h"
#include "net/http_client.h"
#include "wire/snappy.h"

enum {
    URL_BYTES = 1024,
    PACKED_BYTES_MAX = 160 << 20,
    REQUEST_BYTES_MAX = 4 << 20,
    WANTED_COUNT = LEDGER_KIND_COUNT
};

struct target_server {
    struct target target;
    struct http_client *client;
    char base[URL_BYTES];
    char url[URL_BYTES];
    char tenant_header[256];
    struct buf packed;
    struct buf request;
    bool damaged; /* the answer being read ended with the word that the store is */
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
    buf_fini(&s->request);
    mem_free(NULL, s, sizeof *s);
}

/* The path is ours unless the URL has one. */
static enum err
make_url(struct target_server *s, const char *usual_path, struct why *why)
{
    const char *scheme = strstr(s->base, "://");
    const char *path = scheme == NULL ? NULL : strchr(scheme + 3, '/');
    bool bare = path == NULL || path[1] == '\0';
    int base_size = (int)(path == NULL ? strlen(s->base) : (size_t)(path - s->base));
    int n = bare ? snprintf(s->url, sizeof s->url, "%.*s%s", base_size, s->base, usual_path)
                 : snprintf(s->url, sizeof s->url, "%s", s->base);
    return n < (int)sizeof s->url ? OK : why_set(why, ERR_INPUT, "--url is too long");
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
pack(struct target_server *s, struct bytes message, struct bytes *packed, struct why *why)
{
    if (packed->at != NULL) return OK;
    buf_clear(&s->packed);
    enum err e = snappy_pack(message, &s->packed);
    *packed = buf_bytes(&s->packed);
    return e ? why_set(why, e, "no memory for a request") : OK;
}

/* What a 400 left out: told by the headers, if the server has them. */
static void
count_rejected(const struct http_client_answer *answer, const struct target_counts *counts,
               struct target_result *result)
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        const char *text = answer->wanted[kind].value;
        uint64_t written = text[0] == '\0' ? 0 : strtoull(text, NULL, 10);
        if (text[0] == '\0' && answer->status < 300) written = counts->of[kind];
        result->rejected.of[kind] = written < counts->of[kind] ? counts->of[kind] - written : 0;
    }
}

static bool
any_rejected(const struct target_result *result)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        sum += result->rejected.of[kind];
    }
    return sum > 0;
}

/* A receiver of 1.0 takes a 2.0 request for an empty one, and is content. */
static bool
says_nothing(const struct http_client_answer *answer, const struct target_counts *counts)
{
    uint64_t sent = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        sent += counts->of[kind];
        if (answer->wanted[kind].value[0] != '\0') return false;
    }
    return sent > 0;
}

static enum err
judge_answer(struct target_server *s, enum rw_version version,
             const struct http_client_answer *answer, const struct target_counts *counts,
             struct target_result *result, struct why *why)
{
    bool stored = answer->status >= 200 && answer->status < 300;
    if (!stored && answer->status != 400 && answer->status != 413) {
        return why_set(why, ERR_INPUT, "%s: status %u: %s", s->url, answer->status, answer->text);
    }
    if (stored && version == RW_V2 && says_nothing(answer, counts)) {
        return why_set(why, ERR_INPUT,
                       "%s does not say what it stored: it has no remote write 2.0 (--protocol=1)",
                       s->url);
    }
    count_rejected(answer, counts, result);
    if (stored && !any_rejected(result)) return OK;
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
    const char *headers[] = {
        "Content-Encoding: snappy",
        version == RW_V2
            ? "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
            : "Content-Type: application/x-protobuf",
        version == RW_V2 ? "X-Prometheus-Remote-Write-Version: 2.0.0"
                         : "X-Prometheus-Remote-Write-Version: 0.1.0",
        s->tenant_header[0] != '\0' ? s->tenant_header : NULL, NULL};
    struct http_client_header wanted[WANTED_COUNT + 1] = {
        {.name = "X-Prometheus-Remote-Write-Samples-Written"},
        {.name = "X-Prometheus-Remote-Write-Histograms-Written"},
        {.name = "X-Prometheus-Remote-Write-Exemplars-Written"}};
    struct http_client_answer answer = {.wanted = wanted};
    enum err e = pack(s, message, &packed, why);
    if (e == OK) e = make_url(s, "/api/v1/write", why);
    if (e) return e;
    struct http_client_request request = {.url = s->url, .headers = headers, .body = packed};
    e = http_client_send(s->client, &request, &answer, why);
    return e ? e : judge_answer(s, version, &answer, counts, result, why);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
take_piece(void *context, struct bytes piece, struct why *why)
{
    return rr_client_take(context, piece, why);
}

/* What the answer holds besides samples. */
static enum err
take_notice(void *context, enum rr_notice notice, struct bytes given, struct why *why)
{
    struct target_server *s = context;
    char text[400];
    snprintf(text, sizeof text, "%.*s", (int)(given.size < 399 ? given.size : 399),
             (const char *)given.at);
    for (char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = ' ';
    }
    if (notice == RR_NOTICE_LEFT_OUT) {
        target_tell_left_out(&s->target, text);
        return OK;
    }
    s->damaged = true;
    return why_set(why, ERR_CORRUPT, "%s: %s", s->url, text);
}

static enum err
put_request(struct target_server *s, const struct selector *selector, int64_t min_ms,
            int64_t max_ms, struct why *why)
{
    struct rr_matcher matchers[SELECTOR_MATCHERS_MAX];
    for (uint32_t i = 0; i < selector->count; i++) {
        const struct matcher *m = selector->matchers[i];
        matchers[i] =
            (struct rr_matcher){(uint8_t)matcher_type(m), matcher_name(m), matcher_pattern(m)};
    }
    buf_clear(&s->request);
    buf_clear(&s->packed);
    rr_request_put(&s->request, min_ms, max_ms, matchers, selector->count);
    enum err e = buf_error(&s->request);
    if (e == OK) e = snappy_pack(buf_bytes(&s->request), &s->packed);
    return e ? why_set(why, e, "no memory for a request") : OK;
}

static enum err
check_answer(struct target_server *s, const struct http_client_answer *answer, struct why *why)
{
    static const char streamed[] = "application/x-streamed-protobuf";
    if (answer->status != 200) {
        s->damaged = answer->status >= 500; /* the only ones that are not repeated */
        return why_set(why, s->damaged ? ERR_CORRUPT : ERR_INPUT, "%s: status %u: %s", s->url,
                       answer->status, answer->text);
    }
    if (strncmp(answer->wanted[0].value, streamed, sizeof streamed - 1) == 0) return OK;
    return why_set(why, ERR_UNSUPPORTED, "%s does not answer with STREAMED_XOR_CHUNKS", s->url);
}

static enum err
server_read(struct target *target, const struct selector *selector, int64_t min_ms, int64_t max_ms,
            const struct rr_receiver *receiver, struct why *why)
{
    struct target_server *s = server_of(target);
    const char *headers[] = {"Content-Encoding: snappy",
                             "Content-Type: application/x-protobuf",
                             "Accept-Encoding: snappy",
                             "X-Prometheus-Remote-Read-Version: 0.1.0",
                             target->options.partial ? "X-Firekeep-Notices: partial"
                                                     : "X-Firekeep-Notices: errors",
                             s->tenant_header[0] != '\0' ? s->tenant_header : NULL,
                             NULL};
    struct http_client_header wanted[] = {
        {.name = "Content-Type"}, {.name = "X-Firekeep-Error"}, {.name = NULL}};
    struct rr_receiver all = *receiver;
    all.notice = take_notice;
    all.notice_context = s;
    s->damaged = false;
    struct http_client_answer answer = {.wanted = wanted};
    struct rr_client *reader = NULL;
    enum err e = put_request(s, selector, min_ms, max_ms, why);
    if (e == OK) e = make_url(s, "/api/v1/read", why);
    if (e == OK) {
        e = rr_client_new(&all, min_ms, max_ms, NULL, &reader);
        if (e) why_set(why, e, "no memory for the answer");
    }
    if (e == OK) {
        struct http_client_request request = {.url = s->url,
                                              .headers = headers,
                                              .final_header = "X-Firekeep-Error",
                                              .body = buf_bytes(&s->packed),
                                              .take = take_piece,
                                              .context = reader};
        e = http_client_send(s->client, &request, &answer, why);
    }
    if (e == OK) e = check_answer(s, &answer, why);
    if (e == OK) e = rr_client_end(reader, why);
    rr_client_free(reader);
    return e == ERR_CORRUPT && !s->damaged ? ERR_IO : e; /* damaged on its way */
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err
server_finish(struct target *target, struct why *why)
{
    (void)target;
    (void)why;
    return OK;
}

static const struct target_ops server_ops = {server_write, server_read, server_finish, server_free};

enum err
target_check_url(const char *flag, const char *url, struct why *why)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return why_set(why, ERR_INPUT, "%s: '%.64s' is neither http:// nor https://", flag, url);
    }
    const char *at = strchr(url, '@'), *path = strchr(strstr(url, "://") + 3, '/');
    if (at == NULL || (path != NULL && at > path)) return OK;
    return why_set(why, ERR_INPUT, "%s must not hold a user name or password", flag);
}

enum err
target_server_open(const struct target_options *options, struct target **ret_target,
                   struct why *why)
{
    struct target_server *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "no memory");
    s->target.ops = &server_ops;
    s->target.options = *options;
    s->target.name = s->base;
    buf_init(&s->packed, NULL, PACKED_BYTES_MAX);
    buf_init(&s->request, NULL, REQUEST_BYTES_MAX);
    int n = snprintf(s->base, sizeof s->base, "%s", options->url);
    enum err e = n < (int)sizeof s->base ? OK : why_set(why, ERR_INPUT, "--url is too long");
    if (e == OK) e = target_check_url("--url", s->base, why);
    if (options->tenant != NULL) {
        snprintf(s->tenant_header, sizeof s->tenant_header, "X-Scope-OrgID: %s", options->tenant);
    }
    struct http_client_options http = {.env = env_real(),
                                       .user_agent = "firekeep/" FIREKEEP_VERSION,
                                       .connect_timeout_ns = 10 * NS_PER_S,
                                       .idle_timeout_ns = 120 * NS_PER_S,
                                       .retry_ns = options->retry_ns,
                                       .stop = options->stop,
                                       .retrying = options->retrying,
                                       .context = options->context};
    if (e == OK) e = http_client_new(&http, &s->client, why);
    if (e) {
        server_free(&s->target);
        return e;
    }
    *ret_target = &s->target;
    return OK;
}
