/* sample.h - kinds of samples, reasons to refuse them, and the words for both. */
#ifndef MODEL_SAMPLE_H
#define MODEL_SAMPLE_H

#include "base/err.h"
#include "wire/shape.h"

/* The reason why a received sample is not stored. The words appear in metrics, answers and logs. */
enum reject {
    REJECT_NONE = 0,
    REJECT_EMPTY_LABELS, /* no label at all, or an empty name */
    REJECT_DUPLICATE_LABEL,
    REJECT_BAD_UTF8,
    REJECT_LABEL_LIMIT, /* too many labels in a series */
    REJECT_NAME_TOO_LONG,
    REJECT_VALUE_TOO_LONG,
    REJECT_BAD_REFERENCE, /* 2.0: a symbol that does not exist, or an odd count */
    REJECT_BAD_HISTOGRAM,
    REJECT_TOO_OLD, /* beyond retention */
    REJECT_TOO_FAR_IN_FUTURE,
    REJECT_CONFLICT,     /* another value is stored at the same time */
    REJECT_SERIES_LIMIT, /* a new series; the tenant or the metric has reached its limit */
    REJECT_MISSING_NAME, /* no __name__ */
    REJECT_COUNT
};

/* "empty_labels", ...; "none" for REJECT_NONE. */
const char *reject_word(enum reject reason);

struct time_range {
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
};

static inline bool
ranges_meet(struct time_range a, struct time_range b)
{
    return a.min_ms <= b.max_ms && b.min_ms <= a.max_ms;
}

static inline bool
range_holds(struct time_range whole, struct time_range part)
{
    return whole.min_ms <= part.min_ms && part.max_ms <= whole.max_ms;
}

/* True if the time is in one of the ranges. */
static inline bool
ranges_hold(const struct time_range *list, uint32_t count, int64_t t_ms)
{
    for (uint32_t i = 0; i < count; i++)
        if (t_ms >= list[i].min_ms && t_ms <= list[i].max_ms) return true;
    return false;
}

/* True if a new start time between two samples says that the counter was reset: a counter was
 * restarted, or the second sample is a delta. */
bool starts_show_reset(int64_t start_before_ms, int64_t before_ms, int64_t start_ms, int64_t t_ms);
/* True if they do so twice in a row, or between two samples that are all: then a series whose start
 * times (0: unknown) and times these are has deltas. */
bool starts_are_of_deltas(const int64_t *starts_ms, const int64_t *times_ms, uint32_t count);

/* The three kinds of items that the ledger counts. */
enum ledger_kind { LEDGER_FLOAT, LEDGER_HISTOGRAM, LEDGER_EXEMPLAR, LEDGER_KIND_COUNT };
/* "float", "histogram", "exemplar". */
const char *ledger_kind_word(enum ledger_kind kind);

static inline enum ledger_kind
ledger_kind_of(enum sample_kind kind)
{
    return kind == SAMPLE_FLOAT ? LEDGER_FLOAT : LEDGER_HISTOGRAM;
}

/* "unknown", "counter", ..., as in OpenMetrics. */
const char *metric_type_word(enum metric_type type);

#endif
