/*
 * dead_letters_command.h - reads the dead letters of a destination (samples that it refused
 * permanently), and decides about them while no server runs.
 *
 * Threads: any.
 */
#ifndef RELAY_OPERATE_DEAD_LETTERS_COMMAND_H
#define RELAY_OPERATE_DEAD_LETTERS_COMMAND_H

#include "relay/letters/letters.h"

/* The damage of the files of a destination, which ends no reading, and what was read. */
struct dead_letters_report {
    uint64_t lost;                   /* lines that the state has and that cannot be read */
    char text[512];                  /* names the first file with such lines */
    uint64_t lines[ITEM_KIND_COUNT]; /* that were read, by kind */
};

/*
 * Calls `each` for every dead letter under a destination's directory, oldest first; `again` says
 * that it is being sent again, `line` is the line with its line feed. Changes nothing; a relay may
 * be running. ERR_MISSING: no such destination; ERR_UNSUPPORTED: a newer version's state, or an
 * earlier one's, which a server converts; ERR_IO, ERR_NOMEM. Errors of `each` are forwarded.
 * `ret_report` may be NULL. If the state is damaged, all lines are given.
 */
MUST_CHECK enum err
dead_letters_each(struct env *env, const char *dir, struct budget *memory,
                  enum err (*each)(void *context, const struct dead_letter *letter,
                                   struct bytes line, bool again),
                  void *context, struct dead_letters_report *ret_report, struct why *why);

/*
 * Decides about all dead letters that are not being sent again, in the state; the caller has
 * locked the storage directory. Durable on return. *ret_count: the number of these letters.
 * ERR_MISSING: no such destination; and those of relay_state_read(), relay_state_write().
 */
MUST_CHECK enum err dead_letters_decide(struct env *env, const char *dir, struct budget *memory,
                                        enum letters_wish wish, uint64_t *ret_count,
                                        struct why *why);

#endif
