/*
 * relays.h - the destinations of a server, each with a thread of its own.
 *
 * Threads: relays_each(), the functions that use it and relays_control() are for any; the others
 * for the thread that owns the server or, one at a time, reloads it.
 */
#ifndef APP_DESTINATIONS_RELAYS_H
#define APP_DESTINATIONS_RELAYS_H

#include "api/api.h"
#include "backend/settings.h"
#include "base/metric.h"
#include "base/text/json.h"
#include "config/lists/lists.h"
#include "relay/relay.h"

struct relays;
struct relays_options {
    struct env *env;
    struct tsdb *tsdb;
    bool stored;               /* samples are stored, too */
    struct write_queue *queue; /* destinations read it instead of the log; or NULL */
    const char *storage_path;
    struct budget *memory;
    uint64_t memory_bytes; /* limit of all destinations together */
};

/* Begins without destinations. ERR_NOMEM; ERR_LIMIT: the path is too long. */
MUST_CHECK enum err relays_new(const struct relays_options *options, struct relays **ret_relays,
                               struct why *why);
/*  Changes the destinations in two steps: the first does all that can fail, and changes nothing;
 * the second cannot fail. Destinations with unchanged settings continue. The list is taken, also on
 * an error, and left empty. The log position that an old destination holds passes to the new one of
 * its name without a gap. A destination that cannot be opened is not an error here: it is shown as
 * closed, and opening it is tried again every ten seconds. ERR_NOMEM, ERR_IO; ERR_AGAIN: a thread
 * cannot be started. */
struct relays_change;
MUST_CHECK enum err relays_prepare(struct relays *relays, struct destinations *list,
                                   struct relays_change **ret_change, struct why *why);
/* Puts the change in force; waits for destinations that end. The first commit logs directories that
 * belong to no destination. */
void relays_commit(struct relays_change *change);
/* Begins to stop all destinations. relays_free() waits for them, a few seconds for pending
 * requests. */
void relays_stop(struct relays *relays);
void relays_free(struct relays *relays);

/* The status of a destination. Views end with the callback. */
struct relays_view {
    const struct destination_settings *settings;
    bool opened; /* else `error` says why it is not open */
    const char *error;
    bool counted; /* `status` is known: the present one or, if it is not open, the last one */
    struct relay_status status;
};
/* Calls `each` for all configured destinations, under the lock of the list: `each` does not block.
 * Any thread. */
void relays_each(struct relays *relays, void (*each)(void *context, const struct relays_view *view),
                 void *context);
/* For a metric_collector, whose context is the relays. */
void relays_collect(struct metric_sink *sink, void *relays);
/* Prints all destinations as an array, for the API. */
void relays_print(struct relays *relays, struct json *to);
/* Says whether a destination that may not drop samples has used up its log budget. Any thread. */
bool relays_are_full(struct relays *relays);
/* Says whether the saved states of all destinations that are running have passed this position of
 * the log. Any thread. */
bool relays_have_saved(struct relays *relays, uint64_t pos);
/* The largest batch.max_age, at most 30 s: so long samples may wait for a request to be sent. Any
 * thread. */
int64_t relays_batch_age_ms(struct relays *relays);
/* Carries out a command. ERR_MISSING: unknown name; ERR_AGAIN: it is not open; other errors as
 * relay_replay(). */
MUST_CHECK enum err relays_control(struct relays *relays, struct bytes name,
                                   const struct destination_control *control, struct why *why);
/* As relay_letters_want() and relay_letters_done(). ERR_MISSING: unknown name; ERR_AGAIN: it is not
 * open. Any thread. */
MUST_CHECK enum err relays_letters_want(struct relays *relays, struct bytes name, bool drop,
                                        uint64_t *ret_number, struct why *why);
MUST_CHECK enum err relays_letters_done(struct relays *relays, struct bytes name, uint64_t number,
                                        bool *ret_done, uint64_t *ret_lines, struct why *why);
/* Borrows the settings of all destinations, which stay until relays_return(), also if a reload
 * replaces them. Any thread. */
struct destinations *relays_borrow(struct relays *relays);
void relays_return(struct destinations *borrowed);
/* Prints the list in the format of the configuration file. */
void relays_print_yaml(struct relays *relays, struct buf *to);

/* --- destination_answers.c -------------------------------------------------------------------- */

/* Answers what an operator asks about one destination: its dead letters by reason, and whether it
 * works. Threads: any; one answer may take minutes. */
struct destination_answers_options {
    struct env *env;
    const char *storage_path;
    struct relays *relays;
};

/*
 * Writes one value.
 *
 * Dead letters: {"reasons":[{"reason", "kept", "replaying", "first", "last", "answer",
 * "samples":[{"series", "time", "value", "answer"}]}], "others", "lost", "damage"}; a
 * command about them: {"letters"}. A test: {"ok", "findings":[{"what", "ok", "reason", "said",
 * "advice"}]}.
 *
 * ERR_MISSING: unknown name; ERR_INPUT, ERR_LIMIT, ERR_CANCELED, ERR_AGAIN, ERR_NOMEM, ERR_IO:
 * those of operate.h.
 */
MUST_CHECK enum err destination_answer(const struct destination_answers_options *options,
                                       const struct destination_question *question, struct json *to,
                                       struct why *why);

/* Removes what tests of an earlier process left, if it was killed meanwhile. Before the first
 * test. ERR_LIMIT: the path is too long; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err destination_tests_sweep(struct env *env, const char *storage_path,
                                            struct why *why);

#endif
