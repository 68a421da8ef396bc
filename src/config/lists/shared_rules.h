/*
 * shared_rules.h - what texts must be like, and what keys must agree on, in destinations and in
 * sources: functions for the rows of their tables, and for rules of their own.
 */
#ifndef CONFIG_LISTS_SHARED_RULES_H
#define CONFIG_LISTS_SHARED_RULES_H

#include "backend/settings.h"
#include "config/schema/schema.h"

/* One text each. ERR_INPUT: a sentence without the key's name. ERR_NOMEM, ERR_LIMIT of what is
 * tried. */
enum err rule_name(const char *text, struct why *why); /* of an entry */
enum err rule_selector(const char *text, struct why *why);
enum err rule_tenant(const char *text, struct why *why);
enum err rule_header_name(const char *text, struct why *why);
enum err rule_added_label(const char *text, struct why *why); /* the name of a label we add */
enum err rule_region(const char *text, struct why *why);
enum err rule_bucket(const char *text, struct why *why); /* of S3 */
enum err rule_tls_version(const char *text, struct why *why);
enum err rule_authorization_type(const char *text, struct why *why);
/* http or https, a host, no user, no password, no fragment; rule_proxy() takes user and password,
 * and also nothing. */
enum err rule_url(const char *text, struct why *why);
enum err rule_endpoint(const char *text, struct why *why);
enum err rule_proxy(const char *text, struct why *why);
/* Sentences for rules, ERR_INPUT always: "expected WHAT, got 'TEXT'"; a header that is no choice.
 */
enum err rule_expected(struct why *why, const char *what, const char *text);
enum err rule_header_is_ours(const char *text, struct why *why);

/* A mapping: `base` is the struct of its schema. */
enum err rule_tls(struct schema_place *place, void *base);
enum err rule_relabel(struct schema_place *place, void *base);

/*
 * For the rules of an entry, whose context is a struct typed_context.
 *
 * No header is set twice. `tenant_header` NULL: not given; `signer`: what sets Authorization if no
 * key does, NULL: nothing.
 */
enum err rule_headers(struct schema_place *place, const struct named_secrets *headers,
                      const char *tenant_header, const char *signer);
/* They are given where tenancy is on. `type`: the entry's, for people; `ret_several`: there may be
 * more than one. */
enum err rule_tenants(struct schema_place *place, const struct text_list *tenants, const char *type,
                      bool *ret_several);
/* Of an InfluxDB: the keys that its version has, and needs. */
enum err rule_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb);

#endif
