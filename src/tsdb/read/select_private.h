/*
 * select_private.h - private to the files of this folder: a query while it runs.
 */
#ifndef TSDB_READ_SELECT_PRIVATE_H
#define TSDB_READ_SELECT_PRIVATE_H

#include "model/series_rules.h"
#include "tsdb/read/interleave.h"
#include "tsdb/read/view.h"

/* A source of a query: one part, or the generations of the head that share a registry. */
struct query_source {
    uint32_t order; /* age: sources with a lower order win */
    bool at_end;
    bool consumed; /* its series was given: step on before the next one */
    struct bytes labels;
    /* The series that matchers select: of a part; for names and values also of generations. NULL
     * selects all. */
    roaring_bitmap_t *matched;

    /* A part. */
    struct part *part;
    struct part_index index;
    struct row_batch *batch; /* rows of `matched`; NULL for exemplars and texts */
    struct row_reader *rows; /* for exemplars, like the next member */
    struct exemplar_walk exemplars;
    const struct block_ref *blocks; /* blocks of the current row */
    uint32_t block_count;
    uint32_t number; /* number of the current row */
    struct part_deletion *deletions;
    uint32_t deletion_count;

    /* Generations of the head. */
    const struct registry *registry; /* NULL if the source is a part */
    struct gen *gens[2];             /* oldest first; the second may be NULL */
    uint32_t *ids;                   /* series in label order */
    uint32_t id_capacity;
    uint32_t id_count;
    uint32_t id_at; /* index after the current series */
    struct buf label_bytes;
    struct buf spots; /* struct exemplar_spot, by series */
};

/* An exemplar of the head. */
struct exemplar_spot {
    uint32_t series;
    const struct gen_exemplar *exemplar; /* lives as long as its generation */
};

enum query_kind {
    QUERY_SAMPLES,
    QUERY_EXEMPLARS, /* exemplars, also of series without samples */
    QUERY_LABELS,    /* series that have samples, without their samples */
    QUERY_TEXTS,     /* names or values of labels: the series need no order */
};

struct store_query {
    struct series_set set; /* first member: callers hold this */
    struct head *head;
    struct budget *budget;
    struct query_control *control;
    struct store_view *view; /* holds a reference */
    uint32_t tenant;         /* id in the head; UINT32_MAX if the head does not know the tenant */
    struct arena arena;
    struct query_source *sources;
    uint32_t source_count;
    struct interleave interleave;
    struct buf labels; /* labels of the current series */
    int64_t min_ms;
    int64_t max_ms;
    /* Rules of retention, if they may hide samples in the time range; otherwise NULL. */
    const struct series_rules *rules;
    struct bytes tenant_name; /* for the rules */
    struct buf rule_labels;   /* labels of a series of the head, for the rules */
    uint64_t beyond_pos;      /* parts before it are not read */
    int64_t from_ms;          /* samples of the current series before it are not visible */
    const struct query_request *request; /* borrowed until query_open() returns; then NULL */
    struct query_hints shard;            /* the hints about shards, copied */
    bool partial;
    bool chunks;
    enum query_kind kind;
    bool found; /* QUERY_LABELS: the current series has samples in the time range */
};

static inline bool
source_is_head(const struct query_source *s)
{
    return s->registry != NULL;
}

/* --- head_match.c ----------------------------------------------------------------------------- */

/* Gives the ids of a registry's series that any of the query's sets selects. ERR_NOMEM. */
MUST_CHECK enum err head_select(const struct store_query *q, const struct registry *registry,
                                roaring_bitmap_t **ret, struct why *why);

/* --- select.c --------------------------------------------------------------------------------- */

/* Returns the first time of the range at which samples of the series are visible: it is not before
 * the time up to which a rule of retention hides them. */
int64_t query_from_ms(const struct store_query *q, struct bytes labels);
/* Does the same for series `id` of a source of the head. ERR_NOMEM. */
MUST_CHECK enum err query_head_from_ms(struct store_query *q, const struct query_source *s,
                                       uint32_t id, int64_t *ret_ms);

/*
 * Opens the sources of a request and selects their series. The query takes a reference to the view;
 * it is freed as a series_set.
 */
MUST_CHECK enum err query_open(struct store_view *view, const struct query_request *request,
                               enum query_kind kind, struct store_query **ret_query,
                               struct why *why);
/* Judges an error of reading: with `partial`, ERR_CORRUPT becomes a warning and OK; others are
 * returned, with `reason` copied to `why`. */
MUST_CHECK enum err query_leave_out(struct store_query *q, enum err e, const struct why *reason,
                                    struct why *why);
/* For labels: sets q->found if a block of the source's current row has a sample at or after
 * q->from_ms in the time range that is not deleted. */
MUST_CHECK enum err query_find_block(struct store_query *q, const struct query_source *s,
                                     struct why *why);
/* For labels: sets q->found if series `id` of the head has a visible sample in the time range. The
 * head lock is held. ERR_NOMEM. */
MUST_CHECK enum err query_find_samples(struct store_query *q, const struct query_source *s,
                                       uint32_t id);

/* Adds the blocks of the source's current row that meet the time range to the interleave.
 * ERR_NOMEM. */
MUST_CHECK enum err query_add_blocks(struct store_query *q, const struct query_source *s);
/* query_add_blocks() for a series of the head; with QUERY_LABELS: query_find_samples(). ERR_NOMEM;
 * ERR_AGAIN: the view is lost. */
MUST_CHECK enum err query_add_head(struct store_query *q, const struct query_source *s, uint32_t id,
                                   struct why *why);

/* Moves a source of the head on to its next series. */
MUST_CHECK enum err query_head_step(struct query_source *s);

/* Returns the source whose labels come first; NULL if all are at their end. */
struct query_source *query_first_source(struct store_query *q);

/* True if the series of `first` belongs to another shard: then all sources that have it are marked
 * as consumed. */
bool query_pass(struct store_query *q, const struct query_source *first);

/* --- select_exemplars.c ----------------------------------------------------------------------- */

/* Fills the spots of a source of the head with the exemplars of series in `matched` that the query
 * selects, and its ids with their series, in any order. */
MUST_CHECK enum err head_note_exemplars(struct store_query *q, struct query_source *s,
                                        const roaring_bitmap_t *matched, struct why *why);

/* --- the questions of a view, see model/select.h ---------------------------------------------- */

MUST_CHECK enum err store_samples(struct view *view, const struct query_request *request,
                                  struct series_set **ret_set, struct why *why);
MUST_CHECK enum err store_exemplars(struct view *view, const struct query_request *request,
                                    const struct exemplar_sink *to, struct why *why);
MUST_CHECK enum err store_look_up(struct view *view, enum lookup_kind kind,
                                  const struct query_request *request, struct bytes name,
                                  const struct text_sink *to, struct why *why);
MUST_CHECK enum err store_survey(struct view *view, const struct query_request *request,
                                 struct series_survey *ret, struct why *why);

#endif
