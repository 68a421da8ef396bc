/* refusals.h - logs which samples of write requests were refused, and what senders leave out. */
#ifndef API_WRITE_REFUSALS_H
#define API_WRITE_REFUSALS_H

#include "tsdb/tsdb.h"

/* Logs the refused samples of a request, once per minute and reason. Any thread, without locks. */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);
/* Logs, once a day, that a Prometheus sends remote write 2.0 without types of metrics, and what to
 * do. `agent` is its User-Agent; NULL if it has none. Any thread, without locks. */
void types_missing_log(int64_t now_ns, const char *agent, const char *peer,
                       const struct rw_request *request);

#endif
