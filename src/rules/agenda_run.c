/*
 * agenda_run.c - what is due is run, under no lock: see agenda.h.
 */
#include "base/log.h"
#include "rules/agenda_private.h"
#include "sys/env.h"

#define WAITING_NS (60 * NS_PER_S) /* between lines about what is waited for */
#define SAID_NS    (NS_PER_S / 4)  /* between lines about groups that fail */

static enum err
run_begin(const struct rules_past *past, struct agenda_job *job, struct why *why)
{
    struct agenda_entry *e = job->entry;
    int64_t now_ns = job->how.at_ns;
    bool records = group_records(e->group) && job->limits.catch_up_ns > 0;
    enum err error = OK;
    if (records) { /* also what was made before the clock was set back */
        struct past_slots to = {&e->made, NULL, &e->settled};
        error = past_made(past, now_ns - job->limits.catch_up_ns, now_ns + job->limits.catch_up_ns,
                          &to, why);
    }
    if (error == OK && !job->took_over && slots_has(&e->made, job->slot)) {
        error = past_recorded(past, job->slot, false, why);
    }
    if (error) return error;
    struct restore_terms terms = {
        .now_ns = now_ns,
        .tolerance_ns = job->limits.outage_tolerance_ns,
        .grace_ns = job->limits.grace_ns,
        .wait_ns = job->limits.catch_up_wait_ns,
    };
    int64_t down_ns;
    error = restore_alerts(past, &terms, &down_ns, why);
    if (job->down_ns == 0) job->down_ns = down_ns;
    return error;
}

static enum err
look_at_input(const struct rules_past *past, struct agenda_job *job, int64_t at_ns, bool *ret_there,
              struct why *why)
{
    enum input input;
    enum err e = input_is_there(past, RULE_RECORDING, job->gap_ns, at_ns, job->now_ns, &input, why);
    job->is_unknown = e == OK && input == INPUT_UNKNOWN;
    *ret_there = e == OK && (input == INPUT_THERE || (job->is_unknown && !job->others_wait));
    return e;
}

static enum err
try_store(const struct rules_past *past, struct agenda_job *job, struct why *why)
{
    enum err e = group_try_store(past->group, past->host, why);
    job->store_refuses = e != OK;
    return e;
}

static enum err
run_make_up(const struct rules_past *past, struct agenda_job *job, struct why *why)
{
    struct group *g = past->group;
    bool there = job->input_is_there;
    enum err e = OK;
    if (!there) { /* mostly all of it comes at once */
        e = look_at_input(past, job, job->now_ns, &there, why);
        job->is_current = e == OK && there;
        if (job->is_current) job->input_slot = job->last_slot;
        if (e == OK && !there) e = look_at_input(past, job, job->how.at_ns, &there, why);
    }
    /* How long input is waited for counts from the end of the refusal. */
    if (e == OK && !there && job->is_refused) e = try_store(past, job, why);
    job->waits = e == OK && !there;
    if (e || job->waits) return e;
    /* What is known is more than is stored: a rule that failed then keeps what it recorded before.
     * But of rules that a reload took out and another one put back, it may be among the orphans. */
    bool is_past = job->has_before && g->past_slot == job->before_slot;
    bool is_live = job->has_before && g->series_slot == job->before_slot && g->orphans.count == 0;
    if (job->has_series || (is_live && !is_past))
        e = past_pass_series(past, true, why);
    else if (job->has_before && !is_past)
        e = past_recorded(past, job->before_slot, true, why);
    if (e) return e;
    group_evaluate(g, past->host, past->terms, &job->how, &job->outcome);
    g->past_slot = job->slot;
    if (!job->outcome.stored) {
        err_ignore(try_store(past, job, why), "what it says is noted");
        return why_set(why, ERR_AGAIN, "the results could not be stored");
    }
    return job->has_next ? past_close(past, job->next_slot, why) : OK;
}

static void
run_live(const struct rules_past *past, struct agenda_job *job)
{
    struct why why = {""};
    if (job->down_ns != 0) {
        enum input input;
        enum err e = input_is_there(past, RULE_ALERTING, job->down_ns, job->how.at_ns, job->now_ns,
                                    &input, &why);
        bool there = e == OK && input != INPUT_LACKING;
        if (there) job->down_ns = 0;
        job->how.holds |= !there;
    }
    struct group *g = past->group;
    bool records = job->how.part != GROUP_ALERTING;
    bool is_known = job->has_series || g->series_slot == job->before_slot;
    if (records && job->has_before && !is_known) {
        bool is_past = g->past_slot == job->before_slot;
        enum err e = is_past ? past_pass_series(past, false, &why)
                             : past_recorded(past, job->before_slot, false, &why);
        err_ignore(e, "then series that end here are not marked stale");
    }
    group_evaluate(g, past->host, past->terms, &job->how, &job->outcome);
    if (records) g->series_slot = job->outcome.stored ? job->slot : -1;
}

/* Of many groups that fail at once, some are told. */
static void
tell_error(const struct agenda *a, const struct agenda_job *job, const struct why *why)
{
    static struct log_gate gate;
    uint64_t held_back;
    const struct rule_group *text = group_text(job->entry->group);
    if (job->work == AGENDA_BEGIN && job->is_last_try) {
        log_error("cannot read what a group of rules left in the store, it begins anew",
                  KV("file", text->file), KV("group", text->name),
                  KV("error", why_text(why, job->error)));
        return;
    }
    if (job->work == AGENDA_RETIRE ||
        !log_often(&gate, env_monotonic_ns(a->host->env), SAID_NS, &held_back)) {
        return;
    }
    if (job->work == AGENDA_BEGIN) {
        log_warn("cannot read what a group of rules left in the store, retrying",
                 KV("file", text->file), KV("group", text->name),
                 KV("error", why_text(why, job->error)), KV("more_held_back", held_back));
    } else {
        log_warn("cannot make up a missed evaluation of a group of rules, retrying",
                 KV("file", text->file), KV("group", text->name),
                 KV("time_ms", job->how.at_ns / NS_PER_MS), KV("error", why_text(why, job->error)),
                 KV("more_held_back", held_back));
    }
}

/* Why rules are not evaluated that read what others record. */
static void
tell_waiting(const struct agenda *a, const struct agenda_job *job)
{
    static struct log_gate gate;
    uint64_t held_back;
    const struct rule_group *text = group_text(job->entry->group);
    if (!log_often(&gate, env_monotonic_ns(a->host->env), WAITING_NS, &held_back)) return;
    log_info("missed evaluations of a group of rules wait for samples that senders have kept",
             KV("file", text->file), KV("group", text->name),
             KV("time_ms", job->how.at_ns / NS_PER_MS),
             KV("at_most_ms", job->limits.catch_up_wait_ns / NS_PER_MS),
             KV("more_held_back", held_back));
}

void
agenda_run(struct agenda *a, struct agenda_job *job, const struct rules_terms *terms)
{
    struct group *g = job->entry->group;
    struct rules_past past = {a->host, terms, g};
    struct why why = {""};
    if (job->lost_state) {
        log_warn(
            "not enough memory to take over the state of a group of rules, reading it from the "
            "store",
            KV("file", group_text(g)->file), KV("group", group_text(g)->name));
    }
    if (job->fell_behind) {
        log_warn("evaluations of rules become due faster than missed ones are made up, groups that "
                 "read recorded series no longer wait for these",
                 KV("missing", job->missing));
    }
    switch (job->work) {
    case AGENDA_BEGIN:
        job->error = run_begin(&past, job, &why);
        /* Alerts that it took over may be valid for less than it takes to its first evaluation. */
        if (job->took_over) group_tell_early(g, a->host, terms, job->how.at_ns);
        break;
    case AGENDA_LIVE:
        run_live(&past, job);
        break;
    case AGENDA_MAKE_UP:
        job->error = run_make_up(&past, job, &why);
        break;
    case AGENDA_RETIRE:
        if (job->error == OK) job->error = group_end(g, a->host, job->how.at_ns);
        break;
    }
    if (job->error) tell_error(a, job, &why);
    if (job->waits) tell_waiting(a, job);
}
