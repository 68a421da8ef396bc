/*
 * examine.h - examines what destinations remember while no server runs: every file under relay/,
 * its checksum, the places in the log, and the account of each destination, recounted from its dead
 * letters. Nothing is written. Format: docs/format/relay.md.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_EXAMINE_H
#define RELAY_OPERATE_EXAMINE_H

#include "backend/settings.h"
#include "relay/letters/letters_found.h"
#include "relay/state/state.h"

/*
 * taken = delivered + dead-lettered + dropped + replaying, of all before the cursor, for one kind;
 * and letters in files are those two of it. What is after the cursor waits in the log or the
 * store.
 */
struct relay_equation {
    uint64_t taken;
    uint64_t delivered;
    uint64_t dead_lettered;
    uint64_t dropped;
    uint64_t replaying; /* dead letters that are sent again: queued */
    uint64_t kept_counted;
    uint64_t replaying_counted;
    bool holds;
};
/* As a state says, with what its letters have moved since. */
struct relay_equation relay_equation_of(const struct relay_state *state,
                                        const struct letters_found *found,
                                        const struct letters_account *account, enum item_kind kind);

struct examine_options {
    struct env *env;
    const char *dir;     /* of all destinations, and */
    const char *log_dir; /* of the log; no other process writes to them */
    struct budget *memory;
    /* The destinations there should be, whose waiting items are counted; NULL: not known. */
    const struct destinations *destinations;
    /* What the log has given up may be had from a store; false: it is lost. */
    bool stored;
    /* Is given a line for each finding and each destination. */
    void (*say)(void *context, const char *line);
    void *context;
};

struct examine_report {
    uint64_t destinations;
    uint64_t files;
    uint64_t wrong; /* findings that an operator has to act on */
};

/*
 * Where there is no such directory there are no destinations. What is damaged or does not add up is
 * a finding, not an error: ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err relay_examine(const struct examine_options *options,
                                  struct examine_report *ret_report, struct why *why);

#endif
