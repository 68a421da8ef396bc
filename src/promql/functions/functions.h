/* functions.h - which functions PromQL has, with what arguments. */
#ifndef PROMQL_FUNCTIONS_FUNCTIONS_H
#define PROMQL_FUNCTIONS_FUNCTIONS_H

#include "base/bytes.h"

enum value_type { VALUE_NONE, VALUE_SCALAR, VALUE_VECTOR, VALUE_MATRIX, VALUE_STRING };

enum { FUNCTION_ARGUMENTS_MAX = 5 };

enum function_id {
#define FUNCTION(id, ...) FUNCTION_##id,
#include "promql/functions/functions.def"
#undef FUNCTION
    FUNCTION_COUNT
};

struct function {
    const char *name;
    enum value_type result;
    /* So many more than the arguments but the last one may come, each of the last one's type: 0:
     * there are just the arguments; -1: any number. */
    int variadic;
    unsigned argument_count;
    enum value_type arguments[FUNCTION_ARGUMENTS_MAX];
};

extern const struct function functions[FUNCTION_COUNT];

/* NULL: there is none. `default_rollup` is last_over_time(). */
const struct function *function_find(struct bytes name);

#endif
