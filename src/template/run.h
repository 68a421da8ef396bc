/*
 * run.h - the execution of a template. Private to template/.
 *
 * A function that fails sets `failed` and `message` of the run and returns false; nothing is
 * undone. Values and texts live in the arena until the end.
 */
#ifndef TEMPLATE_RUN_H
#define TEMPLATE_RUN_H

#include "base/buf.h"
#include "model/fhist/fhist.h"
#include "template/template.h"
#include "template/tree.h"

/* --- values ----------------------------------------------------------------------------------- */

/* Values of pipelines, of the few types that templates use. Their names in sentences are those of
 * Go, which users know from Prometheus. */

enum tmpl_type {
    TMPL_TYPE_NIL,
    TMPL_TYPE_BOOL,
    TMPL_TYPE_INT,
    TMPL_TYPE_FLOAT,
    TMPL_TYPE_STRING,
    TMPL_TYPE_TIME,
    TMPL_TYPE_DURATION,
    TMPL_TYPE_LABELS, /* a map of strings */
    TMPL_TYPE_ARGS,   /* a map of any values */
    TMPL_TYPE_RESULT, /* samples that a query found */
    TMPL_TYPE_SAMPLE,
    TMPL_TYPE_HISTOGRAM,
    TMPL_TYPE_DATA, /* the dot at the beginning */
    TMPL_TYPE_ANY,  /* for parameters only */
};

struct tmpl_value {
    enum tmpl_type type;
    union {
        bool truth;
        int64_t integer; /* INT; TIME: nanoseconds since 1970; DURATION: nanoseconds */
        double number;
        struct bytes text;
        const struct tmpl_map *map; /* LABELS, ARGS */
        const struct tmpl_sample *sample;
        const struct fhist *histogram;
        const struct tmpl_root *root; /* DATA */
        struct {
            const struct tmpl_sample **samples;
            uint32_t count;
        } result;
    };
};

struct tmpl_entry {
    struct bytes key;
    struct tmpl_value value;
};

/* Sorted by key. */
struct tmpl_map {
    struct tmpl_entry *entries;
    uint32_t count;
    uint32_t depth; /* levels of maps in it, from 1 */
};

struct tmpl_sample {
    struct tmpl_map labels;
    struct tmpl_value value; /* FLOAT or HISTOGRAM */
};

struct tmpl_root {
    struct tmpl_map labels;
    struct tmpl_map external_labels;
    struct bytes external_url;
    struct tmpl_value value; /* FLOAT or HISTOGRAM */
};

/* Returns Go's name of a type. */
const char *tmpl_type_name(enum tmpl_type type);

static inline bool
tmpl_is_integer(enum tmpl_type type)
{
    return type == TMPL_TYPE_INT || type == TMPL_TYPE_DURATION;
}

static inline bool
tmpl_is_map(enum tmpl_type type)
{
    return type == TMPL_TYPE_LABELS || type == TMPL_TYPE_ARGS;
}

static inline struct tmpl_value
tmpl_of_bool(bool truth)
{
    return (struct tmpl_value){.type = TMPL_TYPE_BOOL, .truth = truth};
}

/* `type` is INT, TIME or DURATION. */
static inline struct tmpl_value
tmpl_of_integer(enum tmpl_type type, int64_t integer)
{
    return (struct tmpl_value){.type = type, .integer = integer};
}

static inline struct tmpl_value
tmpl_of_float(double number)
{
    return (struct tmpl_value){.type = TMPL_TYPE_FLOAT, .number = number};
}

static inline struct tmpl_value
tmpl_of_text(struct bytes text)
{
    return (struct tmpl_value){.type = TMPL_TYPE_STRING, .text = text};
}

static inline struct tmpl_value
tmpl_of_labels(const struct tmpl_map *map)
{
    return (struct tmpl_value){.type = TMPL_TYPE_LABELS, .map = map};
}

static inline struct tmpl_value
tmpl_of_sample(const struct tmpl_sample *sample)
{
    return (struct tmpl_value){.type = TMPL_TYPE_SAMPLE, .sample = sample};
}

/* Returns a value as actions print it. */
static inline struct tmpl_value
tmpl_printable(struct tmpl_value v)
{
    return v.type == TMPL_TYPE_NIL ? tmpl_of_text(bytes_of_text("<no value>")) : v;
}

/* Returns the number of elements, entries or bytes; -1 if the type has no length. */
int64_t tmpl_length(const struct tmpl_value *v);
/* Returns element `index` of a string (its byte) or of a result; it exists. */
struct tmpl_value tmpl_element(const struct tmpl_value *v, int64_t index);
/* True if {{if}} executes its list. */
bool tmpl_is_true(const struct tmpl_value *v);
void tmpl_map_sort(struct tmpl_map *map);
/* Returns the value of a key of a map; for a missing key an empty string or nil. */
struct tmpl_value tmpl_map_get(const struct tmpl_value *map, struct bytes key);
/* Gives a field of a struct, by index from 0 or by name. False: the field does not exist. */
bool tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
                   struct tmpl_value *ret);
bool tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret);

/* --- the run ---------------------------------------------------------------------------------- */

struct searcher;

enum {
    RUN_MEMORY_BYTES_MAX = 16 << 20,
    RUN_MESSAGE_BYTES = 512,
    /* Lists and pipelines within one another, in all templates that call one another. */
    RUN_NESTING_MAX = 400,
    RUN_SEARCHERS = 8,
};

struct run_variable {
    struct bytes name;
    struct tmpl_value value;
};

/* A compiled regex, which the next round of a loop finds again. */
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

    struct budget budget; /* for the fields below; regexes draw on that of the options */
    struct arena arena;
    struct tmpl_unicode unicode;
    struct buf out;
    struct buf text;    /* a result of a function */
    struct buf scratch; /* for pieces of `text` and of messages */
    struct run_variable *variables;
    uint32_t variable_count, variable_capacity;
    uint32_t variable_base; /* the first one of `template` */
    struct run_searcher searchers[RUN_SEARCHERS];
    uint32_t searcher_next; /* the one that is replaced next */

    const struct tmpl_template *template;
    const struct tmpl_node *at; /* the node that a sentence names */
    uint64_t steps;
    uint32_t nesting;
    uint32_t calls;
    enum err failed;
    bool query_failed; /* with `message`, which may be empty */
    char message[RUN_MESSAGE_BYTES];
};

/* --- run.c: errors and limits ----------------------------------------------------------------- */

/* Fails with ERR_INPUT and a message; the sentence names the place before it. These five return
 * false. */
bool run_fail(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_fail_quoted(struct tmpl_run *run, const char *before, struct bytes text,
                     const char *after);
/* Puts a text before the message. */
bool run_prefix(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_limit(struct tmpl_run *run, const char *format, ...) PRINTF_LIKE(2, 3);
bool run_no_memory(struct tmpl_run *run);
/* False, with an error of the run, if a text was too large for the buffer. */
bool run_settle(struct tmpl_run *run, const struct buf *buf);

/* Counts a step, and more for many bytes. False, with an error: there were too many. */
bool run_spend(struct tmpl_run *run, uint64_t size_bytes);
/* Charges work that takes some time. */
bool run_spend_ns(struct tmpl_run *run, uint64_t ns);

/* Returns a copy in the arena; `at` is NULL without memory, with an error of the run. */
struct bytes run_copy(struct tmpl_run *run, struct bytes text);
/* A string with the content of run->text. */
bool run_take_text(struct tmpl_run *run, struct tmpl_value *ret);
/* Makes $value, or the value of a sample: of the bits of a double, or a copy of a histogram. */
bool run_value(struct tmpl_run *run, uint64_t bits, const struct fhist *h, struct tmpl_value *ret);

/* --- execute.c -------------------------------------------------------------------------------- */

/* Executes the template; its output is in run->out. */
bool run_execute(struct tmpl_run *run);

/* --- functions.c ------------------------------------------------------------------------------ */

/* Frees the regexes of a run. */
void run_searchers_fini(struct tmpl_run *run);

enum { TMPL_PARAMETERS_MAX = 3 };

#define TMPL_UNUSED __attribute__((unused))
/* The head of a function or method that templates can call. Most do not use all parameters. */
#define TMPL_FUNCTION(function)                                                                \
    bool function(struct tmpl_run *run TMPL_UNUSED, const struct tmpl_value *args TMPL_UNUSED, \
                  uint32_t count TMPL_UNUSED, unsigned way TMPL_UNUSED,                        \
                  struct tmpl_value *ret TMPL_UNUSED)

/*
 * A function, or a method, whose first argument is the value that it is called on and is not among
 * the parameters. The arguments have the types of the parameters; for ANY, they have any type.
 */
struct tmpl_function {
    const char *name;
    bool (*call)(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count, unsigned way,
                 struct tmpl_value *ret);
    uint8_t count;    /* number of parameters */
    bool is_variadic; /* the last parameter takes any number of arguments */
    enum tmpl_type parameters[TMPL_PARAMETERS_MAX];
    unsigned way; /* which of several functions with the same code */
};

/* NULL if no function has the name. */
const struct tmpl_function *tmpl_function_find(struct bytes name);
const struct tmpl_function *tmpl_builtin_find(struct bytes name); /* builtins.c */
/* NULL if the type does not have the method. */
const struct tmpl_function *tmpl_method_find(enum tmpl_type type, struct bytes name);

/* Searches a list of `count` functions. */
const struct tmpl_function *tmpl_find_in(const struct tmpl_function *list, size_t count,
                                         struct bytes name);

/* --- verbs.c ---------------------------------------------------------------------------------- */

/* Prints values as {{print}} does, with a space between two of which neither is a string, or, with
 * `apart`, between all of them. Text that does not fit shows in buf_error(). */
void run_print(struct tmpl_run *run, const struct tmpl_value *args, uint32_t count, bool apart,
               struct buf *to);
/* {{printf}}, appended to run->text; text that does not fit shows in buf_error(). False: the format
 * is wrong. */
bool run_printf(struct tmpl_run *run, struct bytes format, const struct tmpl_value *args,
                uint32_t count);

/* --- builtins.c ------------------------------------------------------------------------------- */

/* Escapes as Go's url.QueryEscape() does. Failure shows in the buffer. */
void tmpl_escape_query(struct bytes text, struct buf *to);

/* --- methods.c: texts of moments and durations, as in Go -------------------------------------- */

/* Prints a moment, which is nanoseconds since 1970 (years 1677 to 2262), a duration or a histogram:
 * "2015-06-23 13:19:44.128 +0000 UTC", "1h2m3.5s". */
void tmpl_print_own(const struct tmpl_value *v, struct buf *to);

#endif
