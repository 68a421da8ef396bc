/*
 * operand.c - evaluates a binary operator for two samples, each a float or a histogram. Samples
 * that cannot be combined give no result, and a note.
 */
#include "promql/eval/select/window.h"

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
    notes_add(&ev->notes, NOTE_INFO, node->at,
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
        notes_add(&ev->notes, NOTE_WARNING, node->at,
                  "incompatible bucket layout encountered for binary operator %s", token_word(op));
        *ret_pairing = PAIR_UNFIT;
        return OK;
    }
    if (outcome.reconciled) note_reconciled(ev, node->at, is_sum ? "addition" : "subtraction");
    if (outcome.collided) {
        note_reset_collision(ev, node->at, is_sum ? "addition" : "subtraction");
    }
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
