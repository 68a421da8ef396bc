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
#include "notify/outside/dns.h"

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
