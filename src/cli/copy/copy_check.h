/*
 * copy_check.h - checks that all samples of one place are in another: by count and checksum of each
 * series in a slice of time, and where these differ, sample by sample.
 *
 * A checksum is the sum of a hash of each sample (time, and the bits of its value or the meaning of
 * its histogram): it does not depend on their order, nor on the run, so that it can be stored.
 *
 * Threads: one.
 */
#ifndef CLI_COPY_COPY_CHECK_H
#define CLI_COPY_COPY_CHECK_H

#include "cli/lib/output.h"
#include "cli/lib/reading.h"
#include "model/select.h"
#include "model/selector.h"

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

/* Compares a slice. Adds the counts to `add_to`, which is unchanged on an error. Errors of
 * reading_select() and of its sets; ERR_NOMEM: too many series. */
MUST_CHECK enum err check_slice(const struct check_options *options, int64_t min_ms, int64_t max_ms,
                                struct check_counts *add_to, struct why *why);

#endif
