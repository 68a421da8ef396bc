/*
 * http_common.h - what all destinations over HTTP share: where calls go, who we say we are, and
 * what an answer means where a protocol has no words of its own.
 *
 * Secrets are fetched for each request, so that what is changed on disk or in the environment
 * counts from the next one on.   Threads: one.
 */
#ifndef BACKEND_COMMON_HTTP_COMMON_H
#define BACKEND_COMMON_HTTP_COMMON_H

#include "backend/writer.h"

/* The header lines of one request; kept until the next one is begun. */
struct http_headers {
    struct buf text;                               /* lines, each ended by NUL */
    uint32_t at[HTTP_CALLS_HEADERS_MAX];           /* where they begin */
    const char *lines[HTTP_CALLS_HEADERS_MAX + 1]; /* what http_headers_lines() gives */
    uint32_t count;
    enum err failed;
};
void http_headers_init(struct http_headers *headers, struct budget *memory);
void http_headers_fini(struct http_headers *headers);
void http_headers_clear(struct http_headers *headers);
/* False: it holds control characters. */
bool http_header_allows(struct bytes value);
/* Appends; what goes wrong shows in http_headers_lines(). A value that is not allowed is
 * ERR_INPUT. */
void http_headers_put(struct http_headers *headers, const char *name, struct bytes value);
/* NULL-terminated; valid until the next clear or put. ERR_NOMEM; ERR_INPUT; ERR_LIMIT: too many. */
MUST_CHECK enum err http_headers_lines(struct http_headers *headers, const char *const **ret_lines);

/* `target` borrows from the settings. */
void http_target_init(struct http_calls_target *target, const struct http_settings *http,
                      int64_t timeout_ms);

/* The configuration's own headers, and those that say who we are. ERR_MISSING, ERR_IO: a secret
 * cannot be had; `why` names it. */
MUST_CHECK enum err http_put_configured(struct http_headers *headers,
                                        const struct http_settings *http, struct why *why);
/* Either, if it is given; the first before the second. */
MUST_CHECK enum err http_put_auth(struct http_headers *headers,
                                  const struct basic_auth_settings *basic,
                                  const struct authorization_settings *authorization,
                                  struct why *why);

/* A request that needs nothing but what is configured. */
struct http_plain {
    const struct http_settings *settings; /* where its headers are */
    const struct http_calls_target *target;
    const char *method;
    const char *url;
    const char *content_type;
    const char *content_encoding; /* NULL: none */
    const struct basic_auth_settings *basic_auth;
    const struct authorization_settings *authorization;
    struct bytes body;
    size_t answer_bytes_max;
};
/* A step that sends it, or says why that cannot be. */
void http_send_plain(struct http_headers *headers, const struct http_plain *request,
                     struct writer_step *ret_step);

/*
 * A URL below one that is configured, which may have a path and a query of its own: begin with what
 * comes after its path, add parameters, end with its query. A value with `at` NULL: the name
 * alone. http_url_end() puts a NUL after it. Out of memory shows in buf_error(to).
 */
void http_url_begin(struct buf *to, const char *base, const char *path);
void http_url_param(struct buf *to, const char *name, struct bytes value);
void http_url_end(struct buf *to, const char *base);

/* A lesser form that a destination was found to need. It is given up a day later, as the
 * destination may have been renewed; and after a restart it is known, being saved. */
struct http_fallback {
    bool is_taken;
    int64_t since_ms; /* Unix */
};
void http_fallback_take(struct http_fallback *fallback, struct env *env);
/* Whether it is to be used now. */
bool http_fallback_now(struct http_fallback *fallback, struct env *env);
void http_fallback_save(const struct http_fallback *fallback, struct buf *to);
/* What is not understood is as if there were nothing. */
void http_fallback_load(struct http_fallback *fallback, struct bytes saved);

/* A request that could not be made: again later if there was no memory, else blocked. */
void http_judge_unmade(enum err e, const struct why *why, struct writer_step *ret_step);

/* Whether it is a page for people, with which no service answers a write: a portal does, or the
 * server of another URL. */
bool http_is_page(struct bytes body);
/*
 * Judges by status: 2xx delivered; 429 throttled; 408, 425, 5xx and no answer at all: again later;
 * 413 too large; 401, 403, 404, 405, 407, 3xx, TLS and an invalid URL: blocked; other 4xx: some
 * refused. Fills in reason ("http_503", "timeout") and the begin of the answer.
 */
void http_judge(const struct http_call_answer *answer, struct writer_step *ret_step);
/*
 * Judges that there is no answer: again later, but blocked where the URL or trust is at fault, or a
 * proxy refuses. Reasons: "bad_url", "resolve", "connect", "proxy", "tls", "timeout",
 * "connection_broken", "no_memory".
 */
void http_judge_silence(const struct http_call_answer *answer, struct writer_step *ret_step);

#endif
