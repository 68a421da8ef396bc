/* sample.c - words for reasons, kinds and types; what start times say. */
#include "model/sample.h"

const char *
reject_word(enum reject reason)
{
    static const char *const words[REJECT_COUNT] = {
        [REJECT_NONE] = "none",
        [REJECT_EMPTY_LABELS] = "empty_labels",
        [REJECT_DUPLICATE_LABEL] = "duplicate_label",
        [REJECT_BAD_UTF8] = "bad_utf8",
        [REJECT_LABEL_LIMIT] = "label_limit",
        [REJECT_NAME_TOO_LONG] = "name_too_long",
        [REJECT_VALUE_TOO_LONG] = "value_too_long",
        [REJECT_BAD_REFERENCE] = "bad_reference",
        [REJECT_BAD_HISTOGRAM] = "bad_histogram",
        [REJECT_TOO_OLD] = "too_old",
        [REJECT_TOO_FAR_IN_FUTURE] = "too_far_in_future",
        [REJECT_CONFLICT] = "conflict",
        [REJECT_SERIES_LIMIT] = "series_limit",
        [REJECT_MISSING_NAME] = "missing_name",
    };
    return (unsigned)reason < REJECT_COUNT ? words[reason] : "unknown";
}

const char *
ledger_kind_word(enum ledger_kind kind)
{
    static const char *const words[LEDGER_KIND_COUNT] = {
        [LEDGER_FLOAT] = "float",
        [LEDGER_HISTOGRAM] = "histogram",
        [LEDGER_EXEMPLAR] = "exemplar",
    };
    return (unsigned)kind < LEDGER_KIND_COUNT ? words[kind] : "unknown";
}

const char *
metric_type_word(enum metric_type type)
{
    static const char *const words[METRIC_TYPE_COUNT] = {
        [METRIC_UNKNOWN] = "unknown",
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_GAUGE_HISTOGRAM] = "gaugehistogram",
        [METRIC_SUMMARY] = "summary",
        [METRIC_INFO] = "info",
        [METRIC_STATESET] = "stateset",
    };
    return (unsigned)type < METRIC_TYPE_COUNT ? words[type] : "unknown";
}

bool
starts_show_reset(int64_t start_before_ms, int64_t before_ms, int64_t start_ms, int64_t t_ms)
{
    if (start_ms == 0 || start_ms >= t_ms || start_ms < before_ms) return false;
    if (start_ms > before_ms) return true;
    /* It starts at the time of the sample before: a delta, if that sample has a start, too. */
    return start_before_ms != 0 && start_before_ms < before_ms;
}

bool
starts_are_of_deltas(const int64_t *starts_ms, const int64_t *times_ms, uint32_t count)
{
    uint32_t row = 0;
    for (uint32_t i = 1; i < count && row < 2; i++) {
        bool is_reset =
            starts_show_reset(starts_ms[i - 1], times_ms[i - 1], starts_ms[i], times_ms[i]);
        row = is_reset ? row + 1 : 0;
    }
    return row == 2 || (row == 1 && count == 2);
}
