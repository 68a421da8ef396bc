/*
 * routes.h - the handlers of routes, by folder: the table of api.c names the queue of each. And
 * what api.c begins and ends with them.
 */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/handler.h"
#include "wire/text/family_writer.h"

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

/* Threads of the functions about active queries: any. */

/* A query that runs. Its thread sets all fields but the first two before queries_begin(); memory
 * that it views stays until queries_end(). */
struct active_query {
    struct active_query *next, *before; /* guarded by the lock of the api */
    uint64_t id;                        /* guarded as well */
    struct bytes tenant;
    struct bytes user; /* name; empty if it is not known */
    struct bytes text;
    int64_t first_ms, last_ms, step_ms; /* step 0: at one time */
    int64_t begun_ns;
    struct query_control *control; /* control of the query; its budget is used, too */
    enum plan_memory memory;       /* says whether its user may know how much it used */
    uint64_t peak_bytes;           /* largest amount of memory it used; set by queries_end() */
    uint64_t needs_bytes;          /* guarded: memory it needs at least; 0: it was never refused */
    uint64_t memory_turn;          /* guarded: it waits for memory, after lower turns; 0: it runs */
};

/* Guarded by the lock of the api. */
struct queries {
    struct active_query *active; /* the newest first */
    uint64_t count;              /* id of the newest query */
    uint64_t memory_turns;       /* turn of the last query that began to wait for memory */
    struct cond memory_cond;     /* a query has ended, and its memory is free */
    struct past_query *past;     /* costs of recent queries, by text, tenant and user */
    uint32_t past_count;
};

/* Lists a query, whose memory is the caller's until it is unlisted, and gives it an id. */
void queries_begin(struct api *api, struct active_query *query);
/* Unlists a query without accounting it, if it has not run. */
void queries_forget(struct api *api, struct active_query *query);
/* Waits until other queries have left as much memory as this one needs at least, or no other runs,
 * which sets *alone. Queries that wait have their turns. False: it took until `until_ns`
 * (monotonic), or the query was ended, or it was alone before and is again. The caller has freed
 * the memory of its last attempt. */
bool queries_await_memory(struct api *api, struct active_query *query, uint64_t needs_bytes,
                          int64_t until_ns, bool *alone);
/* Unlists a query that ended with `e`, and accounts its costs. Returns true if it was slow, so that
 * the caller logs it. */
bool queries_end(struct api *api, struct active_query *query, enum err e, int64_t took_ns);
/* `plan` describes what it reads; empty if that is not known. */
void queries_log_slow(const struct active_query *query, enum err e, int64_t took_ns,
                      struct bytes plan);

void query_run(struct api *api, struct http_request *request);
void query_range_run(struct api *api, struct http_request *request);
void explain_run(struct api *api, struct http_request *request);
void active_queries_run(struct api *api, struct http_request *request);
void query_cancel_run(struct api *api, struct http_request *request);
void top_queries_run(struct api *api, struct http_request *request);
void format_query_run(struct api *api, struct http_request *request);
void parse_query_run(struct api *api, struct http_request *request);
void influxql_serve(struct api *api, struct http_request *request);
void sql_serve(struct api *api, struct http_request *request);
void ping_run(struct api *api, struct http_request *request);

/* --- read/ ------------------------------------------------------------------------------------ */

void read_metrics_register(void);
void read_run(struct api *api, struct http_request *request);
void federate_run(struct api *api, struct http_request *request);

struct negotiated {
    enum family_form form;
    enum name_escaping escaping;
    char content_type[160];
};
/* Chooses the form of an answer by the scraper's Accept header, as Prometheus does; NULL if the
 * header is absent. */
struct negotiated negotiate(const char *accept);

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

/* The files of the web page, which are part of the program: web/embed.sh makes the table of
 * web/dist. */
struct web_asset {
    const char *path; /* begins with a slash */
    const char *content_type;
    const char *etag; /* in quotes; the hash of the content */
    const uint8_t *gzip;
    size_t gzip_bytes;
};

/* In the order of their paths. */
extern const struct web_asset web_assets[], web_assets_end[];

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

/* Logs the refused samples of a request, once per minute and reason. Any thread, without locks. */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);
/* Logs, once a day, that a Prometheus sends remote write 2.0 without types of metrics, and what to
 * do. `agent` is its User-Agent; NULL if it has none. Any thread, without locks. */
void types_missing_log(int64_t now_ns, const char *agent, const char *peer,
                       const struct rw_request *request);

#endif
