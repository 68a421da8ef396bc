/*
 * http_common.h - the parts that all destinations over HTTP share: targets, authentication, and the
 * judging of answers for which a protocol has no rules of its own.
 *
 * Secrets are fetched for each request, so that changed files and variables take effect with the
 * next one. Threads: one.
 */
#ifndef BACKEND_COMMON_HTTP_COMMON_H
#define BACKEND_COMMON_HTTP_COMMON_H

#include "backend/writer.h"

/* The header lines of one request; valid until the next one is begun. */
struct http_headers {
    struct buf text;                               /* lines, each ended by NUL */
    uint32_t at[HTTP_CALLS_HEADERS_MAX];           /* their offsets */
    const char *lines[HTTP_CALLS_HEADERS_MAX + 1]; /* the result of http_headers_lines() */
    uint32_t count;
    enum err failed;
};
/* http_headers_clear() keeps the memory for the next request. */
void http_headers_init(struct http_headers *headers, struct budget *memory);
void http_headers_fini(struct http_headers *headers);
void http_headers_clear(struct http_headers *headers);
/* False: the value holds control characters. */
bool http_header_allows(struct bytes value);
/* Appends a header; errors show in http_headers_lines(). An invalid value is ERR_INPUT. */
void http_headers_put(struct http_headers *headers, const char *name, struct bytes value);
/* Returns the lines, NULL-terminated; valid until the next clear or put. ERR_NOMEM; ERR_INPUT;
 * ERR_LIMIT: too many. */
MUST_CHECK enum err http_headers_lines(struct http_headers *headers, const char *const **ret_lines);

/* `target` borrows from the settings. */
void http_target_init(struct http_calls_target *target, const struct http_settings *http,
                      int64_t timeout_ms);

/* Puts the configured headers, and those for authentication. ERR_MISSING, ERR_IO: a secret
 * cannot be read; `why` names it. */
MUST_CHECK enum err http_put_configured(struct http_headers *headers,
                                        const struct http_settings *http, struct why *why);
/* Puts basic auth or, if that is not given, the other, if given. */
MUST_CHECK enum err http_put_auth(struct http_headers *headers,
                                  const struct basic_auth_settings *basic,
                                  const struct authorization_settings *authorization,
                                  struct why *why);

/* A request with only configured headers. */
struct http_plain {
    const struct http_settings *settings; /* has the headers */
    const struct http_calls_target *target;
    const char *method;
    const char *url;
    const char *content_type;
    const char *content_encoding; /* NULL: not sent */
    const struct basic_auth_settings *basic_auth;
    const struct authorization_settings *authorization;
    struct bytes body;
    size_t answer_bytes_max;
};
/* Makes a step that sends it, or reports why that is impossible. */
void http_send_plain(struct http_headers *headers, const struct http_plain *request,
                     struct writer_step *ret_step);

/*
 * Builds a URL below a configured one, which may have a path and a query of its own: begin with the
 * part after its path, add parameters, end with its query. A value with `at` NULL: only the name.
 * http_url_end() appends a NUL. A lack of memory shows in buf_error(to).
 */
void http_url_begin(struct buf *to, const char *base, const char *path);
void http_url_param(struct buf *to, const char *name, struct bytes value);
void http_url_end(struct buf *to, const char *base);

/* Judges a request that could not be made: retried if memory was short, otherwise blocked. */
void http_judge_unmade(enum err e, const struct why *why, struct writer_step *ret_step);

/* True for an HTML page, with which no service answers a write: it comes from a portal, or the
 * server of another URL. */
bool http_is_page(struct bytes body);
/*
 * Judges by status: 2xx delivered; 429 throttled; 408, 425, 5xx and no answer at all: retry; 413
 * too large; 401, 403, 404, 405, 407, 3xx, TLS and an invalid URL: blocked; other 4xx: some
 * refused. Fills in reason ("http_503", "timeout") and the beginning of the answer.
 */
void http_judge(const struct http_call_answer *answer, struct writer_step *ret_step);
/*
 * Judges a missing answer: retry, but blocked if the URL or the certificates are wrong, or a proxy
 * refuses. Reasons: "bad_url", "resolve", "connect", "proxy", "tls", "timeout",
 * "connection_broken", "no_memory".
 */
void http_judge_silence(const struct http_call_answer *answer, struct writer_step *ret_step);

/* --- tokens ----------------------------------------------------------------------------------- */

/* Fetches tokens with client credentials (RFC 6749, section 4.4). */
struct oauth2;
/* `timeout_ms`: of a request for a token. ERR_NOMEM. */
MUST_CHECK enum err oauth2_new(struct env *env, struct budget *memory,
                               const struct oauth2_settings *settings, int64_t timeout_ms,
                               struct oauth2 **ret_oauth2);
void oauth2_free(struct oauth2 *oauth2);
/* True if there is no token, or it expires soon. */
bool oauth2_is_due(const struct oauth2 *oauth2);
/* The token was refused: another one has to be fetched. */
void oauth2_refused(struct oauth2 *oauth2);
/* Runs as a writer's prepare(). */
void oauth2_step(struct oauth2 *oauth2, const struct http_call_answer *answer,
                 struct writer_step *ret_step);
/* Returns the token, a view until the next step; empty if there is none. */
struct bytes oauth2_token(const struct oauth2 *oauth2);

#endif
