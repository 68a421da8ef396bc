/*
 * evaluate.c - pipelines to values: see run.h.
 *
 * A command takes the value of the one before as its last argument: `final`, NULL in the first. An
 * argument must have the type of its parameter.
 *
 * Invariants, as long as the run has not failed:
 *
 *  1. Variables from `variable_base` on are those of the template that is executed.
 *  2. `nesting` is the number of pipelines and lists that are being executed.
 *  3. A function without code is {{and}} or {{or}}.
 *  4. `fields` of a node is empty or begins with a dot.
 */
#include <assert.h>

#include "base/array.h"
#include "template/run.h"

enum { FEW_ARGUMENTS = 4, VARIABLES_MAX = 100000 };

/* The operands of a command after its first one, and the value of the command before it. */
struct command_arguments {
    const struct tmpl_node *first; /* linked */
    const struct tmpl_value *final;
};

static const struct command_arguments no_arguments = {NULL, NULL};

static bool operand_value(struct tmpl_run *run, const struct tmpl_value *dot,
                          const struct tmpl_node *n, const struct tmpl_node *at,
                          const struct command_arguments *args, struct tmpl_value *ret);

/* --- variables -------------------------------------------------------------------------------- */

bool
run_declare(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value)
{
    assert(run->variable_base <= run->variable_count); /* invariant 1 */
    if (run->variable_count >= VARIABLES_MAX) return run_limit(run, "too many variables");
    if (!array_reserve(&run->budget, &run->variables, &run->variable_capacity,
                       (size_t)run->variable_count + 1)) {
        return run_no_memory(run);
    }
    run->variables[run->variable_count++] = (struct run_variable){name, *value};
    return true;
}

static struct run_variable *
find_variable(struct tmpl_run *run, struct bytes name)
{
    assert(run->variable_base <= run->variable_count); /* invariant 1 */
    for (uint32_t i = run->variable_count; i > run->variable_base; i--) {
        if (bytes_equal(run->variables[i - 1].name, name)) return &run->variables[i - 1];
    }
    run_fail(run, "undefined variable: %.*s", (int)name.size, (const char *)name.at);
    return NULL;
}

bool
run_assign(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value)
{
    struct run_variable *v = find_variable(run, name);
    if (v != NULL) v->value = *value;
    return v != NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static uint32_t
count_of(const struct command_arguments *args)
{
    uint32_t count = args->final != NULL;
    for (const struct tmpl_node *n = args->first; n != NULL; n = n->next) {
        count++;
    }
    return count;
}

/* Converts `v` to the type of the parameter. Integers are durations, too: {{ $time.Add 5 }}. */
static bool
check_type(struct tmpl_run *run, enum tmpl_type type, struct tmpl_value *v)
{
    if (v->type == type || type == TMPL_TYPE_ANY) return true;
    if (v->type == TMPL_TYPE_INT && type == TMPL_TYPE_DURATION) {
        v->type = type;
        return true;
    }
    return run_fail(run, "wrong type for value; expected %s; got %s", tmpl_type_name(type),
                    tmpl_type_name(v->type));
}

/* Evaluates {{and}} and {{or}}, with no more operands than they need. */
static bool
short_circuit(struct tmpl_run *run, const struct tmpl_value *dot, bool until,
              const struct command_arguments *args, struct tmpl_value *ret)
{
    for (const struct tmpl_node *n = args->first; n != NULL; n = n->next) {
        if (!operand_value(run, dot, n, n, &no_arguments, ret)) return false;
        if (tmpl_is_true(ret) == until) return true;
    }
    if (args->final != NULL) *ret = *args->final;
    return true;
}

static enum tmpl_type
parameter_type(const struct tmpl_function *f, uint32_t index)
{
    assert(f->count > 0); /* check_count() allows no arguments without parameters */
    uint32_t last = f->count - 1u;
    return f->parameters[index < last ? index : last];
}

static bool
check_count(struct tmpl_run *run, const struct tmpl_function *f, uint32_t count)
{
    if (f->is_variadic && count + 1 < f->count) {
        return run_fail(run, "wrong number of args for %s: want at least %u got %u", f->name,
                        f->count - 1u, count);
    }
    if (f->is_variadic || count == f->count) return true;
    return run_fail(run, "wrong number of args for %s: want %u got %u", f->name, f->count, count);
}

/* Calls a function. `receiver` is NULL unless it is a method; errors name the node `at`. */
static bool
evaluate_call(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_function *f,
              const struct tmpl_value *receiver, const struct tmpl_node *at,
              const struct command_arguments *args, struct tmpl_value *ret)
{
    struct tmpl_value few[FEW_ARGUMENTS], *values = few;
    uint32_t count = count_of(args), first = receiver != NULL, i = 0;
    if (!run_spend(run, 0) || !check_count(run, f, count)) return false;
    assert(f->call != NULL || f->name[0] == 'a' || f->name[0] == 'o'); /* invariant 3 */
    if (f->call == NULL) return short_circuit(run, dot, f->name[0] == 'o', args, ret);
    if (count + first > FEW_ARGUMENTS) {
        values = arena_alloc(&run->arena, (count + first) * sizeof *values);
    }
    if (values == NULL) return run_no_memory(run);
    if (receiver != NULL) values[0] = *receiver;
    for (const struct tmpl_node *n = args->first; n != NULL; n = n->next, i++) {
        struct tmpl_value *v = &values[first + i];
        if (!operand_value(run, dot, n, n, &no_arguments, v)) return false;
        if (!check_type(run, parameter_type(f, i), v)) return false;
    }
    assert(i + (args->final != NULL) == count);
    if (args->final != NULL) {
        values[first + i] = *args->final;
        if (!check_type(run, parameter_type(f, i), &values[first + i])) return false;
    }
    if (f->call(run, values, first + count, ret)) return true;
    if (run->failed != ERR_INPUT) return false;
    run->at = at;
    return run_prefix(run, "error calling %s: ", f->name);
}

/* --- operands --------------------------------------------------------------------------------- */

/* Replaces *v by the result of its method, or by its field or entry; a field of nil is nil. */
static bool
field(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
      struct bytes name, const struct command_arguments *args, struct tmpl_value *v)
{
    const char *text = (const char *)name.at;
    int size = (int)name.size;
    const struct tmpl_value of = *v;
    const struct tmpl_function *method = tmpl_method_find(of.type, name);
    if (method != NULL) return evaluate_call(run, dot, method, &of, n, args, v);
    if (tmpl_is_map(of.type)) {
        *v = tmpl_map_get(&of, name);
    } else if (of.type != TMPL_TYPE_NIL && !tmpl_field_find(&of, name, v)) {
        return run_fail(run, "can't evaluate field %.*s in type %s", size, text,
                        tmpl_type_name(of.type));
    }
    if (count_of(args) == 0) return true;
    return run_fail(run, "%.*s is not a method but has arguments", size, text);
}

/* The value of an operand without its fields. Only functions take arguments. */
static bool
term_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
           const struct tmpl_node *at, const struct command_arguments *args, struct tmpl_value *ret)
{
    const struct run_variable *v;
    if (n->kind == TMPL_NODE_FUNCTION) {
        return evaluate_call(run, dot, tmpl_function_find(n->text), NULL, at, args, ret);
    }
    if (count_of(args) > 0) {
        return run_fail(run, "can't give argument to non-function %.*s", (int)n->source.size,
                        (const char *)n->source.at);
    }
    switch (n->kind) {
    case TMPL_NODE_PIPE:
        return run_pipeline(run, dot, n, ret);
    case TMPL_NODE_VARIABLE:
        v = find_variable(run, n->text);
        if (v != NULL) *ret = v->value;
        return v != NULL;
    case TMPL_NODE_BOOL:
        *ret = tmpl_of_bool(n->truth);
        return true;
    case TMPL_NODE_NUMBER:
        *ret = n->number.is_integer ? tmpl_of_integer(TMPL_TYPE_INT, n->number.integer)
                                    : tmpl_of_float(n->number.real);
        return true;
    case TMPL_NODE_STRING:
        *ret = tmpl_of_text(n->text);
        return true;
    case TMPL_NODE_NIL:
        *ret = (struct tmpl_value){.type = TMPL_TYPE_NIL};
        return true;
    default:
        *ret = *dot;
        return true;
    }
}

/* The value of an operand. The arguments are those of the last field, or of a function without
 * fields; if that function fails, errors name the node `at`. */
static bool
operand_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
              const struct tmpl_node *at, const struct command_arguments *args,
              struct tmpl_value *ret)
{
    struct bytes left = n->fields;
    run->at = n;
    if (left.size == 0) return term_value(run, dot, n, at, args, ret);
    if (!term_value(run, dot, n, n, &no_arguments, ret)) return false;
    while (left.size > 0) {
        assert(left.at[0] == '.'); /* invariant 4 */
        const uint8_t *name = left.at + 1, *dot_at = memchr(name, '.', left.size - 1);
        size_t size = dot_at == NULL ? left.size - 1 : (size_t)(dot_at - name);
        left = bytes_of(name + size, left.size - 1 - size);
        run->at = n;
        if (!field(run, dot, n, bytes_of(name, size), left.size > 0 ? &no_arguments : args, ret)) {
            return false;
        }
    }
    return true;
}

/* --- pipelines -------------------------------------------------------------------------------- */

static bool
set_variables(struct tmpl_run *run, const struct tmpl_node *pipe, const struct tmpl_value *v)
{
    for (uint32_t i = 0; i < pipe->pipe.variable_count; i++) {
        struct bytes name = pipe->pipe.variables[i];
        if (pipe->pipe.assigns ? !run_assign(run, name, v) : !run_declare(run, name, v)) {
            return false;
        }
    }
    return true;
}

bool
run_pipeline(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *pipe,
             struct tmpl_value *ret)
{
    struct tmpl_value value = {.type = TMPL_TYPE_NIL}, final;
    run->at = pipe;
    if (!run_spend(run, 0)) return false;
    if (++run->nesting > RUN_NESTING_MAX) {
        return run_limit(run, "more than %d levels of templates, blocks and parentheses",
                         RUN_NESTING_MAX);
    }
    for (const struct tmpl_node *c = pipe->pipe.commands.first; c != NULL; c = c->next) {
        const struct tmpl_node *first = c->operands.first;
        const struct command_arguments args = {first->next,
                                               c == pipe->pipe.commands.first ? NULL : &final};
        run->at = first;
        if (first->kind == TMPL_NODE_NIL) return run_fail(run, "nil is not a command");
        if (!operand_value(run, dot, first, c, &args, &value)) return false;
        final = value;
    }
    assert(run->nesting > 0); /* invariant 2 */
    run->nesting--;
    *ret = value;
    return set_variables(run, pipe, &value);
}
