/* thinned.h - tells readers that did not ask for rollups that samples were downsampled. */
#ifndef MODEL_THINNED_H
#define MODEL_THINNED_H

#include "model/select.h"

/* The resolution of which a query was given the last sample of each window; 0: all its samples are
 * as received. */
int64_t thinned_to(const struct query_control *control);
/* All sentences about downsampled samples have these words, also those of infos of queries. */
#define THINNED_WORDS "samples are downsampled to "
/* Puts the sentence about it. */
void thinned_say(int64_t resolution_ms, struct why *ret);
/* Notes that a query was given the last sample of each window of a resolution. */
void thinned_note(struct query_control *control, int64_t resolution_ms);
/* Notes the same, and whether samples that came late are left out, for another control: that of the
 * question which the first one works for. */
void thinned_pass(const struct query_control *from, struct query_control *to);

#endif
