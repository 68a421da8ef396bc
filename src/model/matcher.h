/* matcher.h - label matchers with Prometheus' semantics: four types, RE2 anchored at both ends, dot
 * matches newline, a missing label is the empty string. */
#ifndef MODEL_MATCHER_H
#define MODEL_MATCHER_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

/* The numbers are those of the remote read protocol. */
enum matcher_type { MATCH_EQUAL = 0, MATCH_NOT_EQUAL = 1, MATCH_REGEX = 2, MATCH_NOT_REGEX = 3 };

enum { MATCHER_PATTERN_BYTES_MAX = 1024 * 1024 };

struct matcher; /* immutable; may be shared between threads */

/*
 * Compiles a matcher; copies name and pattern. All its memory is charged to `budget` (may be
 * NULL), that of RE2 with the most it may become; for a moment with more, to compile it. Regexes
 * that are a literal or an alternation of literals ("a", "a|b|c", with or without groups, (?i) or
 * dots for any character) become look-ups before RE2 is asked. ERR_INPUT: no RE2 regex, \C
 * (refused: it can split a character), name or pattern not UTF-8, an unknown type. An empty name is
 * that of no label. ERR_LIMIT: pattern too long, its program larger than RE2 may use (8 MiB), or
 * more of \p{...} and {n,m} than compile in 100 ms. ERR_NOMEM.
 */
MUST_CHECK enum err matcher_new(enum matcher_type type, struct bytes name, struct bytes pattern,
                                struct budget *budget, struct matcher **ret_matcher,
                                struct why *why);
void matcher_free(struct matcher *matcher);

/* The arguments of matcher_new(); views live as long as the matcher. */
enum matcher_type matcher_type(const struct matcher *matcher);
struct bytes matcher_name(const struct matcher *matcher);
struct bytes matcher_pattern(const struct matcher *matcher);

/* True if a series whose label has this value (empty: absent) matches. */
bool matcher_matches(const struct matcher *matcher, struct bytes value);

/* Returns an upper bound of the time of matcher_matches(), in ns. */
uint64_t matcher_work(const struct matcher *matcher, struct bytes value);

/* The result of matcher_matches() for the empty string: such matchers also match series without the
 * label. */
bool matcher_matches_empty(const struct matcher *matcher);

/*
 * The finite set of values that the *positive* form (= or =~) accepts, if it is one: sorted,
 * unique, views into the matcher. For MATCH_NOT_EQUAL and MATCH_NOT_REGEX it is the set they
 * refuse. At most 131,072. Returns 0 when the set is not known; *ret_values is then NULL.
 */
uint32_t matcher_literals(const struct matcher *matcher, const struct bytes **ret_values);

/* Returns a literal prefix of each value that the positive form accepts; empty if none is known. */
struct bytes matcher_prefix(const struct matcher *matcher);

#endif
