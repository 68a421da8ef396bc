/*
 * timestream_labels.h - labels from the dimensions and measure names that
 * wire/point/timestream_record.h makes. For tests, which check that no name is lost.
 */
#ifndef LIB_WIRE_TIMESTREAM_LABELS_H
#define LIB_WIRE_TIMESTREAM_LABELS_H

#include "base/text/hex.h"
#include "wire/escaped_name.h"
#include "wire/point/timestream_record.h"

/*
 * Computes the labels of a series. `dimensions` are those that are not null in its rows, in any
 * order. ret_labels has room for one more than there are dimensions; __name__ comes last, if there
 * is one. Texts are views of the arguments or of the arena. A name that the program does not write
 * stays as it is. ERR_LIMIT: the arena is full.
 */
MUST_CHECK enum err timestream_labels_get(const struct label *dimensions, uint32_t count,
                                          struct bytes measure_name, struct arena *arena,
                                          struct label *ret_labels, uint32_t *ret_count);

#endif
