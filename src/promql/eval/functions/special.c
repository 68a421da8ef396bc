/*
 * special.c - operators that are not functions of single values: absent, and dropping histograms.
 */
#include <assert.h>
#include <math.h>

#include "base/hash/hash.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_edit.h"

/* --- absent ----------------------------------------------------------------------------------- */

struct absent_vector {
    struct vector vector; /* first */
    struct vector *of;
    struct column column;
    struct buf labels;
    bool done;
};

static enum err
absent_next(struct vector *v, struct column **ret_column)
{
    struct absent_vector *a = (struct absent_vector *)v;
    struct column *c;
    enum err e;
    *ret_column = NULL;
    if (a->done) return OK;
    a->done = true;
    column_clear(&a->column, v->grid.count);
    while ((e = vector_next(a->of, &c)) == OK && c != NULL) {
        bits_add(a->column.present, c->present, v->grid.count);
    }
    if (e) return e;
    for (uint32_t i = 0; i < v->grid.count; i++) {
        a->column.values[i] = 1;
        if (bits_has(a->column.present, i))
            bits_reset(a->column.present, i);
        else
            bits_set(a->column.present, i);
    }
    if (bits_count(a->column.present, v->grid.count) == 0) return OK;
    a->column.labels = buf_bytes(&a->labels);
    *ret_column = &a->column;
    return OK;
}

static void
absent_free(struct vector *v)
{
    struct absent_vector *a = (struct absent_vector *)v;
    vector_free(a->of);
    column_fini(&a->column, v->ev->budget, v->grid.count);
    buf_fini(&a->labels);
    mem_free(v->ev->budget, a, sizeof *a);
}

/* Makes labels of the selector's matchers: the first `=` of a name sets the label, any later
 * matcher of that name removes it. */
static enum err
labels_of_matchers(struct evaluation *ev, const struct node *node, struct buf *to)
{
    struct buf next;
    struct table named = {.slots = NULL}; /* matchers that set a label, by the hash of the name */
    if (node->kind == NODE_RANGE) node = node->range.selector;
    if (node->kind != NODE_SELECTOR) return OK;
    const struct node_matcher *matchers = node->selector.matchers;
    enum err e = OK;
    buf_init(&next, ev->budget, 64 << 20);
    for (uint32_t i = 0; i < node->selector.matcher_count && e == OK; i++) {
        const struct node_matcher *m = &matchers[i];
        bool again = false;
        uint64_t hash = hash_bytes(m->name, 0);
        if (bytes_equal_text(m->name, "__name__")) continue;
        for (uint32_t at = TABLE_START, id; !again && table_next(&named, hash, &at, &id);) {
            assert(id < i); /* id of an earlier matcher */
            again = bytes_equal(matchers[id].name, m->name);
        }
        bool sets = m->type == MATCH_EQUAL && !again;
        if (sets && !table_reserve(&named, ev->budget, 1)) e = ERR_NOMEM;
        if (sets && e == OK) table_add(&named, hash, i);
        struct label label = {m->name, sets ? m->value : bytes_of("", 0)};
        if (e == OK && !labels_set(to, &next, label)) e = ERR_NOMEM;
    }
    buf_fini(&next);
    table_fini(&named, ev->budget);
    return e || buf_error(to) ? eval_no_memory(ev) : OK;
}

enum err
vector_absent_new(struct evaluation *ev, const struct node *argument, struct vector *of,
                  struct vector **ret_vector)
{
    static const struct vector_ops ops = {absent_next, absent_free};
    struct absent_vector *a = vector_alloc(ev, sizeof *a, &ops, of);
    if (a == NULL) return eval_no_memory(ev);
    a->vector.one_name = a->vector.each_once = true;
    a->of = of;
    buf_init(&a->labels, ev->budget, 64 << 20);
    enum err e = column_init(&a->column, ev->budget, of->grid.count) ? eval_no_memory(ev) : OK;
    if (e == OK) e = labels_of_matchers(ev, node_inside(argument), &a->labels);
    if (e) {
        absent_free(&a->vector);
        return e;
    }
    *ret_vector = &a->vector;
    return OK;
}

/* --- floats ----------------------------------------------------------------------------------- */

struct floats_vector {
    struct vector vector; /* first */
    struct vector *of;
};

static enum err
floats_next(struct vector *v, struct column **ret_column)
{
    struct floats_vector *f = (struct floats_vector *)v;
    for (;;) {
        enum err e = vector_next(f->of, ret_column);
        struct column *c = *ret_column;
        if (e || c == NULL || c->histograms == NULL) return e;
        for (bits_each(i, c->present, v->grid.count)) {
            if (c->histograms[i] != NULL) bits_reset(c->present, i);
        }
        if (bits_count(c->present, v->grid.count) > 0) return OK;
    }
}

static void
floats_free(struct vector *v)
{
    struct floats_vector *f = (struct floats_vector *)v;
    vector_free(f->of);
    mem_free(v->ev->budget, f, sizeof *f);
}

enum err
vector_floats_new(struct evaluation *ev, struct vector *of, struct vector **ret_vector)
{
    static const struct vector_ops ops = {floats_next, floats_free};
    struct floats_vector *f = vector_alloc(ev, sizeof *f, &ops, of);
    if (f == NULL) return eval_no_memory(ev);
    f->vector.each_once = of->each_once;
    f->of = of;
    *ret_vector = &f->vector;
    return OK;
}
