/* expansion.h - replacement texts with groups of a regex: "$1", "${name}", "$$". Private to model/.
 */
#ifndef MODEL_REGEX_EXPANSION_H
#define MODEL_REGEX_EXPANSION_H

#include "base/mem.h"
#include "model/regex/matcher_re2.h"

/* A literal text, or a group. */
struct expansion_piece {
    struct bytes text;
    uint32_t group;
    bool is_group;
};

struct expansion {
    struct expansion_piece *pieces;
    uint32_t count;
};

/* Cuts a text into pieces, which are in the arena; `text` lives as long. The regex has `groups`;
 * `program` may be NULL if none of them has a name. ERR_NOMEM. */
MUST_CHECK enum err expansion_new(struct arena *arena, struct bytes text,
                                  const struct re2_program *program, uint32_t groups,
                                  struct expansion *ret);
/* Returns the text with the captured groups, in the arena. *ret is set to ERR_NOMEM without memory.
 */
struct bytes expansion_fill(const struct expansion *t, const struct re2_capture *captures,
                            uint32_t capture_count, struct arena *arena, enum err *ret);

#endif
