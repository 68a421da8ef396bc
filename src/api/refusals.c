/*
 * refusals.c - samples that were refused, in the server's own log: once a minute for each reason,
 * with how many there were since the last line, of any tenant, and who was first.
 * The response names the reason, but the operator of the server often does not run the sender. A
 * request of which only exemplars are refused gets a response of success, so its line is another.
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
static struct refusals refusals[2][REJECT_COUNT]; /* answered with success: [1] */

void
refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result)
{
    const char *offenders = result->text + strcspn(result->text, ";");
    bool is_success = ingest_result_is_success(result);
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        struct refusals *x = &refusals[is_success][r];
        const char *word = reject_word((enum reject)r);
        uint64_t count = result->rejected_for[r], held_back;
        char begin[64];
        if (count == 0) continue;
        atomic_fetch_add_explicit(&x->count, count, memory_order_relaxed);
        if (!log_often(&x->gate, now_ns, SAID_NS, &held_back)) continue;
        /* The first offender of that reason, if it is among those named; else the first of all. */
        snprintf(begin, sizeof begin, "; %s", word);
        const char *own = strstr(offenders, begin), *first = own != NULL ? own : offenders;
        if (first[0] == ';') first += 2;
        count = atomic_exchange_explicit(&x->count, 0, memory_order_relaxed);
        if (is_success)
            log_warn("exemplars refused", KV("reason", word), KV("count", count),
                     KV("tenant", tenant), KV("first", first));
        else
            log_warn("samples refused with status 400", KV("reason", word), KV("count", count),
                     KV("tenant", tenant), KV("first", first));
    }
}
