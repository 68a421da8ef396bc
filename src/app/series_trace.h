/*
 * series_trace.h - says what would become of a series: the limits that a write checks, the rules
 * that a client sent, and under which labels each destination gets it.
 *
 * Threads: any.
 */
#ifndef APP_SERIES_TRACE_H
#define APP_SERIES_TRACE_H

#include "api/api.h"
#include "app/destinations/relays.h"
#include "config/config.h"

struct series_trace_options {
    struct tsdb *tsdb;
    struct relays *relays;
    const struct settings *settings;
};

/*
 * Writes {"series", "write":{"reason", "checks":[{"setting", "limit", "value", "ok"}]},
 * "rules":{"steps":[STEP], "series"}, "destinations":[{"name", "type", "steps":[STEP], "series"}]}.
 * A step is {"step", "number", "rule", "series"}; "series" is null after the step that ends it.
 * Without rules there is no "rules", and without a valid series no "destinations".
 *
 * ERR_INPUT: not a series, or invalid rules; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err series_trace(const struct series_trace_options *options,
                                 const struct series_question *question, struct json *to,
                                 struct why *why);

#endif
