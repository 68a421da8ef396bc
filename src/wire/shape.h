/*
 * shape.h - the contents of messages: labels, floats, native histograms, metadata. Plain structs
 * without checks; `model/` defines their meaning and validity.
 */
#ifndef WIRE_SHAPE_H
#define WIRE_SHAPE_H

#include "base/mem.h"

struct label {
    struct bytes name;
    struct bytes value;
};

/*
 * Time is int64 milliseconds since the Unix epoch. Values are 64-bit floats kept bit for bit, so
 * they travel as uint64_t bits: comparing or copying doubles would lose NaN payloads.
 */
enum sample_kind {
    SAMPLE_FLOAT = 0,
    SAMPLE_HISTOGRAM_INT = 1,   /* native histogram with integer counts */
    SAMPLE_HISTOGRAM_FLOAT = 2, /* native histogram with float counts */
    SAMPLE_KIND_COUNT
};

/* Prometheus' staleness marker, and its ordinary NaN. */
#define STALE_NAN_BITS  0x7ff0000000000002u
#define NORMAL_NAN_BITS 0x7ff8000000000001u

/* The numbers of the protocol. */
enum reset_hint { RESET_UNKNOWN = 0, RESET_YES = 1, RESET_NO = 2, RESET_GAUGE = 3 };

enum {
    HISTOGRAM_SCHEMA_MIN = -4,
    HISTOGRAM_SCHEMA_MAX = 8,
    HISTOGRAM_SCHEMA_CUSTOM = -53, /* custom_bits are the upper bounds */
    HISTOGRAM_BUCKETS_MAX = 65536, /* limit of accepted buckets per sign, and of custom bounds */
};

/* `offset` empty buckets since the last span (the first: the index itself), then `length` buckets.
 */
struct hist_span {
    int32_t offset;
    uint32_t length;
};

/* The buckets of one sign. Integer histograms use `deltas`, float histograms `counts`. */
struct hist_buckets {
    const struct hist_span *spans;
    uint32_t span_count;
    uint32_t bucket_count;  /* length of deltas or counts */
    const int64_t *deltas;  /* each count as a difference from the bucket before */
    const uint64_t *counts; /* absolute counts, as double bits */
};

/* All pointers are views into memory of the creator. */
struct histogram {
    enum sample_kind kind; /* SAMPLE_HISTOGRAM_INT or _FLOAT */
    enum reset_hint reset_hint;
    int32_t schema;
    uint64_t zero_threshold_bits;
    uint64_t sum_bits;
    uint64_t count;      /* integer, or double bits for float histograms */
    uint64_t zero_count; /* like `count` */
    struct hist_buckets positive;
    struct hist_buckets negative;
    const uint64_t *custom_bits; /* upper bounds, schema HISTOGRAM_SCHEMA_CUSTOM only */
    uint32_t custom_count;
};

/* True if kind, schema, threshold, spans and custom bounds are the same bits: only counts may
 * differ. */
bool histogram_same_layout(const struct histogram *a, const struct histogram *b);
/* Compares only the custom bounds. */
bool histogram_same_custom(const struct histogram *a, const struct histogram *b);

/* Makes a deep copy in `arena`. ERR_LIMIT: the arena is full. */
MUST_CHECK enum err histogram_copy(const struct histogram *h, struct arena *arena,
                                   struct histogram *ret_copy);

/* Histograms of one layout as columns over time: the value of a number in the first of them (row
 * 0), and the rows in which it differs from the previous row. A number that never changes has no
 * rows, so work by column is proportional to the number of changes. A step is added (mod 2^64) to
 * an integer and xored with the bits of a double. */
struct hist_column {
    uint64_t first;
    uint32_t step_count;
    const uint16_t *rows; /* ascending, above 0 */
    const uint64_t *steps;
};

struct hist_columns {
    struct histogram layout; /* kind, schema, threshold, spans, bounds; no counts */
    uint32_t row_count;      /* at most 65536 */
    enum reset_hint hint;    /* hint of all rows, if `hints` is NULL */
    const uint8_t *hints;    /* enum reset_hint of each row; NULL if all have the same */
    struct hist_column sum;  /* doubles */
    /* Integers: the count minus the sum of zero bucket and buckets (mostly 0). Floats: the count.
     */
    struct hist_column count;
    struct hist_column zero_count;
    /* Absolute counts: positive buckets, then negative ones. */
    const struct hist_column *buckets;
};

/* Types of metrics; the numbers are those of remote write 1.0 and 2.0. */
enum metric_type {
    METRIC_UNKNOWN,
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_GAUGE_HISTOGRAM,
    METRIC_SUMMARY,
    METRIC_INFO,
    METRIC_STATESET,
    METRIC_TYPE_COUNT
};

/* --- label bytes ------------------------------------------------------------------------------ */

/*
 * Reads canonical label bytes, which model/labels.h describes: the `labels` fields of a 1.0
 * TimeSeries.
 */

/* Steps through labels; false at the end (or on malformed bytes, then `c->bad`). */
bool labels_next(struct cursor *c, struct label *ret_label);

/* Returns the value; an empty view if the label is absent, which equals the empty string. */
struct bytes labels_get(struct bytes labels, struct bytes name);

/* --- samples for the formats of other systems ------------------------------------------------- */

struct labelled_sample {
    struct bytes labels; /* canonical label bytes (model/labels.h) */
    int64_t t_ms;
    int64_t start_ms; /* 0 if not known */
    uint64_t bits;
    const struct histogram *histogram; /* NULL if the sample is a float */
};

#endif
