/*
 * target_groups.h - reads lists of targets in files and answers of servers:
 *
 *     [{"targets": ["host:port", ...], "labels": {"name": "value", ...}}, ...]
 *
 * Source: Prometheus' documentation, "file_sd_config" and "http_sd_config". Equally strict: no
 * other keys, no other types instead of texts; in YAML neither anchors, aliases nor tags.
 *
 * Threads: pure; any number at a time.
 */
#ifndef NOTIFY_DISCOVERY_TARGET_GROUPS_H
#define NOTIFY_DISCOVERY_TARGET_GROUPS_H

#include "notify/discovery/discovery.h"

/*
 * Appends the targets of all groups: each has __address__, the labels of its group, and `meta`,
 * which names the place it was found in and replaces a label of the same name. `name` begins error
 * texts. ERR_INPUT: malformed; ERR_LIMIT: too long, too many targets, labels or bytes of them;
 * ERR_NOMEM. After an error some targets may have been appended.
 */
MUST_CHECK enum err target_groups_json(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);
MUST_CHECK enum err target_groups_yaml(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);

#endif
