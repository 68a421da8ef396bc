/*
 * remote_read_stream.c - the STREAMED_XOR_CHUNKS answer.
 *
 *     samples -> chunk being written -> contents of the frame being made -> output -> sink
 *
 * A frame is: varint size of the payload, its CRC-32C (big endian), the payload, which is a
 * ChunkedReadResponse { 1: ChunkedSeries { 1: labels..., 2: chunks... }, 2: query index }. All
 * sizes precede the contents of the ChunkedSeries, so the contents are gathered first; a finished
 * frame goes to the output, where small frames gather.
 *
 * A frame holds chunks of one series: the specification allows more, but Prometheus' client reads
 * only the first series. Canonical label bytes are exactly the label fields of the message.
 */
#include "wire/remote/remote_read.h"

#include <assert.h>

#include "base/hash/crc32c.h"
#include "wire/proto.h"

/* ChunkedReadResponse, ChunkedSeries, Chunk: tags of their fields. */
enum {
    TAG_SERIES = 1 << 3 | 2,
    TAG_QUERY_INDEX = 2 << 3 | 0,
    TAG_CHUNK = 2 << 3 | 2,
    READ_STREAM_TAG_MIN_TIME = 1 << 3 | 0,
    READ_STREAM_TAG_MAX_TIME = 2 << 3 | 0,
    TAG_TYPE = 3 << 3 | 0,
    TAG_DATA = 4 << 3 | 2
};

enum {
    OUTPUT_BYTES = 64 * 1024,
    OUTPUT_COPY_BYTES = 16 * 1024,  /* larger pieces go to the sink without a copy */
    CHUNK_BYTES_MIN = 1024,         /* a chunk ends beyond this or an eighth of a frame */
    LABELS_BYTES_MAX = 64 << 20,    /* ceilings that only broken callers reach: ... */
    CONTENTS_BYTES_MAX = 256 << 20, /* ... greater than labels and the largest histogram together */
    NOTICE_BYTES_MAX = 1024,
    FRAME_OVERHEAD_BYTES = 36 /* limit of everything in a frame but the contents */
};

struct rr_stream {
    struct rr_sink sink;
    size_t frame_bytes;
    size_t chunk_bytes;
    struct budget *budget;
    enum err failed; /* the first error: all later calls repeat it */

    uint32_t query_index;
    bool in_series;
    struct buf labels;

    struct chunk_writer *chunk; /* floats; empty, or its samples span this time */
    int64_t chunk_min_ms;
    int64_t chunk_max_ms;
    struct histogram_chunks *histograms;

    struct buf contents; /* empty, or labels and at least one chunk */
    struct buf output;
};

static take_histogram_chunk put_histogram_chunk;

enum err
rr_stream_new(const struct rr_sink *sink, size_t frame_bytes, struct budget *budget,
              struct rr_stream **ret_stream)
{
    struct rr_stream *stream = mem_new(budget, sizeof *stream);
    if (stream == NULL) return ERR_NOMEM;
    stream->sink = *sink;
    stream->frame_bytes = frame_bytes;
    stream->chunk_bytes = frame_bytes / 8 > CHUNK_BYTES_MIN ? frame_bytes / 8 : CHUNK_BYTES_MIN;
    stream->budget = budget;
    buf_init(&stream->labels, budget, LABELS_BYTES_MAX);
    buf_init(&stream->contents, budget, CONTENTS_BYTES_MAX);
    buf_init(&stream->output, budget, OUTPUT_BYTES);
    enum err e = chunk_writer_new(budget, &stream->chunk);
    if (e) goto out;
    e = histogram_chunks_new(budget, stream->chunk_bytes, put_histogram_chunk, stream,
                             &stream->histograms);
    if (e) goto out;
    if (!buf_reserve(&stream->output, OUTPUT_BYTES)) {
        e = ERR_NOMEM;
        goto out;
    }
    *ret_stream = stream;
    stream = NULL;
out:
    rr_stream_free(stream);
    return e;
}

void
rr_stream_free(struct rr_stream *stream)
{
    if (stream == NULL) return;
    chunk_writer_free(stream->chunk);
    histogram_chunks_free(stream->histograms);
    buf_fini(&stream->labels);
    buf_fini(&stream->contents);
    buf_fini(&stream->output);
    mem_free(stream->budget, stream, sizeof *stream);
}

static enum err
rr_stream_fail(struct rr_stream *stream, enum err e)
{
    stream->failed = e;
    return e;
}

/* --- output ----------------------------------------------------------------------------------- */

static enum err
rr_stream_flush(struct rr_stream *stream, struct why *why)
{
    if (stream->output.size == 0) return OK;
    enum err e = stream->sink.write(stream->sink.context, buf_bytes(&stream->output), why);
    buf_clear(&stream->output);
    return e;
}

static enum err
put_output(struct rr_stream *stream, struct bytes piece, struct why *why)
{
    bool direct = piece.size > OUTPUT_COPY_BYTES;
    if (direct || piece.size > OUTPUT_BYTES - stream->output.size) {
        enum err e = rr_stream_flush(stream, why);
        if (e) return e;
    }
    if (direct) return stream->sink.write(stream->sink.context, piece, why);
    buf_put_bytes(&stream->output, piece);
    return buf_error(&stream->output);
}

/* Sends the contents as a frame. */
static enum err
send_frame(struct rr_stream *stream, struct why *why)
{
    struct bytes contents = buf_bytes(&stream->contents);
    uint8_t inner[1 + VARINT_SIZE_MAX];
    size_t inner_size = 0;
    inner[inner_size++] = TAG_SERIES;
    inner_size += varint_put(inner + inner_size, contents.size);
    uint8_t tail[1 + VARINT_SIZE_MAX];
    size_t tail_size = 0;
    if (stream->query_index != 0) {
        tail[tail_size++] = TAG_QUERY_INDEX;
        tail_size += varint_put(tail + tail_size, stream->query_index);
    }
    uint32_t crc = crc32c(0, bytes_of(inner, inner_size));
    crc = crc32c(crc, contents);
    crc = crc32c(crc, bytes_of(tail, tail_size));

    uint8_t head[VARINT_SIZE_MAX + sizeof crc + sizeof inner];
    size_t head_size = varint_put(head, inner_size + contents.size + tail_size);
    store_be32(head + head_size, crc);
    head_size += sizeof crc;
    memcpy(head + head_size, inner, inner_size);
    head_size += inner_size;
    _Static_assert(sizeof head + sizeof tail == FRAME_OVERHEAD_BYTES,
                   "bounds a frame but its contents");

    enum err e = put_output(stream, bytes_of(head, head_size), why);
    if (e) return e;
    e = put_output(stream, contents, why);
    if (e) return e;
    e = put_output(stream, bytes_of(tail, tail_size), why);
    buf_clear(&stream->contents);
    return e;
}

/* --- chunks ----------------------------------------------------------------------------------- */

static size_t
time_field_size(int64_t t_ms)
{
    return t_ms == 0 ? 0 : 1 + varint_size((uint64_t)t_ms);
}

static size_t
chunk_message_size(int64_t min_ms, int64_t max_ms, struct bytes data)
{
    return time_field_size(min_ms) + time_field_size(max_ms) + 2 + 1 + varint_size(data.size) +
           data.size;
}

void
rr_chunk_put(struct buf *to, enum chunk_type type, int64_t min_ms, int64_t max_ms,
             struct bytes data)
{
    proto_put_varint(to, TAG_CHUNK, chunk_message_size(min_ms, max_ms, data));
    if (min_ms != 0) proto_put_varint(to, READ_STREAM_TAG_MIN_TIME, (uint64_t)min_ms);
    if (max_ms != 0) proto_put_varint(to, READ_STREAM_TAG_MAX_TIME, (uint64_t)max_ms);
    proto_put_varint(to, TAG_TYPE, type);
    proto_put_bytes(to, TAG_DATA, data);
}

/* Sends the frame if `size` more bytes of chunks do not fit into it. */
static enum err
need_room(struct rr_stream *stream, size_t size, struct why *why)
{
    struct buf *to = &stream->contents;
    if (to->size > 0 && to->size + size + FRAME_OVERHEAD_BYTES > stream->frame_bytes) {
        enum err e = send_frame(stream, why);
        if (e) return e;
    }
    if (to->size == 0) buf_put_bytes(to, buf_bytes(&stream->labels));
    return OK;
}

static enum err
put_chunk(struct rr_stream *stream, enum chunk_type type, int64_t min_ms, int64_t max_ms,
          struct bytes data, struct why *why)
{
    size_t size = chunk_message_size(min_ms, max_ms, data);
    enum err e = need_room(stream, 1 + varint_size(size) + size, why);
    if (e) return e;
    rr_chunk_put(&stream->contents, type, min_ms, max_ms, data);
    return buf_error(&stream->contents);
}

static enum err
put_histogram_chunk(void *context, const struct histogram_chunk *c, struct why *why)
{
    return put_chunk(context, c->type, c->min_ms, c->max_ms, c->data, why);
}

static enum err
end_floats(struct rr_stream *stream, struct why *why)
{
    if (chunk_count(stream->chunk) == 0) return OK;
    struct bytes data = chunk_end(stream->chunk);
    enum err e =
        put_chunk(stream, CHUNK_XOR, stream->chunk_min_ms, stream->chunk_max_ms, data, why);
    chunk_begin(stream->chunk);
    return e;
}

static enum err
rr_stream_end_series(struct rr_stream *stream, struct why *why)
{
    stream->in_series = false;
    enum err e = end_floats(stream, why);
    if (e == OK) e = histogram_chunks_end(stream->histograms, why);
    if (e) return e;
    return stream->contents.size > 0 ? send_frame(stream, why) : OK;
}

/* --- the calls -------------------------------------------------------------------------------- */

enum err
rr_stream_query(struct rr_stream *stream, uint32_t query_index, struct why *why)
{
    if (stream->failed) return stream->failed;
    enum err e = rr_stream_end_series(stream, why);
    if (e) return rr_stream_fail(stream, e);
    stream->query_index = query_index;
    return OK;
}

enum err
rr_stream_series(struct rr_stream *stream, struct bytes labels, struct why *why)
{
    if (stream->failed) return stream->failed;
    enum err e = rr_stream_end_series(stream, why);
    if (e) return rr_stream_fail(stream, e);
    buf_clear(&stream->labels);
    buf_put_bytes(&stream->labels, labels);
    if (buf_error(&stream->labels)) return rr_stream_fail(stream, buf_error(&stream->labels));
    stream->in_series = true;
    return OK;
}

enum err
rr_stream_floats(struct rr_stream *stream, uint32_t count, const int64_t *times_ms,
                 const uint64_t *bits, struct why *why)
{
    if (stream->failed) return stream->failed;
    assert(stream->in_series);
    enum err e = histogram_chunks_end(stream->histograms, why);
    for (uint32_t at = 0; at < count && e == OK;) {
        if (chunk_count(stream->chunk) == CHUNK_SAMPLES ||
            chunk_size(stream->chunk) >= stream->chunk_bytes) {
            e = end_floats(stream, why);
            if (e) break;
        }
        uint32_t some = CHUNK_SAMPLES - chunk_count(stream->chunk);
        if (some > count - at) some = count - at;
        if (chunk_count(stream->chunk) == 0) stream->chunk_min_ms = times_ms[at];
        e = chunk_put_floats(stream->chunk, some, times_ms + at, bits + at);
        at += some;
        stream->chunk_max_ms = times_ms[at - 1];
    }
    return e ? rr_stream_fail(stream, e) : OK;
}

enum err
rr_stream_histograms(struct rr_stream *stream, uint32_t count, const int64_t *times_ms,
                     const struct histogram *h, struct why *why)
{
    if (stream->failed) return stream->failed;
    assert(stream->in_series);
    enum err e = end_floats(stream, why);
    if (e == OK) e = histogram_chunks_put(stream->histograms, count, times_ms, h, why);
    return e ? rr_stream_fail(stream, e) : OK;
}

enum err
rr_stream_columns(struct rr_stream *stream, const struct hist_columns *columns, uint32_t from,
                  uint32_t count, const int64_t *times_ms, struct why *why)
{
    if (stream->failed) return stream->failed;
    assert(stream->in_series);
    enum err e = end_floats(stream, why);
    if (e == OK)
        e = histogram_chunks_put_columns(stream->histograms, columns, from, count, times_ms, why);
    return e ? rr_stream_fail(stream, e) : OK;
}

/* Returns the size of the first chunks that fit `room`, at least one chunk. */
static size_t
chunks_that_fit(struct bytes chunks, size_t room)
{
    if (chunks.size <= room) return chunks.size; /* the usual case, without parsing the chunks */
    size_t fit = 0;
    for (struct cursor c = cursor_of(chunks); cursor_left(&c) > 0;) {
        (void)cursor_u8(&c);
        (void)cursor_counted(&c);
        assert(!c.bad);
        size_t size = chunks.size - cursor_left(&c);
        if (fit > 0 && size > room) break;
        fit = size;
    }
    return fit;
}

static enum err
put_made_chunks(struct rr_stream *stream, struct bytes chunks, struct why *why)
{
    struct buf *to = &stream->contents;
    while (chunks.size > 0) {
        enum err e = need_room(stream, chunks_that_fit(chunks, 0), why);
        if (e) return e;
        size_t used = to->size + FRAME_OVERHEAD_BYTES;
        size_t fit =
            chunks_that_fit(chunks, used < stream->frame_bytes ? stream->frame_bytes - used : 0);
        buf_put(to, chunks.at, fit);
        if (buf_error(to)) return buf_error(to);
        chunks = bytes_of(chunks.at + fit, chunks.size - fit);
    }
    return OK;
}

enum err
rr_stream_chunks(struct rr_stream *stream, struct bytes chunks, struct why *why)
{
    if (stream->failed) return stream->failed;
    assert(stream->in_series);
    enum err e = end_floats(stream, why);
    if (e == OK) e = histogram_chunks_end(stream->histograms, why);
    if (e == OK) e = put_made_chunks(stream, chunks, why);
    return e ? rr_stream_fail(stream, e) : OK;
}

enum err
rr_stream_notice(struct rr_stream *stream, enum rr_notice notice, struct bytes text,
                 struct why *why)
{
    if (stream->failed) return stream->failed;
    if (text.size > NOTICE_BYTES_MAX) text.size = NOTICE_BYTES_MAX;
    enum err e = rr_stream_end_series(stream, why);
    uint8_t payload[2 * VARINT_SIZE_MAX + NOTICE_BYTES_MAX];
    size_t size = varint_put(payload, PROTO_TAG(notice, PROTO_BYTES));
    size += varint_put(payload + size, text.size);
    if (text.size > 0) memcpy(payload + size, text.at, text.size);
    size += text.size;
    uint8_t head[VARINT_SIZE_MAX + 4];
    size_t head_size = varint_put(head, size);
    store_be32(head + head_size, crc32c(0, bytes_of(payload, size)));
    if (e == OK) e = put_output(stream, bytes_of(head, head_size + 4), why);
    if (e == OK) e = put_output(stream, bytes_of(payload, size), why);
    return e ? rr_stream_fail(stream, e) : OK;
}

enum err
rr_stream_end(struct rr_stream *stream, struct why *why)
{
    if (stream->failed) return stream->failed;
    enum err e = rr_stream_end_series(stream, why);
    if (e) return rr_stream_fail(stream, e);
    e = rr_stream_flush(stream, why);
    return e ? rr_stream_fail(stream, e) : OK;
}
