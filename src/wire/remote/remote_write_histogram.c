/*
 * remote_write_histogram.c - the Histogram message of remote write, the same in 1.0 and 2.0 but for
 * start_timestamp.
 *
 * Its seven arrays are collected in lists of 8-byte items in the request's arena. Senders write
 * each array as one packed field, whose exact size is counted first, so that a list is allocated
 * once and filled in place. The specification allows any number of pieces, packed or not: then the
 * list doubles and leaves its old memory in the arena, at most as much as it holds.
 *
 * The last count field determines the kind. Fields of the other kind make the histogram malformed,
 * not the message: the sender's next histograms may be valid.
 */
#include "wire/proto.h"
#include "wire/remote/remote_write_memory.h"

enum { LIST_FIRST_ITEMS = 8, ITEM_BYTES = 8 };

/* Fields 8 to 13 and 16, in this order: for each sign spans, deltas (int64_t), counts (uint64_t,
 * double bits), then the custom bounds (as counts). */
enum array {
    NEGATIVE_SPANS,
    NEGATIVE_DELTAS,
    NEGATIVE_COUNTS,
    POSITIVE_SPANS,
    POSITIVE_DELTAS,
    POSITIVE_COUNTS,
    CUSTOM,
    ARRAY_COUNT,
    FIRST_ARRAY_FIELD = 8,
    CUSTOM_FIELD = 16,
};

_Static_assert(sizeof(struct hist_span) == ITEM_BYTES, "spans are list items");

enum which { ABSENT, INTEGER, FLOAT };

struct array_list {
    void *at;
    uint32_t count;
    uint32_t capacity;
};

struct parts {
    struct rw_memory *m;
    struct rw_histogram *to;
    struct array_list lists[ARRAY_COUNT];
    enum which count;
    enum which zero_count;
    bool too_many; /* items beyond HISTOGRAM_BUCKETS_MAX, which are checked but not kept */
};

/* Adds room for `more` items; *ret_items is NULL if the list would be too long. */
static enum err
list_extend(struct parts *p, struct array_list *list, uint32_t more, void **ret_items)
{
    *ret_items = NULL;
    if (more == 0) return OK;
    if (more > HISTOGRAM_BUCKETS_MAX - list->count) {
        p->too_many = true;
        return OK;
    }
    uint32_t need = list->count + more;
    if (need > list->capacity) {
        uint32_t capacity = list->capacity == 0 ? more : list->capacity * 2;
        if (capacity < need) capacity = need;
        if (capacity < LIST_FIRST_ITEMS) capacity = LIST_FIRST_ITEMS;
        void *at = rw_arena_alloc(p->m, (size_t)capacity * ITEM_BYTES);
        if (at == NULL) return p->m->refused;
        if (list->count > 0) memcpy(at, list->at, (size_t)list->count * ITEM_BYTES);
        list->at = at;
        list->capacity = capacity;
    }
    *ret_items = (uint8_t *)list->at + (size_t)list->count * ITEM_BYTES;
    list->count = need;
    return OK;
}

static enum err
take_span(struct parts *p, struct array_list *list, struct bytes message)
{
    struct hist_span span = {0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_VARINT):
            span.offset = proto_sint32(&c);
            break;
        case PROTO_TAG(2, PROTO_VARINT):
            span.length = proto_uint32(&c);
            break;
        default:
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2));
        }
    }
    if (c.bad) return ERR_INPUT;
    void *item;
    enum err e = list_extend(p, list, 1, &item);
    if (item != NULL) memcpy(item, &span, sizeof span);
    return e;
}

static enum err
rw_histogram_take_word(struct parts *p, struct array_list *list, uint64_t word)
{
    void *item;
    enum err e = list_extend(p, list, 1, &item);
    if (item != NULL) memcpy(item, &word, sizeof word);
    return e;
}

static enum err
take_packed_deltas(struct parts *p, struct array_list *list, struct bytes packed)
{
    void *items;
    enum err e = list_extend(p, list, proto_packed_count(packed), &items);
    if (e) return e;
    struct cursor c = cursor_of(packed);
    int64_t *delta = items;
    while (c.at != c.end) {
        int64_t v = cursor_zigzag(&c);
        /* A varint that fails may not have been counted: there may be no room for it. */
        if (!c.bad && delta != NULL) *delta++ = v;
    }
    return c.bad ? ERR_INPUT : OK;
}

static enum err
take_packed_doubles(struct parts *p, struct array_list *list, struct bytes packed)
{
    if (packed.size % 8 != 0) return ERR_INPUT;
    void *items;
    enum err e = list_extend(p, list, (uint32_t)(packed.size / 8), &items);
    if (items != NULL && packed.size > 0) memcpy(items, packed.at, packed.size);
    return e;
}

/* Takes fields 8 to 13 and 16. After a failed cursor it adds no items; the caller checks the
 * cursor. */
static enum err
take_array(struct parts *p, uint32_t tag, struct cursor *c)
{
    uint32_t field = tag >> 3;
    enum array array = field == CUSTOM_FIELD ? CUSTOM : (enum array)(field - FIRST_ARRAY_FIELD);
    struct array_list *list = &p->lists[array];
    bool spans = array == NEGATIVE_SPANS || array == POSITIVE_SPANS;
    bool deltas = array == NEGATIVE_DELTAS || array == POSITIVE_DELTAS;
    switch (tag & 7) {
    case PROTO_BYTES:
        return spans    ? take_span(p, list, proto_bytes(c))
               : deltas ? take_packed_deltas(p, list, proto_bytes(c))
                        : take_packed_doubles(p, list, proto_bytes(c));
    case PROTO_VARINT:
        return deltas ? rw_histogram_take_word(p, list, (uint64_t)cursor_zigzag(c)) : ERR_INPUT;
    case PROTO_FIXED64:
        return spans || deltas ? ERR_INPUT : rw_histogram_take_word(p, list, cursor_le64(c));
    default:
        return ERR_INPUT;
    }
}

/* Takes all other fields, 1 to 7, 14, 15, 17; `known` is the set of all fields of this version. */
static void
take_scalar(struct parts *p, uint32_t tag, struct cursor *c, uint64_t known)
{
    struct histogram *h = &p->to->h;
    switch (tag) {
    case PROTO_TAG(1, PROTO_VARINT):
        h->count = cursor_varint(c);
        p->count = INTEGER;
        return;
    case PROTO_TAG(2, PROTO_FIXED64):
        h->count = cursor_le64(c);
        p->count = FLOAT;
        return;
    case PROTO_TAG(3, PROTO_FIXED64):
        h->sum_bits = cursor_le64(c);
        return;
    case PROTO_TAG(4, PROTO_VARINT):
        h->schema = proto_sint32(c);
        return;
    case PROTO_TAG(5, PROTO_FIXED64):
        h->zero_threshold_bits = cursor_le64(c);
        return;
    case PROTO_TAG(6, PROTO_VARINT):
        h->zero_count = cursor_varint(c);
        p->zero_count = INTEGER;
        return;
    case PROTO_TAG(7, PROTO_FIXED64):
        h->zero_count = cursor_le64(c);
        p->zero_count = FLOAT;
        return;
    case PROTO_TAG(14, PROTO_VARINT):
        h->reset_hint = (enum reset_hint)proto_uint32(c);
        return;
    case PROTO_TAG(15, PROTO_VARINT):
        p->to->t_ms = proto_int64(c);
        return;
    case PROTO_TAG(17, PROTO_VARINT):
        if ((known & PROTO_KNOWN(17)) != 0) {
            p->to->start_ms = proto_int64(c);
            return;
        }
        break;
    }
    proto_skip(c, tag, known);
}

static struct hist_buckets
buckets_of(const struct array_list *spans, enum sample_kind kind)
{
    bool floats = kind == SAMPLE_HISTOGRAM_FLOAT;
    const struct array_list *buckets = &spans[floats ? 2 : 1];
    return (struct hist_buckets){.spans = spans->at,
                                 .span_count = spans->count,
                                 .bucket_count = buckets->count,
                                 .deltas = floats ? NULL : buckets->at,
                                 .counts = floats ? buckets->at : NULL};
}

static void
rw_histogram_finish(struct parts *p)
{
    struct histogram *h = &p->to->h;
    bool deltas = p->lists[NEGATIVE_DELTAS].count > 0 || p->lists[POSITIVE_DELTAS].count > 0;
    bool counts = p->lists[NEGATIVE_COUNTS].count > 0 || p->lists[POSITIVE_COUNTS].count > 0;
    bool integer = p->count == INTEGER || p->zero_count == INTEGER || deltas;
    bool floating = p->count == FLOAT || p->zero_count == FLOAT || counts;
    h->kind = p->count == FLOAT || (p->count == ABSENT && floating) ? SAMPLE_HISTOGRAM_FLOAT
                                                                    : SAMPLE_HISTOGRAM_INT;
    h->negative = buckets_of(&p->lists[NEGATIVE_SPANS], h->kind);
    h->positive = buckets_of(&p->lists[POSITIVE_SPANS], h->kind);
    h->custom_bits = p->lists[CUSTOM].at;
    h->custom_count = p->lists[CUSTOM].count;
    p->to->malformed = p->count == ABSENT || (integer && floating) || p->too_many;
}

enum err
rw_decode_histogram(struct rw_memory *m, enum rw_version version, struct bytes message,
                    struct rw_histogram *h)
{
    const uint64_t arrays = PROTO_KNOWN(8) | PROTO_KNOWN(9) | PROTO_KNOWN(10) | PROTO_KNOWN(11) |
                            PROTO_KNOWN(12) | PROTO_KNOWN(13) | PROTO_KNOWN(16);
    const uint64_t known = version == RW_V1 ? 0x1fffe : 0x3fffe; /* 1 to 16, 1 to 17 */
    /* Sets all of p, and all members of *h that rw_histogram_finish() does not set. Member by
     * member: for whole structs of this size the compiler uses a slow string instruction. */
    const struct array_list none = {0};
    struct parts p;
    p.m = m;
    p.to = h;
    p.lists[NEGATIVE_SPANS] = p.lists[NEGATIVE_DELTAS] = p.lists[NEGATIVE_COUNTS] = none;
    p.lists[POSITIVE_SPANS] = p.lists[POSITIVE_DELTAS] = p.lists[POSITIVE_COUNTS] = none;
    p.lists[CUSTOM] = none;
    p.count = p.zero_count = ABSENT;
    p.too_many = false;
    h->t_ms = h->start_ms = 0;
    h->h.reset_hint = RESET_UNKNOWN;
    h->h.schema = 0;
    h->h.zero_threshold_bits = h->h.sum_bits = 0;
    h->h.count = h->h.zero_count = 0;
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        uint32_t field = tag >> 3;
        if (field < 64 && (arrays >> field & 1) != 0) {
            enum err e = take_array(&p, tag, &c);
            if (e) return e;
        } else {
            take_scalar(&p, tag, &c, known);
        }
    }
    if (c.bad) return ERR_INPUT;
    rw_histogram_finish(&p);
    return OK;
}
