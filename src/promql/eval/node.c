/* node.c - properties of a node of the syntax tree that are known without evaluation. */
#include "promql/eval/eval.h"

const struct node *
node_inside(const struct node *node)
{
    while (node->kind == NODE_PAREN) {
        node = node->paren;
    }
    return node;
}

const struct node *
call_range(const struct node *call)
{
    uint32_t i = 0;
    while (call->call.arguments[i]->type != VALUE_MATRIX) {
        i++;
    }
    return node_inside(call->call.arguments[i]);
}

struct text_span
argument_at(const struct node *call, const struct node *argument)
{
    bool whole = argument->is_same_at_all_steps && !call->is_same_at_all_steps;
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
