/*
 * yaml_reader.h - reads YAML that people write (settings, rules, lists of targets) as a chain of
 * events, with errors that name their place. Stricter than YAML: one document, no tags; anchors and
 * aliases only with reader_document_expanded().
 *
 * The first error ends the reading, unless reader_collect() requests all of them.
 *
 * libyaml has an allocator of its own; its use is bounded by the size of the text.
 */
#ifndef WIRE_YAML_YAML_READER_H
#define WIRE_YAML_YAML_READER_H

#include <yaml.h>

#include "base/buf.h"
#include "base/text/quote.h"

/* The errors of a text, ordered by place, without duplicates. */
enum { YAML_ERRORS_MAX = 20, YAML_ERRORS_SEEN_MAX = 1024 };
struct yaml_errors {
    uint32_t count;                      /* all errors; only the first YAML_ERRORS_MAX are kept */
    uint64_t seen[YAML_ERRORS_SEEN_MAX]; /* hashes; errors beyond these may be counted repeatedly */
    struct yaml_error {
        size_t line, column;
        struct why why; /* sentence with the place */
    } items[YAML_ERRORS_MAX];
};

struct config_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current event; zeroed before the first */
    const char *file_name;
    struct bytes text;
    struct why *why;
    bool has_aliases;       /* reader_document_expanded(); a parser's alias has no anchor */
    struct yaml_tree *tree; /* its events replace the parser's; NULL without aliases */

    struct yaml_errors *errors; /* NULL: the first error ends the reading */
    uint32_t passed_over;       /* errors after which the reading continued */
    bool is_broken;             /* the text is invalid from here on: nothing can be skipped */
    uint64_t event_number;      /* number of the current event */
    unsigned depth; /* open mappings and lists, including those that the current event begins */
};

/* Makes readers of this thread skip an invalid pair or list item, continue after it and add each
 * error to `errors`; NULL, the default, stops at the first error. The result of the reading must
 * not be used then: reader_document() returns ERR_INPUT. Checks of several values must be skipped
 * for a mapping in which `passed_over` has changed, because some values are missing. */
void reader_collect(struct yaml_errors *errors);
/* True for OK, or an error of this text after which another pass over it may find more. */
bool reader_goes_on(enum err e);
/* Adds an error found outside of readers to the collected errors, if they are collected. */
void reader_note(const char *file_name, const struct why *why);
/* Handles the error `e` of a list item, whose inner depth is `depth`: OK if the reading can
 * continue with the next item. reader_mapping() does the same for pairs. */
MUST_CHECK enum err reader_pass_over(struct config_reader *r, unsigned depth, enum err e);

/* Everything is borrowed until reader_fini(). ERR_LIMIT: more than `bytes_max`; ERR_NOMEM. */
MUST_CHECK enum err reader_init(struct config_reader *r, const char *file_name, struct bytes text,
                                size_t bytes_max, struct why *why);
void reader_fini(struct config_reader *r);

/* Reads the stream: nothing, or one document, for whose root `root` is called. Like every function
 * that reads a value, it is called at the value's first event and ends at its last. */
MUST_CHECK enum err reader_document(struct config_reader *r,
                                    enum err (*root)(struct config_reader *r, void *context),
                                    void *context);

/* Moves to the next event, which ends views of the previous one. ERR_INPUT: invalid YAML, or
 * anchors, aliases, tags. */
MUST_CHECK enum err reader_next(struct config_reader *r);
/* Skips the value that the current event begins: moves to its last event. */
MUST_CHECK enum err reader_skip(struct config_reader *r);
/* Reads the mapping that the current event begins. Calls `each` at each key, which moves on to the
 * value and reads it. */
MUST_CHECK enum err reader_mapping(struct config_reader *r,
                                   enum err (*each)(struct config_reader *r, void *context),
                                   void *context);

/* Returns a view of the current event, a scalar. */
struct bytes reader_scalar(const struct config_reader *r);
/* True if the value is empty or a plain null. */
bool reader_is_null(const struct config_reader *r);
/* Describes the current event for people. */
struct shown reader_found(const struct config_reader *r);

/* Return ERR_INPUT, with "file:line:column: " before the sentence: the place of the current event,
 * or of a mark. */
enum err reader_complain(struct config_reader *r, const char *format, ...) PRINTF_LIKE(2, 3);
enum err reader_complain_at(struct config_reader *r, yaml_mark_t mark, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Reports "NAME: expected a list, found ..." at the current event. */
enum err reader_expected(struct config_reader *r, const char *name, const char *expected);
/* Completes the sentence in `why` about the current value. Returns `e`; does nothing if `e` is OK.
 */
enum err reader_wrong(struct config_reader *r, const char *name, enum err e);
/* Returns ERR_NOMEM with "FILE: not enough memory". */
enum err reader_no_memory(struct config_reader *r);
/* Reports libyaml's error with its place. ERR_NOMEM, too. */
enum err reader_syntax_error(struct config_reader *r);
/* Puts the place before the sentence in `why`. */
enum err reader_at(struct config_reader *r, yaml_mark_t mark);

/* --- texts and durations ---------------------------------------------------------------------- */

/* Reads a text: a copy in the arena that ends with a NUL; null is "". ERR_NOMEM; ERR_INPUT: not a
 * text, or it contains a NUL. */
MUST_CHECK enum err reader_text(struct config_reader *r, const char *name, struct arena *arena,
                                const char **ret_text);
/* Reads a duration in Prometheus' notation: 90s, 1h30m, 0. ERR_INPUT. */
MUST_CHECK enum err reader_duration(struct config_reader *r, const char *name, int64_t *ret_ms);

/* Appends a text in YAML's double quotes. UTF-8 is read back unchanged. */
void yaml_put_quoted(struct buf *to, const char *text);

/* --- aliases and merge keys ------------------------------------------------------------------- */

/*
 * An alias repeats the value that its anchor names, and a merge key, "<<", the pairs of another
 * mapping, as in Go's YAML. The user of events sees neither.
 *
 *     - &node {expr: up == 0, for: 5m}
 *     - {<<: *node, alert: Down}           {alert: Down, expr: up == 0, for: 5m}
 *
 * Such a document is loaded whole, so its sizes are checked first.
 */

enum {
    YAML_NESTED_MAX = 32, /* deeper than any table, and limit of merges */
    YAML_ANCHORS_MAX = 1000,
    YAML_MERGED_MAX = 1000, /* pairs of a mapping that has a merge key */
};

/* Like reader_document(), with aliases and merge keys. `values_max` limits only a document that has
 * anchors; a value counts once per alias of it. */
MUST_CHECK enum err
reader_document_expanded(struct config_reader *r, size_t bytes_max, uint32_t values_max,
                         enum err (*root)(struct config_reader *r, void *context), void *context);

/* Called by reader_next() for a reader that has a tree: returns the next event. */
MUST_CHECK enum err yaml_tree_next(struct config_reader *r);

#endif
