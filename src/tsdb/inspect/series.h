/* series.h - private to series*.c: the series of a question that are in the log. */
#ifndef TSDB_INSPECT_SERIES_H
#define TSDB_INSPECT_SERIES_H

#include "tsdb/inspect/private.h"

/* More than these are not told apart. */
enum { INSPECT_LOG_SERIES_MAX = 100 * 1000 };

struct series_in_log {
    struct bytes labels; /* in the result's arena */
    uint64_t samples[LEDGER_KIND_COUNT];
    struct time_range time;
};

struct log_list {
    struct budget *budget;
    struct series_in_log *items; /* in label order; equal labels may follow one another */
    uint32_t count;
    uint32_t capacity;
};

/* What the log in `dir` holds from `store_pos` on. Damage becomes a remark. */
MUST_CHECK enum err log_list_read(const struct inspect_options *options, const char *dir,
                                  const struct manifest *manifest,
                                  const struct inspect_question *question,
                                  struct inspect_series *result, struct log_list *ret_list,
                                  struct why *why);
void log_list_fini(struct log_list *list);

#endif
