/*
 * otlp.c - see otlp.h. The message is walked once; a resource's attributes, a metric's fields and
 * a point's attributes are found before what depends on them, whatever their order is.
 *
 *   resource -> job, instance, promoted labels -> scope -> labels -> metric -> name, type, unit
 *     -> point -> labels -> series, samples
 *
 * A metric or a point that has no meaning here is refused with all its points, and the rest of the
 * message is taken.
 */
#include "inputs/otlp/otlp_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/proto.h"

enum { TEXT_BYTES_MAX = 16 << 20 };
#define INFO_STEP_MS   150000 /* half of PromQL's look-back */
#define INFO_STEPS_MAX 1000

enum temporality { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };

static struct bytes
name_of(const struct otlp *o)
{
    struct bytes name = o->metric.name;
    if (name.size > 100) name.size = 100;
    return name;
}

/* --- metrics ---------------------------------------------------------------------------------- */

enum metric_field { GAUGE = 5, SUM = 7, HISTOGRAM = 9, EXPONENTIAL = 10, SUMMARY = 11 };

static enum err
suffixed(struct otlp *o, const char *suffix, struct bytes *ret)
{
    struct bytes made = o->metric.made;
    size_t size = strlen(suffix);
    uint8_t *to = rw_fill_alloc(o->to, made.size + size);
    if (to == NULL) return rw_fill_error(o->to);
    memcpy(to, made.at, made.size);
    memcpy(to + made.size, suffix, size);
    *ret = bytes_of(to, made.size + size);
    return OK;
}

/* Makes the names of the metric's series, and its metadata. */
static enum err
name_metric(struct otlp *o, enum metric_field field)
{
    struct metric *m = &o->metric;
    enum otlp_kind kind = field == GAUGE    ? OTLP_GAUGE
                          : m->is_monotonic ? OTLP_MONOTONIC
                                            : OTLP_OTHER;
    buf_clear(&o->text);
    if (!otlp_metric_name(o->settings, m->name, m->unit, kind, &o->text))
        return refuse_point(o, "its name makes no name of a metric");
    size_t size = o->text.size;
    otlp_unit(m->unit, &o->text);
    if (buf_error(&o->text)) return buf_error(&o->text);
    struct bytes both = rw_fill_text(o->to, buf_bytes(&o->text));
    if (both.at == NULL) return rw_fill_error(o->to);
    m->made = bytes_of(both.at, size);
    struct rw_metadata metadata = {.family = m->made,
                                   .help = m->description,
                                   .unit = bytes_of(both.at + size, both.size - size)};
    metadata.type = m->is_delta                                  ? METRIC_UNKNOWN
                    : field == HISTOGRAM || field == EXPONENTIAL ? METRIC_HISTOGRAM
                    : field == SUMMARY                           ? METRIC_SUMMARY
                    : field == SUM && m->is_monotonic            ? METRIC_COUNTER
                                                                 : METRIC_GAUGE;
    enum err e = rw_fill_metadata(o->to, &metadata);
    if (e == OK && field >= HISTOGRAM) e = suffixed(o, "_sum", &m->sum);
    if (e == OK && field >= HISTOGRAM) e = suffixed(o, "_count", &m->count);
    if (e == OK && field == HISTOGRAM) e = suffixed(o, "_bucket", &m->bucket);
    return e;
}

/* Counts refused points; other errors are returned. */
static enum err
judge(struct otlp *o, enum err e, uint64_t points)
{
    struct bytes name = name_of(o);
    struct why why;
    if (e != ERR_UNSUPPORTED) return e;
    (void)why_set(&why, e, "metric '%.*s': %.300s", (int)name.size, (const char *)name.at,
                  o->reason.text);
    input_refuse(o->outcome, points, &why);
    return OK;
}

static enum err
read_data(struct otlp *o, enum metric_field field, struct bytes data)
{
    static enum err (*const readers[])(struct otlp *, struct bytes) = {
        [GAUGE] = otlp_number_point,        [SUM] = otlp_number_point,
        [HISTOGRAM] = otlp_histogram_point, [EXPONENTIAL] = otlp_exponential_point,
        [SUMMARY] = otlp_summary_point,
    };
    struct cursor c = cursor_of(data);
    uint64_t temporality = 0, points = 0;
    bool is_monotonic = false;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag == PROTO_TAG(1, PROTO_BYTES)) {
            (void)proto_bytes(&c);
            points++;
        } else if (tag == PROTO_TAG(2, PROTO_VARINT)) {
            temporality = cursor_varint(&c);
        } else if (tag == PROTO_TAG(3, PROTO_VARINT)) {
            is_monotonic = cursor_varint(&c) != 0;
        } else {
            proto_skip(&c, tag, PROTO_KNOWN(1));
        }
    }
    if (c.bad) return ERR_INPUT;
    if (points == 0) return OK;
    o->outcome->points += points;
    bool has_temporality = field != GAUGE && field != SUMMARY;
    o->metric.is_gauge = field == GAUGE;
    o->metric.is_monotonic = field == SUM && is_monotonic;
    o->metric.is_delta = has_temporality && temporality == TEMPORALITY_DELTA;
    enum err e = OK;
    if (has_temporality && temporality != TEMPORALITY_DELTA &&
        temporality != TEMPORALITY_CUMULATIVE)
        e = refuse_point(o, "its temporality is neither cumulative nor delta");
    if (e == OK) e = name_metric(o, field);
    if (e) return judge(o, e, points);
    c = cursor_of(data);
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            e = judge(o, readers[field](o, proto_bytes(&c)), 1);
        else
            proto_skip(&c, tag, 0);
    return e;
}

static enum err
read_metric(struct otlp *o, struct bytes message)
{
    struct cursor c = cursor_of(message);
    struct bytes data = {NULL, 0};
    uint32_t field = 0;
    o->metric = (struct metric){.is_delta = false};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES):
            o->metric.name = proto_bytes(&c);
            break;
        case PROTO_TAG(2, PROTO_BYTES):
            o->metric.description = proto_bytes(&c);
            break;
        case PROTO_TAG(3, PROTO_BYTES):
            o->metric.unit = proto_bytes(&c);
            break;
        case PROTO_TAG(GAUGE, PROTO_BYTES):
        case PROTO_TAG(SUM, PROTO_BYTES):
        case PROTO_TAG(HISTOGRAM, PROTO_BYTES):
        case PROTO_TAG(EXPONENTIAL, PROTO_BYTES):
        case PROTO_TAG(SUMMARY, PROTO_BYTES):
            data = proto_bytes(&c);
            field = tag >> 3;
            break;
        default:
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2) | PROTO_KNOWN(3));
        }
    }
    if (c.bad) return ERR_INPUT;
    return field == 0 ? OK : read_data(o, (enum metric_field)field, data);
}

/* --- scopes and resources --------------------------------------------------------------------- */

/* Makes the labels of a scope. An attribute that makes no label is left out. */
static enum err
scope_labels(struct otlp *o, struct bytes scope, struct bytes schema_url)
{
    struct bytes name = {NULL, 0}, version = {NULL, 0};
    struct cursor c = cursor_of(scope);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            name = proto_bytes(&c);
        else if (tag == PROTO_TAG(2, PROTO_BYTES))
            version = proto_bytes(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2));
    o->scope.count = 0;
    o->remembered.is_valid = false;
    if (c.bad) return ERR_INPUT;
    if (!o->settings->promotes_scope || name.size == 0) return OK;
    enum err e = otlp_read_attributes(o, scope, 3, &o->attributes) ? OK : ERR_UNSUPPORTED;
    for (uint32_t i = 0; e == OK && i < o->attributes.count; i++) {
        struct attribute *a = &o->attributes.items[i];
        static const char begin[] = "otel_scope_";
        uint8_t *key = rw_fill_alloc(o->to, sizeof begin + a->key.size);
        if (key == NULL) return rw_fill_error(o->to);
        memcpy(key, begin, sizeof begin - 1);
        if (a->key.size > 0) memcpy(key + sizeof begin - 1, a->key.at, a->key.size);
        a->key = bytes_of(key, sizeof begin - 1 + a->key.size);
        e = otlp_add_label(o, a, &o->scope);
        if (e == ERR_UNSUPPORTED) e = OK;
    }
    otlp_set_label(&o->scope, bytes_of_text("otel_scope_name"), name);
    otlp_set_label(&o->scope, bytes_of_text("otel_scope_version"), version);
    otlp_set_label(&o->scope, bytes_of_text("otel_scope_schema_url"), schema_url);
    return e == ERR_UNSUPPORTED ? OK : e;
}

static enum err
read_scope(struct otlp *o, struct bytes message)
{
    struct bytes scope = {NULL, 0}, schema_url = {NULL, 0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            scope = proto_bytes(&c);
        else if (tag == PROTO_TAG(3, PROTO_BYTES))
            schema_url = proto_bytes(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(3));
    enum err e = c.bad ? ERR_INPUT : scope_labels(o, scope, schema_url);
    c = cursor_of(message);
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(2, PROTO_BYTES))
            e = read_metric(o, proto_bytes(&c));
        else
            proto_skip(&c, tag, PROTO_KNOWN(2));
    return e == OK && c.bad ? ERR_INPUT : e;
}

static const char *const identifying[] = {"service.namespace", "service.name",
                                          "service.instance.id"};

static bool
has_name(const struct text_list *names, struct bytes name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (bytes_equal_text(name, names->items[i])) return true;
    return false;
}

static bool
is_promoted(const struct otlp_settings *s, struct bytes key)
{
    return s->promotes_all ? !has_name(&s->ignored, key) : has_name(&s->promoted, key);
}

static const struct attribute *
find_attribute(const struct attributes *list, const char *key)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (bytes_equal_text(list->items[i].key, key)) return &list->items[i];
    return NULL;
}

/* Makes the labels that all points of a resource get. One that makes no label is left out. */
static enum err
resource_labels(struct otlp *o)
{
    const struct attribute *parts[3];
    struct bytes texts[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    enum err e = OK;
    for (unsigned i = 0; i < 3 && e == OK; i++) {
        parts[i] = find_attribute(&o->resource, identifying[i]);
        if (parts[i] != NULL) e = otlp_text_of(o, parts[i]->value, &texts[i]);
        if (e == ERR_UNSUPPORTED) e = OK;
    }
    o->job = texts[1];
    o->instance = texts[2];
    if (e == OK && texts[0].size > 0 && texts[1].size > 0) {
        buf_clear(&o->text);
        buf_put_bytes(&o->text, texts[0]);
        buf_put_u8(&o->text, '/');
        buf_put_bytes(&o->text, texts[1]);
        if (buf_error(&o->text)) return buf_error(&o->text);
        o->job = rw_fill_text(o->to, buf_bytes(&o->text));
        if (o->job.at == NULL) return rw_fill_error(o->to);
    }
    o->promoted.count = 0;
    for (uint32_t i = 0; i < o->resource.count && e == OK; i++) {
        if (!is_promoted(o->settings, o->resource.items[i].key)) continue;
        e = otlp_add_label(o, &o->resource.items[i], &o->promoted);
        if (e == ERR_UNSUPPORTED) e = OK;
    }
    return e;
}

/* Adds target_info, from the earliest to the latest point of the resource. */
static enum err
put_info(struct otlp *o)
{
    bool has_others = false;
    enum err e = OK;
    if (!o->has_points || (o->job.size == 0 && o->instance.size == 0)) return OK;
    o->labels.count = 0;
    for (uint32_t i = 0; i < o->resource.count && e == OK; i++) {
        struct bytes key = o->resource.items[i].key;
        bool is_own = false;
        for (unsigned k = 0; k < 3; k++)
            is_own |= bytes_equal_text(key, identifying[k]);
        has_others |= !is_own;
        if (is_own && !o->settings->keeps_identifying) continue;
        e = otlp_add_label(o, &o->resource.items[i], &o->labels);
        if (e == ERR_UNSUPPORTED) e = OK;
    }
    if (e || !has_others) return e;
    if (o->job.size > 0) otlp_set_label(&o->labels, bytes_of_text("job"), o->job);
    if (o->instance.size > 0) otlp_set_label(&o->labels, bytes_of_text("instance"), o->instance);
    e = otlp_begin_series(o, bytes_of_text("target_info"));
    int64_t span_ms = o->last_ms - o->first_ms; /* a long one has no samples between */
    int64_t step_ms = span_ms > INFO_STEPS_MAX * INFO_STEP_MS ? span_ms : INFO_STEP_MS;
    for (int64_t t_ms = o->first_ms; e == OK && t_ms < o->last_ms; t_ms += step_ms)
        e = rw_fill_float(o->to, t_ms, double_bits(1), 0);
    if (e == OK) e = rw_fill_float(o->to, o->last_ms, double_bits(1), 0);
    const struct rw_metadata metadata = {.type = METRIC_GAUGE,
                                         .family = bytes_of_text("target_info"),
                                         .help = bytes_of_text("Target metadata")};
    return e ? e : rw_fill_metadata(o->to, &metadata);
}

static enum err
read_resource(struct otlp *o, struct bytes message)
{
    struct bytes resource = {NULL, 0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            resource = proto_bytes(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1));
    if (c.bad) return ERR_INPUT;
    o->has_points = false;
    if (!otlp_read_attributes(o, resource, 1, &o->resource)) return ERR_INPUT;
    enum err e = resource_labels(o);
    c = cursor_of(message);
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(2, PROTO_BYTES))
            e = read_scope(o, proto_bytes(&c));
        else
            proto_skip(&c, tag, PROTO_KNOWN(2));
    if (e == OK && c.bad) e = ERR_INPUT;
    return e ? e : put_info(o);
}

const struct otlp_settings otlp_settings_default = {.translation = OTLP_ESCAPE_WITH_SUFFIXES,
                                                    .escapes_lone_underscore = true,
                                                    .keeps_underscores = true};

enum err
otlp_decode(const struct otlp_settings *settings, struct bytes message, uint64_t seed,
            struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    *ret = (struct input_outcome){0};
    rw_fill_begin(to, seed, message.size);
    struct otlp *o = rw_fill_alloc(to, sizeof *o);
    enum err e = o == NULL ? rw_fill_error(to) : OK;
    struct cursor c = cursor_of(message);
    if (e == OK) {
        o->settings = settings;
        o->to = to;
        o->outcome = ret;
        o->bound_texts = NULL;
        o->remembered.misses = 0;
        o->reason.text[0] = '\0';
        buf_init(&o->text, NULL, TEXT_BYTES_MAX);
        for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;)
            if (tag == PROTO_TAG(1, PROTO_BYTES))
                e = read_resource(o, proto_bytes(&c));
            else
                proto_skip(&c, tag, PROTO_KNOWN(1));
        buf_fini(&o->text);
    }
    if (e == OK && c.bad) e = ERR_INPUT;
    if (e == ERR_INPUT) (void)why_set(why, e, "the message is not an OTLP export of metrics");
    return input_end(to, e, why);
}
