/*
 * refusals.c - samples that were refused, in the server's own log: once a minute for each reason,
 * with how many there were since the last line, of any tenant, and who was first.
 * The sender was told; but who runs the server often does not run the sender.
 */
#include <stdio.h>
#include <string.h>

#include "api/internal.h"
#include "base/log.h"

#define SAID_NS (60 * NS_PER_S)

struct refusals {
    struct log_gate gate;
    _Atomic uint64_t count; /* relaxed: a statistic. Since the last line */
};
static struct refusals refusals[REJECT_COUNT];

/* The first offender of that reason, if it is among those that are named; else the first of all. */
static struct bytes
offender_of(const char *offenders, const char *reason)
{
    char begin[64];
    snprintf(begin, sizeof begin, "; %s", reason);
    const char *own = strstr(offenders, begin);
    const char *from = own != NULL ? own : offenders;
    if (from[0] == ';') from += 2;
    return bytes_of_text(from);
}

static void
note(int64_t now_ns, struct bytes tenant, enum reject reason, uint64_t count, const char *offenders)
{
    struct refusals *x = &refusals[reason];
    uint64_t held_back;
    atomic_fetch_add_explicit(&x->count, count, memory_order_relaxed);
    if (!log_often(&x->gate, now_ns, SAID_NS, &held_back)) return;
    uint64_t all = atomic_exchange_explicit(&x->count, 0, memory_order_relaxed);
    log_warn("samples refused with status 400", KV("reason", reject_word(reason)), KV("count", all),
             KV("tenant", tenant), KV("first", offender_of(offenders, reject_word(reason))));
}

void
refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result)
{
    const char *offenders = result->text + strcspn(result->text, ";");
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        uint64_t count = result->rejected_for[r];
        if (count > 0) note(now_ns, tenant, (enum reject)r, count, offenders);
    }
}
