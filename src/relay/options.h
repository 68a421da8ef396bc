/* options.h - settings and services that relay_open() needs, and that its parts use. */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include "backend/writer.h"
#include "tsdb/tsdb.h"
#include "wal/wal.h"

struct write_queue;

struct relay_options {
    struct env *env;
    struct wal *wal;
    struct tsdb *tsdb; /* the store, which has what the log no longer has; NULL if there is none */
    const char *dir;   /* directory of all destinations, which exists */
    struct budget *memory;
    const struct destination_settings *settings; /* outlive the relay */
    const struct writer_class *writer;
    const char *instance; /* tsdb_name_id(): prefix of names that only this directory writes */
    const char *user_agent;
    struct relay_guard *guard; /* the destination's guard; outlives the relay */
    /* Its items come from this queue, not from the log: direct.c. Outlives the relay; or NULL. */
    struct write_queue *queue;
    /* Unix time and the monotonic clock at one moment, as early as possible in the process: ages
     * are measured from there, whatever the clock does later. 0 for the time of relay_open(). */
    int64_t epoch_ms;
    int64_t epoch_ns;
};

/* Settings and services that all parts of an open destination use. relay_open() makes it; it is
 * immutable from then on and outlives the parts. */
struct relay_context {
    struct relay_options options;
    const struct destination_settings *settings;
    const struct writer_class *class;
    struct http_calls *http;
    struct selection *selection;
    char dir[200]; /* the destination's own directory */
};

static inline int64_t
relay_now_ns(const struct relay_context *c)
{
    return env_monotonic_ns(c->options.env);
}

/* The limit of the destination's budget, in bytes; 0 if it has no limit of its own. */
static inline uint64_t
relay_memory_limit(const struct relay_context *c)
{
    return atomic_load_explicit(&c->options.memory->limit_bytes, memory_order_relaxed);
}

#endif
