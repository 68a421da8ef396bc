/*
 * timestream_record.h - a sample as a record of Timestream's WriteRecords.
 *
 *     {"MeasureName":"up","MeasureValue":"1","MeasureValueType":"DOUBLE",
 *      "Dimensions":[{"Name":"job","Value":"x"}],"Time":"1700000000000","Version":1}
 *
 * Labels are dimensions, the metric's name is the measure name. A finite float is a DOUBLE of
 * shortest exact digits; other values are VARCHAR: 16 hex digits, the float's 64 bits, or a
 * histogram's JSON (sample_json.h), which begins with a brace.
 *
 * Names that Timestream does not accept are mapped, reversibly:
 * - A name that is time or begins with ts_ or measure_value; dimensions named measure_name or with
 *   a colon; measures with a colon unless keep_colons; the empty measure of a series without a
 *   name; a name that is not UTF-8; and one that begins like a mapped name: to the form of
 *   escaped_name.h (U__...).
 * - A name that then is longer than Timestream allows: H__, the letters, digits and underscores
 *   with which the name begins (nothing, if the first is a digit), __, and 16 hex digits: XXH3 of
 *   the name (64 bits, seed 0). An additional dimension, named by the same digits, has the whole
 *   name as its value: N__... for a dimension's name, M__... for the measure's.
 */
#ifndef WIRE_POINT_TIMESTREAM_RECORD_H
#define WIRE_POINT_TIMESTREAM_RECORD_H

#include "base/buf.h"
#include "wire/shape.h"

enum {
    TIMESTREAM_DIMENSION_NAME_BYTES_MAX = 60,
    TIMESTREAM_MEASURE_NAME_BYTES_MAX = 256,
    TIMESTREAM_DIMENSIONS_MAX = 128,
    TIMESTREAM_DIMENSION_BYTES_MAX = 2048, /* names and values of all dimensions of a series */
    TIMESTREAM_RECORD_BYTES_MAX = 2048,    /* dimensions, measure name and value, and time */
};

/* Number and size of dimensions as Timestream counts them. */
struct timestream_size {
    uint32_t count;
    uint32_t bytes;
};

struct timestream_record {
    struct bytes name;             /* metric name; empty if the series has none */
    struct labelled_sample sample; /* without the labels that are common attributes */
    struct timestream_size common; /* dimensions among the common attributes */
    uint64_t version;              /* 0: the record has no version */
    bool keep_colons;              /* the measure name may have colons */
};

/*
 * Appends the member "Dimensions":[...] alone, for common attributes, and adds to *size. `labels`:
 * canonical; __name__ is skipped.
 * ERR_INPUT   Timestream does not accept them, `why` names the reason: a value is not UTF-8, there
 *             are too many, or they are too large together (with the previous *size).
 * Else the error of `to`. After an error `to` and *size are unchanged.
 */
MUST_CHECK enum err timestream_dimensions_put(struct buf *to, struct bytes labels,
                                              struct timestream_size *size, struct why *why);

/* Appends a record, a JSON object. ret_bytes: the size that Timestream counts and bills for it,
 * without the common attributes. ERR_INPUT as above, or the record is too large. Else the error of
 * `to`, unchanged as above. */
MUST_CHECK enum err timestream_record_put(struct buf *to, const struct timestream_record *record,
                                          uint32_t *ret_bytes, struct why *why);

/* Append a name as stored, for queries; long names are shortened. Out of memory shows in
 * buf_error(to). */
void timestream_dimension_name_put(struct buf *to, struct bytes name);
void timestream_measure_name_put(struct buf *to, struct bytes name, bool keep_colons);

#endif
