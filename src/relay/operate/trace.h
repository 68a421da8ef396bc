/*
 * trace.h - follows a series through relabelling rules, and through all that decides under which
 * labels a destination gets it: step by step, with the results of relay/feed/selection.h.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_TRACE_H
#define RELAY_OPERATE_TRACE_H

#include "backend/settings.h"
#include "base/mem.h"

enum trace_kind {
    TRACE_TENANT,          /* `tenants` */
    TRACE_SELECT,          /* `select` */
    TRACE_EXTERNAL_LABELS, /* labels that the destination adds */
    TRACE_RELABEL,         /* one rule */
    TRACE_TENANT_LABEL,    /* `tenant_label` */
};

/* Views that end with the call. */
struct trace_step {
    enum trace_kind kind;
    uint32_t number; /* of the rule, or of the selector that matches, from 1 on; else 0 */
    const struct relabel_spec *rule; /* for TRACE_RELABEL */
    const char *selector;            /* for TRACE_SELECT, if one matches */
    struct bytes labels;             /* labels after the step; empty: the series ends here */
};

struct trace_sink {
    void (*each)(void *context, const struct trace_step *step);
    void *context;
};

/* Calls `each` for every rule up to the one that drops the series. *ret_labels: a view of `labels`
 * or the arena; empty: the series is dropped. Errors of relabel_new() and relabel_apply(). */
MUST_CHECK enum err trace_rules(const struct relabel_spec *rules, uint32_t count,
                                struct bytes labels, struct arena *arena,
                                const struct trace_sink *to, struct bytes *ret_labels,
                                struct why *why);

/* Does the same for all steps of a destination. ERR_INPUT: invalid selector or rule. */
MUST_CHECK enum err trace_destination(const struct destination_settings *settings,
                                      struct bytes tenant, struct bytes labels, struct arena *arena,
                                      const struct trace_sink *to, struct bytes *ret_labels,
                                      struct why *why);

#endif
