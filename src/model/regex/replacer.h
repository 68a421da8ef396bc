/* replacer.h - regexes that replace texts: a whole one, for label_replace() in queries, or each
 * match in it, like Go's regexp, for templates of alerts. */
#ifndef MODEL_REGEX_REPLACER_H
#define MODEL_REGEX_REPLACER_H

#include "base/buf.h"

/* Immutable; any thread. */
struct replacer;

/* `regex` is anchored at both ends; `replacement` may have $1, ${name}, $$. ERR_INPUT: not a regex,
 * or too large; ERR_NOMEM. */
MUST_CHECK enum err replacer_new(struct bytes regex, struct bytes replacement,
                                 struct budget *budget, struct replacer **ret_replacer);
void replacer_free(struct replacer *r);
/* Returns an upper bound of the time of replacer_apply() for so many bytes, in ns. */
uint64_t replacer_work(const struct replacer *r, size_t size_bytes);
/* Appends the replacement. False if the regex does not match, or without memory, which buf_error()
 * reports. */
bool replacer_apply(const struct replacer *r, struct bytes text, struct buf *to);

/* --- searches --------------------------------------------------------------------------------- */

/* Immutable; any thread. */
struct searcher;

/* ERR_INPUT: not a regex, or too large; the sentence is Go's, from "error parsing regexp:" on, if
 * RE2 names the error. ERR_NOMEM. */
MUST_CHECK enum err searcher_new(struct bytes regex, struct budget *budget,
                                 struct searcher **ret_searcher, struct why *why);
void searcher_free(struct searcher *s);
/* Returns an upper bound of the time to search so many bytes, in ns. */
uint64_t searcher_work(const struct searcher *s, size_t size_bytes);

bool searcher_finds(const struct searcher *s, struct bytes text);
/* Appends the text with each match replaced. `replacement` may have $1, ${name}, $$. Each search
 * subtracts searcher_work() from *work_left. ERR_LIMIT: nothing is left of it, or `to` is full.
 * ERR_NOMEM. */
MUST_CHECK enum err searcher_replace(const struct searcher *s, struct bytes text,
                                     struct bytes replacement, uint64_t *work_left, struct buf *to);

#endif
