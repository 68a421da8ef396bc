/*
 * rule_print.h - groups of rules as YAML, as the ruler API of Mimir answers them: the fields in its
 * order, without those that say nothing, durations in Prometheus' form.
 *
 *     rules_print_namespace()    node.yml:
 *     rules_print_entry()            - name: node            of the text of a group
 *                                      rules: ...
 *
 * What is printed can be read again and then is the same, also by the libraries of Go, for which a
 * name that is no text otherwise is quoted. Errors show in the buffer.
 *
 * Threads: pure.
 */
#ifndef RULES_LOAD_RULE_PRINT_H
#define RULES_LOAD_RULE_PRINT_H

#include "base/buf.h"
#include "rules/rules.h"

/* A group as a document of its own, what rule_group_parse() reads. */
void rule_group_print(const struct rule_group *group, struct buf *to);

/* The key under which the groups of a namespace stand in a list of all, and each group, whose
 * document is `text`. */
void rules_print_namespace(const char *namespace, struct buf *to);
void rules_print_entry(struct bytes text, struct buf *to);

#endif
