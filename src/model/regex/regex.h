/* regex.h - a regex that RE2 runs, with its memory charged to a budget, and replacement texts with
 * groups of it: "$1", "${name}", "$$". Private to model/, except regex_put_go_words(). */
#ifndef MODEL_REGEX_REGEX_H
#define MODEL_REGEX_REGEX_H

#include "base/buf.h"
#include "model/regex/matcher_re2.h"

struct regex {
    struct re2_program *program;
    struct budget *budget;
    uint64_t charged_bytes;
    uint64_t instructions;
};

enum { REGEX_WHY_BYTES = 256 };

/*
 * Charges `budget` (may be NULL) before RE2 takes memory: for a moment with the most that
 * compiling takes, until regex_fini() with the most that the program, and matching, do.
 * ERR_INPUT, ERR_LIMIT (larger than RE2 may make it, or would take long to compile): the sentence
 * is in `why`. ERR_NOMEM. A group may be named as in Go, (?<name>...).
 */
MUST_CHECK enum err regex_init(struct regex *regex, struct bytes pattern,
                               enum re2_captures captures, struct budget *budget,
                               char why[REGEX_WHY_BYTES]);
/* Returns an upper bound of the time to match so many bytes, in ns: mostly it is much less. */
uint64_t regex_work(const struct regex *regex, size_t size_bytes);
void regex_fini(struct regex *regex);

/* Appends RE2's sentence about a pattern in the words of Go's regexp, after "error parsing regexp:
 * ". */
void regex_put_go_words(const char *sentence, struct buf *to);

/* --- replacement texts ------------------------------------------------------------------------ */

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
/* Returns the text with captured groups, in the arena. *ret is set to ERR_NOMEM without memory. */
struct bytes expansion_fill(const struct expansion *t, const struct re2_capture *captures,
                            uint32_t capture_count, struct arena *arena, enum err *ret);

#endif
