/* node.c - what can be told of a node of the syntax without evaluating it. */
#include "promql/eval/eval.h"

const struct node *
node_inside(const struct node *node)
{
    while (node->kind == NODE_PAREN) {
        node = node->paren;
    }
    return node;
}

uint64_t
node_hash(const struct node *node)
{
    return (uint64_t)(uintptr_t)node / sizeof(void *) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

bool
node_reads_series(const struct node *n)
{
    n = node_inside(n);
    bool reads = false;
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
        return false;
    case NODE_UNARY:
        return node_reads_series(n->unary.expr);
    case NODE_BINARY:
        return node_reads_series(n->binary.left) || node_reads_series(n->binary.right);
    case NODE_CALL:
        for (uint32_t i = 0; i < n->call.argument_count && !reads; i++) {
            reads = node_reads_series(n->call.arguments[i]);
        }
        return reads;
    default:
        return true;
    }
}

/* Whether it is the same at all steps. What has the time of a step in it is not. */
static bool
is_same_at_all_steps(const struct node *n)
{
    n = node_inside(n);
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
        return true;
    case NODE_SELECTOR:
        return n->selector.shift.at != AT_NONE;
    case NODE_RANGE:
        return is_same_at_all_steps(n->range.selector);
    case NODE_SUBQUERY:
        return n->subquery.shift.at != AT_NONE;
    case NODE_UNARY:
        return is_same_at_all_steps(n->unary.expr);
    case NODE_BINARY:
        return is_same_at_all_steps(n->binary.left) && is_same_at_all_steps(n->binary.right);
    case NODE_AGGREGATION:
        return is_same_at_all_steps(n->aggregation.expr) &&
               (n->aggregation.param == NULL || is_same_at_all_steps(n->aggregation.param));
    case NODE_CALL:
        break;
    default:
        return false;
    }
    switch ((enum function_id)(n->call.function - functions)) {
    case FUNCTION_TIME:
    case FUNCTION_TIMESTAMP:
    case FUNCTION_START_TIMESTAMP:
    case FUNCTION_PREDICT_LINEAR:
    case FUNCTION_INFO:
        return false;
    case FUNCTION_DAYS_IN_MONTH: /* without an argument: of the step */
    case FUNCTION_DAY_OF_MONTH:
    case FUNCTION_DAY_OF_WEEK:
    case FUNCTION_DAY_OF_YEAR:
    case FUNCTION_HOUR:
    case FUNCTION_MINUTE:
    case FUNCTION_MONTH:
    case FUNCTION_YEAR:
        if (n->call.argument_count == 0) return false;
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->call.argument_count; i++) {
        if (!is_same_at_all_steps(n->call.arguments[i])) return false;
    }
    return true;
}

bool
node_is_fixed(const struct node *node)
{
    return is_same_at_all_steps(node) && node_reads_series(node);
}

struct span
argument_at(const struct node *call, const struct node *argument)
{
    bool whole = is_same_at_all_steps(argument) && !is_same_at_all_steps(call);
    return whole ? argument->at : node_inside(argument)->at;
}

enum sample_part
node_part(const struct node *node)
{
    if (node->kind == NODE_AGGREGATION) {
        enum token_type op = node->aggregation.op;
        return op == TOKEN_COUNT || op == TOKEN_GROUP ? PART_PRESENCE : PART_VALUE;
    }
    switch ((enum function_id)(node->call.function - functions)) {
    case FUNCTION_TIMESTAMP:
        return PART_TIME;
    case FUNCTION_START_TIMESTAMP:
        return PART_START;
    case FUNCTION_ABSENT:
        return PART_PRESENCE;
    default:
        return PART_VALUE;
    }
}
