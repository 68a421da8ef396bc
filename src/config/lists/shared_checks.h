/*
 * shared_checks.h - checks of texts and of combinations of keys, for destinations and sources:
 * functions for the rows of their tables, and helpers for rules of their own.
 */
#ifndef CONFIG_LISTS_SHARED_CHECKS_H
#define CONFIG_LISTS_SHARED_CHECKS_H

#include "backend/settings.h"
#include "config/schema/schema.h"

/* Rules of one text. ERR_INPUT: a sentence without the key's name. ERR_NOMEM, ERR_LIMIT of what
 * is compiled. */
enum err rule_name(const char *text, struct why *why); /* for names of entries of lists */
enum err rule_selector(const char *text, struct why *why);
enum err rule_tenant(const char *text, struct why *why);
enum err rule_header_name(const char *text, struct why *why);
enum err rule_added_label(const char *text,
                          struct why *why); /* the name of a label that Firekeep adds */
enum err rule_region(const char *text, struct why *why);
enum err rule_bucket(const char *text, struct why *why); /* for names of S3 buckets */
enum err rule_tls_version(const char *text, struct why *why);
enum err rule_authorization_type(const char *text, struct why *why);
/* rule_url() requires http or https and a host, without user, password or fragment; rule_proxy()
 * allows user and password, and an empty text. */
enum err rule_url(const char *text, struct why *why);
enum err rule_endpoint(const char *text, struct why *why);
enum err rule_proxy(const char *text, struct why *why);
/* Sentences for rules, always ERR_INPUT: "expected WHAT, got 'TEXT'"; a header that cannot be
 * set. */
enum err rule_expected(struct why *why, const char *what, const char *text);
enum err rule_header_is_ours(const char *text, struct why *why);

/* Rules of mappings: `base` is the struct of their schema. */
enum err rule_tls(struct schema_place *place, void *base);
enum err rule_relabel(struct schema_place *place, void *base);

/*
 * Helpers for the rule of an entry, whose context is a struct typed_context.
 *
 * rule_headers() refuses headers that are set twice. `tenant_header` NULL: not given. `signer`
 * names what sets Authorization if no key does, or is NULL.
 */
enum err rule_headers(struct schema_place *place, const struct named_secrets *headers,
                      const char *tenant_header, const char *signer);
/* Requires `tenants` if tenancy is on. `type` is the entry's, for messages; `ret_several`: there
 * may be more than one tenant. */
enum err rule_tenants(struct schema_place *place, const struct text_list *tenants, const char *type,
                      bool *ret_several);
/* Checks the keys that a version of InfluxDB has and requires. */
enum err rule_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb);

#endif
