/*
 * rule_print.h - prints groups of rules as YAML, like Mimir's ruler API: fields in its order,
 * without empty ones, durations in Prometheus' form.
 *
 *     rules_print_namespace()    node.yml:
 *     rules_print_entry()            - name: node            of the text of a group
 *                                      rules: ...
 *
 * Parsing the output gives the same groups, also with the libraries of Go, for which names that are
 * not texts in YAML 1.1 are quoted. Errors show in the buffer.
 *
 * Threads: pure.
 */
#ifndef RULES_LOAD_RULE_PRINT_H
#define RULES_LOAD_RULE_PRINT_H

#include "base/buf.h"
#include "rules/rules.h"

/* Prints a group as a document of its own, which rule_group_parse() reads. */
void rule_group_print(const struct rule_group *group, struct buf *to);

/* The first prints the key of a namespace in a list of all namespaces, the second a group below
 * it, whose document is `text`. */
void rules_print_namespace(const char *namespace, struct buf *to);
void rules_print_entry(struct bytes text, struct buf *to);

#endif
