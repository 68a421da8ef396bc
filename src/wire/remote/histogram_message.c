/* histogram_message.c - sizes are computed first, so that nested messages are written in place. */
#include "wire/remote/histogram_message.h"

#include "wire/proto.h"

/* Fields of Histogram and BucketSpan. */
enum {
    TAG_COUNT_INT = 1 << 3 | 0,
    TAG_COUNT_FLOAT = 2 << 3 | 1,
    TAG_SUM = 3 << 3 | 1,
    TAG_SCHEMA = 4 << 3 | 0,
    TAG_ZERO_THRESHOLD = 5 << 3 | 1,
    TAG_ZERO_COUNT_INT = 6 << 3 | 0,
    TAG_ZERO_COUNT_FLOAT = 7 << 3 | 1,
    TAG_NEGATIVE_SPANS = 8 << 3 | 2, /* deltas and counts are the next two fields */
    TAG_POSITIVE_SPANS = 11 << 3 | 2,
    TAG_RESET_HINT = 14 << 3 | 0,
    TAG_TIME = 15 << 3 | 0,
    TAG_CUSTOM = 16 << 3 | 2,
    TAG_START_TIME = 17 << 3 | 0,
    TAG_SPAN_OFFSET = 1 << 3 | 0,
    TAG_SPAN_LENGTH = 2 << 3 | 0,
    NEXT_FIELD = 1 << 3,
};

static void
put_doubles_field(struct buf *to, unsigned tag, const uint64_t *bits, uint32_t count)
{
    if (count == 0) return;
    proto_put_bytes(to, tag, bytes_of(bits, (size_t)count * sizeof *bits));
}

static void
put_side(struct buf *to, enum sample_kind kind, unsigned tag, const struct hist_buckets *b)
{
    for (uint32_t i = 0; i < b->span_count; i++) {
        uint64_t offset = zigzag(b->spans[i].offset);
        uint32_t length = b->spans[i].length;
        size_t span_bytes = (offset == 0 ? 0 : 1 + varint_size(offset)) +
                            (length == 0 ? 0 : 1 + varint_size(length));
        proto_put_varint(to, tag, span_bytes);
        if (offset != 0) proto_put_varint(to, TAG_SPAN_OFFSET, offset);
        if (length != 0) proto_put_varint(to, TAG_SPAN_LENGTH, length);
    }
    if (kind == SAMPLE_HISTOGRAM_FLOAT) {
        put_doubles_field(to, tag + 2 * NEXT_FIELD, b->counts, b->bucket_count);
        return;
    }
    if (b->bucket_count == 0) return;
    size_t size = 0;
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        size += varint_size(zigzag(b->deltas[i]));
    }
    proto_put_varint(to, tag + NEXT_FIELD, size);
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        buf_put_zigzag(to, b->deltas[i]);
    }
}

/* Count and zero count are written even if zero: the kind is that of the field that is present. */
void
histogram_message_put(struct buf *to, int64_t t_ms, int64_t start_ms, const struct histogram *h)
{
    bool is_int = h->kind == SAMPLE_HISTOGRAM_INT;
    if (is_int) {
        proto_put_varint(to, TAG_COUNT_INT, h->count);
    } else {
        proto_put_fixed64(to, TAG_COUNT_FLOAT, h->count);
    }
    if (h->sum_bits != 0) proto_put_fixed64(to, TAG_SUM, h->sum_bits);
    if (h->schema != 0) proto_put_varint(to, TAG_SCHEMA, zigzag(h->schema));
    if (h->zero_threshold_bits != 0) {
        proto_put_fixed64(to, TAG_ZERO_THRESHOLD, h->zero_threshold_bits);
    }
    if (is_int) {
        proto_put_varint(to, TAG_ZERO_COUNT_INT, h->zero_count);
    } else {
        proto_put_fixed64(to, TAG_ZERO_COUNT_FLOAT, h->zero_count);
    }
    put_side(to, h->kind, TAG_NEGATIVE_SPANS, &h->negative);
    put_side(to, h->kind, TAG_POSITIVE_SPANS, &h->positive);
    if (h->reset_hint != RESET_UNKNOWN) proto_put_varint(to, TAG_RESET_HINT, h->reset_hint);
    if (t_ms != 0) proto_put_varint(to, TAG_TIME, (uint64_t)t_ms);
    put_doubles_field(to, TAG_CUSTOM, h->custom_bits, h->custom_count);
    if (start_ms != 0) proto_put_varint(to, TAG_START_TIME, (uint64_t)start_ms);
}
