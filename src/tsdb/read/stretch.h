/*
 * stretch.h - what came in a stretch of the log, asked of the parts: for destinations that want
 * what the log no longer has. A part that reaches beyond the stretch is read as a whole.
 *
 * Threads: any.
 */
#ifndef TSDB_READ_STRETCH_H
#define TSDB_READ_STRETCH_H

#include "tsdb/tsdb.h"

struct tsdb_stretch {
    uint64_t from_pos; /* of the log */
    uint64_t to_pos;   /* at most tsdb_store_pos() */
};

/* Parts cover the log up to here. */
uint64_t tsdb_store_pos(const struct tsdb *tsdb);

/* Up to here the log was read when the store was opened: what was damaged then, it does not have.
 */
uint64_t tsdb_opened_pos(const struct tsdb *tsdb);

/* Makes what is in the head due to become a part: somebody cannot have it from the log. */
void tsdb_want_parts(struct tsdb *tsdb);

/* The first time from `from_ms` on at which a part of the stretch may have samples. False: there is
 * none. */
bool tsdb_stretch_next_ms(struct tsdb *tsdb, const struct tsdb_stretch *stretch, int64_t from_ms,
                          int64_t *ret_ms);
/* The first tenant of parts of the stretch whose name is greater than this one; its name is
 * appended. False: there is none. */
bool tsdb_stretch_next_tenant(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                              struct bytes after, struct buf *ret_name);

/* A view of the parts of a stretch alone. What it is asked should be asked with `partial`: then
 * what is damaged is left out, and a warning. Its families are those of the head. */
MUST_CHECK enum err tsdb_stretch_view(struct tsdb *tsdb, const struct tsdb_stretch *stretch,
                                      struct query_control *control, struct view **ret_view,
                                      struct why *why);

/*
 * A border is a position of the log across which parts are not merged: so who has come to it can
 * go on from there later without reading what lies before, and reads nothing that lies behind. It
 * means something to merges that are planned from now on. ERR_LIMIT: there are too many.
 */
MUST_CHECK enum err tsdb_border_new(struct tsdb *tsdb, uint32_t *ret_border);
void tsdb_border_free(struct tsdb *tsdb, uint32_t border);
void tsdb_border_set(struct tsdb *tsdb, uint32_t border, uint64_t pos); /* 0: nowhere */

/* What was stored once and is no more, of all tenants. */
struct tsdb_gone {
    uint64_t deleted;
    uint64_t expired;
    uint64_t superseded; /* or duplicates */
    uint64_t damaged; /* or never in a part, as the log was damaged when it was read at a start */
};
void tsdb_gone(struct tsdb *tsdb, struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars);

#endif
