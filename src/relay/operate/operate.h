/*
 * operate.h - what operators ask about destinations: a check of their files while no server runs,
 * and a test of a destination before it is used.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_OPERATE_H
#define RELAY_OPERATE_OPERATE_H

#include "backend/settings.h"
#include "backend/writer.h"
#include "relay/state/state.h"

#include <stdatomic.h>

/* --- files ------------------------------------------------------------------------------------ */

struct examine_options {
    struct env *env;
    const char *dir;     /* directory of all destinations; no other process writes to it, */
    const char *log_dir; /* nor to the directory of the log */
    struct budget *memory;
    /* Configured destinations, whose queued items are counted; NULL if unknown. */
    const struct destinations *destinations;
    bool stored;        /* there is a store, which has items that the log no longer has */
    uint64_t store_pos; /* the store covers the log up to here; 0: unknown */
    /* Called with one line for each finding and each destination. */
    void (*say)(void *context, const char *line);
    void *context;
};

struct examine_report {
    uint64_t destinations;
    uint64_t files;
    uint64_t wrong; /* findings that an operator has to act on */
};

/*
 * Checks every file under relay/ and its checksum, positions in the log, and the account of each
 * destination, recounted from its dead letters. Writes nothing. Format: docs/format/relay.md.
 *
 * Without the directory there are no destinations. Damage and accounts that do not balance are
 * findings, not errors. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_examine(const struct examine_options *options,
                                  struct examine_report *ret_report, struct why *why);

/* --- test ------------------------------------------------------------------------------------- */

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
 * Makes the writer's own checks, which store nothing, and on request sends one sample as a relay
 * would. Needs neither log nor store.
 *
 * Calls `each` for every check that was made; checks that cannot succeed after a failure are left
 * out. OK with `ret_failed` 0: all succeeded. ERR_INPUT: invalid settings; other errors of the
 * writer's init(); ERR_NOMEM; ERR_CANCELED: stopped.
 */
MUST_CHECK enum err trial_run(const struct trial_options *options, uint32_t *ret_failed,
                              struct why *why);

#endif
