/* shape.c - compares layouts of histograms, makes deep copies, and steps through label bytes. */
#include "wire/shape.h"

#include "wire/proto.h"

static bool
same_spans(const struct hist_buckets *a, const struct hist_buckets *b)
{
    return a->span_count == b->span_count && a->bucket_count == b->bucket_count &&
           (a->span_count == 0 ||
            memcmp(a->spans, b->spans, a->span_count * sizeof *a->spans) == 0);
}

bool
histogram_same_custom(const struct histogram *a, const struct histogram *b)
{
    return a->custom_count == b->custom_count &&
           (a->custom_count == 0 ||
            memcmp(a->custom_bits, b->custom_bits, a->custom_count * sizeof *a->custom_bits) == 0);
}

bool
histogram_same_layout(const struct histogram *a, const struct histogram *b)
{
    return a->kind == b->kind && a->schema == b->schema &&
           a->zero_threshold_bits == b->zero_threshold_bits &&
           same_spans(&a->positive, &b->positive) && same_spans(&a->negative, &b->negative) &&
           histogram_same_custom(a, b);
}

/* Copies `count` items of `size` bytes; NULL for 0 items. *e is set when the arena is full. */
static const void *
copy_array(struct arena *arena, const void *from, uint32_t count, size_t size, enum err *e)
{
    if (count == 0 || from == NULL) return NULL;
    void *to = arena_alloc(arena, count * size);
    if (to == NULL) {
        *e = ERR_LIMIT;
        return NULL;
    }
    return memcpy(to, from, count * size);
}

static void
copy_side(struct arena *arena, struct hist_buckets *side, bool floats, enum err *e)
{
    const struct hist_buckets from = *side;
    side->spans = copy_array(arena, from.spans, from.span_count, sizeof *from.spans, e);
    side->deltas = NULL;
    side->counts = NULL;
    if (floats)
        side->counts = copy_array(arena, from.counts, from.bucket_count, sizeof *from.counts, e);
    else
        side->deltas = copy_array(arena, from.deltas, from.bucket_count, sizeof *from.deltas, e);
}

enum err
histogram_copy(const struct histogram *h, struct arena *arena, struct histogram *ret_copy)
{
    bool floats = h->kind == SAMPLE_HISTOGRAM_FLOAT;
    struct histogram copy = *h;
    enum err e = OK;
    copy_side(arena, &copy.positive, floats, &e);
    copy_side(arena, &copy.negative, floats, &e);
    copy.custom_bits =
        copy_array(arena, h->custom_bits, h->custom_count, sizeof *h->custom_bits, &e);
    if (e) return e;
    *ret_copy = copy;
    return OK;
}

bool
labels_next(struct cursor *c, struct label *ret_label)
{
    if (c->at == c->end) return false;
    uint8_t tag = cursor_u8(c);
    struct bytes rest = cursor_counted(c);
    if (c->bad) return false;
    struct cursor inner = cursor_of(rest);
    uint8_t name_tag = cursor_u8(&inner);
    struct bytes name = cursor_counted(&inner);
    uint8_t value_tag = cursor_u8(&inner);
    struct bytes value = cursor_counted(&inner);
    bool shaped = tag == PROTO_TAG(1, PROTO_BYTES) && name_tag == PROTO_TAG(1, PROTO_BYTES) &&
                  value_tag == PROTO_TAG(2, PROTO_BYTES);
    if (!shaped || inner.bad || inner.at != inner.end) {
        cursor_fail(c);
        return false;
    }
    *ret_label = (struct label){name, value};
    return true;
}

struct bytes
labels_get(struct bytes labels, struct bytes name)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label)) {
        int order = bytes_compare(label.name, name);
        if (order == 0) return label.value;
        if (order > 0) break;
    }
    return (struct bytes){NULL, 0};
}
