/*
 * literals.h - private to model/: the texts of a regex that is an alternation of literals, as a set
 * that values are looked up in.
 */
#ifndef MODEL_LITERALS_H
#define MODEL_LITERALS_H

#include "base/mem.h"
#include "model/matcher_re2.h"
#include "model/pattern.h"

struct literals {
    const struct bytes *items; /* sorted, unique, as in struct pattern */
    uint32_t count;            /* 0: there is no set, RE2 has to be asked */
    bool folds;                /* case does not matter */
    uint32_t groups;           /* 1: a group around all of it */

    /* Where items have PATTERN_WILD, by their sizes; none: no item has it. */
    struct literal_shape *shapes;
    uint32_t shape_count;

    /* Item index + 1, or 0; probed linearly. NULL: the few items are compared one by one. */
    uint32_t *slots;
    uint32_t slot_mask;
    uint64_t sizes; /* bit n: some item has n bytes; the last bit: so many or more */
};

/*
 * The set of a pattern, in `arena`; `count` is 0 if the pattern is none, or one whose dots are at
 * so many different places that a look-up would take longer than RE2. ERR_NOMEM.
 */
MUST_CHECK enum err literals_init(struct literals *set, const struct pattern *pattern,
                                  struct arena *arena);
/* The same for the text of a regex that may have groups: only where what they capture is known. It
 * need not be valid. */
MUST_CHECK enum err literals_read(struct literals *set, struct bytes regex, struct arena *arena,
                                  struct budget *budget);
/* True if RE2, anchored at both ends, would accept the value. */
bool literals_have(const struct literals *set, struct bytes value);
/* The same, with what re2_program_capture() gives: `groups` + 1 captures. */
bool literals_capture(const struct literals *set, struct bytes text, struct re2_capture *captures);
/* About how many ns that takes, at most. */
uint64_t literals_work(const struct literals *set);

#endif
