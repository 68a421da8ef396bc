/*
 * yaml_tree.h - documents of people who repeat themselves: aliases stand for what their anchors
 * name, and a merge key, "<<", for the pairs of another mapping, as in the YAML of Go. What reads
 * events (yaml_reader.h) sees neither.
 *
 *     - &node {expr: up == 0, for: 5m}
 *     - {<<: *node, alert: Down}           {alert: Down, expr: up == 0, for: 5m}
 *
 * Such a document is loaded whole, so the sizes of it are looked at first.
 */
#ifndef WIRE_YAML_YAML_TREE_H
#define WIRE_YAML_YAML_TREE_H

#include "wire/yaml/yaml_reader.h"

enum {
    YAML_NESTED_MAX = 32, /* deeper than any table, and merges */
    YAML_ANCHORS_MAX = 1000,
    YAML_MERGED_MAX = 1000, /* pairs of a mapping that has a merge key */
};

/*
 * As reader_document(), with aliases and merge keys. `values_max` holds only for a document that
 * has anchors; a value counts for each alias of it.
 */
MUST_CHECK enum err
reader_document_expanded(struct config_reader *r, size_t bytes_max, uint32_t values_max,
                         enum err (*root)(struct config_reader *r, void *context), void *context);

/* For reader_next(), of a reader that has a tree: the next event. */
MUST_CHECK enum err yaml_tree_next(struct config_reader *r);

#endif
