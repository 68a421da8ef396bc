/* target_private.h - the kinds of targets; for target*.c only. */
#ifndef CLI_LIB_TARGET_TARGET_PRIVATE_H
#define CLI_LIB_TARGET_TARGET_PRIVATE_H

#include "cli/lib/target/target.h"

struct target_ops {
    enum err (*write)(struct target *target, enum rw_version version, struct bytes message,
                      struct bytes packed, const struct target_counts *counts,
                      struct target_result *result, struct why *why);
    enum err (*query)(struct target *target, const struct query_parameters *parameters,
                      struct query_sink *sink, struct query_failure *failure, struct why *why);
    enum err (*delete)(struct target *target, const struct bytes *selectors, uint32_t count,
                       int64_t min_ms, int64_t max_ms, uint64_t *ret_samples, struct why *why);
    enum err (*fetch)(struct target *target, const char *path, struct buf *to, unsigned *ret_status,
                      struct why *why); /* NULL: not a server */
    enum err (*finish)(struct target *target, struct why *why);
    void (*free)(struct target *target);
};

struct target {
    const struct target_ops *ops;
    struct target_options options;
    const char *name;
    struct answerer *answerer;
    struct tsdb *store; /* NULL: a server */
    struct budget *read_memory;
    int64_t thinned_to_ms; /* coarsest resolution of downsampled samples that was warned of */
    char damage[700]; /* found when the target was opened; "": nothing is missing */
};

/* Returns the name of the flag or variable that has the URL. */
const char *target_url_flag(const struct target_options *options);
enum err target_server_open(const struct target_options *options, struct target **ret_target,
                            struct why *why);
enum err target_directory_open(const struct target_options *options, struct target **ret_target,
                               struct why *why);
enum err target_destination_open(const struct target_options *options, struct target **ret_target,
                                 struct why *why);
/* For targets made by target_destination_open(). */
void target_destination_status(struct target *target, struct relay_status *ret_status);

#endif
