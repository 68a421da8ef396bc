/*
 * expansion.h - texts with what groups of a regex matched: "$1", "${name}", "$$". Private to
 * model/.
 */
#ifndef MODEL_EXPANSION_H
#define MODEL_EXPANSION_H

#include "base/mem.h"
#include "model/matcher_re2.h"

/* Literal text, or what a group matched. */
struct expansion_piece {
    struct bytes text;
    uint32_t group;
    bool is_group;
};

struct expansion {
    struct expansion_piece *pieces;
    uint32_t count;
};

/* Cut into pieces, which lie in the arena; `text` lives as long. The regex has `groups`; `program`
 * may be NULL: none of them has a name. ERR_NOMEM. */
MUST_CHECK enum err expansion_new(struct arena *arena, struct bytes text,
                                  const struct re2_program *program, uint32_t groups,
                                  struct expansion *ret);
/* With what was captured; in the arena. *ret is set to ERR_NOMEM when there is no memory. */
struct bytes expansion_fill(const struct expansion *t, const struct re2_capture *captures,
                            uint32_t capture_count, struct arena *arena, enum err *ret);

#endif
