/*
 * evaluate.c - one evaluation of a group: see group.h.
 *
 * The results of a rule are one remote write message, which the store judges like any other. State
 * changes when the results of the batch are durable: an evaluation that could not be stored does
 * not count for staleness markers.
 *
 * Invariants:
 *  1. Batches are evaluated in their order, each over a view of its own, and everything an earlier
 *     one wrote is durable or has failed before the next view is opened.
 *  2. A rule's results are stored only if the rule was evaluated, and it was evaluated only if its
 *     part of the group was requested.
 *  3. An alert is sent only while it fires, or after it was resolved; its end is not before its
 *     beginning.
 */
#include "rules/group/evaluate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "sys/env.h"
#include "wire/number.h"

static int
relabelled_compare_names(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

uint32_t
relabelled_sort(struct label *over, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_new = true;
        for (uint32_t k = 0; k < kept && is_new; k++)
            is_new = !bytes_equal(over[k].name, over[i].name);
        if (is_new) over[kept++] = over[i];
    }
    if (kept > 1) qsort(over, kept, sizeof *over, relabelled_compare_names);
    return kept;
}

void
relabelled_put(struct buf *to, struct bytes labels, const struct label *over, uint32_t count)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool more = labels_next(&c, &label);
    uint32_t i = 0;
    while (more || i < count) {
        assert(i + 1 >= count || bytes_compare(over[i].name, over[i + 1].name) < 0);
        int order = !more ? 1 : i == count ? -1 : bytes_compare(label.name, over[i].name);
        if (order < 0)
            labels_put(to, label);
        else if (over[i].value.size > 0)
            labels_put(to, over[i]);
        if (order >= 0) i++;
        if (order <= 0) more = labels_next(&c, &label);
    }
}

#define SAID_NS      (NS_PER_S / 4)  /* least time between log lines about rules */
#define SAY_AGAIN_NS (60 * NS_PER_S) /* least time between lines about one rule */
#define LONG_NS      (5 * NS_PER_MS) /* time on one thread above which several are used */

enum {
    ARENA_BYTES_MAX = 1 << 30,
    ALERTS_AT_ONCE = 64, /* notices in one call of the host */
};

static struct metric_histogram rule_latency = {
    .name = "firekeep_rule_evaluation_duration_seconds",
    .help = "Duration of evaluations of rules, in seconds.",
    METRIC_LATENCY,
};
static struct metric_histogram group_latency = {
    .name = "firekeep_rule_group_duration_seconds",
    .help = "Duration of evaluations of rule groups, in seconds.",
    METRIC_LATENCY,
};

void
group_register_metrics(void)
{
    metric_register_histogram(&rule_latency);
    metric_register_histogram(&group_latency);
}

/* --- failures --------------------------------------------------------------------------------- */

enum err
work_fail(struct rule_work *w, enum err e, const char *sentence)
{
    buf_clear(&w->sentence);
    buf_put_cut(&w->sentence, bytes_of_text(sentence));
    return w->error = e;
}

enum err
work_no_memory(struct rule_work *w)
{
    return work_fail(w, ERR_NOMEM, "not enough memory for the rule");
}

/* work_fail() with the existing sentence, or else the text of `why`. */
static enum err
fail_with_why(struct rule_work *w, enum err e)
{
    return w->sentence.size > 0 ? (w->error = e) : work_fail(w, e, why_text(&w->why, e));
}

/* --- writing ---------------------------------------------------------------------------------- */

void
put_stale_marker(struct rw_build *build, struct bytes labels, int64_t t_ms)
{
    rw_build_series(build, labels);
    rw_build_float(build, t_ms, STALE_NAN_BITS, 0);
}

/* Ends a 1.0 message and passes it to the host, unless it has no series. The caller has to settle
 * ret->ticket; ret->rejected and ret->text describe rejected samples. ERR_NOMEM; errors of the
 * host: nothing of it is stored. */
static MUST_CHECK enum err
write_built(const struct rules_host *host, struct bytes tenant, struct rw_build *build,
            struct rules_written *ret, struct why *why)
{
    struct bytes message;
    *ret = (struct rules_written){.ticket = 0};
    if (rw_build_counts(build).series == 0) return OK;
    if (rw_build_end(build, &message))
        return why_set(why, ERR_NOMEM, "not enough memory for the rule");
    return host->write(host->context, tenant, message, ret, why);
}

enum err
write_durably(const struct rules_host *host, struct bytes tenant, struct rw_build *build,
              struct rules_written *ret, struct why *why)
{
    enum err e = write_built(host, tenant, build, ret, why);
    if (e == OK && ret->ticket > 0) e = host->settle(host->context, ret->ticket, why);
    return e;
}

/* --- results ---------------------------------------------------------------------------------- */

static enum err
evaluate_put_sample(struct rule_work *w, struct bytes labels, int64_t t_ms,
                    const struct promql_point *point)
{
    rw_build_series(w->build, labels);
    w->samples++;
    if (point->histogram == NULL) {
        rw_build_float(w->build, t_ms, double_bits(point->value), 0);
        return OK;
    }
    struct histogram h;
    if (fhist_stored(&w->arena, point->histogram, &h)) return work_no_memory(w);
    rw_build_histogram(w->build, t_ms, 0, &h);
    return OK;
}

/* Marks the series stale that the previous evaluation had and this one lacks. */
static void
put_stale(struct rule_work *w)
{
    const struct kept_series *before = &w->rule->series;
    for (uint32_t i = 0; i < before->count; i++) {
        struct bytes labels = kept_series_at(before, i);
        bool is_written = kept_series_has(&w->written, labels);
        /* An earlier rule of the group that records the same name may have written it, too. */
        for (const struct rule_at_work *r = w->rule->same_before; r != NULL && !is_written;) {
            is_written = kept_series_has(&r->series, labels);
            r = r->same_before;
        }
        if (!is_written) put_stale_marker(w->build, labels, w->of->sample_ms);
    }
}

static enum err
exceeds(struct rule_work *w, uint64_t count, const char *what)
{
    char text[96];
    snprintf(text, sizeof text, "exceeded limit of %u with %llu %s", w->of->g->text.limit,
             (unsigned long long)count, what);
    return work_fail(w, ERR_LIMIT, text);
}

static enum err
record(struct rule_work *w, struct promql_result *result)
{
    uint32_t limit = w->of->g->text.limit;
    struct bytes metric;
    struct promql_point point;
    enum err e = OK;
    while (e == OK && promql_next_series(result, &metric)) {
        bool is_new;
        if (!rule_answer_point(result, &point)) continue;
        buf_clear(&w->labels);
        relabelled_put(&w->labels, metric, w->rule->over, w->rule->over_count);
        struct bytes labels = buf_bytes(&w->labels);
        if (buf_error(&w->labels) || kept_series_add(&w->written, labels, &is_new))
            return work_no_memory(w);
        e = is_new ? evaluate_put_sample(w, labels, w->of->sample_ms, &point)
                   : work_fail(w, ERR_INPUT,
                               "vector contains metrics with the same labelset after applying "
                               "rule labels");
    }
    if (e == OK && limit > 0 && w->written.count > limit)
        e = exceeds(w, w->written.count, "series");
    return e;
}

/* --- alerts ----------------------------------------------------------------------------------- */

/* Appends the labels of an alert's series, with some `more`. As in Prometheus, a label whose text
 * expanded to "", so that the alert lacks it, is included with that text. Errors show in `to`. */
static void
put_alert_labels(struct rule_work *w, struct bytes labels, const struct label *more,
                 uint32_t more_count, struct buf *to)
{
    const struct rule_at_work *rule = w->rule;
    struct label *over =
        arena_alloc(&w->arena, (rule->label_count + more_count + 1) * sizeof *over);
    if (over == NULL) {
        to->failed = ERR_NOMEM;
        return;
    }
    uint32_t count = more_count;
    if (more_count > 0) memcpy(over, more, more_count * sizeof *over);
    for (uint32_t i = 0; i < rule->label_count; i++) {
        if (labels_get(labels, rule->labels[i].name).size > 0) continue;
        over[count++] = rule->labels[i];
    }
    relabelled_put(to, labels, over, relabelled_sort(over, count));
}

/* Adds ALERTS, or without a state ALERTS_FOR_STATE, of an alert to series. */
static enum err
add_alert_series(struct rule_work *w, const struct alert *alert, const char *state,
                 struct kept_series *to, bool *ret_new)
{
    const char *name = state == NULL ? "ALERTS_FOR_STATE" : "ALERTS";
    struct label more[2] = {{bytes_of_text("__name__"), bytes_of_text(name)}};
    if (state != NULL) more[1] = (struct label){bytes_of_text("alertstate"), bytes_of_text(state)};
    buf_clear(&w->labels);
    put_alert_labels(w, alert->labels, more, state == NULL ? 1 : 2, &w->labels);
    if (buf_error(&w->labels)) return work_no_memory(w);
    return kept_series_add(to, buf_bytes(&w->labels), ret_new) ? work_no_memory(w) : OK;
}

static enum err
put_alert_series(struct rule_work *w, const struct alert *alert, const char *state, double value)
{
    bool is_new;
    struct promql_point point = {.t_ms = w->of->sample_ms, .value = value};
    enum err e = add_alert_series(w, alert, state, &w->written, &is_new);
    if (e || !is_new) return e;
    return evaluate_put_sample(w, buf_bytes(&w->labels), w->of->sample_ms, &point);
}

/* Finds the series that the alerts of a checkpoint wrote, so that ended ones are marked stale. */
static enum err
find_restored_series(struct rule_work *w)
{
    struct rule_at_work *rule = w->rule;
    enum err e = OK;
    bool is_new;
    lock_take(&w->of->g->lock);
    for (uint32_t i = 0; e == OK && i < rule->alerts.count; i++) {
        const struct alert *alert = rule->alerts.items[i];
        if (!alert_is_active(alert)) continue;
        const char *state = alert_state_word(alert->state);
        e = add_alert_series(w, alert, state, &rule->series, &is_new);
        if (e == OK) e = add_alert_series(w, alert, NULL, &rule->series, &is_new);
    }
    rule->is_restored = e != OK;
    lock_drop(&w->of->g->lock);
    return e;
}

static enum err
alarm(struct rule_work *w, struct promql_result *result)
{
    const struct evaluating *ev = w->of;
    struct rule_at_work *rule = w->rule;
    struct alert_found *found;
    uint32_t count, active;
    struct alert_terms terms = {
        .for_ns = rule->text->for_ms * NS_PER_MS,
        .keep_firing_ns = rule->text->keep_firing_for_ms * NS_PER_MS,
        .limit = ev->g->text.limit,
        .holds = ev->how->holds,
        .outage_ns = ev->how->outage_ns,
        .grace_ns = ev->how->grace_ns,
    };
    enum err e = find_alerts(w, result, &found, &count);
    if (e == OK && rule->is_restored) e = find_restored_series(w);
    if (e) return e;
    lock_take(&ev->g->lock);
    e = alerts_evaluate(&rule->alerts, &terms, ev->how->at_ns, found, count, &active,
                        &w->has_changed);
    lock_drop(&ev->g->lock);
    if (e == ERR_LIMIT) return exceeds(w, active, "alerts");
    if (e) return work_no_memory(w);
    /* Only this thread changes them: others may read them meanwhile. */
    for (uint32_t i = 0; e == OK && i < rule->alerts.count; i++) {
        const struct alert *alert = rule->alerts.items[i];
        if (!alert_is_active(alert)) continue;
        e = put_alert_series(w, alert, alert_state_word(alert->state), 1);
        if (e == OK) e = put_alert_series(w, alert, NULL, (double)(alert->active_at_ns / NS_PER_S));
    }
    return e;
}

/* --- one rule --------------------------------------------------------------------------------- */

static void
evaluate_rule(void *of, uint32_t i)
{
    struct rule_work *w = (struct rule_work *)of + i;
    const struct evaluating *ev = w->of;
    struct rule_answer a = {.result = NULL};
    if (w->stage == RULE_SKIPPED || w->error) return;
    int64_t began = env_monotonic_ns(ev->host->env);
    bool records = w->rule->text->kind == RULE_RECORDING;
    w->began_ms = env_realtime_ms(ev->host->env);
    struct ask_times times = {.first_ms = ev->sample_ms, .last_ms = ev->sample_ms};
    enum err e = ask(ev, w->rule->tree, &times, &a, &w->sentence, &w->why);
    if (e)
        e = fail_with_why(w, e);
    else
        e = records ? record(w, a.result) : alarm(w, a.result);
    if (e == OK) {
        assert(w->stage == RULE_BEGUN); /* invariant 2 */
        w->stage = RULE_EVALUATED;
        put_stale(w);
        struct rules_written written;
        e = write_built(ev->host, ev->g->tenant, w->build, &written, &w->why);
        if (e) {
            e = fail_with_why(w, e);
        } else {
            w->stage = RULE_STORED;
            w->ticket = written.ticket;
            assert(written.conflicts <= written.rejected);
            /* The clock was set back: the value stored first stays. */
            bool is_kept = ev->how->is_repeated && written.conflicts == written.rejected;
            if (written.rejected > 0 && !is_kept) e = work_fail(w, ERR_INPUT, written.text);
        }
    }
    if (e == OK && rule_answer_is_approximate(&a, &w->why))
        buf_put_cut(&w->sentence, bytes_of_text(w->why.text));
    rule_answer_end(&a);
    w->took_ns = env_monotonic_ns(ev->host->env) - began;
    metric_record(&rule_latency, (uint64_t)w->took_ns);
}

/* Begins without a result. Failures are in `error`. */
static void
work_begin(struct evaluating *ev, struct rule_work *w, struct rule_at_work *rule)
{
    enum group_part part = ev->how->part;
    bool records = rule->text->kind == RULE_RECORDING;
    *w = (struct rule_work){.of = ev, .rule = rule};
    w->began_ms = env_realtime_ms(ev->host->env); /* for a rule that is not reached */
    bool is_skipped = part != GROUP_ALL && (part == GROUP_RECORDING) != records;
    w->stage = is_skipped ? RULE_SKIPPED : RULE_BEGUN;
    arena_init(&w->arena, ev->host->memory, ARENA_BYTES_MAX, 0);
    kept_series_init(&w->written, ev->host->memory, ev->host->seed);
    buf_init(&w->labels, ev->host->memory, RULE_FILE_BYTES_MAX);
    buf_init(&w->sentence, ev->host->memory, RULE_ERROR_BYTES_MAX);
    if (!is_skipped && rw_build_new(RW_V1, ev->host->memory, &w->build))
        err_ignore(work_no_memory(w), "reported when the batch ends");
}

/* --- effects on the group --------------------------------------------------------------------- */

/* Says whether the evaluation ended because all end: the next start repeats it. */
static bool
is_broken_off(const struct rule_work *w)
{
    const _Atomic(const char *) *all_canceled = w->of->host->all_canceled;
    return w->error == ERR_CANCELED && all_canceled != NULL && atomic_load(all_canceled) != NULL;
}

static void
log_failure(struct rule_work *w)
{
    const struct group *g = w->of->g;
    if (is_broken_off(w)) return;
    static struct log_gate gate;
    uint64_t held_back;
    struct bytes sentence = buf_bytes(&w->sentence); /* empty if it lacked memory, too */
    if (sentence.size == 0) sentence = bytes_of_text(why_text(&w->why, w->error));
    int64_t now_ns = env_monotonic_ns(w->of->host->env);
    if (w->rule->said_ns != 0 && now_ns - w->rule->said_ns < SAY_AGAIN_NS) return;
    if (!log_often(&gate, now_ns, SAID_NS, &held_back)) return;
    w->rule->said_ns = now_ns;
    if (w->stage >= RULE_EVALUATED) {
        log_warn("results of a rule were not stored", KV("file", g->text.file),
                 KV("group", g->text.name), KV("rule", w->rule->text->name), KV("error", sentence),
                 KV("more_held_back", held_back));
    } else {
        log_warn("evaluation of a rule failed", KV("file", g->text.file), KV("group", g->text.name),
                 KV("rule", w->rule->text->name), KV("error", sentence),
                 KV("more_held_back", held_back));
    }
}

static void
adopt(struct evaluating *ev, struct rule_work *w)
{
    struct group *g = ev->g;
    struct rule_at_work *rule = w->rule;
    assert(w->stage != RULE_SKIPPED); /* invariant 2 */
    if (w->error) {
        log_failure(w);
    } else if (!rule->warns && w->sentence.size > 0) {
        rule->warns = true;
        log_warn("a rule reads downsampled samples, its results may be approximate",
                 KV("file", g->text.file), KV("group", g->text.name), KV("rule", rule->text->name),
                 KV("warning", buf_bytes(&w->sentence)));
    }
    lock_take(&g->lock);
    if (w->stage == RULE_STORED) {
        struct kept_series before = rule->series;
        rule->series = w->written;
        w->written = before;
    } else if (w->stage == RULE_EVALUATED && ev->is_in_doubt) {
        /* Series of both are marked stale when they are not written again. */
        err_ignore(kept_series_add_all(&rule->series, &w->written),
                   "then some series end without a marker");
    }
    ev->failed += w->error != OK;
    ev->has_changed |= w->has_changed;
    ev->samples += w->stage >= RULE_EVALUATED ? w->samples : 0;
    g->facts.evaluations++;
    g->facts.failures += w->error != OK;
    g->facts.rules_took_ns += w->took_ns;
    rule->health = w->error ? RULE_BAD : RULE_GOOD;
    rule->evaluated_at_ns = w->began_ms * NS_PER_MS;
    rule->evaluated_for_ns = w->took_ns;
    buf_clear(&rule->error);
    buf_put_cut(&rule->error, buf_bytes(&w->sentence));
    lock_drop(&g->lock);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Passes notices to the host, several at once. Their texts are views of alerts, which only this
 * thread changes. */
struct group_sending {
    struct group *group;
    const struct rules_host *host;
    const struct rules_terms *terms;
    int64_t at_ns;
    struct alert_notice items[ALERTS_AT_ONCE];
    uint32_t count;
};

static void
flush_notices(struct group_sending *s)
{
    assert(s->count <= ALERTS_AT_ONCE);
    if (s->count > 0) s->host->send(s->host->context, s->items, s->count);
    s->count = 0;
}

static void
send_alert(struct group_sending *s, const struct rule_at_work *rule, struct alert *alert)
{
    int64_t longest = s->group->schedule.interval_ns;
    if (s->terms->resend_ns > longest) longest = s->terms->resend_ns;
    lock_take(&s->group->lock);
    assert(alert->state == ALERT_FIRING || alert->resolved_at_ns != 0); /* invariant 3 */
    alert->sent_at_ns = s->at_ns;
    alert->valid_until_ns = s->at_ns + 4 * longest;
    lock_drop(&s->group->lock);
    if (s->count == ALERTS_AT_ONCE) flush_notices(s);
    s->items[s->count++] = (struct alert_notice){
        .tenant = s->group->tenant,
        .labels = alert->labels,
        .annotations = alert->annotations->items,
        .annotation_count = alert->annotations->count,
        .expression = rule->line,
        .starts_ns = alert->fired_at_ns,
        .ends_ns = alert->resolved_at_ns != 0 ? alert->resolved_at_ns : alert->valid_until_ns,
    };
}

/* Sends the group's due alerts, from number `first` to before `end`. */
static void
send_range(struct group_sending *s, uint32_t first, uint32_t end)
{
    struct group *g = s->group;
    uint32_t number = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        for (uint32_t k = 0; k < rule->alerts.count; k++, number++) {
            struct alert *alert = rule->alerts.items[k];
            if (number < first || number >= end) continue;
            if (alert_is_due(alert, s->at_ns, g->schedule.interval_ns, s->terms->resend_ns))
                send_alert(s, rule, alert);
        }
    }
}

/* Alerts of a rule whose evaluation failed are sent, too: they may not be over, and Alertmanagers
 * must not take them for resolved. */
void
group_send(struct group *g, const struct rules_host *host, const struct rules_terms *terms,
           int64_t at_ns)
{
    struct group_sending s = {.group = g, .host = host, .terms = terms, .at_ns = at_ns};
    if (host->send == NULL) return;
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++)
        count += g->rules[i].alerts.count;
    /* A queue that overflows keeps only the first and the last of the alerts sent at once: with a
     * constant order it would always lose the same ones. Multiples of the golden ratio spread the
     * beginnings evenly, for any number of alerts, so that no alert is lost for long. The factor is
     * the number of the resend period, as in alert_is_due(): with evaluations in between,
     * beginnings could be close together. */
    int64_t interval_ns = g->schedule.interval_ns;
    int64_t period_ns = (terms->resend_ns / interval_ns + 1) * interval_ns;
    uint32_t part = (uint32_t)(at_ns / period_ns) * 2654435769U; /* a fraction of 2^32 */
    uint32_t first = (uint32_t)((uint64_t)part * count >> 32);
    send_range(&s, first, count);
    send_range(&s, 0, first);
    flush_notices(&s);
}

/* --- batches ---------------------------------------------------------------------------------- */

static void
evaluate_batch(struct evaluating *ev, uint32_t first, uint32_t count)
{
    struct rule_work *works = &ev->works[first];
    const struct rules_host *host = ev->host;
    struct query_control control;
    struct why why = {""};
    assert(ev->ticket == 0); /* invariant 1 */
    ask_control(ev, host->memory, &control);
    ev->is_in_doubt = false;
    for (uint32_t i = 0; i < count; i++)
        work_begin(ev, &works[i], &ev->g->rules[first + i]);
    enum err e = ev->terms->open(ev->terms->open_context, &control, &ev->view, &why);
    if (e == OK) {
        int64_t sum_ns = 0; /* other threads are woken only for rules that took long, or are new */
        for (uint32_t i = 0; i < count; i++) {
            const struct rule_at_work *rule = works[i].rule;
            if (works[i].stage == RULE_SKIPPED) continue;
            sum_ns += rule->evaluated_at_ns == 0 ? LONG_NS : rule->evaluated_for_ns;
        }
        if (count > 1 && host->together != NULL && sum_ns >= LONG_NS)
            host->together(host->context, count, evaluate_rule, works);
        else
            for (uint32_t i = 0; i < count; i++)
                evaluate_rule(works, i);
        view_free(ev->view);
    }
    for (uint32_t i = 0; e == OK && i < count; i++) {
        bool records = ev->g->rules[first + i].text->kind == RULE_RECORDING;
        if (works[i].ticket > ev->ticket) ev->ticket = works[i].ticket;
        bool is_open = works[i].stage == RULE_EVALUATED || is_broken_off(&works[i]);
        if (records && is_open) ev->stored = false;
    }
    if (e == OK && ev->ticket > 0) {
        e = host->settle(host->context, ev->ticket, &why);
        ev->ticket = 0;
        ev->is_in_doubt = e == ERR_CANCELED;
    }
    if (e) ev->stored = false;
    for (uint32_t i = 0; e && i < count; i++) {
        if (works[i].stage == RULE_SKIPPED) continue;
        if (works[i].error == OK) err_ignore(work_fail(&works[i], e, why_text(&why, e)), "kept");
        if (works[i].stage == RULE_STORED) works[i].stage = RULE_EVALUATED;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (works[i].stage != RULE_SKIPPED) adopt(ev, &works[i]);
        struct rule_work *w = &works[i];
        arena_fini(&w->arena);
        kept_series_fini(&w->written);
        buf_fini(&w->labels);
        buf_fini(&w->sentence);
        rw_build_free(w->build); /* stage, counts and times stay */
    }
}

void
group_evaluate(struct group *g, const struct rules_host *host, const struct rules_terms *terms,
               const struct group_evaluation *how, struct group_outcome *ret)
{
    int64_t began = env_monotonic_ns(host->env), at_ms = env_realtime_ms(host->env);
    uint32_t count = g->text.rule_count;
    struct evaluating ev = {
        .g = g,
        .host = host,
        .terms = terms,
        .how = how,
        .t_ms = how->at_ns / NS_PER_MS,
        .sample_ms = how->at_ns / NS_PER_MS - g->query_offset_ms,
        .works = mem_new(host->memory, (count + 1) * sizeof *ev.works),
        .stored = true,
    };
    lock_take(&g->lock);
    g->facts.rules_took_ns = 0;
    g->facts.iterations++;
    g->facts.evaluated_at_ns = at_ms * NS_PER_MS;
    for (uint32_t i = 0; i < count; i++)
        alerts_forget_over(&g->rules[i].alerts, how->at_ns);
    lock_drop(&g->lock);
    if (ev.works == NULL) {
        log_warn("not enough memory to evaluate a group of rules", KV("file", g->text.file),
                 KV("group", g->text.name));
        *ret = (struct group_outcome){.failed = count};
        return;
    }
    for (uint32_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && g->rules[next].batch == g->rules[first].batch;)
            next++;
        assert(next == count || g->rules[next].batch > g->rules[first].batch); /* invariant 1 */
        evaluate_batch(&ev, first, next - first);
    }
    assert(ev.ticket == 0); /* invariant 1 */
    bool sends = how->part != GROUP_RECORDING && !ev.has_changed && !how->is_unsaved;
    if (sends) group_send(g, host, terms, how->at_ns);
    mem_free(host->memory, ev.works, (count + 1) * sizeof *ev.works);
    int64_t took_ns = env_monotonic_ns(host->env) - began;
    metric_record(&group_latency, (uint64_t)took_ns);
    lock_take(&g->lock);
    g->facts.evaluated_for_ns = took_ns;
    g->facts.samples = ev.samples;
    lock_drop(&g->lock);
    *ret = (struct group_outcome){ev.stored, ev.has_changed, ev.samples, ev.failed};
}
