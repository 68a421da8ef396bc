/* replica_choice.c - chooses, for a request, the labels that name the replicas of a Prometheus. */
#include "api/request/replica_choice.h"

#include <assert.h>
#include <stdlib.h>

#include "api/request/form.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "views/stack.h"

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static enum err
choice_add(struct replica_choice *c, struct bytes name, struct arena *arena, struct why *why)
{
    assert(c->count <= REPLICA_LABELS_MAX);
    for (uint32_t i = 0; i < c->count; i++) {
        if (bytes_equal(c->names[i], name)) return OK;
    }
    if (c->count == REPLICA_LABELS_MAX) return ERR_LIMIT;
    struct bytes copy = arena_copy(arena, name);
    if (copy.at == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    c->names[c->count++] = copy;
    return OK;
}

/* Adds the labels of the setting, which was checked. */
static enum err
choice_add_setting(struct api *api, struct replica_choice *c, struct arena *arena, struct why *why)
{
    struct api_limits limits = api_limits_now(api);
    struct bytes names[REPLICA_LABELS_MAX];
    uint32_t count = replica_labels_of(limits.query.replica_labels, names);
    enum err e = OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = choice_add(c, names[i], arena, why);
    }
    return e;
}

/* Adds the labels of the request. An empty name adds none, and replaces the setting. *ret_any: the
 * argument is given. */
static enum err
choice_add_given(struct replica_choice *c, const struct form *form, struct arena *arena,
                 bool *ret_any, struct buf *error, struct why *why)
{
    static const char argument[] = "replicaLabels[]";
    struct form_walk walk = {0};
    const char *text;
    *ret_any = false;
    while ((text = form_next(form, argument, &walk)) != NULL) {
        struct bytes name = bytes_of_text(text);
        *ret_any = true;
        if (name.size == 0) continue;
        if (!utf8_valid(name)) {
            enum err invalid = form_invalid(error, argument, "invalid label name: ");
            quote_text(error, name);
            return invalid;
        }
        enum err e = choice_add(c, name, arena, why);
        if (e == ERR_LIMIT) {
            return form_invalid(error, argument, "at most %d are allowed", REPLICA_LABELS_MAX);
        }
        if (e) return e;
    }
    return OK;
}

enum err
replica_choice_read(struct api *api, const struct form *form, struct arena *arena,
                    struct replica_choice *ret, struct buf *error, struct why *why)
{
    bool dedup = true, any = false;
    ret->count = 0;
    ret->counts_usage = true;
    enum err e = form_bool(form, "dedup", &dedup, error);
    if (e == OK) e = form_bool(form, "count_usage", &ret->counts_usage, error);
    if (e == OK) e = choice_add_given(ret, form, arena, &any, error, why);
    if (e == OK && !any) e = choice_add_setting(api, ret, arena, why);
    if (e) return e;
    if (!dedup) ret->count = 0;
    qsort(ret->names, ret->count, sizeof *ret->names, compare_names);
    return OK;
}

enum err
replica_choice_open(const struct api *api, const struct replica_choice *c,
                    const struct fence *fence, struct query_control *control,
                    struct view **ret_view, struct why *why)
{
    bool restricts = fence->permitted.count > 0;
    if (restricts && !api->options.answerer->restricts) {
        return why_set(why, ERR_UNSUPPORTED, "%s cannot restrict answers to permitted series",
                       api->options.answerer->name);
    }
    control->permitted = restricts ? &fence->permitted : NULL;
    control->usage = c->counts_usage ? api->options.usage : NULL;
    struct view_stack stack = {
        .answerer = api->options.answerer, .replicas = c->names, .replica_count = c->count};
    return view_stack_open(&stack, control, ret_view, why);
}
