/* pages.h - private to api/: status pages. A page writes one value, the "data" of the answer. */
#ifndef API_STATUS_PAGES_H
#define API_STATUS_PAGES_H

#include "api/handler.h"

enum { PAGE_TIME_BYTES = 40 };
/* Writes RFC 3339 in UTC, whole seconds. */
void put_page_time(struct json *j, const char *key, int64_t t_ms);
/* Reads an argument that is a whole number; if it is absent *ret stays as it is. ERR_INPUT. */
MUST_CHECK enum err page_number(struct json_page *page, const char *name, int64_t *ret);

/* series_rules.c */
/* Puts the members `retention` and `downsampling` of status/storage. */
void put_series_rules(struct api *api, struct json *j);
/* Puts an object; the context is a struct json. */
struct rollup_facts;
void put_resolution(void *json, const struct rollup_facts *facts);
void put_series_rule_metrics(struct metric_sink *sink, struct tsdb *tsdb);

/* status_store.c */
enum err tsdb_page(struct json_page *page);
enum err tsdb_blocks_page(struct json_page *page);
enum err tsdb_bytes_page(struct json_page *page);
enum err storage_page(struct json_page *page);

#endif
