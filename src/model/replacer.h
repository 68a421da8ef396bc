/*
 * replacer.h - a regex, and what becomes of a text that it matches: of label_replace() in queries.
 */
#ifndef MODEL_REPLACER_H
#define MODEL_REPLACER_H

#include "base/buf.h"
#include "base/mem.h"

/* Immutable; any thread. */
struct replacer;

/*
 * `regex` is anchored at both ends; `replacement` may have $1, ${name}, $$. ERR_INPUT: no regex, or
 * too large a one; ERR_NOMEM.
 */
MUST_CHECK enum err replacer_new(struct bytes regex, struct bytes replacement,
                                 struct budget *budget, struct replacer **ret_replacer);
void replacer_free(struct replacer *r);
/* About how many ns it takes to apply it to so many bytes, at most. */
uint64_t replacer_work(const struct replacer *r, size_t size_bytes);
/* False: the regex does not match, or there is no memory, as buf_error() tells. */
bool replacer_apply(const struct replacer *r, struct bytes text, struct buf *to);

#endif
