/* label_functions.c - label_replace and label_join, which change the labels of series. */
#include <assert.h>

#include "model/regex/replacer.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"

enum { LABELS_BYTES_MAX = 64 << 20 }; /* of a series */

struct label_vector {
    struct vector vector; /* first */
    struct bytes target;
    struct bytes separator; /* label_join */
    struct bytes *sources;
    uint32_t source_count;
    struct replacer *replacer; /* label_replace; NULL for label_join */
    struct buf value;
    struct buf labels;
};

/* Makes the value of the target label. *ret_changes is false if the labels stay as they are. */
static enum err
make_value(struct label_vector *l, struct bytes labels, bool *ret_changes)
{
    enum { SOURCE_WORK = 32 };
    struct evaluation *ev = l->vector.ev;
    *ret_changes = true;
    if (l->replacer != NULL) {
        struct bytes source = labels_get(labels, l->sources[0]);
        *ret_changes = replacer_apply(l->replacer, source, &l->value);
        return eval_work(ev, replacer_work(l->replacer, source.size));
    }
    for (uint32_t i = 0; i < l->source_count; i++) {
        enum err e = eval_work(ev, SOURCE_WORK);
        if (e) return e;
        if (i > 0) buf_put_bytes(&l->value, l->separator);
        buf_put_bytes(&l->value, labels_get(labels, l->sources[i]));
    }
    return OK;
}

static enum err
label_next(struct vector *v, struct column **ret_column)
{
    struct label_vector *l = (struct label_vector *)v;
    enum err e = vector_next(l->vector.of, ret_column);
    struct column *c = *ret_column;
    if (e || c == NULL) return e;
    buf_clear(&l->value);
    buf_clear(&l->labels);
    bool changes;
    e = make_value(l, c->labels, &changes);
    if (e) return e;
    if (changes)
        labels_with(&l->labels, c->labels, (struct label){l->target, buf_bytes(&l->value)});
    if (buf_error(&l->value) == ERR_LIMIT || buf_error(&l->labels) == ERR_LIMIT) {
        /* Labels are too large: nested calls can make each several times as large as the one
         * before. */
        uint64_t need = l->replacer == NULL ? c->labels.size : LABELS_BYTES_MAX;
        for (uint32_t i = 0; i < l->source_count && l->replacer == NULL; i++)
            need += labels_get(c->labels, l->sources[i]).size + l->separator.size;
        return why_set(
            &l->vector.ev->why, ERR_LIMIT,
            "%s() makes labels of %.1f MiB or more, and those of a series may have %d MiB",
            l->replacer == NULL ? "label_join" : "label_replace", (double)need / (1 << 20),
            LABELS_BYTES_MAX >> 20);
    }
    if (buf_error(&l->value) || buf_error(&l->labels)) return eval_no_memory(v->ev);
    if (!changes) return OK;
    c->labels = buf_bytes(&l->labels);
    if (bytes_equal_text(l->target, "__name__")) c->drops_name = false;
    return OK;
}

static void
label_free(struct vector *v)
{
    struct label_vector *l = (struct label_vector *)v;
    replacer_free(l->replacer);
    buf_fini(&l->value);
    buf_fini(&l->labels);
}

static enum err
wrong(struct evaluation *ev, const char *what, struct bytes given)
{
    buf_put_text(&ev->error, what);
    buf_put_bytes(&ev->error, given);
    return ERR_INPUT;
}

/* label_replace(v, target, replacement, source, regex) */
static enum err
set_up_replace(struct label_vector *l, struct node **arguments)
{
    struct evaluation *ev = l->vector.ev;
    struct bytes replacement = node_inside(arguments[2])->string;
    struct bytes regex = node_inside(arguments[4])->string;
    l->sources[0] = node_inside(arguments[3])->string;
    enum err e = replacer_new(regex, replacement, ev->budget, &l->replacer);
    if (e == ERR_INPUT) return wrong(ev, "invalid regular expression in label_replace(): ", regex);
    if (e) return eval_no_memory(ev);
    if (label_name_is_valid(l->target)) return OK;
    return wrong(ev, "invalid destination label name in label_replace(): ", l->target);
}

/* label_join(v, target, separator, source...) */
static enum err
set_up_join(struct label_vector *l, struct node **arguments)
{
    struct evaluation *ev = l->vector.ev;
    l->separator = node_inside(arguments[2])->string;
    for (uint32_t i = 0; i < l->source_count; i++) {
        l->sources[i] = node_inside(arguments[i + 3])->string;
        if (label_name_is_valid(l->sources[i])) continue;
        return wrong(ev, "invalid source label name in label_join(): ", l->sources[i]);
    }
    if (label_name_is_valid(l->target)) return OK;
    return wrong(ev, "invalid destination label name in label_join(): ", l->target);
}

enum err
vector_label_new(struct evaluation *ev, const struct node *call, struct vector *of, bool replaces,
                 struct vector **ret_vector)
{
    static const struct vector_ops ops = {label_next, label_free};
    struct label_vector *l = vector_alloc(ev, sizeof *l, &ops, of);
    struct node **arguments = call->call.arguments;
    uint32_t count = call->call.argument_count;
    if (l == NULL) return eval_no_memory(ev);
    l->target = node_inside(arguments[1])->string;
    if (bytes_equal_text(l->target, "__name__")) l->vector.one_name = false;
    assert(count >= 3); /* as functions.def says */
    l->source_count = replaces ? 1 : count - 3;
    l->sources = arena_alloc(&ev->arena, count * sizeof *l->sources);
    buf_init(&l->value, ev->budget, LABELS_BYTES_MAX);
    buf_init(&l->labels, ev->budget, LABELS_BYTES_MAX);
    enum err e = l->sources == NULL ? eval_no_memory(ev)
                 : replaces         ? set_up_replace(l, arguments)
                                    : set_up_join(l, arguments);
    e = vector_give(&l->vector, e, ret_vector);
    return e ? e : vector_unique_new(ev, &l->vector, ret_vector);
}
