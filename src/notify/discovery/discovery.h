/*
 * discovery.h - finds the targets of one entry of an Alertmanager's static_configs, dns_sd_configs,
 * file_sd_configs or http_sd_configs.
 *
 * A discovery looks in one or several places: names, files. It keeps the targets that it found last
 * in each. A failed look changes nothing.
 *
 * Threads: one at a time. The thread that reads the settings makes a discovery, another steps it.
 */
#ifndef NOTIFY_DISCOVERY_DISCOVERY_H
#define NOTIFY_DISCOVERY_DISCOVERY_H

#include "model/labels.h"
#include "notify/outside/outside.h"
#include "notify/settings.h"

enum {
    TARGETS_MAX = 1000,               /* per place */
    TARGETS_LABELS_MAX = 128,         /* per target */
    TARGETS_BYTES_MAX = 8 << 20,      /* labels of all targets of a place */
    TARGETS_TEXT_BYTES_MAX = 4 << 20, /* per file, or answer */
};

/* Targets, each as canonical labels: __address__ and others. */
struct targets {
    struct arena arena;
    struct bytes *items;
    uint32_t count;
};
/* An empty list, in an arena of at most TARGETS_BYTES_MAX. */
void targets_init(struct targets *targets, struct budget *memory);
void targets_fini(struct targets *targets);
/* Appends a target; sorts `labels`, and removes empty ones. ERR_LIMIT: more than TARGETS_MAX;
 * ERR_INPUT: invalid labels, for example two of one name; ERR_NOMEM: also beyond TARGETS_BYTES_MAX.
 */
MUST_CHECK enum err targets_add(struct targets *targets, struct label *labels, uint32_t count,
                                struct why *why);

struct discovery;
struct discovery_class {
    /* Looks in places that are due. NULL: it never looks again. */
    void (*step)(struct discovery *discovery);
    /* Gives up pending calls and questions. NULL: it never has any. */
    void (*stop)(struct discovery *discovery);
    void (*free)(struct discovery *discovery);
    /* Calls `take` with the targets of each place. */
    void (*each)(const struct discovery *discovery,
                 void (*take)(void *context, const struct targets *targets), void *context);
};

/* The beginning of all kinds of discoveries. */
struct discovery {
    const struct discovery_class *class;
    struct outside_context options;
    bool has_changed; /* it has found other targets since this was set to false */
    int64_t due_ns;   /* when to step it, on the monotonic clock; 0: now */
};

/* These three look for targets for the first time in their first step. */
MUST_CHECK enum err discovery_dns_new(const struct outside_context *options,
                                      const struct dns_members *settings,
                                      struct discovery **ret_discovery);
MUST_CHECK enum err discovery_file_new(const struct outside_context *options,
                                       const struct file_members *settings,
                                       struct discovery **ret_discovery);
MUST_CHECK enum err discovery_http_new(const struct outside_context *options,
                                       const struct http_members *settings,
                                       struct discovery **ret_discovery, struct why *why);

/* Replaces the targets of a place by `found`, which is taken; on the error `e` they stay. */
static inline enum err
discovery_found(struct discovery *d, struct targets *targets, struct targets *found, enum err e)
{
    targets_fini(e ? found : targets);
    if (e) return e;
    *targets = *found;
    d->has_changed = true;
    return OK;
}

static inline void
discovery_step(struct discovery *d)
{
    if (d->class->step != NULL) d->class->step(d);
}

static inline void
discovery_stop(struct discovery *d)
{
    if (d->class->stop != NULL) d->class->stop(d);
}

/* Frees a discovery that was stopped. Accepts NULL. */
static inline void
discovery_free(struct discovery *d)
{
    if (d != NULL) d->class->free(d);
}

/*
 * Reads lists of targets in files and answers of servers:
 *
 *     [{"targets": ["host:port", ...], "labels": {"name": "value", ...}}, ...]
 *
 * Source: Prometheus' documentation, "file_sd_config" and "http_sd_config". Equally strict: no
 * other keys, no other types instead of texts; in YAML neither anchors, aliases nor tags.
 */

/*
 * Appends the targets of all groups: each has __address__, the labels of its group, and `meta`,
 * which names the place it was found in and replaces a label of the same name. `name` begins error
 * texts. ERR_INPUT: malformed; ERR_LIMIT: too long, too many targets, labels or bytes of them;
 * ERR_NOMEM. After an error some targets may have been appended.
 */
MUST_CHECK enum err target_groups_json(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);
MUST_CHECK enum err target_groups_yaml(const char *name, struct bytes text, struct label meta,
                                       struct targets *to, struct why *why);

#endif
