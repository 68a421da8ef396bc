/* functions.c - see functions.h. */
#include "promql/functions/functions.h"

#include "base/array.h"

#define ARGUMENTS(...) ((enum value_type[]){VALUE_NONE, ##__VA_ARGS__})

const struct function functions[FUNCTION_COUNT] = {
#define FUNCTION(id, text, type, more, ...)                                                   \
    [FUNCTION_##                                                                              \
        id] = {.name = (text),                                                                \
               .result = (type),                                                              \
               .variadic = (more),                                                            \
               .argument_count = sizeof ARGUMENTS(__VA_ARGS__) / sizeof(enum value_type) - 1, \
               .arguments = {__VA_ARGS__}},
#include "promql/functions/functions.def"
#undef FUNCTION
};

static int
functions_compare(const struct function *f, struct bytes name)
{
    return bytes_compare(bytes_of_text(f->name), name);
}

const struct function *
function_find(struct bytes name)
{
    /* A function of MetricsQL that vmalert uses to restore its state. */
    if (bytes_equal_text(name, "default_rollup")) return &functions[FUNCTION_LAST_OVER_TIME];
    unsigned i = search_first(each, 0u, (unsigned)FUNCTION_COUNT,
                              functions_compare(&functions[each], name) >= 0);
    return i < FUNCTION_COUNT && functions_compare(&functions[i], name) == 0 ? &functions[i] : NULL;
}
