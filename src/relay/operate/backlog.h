/*
 * backlog.h - the samples and dead letters queued for a destination, read from its directory and
 * the log, so that they are known also for a destination that is not configured. Writes and locks
 * nothing; while relays and the log's writer work, the numbers are about those of a moment ago.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_BACKLOG_H
#define RELAY_OPERATE_BACKLOG_H

#include "backend/own_files.h"

#include "relay/state/state.h"

/* Decides what happens to a destination that is configured again. */
enum backlog_condition {
    BACKLOG_RESTING, /* it opens */
    BACKLOG_CLOSED,  /* its state is damaged: it stays closed until it is reset */
    BACKLOG_BLOCKED, /* its state cannot be read now: it stays closed until it can */
    BACKLOG_FILE,    /* blocked: a file of no destination is in place of its directory */
    BACKLOG_CONDITION_COUNT,
};

struct relay_backlog {
    struct why unreadable; /* names what cannot be read; "" if all can be */
    enum backlog_condition condition;
    bool destination_known;     /* `type` and `place` are known, as in its state */
    enum destination_type type; /* DESTINATION_TYPE_COUNT if unknown */
    uint64_t place;
    bool selection_known; /* `selection` is known, for items that were counted in advance */
    uint64_t selection;   /* destination_selection_hash() */

    bool queued_known;
    /* Upper limits: items that the log has accepted after the position for any destination, and
     * items of the store that were counted. */
    uint64_t samples; /* floats and histograms */
    uint64_t exemplars;
    bool filling;       /* it reads the store; `samples` may lack items of it */
    bool gone;          /* the log no longer has its position */
    uint64_t log_bytes; /* bytes of the log after the position; a server may not keep them */
    bool letters_known;
    uint64_t letters; /* dead letters, by the state or, if they were counted, by their files */
    struct why letters_problem; /* names files that cannot be read; "" if all can, or none was */
    struct own_files_backlog own_files; /* those that its type keeps */
};
static inline bool
relay_backlog_is_blocked(const struct relay_backlog *backlog)
{
    return backlog->condition == BACKLOG_BLOCKED || backlog->condition == BACKLOG_FILE;
}
/* True if nothing is queued, and there are no letters. */
bool relay_backlog_is_none(const struct relay_backlog *backlog);

struct backlog_options {
    struct env *env;
    const char *dir;     /* directory of all destinations */
    const char *log_dir; /* directory of the log */
    struct budget *memory;
    /* Selects destinations; NULL for all. */
    bool (*wanted)(void *context, const char *name);
    bool files; /* report files too */
    enum err (*each)(void *context, const char *name, const struct relay_backlog *backlog);
    void *context;
};
/*
 * Calls `each` for destinations in the order of their names; those that are removed meanwhile are
 * left out. Without the directory there are no destinations. ERR_INPUT, ERR_CORRUPT: something else
 * is in its place, see relay_directory_look(); ERR_IO, ERR_NOMEM, ERR_LIMIT; errors of `each`.
 * Damage is no error: see `unreadable`.
 */
MUST_CHECK enum err relay_backlogs(const struct backlog_options *options, struct why *why);

/*
 * Counts a destination's dead letters in their files, whatever its state says, and subtracts the
 * size of these from `bytes_left`. Files that are larger than that are not read. `letters_problem`
 * names these, and files that cannot be read.
 */
void relay_backlog_count_letters(const struct backlog_options *options, const char *name,
                                 uint64_t *bytes_left, struct relay_backlog *backlog);

/* A sentence about the queued samples of a destination that is removed, with a store or without;
 * `gone` as in its backlog. */
const char *relay_backlog_fate(bool stored, bool gone);

struct json;
struct json_t;
/* Puts the members of a JSON object that is open. */
void relay_backlog_print(const struct relay_backlog *backlog, struct json *to);
/* Reads such an object; its texts are not verified. ERR_UNSUPPORTED: it is not a backlog. */
MUST_CHECK enum err relay_backlog_take(const struct json_t *one,
                                       char ret_name[DESTINATION_NAME_BYTES_MAX + 1],
                                       struct relay_backlog *ret_backlog);

#endif
