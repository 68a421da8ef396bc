/*
 * outside.h - what a notifier asks of other machines: HTTP requests, and names. Behind functions,
 * so that a test can be the other machines, and time.
 *
 *      outside_start() --> under way --- outside_poll() ---> ended --> answered()
 *
 * What asks has a struct outside_call, or outside_question, within it, and is told by its function
 * `answered`, which outside_poll() calls; or it gives that up, but not while another one is told.
 *
 * Threads: one, but for outside_wake().
 */
#ifndef NOTIFY_OUTSIDE_H
#define NOTIFY_OUTSIDE_H

#include "net/http_calls.h"
#include "notify/dns.h"

struct outside;

/* A request that may be under way; zeroed: it is not. */
struct outside_call {
    /* May start others, and this one again. The answer is gone on return. */
    void (*answered)(struct outside_call *call, const struct http_call_answer *answer);
    bool is_under_way;
};

/* The same for a look-up of a name. */
struct outside_question {
    void (*answered)(struct outside_question *question, const struct dns_answer *answer);
    bool is_under_way;
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
    /* One that has ended. False: none. */
    bool (*done)(struct outside *outside, struct http_call_answer *ret_answer);
    bool (*question_done)(struct outside *outside, struct dns_answer *ret_answer);
    void (*wake)(struct outside *outside);
    void (*free)(struct outside *outside);
};

struct outside {
    const struct outside_ops *ops;
};

/* The network. `servers` of names as dns_new() takes them. ERR_NOMEM. */
MUST_CHECK enum err outside_new(struct env *env, struct budget *memory, const char *servers,
                                struct outside **ret_outside, struct why *why);
void outside_free(struct outside *outside);

/* What `request` points to lives on until the call has ended, as http_calls.h says. */
MUST_CHECK enum err outside_start(struct outside *outside, const struct http_call *request,
                                  struct outside_call *call, struct why *why);
MUST_CHECK enum err outside_ask(struct outside *outside, const char *name, enum dns_record type,
                                struct outside_question *question, struct why *why);
/* Does nothing if it is not under way. */
void outside_give_up(struct outside *outside, struct outside_call *call);
void outside_give_up_question(struct outside *outside, struct outside_question *question);
void outside_poll(struct outside *outside, int wait_ms);
/* From any thread. */
void outside_wake(struct outside *outside);

#endif
