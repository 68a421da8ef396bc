/*
 * label_edit.h - makes label sets of others; all are canonical (model/labels.h).
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
/* True if the list has the name; a binary search. */
bool name_list_has(const struct name_list *list, struct bytes name);

/* True for any text in UTF-8 but the empty one. */
bool label_name_is_valid(struct bytes name);

/* The next functions append to `to`; failure shows in buf_error(). */
/* Drops __name__, __type__ and __unit__. */
void labels_without_metadata(struct buf *to, struct bytes labels);
/* Keeps the labels that are named. */
void labels_keep(struct buf *to, struct bytes labels, const struct name_list *names);
/* Drops the labels that are named, and __name__ with `name_too`. */
void labels_drop(struct buf *to, struct bytes labels, const struct name_list *names, bool name_too);
/* Sets one label, which replaces one of the same name; an empty value drops it. */
void labels_with(struct buf *to, struct bytes labels, struct label label);
/* Sets a label in place, by exchanging the buffers. False: out of memory, and `labels` is invalid.
 */
bool labels_set(struct buf *labels, struct buf *scratch, struct label label);

#endif
