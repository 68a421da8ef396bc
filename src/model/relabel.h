/*
 * relabel.h - relabelling rules with Prometheus' meaning: all actions of relabel_config.
 * Source: Prometheus' documentation, "relabel_config"; templates expand as Go's regexp does.
 */
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

/* "replace", ...; RELABEL_ACTION_COUNT if it is none (letter case does not matter). */
enum relabel_action relabel_action_of(struct bytes word);
const char *relabel_action_word(enum relabel_action action);

/* One rule as it is configured; `at` NULL: not given, and the default counts. */
struct relabel_spec {
    enum relabel_action action;
    const struct bytes *source_labels;
    uint32_t source_label_count;
    struct bytes separator;    /* ";" */
    struct bytes regex;        /* "(.*)" */
    struct bytes target_label; /* none */
    struct bytes replacement;  /* "$1" */
    uint64_t modulus;          /* 0: not given */
};

struct relabel; /* immutable once made; may be shared between threads */

/*
 * `specs` in their order; everything is copied. ERR_INPUT: a rule that lacks what its action needs,
 * or has what it cannot use; `why` says which, counting from 1. ERR_LIMIT: a regex too large.
 * ERR_NOMEM.
 */
MUST_CHECK enum err relabel_new(const struct relabel_spec *specs, uint32_t count,
                                struct relabel **ret_relabel, struct why *why);
void relabel_free(struct relabel *relabel);

/*
 * What becomes of canonical labels: ret_labels are canonical labels again, a view of `labels` or of
 * `arena`; of no size if the series is dropped, also where no label is left. ERR_NOMEM, ERR_LIMIT:
 * of the arena.
 */
MUST_CHECK enum err relabel_apply(const struct relabel *relabel, struct bytes labels,
                                  struct arena *arena, struct bytes *ret_labels);

#endif
