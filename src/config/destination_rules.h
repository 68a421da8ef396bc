/*
 * destination_rules.h - what the texts of a destination must be like, and what its keys must
 * agree on: functions for the rows of destination_keys.c.
 */
#ifndef CONFIG_DESTINATION_RULES_H
#define CONFIG_DESTINATION_RULES_H

#include "config/schema.h"

/* One text each. ERR_INPUT: a sentence without the key's name. ERR_NOMEM, ERR_LIMIT of what is
 * tried. */
enum err rule_destination_name(const char *text, struct why *why);
enum err rule_selector(const char *text, struct why *why);
enum err rule_tenant(const char *text, struct why *why);
enum err rule_header_name(const char *text, struct why *why);
enum err rule_template(const char *text, struct why *why);        /* each ${ has a name and its } */
enum err rule_tenant_template(const char *text, struct why *why); /* that name is tenant */
enum err rule_tenant_label(const char *text, struct why *why);
enum err rule_region(const char *text, struct why *why);
enum err rule_tls_version(const char *text, struct why *why);
enum err rule_authorization_type(const char *text, struct why *why);
/* http or https, a host, no user, no password, no fragment; rule_proxy() takes user and password,
 * and also nothing. */
enum err rule_url(const char *text, struct why *why);
enum err rule_endpoint(const char *text, struct why *why);
enum err rule_proxy(const char *text, struct why *why);

/* Mappings: `base` is the struct of their schema. */
enum err rule_tls(struct schema_place *place, void *base);
enum err rule_retry(struct schema_place *place, void *base);
enum err rule_relabel(struct schema_place *place, void *base);
/* A whole destination; the context is a struct typed_context. */
enum err rule_destination(struct schema_place *place, void *base);

#endif
