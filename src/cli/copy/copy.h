/*
 * copy.h - reads series from any place, and checks that all samples of one place are in another.
 *
 * Threads: one.
 */
#ifndef CLI_COPY_COPY_H
#define CLI_COPY_COPY_H

#include <stdatomic.h>

#include "backend/source_settings.h"
#include "cli/lib/client_access.h"
#include "cli/lib/sample_files.h"
#include "model/select.h"
#include "model/selector.h"

/* --- reading ---------------------------------------------------------------------------------- */

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

/*
 * Writes a list of the configuration with one entry, which begins as `head` says and has the URL of
 * a server's root or endpoint: the former gets the path `page`. `ret_url` is that URL. ERR_INPUT:
 * it is too long.
 */
enum { ENDPOINT_URL_BYTES = 1024, ENDPOINT_YAML_BYTES = 8 * ENDPOINT_URL_BYTES };
MUST_CHECK enum err endpoint_yaml(const char *head, const char *url, const char *page,
                                  bool has_tenant, char ret_url[ENDPOINT_URL_BYTES], struct buf *to,
                                  struct why *why);
/* True if a URL has more than "/" after the host. */
bool endpoint_has_path(const char *url);

/* Returns the tenant that a source reads by default; NULL: it has no tenants. */
const char *reading_tenant(const struct source_settings *source);
/* Sends no request. ERR_INPUT: invalid URL; errors of sources_yaml() and source_init(). */
MUST_CHECK enum err reading_open(const struct reading_options *options,
                                 struct reading **ret_reading, struct why *why);
void reading_free(struct reading *reading);

/* Reads the series that the sets select between two times, both inclusive. The sets live until
 * series_set_free(). ERR_CANCELED: stopped; errors of backend/source.h. */
MUST_CHECK enum err reading_select(struct reading *reading, const struct matcher_set *sets,
                                   uint32_t set_count, int64_t min_ms, int64_t max_ms,
                                   struct series_set **ret_set, struct why *why);
/* Returns the resolution of downsampled samples that the last selection got so far; 0: none. */
int64_t reading_thinned_to(const struct reading *reading);

/* --- checking --------------------------------------------------------------------------------- */

struct selection;

/* Sums over slices: a series counts once in each slice that has it. */
struct check_counts {
    uint64_t series;
    uint64_t samples;
    uint64_t series_differing; /* lack samples in the other place */
    uint64_t missing;
    uint64_t different;     /* the other place has another value at that time */
    uint64_t not_looked_at; /* series that differ, beyond CHECK_DIFFERING_MAX of a slice */
    uint64_t series_beside; /* series that only the other place has */
    uint64_t samples_beside;
    uint64_t left_out; /* warnings about parts of the first place that could not be read */
};

void check_counts_add(struct check_counts *to, const struct check_counts *more);

enum { CHECK_DIFFERING_MAX = 10000 };

struct check_options {
    struct reading *from, *to;
    /* The queries for each place. */
    const struct matcher_set *from_sets, *to_sets;
    uint32_t from_count, to_count;
    /* Selects and relabels series as a destination does; NULL: all series, with their own
     * labels. */
    const struct selection *selection;
    struct bytes tenant;
    struct output *report; /* gets a line of JSON for each series; NULL: not wanted */
    struct budget *memory;
    /* Called for a series, with its labels in the other place, that lacks samples. */
    void (*differs)(void *context, struct bytes labels, int64_t min_ms, uint64_t missing,
                    uint64_t different);
    /* Called for a warning about the first place. */
    void (*left_out)(void *context, const char *sentence);
    void *context;
};

/*
 * Compares a slice, by count and checksum of each series, and where these differ, sample by sample.
 * A checksum is the sum of a hash of each sample (time, and the bits of its value or the meaning of
 * its histogram): it does not depend on their order, nor on the run, so that it can be stored. Adds
 * the counts to `add_to`, which is unchanged on an error. Errors of reading_select() and of its
 * sets; ERR_NOMEM: too many series.
 */
MUST_CHECK enum err check_slice(const struct check_options *options, int64_t min_ms, int64_t max_ms,
                                struct check_counts *add_to, struct why *why);

#endif
