/*
 * write.h - remote write: the handler, and the writes that wait for their commit. api_committed()
 * (api.h) answers these.
 */
#ifndef API_WRITE_WRITE_H
#define API_WRITE_WRITE_H

#include "api/handler.h"

/* Makes api->writes. ERR_NOMEM. */
MUST_CHECK enum err writes_new(struct api *api);
/* No write may wait. Accepts an api without writes. */
void writes_free(struct api *api);

void write_run(struct api *api, struct http_request *request);

/* Number of writes that wait for their commit. */
uint64_t writes_committing(struct api *api);
void write_metrics_register(void);

#endif
