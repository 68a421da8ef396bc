/*
 * replicas.h - replicas of a Prometheus (high availability pairs) read as one: a view of another
 * whose series lack the labels that name the replica.
 *
 *     up{job="x", replica="a"}, up{job="x", replica="b"}  ->  up{job="x"}
 *
 * Series that differ in nothing else are one, whose samples are those of one replica at a time:
 * replica_merge.h has the rules. In the order of replicas those without such labels come first,
 * then they come by their values.
 *
 * Matchers of replica labels are passed on, as in Thanos: up{replica="b"} reads the series of b
 * alone, which have no such label in the answer. Names and values of these labels are not listed.
 * Exemplars and sets of labels that become the same are given once.
 *
 * Series come in label order. Which combinations of replica labels there are is found out first, by
 * labels alone; then each is read as a set of its own, and these are merged: replicas_select.c.
 *
 * Answers of times before an earlier view's mark may differ from its own, where that had begun in
 * another series of samples; the rules allow both.
 *
 * Threads: as the view below.
 */
#ifndef VIEWS_REPLICAS_H
#define VIEWS_REPLICAS_H

#include "model/select.h"

enum { REPLICA_LABELS_MAX = 16 };

/* The names of a text, "a,b": views of it. No more than there is room for are told. */
uint32_t replica_labels_of(const char *text, struct bytes ret_names[REPLICA_LABELS_MAX]);

/*
 * `inner` is its own from now on, also after an error. `names` are copied; empty ones do not count,
 * and without any *ret_view is `inner`. ERR_INPUT: there are too many. ERR_NOMEM.
 */
MUST_CHECK enum err replicas_view_new(struct view *inner, const struct bytes *names, uint32_t count,
                                      struct budget *budget, struct view **ret_view,
                                      struct why *why);

#endif
