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

#include "net/http_calls.h"
#include "notify/settings.h"
#include "sys/env.h"

#include <poll.h>

/*
 * Asks the name servers of /etc/resolv.conf, through c-ares. No function waits: the caller
 * polls the descriptors of dns_fds() with its own.
 *
 * A name without a dot at its end is looked up in the domains of `search`, as resolv.conf(5) says.
 * OK is an answer, also if the name does not exist or has no such records. A question fails if
 * servers did not answer for one of its names, which may then exist.
 *
 * Threads: one.
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

#endif
