/*
 * letters_old.h - converts the dead letters of earlier versions, which were in files of binary
 * entries with marks (docs/format/relay.md), into lines.
 */
#ifndef RELAY_LETTERS_LETTERS_OLD_H
#define RELAY_LETTERS_LETTERS_OLD_H

#include "relay/state/state.h"

/*
 * Writes the letters under the destination's directory `dir` as files of lines, durably, and says
 * so in `state`: its list, which `list` has the bytes of, and its account. Letters of items that
 * the state has after its cursor are left out, because these are read again. Nothing is removed:
 * until the state is saved, the call can be repeated. With `is_known` false the state says nothing
 * about the letters, and all of them count. ERR_UNSUPPORTED: a newer version wrote a file.
 */
MUST_CHECK enum err letters_old_convert(struct env *env, const char *dir, struct budget *memory,
                                        struct relay_state *state, bool is_known, struct buf *list,
                                        struct why *why);
/* Counts, by kind, the letters that would be converted. */
MUST_CHECK enum err letters_old_count(struct env *env, const char *dir, struct budget *memory,
                                      const struct relay_state *state,
                                      uint64_t ret_count[ITEM_KIND_COUNT], struct why *why);

#endif
