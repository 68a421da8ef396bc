/* series_trace.c - see server_private.h. The limits are those of model/labels.h, the steps those of
 * relay/feed/selection.h. */
#include "app/server_private.h"
#include "config/lists/client_texts.h"
#include "model/labels.h"
#include "model/selector.h"
#include "relay/feed/selection.h"

enum { SERIES_BYTES_MAX = 1 << 20, RULE_BYTES_MAX = 1 << 16, TOP_MAX = 10000 };
#define ARENA_BYTES_MAX ((uint64_t)16 << 20)

struct tracing {
    const struct series_trace_options *options;
    const struct series_question *question;
    struct json *to;
    struct arena arena;
    struct bytes labels; /* canonical */
};

static void
member_series(struct json *to, struct bytes labels)
{
    struct buf text;
    json_key(to, "series");
    if (labels.size == 0) {
        json_put_null(to);
        return;
    }
    buf_init(&text, NULL, SERIES_BYTES_MAX);
    labels_print_selector(&text, labels);
    json_put_bytes(to, buf_bytes(&text));
    buf_fini(&text);
}

/* --- limits of writes ------------------------------------------------------------------------- */

static void
put_check(struct json *to, const char *setting, uint64_t limit, uint64_t value, bool ok)
{
    json_put_object(to, JSON("setting", setting), JSON("limit", limit), JSON("value", value),
                    JSON("ok", ok));
}

static void
put_label_checks(struct tracing *t, const struct label *labels, uint32_t count)
{
    const struct settings *s = t->options->settings;
    size_t name = 0, value = 0;
    bool is_named = false;
    for (uint32_t i = 0; i < count; i++) {
        if (labels[i].name.size > name) name = labels[i].name.size;
        if (labels[i].value.size > value) value = labels[i].value.size;
        is_named |= bytes_equal_text(labels[i].name, "__name__") && labels[i].value.size > 0;
    }
    put_check(t->to, "write.max_labels", s->write_max_labels, count, count <= s->write_max_labels);
    put_check(t->to, "write.max_name_bytes", s->write_max_name_bytes, name,
              name <= s->write_max_name_bytes);
    put_check(t->to, "write.max_value_bytes", s->write_max_value_bytes, value,
              value <= s->write_max_value_bytes);
    if (s->write_require_name != NAME_NEVER)
        put_check(t->to,
                  s->write_require_name == NAME_ALWAYS ? "write.require_name"
                                                       : "write.require_name (version 2.0 only)",
                  1, is_named, is_named);
}

/* Checks the numbers of active series; those that are active already may go on. */
static enum err
put_series_checks(struct tracing *t, struct why *why)
{
    const struct settings *s = t->options->settings;
    struct bytes metric = labels_get(t->labels, bytes_of_text("__name__"));
    struct tsdb_top top;
    uint64_t of_metric = 0;
    if (s->write_max_series == 0 && s->write_max_series_per_metric == 0) return OK;
    enum err e = tsdb_top(t->options->tsdb, t->question->tenant, &t->arena, TOP_MAX, &top);
    if (e) return why_set(why, e, "not enough memory for the number of series");
    for (uint32_t i = 0; i < top.counts[TSDB_METRICS_BY_SERIES]; i++) {
        const struct tsdb_cardinality *c = &top.items[TSDB_METRICS_BY_SERIES][i];
        if (bytes_equal(c->name, metric)) of_metric = c->count;
    }
    if (s->write_max_series > 0)
        put_check(t->to, "write.max_series", s->write_max_series, top.series,
                  top.series < s->write_max_series);
    if (s->write_max_series_per_metric > 0)
        put_check(t->to, "write.max_series_per_metric", s->write_max_series_per_metric, of_metric,
                  of_metric < s->write_max_series_per_metric);
    return OK;
}

static enum err
put_write(struct tracing *t, struct label *labels, uint32_t count, struct why *why)
{
    const struct settings *s = t->options->settings;
    const struct labels_limits limits = {
        .count_max = s->write_max_labels,
        .name_bytes_max = s->write_max_name_bytes,
        .value_bytes_max = s->write_max_value_bytes,
    };
    struct buf canonical;
    buf_init(&canonical, t->question->memory, SERIES_BYTES_MAX);
    json_member_object(t->to, "write");
    json_member_array(t->to, "checks");
    put_label_checks(t, labels, count);
    enum reject reason = labels_build(labels, count, &limits, &canonical);
    enum err e = buf_error(&canonical);
    if (e == OK && reason == REJECT_NONE) {
        t->labels = arena_copy(&t->arena, buf_bytes(&canonical));
        e = t->labels.at == NULL ? ERR_NOMEM : put_series_checks(t, why);
    }
    json_array_close(t->to);
    json_member_text(t->to, "reason", reason == REJECT_NONE ? "" : reject_word(reason));
    json_object_close(t->to);
    buf_fini(&canonical);
    return e;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void
put_relabelling(struct json *to, const struct relabel_spec *rule)
{
    struct buf text;
    buf_init(&text, NULL, RULE_BYTES_MAX);
    buf_put_text(&text, relabel_action_word(rule->action));
    for (uint32_t i = 0; i < rule->source_label_count; i++) {
        buf_put_text(&text, i == 0 ? " source_labels=" : ",");
        buf_put_bytes(&text, rule->source_labels[i]);
    }
    const struct {
        const char *name;
        struct bytes value;
    } parts[] = {{" separator=", rule->separator},
                 {" regex=", rule->regex},
                 {" target_label=", rule->target_label},
                 {" replacement=", rule->replacement}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].value.at == NULL) continue;
        buf_put_text(&text, parts[i].name);
        buf_put_bytes(&text, parts[i].value);
    }
    json_member_bytes(to, "rule", buf_bytes(&text));
    buf_fini(&text);
}

enum { STEP_TENANTS, STEP_SELECT, STEP_LABELS, STEP_RELABEL, STEP_TENANT_LABEL, STEPS };

/* Applies one step, by a destination whose settings are cut down to it; `i` is the index of the
 * selector or of the rule. */
static enum err
apply_step(struct tracing *t, const struct destination_settings *settings, unsigned step,
           uint32_t i, struct bytes *labels, struct why *why)
{
    struct destination_settings one = *settings;
    struct selection *selection = NULL;
    if (step != STEP_TENANTS) one.tenants = (struct text_list){NULL};
    one.select = (struct text_list){NULL};
    if (step == STEP_SELECT) one.select = (struct text_list){&settings->select.items[i], 1};
    if (step != STEP_LABELS) one.external_labels = (struct named_texts){NULL};
    one.relabel_count = step == STEP_RELABEL;
    if (step == STEP_RELABEL) one.relabel = &settings->relabel[i];
    if (step != STEP_TENANT_LABEL) one.tenant_label = NULL;
    enum err e = selection_new(&one, &selection, why);
    if (e == OK) e = selection_apply(selection, t->question->tenant, *labels, &t->arena, labels);
    selection_free(selection);
    return e;
}

/* Puts every step up to the one that drops the series, and the labels after the last. */
static enum err
put_steps(struct tracing *t, const struct destination_settings *s, struct why *why)
{
    static const char *const keys[STEPS] = {"tenants", "select", "external_labels", "relabel",
                                            "tenant_label"};
    const uint32_t counts[STEPS] = {s->tenants.count > 0, s->select.count,
                                    s->external_labels.count > 0, s->relabel_count,
                                    s->tenant_label != NULL};
    struct json *to = t->to;
    struct bytes labels = t->labels;
    json_member_array(to, "steps");
    for (unsigned k = 0; k < STEPS; k++) {
        for (uint32_t i = 0; i < counts[k] && labels.size > 0; i++) {
            struct bytes after = labels;
            enum err e = apply_step(t, s, k, i, &after, why);
            if (e) return e;
            bool matches = k == STEP_SELECT && after.size > 0;
            if (k == STEP_SELECT && !matches && i + 1 < counts[k])
                continue; /* the next one may match */
            labels = after;
            json_object_open(to);
            json_members(to, JSON("step", keys[k]),
                         JSON("number", k == STEP_RELABEL || matches ? i + 1 : 0));
            if (k == STEP_RELABEL) put_relabelling(to, &s->relabel[i]);
            if (matches) json_member_text(to, "rule", s->select.items[i]);
            member_series(to, labels);
            json_object_close(to);
            if (k == STEP_SELECT) break;
        }
    }
    json_array_close(to);
    member_series(to, labels);
    return OK;
}

static enum err
put_rules(struct tracing *t, struct why *why)
{
    struct relabel_text rules = {NULL};
    if (t->question->rules.size == 0 || t->labels.size == 0) return OK;
    enum err e = relabel_text_yaml(t->question->rules, &rules, why);
    if (e) return e;
    json_member_object(t->to, "rules");
    e = put_steps(
        t, &(struct destination_settings){.relabel = rules.specs, .relabel_count = rules.count},
        why);
    json_object_close(t->to);
    relabel_text_free(&rules);
    return e;
}

static enum err
put_destinations(struct tracing *t, struct why *why)
{
    if (t->labels.size == 0) return OK;
    struct destinations *all = relays_borrow(t->options->relays);
    enum err e = OK;
    json_member_array(t->to, "destinations");
    for (uint32_t i = 0; i < all->count && e == OK; i++) {
        json_object_open(t->to);
        json_members(t->to, JSON("name", all->items[i].name),
                     JSON("type", destination_type_word(all->items[i].type)));
        e = put_steps(t, &all->items[i], why);
        json_object_close(t->to);
    }
    json_array_close(t->to);
    relays_return(all);
    return e;
}

/* --- all -------------------------------------------------------------------------------------- */

/* The labels of a series as PromQL writes it, which are views of the selector. */
static enum err
labels_of(const struct selector *selector, struct label *labels, struct why *why)
{
    for (uint32_t i = 0; i < selector->count; i++) {
        const struct matcher *m = selector->matchers[i];
        if (matcher_type(m) != MATCH_EQUAL) {
            return why_set(why, ERR_INPUT,
                           "series: expected a series such as up{job=\"node\"}, whose labels have "
                           "values, not patterns");
        }
        labels[i] = (struct label){matcher_name(m), matcher_pattern(m)};
    }
    return OK;
}

enum err
series_trace(const struct series_trace_options *options, const struct series_question *question,
             struct json *to, struct why *why)
{
    struct tracing t = {.options = options, .question = question, .to = to};
    struct selector selector;
    struct label labels[SELECTOR_MATCHERS_MAX];
    enum err e = selector_parse_any(question->series, &selector, why);
    if (e) return why_prefix(why, e, "series");
    arena_init(&t.arena, question->memory, ARENA_BYTES_MAX, 0);
    e = labels_of(&selector, labels, why);
    if (e == OK) {
        json_object_open(to);
        e = put_write(&t, labels, selector.count, why);
        if (e == OK) member_series(to, t.labels);
        if (e == OK) e = put_rules(&t, why);
        if (e == OK) e = put_destinations(&t, why);
        json_object_close(to);
    }
    arena_fini(&t.arena);
    selector_fini(&selector);
    if (e && why->text[0] == '\0') why_set(why, e, "not enough memory");
    return e;
}
