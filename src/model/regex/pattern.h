/*
 * pattern.h - properties of an anchored regex that are known without running it. Private to the
 * matchers.
 *
 * Only simple syntax is understood: literals, escaped punctuation, `|`, `(...)` and `(?:...)`, `?`,
 * `*`, `+`, dot, small classes, and (?i) and (?s) before all else. Other syntax has no known
 * properties, which is always correct.
 */
#ifndef MODEL_REGEX_PATTERN_H
#define MODEL_REGEX_PATTERN_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/regex/matcher_re2.h"

/* Limits of the heads; a pattern that exceeds them has TAIL_UNKNOWN. */
enum { PATTERN_HEADS_MAX = 128 * 1024, PATTERN_HEAD_BYTES_MAX = 2 * 1024 * 1024 };

/* PATTERN_WILD in a head is any one character; UTF-8 has no such byte. Such heads are ASCII, like
 * those where case does not matter, and have at most so many bytes; a dot is among the first 64. */
enum { PATTERN_WILD = 0xff, PATTERN_SIMPLE_BYTES_MAX = 256 };

/* The text that follows a head in the accepted texts. */
enum pattern_tail {
    TAIL_NONE,    /* none: the heads are all accepted texts */
    TAIL_ANY,     /* any text */
    TAIL_SOME,    /* any text but the empty one */
    TAIL_UNKNOWN, /* not known */
};

/*
 * The pattern accepts exactly the texts that are a head followed by its tail; with TAIL_UNKNOWN,
 * only such texts, but not all of them. Heads are sorted and unique; a single empty head with
 * TAIL_UNKNOWN says nothing at all. If `inner` is not empty the pattern is instead: any text
 * (`before`), `inner`, any text (`after`).
 */
struct pattern {
    enum pattern_tail tail;
    const struct bytes *heads;
    uint32_t head_count;
    bool has_wild;     /* heads have PATTERN_WILD; only with TAIL_NONE */
    bool folds;        /* case does not matter, heads are in lower case; only with TAIL_NONE */
    uint32_t groups;   /* number of groups that capture, if TAIL_NONE */
    bool group_is_all; /* a single group encloses all but anchors */
    struct bytes inner;
    enum pattern_tail before; /* TAIL_ANY or TAIL_SOME */
    enum pattern_tail after;  /* TAIL_NONE, TAIL_ANY or TAIL_SOME */
};

/* Reads a pattern of valid UTF-8. It is a valid regex unless the result is TAIL_UNKNOWN without
 * `inner`: then RE2 decides. Results are in `arena`. ERR_NOMEM. */
MUST_CHECK enum err pattern_read(struct bytes text, struct arena *arena,
                                 struct pattern *ret_pattern);

/* True if `\C`, a single byte of a character, occurs outside of \Q...\E. */
bool pattern_has_byte_escape(struct bytes text);

/* --- sets of literals ------------------------------------------------------------------------- */

/*
 * The texts of a regex that is an alternation of literals, as a set for look-ups.
 */

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
