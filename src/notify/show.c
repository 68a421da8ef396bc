/* show.c - prints members for the API, and numbers for /metrics. */
#include "notify/notify_private.h"

void
notifier_show_settings(struct notifier *n,
                       void (*show)(void *context, const struct alerting *alerting), void *context)
{
    static const struct alerting nothing = {NULL};
    struct notify_config *config = notifier_config(n);
    show(context, config->shared == NULL ? &nothing : &config->shared->alerting);
    config_unref(config);
}

/* --- for the API ------------------------------------------------------------------------------ */

static void
put_url(struct json *to, const char *url)
{
    json_object_open(to);
    json_member_text(to, "url", url);
    json_object_close(to);
}

void
notifier_print(struct notifier *n, struct json *to)
{
    lock_take(&n->lock);
    json_member_array(to, "activeAlertmanagers");
    for (uint32_t i = 0; i < n->config->count; i++) {
        const struct members *members = &n->config->items[i]->members;
        for (uint32_t k = 0; k < members->count; k++)
            put_url(to, members->items[k]->url);
    }
    json_array_close(to);
    json_member_array(to, "droppedAlertmanagers");
    for (uint32_t i = 0; i < n->config->count; i++) {
        const struct members *members = &n->config->items[i]->members;
        const char *url = (const char *)members->dropped.at;
        for (uint32_t k = 0; k < members->dropped_count; k++, url += strlen(url) + 1)
            put_url(to, url);
    }
    json_array_close(to);
    lock_drop(&n->lock);
}

/* --- for /metrics ----------------------------------------------------------------------------- */

static const struct metric_family sent_family = {
    "firekeep_notifications_sent_total", "Total number of alerts sent.", METRIC_KIND_COUNTER};
static const struct metric_family errors_family = {
    "firekeep_notifications_errors_total", "Total number of sent alerts affected by errors.",
    METRIC_KIND_COUNTER};
static const struct metric_family dropped_family = {
    "firekeep_notifications_dropped_total",
    "Total number of alerts dropped due to errors when sending to Alertmanager.",
    METRIC_KIND_COUNTER};
static const struct metric_family length_family = {
    "firekeep_notifications_queue_length", "The number of alert notifications in the queue.",
    METRIC_KIND_GAUGE};
static const struct metric_family capacity_family = {
    "firekeep_notifications_queue_capacity", "The capacity of the alert notifications queue.",
    METRIC_KIND_GAUGE};
static const struct metric_family discovered_family = {
    "firekeep_notifications_alertmanagers_discovered",
    "The number of alertmanagers discovered and active.", METRIC_KIND_GAUGE};

static const struct metric_family empty_family = {
    "firekeep_notifications_alertmanagers_without_members",
    "Alertmanagers of the configuration that have no members.", METRIC_KIND_GAUGE};

struct sums {
    uint64_t sent, errors, dropped, queued;
    struct metric_histogram latency;
};

static void
add_member(struct sums *to, const struct member *m)
{
    to->sent += m->sent;
    to->errors += m->errors;
    to->dropped += m->dropped;
    to->queued += m->queue.waiting.count +
                  m->queue.taken.count; /* alerts in the queue and in the pending request */
    for (unsigned i = 0; i <= METRIC_BOUNDS_MAX; i++)
        to->latency.buckets[i] += m->latency.buckets[i];
    to->latency.sum += m->latency.sum;
}

/* Returns the member with the same URL, or NULL. */
static const struct member *
find_url(const struct members *members, const struct member *like)
{
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *m = members->items[i];
        if (m->url_hash == like->url_hash && strcmp(m->url, like->url) == 0) return m;
    }
    return NULL;
}

/* Sums members with the same URL in several Alertmanagers, which are one series. False: an earlier
 * Alertmanager has it. */
static bool
sum_member_locked(const struct notify_config *config, uint32_t at, const struct member *m,
                  struct sums *ret)
{
    for (uint32_t i = 0; i < at; i++)
        if (find_url(&config->items[i]->members, m) != NULL) return false;
    *ret = (struct sums){.latency = m->latency};
    memset(ret->latency.buckets, 0, sizeof ret->latency.buckets);
    ret->latency.sum = 0;
    for (uint32_t i = at; i < config->count; i++) {
        const struct member *same = find_url(&config->items[i]->members, m);
        if (same != NULL) add_member(ret, same);
    }
    return true;
}

void
notifier_collect(struct metric_sink *sink, void *notifier)
{
    struct notifier *n = notifier;
    uint32_t count = 0, empty = 0;
    lock_take(&n->lock);
    for (uint32_t i = 0; i < n->config->count; i++) {
        const struct members *members = &n->config->items[i]->members;
        count += members->count;
        empty += members->count == 0;
        for (uint32_t k = 0; k < members->count; k++) {
            const struct metric_pair pair = {"alertmanager", bytes_of_text(members->items[k]->url)};
            struct sums sums;
            if (!sum_member_locked(n->config, i, members->items[k], &sums)) continue;
            metric_put_u64(sink, &sent_family, &pair, 1, sums.sent);
            metric_put_u64(sink, &errors_family, &pair, 1, sums.errors);
            metric_put_u64(sink, &dropped_family, &pair, 1, sums.dropped);
            metric_put_u64(sink, &length_family, &pair, 1, sums.queued);
            metric_put_histogram(sink, &sums.latency);
        }
    }
    metric_put_u64(sink, &dropped_family, NULL, 0, n->dropped_gone);
    metric_put_u64(sink, &capacity_family, NULL, 0, n->config->limits.queue_capacity);
    metric_put_u64(sink, &discovered_family, NULL, 0, count);
    metric_put_u64(sink, &empty_family, NULL, 0, empty);
    lock_drop(&n->lock);
}
