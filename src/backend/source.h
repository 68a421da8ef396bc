/*
 * source.h - makes a source from its settings: its reader, and the options for views/source.h.
 *
 * Threads: one thread makes and ends it; any may query it.
 */
#ifndef BACKEND_SOURCE_H
#define BACKEND_SOURCE_H

#include "backend/reader.h"
#include "model/selector.h"
#include "views/source.h"

struct source {
    /* For source_view_open(). The caller sets tally and owner before source_init(). */
    struct source_options options;
    const struct source_settings *settings;
    /* Owned: the options refer to them. */
    struct selector *selectors;
    struct matcher_set *select;
    struct label *external_labels;
    struct bytes *tenants;
};

/* source_fini() is required even after an error. Errors of reader_new() and of selectors, with
 * their names. */
MUST_CHECK enum err source_init(struct source *source, const struct reader_options *options,
                                struct why *why);
/* No view may be open. Accepts zeroed memory. */
void source_fini(struct source *source);

#endif
