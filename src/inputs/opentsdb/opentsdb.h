/*
 * opentsdb.h - points of OpenTSDB as series: the JSON of /api/put, and the lines of its telnet
 * protocol. A metric keeps its name, and tags are labels.
 *
 * Source: OpenTSDB 2.4's documentation of /api/put and put; docs/inputs.md says what differs.
 *
 * Threads: any; each call uses only its arguments.
 */
#ifndef INPUTS_OPENTSDB_OPENTSDB_H
#define INPUTS_OPENTSDB_OPENTSDB_H

#include "base/mem.h"
#include "base/text/json.h"
#include "inputs/input.h"
#include "wire/remote/remote_write.h"

/* Reads a point, or an array of points, into the request. `errors` is NULL, or an open array that
 * gets {"datapoint", "error"} of each refused point. `seed` is secret. ERR_INPUT: it is not JSON;
 * ERR_LIMIT: the series need too much memory; ERR_NOMEM. After an error the request is cleared. */
MUST_CHECK enum err opentsdb_decode(struct bytes text, struct budget *budget, uint64_t seed,
                                    struct rw_request *to, struct json *errors,
                                    struct input_outcome *ret, struct why *why);

/* Appends the point of a line "put METRIC TIME VALUE TAG=VALUE ...", without its line feed, to a
 * request between rw_fill_begin() and rw_fill_end(). ERR_INPUT: it is none; errors of
 * rw_fill_series(). */
MUST_CHECK enum err opentsdb_line_fill(struct rw_request *to, struct bytes line, struct why *why);

#endif
