/*
 * push.h - groups of metrics that were pushed, as Prometheus' Pushgateway has them: a group is
 * durable, and its samples are written again at intervals, with the time of then, until it is
 * replaced or deleted. Series that it no longer has are marked stale.
 *
 *     DIR/TENANT-HASH.groups     a group: a stored text (rules/stored/stored_file.h) for each
 *                                family, in the namespace of the group's labels; and texts of the
 *                                series that it no longer has, until their markers are stored
 *
 * Source: the documentation of the Pushgateway; docs/inputs.md says what differs.
 *
 * Threads: any.
 */
#ifndef INPUTS_PUSH_PUSH_H
#define INPUTS_PUSH_PUSH_H

#include "inputs/text/text.h"
#include "sys/env.h"

struct push_store;

/* `dir` need not exist; its parent must. ERR_NOMEM; ERR_LIMIT: the path is too long. */
MUST_CHECK enum err push_store_new(struct env *env, const char *dir, struct budget *memory,
                                   struct push_store **ret, struct why *why);
/* NULL is fine. */
void push_store_free(struct push_store *store);

enum push_verb { PUSH_REPLACE, PUSH_MERGE, PUSH_DELETE };

struct push {
    enum push_verb verb;
    struct bytes tenant;
    const char *path; /* "job/NAME/LABEL/VALUE...", in which "LABEL@base64" precedes base64 */
    bool is_escaped;  /* its values are percent-encoded */
    struct bytes write_labels; /* canonical; of the sender, in place of labels of the group */
    struct bytes text;
    int64_t now_ms;
};

/*
 * Changes a group, durably, and makes the request of its samples and markers. ERR_INPUT: the path
 * or the text is malformed, and nothing has changed but the group's push_failure_time_seconds;
 * ERR_LIMIT: the group is too large; ERR_AGAIN, ERR_FULL, ...: of its file; ERR_NOMEM. After an
 * error the request is cleared.
 */
MUST_CHECK enum err push_take(struct push_store *store, const struct push *push, uint64_t seed,
                              struct rw_request *to, struct input_outcome *ret, struct why *why);

/* Calls `each` with the samples of each group at this time, and with markers that may not be stored
 * yet; then `settles` is set, and they must be durable on return. A damaged file is set aside. The
 * first error of a group, or of `each`, is returned in the end; ERR_CANCELED ends the calls.
 * ERR_NOMEM; errors of reading the directory. */
MUST_CHECK enum err
push_repeat(struct push_store *store, int64_t now_ms, uint64_t seed, struct rw_request *request,
            enum err (*each)(void *context, struct bytes tenant, struct rw_request *request,
                             bool settles, struct why *why),
            void *context, struct why *why);

/* Links the files of all groups into a directory `pushed` below `to`. */
MUST_CHECK enum err push_link(struct push_store *store, const char *to, struct why *why);

#endif
