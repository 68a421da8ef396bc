/*
 * outside.h - a notifier's requests to other machines: HTTP, and look-ups of names. A table of
 * functions, so that tests can simulate the other machines, and time.
 *
 *      outside_start() --> pending --- outside_poll() ---> ended --> answered()
 *
 * A caller embeds a struct outside_call or outside_question, whose function `answered` is called by
 * outside_poll(). It may give up (cancel) the call, but not from within another one's `answered`.
 *
 * Threads: one, except for outside_wake().
 */
#ifndef NOTIFY_OUTSIDE_OUTSIDE_H
#define NOTIFY_OUTSIDE_OUTSIDE_H

#include "backend/common/http_common.h"
#include "net/http_calls.h"
#include "notify/settings.h"
#include "sys/env.h"

#include <poll.h>

/* --- pauses ----------------------------------------------------------------------------------- */

/*
 * Pauses after consecutive failures: 1 s, 2 s, 4 s ... max_ms (30 s by default), or as long as
 * Retry-After requests, limited to 10 min, or to twice max_ms, but at least to 30 s. An alert that
 * is sent every minute is valid for four.
 */

enum { PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 30 * 1000, RETRY_AFTER_MAX_MS = 10 * 60 * 1000 };

/* Zeroed: no pause. */
struct pause {
    int64_t max_ms;   /* longest pause, unless Retry-After requests more; 0: PAUSE_MAX_MS */
    int64_t last_ms;  /* length of the last pause; 0: none since the last success */
    int64_t until_ns; /* monotonic time of its end; 0: no pause */
};

/* `retry_after_ms`: from Retry-After; 0 if it was absent. */
static inline void
pause_begin(struct pause *p, int64_t retry_after_ms, int64_t now_ns)
{
    int64_t max_ms = p->max_ms > 0 && p->max_ms < PAUSE_MAX_MS ? p->max_ms : PAUSE_MAX_MS;
    if (max_ms < PAUSE_MIN_MS) max_ms = PAUSE_MIN_MS;
    p->last_ms = p->last_ms == 0 ? PAUSE_MIN_MS : 2 * p->last_ms;
    if (p->last_ms > max_ms) p->last_ms = max_ms;
    bool is_given = p->max_ms > 0 && p->max_ms < RETRY_AFTER_MAX_MS / 2;
    int64_t retry_after_max_ms = is_given ? 2 * p->max_ms : RETRY_AFTER_MAX_MS;
    if (retry_after_max_ms < PAUSE_MAX_MS) retry_after_max_ms = PAUSE_MAX_MS;
    if (retry_after_ms > retry_after_max_ms) retry_after_ms = retry_after_max_ms;
    p->until_ns = now_ns + (retry_after_ms < p->last_ms ? p->last_ms : retry_after_ms) * NS_PER_MS;
}

static inline void
pause_end(struct pause *p)
{
    *p = (struct pause){.max_ms = p->max_ms};
}

/* --- names ------------------------------------------------------------------------------------ */

/*
 * Asks the name servers of /etc/resolv.conf, through c-ares. No function waits: the caller polls
 * the descriptors of dns_fds() with its own.
 *
 * A name without a dot at its end is looked up in the domains of `search`, as resolv.conf(5) says.
 * OK is an answer, also if the name does not exist or has no such records. A question fails if
 * servers did not answer for one of its names, which may then exist.
 */

enum { DNS_RECORDS_MAX = 1000, DNS_FDS_MAX = 16, DNS_ERROR_BYTES = 128 };

struct dns_answer_record {
    const char *target; /* an address, or a name without a dot at its end */
    uint32_t port;      /* for SRV */
};
struct dns_answer {
    void *context;
    enum err e;                              /* OK; ERR_AGAIN, ERR_NOMEM: it has failed */
    const struct dns_answer_record *records; /* views until the next dns_done() */
    uint32_t count;
    bool is_cut; /* the name has more records */
    char error[DNS_ERROR_BYTES];
};

struct dns;
/* `servers`: "127.0.0.1:5353,..." for tests; NULL: the system's. ERR_NOMEM. */
MUST_CHECK enum err dns_new(struct budget *memory, const char *servers, struct dns **ret_dns,
                            struct why *why);
/* Gives up pending questions. NULL is fine. */
void dns_free(struct dns *dns);

/* Asks a question, whose answer dns_done() returns. ERR_NOMEM; ERR_IO: /etc/resolv.conf cannot
 * be read. */
MUST_CHECK enum err dns_ask(struct dns *dns, const char *name, enum dns_record type, void *context,
                            struct why *why);
void dns_give_up(struct dns *dns, const void *context);

/* Returns descriptors to poll, DNS_FDS_MAX at most, and shortens *wait_ms to the next deadline. */
uint32_t dns_fds(struct dns *dns, struct pollfd *ret_fds, int *wait_ms);
/* Reads answers and lets questions time out. It is called after each poll(), even if no descriptor
 * is ready. */
void dns_go_on(struct dns *dns, const struct pollfd *fds, uint32_t count);
/* Returns the answer of a completed question. False if no question is completed. */
bool dns_done(struct dns *dns, struct dns_answer *ret_answer);

/* --- calls ------------------------------------------------------------------------------------ */

struct outside;

/* A request. Zeroed: not pending. */
struct outside_call {
    /* May start other calls, and this one again. The answer is invalid on return. */
    void (*answered)(struct outside_call *call, const struct http_call_answer *answer);
    bool is_pending;
};

/* A look-up of a name. Zeroed: not pending. */
struct outside_question {
    void (*answered)(struct outside_question *question, const struct dns_answer *answer);
    bool is_pending;
};

struct outside_ops {
    /* `context` of the call is a struct outside_call. */
    MUST_CHECK enum err (*start)(struct outside *outside, const struct http_call *call,
                                 struct why *why);
    void (*give_up)(struct outside *outside, const void *context);
    /* `context` is a struct outside_question. */
    MUST_CHECK enum err (*ask)(struct outside *outside, const char *name, enum dns_record type,
                               void *context, struct why *why);
    void (*give_up_question)(struct outside *outside, const void *context);
    /* Waits until something ends, at most `wait_ms`, or until it is woken. */
    void (*poll)(struct outside *outside, int wait_ms);
    /* Returns the answer of a call that has ended. False if no call has ended. */
    bool (*done)(struct outside *outside, struct http_call_answer *ret_answer);
    bool (*question_done)(struct outside *outside, struct dns_answer *ret_answer);
    void (*wake)(struct outside *outside);
    void (*free)(struct outside *outside);
};

struct outside {
    const struct outside_ops *ops;
};

/* The environment of those who ask other machines for an Alertmanager. */
struct outside_context {
    struct env *env;
    struct budget *memory;
    struct outside *outside;
    const uint32_t *line; /* the Alertmanager's in the configuration, for the log */
};

/* Makes the real network. `servers`: for dns_new(). ERR_NOMEM. */
MUST_CHECK enum err outside_new(struct env *env, struct budget *memory, const char *servers,
                                struct outside **ret_outside, struct why *why);
void outside_free(struct outside *outside);

/* Everything that `request` points to must stay until the call has ended, as in http_calls.h. */
MUST_CHECK enum err outside_start(struct outside *outside, const struct http_call *request,
                                  struct outside_call *call, struct why *why);
MUST_CHECK enum err outside_ask(struct outside *outside, const char *name, enum dns_record type,
                                struct outside_question *question, struct why *why);
/* Does nothing if the call is not pending. */
void outside_give_up(struct outside *outside, struct outside_call *call);
void outside_give_up_question(struct outside *outside, struct outside_question *question);
void outside_poll(struct outside *outside, int wait_ms);
/* From any thread. */
void outside_wake(struct outside *outside);

/* --- access to a server ----------------------------------------------------------------------- */

/*
 * Access to a server: its settings, our credentials, and the tokens or keys that have to be fetched
 * before requests.
 *
 *      access_is_ready() -- no: access_step() --> [fetching] --+--> ready
 *                                   ^                          |
 *                                   +--- 1 s, 2 s ... 30 s ----+
 */

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
