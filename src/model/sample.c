/* sample.c - words for reasons, kinds and types. */
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
