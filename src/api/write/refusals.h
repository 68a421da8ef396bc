/* refusals.h - logs which samples of write requests were refused. */
#ifndef API_WRITE_REFUSALS_H
#define API_WRITE_REFUSALS_H

#include "tsdb/tsdb.h"

/* Logs the refused samples of a request, once per minute and reason. Any thread, without locks. */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);

#endif
