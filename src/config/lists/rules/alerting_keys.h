/*
 * alerting_keys.h - the keys of an Alertmanager and their checks, as schemas of the structs in
 * notify/settings.h. For alerting.c and tests/tools/configuration.c.
 */
#ifndef CONFIG_LISTS_RULES_ALERTING_KEYS_H
#define CONFIG_LISTS_RULES_ALERTING_KEYS_H

#include "config/schema/schema.h"
#include "notify/settings.h"

extern const struct schema alertmanager_schema;
/* The section `alerting` without its settings, and the root that contains it, for a struct
 * alerting. */
extern const struct schema alerting_schema;
extern const struct schema alerting_root_schema;

#endif
