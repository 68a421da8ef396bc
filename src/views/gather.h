/*
 * gather.h - private to views/: gathers names, values, sets of labels, exemplars and metadata of
 * several answerers, sorts them, and passes them on; and what else views have in common.
 *
 * Memory is charged to the budget. Adding fails with ERR_NOMEM without a sentence, which the end
 * puts into `why`.
 *
 * Threads: one.
 */
#ifndef VIEWS_GATHER_H
#define VIEWS_GATHER_H

#include "base/buf.h"
#include "base/text/texts.h"
#include "model/labels.h"
#include "model/select.h"

enum { GATHERED_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

enum err views_no_memory(struct why *why);
/* Returns the budget that pays for a request: its own, else its control's, else the view's. */
struct budget *views_budget(const struct query_request *request, struct budget *of_view);
/* Adds the warnings of a set, each once. ERR_NOMEM. */
MUST_CHECK enum err views_take_warnings(struct warnings *to, struct series_set *of,
                                        struct why *why);
/* Returns a warning of a set. NULL: it has fewer, and their number was taken off *index. */
const char *views_warning(struct series_set *of, uint32_t *index);
/* Adds what a set has spent, if it knows that; it may be NULL. */
void views_add_spent(struct series_cost *to, const struct series_set *of);

/* A set of series, and matchers that were made for it. */
struct matched_set {
    struct series_set *set; /* NULL: none is open */
    struct matcher **matchers;
    uint32_t matcher_count, matcher_capacity;
};

/* Adds a matcher of a label, unless the label is too large: it may select other series, too. */
MUST_CHECK enum err matched_set_add(struct matched_set *s, struct label label,
                                    struct budget *budget, struct why *why);
/* Selects the series of these labels, with the rest of a request. If it was found, it is the
 * current series of the set. `labels` live as long as the set, which is opened even on an error. */
MUST_CHECK enum err matched_set_find(struct matched_set *s, struct view *view,
                                     const struct query_request *like, struct bytes labels,
                                     struct budget *budget, bool *ret_found, struct why *why);
void matched_set_fini(struct matched_set *s, struct budget *budget);

/* --- texts: each is passed on once ------------------------------------------------------------ */

struct text_gathering {
    const struct text_sink *to; /* gets the warnings at once */
    struct arena arena;
    struct budget *budget;
    struct buf labels; /* for the caller */
    bool of_labels;    /* texts are sets of labels, which have an order of their own */
    uint64_t limit;    /* one more is kept, if it exists; 0: unlimited */
    struct bytes *items;
    size_t count, capacity;
    size_t sorted_count; /* items of earlier answerers, sorted, each once */
};

/* `limit`: that of struct query_hints. text_gathering_end() is required in any case. */
void text_gathering_begin(struct text_gathering *gathering, bool of_labels, uint64_t limit,
                          const struct text_sink *to, struct budget *budget);
/* Copies the text. These two are for the sinks of questions; `gathering` is or begins with a struct
 * text_gathering. */
MUST_CHECK enum err text_gathering_add(void *gathering, struct bytes text);
enum err text_gathering_warn(void *gathering, const char *sentence);
/* Sorts the texts and removes repeated ones. It is called after each answerer. */
void text_gathering_sort(struct text_gathering *gathering);
/* Passes the texts on if `e` is OK. Returns `e`, or an error of the sink. */
MUST_CHECK enum err text_gathering_end(struct text_gathering *gathering, enum err e,
                                       struct why *why);

/* --- exemplars -------------------------------------------------------------------------------- */

struct exemplar_gathering {
    const struct exemplar_sink *to; /* gets the warnings at once */
    struct arena arena;
    struct budget *budget;
    struct buf labels;      /* for the caller */
    struct exemplar *items; /* in the order in which they came */
    size_t count, capacity;
};

/* exemplar_gathering_end() is required in any case. As for texts, two are for sinks. */
void exemplar_gathering_begin(struct exemplar_gathering *gathering, const struct exemplar_sink *to,
                              struct budget *budget);
MUST_CHECK enum err exemplar_gathering_add(void *gathering, const struct exemplar *exemplar);
enum err exemplar_gathering_warn(void *gathering, const char *sentence);
/* `once`: equal exemplars are passed on once. */
MUST_CHECK enum err exemplar_gathering_end(struct exemplar_gathering *gathering, enum err e,
                                           bool once, struct why *why);

/* --- metadata: one entry per family and description ------------------------------------------- */

struct metadata_gathering {
    struct arena arena;
    struct budget *budget;
    uint32_t from; /* set by the caller: descriptions are passed on in the order of these numbers */
    struct described_metadata {
        struct metadata metadata;
        uint32_t from;
    } * items;
    size_t count, capacity;
};

/* metadata_gathering_end() is required in any case. */
void metadata_gathering_begin(struct metadata_gathering *gathering, struct budget *budget);
MUST_CHECK enum err metadata_gathering_add(void *gathering, const struct metadata *metadata);
/* Passes each description of a family on once, in the order of families' names, if `e` is OK.
 * Returns `e`, or an error of `each`. */
MUST_CHECK enum err metadata_gathering_end(struct metadata_gathering *gathering, enum err e,
                                           enum err (*each)(void *context,
                                                            const struct metadata *metadata),
                                           void *context, struct why *why);

#endif
