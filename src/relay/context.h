/* context.h - settings and services that all parts of an open destination use. relay_open() makes
 * it; it is immutable from then on and outlives the parts. */
#ifndef RELAY_CONTEXT_H
#define RELAY_CONTEXT_H

#include "relay/options.h"

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
