/* replacer.h - a regex with a replacement for texts that it matches, for label_replace() in
 * queries. */
#ifndef MODEL_REGEX_REPLACER_H
#define MODEL_REGEX_REPLACER_H

#include "base/buf.h"
#include "base/mem.h"

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

#endif
