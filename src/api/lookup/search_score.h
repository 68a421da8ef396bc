/*
 * search_score.h - private to api/: scores names against search terms, with the two measures of
 * Prometheus' search API.
 */
#ifndef API_LOOKUP_SEARCH_SCORE_H
#define API_LOOKUP_SEARCH_SCORE_H

#include "model/select.h"

enum search_algorithm {
    SEARCH_SUBSEQUENCE,  /* all characters in order; squares of runs count for it, gaps against */
    SEARCH_JARO_WINKLER, /* a part of the name, or a similar name */
};

struct search_term {
    struct bytes text;  /* in lower case if case does not matter */
    struct bytes runes; /* its characters, a uint32_t each */
};

/* A filter accepts a name if one of its terms does. */
struct search_filter {
    enum search_algorithm algorithm;
    double threshold; /* 0 to 1 */
    bool any_case;
    struct arena arena; /* texts of the terms */
    struct search_term *terms;
    uint32_t term_count; /* 0: all names are accepted */
    struct buf text;     /* the present name, in lower case */
    struct buf runes;    /* its characters */
    struct buf marks;    /* characters that are matched */
    /* May end a comparison of long texts, which takes time. May be NULL. */
    struct query_control *control;
    uint64_t compared; /* characters since the control was last checked */
};

void search_filter_init(struct search_filter *filter, struct budget *budget);
void search_filter_fini(struct search_filter *filter);
/* Adds a term, in lower case if `any_case` is set. ERR_NOMEM. */
MUST_CHECK enum err search_filter_add(struct search_filter *filter, struct bytes text);

/* Returns a score from 1, the best, to 0 for names that are not accepted. ERR_NOMEM; ERR_CANCELED.
 */
MUST_CHECK enum err search_score(struct search_filter *filter, struct bytes name, double *ret_score,
                                 bool *ret_accepted, struct why *why);

#endif
