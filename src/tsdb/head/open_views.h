/*
 * open_views.h - private to head/: the epochs of the head that open views see.
 *
 * A view sees the samples of the epochs up to its own, whatever is appended while it is open. The
 * generations keep notes for that (struct view_notes). If notes take too much memory, the oldest
 * view is lost, so that a view that is held for long does not harm short ones. A failed commit also
 * loses views, as undoing it changes what chunks know about earlier epochs. A query on a lost view
 * fails.
 *
 * Locking: everything under the head lock.
 */
#ifndef TSDB_HEAD_OPEN_VIEWS_H
#define TSDB_HEAD_OPEN_VIEWS_H

#include "base/mem.h"
#include "tsdb/head/hchunk.h"

enum view_loss {
    VIEW_NOT_LOST,
    VIEW_LOST_COMMIT, /* a commit failed, and samples that the view may have seen were undone */
    VIEW_LOST_MEMORY, /* it was the oldest when there was no memory for notes */
};

struct head_view {
    struct head_view *older; /* a list in the order of epochs */
    struct head_view *newer;
    int64_t opened_ns; /* monotonic */
    uint32_t epoch;
    enum view_loss lost;
};

struct views {
    struct budget budget; /* "views": pays for the notes */
    struct head_view *oldest;
    struct head_view *newest;
    uint64_t lost_total;
};

/* Lists a view, whose memory is the caller's until views_close(). */
void views_open(struct views *views, struct head_view *view, uint32_t epoch, int64_t now_ns);
void views_close(struct views *views, struct head_view *view);

/* Gives the least epoch of a view that is open, not lost, and at `from` or later. False without
 * such a view. */
bool views_next(const struct views *views, uint32_t from, uint32_t *ret_epoch);
/* True if a view that is not lost has an epoch in [from, to). */
bool views_meet(const struct views *views, uint32_t from, uint32_t to);
/* Loses all views of other epochs than `epoch`. */
void views_keep_only(struct views *views, uint32_t epoch);
/* Asserts the invariants of open_views.c for the list; O(n). For tests and debug builds. */
void views_validate(const struct views *views);

/* --- notes of open chunks --------------------------------------------------------------------- */

/*
 * Notes record how many samples the open chunks of a generation held at earlier epochs, as long as
 * a view of such an epoch is open.
 *
 * A chunk knows how many of its samples are of its last epoch, the tag, and of the previous one; so
 * it knows exactly which samples epochs from tag - 2 on see. Before a sample with a later tag is
 * appended, these counts are noted if a view needs them. A reader whose epoch the chunk no longer
 * knows looks for the chunk's newest note that knows it; without one, the chunk began later. There
 * is at most one note for each chunk and view.
 *
 * Notes are in pages, each larger than the one before, which are freed when no view needs them.
 */
struct view_notes_page;
struct view_notes {
    struct view_notes_page *newest;
};

/* Called before a sample of `epoch` is appended to the open chunk of a series, which is identified
 * by its address. Without memory for a note, views are lost, the oldest first, until there is
 * memory. `frozen` are the notes of the previous generation; NULL without one. */
void view_notes_append(struct view_notes *notes, struct view_notes *frozen, struct views *views,
                       const void *series, const struct hchunk_open *open, uint32_t epoch);

/* Returns the number of samples of the chunk, from the first, that a view of this epoch sees. */
uint32_t view_notes_visible(const struct view_notes *notes, const void *series,
                            const struct chunk_marks *chunk, uint32_t epoch);

/* Frees the pages that no view needs. */
void view_notes_trim(struct view_notes *notes, struct views *views);
void view_notes_fini(struct view_notes *notes, struct views *views);

#endif
