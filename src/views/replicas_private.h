/*
 * replicas_private.h - shared by the files of replicas.h.
 *
 * A combination is the series with the same values of all replica labels. An ascent is a part of a
 * combination whose series are in order also without these labels; replicas_scan.c explains why
 * there may be several. A strand is one request for one ascent; a result merges the strands.
 *
 * Invariants:
 *
 * 1. Names of replica labels are in order, each once, at least one.
 * 2. A view is freed with its last reference; its sets have one each.
 * 3. `strand_count`, at most STRANDS_MAX, is the number of ascents of all combinations.
 * 4. The ascent in the bits of a series is one of its combination.
 *
 * Threads: the view and replicas_view_unref() are for any; a scan is for one.
 */
#ifndef VIEWS_REPLICAS_PRIVATE_H
#define VIEWS_REPLICAS_PRIVATE_H

#include "base/buf.h"
#include "base/warnings.h"
#include "views/replicas.h"

enum { REPLICAS_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

struct replicas_view {
    struct view view; /* first: callers get it */
    struct view_ops ops;
    struct view *inner;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one frees; sets have one each */
    struct arena arena;          /* has the names */
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t name_count;
};

void replicas_view_unref(struct replicas_view *view);

/* Splits the labels of a series into those of its replica and the rest, both as labels. Lack of
 * memory shows in the buffers. */
void replicas_split(const struct replicas_view *view, struct bytes labels, struct buf *rest,
                    struct buf *dropped);
/* Returns the budget that pays for a request: its own, else that of its control, else the view's.
 */
struct budget *replicas_budget(const struct replicas_view *view,
                               const struct query_request *request);
/* Returns ERR_NOMEM, with its sentence. */
enum err replicas_no_memory(struct why *why);

/* --- replicas_scan.c: the first pass, over labels --------------------------------------------- */

/* The control of a question that is asked several times below. */
struct replicas_control {
    struct query_control below;  /* counts reads first */
    struct query_control *above; /* the question's; NULL: unlimited */
};
/* `limited`: all limits of the question apply to this pass alone. */
void replicas_control_begin(struct replicas_control *control, struct query_control *above,
                            bool limited);
/* Returns the control for requests below; may be NULL. */
struct query_control *replicas_control_below(struct replicas_control *control);
/* Translates the result of a request: if it was canceled, the control above has the reason. */
enum err replicas_control_result(struct replicas_control *control, enum err e, struct why *why);

enum { STRANDS_MAX = 64 };

/* Series that have the same values of all replica labels, in the order in which they come. */
struct combination {
    struct bytes dropped; /* these labels */
    /* For each series, the bits of its hash with the number of its ascent in the lowest ones.
     * Series of one ascent are in the order that they have without replica labels. */
    uint64_t *series;
    uint32_t series_count, series_capacity;
    struct buf *lasts; /* for each ascent, the labels of its last series, without replica labels */
    uint32_t ascent_count, ascent_capacity;
};

/* A series, identified by its labels. */
struct replica_key {
    struct bytes rest;
    struct bytes dropped;
};

/* The result of the first pass. The caller sets the fields up to from_labels; the others begin as
 * 0. It ends with replicas_scan_fini(). */
struct replicas_scan {
    struct replicas_view *view;
    struct budget *budget;
    struct query_request request; /* its sets are the caller's, during the call only */
    struct query_hints shard;     /* the wanted shard */
    struct bytes from_labels;

    struct arena arena;
    struct combination *combinations; /* in the order of their labels */
    uint32_t combination_count, combination_capacity;
    uint32_t strand_count;
    bool is_wide;             /* there are more than STRANDS_MAX ascents */
    struct replica_key *keys; /* if it is wide: all series, in order */
    size_t key_count, key_capacity;

    struct buf rest,
        dropped; /* labels of the current series without the replica's, and the removed ones */
    struct warnings warnings; /* warnings of sets that were freed */
};

/* Finds a series, by its labels below, among those of the combination from `from` on, and its
 * ascent. Returns series_count if it is not there. */
uint32_t combination_find(const struct combination *combination, uint32_t from, struct bytes labels,
                          uint32_t *ret_ascent);
/* Adds the warnings of a set, each once. */
MUST_CHECK enum err replicas_take_warnings(struct replicas_scan *scan, struct series_set *of,
                                           struct why *why);
/* Reads the labels of the matching series, and finds the combinations with their ascents or, if
 * there are too many ascents, all keys. Call once; replicas_scan_fini() is needed also after an
 * error. ERR_NOMEM; errors of the view below. */
MUST_CHECK enum err replicas_scan_run(struct replicas_scan *scan, struct why *why);
void replicas_scan_fini(struct replicas_scan *scan);

/* --- replicas_select.c ------------------------------------------------------------------------ */

MUST_CHECK enum err replicas_select(struct replicas_view *view, const struct query_request *request,
                                    struct series_set **ret_set, struct why *why);

#endif
