/*
 * destination_answers.h - answers what an operator asks about one destination: its dead letters by
 * reason, and whether it works.
 *
 * Threads: any; one answer may take minutes.
 */
#ifndef APP_DESTINATIONS_DESTINATION_ANSWERS_H
#define APP_DESTINATIONS_DESTINATION_ANSWERS_H

#include "api/api.h"
#include "app/destinations/relays.h"

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
 * those of letters.h and operate.h.
 */
MUST_CHECK enum err destination_answer(const struct destination_answers_options *options,
                                       const struct destination_question *question, struct json *to,
                                       struct why *why);

/* Removes what tests of an earlier process left, if it was killed meanwhile. Before the first
 * test. ERR_LIMIT: the path is too long; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err destination_tests_sweep(struct env *env, const char *storage_path,
                                            struct why *why);

#endif
