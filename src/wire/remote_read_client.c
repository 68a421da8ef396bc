/*
 * remote_read_client.c - bytes gather until a frame is whole; then its checksum is looked at before
 * anything else of it. A chunk's samples gather in an array, so that receivers are called once for
 * each chunk and not for each sample.
 */
#include "wire/remote_read_client.h"

#include "base/crc32c.h"
#include "wire/proto.h"

enum {
    TAG_QUERY = 1 << 3 | 2, /* ReadRequest */
    TAG_ACCEPTED = 2 << 3 | 2,
    TAG_MIN_TIME = 1 << 3 | 0, /* Query */
    TAG_MAX_TIME = 2 << 3 | 0,
    TAG_MATCHER = 3 << 3 | 2,
    TAG_MATCHER_TYPE = 1 << 3 | 0, /* LabelMatcher */
    TAG_MATCHER_NAME = 2 << 3 | 2,
    TAG_MATCHER_VALUE = 3 << 3 | 2,
    FRAME_HEAD_BYTES = VARINT_SIZE_MAX + 4,
    ARENA_BYTES_MAX = 64 << 20,
};

/* --- the request ------------------------------------------------------------------------------ */

static size_t
text_field_size(struct bytes text)
{
    return text.size == 0 ? 0 : 1 + varint_size(text.size) + text.size;
}

static void
put_text_field(struct buf *to, uint8_t tag, struct bytes text)
{
    if (text.size == 0) return;
    buf_put_u8(to, tag);
    buf_put_counted(to, text);
}

static size_t
matcher_size(const struct rr_matcher *m)
{
    return (m->type == 0 ? 0 : 2) + text_field_size(m->name) + text_field_size(m->value);
}

void
rr_request_put(struct buf *to, int64_t min_ms, int64_t max_ms, const struct rr_matcher *matchers,
               uint32_t matcher_count)
{
    size_t size = 2 + varint_size((uint64_t)min_ms) + varint_size((uint64_t)max_ms);
    for (uint32_t i = 0; i < matcher_count; i++) {
        size_t inner = matcher_size(&matchers[i]);
        size += 1 + varint_size(inner) + inner;
    }
    buf_put_u8(to, TAG_QUERY);
    buf_put_varint(to, size);
    buf_put_u8(to, TAG_MIN_TIME);
    buf_put_varint(to, (uint64_t)min_ms);
    buf_put_u8(to, TAG_MAX_TIME);
    buf_put_varint(to, (uint64_t)max_ms);
    for (uint32_t i = 0; i < matcher_count; i++) {
        const struct rr_matcher *m = &matchers[i];
        buf_put_u8(to, TAG_MATCHER);
        buf_put_varint(to, matcher_size(m));
        if (m->type != 0) buf_put_u8(to, TAG_MATCHER_TYPE);
        if (m->type != 0) buf_put_u8(to, m->type);
        put_text_field(to, TAG_MATCHER_NAME, m->name);
        put_text_field(to, TAG_MATCHER_VALUE, m->value);
    }
    buf_put_u8(to, TAG_ACCEPTED);
    buf_put_u8(to, 1);
    buf_put_u8(to, RR_STREAMED_XOR_CHUNKS);
}

/* --- the answer ------------------------------------------------------------------------------- */

struct rr_client {
    struct rr_receiver receiver;
    struct budget *budget;
    int64_t min_ms;
    int64_t max_ms;
    enum err failed;   /* the first error: all later calls repeat it */
    struct why reason; /* of it */
    struct why *why;   /* of the call at hand */

    struct buf input; /* less than a frame, or just that */
    struct arena arena;
    bool in_series;
    struct buf labels; /* of the series at hand */
    struct buf series_labels;
    uint32_t count;
    int64_t times_ms[CHUNK_SAMPLES_MAX];
    uint64_t bits[CHUNK_SAMPLES_MAX];
};

enum err
rr_client_new(const struct rr_receiver *receiver, int64_t min_ms, int64_t max_ms,
              struct budget *budget, struct rr_client **ret_client)
{
    struct rr_client *c = mem_new(budget, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->receiver = *receiver;
    c->budget = budget;
    c->min_ms = min_ms;
    c->max_ms = max_ms;
    arena_init(&c->arena, budget, ARENA_BYTES_MAX, 0);
    buf_init(&c->input, budget, RR_CLIENT_FRAME_BYTES_MAX + FRAME_HEAD_BYTES);
    buf_init(&c->labels, budget, RR_CLIENT_FRAME_BYTES_MAX);
    buf_init(&c->series_labels, budget, RR_CLIENT_FRAME_BYTES_MAX);
    *ret_client = c;
    return OK;
}

void
rr_client_free(struct rr_client *c)
{
    if (c == NULL) return;
    arena_fini(&c->arena);
    buf_fini(&c->input);
    buf_fini(&c->labels);
    buf_fini(&c->series_labels);
    mem_free(c->budget, c, sizeof *c);
}

static enum err
malformed(struct rr_client *c, const char *what)
{
    return why_set(c->why, ERR_CORRUPT, "the streamed answer has a malformed %s", what);
}

/* Of the chunk at hand. */
static enum err
take_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct rr_client *c = context;
    if (t_ms < c->min_ms || t_ms > c->max_ms) return OK;
    if (h != NULL) return c->receiver.histogram(c->receiver.context, t_ms, h, c->why);
    c->times_ms[c->count] = t_ms;
    c->bits[c->count++] = bits;
    return OK;
}

static enum err
take_chunk(struct rr_client *c, struct bytes message)
{
    uint32_t type = 0;
    struct bytes data = {NULL, 0};
    struct cursor m = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&m)) != 0;) {
        switch (tag) {
        case PROTO_TAG(3, PROTO_VARINT):
            type = proto_uint32(&m);
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            data = proto_bytes(&m);
            break;
        default:
            proto_skip(&m, tag, PROTO_KNOWN(3) | PROTO_KNOWN(4));
        }
    }
    if (m.bad) return malformed(c, "chunk");
    if (type < CHUNK_XOR || type > CHUNK_FLOAT_HISTOGRAM) {
        return why_set(c->why, ERR_UNSUPPORTED, "a chunk has the unknown encoding %u", type);
    }
    c->count = 0;
    arena_reset(&c->arena);
    c->why->text[0] = '\0';
    enum err e = chunk_read((enum chunk_type)type, data, &c->arena, take_sample, c);
    if (e && c->why->text[0] == '\0')
        why_set(c->why, e, "a chunk of the streamed answer is damaged");
    if (e || c->count == 0) return e;
    return c->receiver.floats(c->receiver.context, c->count, c->times_ms, c->bits, c->why);
}

/* The labels of a series gather first, since a sender may scatter fields. */
static enum err
begin_series(struct rr_client *c, struct bytes message)
{
    struct cursor m = cursor_of(message);
    buf_clear(&c->labels);
    while (m.at != m.end && !m.bad) {
        const uint8_t *from = m.at;
        uint32_t tag = proto_tag(&m);
        proto_skip(&m, tag, 0);
        if (m.bad || tag != PROTO_TAG(1, PROTO_BYTES)) continue;
        buf_put(&c->labels, from, (size_t)(m.at - from));
    }
    if (m.bad) return malformed(c, "series");
    if (buf_error(&c->labels)) return why_set(c->why, ERR_NOMEM, "no memory for labels");
    if (c->in_series && bytes_equal(buf_bytes(&c->labels), buf_bytes(&c->series_labels))) return OK;
    buf_clear(&c->series_labels);
    buf_put_bytes(&c->series_labels, buf_bytes(&c->labels));
    if (buf_error(&c->series_labels)) return why_set(c->why, ERR_NOMEM, "no memory for labels");
    c->in_series = true;
    return c->receiver.series(c->receiver.context, buf_bytes(&c->series_labels), c->why);
}

static enum err
take_series(struct rr_client *c, struct bytes message)
{
    enum err e = begin_series(c, message);
    struct cursor m = cursor_of(message);
    for (uint32_t tag; e == OK && (tag = proto_tag(&m)) != 0;) {
        if (tag == PROTO_TAG(2, PROTO_BYTES))
            e = take_chunk(c, proto_bytes(&m));
        else
            proto_skip(&m, tag, PROTO_KNOWN(2));
        if (e == OK && m.bad) e = malformed(c, "series");
    }
    return e;
}

static enum err
take_notice(struct rr_client *c, enum rr_notice notice, struct bytes text)
{
    if (c->receiver.notice == NULL) return OK;
    return c->receiver.notice(c->receiver.notice_context, notice, text, c->why);
}

static enum err
take_frame(struct rr_client *c, struct bytes payload)
{
    enum err e = OK;
    struct cursor m = cursor_of(payload);
    for (uint32_t tag; e == OK && (tag = proto_tag(&m)) != 0;) {
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            e = take_series(c, proto_bytes(&m));
        else if (tag == PROTO_TAG(RR_NOTICE_ERROR, PROTO_BYTES))
            e = take_notice(c, RR_NOTICE_ERROR, proto_bytes(&m));
        else if (tag == PROTO_TAG(RR_NOTICE_LEFT_OUT, PROTO_BYTES))
            e = take_notice(c, RR_NOTICE_LEFT_OUT, proto_bytes(&m));
        else
            proto_skip(&m, tag, PROTO_KNOWN(1));
    }
    return e == OK && m.bad ? malformed(c, "frame") : e;
}

/* Whether the input begins with a whole frame; if so where its payload lies. */
static enum err
find_frame(struct rr_client *c, struct bytes input, struct bytes *ret_payload, bool *ret_whole)
{
    struct cursor m = cursor_of(input);
    uint64_t size = cursor_varint(&m);
    *ret_whole = false;
    if (m.bad) return input.size < VARINT_SIZE_MAX ? OK : malformed(c, "length");
    if (size > RR_CLIENT_FRAME_BYTES_MAX) {
        return why_set(c->why, ERR_LIMIT, "a frame of the answer is larger than %d bytes",
                       RR_CLIENT_FRAME_BYTES_MAX);
    }
    if (cursor_left(&m) < 4 + size) return OK;
    uint32_t sum = load_be32(m.at);
    *ret_payload = bytes_of(m.at + 4, size);
    *ret_whole = true;
    if (crc32c(0, *ret_payload) == sum) return OK;
    return why_set(c->why, ERR_CORRUPT, "a frame of the answer has a wrong checksum");
}

/* All whole frames of `input`; gives what is left. */
static enum err
take_frames(struct rr_client *c, struct bytes *input)
{
    for (;;) {
        struct bytes payload;
        bool whole;
        enum err e = find_frame(c, *input, &payload, &whole);
        if (e || !whole) return e;
        e = take_frame(c, payload);
        if (e) return e;
        size_t used = (size_t)(payload.at + payload.size - input->at);
        *input = bytes_of(input->at + used, input->size - used);
    }
}

enum err
rr_client_take(struct rr_client *c, struct bytes piece, struct why *why)
{
    struct why unwanted;
    c->why = why == NULL ? &unwanted : why;
    if (c->failed) return why_set(why, c->failed, "%s", c->reason.text);
    buf_put_bytes(&c->input, piece);
    enum err e = buf_error(&c->input);
    if (e) why_set(c->why, e, "no memory for the answer");
    struct bytes left = buf_bytes(&c->input);
    if (e == OK) e = take_frames(c, &left);
    if (e) {
        c->failed = e;
        c->reason = *c->why;
        return e;
    }
    if (left.size > 0) memmove(c->input.at, left.at, left.size);
    c->input.size = left.size;
    return OK;
}

enum err
rr_client_end(struct rr_client *c, struct why *why)
{
    if (c->failed) return why_set(why, c->failed, "%s", c->reason.text);
    if (c->input.size == 0) return OK;
    return why_set(why, ERR_CORRUPT, "the streamed answer was cut short");
}
