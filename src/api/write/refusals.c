/*
 * refusals.c - logs refused samples, once per minute for each reason, with their number since the
 * last line, for all tenants, and the first of them.
 * The response names the reason, but the operator of the server often does not run the sender. A
 * request whose exemplars only are refused is answered with success, so its line differs.
 */
#include <stdio.h>
#include <string.h>

#include "api/write/refusals.h"
#include "base/log.h"

#define LOG_AGAIN_NS   (60 * NS_PER_S)
#define TYPES_AGAIN_NS (24 * 60 * 60 * NS_PER_S)

struct refusals {
    struct log_gate gate;
    _Atomic uint64_t count; /* since the last line; relaxed: a statistic */
};
static struct refusals refusals[2][REJECT_COUNT]; /* [1]: answered with success */

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
        if (!log_often(&x->gate, now_ns, LOG_AGAIN_NS, &held_back)) continue;
        /* Names the first sample of that reason, if it is known; else the first of all. */
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

void
types_missing_log(int64_t now_ns, const char *agent, const char *peer,
                  const struct rw_request *request)
{
    static struct log_gate gate;
    static const char prometheus[] = "Prometheus/";
    uint64_t held_back;
    bool is_prometheus = agent != NULL && strncmp(agent, prometheus, sizeof prometheus - 1) == 0;
    if (request->version != RW_V2 || request->series_count == 0 || !is_prometheus) return;
    if (now_ns < atomic_load_explicit(&gate.next_ns, memory_order_relaxed)) return;
    for (uint32_t i = 0; i < request->series_count; i++) {
        if (request->series[i].has_metadata) return;
    }
    if (!log_often(&gate, now_ns, TYPES_AGAIN_NS, &held_back)) return;
    log_info("Prometheus sends no types of metrics; start it with "
             "--enable-feature=metadata-wal-records, or use remote write 1.0",
             KV("sender", agent), KV("address", peer));
}
