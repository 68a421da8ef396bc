/* value.c - see value.h. */
#include "template/value.h"

const char *
tmpl_type_name(enum tmpl_type type)
{
    switch (type) {
    case TMPL_INVALID:
        return "<nil>";
    case TMPL_TYPE_BOOL:
        return "bool";
    case TMPL_TYPE_INT:
        return "int";
    case TMPL_TYPE_INT64:
        return "int64";
    case TMPL_TYPE_INT32:
        return "int32";
    case TMPL_TYPE_UINT8:
        return "uint8";
    case TMPL_TYPE_UINT32:
        return "uint32";
    case TMPL_TYPE_UINT64:
        return "uint64";
    case TMPL_TYPE_FLOAT:
        return "float64";
    case TMPL_TYPE_STRING:
        return "string";
    case TMPL_TYPE_HTML:
        return "template.HTML";
    case TMPL_TYPE_MONTH:
        return "time.Month";
    case TMPL_TYPE_WEEKDAY:
        return "time.Weekday";
    case TMPL_TYPE_DURATION:
        return "time.Duration";
    case TMPL_TYPE_DURATION_POINTER:
        return "*time.Duration";
    case TMPL_TYPE_TIME:
        return "time.Time";
    case TMPL_TYPE_TIME_POINTER:
        return "*time.Time";
    case TMPL_TYPE_LOCATION:
        return "*time.Location";
    case TMPL_TYPE_BYTES:
        return "[]uint8";
    case TMPL_TYPE_LABELS:
        return "map[string]string";
    case TMPL_TYPE_ARGS:
        return "map[string]interface {}";
    case TMPL_TYPE_RESULT:
        return "template.queryResult";
    case TMPL_TYPE_SAMPLE:
        return "*template.sample";
    case TMPL_TYPE_SAMPLE_STRUCT:
        return "template.sample";
    case TMPL_TYPE_HISTOGRAM:
        return "*histogram.FloatHistogram";
    case TMPL_TYPE_HISTOGRAM_STRUCT:
        return "histogram.FloatHistogram";
    case TMPL_TYPE_HINT:
        return "histogram.CounterResetHint";
    case TMPL_TYPE_SPAN:
        return "histogram.Span";
    case TMPL_TYPE_SPANS:
        return "[]histogram.Span";
    case TMPL_TYPE_FLOATS:
        return "[]float64";
    case TMPL_TYPE_DATA:
        return "struct { Labels map[string]string; ExternalLabels map[string]string; "
               "ExternalURL string; Value interface {} }";
    case TMPL_TYPE_ANY:
        return "interface {}";
    case TMPL_TYPE_REFLECT:
        break;
    }
    return "reflect.Value";
}

const char *
tmpl_static_type_name(const struct tmpl_value *v)
{
    return v->is_interface ? "interface {}" : tmpl_type_name(v->type);
}

struct tmpl_value
tmpl_pointed_to(struct tmpl_value v)
{
    if (v.is_nil) return v;
    if (v.type == TMPL_TYPE_SAMPLE) {
        v.type = TMPL_TYPE_SAMPLE_STRUCT;
    } else if (v.type == TMPL_TYPE_HISTOGRAM) {
        v.type = TMPL_TYPE_HISTOGRAM_STRUCT;
    } else if (v.type == TMPL_TYPE_TIME_POINTER) {
        v = tmpl_of_time(*v.time_at);
    } else if (v.type == TMPL_TYPE_DURATION_POINTER) {
        v = tmpl_of_integer(TMPL_TYPE_DURATION, *v.duration_at);
    }
    return v;
}

int64_t
tmpl_length(const struct tmpl_value *v)
{
    switch (v->type) {
    case TMPL_TYPE_STRING:
    case TMPL_TYPE_HTML:
    case TMPL_TYPE_BYTES:
        return v->is_nil ? 0 : (int64_t)v->text.size;
    case TMPL_TYPE_LABELS:
    case TMPL_TYPE_ARGS:
        return v->is_nil ? 0 : v->map->count;
    case TMPL_TYPE_RESULT:
        return v->is_nil ? 0 : v->result.count;
    case TMPL_TYPE_FLOATS:
        return v->floats.count;
    case TMPL_TYPE_SPANS:
        return v->spans.count;
    default:
        return -1;
    }
}

struct tmpl_value
tmpl_element(const struct tmpl_value *slice, int64_t i)
{
    switch (slice->type) {
    case TMPL_TYPE_RESULT:
        return (struct tmpl_value){.type = TMPL_TYPE_SAMPLE, .sample = slice->result.samples[i]};
    case TMPL_TYPE_FLOATS:
        return tmpl_of_float(slice->floats.at[i]);
    case TMPL_TYPE_SPANS:
        return (struct tmpl_value){.type = TMPL_TYPE_SPAN, .span = slice->spans.at[i]};
    default:
        return tmpl_of_integer(TMPL_TYPE_UINT8, slice->text.at[i]);
    }
}

bool
tmpl_is_true(const struct tmpl_value *v)
{
    int64_t length = tmpl_length(v);
    if (length >= 0) return length > 0;
    if (tmpl_is_pointer(v->type)) return !v->is_nil;
    if (tmpl_is_integer(v->type) || tmpl_is_unsigned(v->type)) return v->integer != 0;
    if (v->type == TMPL_TYPE_FLOAT) return v->number != 0;
    if (v->type == TMPL_TYPE_BOOL) return v->truth;
    return v->type != TMPL_INVALID; /* a struct */
}

const struct tmpl_value *
tmpl_map_find(const struct tmpl_map *map, struct bytes key)
{
    uint32_t low = 0, high = map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = bytes_compare(map->entries[middle].key, key);
        if (order == 0) return &map->entries[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct tmpl_value
tmpl_map_zero(enum tmpl_type map)
{
    if (map == TMPL_TYPE_LABELS) return tmpl_of_text(bytes_of("", 0));
    return (struct tmpl_value){.type = TMPL_INVALID, .is_interface = true};
}

static bool
data_field(const struct tmpl_root *root, unsigned index, const char **ret_name,
           struct tmpl_value *ret)
{
    static const char *const names[] = {"Labels", "ExternalLabels", "ExternalURL", "Value"};
    if (index >= sizeof names / sizeof *names) return false;
    *ret_name = names[index];
    switch (index) {
    case 0:
        *ret = tmpl_of_labels(&root->labels);
        break;
    case 1:
        *ret = tmpl_of_labels(&root->external_labels);
        break;
    case 2:
        *ret = tmpl_of_text(root->external_url);
        break;
    default:
        *ret = root->value;
    }
    return true;
}

/* Those of a time are for printing only: Go does not let templates see them. */
static bool
time_field(const struct tmpl_time *t, unsigned index, const char **ret_name, struct tmpl_value *ret)
{
    static const char *const names[] = {"wall", "ext", "loc"};
    if (index >= sizeof names / sizeof *names) return false;
    *ret_name = names[index];
    if (index == 0)
        *ret = tmpl_of_integer(TMPL_TYPE_UINT64, t->nanos);
    else if (index == 1)
        *ret = tmpl_of_integer(TMPL_TYPE_INT64,
                               (int64_t)((uint64_t)t->seconds + (uint64_t)TMPL_GO_ZERO_SECONDS));
    else
        *ret = (struct tmpl_value){
            .type = TMPL_TYPE_LOCATION, .is_nil = !t->is_local, .location_is_local = t->is_local};
    return true;
}

static struct tmpl_value
floats_of(const double *at, uint32_t count)
{
    return (struct tmpl_value){
        .type = TMPL_TYPE_FLOATS, .is_nil = count == 0, .floats = {at, count}};
}

static bool
histogram_field(const struct tmpl_histogram *histogram, unsigned index, const char **ret_name,
                struct tmpl_value *ret)
{
    const struct fhist *h = histogram->h;
    const struct {
        const char *name;
        struct tmpl_value value;
    } fields[] = {
        {"CounterResetHint", tmpl_of_integer(TMPL_TYPE_HINT, h->hint)},
        {"Schema", tmpl_of_integer(TMPL_TYPE_INT32, h->schema)},
        {"ZeroThreshold", tmpl_of_float(h->zero_threshold)},
        {"ZeroCount", tmpl_of_float(h->zero_count)},
        {"Count", tmpl_of_float(h->count)},
        {"Sum", tmpl_of_float(h->sum)},
        {"PositiveSpans", histogram->positive_spans},
        {"NegativeSpans", histogram->negative_spans},
        {"PositiveBuckets", floats_of(h->positive.counts, h->positive.count)},
        {"NegativeBuckets", floats_of(h->negative.counts, h->negative.count)},
        {"CustomValues", floats_of(h->bounds, h->bound_count)},
    };
    if (index >= sizeof fields / sizeof *fields) return false;
    *ret_name = fields[index].name;
    *ret = fields[index].value;
    return true;
}

static bool
span_field(struct tmpl_span span, unsigned index, const char **ret_name, struct tmpl_value *ret)
{
    if (index > 1) return false;
    *ret_name = index == 0 ? "Offset" : "Length";
    *ret = index == 0 ? tmpl_of_integer(TMPL_TYPE_INT32, span.offset)
                      : tmpl_of_integer(TMPL_TYPE_UINT32, span.length);
    return true;
}

bool
tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
              struct tmpl_value *ret)
{
    if (v->type == TMPL_TYPE_DATA) return data_field(v->root, index, ret_name, ret);
    if (v->type == TMPL_TYPE_HISTOGRAM_STRUCT) {
        return histogram_field(v->histogram, index, ret_name, ret);
    }
    if (v->type == TMPL_TYPE_SPAN) return span_field(v->span, index, ret_name, ret);
    if (v->type == TMPL_TYPE_TIME) return time_field(&v->time, index, ret_name, ret);
    if (v->type != TMPL_TYPE_SAMPLE_STRUCT || index > 1) return false;
    *ret_name = index == 0 ? "Labels" : "Value";
    *ret = index == 0 ? tmpl_of_labels(&v->sample->labels) : v->sample->value;
    return true;
}

bool
tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret)
{
    const char *field;
    struct tmpl_value value;
    for (unsigned i = 0; tmpl_field_at(v, i, &field, &value); i++) {
        if (!bytes_equal_text(name, field)) continue;
        *ret = value;
        return true;
    }
    return false;
}
