/*
 * reading.h - series read from wherever samples are: a source of a configuration, the URL of a
 * remote read endpoint, or a storage directory that a target has open.
 *
 * Threads: one.
 */
#ifndef CLI_LIB_READING_H
#define CLI_LIB_READING_H

#include <stdatomic.h>

#include "backend/source_settings.h"
#include "model/select.h"

struct reading_options {
    /* One of the three: a source, whose settings outlive the reading; a URL, of a server's root or
     * of its endpoint; or who answers in this process. */
    const struct source_settings *source;
    const char *url;
    struct answerer *answerer;
    const char *name;   /* as it is called in messages */
    const char *tenant; /* NULL: not given */
    /* All that is there, as it is there: without external labels, selectors and times of the
     * source. */
    bool plain;
    /* Of a Firekeep: without what its own sources have. Others do not mind. */
    bool stored;
    const atomic_bool *stop;
};

struct reading;

/* The tenant that is read of a source where none is told; NULL: it names none. */
const char *reading_tenant(const struct source_settings *source);
/* Nothing is asked yet. ERR_INPUT: it is no URL; errors of sources_yaml() and source_init(). */
MUST_CHECK enum err reading_open(const struct reading_options *options,
                                 struct reading **ret_reading, struct why *why);
void reading_free(struct reading *reading);

/*
 * What the sets select between two times, both inclusive, as it is there now. The sets stay until
 * series_set_free(). ERR_CANCELED: stopped; errors of reader.h.
 */
MUST_CHECK enum err reading_select(struct reading *reading, const struct matcher_set *sets,
                                   uint32_t set_count, int64_t min_ms, int64_t max_ms,
                                   struct series_set **ret_set, struct why *why);

#endif
