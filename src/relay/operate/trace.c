/* trace.c - see trace.h. A destination whose settings are cut down to one step shows that step: so
 * relay/feed/selection.h decides here, too. */
#include "relay/operate/trace.h"

#include "relay/feed/selection.h"

static void
report(const struct trace_sink *to, const struct trace_step *step)
{
    to->each(to->context, step);
}

enum err
trace_rules(const struct relabel_spec *rules, uint32_t count, struct bytes labels,
            struct arena *arena, const struct trace_sink *to, struct bytes *ret_labels,
            struct why *why)
{
    for (uint32_t i = 0; i < count && labels.size > 0; i++) {
        struct relabel *one = NULL;
        enum err e = relabel_new(&rules[i], 1, &one, why);
        if (e == OK) e = relabel_apply(one, labels, arena, &labels);
        relabel_free(one);
        if (e) return why->text[0] == '\0' ? why_set(why, e, "not enough memory") : e;
        report(to,
               &(struct trace_step){
                   .kind = TRACE_RELABEL, .number = i + 1, .rule = &rules[i], .labels = labels});
    }
    *ret_labels = labels;
    return OK;
}

/* Applies settings of which one step is left. */
static enum err
apply_one(const struct destination_settings *settings, struct bytes tenant, struct arena *arena,
          struct bytes *labels, struct why *why)
{
    struct selection *selection = NULL;
    enum err e = selection_new(settings, &selection, why);
    if (e == OK) e = selection_apply(selection, tenant, *labels, arena, labels);
    selection_free(selection);
    return e;
}

/* The settings without what decides about series and their labels. */
static struct destination_settings
without_steps(const struct destination_settings *settings)
{
    struct destination_settings none = *settings;
    none.tenants = (struct text_list){NULL};
    none.select = (struct text_list){NULL};
    none.external_labels = (struct named_texts){NULL};
    none.relabel_count = 0;
    none.tenant_label = NULL;
    return none;
}

static enum err
trace_tenant(const struct destination_settings *settings, struct bytes tenant, struct arena *arena,
             const struct trace_sink *to, struct bytes *labels, struct why *why)
{
    struct destination_settings one = without_steps(settings);
    one.tenants = settings->tenants;
    if (one.tenants.count == 0) return OK;
    enum err e = apply_one(&one, tenant, arena, labels, why);
    if (e == OK) report(to, &(struct trace_step){.kind = TRACE_TENANT, .labels = *labels});
    return e;
}

/* The first selector that matches. */
static enum err
trace_select(const struct destination_settings *settings, struct bytes tenant, struct arena *arena,
             const struct trace_sink *to, struct bytes *labels, struct why *why)
{
    struct destination_settings one = without_steps(settings);
    struct trace_step step = {.kind = TRACE_SELECT};
    for (uint32_t i = 0; i < settings->select.count && step.labels.size == 0; i++) {
        struct bytes selected = *labels;
        one.select = (struct text_list){.items = &settings->select.items[i], .count = 1};
        enum err e = apply_one(&one, tenant, arena, &selected, why);
        if (e) return e;
        if (selected.size > 0) {
            step.number = i + 1;
            step.selector = settings->select.items[i];
        }
        step.labels = selected;
    }
    if (settings->select.count == 0) return OK;
    *labels = step.labels;
    report(to, &step);
    return OK;
}

static enum err
trace_added(const struct destination_settings *settings, enum trace_kind kind, struct bytes tenant,
            struct arena *arena, const struct trace_sink *to, struct bytes *labels, struct why *why)
{
    struct destination_settings one = without_steps(settings);
    if (kind == TRACE_EXTERNAL_LABELS)
        one.external_labels = settings->external_labels;
    else
        one.tenant_label = settings->tenant_label;
    if (one.external_labels.count == 0 && one.tenant_label == NULL) return OK;
    enum err e = apply_one(&one, tenant, arena, labels, why);
    if (e == OK) report(to, &(struct trace_step){.kind = kind, .labels = *labels});
    return e;
}

enum err
trace_destination(const struct destination_settings *settings, struct bytes tenant,
                  struct bytes labels, struct arena *arena, const struct trace_sink *to,
                  struct bytes *ret_labels, struct why *why)
{
    enum err e = trace_tenant(settings, tenant, arena, to, &labels, why);
    if (e == OK && labels.size > 0) e = trace_select(settings, tenant, arena, to, &labels, why);
    if (e == OK && labels.size > 0)
        e = trace_added(settings, TRACE_EXTERNAL_LABELS, tenant, arena, to, &labels, why);
    if (e == OK)
        e = trace_rules(settings->relabel, settings->relabel_count, labels, arena, to, &labels,
                        why);
    if (e == OK && labels.size > 0)
        e = trace_added(settings, TRACE_TENANT_LABEL, tenant, arena, to, &labels, why);
    if (e == OK) *ret_labels = labels;
    return e;
}
