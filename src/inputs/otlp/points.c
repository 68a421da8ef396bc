/* points.c - see otlp_private.h: points of all kinds, and the series and samples that they are. */
#include "inputs/otlp/otlp_private.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/hex.h"
#include "wire/number.h"
#include "wire/proto.h"

enum {
    EXEMPLAR_RUNES_MAX = 128,
    SCALE_MIN = -4,
    SCALE_MAX = 8,
    GAP_MAX = 2, /* empty buckets that do not begin a new span */
};
#define ZERO_THRESHOLD    1e-128 /* of Prometheus, if the point has none */
#define NO_RECORDED_VALUE 1u

struct otlp_exemplar {
    int64_t t_ms;
    uint64_t bits;
    struct bytes trace, span, message;
};

struct point {
    uint64_t t_ns, start_ns;
    int64_t t_ms, start_ms;
    bool is_stale, has_value, has_sum;
    uint64_t bits; /* value, or sum */
    uint64_t count, zero_count, zero_bits;
    int32_t scale;
    struct bytes positive, negative; /* messages */
    struct otlp_exemplar *exemplars; /* sorted by their values */
    uint32_t exemplar_count, exemplar_next;
};

/* --- labels of a point ------------------------------------------------------------------------ */

/* Remembers the labels of a point that was read without joins. */
static enum err
remember(struct otlp *o, uint32_t field, struct bytes point)
{
    struct remembered *m = &o->remembered;
    const struct label_set *set = &o->labels;
    struct cursor c = cursor_of(point);
    m->is_valid = false;
    m->count = 0;
    if (o->has_joined || set->count > 2 * REMEMBERED_MAX) return OK;
    if (m->misses++ > 4 && m->misses % 16 != 0) return OK; /* it would be in vain */
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        struct attribute a;
        struct bytes name, value;
        uint32_t at;
        if (tag != PROTO_TAG(field, PROTO_BYTES)) {
            proto_skip(&c, tag, 0);
            continue;
        }
        if (m->count == REMEMBERED_MAX || !otlp_read_attribute(proto_bytes(&c), &a)) return OK;
        m->keys[m->count] = a.key;
        m->places[m->count++] = UINT32_MAX;
        if (bytes_equal_text(a.key, "__name__")) continue;
        enum err e = otlp_name_label(o, a.key, &name);
        if (e == OK) e = otlp_text_of(o, a.value, &value);
        if (e) return e;
        if (value.size == 0 || !otlp_find_label(set, name, &at)) return OK;
        /* Another value is that of the resource or the scope, which replaces each. */
        bool is_own =
            set->items[at].value.at == value.at || bytes_equal(set->items[at].value, value);
        bool may_be_theirs = bytes_equal_text(name, "job") || bytes_equal_text(name, "instance") ||
                             otlp_find_label(&o->scope, name, &(uint32_t){0});
        if (is_own && may_be_theirs) return OK;
        if (is_own) m->places[m->count - 1] = at;
    }
    memcpy(m->labels, set->items, set->count * sizeof *m->labels);
    m->label_count = set->count;
    m->is_valid = true;
    return OK;
}

/* Gives the labels of a point with the keys of the one before. False: it has others, or values that
 * make no label. */
static bool
labels_as_before(struct otlp *o, uint32_t field, struct bytes point)
{
    struct remembered *m = &o->remembered;
    struct cursor c = cursor_of(point);
    uint32_t count = 0;
    if (!m->is_valid) return false;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        struct attribute a;
        struct bytes value;
        if (tag != PROTO_TAG(field, PROTO_BYTES)) {
            proto_skip(&c, tag, 0);
            continue;
        }
        if (count == m->count || !otlp_read_attribute(proto_bytes(&c), &a) ||
            !bytes_equal(a.key, m->keys[count]))
            return false;
        uint32_t at = m->places[count++];
        if (at == UINT32_MAX) continue;
        if (otlp_text_of(o, a.value, &value) || value.size == 0) return false;
        m->labels[at].value = value;
    }
    if (c.bad || count != m->count) return false;
    memcpy(o->labels.items, m->labels, m->label_count * sizeof *m->labels);
    o->labels.count = m->label_count;
    m->misses = 0;
    return true;
}

/* The labels of all series of a point but their names. */
static enum err
point_labels(struct otlp *o, uint32_t field, struct bytes point)
{
    struct label_set *to = &o->labels;
    uint32_t at;
    if (labels_as_before(o, field, point)) return OK;
    to->count = 0;
    o->has_joined = false;
    if (!otlp_read_attributes(o, point, field, &o->attributes)) return ERR_UNSUPPORTED;
    for (uint32_t i = 0; i < o->attributes.count; i++) {
        if (bytes_equal_text(o->attributes.items[i].key, "__name__")) continue;
        enum err e = otlp_add_label(o, &o->attributes.items[i], to);
        if (e) return e;
    }
    for (uint32_t i = 0; i < o->promoted.count; i++)
        if (!otlp_find_label(to, o->promoted.items[i].name, &at))
            otlp_set_label(to, o->promoted.items[i].name, o->promoted.items[i].value);
    if (o->job.size > 0) otlp_set_label(to, bytes_of_text("job"), o->job);
    if (o->instance.size > 0) otlp_set_label(to, bytes_of_text("instance"), o->instance);
    for (uint32_t i = 0; i < o->scope.count; i++)
        otlp_set_label(to, o->scope.items[i].name, o->scope.items[i].value);
    return remember(o, field, point);
}

enum err
otlp_begin_series(struct otlp *o, struct bytes name)
{
    otlp_set_label(&o->labels, bytes_of_text("__name__"), name);
    return rw_fill_series(o->to, o->labels.items, o->labels.count);
}

static enum err
one_float(struct otlp *o, struct bytes name, const struct point *p, uint64_t bits)
{
    enum err e = otlp_begin_series(o, name);
    if (p->is_stale) bits = STALE_NAN_BITS;
    return e ? e : rw_fill_float(o->to, p->t_ms, bits, p->start_ms);
}

/* --- exemplars -------------------------------------------------------------------------------- */

static bool
read_exemplar(struct bytes message, struct otlp_exemplar *ret)
{
    struct cursor c = cursor_of(message);
    *ret = (struct otlp_exemplar){.message = message};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(2, PROTO_FIXED64))
            ret->t_ms = (int64_t)(cursor_le64(&c) / 1000000);
        else if (tag == PROTO_TAG(3, PROTO_FIXED64))
            ret->bits = cursor_le64(&c);
        else if (tag == PROTO_TAG(6, PROTO_FIXED64))
            ret->bits = double_bits((double)(int64_t)cursor_le64(&c));
        else if (tag == PROTO_TAG(4, PROTO_BYTES))
            ret->span = proto_bytes(&c);
        else if (tag == PROTO_TAG(5, PROTO_BYTES))
            ret->trace = proto_bytes(&c);
        else
            proto_skip(&c, tag, 0x7c); /* 2 to 6 */
    return !c.bad;
}

static enum err
put_hex(struct otlp *o, const char *name, struct bytes id, struct label_set *to)
{
    if (id.size == 0 || id.size > 64) return OK;
    char *text = rw_fill_alloc(o->to, 2 * id.size + 1);
    if (text == NULL) return rw_fill_error(o->to);
    hex_print(id, text);
    otlp_set_label(to, bytes_of_text(name), bytes_of(text, 2 * id.size));
    return OK;
}

static size_t
runes_of(const struct label_set *set)
{
    size_t runes = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct label *l = &set->items[i];
        for (size_t k = 0; k < l->name.size; k++)
            runes += (l->name.at[k] & 0xc0) != 0x80;
        for (size_t k = 0; k < l->value.size; k++)
            runes += (l->value.at[k] & 0xc0) != 0x80;
    }
    return runes;
}

/* Adds an exemplar to the last series. Attributes that make it too long are left out. */
static enum err
put_exemplar(struct otlp *o, const struct otlp_exemplar *x)
{
    struct label_set *to = &o->exemplar;
    struct label ids[2];
    to->count = 0;
    enum err e = put_hex(o, "trace_id", x->trace, to);
    if (e == OK) e = put_hex(o, "span_id", x->span, to);
    uint32_t id_count = to->count;
    memcpy(ids, to->items, id_count * sizeof *ids);
    if (e == OK && !otlp_read_attributes(o, x->message, 7, &o->attributes)) e = ERR_UNSUPPORTED;
    for (uint32_t i = 0; e == OK && i < o->attributes.count; i++)
        e = otlp_add_label(o, &o->attributes.items[i], to);
    if (e == ERR_UNSUPPORTED || (e == OK && runes_of(to) > EXEMPLAR_RUNES_MAX)) {
        memcpy(to->items, ids, id_count * sizeof *ids);
        to->count = id_count;
        e = OK;
    }
    return e ? e : rw_fill_exemplar(o->to, x->t_ms, x->bits, to->items, to->count);
}

/* Adds those exemplars of a point that are next, up to a value; those of NaN are last. */
static enum err
put_exemplars(struct otlp *o, struct point *p, double up_to)
{
    enum err e = OK;
    for (; e == OK && p->exemplar_next < p->exemplar_count; p->exemplar_next++) {
        const struct otlp_exemplar *x = &p->exemplars[p->exemplar_next];
        if (!(bits_double(x->bits) <= up_to) && !isinf(up_to)) break;
        e = put_exemplar(o, x);
    }
    return e;
}

static int
by_exemplar_value(const void *a, const void *b)
{
    double x = bits_double(((const struct otlp_exemplar *)a)->bits);
    double y = bits_double(((const struct otlp_exemplar *)b)->bits);
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

static enum err
read_exemplars(struct otlp *o, struct bytes message, uint32_t field, struct point *p)
{
    uint32_t count = 0;
    for (unsigned round = 0; round < 2; round++) {
        struct cursor c = cursor_of(message);
        uint32_t at = 0;
        for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
            if (tag != PROTO_TAG(field, PROTO_BYTES)) {
                proto_skip(&c, tag, PROTO_KNOWN(field));
                continue;
            }
            struct bytes body = proto_bytes(&c);
            if (round == 0)
                count++;
            else if (!read_exemplar(body, &p->exemplars[at++]))
                return refuse_point(o, "malformed exemplar");
        }
        if (c.bad) return refuse_point(o, "malformed exemplar");
        if (count == 0) return OK;
        if (round == 0) p->exemplars = rw_fill_alloc(o->to, count * sizeof *p->exemplars);
        if (p->exemplars == NULL) return rw_fill_error(o->to);
    }
    p->exemplar_count = count;
    qsort(p->exemplars, count, sizeof *p->exemplars, by_exemplar_value);
    return OK;
}

/* --- repeated numbers ------------------------------------------------------------------------- */

struct numbers {
    uint64_t *at;
    uint32_t count;
};

/* Reads a repeated field of fixed64 or varints, packed or not. */
static enum err
read_numbers(struct otlp *o, struct bytes message, uint32_t field, bool is_varint,
             struct numbers *ret)
{
    *ret = (struct numbers){NULL, 0};
    const uint32_t wire = is_varint ? PROTO_VARINT : PROTO_FIXED64;
    for (unsigned round = 0; round < 2; round++) {
        struct cursor c = cursor_of(message);
        uint64_t most = 0;
        for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
            struct cursor body = {c.at, c.at, false};
            if (tag == PROTO_TAG(field, PROTO_BYTES)) {
                struct bytes packed = proto_bytes(&c);
                body = cursor_of(packed);
                most += is_varint ? packed.size : packed.size / 8;
            } else if (tag == PROTO_TAG(field, wire)) {
                if (is_varint)
                    (void)cursor_varint(&c);
                else
                    (void)cursor_le64(&c);
                body.end = c.at;
                most++;
            } else {
                proto_skip(&c, tag, PROTO_KNOWN(field));
            }
            while (round == 1 && !body.bad && body.at != body.end)
                ret->at[ret->count++] = is_varint ? cursor_varint(&body) : cursor_le64(&body);
            if (body.bad) c.bad = true;
        }
        if (c.bad) return refuse_point(o, "malformed numbers");
        if (most > HISTOGRAM_BUCKETS_MAX)
            return refuse_point(o, "more than %d buckets", HISTOGRAM_BUCKETS_MAX);
        if (round == 0) ret->at = rw_fill_alloc(o->to, (most + 1) * sizeof *ret->at);
        if (ret->at == NULL) return rw_fill_error(o->to);
    }
    return OK;
}

/* --- points ----------------------------------------------------------------------------------- */

/* Fields of points: those that a kind lacks are 0. */
struct point_fields {
    uint32_t attributes, exemplars, flags, as_int;
};
static const struct point_fields number_fields = {7, 5, 8, 6};
static const struct point_fields histogram_fields = {9, 8, 10, 0};
static const struct point_fields exponential_fields = {1, 11, 10, 0};
static const struct point_fields summary_fields = {7, 0, 8, 0};

/* Reads the fields that several kinds have, in the places that they share, and finds the labels. */
static enum err
read_point(struct otlp *o, const struct point_fields *f, struct bytes message, struct point *p)
{
    const bool is_number = f == &number_fields, is_exponential = f == &exponential_fields;
    struct cursor c = cursor_of(message);
    uint64_t flags = 0;
    *p = (struct point){.is_stale = false};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(2, PROTO_FIXED64)) {
            p->start_ns = cursor_le64(&c);
        } else if (tag == PROTO_TAG(3, PROTO_FIXED64)) {
            p->t_ns = cursor_le64(&c);
        } else if (tag == PROTO_TAG(4, PROTO_FIXED64) && is_number) {
            p->bits = cursor_le64(&c);
            p->has_value = true;
        } else if (tag == PROTO_TAG(4, PROTO_FIXED64)) {
            p->count = cursor_le64(&c);
        } else if (is_number && tag == PROTO_TAG(6, PROTO_FIXED64)) {
            p->bits = double_bits((double)(int64_t)cursor_le64(&c));
            p->has_value = true;
        } else if (!is_number && tag == PROTO_TAG(5, PROTO_FIXED64)) {
            p->bits = cursor_le64(&c);
            p->has_sum = true;
        } else if (tag == PROTO_TAG(f->flags, PROTO_VARINT)) {
            flags = cursor_varint(&c);
        } else if (is_exponential && tag == PROTO_TAG(6, PROTO_VARINT)) {
            p->scale = proto_sint32(&c);
        } else if (is_exponential && tag == PROTO_TAG(7, PROTO_FIXED64)) {
            p->zero_count = cursor_le64(&c);
        } else if (is_exponential && tag == PROTO_TAG(8, PROTO_BYTES)) {
            p->positive = proto_bytes(&c);
        } else if (is_exponential && tag == PROTO_TAG(9, PROTO_BYTES)) {
            p->negative = proto_bytes(&c);
        } else if (is_exponential && tag == PROTO_TAG(14, PROTO_FIXED64)) {
            p->zero_bits = cursor_le64(&c);
        } else {
            proto_skip(&c, tag, 0);
        }
    }
    if (c.bad) return refuse_point(o, "malformed point");
    p->is_stale = (flags & NO_RECORDED_VALUE) != 0;
    p->t_ms = (int64_t)(p->t_ns / 1000000);
    p->start_ms = (int64_t)(p->start_ns / 1000000);
    if (p->t_ns == 0) return refuse_point(o, "a point without time");
    if (o->metric.is_delta && p->start_ms == 0)
        return refuse_point(o, "a delta without a start time");
    if (o->metric.is_delta && p->start_ns > p->t_ns)
        return refuse_point(o, "a delta that begins after its end");
    if (p->start_ms > p->t_ms) p->start_ms = 0;
    o->outcome->deltas += o->metric.is_delta;
    enum err e = point_labels(o, f->attributes, message);
    if (e == OK && f->exemplars != 0) e = read_exemplars(o, message, f->exemplars, p);
    if (e) return e;
    if (!o->has_points || p->t_ms < o->first_ms) o->first_ms = p->t_ms;
    if (!o->has_points || p->t_ms > o->last_ms) o->last_ms = p->t_ms;
    o->has_points = true;
    return OK;
}

enum err
otlp_number_point(struct otlp *o, struct bytes message)
{
    struct point p;
    enum err e = read_point(o, &number_fields, message, &p);
    if (e == OK && !p.has_value && !p.is_stale) e = refuse_point(o, "a point without value");
    if (!o->metric.is_monotonic && !o->metric.is_delta) {
        p.start_ms = 0;
        if (o->metric.is_gauge) p.exemplar_count = 0; /* as Prometheus */
    }
    if (e == OK) e = one_float(o, o->metric.made, &p, p.bits);
    return e ? e : put_exemplars(o, &p, INFINITY);
}

enum err
otlp_summary_point(struct otlp *o, struct bytes message)
{
    struct point p;
    enum err e = read_point(o, &summary_fields, message, &p);
    if (e == OK) e = one_float(o, o->metric.sum, &p, p.bits);
    if (e == OK) e = one_float(o, o->metric.count, &p, double_bits((double)p.count));
    struct cursor c = cursor_of(message);
    p.start_ms = 0;
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(6, PROTO_BYTES)) {
            proto_skip(&c, tag, PROTO_KNOWN(6));
            continue;
        }
        uint64_t quantile = 0, bits = 0;
        struct cursor q = cursor_of(proto_bytes(&c));
        for (uint32_t inner; (inner = proto_tag(&q)) != 0;)
            if (inner == PROTO_TAG(1, PROTO_FIXED64))
                quantile = cursor_le64(&q);
            else if (inner == PROTO_TAG(2, PROTO_FIXED64))
                bits = cursor_le64(&q);
            else
                proto_skip(&q, inner, PROTO_KNOWN(1) | PROTO_KNOWN(2));
        char text[NUMBER_PLAIN_BYTES];
        struct bytes shown =
            rw_fill_text(o->to, bytes_of(text, number_print_plain(quantile, text)));
        if (shown.at == NULL) return rw_fill_error(o->to);
        otlp_set_label(&o->labels, bytes_of_text("quantile"), shown);
        e = one_float(o, o->metric.made, &p, bits);
    }
    return e;
}

/* --- histograms ------------------------------------------------------------------------------- */

/* Gives the texts of bounds; those of the last histogram, if it had the same. */
static enum err
print_bounds(struct otlp *o, const struct numbers *bounds)
{
    struct bytes all = bytes_of(bounds->at, bounds->count * sizeof *bounds->at);
    if (o->bound_texts != NULL && bytes_equal(all, o->bounds)) return OK;
    o->bound_texts = rw_fill_alloc(o->to, (bounds->count + 1) * sizeof *o->bound_texts);
    if (o->bound_texts == NULL) return rw_fill_error(o->to);
    o->bounds = all;
    for (uint32_t i = 0; i < bounds->count; i++) {
        char text[NUMBER_PLAIN_BYTES];
        o->bound_texts[i] =
            rw_fill_text(o->to, bytes_of(text, number_print_plain(bounds->at[i], text)));
        if (o->bound_texts[i].at != NULL) continue;
        o->bound_texts = NULL;
        return rw_fill_error(o->to);
    }
    return OK;
}

static enum err
one_bucket(struct otlp *o, struct point *p, struct bytes le, uint64_t count, double bound)
{
    otlp_set_label(&o->labels, bytes_of_text("le"), le);
    enum err e = one_float(o, o->metric.bucket, p, double_bits((double)count));
    return e ? e : put_exemplars(o, p, bound);
}

static enum err
classic_series(struct otlp *o, struct point *p, const struct numbers *counts,
               const struct numbers *bounds)
{
    uint64_t count = 0;
    enum err e = print_bounds(o, bounds);
    if (e == OK && p->has_sum) e = one_float(o, o->metric.sum, p, p->bits);
    if (e == OK) e = one_float(o, o->metric.count, p, double_bits((double)p->count));
    for (uint32_t i = 0; e == OK && i < bounds->count && i < counts->count; i++) {
        double bound = bits_double(bounds->at[i]);
        count += counts->at[i];
        if (isinf(bound) && bound > 0) break; /* the one below */
        e = one_bucket(o, p, o->bound_texts[i], count, bound);
    }
    return e ? e : one_bucket(o, p, bytes_of_text("+Inf"), p->count, INFINITY);
}

/* Appends a count as the difference from that before. False: it is too large. */
static bool
put_count(uint64_t count, uint64_t *before, int64_t *deltas, uint32_t *bucket_count)
{
    if (count > INT64_MAX) return false;
    deltas[(*bucket_count)++] = (int64_t)(count - *before);
    *before = count;
    return true;
}

static enum err
native_series(struct otlp *o, struct point *p, struct histogram *h)
{
    h->kind = SAMPLE_HISTOGRAM_INT;
    h->reset_hint = o->metric.is_delta ? RESET_YES : RESET_UNKNOWN;
    h->count = p->count;
    h->sum_bits = p->has_sum ? p->bits : 0;
    if (p->is_stale)
        *h = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                .schema = h->schema,
                                .sum_bits = STALE_NAN_BITS,
                                .custom_bits = h->custom_bits,
                                .custom_count = h->custom_count};
    enum err e = otlp_begin_series(o, o->metric.made);
    if (e == OK) e = rw_fill_histogram(o->to, p->t_ms, p->start_ms, h);
    return e ? e : put_exemplars(o, p, INFINITY);
}

/* A native histogram with custom buckets. */
static enum err
custom_series(struct otlp *o, struct point *p, const struct numbers *counts,
              const struct numbers *bounds)
{
    struct histogram h = {.schema = HISTOGRAM_SCHEMA_CUSTOM, .custom_bits = bounds->at};
    struct hist_span *span = rw_fill_alloc(o->to, sizeof *span);
    int64_t *deltas = rw_fill_alloc(o->to, (counts->count + 1) * sizeof *deltas);
    if (span == NULL || deltas == NULL) return rw_fill_error(o->to);
    uint32_t first = 0, filled = 0;
    uint64_t before = 0;
    h.custom_count = bounds->count;
    if (h.custom_count > 0 && isinf(bits_double(bounds->at[h.custom_count - 1]))) h.custom_count--;
    while (first < counts->count && counts->at[first] == 0)
        first++;
    for (uint32_t i = first; i < counts->count; i++)
        if (!put_count(counts->at[i], &before, deltas, &filled))
            return refuse_point(o, "a count above 2^63");
    *span = (struct hist_span){(int32_t)first, filled};
    if (filled > 0)
        h.positive = (struct hist_buckets){
            .spans = span, .span_count = 1, .bucket_count = filled, .deltas = deltas};
    return native_series(o, p, &h);
}

enum err
otlp_histogram_point(struct otlp *o, struct bytes message)
{
    struct point p;
    struct numbers counts, bounds;
    enum err e = read_point(o, &histogram_fields, message, &p);
    if (e == OK) e = read_numbers(o, message, 6, false, &counts);
    if (e == OK) e = read_numbers(o, message, 7, false, &bounds);
    if (e == OK && counts.count != 0 && counts.count != bounds.count + 1)
        e = refuse_point(o, "%" PRIu32 " bounds and %" PRIu32 " counts of buckets", bounds.count,
                         counts.count);
    if (e) return e;
    return o->settings->histograms_to_nhcb ? custom_series(o, &p, &counts, &bounds)
                                           : classic_series(o, &p, &counts, &bounds);
}

/* Makes the buckets of one sign, of which `down` neighbours in a row become one each time. */
static enum err
read_buckets(struct otlp *o, struct bytes message, unsigned down, struct hist_buckets *ret)
{
    struct numbers counts;
    struct cursor c = cursor_of(message);
    int64_t offset = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_VARINT))
            offset = proto_sint32(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1));
    enum err e = c.bad ? refuse_point(o, "malformed buckets") : OK;
    if (e == OK) e = read_numbers(o, message, 2, true, &counts);
    if (e) return e;
    uint32_t filled = 0, spans = 0;
    uint64_t before = 0;
    int64_t next = 0; /* the bucket after the last one */
    int64_t *deltas = rw_fill_alloc(o->to, (counts.count * (1u + GAP_MAX) + 1) * sizeof *deltas);
    struct hist_span *all = rw_fill_alloc(o->to, (counts.count + 1) * sizeof *all);
    if (deltas == NULL || all == NULL) return rw_fill_error(o->to);
    for (uint32_t i = 0; i < counts.count;) {
        int64_t index = ((offset + i) >> down) + 1;
        uint64_t count = 0;
        if (index > INT32_MAX) return refuse_point(o, "the index of a bucket is above 2^31");
        for (; i < counts.count && ((offset + i) >> down) + 1 == index; i++)
            if (__builtin_add_overflow(count, counts.at[i], &count))
                return refuse_point(o, "a count above 2^63");
        if (count == 0) continue;
        if (spans == 0 || index - next > GAP_MAX) {
            all[spans] = (struct hist_span){(int32_t)(spans == 0 ? index : index - next), 0};
            spans++;
        } else {
            for (; next < index; next++, all[spans - 1].length++)
                (void)put_count(0, &before, deltas, &filled);
        }
        if (!put_count(count, &before, deltas, &filled))
            return refuse_point(o, "a count above 2^63");
        all[spans - 1].length++;
        next = index + 1;
    }
    *ret = (struct hist_buckets){
        .spans = all, .span_count = spans, .bucket_count = filled, .deltas = deltas};
    return OK;
}

enum err
otlp_exponential_point(struct otlp *o, struct bytes message)
{
    struct point p;
    enum err e = read_point(o, &exponential_fields, message, &p);
    if (e) return e;
    if (p.scale < SCALE_MIN) return refuse_point(o, "scale %d is below %d", p.scale, SCALE_MIN);
    int32_t down = p.scale > SCALE_MAX ? p.scale - SCALE_MAX : 0;
    struct histogram h = {.schema = p.scale - down, .zero_count = p.zero_count};
    double zero = bits_double(p.zero_bits);
    h.zero_threshold_bits = zero > 0 && isfinite(zero) ? p.zero_bits : double_bits(ZERO_THRESHOLD);
    unsigned shift = down > 62 ? 62 : (unsigned)down;
    e = read_buckets(o, p.positive, shift, &h.positive);
    if (e == OK) e = read_buckets(o, p.negative, shift, &h.negative);
    return e ? e : native_series(o, &p, &h);
}
