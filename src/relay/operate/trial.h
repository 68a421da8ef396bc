/*
 * trial.h - tries a destination before it is used: its writer's own checks, which store nothing,
 * and, if asked for, one sample that goes the way of all others. Needs neither log nor store.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_TRIAL_H
#define RELAY_OPERATE_TRIAL_H

#include <stdatomic.h>

#include "backend/writer.h"

/* What was looked at, and how it was. Views that end with the call. */
struct trial_finding {
    const char *what;
    bool ok;
    const char *reason; /* one word; "" if it is ok */
    const char *said;   /* by the other side, in one line; may be "" */
    const char *advice; /* what to do; "" if it is ok, or it is not known */
};

struct trial_options {
    struct env *env;
    struct budget *memory;
    const struct destination_settings *settings; /* outlive the trial */
    const struct writer_class *writer;
    const char *dir;      /* the writer's for as long; empty, and of no use afterwards */
    const char *instance; /* a name, in hex, that no server has */
    const char *user_agent;
    bool write;              /* the sample, too */
    const atomic_bool *stop; /* NULL: it is never stopped */
    void (*each)(void *context, const struct trial_finding *finding);
    void *context;
};

/*
 * Calls `each` for everything that was tried; what cannot succeed after a failure is not.
 * ERR_INPUT and others of the writer's init(): settings that cannot be; ERR_NOMEM; ERR_CANCELED:
 * stopped. OK with `ret_failed` 0: all is well.
 */
MUST_CHECK enum err trial_run(const struct trial_options *options, uint32_t *ret_failed,
                              struct why *why);

#endif
