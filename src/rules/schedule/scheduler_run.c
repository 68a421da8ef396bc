/*
 * scheduler_run.c - runs jobs, under no lock: see scheduler.h.
 */
#include "rules/schedule/scheduler_private.h"

#include "base/log.h"
#include "base/text/time_text.h"
#include "rules/replay/replay.h"
#include "sys/env.h"

#define SAID_NS (60 * NS_PER_S) /* between lines about failures of one kind */

/* --- at a start ------------------------------------------------------------------------------- */

static void
run_restore(struct scheduler *s, struct scheduler_job *job, const struct rules_terms *terms)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why why = {""};
    struct group *g = job->entry->group;
    struct rules_past past = {.host = s->host, .terms = terms, .group = g};
    struct restore_terms restore = {job->now_ns, job->limits.outage_tolerance_ns,
                                    job->limits.catch_up_ns};
    int64_t began_ns = env_monotonic_ns(s->host->env);
    job->error = restore_group(&past, &restore, &job->restore.down_ns, &job->restore.next_ns, &why);
    lock_take(&g->lock);
    g->facts.restored_for_ns = env_monotonic_ns(s->host->env) - began_ns;
    lock_drop(&g->lock);
    if (job->error == OK) return;
    if (job->restore.is_last_try) {
        log_error("cannot read what a group of rules left in the store, it begins again",
                  KV("file", g->text.file), KV("group", g->text.name),
                  KV("error", why_text(&why, job->error)));
    } else if (log_often(&gate, env_monotonic_ns(s->host->env), SAID_NS, &held_back)) {
        log_warn("cannot read what a group of rules left in the store, retrying",
                 KV("file", g->text.file), KV("group", g->text.name),
                 KV("error", why_text(&why, job->error)), KV("more_held_back", held_back));
    }
}

/* --- the checkpoint --------------------------------------------------------------------------- */

static void
run_checkpoint(struct scheduler *s, struct scheduler_job *job)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why why = {""};
    job->error = checkpoint_end(&job->checkpoint.writer, &why);
    if (job->error == OK)
        job->error = s->host->save(s->host->context, buf_bytes(&job->checkpoint.file), &why);
    if (job->error == OK) return;
    if (!log_often(&gate, env_monotonic_ns(s->host->env), SAID_NS, &held_back)) return;
    log_error("cannot write the checkpoint of rules, a crash now would repeat or forget changes of "
              "alerts",
              KV("error", why_text(&why, job->error)), KV("more_held_back", held_back));
}

/* --- gaps ------------------------------------------------------------------------------------- */

static bool
store_refuses(const struct rules_host *host)
{
    return host->refuses != NULL && host->refuses(host->context) != NULL;
}

static void
run_look(struct scheduler *s, struct scheduler_job *job)
{
    const struct rules_host *host = s->host;
    job->store_refuses = store_refuses(host);
    if (host->arrivals != NULL) {
        host->watch(host->context, job->look.late);
        host->arrivals(host->context, job->tenant->name, &job->arrivals);
    }
    /* Once per gap, when the tenant is known to wait. */
    char from[TIME_TEXT_BYTES], most[TIME_TEXT_BYTES];
    int64_t sent_ms =
        job->arrivals.sent_ms > job->look.sent_ms ? job->arrivals.sent_ms : job->look.sent_ms;
    bool waits = job->store_refuses || sent_ms >= job->look.awaited_from_ms;
    if (job->look.is_logged || !waits || job->limits.catch_up_wait_ns == 0) return;
    job->look.is_logged = true;
    if (job->store_refuses)
        log_warn("recording rules wait until the store accepts writes",
                 KV("tenant", job->tenant->name), KV("from", time_print(job->from_ms, from)));
    else
        log_info(
            "recording rules wait for samples that senders have kept",
            KV("tenant", job->tenant->name), KV("from", time_print(job->from_ms, from)),
            KV("at_most", time_print_duration(job->limits.catch_up_wait_ns / NS_PER_MS, most)));
}

/* The host of a fill, which notes refused writes. */
struct fill_host {
    const struct rules_host *host;
    _Atomic bool is_refused;
};

static enum err
fill_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
           struct why *why)
{
    struct fill_host *f = context;
    enum err e = f->host->write(f->host->context, tenant, message, ret, why);
    if (e) atomic_store_explicit(&f->is_refused, true, memory_order_relaxed);
    return e;
}

static enum err
fill_settle(void *context, uint64_t ticket, struct why *why)
{
    struct fill_host *f = context;
    enum err e = f->host->settle(f->host->context, ticket, why);
    if (e) atomic_store_explicit(&f->is_refused, true, memory_order_relaxed);
    return e;
}

static void
log_failed(void *context, const struct group *g, const struct rule *rule, int64_t at_ns,
           struct bytes sentence)
{
    static struct log_gate gate;
    uint64_t held_back;
    const struct fill_host *f = context;
    if (!log_often(&gate, env_monotonic_ns(f->host->env), SAID_NS, &held_back)) return;
    log_warn("a missed evaluation of a rule failed", KV("file", g->text.file),
             KV("group", g->text.name), KV("rule", rule == NULL ? "" : rule->name),
             KV("time_ms", at_ns / NS_PER_MS), KV("error", sentence),
             KV("more_held_back", held_back));
}

static void
log_differs(void *context, const struct group *g, const struct rule *rule,
            const struct replay_difference *d)
{
    static struct log_gate gate;
    uint64_t held_back;
    const struct fill_host *f = context;
    if (!log_often(&gate, env_monotonic_ns(f->host->env), SAID_NS, &held_back)) return;
    log_warn("a missed evaluation of a rule gives another value than is stored, which stays",
             KV("file", g->text.file), KV("group", g->text.name), KV("rule", rule->name),
             KV("time_ms", d->t_ms), KV("more_held_back", held_back));
}

/* Makes the evaluations of the pass. Cursors rise with durable results, also if it fails. */
static enum err
replay_pass(const struct replay *replay, struct scheduler_job *job, struct why *why)
{
    size_t bytes = job->fill.count * sizeof(struct replay_from);
    struct replay_from *items = mem_alloc(replay->host->memory, bytes);
    if (items == NULL) return why_set(why, ERR_NOMEM, "not enough memory for groups of rules");
    for (uint32_t i = 0; i < job->fill.count; i++) {
        items[i] =
            (struct replay_from){job->fill.items[i].entry->group, job->fill.items[i].next_slot};
    }
    enum err e =
        replay_all(replay, items, job->fill.count, job->fill.until_ns, &job->fill.counts, why);
    for (uint32_t i = 0; i < job->fill.count; i++)
        job->fill.items[i].next_slot = items[i].next;
    mem_free(replay->host->memory, items, bytes);
    return e;
}

static void
run_fill(struct scheduler *s, struct scheduler_job *job, const struct rules_terms *terms)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why why = {""};
    struct fill_host filling = {.host = s->host};
    struct rules_host host = *s->host;
    host.write = fill_write;
    host.settle = fill_settle;
    host.context = &filling;
    host.together = NULL;
    host.all_canceled = &job->tenant->cancel;
    struct replay replay = {
        .host = &host,
        .terms = terms,
        .failed = log_failed,
        .differs = log_differs,
        .context = &filling,
    };
    if (job->fill.logs_begin) {
        char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
        log_info("backfilling missed evaluations of rules", KV("tenant", job->tenant->name),
                 KV("from", time_print(job->from_ms, from)),
                 KV("to", time_print(job->now_ns / NS_PER_MS, to)));
    }
    job->error = replay_pass(&replay, job, &why);
    /* Finds the series of the last evaluation of entries that miss none: the next one, which is
     * live, marks missing series stale. */
    for (uint32_t i = 0; job->error == OK && i < job->fill.count; i++) {
        struct group *g = job->fill.items[i].entry->group;
        struct rules_past past = {.host = replay.host, .terms = replay.terms, .group = g};
        int64_t slot = job->fill.items[i].next_slot - 1;
        bool is_missing =
            g->series_slot < 0 && schedule_time_ns(&g->schedule, slot) <= job->fill.until_ns;
        if (is_missing) job->error = group_series_at(&past, slot, &why);
    }
    job->store_refuses = atomic_load_explicit(&filling.is_refused, memory_order_relaxed);
    if (job->error == OK) { /* short passes have reached the clock */
        int64_t took_ns = env_monotonic_ns(s->host->env) - job->taken_ns;
        job->fill.falls_behind =
            job->fill.covered_ns >= job->fill.slow_ns && took_ns > job->fill.covered_ns;
    }
    if (job->fill.falls_behind)
        log_warn("evaluations of rules become due faster than missed ones are filled, the rest of "
                 "the gap is skipped",
                 KV("tenant", job->tenant->name),
                 KV("filled_to_ms", job->fill.until_ns / NS_PER_MS));
    if (job->fill.logs_end && job->error == OK) {
        log_info("missed evaluations of rules are backfilled", KV("tenant", job->tenant->name),
                 KV("group_evaluations", job->fill.filled + job->fill.counts.made),
                 KV("took_ms", (env_monotonic_ns(s->host->env) - job->fill.began_ns) / NS_PER_MS));
    }
    if (job->error == OK || job->error == ERR_CANCELED) return;
    if (!log_often(&gate, env_monotonic_ns(s->host->env), SAID_NS, &held_back)) return;
    log_warn("cannot evaluate what rules have missed, retrying", KV("tenant", job->tenant->name),
             KV("error", why_text(&why, job->error)), KV("more_held_back", held_back));
}

/* --- one job ---------------------------------------------------------------------------------- */

void
scheduler_run(struct scheduler *s, struct scheduler_job *job, const struct rules_terms *terms)
{
    struct group *g = job->entry == NULL ? NULL : job->entry->group;
    struct rules_past past = {.host = s->host, .terms = terms, .group = g};
    struct why why = {""};
    switch (job->work) {
    case WORK_RESTORE:
        run_restore(s, job, terms);
        break;
    case WORK_EVALUATE:
        /* While the store refuses writes, samples are missing: alerts are held from the first
         * evaluation on, before there is a gap. */
        if (job->asks_arrivals) s->host->arrivals(s->host->context, g->tenant, &job->arrivals);
        job->store_refuses = store_refuses(s->host);
        job->how.holds |= job->holds_if_refused && job->store_refuses;
        group_evaluate(g, s->host, terms, &job->how, &job->outcome);
        break;
    case WORK_SEND:
        group_send(g, s->host, terms, job->how.at_ns);
        break;
    case WORK_CHECKPOINT:
        run_checkpoint(s, job);
        break;
    case WORK_LOOK:
        run_look(s, job);
        break;
    case WORK_FILL:
        run_fill(s, job, terms);
        break;
    case WORK_RETIRE:
        if (job->error) break;
        if (job->slot >= 0)
            job->error = group_series_at(&past, job->slot, &why);
        else
            job->error = group_mark_stale(g, s->host, &job->ended, job->how.at_ns);
        break;
    }
}
