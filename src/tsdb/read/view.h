/*
 * view.h - private to tsdb/: a view of the parts and the head at one moment, and the queries it
 * answers.
 */
#ifndef TSDB_READ_VIEW_H
#define TSDB_READ_VIEW_H

#include "tsdb/head/head.h"

/* Freed with the last reference. Immutable after store_view_open(), but for `seen`. */
struct store_view {
    struct view view; /* first member: callers hold this */
    struct head *head;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    struct version *version;     /* holds a reference */
    struct gen *gens[2];         /* frozen (may be NULL), active; both NULL with VIEW_PARTS */
    struct head_view seen;       /* guarded by the head lock */
    uint64_t epoch;              /* epoch of `seen`, with its high bits */
    uint64_t edits;              /* head->edits when it was opened */
    struct series_rules *rules;  /* of retention; NULL: they hide nothing */
    int64_t rules_now_ms;        /* the time from which their ages count back */
    struct live_bucket bucket;   /* when it was opened */
    struct tsdb_stretch stretch; /* only parts that meet it are read; to_pos 0: all */
};

/* VIEW_ALL: parts and head; VIEW_PARTS: only parts. */
enum view_scope { VIEW_ALL, VIEW_PARTS };
/* The head outlives the view. ERR_NOMEM. */
MUST_CHECK enum err store_view_open(struct head *head, enum view_scope scope, struct budget *budget,
                                    struct store_view **ret_view, struct why *why);
void store_view_unref(struct store_view *view);
/* ERR_AGAIN: the view is lost (tsdb/head/gen.h), the head no longer knows what it saw. Under the
 * head lock. */
MUST_CHECK enum err store_view_check(const struct store_view *view, struct why *why);

/* ERR_MISSING: what the bucket has by the mark and what lies after its position are not all that
 * the view has. */
MUST_CHECK enum err store_view_beyond(const struct store_view *view, const struct bucket_mark *mark,
                                      struct why *why);

/* True if the part holds samples of positions within the stretch of the log. */
bool stretch_has(const struct tsdb_stretch *stretch, const struct part *part);

/* COUNT_SHOWN: what queries return; COUNT_STORED: what rules of retention hide, too. */
enum count_what { COUNT_SHOWN, COUNT_STORED };
/* Counts the series, samples and windows that a deletion of the request would hide in the parts of
 * `version`; if it is partial, without damaged ones. */
MUST_CHECK enum err parts_count(struct head *head, struct version *version, enum count_what what,
                                const struct query_request *request, struct tsdb_deletion *ret,
                                struct why *why);

/* See tsdb_rules_survey(). */
MUST_CHECK enum err rules_survey(struct head *head, const struct tsdb_limits *limits,
                                 struct query_control *control, struct series_cost *ret_list,
                                 struct why *why);

/* Gives the time of a sample after `after_ms`, of any tenant, that readers would get: the first one
 * found. INT64_MIN without such a sample. Damaged samples do not count. */
MUST_CHECK enum err sample_after(struct head *head, int64_t after_ms, int64_t *ret_ms);

#endif
