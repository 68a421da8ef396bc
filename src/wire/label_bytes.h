/*
 * label_bytes.h - reads canonical label bytes, which model/labels.h describes: the `labels` fields
 * of a 1.0 TimeSeries.
 */
#ifndef WIRE_LABEL_BYTES_H
#define WIRE_LABEL_BYTES_H

#include "wire/shape.h"

/* Steps through labels; false at the end (or on malformed bytes, then `c->bad`). */
bool labels_next(struct cursor *c, struct label *ret_label);

/* Returns the value; an empty view if the label is absent, which equals the empty string. */
struct bytes labels_get(struct bytes labels, struct bytes name);

#endif
