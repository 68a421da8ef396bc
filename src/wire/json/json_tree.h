/*
 * json_tree.h - JSON from outside as a tree of jansson, within limits of depth, values and memory.
 */
#ifndef WIRE_JSON_JSON_TREE_H
#define WIRE_JSON_JSON_TREE_H

#include <jansson.h>

#include "base/buf.h"

/* A JSON object. jansson allocates it without a budget, so the most that it can take is charged. */
struct json_tree {
    json_t *root; /* NULL if nothing was read */
    struct budget *budget;
    uint64_t charged_bytes;
};

/*
 * Reads an object without repeated names, in which at most `value_max` values are nested at most 16
 * deep. `why` names only the fault and its position, not the text.
 *
 * ERR_INPUT, ERR_LIMIT, ERR_NOMEM: `ret` is zero.
 */
MUST_CHECK enum err json_tree_read(struct budget *budget, struct bytes text, uint32_t value_max,
                                   struct json_tree *ret, struct why *why);
void json_tree_fini(struct json_tree *json);

/* Returns a view of the string; `at` is NULL if the value is not a string, or is NULL. */
struct bytes json_tree_text(const json_t *value);

#endif
