/* find_alerts.c - makes labels and annotations of the result of an alert's expression. */
#include "rules/group/evaluate.h"

#include "base/log.h"
#include "sys/env.h"
#include "wire/number.h"

#define FIND_ALERTS_SAID_NS NS_PER_S

/* The state of expanding the texts of one rule. Templates may loop: all texts of a rule together
 * have the timeout of one query. */
struct expanding {
    struct rule_work *w;
    struct query_control control;
    struct template_options options;
    struct template_data data;
};

static enum err
check_time(struct expanding *x, struct why *why)
{
    enum err e = query_control_check(&x->control, why);
    return e ? why_prefix(why, e, "labels and annotations") : OK;
}

static enum err
query_for_template(void *context, struct bytes expression,
                   enum err (*each)(void *, const struct template_sample *), void *to,
                   struct why *why)
{
    struct expanding *x = context;
    enum err e = check_time(x, why);
    return e ? e : ask_for_template(x->w->of, expression, each, to, why);
}

static enum err
alert_expand(struct expanding *x, struct bytes text, struct bytes *ret)
{
    struct rule_work *w = x->w;
    struct buf to;
    struct why why = {""};
    if (!may_be_template(text)) { /* the usual case */
        *ret = text;
        return OK;
    }
    enum err e = check_time(x, &why);
    if (e) return work_fail(w, e, why.text);
    buf_init(&to, w->of->host->memory, TEMPLATE_OUTPUT_BYTES_MAX + sizeof why.text + 64);
    e = template_expand(&x->options, text, &x->data, &to, &why);
    if (e == ERR_INPUT || e == ERR_LIMIT) {
        buf_printf(&to, "<error expanding template: %s>", why_text(&why, e));
        static struct log_gate gate;
        uint64_t held_back;
        if (log_often(&gate, env_monotonic_ns(w->of->host->env), FIND_ALERTS_SAID_NS, &held_back)) {
            log_warn("cannot expand a template of an alert", KV("group", w->of->g->text.name),
                     KV("alert", w->rule->text->name), KV("error", why_text(&why, e)),
                     KV("more_held_back", held_back));
        }
        e = buf_error(&to);
    }
    if (e == OK) {
        *ret = arena_copy(&w->arena, buf_bytes(&to));
        if (ret->at == NULL && to.size > 0) e = ERR_NOMEM;
    }
    buf_fini(&to);
    if (e == ERR_NOMEM) return work_no_memory(w);
    return e ? work_fail(w, e, why_text(&why, e)) : OK;
}

static enum err
expand_labels(struct expanding *x, struct bytes metric, struct alert_found *found)
{
    struct rule_work *w = x->w;
    const struct rule_at_work *rule = w->rule;
    uint32_t count = 0;
    struct label *over = arena_alloc(&w->arena, (rule->label_count + 2) * sizeof *over);
    if (over == NULL) return work_no_memory(w);
    over[count++] = (struct label){bytes_of_text("alertname"), bytes_of_text(rule->text->name)};
    over[count++] = (struct label){bytes_of_text("__name__"), bytes_of("", 0)};
    for (uint32_t i = 0; i < rule->label_count; i++, count++) {
        over[count].name = rule->labels[i].name;
        enum err e = alert_expand(x, rule->labels[i].value, &over[count].value);
        if (e) return e;
    }
    count = relabelled_sort(over, count);
    buf_clear(&w->labels);
    relabelled_put(&w->labels, metric, over, count);
    if (buf_error(&w->labels)) return work_no_memory(w);
    found->labels = arena_copy(&w->arena, buf_bytes(&w->labels));
    return found->labels.at == NULL ? work_no_memory(w) : OK;
}

static enum err
find_alert(struct expanding *x, struct bytes metric, const struct promql_point *point,
           struct alert_found *found)
{
    uint32_t count = 0;
    struct cursor c = cursor_of(metric);
    struct label *labels = arena_alloc(&x->w->arena, (labels_count(metric) + 1) * sizeof *labels);
    if (labels == NULL) return work_no_memory(x->w);
    for (struct label label; labels_next(&c, &label);)
        labels[count++] = label;
    x->data.labels = labels;
    x->data.label_count = count;
    found->value_bits = point->histogram == NULL ? double_bits(point->value) : 0;
    x->data.value = found->value_bits;
    x->data.histogram = point->histogram;
    enum err e = expand_labels(x, metric, found);
    if (e) return e;
    const struct named_texts *texts = &x->w->rule->text->annotations;
    struct label *items = arena_alloc(&x->w->arena, (texts->count + 1) * sizeof *items);
    if (items == NULL) return work_no_memory(x->w);
    for (uint32_t i = 0; e == OK && i < texts->count; i++) {
        items[i].name = bytes_of_text(texts->items[i].name);
        e = alert_expand(x, bytes_of_text(texts->items[i].value), &items[i].value);
    }
    found->annotations = items;
    found->annotation_count = texts->count;
    return e;
}

enum err
find_alerts(struct rule_work *w, struct promql_result *result, struct alert_found **ret,
            uint32_t *ret_count)
{
    struct buf name;
    struct kept_series seen;
    uint64_t most = promql_series_count(result);
    struct alert_found *found = arena_new(&w->arena, (most + 1) * sizeof *found);
    if (found == NULL) return work_no_memory(w);
    kept_series_init(&seen, w->of->host->memory, w->of->host->seed);
    const struct evaluating *ev = w->of;
    buf_init(&name, ev->host->memory, RULE_FILE_BYTES_MAX);
    buf_printf(&name, "__alert_%s", w->rule->text->name);
    struct expanding x = {
        .w = w,
        .options = {.name = buf_bytes(&name),
                    .query = {query_for_template, &x},
                    .budget = ev->host->memory},
        .data = {.external_labels = ev->terms->external_labels,
                 .external_count = ev->terms->external_count,
                 .external_url = ev->terms->external_url,
                 .time_ms = ev->t_ms},
    };
    ask_control(ev, ev->host->memory, &x.control);
    struct bytes metric;
    struct promql_point point;
    uint32_t count = 0;
    enum err e = buf_error(&name) ? work_no_memory(w) : OK;
    while (e == OK && promql_next_series(result, &metric)) {
        bool is_new = false;
        if (!rule_answer_point(result, &point)) continue;
        e = find_alert(&x, metric, &point, &found[count]);
        if (e == OK && kept_series_add(&seen, found[count].labels, &is_new)) e = work_no_memory(w);
        if (e == OK && !is_new) {
            e = work_fail(
                w, ERR_INPUT,
                "vector contains metrics with the same labelset after applying alert labels");
        }
        count++;
    }
    *ret = found;
    *ret_count = count;
    kept_series_fini(&seen);
    buf_fini(&name);
    return e;
}
