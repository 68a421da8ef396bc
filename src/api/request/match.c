/* match.c - see match.h. */
#include "api/request/match.h"

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

enum err
match_add(struct match *m, const char *text,
          enum err (*parse)(struct bytes text, struct budget *budget, struct query_control *control,
                            struct promql_tree **ret_tree, struct buf *error),
          struct form *form, struct budget *budget, struct query_control *control,
          struct buf *error, struct why *why)
{
    enum err e = query_control_check(control, why);
    if (e) return e;
    struct promql_tree **trees = arena_push(&form->arena, m->trees, m->tree_count, sizeof(void *));
    if (trees == NULL) return no_memory(why);
    m->trees = trees;
    e = parse(bytes_of_text(text), budget, control, &trees[m->tree_count], error);
    if (e == ERR_CANCELED) return query_control_check(control, why);
    if (e) return e == ERR_INPUT || e == ERR_LIMIT ? ERR_INPUT : no_memory(why);
    uint32_t count;
    const struct matcher_set *added = promql_selectors(trees[m->tree_count++], &count);
    for (uint32_t i = 0; i < count; i++) {
        struct matcher_set *sets = arena_push(&form->arena, m->sets, m->set_count, sizeof *sets);
        if (sets == NULL) return no_memory(why);
        m->sets = sets;
        sets[m->set_count++] = added[i];
    }
    return OK;
}

/* Says whether the selectors pass a series without labels. */
static bool
passes_all(const struct matcher_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (!matcher_matches_empty(set->matchers[i])) return false;
    }
    return true;
}

enum err
match_read(struct match *m, struct form *form, struct budget *budget, struct query_control *control,
           struct buf *error, struct why *why)
{
    struct form_walk walk = {0};
    const char *text;
    while ((text = form_next(form, "match[]", &walk)) != NULL) {
        enum err e = match_add(m, text, promql_parse_selector, form, budget, control, error, why);
        if (e) return e;
    }
    for (uint32_t i = 0; i < m->set_count; i++) {
        if (!passes_all(&m->sets[i])) continue;
        buf_put_text(error, "match[] must contain at least one non-empty matcher");
        return ERR_INPUT;
    }
    return OK;
}

void
match_fini(struct match *m)
{
    for (uint32_t i = 0; i < m->tree_count; i++) {
        promql_free(m->trees[i]);
    }
}
