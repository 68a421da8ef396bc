/*
 * dead_letters_command.h - the operator commands for dead letters (samples that a destination
 * refused permanently): list the letters of a destination, and request that it sends them again or
 * drops them. They work on its files, while a server runs or while none does.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_DEAD_LETTERS_COMMAND_H
#define RELAY_OPERATE_DEAD_LETTERS_COMMAND_H

#include "relay/letters/dead_letters.h"

enum dead_letter_state { DEAD_LETTER_KEPT, DEAD_LETTER_REPLAYING };

/* Damage of the files, and differences from the destination's state. */
struct dead_letters_report {
    uint64_t damaged; /* damaged places, the first of which `texts` describes */
    uint32_t text_count;
    char texts[DEAD_LETTERS_TEXTS][DEAD_LETTERS_TEXT_BYTES];
    uint64_t lost; /* missing letters, until a relay has counted them */
    uint64_t back; /* letters that exist, but are gone by the state */
};

/*
 * Calls `each` for every letter under a destination's directory, oldest first, in the state that
 * it has after all pending requests. Changes nothing; a relay may be running. ERR_MISSING: the
 * destination never had letters; ERR_AGAIN: files were removed again and again while they were
 * read; ERR_UNSUPPORTED, ERR_IO, ERR_NOMEM. Errors of `each` are forwarded. `ret_report` may be
 * NULL.
 */
MUST_CHECK enum err dead_letters_each(
    struct env *env, const char *dir, struct budget *memory,
    enum err (*each)(void *context, const struct dead_letter *letter, enum dead_letter_state state),
    void *context, struct dead_letters_report *ret_report, struct why *why);

/*
 * Requests that the relay replays or drops all present letters that have no pending request, or
 * those of them with one reason (NULL: all). Durable on return. *ret_count: the number of these
 * letters; with 0 no request is written, so a repeated command has no further effect. `ret_report`
 * may be NULL. ERR_MISSING: the destination never had letters; ERR_AGAIN: another command is
 * running; ERR_INPUT: the reason is too long; ERR_LIMIT: too many requests are pending; and those
 * of dead_letters_each().
 */
MUST_CHECK enum err dead_letters_request(struct env *env, const char *dir, struct budget *memory,
                                         enum dead_letters_wish wish, const char *reason,
                                         uint64_t *ret_count,
                                         struct dead_letters_report *ret_report, struct why *why);

#endif
