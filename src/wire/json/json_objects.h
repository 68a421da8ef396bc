/*
 * json_objects.h - cuts a text of JSON objects into records. A record ends at a line feed, or
 * before an object that follows another one without a line feed, as Amazon Data Firehose joins
 * them:
 *
 *     {"a":1}{"b":"}{"} {"c":3}
 * {"d":4}      four records
 *
 * Outside of strings no object contains '}' followed by '{', so a valid object is never cut. A
 * damaged object spoils at most the object after it, wherever the damage is.
 */
#ifndef WIRE_JSON_JSON_OBJECTS_H
#define WIRE_JSON_JSON_OBJECTS_H

#include "base/bytes.h"

/* State within the current record; zero at its beginning. */
struct json_objects {
    uint8_t last; /* last character outside of strings that is not a blank; 0 if none */
    bool in_string;
    bool escaped;
};

/* Continues the record: returns the number of its bytes in `more`. The next byte is a line feed,
 * which belongs to no record, or begins the next object; `objects` is then zero again. more.size:
 * the record does not end in `more`. */
size_t json_objects_end(struct json_objects *objects, struct bytes more);

#endif
