/*
 * gather.h - private to views/: gathers names, values, sets of labels, exemplars and metadata of
 * several answerers, sorts them, and passes them on.
 *
 * Memory is charged to the budget. ERR_NOMEM comes without a `why`.
 *
 * Threads: one.
 */
#ifndef VIEWS_GATHER_H
#define VIEWS_GATHER_H

#include "base/buf.h"
#include "model/select.h"

enum { GATHERED_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* --- texts: each is passed on once ------------------------------------------------------------ */

struct text_gathering {
    struct arena arena;
    struct budget *budget;
    bool of_labels; /* texts are sets of labels, which have an order of their own */
    uint64_t limit; /* one more is kept, if it exists; 0: unlimited */
    struct bytes *items;
    size_t count, capacity;
    size_t sorted_count; /* items of earlier answerers, sorted, each once */
};

/* `limit`: that of struct query_hints. text_gathering_end() is required in any case. */
void text_gathering_begin(struct text_gathering *gathering, bool of_labels, uint64_t limit,
                          struct budget *budget);
/* Copies the text. ERR_NOMEM, without a sentence. */
MUST_CHECK enum err text_gathering_add(struct text_gathering *gathering, struct bytes text);
/* Sorts the texts and removes repeated ones. It is called after each answerer. */
void text_gathering_sort(struct text_gathering *gathering);
/* Passes the texts on if `e` is OK. Returns `e`, or an error of the sink. */
MUST_CHECK enum err text_gathering_end(struct text_gathering *gathering, enum err e,
                                       const struct text_sink *to);

/* --- exemplars -------------------------------------------------------------------------------- */

struct exemplar_gathering {
    struct arena arena;
    struct budget *budget;
    struct exemplar *items; /* in the order in which they came */
    size_t count, capacity;
};

/* exemplar_gathering_end() is required in any case; exemplars are copied. ERR_NOMEM. */
void exemplar_gathering_begin(struct exemplar_gathering *gathering, struct budget *budget);
MUST_CHECK enum err exemplar_gathering_add(struct exemplar_gathering *gathering,
                                           const struct exemplar *exemplar);
/* `once`: equal exemplars are passed on once. */
MUST_CHECK enum err exemplar_gathering_end(struct exemplar_gathering *gathering, enum err e,
                                           bool once, const struct exemplar_sink *to);

/* --- metadata: one entry per family and description ------------------------------------------- */

struct metadata_gathering {
    struct arena arena;
    struct budget *budget;
    struct described_metadata {
        struct metadata metadata;
        uint32_t from;
    } * items;
    size_t count, capacity;
};

/* metadata_gathering_end() is required in any case. */
void metadata_gathering_begin(struct metadata_gathering *gathering, struct budget *budget);
/* `from`: descriptions of a family are passed on in the order of these numbers. */
MUST_CHECK enum err metadata_gathering_add(struct metadata_gathering *gathering,
                                           const struct metadata *metadata, uint32_t from);
/* Passes each description of a family on once, in the order of families' names, if `e` is OK.
 * Returns `e`, or an error of `each`. */
MUST_CHECK enum err metadata_gathering_end(struct metadata_gathering *gathering, enum err e,
                                           enum err (*each)(void *context,
                                                            const struct metadata *metadata),
                                           void *context);

#endif
