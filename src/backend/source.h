/*
 * source.h - a source made of its settings: its reader, and what views/source.h needs to know of
 * it.
 *
 * Threads: made and ended by one; asked by any.
 */
#ifndef BACKEND_SOURCE_H
#define BACKEND_SOURCE_H

#include "backend/reader.h"
#include "model/selector.h"
#include "views/source.h"

struct source {
    /* For source_view_open(). Tally and owner are the caller's, from before source_init() on. */
    struct source_options options;
    const struct source_settings *settings;
    /* What the options point to. */
    struct selector *selectors;
    struct matcher_set *select;
    struct label *external_labels;
    struct bytes *tenants;
};

/* After an error source_fini() follows. Errors of reader_new() and of selectors, named. */
MUST_CHECK enum err source_init(struct source *source, const struct reader_options *options,
                                struct why *why);
/* No view is open. A zeroed one is fine. */
void source_fini(struct source *source);

#endif
