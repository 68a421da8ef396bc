/*
 * family_writer.c - a message's length precedes it, so the metrics of a family wait; a large family
 * is split into several messages, which readers join. A new type begins a new family, too: a name
 * may have floats and histograms of both kinds.
 */
#include "wire/text/family_writer.h"

#include "base/buf.h"
#include "wire/number.h"
#include "wire/proto.h"
#include "wire/shape.h"
#include "wire/text/text_format.h"

enum { MESSAGE_BYTES = 64 * 1024, BYTES_MAX = 64 << 20 };

/* Fields of the messages. */
enum {
    TAG_FAMILY_NAME = PROTO_TAG(1, PROTO_BYTES),
    TAG_FAMILY_TYPE = PROTO_TAG(3, PROTO_VARINT),
    TAG_FAMILY_METRIC = PROTO_TAG(4, PROTO_BYTES),
    TAG_METRIC_LABEL = PROTO_TAG(1, PROTO_BYTES),
    TAG_METRIC_UNTYPED = PROTO_TAG(5, PROTO_BYTES),
    TAG_METRIC_TIMESTAMP = PROTO_TAG(6, PROTO_VARINT),
    TAG_METRIC_HISTOGRAM = PROTO_TAG(7, PROTO_BYTES),
    TAG_PAIR_NAME = PROTO_TAG(1, PROTO_BYTES),
    TAG_PAIR_VALUE = PROTO_TAG(2, PROTO_BYTES),
    TAG_UNTYPED_VALUE = PROTO_TAG(1, PROTO_FIXED64),
    TAG_HISTOGRAM_SUM = PROTO_TAG(2, PROTO_FIXED64),
    TAG_HISTOGRAM_BUCKET = PROTO_TAG(3, PROTO_BYTES),
    TAG_HISTOGRAM_COUNT = PROTO_TAG(4, PROTO_FIXED64),
    TAG_HISTOGRAM_SCHEMA = PROTO_TAG(5, PROTO_VARINT),
    TAG_HISTOGRAM_ZERO_THRESHOLD = PROTO_TAG(6, PROTO_FIXED64),
    TAG_HISTOGRAM_ZERO_COUNT = PROTO_TAG(8, PROTO_FIXED64),
    TAG_HISTOGRAM_NEGATIVE_SPAN = PROTO_TAG(9, PROTO_BYTES),
    TAG_HISTOGRAM_NEGATIVE_COUNT = PROTO_TAG(11, PROTO_FIXED64),
    TAG_HISTOGRAM_POSITIVE_SPAN = PROTO_TAG(12, PROTO_BYTES),
    TAG_HISTOGRAM_POSITIVE_COUNT = PROTO_TAG(14, PROTO_FIXED64),
    TAG_SPAN_OFFSET = PROTO_TAG(1, PROTO_VARINT),
    TAG_SPAN_LENGTH = PROTO_TAG(2, PROTO_VARINT),
    TAG_BUCKET_BOUND = PROTO_TAG(2, PROTO_FIXED64),
    TAG_BUCKET_COUNT = PROTO_TAG(4, PROTO_FIXED64),
};

static const struct {
    const char *word;
    uint8_t number;
} types[] = {[FAMILY_UNTYPED] = {"untyped", 3},
             [FAMILY_HISTOGRAM] = {"histogram", 4},
             [FAMILY_GAUGE_HISTOGRAM] = {"histogram", 5}}; /* no word in the text format */

void
family_writer_init(struct family_writer *w, enum family_form form, enum name_escaping escaping,
                   struct budget *budget, struct buf *to)
{
    *w = (struct family_writer){.to = to, .form = form, .escaping = escaping};
    buf_init(&w->name, budget, BYTES_MAX);
    buf_init(&w->escaped, budget, BYTES_MAX);
    buf_init(&w->metrics, budget, BYTES_MAX);
    buf_init(&w->metric, budget, BYTES_MAX);
    buf_init(&w->part, budget, BYTES_MAX);
}

void
family_writer_fini(struct family_writer *w)
{
    buf_fini(&w->name);
    buf_fini(&w->escaped);
    buf_fini(&w->metrics);
    buf_fini(&w->metric);
    buf_fini(&w->part);
}

enum err
family_writer_error(const struct family_writer *w)
{
    const struct buf *bufs[] = {w->to, &w->name, &w->escaped, &w->metrics, &w->metric, &w->part};
    enum err e = w->failed;
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        e = err_first(e, buf_error(bufs[i]));
    return e;
}

/* Empties a buffer but remembers its error. */
static void
reuse(struct family_writer *w, struct buf *buf)
{
    w->failed = err_first(w->failed, buf_error(buf));
    buf_clear(buf);
}

/* --- families --------------------------------------------------------------------------------- */

/* Sends the waiting metrics as a message. */
static void
put_message(struct family_writer *w)
{
    if (w->metrics.size == 0) return;
    reuse(w, &w->part);
    proto_put_bytes(&w->part, TAG_FAMILY_NAME, buf_bytes(&w->escaped));
    proto_put_varint(&w->part, TAG_FAMILY_TYPE, types[w->type].number);
    buf_put_varint(w->to, w->part.size + w->metrics.size);
    buf_put_bytes(w->to, buf_bytes(&w->part));
    buf_put_bytes(w->to, buf_bytes(&w->metrics));
    reuse(w, &w->metrics);
}

static void
put_name(struct buf *to, struct bytes name)
{
    if (name_is_plain(name, true))
        buf_put_bytes(to, name);
    else
        text_put_escaped(to, name);
}

/* Begins a family if the sample's type or name differs from the current one. */
static void
begin_sample(struct family_writer *w, struct bytes labels, enum family_type type)
{
    struct bytes name = labels_get(labels, bytes_of_text("__name__"));
    if (w->type == type && bytes_equal(name, buf_bytes(&w->name))) return;
    put_message(w);
    reuse(w, &w->name);
    buf_put_bytes(&w->name, name);
    reuse(w, &w->escaped);
    name_escape(&w->escaped, name, w->escaping);
    w->type = type;
    if (w->form == FAMILY_FORM_MESSAGES) return;
    buf_put_text(w->to, "# TYPE ");
    put_name(w->to, buf_bytes(&w->escaped));
    buf_printf(w->to, " %s\n", types[type].word);
}

/* Steps through the labels to write: all but the name; then an empty instance if it is missing. */
struct family_written {
    struct cursor labels;
    bool instance;
    bool over;
};

static bool
next_label(struct family_written *t, struct label *ret)
{
    while (labels_next(&t->labels, ret)) {
        if (bytes_equal_text(ret->name, "__name__")) continue;
        t->instance |= bytes_equal_text(ret->name, "instance");
        return true;
    }
    if (t->instance || t->over) return false;
    t->over = true;
    *ret = (struct label){bytes_of_text("instance"), bytes_of_text("")};
    return true;
}

/* --- text ------------------------------------------------------------------------------------- */

/* Writes the shortest digits as Go does, but a zero has no sign. */
static void
family_put_number(struct buf *to, double value)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put(to, digits, number_print_sentence(double_bits(value == 0 ? 0 : value), digits));
}

/* `le`: the bound of a bucket; NULL if the line is not a bucket. */
static void
family_put_line(struct family_writer *w, struct bytes labels, const char *suffix, const double *le,
                double value, int64_t t_ms)
{
    struct buf *to = w->to;
    struct family_written t = {.labels = cursor_of(labels)};
    struct label label;
    reuse(w, &w->part);
    buf_put_bytes(&w->part, buf_bytes(&w->escaped));
    buf_put_text(&w->part, suffix);
    bool quoted = !name_is_plain(buf_bytes(&w->part), true), comma = quoted;
    if (quoted) buf_put_u8(to, '{');
    put_name(to, buf_bytes(&w->part));
    if (!quoted) buf_put_u8(to, '{');
    while (next_label(&t, &label)) {
        if (comma) buf_put_u8(to, ',');
        comma = true;
        reuse(w, &w->part);
        name_escape(&w->part, label.name, w->escaping);
        put_name(to, buf_bytes(&w->part));
        buf_put_u8(to, '=');
        text_put_escaped(to, label.value);
    }
    if (le != NULL) {
        buf_put_text(to, comma ? ",le=\"" : "le=\"");
        family_put_number(to, *le);
        buf_put_u8(to, '"');
    }
    buf_put_text(to, "} ");
    family_put_number(to, value);
    buf_put_u8(to, ' ');
    buf_put_int(to, t_ms);
    buf_put_u8(to, '\n');
}

/* --- messages --------------------------------------------------------------------------------- */

/* Returns the size of a bytes field with a number below 16. */
static size_t
field_size(size_t bytes)
{
    return 1 + varint_size(bytes) + bytes;
}

static void
family_put_labels(struct family_writer *w, struct bytes labels)
{
    struct family_written t = {.labels = cursor_of(labels)};
    struct label label;
    reuse(w, &w->metric);
    while (next_label(&t, &label)) {
        reuse(w, &w->part);
        name_escape(&w->part, label.name, w->escaping);
        proto_put_varint(&w->metric, TAG_METRIC_LABEL,
                         field_size(w->part.size) + field_size(label.value.size));
        proto_put_bytes(&w->metric, TAG_PAIR_NAME, buf_bytes(&w->part));
        proto_put_bytes(&w->metric, TAG_PAIR_VALUE, label.value);
    }
}

/* Ends a metric. */
static void
end_metric(struct family_writer *w)
{
    proto_put_bytes(&w->metrics, TAG_FAMILY_METRIC, buf_bytes(&w->metric));
    if (w->metrics.size >= MESSAGE_BYTES) put_message(w);
}

void
family_writer_float(struct family_writer *w, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    begin_sample(w, labels, FAMILY_UNTYPED);
    if (w->form == FAMILY_FORM_TEXT) {
        family_put_line(w, labels, "", NULL, bits_double(bits), t_ms);
        return;
    }
    family_put_labels(w, labels);
    proto_put_varint(&w->metric, TAG_METRIC_UNTYPED, 1 + sizeof bits);
    proto_put_fixed64(&w->metric, TAG_UNTYPED_VALUE, bits);
    proto_put_varint(&w->metric, TAG_METRIC_TIMESTAMP, (uint64_t)t_ms);
    end_metric(w);
}

/* --- histograms ------------------------------------------------------------------------------- */

static double
number_of(const struct histogram *h, uint64_t count)
{
    return h->kind == SAMPLE_HISTOGRAM_INT ? (double)count : bits_double(count);
}

/* Returns the i-th count, absolute; for integers `absolute` holds the previous one. */
static double
count_at(const struct hist_buckets *b, uint32_t i, int64_t *absolute)
{
    if (b->deltas == NULL) return bits_double(b->counts[i]);
    *absolute += b->deltas[i];
    return (double)*absolute;
}

static void
put_side(struct buf *to, const struct hist_buckets *b, uint32_t span_tag, uint32_t count_tag)
{
    int64_t absolute = 0;
    for (uint32_t i = 0; i < b->span_count; i++) {
        const struct hist_span *s = &b->spans[i];
        uint64_t offset = zigzag(s->offset);
        proto_put_varint(to, span_tag, 2 + varint_size(offset) + varint_size(s->length));
        proto_put_varint(to, TAG_SPAN_OFFSET, offset);
        proto_put_varint(to, TAG_SPAN_LENGTH, s->length);
    }
    for (uint32_t i = 0; i < b->bucket_count; i++)
        proto_put_fixed64(to, count_tag, double_bits(count_at(b, i, &absolute)));
}

/* Steps through the bounds of custom buckets with their cumulative counts. */
struct classic_buckets {
    const struct histogram *h;
    uint32_t bound; /* the next bound */
    uint32_t span;
    uint32_t within; /* position within the span */
    bool entered;    /* `index` includes the span's offset */
    int64_t index;   /* index of the next bucket */
    uint32_t at;     /* position of its count */
    int64_t absolute;
    double cumulative;
};

static bool
next_classic(struct classic_buckets *c, double *ret_le, double *ret_count)
{
    const struct hist_buckets *b = &c->h->positive;
    if (c->bound == c->h->custom_count) return false;
    while (c->span < b->span_count) {
        if (!c->entered) c->index += b->spans[c->span].offset;
        c->entered = true;
        if (c->within == b->spans[c->span].length) {
            c->span++;
            c->within = 0;
            c->entered = false;
            continue;
        }
        if (c->index > c->bound) break;
        c->cumulative += count_at(b, c->at++, &c->absolute);
        c->index++;
        c->within++;
    }
    *ret_le = bits_double(c->h->custom_bits[c->bound++]);
    *ret_count = c->cumulative;
    return true;
}

static void
family_put_histogram(struct buf *to, const struct histogram *h)
{
    struct classic_buckets c = {.h = h};
    bool custom = h->schema == HISTOGRAM_SCHEMA_CUSTOM;
    double le, count;
    proto_put_fixed64(to, TAG_HISTOGRAM_SUM, h->sum_bits);
    while (custom && next_classic(&c, &le, &count)) {
        proto_put_varint(to, TAG_HISTOGRAM_BUCKET, 2 * (1 + sizeof le));
        proto_put_fixed64(to, TAG_BUCKET_BOUND, double_bits(le));
        proto_put_fixed64(to, TAG_BUCKET_COUNT, double_bits(count));
    }
    proto_put_fixed64(to, TAG_HISTOGRAM_COUNT, double_bits(number_of(h, h->count)));
    if (custom) return;
    proto_put_varint(to, TAG_HISTOGRAM_SCHEMA, zigzag(h->schema));
    proto_put_fixed64(to, TAG_HISTOGRAM_ZERO_THRESHOLD, h->zero_threshold_bits);
    proto_put_fixed64(to, TAG_HISTOGRAM_ZERO_COUNT, double_bits(number_of(h, h->zero_count)));
    put_side(to, &h->negative, TAG_HISTOGRAM_NEGATIVE_SPAN, TAG_HISTOGRAM_NEGATIVE_COUNT);
    put_side(to, &h->positive, TAG_HISTOGRAM_POSITIVE_SPAN, TAG_HISTOGRAM_POSITIVE_COUNT);
}

void
family_writer_histogram(struct family_writer *w, struct bytes labels, int64_t t_ms,
                        const struct histogram *h)
{
    bool text = w->form == FAMILY_FORM_TEXT;
    if (text && h->schema != HISTOGRAM_SCHEMA_CUSTOM) return;
    begin_sample(w, labels,
                 h->reset_hint == RESET_GAUGE ? FAMILY_GAUGE_HISTOGRAM : FAMILY_HISTOGRAM);
    if (text) {
        struct classic_buckets c = {.h = h};
        double le, count, all = number_of(h, h->count);
        const double infinity = bits_double(0x7ff0000000000000u);
        while (next_classic(&c, &le, &count))
            family_put_line(w, labels, "_bucket", &le, count, t_ms);
        family_put_line(w, labels, "_bucket", &infinity, all, t_ms);
        family_put_line(w, labels, "_sum", NULL, bits_double(h->sum_bits), t_ms);
        family_put_line(w, labels, "_count", NULL, all, t_ms);
        return;
    }
    family_put_labels(w, labels);
    proto_put_varint(&w->metric, TAG_METRIC_TIMESTAMP, (uint64_t)t_ms);
    reuse(w, &w->part);
    family_put_histogram(&w->part, h);
    proto_put_bytes(&w->metric, TAG_METRIC_HISTOGRAM, buf_bytes(&w->part));
    end_metric(w);
}

void
family_writer_end(struct family_writer *w)
{
    put_message(w);
}
