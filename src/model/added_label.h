/*
 * added_label.h - canonical labels with one more: those that a destination or an Alertmanager sees
 * besides those of a series or an alert.
 *
 * The results are views of the arena, or of the labels that were given. ERR_NOMEM: it is full.
 */
#ifndef MODEL_ADDED_LABEL_H
#define MODEL_ADDED_LABEL_H

#include "base/mem.h"
#include "model/labels.h"

/* Labels that have one of this name stay as they are; so they do if its value is empty. */
MUST_CHECK enum err labels_complete(struct bytes labels, struct label added, struct arena *arena,
                                    struct bytes *ret_labels);

/* A label of its name is kept as exported_NAME, as Prometheus does it in a clash. */
MUST_CHECK enum err labels_impose(struct bytes labels, struct label added, struct arena *arena,
                                  struct bytes *ret_labels);

#endif
