/*
 * label_edit.h - label sets that are made of others: canonical (model/labels.h), as these are.
 */
#ifndef PROMQL_EVAL_LABEL_EDIT_H
#define PROMQL_EVAL_LABEL_EDIT_H

#include "model/labels.h"

/* Label names, ascending, each once. */
struct name_list {
    const struct bytes *names;
    uint32_t count;
};

/* Sorts names in place and drops repetitions. */
struct name_list name_list_of(struct bytes *names, uint32_t count);
bool name_list_has(const struct name_list *list, struct bytes name);

/* Any text but the empty one, in UTF-8. */
bool label_name_is_valid(struct bytes name);

/* All append to `to`, whose buf_error() tells of failure. */
/* Without what describes the metric: __name__, __type__, __unit__. */
void labels_without_metadata(struct buf *to, struct bytes labels);
/* Only those named. */
void labels_keep(struct buf *to, struct bytes labels, const struct name_list *names);
/* Without those named; __name__ goes, too, with `name_too`. */
void labels_drop(struct buf *to, struct bytes labels, const struct name_list *names, bool name_too);
/* With one label set to a value, in place of the one it has; an empty value drops it. */
void labels_with(struct buf *to, struct bytes labels, struct label label);
/* The same in place; the two are exchanged. False: no memory, and `labels` is of no use. */
bool labels_set(struct buf *labels, struct buf *scratch, struct label label);

#endif
