/*
 * yaml_tree.h - reads documents with aliases and merge keys: an alias repeats the value that its
 * anchor names, and a merge key, "<<", the pairs of another mapping, as in Go's YAML. The user of
 * events (yaml_reader.h) sees neither.
 *
 *     - &node {expr: up == 0, for: 5m}
 *     - {<<: *node, alert: Down}           {alert: Down, expr: up == 0, for: 5m}
 *
 * Such a document is loaded whole, so its sizes are checked first.
 */
#ifndef WIRE_YAML_YAML_TREE_H
#define WIRE_YAML_YAML_TREE_H

#include "wire/yaml/yaml_reader.h"

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
