/*
 * log_series.h - finds the labels of a series in one segment of the log, and remembers whether the
 * destination takes it: for each series a bit and a fraction of a run, however long its labels are.
 *
 * Each segment names its series before their first sample, a request's worth in a record, with
 * references that mostly follow one another. So a run of references is all there is to remember;
 * labels are read again out of the record when they are needed.
 *
 * Threads: one at a time.
 */
#ifndef RELAY_FEED_LOG_SERIES_H
#define RELAY_FEED_LOG_SERIES_H

#include "base/mem.h"

struct log_series;
/* Begins without series, for the segment of that number. ERR_NOMEM. */
MUST_CHECK enum err log_series_new(struct budget *memory, uint64_t segment,
                                   struct log_series **ret_series);
void log_series_free(struct log_series *series);
uint64_t log_series_segment(const struct log_series *series);

/*
 * A record of series at `pos`: begin, its references in their order, end. After an error the record
 * may be begun again. ERR_NOMEM; ERR_LIMIT: more than 2^32 series.
 */
MUST_CHECK enum err log_series_begin(struct log_series *series, uint64_t pos);
MUST_CHECK enum err log_series_add(struct log_series *series, uint64_t ref, bool taken);
MUST_CHECK enum err log_series_end(struct log_series *series);

struct log_series_place {
    uint64_t record_pos;
    uint32_t record; /* its number in the segment */
    uint32_t index;  /* within the record */
    bool taken;
};
/* False: the segment has not named it. Quick for references in the order of their records. */
bool log_series_find(struct log_series *series, uint64_t ref, struct log_series_place *ret_place);
/* The number of records that were added. */
uint32_t log_series_records(const struct log_series *series);

#endif
