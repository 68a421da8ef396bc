/*
 * destination_rules.h - what the texts of a destination must be like, and what its keys must
 * agree on: functions for the rows of destination_keys.c. Others are in shared_rules.h.
 */
#ifndef CONFIG_LISTS_DESTINATION_RULES_H
#define CONFIG_LISTS_DESTINATION_RULES_H

#include "config/schema/schema.h"

/* One text each, as in shared_rules.h. */
enum err rule_template(const char *text, struct why *why);        /* each ${ has a name and its } */
enum err rule_tenant_template(const char *text, struct why *why); /* that name is tenant */

/* Mappings: `base` is the struct of their schema. */
enum err rule_retry(struct schema_place *place, void *base);
/* A whole destination; the context is a struct typed_context. */
enum err rule_destination(struct schema_place *place, void *base);

#endif
