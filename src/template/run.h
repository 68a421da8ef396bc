/*
 * run.h - the execution of a template. Private to template/.
 *
 * What fails returns false, or FLOW_FAILED, and `failed` and `message` of the run tell; nothing is
 * undone. Values and texts live in the arena until the end.
 */
#ifndef TEMPLATE_RUN_H
#define TEMPLATE_RUN_H

#include "template/template.h"
#include "template/tree.h"
#include "template/value.h"

struct searcher;

enum {
    RUN_MEMORY_BYTES_MAX = 16 << 20,
    RUN_MESSAGE_BYTES = 512,
    /* Of nodes under execution, in all templates that call one another: so deep is the stack. */
    RUN_NESTING_MAX = 400,
    RUN_SEARCHERS = 8,
};

struct run_variable {
    struct bytes name;
    struct tmpl_value value;
};

/* Regexes that were compiled, since loops ask for them again. */
struct run_searcher {
    struct bytes pattern;
    struct searcher *searcher; /* NULL: free */
};

struct tmpl_run {
    const struct template_options *options;
    const struct template_data *data;
    struct bytes parsed;             /* text, with the declarations before it */
    struct tmpl_template *templates; /* the first is the text itself */
    struct tmpl_root root;

    struct budget budget; /* of what follows; regexes draw on that of the options */
    struct arena arena;
    struct tmpl_unicode unicode;
    struct buf out;
    struct buf text;    /* what a function makes */
    struct buf scratch; /* for pieces of it */
    struct run_variable *variables;
    uint32_t variable_count, variable_capacity;
    uint32_t variable_base; /* the first that the template at hand may see */
    struct run_searcher searchers[RUN_SEARCHERS];
    uint32_t searcher_next; /* the one to be replaced */

    const struct tmpl_template *template; /* which is executed */
    const struct tmpl_node *at;           /* what sentences say it was at */
    uint64_t steps;
    uint32_t nesting;
    uint32_t calls;
    enum err failed;
    bool query_failed; /* `message` is what it said, and may be empty */
    char message[RUN_MESSAGE_BYTES];
};

/* --- run.c: how it fails ---------------------------------------------------------------------- */

/* ERR_INPUT; the message is what Go says after the place. All return false. */
bool run_fail(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_fail_quoted(struct tmpl_run *run, const char *before, struct bytes text,
                     const char *after);
/* Before the message that is there. */
bool run_prefix(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_limit(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_no_memory(struct tmpl_run *run);
/* False, and told, if anything was too much for the buffer. */
bool run_settle(struct tmpl_run *run, const struct buf *buf);

/* A step, and more for as many bytes as are looked at. False: it was the last one. */
bool run_spend(struct tmpl_run *run, uint64_t size_bytes);
/* The same for that time. */
bool run_spend_ns(struct tmpl_run *run, uint64_t ns);

/* A copy in the arena; `at` NULL: told. */
struct bytes run_copy(struct tmpl_run *run, struct bytes text);
/* A string of what is in run->text. */
bool run_take_text(struct tmpl_run *run, struct tmpl_value *ret);
/* $value, or that of a sample: of the bits, or of the histogram, which is copied. */
bool run_value(struct tmpl_run *run, uint64_t bits, const struct fhist *h, struct tmpl_value *ret);
/* --- execute.c -------------------------------------------------------------------------------- */

/* The template; its output is in run->out. */
bool run_execute(struct tmpl_run *run);

/* --- evaluate.c ------------------------------------------------------------------------------- */

/* The value of a pipeline, whose variables are declared, or assigned to. */
bool run_pipeline(struct tmpl_run *run, const struct tmpl_value *dot, const struct tmpl_node *pipe,
                  struct tmpl_value *ret);
bool run_declare(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value);
bool run_assign(struct tmpl_run *run, struct bytes name, const struct tmpl_value *value);

/* --- functions -------------------------------------------------------------------------------- */

enum { TMPL_PARAMETERS_MAX = 3 };

#define TMPL_UNUSED __attribute__((unused))
/* The head of a function or method that templates can call. Most do not need all of these. */
#define TMPL_FUNCTION(function)                                                                \
    bool function(struct tmpl_run *run TMPL_UNUSED, const struct tmpl_value *args TMPL_UNUSED, \
                  uint32_t count TMPL_UNUSED, struct tmpl_value *ret TMPL_UNUSED)

/*
 * A function, or a method, whose first argument is what it is called on and no parameter. The
 * arguments have the types of the parameters; for ANY, they have any type.
 */
struct tmpl_function {
    const char *name;
    bool (*call)(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count,
                 struct tmpl_value *ret);
    uint8_t count; /* of parameters, the last of which may be there any number of times */
    bool is_variadic;
    enum tmpl_type parameters[TMPL_PARAMETERS_MAX];
};

/* NULL: no function has that name. */
const struct tmpl_function *tmpl_function_find(struct bytes name);
const struct tmpl_function *tmpl_builtin_find(struct bytes name); /* builtins.c */
/* NULL: the type has no such method. */
const struct tmpl_function *tmpl_method_find(enum tmpl_type type, struct bytes name);

/* Of a list of `count`. */
const struct tmpl_function *tmpl_find_in(const struct tmpl_function *list, size_t count,
                                         struct bytes name);

/* --- verbs.c ---------------------------------------------------------------------------------- */

/* Values as {{print}} prints them: a blank between two of which neither is a string, or between all
 * of them if `apart`. Text that does not fit shows in buf_error(). */
void run_print(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count, bool apart,
               struct buf *to);
/* {{printf}}, appended to run->text; text that does not fit shows in buf_error(). False: the format
 * is wrong. */
bool run_printf(struct tmpl_run *run, struct bytes format, const struct tmpl_value *args,
                uint32_t count);

/* --- searches.c ------------------------------------------------------------------------------- */

/* Compiled, or found. The message of an error is that of Go's regexp. */
bool run_searcher(struct tmpl_run *run, struct bytes pattern, const struct searcher **ret);
void run_searchers_fini(struct tmpl_run *run);

/* --- humanize.c ------------------------------------------------------------------------------- */

TMPL_FUNCTION(run_humanize);
TMPL_FUNCTION(run_humanize1024);
TMPL_FUNCTION(run_humanize_duration);
TMPL_FUNCTION(run_humanize_percentage);
TMPL_FUNCTION(run_humanize_timestamp);
TMPL_FUNCTION(run_to_time);
TMPL_FUNCTION(run_to_duration);
TMPL_FUNCTION(run_parse_duration);

#endif
