/*
 * replicas.h - replicas of a Prometheus (high availability pairs) read as one: a view of another
 * view, without the labels that name the replica.
 *
 *     up{job="x", replica="a"}, up{job="x", replica="b"}  ->  up{job="x"}
 *
 * Series that differ in these labels only are one, whose samples are those of one replica at a
 * time: replica_merge.h has the rules. In the order of replicas, series without such labels come
 * first, then they come by the values.
 *
 * Matchers of replica labels are passed on, as in Thanos: up{replica="b"} reads the series of b
 * alone, without the label in the answer. Names and values of these labels are not listed.
 * Exemplars and sets of labels that become the same are returned once.
 *
 * Series come in label order. A first pass over labels finds the combinations of replica labels;
 * then each is read as a set of its own, and these are merged: replicas.c.
 *
 * Answers for times before an earlier view's mark may differ from that view's, if it had begun with
 * another replica; the rules allow both.
 *
 * Threads: those of the view below.
 */
#ifndef VIEWS_REPLICAS_H
#define VIEWS_REPLICAS_H

#include "model/select.h"

enum { REPLICA_LABELS_MAX = 16 };

/* Splits a text, "a,b", into names, views of it, at most REPLICA_LABELS_MAX. Returns their number.
 */
uint32_t replica_labels_of(const char *text, struct bytes ret_names[REPLICA_LABELS_MAX]);

/*
 * `inner` is taken, also on an error. `names` are copied; empty ones are ignored, and if none is
 * left *ret_view is `inner`. ERR_INPUT: there are too many. ERR_NOMEM.
 */
MUST_CHECK enum err replicas_view_new(struct view *inner, const struct bytes *names, uint32_t count,
                                      struct budget *budget, struct view **ret_view,
                                      struct why *why);

#endif
