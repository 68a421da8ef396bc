/* target_private.h - the two kinds of target; for target*.c only. */
#ifndef CLI_TARGET_PRIVATE_H
#define CLI_TARGET_PRIVATE_H

#include "cli/target.h"

struct target_ops {
    enum err (*write)(struct target *target, enum rw_version version, struct bytes message,
                      struct bytes packed, const struct target_counts *counts,
                      struct target_result *result, struct why *why);
    enum err (*read)(struct target *target, const struct selector *selector, int64_t min_ms,
                     int64_t max_ms, const struct rr_receiver *receiver, struct why *why);
    enum err (*finish)(struct target *target, struct why *why);
    void (*free)(struct target *target);
    struct tsdb *(*store)(struct target *target); /* NULL: it has none */
};

struct target {
    const struct target_ops *ops;
    struct target_options options;
    const char *name;
    char damage[700]; /* what was found missing when it was opened; "": nothing */
};

static inline void
target_tell_left_out(const struct target *target, const char *text)
{
    if (target->options.left_out != NULL) target->options.left_out(target->options.context, text);
}

enum err target_server_open(const struct target_options *options, struct target **ret_target,
                            struct why *why);
enum err target_directory_open(const struct target_options *options, struct target **ret_target,
                               struct why *why);

#endif
