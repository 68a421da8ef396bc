/* replicas_private.h - what the files of replicas.h share. */
#ifndef VIEWS_REPLICAS_PRIVATE_H
#define VIEWS_REPLICAS_PRIVATE_H

#include "base/buf.h"
#include "base/warnings.h"
#include "views/replicas.h"

enum { REPLICAS_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

struct replicas_view {
    struct view view; /* first: it is handed out */
    struct view_ops ops;
    struct view *inner;
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one frees; sets have one each */
    struct arena arena;          /* of the names */
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t name_count;
};

void replicas_view_unref(struct replicas_view *view);

/* The labels of a series without those of its replica, and these; both as labels. Out of memory
 * shows in the buffers. */
void replicas_split(const struct replicas_view *view, struct bytes labels, struct buf *rest,
                    struct buf *dropped);
struct budget *replicas_budget(const struct replicas_view *view,
                               const struct query_request *request);
enum err replicas_no_memory(struct why *why);

/* --- replicas_scan.c: which series there are, before samples are read ------------------------- */

/* The control of a question that is put several times. */
struct replicas_control {
    struct query_control below;  /* what is read is counted here first */
    struct query_control *above; /* the question's; NULL: nothing limits it */
};
/* `limited`: by all that limits the question, as if it were a question for itself. */
void replicas_control_begin(struct replicas_control *control, struct query_control *above,
                            bool limited);
/* For a request. */
struct query_control *replicas_control_below(struct replicas_control *control);
/* What came of asking: why the question ended is what the control above says. */
enum err replicas_control_result(struct replicas_control *control, enum err e, struct why *why);

enum { STRANDS_MAX = 64 };

/* The series that have the same values of all replica labels, in the order in which they come. */
struct combination {
    struct bytes dropped; /* these labels */
    /* Of each series, the bits of its hash with the number of its ascent in the lowest ones: those
     * of one ascent go up in the order that they have without these labels. */
    uint64_t *series;
    uint32_t series_count, series_capacity;
    struct buf *lasts; /* of each ascent, the labels of its last series without these */
    uint32_t ascent_count, ascent_capacity;
};

/* A series, told by its labels. */
struct replica_key {
    struct bytes rest;
    struct bytes dropped;
};

/* What there is. Begins as {0} but for the first lines, and ends with replicas_scan_fini(). */
struct replicas_scan {
    struct replicas_view *view;
    struct budget *budget;
    struct query_request request; /* sets: the caller's, for the time of the call */
    struct query_hints shard;     /* what they say of it: that which is asked for */
    struct bytes from_labels;

    struct arena arena;
    struct combination *combinations; /* in the order of their labels */
    uint32_t combination_count, combination_capacity;
    uint32_t strand_count;
    bool is_wide;             /* there are more than STRANDS_MAX ascents; then: */
    struct replica_key *keys; /* all series, in order */
    size_t key_count, key_capacity;

    struct buf rest, dropped; /* of the series at hand */
    struct warnings warnings; /* of sets that are not there any more */
};

/* Where among the series of the combination one is, with its labels as they are below, and which
 * ascent it is of; no earlier than at `from`. series_count: it was not there. */
uint32_t combination_find(const struct combination *combination, uint32_t from, struct bytes labels,
                          uint32_t *ret_ascent);
/* Each once, whoever told it. */
MUST_CHECK enum err replicas_take_warnings(struct replicas_scan *scan, struct series_set *of,
                                           struct why *why);
MUST_CHECK enum err replicas_scan_run(struct replicas_scan *scan, struct why *why);
void replicas_scan_fini(struct replicas_scan *scan);

/* --- replicas_select.c ------------------------------------------------------------------------ */

MUST_CHECK enum err replicas_select(struct replicas_view *view, const struct query_request *request,
                                    struct series_set **ret_set, struct why *why);

#endif
