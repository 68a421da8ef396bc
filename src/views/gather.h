/*
 * gather.h - private to query/: what answerers hand out as it comes (names, values, sets of labels,
 * exemplars, metadata), of several of them in one order. All of it is gathered, sorted, and handed
 * on.
 *
 * The memory is the budget's. Functions that return ERR_NOMEM have no words for it.
 * Threads: one.
 */
#ifndef VIEWS_GATHER_H
#define VIEWS_GATHER_H

#include "base/buf.h"
#include "model/select.h"

enum { GATHERED_LABEL_BYTES_MAX = 64 * 1024 * 1024 };

/* --- texts: each is handed on once ------------------------------------------------------------ */

struct text_gathering {
    struct arena arena;
    struct budget *budget;
    bool of_labels; /* sets of labels, which have an order of their own */
    uint64_t limit; /* one more is kept if there is one; 0: none */
    struct bytes *items;
    size_t count, capacity;
    size_t sorted_count; /* those of the answerers before */
};

/* `limit`: as of struct query_hints. To be ended in any case. */
void text_gathering_begin(struct text_gathering *gathering, bool of_labels, uint64_t limit,
                          struct budget *budget);
MUST_CHECK enum err text_gathering_add(struct text_gathering *gathering, struct bytes text);
/* An answerer has handed out all it has. */
void text_gathering_sort(struct text_gathering *gathering);
/* Hands on what was gathered unless `e` says that it went wrong; returns how it ended. */
MUST_CHECK enum err text_gathering_end(struct text_gathering *gathering, enum err e,
                                       const struct text_sink *to);

/* --- exemplars -------------------------------------------------------------------------------- */

struct exemplar_gathering {
    struct arena arena;
    struct budget *budget;
    struct exemplar *items; /* of a series in the order in which they came */
    size_t count, capacity;
};

void exemplar_gathering_begin(struct exemplar_gathering *gathering, struct budget *budget);
MUST_CHECK enum err exemplar_gathering_add(struct exemplar_gathering *gathering,
                                           const struct exemplar *exemplar);
/* `once`: what is the same in all is handed on once. */
MUST_CHECK enum err exemplar_gathering_end(struct exemplar_gathering *gathering, enum err e,
                                           bool once, const struct exemplar_sink *to);

/* --- metadata: a family as often as it is described differently ------------------------------- */

struct metadata_gathering {
    struct arena arena;
    struct budget *budget;
    struct described {
        struct metadata metadata;
        uint32_t from;
    } * items;
    size_t count, capacity;
};

void metadata_gathering_begin(struct metadata_gathering *gathering, struct budget *budget);
/* `from`: of descriptions of one family, those of lower numbers are handed on first. */
MUST_CHECK enum err metadata_gathering_add(struct metadata_gathering *gathering,
                                           const struct metadata *metadata, uint32_t from);
MUST_CHECK enum err metadata_gathering_end(struct metadata_gathering *gathering, enum err e,
                                           enum err (*each)(void *context,
                                                            const struct metadata *metadata),
                                           void *context);

#endif
