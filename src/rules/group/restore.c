/*
 * restore.c - restores alerts and cursors for a server without a checkpoint: after an upgrade from
 * an earlier version, or if the directory is not kept. As in Prometheus, alerts come from
 * ALERTS_FOR_STATE: the value of a sample is the time since when the alert is active, its time is
 * the last evaluation that found it. A restored alert is pending; the next evaluation that finds it
 * determines if it fires.
 *
 * Earlier versions recorded each evaluation of recording rules as a sample of
 * firekeep_rule_group_evaluated{rule_group="FILE;NAME"}. The last one gives the cursor.
 *
 * past_look() reads back the samples that rules wrote, here and for a replay.
 */
#include "rules/group/evaluate.h"

#include <assert.h>

#include "model/select.h"
#include "sys/env.h"
#include "wire/number.h"

enum {
    RESTORE_LABELS_BYTES_MAX = 16 << 20,
    MATCHERS_MAX = 128,       /* limit per query; requests of remote read have 256 at most */
    MATCHED_BYTES_MAX = 4096, /* size of a label; matchers and requests have limits, too */
    LABELS_MAX =
        2 + 2 * RULE_TEXTS_MAX, /* a name, an alert's name, those of a rule and its group */
};

/* --- search for stored samples ---------------------------------------------------------------- */

/* Says whether the query has a matcher for a label. For labels that are too many or too long, the
 * series are filtered here: so samples of a rule can be read regardless of the number of labels it
 * sets. */
static bool
has_matcher(const struct past_look *look, uint32_t i)
{
    struct bytes name = look->labels[i].name;
    size_t size = name.size + look->labels[i].value.size;
    return bytes_equal_text(name, "__name__") ||
           (i < MATCHERS_MAX - 1 && size <= MATCHED_BYTES_MAX);
}

enum err
past_look(const struct rules_past *past, const struct past_look *look, struct why *why)
{
    struct evaluating ev = {.g = past->group, .host = past->host, .terms = past->terms};
    struct matcher *matchers[MATCHERS_MAX];
    struct matcher_set matched = {matchers, 0};
    struct view *view = past->view, *own = NULL;
    struct series_set *set = NULL;
    struct budget budget;
    struct query_control control;
    struct bytes labels;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < look->label_count; i++) {
        struct label label = look->labels[i];
        if (!has_matcher(look, i)) continue;
        e = matcher_new(MATCH_EQUAL, label.name, label.value, ev.g->memory,
                        &matchers[matched.count], why);
        matched.count += e == OK;
    }
    budget_init(&budget, "rule", 0, ev.host->memory);
    look_control(&ev, &budget, &control);
    struct query_request request = {
        .tenant = ev.g->tenant,
        .sets = &matched,
        .set_count = 1,
        .min_ms = look->min_ms,
        .max_ms = look->max_ms,
        .stored = look->stored,
        .unmerged = look->stored,
        .control = &control,
    };
    if (e == OK && view == NULL) {
        e = ev.terms->open(ev.terms->open_context, &control, &own, why);
        view = own;
    }
    if (e == OK) e = view_select(view, &request, &set, why);
    while (e == OK && (e = series_set_next(set, &labels, why)) == OK && labels.at != NULL) {
        bool fits = true;
        for (uint32_t i = 0; i < look->label_count && fits; i++) {
            struct label label = look->labels[i];
            fits = has_matcher(look, i) || bytes_equal(labels_get(labels, label.name), label.value);
        }
        if (fits) e = look->each(look->context, set, labels);
    }
    if (e == OK && look->stored && thinned_to(&control) > 0) {
        struct why sentence;
        thinned_say(thinned_to(&control), &sentence);
        e = why_set(why, ERR_UNSUPPORTED,
                    "results that are stored cannot be compared, only overwritten: %s",
                    sentence.text);
    }
    query_control_warn(&control, set);
    series_set_free(set);
    view_free(own);
    for (uint32_t i = 0; i < matched.count; i++)
        matcher_free(matchers[i]);
    return e;
}

/* --- restoring -------------------------------------------------------------------------------- */

struct restoring {
    const struct rules_past *past;
    struct rule_at_work *rule; /* NULL while the cursor is searched */
    int64_t now_ms;
    int64_t last_ms; /* time of the last sample found; INT64_MIN if none was */
    struct buf labels;
    struct why *why;
};

static enum err
restore_alert(struct restoring *r, struct bytes series, int64_t t_ms, double since_s)
{
    static const struct label without = {{(const uint8_t *)"__name__", 8}, {NULL, 0}};
    /* A sender may have written any value. */
    bool is_time = since_s >= 0 && since_s <= (double)(t_ms / 1000);
    buf_clear(&r->labels);
    relabelled_put(&r->labels, series, &without, 1);
    struct alert_found found = {.labels = buf_bytes(&r->labels), .value_bits = NORMAL_NAN_BITS};
    struct alert alert = {
        .state = ALERT_PENDING,
        .active_at_ns = is_time ? (int64_t)since_s * NS_PER_S : t_ms * NS_PER_MS,
    };
    lock_take(&r->past->group->lock);
    enum err e = buf_error(&r->labels);
    if (e == OK) e = alerts_restore(&r->rule->alerts, &alert, &found);
    r->rule->is_restored = true;
    lock_drop(&r->past->group->lock);
    return e ? why_set(r->why, ERR_NOMEM, "not enough memory to restore alerts") : OK;
}

static enum err
restore_take_series(void *context, struct series_set *set, struct bytes labels)
{
    struct restoring *r = context;
    int64_t t_ms = INT64_MIN;
    double value = 0;
    bool any = false;
    for (;;) { /* to the last sample, which may be a marker */
        struct sample_batch batch;
        enum err e = series_set_batch(set, &batch, r->why);
        if (e) return e;
        if (batch.count == 0) break;
        if (batch.kind != SAMPLE_FLOAT) continue;
        uint64_t bits = batch.value_bits[batch.count - 1];
        any = bits != STALE_NAN_BITS;
        t_ms = batch.times_ms[batch.count - 1];
        value = bits_double(bits);
    }
    if (!any) return OK;
    if (t_ms > r->last_ms) r->last_ms = t_ms;
    return r->rule == NULL ? OK : restore_alert(r, labels, t_ms, value);
}

static enum err
restore_look_for(struct restoring *r, const struct label *labels, uint32_t count, int64_t age_ns)
{
    const struct past_look look = {
        .labels = labels,
        .label_count = count,
        .min_ms = r->now_ms - age_ns / NS_PER_MS,
        .max_ms = r->now_ms,
        .each = restore_take_series,
        .context = r,
    };
    return past_look(r->past, &look, r->why);
}

/* Searches the series with the labels that all alerts of the rule have. */
static enum err
restore_rule(struct restoring *r, int64_t tolerance_ns)
{
    struct label labels[LABELS_MAX] = {
        {bytes_of_text("__name__"), bytes_of_text("ALERTS_FOR_STATE")},
        {bytes_of_text("alertname"), bytes_of_text(r->rule->text->name)},
    };
    uint32_t count = 2;
    assert(r->rule->label_count <= LABELS_MAX - 2);
    for (uint32_t i = 0; i < r->rule->label_count; i++) {
        struct label label = r->rule->labels[i];
        bool is_name = bytes_equal_text(label.name, "alertname");
        if (!is_name && !may_be_template(label.value)) labels[count++] = label;
    }
    return restore_look_for(r, labels, count, tolerance_ns);
}

enum err
restore_group(const struct rules_past *past, const struct restore_terms *terms,
              int64_t *ret_down_ns, int64_t *ret_next_ns, struct why *why)
{
    struct group *g = past->group;
    struct restoring r = {
        .past = past,
        .now_ms = terms->now_ns / NS_PER_MS,
        .last_ms = INT64_MIN,
        .why = why,
    };
    enum err e = OK;
    *ret_down_ns = *ret_next_ns = 0;
    buf_init(&r.labels, past->host->memory, RESTORE_LABELS_BYTES_MAX);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        r.rule = &g->rules[i];
        if (r.rule->text->kind == RULE_ALERTING) e = restore_rule(&r, terms->tolerance_ns);
    }
    /* The end of the sample's millisecond: the evaluation was in it. */
    if (r.last_ms != INT64_MIN) *ret_down_ns = (r.last_ms + g->query_offset_ms + 1) * NS_PER_MS - 1;
    r.rule = NULL;
    r.last_ms = INT64_MIN;
    if (e == OK && g->records && terms->catch_up_ns > 0) {
        buf_clear(&r.labels);
        buf_printf(&r.labels, "%s;%s", g->text.file, g->text.name);
        const struct label labels[] = {
            {bytes_of_text("__name__"), bytes_of_text("firekeep_rule_group_evaluated")},
            {bytes_of_text("rule_group"), buf_bytes(&r.labels)},
        };
        e = buf_error(&r.labels) ? why_set(why, ERR_NOMEM, "not enough memory for rules")
                                 : restore_look_for(&r, labels, 2, terms->catch_up_ns);
    }
    if (r.last_ms != INT64_MIN) *ret_next_ns = r.last_ms * NS_PER_MS + g->schedule.interval_ns;
    buf_fini(&r.labels);
    return e;
}
