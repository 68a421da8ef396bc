/*
 * info.c - info(): adds labels of the info metrics (target_info, unless names are given) that have
 * the same instance and job to series.
 *
 * The argument is read first and kept, since its identities decide which info series are read. Of
 * two info series of a metric with one identity the newer sample counts, step by step. Info series
 * are read at the time that all selectors of the argument have by `offset` and @, or at the time of
 * the step if these differ. A series is given in pieces: the steps at which it has the same infos.
 *
 * Invariants:
 *
 *  1. `signatures` has an item for each column of `infos`.
 *  2. At each step at which the argument has something, an identity has at most one info series of
 *     a metric.
 *  3. `rest` is the steps of the series being given that were not given; `now` is a part of them.
 */
#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "promql/eval/eval.h"
#include "promql/eval/label_sets.h"

enum {
    IDENTITIES = 2,
    VALUES_ASKED_FOR_MAX = 100, /* with more values all info series are read and filtered */
    MATCHERS_MADE = IDENTITIES + 1,
};
static const char *const identity_names[IDENTITIES] = {"instance", "job"};

struct info_vector {
    struct vector vector; /* first */
    const struct node *argument;
    struct node selector; /* selects the info series */
    struct matcher
        *made[MATCHERS_MADE]; /* matchers of `selector` that are not those of the query */
    uint32_t made_count;
    const struct node *wanted; /* the second argument; NULL if all labels are wanted */
    struct name_list values[IDENTITIES];
    struct columns kept;  /* columns of the argument */
    uint64_t *any;        /* bits: steps at which the argument has something */
    struct columns infos; /* columns of info series; their values are the times of samples */
    struct bytes *signatures;
    uint32_t signature_capacity;
    struct table table;       /* infos by their signatures */
    struct name_list metrics; /* names of all infos */
    struct buf signature;
    struct buf added; /* labels from infos */
    struct buf labels;
    struct buf scratch;
    bool read;
    /* The series being given, and its steps that were not given. */
    uint32_t next;
    struct column *current;
    uint64_t *rest;
    uint64_t *now;    /* bits: steps with the same infos */
    uint32_t *chosen; /* indexes of these infos; at most one of each metric */
    uint32_t chosen_count;
    struct column result;
};

static bool
info_is_name(struct bytes name)
{
    return bytes_equal_text(name, "__name__");
}

/* --- selecting info series -------------------------------------------------------------------- */

static struct node_matcher *
add_matcher(struct info_vector *v, const struct node_matcher *m)
{
    struct node_matcher *slot = &v->selector.selector.matchers[v->selector.selector.matcher_count];
    *slot = *m;
    v->selector.selector.matcher_count++;
    return slot;
}

static enum err
make_matcher(struct info_vector *v, enum matcher_type type, const char *name, struct bytes value)
{
    struct evaluation *ev = v->vector.ev;
    struct node_matcher m = {type, bytes_of_text(name), value, NULL};
    assert(v->made_count < MATCHERS_MADE);
    enum err e = matcher_new(type, m.name, value, ev->budget, &m.matcher, &ev->why);
    if (e) return e;
    v->made[v->made_count++] = m.matcher;
    add_matcher(v, &m);
    return OK;
}

/* Makes a selector of the matchers of the second argument. If none of them decides the name, a
 * matcher is added that does. */
static enum err
begin_selector(struct info_vector *v)
{
    uint32_t given = v->wanted == NULL ? 0 : v->wanted->selector.matcher_count, names = 0;
    bool says_which = false;
    v->selector = (struct node){.kind = NODE_SELECTOR, .type = VALUE_VECTOR};
    v->selector.selector.matchers = arena_alloc(
        &v->vector.ev->arena, (given + MATCHERS_MADE) * sizeof *v->selector.selector.matchers);
    if (v->selector.selector.matchers == NULL) return eval_no_memory(v->vector.ev);
    for (uint32_t i = 0; i < given; i++) {
        const struct node_matcher *m = add_matcher(v, &v->wanted->selector.matchers[i]);
        if (!info_is_name(m->name)) continue;
        names++;
        says_which |= m->type == MATCH_EQUAL || m->type == MATCH_REGEX;
    }
    if (says_which) return OK;
    return names > 0 ? make_matcher(v, MATCH_REGEX, "__name__", bytes_of_text(".+_info"))
                     : make_matcher(v, MATCH_EQUAL, "__name__", bytes_of_text("target_info"));
}

/* True for an info metric, which is passed on as it is. */
static bool
is_info(const struct info_vector *v, struct bytes labels)
{
    struct bytes name = labels_get(labels, bytes_of_text("__name__"));
    for (uint32_t i = 0; i < v->selector.selector.matcher_count; i++) {
        const struct node_matcher *m = &v->selector.selector.matchers[i];
        if (info_is_name(m->name) && !matcher_matches(m->matcher, name)) return false;
    }
    return true;
}

static void
put_literally(struct buf *to, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool plain = c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z');
        if (c == 0) {
            buf_put_text(to, "\\x00");
            continue;
        }
        if (!plain) buf_put_u8(to, '\\');
        buf_put_u8(to, c);
    }
}

/* Adds a regular expression for the values, if they are few. */
static enum err
ask_for(struct info_vector *v, const char *name, const struct name_list *values)
{
    struct evaluation *ev = v->vector.ev;
    if (values->count == 0 || values->count > VALUES_ASKED_FOR_MAX) return OK;
    buf_clear(&v->scratch);
    for (uint32_t i = 0; i < values->count; i++) {
        if (i > 0) buf_put_u8(&v->scratch, '|');
        put_literally(&v->scratch, values->names[i]);
    }
    if (buf_error(&v->scratch)) return eval_no_memory(ev);
    if (v->scratch.size > MATCHER_PATTERN_BYTES_MAX) return OK;
    return make_matcher(v, MATCH_REGEX, name, buf_bytes(&v->scratch));
}

/* Collects the identities of the argument's series. *ret_any is false without identities. */
static enum err
note_values(struct info_vector *v, bool *ret_any)
{
    struct evaluation *ev = v->vector.ev;
    enum err e = OK;
    *ret_any = false;
    for (uint32_t i = 0; i < IDENTITIES && e == OK; i++) {
        uint32_t count = 0;
        struct bytes *values = arena_alloc(&ev->arena, (v->kept.count + 1) * sizeof *values);
        if (values == NULL) return eval_no_memory(ev);
        for (uint32_t k = 0; k < v->kept.count; k++) {
            struct bytes labels = v->kept.items[k].labels;
            struct bytes value = labels_get(labels, bytes_of_text(identity_names[i]));
            if (value.size > 0 && !is_info(v, labels)) values[count++] = value;
        }
        v->values[i] = name_list_of(values, count);
        e = query_control_check(ev->control, &ev->why); /* sorting may take long */
        *ret_any |= count > 0;
    }
    for (uint32_t i = 0; i < IDENTITIES && e == OK; i++)
        e = ask_for(v, identity_names[i], &v->values[i]);
    return e;
}

/* --- times of info series --------------------------------------------------------------------- */

/* The time of selectors: `ms` if it is fixed, else `ms` before the step. */
struct reference {
    enum { NO_VECTOR, ONE_TIME, SEVERAL_TIMES } kind;
    bool fixed;
    int64_t ms;
};

/* Moves a reference by the shift of a selector or a subquery. */
static enum err
shift_reference(struct evaluation *ev, const struct shift *shift, struct reference *r)
{
    int64_t offset_ms;
    enum err e = duration_value(ev, &shift->offset, false, &offset_ms);
    if (e) return e;
    if (shift->at != AT_NONE)
        *r = (struct reference){ONE_TIME, true, time_before(shift_at_ms(ev, shift), offset_ms)};
    else
        r->ms = r->fixed ? time_before(r->ms, offset_ms) : r->ms + offset_ms;
    return OK;
}

/* Notes the times of the selectors of a vector, which is evaluated at `at`. */
static enum err
note_times(struct evaluation *ev, const struct node *n, struct reference at, struct reference *all)
{
    bool any = false, is_info;
    enum err e = OK;
    n = node_inside(n);
    switch (n->kind) {
    case NODE_SELECTOR:
    case NODE_RANGE:
        if (n->kind == NODE_RANGE) n = n->range.selector;
        e = shift_reference(ev, &n->selector.shift, &at);
        bool same = at.fixed == all->fixed && at.ms == all->ms;
        if (all->kind == NO_VECTOR)
            *all = at;
        else if (!same)
            all->kind = SEVERAL_TIMES;
        return e;
    case NODE_SUBQUERY:
        e = shift_reference(ev, &n->subquery.shift, &at);
        return e ? e : note_times(ev, n->subquery.expr, at, all);
    case NODE_CALL:
        is_info = n->call.function == &functions[FUNCTION_INFO]; /* its second argument is none */
        for (uint32_t i = 0; i < (is_info ? 1 : n->call.argument_count) && e == OK; i++) {
            const struct node *argument = n->call.arguments[i];
            if (argument->type != VALUE_VECTOR && argument->type != VALUE_MATRIX) continue;
            any = true;
            e = note_times(ev, argument, at, all);
        }
        if (!any) all->kind = SEVERAL_TIMES; /* vector(1) */
        return e;
    case NODE_BINARY:
        if (n->binary.left->type == VALUE_VECTOR) e = note_times(ev, n->binary.left, at, all);
        if (e || n->binary.right->type != VALUE_VECTOR) return e;
        return note_times(ev, n->binary.right, at, all);
    case NODE_AGGREGATION:
        return note_times(ev, n->aggregation.expr, at, all);
    case NODE_UNARY:
        return note_times(ev, n->unary.expr, at, all);
    default:
        all->kind = SEVERAL_TIMES;
        return OK;
    }
}

/* Finds the steps at which info series are read. */
static enum err
shift_selector(struct info_vector *v, struct grid *ret_grid)
{
    struct reference r = {.kind = NO_VECTOR};
    enum err e = note_times(v->vector.ev, v->argument, (struct reference){.kind = ONE_TIME}, &r);
    *ret_grid = v->vector.grid;
    if (e || r.kind != ONE_TIME) return e;
    if (r.fixed) {
        ret_grid->first_ms = r.ms;
        ret_grid->step_ms = 0;
    } else {
        v->selector.selector.shift.offset.ms = r.ms;
    }
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
put_signature(struct info_vector *v, struct bytes metric, struct bytes labels)
{
    buf_clear(&v->signature);
    buf_put_counted(&v->signature, metric);
    for (uint32_t i = 0; i < IDENTITIES; i++)
        buf_put_counted(&v->signature, labels_get(labels, bytes_of_text(identity_names[i])));
    return buf_error(&v->signature) ? eval_no_memory(v->vector.ev) : OK;
}

/* Keeps the newer of two infos with one identity at each step. */
static enum err
choose_newer(struct info_vector *v, struct column *before, struct column *c)
{
    for (bits_each(i, c->present, v->vector.grid.count)) {
        if (!bits_has(before->present, i) || !bits_has(v->any, i)) continue;
        if (before->values[i] == c->values[i]) {
            struct evaluation *ev = v->vector.ev;
            buf_put_text(&ev->error, "found duplicate series for info metric: existing ");
            labels_print(&ev->error, before->labels);
            buf_printf(&ev->error, " @ %.0f, new ", before->values[i] * 1000);
            labels_print(&ev->error, c->labels);
            return eval_fail(ev, " @ %.0f", c->values[i] * 1000);
        }
        bits_reset(before->values[i] > c->values[i] ? c->present : before->present, i);
    }
    return OK;
}

static enum err
add_info(struct info_vector *v, struct column *c)
{
    struct evaluation *ev = v->vector.ev;
    enum err e = put_signature(v, labels_get(c->labels, bytes_of_text("__name__")), c->labels);
    uint64_t hash = hash_bytes(buf_bytes(&v->signature), 0);
    for (uint32_t at = TABLE_START, id; e == OK && table_next(&v->table, hash, &at, &id);) {
        if (!bytes_equal(v->signatures[id], buf_bytes(&v->signature))) continue;
        e = choose_newer(v, &v->infos.items[id], c);
    }
    if (e) return e;
    if (columns_add(&v->infos, c, v->vector.grid.count) ||
        !table_reserve(&v->table, ev->budget, 1) ||
        !array_reserve(ev->budget, &v->signatures, &v->signature_capacity, v->infos.count))
        return eval_no_memory(ev);
    struct bytes copy = arena_copy(&v->infos.arena, buf_bytes(&v->signature));
    if (copy.at == NULL) return eval_no_memory(ev);
    v->signatures[v->infos.count - 1] = copy;
    table_add(&v->table, hash, v->infos.count - 1);
    assert(v->table.count == v->infos.count); /* invariant 1 */
    return OK;
}

static bool
is_selected(const struct info_vector *v, struct bytes labels)
{
    for (uint32_t i = 0; i < IDENTITIES; i++) {
        struct bytes value = labels_get(labels, bytes_of_text(identity_names[i]));
        if (v->values[i].count > 0 && !name_list_has(&v->values[i], value)) return false;
    }
    return true;
}

static enum err
read_infos(struct info_vector *v)
{
    struct evaluation *ev = v->vector.ev;
    struct vector *infos;
    struct column *c;
    struct plan_node x = {.kind = PLAN_SELECTOR, .part = PART_INFO_TIME, .node = &v->selector};
    enum err e = shift_selector(v, &x.grid);
    if (e == OK) e = vector_selector_new(ev, &x, &infos);
    if (e) return e;
    while ((e = vector_next(infos, &c)) == OK && c != NULL) {
        if (is_selected(v, c->labels)) e = add_info(v, c);
        if (e) break;
    }
    vector_free(infos);
    if (e) return e;
    struct bytes *names = arena_alloc(&ev->arena, (v->infos.count + 1) * sizeof *names);
    if (names == NULL) return eval_no_memory(ev);
    for (uint32_t i = 0; i < v->infos.count; i++)
        names[i] = labels_get(v->infos.items[i].labels, bytes_of_text("__name__"));
    v->metrics = name_list_of(names, v->infos.count);
    v->chosen = arena_alloc(&ev->arena, (v->metrics.count + 1) * sizeof *v->chosen);
    return v->chosen == NULL ? eval_no_memory(ev) : OK;
}

static enum err
info_read_all(struct info_vector *v)
{
    struct column *c;
    bool any;
    enum err e;
    while ((e = vector_next(v->vector.of, &c)) == OK && c != NULL) {
        if (columns_add(&v->kept, c, v->vector.grid.count)) return eval_no_memory(v->vector.ev);
        bits_add(v->any, c->present, v->vector.grid.count);
    }
    if (e == OK) e = begin_selector(v);
    if (e == OK) e = note_values(v, &any);
    return e || !any ? e : read_infos(v);
}

/* --- joining ---------------------------------------------------------------------------------- */

/* Chooses the infos of a series at its first step that is left; `now` gets the steps at which they
 * are the same. */
static enum err
info_choose(struct info_vector *v)
{
    uint32_t steps = v->vector.grid.count, step = bits_next(v->rest, 0, steps);
    assert(step < steps); /* invariant 3: steps are left */
    memcpy(v->now, v->rest, bits_words(steps) * sizeof *v->now);
    v->chosen_count = 0;
    if (is_info(v, v->current->labels)) return OK;
    for (uint32_t i = 0; i < v->metrics.count; i++) {
        enum err e = put_signature(v, v->metrics.names[i], v->current->labels);
        if (e) return e;
        uint64_t hash = hash_bytes(buf_bytes(&v->signature), 0);
        for (uint32_t at = TABLE_START, id; table_next(&v->table, hash, &at, &id);) {
            const struct column *c = &v->infos.items[id];
            if (!bytes_equal(v->signatures[id], buf_bytes(&v->signature))) continue;
            bool is_there = bits_has(c->present, step);
            assert(!is_there || v->chosen_count <= i); /* invariant 2: one of each metric */
            if (is_there) v->chosen[v->chosen_count++] = id;
            for (size_t w = 0; w < bits_words(steps); w++)
                v->now[w] &= is_there ? c->present[w] : ~c->present[w];
        }
    }
    return OK;
}

static bool
info_is_wanted(const struct info_vector *v, struct bytes name)
{
    bool any = false;
    if (info_is_name(name)) return false;
    for (uint32_t i = 0; v->wanted != NULL && i < v->wanted->selector.matcher_count; i++) {
        struct bytes wanted = v->wanted->selector.matchers[i].name;
        if (bytes_equal(wanted, name)) return true;
        any |= !info_is_name(wanted);
    }
    return !any;
}

/* True if a matcher refuses series without info labels. */
static bool
demands_labels(const struct info_vector *v)
{
    for (uint32_t i = 0; v->wanted != NULL && i < v->wanted->selector.matcher_count; i++) {
        const struct node_matcher *m = &v->wanted->selector.matchers[i];
        if (!info_is_name(m->name) && !matcher_matches_empty(m->matcher)) return true;
    }
    return false;
}

/* Adds the labels of an info series, other than those that the series has itself. */
static enum err
add_labels(struct info_vector *v, struct bytes info)
{
    struct evaluation *ev = v->vector.ev;
    struct cursor c = cursor_of(info);
    for (struct label label; labels_next(&c, &label);) {
        if (!info_is_wanted(v, label.name)) continue;
        struct bytes before = labels_get(buf_bytes(&v->added), label.name);
        if (before.size > 0 && !bytes_equal(before, label.value)) {
            buf_put_text(&ev->error, "conflicting label: ");
            buf_put_bytes(&ev->error, label.name);
            return ERR_INPUT;
        }
        if (labels_get(v->current->labels, label.name).size > 0) continue;
        if (!labels_set(&v->added, &v->scratch, label) ||
            !labels_set(&v->labels, &v->scratch, label))
            return eval_no_memory(ev);
    }
    return OK;
}

/* Gives the series at the steps at which it has the same infos. */
static enum err
join(struct info_vector *v, struct column **ret_column)
{
    enum { METRIC_WORK = 64 }; /* work of looking up a metric */
    enum err e = info_choose(v);
    if (e == OK) e = eval_work(v->vector.ev, v->vector.grid.count + METRIC_WORK * v->metrics.count);
    if (e) return e;
    for (size_t w = 0; w < bits_words(v->vector.grid.count); w++)
        v->rest[w] &= ~v->now[w];
    bool stays = v->chosen_count > 0 || is_info(v, v->current->labels) || !demands_labels(v);
    *ret_column = NULL;
    if (!stays) return OK;
    buf_clear(&v->added);
    buf_clear(&v->labels);
    buf_put_bytes(&v->labels, v->current->labels);
    if (buf_error(&v->labels)) return eval_no_memory(v->vector.ev);
    for (uint32_t i = 0; i < v->chosen_count && e == OK; i++)
        e = add_labels(v, v->infos.items[v->chosen[i]].labels);
    if (e) return e;
    v->result = *v->current;
    v->result.labels = buf_bytes(&v->labels);
    v->result.present = v->now;
    *ret_column = &v->result;
    return OK;
}

static enum err
info_next(struct vector *vector, struct column **ret_column)
{
    struct info_vector *v = (struct info_vector *)vector;
    uint32_t steps = vector->grid.count;
    enum err e = v->read ? OK : info_read_all(v);
    v->read = true;
    *ret_column = NULL;
    while (e == OK && *ret_column == NULL) {
        if (v->current == NULL || bits_next(v->rest, 0, steps) == steps) {
            if (v->next == v->kept.count) return OK;
            v->current = &v->kept.items[v->next++];
            memcpy(v->rest, v->current->present, bits_words(steps) * sizeof *v->rest);
        }
        e = join(v, ret_column);
    }
    return e;
}

static void
info_free(struct vector *vector)
{
    struct info_vector *v = (struct info_vector *)vector;
    struct budget *budget = vector->ev->budget;
    for (uint32_t i = 0; i < v->made_count; i++)
        matcher_free(v->made[i]);
    columns_fini(&v->kept);
    columns_fini(&v->infos);
    array_free(budget, v->signatures, v->signature_capacity);
    table_fini(&v->table, budget);
    buf_fini(&v->signature);
    buf_fini(&v->added);
    buf_fini(&v->labels);
    buf_fini(&v->scratch);
}

enum err
vector_info_new(struct evaluation *ev, const struct node *call, struct vector *of,
                struct vector **ret_vector)
{
    static const struct vector_ops ops = {info_next, info_free};
    struct info_vector *v = vector_alloc(ev, sizeof *v, &ops, of);
    if (v == NULL) return eval_no_memory(ev);
    size_t words = bits_words(of->grid.count);
    v->argument = call->call.arguments[0];
    v->wanted = call->call.argument_count < 2 ? NULL : node_inside(call->call.arguments[1]);
    columns_init(&v->kept, ev->budget, &ev->held);
    columns_init(&v->infos, ev->budget, &ev->held);
    buf_init(&v->signature, ev->budget, 64 << 20);
    buf_init(&v->added, ev->budget, 64 << 20);
    buf_init(&v->labels, ev->budget, 64 << 20);
    buf_init(&v->scratch, ev->budget, 64 << 20);
    v->any = arena_new(&ev->arena, words * sizeof *v->any);
    v->rest = arena_new(&ev->arena, words * sizeof *v->rest);
    v->now = arena_new(&ev->arena, words * sizeof *v->now);
    if (v->any == NULL || v->rest == NULL || v->now == NULL) {
        vector_free(&v->vector);
        return eval_no_memory(ev);
    }
    return vector_unique_new(ev, &v->vector, ret_vector);
}
