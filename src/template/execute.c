/*
 * execute.c - executes the statements of a template, one after another, and evaluates their
 * pipelines: see run.h.
 *
 * A command takes the value of the one before as its last argument: `final`, NULL in the first. An
 * argument must have the type of its parameter.
 *
 * Variables are a stack. Those that a block declares end with it; a template that is called has a
 * stack of its own, of which $ is the first.
 *
 * Invariants, as long as the run has not failed:
 *
 *  1. Variables from `variable_base` on are those of the template that is executed.
 *  2. `nesting` is the number of pipelines and lists that are being executed.
 *  3. A function without code is {{and}} or {{or}}.
 *  4. `fields` of a node is empty or begins with a dot.
 *  5. A block leaves the stack as it found it, or with more variables, which are then dropped.
 *  6. `calls` is the number of templates that are being executed.
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

static bool run_pipeline(struct tmpl_run *run, const struct tmpl_value *dot,
                         const struct tmpl_node *pipe, struct tmpl_value *ret);

/* --- variables -------------------------------------------------------------------------------- */

static bool
run_declare(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value)
{
    assert(run->variable_base <= run->variable_count); /* invariant 1 */
    if (run->variable_count >= VARIABLES_MAX) return run_limit(run, "too many variables");
    if (!array_reserve(&run->budget, &run->variables, &run->variable_capacity,
                       (size_t)run->variable_count + 1))
        return run_no_memory(run);
    run->variables[run->variable_count++] = (struct run_variable){name, *value};
    return true;
}

static struct run_variable *
find_variable(struct tmpl_run *run, struct bytes name)
{
    assert(run->variable_base <= run->variable_count); /* invariant 1 */
    for (uint32_t i = run->variable_count; i > run->variable_base; i--)
        if (bytes_equal(run->variables[i - 1].name, name)) return &run->variables[i - 1];
    run_fail(run, "undefined variable: %.*s", (int)name.size, (const char *)name.at);
    return NULL;
}

static bool
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
    for (const struct tmpl_node *n = args->first; n != NULL; n = n->next)
        count++;
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

static enum tmpl_type
parameter_type(const struct tmpl_function *f, uint32_t index)
{
    assert(f->count > 0); /* evaluate_call() allows no arguments without parameters */
    uint32_t last = f->count - 1u;
    return f->parameters[index < last ? index : last];
}

/* Calls a function. `receiver` is NULL unless it is a method; errors name the node `at`. */
static bool
evaluate_call(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_function *f,
              const struct tmpl_value *receiver, const struct tmpl_node *at,
              const struct command_arguments *args, struct tmpl_value *ret)
{
    struct tmpl_value few[FEW_ARGUMENTS], *values = few;
    uint32_t count = count_of(args), first = receiver != NULL, i = 0;
    if (!run_spend(run, 0)) return false;
    if (f->is_variadic ? count + 1 < f->count : count != f->count) {
        return run_fail(run, "wrong number of args for %s: want %s%u got %u", f->name,
                        f->is_variadic ? "at least " : "", f->count - f->is_variadic, count);
    }
    assert(f->call != NULL || f->name[0] == 'a' || f->name[0] == 'o'); /* invariant 3 */
    if (f->call == NULL) { /* evaluates no more operands than it needs */
        for (const struct tmpl_node *n = args->first; n != NULL; n = n->next) {
            if (!operand_value(run, dot, n, n, &no_arguments, ret)) return false;
            if (tmpl_is_true(ret) == (f->name[0] == 'o')) return true;
        }
        if (args->final != NULL) *ret = *args->final;
        return true;
    }
    if (count + first > FEW_ARGUMENTS)
        values = arena_alloc(&run->arena, (count + first) * sizeof *values);
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
    if (f->call(run, values, first + count, f->way, ret)) return true;
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
    if (n->kind == TMPL_NODE_FUNCTION)
        return evaluate_call(run, dot, tmpl_function_find(n->text), NULL, at, args, ret);
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
        if (!field(run, dot, n, bytes_of(name, size), left.size > 0 ? &no_arguments : args, ret))
            return false;
    }
    return true;
}

/* --- pipelines -------------------------------------------------------------------------------- */

/* Evaluates a pipeline, and declares its variables or assigns to them. */
static bool
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
    for (uint32_t i = 0; i < pipe->pipe.variable_count; i++) {
        struct bytes name = pipe->pipe.variables[i];
        bool set =
            pipe->pipe.assigns ? run_assign(run, name, &value) : run_declare(run, name, &value);
        if (!set) return false;
    }
    return true;
}

/* --- statements ------------------------------------------------------------------------------- */

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAILED };

enum { CALLS_MAX = TEMPLATE_DEPTH_MAX };

static enum flow execute_list(struct tmpl_run *run, const struct tmpl_value *dot,
                              const struct tmpl_list *nodes);

static enum flow
flow_of(bool ok)
{
    return ok ? FLOW_ON : FLOW_FAILED;
}

static bool
execute_action(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
{
    struct tmpl_value value;
    if (!run_pipeline(run, dot, n->statement.pipe, &value)) return false;
    if (n->statement.pipe->pipe.variable_count > 0) return true;
    size_t before = run->out.size;
    value = tmpl_printable(value);
    run_print(run, &value, 1, false, &run->out);
    return run_spend(run, run->out.size - before) && run_settle(run, &run->out);
}

static enum flow
if_or_with(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
{
    struct tmpl_value value;
    uint32_t variables = run->variable_count;
    if (!run_pipeline(run, dot, n->statement.pipe, &value)) return FLOW_FAILED;
    enum flow flow = FLOW_ON;
    if (tmpl_is_true(&value))
        flow = execute_list(run, n->kind == TMPL_NODE_WITH ? &value : dot, &n->statement.list);
    else
        flow = execute_list(run, dot, &n->statement.otherwise);
    assert(run->variable_count >= variables); /* invariant 5 */
    run->variable_count = variables;
    return flow;
}

/* --- loops ------------------------------------------------------------------------------------ */

/* Sets the loop's variables, of which `first` is the first one if the loop declares them. */
static bool
set_loop_variables(struct tmpl_run *run, const struct tmpl_node *pipe, uint32_t first,
                   const struct tmpl_value *index, const struct tmpl_value *element)
{
    const struct tmpl_value *values[] = {pipe->pipe.variable_count > 1 ? index : element, element};
    for (uint32_t i = 0; i < pipe->pipe.variable_count; i++) {
        if (!pipe->pipe.assigns) {
            assert(first + i < run->variable_count); /* the pipeline has declared it */
            run->variables[first + i].value = *values[i];
        } else if (!run_assign(run, pipe->pipe.variables[i], values[i])) {
            return false;
        }
    }
    return true;
}

static void
element_at(const struct tmpl_value *of, int64_t i, struct tmpl_value *ret_index,
           struct tmpl_value *ret_element)
{
    *ret_index = tmpl_of_integer(TMPL_TYPE_INT, i);
    if (of->type == TMPL_TYPE_RESULT) {
        *ret_element = tmpl_element(of, i);
    } else if (tmpl_is_map(of->type)) {
        assert(i < of->map->count);
        *ret_index = tmpl_of_text(of->map->entries[i].key);
        *ret_element = of->map->entries[i].value;
    } else {
        *ret_element = tmpl_of_integer(of->type, i);
    }
}

/* Returns the number of rounds: an integer is the number itself, nil has 0 rounds. False: the value
 * cannot be iterated over. */
static bool
rounds_of(struct tmpl_run *run, const struct tmpl_node *pipe, const struct tmpl_value *of,
          int64_t *ret)
{
    bool counts = tmpl_is_integer(of->type);
    if (counts && pipe->pipe.variable_count > 1)
        return run_fail(run, "can't use a number to iterate over more than one variable");
    bool lists = tmpl_is_map(of->type) || of->type == TMPL_TYPE_RESULT;
    *ret = counts ? of->integer : lists ? tmpl_length(of) : 0;
    if (counts || lists || of->type == TMPL_TYPE_NIL) return true;
    return run_fail(run, "range can't iterate over a value of type %s", tmpl_type_name(of->type));
}

static enum flow
range(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
{
    const struct tmpl_node *pipe = n->statement.pipe;
    struct tmpl_value of, index, element;
    uint32_t outer = run->variable_count;
    int64_t rounds = 0;
    if (!run_pipeline(run, dot, pipe, &of) || !rounds_of(run, pipe, &of, &rounds))
        return FLOW_FAILED;
    uint32_t inner = run->variable_count, first = inner - pipe->pipe.variable_count;
    assert(inner >= outer); /* invariant 5 */
    enum flow flow = FLOW_ON;
    for (int64_t i = 0; i < rounds && flow != FLOW_BREAK; i++) {
        element_at(&of, i, &index, &element);
        if (!run_spend(run, 0)) return FLOW_FAILED;
        if (!set_loop_variables(run, pipe, first, &index, &element)) return FLOW_FAILED;
        flow = execute_list(run, &element, &n->statement.list);
        assert(run->variable_count >= inner); /* invariant 5 */
        run->variable_count = inner;
        if (flow == FLOW_FAILED) return flow;
    }
    flow = FLOW_ON;
    if (rounds <= 0) flow = execute_list(run, dot, &n->statement.otherwise);
    run->variable_count = outer;
    return flow;
}

/* --- templates -------------------------------------------------------------------------------- */

/* Executes a template, which does not see variables of its caller. */
static bool
run_template(struct tmpl_run *run, const struct tmpl_template *template,
             const struct tmpl_value *dot)
{
    const struct tmpl_template *caller = run->template;
    uint32_t variables = run->variable_count, base = run->variable_base;
    run->variable_base = variables;
    if (++run->calls > CALLS_MAX)
        return run_limit(run, "more than %d templates that call one another", CALLS_MAX);
    if (!run_declare(run, bytes_of_text("$"), dot)) return false;
    run->template = template;
    if (execute_list(run, dot, &template->list) == FLOW_FAILED) return false;
    assert(run->variable_base == variables); /* templates that were called have given it back */
    assert(run->calls > 0);                  /* invariant 6 */
    run->template = caller;
    run->variable_count = variables;
    run->variable_base = base;
    run->calls--;
    return true;
}

static bool
execute_call(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
{
    struct tmpl_value value = {.type = TMPL_TYPE_NIL};
    const struct tmpl_template *template = run->templates;
    while (template != NULL && !bytes_equal(template->name, n->statement.name))
        template = template->next;
    if (template == NULL)
        return run_fail_quoted(run, "template ", n->statement.name, " not defined");
    if (n->statement.pipe != NULL && !run_pipeline(run, dot, n->statement.pipe, &value))
        return false;
    return run_template(run, template, &value);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static enum flow
node(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
{
    run->at = n;
    switch (n->kind) {
    case TMPL_NODE_TEXT:
        buf_put_bytes(&run->out, n->text);
        return flow_of(run_spend(run, n->text.size) && run_settle(run, &run->out));
    case TMPL_NODE_ACTION:
        return flow_of(execute_action(run, dot, n));
    case TMPL_NODE_IF:
    case TMPL_NODE_WITH:
        return if_or_with(run, dot, n);
    case TMPL_NODE_RANGE:
        return range(run, dot, n);
    case TMPL_NODE_CALL:
        return flow_of(execute_call(run, dot, n));
    case TMPL_NODE_BREAK:
        return FLOW_BREAK;
    case TMPL_NODE_CONTINUE:
        return FLOW_CONTINUE;
    default:
        return FLOW_ON; /* the parser makes no other statements */
    }
}

static enum flow
execute_list(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_list *nodes)
{
    if (++run->nesting > RUN_NESTING_MAX) {
        run_limit(run, "more than %d levels of templates, blocks and parentheses", RUN_NESTING_MAX);
        return FLOW_FAILED;
    }
    for (const struct tmpl_node *n = nodes->first; n != NULL; n = n->next) {
        if (!run_spend(run, 0)) return FLOW_FAILED;
        enum flow flow = node(run, dot, n);
        assert(run->nesting > 0); /* invariant 2 */
        if (flow != FLOW_ON) {
            run->nesting--;
            return flow;
        }
    }
    run->nesting--;
    return FLOW_ON;
}

bool
run_execute(struct tmpl_run *run)
{
    const struct tmpl_value dot = {.type = TMPL_TYPE_DATA, .root = &run->root};
    return run_template(run, run->templates, &dot);
}
