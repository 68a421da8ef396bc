/*
 * search_score.h - private to api/: how well a name matches what is searched for, with the two
 * measures of Prometheus' search API.
 */
#ifndef API_SEARCH_SCORE_H
#define API_SEARCH_SCORE_H

#include "model/select.h"

enum search_algorithm {
    SEARCH_SUBSEQUENCE,  /* all characters in order: runs count by their squares, gaps against it */
    SEARCH_JARO_WINKLER, /* a part of the name, or a name that is like it */
};

struct search_term {
    struct bytes text;  /* in lower case where case does not matter */
    struct bytes runes; /* the same as uint32_t each */
};

/* What accepts a name: any of the terms. */
struct search_filter {
    enum search_algorithm algorithm;
    double threshold; /* 0 to 1 */
    bool any_case;
    struct arena arena; /* of the terms */
    struct search_term *terms;
    uint32_t term_count; /* 0: everything is accepted */
    struct buf text;     /* of the name at hand, in lower case, */
    struct buf runes;    /* its characters, */
    struct buf marks;    /* and which of them are taken */
    /* Ends a comparison of long texts, which takes time. NULL: nothing ends it. */
    struct query_control *control;
    uint64_t compared; /* characters since the control was last checked */
};

void search_filter_init(struct search_filter *filter, struct budget *budget);
void search_filter_fini(struct search_filter *filter);
/* To be called when the fields up to `any_case` are set. ERR_NOMEM. */
MUST_CHECK enum err search_filter_add(struct search_filter *filter, struct bytes text);

/* 1 for the best that there is, 0 for what is not accepted. ERR_NOMEM; ERR_CANCELED. */
MUST_CHECK enum err search_score(struct search_filter *filter, struct bytes name, double *ret_score,
                                 bool *ret_accepted, struct why *why);

#endif
