/* stack.c - see stack.h. From the top of the stack to its bottom. */
#include "views/stack.h"

#include <assert.h>

enum err
view_stack_open(const struct view_stack *s, struct query_control *control, struct view **ret_view,
                struct why *why)
{
    struct view *view;
    enum err e = view_open(s->answerer, control, &view, why);
    if (e) return e;
    if (s->replica_count > 0) {
        e = replicas_view_new(view, s->replicas, s->replica_count, control->budget, &view, why);
        if (e) return e; /* it has freed the view */
    }
    *ret_view = view;
    return OK;
}

enum err
view_stack_tenants(struct answerer *below, struct answerer **ret_answerer)
{
    return tenants_answerer_new(below, ret_answerer);
}

/* Restricts an opened view, which is taken, also on an error. */
static enum err
restrict_view(struct view *view, struct query_control *control, struct view **ret_view,
              struct why *why)
{
    if (control == NULL) {
        *ret_view = view;
        return OK;
    }
    return permitted_view_new(view, control->permitted, control->budget, ret_view, why);
}

enum err
view_stack_merge(struct view *store, const struct view_stack_source *sources, uint32_t count,
                 struct query_control *control, struct view **ret_view, struct why *why)
{
    struct view *views[MERGED_VIEWS_MAX];
    uint32_t opened = 0;
    enum err e = OK;
    assert(count + (store != NULL) <= MERGED_VIEWS_MAX);
    if (store != NULL) e = restrict_view(store, control, &views[0], why);
    if (store != NULL && e == OK) opened++;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        const struct view_stack_source *s = &sources[i];
        struct view *view;
        e = source_view_open(s->options, s->min_ms, s->max_ms, control, &view, why);
        if (e == OK) e = restrict_view(view, control, &views[opened], why);
        if (e == OK) opened++;
    }
    if (e == OK && opened == 0) {
        return why_set(why, ERR_UNSUPPORTED,
                       "nothing is stored with storage.mode=none, and there are no sources");
    }
    if (e == OK) {
        struct budget *budget = control == NULL ? NULL : control->budget;
        return merged_view_new(views, opened, budget, ret_view, why);
    }
    while (opened > 0)
        view_free(views[--opened]);
    return e;
}
