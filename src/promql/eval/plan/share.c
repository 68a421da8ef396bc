/*
 * share.c - see plan.h.
 *
 * Parts are found by their printed text, with the text of the subqueries around them, since these
 * give the steps. Only the first node of a share has operands in the plan. The first reader that
 * wants a column fills the share: it keeps all columns of the part. If there are too many, or the
 * part added a note, which names the place of the node, other readers plan and evaluate their own
 * node; the reader of the first node then passes on what was not kept.
 *
 *      found --share_build()--> built --share_fill()--> filled
 *
 * Invariants:
 *
 *  1. All readers of a share read at the steps of its first node.
 *  2. `source` exists from share_build() until all was kept, or the last reader of the last node is
 *     freed.
 *  3. Between share_enter() and leave() the operator and the budget of the evaluation are those of
 *     the share, and its counts grow by what the evaluation counts.
 *  4. `readers` counts the vectors of vector_share_new() that were not freed; 0 at the end.
 */
#include "promql/eval/plan/plan.h"

#include <assert.h>
#include <inttypes.h>

#include "base/array.h"
#include "base/hash/hash.h"

enum {
    KEPT_MAX = 1 << 20,          /* values that a share keeps */
    SHARE_TEXT_BYTES_MAX = 1024, /* longer parts are not compared with others */
    /* Printing this much to find equal parts takes about 100 ms. The rest of a longer expression is
     * not shared. */
    PRINTED_BYTES_MAX = 16 << 20,
};

enum share_stage { STAGE_FOUND, STAGE_BUILT, STAGE_FILLED };

struct share {
    const struct plan_node *plan; /* the first of the equal nodes: it is built, and notes name it */
    struct share *next;           /* next share of the expression */
    uint32_t places;              /* count of equal nodes */
    uint32_t done;                /* count of readers that were freed */
    uint32_t readers;             /* count of readers */

    enum share_stage stage;
    struct vector *source;               /* NULL after all was kept */
    bool one_name, each_once, by_labels; /* properties of the source */
    /* The operator for which it was built, and to which memory of the source is charged. */
    struct plan_figures *at;
    struct budget *budget;

    uint32_t steps; /* steps of the evaluation when it was built */
    bool is_alone;  /* readers of other nodes evaluate their own node */
    struct columns kept;
    uint64_t samples;       /* samples that the part has counted, in all */
    uint64_t *step_samples; /* and at each step of the evaluation */
};

/* A part that a later one may be equal to. */
struct shared_text {
    struct bytes text; /* text of the part, after the texts of the subqueries around it */
    struct plan_node *plan;
};

struct expression_shares {
    struct share *first; /* all of them */
    struct shared_text *texts;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* texts by their hash */
    uint64_t printed_bytes;
};

/* --- finding ---------------------------------------------------------------------------------- */

/* Adds a node to the share of an equal one. */
static enum err
share_join(struct evaluation *ev, struct plan_node *first, struct plan_node *x)
{
    if (!grid_equal(&first->grid, &x->grid)) return OK;
    if (first->share == NULL) {
        struct share *s = arena_new(&ev->arena, sizeof *s);
        if (s == NULL) return eval_no_memory(ev);
        *s = (struct share){.plan = first, .next = ev->shares->first, .places = 1};
        first->share = ev->shares->first = s;
    }
    x->share = first->share;
    x->share->places++;
    assert(grid_equal(&share_read_by(x)->grid, &x->grid)); /* invariant 4 of plan.c */
    return OK;
}

/* Nodes are equal if their printed texts are, and those of the subqueries that their steps come
 * from. */
static enum err
share_find_text(struct evaluation *ev, struct plan_node *x, struct bytes text)
{
    struct expression_shares *shares = ev->shares;
    uint64_t hash = hash_bytes(text, 0);
    for (uint32_t at = TABLE_START, id; table_next(&shares->table, hash, &at, &id);)
        if (bytes_equal(shares->texts[id].text, text))
            return share_join(ev, shares->texts[id].plan, x);
    struct shared_text t = {arena_copy(&ev->arena, text), x};
    if (t.text.at == NULL ||
        !array_reserve(ev->budget, &shares->texts, &shares->capacity, shares->count + 1) ||
        !table_reserve(&shares->table, ev->budget, 1))
        return eval_no_memory(ev);
    table_add(&shares->table, hash, shares->count);
    shares->texts[shares->count++] = t;
    return OK;
}

enum err
share_find(struct evaluation *ev, struct plan_node *x, struct bytes steps_from)
{
    struct buf text;
    if (ev->shares->printed_bytes > PRINTED_BYTES_MAX) return OK;
    if (x->node->at.end - x->node->at.begin > SHARE_TEXT_BYTES_MAX) return OK;
    buf_init(&text, ev->budget, 1 << 21);
    buf_put_bytes(&text, steps_from);
    /* The same text elsewhere may have histograms without hints about resets. */
    if (x->node->counted_only > 0) buf_printf(&text, "%" PRIu32 " ", x->node->counted_only);
    tree_print(x->node, &text);
    ev->shares->printed_bytes += text.size;
    enum err e = buf_error(&text) ? eval_no_memory(ev) : share_find_text(ev, x, buf_bytes(&text));
    buf_fini(&text);
    return e;
}

enum err
share_steps(struct evaluation *ev, const struct node *subquery, struct bytes steps_from,
            struct buf *text, bool *ret_known)
{
    struct buf of;
    *ret_known = false;
    if (ev->shares->printed_bytes > PRINTED_BYTES_MAX) return OK;
    buf_init(&of, ev->budget, 1 << 20);
    tree_print(subquery->subquery.expr, &of);
    buf_put_bytes(text, steps_from);
    size_t before = text->size;
    tree_print(subquery, text);
    enum err e = err_first(buf_error(text), buf_error(&of));
    ev->shares->printed_bytes += text->size + of.size;
    *ret_known = e == OK;
    if (e == OK) {
        /* "EXPR[1h:1m] offset 5m" without EXPR. */
        memmove(text->at + before, text->at + before + of.size, text->size - before - of.size);
        text->size -= of.size;
    }
    buf_fini(&of);
    return e == OK || e == ERR_LIMIT ? OK : eval_no_memory(ev);
}

enum err
shares_begin(struct evaluation *ev)
{
    assert(ev->shares == NULL);
    if (ev->tree->set_count < 2) return OK;
    ev->shares = arena_new(&ev->arena, sizeof *ev->shares);
    return ev->shares == NULL ? eval_no_memory(ev) : OK;
}

const struct plan_node *
share_read_by(const struct plan_node *x)
{
    return x->share == NULL || x->share->plan == x ? NULL : x->share->plan;
}

/* --- the part itself -------------------------------------------------------------------------- */

/* State of the evaluation outside of the share, kept from share_enter() to leave(). */
struct visit {
    struct plan_figures *at;
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
    for (uint32_t i = 0; i < s->steps; i++)
        s->step_samples[i] -= ev->step_samples[i]; /* leave() adds what is counted until then */
}

static void
leave(struct share *s, struct evaluation *ev, const struct visit *v)
{
    assert(ev->at == s->at);           /* invariant 3 */
    assert(ev->budget == s->budget);   /* invariant 3 */
    assert(ev->samples >= v->samples); /* invariant 3 */
    ev->at = v->at;
    ev->budget = v->budget;
    for (uint32_t i = 0; i < s->steps; i++)
        s->step_samples[i] += ev->step_samples[i];
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
    for (struct share *s = shares->first; s != NULL; s = s->next) {
        if (s->stage == STAGE_FOUND) continue;
        free_source(s, ev); /* its operators may read other shares */
        columns_fini(&s->kept);
    }
    for (struct share *s = shares->first; s != NULL; s = s->next)
        assert(s->readers == 0); /* invariant 4 */
    array_free(ev->budget, shares->texts, shares->capacity);
    table_fini(&shares->table, ev->budget);
}

static enum err
build_first(struct share *s, struct evaluation *ev)
{
    struct visit v;
    s->at = ev->at;
    s->budget = ev->budget;
    s->steps = ev->grid.count;
    share_enter(s, ev, &v);
    enum err e = vector_build(ev, s->plan, &s->source);
    leave(s, ev, &v);
    if (e) return e;
    s->stage = STAGE_BUILT;
    s->one_name = s->source->one_name;
    s->each_once = s->source->each_once;
    s->by_labels = s->source->by_labels;
    columns_init(&s->kept, s->budget, &ev->held);
    return OK;
}

/* Builds the part for all its readers. */
static enum err
share_build(struct share *s, struct evaluation *ev)
{
    struct measuring m;
    assert(s->readers == 0);
    s->step_samples = arena_new(&ev->arena, ev->grid.count * sizeof *s->step_samples);
    if (s->step_samples == NULL) return eval_no_memory(ev);
    /* For any first reader, the plan has the operators of the part below the first node. */
    bool elsewhere = ev->at != s->plan->figures && measure_begin(ev, s->plan, &m);
    enum err e = build_first(s, ev);
    if (elsewhere) measure_end(ev, &m);
    return e;
}

/* Keeps all columns, or, if there are too many, as many as are allowed. */
static enum err
share_fill(struct share *s, struct evaluation *ev)
{
    struct visit v;
    struct column *c = NULL;
    uint64_t most = KEPT_MAX / s->plan->grid.count;
    enum err e = OK;
    assert(s->stage == STAGE_BUILT);
    assert(s->source != NULL); /* invariant 2 */
    s->stage = STAGE_FILLED;
    share_enter(s, ev, &v);
    do {
        e = vector_next(s->source, &c);
        if (e == OK && c != NULL && columns_add(&s->kept, c, s->plan->grid.count))
            e = eval_no_memory(ev);
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
    struct maker made; /* first; its column is a copy: callers may change a column */
    struct share *share;
    const struct plan_node *plan;
    bool counted;       /* samples of the share were counted for this reader */
    struct vector *own; /* vector of the reader's own node, used instead of the share */
    uint32_t next;
};

static enum err
share_give(struct reading_vector *r, const struct column *c, struct column **ret_column)
{
    uint32_t steps = r->made.vector.grid.count;
    assert(c->kept.end <= steps); /* invariant 1 */
    column_clear(&r->made.column, steps);
    r->made.column.labels = c->labels;
    r->made.column.drops_name = c->drops_name;
    r->made.column.lost_type = c->lost_type;
    if (c->kept.end > 0) {
        memcpy(r->made.column.values + c->kept.first, c->values + c->kept.first,
               (c->kept.end - c->kept.first) * sizeof *c->values);
    }
    memcpy(r->made.column.present, c->present, bits_words(steps) * sizeof *c->present);
    for (bits_each(i, c->present, steps)) {
        if (column_histogram(c, i) == NULL) continue;
        enum err e = maker_put(&r->made, i, 0, c->histograms[i]);
        if (e) return e;
    }
    *ret_column = &r->made.column;
    return OK;
}

/* Builds the operator of a reader's own node. */
static enum err
build_alone(struct evaluation *ev, const struct plan_node *reader, struct vector **ret_vector)
{
    struct plan_node *plan;
    enum err e = plan_make_alone(ev, reader, &plan);
    return e ? e : vector_build(ev, plan, ret_vector);
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
    if (e == OK && s->is_alone && r->plan != s->plan && r->own == NULL) {
        struct vector *own;
        e = build_alone(ev, r->plan, &own);
        if (e == OK) r->own = own;
    }
    if (e) return e;
    if (r->own != NULL) return vector_next(r->own, ret_column);
    if (r->plan != s->plan && !r->counted) {
        /* Counts the samples as if the part were evaluated again. */
        assert(s->steps == ev->grid.count);
        r->counted = true;
        ev->samples += s->samples;
        for (uint32_t i = 0; i < s->steps; i++)
            ev->step_samples[i] += s->step_samples[i];
    }
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
    maker_free(v);
    s->done++;
    assert(s->readers > 0); /* invariant 4 */
    if (--s->readers == 0 && s->done >= s->places) {
        free_source(s, v->ev);
        columns_fini(&s->kept);
    }
}

enum err
vector_share_new(struct evaluation *ev, const struct plan_node *x, struct vector **ret_vector)
{
    static const struct vector_ops ops = {reading_next, reading_free};
    struct share *s = x->share;
    if (ev->shard_count > 0) return build_alone(ev, x, ret_vector); /* shards share nothing */
    enum err e = s->stage == STAGE_FOUND ? share_build(s, ev) : OK;
    if (e) return e;
    struct reading_vector *r = maker_alloc(ev, sizeof *r, &ops, NULL, &x->grid);
    if (r == NULL) return eval_no_memory(ev);
    r->made.vector.one_name = s->one_name;
    r->made.vector.each_once = s->each_once;
    r->made.vector.by_labels = s->by_labels;
    s->readers++;
    r->share = s;
    r->plan = x;
    *ret_vector = &r->made.vector;
    return OK;
}
