/* pages.h - private to api/: status pages. A page writes one value, the "data" of the answer. */
#ifndef API_STATUS_PAGES_H
#define API_STATUS_PAGES_H

#include "api/answer.h"
#include "api/handler.h"

enum { PAGE_TIME_BYTES = 40 };
/* RFC 3339 in UTC, whole seconds. */
void page_time(int64_t t_ms, char to[PAGE_TIME_BYTES]);
void put_page_time(struct json *j, const char *key, int64_t t_ms);
/* Reads an argument that is a whole number; if it is absent *ret stays as it is. ERR_INPUT. */
MUST_CHECK enum err page_number(struct json_page *page, const char *name, int64_t *ret);

/* Writes the value of the page about features. */
void features_put(const struct api_options *options, const struct promql_features *chosen,
                  struct json *j);

/* usage_page.c */
enum err metric_usage_page(struct json_page *page);

/* status_log.c */
enum err log_page(struct json_page *page);

/* status_store.c */
enum err tsdb_page(struct json_page *page);
enum err tsdb_blocks_page(struct json_page *page);
enum err tsdb_bytes_page(struct json_page *page);
enum err storage_page(struct json_page *page);

#endif
