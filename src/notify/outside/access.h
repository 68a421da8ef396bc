/*
 * access.h - access to a server: its settings, our credentials, and the tokens or keys that have to
 * be fetched before requests.
 *
 *      access_is_ready() -- no: access_step() --> [fetching] --+--> ready
 *                                   ^                          |
 *                                   +--- 1 s, 2 s ... 30 s ----+
 *
 * Threads: one.
 */
#ifndef NOTIFY_OUTSIDE_ACCESS_H
#define NOTIFY_OUTSIDE_ACCESS_H

#include "backend/common/http_common.h"
#include "notify/outside/outside.h"

/* Settings are borrowed; NULL if this kind of server does not have them. */
struct access_options {
    const char *what; /* for the log: "Alertmanager" */
    const struct http_settings *http;
    const struct basic_auth_settings *basic_auth;
    const struct authorization_settings *authorization;
    const struct oauth2_settings *oauth2;
    const struct sigv4_settings *sigv4;
    int64_t timeout_ms;
};

struct access;
/* Makes an access. ERR_NOMEM; errors of aws_region(). */
MUST_CHECK enum err access_new(const struct outside_context *options,
                               const struct access_options *settings, struct access **ret_access,
                               struct why *why);
/* Gives up a pending fetch. */
void access_stop(struct access *access);
/* The access must be stopped. NULL is fine. */
void access_free(struct access *access);

/* Returns true if requests can be sent: all credentials are there. */
bool access_is_ready(const struct access *access);
/* Begins to fetch credentials that are due, unless it pauses. Returns when to step again, on the
 * monotonic clock; INT64_MAX: after an answer. */
int64_t access_step(struct access *access);

struct access_request {
    const char *method;
    const char *url;
    const struct named_text *headers;
    uint32_t header_count;
    struct bytes body;         /* borrowed until the call has ended */
    const char *const *wanted; /* with sigv4 the first is "x-amzn-ErrorType" */
    size_t answer_bytes_max;
};
/* Sends it. `ret_generation` is for access_judge(). Errors of http_headers_lines(), secret_fetch(),
 * aws_sign(), http_calls_start(). */
MUST_CHECK enum err access_send(struct access *access, const struct access_request *request,
                                struct outside_call *call, uint32_t *ret_generation,
                                struct why *why);
/* Like http_judge(); credentials that were refused are due to be fetched again. */
void access_judge(struct access *access, uint32_t generation, const struct http_call_answer *answer,
                  struct writer_step *ret_step);

#endif
