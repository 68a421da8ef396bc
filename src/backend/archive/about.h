/*
 * about.h - the index of an object that was read: the times of its parts, metric names, and a
 * filter of its labels. It shows that a question needs nothing, or only parts, of the object.
 * Format: docs/format/archive_index.md.
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
    ABOUT_BYTES_MAX = 2 << 20, /* size of the index */
};

struct about_part {
    uint64_t offset; /* start of a member, frame or line; the part ends where the next one begins */
    int64_t min_ms, max_ms; /* times of its samples; min > max without samples */
};

struct about {
    struct budget *budget;
    struct about_part *parts;
    uint32_t part_count, part_capacity;
    uint64_t *pairs; /* labels, while they are collected */
    uint32_t pair_count, pair_capacity;
    struct buf names; /* each with its length */
    bool names_cut;   /* more names were left out */
    struct buf filter;
};

void about_init(struct about *about, struct budget *budget);
void about_fini(struct about *about);

/* --- making ----------------------------------------------------------------------------------- */

/* Begins the index of an object whose first part begins at 0. ERR_NOMEM. */
MUST_CHECK enum err about_begin(struct about *about);
static inline void
about_add_time(struct about *about, int64_t t_ms)
{
    struct about_part *p = &about->parts[about->part_count - 1];
    if (t_ms < p->min_ms) p->min_ms = t_ms;
    if (t_ms > p->max_ms) p->max_ms = t_ms;
}
/* Returns the hash of a label for the filter. */
uint64_t about_pair(struct bytes name, struct bytes value);
/* Adds a label of a series, preferably once. ERR_NOMEM. */
MUST_CHECK enum err about_add_pair(struct about *about, uint64_t pair);
void about_add_name(struct about *about, struct bytes name);
/* Ends a part where a member, frame or line begins. ERR_NOMEM. */
MUST_CHECK enum err about_cut(struct about *about, uint64_t offset);
/* Makes the filter at the end of the object. ERR_NOMEM. */
MUST_CHECK enum err about_end(struct about *about);

/* --- queries ---------------------------------------------------------------------------------- */

/* False if no series of the object can match all matchers. `set` may be NULL. */
bool about_may_have(const struct about *about, const struct matcher_set *set);

/* --- format ----------------------------------------------------------------------------------- */

/* The object of an index. */
struct about_identity {
    struct bytes key;
    struct bytes tag;
    uint64_t size;
};
/* Appends the content of the file. Out of memory shows in buf_error(to). */
void about_put(const struct about *about, const struct about_identity *identity, struct buf *to);
/* Reads a file. ERR_CORRUPT: it is damaged, or of an older version; ERR_MISSING: it belongs to
 * another object, or other content; ERR_NOMEM. After an error the index is empty. */
MUST_CHECK enum err about_get(struct about *about, const struct about_identity *identity,
                              struct bytes file);

#endif
