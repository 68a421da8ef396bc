/*
 * routes.h - the handlers of routes, by folder: the table of api.c names the queue of each. And
 * what api.c begins and ends with them.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/handler.h"

/* --- lookup/ ---------------------------------------------------------------------------------- */

void label_names_run(struct api *api, struct http_request *request);
void label_values_run(struct api *api, struct http_request *request);
void series_run(struct api *api, struct http_request *request);
void query_exemplars_run(struct api *api, struct http_request *request);
void search_metric_names_run(struct api *api, struct http_request *request);
void search_label_names_run(struct api *api, struct http_request *request);
void search_label_values_run(struct api *api, struct http_request *request);

/* --- query/ ----------------------------------------------------------------------------------- */

/* Makes api->queries. ERR_NOMEM. */
MUST_CHECK enum err queries_new(struct api *api);
/* No query may run. Accepts an api without queries. */
void queries_free(struct api *api);
void query_metrics_register(void);

void query_run(struct api *api, struct http_request *request);
void query_range_run(struct api *api, struct http_request *request);
void explain_run(struct api *api, struct http_request *request);
void active_queries_run(struct api *api, struct http_request *request);
void query_cancel_run(struct api *api, struct http_request *request);
void top_queries_run(struct api *api, struct http_request *request);
void format_query_run(struct api *api, struct http_request *request);
void parse_query_run(struct api *api, struct http_request *request);

/* --- read/ ------------------------------------------------------------------------------------ */

void read_metrics_register(void);
void read_run(struct api *api, struct http_request *request);
void federate_run(struct api *api, struct http_request *request);

/* --- rules/ ----------------------------------------------------------------------------------- */

void rules_run(struct api *api, struct http_request *request);
void alerts_run(struct api *api, struct http_request *request);
void alertmanagers_run(struct api *api, struct http_request *request);
void ruler_api_run(struct api *api, struct http_request *request);

/* --- status/ ---------------------------------------------------------------------------------- */

/* Collects the metrics of an api, the context. */
void store_metrics(struct metric_sink *sink, void *context);

void page_run(struct api *api, struct http_request *request);
void metrics_run(struct api *api, struct http_request *request);
void healthy_run(struct api *api, struct http_request *request);
void health_run(struct api *api, struct http_request *request);
void version_run(struct api *api, struct http_request *request);
void ready_run(struct api *api, struct http_request *request);
void reload_run(struct api *api, struct http_request *request);
void config_check_run(struct api *api, struct http_request *request);
void redirect_run(struct api *api, struct http_request *request);
void root_run(struct api *api, struct http_request *request);
void flush_run(struct api *api, struct http_request *request);
void merge_run(struct api *api, struct http_request *request);
void snapshot_run(struct api *api, struct http_request *request);
void snapshots_run(struct api *api, struct http_request *request);
void snapshot_delete_run(struct api *api, struct http_request *request);
void clean_run(struct api *api, struct http_request *request);
void delete_run(struct api *api, struct http_request *request);
void delete_preview_run(struct api *api, struct http_request *request);
void deletions_run(struct api *api, struct http_request *request);
void deletion_run(struct api *api, struct http_request *request);
void plan_run(struct api *api, struct http_request *request);
void destination_run(struct api *api, struct http_request *request);
void dead_letters_run(struct api *api, struct http_request *request);
void destination_test_run(struct api *api, struct http_request *request);
void targets_run(struct api *api, struct http_request *request);
void notifications_live_run(struct api *api, struct http_request *request);

/* --- web/ ------------------------------------------------------------------------------------- */

/* Answers with the document, whatever the path: the script shows the page that the path names. */
void document_run(struct api *api, struct http_request *request);
/* Answers with the file of the path, which may be kept for ever: its name has its hash. */
void asset_run(struct api *api, struct http_request *request);
/* GET: the sender, and what it may do; POST: begins a session; DELETE: ends it. */
void session_run(struct api *api, struct http_request *request);

/* --- write/ ----------------------------------------------------------------------------------- */

/* Makes api->writes. ERR_NOMEM. */
MUST_CHECK enum err writes_new(struct api *api);
/* No write may wait. Accepts an api without writes. */
void writes_free(struct api *api);
/* Number of writes that wait for their commit; api_committed() (api.h) answers them. */
uint64_t writes_committing(struct api *api);
void write_metrics_register(void);

void write_run(struct api *api, struct http_request *request);

#endif
