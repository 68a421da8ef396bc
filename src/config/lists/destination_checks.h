/*
 * destination_checks.h - checks of texts and of combinations of keys of a destination: functions
 * for the rows of destination_keys.c. Others are in shared_checks.h.
 */
#ifndef CONFIG_LISTS_DESTINATION_CHECKS_H
#define CONFIG_LISTS_DESTINATION_CHECKS_H

#include "config/schema/schema.h"

/* Checks of one text, as in shared_checks.h. */
enum err check_template(const char *text, struct why *why); /* each ${ has a name and a closing } */
enum err check_tenant_template(const char *text, struct why *why); /* the name is tenant */
enum err check_tenant_prefix(const char *text, struct why *why);   /* the same, of object names */

/* Check of a mapping: `base` is the struct of its schema. */
enum err check_retry(struct schema_place *place, void *base);
/* Check of a whole destination; the context is a struct typed_context. */
enum err check_destination(struct schema_place *place, void *base);

#endif
