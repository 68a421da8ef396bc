/* http_double.c - see http_double.h. */
#include "lib/api/http_double.h"

#include <stdio.h>
#include <strings.h>

#include "base/text/hex.h"
#include "lib/test.h"

/* Cuts `text` in place: name, `between`, value, one of `ends`, and so on. */
static unsigned
pairs_cut(char *text, const char *between, char end, struct text_pair *pairs)
{
    unsigned count = 0;
    while (text != NULL && *text != '\0') {
        char *next = strchr(text, end), *value = strstr(text, between);
        if (next != NULL) *next++ = '\0';
        assert_true(count < PAIRS_MAX);
        if (value != NULL && next != NULL && value >= next) value = NULL;
        if (value != NULL) *value = '\0';
        pairs[count++] = (struct text_pair){text, value == NULL ? "" : value + strlen(between)};
        text = next;
    }
    return count;
}

/* Keeps a path with escaped slashes as it was sent, as the server does. */
static void
path_unescape(struct http_request *r)
{
    if (strcasestr(r->path, "%2f") == NULL) return;
    memcpy(r->sent_path, r->path, sizeof r->sent_path);
    char *to = r->path;
    for (const char *at = r->sent_path; *at != '\0';) {
        uint8_t c;
        at += percent_step((const uint8_t *)at, strlen(at), &c);
        *to++ = (char)c;
    }
    *to = '\0';
}

void
http_double_init(struct http_request *r, enum http_method method, const char *target,
                 const char *headers, struct bytes body)
{
    memset(r, 0, sizeof *r);
    r->method = method;
    r->body = body;
    r->target = target;
    snprintf(r->path, sizeof r->path, "%s", target);
    snprintf(r->header_text, sizeof r->header_text, "%s", headers == NULL ? "" : headers);
    r->header_count = pairs_cut(r->header_text, ": ", '\n', r->headers);
    char *query = strchr(r->path, '?');
    if (query != NULL) *query++ = '\0';
    path_unescape(r);
    r->argument_count = pairs_cut(query, "=", '&', r->arguments);
    buf_init(&r->text, NULL, ANSWER_TEXT_BYTES);
}

/* Reports an argument with "%zz", which represents an invalid escape. */
const char *
http_query_wrong(const struct http_request *r)
{
    for (unsigned i = 0; i < r->argument_count; i++) {
        const struct text_pair *argument = &r->arguments[i];
        if (strstr(argument->name, "%zz") != NULL || strstr(argument->value, "%zz") != NULL)
            return "invalid URL escape \"%zz\"";
    }
    return NULL;
}

bool
http_query_drops(const struct http_request *r, const char *prefix)
{
    for (unsigned i = 0; i < r->argument_count; i++) {
        const struct text_pair *argument = &r->arguments[i];
        if (strstr(argument->value, "%zz") != NULL &&
            strncmp(argument->name, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

const char *
http_double_text(struct http_request *r)
{
    buf_put_u8(&r->text, '\0');
    assert_int_equal(buf_error(&r->text), OK);
    r->text.size--;
    return (const char *)r->text.at;
}

enum http_method
http_method(const struct http_request *request)
{
    return request->method;
}

const char *
http_path(const struct http_request *request)
{
    return request->path;
}

const char *
http_target_sent(const struct http_request *request)
{
    return request->target;
}

const char *
http_path_sent(const struct http_request *request)
{
    return request->sent_path[0] == '\0' ? NULL : request->sent_path;
}

void *
http_sender(const struct http_request *request)
{
    return request->sender;
}

unsigned
http_header_count(const struct http_request *r, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < r->header_count; i++)
        count += strcasecmp(r->headers[i].name, name) == 0;
    return count;
}

const char *
http_header(const struct http_request *r, const char *name)
{
    for (unsigned i = 0; i < r->header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0) return r->headers[i].value;
    return NULL;
}

const char *
http_argument_next(const struct http_request *r, const char *name, uint32_t *at)
{
    while (*at < r->argument_count) {
        uint32_t i = (*at)++;
        if (strcmp(r->arguments[i].name, name) == 0) return r->arguments[i].value;
    }
    return NULL;
}

const char *
http_argument(const struct http_request *request, const char *name)
{
    uint32_t at = 0;
    return http_argument_next(request, name, &at);
}

struct bytes
http_body(const struct http_request *request)
{
    return request->body;
}

void
http_body_release(struct http_request *request)
{
    request->body = (struct bytes){NULL, 0};
}

int64_t
http_began_ns(const struct http_request *request)
{
    return request->began_ns;
}

const char *
http_peer(const struct http_request *request)
{
    (void)request;
    return "192.0.2.1:5000";
}

bool
http_gone(const struct http_request *request)
{
    return request->gone;
}

void
http_answer_also(struct http_request *r, const char *name, const char *value)
{
    size_t used = strlen(r->answer_headers);
    assert_int_equal(r->status, 0);
    snprintf(r->answer_headers + used, sizeof r->answer_headers - used, "%s: %s\n", name, value);
}

static void
answer_take(struct http_request *r, const struct http_answer *answer)
{
    assert_int_equal(r->status, 0); /* each is answered once */
    r->status = answer->status;
    if (answer->content_type != NULL)
        snprintf(r->content_type, sizeof r->content_type, "%s", answer->content_type);
    for (unsigned i = 0; i < 8 && answer->headers[i].name != NULL; i++) {
        size_t used = strlen(r->answer_headers);
        snprintf(r->answer_headers + used, sizeof r->answer_headers - used, "%s: %s\n",
                 answer->headers[i].name, answer->headers[i].value);
    }
}

void
http_reply(struct http_request *r, const struct http_answer *answer)
{
    answer_take(r, answer);
    buf_put_bytes(&r->text, answer->body);
}

void
http_reply_text(struct http_request *r, unsigned status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct http_answer answer = {
        .status = status, .content_type = "text/plain; charset=utf-8", .body = bytes_of_text(text)};
    http_reply(r, &answer);
}

enum err
http_stream_begin(struct http_request *r, const struct http_answer *answer, uint64_t content_length,
                  struct why *why)
{
    (void)content_length, (void)why;
    answer_take(r, answer);
    r->stream = true;
    return OK;
}

enum err
http_stream_write(struct http_request *r, struct bytes piece, struct why *why)
{
    assert_true(r->stream && !r->ended);
    if (r->gone) return why_set(why, ERR_CANCELED, "the client closed the connection");
    buf_put_bytes(&r->text, piece);
    return OK;
}

void
http_stream_end(struct http_request *r, bool complete)
{
    assert_true(r->stream && !r->ended);
    r->ended = true;
    r->complete = complete;
}

void
http_stream_limit(struct http_request *request, int64_t deadline_ns,
                  const _Atomic uint32_t *others_waiting)
{
    (void)request, (void)deadline_ns, (void)others_waiting;
}

void
http_server_stats(struct http_server *server, struct http_stats *ret_stats)
{
    (void)server;
    *ret_stats = (struct http_stats){.connections_now = 3, .requests_by_class = {[5] = 7}};
}
