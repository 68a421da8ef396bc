/*
 * send.c - puts alerts into queues, on the threads of their senders.
 *
 * Alerts are relabelled and encoded as JSON without the lock, a slice at a time, once for all
 * members of an Alertmanager, and once for all Alertmanagers without relabelling of their own. If a
 * reload replaces the configuration meanwhile, all of them are queued again by the new
 * configuration: an alert queued twice is one entry.
 */
#include "notify/notify_private.h"

#include <assert.h>

#include "model/labels.h"
#include "model/relabel.h"

enum { SLICE = 64, SEND_SCRATCH_BYTES_MAX = 8 << 20 };

struct alert_sending {
    struct notifier *notifier;
    const struct notify_config *config;
    struct alert_encoding encoding;
    struct arena scratch; /* for a slice */
    struct arena passing; /* for an alert */
    struct buf json;
};

/* An alert of a slice. */
struct send_entry {
    struct encoded_alert *alert; /* NULL: relabelling dropped it, or `failed` is an error */
    enum err failed;             /* ERR_NOMEM; ERR_LIMIT: it is too large */
};

/* Adds the external labels that an alert lacks, and its tenant's. *ret is a view of the alert or of
 * `arena`. */
static enum err
add_labels(const struct notify_config *config, const struct alert_notice *notice,
           struct arena *arena, struct bytes *ret)
{
    const char *tenant_label =
        config->shared == NULL ? NULL : config->shared->alerting.tenant_label;
    struct bytes labels = notice->labels;
    enum err e = OK;
    for (uint32_t i = 0; i < config->external_count && e == OK; i++)
        e = labels_complete(labels, config->external[i], arena, &labels);
    if (e == OK && tenant_label != NULL && notice->tenant.size > 0) {
        struct label label = {bytes_of_text(tenant_label), notice->tenant};
        e = labels_impose(labels, label, arena, &labels);
    }
    *ret = labels;
    return e;
}

static void
queue_locked(struct alertmanager *a, const struct send_entry *entries, uint32_t count)
{
    assert(count <= SLICE);
    for (uint32_t k = 0; k < count && a->members.count == 0; k++)
        a->unaddressed += entries[k].alert != NULL || entries[k].failed != OK;
    for (uint32_t i = 0; i < a->members.count; i++) {
        struct member *member = a->members.items[i];
        for (uint32_t k = 0; k < count; k++) {
            if (entries[k].alert != NULL) member_put(member, entries[k].alert);
            if (entries[k].failed == OK) continue;
            bool is_large = entries[k].failed == ERR_LIMIT;
            member_lose(member, is_large ? LOSS_TOO_LARGE : LOSS_NO_MEMORY, 1);
        }
    }
}

/* The labels of an alert after the relabelling for all Alertmanagers, unless that drops it or
 * fails. */
struct common {
    struct bytes labels;
    bool is_dropped;
    bool failed;
};

static void
free_entries(struct send_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        encoded_alert_unref(entries[i].alert);
        entries[i] = (struct send_entry){.alert = NULL};
    }
}

static void
make_entries(struct alert_sending *s, const struct relabel *relabel, const struct common *common,
             const struct alert_notice *notices, uint32_t count, struct send_entry *ret)
{
    for (uint32_t i = 0; i < count; i++) {
        ret[i] = (struct send_entry){.failed = common[i].failed ? ERR_NOMEM : OK};
        if (common[i].failed || common[i].is_dropped) continue;
        struct bytes labels = common[i].labels; /* views of the scratch */
        enum err e = relabel == NULL ? OK : relabel_apply(relabel, labels, &s->scratch, &labels);
        if (e == OK && labels.size == 0) continue;
        if (e == OK)
            e = encoded_alert_new(&s->encoding, labels, &notices[i], &s->json, &ret[i].alert);
        ret[i].failed = e;
    }
}

static bool
send_slice(struct alert_sending *s, const struct alert_notice *notices, uint32_t count)
{
    struct common common[SLICE];
    struct send_entry plain[SLICE] = {{.alert = NULL}}, own[SLICE] = {{.alert = NULL}};
    bool has_plain = false, is_in_force = true;
    arena_reset(&s->scratch);
    for (uint32_t i = 0; i < count; i++) {
        struct common *c = &common[i];
        struct bytes labels;
        const struct relabel *relabel = s->config->alert_relabel;
        *c = (struct common){.failed = true};
        arena_reset(&s->passing);
        if (add_labels(s->config, &notices[i], &s->passing, &labels)) continue;
        if (relabel != NULL && relabel_apply(relabel, labels, &s->passing, &labels)) continue;
        c->is_dropped = labels.size == 0;
        c->labels = arena_copy(&s->scratch, labels);
        c->failed = !c->is_dropped && c->labels.at == NULL;
    }
    for (uint32_t i = 0; i < s->config->count && is_in_force; i++) {
        struct alertmanager *a = s->config->items[i];
        bool is_plain = a->alert_relabel == NULL;
        if (is_plain && !has_plain) make_entries(s, NULL, common, notices, count, plain);
        if (!is_plain) make_entries(s, a->alert_relabel, common, notices, count, own);
        has_plain |= is_plain;
        lock_take(&s->notifier->lock);
        is_in_force = s->notifier->config == s->config; /* it was not replaced */
        if (is_in_force) queue_locked(a, is_plain ? plain : own, count);
        lock_drop(&s->notifier->lock);
        free_entries(own, count);
    }
    free_entries(plain, count);
    return is_in_force;
}

void
notifier_send(struct notifier *n, const struct alert_notice *notices, uint32_t count)
{
    bool is_done = count == 0;
    while (!is_done) {
        struct notify_config *config = notifier_config(n);
        struct alert_sending s = {
            .notifier = n,
            .config = config,
            .encoding = {n->memory, n->seed, env_realtime_ms(n->env), n->external_url},
        };
        arena_init(&s.scratch, n->memory, SEND_SCRATCH_BYTES_MAX, 0);
        arena_init(&s.passing, n->memory, SEND_SCRATCH_BYTES_MAX, 0);
        buf_init(&s.json, n->memory, 2 * ENCODED_ALERT_BYTES_MAX);
        is_done = true;
        for (uint32_t at = 0; at < count && is_done; at += SLICE)
            is_done = send_slice(&s, notices + at, count - at < SLICE ? count - at : SLICE);
        buf_fini(&s.json);
        arena_fini(&s.passing);
        arena_fini(&s.scratch);
        config_unref(config);
    }
    outside_wake(n->outside);
}
