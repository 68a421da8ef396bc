/*
 * evaluate.c - one evaluation of a group: see group.h.
 *
 * The results of a rule are one remote write message, so that the store judges them like anybody's.
 * State changes when the results of the batch are durable: an evaluation that could not be stored
 * has, for staleness markers, not been.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/metric.h"
#include "rules/evaluate_private.h"
#include "rules/relabelled.h"
#include "sys/env.h"
#include "wire/number.h"

#define SAID_NS      (NS_PER_S / 4)  /* of many rules that fail at once, some are told */
#define UNMARKED_NS  (60 * NS_PER_S) /* between lines about what never changes */
#define SAY_AGAIN_NS (60 * NS_PER_S) /* of one rule: so each of those that fail has its turn */
#define LONG_NS      (5 * NS_PER_MS) /* that one thread takes for what several may do */

enum {
    ARENA_BYTES_MAX = 1 << 30,
    ALERTS_AT_ONCE = 64, /* that are told */
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
work_fail(struct work *w, enum err e, const char *sentence)
{
    buf_clear(&w->sentence);
    buf_put_cut(&w->sentence, bytes_of_text(sentence));
    return w->error = e;
}

enum err
work_no_memory(struct work *w)
{
    return work_fail(w, ERR_NOMEM, "not enough memory for the rule");
}

/* The same with the sentence that there is, or else the one of `why`. */
static enum err
fail_with_why(struct work *w, enum err e)
{
    return w->sentence.size > 0 ? (w->error = e) : work_fail(w, e, why_text(&w->why, e));
}

/* --- results ---------------------------------------------------------------------------------- */

static enum err
put_sample(struct work *w, struct bytes labels, int64_t t_ms, const struct promql_point *point)
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

/* Whether a rule of the group that stands before and records the same name has written the series
 * in this evaluation. */
static bool
is_written_before(const struct work *w, struct bytes labels)
{
    for (const struct rule_at_work *r = w->rule; (r = r->same_before) != NULL;) {
        const struct kept_series *written = w->of->how->is_past ? &r->past : &r->series;
        if (kept_series_has(written, labels)) return true;
    }
    return false;
}

/* What a rule records at a time, as far as it can be evaluated now. */
static enum err
find_recorded_at(const struct evaluating *ev, const struct rule_at_work *rule, int64_t t_ms,
                 struct kept_series *to)
{
    struct asked a = {.result = NULL};
    struct ask_times times = {.first_ms = t_ms, .last_ms = t_ms};
    struct arena arena;
    struct buf labels, sentence;
    struct why why;
    uint32_t count = 0;
    struct bytes metric;
    struct promql_point point;
    bool is_new;
    arena_init(&arena, ev->host->memory, ARENA_BYTES_MAX, 0);
    buf_init(&labels, ev->host->memory, RULE_FILE_BYTES_MAX);
    buf_init(&sentence, ev->host->memory, RULE_ERROR_BYTES_MAX);
    struct label *over = record_labels(rule, &arena, &count);
    enum err e = over == NULL ? ERR_NOMEM : ask(ev, rule->tree, &times, &a, &sentence, &why);
    while (e == OK && promql_next_series(a.result, &metric)) {
        if (!asked_point(a.result, &point)) continue;
        buf_clear(&labels);
        relabelled_put(&labels, metric, over, count);
        e = buf_error(&labels);
        if (e == OK) e = kept_series_add(to, buf_bytes(&labels), &is_new);
    }
    asked_end(&a);
    buf_fini(&labels);
    buf_fini(&sentence);
    arena_fini(&arena);
    return e;
}

enum err
find_own(const struct evaluating *ev, const struct rule_at_work *rule, int64_t t_ms,
         struct kept_series *to)
{
    enum err e = OK;
    for (const struct rule_at_work *r = rule; e == OK && r != NULL; r = r->same_before) {
        e = find_recorded_at(ev, r, t_ms, to);
    }
    return e;
}

/*
 * Those of the evaluation before that this one has not. What was read from the store is evaluated
 * once more: another server may evaluate the same file at the same times, and send what it records
 * with labels of its own, as a Prometheus with external labels does. A marker would take the place
 * of a sample of it.
 */
static void
put_stale(struct work *w)
{
    const struct rule_at_work *rule = w->rule;
    const struct kept_series *before = w->of->how->is_past ? &rule->past : &rule->series;
    int64_t read_ms = w->of->how->is_past ? rule->past_read_ms : rule->series_read_ms;
    bool is_known = read_ms == 0;
    struct kept_series own;
    kept_series_init(&own, w->of->host->memory, w->of->host->seed);
    for (uint32_t i = 0; i < before->count; i++) {
        struct bytes labels = kept_series_at(before, i);
        if (kept_series_has(&w->written, labels) || is_written_before(w, labels)) continue;
        if (!is_known && find_own(w->of, w->rule, read_ms, &own))
            break; /* as when the rule fails */
        is_known = true;
        if (read_ms != 0 && !kept_series_has(&own, labels)) continue;
        put_stale_marker(w->build, labels, w->of->sample_ms);
    }
    kept_series_fini(&own);
}

static enum err
record_series(struct work *w, struct bytes metric, const struct label *over, uint32_t over_count,
              const struct promql_point *point)
{
    bool is_new;
    buf_clear(&w->labels);
    relabelled_put(&w->labels, metric, over, over_count);
    if (buf_error(&w->labels)) return work_no_memory(w);
    if (kept_series_add(&w->written, buf_bytes(&w->labels), &is_new)) return work_no_memory(w);
    if (is_new) return put_sample(w, buf_bytes(&w->labels), w->of->sample_ms, point);
    return work_fail(w, ERR_INPUT,
                     "vector contains metrics with the same labelset after applying rule labels");
}

static enum err
exceeds(struct work *w, uint64_t count, const char *what)
{
    char text[96];
    snprintf(text, sizeof text, "exceeded limit of %u with %llu %s", w->of->g->text.limit,
             (unsigned long long)count, what);
    return work_fail(w, ERR_LIMIT, text);
}

struct label *
record_labels(const struct rule_at_work *rule, struct arena *arena, uint32_t *ret_count)
{
    struct label *over = arena_alloc(arena, (rule->label_count + 1) * sizeof *over);
    if (over == NULL) return NULL;
    over[0] = (struct label){bytes_of_text("__name__"), bytes_of_text(rule->text->name)};
    if (rule->label_count > 0) {
        memcpy(over + 1, rule->labels, rule->label_count * sizeof *over);
    }
    *ret_count = relabelled_sort(over, rule->label_count + 1);
    return over;
}

static enum err
record(struct work *w, struct promql_result *result)
{
    uint32_t over_count, limit = w->of->g->text.limit;
    struct label *over = record_labels(w->rule, &w->arena, &over_count);
    if (over == NULL) return work_no_memory(w);
    struct bytes metric;
    struct promql_point point;
    enum err e = OK;
    while (e == OK && promql_next_series(result, &metric)) {
        if (asked_point(result, &point)) e = record_series(w, metric, over, over_count, &point);
    }
    if (e == OK && limit > 0 && w->written.count > limit) {
        e = exceeds(w, w->written.count, "series");
    }
    return e;
}

/* --- alerts ----------------------------------------------------------------------------------- */

void
alert_series_labels(struct work *w, struct bytes labels, const struct label *more,
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

/* ALERTS, or ALERTS_FOR_STATE, of an alert. */
static enum err
put_alert_series(struct work *w, const struct alert *alert, const char *name, const char *state,
                 double value)
{
    bool is_new;
    struct promql_point point = {.t_ms = w->of->sample_ms, .value = value};
    struct label more[2] = {{bytes_of_text("__name__"), bytes_of_text(name)}};
    if (state != NULL) {
        more[1] = (struct label){bytes_of_text("alertstate"), bytes_of_text(state)};
    }
    buf_clear(&w->labels);
    alert_series_labels(w, alert->labels, more, state == NULL ? 1 : 2, &w->labels);
    if (buf_error(&w->labels)) return work_no_memory(w);
    if (kept_series_add(&w->written, buf_bytes(&w->labels), &is_new)) return work_no_memory(w);
    return is_new ? put_sample(w, buf_bytes(&w->labels), w->of->sample_ms, &point) : OK;
}

/* Only this thread changes them: others may look meanwhile. */
static enum err
put_alerts(struct work *w)
{
    const struct alerts *alerts = &w->rule->alerts;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < alerts->count; i++) {
        const struct alert *alert = alerts->items[i];
        if (!alert_is_active(alert)) continue;
        int64_t since_s = alert->active_at_ns / NS_PER_S;
        e = put_alert_series(w, alert, "ALERTS", alert_state_word(alert->state), 1);
        if (e == OK) e = put_alert_series(w, alert, "ALERTS_FOR_STATE", NULL, (double)since_s);
    }
    return e;
}

static enum err
alarm(struct work *w, struct promql_result *result)
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
    };
    enum err e = find_alerts(w, result, &found, &count);
    if (e) return e;
    lock_take(&ev->g->lock);
    e = alerts_evaluate(&rule->alerts, &terms, ev->how->at_ns, found, count, &active);
    lock_drop(&ev->g->lock);
    if (e == ERR_LIMIT) return exceeds(w, active, "alerts");
    return e ? work_no_memory(w) : put_alerts(w);
}

/* --- one rule --------------------------------------------------------------------------------- */

static enum err
write_results(struct work *w)
{
    struct rules_written written;
    enum err e = write_built(w->of->host, w->of->g->tenant, w->build, &written, &w->why);
    if (e) return fail_with_why(w, e);
    w->stored = true;
    w->ticket = written.ticket;
    return written.rejected == 0 ? OK : work_fail(w, ERR_INPUT, written.text);
}

static void
evaluate_rule(void *of, uint32_t i)
{
    struct work *w = (struct work *)of + i;
    const struct evaluating *ev = w->of;
    struct asked a = {.result = NULL};
    if (w->skipped || w->error) return;
    int64_t began = env_monotonic_ns(ev->host->env);
    bool records = w->rule->text->kind == RULE_RECORDING;
    w->began_ms = env_realtime_ms(ev->host->env);
    struct ask_times times = {.first_ms = ev->sample_ms, .last_ms = ev->sample_ms};
    enum err e = ask(ev, w->rule->tree, &times, &a, &w->sentence, &w->why);
    if (e)
        e = fail_with_why(w, e);
    else
        e = records ? record(w, a.result) : alarm(w, a.result);
    asked_end(&a);
    if (e == OK) {
        w->evaluated = true;
        if (!ev->how->after_gap || !records) put_stale(w);
        e = write_results(w);
    }
    w->took_ns = env_monotonic_ns(ev->host->env) - began;
    metric_record(&rule_latency, (uint64_t)w->took_ns);
}

void
work_begin(struct evaluating *ev, struct work *w, struct rule_at_work *rule)
{
    enum group_part part = ev->how->part;
    bool records = rule->text->kind == RULE_RECORDING;
    *w = (struct work){.of = ev, .rule = rule};
    w->began_ms = env_realtime_ms(ev->host->env); /* if its turn never comes */
    w->skipped = (part == GROUP_RECORDING && !records) || (part == GROUP_ALERTING && records);
    arena_init(&w->arena, ev->host->memory, ARENA_BYTES_MAX, 0);
    kept_series_init(&w->written, ev->host->memory, ev->host->seed);
    buf_init(&w->labels, ev->host->memory, RULE_FILE_BYTES_MAX);
    buf_init(&w->sentence, ev->host->memory, RULE_ERROR_BYTES_MAX);
    if (!w->skipped && rw_build_new(RW_V1, ev->host->memory, &w->build)) {
        err_ignore(work_no_memory(w), "told when the batch ends");
    }
}

void
work_end(struct work *w)
{
    arena_fini(&w->arena);
    kept_series_fini(&w->written);
    buf_fini(&w->labels);
    buf_fini(&w->sentence);
    rw_build_free(w->build);
}

/* --- what it leaves --------------------------------------------------------------------------- */

static void
log_failure(struct work *w)
{
    const struct group *g = w->of->g;
    if (w->error == ERR_CANCELED && w->of->host->all_canceled != NULL &&
        atomic_load(w->of->host->all_canceled) != NULL) {
        return; /* it is the end */
    }
    static struct log_gate gate;
    uint64_t held_back;
    struct bytes sentence = buf_bytes(&w->sentence); /* empty: there was no memory for it either */
    if (sentence.size == 0) sentence = bytes_of_text(why_text(&w->why, w->error));
    int64_t now_ns = env_monotonic_ns(w->of->host->env);
    if (w->rule->said_ns != 0 && now_ns - w->rule->said_ns < SAY_AGAIN_NS) return;
    if (!log_often(&gate, now_ns, SAID_NS, &held_back)) return;
    w->rule->said_ns = now_ns;
    if (w->evaluated) {
        log_warn("results of a rule were not stored", KV("file", g->text.file),
                 KV("group", g->text.name), KV("rule", w->rule->text->name), KV("error", sentence),
                 KV("more_held_back", held_back));
    } else {
        log_warn("evaluation of a rule failed", KV("file", g->text.file), KV("group", g->text.name),
                 KV("rule", w->rule->text->name), KV("error", sentence),
                 KV("more_held_back", held_back));
    }
}

/* So that they are marked stale when they are not written again. */
static void
keep_also(struct kept_series *kept, const struct kept_series *more)
{
    err_ignore(kept_series_add_all(kept, more), "then some series end without a marker");
}

static void
adopt(struct evaluating *ev, struct work *w)
{
    struct group *g = ev->g;
    struct rule_at_work *rule = w->rule;
    if (w->error) log_failure(w);
    lock_take(&g->lock);
    struct kept_series *kept = ev->how->is_past ? &rule->past : &rule->series;
    if (w->evaluated && w->stored) {
        struct kept_series before = *kept;
        *kept = w->written;
        *(ev->how->is_past ? &rule->past_read_ms : &rule->series_read_ms) = 0;
        w->written = before;
        /* At times at which evaluations have been, before the clock was set back, a series may have
         * samples, there and later on, that say it goes on: what was written before is marked stale
         * as long as there are such times. */
        if (ev->is_again && rule->text->kind == RULE_ALERTING) keep_also(kept, &before);
    } else if (w->evaluated && ev->is_in_doubt) {
        keep_also(kept, &w->written);
    }
    ev->failed += w->error != OK;
    ev->samples += w->evaluated ? w->samples : 0;
    g->facts.evaluations++;
    g->facts.failures += w->error != OK;
    if (!ev->how->is_past) {
        g->facts.rules_took_ns += w->took_ns;
        rule->health = w->error ? RULE_BAD : RULE_GOOD;
        rule->evaluated_at_ns = w->began_ms * NS_PER_MS;
        rule->evaluated_for_ns = w->took_ns;
        buf_clear(&rule->error);
        if (w->error) buf_put_cut(&rule->error, buf_bytes(&w->sentence));
    }
    lock_drop(&g->lock);
}

/* A limit on labels, perhaps: a name of a file or a group is too long. */
static void
log_unmarked(const struct evaluating *ev, const char *text)
{
    static struct log_gate gate;
    uint64_t held_back;
    if (!log_often(&gate, env_monotonic_ns(ev->host->env), UNMARKED_NS, &held_back)) return;
    log_warn("that a group was evaluated cannot be stored, what it misses is not made up",
             KV("file", ev->g->text.file), KV("group", ev->g->text.name), KV("error", text),
             KV("more_held_back", held_back));
}

/* The value of the sample that says that it was made. */
static uint64_t
settled_bits(const struct evaluating *ev)
{
    return double_bits((double)ev->how->settles_ns / NS_PER_S);
}

/* That an evaluation was made. */
static enum err
write_marker(const struct group *g, const struct rules_host *host, struct bytes labels,
             int64_t t_ms, uint64_t value_bits, struct rules_written *ret, struct why *why)
{
    struct rw_build *build = NULL;
    enum err e = rw_build_new(RW_V1, host->memory, &build);
    if (e == OK) {
        rw_build_series(build, labels);
        rw_build_float(build, t_ms, value_bits, 0);
        e = write_built(host, g->tenant, build, ret, why);
    }
    rw_build_free(build);
    return e;
}

enum err
group_try_store(struct group *g, const struct rules_host *host, struct why *why)
{
    struct rules_written written = {.ticket = 0};
    if (g->marked.at == NULL) return OK;
    enum err e = write_marker(g, host, g->marked, g->marked_ms, g->marked_bits, &written, why);
    if (e == OK && written.ticket > 0) e = host->settle(host->context, written.ticket, why);
    return e;
}

static void
put_marker(struct evaluating *ev)
{
    struct rules_written written = {.ticket = 0};
    struct why why;
    enum err e =
        write_marker(ev->g, ev->host, ev->g->marker, ev->t_ms, settled_bits(ev), &written, &why);
    if (e) ev->stored = false;
    if (e == OK && written.rejected > 0) log_unmarked(ev, written.text);
    if (written.ticket > ev->ticket) ev->ticket = written.ticket;
}

enum err
orphans_mark(struct group *g, const struct rules_host *host, int64_t t_ms)
{
    struct rules_written written;
    struct rw_build *build = NULL;
    struct why why;
    uint32_t count = g->orphans.count;
    if (count == 0) return OK;
    bool *is_alive = mem_new(g->memory, count); /* a rule of the group has written it just now */
    enum err e = is_alive == NULL ? ERR_NOMEM : rw_build_new(RW_V1, host->memory, &build);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        kept_series_mark(&g->orphans, &g->rules[i].series, is_alive);
    }
    for (uint32_t i = 0; e == OK && i < count; i++) {
        if (!is_alive[i]) put_stale_marker(build, kept_series_at(&g->orphans, i), t_ms);
    }
    if (e == OK) e = write_durably(host, g->tenant, build, &written, &why);
    rw_build_free(build);
    mem_free(g->memory, is_alive, count);
    if (e) return e;
    kept_series_fini(&g->orphans);
    kept_series_init(&g->orphans, g->memory, g->seed);
    return OK;
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Notices that go to the host in one call. Their texts are views of alerts, which only this thread
 * changes. */
struct telling {
    struct evaluating *ev;
    bool (*asks)(const struct alert *alert, int64_t at_ns, int64_t interval_ns, int64_t resend_ns);
    struct alert_notice items[ALERTS_AT_ONCE];
    uint32_t count;
};

static void
tell_now(struct telling *t)
{
    const struct rules_host *host = t->ev->host;
    if (t->count > 0) host->tell(host->context, t->items, t->count);
    t->count = 0;
}

static void
tell_alert(struct telling *t, const struct rule_at_work *rule, struct alert *alert)
{
    const struct evaluating *ev = t->ev;
    int64_t longest = ev->g->schedule.interval_ns;
    if (ev->terms->resend_ns > longest) longest = ev->terms->resend_ns;
    lock_take(&ev->g->lock);
    alert->told_at_ns = ev->how->at_ns;
    alert->valid_until_ns = ev->how->at_ns + 4 * longest;
    lock_drop(&ev->g->lock);
    if (t->count == ALERTS_AT_ONCE) tell_now(t);
    t->items[t->count++] = (struct alert_notice){
        .tenant = ev->g->tenant,
        .labels = alert->labels,
        .annotations = alert->annotations->items,
        .annotation_count = alert->annotations->count,
        .expression = rule->line,
        .starts_ns = alert->fired_at_ns,
        .ends_ns = alert->resolved_at_ns != 0 ? alert->resolved_at_ns : alert->valid_until_ns,
    };
}

static uint32_t
count_alerts(const struct group *g)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (g->rules[i].text->kind == RULE_ALERTING) count += g->rules[i].alerts.count;
    }
    return count;
}

/* Of the group's alerts, in their order, those of the numbers from `first` to before `end`. */
static void
tell_range(struct telling *t, uint32_t first, uint32_t end)
{
    struct group *g = t->ev->g;
    uint32_t number = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_ALERTING) continue;
        for (uint32_t k = 0; k < rule->alerts.count; k++, number++) {
            struct alert *alert = rule->alerts.items[k];
            if (number < first || number >= end) continue;
            if (t->asks(alert, t->ev->how->at_ns, g->schedule.interval_ns,
                        t->ev->terms->resend_ns)) {
                tell_alert(t, rule, alert);
            }
        }
    }
}

/*
 * Where to begin. A queue that overflows has only the first and the last of what is told at once:
 * were the order always the same, so would be those that are lost. Multiples of the golden ratio
 * spread the beginnings evenly, however few or many alerts there are: none is lost for long. What
 * is multiplied is the number of the period in which alerts are told again, as alert_is_due() has
 * it, for with evaluations in between the beginnings could be close together.
 */
static uint32_t
first_to_tell(const struct evaluating *ev, uint32_t count)
{
    int64_t interval_ns = ev->g->schedule.interval_ns;
    int64_t period_ns = (ev->terms->resend_ns / interval_ns + 1) * interval_ns;
    uint32_t period = (uint32_t)(ev->how->at_ns / period_ns);
    uint32_t part = period * 2654435769U; /* of 2^32 */
    return (uint32_t)((uint64_t)part * count >> 32);
}

/* Also alerts of a rule whose evaluation failed: that it is not known whether they are over is no
 * reason for Alertmanagers to take them for resolved. */
static void
tell(struct evaluating *ev)
{
    struct telling t = {.ev = ev, .asks = alert_is_due};
    if (ev->how->part == GROUP_RECORDING || ev->how->is_past) return;
    uint32_t count = count_alerts(ev->g), first = first_to_tell(ev, count);
    tell_range(&t, first, count);
    tell_range(&t, 0, first);
    tell_now(&t);
}

void
group_tell_early(struct group *g, const struct rules_host *host, const struct rules_terms *terms,
                 int64_t at_ns)
{
    const struct group_evaluation how = {.at_ns = at_ns};
    struct evaluating ev = {.g = g, .host = host, .terms = terms, .how = &how};
    struct telling t = {.ev = &ev, .asks = alert_ends_early};
    tell_range(&t, 0, UINT32_MAX);
    tell_now(&t);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Other threads are woken only for rules that took long, or are new. */
static bool
are_long(const struct work *works, uint32_t count)
{
    int64_t sum_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rule_at_work *rule = works[i].rule;
        if (works[i].skipped) continue;
        sum_ns += rule->evaluated_at_ns == 0 ? LONG_NS : rule->evaluated_for_ns;
    }
    return sum_ns >= LONG_NS;
}

static void
run_together(struct evaluating *ev, struct work *works, uint32_t count)
{
    const struct rules_host *host = ev->host;
    if (count > 1 && host->together != NULL && are_long(works, count)) {
        host->together(host->context, count, evaluate_rule, works);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        evaluate_rule(works, i);
    }
}

static void
fail_batch(struct work *works, uint32_t count, enum err e, const struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (works[i].skipped) continue;
        if (works[i].error == OK) err_ignore(work_fail(&works[i], e, why_text(why, e)), "kept");
        works[i].stored = false;
    }
}

static void
evaluate_batch(struct evaluating *ev, uint32_t first, uint32_t count, bool is_last)
{
    struct work *works = &ev->works[first];
    const struct rules_host *host = ev->host;
    struct query_control control;
    struct why why = {""};
    ask_control(ev, host->memory, &control);
    ev->is_in_doubt = false;
    for (uint32_t i = 0; i < count; i++) {
        work_begin(ev, &works[i], &ev->g->rules[first + i]);
    }
    enum err e = ev->terms->open(ev->terms->open_context, &control, &ev->view, &why);
    if (e == OK) {
        run_together(ev, works, count);
        view_free(ev->view);
    }
    for (uint32_t i = 0; e == OK && i < count; i++) {
        bool records = ev->g->rules[first + i].text->kind == RULE_RECORDING;
        if (works[i].ticket > ev->ticket) ev->ticket = works[i].ticket;
        if (records && works[i].evaluated && !works[i].stored) ev->stored = false;
    }
    bool marks = is_last && ev->g->records && ev->how->part != GROUP_ALERTING;
    if (e == OK && marks && ev->stored) put_marker(ev);
    if (e == OK && ev->ticket > 0) {
        e = host->settle(host->context, ev->ticket, &why);
        ev->ticket = 0;
        ev->is_in_doubt = e == ERR_CANCELED;
    }
    if (e) {
        fail_batch(works, count, e, &why);
        ev->stored = false;
    }
    if (marks && ev->stored) {
        ev->g->marked = ev->g->marker;
        ev->g->marked_ms = ev->t_ms;
        ev->g->marked_bits = settled_bits(ev);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!works[i].skipped) adopt(ev, &works[i]);
        work_end(&works[i]);
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
        .is_again = !how->is_past && how->at_ns <= g->latest_ns,
    };
    lock_take(&g->lock);
    if (!how->is_past) {
        if (how->at_ns > g->latest_ns) g->latest_ns = how->at_ns;
        g->facts.rules_took_ns = 0;
        g->facts.iterations++;
        g->facts.evaluated_at_ns = at_ms * NS_PER_MS;
        for (uint32_t i = 0; i < count; i++) {
            alerts_forget_over(&g->rules[i].alerts, how->at_ns);
        }
    }
    lock_drop(&g->lock);
    if (ev.works == NULL) {
        log_warn("not enough memory to evaluate a group of rules", KV("file", g->text.file),
                 KV("group", g->text.name));
        tell(&ev);
        *ret = (struct group_outcome){.failed = count};
        return;
    }
    for (uint32_t first = 0, next; first < count; first = next) {
        for (next = first + 1; next < count && g->rules[next].batch == g->rules[first].batch;) {
            next++;
        }
        evaluate_batch(&ev, first, next - first, next == count);
    }
    tell(&ev);
    /* What is not recorded now may be made up later, by the same rules when they are back: a marker
     * at its time would take its place. */
    int64_t end_ms = how->part == GROUP_ALERTING ? ev.sample_ms - 1 : ev.sample_ms;
    if (!how->is_past && !how->keeps_orphans)
        err_ignore(orphans_mark(g, host, end_ms), "the next one tries it again");
    mem_free(host->memory, ev.works, (count + 1) * sizeof *ev.works);
    int64_t took_ns = env_monotonic_ns(host->env) - began;
    metric_record(&group_latency, (uint64_t)took_ns);
    lock_take(&g->lock);
    if (!how->is_past) {
        g->facts.evaluated_for_ns = took_ns;
        g->facts.samples = ev.samples;
    }
    lock_drop(&g->lock);
    *ret = (struct group_outcome){ev.stored, ev.samples, ev.failed};
}
