/*
 * asked_testing.h - tables of requests and of what is answered, for tests of the routes. For tests
 * only.
 */
#ifndef API_ASKED_TESTING_H
#define API_ASKED_TESTING_H

#include "api/api_testing.h"

/* Bodies that are no text. */
enum message {
    NO_MESSAGE,
    WRITE_V1,
    WRITE_V2,
    WRITE_FUTURE,          /* 2.0 */
    WRITE_V1_BAD_EXEMPLAR, /* beside samples that are stored */
    WRITE_V2_BAD_EXEMPLAR,
    WRITE_FUTURE_BAD_EXEMPLAR,
    WRITE_NO_SNAPPY,
    WRITE_NO_MESSAGE, /* snappy, and then nothing that is known */
    WRITE_TOO_LARGE,
    READ_SAMPLES,
    READ_STREAMED,
    READ_ALL, /* without matchers */
    READ_BAD_PATTERN,
};

static inline struct bytes
message_of(enum message message)
{
    struct buf raw;
    struct bytes done = {NULL, 0};
    buf_init(&raw, NULL, 1 << 26);
    switch (message) {
    case NO_MESSAGE:
        break;
    case WRITE_V1:
        return write_message(RW_V1, SIM_BEGIN, 1);
    case WRITE_V2:
        return write_message(RW_V2, SIM_BEGIN, 1);
    case WRITE_FUTURE:
        return write_message(RW_V2, SIM_BEGIN + DAY_MS, 1);
    case WRITE_V1_BAD_EXEMPLAR:
        return write_message_with(RW_V1, SIM_BEGIN, 1, "trace=\xff");
    case WRITE_V2_BAD_EXEMPLAR:
        return write_message_with(RW_V2, SIM_BEGIN, 1, "trace=\xff");
    case WRITE_FUTURE_BAD_EXEMPLAR:
        return write_message_with(RW_V2, SIM_BEGIN + DAY_MS, 1, "trace=\xff");
    case WRITE_NO_SNAPPY:
        buf_put_text(&raw, "\xff\xff\xff\xff\xff\xff");
        return buf_bytes(&raw);
    case WRITE_NO_MESSAGE:
        buf_put_text(&raw, "\x0b\x0b\x0b");
        done = packed(&raw);
        break;
    case WRITE_TOO_LARGE:
        for (unsigned i = 0; i < 1100; i++) {
            for (unsigned k = 0; k < 1024; k++) {
                buf_put_u8(&raw, (uint8_t)k);
            }
        }
        done = packed(&raw);
        break;
    case READ_SAMPLES:
        return read_message(false, 0, "up");
    case READ_STREAMED:
        return read_message(true, 0, "up");
    case READ_ALL:
        return read_message(false, 0, NULL);
    case READ_BAD_PATTERN:
        return read_message(false, 2, "(");
    }
    buf_fini(&raw);
    return done;
}

struct asked {
    const char *name;
    enum http_method method;
    const char *target;
    const char *headers;
    const char *text; /* the body; or: */
    enum message message;
    unsigned status;
    const char *type;     /* how the answer's content type begins; NULL: none */
    const char *fragment; /* of the answer; NULL: it is empty */
    const char *header;   /* one it has; NULL: any */
};

#define TEXT  "text/plain"
#define JSON  "application/json"
#define PROTO "application/x-protobuf"
#define FORM  "Content-Type: application/x-www-form-urlencoded"
#define PARTS "Content-Type: multipart/form-data; boundary=b"
#define PART(name, value) \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define V2      "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
#define WRITTEN "X-Prometheus-Remote-Write-"

static inline void
ask(struct api_rig *rig, const struct asked *c)
{
    struct http_request r;
    struct bytes message = message_of(c->message);
    rig_ask(rig, &r, c->method, c->target, c->headers,
            c->text != NULL ? bytes_of_text(c->text) : message);
    const char *got = answer_text(&r);
    bool as_said = r.status == c->status;
    as_said &= c->type == NULL ? r.content_type[0] == '\0'
                               : strncmp(r.content_type, c->type, strlen(c->type)) == 0;
    as_said &= c->fragment == NULL
                   ? r.text.size == 0
                   : memmem(got, r.text.size, c->fragment, strlen(c->fragment)) != NULL;
    as_said &= c->header == NULL || strstr(r.answer_headers, c->header) != NULL;
    /* Whoever is to come back is told when. */
    bool json = strcmp(r.content_type, JSON) == 0;
    as_said &= r.status != 503 || json || strstr(r.answer_headers, "Retry-After: 2\n") != NULL;
    if (!as_said) {
        fail_msg("%s: %s: %u, type '%s', headers '%s', body '%s'", c->name, c->target, r.status,
                 r.content_type, r.answer_headers, got);
    }
    buf_fini(&r.text);
    free((void *)(uintptr_t)message.at);
}

#define ask_all(rig, cases)                                         \
    for (size_t i_ = 0; i_ < sizeof(cases) / sizeof *(cases); i_++) \
    ask(rig, &(cases)[i_])

#endif
