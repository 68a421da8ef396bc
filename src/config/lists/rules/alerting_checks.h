/*
 * alerting_checks.h - checks of texts and of combinations of keys of an Alertmanager: functions for
 * the rows of alerting_keys.c. Others are in shared_checks.h.
 */
#ifndef CONFIG_LISTS_RULES_ALERTING_CHECKS_H
#define CONFIG_LISTS_RULES_ALERTING_CHECKS_H

#include "config/schema/schema.h"

/* Checks of one text, as in shared_checks.h. */
enum err check_scheme(const char *text, struct why *why);
enum err check_api_version(const char *text, struct why *why);
enum err check_target(const char *text, struct why *why);      /* "host:port" */
enum err check_target_file(const char *text, struct why *why); /* a pattern for JSON or YAML */

/* Checks of mappings: `base` is the struct of their schema; the context is a struct root_context.
 * They also fill in paths, headers and lines. */
enum err check_dns_members(struct schema_place *place, void *base);
enum err check_file_members(struct schema_place *place, void *base);
enum err check_http_members(struct schema_place *place, void *base);
enum err check_alertmanager(struct schema_place *place, void *base);

#endif
