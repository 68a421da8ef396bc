/*
 * promql.h - Prometheus' query language.
 *
 * Errors of the language are sentences with a position, worded as Prometheus words them; they may
 * be longer than a `struct why` and come in a buffer.   Threads: any, each call for itself.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "base/buf.h"
#include "model/select.h"
#include "promql/histogram/fhist.h"

enum promql_form {
    PROMQL_LINE,  /* the expression in one line, as Prometheus prints what it has parsed */
    PROMQL_LINES, /* the expression, in lines of at most 100 characters where that is possible */
    PROMQL_JSON,  /* its syntax tree, as the query API gives it */
};

/*
 * Appends an expression in another form to `to`. ERR_INPUT: not an expression, ERR_LIMIT: it is too
 * long or nested too deep, ERR_CANCELED: `control` (may be NULL) says that it has to end; `error`
 * says what. ERR_NOMEM. The matchers of its selectors are charged to the budget, too.
 */
MUST_CHECK enum err promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget,
                                   struct query_control *control, struct buf *to,
                                   struct buf *error);

/* An expression that was read. Immutable; given by the next two, whose errors are those above. */
struct promql_tree;
MUST_CHECK enum err promql_parse(struct bytes text, struct budget *budget,
                                 struct query_control *control, struct promql_tree **ret_tree,
                                 struct buf *error);
/* The same of a selector of series alone, as match[] has it. */
MUST_CHECK enum err promql_parse_selector(struct bytes text, struct budget *budget,
                                          struct query_control *control,
                                          struct promql_tree **ret_tree, struct buf *error);
void promql_free(struct promql_tree *tree);
/* What its selectors select; a view of the tree. */
const struct matcher_set *promql_selectors(const struct promql_tree *tree, uint32_t *ret_count);

/* Whether what it gives at a time of a range may differ from what it gives at that time alone: it
 * has words for where the range begins, ends, ... */
bool promql_asks_for_range(const struct promql_tree *tree);

/* Words of the language, for those who ask what there is: the n-th, or NULL when there are no more.
 */
const char *promql_function_word(uint32_t n);
const char *promql_operator_word(uint32_t n); /* aggregations are among them */

/* --- running ---------------------------------------------------------------------------------- */

struct promql_features {
    bool delayed_name_removal; /* names go at the end, not where another metric comes to be */
    bool start_timestamps;     /* a counter that began anew was reset */
    bool type_and_unit_labels; /* __type__ says what a counter is */
};

/* By bits, the lowest one for the first. */
struct promql_features promql_features_of(uint32_t bits);

/*
 * Threads of the caller's that may work on a query, too. After ask() one more of them may call
 * help->work(), once; after dismiss() none does: it waits for those that do. Both are called by the
 * thread of the query, under no lock; work() is, too, and returns when there is nothing to do.
 */
struct promql_help {
    void (*work)(struct promql_help *help);
    void *context;
    struct promql_help *next; /* the caller's, as the rest */
    uint32_t wanted;
    uint32_t running;
};
struct promql_helpers {
    void (*ask)(void *context, struct promql_help *help);
    void (*dismiss)(void *context, struct promql_help *help);
    /* Whether other queries wait for a thread: those that help return soon, then. NULL: none do. */
    bool (*others_wait)(void *context);
    void *context;
};

/*
 * Results of range queries, of which queries of later times use what nothing changed since: from no
 * other views than those of one answerer, which tell (view_has_mark()). Threads: any.
 */
struct promql_cache;
/* At most about so many bytes. ERR_NOMEM. */
MUST_CHECK enum err promql_cache_new(struct budget *budget, uint64_t bytes_max,
                                     struct promql_cache **ret_cache);
void promql_cache_resize(struct promql_cache *cache, uint64_t bytes_max);
/* NULL is fine. No query uses it any more. */
void promql_cache_free(struct promql_cache *cache);
struct promql_cache_facts {
    uint64_t queries;    /* that asked it, */
    uint64_t hits;       /* and found something */
    uint64_t steps;      /* of these queries, */
    uint64_t steps_kept; /* and those that were found */
    uint64_t evicted;
    uint64_t entries;
    uint64_t bytes;
};
struct promql_cache_facts promql_cache_look(struct promql_cache *cache);

struct promql_options {
    struct bytes tenant;
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0: once, at first_ms */
    int64_t lookback_ms;
    int64_t subquery_step_ms; /* of subqueries that give none */
    struct promql_features features;
    const struct promql_helpers *helpers; /* NULL: there are none */
    uint32_t shards;                /* that series are read in, for tests; 0: as it is worth */
    uint64_t held_max;              /* samples held at one moment; 0: no limit */
    bool counts;                    /* promql_samples() are asked for: nothing is left unread */
    struct promql_cache *cache;     /* NULL: all is evaluated */
    const struct bytes *view_words; /* what is found there is of views of the same words: what the
                                       view is made by, besides its answerer */
    uint32_t view_word_count;
    struct query_control *control; /* may be NULL */
    struct budget *budget;
    struct promql_plan *plan; /* whose operators are measured; NULL: nothing is */
};

/* With a step, the result is a matrix whatever the expression is. */
enum promql_type { PROMQL_SCALAR, PROMQL_STRING, PROMQL_VECTOR, PROMQL_MATRIX };
/* "scalar", "string", "vector", "matrix". */
const char *promql_type_word(enum promql_type type);

/*
 * Whether an expression may be run over a range, which gives a scalar or an instant vector at each
 * step. False: `error` has the sentence.
 */
bool promql_has_range(const struct promql_tree *tree, struct buf *error);
/* Whether durations that are computed have values at the times of the options; the same. */
bool promql_has_durations(const struct promql_tree *tree, const struct promql_options *options,
                          struct buf *error);

struct promql_result;
/*
 * ERR_INPUT: the expression has no result, and `error` says why; others are told in `why`. The tree
 * lives as long as the result, which is one thread's; the view is of no use to it any more.
 */
MUST_CHECK enum err promql_run(const struct promql_tree *tree, struct view *view,
                               const struct promql_options *options,
                               struct promql_result **ret_result, struct buf *error,
                               struct why *why);
void promql_result_free(struct promql_result *result);
enum promql_type promql_result_type(const struct promql_result *result);
struct bytes promql_result_string(const struct promql_result *result);

/* A scalar is a series without labels; of one time each series has one point. */
struct promql_point {
    int64_t t_ms;
    double value;
    const struct fhist *histogram; /* instead of the value; NULL: there is none */
};
/* The next series, in the order of the result. False: there are no more. */
bool promql_next_series(struct promql_result *result, struct bytes *ret_labels);
/* Its next point that has a histogram, or that has none. False: there are no more. */
bool promql_next_point(struct promql_result *result, bool histograms, struct promql_point *ret);
uint64_t promql_series_count(const struct promql_result *result);

/* --- what running takes ----------------------------------------------------------------------- */

/*
 * The operators of an expression, and what they are going to read, as far as the index tells:
 * nothing is run. Errors as those of promql_run(), as far as they show before it. The tree outlives
 * the plan, which is one thread's.
 */
MUST_CHECK enum err promql_explain(const struct promql_tree *tree, struct view *view,
                                   const struct promql_options *options,
                                   struct promql_plan **ret_plan, struct buf *error,
                                   struct why *why);
void promql_plan_free(struct promql_plan *plan);
/*
 * Appends the tree of operators in JSON: "operator", "detail", "series", "blocks", "samples",
 * "bytes", "exact" of what reads series, and "children". Of a plan that was among the options of a
 * run, these are what was read, and there are "ms" and "peak_bytes". See docs/promql.md.
 */
MUST_CHECK enum err promql_plan_put(const struct promql_plan *plan, struct buf *to);
/* Appends what is read for each selector, for a log. */
void promql_plan_put_line(const struct promql_plan *plan, struct buf *to);
/* What is read in all; *ret_exact: it was counted. False: it is not known. */
bool promql_plan_cost(const struct promql_plan *plan, struct series_cost *ret, bool *ret_exact);

/* --- what is said of it ----------------------------------------------------------------------- */

enum promql_note { PROMQL_WARNING, PROMQL_INFO };
uint32_t promql_note_count(const struct promql_result *result, enum promql_note kind);
/* Appends a sentence about the result, the n-th of its kind. False: there are not so many. */
bool promql_note(const struct promql_result *result, enum promql_note kind, uint32_t n,
                 struct buf *to);

/* Samples that were read, as Prometheus counts them: in all, and at each step. */
uint64_t promql_samples(const struct promql_result *result);
/* The most that were held at one moment. */
uint64_t promql_peak_samples(const struct promql_result *result);
const uint64_t *promql_step_samples(const struct promql_result *result, uint32_t *ret_steps);

#endif
