/* evaluate.h - the evaluation of a group, or of one rule, that runs. For the folders of rules/. */
#ifndef RULES_GROUP_EVALUATE_H
#define RULES_GROUP_EVALUATE_H

#include "rules/group/state.h"
#include "template/template.h"
#include "wire/remote/remote_write_build.h"

/* One evaluation; or a look at the past, without works. */
struct evaluating {
    struct group *g;
    const struct rules_host *host;
    const struct rules_terms *terms;
    const struct group_evaluation *how;
    int64_t t_ms;      /* of the evaluation */
    int64_t sample_ms; /* of what is queried, and of the results */
    struct view *view; /* of the batch */
    struct rule_work *works;
    bool stored;      /* all until now */
    bool has_changed; /* the state of an alert */
    bool is_in_doubt; /* what the batch wrote may yet be stored */
    uint64_t ticket;
    uint64_t samples;
    uint32_t failed;
};

/* The evaluation of one rule. Its memory ends with the batch, the flags do not. */
struct rule_work {
    struct evaluating *of;
    struct rule_at_work *rule;
    bool skipped; /* another part of the group */
    struct arena arena;
    struct rw_build *build;
    struct kept_series written;
    struct buf labels; /* of the current series */
    uint32_t samples;  /* results */
    uint64_t ticket;
    bool evaluated;   /* there are results, */
    bool stored;      /* and they were taken by the store */
    bool has_changed; /* the state of an alert */
    enum err error;
    struct buf sentence; /* why it failed */
    struct why why;
    int64_t began_ms; /* Unix */
    int64_t took_ns;
};

/* Without a result yet. Failures show in `error`. */
void work_begin(struct evaluating *ev, struct rule_work *work, struct rule_at_work *rule);
/* But for the flags. */
void work_end(struct rule_work *work);

/* Returns `e`, which is kept with a sentence. */
enum err work_fail(struct rule_work *work, enum err e, const char *sentence);
enum err work_no_memory(struct rule_work *work);

/* --- queries: ask.c --------------------------------------------------------------------------- */

/* A result, and what it lives on. */
struct rule_answer {
    struct budget budget;
    struct query_control control;
    struct promql_result *result;
};

void ask_control(const struct evaluating *ev, struct budget *budget, struct query_control *control);
/* The same without the limits of queries, and a minute at least, for what is looked at one series
 * at a time, such as what the rules wrote. */
void look_control(const struct evaluating *ev, struct budget *budget,
                  struct query_control *control);
/* One time, or several. */
struct ask_times {
    int64_t first_ms, last_ms;
    int64_t step_ms; /* 0: once, at the first */
};
/* Asks the view of `ev`. After ERR_INPUT `error` has the sentence, after other errors `why` has.
 * asked_end() is called in any case. */
MUST_CHECK enum err ask(const struct evaluating *ev, const struct promql_tree *tree,
                        const struct ask_times *times, struct rule_answer *ret, struct buf *error,
                        struct why *why);
void asked_end(struct rule_answer *asked);
/* Says whether an error of ask() is one of the evaluation itself: of the expression and its result,
 * a limit, or the timeout. Others are of the view, of memory, or end all evaluations. */
bool ask_failed(const struct evaluating *ev, enum err e, const struct buf *error);
/* Gives the one point of the current series. False: it has none. */
bool asked_point(struct promql_result *result, struct promql_point *ret);
/* Runs a query of a template. */
MUST_CHECK enum err ask_for_template(const struct evaluating *ev, struct bytes expression,
                                     enum err (*each)(void *to,
                                                      const struct template_sample *sample),
                                     void *to, struct why *why);

/* --- writing: write.c ------------------------------------------------------------------------- */

/* Appends a series that ends at `t_ms`. */
void put_stale_marker(struct rw_build *build, struct bytes labels, int64_t t_ms);
/*
 * Ends a 1.0 message and hands it to the host, unless it has no series. ret->ticket is what the
 * caller has to settle, ret->rejected and ret->text what the store did not take. ERR_NOMEM; errors
 * of the host: nothing of it is stored.
 */
MUST_CHECK enum err write_built(const struct rules_host *host, struct bytes tenant,
                                struct rw_build *build, struct rules_written *ret, struct why *why);
/* The same, and it is durable on return. */
MUST_CHECK enum err write_durably(const struct rules_host *host, struct bytes tenant,
                                  struct rw_build *build, struct rules_written *ret,
                                  struct why *why);

/* --- alerts: find_alerts.c -------------------------------------------------------------------- */

/* Makes alerts of a result, in the arena of `work`. */
MUST_CHECK enum err find_alerts(struct rule_work *work, struct promql_result *result,
                                struct alert_found **ret, uint32_t *ret_count);

/*
 * Appends the labels of the series that tell of an alert, with some `more`. As in Prometheus, a
 * label whose text came to nothing, so that the alert has not got it, is there with that text.
 * Errors show in `to`.
 */
void alert_series_labels(struct rule_work *work, struct bytes labels, const struct label *more,
                         uint32_t more_count, struct buf *to);

#endif
