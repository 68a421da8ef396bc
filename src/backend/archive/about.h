/*
 * about.h - what is known of an object once it was read: which times its parts have, which metric
 * names, and a filter of its labels. Enough to see that a question needs nothing, or not all, of
 * it. Form: docs/format/archive_index.md.
 *
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_ABOUT_H
#define BACKEND_ARCHIVE_ABOUT_H

#include "base/buf.h"
#include "base/mem.h"
#include "model/select.h"

enum {
    ABOUT_PARTS_MAX = 4096,
    ABOUT_PART_BYTES_MIN = 256 * 1024,
    ABOUT_NAMES_BYTES_MAX = 64 * 1024,
    ABOUT_FILTER_BYTES_MAX = 1 << 20,
    ABOUT_BYTES_MAX = 2 << 20, /* of its form */
};

struct about_part {
    uint64_t offset; /* where a member, frame or line begins; it ends where the next one begins */
    int64_t min_ms, max_ms; /* of its samples; none: min > max */
};

struct about {
    struct budget *budget;
    struct about_part *parts;
    uint32_t part_count, part_capacity;
    uint64_t *pairs; /* of labels, while they are gathered */
    uint32_t pair_count, pair_capacity;
    struct buf names; /* each with its length */
    bool names_cut;   /* there are others */
    struct buf filter;
};

void about_init(struct about *about, struct budget *budget);
void about_fini(struct about *about);

/* --- making ----------------------------------------------------------------------------------- */

/* Empty, of an object whose first part begins at 0. ERR_NOMEM. */
MUST_CHECK enum err about_begin(struct about *about);
static inline void
about_add_time(struct about *about, int64_t t_ms)
{
    struct about_part *p = &about->parts[about->part_count - 1];
    if (t_ms < p->min_ms) p->min_ms = t_ms;
    if (t_ms > p->max_ms) p->max_ms = t_ms;
}
/* What a label is in the filter. */
uint64_t about_pair(struct bytes name, struct bytes value);
/* A label that some series of the object has; better once than often. ERR_NOMEM. */
MUST_CHECK enum err about_add_pair(struct about *about, uint64_t pair);
void about_add_name(struct about *about, struct bytes name);
/* What was read so far ends there, and a member, frame or line begins. ERR_NOMEM. */
MUST_CHECK enum err about_cut(struct about *about, uint64_t offset);
/* The object ended: makes the filter. ERR_NOMEM. */
MUST_CHECK enum err about_end(struct about *about);

/* --- asking ----------------------------------------------------------------------------------- */

/* False: no series of the object can match all of these. `set` may be NULL. */
bool about_may_have(const struct about *about, const struct matcher_set *set);

/* --- its form --------------------------------------------------------------------------------- */

/* Which object it is of. */
struct about_identity {
    struct bytes key;
    struct bytes tag;
    uint64_t size;
};
/* Appends it as a file. Out of memory shows in buf_error(to). */
void about_put(const struct about *about, const struct about_identity *identity, struct buf *to);
/* Reads a file. ERR_CORRUPT: it is damaged, or of an older version; ERR_MISSING: it is of another
 * object, or another content; ERR_NOMEM. After an error it is empty. */
MUST_CHECK enum err about_get(struct about *about, const struct about_identity *identity,
                              struct bytes file);

#endif
