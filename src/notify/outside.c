/* outside.c - see outside.h; and the network, which is a struct http_calls. */
#include "notify/outside.h"

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
    assert(!call->is_under_way);
    copy.context = call;
    enum err e = outside->ops->start(outside, &copy, why);
    call->is_under_way = e == OK;
    return e;
}

void
outside_give_up(struct outside *outside, struct outside_call *call)
{
    if (call->is_under_way) outside->ops->give_up(outside, call);
    call->is_under_way = false;
}

void
outside_poll(struct outside *outside, int wait_ms)
{
    struct http_call_answer answer;
    outside->ops->poll(outside, wait_ms);
    while (outside->ops->done(outside, &answer)) {
        struct outside_call *call = answer.context;
        call->is_under_way = false;
        call->answered(call, &answer);
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
};

static struct http_calls *
calls_of(struct outside *outside)
{
    return ((struct network *)outside)->calls;
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

static void
network_poll(struct outside *outside, int wait_ms)
{
    http_calls_poll(calls_of(outside), wait_ms);
}

static bool
network_done(struct outside *outside, struct http_call_answer *ret_answer)
{
    return http_calls_done(calls_of(outside), ret_answer);
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
    mem_free(n->memory, n, sizeof *n);
}

enum err
outside_new(struct env *env, struct budget *memory, struct outside **ret_outside, struct why *why)
{
    static const struct outside_ops ops = {
        .start = network_start,
        .give_up = network_give_up,
        .poll = network_poll,
        .done = network_done,
        .wake = network_wake,
        .free = network_free,
    };
    struct network *n = mem_new(memory, sizeof *n);
    if (n == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    n->base.ops = &ops;
    n->memory = memory;
    enum err e = http_calls_new(env, memory, "Firekeep/" FIREKEEP_VERSION, &n->calls, why);
    if (e)
        network_free(&n->base);
    else
        *ret_outside = &n->base;
    return e;
}
