/*
 * series_named.h - series whose labels are in a text, as stores name those that they refuse:
 *
 *     out of order sample for series {__name__="up", job="x"}
 *     ... from series up{job="x"}
 *
 * Blanks between labels do not matter; labels must be in the order of Firekeep. A series that is
 * not found may be named in another form.   Threads: one.
 */
#ifndef BACKEND_REMOTE_SERIES_NAMED_H
#define BACKEND_REMOTE_SERIES_NAMED_H

#include "base/buf.h"

enum { SERIES_NAMED_MAX = 1024 };

struct series_named {
    uint64_t hashes[SERIES_NAMED_MAX];
    uint32_t count;
};

void series_named_read(struct series_named *named, struct bytes text);
/* True if a series is named. `scratch` is used during the call; false without memory. */
bool series_named_has(const struct series_named *named, struct bytes labels, struct buf *scratch);

#endif
