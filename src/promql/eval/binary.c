/*
 * binary.c - operators between two vectors. The right side is kept, by what is matched on; the left
 * one passes by. Whether two series meet twice is judged step by step: series of one signature that
 * have no step in common do not disturb each other. With `fill` a side that has nothing to match at
 * a step meets a number there.
 */
#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/quote.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_edit.h"

struct pair_of_kept {
    uint32_t first;
    uint32_t second;
};

struct binary_vector {
    struct vector vector; /* first */
    struct vector *left;  /* the many side, or the left one */
    struct vector *right; /* the one side */
    const struct node *node;
    bool swapped; /* group_right: `left` is the right operand */
    struct name_list names;
    struct name_list include;
    struct columns kept; /* of the right */
    struct bytes *signatures;
    uint32_t signature_capacity;
    struct table table;         /* of them, by signature */
    struct pair_of_kept *pairs; /* of one signature, with a step in common */
    uint32_t pair_count;
    uint32_t pair_capacity;
    struct columns made; /* labels: what may be made once a step; bits: where it was */
    struct table made_table;
    struct buf signature;
    struct buf key;
    struct buf labels;
    struct column result;
    struct arena arena; /* of its histograms */
    uint64_t *meeting;  /* bits: where the two at hand are both */
    bool read;
    /* The left column at hand, and which of the right come next. */
    struct column *at_hand;
    uint64_t hash;
    uint32_t place;
    bool searching;
    bool left_done; /* or, filled: what is left of the right comes */
    uint32_t right_at;

    bool fills_one; /* the kept side, where it is missing */
    bool fills_many;
    double one_value;
    double many_value;
    uint64_t *matched;  /* bits of the left column at hand */
    uint64_t **met;     /* of each kept one: where the left had something for it */
    struct column fill; /* the number, at some steps */
};

static void
put_signature(const struct binary_vector *b, struct buf *to, struct bytes labels)
{
    buf_clear(to);
    if (b->node->binary.matching.on)
        labels_keep(to, labels, &b->names);
    else
        labels_drop(to, labels, &b->names, true);
}

/* --- the side that is kept -------------------------------------------------------------------- */

/* The last one kept, with those before that it meets. */
static enum err
note_pairs(struct binary_vector *b, uint64_t hash)
{
    struct budget *budget = b->vector.ev->budget;
    uint32_t last = b->kept.count - 1, looked_at = 0;
    for (uint32_t at = TABLE_START, id; table_next(&b->table, hash, &at, &id); looked_at++) {
        bool meets =
            bytes_equal(b->signatures[id], b->signatures[last]) &&
            bits_meet(b->kept.items[id].present, b->kept.items[last].present, b->vector.grid.count);
        if (!meets) continue;
        if (!array_reserve(budget, &b->pairs, &b->pair_capacity, b->pair_count + 1)) {
            return eval_no_memory(b->vector.ev);
        }
        b->pairs[b->pair_count++] = (struct pair_of_kept){id, last};
    }
    return eval_work(b->vector.ev, looked_at);
}

static enum err
read_right(struct binary_vector *b)
{
    bool may_repeat = token_is_set_operator(b->node->binary.op);
    struct evaluation *ev = b->vector.ev;
    struct column *c;
    enum err e;
    uint32_t steps = b->vector.grid.count;
    while ((e = vector_next(b->right, &c)) == OK && c != NULL) {
        put_signature(b, &b->signature, c->labels);
        struct bytes copy = arena_copy(&b->kept.arena, buf_bytes(&b->signature));
        uint64_t hash = hash_bytes(buf_bytes(&b->signature), 0);
        if (buf_error(&b->signature) || (copy.at == NULL && b->signature.size > 0) ||
            columns_add(&b->kept, c, steps) || !table_reserve(&b->table, ev->budget, 1) ||
            !array_reserve(ev->budget, &b->signatures, &b->signature_capacity, b->kept.count)) {
            return eval_no_memory(ev);
        }
        b->signatures[b->kept.count - 1] = copy;
        e = may_repeat ? OK : note_pairs(b, hash);
        if (e) return e;
        table_add(&b->table, hash, b->kept.count - 1);
    }
    return e;
}

static void
put_quoted_labels(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    buf_put_u8(to, '{');
    bool first = true;
    for (struct label label; labels_next(&c, &label); first = false) {
        if (!first) buf_put_text(to, ", ");
        buf_put_bytes(to, label.name);
        buf_put_u8(to, '=');
        quote_text(to, label.value);
    }
    buf_put_u8(to, '}');
}

/* Two of the kept side at a step at which the other side has anything, too. */
static enum err
check_duplicates(struct binary_vector *b, const struct column *left)
{
    struct evaluation *ev = b->vector.ev;
    uint32_t steps = b->vector.grid.count;
    for (uint32_t i = 0; i < b->pair_count; i++) {
        const struct column *x = &b->kept.items[b->pairs[i].first];
        const struct column *y = &b->kept.items[b->pairs[i].second];
        for (bits_each(step, x->present, steps)) {
            if (!bits_has(y->present, step) || !bits_has(left->present, step)) continue;
            bool rising = labels_compare(x->labels, y->labels) < 0;
            buf_put_text(&ev->error, "found duplicate series for the match group ");
            put_quoted_labels(&ev->error, b->signatures[b->pairs[i].first]);
            buf_printf(&ev->error, " on the %s hand-side of the operation: [",
                       b->swapped ? "left" : "right");
            put_quoted_labels(&ev->error, rising ? x->labels : y->labels);
            buf_put_text(&ev->error, ", ");
            put_quoted_labels(&ev->error, rising ? y->labels : x->labels);
            return eval_fail(ev, "];many-to-many matching not allowed: matching labels must be "
                                 "unique on one side");
        }
    }
    return OK;
}

/* --- one pair --------------------------------------------------------------------------------- */

/* Do results lose what describes the metric, now? */
static bool
drops_metadata(const struct binary_vector *b)
{
    return token_changes_metric(b->node->binary.op) ||
           (b->node->binary.returns_bool && !b->vector.ev->features.delayed_name_removal);
}

static void
put_left_labels(const struct binary_vector *b, struct bytes left, struct buf *to)
{
    if (drops_metadata(b))
        labels_without_metadata(to, left);
    else
        buf_put_bytes(to, left);
}

/* The labels of the result. */
static enum err
put_result_labels(struct binary_vector *b, struct bytes left, struct bytes right)
{
    const struct matching *m = &b->node->binary.matching;
    struct buf *to = &b->labels, *scratch = &b->key;
    buf_clear(to);
    buf_clear(scratch);
    if (m->cardinality == ONE_TO_ONE) {
        put_left_labels(b, left, scratch);
        if (m->on)
            labels_keep(to, buf_bytes(scratch), &b->names);
        else
            labels_drop(to, buf_bytes(scratch), &b->names, false);
        return err_first(buf_error(to), buf_error(scratch));
    }
    put_left_labels(b, left, to);
    for (uint32_t i = 0; i < b->include.count; i++) {
        struct label label = {b->include.names[i], labels_get(right, b->include.names[i])};
        if (!labels_set(to, scratch, label)) break;
    }
    return buf_error(to);
}

/* That nothing is made twice at a step. */
static enum err
note_made(struct binary_vector *b)
{
    struct evaluation *ev = b->vector.ev;
    bool one_to_one = b->node->binary.matching.cardinality == ONE_TO_ONE;
    uint32_t steps = b->vector.grid.count;
    buf_clear(&b->key);
    buf_put_counted(&b->key, buf_bytes(&b->signature));
    if (!one_to_one) buf_put_bytes(&b->key, buf_bytes(&b->labels));
    if (buf_error(&b->key)) return eval_no_memory(ev);
    struct column made = {.labels = buf_bytes(&b->key), .present = b->meeting};
    uint64_t hash = hash_bytes(made.labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&b->made_table, hash, &at, &id);) {
        struct column *before = &b->made.items[id];
        if (!bytes_equal(before->labels, made.labels)) continue;
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
    if (!table_reserve(&b->made_table, ev->budget, 1) || columns_add_bits(&b->made, &made, steps)) {
        return eval_no_memory(ev);
    }
    table_add(&b->made_table, hash, b->made.count - 1);
    return OK;
}

/* Whatever is not plain arithmetic of floats. */
static enum err
combine_operands(struct binary_vector *b, uint32_t step, struct operand x, struct operand y)
{
    struct evaluation *ev = b->vector.ev;
    struct operand result;
    bool keep;
    enum err e = binary_operands(ev, b->node, &b->arena, x, y, &result, &keep);
    if (e || !keep) return e;
    if (result.histogram == NULL) {
        column_set(&b->result, step, result.value);
        return OK;
    }
    return column_set_histogram(&b->result, ev->budget, b->vector.grid.count, step,
                                result.histogram)
               ? eval_no_memory(ev)
               : OK;
}

static enum err
combine_values(struct binary_vector *b, const struct column *left, const struct column *right)
{
    enum token_type op = b->node->binary.op;
    bool filters = token_is_comparison(op) && !b->node->binary.returns_bool;
    bool trims = op == TOKEN_TRIM_UPPER || op == TOKEN_TRIM_LOWER;
    uint32_t steps = b->vector.grid.count;
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
        column_set(&b->result, i, filters ? x : value);
    }
    return OK;
}

/* Where both are; *ret_column NULL: nothing came of it. */
static enum err
combine(struct binary_vector *b, const struct column *left, const struct column *right,
        struct column **ret_column)
{
    uint32_t steps = b->vector.grid.count;
    *ret_column = NULL;
    for (size_t w = 0; w < bits_words(steps); w++) {
        b->meeting[w] = left->present[w] & right->present[w];
    }
    if (bits_count(b->meeting, steps) == 0) return OK;
    if (put_result_labels(b, left->labels, right->labels)) return eval_no_memory(b->vector.ev);
    enum err e = note_made(b);
    if (e) return e;
    column_clear(&b->result, steps);
    arena_reset(&b->arena);
    e = combine_values(b, left, right);
    if (e || bits_count(b->result.present, steps) == 0) return e;
    b->result.labels = buf_bytes(&b->labels);
    b->result.drops_name = b->node->binary.returns_bool && !drops_metadata(b);
    *ret_column = &b->result;
    return OK;
}

/* --- fill ------------------------------------------------------------------------------------- */

/* The number at the steps at which a column has met nothing; its labels are what is matched on. */
static struct column *
filling(struct binary_vector *b, const struct column *c, const uint64_t *met, double value)
{
    uint32_t steps = b->vector.grid.count;
    column_clear(&b->fill, steps);
    for (bits_each(i, c->present, steps)) {
        if (!bits_has(met, i)) column_set(&b->fill, i, value);
    }
    b->fill.labels = buf_bytes(&b->signature);
    return &b->fill;
}

/* The left one has been with all of its signature. */
static void
note_met(struct binary_vector *b, const struct column *left)
{
    uint32_t steps = b->vector.grid.count;
    memset(b->matched, 0, bits_words(steps) * sizeof *b->matched);
    for (uint32_t at = TABLE_START, id; table_next(&b->table, b->hash, &at, &id);) {
        if (!bytes_equal(b->signatures[id], buf_bytes(&b->signature))) continue;
        bits_add(b->matched, b->kept.items[id].present, steps);
        if (b->met != NULL) bits_add(b->met[id], left->present, steps);
    }
}

/* Those of the right that the left had nothing for, one by one. */
static enum err
fill_many_next(struct binary_vector *b, struct column **ret_column)
{
    *ret_column = NULL;
    while (b->right_at < b->kept.count) {
        uint32_t id = b->right_at++;
        const struct column *right = &b->kept.items[id];
        buf_clear(&b->signature);
        buf_put_bytes(&b->signature, b->signatures[id]);
        if (buf_error(&b->signature)) return eval_no_memory(b->vector.ev);
        enum err e = combine(b, filling(b, right, b->met[id], b->many_value), right, ret_column);
        if (e || *ret_column != NULL) return e;
    }
    return OK;
}

static enum err
prepare_fill(struct binary_vector *b)
{
    struct evaluation *ev = b->vector.ev;
    uint32_t steps = b->vector.grid.count;
    if (!b->fills_many) return OK;
    b->met = arena_alloc(&b->kept.arena, (b->kept.count + 1) * sizeof *b->met);
    for (uint32_t i = 0; b->met != NULL && i < b->kept.count; i++) {
        b->met[i] = arena_new(&b->kept.arena, bits_words(steps) * sizeof **b->met);
        if (b->met[i] == NULL) return eval_no_memory(ev);
    }
    return b->met == NULL ? eval_no_memory(ev) : OK;
}

/* --- and, or, unless -------------------------------------------------------------------------- */

static enum err
set_next(struct binary_vector *b, struct column **ret_column)
{
    enum token_type op = b->node->binary.op;
    uint32_t steps = b->vector.grid.count;
    struct evaluation *ev = b->vector.ev;
    while (!b->left_done) {
        struct column *c;
        enum err e = vector_next(b->left, &c);
        if (e) return e;
        b->left_done = c == NULL;
        if (c == NULL) break;
        put_signature(b, &b->signature, c->labels);
        if (buf_error(&b->signature)) return eval_no_memory(ev);
        uint64_t hash = hash_bytes(buf_bytes(&b->signature), 0);
        column_clear(&b->result, steps);
        b->result.drops_name = c->drops_name;
        b->result.histograms = c->histograms;
        memcpy(b->result.values, c->values, steps * sizeof *c->values);
        memcpy(b->result.present, c->present, bits_words(steps) * sizeof *c->present);
        if (op == TOKEN_AND) memset(b->result.present, 0, bits_words(steps) * sizeof *c->present);
        for (uint32_t at = TABLE_START, id; table_next(&b->table, hash, &at, &id);) {
            struct column *r = &b->kept.items[id];
            if (!bytes_equal(b->signatures[id], buf_bytes(&b->signature))) continue;
            for (size_t w = 0; w < bits_words(steps); w++) {
                if (op == TOKEN_AND) b->result.present[w] |= c->present[w] & r->present[w];
                if (op == TOKEN_UNLESS) b->result.present[w] &= ~r->present[w];
                if (op == TOKEN_OR) r->present[w] &= ~c->present[w];
            }
        }
        if (bits_count(b->result.present, steps) == 0) continue;
        buf_clear(&b->labels);
        buf_put_bytes(&b->labels, c->labels);
        if (buf_error(&b->labels)) return eval_no_memory(ev);
        b->result.labels = buf_bytes(&b->labels);
        *ret_column = &b->result;
        return OK;
    }
    while (op == TOKEN_OR && b->right_at < b->kept.count) {
        struct column *c = &b->kept.items[b->right_at++];
        if (bits_count(c->present, steps) == 0) continue;
        *ret_column = c;
        return OK;
    }
    *ret_column = NULL;
    return OK;
}

/* --- the vector ------------------------------------------------------------------------------- */

static enum err
next_left(struct binary_vector *b)
{
    enum err e = vector_next(b->left, &b->at_hand);
    b->left_done = e == OK && b->at_hand == NULL;
    if (e || b->at_hand == NULL) return e;
    e = check_duplicates(b, b->at_hand);
    if (e) return e;
    put_signature(b, &b->signature, b->at_hand->labels);
    if (buf_error(&b->signature)) return eval_no_memory(b->vector.ev);
    b->hash = hash_bytes(buf_bytes(&b->signature), 0);
    b->place = TABLE_START;
    b->searching = true;
    return OK;
}

static enum err
next(struct vector *v, struct column **ret_column)
{
    struct binary_vector *b = (struct binary_vector *)v;
    enum err e = b->read ? OK : read_right(b);
    if (e == OK && !b->read) e = prepare_fill(b);
    b->read = true;
    *ret_column = NULL;
    if (e) return e;
    if (token_is_set_operator(b->node->binary.op)) return set_next(b, ret_column);
    while (!b->left_done) {
        uint32_t id;
        if (!b->searching) {
            e = next_left(b);
            if (e) return e;
        } else if (table_next(&b->table, b->hash, &b->place, &id)) {
            if (!bytes_equal(b->signatures[id], buf_bytes(&b->signature))) continue;
            e = combine(b, b->at_hand, &b->kept.items[id], ret_column);
        } else {
            b->searching = false;
            if (!b->fills_one && !b->fills_many) continue;
            note_met(b, b->at_hand);
            if (!b->fills_one) continue;
            e = combine(b, b->at_hand, filling(b, b->at_hand, b->matched, b->one_value),
                        ret_column);
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
    vector_free(b->left);
    vector_free(b->right);
    columns_fini(&b->kept);
    columns_fini(&b->made);
    table_fini(&b->table, budget);
    table_fini(&b->made_table, budget);
    array_free(budget, b->signatures, b->signature_capacity);
    array_free(budget, b->pairs, b->pair_capacity);
    buf_fini(&b->signature);
    buf_fini(&b->key);
    buf_fini(&b->labels);
    column_fini(&b->result, budget, v->grid.count);
    column_fini(&b->fill, budget, v->grid.count);
    arena_fini(&b->arena);
    mem_free(budget, b, sizeof *b);
}

static enum err
copy_names(struct evaluation *ev, const struct labels_named *labels, struct name_list *ret)
{
    struct bytes *names = arena_alloc(&ev->arena, (labels->count + 1) * sizeof *names);
    if (names == NULL) return eval_no_memory(ev);
    if (labels->count > 0) memcpy(names, labels->names, labels->count * sizeof *names);
    *ret = name_list_of(names, labels->count);
    return OK;
}

static enum err
set_up(struct binary_vector *b)
{
    struct evaluation *ev = b->vector.ev;
    const struct matching *m = &b->node->binary.matching;
    uint32_t steps = b->vector.grid.count;
    size_t bytes = bits_words(steps) * sizeof *b->meeting;
    b->fills_one = b->swapped ? m->fills_left : m->fills_right;
    b->fills_many = b->swapped ? m->fills_right : m->fills_left;
    b->one_value = b->swapped ? m->fill_left : m->fill_right;
    b->many_value = b->swapped ? m->fill_right : m->fill_left;
    b->meeting = arena_alloc(&ev->arena, bytes);
    b->matched = arena_alloc(&ev->arena, bytes);
    bool fills = b->fills_one || b->fills_many;
    if (b->meeting == NULL || b->matched == NULL || column_init(&b->result, ev->budget, steps) ||
        (fills && column_init(&b->fill, ev->budget, steps))) {
        return eval_no_memory(ev);
    }
    enum err e = copy_names(ev, &m->labels, &b->names);
    return e ? e : copy_names(ev, &m->include, &b->include);
}

enum err
vector_binary_new(struct evaluation *ev, const struct node *node, struct vector *left,
                  struct vector *right, struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, binary_free};
    struct binary_vector *b = mem_new(ev->budget, sizeof *b);
    const struct matching *m = &node->binary.matching;
    enum token_type op = node->binary.op;
    if (b == NULL) {
        vector_free(left);
        vector_free(right);
        return eval_no_memory(ev);
    }
    b->vector = (struct vector){
        .ops = &ops, .ev = ev, .grid = left->grid, .one_name = token_changes_metric(op)};
    b->swapped = m->cardinality == ONE_TO_MANY;
    b->left = b->swapped ? right : left;
    b->right = b->swapped ? left : right;
    b->node = node;
    if (token_is_set_operator(op)) b->vector.one_name = left->one_name && op != TOKEN_OR;
    columns_init(&b->kept, ev->budget, &ev->held);
    columns_init(&b->made, ev->budget, &ev->held);
    arena_init(&b->arena, ev->budget, 0, 0);
    buf_init(&b->signature, ev->budget, 64 << 20);
    buf_init(&b->key, ev->budget, 64 << 20);
    buf_init(&b->labels, ev->budget, 64 << 20);
    enum err e = set_up(b);
    if (e) {
        binary_free(&b->vector);
        return e;
    }
    *ret_vector = &b->vector;
    return OK;
}
