/*
 * sets.c - and, or, unless.
 *
 * One side is read first, of which only the steps are kept at which each match group has something:
 * the right side for `and` and `unless`, the left side for `or`, which is passed on meanwhile.
 * Columns of the other side then keep the steps at which their group has something, or has nothing.
 *
 * Invariants:
 *
 *  1. The id of a group in `grouping` is its index in `present`.
 *  2. Both operands have the steps of the operator.
 */
#include <assert.h>

#include "base/array.h"
#include "promql/eval/aggregate/grouping.h"
#include "promql/eval/eval.h"

struct set_vector {
    struct vector vector; /* first */
    struct vector *left;
    struct vector *right;
    enum token_type op;
    struct grouping grouping; /* groups of the side that is read first */
    uint64_t **present;       /* bits of each group: steps with a series */
    uint32_t present_capacity;
    struct arena arena;
    bool first_done; /* the side that is read first was read */
};

/* Adds the steps of a column to its group. */
static enum err
note_present(struct set_vector *s, const struct column *c)
{
    struct evaluation *ev = s->vector.ev;
    uint32_t id, steps = s->vector.grid.count, known = s->grouping.count;
    if (grouping_find(&s->grouping, c->labels, &id)) return eval_no_memory(ev);
    assert(id <= known);
    if (id == known) {                          /* a new group */
        assert(s->grouping.count == known + 1); /* invariant 1 */
        if (!array_reserve(ev->budget, &s->present, &s->present_capacity, id + 1)) {
            return eval_no_memory(ev);
        }
        s->present[id] = arena_new(&s->arena, bits_words(steps) * sizeof **s->present);
        if (s->present[id] == NULL) return eval_no_memory(ev);
    }
    bits_add(s->present[id], c->present, steps);
    return OK;
}

/* Keeps the steps of a column at which its group has, or lacks, a series. */
static enum err
keep_steps(struct set_vector *s, struct column *c, bool where_present)
{
    uint32_t id;
    size_t words = bits_words(s->vector.grid.count);
    if (grouping_look(&s->grouping, c->labels, &id)) return eval_no_memory(s->vector.ev);
    if (id == GROUP_NONE) {
        if (where_present) memset(c->present, 0, words * sizeof *c->present);
        return OK;
    }
    for (size_t w = 0; w < words; w++) {
        c->present[w] &= where_present ? s->present[id][w] : ~s->present[id][w];
    }
    return OK;
}

static enum err
or_next(struct set_vector *s, struct column **ret_column)
{
    enum err e = OK;
    if (!s->first_done) {
        e = vector_next(s->left, ret_column);
        s->first_done = e == OK && *ret_column == NULL;
        if (e == OK && *ret_column != NULL) e = note_present(s, *ret_column);
        if (e || *ret_column != NULL) return e;
    }
    do {
        e = vector_next(s->right, ret_column);
        if (e == OK && *ret_column != NULL) e = keep_steps(s, *ret_column, false);
    } while (e == OK && *ret_column != NULL &&
             bits_count((*ret_column)->present, s->vector.grid.count) == 0);
    return e;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct set_vector *s = (struct set_vector *)v;
    if (s->op == TOKEN_OR) return or_next(s, ret_column);
    struct column *c;
    enum err e = OK;
    while (!s->first_done && (e = vector_next(s->right, &c)) == OK && c != NULL) {
        e = note_present(s, c);
        if (e) break;
    }
    s->first_done = true;
    *ret_column = NULL;
    if (e) return e;
    do {
        e = vector_next(s->left, ret_column);
        if (e == OK && *ret_column != NULL) e = keep_steps(s, *ret_column, s->op == TOKEN_AND);
    } while (e == OK && *ret_column != NULL &&
             bits_count((*ret_column)->present, v->grid.count) == 0);
    return e;
}

static void
set_free(struct vector *v)
{
    struct set_vector *s = (struct set_vector *)v;
    vector_free(s->left);
    vector_free(s->right);
    grouping_fini(&s->grouping);
    array_free(v->ev->budget, s->present, s->present_capacity);
    arena_fini(&s->arena);
    mem_free(v->ev->budget, s, sizeof *s);
}

enum err
vector_set_new(struct evaluation *ev, const struct node *node, struct vector *left,
               struct vector *right, struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, set_free};
    const struct matching *m = &node->binary.matching;
    struct set_vector *s = vector_alloc(ev, sizeof *s, &ops, left);
    if (s == NULL) {
        vector_free(right);
        return eval_no_memory(ev);
    }
    assert(left->grid.count == right->grid.count); /* invariant 2 */
    s->op = node->binary.op;
    s->vector.one_name = left->one_name && s->op != TOKEN_OR;
    s->vector.each_once = left->each_once && s->op != TOKEN_OR;
    s->vector.by_labels = left->by_labels && s->op != TOKEN_OR;
    s->left = left;
    s->right = right;
    arena_init(&s->arena, ev->budget, 0, 0);
    if (grouping_begin(&s->grouping, ev->budget, &m->labels, !m->on)) {
        set_free(&s->vector);
        return eval_no_memory(ev);
    }
    *ret_vector = &s->vector;
    return OK;
}
