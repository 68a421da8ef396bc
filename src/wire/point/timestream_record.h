/*
 * timestream_record.h - a sample as a record of Timestream's WriteRecords.
 *
 *     {"MeasureName":"up","MeasureValue":"1","MeasureValueType":"DOUBLE",
 *      "Dimensions":[{"Name":"job","Value":"x"}],"Time":"1700000000000","Version":1}
 *
 * Labels are dimensions, the metric's name is the measure's. A finite float is a DOUBLE of shortest
 * exact digits; what is no finite number is a VARCHAR: 16 hex digits, the float's 64 bits, or a
 * histogram's JSON (histogram_json.h), which begins with a brace.
 *
 * Names that Timestream cannot have are mapped, reversibly:
 * - what is named time or begins with ts_ or measure_value; dimensions named measure_name or with a
 *   colon; measures with a colon unless they may keep it; the empty measure of a series without a
 *   name; what is no UTF-8; and what begins like a mapped name: to the form of escaped_name.h
 *   (U__...).
 * - What then is longer than Timestream allows: H__, the letters, digits and underscores with which
 *   the name begins (nothing, if the first is a digit), __, and 16 hex digits: XXH3 of the name
 *   (64 bits, seed 0). The whole stands as the value of one more dimension, named by the same
 *   digits: N__... for a dimension's name, M__... for the measure's.
 */
#ifndef WIRE_POINT_TIMESTREAM_RECORD_H
#define WIRE_POINT_TIMESTREAM_RECORD_H

#include "base/buf.h"
#include "wire/shape.h"

enum {
    TIMESTREAM_DIMENSION_NAME_BYTES_MAX = 60,
    TIMESTREAM_MEASURE_NAME_BYTES_MAX = 256,
    TIMESTREAM_DIMENSIONS_MAX = 128,
    TIMESTREAM_DIMENSION_BYTES_MAX = 2048, /* names and values of all of a series */
    TIMESTREAM_RECORD_BYTES_MAX = 2048,    /* these, the measure's name and value, and the time */
};

/* What dimensions come to, as Timestream counts. */
struct timestream_size {
    uint32_t count;
    uint32_t bytes;
};

struct timestream_record {
    struct bytes name;             /* of the metric; empty: it has none */
    struct bytes labels;           /* canonical label bytes: those not among the common attributes;
                                      of __name__ no dimension is made */
    struct timestream_size common; /* of the dimensions among the common attributes */
    int64_t t_ms;
    uint64_t bits;
    const struct histogram *histogram; /* NULL: the float counts */
    uint64_t version;                  /* 0: none is written */
    bool keep_colons;                  /* in the measure's name */
};

/*
 * Appends the member "Dimensions":[...] alone, for common attributes, and adds to *size what it
 * comes to. `labels`: canonical; of __name__ nothing is written.
 * ERR_INPUT   Timestream cannot take them, `why` says why: a value that is no UTF-8, too many, too
 *             large together (with what *size said before).
 * Else the error of `to`. After an error `to` and *size are as before.
 */
MUST_CHECK enum err timestream_dimensions_put(struct buf *to, struct bytes labels,
                                              struct timestream_size *size, struct why *why);

/* Appends a record, an object without anything around it. ret_bytes: what Timestream counts, and
 * bills, for it beside the common attributes. ERR_INPUT besides: the record is too large. Else as
 * above. */
MUST_CHECK enum err timestream_record_put(struct buf *to, const struct timestream_record *record,
                                          uint32_t *ret_bytes, struct why *why);

/* The names alone, as queries want them; what is too long is shortened. Out of memory shows in
 * buf_error(to). */
void timestream_dimension_name_put(struct buf *to, struct bytes name);
void timestream_measure_name_put(struct buf *to, struct bytes name, bool keep_colons);

#endif
