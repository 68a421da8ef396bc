/*
 * views.h - private to tsdb/: from which epochs somebody looks at the head.
 *
 * A view sees the samples of the epochs up to its own, whatever is appended while it is open. What
 * it takes for that is kept by the generations (view_notes.h); it can get too much, and a commit
 * that fails takes back what chunks told of earlier epochs. Then a view is lost: what it asks from
 * then on fails.
 *
 * Locking: everything under the head lock.
 */
#ifndef TSDB_HEAD_VIEWS_H
#define TSDB_HEAD_VIEWS_H

#include "base/mem.h"

struct head_view {
    struct head_view *older; /* in the order of their epochs */
    struct head_view *newer;
    int64_t opened_ns; /* monotonic */
    uint32_t epoch;
    bool lost;
};

struct views {
    struct budget budget; /* "views": of the notes */
    struct head_view *oldest;
    struct head_view *newest;
};

void views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns);
void views_close(struct views *views, struct head_view *view);

/* The least epoch of an open view that is `from` or later; false: there is none. */
bool views_next(const struct views *views, uint32_t from, uint32_t *ret_epoch);
/* Does a view look from an epoch in [from, to)? */
bool views_meet(const struct views *views, uint32_t from, uint32_t to);
/* Views from epochs in [from, to) are lost. */
void views_lose(struct views *views, uint32_t from, uint32_t to);
/* All views that do not look from this epoch are lost. */
void views_keep_only(struct views *views, uint32_t epoch);

#endif
