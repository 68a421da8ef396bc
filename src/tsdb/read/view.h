/*
 * view.h - private to tsdb/: the parts and the head at one moment, and what can be asked of them.
 */
#ifndef TSDB_READ_VIEW_H
#define TSDB_READ_VIEW_H

#include "tsdb/head/head.h"

/* Stays as long as there is a reference. */
struct store_view {
    struct view view; /* first: it is handed out */
    struct head *head;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct version *version;
    struct gen *gens[2]; /* frozen, active; NULL: none */
    struct head_view seen;
    uint64_t epoch;              /* of `seen`, with its high bits */
    uint64_t edits;              /* that were done then */
    struct tsdb_stretch stretch; /* only parts that meet it; to_pos 0: all */
};

/* `scope`: of the head, too; or of parts alone. */
enum view_scope { VIEW_ALL, VIEW_PARTS };
/* The head outlives it. ERR_NOMEM. */
MUST_CHECK enum err store_view_open(struct head *head, enum view_scope scope, struct budget *budget,
                                    struct store_view **ret_view, struct why *why);
void store_view_unref(struct store_view *view);
/* ERR_AGAIN: what the view saw of the head is not known any more. Under the head lock. */
MUST_CHECK enum err store_view_check(const struct store_view *view, struct why *why);

bool stretch_has(const struct tsdb_stretch *stretch, const struct part *part);

/* Series and samples that a question would get from parts. */
MUST_CHECK enum err parts_count(struct head *head, const struct query_request *request,
                                uint64_t *ret_series, uint64_t *ret_samples, struct why *why);

/*
 * The time of a sample after `after_ms`, of any tenant, that readers would get: of the first one
 * found. INT64_MIN: none is there; what cannot be read because of damage is not.
 */
MUST_CHECK enum err sample_after(struct head *head, int64_t after_ms, int64_t *ret_ms,
                                 struct why *why);

#endif
