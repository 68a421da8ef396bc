/*
 * reload.c - makes plans from the configuration, and replaces the current one.
 *
 * An Alertmanager whose settings are unchanged is the same object in the next plan, so that its
 * connections, tokens and discoveries go on. If its settings have changed, members with the same
 * URL stay, with their queues.
 *
 * The invariants are those of notify_private.h.
 */
#include "notify/notify_private.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "model/relabel.h"

enum { EXTERNAL_BYTES_MAX = 1 << 20 };

struct notifier_change {
    struct notifier *notifier;
    struct notify_plan *plan;
};

static struct notify_plan *
plan_ref(struct notify_plan *plan)
{
    uint32_t before = atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return plan;
}

void
plan_unref(struct notify_plan *plan)
{
    if (plan == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    struct budget *memory = plan->memory;
    for (uint32_t i = 0; i < plan->count; i++) {
        alertmanager_unref(plan->items[i]);
    }
    mem_free(memory, plan->items, plan->count * sizeof *plan->items);
    mem_free(memory, plan->external, plan->external_count * sizeof *plan->external);
    buf_fini(&plan->external_text);
    relabel_free(plan->alert_relabel);
    shared_alerting_unref(plan->shared);
    mem_free(memory, plan, sizeof *plan);
}

struct notify_plan *
notifier_plan(struct notifier *n)
{
    lock_take(&n->lock);
    struct notify_plan *plan = plan_ref(n->plan);
    lock_drop(&n->lock);
    return plan;
}

/* --- making ----------------------------------------------------------------------------------- */

static enum err
copy_external(struct notify_plan *plan, const struct named_texts *labels)
{
    if (labels == NULL || labels->count == 0) return OK;
    plan->external = mem_new(plan->memory, labels->count * sizeof *plan->external);
    if (plan->external == NULL) return ERR_NOMEM;
    plan->external_count = labels->count;
    for (uint32_t i = 0; i < labels->count; i++) {
        buf_put_text(&plan->external_text, labels->items[i].name);
        buf_put_text(&plan->external_text, labels->items[i].value);
    }
    const uint8_t *at = plan->external_text.at;
    for (uint32_t i = 0; i < labels->count && buf_error(&plan->external_text) == OK; i++) {
        struct label *label = &plan->external[i];
        label->name = bytes_of(at, strlen(labels->items[i].name));
        label->value = bytes_of(at + label->name.size, strlen(labels->items[i].value));
        at += label->name.size + label->value.size;
    }
    return buf_error(&plan->external_text);
}

/* Finds an Alertmanager with the same settings in the current plan, which `plan` does not have;
 * or NULL. */
static struct alertmanager *
find_same(const struct notify_plan *before, const struct notify_plan *plan, uint64_t hash)
{
    for (uint32_t i = 0; i < before->count; i++) {
        struct alertmanager *a = before->items[i];
        bool is_taken = false;
        for (uint32_t k = 0; k < plan->count && !is_taken; k++) {
            is_taken = plan->items[k] == a;
        }
        if (!is_taken && a->settings->hash == hash) return a;
    }
    return NULL;
}

static enum err
make_items(struct notifier *n, struct notify_plan *plan, const struct notify_plan *before,
           struct why *why)
{
    const struct alerting *alerting = &plan->shared->alerting;
    const struct outside_context options = {
        .env = n->env, .memory = n->memory, .outside = n->outside};
    if (alerting->count == 0) return OK;
    plan->items = mem_new(n->memory, alerting->count * sizeof(struct alertmanager *));
    if (plan->items == NULL) return ERR_NOMEM;
    enum err e = OK;
    for (; plan->count < alerting->count && e == OK; plan->count += e == OK) {
        const struct alertmanager_settings *settings = &alerting->items[plan->count];
        struct alertmanager *same = find_same(before, plan, settings->hash);
        struct alertmanager **item = &plan->items[plan->count];
        if (same != NULL) {
            *item = alertmanager_ref(same);
            continue;
        }
        e = alertmanager_new(&options, plan->shared, settings, plan->limits.queue_capacity, item,
                             why);
        if (e) e = why_prefix(why, e, "line %u: alertmanagers", settings->line);
    }
    if (e) { /* plan_unref() uses the count */
        for (uint32_t i = 0; i < plan->count; i++) {
            alertmanager_unref(plan->items[i]);
        }
        mem_free(n->memory, plan->items, alerting->count * sizeof *plan->items);
        plan->items = NULL;
        plan->count = 0;
    }
    return e;
}

static enum err
make_plan(struct notifier *n, struct notify_plan *plan, const struct named_texts *external_labels,
          struct why *why)
{
    const struct alerting *alerting = &plan->shared->alerting;
    enum err e = copy_external(plan, external_labels);
    if (e == OK && alerting->alert_relabel_count > 0) {
        e = relabel_new(alerting->alert_relabel, alerting->alert_relabel_count,
                        &plan->alert_relabel, why);
        if (e) e = why_prefix(why, e, "alert_relabel_configs");
    }
    if (e) return e;
    struct notify_plan *before = notifier_plan(n);
    e = make_items(n, plan, before, why);
    plan_unref(before);
    /* Retiring all of them must not fail: invariant 3. */
    lock_take(&n->lock);
    size_t wanted = (size_t)n->retired_count + n->plan->count;
    if (e == OK && !array_reserve(n->memory, &n->retired, &n->retired_capacity, wanted)) {
        e = ERR_NOMEM;
    }
    lock_drop(&n->lock);
    return e;
}

enum err
notifier_prepare(struct notifier *n, struct alerting *settings,
                 const struct named_texts *external_labels, const struct notifier_limits *limits,
                 struct notifier_change **ret_change, struct why *why)
{
    assert(limits->queue_capacity > 0);
    assert(limits->batch_size > 0);
    struct notifier_change *change = mem_new(NULL, sizeof *change);
    struct shared_alerting *shared = mem_new(NULL, sizeof *shared);
    struct notify_plan *plan = mem_new(n->memory, sizeof *plan);
    if (change == NULL || shared == NULL || plan == NULL) {
        mem_free(NULL, change, sizeof *change);
        mem_free(NULL, shared, sizeof *shared);
        mem_free(n->memory, plan, sizeof *plan);
        alerting_free(settings);
        return why_set(why, ERR_NOMEM, "not enough memory for the Alertmanagers");
    }
    *shared = (struct shared_alerting){.refs = 1, .alerting = *settings};
    *settings = (struct alerting){NULL};
    plan->memory = n->memory;
    plan->refs = 1;
    plan->shared = shared;
    plan->limits = *limits;
    buf_init(&plan->external_text, n->memory, EXTERNAL_BYTES_MAX);
    *change = (struct notifier_change){n, plan};
    enum err e = make_plan(n, plan, external_labels, why);
    if (e == OK) {
        *ret_change = change;
        return OK;
    }
    notifier_abandon(change);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the Alertmanagers");
    return e == ERR_LIMIT ? ERR_INPUT : e;
}

void
notifier_abandon(struct notifier_change *change)
{
    if (change == NULL) return;
    plan_unref(change->plan);
    mem_free(NULL, change, sizeof *change);
}

/* --- replacing -------------------------------------------------------------------------------- */

/* Ends a member, and drops its alerts. */
static void
end_member_locked(struct notifier *n, struct member *member)
{
    assert(member->state != MEMBER_GONE); /* invariant 1 */
    n->dropped_gone += member->dropped + queue_clear(&member->queue);
    if (member->state == MEMBER_SENDING)
        member->state = MEMBER_GONE; /* its request frees it: invariant 2 */
    else
        member_free(member);
}

/* Says that alerts may be queued for a member. */
static void
member_put_in_force(struct member *member)
{
    assert(member->state != MEMBER_GONE); /* invariant 1 */
    if (member->state == MEMBER_NEW) member->state = MEMBER_IDLE;
}

/* Moves members of `old` whose URL is in `now` there; the others remain in `old`. */
static void
pass_members_locked(struct notifier *n, struct members *old, struct members *now)
{
    assert(lock_is_mine(&n->lock));
    for (uint32_t i = 0; i < now->count; i++) {
        struct member *fresh = now->items[i];
        for (uint32_t k = 0; k < old->count && fresh->state == MEMBER_NEW; k++) {
            struct member *known = old->items[k];
            bool is_same = known != NULL && known->url_hash == fresh->url_hash &&
                           strcmp(known->url, fresh->url) == 0;
            if (!is_same) continue;
            assert(fresh->queue.waiting.count == 0); /* it is NEW */
            now->items[i] = known;
            old->items[k] = NULL;
            member_free(fresh);
            fresh = known;
        }
    }
    uint32_t left = 0;
    for (uint32_t k = 0; k < old->count; k++) {
        if (old->items[k] != NULL) old->items[left++] = old->items[k];
    }
    old->count = left;
}

static bool
has_item(const struct notify_plan *plan, const struct alertmanager *a)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->items[i] == a) return true;
    }
    return false;
}

static void
end_members_locked(struct notifier *n, struct members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        end_member_locked(n, members->items[i]);
    }
    members->count = 0;
}

void
notifier_replace_members_locked(struct notifier *n, struct members *old, struct members *now)
{
    pass_members_locked(n, old, now);
    end_members_locked(n, old);
    for (uint32_t i = 0; i < now->count; i++) {
        member_put_in_force(now->items[i]);
    }
    struct members swapped = *old;
    *old = *now;
    *now = swapped;
}

static void
take_over_locked(struct notifier *n, struct notify_plan *old, struct notify_plan *now)
{
    for (uint32_t i = 0; i < old->count; i++) {
        struct alertmanager *from = old->items[i];
        if (has_item(now, from)) continue;
        for (uint32_t k = 0; k < now->count; k++) {
            if (has_item(old, now->items[k])) continue;
            pass_members_locked(n, &from->members, &now->items[k]->members);
        }
        end_members_locked(n, &from->members);
        assert(n->retired_count < n->retired_capacity); /* invariant 3 */
        n->retired[n->retired_count++] = alertmanager_ref(from);
    }
    for (uint32_t i = 0; i < now->count; i++) {
        const struct members *members = &now->items[i]->members;
        bool is_new = !has_item(old, now->items[i]);
        for (uint32_t k = 0; k < members->count; k++) {
            struct member *member = members->items[k];
            member_put_in_force(member);
            member_set_queue_max(member, now->limits.queue_capacity);
            if (is_new) member_forget_failures(member); /* its settings may have changed */
        }
    }
}

void
notifier_commit(struct notifier_change *change)
{
    struct notifier *n = change->notifier;
    lock_take(&n->lock);
    struct notify_plan *old = n->plan;
    take_over_locked(n, old, change->plan);
    n->plan = change->plan;
    lock_drop(&n->lock);
    plan_unref(old);
    mem_free(NULL, change, sizeof *change);
    outside_wake(n->outside);
}
