/*
 * value.h - what pipelines pass on: values of the few types of Go that a template can meet. Private
 * to template/.
 */
#ifndef TEMPLATE_VALUE_H
#define TEMPLATE_VALUE_H

#include "promql/histogram/fhist.h"
#include "template/moment.h"

enum tmpl_type {
    TMPL_INVALID, /* nothing at all */
    TMPL_TYPE_BOOL,
    TMPL_TYPE_INT,
    TMPL_TYPE_INT32,
    TMPL_TYPE_INT64,
    TMPL_TYPE_UINT8,
    TMPL_TYPE_UINT32,
    TMPL_TYPE_UINT64,
    TMPL_TYPE_FLOAT,
    TMPL_TYPE_STRING,
    TMPL_TYPE_HTML, /* a string that safeHtml made */
    TMPL_TYPE_MONTH,
    TMPL_TYPE_WEEKDAY,
    TMPL_TYPE_DURATION,
    TMPL_TYPE_DURATION_POINTER,
    TMPL_TYPE_TIME,
    TMPL_TYPE_TIME_POINTER,
    TMPL_TYPE_LOCATION, /* a pointer */
    TMPL_TYPE_BYTES,
    TMPL_TYPE_LABELS, /* map[string]string */
    TMPL_TYPE_ARGS,   /* map[string]interface {} */
    TMPL_TYPE_RESULT, /* of a query */
    TMPL_TYPE_SAMPLE, /* a pointer to one */
    TMPL_TYPE_SAMPLE_STRUCT,
    TMPL_TYPE_HISTOGRAM, /* a pointer to one */
    TMPL_TYPE_HISTOGRAM_STRUCT,
    TMPL_TYPE_HINT, /* of a histogram: whether a counter was reset */
    TMPL_TYPE_SPAN, /* a run of buckets */
    TMPL_TYPE_SPANS,
    TMPL_TYPE_FLOATS,
    TMPL_TYPE_DATA, /* the dot at the beginning */
    /* Only of parameters. */
    TMPL_TYPE_ANY,     /* interface {} */
    TMPL_TYPE_REFLECT, /* any value, as it is */
};

/* A run of buckets: how many are left out before it, of the first one its index; and its length. */
struct tmpl_span {
    int32_t offset;
    uint32_t length;
};

struct tmpl_value {
    enum tmpl_type type;
    /* Go keeps it in an interface {}, until a pipeline takes it out; INVALID is nil then. */
    bool is_interface;
    bool is_nil; /* of pointers and slices */
    union {
        bool truth;
        int64_t integer; /* INT to UINT64, HINT, MONTH, WEEKDAY, DURATION */
        double number;
        struct bytes text; /* STRING, HTML, BYTES */
        struct tmpl_time time;
        const struct tmpl_time *time_at;
        const int64_t *duration_at;
        bool location_is_local;
        const struct tmpl_map *map;
        const struct tmpl_sample *sample;
        const struct tmpl_histogram *histogram;
        const struct tmpl_root *root;
        struct tmpl_span span;
        struct {
            const struct tmpl_span *at;
            uint32_t count;
        } spans;
        struct {
            const double *at;
            uint32_t count;
        } floats;
        struct {
            const struct tmpl_sample **samples;
            uint32_t count;
            uint32_t capacity; /* which {{slice}} may go up to */
        } result;
    };
};

struct tmpl_entry {
    struct bytes key;
    struct tmpl_value value;
};

/* Sorted by key. */
struct tmpl_map {
    struct tmpl_entry *entries;
    uint32_t count;
    uint32_t depth; /* of maps in it */
};

struct tmpl_histogram {
    const struct fhist *h;
    struct tmpl_value positive_spans, negative_spans;
};

struct tmpl_sample {
    struct tmpl_map labels;
    struct tmpl_value value; /* FLOAT or HISTOGRAM, in an interface {} */
};

/* Of TMPL_TYPE_DATA. */
struct tmpl_root {
    struct tmpl_map labels;
    struct tmpl_map external_labels;
    struct bytes external_url;
    struct tmpl_value value; /* as that of a sample */
};

/* Go's name of a type; of the dot's, all of its fields. */
const char *tmpl_type_name(enum tmpl_type type);
/* The same of what a value is in, which may be an interface {}. */
const char *tmpl_static_type_name(const struct tmpl_value *v);

static inline bool
tmpl_is_string(enum tmpl_type type)
{
    return type == TMPL_TYPE_STRING || type == TMPL_TYPE_HTML;
}

static inline bool
tmpl_is_integer(enum tmpl_type type)
{
    return type == TMPL_TYPE_INT || type == TMPL_TYPE_INT32 || type == TMPL_TYPE_INT64 ||
           type == TMPL_TYPE_MONTH || type == TMPL_TYPE_WEEKDAY || type == TMPL_TYPE_DURATION;
}

static inline bool
tmpl_is_unsigned(enum tmpl_type type)
{
    return type == TMPL_TYPE_UINT8 || type == TMPL_TYPE_UINT32 || type == TMPL_TYPE_UINT64 ||
           type == TMPL_TYPE_HINT;
}

static inline bool
tmpl_is_map(enum tmpl_type type)
{
    return type == TMPL_TYPE_LABELS || type == TMPL_TYPE_ARGS;
}

static inline bool
tmpl_is_slice(enum tmpl_type type)
{
    return type == TMPL_TYPE_RESULT || type == TMPL_TYPE_BYTES || type == TMPL_TYPE_FLOATS ||
           type == TMPL_TYPE_SPANS;
}

static inline bool
tmpl_is_pointer(enum tmpl_type type)
{
    return type == TMPL_TYPE_DURATION_POINTER || type == TMPL_TYPE_TIME_POINTER ||
           type == TMPL_TYPE_LOCATION || type == TMPL_TYPE_SAMPLE || type == TMPL_TYPE_HISTOGRAM;
}

/* May nil be given for it? */
static inline bool
tmpl_can_be_nil(enum tmpl_type type)
{
    return tmpl_is_pointer(type) || tmpl_is_map(type) || tmpl_is_slice(type) ||
           type == TMPL_TYPE_ANY || type == TMPL_TYPE_REFLECT;
}

static inline struct tmpl_value
tmpl_of_bool(bool truth)
{
    return (struct tmpl_value){.type = TMPL_TYPE_BOOL, .truth = truth};
}

static inline struct tmpl_value
tmpl_of_integer(enum tmpl_type type, int64_t integer)
{
    return (struct tmpl_value){.type = type, .integer = integer};
}

static inline struct tmpl_value
tmpl_of_float(double number)
{
    return (struct tmpl_value){.type = TMPL_TYPE_FLOAT, .number = number};
}

static inline struct tmpl_value
tmpl_of_text(struct bytes text)
{
    return (struct tmpl_value){.type = TMPL_TYPE_STRING, .text = text};
}

static inline struct tmpl_value
tmpl_of_time(struct tmpl_time time)
{
    return (struct tmpl_value){.type = TMPL_TYPE_TIME, .time = time};
}

static inline struct tmpl_value
tmpl_of_labels(const struct tmpl_map *map)
{
    return (struct tmpl_value){.type = TMPL_TYPE_LABELS, .map = map};
}

/* Out of its interface {}. */
static inline struct tmpl_value
tmpl_concrete(struct tmpl_value v)
{
    v.is_interface = false;
    return v;
}

/* What a pointer points to; others as they are, and nil. */
struct tmpl_value tmpl_pointed_to(struct tmpl_value v);
/* Elements, entries or bytes; -1: it has no length. */
int64_t tmpl_length(const struct tmpl_value *v);
/* Of what tmpl_is_slice(). */
struct tmpl_value tmpl_element(const struct tmpl_value *slice, int64_t index);
/* Of {{if}}. */
bool tmpl_is_true(const struct tmpl_value *v);
/* NULL: there is no such key. */
const struct tmpl_value *tmpl_map_find(const struct tmpl_map *map, struct bytes key);
/* What a key that is not there is taken for. */
struct tmpl_value tmpl_map_zero(enum tmpl_type map);
/* Fields of a struct, by index from 0 or by name. False: there is no such field. */
bool tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
                   struct tmpl_value *ret);
bool tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret);

#endif
