/*
 * pages.h - private to api/: status pages. A page writes one value, the "data" of the answer, which
 * is sent when it is complete, so it may fail at any point.
 */
#ifndef API_STATUS_PAGES_H
#define API_STATUS_PAGES_H

#include "api/handler.h"

struct status_page {
    struct api *api;
    struct http_request *request;
    struct bytes tenant; /* for pages about data */
    struct json *j;
    struct why why;
};

enum { PAGE_TIME_BYTES = 40 };
/* RFC 3339 in UTC, whole seconds. */
void page_time(int64_t t_ms, char to[PAGE_TIME_BYTES]);
void put_page_time(struct json *j, const char *key, int64_t t_ms);
/* Reads an argument that is a whole number; if it is absent *ret stays as it is. ERR_INPUT. */
MUST_CHECK enum err page_number(struct status_page *page, const char *name, int64_t *ret);

/* Writes the value of the page about features. */
void features_put(const struct api_options *options, const struct promql_features *chosen,
                  struct json *j);

/* usage_page.c */
enum err metric_usage_page(struct status_page *page);

/* status_log.c */
enum err log_page(struct status_page *page);

/* status_store.c */
enum err tsdb_page(struct status_page *page);
enum err tsdb_blocks_page(struct status_page *page);
enum err tsdb_bytes_page(struct status_page *page);
enum err storage_page(struct status_page *page);

#endif
