/*
 * promql.h - Prometheus' query language.
 *
 * Errors of the language are sentences with a position, in the words of Prometheus; they may be
 * longer than a `struct why` and are put into a buffer.   Threads: any, each call for itself.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "base/buf.h"
#include "base/text/json.h"
#include "model/fhist/fhist.h"
#include "model/select.h"

enum promql_form {
    PROMQL_LINE,  /* the expression on one line, as Prometheus prints expressions */
    PROMQL_LINES, /* on lines of at most 100 characters where possible */
    PROMQL_JSON,  /* its syntax tree, as the query API gives it */
};

/*
 * Appends an expression in another form to `to`. ERR_INPUT: not an expression; ERR_LIMIT: too long
 * or nested too deep; ERR_CANCELED: `control` (may be NULL) ends it; `error` has the sentence.
 * ERR_NOMEM. The matchers of its selectors are charged to the budget, too.
 */
MUST_CHECK enum err promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget,
                                   struct query_control *control, struct buf *to,
                                   struct buf *error);

/* A parsed expression. Immutable; given by the next three functions, with errors as above. */
struct promql_tree;
/* Parses an expression. promql_free() accepts NULL. */
MUST_CHECK enum err promql_parse(struct bytes text, struct budget *budget,
                                 struct query_control *control, struct promql_tree **ret_tree,
                                 struct buf *error);
/* Parses a selector of series, as match[] has it. */
MUST_CHECK enum err promql_parse_selector(struct bytes text, struct budget *budget,
                                          struct query_control *control,
                                          struct promql_tree **ret_tree, struct buf *error);
/* Parses a selector whose matchers may be alternatives, separated by `or`. */
MUST_CHECK enum err promql_parse_alternatives(struct bytes text, struct budget *budget,
                                              struct query_control *control,
                                              struct promql_tree **ret_tree, struct buf *error);
void promql_free(struct promql_tree *tree);
/* The matchers of its selectors, or alternatives; a view of the tree. */
const struct matcher_set *promql_selectors(const struct promql_tree *tree, uint32_t *ret_count);

/* True if the value at a time of a range may differ from that of a query for that time alone: the
 * expression has words for the beginning, the end, or the step of the range. */
bool promql_asks_for_range(const struct promql_tree *tree);

/* The n-th word of the language; NULL after the last one. */
const char *promql_function_word(uint32_t n);
const char *promql_operator_word(uint32_t n); /* including aggregations */

/* --- running ---------------------------------------------------------------------------------- */

struct promql_features {
    bool delayed_name_removal; /* names are dropped at the end, not where another metric is made */
    bool start_timestamps;     /* a new start time is a reset */
    bool type_and_unit_labels; /* __type__ decides what a counter is */
};

/* Features by bits, from the lowest one, in the order of the struct. */
struct promql_features promql_features_of(uint32_t bits);

/*
 * Threads of the caller that may help with a query. Each ask() allows one of them to call
 * help->work() once. After dismiss() none of them is in work(), for which dismiss() waits. The
 * thread of the query calls both without holding a lock; work() is also called without one, and
 * returns when there is no work.
 */
struct promql_help {
    void (*work)(struct promql_help *help);
    void *context;
    struct promql_help *next; /* this and the next fields belong to the caller */
    uint32_t wanted;
    uint32_t running;
};
struct promql_helpers {
    void (*ask)(void *context, struct promql_help *help);
    void (*dismiss)(void *context, struct promql_help *help);
    /* True if other queries wait for a thread: threads that help then return soon. NULL if they
     * never do. */
    bool (*others_wait)(void *context);
    void *context;
};

/*
 * Results of range queries, which later queries use as far as no sample has changed since. All
 * queries use views of one answerer, which has marks (view_has_mark()). Threads: any.
 */
struct promql_cache;
/* Uses about `bytes_max` at most. ERR_NOMEM. */
MUST_CHECK enum err promql_cache_new(struct budget *budget, uint64_t bytes_max,
                                     struct promql_cache **ret_cache);
/* Drops the least recently used results until the others fit. */
void promql_cache_resize(struct promql_cache *cache, uint64_t bytes_max);
/* `cache` may be NULL. No query uses it any more. */
void promql_cache_free(struct promql_cache *cache);
struct promql_cache_facts {
    uint64_t queries;    /* queries that used the cache */
    uint64_t hits;       /* queries that found a result in it */
    uint64_t steps;      /* steps of the queries */
    uint64_t steps_kept; /* steps that were found */
    uint64_t evicted;
    uint64_t entries;
    uint64_t bytes;
};
/* Returns counts since the cache was made. */
struct promql_cache_facts promql_cache_look(struct promql_cache *cache);

struct promql_options {
    struct bytes tenant;
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0: once, at first_ms */
    int64_t lookback_ms;
    int64_t subquery_step_ms;  /* default of subqueries */
    bool limits_resolution;    /* coarser windows of downsampled samples than this are an error: */
    int64_t resolution_max_ms; /* 0: all windows are */
    struct promql_features features;
    const struct promql_helpers *helpers; /* NULL if no thread can help */
    uint32_t shards;            /* for tests: shards that series are read in; 0: chosen by cost */
    uint64_t held_max;          /* limit of samples in memory; 0: no limit */
    bool counts;                /* promql_samples() will be called: no series may be left unread */
    struct promql_cache *cache; /* NULL: all steps are evaluated */
    const struct bytes *view_words; /* identify the view among those of its answerer: cached results
                                       are used if all words are equal */
    uint32_t view_word_count;
    struct query_control *control; /* may be NULL */
    struct budget *budget;
    struct promql_plan *plan; /* its operators are measured; may be NULL */
};

/* With a step the result of any expression is a matrix. */
enum promql_type { PROMQL_SCALAR, PROMQL_STRING, PROMQL_VECTOR, PROMQL_MATRIX };
/* "scalar", "string", "vector", "matrix". */
const char *promql_type_word(enum promql_type type);

/*
 * True if an expression may be run over a range: it gives a scalar or an instant vector at each
 * step. False: `error` has the sentence.
 */
bool promql_has_range(const struct promql_tree *tree, struct buf *error);
/* True if all durations have values at the times of the options. False: `error` has the
 * sentence. */
bool promql_has_durations(const struct promql_tree *tree, const struct promql_options *options,
                          struct buf *error);

struct promql_result;
/* ERR_INPUT: the expression has no result, see `error`; for other errors see `why`. The tree
 * outlives the result, which belongs to one thread; the view may be freed before. */
MUST_CHECK enum err promql_run(const struct promql_tree *tree, struct view *view,
                               const struct promql_options *options,
                               struct promql_result **ret_result, struct buf *error,
                               struct why *why);
/* Frees the result; accepts NULL. */
void promql_result_free(struct promql_result *result);
enum promql_type promql_result_type(const struct promql_result *result);
/* Returns the string of a PROMQL_STRING; valid as long as result and tree. */
struct bytes promql_result_string(const struct promql_result *result);

/* A scalar is a series without labels. A result of one time has one point per series. */
struct promql_point {
    int64_t t_ms;
    double value;
    const struct fhist *histogram; /* NULL: the value counts */
};
/* The next series, in the order of the result. False after the last one. */
bool promql_next_series(struct promql_result *result, struct bytes *ret_labels);
/* Gives the series' next point that has a histogram, or that has none. False after the last one. */
bool promql_next_point(struct promql_result *result, bool histograms, struct promql_point *ret);
/* Returns how many series promql_next_series() gives in all. */
uint64_t promql_series_count(const struct promql_result *result);

/* --- cost of running -------------------------------------------------------------------------- */

/* Finds the operators of an expression, and the series they would read according to the index,
 * without running it. Errors are those of promql_run(), as far as they show without a run. The tree
 * outlives the plan, which belongs to one thread. */
MUST_CHECK enum err promql_explain(const struct promql_tree *tree, struct view *view,
                                   const struct promql_options *options,
                                   struct promql_plan **ret_plan, struct buf *error,
                                   struct why *why);
/* Accepts NULL. After the results of runs that measured it. */
void promql_plan_free(struct promql_plan *plan);
/* Memory also depends on series that the sender of a query may not see. */
enum plan_memory { PLAN_MEMORY_SHOWN, PLAN_MEMORY_HIDDEN };
/*
 * Appends the tree of operators in JSON: "operator", "detail", "series", "blocks", "samples",
 * "bytes", "exact" for operators that read series, and "children". After a run with this plan among
 * its options the figures are those of the run, and there are "ms" and, unless it is hidden,
 * "peak_bytes". See docs/promql.md.
 */
MUST_CHECK enum err promql_plan_put(const struct promql_plan *plan, enum plan_memory memory,
                                    struct buf *to);
/* Appends what is read for each selector, for a log. */
void promql_plan_put_line(const struct promql_plan *plan, struct buf *to);
/* The sum of what is read; *ret_exact is true if it was counted. False: it is not known. */
bool promql_plan_cost(const struct promql_plan *plan, struct series_cost *ret, bool *ret_exact);

/* --- warnings and infos ----------------------------------------------------------------------- */

enum promql_note { PROMQL_WARNING, PROMQL_INFO };
/* Returns how many different notes of the kind there are. */
uint32_t promql_note_count(const struct promql_result *result, enum promql_note kind);
/* Appends a sentence about the result, the n-th of its kind. False: there are fewer. */
bool promql_note(const struct promql_result *result, enum promql_note kind, uint32_t n,
                 struct buf *to);

/* The number of samples that were read, counted as by Prometheus: in all, and at each step. */
uint64_t promql_samples(const struct promql_result *result);
/* The greatest number of samples in memory at one time. */
uint64_t promql_peak_samples(const struct promql_result *result);
/* Returns how many steps came from the cache. */
uint32_t promql_cached_steps(const struct promql_result *result);
/* Returns a view of the result, with *ret_steps numbers. */
const uint64_t *promql_step_samples(const struct promql_result *result, uint32_t *ret_steps);

/* --- answers of the query API, in JSON -------------------------------------------------------- */

struct promql_answer {
    struct promql_result *result;
    int64_t t_ms;   /* time of the query, also of a string */
    uint64_t limit; /* limit of series; 0: no limit */
    struct json *to;
    /* Called after each point and each series: it may send and clear what is in the buffer. An
     * error of it ends the answer. */
    enum err (*piece)(void *context);
    void *context;
    bool limited; /* set if there are more series */
};
/* Puts the members "resultType" and "result" of the object that is open. */
MUST_CHECK enum err promql_answer_put(struct promql_answer *answer);

enum { PROMQL_TIME_BYTES = 32 };
/* Prints seconds for series, with three decimal digits unless they are 0; no NUL. */
size_t promql_print_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);
/* Prints a time without trailing zeros, as Prometheus prints the times of scalars, strings and
 * steps. */
size_t promql_print_short_time(int64_t t_ms, char to[PROMQL_TIME_BYTES]);

/*
 * Calls `each` with the sentences of an answer: the first ten of the kind, and one with the number
 * of the others. With `limited` a sentence about that comes before the warnings.
 */
MUST_CHECK enum err promql_answer_notes(const struct promql_result *result, enum promql_note kind,
                                        bool limited, struct budget *budget,
                                        void (*each)(void *context, struct bytes sentence),
                                        void *context, struct why *why);

/* --- answers of the explain API --------------------------------------------------------------- */

struct promql_explained {
    const struct promql_plan *plan;
    const struct promql_result *result;  /* result of a measured run; NULL if nothing was run */
    const struct query_control *control; /* limits of the query, and what it has read */
    int64_t ran_ns;
    enum plan_memory memory;
};

/*
 * Appends the value of "data": the plan, whose root has "stats" of the run, or else "limits": those
 * that are set, with what the query needs, if that is known. ERR_NOMEM.
 */
MUST_CHECK enum err promql_explained_put(const struct promql_explained *x, struct buf *to);

/* Calls `each` with a sentence for each limit that the query would exceed. */
void promql_explained_warnings(const struct promql_explained *x,
                               void (*each)(void *context, struct bytes sentence), void *context);

#endif
