/* session.h - the handler of /api/v1/session: who is signed in; sign-in and sign-out of browsers.
 */
#ifndef API_WEB_SESSION_H
#define API_WEB_SESSION_H

#include "api/handler.h"

/* GET: the sender, and what it may do; POST: begins a session; DELETE: ends it. */
void session_run(struct api *api, struct http_request *request);

#endif
