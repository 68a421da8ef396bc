/* lookup.h - handlers that look up names, values, series and exemplars, or search for them. */
#ifndef API_LOOKUP_LOOKUP_H
#define API_LOOKUP_LOOKUP_H

#include "api/handler.h"

void label_names_run(struct api *api, struct http_request *request);
void label_values_run(struct api *api, struct http_request *request);
void series_run(struct api *api, struct http_request *request);
void query_exemplars_run(struct api *api, struct http_request *request);
void search_metric_names_run(struct api *api, struct http_request *request);
void search_label_names_run(struct api *api, struct http_request *request);
void search_label_values_run(struct api *api, struct http_request *request);

#endif
