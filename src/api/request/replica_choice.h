/* replica_choice.h - the labels that name the replicas of a Prometheus, for one request. */
#ifndef API_REQUEST_REPLICA_CHOICE_H
#define API_REQUEST_REPLICA_CHOICE_H

#include "api/handler.h"
#include "api/request/fence.h"
#include "views/replicas.h"

struct replica_choice {
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t count;                         /* 0: nothing is deduplicated */
    bool counts_usage;                      /* metrics that are asked for count as used */
};
/*
 * Reads the arguments `dedup` and `replicaLabels[]`, as in Thanos, or the setting where they are
 * absent, and `count_usage`. The names live as long as the arena. ERR_INPUT: the sentence is
 * appended to `error`; ERR_NOMEM with `why`.
 */
MUST_CHECK enum err replica_choice_read(struct api *api, const struct form *form,
                                        struct arena *arena, struct replica_choice *ret,
                                        struct buf *error, struct why *why);
/* Opens a view of the api's answerer that merges these replicas, and answers only with series that
 * the fence permits, which outlives the view and its sets; sets control->permitted and
 * control->usage. ERR_UNSUPPORTED: the answerer cannot restrict its answers. Errors of view_open().
 */
MUST_CHECK enum err replica_choice_open(const struct api *api, const struct replica_choice *choice,
                                        const struct fence *fence, struct query_control *control,
                                        struct view **ret_view, struct why *why);

#endif
