/*
 * audit.h - the audit log: a line `audit` of the log, level info, for each request that changes
 * something other than samples. docs/security.md explains it to operators.
 */
#ifndef AUTH_AUDIT_H
#define AUTH_AUDIT_H

#include "net/http_server.h"

/*
 * Logs a request with its answer's status: the user's name or "", the client's address, the method,
 * the path, the tenant that it names, and the arguments of its URL that say what is changed; never
 * a body, or other headers.
 */
void audit_log(const struct http_request *request, const char *user, const char *client,
               unsigned status);

#endif
