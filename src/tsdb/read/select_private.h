/*
 * select_private.h - private to the files that answer questions: a question being answered.
 */
#ifndef TSDB_READ_SELECT_PRIVATE_H
#define TSDB_READ_SELECT_PRIVATE_H

#include "tsdb/read/interleave.h"
#include "tsdb/read/view.h"

/* One part, or the generations of one registry, taking part in an answer. */
struct query_source {
    uint32_t order;
    bool at_end;
    bool consumed; /* its series was given: step on before the next one */
    struct bytes labels;
    /* The series that matchers select: of a part; for names and values, of generations, too, NULL
     * if all are. */
    roaring_bitmap_t *matched;

    /* A part. */
    struct part *part;
    struct part_index index;
    struct row_batch *batch; /* of those; NULL: whole series are not asked for */
    struct row_reader *rows; /* for exemplars, as the next */
    struct exemplar_walk exemplars;
    const struct block_ref *blocks;
    uint32_t block_count;
    uint32_t number; /* of the row */
    struct part_deletion *deletions;
    uint32_t deletion_count;

    /* Generations of the head. */
    const struct registry *registry; /* NULL: a part */
    struct gen *gens[2];             /* the frozen one, the active one; or NULL */
    uint32_t *ids;
    uint32_t id_capacity;
    uint32_t id_count;
    uint32_t id_at;
    struct buf label_bytes;
    struct buf spots; /* struct exemplar_spot, by series: where exemplars are */
};

struct exemplar_spot {
    uint32_t series;
    const struct gen_exemplar *exemplar; /* stays as long as its generation */
};

enum query_kind {
    QUERY_SAMPLES,
    QUERY_EXEMPLARS, /* those of series without samples, too */
    QUERY_LABELS,    /* of series that have samples; no batches are to be asked of the set */
    QUERY_TEXTS,     /* the same, and not even of whole series: these have no order */
};

struct store_query {
    struct series_set set; /* first: it is handed out */
    struct head *head;
    struct budget *budget;
    struct query_control *control;
    struct store_view *view;
    uint32_t tenant; /* in the head; UINT32_MAX: it does not know it */
    struct arena arena;
    struct query_source *sources;
    uint32_t source_count;
    struct interleave interleave;
    struct buf labels; /* of the current series */
    int64_t min_ms;
    int64_t max_ms;
    const struct query_request *request; /* the caller's: until it is open */
    struct query_hints shard;            /* what they say of it */
    bool partial;
    bool chunks;
    enum query_kind kind;
    bool found; /* QUERY_LABELS: there are, of the current series */
};

static inline bool
source_is_head(const struct query_source *s)
{
    return s->registry != NULL;
}

/* --- select.c --------------------------------------------------------------------------------- */

/*
 * Sources of what is asked, with the series that are selected; nothing of them is read yet. The
 * query has a reference to the view, and is freed as a set.
 */
MUST_CHECK enum err query_open(struct store_view *view, const struct query_request *request,
                               enum query_kind kind, struct store_query **ret_query,
                               struct why *why);
/* What became of reading something: with `partial`, damage is a warning and OK. `reason` may go to
 * `why`. */
MUST_CHECK enum err query_leave_out(struct store_query *q, enum err e, const struct why *reason,
                                    struct why *why);
MUST_CHECK enum err store_exemplars(struct view *view, const struct query_request *request,
                                    const struct exemplar_sink *to, struct why *why);
MUST_CHECK enum err store_metadata(struct view *view, const struct query_request *request,
                                   struct bytes family,
                                   enum err (*each)(void *context, const struct metadata *metadata),
                                   void *context, struct why *why);
MUST_CHECK enum err store_label_names(struct view *view, const struct query_request *request,
                                      const struct text_sink *to, struct why *why);
MUST_CHECK enum err store_label_values(struct view *view, const struct query_request *request,
                                       struct bytes name, const struct text_sink *to,
                                       struct why *why);
MUST_CHECK enum err store_series(struct view *view, const struct query_request *request,
                                 const struct text_sink *to, struct why *why);
MUST_CHECK enum err store_survey(struct view *view, const struct query_request *request,
                                 struct series_survey *ret, struct why *why);
MUST_CHECK enum err store_samples(struct view *view, const struct query_request *request,
                                  struct series_set **ret_set, struct why *why);
/* For labels: has the source's series, whose blocks these are, any in the time? In q->found. */
MUST_CHECK enum err query_find_block(struct store_query *q, const struct query_source *s);
/* For labels: sets q->found if series `id` of the head has a sample in the time. The head lock is
 * held. */
void query_find_samples(struct store_query *q, const struct query_source *s, uint32_t id);

/* The blocks of the source's row that are in the time become items of the interleave. ERR_NOMEM. */
MUST_CHECK enum err query_add_blocks(struct store_query *q, const struct query_source *s);
/* The same of a series of the head; for QUERY_LABELS: query_find_samples(). ERR_NOMEM; ERR_AGAIN:
 * the view is not to be had any more. */
MUST_CHECK enum err query_add_head(struct store_query *q, const struct query_source *s, uint32_t id,
                                   struct why *why);
/* As if all series of a source were alike. */
struct series_cost query_guess(const struct store_query *q);

/* To the next of a source's series of the head. */
MUST_CHECK enum err query_head_step(struct query_source *s);

/* The one whose labels come first; NULL: all are at their end. */
struct query_source *query_first_source(struct store_query *q);

/* True: the series at hand is of another shard; all sources are past it with the next step. */
bool query_pass(struct store_query *q, const struct query_source *first);

/* --- select_exemplars.c ----------------------------------------------------------------------- */

/* The exemplars of a source of the head that are asked for, of series in `matched`, become its
 * spots; their series its ids, in any order. */
MUST_CHECK enum err head_note_exemplars(struct store_query *q, struct query_source *s,
                                        const roaring_bitmap_t *matched, struct why *why);

/* --- select_head.c ---------------------------------------------------------------------------- */

/* The ids of a registry's series that any of the query's sets selects; given. ERR_NOMEM. */
MUST_CHECK enum err head_select(const struct store_query *q, const struct registry *registry,
                                roaring_bitmap_t **ret_ids, struct why *why);
/*
 * The first `count` of the source's series that are in `ids` and have samples in the time become
 * its ids, in label order: in one pass, with memory for so many. ERR_NOMEM, ERR_CANCELED,
 * ERR_AGAIN.
 */
MUST_CHECK enum err head_first(struct store_query *q, struct query_source *s,
                               const roaring_bitmap_t *ids, uint32_t count, struct why *why);

#endif
