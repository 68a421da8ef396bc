/* api_asked.c - see api_asked.h. */
#include "lib/api/api_asked.h"

#include <jansson.h>

struct bytes
asked_message(enum message message)
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
        done = api_packed(&raw);
        break;
    case WRITE_V2_FIRST_SYMBOL:
        buf_put_text(&raw, "\x22\x01x");
        done = api_packed(&raw);
        break;
    case WRITE_TOO_LARGE:
        for (unsigned i = 0; i < 1100; i++)
            for (unsigned k = 0; k < 1024; k++)
                buf_put_u8(&raw, (uint8_t)k);
        done = api_packed(&raw);
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

static bool
is_one_value(struct bytes text)
{
    json_t *value =
        json_loadb((const char *)text.at, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_decref(value);
    return value != NULL;
}

void
api_ask(struct api_rig *rig, const struct asked *c)
{
    struct http_request r;
    struct bytes message = asked_message(c->message);
    api_rig_ask(rig, &r, c->method, c->target, c->headers,
                c->text != NULL ? bytes_of_text(c->text) : message);
    const char *got = http_double_text(&r);
    bool as_said = r.status == c->status;
    as_said &= c->type == NULL ? r.content_type[0] == '\0'
                               : strncmp(r.content_type, c->type, strlen(c->type)) == 0;
    as_said &= c->fragment == NULL
                   ? r.text.size == 0
                   : memmem(got, r.text.size, c->fragment, strlen(c->fragment)) != NULL;
    as_said &= c->header == NULL || strstr(r.answer_headers, c->header) != NULL;
    bool json = strcmp(r.content_type, JSON_TYPE) == 0;
    as_said &= !json || c->fragment == NULL || is_one_value(bytes_of(got, r.text.size));
    /* An answer that asks for a retry has Retry-After. */
    as_said &= r.status != 503 || json || strstr(r.answer_headers, "Retry-After: 2\n") != NULL;
    if (!as_said) {
        fail_msg("%s: %s: %u, type '%s', headers '%s', body '%s'", c->name, c->target, r.status,
                 r.content_type, r.answer_headers, got);
    }
    buf_fini(&r.text);
    free((void *)(uintptr_t)message.at);
}
