/* evaluate.h - a running evaluation of a group or of one rule. For the folders of rules/. */
#ifndef RULES_GROUP_EVALUATE_H
#define RULES_GROUP_EVALUATE_H

#include "model/labels.h"
#include "rules/group/group.h"
#include "template/template.h"
#include "wire/remote/remote_write_build.h"

/* --- a rule's labels, set over those of a series: evaluate.c ---------------------------------- */

/* Sorts by name; of labels with equal names the first one stays. Returns the number of remaining
 * labels. */
uint32_t relabelled_sort(struct label *over, uint32_t count);

/* Appends canonical `labels` with `over` set over them, which is sorted and has no name twice; a
 * value of "" removes a label. Canonical again. Errors show in `to`. */
void relabelled_put(struct buf *to, struct bytes labels, const struct label *over, uint32_t count);

/* --- an evaluation ---------------------------------------------------------------------------- */

/* One evaluation; or a query of the past, without works. */
struct evaluating {
    struct group *g;
    const struct rules_host *host;
    const struct rules_terms *terms;
    const struct group_evaluation *how;
    int64_t t_ms;      /* time of the evaluation */
    int64_t sample_ms; /* time of queried samples and of the results */
    struct view *view; /* view of the batch */
    struct rule_work *works;
    bool stored;      /* all results so far are stored */
    bool has_changed; /* the state of an alert has changed */
    bool is_in_doubt; /* samples of the batch may still be stored */
    uint64_t ticket;
    uint64_t samples;
    uint32_t failed;
};

/* The stages of one rule's evaluation, in this order. */
enum rule_stage {
    RULE_SKIPPED,   /* the rule is in another part of the group: it stays so */
    RULE_BEGUN,     /* it has no results, or failed */
    RULE_EVALUATED, /* it has results */
    RULE_STORED,    /* the store accepted them */
};

/* The evaluation of one rule. Its memory ends with the batch, the rest with the evaluation. */
struct rule_work {
    struct evaluating *of;
    struct rule_at_work *rule;
    enum rule_stage stage;
    struct arena arena;
    struct rw_build *build;
    struct kept_series written;
    struct buf labels; /* labels of the current series */
    uint32_t samples;  /* number of results */
    uint64_t ticket;
    bool has_changed; /* the state of an alert has changed */
    enum err error;
    struct buf sentence; /* reason of a failure, or else a warning */
    struct why why;
    int64_t began_ms; /* Unix time of the start */
    int64_t took_ns;
};

/* Keeps `e` with a sentence, and returns it. */
enum err work_fail(struct rule_work *work, enum err e, const char *sentence);
enum err work_no_memory(struct rule_work *work);

/* --- queries: ask.c --------------------------------------------------------------------------- */

/* A result and its memory. */
struct rule_answer {
    struct budget budget;
    struct query_control control;
    struct promql_result *result;
};

/* Sets the limits of a rule's queries, from the settings in force. */
void ask_control(const struct evaluating *ev, struct budget *budget, struct query_control *control);
/* Sets limits for queries of one series at a time, such as those that the rules wrote: not those of
 * queries, and a minute at least. */
void look_control(const struct evaluating *ev, struct budget *budget,
                  struct query_control *control);
/* One time, or several. */
struct ask_times {
    int64_t first_ms, last_ms;
    int64_t step_ms; /* 0: only the first time */
};
/* Asks the view of `ev`. After ERR_INPUT `error` has the sentence, after other errors `why` has.
 * rule_answer_end() is called in any case. */
MUST_CHECK enum err ask(const struct evaluating *ev, const struct promql_tree *tree,
                        const struct ask_times *times, struct rule_answer *ret, struct buf *error,
                        struct why *why);
void rule_answer_end(struct rule_answer *asked);
/* Says whether downsampling makes the result differ from that of the raw samples, or may do so;
 * *ret has the sentence about it. */
bool rule_answer_is_approximate(const struct rule_answer *asked, struct why *ret);
/* Says whether an error of ask() concerns the evaluation itself: the expression and its result, a
 * limit, or the timeout. Other errors concern the view or memory, or end all evaluations. */
bool ask_failed(const struct evaluating *ev, enum err e, const struct buf *error);
/* Gives the one point of the current series. False: the series has no point. */
bool rule_answer_point(struct promql_result *result, struct promql_point *ret);
/* Runs a query of a template. */
MUST_CHECK enum err ask_for_template(const struct evaluating *ev, struct bytes expression,
                                     enum err (*each)(void *to,
                                                      const struct template_sample *sample),
                                     void *to, struct why *why);

/* --- writing: evaluate.c ---------------------------------------------------------------------- */

/* Appends a series with a staleness marker at `t_ms`. */
void put_stale_marker(struct rw_build *build, struct bytes labels, int64_t t_ms);
/* write_built(), durable on return. */
MUST_CHECK enum err write_durably(const struct rules_host *host, struct bytes tenant,
                                  struct rw_build *build, struct rules_written *ret,
                                  struct why *why);

/* --- alerts: find_alerts.c -------------------------------------------------------------------- */

/* Makes alerts of a result, in the arena of `work`. */
MUST_CHECK enum err find_alerts(struct rule_work *work, struct promql_result *result,
                                struct alert_found **ret, uint32_t *ret_count);

#endif
