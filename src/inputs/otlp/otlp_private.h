/*
 * otlp_private.h - private to otlp/: the state of one call of otlp_decode(), and what its files
 * share.
 */
#ifndef INPUTS_OTLP_OTLP_PRIVATE_H
#define INPUTS_OTLP_OTLP_PRIVATE_H

#include "inputs/otlp/otlp.h"
#include "wire/remote/remote_write_fill.h"

enum {
    ATTRIBUTES_MAX = 256, /* of a resource, scope, point or exemplar */
    LABELS_MAX = 3 * ATTRIBUTES_MAX + 8,
};

struct attribute {
    struct bytes key;
    struct bytes value; /* AnyValue */
};

struct attributes {
    struct attribute items[ATTRIBUTES_MAX];
    uint32_t count;
};

struct label_set {
    struct label items[LABELS_MAX];
    uint32_t count;
};

/* The labels of the last point, and the places in them of the values of its attributes, in the
 * order sent: most points have the keys of the one before. */
enum { REMEMBERED_MAX = 32 };
struct remembered {
    bool is_valid;
    uint32_t misses; /* points in a row that had other keys */
    uint32_t count;
    struct bytes keys[REMEMBERED_MAX];
    uint32_t places[REMEMBERED_MAX]; /* UINT32_MAX: the label has another value */
    struct label labels[2 * REMEMBERED_MAX];
    uint32_t label_count;
};

/* A metric whose points are read. */
struct metric {
    struct bytes name, description, unit;
    struct bytes made, sum, count, bucket; /* names of series */
    bool is_gauge, is_delta, is_monotonic;
};

struct otlp {
    const struct otlp_settings *settings;
    struct rw_request *to;
    struct input_outcome *outcome;
    struct buf text; /* scratch */
    struct attributes attributes, resource;
    struct label_set promoted, scope, labels, exemplar;
    struct bytes job, instance;
    bool has_joined;              /* keys of the point have made the same name */
    struct remembered remembered; /* of this resource and scope */
    struct metric metric;
    bool has_points; /* of the resource; the next two are their times */
    int64_t first_ms, last_ms;
    struct bytes bounds; /* of the last histogram; the texts of these */
    struct bytes *bound_texts;
    struct why reason; /* why a point is refused */
};

/* ERR_UNSUPPORTED: the point is refused, for o->reason; other errors end the reading. */
#define refuse_point(o, ...) why_set(&(o)->reason, ERR_UNSUPPORTED, __VA_ARGS__)

/* --- attributes.c ----------------------------------------------------------------------------- */

/* Reads the attributes that are a field of a message, and sorts them. False: malformed, or too
 * many: o->reason. */
bool otlp_read_attributes(struct otlp *o, struct bytes message, uint32_t field,
                          struct attributes *to);
/* Reads a KeyValue. False: malformed. */
bool otlp_read_attribute(struct bytes message, struct attribute *ret_attribute);
/* Gives the text of a value, a view if it is a text, else in memory of the request. */
MUST_CHECK enum err otlp_text_of(struct otlp *o, struct bytes value, struct bytes *ret_text);
/* Adds the label of an attribute. If a key before it made the same name, the values are joined. */
MUST_CHECK enum err otlp_add_label(struct otlp *o, const struct attribute *attribute,
                                   struct label_set *to);
/* Gives the name of the label of a key. */
MUST_CHECK enum err otlp_name_label(struct otlp *o, struct bytes key, struct bytes *ret_name);
/* Finds the place of a name; true: it is there. */
bool otlp_find_label(const struct label_set *set, struct bytes name, uint32_t *ret_at);
/* Sets a label; an empty value removes it. */
void otlp_set_label(struct label_set *set, struct bytes name, struct bytes value);

/* --- points.c: each reads a point of its kind into series ------------------------------------- */

MUST_CHECK enum err otlp_number_point(struct otlp *o, struct bytes point);
MUST_CHECK enum err otlp_histogram_point(struct otlp *o, struct bytes point);
MUST_CHECK enum err otlp_exponential_point(struct otlp *o, struct bytes point);
MUST_CHECK enum err otlp_summary_point(struct otlp *o, struct bytes point);
/* Begins a series of o->labels and a name. */
MUST_CHECK enum err otlp_begin_series(struct otlp *o, struct bytes name);

#endif
