/*
 * stored_rules.h - the rule groups that the ruler API stores, of all tenants, in memory and in
 * their files (rules/stored/stored_file.h), and their changes. They are evaluated like those of
 * rule files; the namespace of a group is its file.
 *
 *      prepare --> change: the groups as they are to be --> write: they are durable --> commit
 *                    |                                        | ERR_...
 *                    +-----------------> abandon <------------+
 *
 * A tenant whose file cannot be read has no groups, and requests for them return the reason. The
 * file stays until a group is stored for the tenant, and is set aside then. A group whose text this
 * version does not accept is kept, shown and not evaluated.
 *
 * Threads: one at a time; stored_rules_note() and stored_rules_collect() are for any.
 */
#ifndef APP_RULES_STORED_RULES_H
#define APP_RULES_STORED_RULES_H

#include "api/api.h"
#include "base/metric.h"
#include "config/rule_set.h"

enum { STORED_TENANTS_MAX = 10000 };

struct stored_rules;
struct stored_rules_options {
    struct env *env;
    const char *storage_path; /* copied */
    struct budget *memory;
    uint64_t memory_bytes; /* groups are not stored above this; 0: only the limit of `memory` */
    bool tenancy;          /* false: only the file of the tenant "anonymous" is read */
};

/* Reads all files, and logs those that cannot be read. ERR_NOMEM; ERR_IO: the directory cannot be
 * read. */
MUST_CHECK enum err stored_rules_open(const struct stored_rules_options *options,
                                      struct stored_rules **ret_stored, struct why *why);
void stored_rules_free(struct stored_rules *stored);

/* Groups that are to be evaluated; a view that ends with the next commit. */
struct stored_groups {
    const struct rule_set_tenant *tenants;
    uint32_t tenant_count;
};
struct stored_groups stored_rules_groups(const struct stored_rules *stored);

/* Appends YAML as the ruler API of Mimir does. ERR_MISSING: the group does not exist; ERR_CORRUPT,
 * ERR_IO, ERR_UNSUPPORTED: the file of the tenant could not be read. */
MUST_CHECK enum err stored_rules_print(const struct stored_rules *stored,
                                       const struct rules_wanted *wanted, struct buf *to,
                                       struct why *why);

/* --- changes ---------------------------------------------------------------------------------- */

struct stored_limits {
    uint32_t groups_max; /* per tenant */
    uint64_t bytes_max;  /* per group */
};

/*
 * Checks an edit and prepares the change; until the commit nothing changes. One change at a time.
 *
 * ERR_INPUT    the group is invalid, and `reasons` has one sentence per line; or there are too many
 *              groups, and `why` says so
 * ERR_LIMIT    the group is too large
 * ERR_MISSING  the group or namespace does not exist
 * ERR_CORRUPT, ERR_IO, ERR_UNSUPPORTED
 *              the file of the tenant could not be read
 * ERR_NOMEM
 */
struct stored_change;
MUST_CHECK enum err stored_rules_prepare(struct stored_rules *stored, const struct rules_edit *edit,
                                         const struct stored_limits *limits, struct buf *reasons,
                                         struct stored_change **ret_change, struct why *why);
/* Returns the same as stored_rules_groups(), with the change applied. Valid as long as the change,
 * and after its commit until the next one. */
struct stored_groups stored_change_groups(const struct stored_change *change);
/* Returns the name of the group that the change sets. */
const char *stored_change_name(const struct stored_change *change);
/* Makes the change durable. ERR_LIMIT: the file would be too large. ERR_FULL, ERR_IO, ...: after a
 * restart the change may be in force or not; until then it is not. */
MUST_CHECK enum err stored_rules_write(struct stored_change *change, struct why *why);
/* Puts the change in force, after stored_rules_write(). */
void stored_rules_commit(struct stored_change *change);
/* Drops the change instead. Accepts NULL. */
void stored_rules_abandon(struct stored_change *change);

/* Results of edits, for metrics. Any thread. */
enum stored_edit { STORED_EDIT_DONE, STORED_EDIT_REFUSED, STORED_EDIT_FAILED, STORED_EDIT_COUNT };
void stored_rules_note(struct stored_rules *stored, enum stored_edit result);

/* For a metric_collector, whose context is `stored`. */
void stored_rules_collect(struct metric_sink *sink, void *stored);

#endif
