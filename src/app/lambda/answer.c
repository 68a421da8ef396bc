/* answer.c - see answer.h. */
#include "app/lambda/answer.h"

#include <strings.h>

#include "base/text/base64.h"
#include "base/text/json.h"
#include "base/text/utf8.h"

enum { PRELUDE_END_BYTES = 8 }; /* NULs */

struct gateway_answer
answer_of_text(unsigned status, const char *text)
{
    static const struct answer_header plain[] = {{"Content-Type", "text/plain; charset=utf-8"},
                                                 {NULL, NULL}};
    static const struct answer_header later[] = {
        {"Content-Type", "text/plain; charset=utf-8"}, {"Retry-After", "5"}, {NULL, NULL}};
    return (struct gateway_answer){status, status == 503 ? later : plain, bytes_of_text(text)};
}

static const char *
header_of(const struct gateway_answer *answer, const char *name)
{
    for (const struct answer_header *h = answer->headers; h != NULL && h->name != NULL; h++) {
        if (strcasecmp(h->name, name) == 0) return h->value;
    }
    return "";
}

/* Says whether the body can be a JSON string without loss. */
static bool
is_plain(const struct gateway_answer *answer)
{
    const char *type = header_of(answer, "Content-Type");
    if (header_of(answer, "Content-Encoding")[0] != '\0') return false;
    if (strncmp(type, "text/", 5) != 0 && strncmp(type, "application/json", 16) != 0) return false;
    for (size_t i = 0; i < answer->body.size;) {
        size_t step = utf8_step(answer->body.at + i, answer->body.size - i);
        if (step == 0) return false;
        i += step;
    }
    return true;
}

static void
put_headers(const struct gateway_answer *answer, struct json *json)
{
    json_member_uint(json, "statusCode", answer->status);
    json_member_object(json, "headers");
    for (const struct answer_header *h = answer->headers; h != NULL && h->name != NULL; h++) {
        if (h->value[0] != '\0') json_member_text(json, h->name, h->value);
    }
    json_object_close(json);
}

enum err
answer_put(const struct gateway_answer *answer, struct buf *to)
{
    struct json json;
    struct buf encoded;
    size_t before = to->size;
    bool plain = is_plain(answer);
    size_t body_bytes = plain ? answer->body.size : base64_size(answer->body.size);
    if (body_bytes > ANSWER_BYTES_MAX) return ERR_LIMIT;
    buf_init(&encoded, to->budget, ANSWER_BYTES_MAX);
    if (!plain) base64_put(&encoded, answer->body);
    json_init(&json, to);
    json_object_open(&json);
    put_headers(answer, &json);
    json_member_bool(&json, "isBase64Encoded", !plain);
    json_member_bytes(&json, "body", plain ? answer->body : buf_bytes(&encoded));
    json_object_close(&json);
    enum err e = buf_error(&encoded) ? buf_error(&encoded) : buf_error(to);
    if (e == OK && to->size - before > ANSWER_BYTES_MAX) e = ERR_LIMIT;
    if (e) {
        to->size = before;
        to->failed = OK;
    }
    buf_fini(&encoded);
    return e;
}

void
answer_put_prelude(const struct gateway_answer *answer, struct buf *to)
{
    static const uint8_t end[PRELUDE_END_BYTES];
    struct json json;
    json_init(&json, to);
    json_object_open(&json);
    put_headers(answer, &json);
    json_object_close(&json);
    buf_put(to, end, sizeof end);
}
