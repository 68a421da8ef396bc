/*
 * evaluate.c - pipelines to values: see run.h.
 *
 * A command is given what came of the one before as its last argument: `final`, NULL in the first.
 * Arguments become what a parameter wants: a constant is whatever it can be, anything else must
 * have the type, be in an interface {} that has it, or point to it.
 *
 * Sentences name the node at which the run is, run->at; where it is moved, and where it is left
 * behind though something else failed, is as in Go.
 */
#include "base/array.h"
#include "base/decimal.h"
#include "template/run.h"

enum { FEW_ARGUMENTS = 4, VARIABLES_MAX = 100000 };

/* What stands in a command after its first word, and what comes from before. */
struct arguments {
    struct tmpl_node *const *nodes;
    uint32_t count;
    const struct tmpl_value *final;
};

static const struct arguments no_arguments = {NULL, 0, NULL};

/* --- variables -------------------------------------------------------------------------------- */

bool
run_declare(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value)
{
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

/* --- constants -------------------------------------------------------------------------------- */

static struct bytes
node_text(struct tmpl_run *run, const struct tmpl_node *n)
{
    buf_clear(&run->scratch);
    tmpl_node_print(n, &run->scratch);
    run_note_memory(run, &run->scratch);
    return buf_bytes(&run->scratch);
}

/* "expected string; found 1" */
static bool
fail_at_node(struct tmpl_run *run, const char *before, const struct tmpl_node *n, const char *after)
{
    struct bytes text = node_text(run, n);
    return run_fail(run, "%s%.*s%s", before, (int)text.size,
                    text.at == NULL ? "" : (const char *)text.at, after);
}

/* Where any type will do. */
static bool
ideal_constant(struct tmpl_run *run, const struct tmpl_node *n, struct tmpl_value *ret)
{
    const struct tmpl_number *c = &n->number;
    run->at = n;
    if (c->is_real_first) {
        *ret = tmpl_of_float(c->real);
        return true;
    }
    if (!c->is_integer) return fail_at_node(run, "", n, " overflows int");
    *ret = tmpl_of_integer(TMPL_TYPE_INT, c->integer);
    return true;
}

/* A literal as a parameter of a type wants it. */
static bool
literal(struct tmpl_run *run, enum tmpl_type type, const struct tmpl_node *n,
        struct tmpl_value *ret)
{
    run->at = n;
    bool is_number = n->kind == TMPL_NODE_NUMBER;
    if (type == TMPL_TYPE_FLOAT) {
        if (!is_number || !n->number.is_real)
            return fail_at_node(run, "expected float; found ", n, "");
        *ret = tmpl_of_float(n->number.real);
        return true;
    }
    if (tmpl_is_integer(type)) {
        if (!is_number || !n->number.is_integer) {
            return fail_at_node(run, "expected integer; found ", n, "");
        }
        *ret = tmpl_of_integer(type, n->number.integer);
        return true;
    }
    if (type == TMPL_TYPE_STRING) {
        if (n->kind != TMPL_NODE_STRING) return fail_at_node(run, "expected string; found ", n, "");
        *ret = tmpl_of_text(n->string);
        return true;
    }
    if (type != TMPL_TYPE_ANY) {
        struct bytes text = node_text(run, n);
        return run_fail(run, "can't handle %.*s for arg of type %s", (int)text.size,
                        text.at == NULL ? "" : (const char *)text.at, tmpl_type_name(type));
    }
    if (is_number) return ideal_constant(run, n, ret);
    *ret = n->kind == TMPL_NODE_STRING ? tmpl_of_text(n->string) : tmpl_of_bool(n->truth);
    return true;
}

/* --- arguments -------------------------------------------------------------------------------- */

/* False: `v` does not have the type of the parameter. */
static bool
check_type(struct tmpl_run *run, enum tmpl_type type, const struct tmpl_value *v)
{
    if (v->type == type || type == TMPL_TYPE_ANY) return true;
    if (v->type == TMPL_TYPE_NIL) {
        return run_fail(run, "invalid value; expected %s", tmpl_type_name(type));
    }
    return run_fail(run, "wrong type for value; expected %s; got %s", tmpl_type_name(type),
                    tmpl_type_name(v->type));
}

static bool field_chain(struct tmpl_run *run, const struct tmpl_value *dot,
                        const struct tmpl_node *n, const struct tmpl_names *names, uint32_t from,
                        const struct arguments *args, struct tmpl_value *v);
static bool function_value(struct tmpl_run *run, const struct tmpl_value *dot,
                           const struct tmpl_node *name, const struct tmpl_node *node,
                           const struct arguments *args, struct tmpl_value *ret);
static bool variable_value(struct tmpl_run *run, const struct tmpl_value *dot,
                           const struct tmpl_node *n, const struct tmpl_node *first,
                           const struct arguments *args, struct tmpl_value *ret);
static bool chain_value(struct tmpl_run *run, const struct tmpl_value *dot,
                        const struct tmpl_node *n, const struct arguments *args,
                        struct tmpl_value *ret);

/* What is no literal. */
static bool
operand_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
              struct tmpl_value *ret)
{
    switch (n->kind) {
    case TMPL_NODE_FIELD:
        *ret = *dot;
        return field_chain(run, dot, n, &n->names, 0, &no_arguments, ret);
    case TMPL_NODE_VARIABLE:
        return variable_value(run, dot, n, n, &no_arguments, ret);
    case TMPL_NODE_PIPE:
        return run_pipeline(run, dot, n, ret);
    case TMPL_NODE_IDENTIFIER:
        return function_value(run, dot, n, n, &no_arguments, ret);
    case TMPL_NODE_CHAIN:
        return chain_value(run, dot, n, &no_arguments, ret);
    default:
        *ret = *dot;
        return true;
    }
}

static bool
argument(struct tmpl_run *run, const struct tmpl_value *dot, enum tmpl_type type,
         const struct tmpl_node *n, struct tmpl_value *ret)
{
    run->at = n;
    switch (n->kind) {
    case TMPL_NODE_NIL:
        *ret = (struct tmpl_value){.type = TMPL_TYPE_NIL};
        if (type == TMPL_TYPE_ANY) return true;
        return run_fail(run, "cannot assign nil to %s", tmpl_type_name(type));
    case TMPL_NODE_BOOL:
    case TMPL_NODE_NUMBER:
    case TMPL_NODE_STRING:
        return literal(run, type, n, ret);
    default:
        return operand_value(run, dot, n, ret) && check_type(run, type, ret);
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

/* {{and}} and {{or}} evaluate no more than they need. */
static bool
short_circuit(struct tmpl_run *run, const struct tmpl_value *dot, bool until,
              const struct arguments *args, struct tmpl_value *ret)
{
    for (uint32_t i = 0; i < args->count; i++) {
        if (!argument(run, dot, TMPL_TYPE_ANY, args->nodes[i], ret)) return false;
        if (tmpl_is_true(ret) == until) return true;
    }
    if (args->final != NULL) *ret = *args->final;
    return true;
}

static enum tmpl_type
parameter_type(const struct tmpl_function *f, uint32_t index)
{
    uint32_t last = f->count - 1u;
    return f->parameters[index < last ? index : last];
}

static bool
check_count(struct tmpl_run *run, const struct tmpl_function *f, const struct arguments *args)
{
    uint32_t count = args->count + (args->final != NULL);
    if (f->is_variadic) {
        if (count + 1 >= f->count) return true;
        return run_fail(run, "wrong number of args for %s: want at least %u got %u", f->name,
                        f->count - 1u, args->count);
    }
    if (count == f->count) return true;
    return run_fail(run, "wrong number of args for %s: want %u got %u", f->name, f->count, count);
}

/* "error calling NAME: " before what the function says. */
static bool
call_with(struct tmpl_run *run, const struct tmpl_function *f, const struct tmpl_node *node,
          const struct tmpl_value *values, uint32_t count, struct tmpl_value *ret)
{
    if (f->call(run, values, count, ret)) return true;
    if (run->failed != ERR_INPUT) return false;
    run->at = node;
    return run_prefix(run, "error calling %s: ", f->name);
}

/* `node` is what a sentence names. `receiver` is NULL but for methods. */
static bool
call(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_function *f,
     const struct tmpl_value *receiver, const struct tmpl_node *node, const struct arguments *args,
     struct tmpl_value *ret)
{
    struct tmpl_value few[FEW_ARGUMENTS], *values = few;
    uint32_t count = 0, first = receiver != NULL;
    if (!run_spend(run, 0) || !check_count(run, f, args)) return false;
    if (receiver == NULL && (strcmp(f->name, "and") == 0 || strcmp(f->name, "or") == 0)) {
        return short_circuit(run, dot, f->name[0] == 'o', args, ret);
    }
    uint32_t wanted = args->count + first + 1;
    if (wanted > FEW_ARGUMENTS) values = arena_alloc(&run->arena, wanted * sizeof *values);
    if (values == NULL) return run_no_memory(run);
    if (receiver != NULL) values[count++] = *receiver;
    for (uint32_t i = 0; i < args->count; i++, count++) {
        if (!argument(run, dot, parameter_type(f, i), args->nodes[i], &values[count])) return false;
    }
    if (args->final != NULL) {
        values[count] = *args->final;
        if (!check_type(run, parameter_type(f, args->count), &values[count])) return false;
        count++;
    }
    return call_with(run, f, node, values, count, ret);
}

static bool
function_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *name,
               const struct tmpl_node *node, const struct arguments *args, struct tmpl_value *ret)
{
    run->at = name;
    return call(run, dot, tmpl_function_find(name->text), NULL, node, args, ret);
}

/* --- fields ----------------------------------------------------------------------------------- */

/* A method, a field or an entry of *v, which it becomes. */
static bool
field(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
      struct bytes name, const struct arguments *args, struct tmpl_value *v)
{
    const char *type = tmpl_type_name(v->type), *text = (const char *)name.at;
    int size = (int)name.size;
    const struct tmpl_value of = *v;
    const struct tmpl_function *method = tmpl_method_find(of.type, name);
    if (method != NULL) return call(run, dot, method, &of, n, args, v);
    if (of.type == TMPL_TYPE_NIL) return true;
    if (tmpl_is_map(of.type))
        *v = tmpl_map_get(&of, name);
    else if (!tmpl_field_find(&of, name, v))
        return run_fail(run, "can't evaluate field %.*s in type %s", size, text, type);
    if (args->count == 0 && args->final == NULL) return true;
    return run_fail(run, "%.*s is not a method but has arguments", size, text);
}

/* Only the last one gets the arguments. *v is what they are of, and becomes the value. */
static bool
field_chain(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
            const struct tmpl_names *names, uint32_t from, const struct arguments *args,
            struct tmpl_value *v)
{
    if (n->kind == TMPL_NODE_FIELD) run->at = n;
    for (uint32_t i = from; i < names->count; i++) {
        bool last = i + 1 == names->count;
        if (!field(run, dot, n, names->items[i], last ? args : &no_arguments, v)) return false;
    }
    return true;
}

static bool
takes_no_arguments(struct tmpl_run *run, const struct tmpl_node *first,
                   const struct arguments *args)
{
    if (args->count == 0 && args->final == NULL) return true;
    return fail_at_node(run, "can't give argument to non-function ", first, "");
}

static bool
variable_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
               const struct tmpl_node *first, const struct arguments *args, struct tmpl_value *ret)
{
    run->at = n;
    const struct run_variable *v = find_variable(run, n->names.items[0]);
    if (v == NULL) return false;
    *ret = v->value;
    if (n->names.count == 1) return takes_no_arguments(run, first, args);
    return field_chain(run, dot, n, &n->names, 1, args, ret);
}

static bool
chain_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
            const struct arguments *args, struct tmpl_value *ret)
{
    run->at = n;
    const struct tmpl_node *of = n->chain.of;
    run->at = of;
    if (!operand_value(run, dot, of, ret)) return false;
    return field_chain(run, dot, n, &n->chain.names, 0, args, ret);
}

/* --- pipelines -------------------------------------------------------------------------------- */

static bool
constant_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n,
               struct tmpl_value *ret)
{
    switch (n->kind) {
    case TMPL_NODE_BOOL:
        *ret = tmpl_of_bool(n->truth);
        return true;
    case TMPL_NODE_DOT:
        *ret = *dot;
        return true;
    case TMPL_NODE_NUMBER:
        return ideal_constant(run, n, ret);
    case TMPL_NODE_STRING:
        *ret = tmpl_of_text(n->string);
        return true;
    default:
        return run_fail(run, "nil is not a command");
    }
}

static bool
command_value(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *c,
              const struct tmpl_value *final, struct tmpl_value *ret)
{
    const struct tmpl_node *first = c->command.items[0];
    const struct arguments args = {c->command.items + 1, c->command.count - 1, final};
    switch (first->kind) {
    case TMPL_NODE_FIELD:
        *ret = *dot;
        return field_chain(run, dot, first, &first->names, 0, &args, ret);
    case TMPL_NODE_CHAIN:
        return chain_value(run, dot, first, &args, ret);
    case TMPL_NODE_IDENTIFIER:
        return function_value(run, dot, first, c, &args, ret);
    case TMPL_NODE_PIPE:
        return takes_no_arguments(run, first, &args) && run_pipeline(run, dot, first, ret);
    case TMPL_NODE_VARIABLE:
        return variable_value(run, dot, first, first, &args, ret);
    default:
        run->at = first;
        return takes_no_arguments(run, first, &args) && constant_value(run, dot, first, ret);
    }
}

static bool
set_variables(struct tmpl_run *run, const struct tmpl_node *pipe, const struct tmpl_value *v)
{
    for (uint32_t i = 0; i < pipe->pipe.variables.count; i++) {
        struct bytes name = pipe->pipe.variables.items[i];
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
    struct tmpl_value value, final;
    run->at = pipe;
    if (!run_spend(run, 0)) return false;
    if (++run->nesting > RUN_NESTING_MAX) {
        return run_limit(run, "more than %d levels of templates, blocks and parentheses",
                         RUN_NESTING_MAX);
    }
    for (uint32_t i = 0; i < pipe->pipe.commands.count; i++) {
        const struct tmpl_node *c = pipe->pipe.commands.items[i];
        if (!command_value(run, dot, c, i > 0 ? &final : NULL, &value)) return false;
        final = value;
    }
    run->nesting--;
    *ret = value;
    return set_variables(run, pipe, &value);
}
