/*
 * relabelled.h - labels of a series with those of a rule set over them.
 *
 * Threads: pure.
 */
#ifndef RULES_GROUP_RELABELLED_H
#define RULES_GROUP_RELABELLED_H

#include "model/labels.h"

/* Sorts by name; of labels with equal names the first one stays. Returns the number of labels that
 * are left. */
uint32_t relabelled_sort(struct label *over, uint32_t count);

/*
 * Appends what is left of canonical `labels` when `over`, which is sorted and has no name twice, is
 * set over them; a value of "" takes a label away. Canonical again. Errors show in `to`.
 */
void relabelled_put(struct buf *to, struct bytes labels, const struct label *over, uint32_t count);

#endif
