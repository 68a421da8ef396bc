/*
 * yaml_reader.h - YAML that people write, settings, rules, lists of targets, as a chain of events,
 * and complaints that name a place in it. Stricter than YAML: one document, no tags, and no
 * anchors or aliases but where yaml_tree.h reads it.
 *
 * The first error ends the reading, unless reader_collect() asks for all of them.
 *
 * libyaml has an allocator of its own; what it takes is bounded by the size of the text.
 */
#ifndef WIRE_YAML_YAML_READER_H
#define WIRE_YAML_YAML_READER_H

#include <yaml.h>

#include "base/err.h"
#include "base/shown.h"

/* Errors of one text, in the order of their places in it, each once. */
enum { YAML_ERRORS_MAX = 20, YAML_ERRORS_SEEN_MAX = 1024 };
struct yaml_errors {
    uint32_t count;                      /* in all; only the first YAML_ERRORS_MAX are kept */
    uint64_t seen[YAML_ERRORS_SEEN_MAX]; /* hashes; errors beyond these may count several times */
    struct yaml_error {
        size_t line, column;
        struct why why; /* with the place */
    } items[YAML_ERRORS_MAX];
};

struct config_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one at hand; zeroed: none */
    const char *file_name;
    struct bytes text;
    struct why *why;
    bool has_aliases;       /* yaml_tree.h reads them; one that comes to the parser has no anchor */
    struct yaml_tree *tree; /* whose events come instead of the parser's; NULL: none. yaml_tree.h */

    struct yaml_errors *errors; /* NULL: the first error ends the reading */
    uint32_t passed_over;       /* errors after which the reading went on */
    bool is_broken;             /* the text is no YAML from here on: nothing can be passed over */
    uint64_t event_number;      /* of the current one */
    unsigned depth;             /* mappings and lists that are begun, with the current event */
};

/*
 * From now on readers of this thread pass over what is wrong in a pair or an item of a list, go on
 * after it, and add each error to `errors`; NULL: they do not, as at the beginning. What is read is
 * of no use then: reader_document() returns ERR_INPUT. Rules that look at several values must not
 * be applied to a mapping in which `passed_over` has changed, because some of them are missing.
 */
void reader_collect(struct yaml_errors *errors);
/* OK, or an error of this text after which another pass over it may find more. */
bool reader_goes_on(enum err e);
/* Adds an error that no reader found to those that are collected, if they are. */
void reader_note(const char *file_name, const struct why *why);
/*
 * After `e` of an item of a list, whose inner depth is `depth`: OK if the reading can go on with
 * the next one. reader_mapping() does the same with pairs.
 */
MUST_CHECK enum err reader_pass_over(struct config_reader *r, unsigned depth, enum err e);

/* All is borrowed until reader_fini(). ERR_LIMIT: more than `bytes_max`; ERR_NOMEM. */
MUST_CHECK enum err reader_init(struct config_reader *r, const char *file_name, struct bytes text,
                                size_t bytes_max, struct why *why);
void reader_fini(struct config_reader *r);

/*
 * Reads the stream: nothing, or one document, for whose root `root` is called. Like everything that
 * reads a value, it is called with the value's first event at hand, and leaves its last one.
 */
MUST_CHECK enum err reader_document(struct config_reader *r,
                                    enum err (*root)(struct config_reader *r, void *context),
                                    void *context);

/* Moves to the next event; the one before is gone, and views of it with it. ERR_INPUT: no YAML, or
 * anchors, aliases, tags. */
MUST_CHECK enum err reader_next(struct config_reader *r);
/* The event at hand begins a value of no interest: moves to its last one. */
MUST_CHECK enum err reader_skip(struct config_reader *r);
/*
 * The event at hand begins a mapping. Calls `each` with each key at hand, which moves on to the
 * value and reads it.
 */
MUST_CHECK enum err reader_mapping(struct config_reader *r,
                                   enum err (*each)(struct config_reader *r, void *context),
                                   void *context);

/* The event at hand is a scalar: a view of it. */
struct bytes reader_scalar(const struct config_reader *r);
/* The event at hand is nothing at all, or a plain null. */
bool reader_is_null(const struct config_reader *r);
/* The event at hand, for people. */
struct shown reader_found(const struct config_reader *r);

/* ERR_INPUT, with "file:line:column: " before the sentence: of the event at hand, of a mark. */
enum err reader_complain(struct config_reader *r, const char *format, ...) PRINTF_LIKE(2, 3);
enum err reader_complain_at(struct config_reader *r, yaml_mark_t mark, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* "NAME: expected a list, found ...": of the event at hand. */
enum err reader_expected(struct config_reader *r, const char *name, const char *expected);
/* Completes the sentence that `why` has about the value at hand. Returns `e`; OK: does nothing. */
enum err reader_wrong(struct config_reader *r, const char *name, enum err e);
/* ERR_NOMEM: "FILE: not enough memory". */
enum err reader_no_memory(struct config_reader *r);
/* What libyaml says when it cannot go on, with the place. ERR_NOMEM, too. */
enum err reader_syntax_error(struct config_reader *r);
/* Puts the place before the sentence that `why` has already. */
enum err reader_at(struct config_reader *r, yaml_mark_t mark);

#endif
