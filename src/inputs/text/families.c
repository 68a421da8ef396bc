/*
 * families.c - see text.h: io.prometheus.client.MetricFamily, each with its length before it, as
 * clients push it.
 *
 *     MetricFamily  name=1 help=2 type=3 metric=4 unit=5
 *     Metric        label=1 gauge=2 counter=3 summary=4 untyped=5 timestamp_ms=6 histogram=7
 *     Gauge, Counter, Untyped   value=1
 *     Summary       sample_count=1 sample_sum=2 quantile=3 {quantile=1 value=2}
 *     Histogram     sample_count=1 sample_sum=2 bucket=3 {cumulative_count=1 upper_bound=2}
 *
 * Source: metrics.proto of prometheus/client_model.
 */
#include <math.h>
#include <string.h>

#include "inputs/text/text.h"
#include "wire/number.h"
#include "wire/proto.h"

enum client_type {
    CLIENT_COUNTER,
    CLIENT_GAUGE,
    CLIENT_SUMMARY,
    CLIENT_UNTYPED,
    CLIENT_HISTOGRAM,
    CLIENT_GAUGE_HISTOGRAM,
    CLIENT_TYPES
};

struct client_family {
    struct bytes name;
    struct bytes labels; /* the message of the metric whose labels are put */
    int64_t t_ms;
    struct buf *to;
};

/* Writes a sample of the metric with a suffix of its name and one more label. */
static void
put_line(const struct client_family *f, const char *suffix, const char *label, double bound,
         double value)
{
    char text[NUMBER_TEXT_BYTES];
    struct cursor c = cursor_of(f->labels);
    struct label each;
    struct buf *to = f->to;
    buf_put_u8(to, '{');
    text_put_escaped(to, f->name);
    if (to->size > 0) to->size--; /* the quote */
    buf_printf(to, "%s\",", suffix);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            proto_skip(&c, tag, 0);
            continue;
        }
        if (!rw_label_read(proto_bytes(&c), &each)) {
            cursor_fail(&c);
            break;
        }
        text_put_escaped(to, each.name);
        buf_put_u8(to, '=');
        text_put_escaped(to, each.value);
        buf_put_u8(to, ',');
    }
    if (label != NULL) {
        buf_printf(to, "%s=\"", label);
        buf_put(to, text, number_print_sentence(double_bits(bound), text));
        buf_put_u8(to, '"');
    }
    buf_put_text(to, "} ");
    buf_put(to, text, number_print(double_bits(value), text));
    if (f->t_ms != 0) buf_printf(to, " %lld", (long long)f->t_ms);
    buf_put_u8(to, '\n');
    if (c.bad) to->failed = to->failed ? to->failed : ERR_INPUT;
}

/* Reads a message whose fields are a count or a number each: numbers[i] is field i + 1. */
static bool
read_numbers(struct bytes message, double numbers[2])
{
    struct cursor c = cursor_of(message);
    numbers[0] = numbers[1] = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        uint32_t field = tag >> 3;
        bool is_one = field == 1 || field == 2;
        if (is_one && (tag & 7) == PROTO_FIXED64)
            numbers[field - 1] = bits_double(cursor_le64(&c));
        else if (is_one && (tag & 7) == PROTO_VARINT)
            numbers[field - 1] = (double)cursor_varint(&c);
        else
            proto_skip(&c, tag, 0);
    }
    return !c.bad;
}

/* Writes a summary or a histogram: quantiles or buckets, the sum and the count. */
static enum err
put_parts(const struct client_family *f, bool is_histogram, struct bytes message, struct why *why)
{
    double whole[2], part[2];
    struct cursor c = cursor_of(message);
    bool has_infinity = !is_histogram;
    uint32_t parts = 0;
    if (!read_numbers(message, whole)) return ERR_INPUT;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        bool is_native = is_histogram && tag >> 3 >= 5 && tag >> 3 <= 14;
        if (tag == PROTO_TAG(3, PROTO_BYTES)) {
            if (!read_numbers(proto_bytes(&c), part)) return ERR_INPUT;
            parts++;
            has_infinity |= is_histogram && isinf(part[1]);
            if (is_histogram)
                put_line(f, "_bucket", "le", part[1], part[0]);
            else
                put_line(f, "", "quantile", part[0], part[1]);
        } else {
            proto_skip(&c, tag, 0);
        }
        if (is_native && tag >> 3 > 5 && parts == 0)
            return why_set(why, ERR_INPUT,
                           "native histograms are not pushed: give the histogram classic buckets, "
                           "or send remote write");
    }
    if (c.bad) return ERR_INPUT;
    if (!has_infinity) put_line(f, "_bucket", "le", INFINITY, whole[0]);
    put_line(f, "_sum", NULL, 0, whole[1]);
    put_line(f, "_count", NULL, 0, whole[0]);
    return OK;
}

static enum err
put_metric(struct client_family *f, struct bytes metric, struct why *why)
{
    static const enum client_type types[] = {[2] = CLIENT_GAUGE,
                                             [3] = CLIENT_COUNTER,
                                             [4] = CLIENT_SUMMARY,
                                             [5] = CLIENT_UNTYPED,
                                             [7] = CLIENT_HISTOGRAM};
    struct cursor c = cursor_of(metric);
    struct bytes value = {NULL, 0};
    uint32_t field = 0;
    double numbers[2];
    f->labels = metric;
    f->t_ms = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(6, PROTO_VARINT)) {
            f->t_ms = (int64_t)cursor_varint(&c);
        } else if ((tag & 7) == PROTO_BYTES && tag >> 3 >= 2 && tag >> 3 <= 7) {
            field = tag >> 3;
            value = proto_bytes(&c);
        } else {
            proto_skip(&c, tag, 0);
        }
    }
    if (c.bad || field == 0) return ERR_INPUT;
    if (types[field] == CLIENT_SUMMARY || types[field] == CLIENT_HISTOGRAM)
        return put_parts(f, types[field] == CLIENT_HISTOGRAM, value, why);
    if (!read_numbers(value, numbers)) return ERR_INPUT;
    put_line(f, "", NULL, 0, numbers[0]);
    return OK;
}

static enum err
put_family(struct bytes message, struct buf *to, struct why *why)
{
    static const char *const words[CLIENT_TYPES] = {"counter", "gauge",     "summary",
                                                    "untyped", "histogram", "gaugehistogram"};
    struct client_family f = {.to = to};
    struct bytes help = {NULL, 0};
    uint64_t type = CLIENT_COUNTER;
    for (unsigned pass = 0; pass < 2; pass++) { /* the metrics may be before the name */
        struct cursor c = cursor_of(message);
        for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
            enum err e = OK;
            if (tag == PROTO_TAG(1, PROTO_BYTES))
                f.name = proto_bytes(&c);
            else if (tag == PROTO_TAG(2, PROTO_BYTES))
                help = proto_bytes(&c);
            else if (tag == PROTO_TAG(3, PROTO_VARINT))
                type = cursor_varint(&c);
            else if (tag == PROTO_TAG(4, PROTO_BYTES) && pass == 1)
                e = put_metric(&f, proto_bytes(&c), why);
            else
                proto_skip(&c, tag, 0);
            if (e) return e;
        }
        if (c.bad || f.name.size == 0 || type >= CLIENT_TYPES) return ERR_INPUT;
        if (pass == 1) break;
        buf_put_text(to, "# TYPE ");
        text_put_escaped(to, f.name);
        buf_printf(to, " %s\n# HELP ", words[type]);
        text_put_escaped(to, f.name);
        buf_put_u8(to, ' ');
        for (size_t i = 0; i < help.size; i++) {
            bool is_feed = help.at[i] == '\n';
            if (is_feed || help.at[i] == '\\') buf_put_u8(to, '\\');
            buf_put_u8(to, is_feed ? 'n' : help.at[i]);
        }
        buf_put_u8(to, '\n');
    }
    return OK;
}

enum err
families_put_text(struct bytes message, struct buf *to, struct why *why)
{
    struct cursor c = cursor_of(message);
    while (c.at != c.end) {
        struct bytes family = proto_bytes(&c);
        why->text[0] = '\0';
        enum err e = c.bad ? ERR_INPUT : put_family(family, to, why);
        if (e == OK) e = buf_error(to);
        if (e == ERR_INPUT && why->text[0] == '\0')
            return why_set(why, e, "the body is not a sequence of metric families");
        if (e) return e;
    }
    return OK;
}
