/*
 * dead_letters_command.h - the operator's half of dead letters: reads the files of a destination, and
 * leaves requests to replay or drop letters. Works while a server runs and while none does.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_DEAD_LETTERS_COMMAND_H
#define RELAY_OPERATE_DEAD_LETTERS_COMMAND_H

#include "relay/letters/dead_letters.h"

enum dead_letter_state { DEAD_LETTER_KEPT, DEAD_LETTER_REPLAYING };

/* What is wrong with the files, by themselves and beside what the destination's state says. */
struct dead_letters_report {
    uint64_t damaged; /* places in them, of which the first: */
    uint32_t text_count;
    char texts[DEAD_LETTERS_TEXTS][DEAD_LETTERS_TEXT_BYTES];
    uint64_t lost; /* letters that should be there, */
    uint64_t back; /* and that should not; both until a relay has counted them */
};

/*
 * Calls `each` for every letter under a destination's directory, oldest first, with requests that
 * wait already counted in. Changes nothing; a relay may be at work. ERR_MISSING: no letters were
 * ever there; ERR_AGAIN: files went time and again while they were read; ERR_UNSUPPORTED, ERR_IO,
 * ERR_NOMEM. Errors of `each` are forwarded. `ret_report` may be NULL.
 */
MUST_CHECK enum err dead_letters_each(
    struct env *env, const char *dir, struct budget *memory,
    enum err (*each)(void *context, const struct dead_letter *letter, enum dead_letter_state state),
    void *context, struct dead_letters_report *ret_report, struct why *why);

/*
 * Asks the relay to replay or drop all letters there are now and nothing was decided about, or
 * those with one reason (NULL: all). Durable on return. `ret_count`: how many that are; if there
 * are none, nothing is asked, so asking twice does no more than once. `ret_report` may be NULL.
 * ERR_MISSING: no letters were ever there; ERR_AGAIN: another command asks at this moment;
 * ERR_INPUT: no reason is that long; ERR_LIMIT: too many
 * requests wait; and those of dead_letters_each().
 */
MUST_CHECK enum err dead_letters_request(struct env *env, const char *dir, struct budget *memory,
                                         enum dead_letters_wish wish, const char *reason,
                                         uint64_t *ret_count,
                                         struct dead_letters_report *ret_report, struct why *why);

#endif
