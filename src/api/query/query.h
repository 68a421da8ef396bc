/* query.h - handlers of PromQL: queries, their plans, running queries, and expressions as text. */
#ifndef API_QUERY_QUERY_H
#define API_QUERY_QUERY_H

#include "api/handler.h"

/* Makes api->queries. ERR_NOMEM. */
MUST_CHECK enum err queries_new(struct api *api);
/* No query may run. Accepts an api without queries. */
void queries_free(struct api *api);

/* Handlers of routes; the table of api.c names the queue of each. */
void query_run(struct api *api, struct http_request *request);
void query_range_run(struct api *api, struct http_request *request);
void explain_run(struct api *api, struct http_request *request);
void active_queries_run(struct api *api, struct http_request *request);
void query_cancel_run(struct api *api, struct http_request *request);
void top_queries_run(struct api *api, struct http_request *request);
void format_query_run(struct api *api, struct http_request *request);
void parse_query_run(struct api *api, struct http_request *request);
void query_metrics_register(void);

#endif
