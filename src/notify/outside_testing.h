/*
 * outside_testing.h - the other machines of a notifier, and time: requests and look-ups are
 * answered by a function of the test, when it says, on the clock of a sim_env. For tests.
 */
#ifndef NOTIFY_OUTSIDE_TESTING_H
#define NOTIFY_OUTSIDE_TESTING_H

#include <stdio.h>
#include <stdlib.h>

#include "notify/outside.h"
#include "sys/sim.h"

enum { FAKE_CALLS_MAX = 256, FAKE_HEADERS_MAX = 16, FAKE_RECORDS_MAX = 8 };

/* A request, and what becomes of it: the test fills in what follows the body. */
struct fake_call {
    void *context;
    const char *method; /* static, as all that have one have it */
    char *url;
    char *headers; /* lines, each with a line feed */
    char *body;
    const char *const *wanted;

    int64_t after_ms; /* -1: it is never answered */
    enum http_call_failure failure;
    unsigned status;
    const char *answer;        /* borrowed until it is taken; NULL: empty */
    const char *wanted_are[2]; /* the first of the headers wanted; NULL: it is not there */
    int64_t retry_after_ms;
    int64_t date_s; /* 0: it has none */

    int64_t due_ns;
};

/* A look-up, the same. */
struct fake_question {
    void *context;
    char *name;
    enum dns_record type;

    int64_t after_ms;
    enum err e;
    struct dns_answer_record records[FAKE_RECORDS_MAX];
    uint32_t count;
    bool is_cut;

    int64_t due_ns;
};

struct fake_outside {
    struct outside base; /* first */
    struct sim_env *sim;
    void (*serve)(void *context, struct fake_call *call);
    void (*look_up)(void *context, struct fake_question *question);
    void *context;
    struct fake_call *calls[FAKE_CALLS_MAX];
    unsigned call_count;
    struct fake_question *questions[FAKE_CALLS_MAX];
    unsigned question_count;
    struct fake_call *shown;
    struct fake_question *question_shown;
    unsigned started; /* all that ever were */
    bool fails;       /* nothing can be started */
    bool is_woken;
};

static inline int64_t
fake_now_ns(const struct fake_outside *f)
{
    return env_monotonic_ns(sim_env_env(f->sim));
}

static inline void
fake_call_free(struct fake_call *c)
{
    if (c == NULL) return;
    free(c->url);
    free(c->headers);
    free(c->body);
    free(c);
}

static inline void
fake_question_free(struct fake_question *q)
{
    if (q == NULL) return;
    free(q->name);
    free(q);
}

static inline int64_t
fake_due_ns(const struct fake_outside *f, int64_t after_ms)
{
    return after_ms < 0 ? INT64_MAX : fake_now_ns(f) + after_ms * NS_PER_MS;
}

static inline enum err
fake_start(struct outside *outside, const struct http_call *call, struct why *why)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    size_t size = 1;
    if (f->fails) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP request");
    assert_true(f->call_count < FAKE_CALLS_MAX);
    struct fake_call *c = calloc(1, sizeof *c);
    c->context = call->context;
    c->method = call->method;
    c->url = strdup(call->url);
    c->wanted = call->wanted;
    c->headers = calloc(1, 1);
    for (const char *const *h = call->headers; h != NULL && *h != NULL; h++) {
        size_t more = strlen(*h) + 1;
        c->headers = realloc(c->headers, size + more);
        snprintf(c->headers + size - 1, more + 1, "%s\n", *h);
        size += more;
    }
    c->body = calloc(1, call->body.size + 1);
    if (call->body.size > 0) memcpy(c->body, call->body.at, call->body.size);
    c->status = 200;
    f->serve(f->context, c);
    c->due_ns = fake_due_ns(f, c->after_ms);
    f->calls[f->call_count++] = c;
    f->started++;
    return OK;
}

static inline void
fake_give_up(struct outside *outside, const void *context)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    for (unsigned i = 0; i < f->call_count; i++) {
        if (f->calls[i]->context != context) continue;
        fake_call_free(f->calls[i]);
        f->calls[i--] = f->calls[--f->call_count];
    }
}

static inline enum err
fake_ask(struct outside *outside, const char *name, enum dns_record type, void *context,
         struct why *why)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    if (f->fails) return why_set(why, ERR_NOMEM, "not enough memory for a question");
    assert_true(f->question_count < FAKE_CALLS_MAX);
    struct fake_question *q = calloc(1, sizeof *q);
    q->context = context;
    q->name = strdup(name);
    q->type = type;
    f->look_up(f->context, q);
    q->due_ns = fake_due_ns(f, q->after_ms);
    f->questions[f->question_count++] = q;
    return OK;
}

static inline void
fake_give_up_question(struct outside *outside, const void *context)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    for (unsigned i = 0; i < f->question_count; i++) {
        if (f->questions[i]->context != context) continue;
        fake_question_free(f->questions[i]);
        f->questions[i--] = f->questions[--f->question_count];
    }
}

/* Time goes on to the first that is due, or as far as it may. */
static inline void
fake_poll(struct outside *outside, int wait_ms)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    int64_t now_ns = fake_now_ns(f), until_ns = now_ns + wait_ms * NS_PER_MS;
    for (unsigned i = 0; i < f->call_count; i++) {
        if (f->calls[i]->due_ns < until_ns) until_ns = f->calls[i]->due_ns;
    }
    for (unsigned i = 0; i < f->question_count; i++) {
        if (f->questions[i]->due_ns < until_ns) until_ns = f->questions[i]->due_ns;
    }
    if (f->is_woken) until_ns = now_ns;
    f->is_woken = false;
    if (until_ns > now_ns) sim_env_advance_ns(f->sim, until_ns - now_ns);
}

static inline void
fake_fill(const struct fake_call *c, struct http_call_answer *ret)
{
    *ret = (struct http_call_answer){.context = c->context, .failure = c->failure};
    if (c->failure != HTTP_CALL_ANSWERED) {
        snprintf(ret->error, sizeof ret->error, "it failed");
        return;
    }
    ret->status = c->status;
    ret->body = bytes_of_text(c->answer == NULL ? "" : c->answer);
    ret->retry_after_ns = c->retry_after_ms * NS_PER_MS;
    ret->date_s = c->date_s;
    for (unsigned i = 0; i < 2; i++) {
        const char *is = c->wanted_are[i];
        snprintf(ret->wanted[i], sizeof ret->wanted[i], "%s", is == NULL ? "" : is);
    }
}

static inline bool
fake_done(struct outside *outside, struct http_call_answer *ret)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    fake_call_free(f->shown);
    f->shown = NULL;
    for (unsigned i = 0; i < f->call_count; i++) {
        if (f->calls[i]->due_ns > fake_now_ns(f)) continue;
        f->shown = f->calls[i];
        f->calls[i] = f->calls[--f->call_count];
        fake_fill(f->shown, ret);
        return true;
    }
    return false;
}

static inline bool
fake_question_done(struct outside *outside, struct dns_answer *ret)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    fake_question_free(f->question_shown);
    f->question_shown = NULL;
    for (unsigned i = 0; i < f->question_count; i++) {
        struct fake_question *q = f->questions[i];
        if (q->due_ns > fake_now_ns(f)) continue;
        f->question_shown = q;
        f->questions[i] = f->questions[--f->question_count];
        *ret = (struct dns_answer){.context = q->context,
                                   .e = q->e,
                                   .records = q->records,
                                   .count = q->count,
                                   .is_cut = q->is_cut};
        if (q->e) snprintf(ret->error, sizeof ret->error, "it failed");
        return true;
    }
    return false;
}

static inline void
fake_wake(struct outside *outside)
{
    ((struct fake_outside *)outside)->is_woken = true;
}

/* The test owns it: what is under way must have been given up. */
static inline void
fake_free(struct outside *outside)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    fake_call_free(f->shown);
    f->shown = NULL;
    fake_question_free(f->question_shown);
    f->question_shown = NULL;
    assert_int_equal(f->call_count, 0);
    assert_int_equal(f->question_count, 0);
}

/* `look_up` may be NULL where nothing is looked up. */
static inline void
fake_init(struct fake_outside *f, struct sim_env *sim,
          void (*serve)(void *context, struct fake_call *call),
          void (*look_up)(void *context, struct fake_question *question), void *context)
{
    static const struct outside_ops ops = {
        .start = fake_start,
        .give_up = fake_give_up,
        .ask = fake_ask,
        .give_up_question = fake_give_up_question,
        .poll = fake_poll,
        .done = fake_done,
        .question_done = fake_question_done,
        .wake = fake_wake,
        .free = fake_free,
    };
    *f = (struct fake_outside){
        .base = {&ops}, .sim = sim, .serve = serve, .look_up = look_up, .context = context};
}

#endif
