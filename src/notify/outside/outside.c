/* outside.c - see outside.h; also the real network, which is a struct http_calls and a struct
 * dns. */
#include "notify/outside/outside.h"

#include <assert.h>

#include "base/version.h"

void
outside_free(struct outside *outside)
{
    if (outside != NULL) outside->ops->free(outside);
}

enum err
outside_start(struct outside *outside, const struct http_call *request, struct outside_call *call,
              struct why *why)
{
    struct http_call copy = *request;
    assert(!call->is_pending);
    copy.context = call;
    enum err e = outside->ops->start(outside, &copy, why);
    call->is_pending = e == OK;
    return e;
}

void
outside_give_up(struct outside *outside, struct outside_call *call)
{
    if (call->is_pending) outside->ops->give_up(outside, call);
    call->is_pending = false;
}

enum err
outside_ask(struct outside *outside, const char *name, enum dns_record type,
            struct outside_question *question, struct why *why)
{
    assert(!question->is_pending);
    enum err e = outside->ops->ask(outside, name, type, question, why);
    question->is_pending = e == OK;
    return e;
}

void
outside_give_up_question(struct outside *outside, struct outside_question *question)
{
    if (question->is_pending) outside->ops->give_up_question(outside, question);
    question->is_pending = false;
}

void
outside_poll(struct outside *outside, int wait_ms)
{
    struct http_call_answer answer;
    struct dns_answer found;
    outside->ops->poll(outside, wait_ms);
    while (outside->ops->done(outside, &answer)) {
        struct outside_call *call = answer.context;
        assert(call->is_pending); /* a canceled call has no answer */
        call->is_pending = false;
        call->answered(call, &answer);
    }
    while (outside->ops->question_done(outside, &found)) {
        struct outside_question *question = found.context;
        assert(question->is_pending);
        question->is_pending = false;
        question->answered(question, &found);
    }
}

void
outside_wake(struct outside *outside)
{
    outside->ops->wake(outside);
}

/* --- the network ------------------------------------------------------------------------------ */

struct network {
    struct outside base;
    struct budget *memory;
    struct http_calls *calls;
    struct dns *dns;
};

static struct http_calls *
calls_of(struct outside *outside)
{
    return ((struct network *)outside)->calls;
}

static struct dns *
dns_of(struct outside *outside)
{
    return ((struct network *)outside)->dns;
}

static enum err
network_start(struct outside *outside, const struct http_call *call, struct why *why)
{
    return http_calls_start(calls_of(outside), call, why);
}

static void
network_give_up(struct outside *outside, const void *context)
{
    http_calls_give_up(calls_of(outside), context);
}

static enum err
network_ask(struct outside *outside, const char *name, enum dns_record type, void *context,
            struct why *why)
{
    return dns_ask(dns_of(outside), name, type, context, why);
}

static void
network_give_up_question(struct outside *outside, const void *context)
{
    dns_give_up(dns_of(outside), context);
}

static void
network_poll(struct outside *outside, int wait_ms)
{
    struct pollfd fds[DNS_FDS_MAX];
    uint32_t count = dns_fds(dns_of(outside), fds, &wait_ms);
    http_calls_poll_also(calls_of(outside), fds, count, wait_ms);
    dns_go_on(dns_of(outside), fds, count);
}

static bool
network_done(struct outside *outside, struct http_call_answer *ret_answer)
{
    if (!http_calls_done(calls_of(outside), ret_answer)) return false;
    if (ret_answer->status >= 300) http_calls_mask_answer(calls_of(outside), ret_answer);
    return true;
}

static bool
network_question_done(struct outside *outside, struct dns_answer *ret_answer)
{
    return dns_done(dns_of(outside), ret_answer);
}

static void
network_wake(struct outside *outside)
{
    http_calls_wake(calls_of(outside));
}

static void
network_free(struct outside *outside)
{
    struct network *n = (struct network *)outside;
    http_calls_free(n->calls);
    dns_free(n->dns);
    mem_free(n->memory, n, sizeof *n);
}

enum err
outside_new(struct env *env, struct budget *memory, const char *servers,
            struct outside **ret_outside, struct why *why)
{
    static const struct outside_ops ops = {
        .start = network_start,
        .give_up = network_give_up,
        .ask = network_ask,
        .give_up_question = network_give_up_question,
        .poll = network_poll,
        .done = network_done,
        .question_done = network_question_done,
        .wake = network_wake,
        .free = network_free,
    };
    struct network *n = mem_new(memory, sizeof *n);
    if (n == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    n->base.ops = &ops;
    n->memory = memory;
    enum err e = http_calls_new(env, memory, "Firekeep/" FIREKEEP_VERSION, &n->calls, why);
    if (e == OK) e = dns_new(memory, servers, &n->dns, why);
    if (e)
        network_free(&n->base);
    else
        *ret_outside = &n->base;
    return e;
}
