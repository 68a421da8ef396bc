/*
 * execute.c - executes the statements of a template, one after another: see run.h.
 *
 * Variables are a stack. Those that a block declares end with it; a template that is called has a
 * stack of its own, of which $ is the first.
 *
 * The invariants are those of evaluate.c, and:
 *
 *  5. A block leaves the stack as it found it, or with more variables, which are then dropped.
 *  6. `calls` is the number of templates that are being executed.
 */
#include <assert.h>

#include "template/run.h"

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
action(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *n)
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
    if (counts && pipe->pipe.variable_count > 1) {
        return run_fail(run, "can't use a number to iterate over more than one variable");
    }
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
    if (!run_pipeline(run, dot, pipe, &of) || !rounds_of(run, pipe, &of, &rounds)) {
        return FLOW_FAILED;
    }
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
    if (++run->calls > CALLS_MAX) {
        return run_limit(run, "more than %d templates that call one another", CALLS_MAX);
    }
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
    while (template != NULL && !bytes_equal(template->name, n->statement.name)) {
        template = template->next;
    }
    if (template == NULL) {
        return run_fail_quoted(run, "template ", n->statement.name, " not defined");
    }
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
        return flow_of(action(run, dot, n));
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
