/* promql.c - see promql.h. */
#include "promql/promql.h"

#include "promql/eval/run.h"
#include "promql/parse/tree.h"
#include <assert.h>

enum err
promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget,
               struct query_control *control, struct buf *to, struct buf *error)
{
    struct promql_tree *tree;
    enum err e = promql_parse(text, budget, control, &tree, error);
    if (e) return e;
    if (form == PROMQL_LINE)
        tree_print(tree->root, to);
    else if (form == PROMQL_LINES)
        tree_print_pretty(tree->root, to);
    else
        tree_print_json(tree->root, to);
    promql_free(tree);
    return buf_error(to);
}

const struct matcher_set *
promql_selectors(const struct promql_tree *tree, uint32_t *ret_count)
{
    *ret_count = tree->set_count;
    return tree->sets;
}

bool
promql_asks_for_range(const struct promql_tree *tree)
{
    return tree->has_range_words;
}

const char *
promql_function_word(uint32_t n)
{
    return n < FUNCTION_COUNT ? functions[n].name : NULL;
}

const char *
promql_operator_word(uint32_t n)
{
    enum token_type type = (enum token_type)(TOKEN_ADD + n);
    return n < TOKEN_TYPE_COUNT && (token_is_operator(type) || token_is_aggregation(type))
               ? token_word(type)
               : NULL;
}

struct promql_features
promql_features_of(uint32_t bits)
{
    return (struct promql_features){
        .delayed_name_removal = (bits & 1) != 0,
        .start_timestamps = (bits & 2) != 0,
        .type_and_unit_labels = (bits & 4) != 0,
    };
}

/* --- running ---------------------------------------------------------------------------------- */

struct promql_result {
    struct query_run run;
    struct budget *budget;
    bool is_range;
    uint32_t series; /* index of the series after the one being given */
    uint32_t point;  /* index of its next point */
    bool histograms; /* histograms are being given, not floats */
};

const char *
promql_type_word(enum promql_type type)
{
    static const char *const words[] = {"scalar", "string", "vector", "matrix"};
    return words[type];
}

bool
promql_has_range(const struct promql_tree *tree, struct buf *error)
{
    enum value_type type = tree->root->type;
    if (type == VALUE_SCALAR || type == VALUE_VECTOR) return true;
    buf_printf(error,
               "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
               value_type_name(type));
    return false;
}

enum err
promql_explain(const struct promql_tree *tree, struct view *view,
               const struct promql_options *options, struct promql_plan **ret_plan,
               struct buf *error, struct why *why)
{
    struct promql_plan *p = mem_new(options->budget, sizeof *p);
    struct query_run run = {.type = VALUE_NONE};
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    promql_plan_init(p, options->budget);
    enum err e = run_plan(&run, tree, view, options, p);
    if (e) {
        buf_put_cut(error, buf_bytes(&run.ev.error));
        *why = run.ev.why;
        promql_plan_free(p);
    } else {
        *ret_plan = p;
    }
    run_fini(&run);
    return e;
}

void
promql_plan_free(struct promql_plan *p)
{
    if (p == NULL) return;
    promql_plan_fini(p);
    mem_free(p->budget, p, sizeof *p);
}

enum err
promql_run(const struct promql_tree *tree, struct view *view, const struct promql_options *options,
           struct promql_result **ret_result, struct buf *error, struct why *why)
{
    struct promql_result *r = mem_new(options->budget, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    r->budget = options->budget;
    r->is_range = options->step_ms > 0;
    enum err e = run_begin(&r->run, tree, view, options, options->plan);
    if (e == OK && r->run.ev.notes.failed) e = eval_no_memory(&r->run.ev);
    if (e) {
        buf_put_cut(error, buf_bytes(&r->run.ev.error));
        *why = r->run.ev.why;
        promql_result_free(r);
        return e;
    }
    *ret_result = r;
    return OK;
}

void
promql_result_free(struct promql_result *r)
{
    if (r == NULL) return;
    run_fini(&r->run);
    mem_free(r->budget, r, sizeof *r);
}

enum promql_type
promql_result_type(const struct promql_result *r)
{
    if (r->is_range || r->run.type == VALUE_MATRIX) return PROMQL_MATRIX;
    if (r->run.type == VALUE_SCALAR) return PROMQL_SCALAR;
    return r->run.type == VALUE_STRING ? PROMQL_STRING : PROMQL_VECTOR;
}

struct bytes
promql_result_string(const struct promql_result *r)
{
    assert(r->run.type == VALUE_STRING);
    return r->run.string;
}

uint64_t
promql_series_count(const struct promql_result *r)
{
    if (r->run.type == VALUE_SCALAR) return 1;
    return r->run.type == VALUE_MATRIX ? r->run.matrix.count : r->run.columns.count;
}

bool
promql_next_series(struct promql_result *r, struct bytes *ret_labels)
{
    if (r->series == promql_series_count(r)) return false;
    uint32_t i = r->series++;
    r->point = 0;
    r->histograms = false;
    *ret_labels = r->run.type == VALUE_SCALAR   ? bytes_of("", 0)
                  : r->run.type == VALUE_MATRIX ? r->run.matrix.items[i].labels
                                                : r->run.columns.items[r->run.order[i]].labels;
    return true;
}

static bool
next_of_any(struct promql_result *r, struct promql_point *ret)
{
    const struct grid *grid = &r->run.ev.grid;
    if (r->run.type == VALUE_MATRIX) {
        const struct matrix_series *s = &r->run.matrix.items[r->series - 1];
        if (r->point == s->count) return false;
        uint32_t i = r->point++;
        *ret = (struct promql_point){s->times_ms[i], s->values[i], s->histograms[i]};
        return true;
    }
    if (r->run.type == VALUE_SCALAR) {
        if (r->point == grid->count) return false;
        uint32_t i = r->point++;
        *ret = (struct promql_point){grid_time(grid, i), r->run.scalars[i], NULL};
        return true;
    }
    const struct column *c = &r->run.columns.items[r->run.order[r->series - 1]];
    uint32_t i = bits_next(c->present, r->point, grid->count);
    if (i == grid->count) return false;
    r->point = i + 1;
    *ret = (struct promql_point){grid_time(grid, i), c->values[i], column_histogram(c, i)};
    return true;
}

bool
promql_next_point(struct promql_result *r, bool histograms, struct promql_point *ret)
{
    if (histograms != r->histograms) r->point = 0;
    r->histograms = histograms;
    while (next_of_any(r, ret))
        if ((ret->histogram != NULL) == histograms) return true;
    return false;
}

bool
promql_note(const struct promql_result *r, enum promql_note kind, uint32_t n, struct buf *to)
{
    const struct eval_notes *notes = &r->run.ev.notes;
    for (uint32_t i = 0; i < notes->count; i++) {
        if (notes->items[i].kind != kind || n-- > 0) continue;
        note_print(notes, &notes->items[i], to);
        return true;
    }
    return false;
}

uint32_t
promql_note_count(const struct promql_result *r, enum promql_note kind)
{
    const struct eval_notes *notes = &r->run.ev.notes;
    uint32_t count = 0;
    for (uint32_t i = 0; i < notes->count; i++)
        count += notes->items[i].kind == kind;
    return count;
}

uint64_t
promql_samples(const struct promql_result *r)
{
    return r->run.ev.samples;
}

uint64_t
promql_peak_samples(const struct promql_result *r)
{
    const struct held_samples *held = &r->run.ev.held;
    return held->now > held->most ? held->now : held->most;
}

uint32_t
promql_cached_steps(const struct promql_result *r)
{
    return r->run.cached_steps;
}

const uint64_t *
promql_step_samples(const struct promql_result *r, uint32_t *ret_steps)
{
    *ret_steps = r->run.ev.grid.count;
    return r->run.ev.step_samples;
}
