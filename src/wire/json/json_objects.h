/*
 * json_objects.h - cuts a text of JSON objects into records. A record ends at a line feed, or
 * before an object that follows another one without a line feed, as Amazon Data Firehose joins
 * them:
 *
 *     {"a":1}{"b":"}{"} {"c":3}\n{"d":4}      four records
 *
 * Outside of strings no object contains '}' followed by '{', so a whole object is never cut. A
 * damaged one takes with it at most the object after it, wherever it was cut off.
 */
#ifndef WIRE_JSON_JSON_OBJECTS_H
#define WIRE_JSON_JSON_OBJECTS_H

#include "base/bytes.h"

/* The record so far; zero where one begins. */
struct json_objects {
    uint8_t last; /* character outside of strings that is not a blank; 0: none */
    bool in_string;
    bool escaped;
};

/*
 * Goes on with the record: the number of its bytes in `more`. The byte after them is a line feed,
 * which belongs to no record, or begins the next object; `objects` is zero again then. more.size:
 * the record does not end in `more`.
 */
size_t json_objects_end(struct json_objects *objects, struct bytes more);

#endif
