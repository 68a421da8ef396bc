/*
 * relabelled.h - sets a rule's labels over the labels of a series.
 *
 * Threads: pure.
 */
#ifndef RULES_GROUP_RELABELLED_H
#define RULES_GROUP_RELABELLED_H

#include "model/labels.h"

/* Sorts by name; of labels with equal names the first one stays. Returns the number of remaining
 * labels. */
uint32_t relabelled_sort(struct label *over, uint32_t count);

/* Appends canonical `labels` with `over` set over them, which is sorted and has no name twice; a
 * value of "" removes a label. Canonical again. Errors show in `to`. */
void relabelled_put(struct buf *to, struct bytes labels, const struct label *over, uint32_t count);

#endif
