/*
 * target_groups.h - lists of targets as files and servers give them:
 *
 *     [{"targets": ["host:port", ...], "labels": {"name": "value", ...}}, ...]
 *
 * Source: Prometheus' documentation, "file_sd_config" and "http_sd_config". Strict as there: no
 * other keys, texts where texts are expected; of YAML no anchors, aliases and tags besides.
 *
 * Threads: pure; any number at a time.
 */
#ifndef NOTIFY_TARGET_GROUPS_H
#define NOTIFY_TARGET_GROUPS_H

#include "notify/discovery.h"

/*
 * Appends the targets of all groups: each has __address__, the labels of its group, and `meta`,
 * which says where it was found and wins over a label of the same name. `name` is for sentences.
 * ERR_INPUT: it is none of that; ERR_LIMIT: too long, too many targets, labels or bytes of them;
 * ERR_NOMEM. After an error some may have been appended.
 */
MUST_CHECK enum err target_groups_json(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);
MUST_CHECK enum err target_groups_yaml(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);

#endif
