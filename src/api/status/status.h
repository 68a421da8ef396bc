/*
 * status.h - handlers for operators: health, status pages, metrics, reload, and the admin API; and
 * the endpoints about scraping.
 */
#ifndef API_STATUS_STATUS_H
#define API_STATUS_STATUS_H

#include "api/handler.h"

/* Handlers of routes; the table of api.c names the queue of each. */
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

/* admin.c */
void flush_run(struct api *api, struct http_request *request);
void merge_run(struct api *api, struct http_request *request);
void snapshot_run(struct api *api, struct http_request *request);
void snapshots_run(struct api *api, struct http_request *request);
void snapshot_delete_run(struct api *api, struct http_request *request);
void clean_run(struct api *api, struct http_request *request);
void delete_run(struct api *api, struct http_request *request);
void delete_preview_run(struct api *api, struct http_request *request);
void destination_run(struct api *api, struct http_request *request);

/* series_rules.c */
void plan_run(struct api *api, struct http_request *request);
/* Puts the members `retention` and `downsampling` of status/storage. */
void put_series_rules(struct api *api, struct json *j);
/* Puts an object; the context is a struct json. */
struct rollup_facts;
void put_resolution(void *json, const struct rollup_facts *facts);
void put_series_rule_metrics(struct metric_sink *sink, struct tsdb *tsdb);

/* deletions.c */
void deletions_run(struct api *api, struct http_request *request);
/* GET: one; POST .../undo: undoes it. */
void deletion_run(struct api *api, struct http_request *request);

/* destination_questions.c */
void dead_letters_run(struct api *api, struct http_request *request);
void destination_test_run(struct api *api, struct http_request *request);

/* targets.c */
void targets_run(struct api *api, struct http_request *request);
void notifications_live_run(struct api *api, struct http_request *request);

/* store_metrics.c: collects the metrics of an api, the context. */
void store_metrics(struct metric_sink *sink, void *context);

#endif
