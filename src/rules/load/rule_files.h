/*
 * rule_files.h - parses files of rules in the format of Prometheus, and prints them.
 *
 *     groups:
 *     - name: node
 *       rules:
 *       - {record: "job:up:sum", expr: sum by (job) (up)}
 *
 * The format and its differences from Prometheus: docs/rules.md.
 *
 * Threads: pure; any number at a time.
 */
#ifndef RULES_LOAD_RULE_FILES_H
#define RULES_LOAD_RULE_FILES_H

#include "base/buf.h"
#include "rules/rules.h"

struct rule_file_options {
    bool ignore_unknown_fields;
    /*
     * Called for each error of the text, with a view of the sentence, group by group in the order
     * of the file; NULL: only the first error counts. An error of the YAML ends the reading, others
     * do not.
     */
    void (*report)(void *context, struct bytes sentence);
    void *context;
    /* Adds two lines to the sentence about an invalid expression: the line of the expression, and a
     * caret below the position of the error. */
    bool shows_place;
};

/*
 * Parses the text of a file into `arena`, whose limit and budget bound all memory except that of
 * libyaml, which the size of the text bounds. `file` is for sentences, and is copied. An empty text
 * has no groups. After an error a part of the arena may be used.
 *
 * ERR_INPUT   the text is invalid: `why` has the first sentence, cut to its size,
 *             "FILE:LINE:COLUMN: ..."; `report` was called for all errors.
 * ERR_LIMIT   longer than RULE_FILE_BYTES_MAX.
 * ERR_NOMEM   the arena is full, or an allocation was refused.
 */
MUST_CHECK enum err rule_file_parse(const char *file, struct bytes text,
                                    const struct rule_file_options *options, struct arena *arena,
                                    struct rule_groups *ret_groups, struct why *why);
/* Does the same for a text that is a single group instead of a list, as Mimir's ruler API accepts
 * it. It must have rules. The result lies in the arena, with `file` as its file. */
MUST_CHECK enum err rule_group_parse(const char *file, struct bytes text,
                                     const struct rule_file_options *options, struct arena *arena,
                                     struct rule_group *ret_group, struct why *why);

/* --- printing: rule_print.c ------------------------------------------------------------------- */

/*
 * Groups are printed as YAML, like Mimir's ruler API prints them: fields in its order, without
 * empty ones, durations in Prometheus' form.
 *
 *     rules_print_namespace()    node.yml:
 *     rules_print_entry()            - name: node            of the text of a group
 *                                      rules: ...
 *
 * Parsing the output gives the same groups, also with the libraries of Go, for which names that are
 * not texts in YAML 1.1 are quoted. Errors show in the buffer.
 */

/* Prints a group as a document of its own, which rule_group_parse() reads. */
void rule_group_print(const struct rule_group *group, struct buf *to);

/* The first prints the key of a namespace in a list of all namespaces, the second a group below
 * it, whose document is `text`. */
void rules_print_namespace(const char *namespace, struct buf *to);
void rules_print_entry(struct bytes text, struct buf *to);

#endif
