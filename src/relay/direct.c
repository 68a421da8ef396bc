/*
 * direct.c - a destination without a log: it takes writes whose senders wait (queue/), hands their
 * items to the lanes, and ends its part of a write when all items are settled, or when the write is
 * over. Then the items leave the lanes, before the sender is answered.
 *
 * A process may be suspended at any moment, as a function between two invocations is, and go on
 * hours later: the monotonic clock stood still, Unix time jumps, other ends of connections are
 * gone. So both clocks are read after each wait, before libcurl goes on with pending requests, and
 * again before requests are begun. What remains is the moment between reading the clocks and the
 * system calls that follow.
 *
 * Invariants:
 * 1. After the part of a write ended as let go, no item of it is in a call, and no request with one
 *    is pending.
 * 2. A request whose answer was not read before a suspension has an unknown outcome: it is sent
 *    again, with the items whose writes still wait.
 * 3. Items are settled as delivered only by a verdict of the writer on an answer, as with a log.
 */
#include "relay/relay_private.h"

#include <assert.h>
#include <string.h>

enum {
    ITEMS_AT_ONCE = 32 * 1024, /* items of one step, so that responses do not wait */
    SUSPENDED_MS = 1000,       /* Unix time gains as much on the monotonic clock, */
    STOPPED_MS = 5000,         /* or so much time passes between two looks at the clocks */
};

static const char overdue[] = "deadline";

static void
wake(void *relay)
{
    relay_wake(relay);
}

enum err
direct_begin(struct relay *r, struct why *why)
{
    struct relay_context *c = &r->context;
    http_calls_reset_given_up(c->http);
    enum err e =
        queue_reader_begin(&r->direct.reader, c->options.queue, r->limits.takes_metadata, wake, r);
    return e ? why_set(why, e, "not enough memory for a destination") : OK;
}

void
direct_end(struct relay *r)
{
    lanes_again(&r->lanes); /* gives up what is pending, before senders are answered */
    prepare_again(&r->preparation);
    queue_reader_end(&r->direct.reader);
}

/* --- clocks ----------------------------------------------------------------------------------- */

/* Gives up what must not go on: requests from before a suspension, and writes that are over. */
static void
look(struct relay *r)
{
    struct env *env = r->context.options.env;
    struct direct *d = &r->direct;
    int64_t now_ns = env_monotonic_ns(env), now_ms = env_realtime_ms(env);
    int64_t ahead_ms = now_ms - now_ns / NS_PER_MS;
    bool suspended = d->looked_ns != 0 && (ahead_ms - d->ahead_ms >= SUSPENDED_MS ||
                                           now_ns - d->looked_ns >= STOPPED_MS * NS_PER_MS);
    d->looked_ns = now_ns;
    d->ahead_ms = ahead_ms;
    if (suspended) {
        lanes_again(&r->lanes); /* invariant 2 */
        prepare_again(&r->preparation);
        http_calls_renew(r->context.http);
    }
    /* Why writes are over: a pause, or the error of the last request; empty if requests only took
     * too long. */
    const char *error = r->breaker.error;
    if (strncmp(error, overdue, sizeof overdue - 1) == 0) error = "";
    if (relay_is_paused(r)) error = "the destination is paused";
    queue_reader_take(&d->reader); /* a paused destination asks for no items */
    if (!queue_reader_drop_over(&d->reader, now_ns, now_ms, error)) return;
    lanes_forget_dropped(&r->lanes); /* invariant 1 */
    queue_reader_release(&d->reader);
    if (error[0] != 0) return; /* it says more, and is logged */
    breaker_failed(&r->breaker, "deliver before senders give up", overdue,
                   "writes were answered with 503 and are not sent any more");
}

/* --- items ------------------------------------------------------------------------------------ */

/* Moves items into calls. False if there is no item, or no room. */
static bool
pump(struct relay *r)
{
    struct queue_reader *reader = &r->direct.reader;
    for (uint32_t i = 0; i < ITEMS_AT_ONCE; i++) {
        struct item item;
        struct call_item at = {.count = 1};
        struct why why = {""};
        if (queue_reader_next(reader, &item, &at.record, &at.index) != OK) return false;
        enum lane_offer offer = lanes_offer(&r->lanes, &item, &at, &why);
        if (offer == LANE_FULL) return false;
        queue_reader_pass(reader);
        enum err e = OK;
        if (offer == LANE_UNFIT)
            e = settle_bury(&r->settling, &at, &item, BURY_UNREPRESENTABLE, "unrepresentable",
                            why.text);
        if (offer == LANE_TOO_OLD)
            e = settle_item(&r->settling, &at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
        assert(e == OK); /* nothing is written */
    }
    return true;
}

/* --- stepping --------------------------------------------------------------------------------- */

int
direct_step(struct relay *r)
{
    assert(r->phase == RUN_ON);
    watch_take_wish(r);
    prepare_hold(&r->preparation, relay_is_paused(r) || r->stopping);
    relay_take_answers(r); /* those that were read before a look */
    queue_reader_release(&r->direct.reader);
    look(r);
    bool more = !relay_is_paused(r) && !r->stopping && pump(r);
    lanes_hurry(&r->lanes, !more);
    if (!r->preparation.looked) prepare_early(&r->preparation, lanes_busy(&r->lanes));
    lanes_send(&r->lanes);
    bool saved = r->saving.need == SAVE_NOW; /* attempts that wait for the state: none is saved */
    if (saved) {
        const struct writer_class *class = r->context.class;
        struct why why = {""};
        enum err e = class->saved == NULL ? OK : class->saved(r->writer, &why);
        if (e) breaker_failed(&r->breaker, "go on without a state", "state", why.text);
        r->saving.need = SAVE_IF_MOVED;
        lanes_saved(&r->lanes);
        saved = e == OK;
    }
    queue_reader_release(&r->direct.reader);
    watch_publish(r);
    return more || saved || r->lanes.has_room ? 0 : relay_idle_ms(r);
}

void
direct_wait(struct relay *r, int wait_ms)
{
    http_calls_wait(r->context.http, wait_ms);
    look(r);
    http_calls_go_on(r->context.http);
}
