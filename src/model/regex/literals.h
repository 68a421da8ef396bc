/* literals.h - private to model/: the texts of a regex that is an alternation of literals, as a set
 * for look-ups. */
#ifndef MODEL_REGEX_LITERALS_H
#define MODEL_REGEX_LITERALS_H

#include "base/mem.h"
#include "model/regex/matcher_re2.h"
#include "model/regex/pattern.h"

struct literals {
    const struct bytes *items; /* sorted, unique, as in struct pattern */
    uint32_t count;            /* 0 if there is no set, and RE2 decides */
    bool folds;                /* case does not matter */
    uint32_t groups;           /* 1 if a group encloses all of it */

    /* The positions of PATTERN_WILD in items, by their sizes; none if no item has it. */
    struct literal_shape *shapes;
    uint32_t shape_count;

    /* Item index + 1, or 0; probed linearly. NULL if there are few items, which are compared one by
     * one. */
    uint32_t *slots;
    uint32_t slot_mask;
    uint64_t sizes; /* bit n: an item has n bytes; the last bit: so many or more */
};

/* Makes the set of a pattern, in `arena`; `count` is 0 if the pattern is not an alternation of
 * literals, or its dots are at so many different positions that RE2 is faster. ERR_NOMEM. */
MUST_CHECK enum err literals_init(struct literals *set, const struct pattern *pattern,
                                  struct arena *arena);
/* Does the same for the text of a regex that may have groups, if it is known what they capture. It
 * need not be valid. */
MUST_CHECK enum err literals_read(struct literals *set, struct bytes regex, struct arena *arena,
                                  struct budget *budget);
/* True if RE2, anchored at both ends, would accept the value. */
bool literals_have(const struct literals *set, struct bytes value);
/* Does the same, with the `groups` + 1 captures of re2_program_capture(). */
bool literals_capture(const struct literals *set, struct bytes text, struct re2_capture *captures);
/* Returns an upper bound of the time of a look-up, in ns. */
uint64_t literals_work(const struct literals *set);

#endif
