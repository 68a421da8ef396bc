/* promql.c - see promql.h. */
#include "promql/promql.h"
#include "promql/parse/tree.h"

enum err
promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget, struct buf *to,
               struct buf *error)
{
    struct promql_tree *tree;
    enum err e = tree_parse(text, budget, &tree, error);
    if (e) return e;
    if (form == PROMQL_LINES)
        tree_print_pretty(tree->root, to);
    else
        tree_print_json(tree->root, to);
    tree_free(tree);
    return buf_error(to);
}

enum err
promql_parse(struct bytes text, struct budget *budget, struct promql_tree **ret_tree,
             struct buf *error)
{
    return tree_parse(text, budget, ret_tree, error);
}

enum err
promql_parse_selector(struct bytes text, struct budget *budget, struct promql_tree **ret_tree,
                      struct buf *error)
{
    enum err e = tree_parse_selector(text, budget, ret_tree, error);
    if (e) return e;
    const struct matcher_set *set = &(*ret_tree)->sets[0];
    for (uint32_t i = 0; i < set->count; i++) {
        if (!matcher_matches_empty(set->matchers[i])) return OK;
    }
    tree_free(*ret_tree);
    buf_put_text(error, "match[] must contain at least one non-empty matcher");
    return ERR_INPUT;
}

void
promql_free(struct promql_tree *tree)
{
    tree_free(tree);
}

const struct matcher_set *
promql_selectors(const struct promql_tree *tree, uint32_t *ret_count)
{
    *ret_count = tree->set_count;
    return tree->sets;
}
