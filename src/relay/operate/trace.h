/*
 * trace.h - follows a series through all that decides under which labels a destination gets it:
 * step by step, with the results of relay/feed/selection.h.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_TRACE_H
#define RELAY_OPERATE_TRACE_H

#include "backend/settings.h"
#include "base/mem.h"

/* Views that end with the call. */
struct trace_step {
    const char
        *key; /* "tenants", "select", "external_labels", "relabel" (one rule), "tenant_label" */
    uint32_t number; /* of the rule, or of the selector that matches, from 1 on; else 0 */
    const struct relabel_spec *rule; /* NULL unless it is a rule */
    const char *selector;            /* NULL unless one matches */
    struct bytes labels;             /* labels after the step; empty: the series ends here */
};

/* Calls `each` for every step up to the one that drops the series. *ret_labels: a view of `labels`
 * or the arena; empty: the series is dropped. Errors of selection_new() and selection_apply(). */
MUST_CHECK enum err trace_destination(const struct destination_settings *settings,
                                      struct bytes tenant, struct bytes labels, struct arena *arena,
                                      void (*each)(void *context, const struct trace_step *step),
                                      void *context, struct bytes *ret_labels, struct why *why);

#endif
