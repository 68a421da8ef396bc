/* trace.c - see trace.h. A destination whose settings are cut down to one step shows that step: so
 * relay/feed/selection.h decides here, too. */
#include "relay/operate/trace.h"

#include "relay/feed/selection.h"

enum { TENANTS, SELECT, EXTERNAL_LABELS, RELABEL, TENANT_LABEL, STEPS };

/* Applies one step; `i` is the index of the selector or of the rule. */
static enum err
apply_one(const struct destination_settings *settings, unsigned step, uint32_t i,
          struct bytes tenant, struct arena *arena, struct bytes *labels, struct why *why)
{
    struct destination_settings one = *settings;
    struct selection *selection = NULL;
    if (step != TENANTS) one.tenants = (struct text_list){NULL};
    one.select = (struct text_list){NULL};
    if (step == SELECT) one.select = (struct text_list){&settings->select.items[i], 1};
    if (step != EXTERNAL_LABELS) one.external_labels = (struct named_texts){NULL};
    one.relabel_count = step == RELABEL;
    if (step == RELABEL) one.relabel = &settings->relabel[i];
    if (step != TENANT_LABEL) one.tenant_label = NULL;
    enum err e = selection_new(&one, &selection, why);
    if (e == OK) e = selection_apply(selection, tenant, *labels, arena, labels);
    selection_free(selection);
    return e;
}

enum err
trace_destination(const struct destination_settings *s, struct bytes tenant, struct bytes labels,
                  struct arena *arena, void (*each)(void *context, const struct trace_step *step),
                  void *context, struct bytes *ret_labels, struct why *why)
{
    static const char *const keys[STEPS] = {"tenants", "select", "external_labels", "relabel",
                                            "tenant_label"};
    const uint32_t counts[STEPS] = {s->tenants.count > 0, s->select.count,
                                    s->external_labels.count > 0, s->relabel_count,
                                    s->tenant_label != NULL};
    for (unsigned k = 0; k < STEPS; k++) {
        for (uint32_t i = 0; i < counts[k] && labels.size > 0; i++) {
            struct trace_step step = {.key = keys[k], .labels = labels};
            enum err e = apply_one(s, k, i, tenant, arena, &step.labels, why);
            if (e) return e;
            bool matches = k == SELECT && step.labels.size > 0;
            if (k == SELECT && !matches && i + 1 < counts[k]) continue; /* the next one may match */
            if (k == RELABEL || matches) step.number = i + 1;
            if (k == RELABEL) step.rule = &s->relabel[i];
            if (matches) step.selector = s->select.items[i];
            labels = step.labels;
            each(context, &step);
            if (k == SELECT) break;
        }
    }
    *ret_labels = labels;
    return OK;
}
