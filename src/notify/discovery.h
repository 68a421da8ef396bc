/*
 * discovery.h - where the members of an Alertmanager are, as one entry of its static_configs,
 * dns_sd_configs, file_sd_configs or http_sd_configs says.
 *
 * A discovery has one or several places where it looks: names, files. Each has the targets that
 * were found there last. A look that fails changes nothing.
 *
 * Threads: one at a time. A discovery is made by whoever reads the settings, and stepped by
 * another.
 */
#ifndef NOTIFY_DISCOVERY_H
#define NOTIFY_DISCOVERY_H

#include "model/labels.h"
#include "notify/outside.h"
#include "notify/settings.h"

enum {
    TARGETS_MAX = 1000,               /* of one place */
    TARGETS_LABELS_MAX = 128,         /* of one of them */
    TARGETS_BYTES_MAX = 8 << 20,      /* their labels, in all */
    TARGETS_TEXT_BYTES_MAX = 4 << 20, /* of a file, or an answer */
};

/* Targets, each of which is canonical labels: __address__, and what is known besides. */
struct targets {
    struct arena arena;
    struct bytes *items;
    uint32_t count;
};
void targets_init(struct targets *targets, struct budget *memory);
void targets_fini(struct targets *targets);
/* Appends one; sorts `labels`, and takes out empty ones. ERR_LIMIT: TARGETS_MAX or the arena's
 * limit; ERR_INPUT: two labels of one name, or one without; ERR_NOMEM. */
MUST_CHECK enum err targets_add(struct targets *targets, struct label *labels, uint32_t count,
                                struct why *why);

struct discovery_options {
    struct env *env;
    struct budget *memory;
    struct outside *outside;
    const uint32_t *line; /* of the Alertmanager in the configuration, for the log */
};

struct discovery;
struct discovery_class {
    /* Does what is due now. NULL: nothing ever is. */
    void (*step)(struct discovery *discovery);
    /* Gives up what is under way. NULL: nothing ever is. */
    void (*stop)(struct discovery *discovery);
    void (*free)(struct discovery *discovery);
    /* Calls `take` with the targets of each place. */
    void (*each)(const struct discovery *discovery,
                 void (*take)(void *context, const struct targets *targets), void *context);
};

/* What all have; the others begin with it. */
struct discovery {
    const struct discovery_class *class;
    struct discovery_options options;
    bool has_changed; /* what it has found, since somebody has set this to false */
    int64_t due_ns;   /* when it has something to do, on the monotonic clock; 0: now */
};

/* The settings are borrowed. ERR_NOMEM; errors of targets_add() where there is a `why`. */
MUST_CHECK enum err discovery_static_new(const struct discovery_options *options,
                                         const struct static_members *settings,
                                         struct discovery **ret_discovery, struct why *why);
MUST_CHECK enum err discovery_dns_new(const struct discovery_options *options,
                                      const struct dns_members *settings,
                                      struct discovery **ret_discovery);
MUST_CHECK enum err discovery_file_new(const struct discovery_options *options,
                                       const struct file_members *settings,
                                       struct discovery **ret_discovery);
MUST_CHECK enum err discovery_http_new(const struct discovery_options *options,
                                       const struct http_members *settings,
                                       struct discovery **ret_discovery, struct why *why);

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

/* It is stopped. NULL is fine. */
static inline void
discovery_free(struct discovery *d)
{
    if (d != NULL) d->class->free(d);
}

#endif
