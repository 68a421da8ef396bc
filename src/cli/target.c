#include "cli/target_private.h"

/* A header value, and the name of a tenant: printable, no blanks. */
static bool
is_tenant(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') return false;
    }
    return text[0] != '\0';
}

enum err
target_open(const struct target_options *options, struct target **ret_target, struct why *why)
{
    if (options->tenant != NULL && !is_tenant(options->tenant)) {
        return why_set(why, ERR_INPUT, "--tenant: '%.64s' is no tenant", options->tenant);
    }
    if ((options->url == NULL) == (options->storage == NULL)) {
        return why_set(why, ERR_INPUT, "one of --url and --storage.path is wanted");
    }
    if (options->url != NULL && options->config_file != NULL) {
        return why_set(why, ERR_INPUT, "--config.file goes with --storage.path only");
    }
    return options->url != NULL ? target_server_open(options, ret_target, why)
                                : target_directory_open(options, ret_target, why);
}

enum err
target_finish(struct target *target, struct why *why)
{
    return target->ops->finish(target, why);
}

void
target_free(struct target *target)
{
    if (target != NULL) target->ops->free(target);
}

struct tsdb *
target_store(struct target *target)
{
    return target->ops->store == NULL ? NULL : target->ops->store(target);
}

const char *
target_name(const struct target *target)
{
    return target->name;
}

const char *
target_damage(const struct target *target)
{
    return target->damage[0] == '\0' ? NULL : target->damage;
}

enum err
target_write(struct target *target, enum rw_version version, struct bytes message,
             struct bytes packed, const struct target_counts *counts,
             struct target_result *ret_result, struct why *why)
{
    *ret_result = (struct target_result){0};
    return target->ops->write(target, version, message, packed, counts, ret_result, why);
}

enum err
target_read(struct target *target, const struct selector *selector, int64_t min_ms, int64_t max_ms,
            const struct rr_receiver *receiver, struct why *why)
{
    return target->ops->read(target, selector, min_ms, max_ms, receiver, why);
}
