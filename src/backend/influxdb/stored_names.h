/*
 * stored_names.h - decodes the names and values that InfluxDB stores, and finds the stored forms of
 * a label.
 *
 * A text is decoded if line_protocol.h would have encoded the result so; every other text is
 * itself, so that no two texts of Firekeep have the same form. Names are not encoded with `mapping:
 * telegraf`.
 *
 * Threads: any; the functions have no state.
 */
#ifndef BACKEND_INFLUXDB_STORED_NAMES_H
#define BACKEND_INFLUXDB_STORED_NAMES_H

#include "wire/point/line_protocol.h"

/* Appends the decoded text. The error of `to`. */
MUST_CHECK enum err stored_name_decode(struct bytes text, enum line_role role, struct buf *to);

enum { STORED_NAMES_MAX = 2 };
/* Every stored form of `name`, at least one: views of `name`, or of `room`. The error of `room`. */
MUST_CHECK enum err stored_names_of(struct bytes name, enum line_role role, struct buf *room,
                                    struct bytes ret_texts[STORED_NAMES_MAX], unsigned *ret_count);

#endif
