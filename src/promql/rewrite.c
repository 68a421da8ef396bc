/* rewrite.c - see promql.h. */
#include "promql/parse/tree.h"
#include "promql/promql.h"

enum err
promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget, struct buf *to,
               struct buf *error)
{
    struct tree *tree;
    enum err e = tree_parse(text, budget, &tree, error);
    if (e) return e;
    if (form == PROMQL_LINES)
        tree_print_pretty(tree->root, to);
    else
        tree_print_json(tree->root, to);
    tree_free(tree);
    return buf_error(to);
}
