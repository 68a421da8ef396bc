/*
 * backlog.h - what a destination has left to do, read from its directory and the log: so it is
 * known also of a destination that is no longer configured. Nothing is written and nothing
 * locked; relays and the log's writer may be at work, then it is about as it was a moment ago.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_BACKLOG_H
#define RELAY_OPERATE_BACKLOG_H

#include "backend/kept.h"
#include "relay/letters/dead_letters.h"
#include "relay/state/state.h"

struct relay_backlog {
    struct why unreadable;  /* what cannot be read; "": all can */
    bool blocked;           /* its state cannot be read; configured, it would not open before */
    bool file;              /* blocked, since a file is there: that of no destination */
    bool closed;            /* its state is damaged or missing: configured, it would stay closed */
    bool destination_known; /* as in its state: */
    enum destination_type type; /* DESTINATION_TYPE_COUNT: not known */
    uint64_t place;
    bool selection_known; /* only of what was counted ahead: */
    uint64_t selection;   /* destination_selection_hash() */

    bool queued_known;
    /* At most: what the log has accepted for any destination after the position, what was counted
     * of the store included. */
    uint64_t samples; /* and histograms */
    uint64_t exemplars;
    bool filling;       /* it was being given what is stored; what is not counted of it is not in
                           `samples` */
    bool gone;          /* the log does not reach back to its position */
    uint64_t log_bytes; /* that lie after it; whether the log is held is known only to a server */
    bool letters_known;
    uint64_t letters; /* dead letters, as the state says or, when they were counted, their files */
    struct why letters_problem; /* what of them cannot be read; "": all can, or none were read */
    struct kept_waiting kept;
};
/* Nothing waits, and it holds no letters. */
bool relay_backlog_is_none(const struct relay_backlog *backlog);

struct backlog_options {
    struct env *env;
    const char *dir;     /* of all destinations, and */
    const char *log_dir; /* of the log */
    struct budget *memory;
    /* Selects destinations; NULL for all. */
    bool (*wanted)(void *context, const char *name);
    bool files; /* report files too */
    enum err (*each)(void *context, const char *name, const struct relay_backlog *backlog);
    void *context;
};
/*
 * In the order of their names; those that go meanwhile are left out. Where there is no such
 * directory there are no destinations.
 * ERR_INPUT, ERR_CORRUPT: something else is there, as relay_directory_look() says; ERR_IO,
 * ERR_NOMEM, ERR_LIMIT, and errors of `each`; what is damaged stands in `unreadable`.
 */
MUST_CHECK enum err relay_backlogs(const struct backlog_options *options, struct why *why);

/*
 * Counts a destination's dead letters in their files, whatever its state says, and takes the bytes
 * of these from `bytes_left`. If they are more, none is read, and `letters_problem` says so. What
 * cannot be read stands there, too.
 */
void relay_backlog_count_letters(const struct backlog_options *options, const char *name,
                                 uint64_t *bytes_left, struct relay_backlog *backlog);

/* What becomes of what waits for a destination that is removed, with a store or without; `gone` as
 * in its backlog. */
const char *relay_backlog_fate(bool stored, bool gone);

struct json;
struct json_t;
/* The members of an object that is open. */
void relay_backlog_print(const struct relay_backlog *backlog, struct json *to);
/* One of them. ERR_UNSUPPORTED: it is not one of them. Its texts are as a stranger sent them. */
MUST_CHECK enum err relay_backlog_take(const struct json_t *one,
                                       char ret_name[DESTINATION_NAME_BYTES_MAX + 1],
                                       struct relay_backlog *ret_backlog);

#endif
