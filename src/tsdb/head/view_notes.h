/*
 * view_notes.h - private to tsdb/: what the open chunks of a generation held at earlier epochs, as
 * long as a view looks from there.
 *
 * A chunk tells how many of its samples are of its last epoch, the tag, and how many of the one
 * before; so it tells exactly what epochs from tag - 2 on see of it. Before a sample with a later
 * tag goes in, what it tells is noted if that leaves a view behind. So whoever finds a chunk that
 * moved on looks for the newest note of it that still tells its epoch exactly; and if there is
 * none, the chunk began later. For each chunk and view that is one note at most.
 *
 * Notes lie in pages, each larger than the one before, that go when no view needs them any more.
 *
 * Locking: everything under the head lock.
 */
#ifndef TSDB_HEAD_VIEW_NOTES_H
#define TSDB_HEAD_VIEW_NOTES_H

#include "tsdb/head/hchunk.h"
#include "tsdb/head/views.h"

struct view_notes_page;
struct view_notes {
    struct view_notes_page *newest;
};

/*
 * A sample of `epoch` is about to go into the open chunk of a series, which is told by its address.
 * Without memory for a note the views that need it are lost.
 */
void view_notes_append(struct view_notes *notes, struct views *views, const void *series,
                       const struct hchunk_open *open, uint32_t epoch);

/* How many samples, from the first, a view from this epoch sees. */
uint32_t view_notes_visible(const struct view_notes *notes, const void *series,
                            const struct chunk_marks *chunk, uint32_t epoch);

/* Gives back what no view needs. */
void view_notes_trim(struct view_notes *notes, struct views *views);
void view_notes_fini(struct view_notes *notes, struct views *views);

#endif
