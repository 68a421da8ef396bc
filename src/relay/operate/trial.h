/*
 * trial.h - tests a destination before it is used: makes its writer's own checks, which store
 * nothing, and on request sends one sample as a relay would. Needs neither log nor store.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_TRIAL_H
#define RELAY_OPERATE_TRIAL_H

#include <stdatomic.h>

#include "backend/writer.h"

/* The result of one check. Views that end with the call. */
struct trial_finding {
    const char *what;
    bool ok;
    const char *reason; /* one word; "" if it is ok */
    const char *said;   /* the response of the other side, in one line; may be "" */
    const char *advice; /* an action for the operator; "" if it is ok, or unknown */
};

struct trial_options {
    struct env *env;
    struct budget *memory;
    const struct destination_settings *settings; /* outlive the trial */
    const struct writer_class *writer;
    const char *dir;      /* an empty directory for the writer; of no use afterwards */
    const char *instance; /* a name, in hex, that no server has */
    const char *user_agent;
    bool write;              /* sends a sample, too */
    const atomic_bool *stop; /* ends the trial when set; may be NULL */
    void (*each)(void *context, const struct trial_finding *finding);
    void *context;
};

/*
 * Calls `each` for every check that was made; checks that cannot succeed after a failure are left
 * out. OK with `ret_failed` 0: all succeeded. ERR_INPUT: invalid settings; other errors of the
 * writer's init(); ERR_NOMEM; ERR_CANCELED: stopped.
 */
MUST_CHECK enum err trial_run(const struct trial_options *options, uint32_t *ret_failed,
                              struct why *why);

#endif
