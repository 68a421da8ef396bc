/*
 * binary.c - binary operators between two vectors, other than those of sets.
 *
 * The right side is read first and kept, grouped by the labels that are matched on; the left side
 * is read series by series. Matches are judged step by step: series of one match group that have no
 * step in common do not conflict. With `fill`, a number takes the part of a side that has nothing
 * at a step. With group_right the sides are exchanged, so that the kept side is always the one
 * side.
 *
 * Invariants:
 *
 *  1. The id of a group in `grouping` is its index in `groups`.
 *  2. The columns of a group are a chain from `first` to `last`, in the order in which they came;
 *     `present` of the group includes their steps.
 *  3. `twice` has the steps at which any group has two columns.
 *  4. Both operands have the steps of the operator.
 */
#include "base/array.h"
#include "base/text/quote.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"
#include "promql/eval/select/window.h"
#include "wire/escaped_name.h"

#include <assert.h>
#include <math.h>

/* --- two samples, each a float or a histogram ------------------------------------------------- */

/* Samples that cannot be combined give no result, and a note. */

static const char *
kind_of(const struct operand *x)
{
    return x->histogram == NULL ? "float" : "histogram";
}

static void
note_types(struct evaluation *ev, const struct node *node, const struct operand *a,
           const struct operand *b)
{
    const char *op = token_word(node->binary.op);
    notes_add(&ev->notes, PROMQL_INFO, node->at,
              "incompatible sample types encountered for binary operator \"%s\": %s %s %s", op,
              kind_of(a), op, kind_of(b));
}

static struct fhist *
changeable(struct arena *arena, const struct fhist *h)
{
    struct fhist *copy = arena_alloc(arena, sizeof *copy);
    if (copy == NULL || fhist_begin(arena, h, false, copy)) return NULL;
    return copy;
}

static enum err
two_histograms(struct evaluation *ev, const struct node *node, struct arena *arena,
               const struct fhist *a, const struct fhist *b, struct operand *ret,
               enum pairing *ret_pairing)
{
    enum token_type op = node->binary.op;
    bool is_sum = op == TOKEN_ADD;
    struct fhist_outcome outcome;
    if (op == TOKEN_EQ || op == TOKEN_NE) {
        *ret = (struct operand){0, a};
        if (fhist_equal(a, b) != (op == TOKEN_EQ)) *ret_pairing = PAIR_DIFFERS;
        return OK;
    }
    struct fhist *h = changeable(arena, a);
    if (h == NULL || fhist_add(arena, h, b, is_sum ? 1 : -1, &outcome)) return eval_no_memory(ev);
    if (outcome.incompatible) {
        notes_add(&ev->notes, PROMQL_WARNING, node->at,
                  "incompatible bucket layout encountered for binary operator %s", token_word(op));
        *ret_pairing = PAIR_UNFIT;
        return OK;
    }
    if (outcome.reconciled) note_reconciled(ev, node->at, is_sum ? "addition" : "subtraction");
    if (outcome.collided) note_reset_collision(ev, node->at, is_sum ? "addition" : "subtraction");
    if (!is_sum) h->hint = RESET_GAUGE;
    fhist_compact(h);
    *ret = (struct operand){0, h};
    return OK;
}

static enum err
histogram_and_float(struct evaluation *ev, const struct node *node, struct arena *arena,
                    const struct fhist *a, double b, struct operand *ret)
{
    enum token_type op = node->binary.op;
    struct fhist *h = changeable(arena, a);
    if (h == NULL) return eval_no_memory(ev);
    if (op == TOKEN_TRIM_UPPER || op == TOKEN_TRIM_LOWER) {
        fhist_trim(h, b, op == TOKEN_TRIM_LOWER);
    } else {
        if (op == TOKEN_MUL)
            fhist_multiply(h, b);
        else
            fhist_divide(h, b);
        fhist_compact(h);
    }
    *ret = (struct operand){0, h};
    return OK;
}

enum err
binary_operands(struct evaluation *ev, const struct node *node, struct arena *arena,
                struct operand a, struct operand b, struct operand *ret, enum pairing *ret_pairing)
{
    enum token_type op = node->binary.op;
    bool trims = op == TOKEN_TRIM_UPPER || op == TOKEN_TRIM_LOWER;
    enum err e = OK;
    *ret_pairing = PAIR_GIVES;
    if (a.histogram == NULL && b.histogram == NULL && !trims) {
        double value = binary_number(op, a.value, b.value);
        bool compares = token_is_comparison(op);
        if (compares && value == 0) *ret_pairing = PAIR_DIFFERS;
        *ret = (struct operand){compares ? a.value : value, NULL};
    } else if (a.histogram != NULL && b.histogram != NULL &&
               (op == TOKEN_ADD || op == TOKEN_SUB || op == TOKEN_EQ || op == TOKEN_NE)) {
        e = two_histograms(ev, node, arena, a.histogram, b.histogram, ret, ret_pairing);
    } else if (a.histogram != NULL && b.histogram == NULL &&
               (op == TOKEN_MUL || op == TOKEN_DIV || trims)) {
        e = histogram_and_float(ev, node, arena, a.histogram, b.value, ret);
    } else if (a.histogram == NULL && b.histogram != NULL && op == TOKEN_MUL) {
        e = histogram_and_float(ev, node, arena, b.histogram, a.value, ret);
    } else {
        note_types(ev, node, &a, &b);
        *ret_pairing = PAIR_UNFIT;
    }
    if (e == OK && node->binary.returns_bool && *ret_pairing != PAIR_UNFIT) {
        *ret = (struct operand){*ret_pairing == PAIR_GIVES, NULL};
        *ret_pairing = PAIR_GIVES;
    }
    return e;
}

/* --- and, or, unless -------------------------------------------------------------------------- */

/*
 * One side is read first, of which only the steps are kept at which each match group has something:
 * the right side for `and` and `unless`, the left side for `or`, which is passed on meanwhile.
 * Columns of the other side then keep the steps at which their group has something, or has nothing.
 *
 * Invariants:
 *
 *  1. The id of a group in `grouping` is its index in `present`.
 *  2. Both operands have the steps of the operator.
 */

struct set_vector {
    struct vector vector; /* first; its operand is the left one */
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
        if (!array_reserve(ev->budget, &s->present, &s->present_capacity, id + 1))
            return eval_no_memory(ev);
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
    for (size_t w = 0; w < words; w++)
        c->present[w] &= where_present ? s->present[id][w] : ~s->present[id][w];
    return OK;
}

static enum err
or_next(struct set_vector *s, struct column **ret_column)
{
    enum err e = OK;
    if (!s->first_done) {
        e = vector_next(s->vector.of, ret_column);
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
        e = vector_next(s->vector.of, ret_column);
        if (e == OK && *ret_column != NULL) e = keep_steps(s, *ret_column, s->op == TOKEN_AND);
    } while (e == OK && *ret_column != NULL &&
             bits_count((*ret_column)->present, v->grid.count) == 0);
    return e;
}

static void
set_free(struct vector *v)
{
    struct set_vector *s = (struct set_vector *)v;
    vector_free(s->right);
    grouping_fini(&s->grouping);
    array_free(v->ev->budget, s->present, s->present_capacity);
    arena_fini(&s->arena);
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
    s->right = right;
    arena_init(&s->arena, ev->budget, 0, 0);
    bool begun = grouping_begin(&s->grouping, ev->budget, &m->labels, !m->on) == OK;
    return vector_give(&s->vector, begun ? OK : eval_no_memory(ev), ret_vector);
}

/* The columns of the kept side with the same labels of those that are matched on. */
struct match_group {
    uint32_t first, last; /* indexes of columns */
    uint64_t *present;    /* bits: steps of all its columns */
    uint64_t *matched;    /* bits, for fills: steps at which the left had a match */
};

/*
 *     begins --binary_next()--> left --next_left()--> matches --fill_one()--> left
 *
 * and from left to ended after the last left column.
 */
enum binary_stage {
    BINARY_BEGINS,  /* the right is not read */
    BINARY_LEFT,    /* the next left column is needed */
    BINARY_MATCHES, /* the left column is matched with those of its group */
    BINARY_ENDED,   /* the left has ended; with fills, unmatched columns of the right follow */
};

struct binary_vector {
    struct maker made;    /* first; its operand is the many side, or the left one */
    struct vector *right; /* the one side */
    const struct node *node;
    bool swapped; /* group_right: the many side is the right operand */
    struct name_list include;
    struct columns kept; /* columns of the right */
    struct grouping grouping;
    struct match_group *groups;
    uint32_t group_capacity;
    uint32_t *group_of; /* group of each kept column */
    uint32_t group_of_capacity;
    uint32_t *next; /* index of the next column of the group; UINT32_MAX after the last */
    uint32_t next_capacity;
    uint64_t *twice;      /* bits: steps at which a group has two columns */
    struct columns given; /* labels of results that may be made once per step; bits: the steps at
                             which they were */
    struct buf key;
    uint64_t *meeting; /* bits: steps at which the two columns are a match */
    enum binary_stage stage;
    /* The left column being matched, and the columns of the right that follow. */
    struct column *left_column;
    uint32_t group;       /* GROUP_NONE if the right side lacks the group */
    uint32_t place;       /* index of the next column of the right; UINT32_MAX after the last */
    struct bytes matched; /* labels that are matched on */
    uint32_t right_at;    /* index of the next column of the right, once the left has ended */

    bool fills_one; /* a number replaces the kept side where it is missing */
    bool fills_many;
    double one_value;
    double many_value;
    struct column fill; /* fill value, at the steps where a side is missing */
};

/* --- the kept side ---------------------------------------------------------------------------- */

static enum err
binary_keep(struct binary_vector *b, const struct column *c)
{
    struct evaluation *ev = b->made.vector.ev;
    uint32_t id = b->kept.count, group, steps = b->made.vector.grid.count,
             known = b->grouping.count;
    if (grouping_find(&b->grouping, c->labels, &group)) return eval_no_memory(ev);
    assert(group <= known); /* invariant 1 */
    if (group == known) {
        size_t bytes = bits_words(steps) * sizeof(uint64_t);
        struct match_group g = {.first = UINT32_MAX, .present = arena_new(&b->kept.arena, bytes)};
        if (b->fills_many) g.matched = arena_new(&b->kept.arena, bytes);
        if (g.present == NULL || (b->fills_many && g.matched == NULL) ||
            !array_reserve(ev->budget, &b->groups, &b->group_capacity, b->grouping.count))
            return eval_no_memory(ev);
        b->groups[group] = g;
    }
    if (columns_add(&b->kept, c, steps) ||
        !array_reserve(ev->budget, &b->group_of, &b->group_of_capacity, id + 1) ||
        !array_reserve(ev->budget, &b->next, &b->next_capacity, id + 1))
        return eval_no_memory(ev);
    struct match_group *g = &b->groups[group];
    b->group_of[id] = group;
    b->next[id] = UINT32_MAX;
    assert(b->kept.count == id + 1);
    if (g->first == UINT32_MAX) {
        g->first = id;
    } else {
        assert(b->next[g->last] == UINT32_MAX); /* invariant 2 */
        b->next[g->last] = id;
    }
    g->last = id;
    for (size_t w = 0; w < bits_words(steps); w++)
        b->twice[w] |= g->present[w] & c->present[w];
    bits_add(g->present, c->present, steps);
    return OK;
}

/* Finds two columns of a group that both have the step, which is in `twice`. */
static void
find_duplicates(const struct binary_vector *b, uint32_t step, const struct column **ret_first,
                const struct column **ret_second, uint32_t *ret_group)
{
    for (uint32_t group = 0; group < b->grouping.count; group++) {
        *ret_first = NULL;
        *ret_group = group;
        for (uint32_t id = b->groups[group].first; id != UINT32_MAX; id = b->next[id]) {
            const struct column *c = &b->kept.items[id];
            if (!bits_has(c->present, step)) continue;
            *ret_second = c;
            if (*ret_first != NULL) return;
            *ret_first = c;
        }
    }
    assert(false); /* invariant 3 */
}

/* Fails if the kept side has two columns at a step at which `left` has one. `left` is NULL if a
 * fill replaces it at all steps. */
static enum err
check_duplicates(struct binary_vector *b, const struct column *left)
{
    struct evaluation *ev = b->made.vector.ev;
    const struct column *x = NULL, *y = NULL;
    uint32_t group = 0;
    for (bits_each(step, b->twice, b->made.vector.grid.count)) {
        if (left != NULL && !bits_has(left->present, step)) continue;
        find_duplicates(b, step, &x, &y, &group);
        buf_put_text(&ev->error, "found duplicate series for the match group ");
        labels_print(&ev->error, b->grouping.labels[group]);
        buf_printf(&ev->error, " on the %s hand-side of the operation: [",
                   b->swapped ? "left" : "right");
        /* Puts the text of both series, the lesser text first, as Prometheus does. */
        size_t begin = ev->error.size;
        labels_print(&ev->error, x->labels);
        size_t end = ev->error.size;
        labels_print(&ev->error, y->labels);
        bool swap = bytes_compare(bytes_of(ev->error.at + begin, end - begin),
                                  bytes_of(ev->error.at + end, ev->error.size - end)) > 0;
        ev->error.size = begin;
        labels_print(&ev->error, swap ? y->labels : x->labels);
        buf_put_text(&ev->error, ", ");
        labels_print(&ev->error, swap ? x->labels : y->labels);
        return eval_fail(ev, "];many-to-many matching not allowed: matching labels must be "
                             "unique on one side");
    }
    return OK;
}

/* --- one pair --------------------------------------------------------------------------------- */

/* True if results lose their name, type and unit now. */
static bool
drops_metadata(const struct binary_vector *b)
{
    return token_changes_metric(b->node->binary.op) ||
           (b->node->binary.returns_bool && !b->made.vector.ev->features.delayed_name_removal);
}

static void
put_left_labels(const struct binary_vector *b, struct bytes left, struct buf *to)
{
    if (drops_metadata(b))
        labels_without_metadata(to, left);
    else
        buf_put_bytes(to, left);
}

/* Makes the labels of a result. */
static enum err
put_result_labels(struct binary_vector *b, struct bytes left, struct bytes right)
{
    const struct matching *m = &b->node->binary.matching;
    struct buf *to = &b->made.labels, *scratch = &b->key;
    buf_clear(to);
    buf_clear(scratch);
    if (m->cardinality == ONE_TO_ONE) {
        put_left_labels(b, left, scratch);
        if (m->on)
            labels_keep(to, buf_bytes(scratch), &b->grouping.names);
        else
            labels_drop(to, buf_bytes(scratch), &b->grouping.names, false);
        return err_first(buf_error(to), buf_error(scratch));
    }
    put_left_labels(b, left, to);
    for (uint32_t i = 0; i < b->include.count; i++) {
        struct label label = {b->include.names[i], labels_get(right, b->include.names[i])};
        if (!labels_set(to, scratch, label)) break;
    }
    return buf_error(to);
}

/* Fails if a result with the same labels was made at one of the steps. */
static enum err
note_made(struct binary_vector *b)
{
    struct evaluation *ev = b->made.vector.ev;
    bool one_to_one = b->node->binary.matching.cardinality == ONE_TO_ONE;
    uint32_t steps = b->made.vector.grid.count;
    buf_clear(&b->key);
    buf_put_counted(&b->key, b->matched);
    if (!one_to_one) buf_put_bytes(&b->key, buf_bytes(&b->made.labels));
    if (buf_error(&b->key)) return eval_no_memory(ev);
    struct column made = {.labels = buf_bytes(&b->key), .present = b->meeting};
    struct column *before = columns_find(&b->given, made.labels);
    if (before == NULL) {
        bool added =
            columns_add_bits(&b->given, &made, steps) == OK && columns_index(&b->given) == OK;
        return added ? OK : eval_no_memory(ev);
    }
    if (bits_meet(before->present, made.present, steps)) {
        return eval_fail(ev, one_to_one
                                 ? "multiple matches for labels: many-to-one matching must be "
                                   "explicit (group_left/group_right)"
                                 : "multiple matches for labels: grouping labels must ensure "
                                   "unique matches");
    }
    bits_add(before->present, made.present, steps);
    return OK;
}

/* Combines two samples that are not plain floats. */
static enum err
combine_operands(struct binary_vector *b, uint32_t step, struct operand x, struct operand y)
{
    struct operand result;
    enum pairing pairing;
    enum err e =
        binary_operands(b->made.vector.ev, b->node, &b->made.arena, x, y, &result, &pairing);
    if (pairing == PAIR_UNFIT) bits_reset(b->meeting, step);
    if (e || pairing != PAIR_GIVES) return e;
    return maker_put(&b->made, step, result.value, result.histogram);
}

static enum err
combine_values(struct binary_vector *b, const struct column *left, const struct column *right)
{
    enum token_type op = b->node->binary.op;
    bool filters = token_is_comparison(op) && !b->node->binary.returns_bool;
    bool trims = op == TOKEN_TRIM_UPPER || op == TOKEN_TRIM_LOWER;
    uint32_t steps = b->made.vector.grid.count;
    const struct column *first = b->swapped ? right : left, *second = b->swapped ? left : right;
    bool plain = first->histograms == NULL && second->histograms == NULL && !trims;
    for (bits_each(i, b->meeting, steps)) {
        double x = first->values[i], y = second->values[i];
        if (!plain) {
            struct operand p = {x, column_histogram(first, i)};
            struct operand q = {y, column_histogram(second, i)};
            enum err e = combine_operands(b, i, p, q);
            if (e) return e;
            continue;
        }
        double value = binary_number(op, x, y);
        if (filters && value == 0) continue;
        column_set(&b->made.column, i, filters ? x : value);
    }
    return OK;
}

/* Combines two columns at the steps that both have. *ret_column is NULL without a result.
 * b->meeting has the steps at which they are a match. */
static enum err
combine(struct binary_vector *b, const struct column *left, const struct column *right,
        struct column **ret_column)
{
    enum { INCLUDE_WORK = 256 }; /* work of making labels for each result */
    uint32_t steps = b->made.vector.grid.count;
    *ret_column = NULL;
    for (size_t w = 0; w < bits_words(steps); w++)
        b->meeting[w] = left->present[w] & right->present[w];
    if (bits_count(b->meeting, steps) == 0) return OK;
    column_clear(&b->made.column, steps);
    arena_reset(&b->made.arena);
    enum err e = combine_values(b, left, right);
    if (e || bits_count(b->meeting, steps) == 0) return e;
    e = eval_work(b->made.vector.ev, (uint64_t)INCLUDE_WORK * b->include.count);
    if (e) return e;
    if (put_result_labels(b, left->labels, right->labels)) return eval_no_memory(b->made.vector.ev);
    e = note_made(b);
    if (e || bits_count(b->made.column.present, steps) == 0) return e;
    b->made.column.labels = buf_bytes(&b->made.labels);
    b->made.column.drops_name = b->node->binary.returns_bool && !drops_metadata(b);
    *ret_column = &b->made.column;
    return OK;
}

/* --- fill ------------------------------------------------------------------------------------- */

/* The number at the steps at which a column has no match, with the labels that are matched on.
 * `matched` is NULL if it has no match at any step. */
static struct column *
filling(struct binary_vector *b, const struct column *c, const uint64_t *matched, double value)
{
    uint32_t steps = b->made.vector.grid.count;
    column_clear(&b->fill, steps);
    for (bits_each(i, c->present, steps))
        if (matched == NULL || !bits_has(matched, i)) column_set(&b->fill, i, value);
    b->fill.labels = b->matched;
    return &b->fill;
}

/* Combines the left column with the number at steps that its group does not have. */
static enum err
fill_one(struct binary_vector *b, struct column **ret_column)
{
    const struct column *left = b->left_column;
    const uint64_t *present = NULL;
    if (!b->fills_one) return OK;
    if (b->group != GROUP_NONE) present = b->groups[b->group].present;
    return combine(b, left, filling(b, left, present, b->one_value), ret_column);
}

/* Combines columns of the right with the number at steps that the left did not have. */
static enum err
fill_many_next(struct binary_vector *b, struct column **ret_column)
{
    *ret_column = NULL;
    while (b->right_at < b->kept.count) {
        uint32_t id = b->right_at++;
        const struct column *right = &b->kept.items[id];
        const struct match_group *g = &b->groups[b->group_of[id]];
        b->matched = b->grouping.labels[b->group_of[id]];
        enum err e = combine(b, filling(b, right, g->matched, b->many_value), right, ret_column);
        if (e || *ret_column != NULL) return e;
    }
    return OK;
}

/* --- result of the operator ------------------------------------------------------------------- */

static enum err
next_left(struct binary_vector *b)
{
    assert(b->stage == BINARY_LEFT);
    enum err e = vector_next(b->made.vector.of, &b->left_column);
    if (e) return e;
    if (b->left_column == NULL) {
        b->stage = BINARY_ENDED;
        return OK;
    }
    e = check_duplicates(b, b->left_column);
    if (e) return e;
    if (grouping_look(&b->grouping, b->left_column->labels, &b->group))
        return eval_no_memory(b->made.vector.ev);
    b->matched = grouping_last_labels(&b->grouping);
    b->place = b->group == GROUP_NONE ? UINT32_MAX : b->groups[b->group].first;
    b->stage = BINARY_MATCHES;
    return OK;
}

static enum err
binary_next(struct vector *v, struct column **ret_column)
{
    struct binary_vector *b = (struct binary_vector *)v;
    enum err e = OK;
    *ret_column = NULL;
    if (b->stage == BINARY_BEGINS) {
        struct column *c;
        while ((e = vector_next(b->right, &c)) == OK && c != NULL) {
            e = binary_keep(b, c);
            if (e) break;
        }
        if (e == OK && (b->fills_one || b->fills_many)) e = check_duplicates(b, NULL);
        b->stage = BINARY_LEFT;
    }
    if (e) return e;
    while (b->stage != BINARY_ENDED) {
        if (b->stage == BINARY_LEFT) {
            e = next_left(b);
        } else if (b->place != UINT32_MAX) {
            assert(b->group != GROUP_NONE);
            assert(b->place < b->kept.count); /* invariant 2 */
            const struct column *right = &b->kept.items[b->place];
            b->place = b->next[b->place];
            e = combine(b, b->left_column, right, ret_column);
            if (b->fills_many) bits_add(b->groups[b->group].matched, b->meeting, v->grid.count);
        } else {
            b->stage = BINARY_LEFT;
            e = fill_one(b, ret_column);
        }
        if (e || *ret_column != NULL) return e;
    }
    return b->fills_many ? fill_many_next(b, ret_column) : OK;
}

static void
binary_free(struct vector *v)
{
    struct binary_vector *b = (struct binary_vector *)v;
    struct budget *budget = v->ev->budget;
    vector_free(b->right);
    columns_fini(&b->kept);
    columns_fini(&b->given);
    grouping_fini(&b->grouping);
    array_free(budget, b->groups, b->group_capacity);
    array_free(budget, b->group_of, b->group_of_capacity);
    array_free(budget, b->next, b->next_capacity);
    buf_fini(&b->key);
    column_fini(&b->fill, budget, v->grid.count);
    maker_free(v);
}

static enum err
binary_set_up(struct binary_vector *b)
{
    struct evaluation *ev = b->made.vector.ev;
    const struct matching *m = &b->node->binary.matching;
    uint32_t steps = b->made.vector.grid.count;
    size_t bytes = bits_words(steps) * sizeof *b->meeting;
    if (grouping_begin(&b->grouping, ev->budget, &m->labels, !m->on)) return eval_no_memory(ev);
    b->fills_one = b->swapped ? m->fills_left : m->fills_right;
    b->fills_many = b->swapped ? m->fills_right : m->fills_left;
    b->one_value = b->swapped ? m->fill_left : m->fill_right;
    b->many_value = b->swapped ? m->fill_right : m->fill_left;
    b->meeting = arena_alloc(&ev->arena, bytes);
    b->twice = arena_new(&ev->arena, bytes);
    bool fills = b->fills_one || b->fills_many;
    if (b->meeting == NULL || b->twice == NULL ||
        (fills && column_init(&b->fill, ev->budget, steps)))
        return eval_no_memory(ev);
    struct bytes *names = arena_alloc(&ev->arena, (m->include.count + 1) * sizeof *names);
    if (names == NULL) return eval_no_memory(ev);
    if (m->include.count > 0) memcpy(names, m->include.names, m->include.count * sizeof *names);
    b->include = name_list_of(names, m->include.count);
    return OK;
}

enum err
vector_binary_new(struct evaluation *ev, const struct node *node, struct vector *left,
                  struct vector *right, struct vector **ret_vector)
{
    static const struct vector_ops ops = {binary_next, binary_free};
    struct binary_vector *b = maker_alloc(ev, sizeof *b, &ops, left, &left->grid);
    const struct matching *m = &node->binary.matching;
    enum token_type op = node->binary.op;
    if (b == NULL) {
        vector_free(right);
        return eval_no_memory(ev);
    }
    assert(left->grid.count == right->grid.count); /* invariant 4 */
    /* Each series of either side is in a match group of its own. */
    bool in_pairs = m->cardinality == ONE_TO_ONE && !m->on && m->labels.count == 0 &&
                    left->one_name && right->one_name && left->each_once && right->each_once;
    b->made.vector.one_name = token_changes_metric(op);
    b->made.vector.each_once = in_pairs;
    b->swapped = m->cardinality == ONE_TO_MANY;
    b->made.vector.of = b->swapped ? right : left;
    b->right = b->swapped ? left : right;
    b->node = node;
    columns_init(&b->kept, ev->budget, &ev->held);
    columns_init(&b->given, ev->budget, &ev->held);
    buf_init(&b->key, ev->budget, 64 << 20);
    return vector_give(&b->made.vector, binary_set_up(b), ret_vector);
}
