/*
 * migrated.h - a configuration of Firekeep made of one of Prometheus: what both have is copied,
 * what only Prometheus has is left out and named.
 *
 * Memory: the caller's budget. Threads: one at a time.
 */
#ifndef CLI_MIGRATE_MIGRATED_H
#define CLI_MIGRATE_MIGRATED_H

#include "base/buf.h"
#include "base/err.h"

struct migrate_options {
    const char *file_name; /* for messages, and the directory that relative paths begin at, which
                            * is the working directory if it is not a regular file */
    struct bytes text;     /* the configuration of Prometheus */
    const char *retention_time; /* of Prometheus' flags; NULL: not given */
    const char *retention_size;
    struct budget *memory;
};

/* ERR_INPUT: a value of the flags is not what Prometheus takes. */
MUST_CHECK enum err migrate_check_flags(const struct migrate_options *options, struct why *why);

/*
 * Appends a configuration that Firekeep accepts to `ret_text`, and to `ret_left_out` a line for
 * each part of the file that is not in it, with the reason.
 *
 * ERR_INPUT: the text is not YAML, or not of Prometheus; ERR_LIMIT: too large or nested too deeply;
 * ERR_NOMEM.
 */
MUST_CHECK enum err migrate_config(const struct migrate_options *options, struct buf *ret_text,
                                   struct buf *ret_left_out, struct why *why);

#endif
