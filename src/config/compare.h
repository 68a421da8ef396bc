/*
 * compare.h - differences between two configurations that were printed as YAML, key by key.
 */
#ifndef CONFIG_COMPARE_H
#define CONFIG_COMPARE_H

#include "config/config.h"

struct config_difference {
    const char *key;       /* "web.listen_address", "destinations[s3].url" */
    const char *old_value; /* NULL: it does not have the key */
    const char *new_value; /* likewise */
    bool needs_restart;    /* a reload cannot change it */
};
/*
 * Calls `each` for every difference, in the order of keys. Items of lists are compared by their
 * name, or by their place if they have none; a list of texts is one value. Secrets are printed as
 * <secret>, so a secret that was replaced is no difference. ERR_NOMEM; errors of the reader for
 * texts that were not printed by config/.
 */
MUST_CHECK enum err config_compare(struct bytes now, struct bytes next, struct budget *budget,
                                   void (*each)(void *context,
                                                const struct config_difference *difference),
                                   void *context, struct why *why);

#endif
