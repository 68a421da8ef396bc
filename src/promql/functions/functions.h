/* functions.h - the functions of PromQL and their arguments. */
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
    /* Number of arguments of the last one's type that may follow those before it; -1: any; 0: the
     * arguments are those of the list. */
    int variadic;
    unsigned argument_count;
    enum value_type arguments[FUNCTION_ARGUMENTS_MAX];
};

extern const struct function functions[FUNCTION_COUNT];

/* NULL if the name is unknown. `default_rollup` is last_over_time(). */
const struct function *function_find(struct bytes name);

#endif
