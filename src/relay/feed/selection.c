/*
 * selection.c - see selection.h. Applied to each series when it is found in a segment of the log,
 * and again when its labels are needed and no longer cached.
 */
#include "relay/feed/selection.h"

#include <stdlib.h>

#include "model/labels.h"

struct selection {
    const struct destination_settings *settings;
    struct selector *selectors;
    uint32_t selector_count;
    struct matcher_set *sets; /* the same selectors, as the store takes them */
    struct relabel *relabel;
    bool every_tenant;
};

enum err
selection_new(const struct destination_settings *settings, struct selection **ret_selection,
              struct why *why)
{
    struct selection *s = calloc(1, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->settings = settings;
    const struct text_list *tenants = &settings->tenants;
    s->every_tenant =
        tenants->count == 0 || (tenants->count == 1 && strcmp(tenants->items[0], "all") == 0);
    enum err e = OK;
    const struct text_list *texts = &settings->select;
    if (texts->count > 0) {
        s->selectors = calloc(texts->count, sizeof *s->selectors);
        s->sets = calloc(texts->count, sizeof *s->sets);
        if (s->selectors == NULL || s->sets == NULL) e = ERR_NOMEM;
    }
    for (uint32_t i = 0; i < texts->count && e == OK; i++) {
        e = selector_parse(bytes_of_text(texts->items[i]), &s->selectors[i], why);
        if (e) break;
        s->selector_count = i + 1;
        s->sets[i] = (struct matcher_set){s->selectors[i].matchers, s->selectors[i].count};
    }
    if (e == OK && settings->relabel_count > 0)
        e = relabel_new(settings->relabel, settings->relabel_count, &s->relabel, why);
    if (e) {
        selection_free(s);
        return e;
    }
    *ret_selection = s;
    return OK;
}

void
selection_free(struct selection *s)
{
    if (s == NULL) return;
    for (uint32_t i = 0; i < s->selector_count; i++)
        selector_fini(&s->selectors[i]);
    free(s->selectors);
    free(s->sets);
    relabel_free(s->relabel);
    free(s);
}

bool
selection_takes_tenant(const struct selection *s, struct bytes tenant)
{
    const struct text_list *tenants = &s->settings->tenants;
    for (uint32_t i = 0; !s->every_tenant && i < tenants->count; i++)
        if (bytes_equal_text(tenant, tenants->items[i])) return true;
    return s->every_tenant;
}

const struct matcher_set *
selection_sets(const struct selection *s, uint32_t *ret_count)
{
    *ret_count = s->selector_count;
    return s->sets;
}

bool
selection_takes_family(const struct selection *s, struct bytes tenant, struct bytes family)
{
    if (!selection_takes_tenant(s, tenant)) return false;
    for (uint32_t i = 0; i < s->selector_count; i++) {
        const struct selector *one = &s->selectors[i];
        bool passes = true;
        for (uint32_t k = 0; k < one->count && passes; k++) {
            bool is_name = bytes_equal_text(matcher_name(one->matchers[k]), "__name__");
            passes = !is_name || matcher_matches(one->matchers[k], family);
        }
        if (passes) return true;
    }
    return s->selector_count == 0;
}

enum err
selection_apply(const struct selection *s, struct bytes tenant, struct bytes labels,
                struct arena *arena, struct bytes *ret_labels)
{
    *ret_labels = bytes_of(NULL, 0);
    if (!selection_takes_tenant(s, tenant)) return OK;
    bool selected = s->selector_count == 0;
    for (uint32_t i = 0; i < s->selector_count && !selected; i++) {
        selected = true;
        for (uint32_t k = 0; k < s->selectors[i].count && selected; k++) {
            const struct matcher *m = s->selectors[i].matchers[k];
            selected = matcher_matches(m, labels_get(labels, matcher_name(m)));
        }
    }
    if (!selected) return OK;
    const struct named_texts *external = &s->settings->external_labels;
    enum err e = OK;
    for (uint32_t i = 0; i < external->count && e == OK; i++) {
        struct label label = {bytes_of_text(external->items[i].name),
                              bytes_of_text(external->items[i].value)};
        e = labels_complete(labels, label, arena, &labels);
    }
    if (e == OK && s->relabel != NULL) e = relabel_apply(s->relabel, labels, arena, &labels);
    if (e == OK && labels.size > 0 && s->settings->tenant_label != NULL) {
        struct label label = {bytes_of_text(s->settings->tenant_label), tenant};
        e = labels_impose(labels, label, arena, &labels);
    }
    if (e == OK) *ret_labels = labels;
    return e;
}
