/* replica_labels.h - private to config/: the check of query.replica-labels (struct setting). */
#ifndef CONFIG_REPLICA_LABELS_H
#define CONFIG_REPLICA_LABELS_H

#include "base/err.h"

enum err replica_labels_check(const char *text, const char **ret_expected);

#endif
