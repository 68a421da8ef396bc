/*
 * shared_checks.h - checks of texts and of combinations of keys, for destinations and sources:
 * functions for the rows of their tables, and helpers for checks of their own.
 */
#ifndef CONFIG_LISTS_SHARED_CHECKS_H
#define CONFIG_LISTS_SHARED_CHECKS_H

#include "backend/settings.h"
#include "config/schema/schema.h"

/* Checks of one text. ERR_INPUT: a sentence without the key's name. ERR_NOMEM, ERR_LIMIT of what
 * is compiled. */
enum err check_entry_name(const char *text, struct why *why); /* for names of entries of lists */
enum err check_selector(const char *text, struct why *why);
enum err check_tenant(const char *text, struct why *why);
enum err check_header_name(const char *text, struct why *why);
enum err check_added_label(const char *text,
                           struct why *why); /* the name of a label that Firekeep adds */
enum err check_region(const char *text, struct why *why);
enum err check_bucket(const char *text, struct why *why); /* for names of S3 buckets */
enum err check_prefix(const char *text, struct why *why); /* for prefixes of object names */
enum err check_stream(const char *text, struct why *why); /* of Kinesis */
enum err check_delivery_stream(const char *text, struct why *why);
enum err check_tls_version(const char *text, struct why *why);
enum err check_authorization_type(const char *text, struct why *why);
/* check_url() requires http or https and a host, without user, password or fragment; check_proxy()
 * allows user and password, and an empty text. */
enum err check_url(const char *text, struct why *why);
enum err check_endpoint(const char *text, struct why *why);
enum err check_proxy(const char *text, struct why *why);
/* Sentences for checks, always ERR_INPUT: "expected WHAT, got 'TEXT'"; a header that cannot be
 * set. */
enum err refuse_text(struct why *why, const char *what, const char *text);
enum err refuse_header(const char *text, struct why *why);

/* Checks of mappings: `base` is the struct of their schema. */
enum err check_tls(struct schema_place *place, void *base);
enum err check_relabel(struct schema_place *place, void *base);

/*
 * Helper for the check of a mapping whose context is a struct root_context: checks `http_headers`,
 * and makes a header of each value, in the arena.
 */
enum err take_http_headers(struct schema_place *place, const struct http_header_list *list,
                           struct named_secrets *ret);

/*
 * Helpers for the check of an entry, whose context is a struct typed_context.
 *
 * check_headers() refuses headers that are set twice. `tenant_header` NULL: not given. `signer`
 * names what sets Authorization if no key does, or is NULL.
 */
enum err check_headers(struct schema_place *place, const struct named_secrets *headers,
                       const char *tenant_header, const char *signer);
/* Requires `tenants` if tenancy is on. `type` is the entry's, for messages; `ret_several`: there
 * may be more than one tenant. */
enum err check_tenants(struct schema_place *place, const struct text_list *tenants,
                       const char *type, bool *ret_several);
/* Checks the keys that a version of InfluxDB has and requires; readers need no organization. */
enum err check_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb,
                        bool has_organization);

#endif
