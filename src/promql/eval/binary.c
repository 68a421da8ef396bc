/*
 * binary.c - operators between two vectors. The right side is kept, by what is matched on; the left
 * one passes by. Whether two series meet twice is judged step by step: series of one signature that
 * have no step in common do not disturb each other.
 */
#include <math.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/quote.h"
#include "promql/eval/label_edit.h"

#include "promql/eval/eval.h"

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
    bool read;
    /* The left column at hand, and which of the right come next. */
    struct column *at_hand;
    uint64_t hash;
    uint32_t place;
    bool searching;
    bool left_done; /* or: what is left of the right comes */
    uint32_t right_at;
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
    uint32_t last = b->kept.count - 1;
    for (uint32_t at = TABLE_START, id; table_next(&b->table, hash, &at, &id);) {
        bool meets =
            bytes_equal(b->signatures[id], b->signatures[last]) &&
            bits_meet(b->kept.items[id].present, b->kept.items[last].present, b->vector.grid.count);
        if (!meets) continue;
        if (!array_reserve(budget, &b->pairs, &b->pair_capacity, b->pair_count + 1)) {
            return eval_no_memory(b->vector.ev);
        }
        b->pairs[b->pair_count++] = (struct pair_of_kept){id, last};
    }
    return OK;
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
            buf_put_text(&ev->error, "found duplicate series for the match group ");
            put_quoted_labels(&ev->error, b->signatures[b->pairs[i].first]);
            buf_printf(&ev->error, " on the %s hand-side of the operation: [",
                       b->swapped ? "left" : "right");
            put_quoted_labels(&ev->error, y->labels);
            buf_put_text(&ev->error, ", ");
            put_quoted_labels(&ev->error, x->labels);
            return eval_fail(ev, "];many-to-many matching not allowed: matching labels must be "
                                 "unique on one side");
        }
    }
    return OK;
}

/* --- one pair --------------------------------------------------------------------------------- */

static bool
drops_name(const struct node *n)
{
    return !token_is_comparison(n->binary.op) || n->binary.returns_bool;
}

/* The labels of the result. */
static enum err
put_result_labels(struct binary_vector *b, struct bytes left, struct bytes right)
{
    const struct matching *m = &b->node->binary.matching;
    struct buf *to = &b->labels;
    struct name_list none = {NULL, 0};
    buf_clear(to);
    if (m->cardinality == ONE_TO_ONE) {
        struct buf plain = b->key; /* scratch */
        buf_clear(&plain);
        labels_drop(&plain, left, &none, drops_name(b->node));
        if (m->on)
            labels_keep(to, buf_bytes(&plain), &b->names);
        else
            labels_drop(to, buf_bytes(&plain), &b->names, false);
        b->key = plain;
        return err_first(buf_error(to), buf_error(&plain));
    }
    labels_drop(to, left, &none, drops_name(b->node));
    for (uint32_t i = 0; i < b->include.count; i++) {
        struct label label = {b->include.names[i], labels_get(right, b->include.names[i])};
        buf_clear(&b->key);
        labels_with(&b->key, buf_bytes(to), label);
        buf_clear(to);
        buf_put_bytes(to, buf_bytes(&b->key));
    }
    return err_first(buf_error(to), buf_error(&b->key));
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
    struct column made = {.labels = buf_bytes(&b->key), .present = b->result.present};
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

static enum err
combine(struct binary_vector *b, const struct column *left, const struct column *right,
        struct column **ret_column)
{
    enum token_type op = b->node->binary.op;
    bool filters = token_is_comparison(op) && !b->node->binary.returns_bool;
    uint32_t steps = b->vector.grid.count;
    column_clear(&b->result, steps);
    for (bits_each(i, left->present, steps)) {
        if (!bits_has(right->present, i)) continue;
        double x = b->swapped ? right->values[i] : left->values[i];
        double y = b->swapped ? left->values[i] : right->values[i];
        double value = binary_number(op, x, y);
        if (filters && value == 0) continue;
        column_set(&b->result, i, filters ? x : value);
    }
    *ret_column = NULL;
    if (bits_count(b->result.present, steps) == 0) return OK;
    if (put_result_labels(b, left->labels, right->labels)) return eval_no_memory(b->vector.ev);
    enum err e = note_made(b);
    if (e) return e;
    b->result.labels = buf_bytes(&b->labels);
    *ret_column = &b->result;
    return OK;
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
next(struct vector *v, struct column **ret_column)
{
    struct binary_vector *b = (struct binary_vector *)v;
    enum err e = b->read ? OK : read_right(b);
    b->read = true;
    *ret_column = NULL;
    if (e) return e;
    if (token_is_set_operator(b->node->binary.op)) return set_next(b, ret_column);
    for (;;) {
        if (!b->searching) {
            e = vector_next(b->left, &b->at_hand);
            if (e || b->at_hand == NULL) return e;
            e = check_duplicates(b, b->at_hand);
            if (e) return e;
            put_signature(b, &b->signature, b->at_hand->labels);
            if (buf_error(&b->signature)) return eval_no_memory(v->ev);
            b->hash = hash_bytes(buf_bytes(&b->signature), 0);
            b->place = TABLE_START;
            b->searching = true;
        }
        uint32_t id;
        if (!table_next(&b->table, b->hash, &b->place, &id)) {
            b->searching = false;
            continue;
        }
        if (!bytes_equal(b->signatures[id], buf_bytes(&b->signature))) continue;
        e = combine(b, b->at_hand, &b->kept.items[id], ret_column);
        if (e || *ret_column != NULL) return e;
    }
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

enum err
vector_binary_new(struct evaluation *ev, const struct node *node, struct vector *left,
                  struct vector *right, struct vector **ret_vector)
{
    static const struct vector_ops ops = {next, binary_free};
    struct binary_vector *b = mem_new(ev->budget, sizeof *b);
    const struct matching *m = &node->binary.matching;
    if (b == NULL) {
        vector_free(left);
        vector_free(right);
        return eval_no_memory(ev);
    }
    b->vector = (struct vector){&ops, ev, left->grid, drops_name(node)};
    b->swapped = m->cardinality == ONE_TO_MANY;
    b->left = b->swapped ? right : left;
    b->right = b->swapped ? left : right;
    b->node = node;
    if (token_is_set_operator(node->binary.op)) {
        b->vector.one_name = left->one_name && node->binary.op != TOKEN_OR;
    }
    columns_init(&b->kept, ev->budget);
    columns_init(&b->made, ev->budget);
    buf_init(&b->signature, ev->budget, 64 << 20);
    buf_init(&b->key, ev->budget, 64 << 20);
    buf_init(&b->labels, ev->budget, 64 << 20);
    enum err e = column_init(&b->result, ev->budget, left->grid.count) ? eval_no_memory(ev) : OK;
    if (e == OK) e = copy_names(ev, &m->labels, &b->names);
    if (e == OK) e = copy_names(ev, &m->include, &b->include);
    if (e == OK && (m->fills_left || m->fills_right)) {
        e = eval_fail(ev, "fill modifiers are not supported");
    }
    if (e) {
        binary_free(&b->vector);
        return e;
    }
    *ret_vector = &b->vector;
    return OK;
}
