/*
 * views.h - private to head/: which epochs of the head open views see.
 *
 * A view sees the samples of the epochs up to its own, whatever is appended while it is open. What
 * it takes for that is kept by the generations (struct view_notes). If that gets too much, the
 * oldest view is lost, so that one that is held for long never costs those that come and go; and a
 * commit that fails takes back what chunks told of earlier epochs. What a lost view is asked fails.
 *
 * Locking: everything under the head lock.
 */
#ifndef TSDB_HEAD_VIEWS_H
#define TSDB_HEAD_VIEWS_H

#include "base/mem.h"
#include "tsdb/head/hchunk.h"

enum view_loss {
    VIEW_NOT_LOST,
    VIEW_LOST_COMMIT, /* what it may have seen was taken back */
    VIEW_LOST_MEMORY, /* it was the oldest when there was no room for notes */
};

struct head_view {
    struct head_view *older; /* in the order of their epochs */
    struct head_view *newer;
    int64_t opened_ns; /* monotonic */
    uint32_t epoch;
    enum view_loss lost;
};

struct views {
    struct budget budget; /* "views": of the notes */
    struct head_view *oldest;
    struct head_view *newest;
    uint64_t lost_total;
};

void views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns);
void views_close(struct views *views, struct head_view *view);

/* The least epoch of an open view that is `from` or later; false: there is none. */
bool views_next(const struct views *views, uint32_t from, uint32_t *ret_epoch);
/* Does a view look from an epoch in [from, to)? */
bool views_meet(const struct views *views, uint32_t from, uint32_t to);
/* All views that do not look from this epoch are lost. */
void views_keep_only(struct views *views, uint32_t epoch);

/* --- notes ------------------------------------------------------------------------------------ */

/*
 * Notes: what the open chunks of a generation held at earlier epochs, as long as a view looks from
 * there.
 *
 * A chunk tells how many of its samples are of its last epoch, the tag, and how many of the one
 * before; so it tells exactly what epochs from tag - 2 on see of it. Before a sample with a later
 * tag goes in, what it tells is noted if that leaves a view behind. So whoever finds a chunk that
 * moved on looks for the newest note of it that still tells its epoch exactly; and if there is
 * none, the chunk began later. For each chunk and view that is one note at most.
 *
 * Notes lie in pages, each larger than the one before, that go when no view needs them any more.
 */
struct view_notes_page;
struct view_notes {
    struct view_notes_page *newest;
};

/*
 * A sample of `epoch` is about to go into the open chunk of a series, which is told by its address.
 * Without memory for a note views are lost, the oldest first, until there is some. `frozen`: the
 * notes of the generation before; NULL: there is none.
 */
void view_notes_append(struct view_notes *notes, struct view_notes *frozen, struct views *views,
                       const void *series, const struct hchunk_open *open, uint32_t epoch);

/* How many samples, from the first, a view from this epoch sees. */
uint32_t view_notes_visible(const struct view_notes *notes, const void *series,
                            const struct chunk_marks *chunk, uint32_t epoch);

/* Gives back what no view needs. */
void view_notes_trim(struct view_notes *notes, struct views *views);
void view_notes_fini(struct view_notes *notes, struct views *views);

#endif
