/*
 * remote_read_client.c - bytes gather until a frame is complete; then its checksum is verified
 * before the rest is read. Three nested cursors hold the position: in the input, in the current
 * frame, in the current series.
 */
#include "wire/remote/remote_read.h"

#include <assert.h>

#include "base/array.h"
#include "base/hash/crc32c.h"
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
    ARENA_BYTES_MAX = 512 << 20,
    GIVEN_BYTES_MAX = 1 << 20, /* limit of one rr_client_give() */
};

/* --- the request ------------------------------------------------------------------------------ */

static size_t
text_field_size(struct bytes text)
{
    return text.size == 0 ? 0 : 1 + varint_size(text.size) + text.size;
}

static size_t
matcher_size(const struct rr_matcher *m)
{
    return (m->type == 0 ? 0 : 2) + text_field_size(m->name) + text_field_size(m->value);
}

void
rr_request_put_query(struct buf *to, int64_t min_ms, int64_t max_ms,
                     const struct rr_matcher *matchers, uint32_t matcher_count)
{
    size_t size = 2 + varint_size((uint64_t)min_ms) + varint_size((uint64_t)max_ms);
    for (uint32_t i = 0; i < matcher_count; i++) {
        size_t inner = matcher_size(&matchers[i]);
        size += 1 + varint_size(inner) + inner;
    }
    proto_put_varint(to, TAG_QUERY, size);
    proto_put_varint(to, TAG_MIN_TIME, (uint64_t)min_ms);
    proto_put_varint(to, TAG_MAX_TIME, (uint64_t)max_ms);
    for (uint32_t i = 0; i < matcher_count; i++) {
        const struct rr_matcher *m = &matchers[i];
        proto_put_varint(to, TAG_MATCHER, matcher_size(m));
        if (m->type != 0) proto_put_varint(to, TAG_MATCHER_TYPE, m->type);
        if (m->name.size > 0) proto_put_bytes(to, TAG_MATCHER_NAME, m->name);
        if (m->value.size > 0) proto_put_bytes(to, TAG_MATCHER_VALUE, m->value);
    }
}

void
rr_request_put_accepted(struct buf *to, bool streamed, bool samples)
{
    buf_put_u8(to, TAG_ACCEPTED); /* packed */
    buf_put_u8(to, (uint8_t)(streamed + samples));
    if (streamed) buf_put_u8(to, RR_STREAMED_XOR_CHUNKS);
    if (samples) buf_put_u8(to, RR_SAMPLES);
}

/* --- the answer ------------------------------------------------------------------------------- */

struct rr_client {
    struct budget *budget;
    enum err failed;   /* the first error: all later calls repeat it */
    struct why reason; /* sentence of that error */

    struct buf input;
    size_t used;          /* bytes of the input that belong to frames already begun */
    struct cursor frame;  /* the rest of the current frame */
    struct cursor series; /* the rest of the current series in the frame */
    bool in_series;
    struct buf labels; /* labels of the current series */
    struct buf series_labels;
};

enum err
rr_client_new(struct budget *budget, struct rr_client **ret_client)
{
    struct rr_client *c = mem_new(budget, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->budget = budget;
    buf_init(&c->input, budget, RR_CLIENT_FRAME_BYTES_MAX + FRAME_HEAD_BYTES + GIVEN_BYTES_MAX);
    buf_init(&c->labels, budget, RR_CLIENT_FRAME_BYTES_MAX);
    buf_init(&c->series_labels, budget, RR_CLIENT_FRAME_BYTES_MAX);
    *ret_client = c;
    return OK;
}

void
rr_client_free(struct rr_client *c)
{
    if (c == NULL) return;
    buf_fini(&c->input);
    buf_fini(&c->labels);
    buf_fini(&c->series_labels);
    mem_free(c->budget, c, sizeof *c);
}

static enum err
malformed(struct why *why, const char *what)
{
    return why_set(why, ERR_CORRUPT, "streamed response has a malformed %s", what);
}

static enum err
take_chunk(struct bytes message, struct rr_piece *ret, struct why *why)
{
    uint32_t type = 0;
    int64_t min_ms = 0, max_ms = 0;
    struct bytes data = {NULL, 0};
    struct cursor m = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&m)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_VARINT):
            min_ms = (int64_t)cursor_varint(&m);
            break;
        case PROTO_TAG(2, PROTO_VARINT):
            max_ms = (int64_t)cursor_varint(&m);
            break;
        case PROTO_TAG(3, PROTO_VARINT):
            type = proto_uint32(&m);
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            data = proto_bytes(&m);
            break;
        default:
            proto_skip(&m, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2) | PROTO_KNOWN(3) | PROTO_KNOWN(4));
        }
    }
    if (m.bad) return malformed(why, "chunk");
    if (type < CHUNK_XOR || type > CHUNK_FLOAT_HISTOGRAM)
        return why_set(why, ERR_UNSUPPORTED, "unknown chunk encoding %u", type);
    *ret = (struct rr_piece){.kind = RR_PIECE_CHUNK,
                             .type = (enum chunk_type)type,
                             .chunk = data,
                             .min_ms = min_ms,
                             .max_ms = max_ms};
    return OK;
}

/* --- series and frames ------------------------------------------------------------------------ */

/* Gathers the labels of a series first, since a sender may scatter the fields. */
static enum err
rr_client_begin_series(struct rr_client *c, struct bytes message, struct rr_piece *ret,
                       struct why *why)
{
    struct cursor m = cursor_of(message);
    c->series = m;
    buf_clear(&c->labels);
    while (m.at != m.end && !m.bad) {
        const uint8_t *from = m.at;
        uint32_t tag = proto_tag(&m);
        proto_skip(&m, tag, 0);
        if (m.bad || tag != PROTO_TAG(1, PROTO_BYTES)) continue;
        buf_put(&c->labels, from, (size_t)(m.at - from));
    }
    if (m.bad) return malformed(why, "series");
    if (buf_error(&c->labels)) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    if (c->in_series && bytes_equal(buf_bytes(&c->labels), buf_bytes(&c->series_labels))) return OK;
    buf_clear(&c->series_labels);
    buf_put_bytes(&c->series_labels, buf_bytes(&c->labels));
    if (buf_error(&c->series_labels))
        return why_set(why, ERR_NOMEM, "not enough memory for labels");
    c->in_series = true;
    *ret = (struct rr_piece){.kind = RR_PIECE_SERIES, .labels = buf_bytes(&c->series_labels)};
    return OK;
}

static enum err
step_series(struct rr_client *c, struct rr_piece *ret, struct why *why)
{
    struct bytes chunk = {NULL, 0};
    uint32_t tag = proto_tag(&c->series);
    if (tag == PROTO_TAG(2, PROTO_BYTES))
        chunk = proto_bytes(&c->series);
    else
        proto_skip(&c->series, tag, PROTO_KNOWN(2));
    if (c->series.bad) return malformed(why, "series");
    return tag == PROTO_TAG(2, PROTO_BYTES) ? take_chunk(chunk, ret, why) : OK;
}

static enum err
step_frame(struct rr_client *c, struct rr_piece *ret, struct why *why)
{
    uint32_t tag = proto_tag(&c->frame);
    bool notice = tag == PROTO_TAG(RR_NOTICE_ERROR, PROTO_BYTES) ||
                  tag == PROTO_TAG(RR_NOTICE_LEFT_OUT, PROTO_BYTES) ||
                  tag == PROTO_TAG(RR_NOTICE_DOWNSAMPLED, PROTO_BYTES);
    bool series = tag == PROTO_TAG(1, PROTO_BYTES);
    struct bytes inner = {NULL, 0};
    if (notice || series)
        inner = proto_bytes(&c->frame);
    else
        proto_skip(&c->frame, tag, PROTO_KNOWN(1));
    if (c->frame.bad) return malformed(why, "frame");
    if (series) return rr_client_begin_series(c, inner, ret, why);
    if (notice) {
        *ret = (struct rr_piece){
            .kind = RR_PIECE_NOTICE, .notice = (enum rr_notice)(tag >> 3), .text = inner};
    }
    return OK;
}

/* Moves to the next frame if it is complete. */
static enum err
next_frame(struct rr_client *c, bool *ret_whole, struct why *why)
{
    size_t there = c->input.size - c->used;
    *ret_whole = false;
    if (there == 0) return OK; /* before the first piece data.at is NULL */
    struct cursor m = cursor_of(bytes_of(c->input.at + c->used, there));
    uint64_t size = cursor_varint(&m);
    if (m.bad) return there < VARINT_SIZE_MAX ? OK : malformed(why, "length");
    if (size > RR_CLIENT_FRAME_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "response frame is larger than %d bytes",
                       RR_CLIENT_FRAME_BYTES_MAX);
    }
    if (cursor_left(&m) < 4 + size) return OK;
    uint32_t sum = load_be32(m.at);
    struct bytes payload = bytes_of(m.at + 4, size);
    if (crc32c(0, payload) != sum)
        return why_set(why, ERR_CORRUPT, "response frame checksum does not match");
    c->frame = cursor_of(payload);
    c->used = (size_t)(payload.at + size - c->input.at);
    *ret_whole = true;
    return OK;
}

static bool
is_left(const struct cursor *c)
{
    return c->at != c->end;
}

enum err
rr_client_next(struct rr_client *c, struct rr_piece *ret_piece, struct why *why)
{
    struct why reason = {""};
    enum err e = OK;
    if (c->failed) return why_set(why, c->failed, "%s", c->reason.text);
    *ret_piece = (struct rr_piece){.kind = RR_PIECE_NONE};
    for (bool whole = true; e == OK && whole && ret_piece->kind == RR_PIECE_NONE;)
        if (is_left(&c->series))
            e = step_series(c, ret_piece, &reason);
        else if (is_left(&c->frame))
            e = step_frame(c, ret_piece, &reason);
        else
            e = next_frame(c, &whole, &reason);
    if (e == OK) return OK;
    c->failed = e;
    c->reason = reason;
    return why_set(why, e, "%s", reason.text);
}

enum err
rr_client_give(struct rr_client *c, struct bytes answer, struct why *why)
{
    assert(answer.size <= GIVEN_BYTES_MAX);
    size_t left = c->input.size - c->used;
    if (left > 0) memmove(c->input.at, c->input.at + c->used, left);
    c->input.size = left;
    c->used = 0;
    c->frame = c->series = (struct cursor){NULL, NULL, false};
    buf_put_bytes(&c->input, answer);
    return buf_error(&c->input) ? why_set(why, ERR_NOMEM, "not enough memory for the response")
                                : OK;
}

enum err
rr_client_end(struct rr_client *c, struct why *why)
{
    if (c->failed) return why_set(why, c->failed, "%s", c->reason.text);
    if (c->used == c->input.size) return OK;
    return why_set(why, ERR_CORRUPT, "streamed response is truncated");
}

/* --- chunks ----------------------------------------------------------------------------------- */

struct rr_decoder {
    struct budget *budget;
    struct arena arena;   /* memory of histograms */
    struct arena reading; /* the histogram being read */
    int64_t min_ms, max_ms;
    bool any; /* a sample was decoded */
    int64_t last_ms;
    uint32_t count;
    int64_t *times_ms;
    uint64_t *bits;
    uint32_t times_capacity, bits_capacity;
    struct histogram *histograms;
};

enum err
rr_decoder_new(struct budget *budget, struct rr_decoder **ret_decoder)
{
    struct rr_decoder *d = mem_new(budget, sizeof *d);
    if (d == NULL) return ERR_NOMEM;
    d->budget = budget;
    arena_init(&d->arena, budget, ARENA_BYTES_MAX, 0);
    arena_init(&d->reading, budget, ARENA_BYTES_MAX, 0);
    *ret_decoder = d;
    return OK;
}

void
rr_decoder_free(struct rr_decoder *d)
{
    if (d == NULL) return;
    arena_fini(&d->arena);
    arena_fini(&d->reading);
    array_free(d->budget, d->times_ms, d->times_capacity);
    array_free(d->budget, d->bits, d->bits_capacity);
    mem_free(d->budget, d, sizeof *d);
}

static enum err
keep_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct rr_decoder *d = context;
    if (d->any && t_ms <= d->last_ms) return ERR_CORRUPT;
    d->any = true;
    d->last_ms = t_ms;
    if (t_ms < d->min_ms || t_ms > d->max_ms) return OK;
    if (h != NULL) {
        enum err e = histogram_copy(h, &d->arena, &d->histograms[d->count]);
        if (e) return e;
    }
    d->times_ms[d->count] = t_ms;
    d->bits[d->count++] = bits;
    return OK;
}

enum err
rr_decode_chunk(struct rr_decoder *d, enum chunk_type type, struct bytes chunk, int64_t min_ms,
                int64_t max_ms, struct rr_decoded *ret, struct why *why)
{
    uint32_t announced = chunk.size < 2 ? 0 : (uint32_t)chunk.at[0] << 8 | chunk.at[1];
    d->count = 0;
    d->histograms = NULL;
    d->any = false;
    d->min_ms = min_ms;
    d->max_ms = max_ms;
    arena_reset(&d->arena);
    bool room = array_reserve(d->budget, &d->times_ms, &d->times_capacity, announced) &&
                array_reserve(d->budget, &d->bits, &d->bits_capacity, announced);
    if (room && type != CHUNK_XOR && announced > 0) {
        d->histograms = arena_alloc(&d->arena, announced * sizeof *d->histograms);
        room = d->histograms != NULL;
    }
    if (!room) return why_set(why, ERR_NOMEM, "not enough memory for a chunk");
    arena_reset(&d->reading);
    enum err e = chunk_read(type, chunk, &d->reading, keep_sample, d);
    if (e == ERR_CORRUPT) why_set(why, e, "streamed response has a damaged chunk");
    if (e == ERR_NOMEM || e == ERR_LIMIT) why_set(why, e, "not enough memory to decode a chunk");
    *ret = (struct rr_decoded){.count = d->count,
                               .times_ms = d->times_ms,
                               .bits = d->bits,
                               .histograms = type == CHUNK_XOR ? NULL : d->histograms};
    return e;
}
