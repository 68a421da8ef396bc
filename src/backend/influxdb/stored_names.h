/*
 * stored_names.h - what the names and values of an InfluxDB stand for as labels, and which of them
 * stand for a label.
 *
 * A text that line_protocol.h would have coded so is decoded; every other one stands for itself, so
 * that no two texts of ours stand for the same. Where names are not coded at all (`mapping:
 * telegraf`) there is nothing to do.
 */
#ifndef BACKEND_INFLUXDB_STORED_NAMES_H
#define BACKEND_INFLUXDB_STORED_NAMES_H

#include "wire/point/line_protocol.h"

/* Appends what it stands for. The error of `to`. */
MUST_CHECK enum err stored_name_decode(struct bytes text, enum line_role role, struct buf *to);

enum { STORED_NAMES_MAX = 2 };
/*
 * Every text that stands for `name`, of which there is at least one: views of `name`, or of `room`.
 * The error of `room`.
 */
MUST_CHECK enum err stored_names_of(struct bytes name, enum line_role role, struct buf *room,
                                    struct bytes ret_texts[STORED_NAMES_MAX], unsigned *ret_count);

#endif
