/*
 * reload.c - makes a configuration from the settings, and replaces the current one.
 *
 * An Alertmanager whose settings are unchanged is the same object in the next configuration, so
 * that its connections, tokens and discoveries go on. If its settings have changed, members with
 * the same URL stay, with their queues.
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
    struct notify_config *config;
};

void
config_unref(struct notify_config *config)
{
    if (config == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    struct budget *memory = config->memory;
    for (uint32_t i = 0; i < config->count; i++)
        alertmanager_unref(config->items[i]);
    mem_free(memory, config->items, config->count * sizeof *config->items);
    mem_free(memory, config->external, config->external_count * sizeof *config->external);
    buf_fini(&config->external_text);
    relabel_free(config->alert_relabel);
    shared_alerting_unref(config->shared);
    mem_free(memory, config, sizeof *config);
}

struct notify_config *
notifier_config(struct notifier *n)
{
    lock_take(&n->lock);
    uint32_t before = atomic_fetch_add_explicit(&n->config->refs, 1, memory_order_relaxed);
    assert(before > 0);
    struct notify_config *config = n->config;
    lock_drop(&n->lock);
    return config;
}

/* --- making ----------------------------------------------------------------------------------- */

static enum err
copy_external(struct notify_config *config, const struct named_texts *labels)
{
    if (labels == NULL || labels->count == 0) return OK;
    config->external = mem_new(config->memory, labels->count * sizeof *config->external);
    if (config->external == NULL) return ERR_NOMEM;
    config->external_count = labels->count;
    for (uint32_t i = 0; i < labels->count; i++) {
        buf_put_text(&config->external_text, labels->items[i].name);
        buf_put_text(&config->external_text, labels->items[i].value);
    }
    const uint8_t *at = config->external_text.at;
    for (uint32_t i = 0; i < labels->count && buf_error(&config->external_text) == OK; i++) {
        struct label *label = &config->external[i];
        label->name = bytes_of(at, strlen(labels->items[i].name));
        label->value = bytes_of(at + label->name.size, strlen(labels->items[i].value));
        at += label->name.size + label->value.size;
    }
    return buf_error(&config->external_text);
}

static bool
has_item(const struct notify_config *config, const struct alertmanager *a)
{
    for (uint32_t i = 0; i < config->count; i++)
        if (config->items[i] == a) return true;
    return false;
}

static enum err
make_items(struct notifier *n, struct notify_config *config, const struct notify_config *before,
           struct why *why)
{
    const struct alerting *alerting = &config->shared->alerting;
    const struct outside_context options = {
        .env = n->env, .memory = n->memory, .outside = n->outside};
    if (alerting->count == 0) return OK;
    config->items = mem_new(n->memory, alerting->count * sizeof(struct alertmanager *));
    if (config->items == NULL) return ERR_NOMEM;
    enum err e = OK;
    for (; config->count < alerting->count && e == OK; config->count += e == OK) {
        const struct alertmanager_settings *settings = &alerting->items[config->count];
        struct alertmanager *same =
            NULL; /* the current one with these settings, not taken so far */
        for (uint32_t i = 0; i < before->count && same == NULL; i++) {
            struct alertmanager *a = before->items[i];
            if (a->settings->hash == settings->hash && !has_item(config, a)) same = a;
        }
        struct alertmanager **item = &config->items[config->count];
        if (same != NULL) {
            *item = alertmanager_ref(same);
            continue;
        }
        e = alertmanager_new(&options, config->shared, settings, config->limits.queue_capacity,
                             item, why);
        if (e) e = why_prefix(why, e, "line %u: alertmanagers", settings->line);
    }
    if (e) { /* config_unref() uses the count */
        for (uint32_t i = 0; i < config->count; i++)
            alertmanager_unref(config->items[i]);
        mem_free(n->memory, config->items, alerting->count * sizeof *config->items);
        config->items = NULL;
        config->count = 0;
    }
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
    struct notify_config *config = mem_new(n->memory, sizeof *config);
    if (change == NULL || shared == NULL || config == NULL) {
        mem_free(NULL, change, sizeof *change);
        mem_free(NULL, shared, sizeof *shared);
        mem_free(n->memory, config, sizeof *config);
        alerting_free(settings);
        return why_set(why, ERR_NOMEM, "not enough memory for the Alertmanagers");
    }
    *shared = (struct shared_alerting){.refs = 1, .alerting = *settings};
    *settings = (struct alerting){NULL};
    config->memory = n->memory;
    config->refs = 1;
    config->shared = shared;
    config->limits = *limits;
    buf_init(&config->external_text, n->memory, EXTERNAL_BYTES_MAX);
    *change = (struct notifier_change){n, config};
    const struct alerting *alerting = &shared->alerting;
    enum err e = copy_external(config, external_labels);
    if (e == OK && alerting->alert_relabel_count > 0) {
        e = relabel_new(alerting->alert_relabel, alerting->alert_relabel_count,
                        &config->alert_relabel, why);
        if (e) e = why_prefix(why, e, "alert_relabel_configs");
    }
    if (e == OK) {
        struct notify_config *before = notifier_config(n);
        e = make_items(n, config, before, why);
        config_unref(before);
    }
    /* Retiring all of them must not fail: invariant 3. */
    lock_take(&n->lock);
    size_t wanted = (size_t)n->retired_count + n->config->count;
    if (e == OK && !array_reserve(n->memory, &n->retired, &n->retired_capacity, wanted))
        e = ERR_NOMEM;
    lock_drop(&n->lock);
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
    config_unref(change->config);
    mem_free(NULL, change, sizeof *change);
}

/* --- replacing -------------------------------------------------------------------------------- */

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
    for (uint32_t k = 0; k < old->count; k++)
        if (old->items[k] != NULL) old->items[left++] = old->items[k];
    old->count = left;
}

/* Ends members, and drops their alerts. */
static void
end_members_locked(struct notifier *n, struct members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        struct member *member = members->items[i];
        assert(member->state != MEMBER_GONE); /* invariant 1 */
        n->dropped_gone += member->dropped + queue_clear(&member->queue);
        if (member->state == MEMBER_SENDING)
            member->state = MEMBER_GONE; /* its request frees it: invariant 2 */
        else
            member_free(member);
    }
    members->count = 0;
}

void
notifier_replace_members_locked(struct notifier *n, struct members *old, struct members *now)
{
    pass_members_locked(n, old, now);
    end_members_locked(n, old);
    for (uint32_t i = 0; i < now->count; i++)
        member_put_in_force(now->items[i]);
    struct members swapped = *old;
    *old = *now;
    *now = swapped;
}

static void
take_over_locked(struct notifier *n, struct notify_config *old, struct notify_config *now)
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
    struct notify_config *old = n->config;
    take_over_locked(n, old, change->config);
    n->config = change->config;
    lock_drop(&n->lock);
    config_unref(old);
    mem_free(NULL, change, sizeof *change);
    outside_wake(n->outside);
}
