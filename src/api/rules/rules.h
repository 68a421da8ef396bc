/* rules.h - handlers about rules, alerts and Alertmanagers, and those of the ruler API. */
#ifndef API_RULES_RULES_H
#define API_RULES_RULES_H

#include "api/handler.h"

void rules_run(struct api *api, struct http_request *request);
void alerts_run(struct api *api, struct http_request *request);
void alertmanagers_run(struct api *api, struct http_request *request);
void ruler_api_run(struct api *api, struct http_request *request);

#endif
