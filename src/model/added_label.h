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

/* Adds the label unless one of its name exists, or its value is empty. */
MUST_CHECK enum err labels_complete(struct bytes labels, struct label added, struct arena *arena,
                                    struct bytes *ret_labels);

/* Adds the label. One of its name is kept as exported_NAME, as Prometheus does. */
MUST_CHECK enum err labels_impose(struct bytes labels, struct label added, struct arena *arena,
                                  struct bytes *ret_labels);

#endif
