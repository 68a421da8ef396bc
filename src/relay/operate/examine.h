/*
 * examine.h - checks the files of destinations while no server runs: every file under relay/ and
 * its checksum, positions in the log, and the account of each destination, recounted from its dead
 * letters. Writes nothing. Format: docs/format/relay.md.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_EXAMINE_H
#define RELAY_OPERATE_EXAMINE_H

#include "backend/settings.h"
#include "relay/state/state.h"

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
 * Without the directory there are no destinations. Damage and accounts that do not balance are
 * findings, not errors. ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_examine(const struct examine_options *options,
                                  struct examine_report *ret_report, struct why *why);

#endif
