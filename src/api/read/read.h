/* read.h - handlers that send samples: remote read, and federation for scrapers. */
#ifndef API_READ_READ_H
#define API_READ_READ_H

#include "api/handler.h"

void read_run(struct api *api, struct http_request *request);
void federate_run(struct api *api, struct http_request *request);
void read_metrics_register(void);

#endif
