/*
 * reading.h - reads series from any place: a source of a configuration, the URL of a remote read
 * endpoint, or a storage directory that a target has open.
 *
 * Threads: one.
 */
#ifndef CLI_LIB_READING_H
#define CLI_LIB_READING_H

#include <stdatomic.h>

#include "backend/source_settings.h"
#include "cli/lib/client_access.h"
#include "model/select.h"

struct reading_options {
    /* Exactly one is set: a source, whose settings outlive the reading; a URL, of a server's
     * root or of its endpoint; or an answerer in this process. */
    const struct source_settings *source;
    const char *url;              /* without user and password */
    struct client_access *access; /* credentials for `url`, outlives the reading; NULL: none */
    struct answerer *answerer;
    const char *name;   /* for messages */
    const char *tenant; /* NULL: not given */
    /* Reads everything unchanged: without the external labels, selectors and times of the
     * source. */
    bool plain;
    /* Asks a Firekeep server to leave out its own sources. Other servers ignore this. */
    bool stored;
    const atomic_bool *stop;
};

struct reading;

/* Returns the tenant that a source reads by default; NULL: it has no tenants. */
const char *reading_tenant(const struct source_settings *source);
/* Sends no request. ERR_INPUT: invalid URL; errors of sources_yaml() and source_init(). */
MUST_CHECK enum err reading_open(const struct reading_options *options,
                                 struct reading **ret_reading, struct why *why);
void reading_free(struct reading *reading);

/* Reads the series that the sets select between two times, both inclusive. The sets live until
 * series_set_free(). ERR_CANCELED: stopped; errors of reader.h. */
MUST_CHECK enum err reading_select(struct reading *reading, const struct matcher_set *sets,
                                   uint32_t set_count, int64_t min_ms, int64_t max_ms,
                                   struct series_set **ret_set, struct why *why);
/* Returns the resolution of downsampled samples that the last selection was given so far; 0: none. */
int64_t reading_thinned_to(const struct reading *reading);

#endif
