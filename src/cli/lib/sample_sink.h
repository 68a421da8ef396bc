/* sample_sink.h - writes samples in one of the formats to an output. */
#ifndef CLI_LIB_SAMPLE_SINK_H
#define CLI_LIB_SAMPLE_SINK_H

#include "cli/lib/output.h"
#include "cli/lib/progress.h"
#include "cli/lib/sample_format.h"
#include "model/select.h"
#include "model/selector.h"
#include "wire/text/text_format.h"

struct sink_counts {
    uint64_t series; /* a series counts again in each slice */
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

/* Writes the header: once for an output. */
MUST_CHECK enum err sample_sink_begin(struct sample_sink *sink, struct why *why);
/* Writes a series, and its samples in the set. */
MUST_CHECK enum err sample_sink_take(struct sample_sink *sink, struct bytes labels,
                                     struct series_set *set, struct why *why);
/* Ends the last series, and passes everything to the output. */
MUST_CHECK enum err sample_sink_series_end(struct sample_sink *sink, struct why *why);
/* Writes the end, after all samples. */
MUST_CHECK enum err sample_sink_end(struct sample_sink *sink, struct why *why);

struct sink_counts sample_sink_counts(const struct sample_sink *sink);
/* Sets the values for the progress: `samples_before` count for the rate, `done` of `all` as for
 * progress_show(). */
void sample_sink_progress(struct sample_sink *sink, uint64_t samples_before, uint64_t done,
                          uint64_t all);

#endif
