/*
 * value.h - values of pipelines, of the few types that templates use. Private to template/. Their
 * names in sentences are those of Go, which users know from Prometheus.
 */
#ifndef TEMPLATE_VALUE_H
#define TEMPLATE_VALUE_H

#include "base/buf.h"
#include "model/fhist/fhist.h"

enum tmpl_type {
    TMPL_TYPE_NIL,
    TMPL_TYPE_BOOL,
    TMPL_TYPE_INT,
    TMPL_TYPE_FLOAT,
    TMPL_TYPE_STRING,
    TMPL_TYPE_TIME,
    TMPL_TYPE_DURATION,
    TMPL_TYPE_LABELS, /* a map of strings */
    TMPL_TYPE_ARGS,   /* a map of any values */
    TMPL_TYPE_RESULT, /* samples that a query found */
    TMPL_TYPE_SAMPLE,
    TMPL_TYPE_HISTOGRAM,
    TMPL_TYPE_DATA, /* the dot at the beginning */
    TMPL_TYPE_ANY,  /* for parameters only */
};

struct tmpl_value {
    enum tmpl_type type;
    union {
        bool truth;
        int64_t integer; /* INT; TIME: nanoseconds since 1970; DURATION: nanoseconds */
        double number;
        struct bytes text;
        const struct tmpl_map *map; /* LABELS, ARGS */
        const struct tmpl_sample *sample;
        const struct fhist *histogram;
        const struct tmpl_root *root; /* DATA */
        struct {
            const struct tmpl_sample **samples;
            uint32_t count;
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
    uint32_t depth; /* levels of maps in it, from 1 */
};

struct tmpl_sample {
    struct tmpl_map labels;
    struct tmpl_value value; /* FLOAT or HISTOGRAM */
};

struct tmpl_root {
    struct tmpl_map labels;
    struct tmpl_map external_labels;
    struct bytes external_url;
    struct tmpl_value value; /* FLOAT or HISTOGRAM */
};

/* Returns Go's name of a type. */
const char *tmpl_type_name(enum tmpl_type type);

static inline bool
tmpl_is_integer(enum tmpl_type type)
{
    return type == TMPL_TYPE_INT || type == TMPL_TYPE_DURATION;
}

static inline bool
tmpl_is_map(enum tmpl_type type)
{
    return type == TMPL_TYPE_LABELS || type == TMPL_TYPE_ARGS;
}

static inline struct tmpl_value
tmpl_of_bool(bool truth)
{
    return (struct tmpl_value){.type = TMPL_TYPE_BOOL, .truth = truth};
}

/* `type` is INT, TIME or DURATION. */
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
tmpl_of_labels(const struct tmpl_map *map)
{
    return (struct tmpl_value){.type = TMPL_TYPE_LABELS, .map = map};
}

static inline struct tmpl_value
tmpl_of_sample(const struct tmpl_sample *sample)
{
    return (struct tmpl_value){.type = TMPL_TYPE_SAMPLE, .sample = sample};
}

/* Returns a value as actions print it. */
static inline struct tmpl_value
tmpl_printable(struct tmpl_value v)
{
    return v.type == TMPL_TYPE_NIL ? tmpl_of_text(bytes_of_text("<no value>")) : v;
}

/* Returns the number of elements, entries or bytes; -1 if the type has no length. */
int64_t tmpl_length(const struct tmpl_value *v);
/* Returns element `index` of a string (its byte) or of a result; it exists. */
struct tmpl_value tmpl_element(const struct tmpl_value *v, int64_t index);
/* True if {{if}} executes its list. */
bool tmpl_is_true(const struct tmpl_value *v);
void tmpl_map_sort(struct tmpl_map *map);
/* Returns the value of a key of a map; for a missing key an empty string or nil. */
struct tmpl_value tmpl_map_get(const struct tmpl_value *map, struct bytes key);
/* Gives a field of a struct, by index from 0 or by name. False: the field does not exist. */
bool tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
                   struct tmpl_value *ret);
bool tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret);

#endif
