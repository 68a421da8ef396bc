/* pages.h - handlers of the web page: its document, and the files that it loads. */
#ifndef API_WEB_PAGES_H
#define API_WEB_PAGES_H

#include "api/handler.h"

/* Answers with the document, whatever the path: the script shows the page that the path names. */
void document_run(struct api *api, struct http_request *request);
/* Answers with the file of the path, which may be kept for ever: its name has its hash. */
void asset_run(struct api *api, struct http_request *request);

#endif
