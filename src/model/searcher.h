/*
 * searcher.h - a regex that is looked for anywhere in a text, as Go's regexp does it: for templates
 * of alerts.
 */
#ifndef MODEL_SEARCHER_H
#define MODEL_SEARCHER_H

#include "base/buf.h"

/* Immutable; any thread. */
struct searcher;

/*
 * ERR_INPUT: not a regex, or too large a one; the sentence is Go's, from "error parsing regexp:" on
 * as far as RE2 knows what is wrong. ERR_NOMEM.
 */
MUST_CHECK enum err searcher_new(struct bytes regex, struct budget *budget,
                                 struct searcher **ret_searcher, struct why *why);
void searcher_free(struct searcher *s);
/* About how many ns a look through so many bytes takes, at most. */
uint64_t searcher_work(const struct searcher *s, size_t size_bytes);

bool searcher_finds(const struct searcher *s, struct bytes text);
/*
 * Appends the text with each match replaced. `replacement` may have $1, ${name}, $$. Each search
 * takes what searcher_work() says from *work_left. ERR_LIMIT: that is used up, or `to` is full.
 * ERR_NOMEM.
 */
MUST_CHECK enum err searcher_replace(const struct searcher *s, struct bytes text,
                                     struct bytes replacement, uint64_t *work_left, struct buf *to);

#endif
