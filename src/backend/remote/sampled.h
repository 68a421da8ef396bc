/*
 * sampled.h - the series of a response in the form SAMPLES, which is in memory as a whole and
 * sorted here. A series that occurs more than once becomes one series with each time once, with one
 * of its values; samples that are out of order are sorted.
 *
 * Memory: the answer, uncompressed, an entry and the final labels of each series, and the decoded
 * samples of the current series.
 *
 * Threads: one.
 */
#ifndef BACKEND_REMOTE_SAMPLED_H
#define BACKEND_REMOTE_SAMPLED_H

#include "backend/common/final_labels.h"
#include "model/select.h"

enum { SAMPLED_BYTES_MAX = 1 << 30 }; /* limit of an uncompressed response */

struct sampled_options {
    struct budget *budget;
    int64_t min_ms, max_ms; /* samples of other times are left out */
    struct external_labels external;
};

struct sampled;
/* `answer` is the compressed response; copied. ERR_CORRUPT: it is not a response to one query;
 * ERR_LIMIT: it is too large; ERR_NOMEM. */
MUST_CHECK enum err sampled_new(const struct sampled_options *options, struct bytes answer,
                                struct sampled **ret_sampled, struct why *why);
void sampled_free(struct sampled *sampled);
/* As series_set_next() and series_set_batch(); labels live until the next series. ERR_CORRUPT;
 * ERR_UNSUPPORTED: a series occurs too often; ERR_NOMEM. */
MUST_CHECK enum err sampled_next(struct sampled *sampled, struct bytes *ret_labels,
                                 struct why *why);
MUST_CHECK enum err sampled_batch(struct sampled *sampled, struct sample_batch *ret_batch,
                                  struct why *why);

#endif
