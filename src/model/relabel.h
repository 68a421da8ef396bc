/* relabel.h - relabelling rules with Prometheus' semantics: all actions of relabel_config. Source:
 * Prometheus' documentation, "relabel_config"; templates expand as in Go's regexp. */
#ifndef MODEL_RELABEL_H
#define MODEL_RELABEL_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

enum relabel_action {
    RELABEL_REPLACE,
    RELABEL_KEEP,
    RELABEL_DROP,
    RELABEL_KEEPEQUAL,
    RELABEL_DROPEQUAL,
    RELABEL_HASHMOD,
    RELABEL_LABELMAP,
    RELABEL_LABELDROP,
    RELABEL_LABELKEEP,
    RELABEL_LOWERCASE,
    RELABEL_UPPERCASE,
    RELABEL_ACTION_COUNT,
};

/* Reads "replace", ...; letter case does not matter. RELABEL_ACTION_COUNT for another word. */
enum relabel_action relabel_action_of(struct bytes word);
const char *relabel_action_word(enum relabel_action action);

/* One configured rule; a text with `at` NULL is not given and has its default. */
struct relabel_spec {
    enum relabel_action action;
    const struct bytes *source_labels;
    uint32_t source_label_count;
    struct bytes separator;    /* default ";" */
    struct bytes regex;        /* default "(.*)" */
    struct bytes target_label; /* none by default */
    struct bytes replacement;  /* default "$1" */
    uint64_t modulus;          /* 0 if not given */
};

struct relabel; /* immutable; may be shared between threads */

/* Makes rules of `specs` in their order; everything is copied. ERR_INPUT: a rule lacks a field that
 * its action needs, or has one that it cannot use; `why` says which, counting from 1. ERR_LIMIT: a
 * regex is too large. ERR_NOMEM. */
MUST_CHECK enum err relabel_new(const struct relabel_spec *specs, uint32_t count,
                                struct relabel **ret_relabel, struct why *why);
void relabel_free(struct relabel *relabel);

/* Relabels canonical labels: ret_labels are canonical too, a view of `labels` or of `arena`; empty
 * if the series is dropped or no label is left. ERR_NOMEM, ERR_LIMIT: from the arena. */
MUST_CHECK enum err relabel_apply(const struct relabel *relabel, struct bytes labels,
                                  struct arena *arena, struct bytes *ret_labels);

#endif
