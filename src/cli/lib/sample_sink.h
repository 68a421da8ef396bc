/*
 * sample_sink.h - where samples that were read go: into one of the forms, and on to an output.
 */
#ifndef CLI_LIB_SAMPLE_SINK_H
#define CLI_LIB_SAMPLE_SINK_H

#include "cli/lib/output.h"
#include "cli/lib/progress.h"
#include "cli/lib/sample_format.h"
#include "model/select.h"
#include "model/selector.h"
#include "wire/text/text_writer.h"

struct sink_counts {
    uint64_t series; /* as they came: one that comes again in another slice counts again */
    uint64_t samples;
    uint64_t histograms;
    uint64_t histograms_left_out;
    uint64_t stale_left_out;
    uint64_t nan_altered;
};

struct sample_sink;

/* `format` as in sample_format.h; `output` is borrowed. Series that one of `skipped` selects are
 * left out. */
MUST_CHECK enum err sample_sink_new(int format, struct output *output, struct progress *progress,
                                    const struct selector *skipped, uint32_t skipped_count,
                                    struct sample_sink **ret_sink, struct why *why);
void sample_sink_free(struct sample_sink *sink);

/* What comes before all samples: once for an output. */
MUST_CHECK enum err sample_sink_begin(struct sample_sink *sink, struct why *why);
/* A series, and what the set has of it. */
MUST_CHECK enum err sample_sink_take(struct sample_sink *sink, struct bytes labels,
                                     struct series_set *set, struct why *why);
/* The last series is over; all that was taken is given to the output. */
MUST_CHECK enum err sample_sink_series_end(struct sample_sink *sink, struct why *why);
/* What comes after all samples. */
MUST_CHECK enum err sample_sink_end(struct sample_sink *sink, struct why *why);

struct sink_counts sample_sink_counts(const struct sample_sink *sink);
/* What the rate is shown of: `done` of `all` as for progress_show(). */
void sample_sink_progress(struct sample_sink *sink, uint64_t samples_before, uint64_t done,
                          uint64_t all);

#endif
