/*
 * refusals.c - samples that were refused, in the server's own log: once a minute for each reason,
 * with how many there were since the last line, of any tenant, and who was first.
 *
 * The sender was told; but who runs the server often does not run the sender. How many of each
 * reason there were is read back from the text of the answer, "refused: 2 too_old, 1 conflict;
 * too_old at ...", which has them all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "base/log.h"

#define SAID_NS (60 * NS_PER_S)

struct refusals {
    struct log_gate gate;
    _Atomic uint64_t count; /* relaxed: a statistic. Since the last line */
};
static struct refusals refusals[REJECT_COUNT];

static enum reject
reason_of(const char *word, size_t size)
{
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        const char *known = reject_word((enum reject)r);
        if (strlen(known) == size && memcmp(known, word, size) == 0) return (enum reject)r;
    }
    return REJECT_NONE;
}

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
    log_warn("samples were refused, their senders were told", KV("reason", reject_word(reason)),
             KV("count", all), KV("tenant", tenant),
             KV("first", offender_of(offenders, reject_word(reason))));
}

void
refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result)
{
    static const char begin[] = "refused: ";
    const char *p = result->text;
    if (result->rejected_total == 0 || strncmp(p, begin, sizeof begin - 1) != 0) return;
    const char *offenders = p + strcspn(p, ";");
    p += sizeof begin - 1;
    while (p < offenders) {
        char *word;
        uint64_t count = strtoull(p, &word, 10);
        if (*word != ' ') return;
        word++;
        size_t size = strcspn(word, ",;");
        enum reject reason = reason_of(word, size);
        if (reason != REJECT_NONE) note(now_ns, tenant, reason, count, offenders);
        p = word + size;
        if (*p != ',') return;
        p += 2;
    }
}
