/*
 * share.c - see share.h.
 *
 * Parts are found by their printed text, with the text of the subqueries around them, since these
 * give the steps. The first reader that wants a column fills the share: it keeps all columns of the
 * part. If there are too many, or the part added a note, which names the place of the node, other
 * readers evaluate their own node; the reader of the first node then passes on what was not kept.
 *
 *      found --share_build()--> built --share_fill()--> filled
 *
 * Invariants:
 *
 *  1. A share that was built has one grid, at which all its readers read.
 *  2. `source` exists from share_build() until all was kept, or the last reader of the last node is
 *     freed.
 *  3. Between share_enter() and leave() the operator and the budget of the evaluation are those of
 * the share, and its counts grow by what the evaluation counts.
 *  4. `readers` counts the vectors of share_read() that were not freed; 0 at the end.
 */
#include "promql/eval/plan/share.h"

#include <assert.h>
#include <inttypes.h>

#include "base/array.h"
#include "base/hash/hash.h"

enum {
    KEPT_MAX = 1 << 20,    /* values that a share keeps */
    TEXT_BYTES_MAX = 1024, /* longer parts are not compared with others */
    /* Printing this much to find equal parts takes about 100 ms. The rest of a longer expression is
     * not shared. */
    PRINTED_BYTES_MAX = 16 << 20,
};

enum share_stage { STAGE_FOUND, STAGE_BUILT, STAGE_FILLED };

struct share {
    struct bytes text; /* text of the part, after the texts of the subqueries around it */
    uint32_t places;   /* count of nodes with this text */
    uint32_t done;     /* count of readers that were freed */
    uint32_t readers;  /* count of readers */

    const struct node *node; /* the first of the nodes: it is built, and notes name its position */
    enum share_stage stage;
    struct grid grid;
    struct vector *source;               /* NULL after all was kept */
    bool one_name, each_once, by_labels; /* properties of the source */
    /* The operator for which it was built, and to which memory of the source is charged. */
    struct plan_node *at;
    struct budget *budget;

    uint32_t steps; /* steps of the evaluation when it was built */
    bool is_alone;  /* readers of other nodes evaluate their own node */
    struct columns kept;
    uint64_t samples;       /* samples that the part has counted, in all */
    uint64_t *step_samples; /* and at each step of the evaluation */
};

struct node_share {
    const struct node *node;
    uint32_t share;
};

struct expression_shares {
    struct share *items;
    uint32_t count;
    uint32_t capacity;
    struct table by_text;
    struct node_share *nodes;
    uint32_t node_count;
    uint32_t node_capacity;
    struct table by_node;
    uint64_t printed_bytes;
};

/* --- finding ---------------------------------------------------------------------------------- */

static struct share *
by_text(struct expression_shares *shares, struct bytes text, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&shares->by_text, hash, &at, &id);) {
        if (bytes_equal(shares->items[id].text, text)) return &shares->items[id];
    }
    return NULL;
}

static enum err
note_node(struct evaluation *ev, const struct node *n, struct share *share)
{
    struct expression_shares *shares = ev->shares;
    if (!array_reserve(ev->budget, &shares->nodes, &shares->node_capacity,
                       shares->node_count + 1) ||
        !table_reserve(&shares->by_node, ev->budget, 1)) {
        return eval_no_memory(ev);
    }
    if (share->places++ == 0) share->node = n;
    table_add(&shares->by_node, node_hash(n), shares->node_count);
    shares->nodes[shares->node_count++] = (struct node_share){n, (uint32_t)(share - shares->items)};
    return OK;
}

static enum err
add_share(struct evaluation *ev, struct bytes text, uint64_t hash, struct share **ret)
{
    struct expression_shares *shares = ev->shares;
    if (!array_reserve(ev->budget, &shares->items, &shares->capacity, shares->count + 1) ||
        !table_reserve(&shares->by_text, ev->budget, 1)) {
        return eval_no_memory(ev);
    }
    struct share s = {.text = arena_copy(&ev->arena, text)};
    if (s.text.at == NULL) return eval_no_memory(ev);
    table_add(&shares->by_text, hash, shares->count);
    *ret = &shares->items[shares->count];
    shares->items[shares->count++] = s;
    return OK;
}

/* Adds a node to the share of its text. *ret_again is true if an equal node came before. Nodes are
 * equal if their printed texts are, and those of the subqueries that their steps come from. */
static enum err
note_part(struct evaluation *ev, const struct node *n, struct bytes steps_from, bool *ret_again)
{
    struct buf text;
    struct share *share = NULL;
    buf_init(&text, ev->budget, 1 << 21);
    buf_put_bytes(&text, steps_from);
    /* The same text elsewhere may have histograms without hints about resets. */
    if (n->counted_only > 0) buf_printf(&text, "%" PRIu32 " ", n->counted_only);
    tree_print(n, &text);
    enum err e = buf_error(&text) ? eval_no_memory(ev) : OK;
    ev->shares->printed_bytes += text.size;
    if (e == OK) {
        uint64_t hash = hash_bytes(buf_bytes(&text), 0);
        share = by_text(ev->shares, buf_bytes(&text), hash);
        *ret_again = share != NULL;
        if (share == NULL) e = add_share(ev, buf_bytes(&text), hash, &share);
    }
    if (e == OK) e = note_node(ev, n, share);
    buf_fini(&text);
    return e;
}

static enum err note_parts(struct evaluation *ev, const struct node *n, struct bytes steps_from);

/* True if its operand is a selector of which it uses another part than the value. */
static bool
takes_no_values(const struct node *n)
{
    const struct node *of;
    if (n->kind == NODE_AGGREGATION) {
        of = n->aggregation.expr;
    } else {
        if (n->call.argument_count == 0) return false;
        of = n->call.arguments[0];
    }
    return node_inside(of)->kind == NODE_SELECTOR && node_part(n) != PART_VALUE;
}

/* The steps of the operand are those of the subquery. */
static enum err
note_subquery(struct evaluation *ev, const struct node *n, struct bytes steps_from)
{
    struct buf text, of;
    buf_init(&text, ev->budget, 1 << 20);
    buf_init(&of, ev->budget, 1 << 20);
    tree_print(n->subquery.expr, &of);
    buf_put_bytes(&text, steps_from);
    size_t before = text.size;
    tree_print(n, &text);
    enum err e = err_first(buf_error(&text), buf_error(&of));
    ev->shares->printed_bytes += text.size + of.size;
    if (e) {
        e = e == ERR_LIMIT ? OK : eval_no_memory(ev); /* a part of that length shares nothing */
    } else {
        /* "EXPR[1h:1m] offset 5m" without EXPR. */
        memmove(text.at + before, text.at + before + of.size, text.size - before - of.size);
        text.size -= of.size;
        e = note_parts(ev, n->subquery.expr, buf_bytes(&text));
    }
    buf_fini(&text);
    buf_fini(&of);
    return e;
}

static enum err
note_below(struct evaluation *ev, const struct node *n, struct bytes steps_from)
{
    enum err e = OK;
    switch (n->kind) {
    case NODE_SUBQUERY:
        return note_subquery(ev, n, steps_from);
    case NODE_UNARY:
        return note_parts(ev, n->unary.expr, steps_from);
    case NODE_BINARY:
        e = note_parts(ev, n->binary.left, steps_from);
        return e ? e : note_parts(ev, n->binary.right, steps_from);
    case NODE_AGGREGATION:
        if (!takes_no_values(n)) e = note_parts(ev, n->aggregation.expr, steps_from);
        if (e || n->aggregation.param == NULL) return e;
        return note_parts(ev, n->aggregation.param, steps_from);
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.argument_count && e == OK && !takes_no_values(n); i++) {
            e = note_parts(ev, n->call.arguments[i], steps_from);
        }
        return e;
    default:
        return OK;
    }
}

static enum err
note_parts(struct evaluation *ev, const struct node *n, struct bytes steps_from)
{
    bool again = false;
    n = node_inside(n);
    if (ev->shares->printed_bytes > PRINTED_BYTES_MAX) return OK;
    /* info() uses only the labels of this argument. */
    if (n->kind == NODE_SELECTOR && n->selector.may_be_empty) return OK;
    if (n->type == VALUE_VECTOR && n->at.end - n->at.begin <= TEXT_BYTES_MAX) {
        enum err e = note_part(ev, n, steps_from, &again);
        if (e || again) return e; /* the parts within are evaluated with it */
    }
    return note_below(ev, n, steps_from);
}

/* The number of selectors of all kinds, of which callers want to know whether it is less
 * than two. */
static unsigned
count_selectors(const struct node *n)
{
    unsigned count = 0;
    n = node_inside(n);
    switch (n->kind) {
    case NODE_SELECTOR:
    case NODE_RANGE:
        return 1;
    case NODE_SUBQUERY:
        return count_selectors(n->subquery.expr);
    case NODE_UNARY:
        return count_selectors(n->unary.expr);
    case NODE_BINARY:
        count = count_selectors(n->binary.left);
        return count > 1 ? count : count + count_selectors(n->binary.right);
    case NODE_AGGREGATION:
        count = count_selectors(n->aggregation.expr);
        return count > 1 || n->aggregation.param == NULL
                   ? count
                   : count + count_selectors(n->aggregation.param);
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.argument_count && count < 2; i++) {
            count += count_selectors(n->call.arguments[i]);
        }
        return count;
    default:
        return 0;
    }
}

enum err
shares_find(struct evaluation *ev)
{
    assert(ev->shares == NULL);
    if (count_selectors(ev->tree->root) < 2) return OK;
    ev->shares = arena_new(&ev->arena, sizeof *ev->shares);
    if (ev->shares == NULL) return eval_no_memory(ev);
    return note_parts(ev, ev->tree->root, bytes_of(NULL, 0));
}

struct share *
share_of(const struct evaluation *ev, const struct node *node)
{
    if (ev->shares == NULL) return NULL;
    for (uint32_t at = TABLE_START, id;
         table_next(&ev->shares->by_node, node_hash(node), &at, &id);) {
        const struct node_share *x = &ev->shares->nodes[id];
        struct share *s = &ev->shares->items[x->share];
        if (x->node == node) return s->places > 1 && s->done < s->places ? s : NULL;
    }
    return NULL;
}

/* --- the part itself -------------------------------------------------------------------------- */

/* State of the evaluation outside of the share, kept from share_enter() to leave(). */
struct visit {
    struct plan_node *at;
    struct budget *budget;
    uint64_t notes;
    uint64_t samples;
};

static void
share_enter(struct share *s, struct evaluation *ev, struct visit *v)
{
    *v = (struct visit){ev->at, ev->budget, ev->notes.added, ev->samples};
    ev->at = s->at;
    ev->budget = s->budget;
    for (uint32_t i = 0; i < s->steps; i++) {
        s->step_samples[i] -= ev->step_samples[i]; /* leave() adds what is counted until then */
    }
}

static void
leave(struct share *s, struct evaluation *ev, const struct visit *v)
{
    assert(ev->at == s->at); /* invariant 3, as the next ones */
    assert(ev->budget == s->budget);
    assert(ev->samples >= v->samples);
    ev->at = v->at;
    ev->budget = v->budget;
    for (uint32_t i = 0; i < s->steps; i++) {
        s->step_samples[i] += ev->step_samples[i];
    }
    s->samples += ev->samples - v->samples;
    if (ev->notes.added != v->notes) s->is_alone = true;
}

static void
free_source(struct share *s, struct evaluation *ev)
{
    struct visit v;
    if (s->source == NULL) return;
    share_enter(s, ev, &v);
    vector_free(s->source);
    leave(s, ev, &v);
    s->source = NULL;
}

void
shares_fini(struct evaluation *ev)
{
    struct expression_shares *shares = ev->shares;
    if (shares == NULL) return;
    for (uint32_t i = 0; i < shares->count; i++) {
        if (shares->items[i].stage == STAGE_FOUND) continue;
        free_source(&shares->items[i], ev); /* its operators may read other shares */
        columns_fini(&shares->items[i].kept);
    }
    for (uint32_t i = 0; i < shares->count; i++) {
        assert(shares->items[i].readers == 0); /* invariant 4 */
    }
    array_free(ev->budget, shares->items, shares->capacity);
    array_free(ev->budget, shares->nodes, shares->node_capacity);
    table_fini(&shares->by_text, ev->budget);
    table_fini(&shares->by_node, ev->budget);
}

enum share_state
share_state_at(const struct share *s, const struct grid *grid)
{
    if (s->stage == STAGE_FOUND) return SHARE_FREE;
    return grid_equal(&s->grid, grid) ? SHARE_BUILT : SHARE_ELSEWHERE;
}

static enum err
build_first(struct share *s, struct evaluation *ev, const struct grid *grid)
{
    struct visit v;
    s->at = ev->at;
    s->budget = ev->budget;
    s->steps = ev->grid.count;
    s->grid = *grid;
    share_enter(s, ev, &v);
    enum err e = vector_build(ev, s->node, grid, &s->source);
    leave(s, ev, &v);
    if (e) return e;
    s->stage = STAGE_BUILT;
    s->one_name = s->source->one_name;
    s->each_once = s->source->each_once;
    s->by_labels = s->source->by_labels;
    columns_init(&s->kept, s->budget, &ev->held);
    return OK;
}

enum err
share_build(struct share *s, struct evaluation *ev, const struct grid *grid)
{
    struct measuring m;
    assert(s->stage == STAGE_FOUND); /* invariant 1 */
    assert(s->readers == 0);
    s->step_samples = arena_new(&ev->arena, ev->grid.count * sizeof *s->step_samples);
    if (s->step_samples == NULL) return eval_no_memory(ev);
    /* For any first reader, the plan has the operators of the part below the first node. */
    bool elsewhere = ev->at != NULL && ev->at->of != s->node && measure_begin(ev, s->node, &m);
    enum err e = build_first(s, ev, grid);
    if (elsewhere) measure_end(ev, &m);
    return e;
}

/* Keeps all columns, or, if there are too many, as many as are allowed. */
static enum err
share_fill(struct share *s, struct evaluation *ev)
{
    struct visit v;
    struct column *c = NULL;
    uint64_t most = KEPT_MAX / s->grid.count;
    enum err e = OK;
    assert(s->stage == STAGE_BUILT);
    assert(s->source != NULL); /* invariant 2 */
    s->stage = STAGE_FILLED;
    share_enter(s, ev, &v);
    do {
        e = vector_next(s->source, &c);
        if (e == OK && c != NULL && columns_add(&s->kept, c, s->grid.count)) {
            e = eval_no_memory(ev);
        }
    } while (e == OK && c != NULL && s->kept.count <= most);
    leave(s, ev, &v);
    if (e) return e;
    if (c != NULL)
        s->is_alone = true;
    else
        free_source(s, ev);
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading_vector {
    struct vector vector; /* first */
    struct share *share;
    const struct node *node;
    bool counted;       /* samples of the share were counted for this reader */
    struct vector *own; /* vector of the reader's own node, used instead of the share */
    uint32_t next;
    struct column column; /* a copy: callers may change a column */
};

static enum err
share_give(struct reading_vector *r, const struct column *c, struct column **ret_column)
{
    uint32_t steps = r->vector.grid.count;
    assert(c->kept.end <= steps); /* invariant 1 */
    column_clear(&r->column, steps);
    r->column.labels = c->labels;
    r->column.drops_name = c->drops_name;
    r->column.lost_type = c->lost_type;
    if (c->kept.end > 0) {
        memcpy(r->column.values + c->kept.first, c->values + c->kept.first,
               (c->kept.end - c->kept.first) * sizeof *c->values);
    }
    memcpy(r->column.present, c->present, bits_words(steps) * sizeof *c->present);
    for (bits_each(i, c->present, steps)) {
        if (column_histogram(c, i) == NULL) continue;
        if (column_set_histogram(&r->column, r->vector.ev->budget, steps, i, c->histograms[i])) {
            return eval_no_memory(r->vector.ev);
        }
    }
    *ret_column = &r->column;
    return OK;
}

/* Counts the samples as if the part were evaluated again. */
static void
count_again(struct reading_vector *r)
{
    struct evaluation *ev = r->vector.ev;
    const struct share *s = r->share;
    if (r->node == s->node || r->counted) return;
    assert(s->steps == ev->grid.count);
    r->counted = true;
    ev->samples += s->samples;
    for (uint32_t i = 0; i < s->steps; i++) {
        ev->step_samples[i] += s->step_samples[i];
    }
}

static enum err
reading_next(struct vector *v, struct column **ret_column)
{
    struct reading_vector *r = (struct reading_vector *)v;
    struct evaluation *ev = v->ev;
    struct share *s = r->share;
    enum err e = OK;
    *ret_column = NULL;
    if (s->stage == STAGE_BUILT) e = share_fill(s, ev);
    if (e == OK && s->is_alone && r->node != s->node && r->own == NULL) {
        e = vector_build(ev, r->node, &v->grid, &r->own);
    }
    if (e) return e;
    if (r->own != NULL) return vector_next(r->own, ret_column);
    count_again(r);
    if (r->next < s->kept.count) return share_give(r, &s->kept.items[r->next++], ret_column);
    if (s->source == NULL) return OK;
    struct visit visit; /* the share did not keep the rest */
    share_enter(s, ev, &visit);
    e = vector_next(s->source, ret_column);
    leave(s, ev, &visit);
    return e;
}

static void
reading_free(struct vector *v)
{
    struct reading_vector *r = (struct reading_vector *)v;
    struct share *s = r->share;
    if (r->own != NULL) vector_free(r->own);
    column_fini(&r->column, v->ev->budget, v->grid.count);
    s->done++;
    assert(s->readers > 0); /* invariant 4 */
    if (--s->readers == 0 && s->done >= s->places) {
        free_source(s, v->ev);
        columns_fini(&s->kept);
    }
    mem_free(v->ev->budget, r, sizeof *r);
}

enum err
share_read(struct share *s, struct evaluation *ev, const struct node *node,
           struct vector **ret_vector)
{
    static const struct vector_ops ops = {reading_next, reading_free};
    assert(s->stage != STAGE_FOUND); /* invariant 1 */
    struct reading_vector *r = mem_new(ev->budget, sizeof *r);
    if (r == NULL || column_init(&r->column, ev->budget, s->grid.count)) {
        mem_free(ev->budget, r, sizeof *r);
        return eval_no_memory(ev);
    }
    r->vector = (struct vector){.ops = &ops,
                                .ev = ev,
                                .grid = s->grid,
                                .one_name = s->one_name,
                                .each_once = s->each_once,
                                .by_labels = s->by_labels};
    s->readers++;
    r->share = s;
    r->node = node;
    *ret_vector = &r->vector;
    return OK;
}
