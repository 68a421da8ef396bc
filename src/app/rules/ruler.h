/*
 * ruler.h - threads that evaluate rule groups, store the results and send alerts.
 *
 * A thread evaluates one group at a time; there are as many threads as groups are due at once, up
 * to 32, so that groups that wait for a slow source do not delay others. Idle threads evaluate
 * rules of a group that may run together: `rules.max_concurrent_evals` at most.
 *
 * Threads: ruler_each() and ruler_print...() are for any; the others for the thread that owns the
 * server or, one at a time, reloads it.
 */
#ifndef APP_RULES_RULER_H
#define APP_RULES_RULER_H

#include "api/api.h"
#include "app/own_writes.h"
#include "base/metric.h"
#include "config/config.h"
#include "config/rule_set.h"
#include "notify/notify.h"
#include "rules/schedule/scheduler.h"

/* --- stored_rules.c --------------------------------------------------------------------------- */

/*
 * The rule groups that the ruler API stores, of all tenants, in memory and in their files
 * (rules/stored/stored_file.h), and their changes. They are evaluated like those of rule files; the
 * namespace of a group is its file.
 *
 *      prepare --> change: the groups as they are to be --> write: they are durable --> commit
 *                    |                                        | ERR_...
 *                    +-----------------> abandon <------------+
 *
 * A tenant whose file cannot be read has no groups, and requests for them return the reason. The
 * file stays until a group is stored for the tenant, and is set aside then. A group whose text this
 * version does not accept is kept, shown and not evaluated.
 *
 * Threads: one at a time; stored_rules_note() is for any.
 */

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

/* --- ruler.c ---------------------------------------------------------------------------------- */

struct ruler;
struct ruler_options {
    struct env *env;
    uint64_t seed; /* secret key of hashes */
    struct answerer *answerer;
    struct usage *usage; /* counts the metrics that rules ask for */
    struct budget *memory;
    uint64_t memory_bytes; /* limit of the memory of rules; 0: no limit */
    struct own_writes *writes;
    struct tsdb *tsdb;
    const char *storage_path;  /* directory of the checkpoint */
    const char *external_url;  /* settings_external_url(); outlives the ruler */
    struct notifier *notifier; /* takes alerts that are due; outlives the ruler */
};

/* Begins without rules, and reads the checkpoint. ERR_NOMEM; ERR_IO: a checkpoint that cannot be
 * read cannot be put aside. */
MUST_CHECK enum err ruler_new(const struct ruler_options *options, struct ruler **ret_ruler,
                              struct why *why);
/*  Changes the rules in two steps: the first reads the files and does all that can fail, and
 * changes nothing; the second cannot fail. Groups with an unchanged text keep their state, and the
 * others take over the state of equal rules. `rules` NULL: groups of files, and the settings, stay
 * those of the last commit. A stored group is not evaluated if a file has a group of its names.
 * `stored` is borrowed until the commit. ERR_INPUT, ERR_IO, ...: see rule_set_read(); ERR_NOMEM;
 * ERR_AGAIN: a thread cannot be started. */
struct ruler_change;
MUST_CHECK enum err ruler_prepare(struct ruler *ruler, const struct settings *settings,
                                  const struct rule_settings *rules,
                                  const struct stored_groups *stored,
                                  struct ruler_change **ret_change, struct why *why);
/* Returns true if a rule file, as it was read last, has this group. */
bool ruler_has_file_group(const struct ruler *ruler, struct bytes tenant, const char *file,
                          const char *name);
/* Puts the change into force, and frees it. */
void ruler_commit(struct ruler_change *change);
/* Drops the change instead. Accepts NULL. */
void ruler_abandon(struct ruler_change *change);

/* Starts the threads. */
void ruler_run(struct ruler *ruler);
/* Begins to stop: running evaluations end soon, no more begin. */
void ruler_stop(struct ruler *ruler);
/* Waits for running evaluations, which need commits, and writes the checkpoint. */
void ruler_join(struct ruler *ruler);
/* Joins the threads, and frees the groups. Accepts NULL. */
void ruler_free(struct ruler *ruler);

/* Calls `each` for the groups of a tenant, under the lock that keeps groups alive. See
 * scheduler_each(). */
void ruler_each(struct ruler *ruler, struct bytes tenant,
                void (*each)(void *context, struct group *group, int64_t next_ns), void *context);
/* Prints "groups" and "groupNextToken" in the open object. ERR_MISSING: no group has the token. */
MUST_CHECK enum err ruler_print(struct ruler *ruler, const struct rules_question *question,
                                struct json *to);
/* Prints active alerts into the open array, those that are permitted; NULL: all. */
void ruler_print_alerts(struct ruler *ruler, struct bytes tenant, const struct permitted *permitted,
                        struct json *to);

/* The groups that are evaluated: all groups of rule files, and stored groups unless a file has a
 * group of the same tenant, file and name. Both would write the same series. Ordered by tenant,
 * file and name; views of the groups that were chosen from. */
struct ruler_groups {
    struct scheduler_group *items;
    uint32_t count, capacity;
    uint32_t hidden_count;           /* stored ones that have the names of one of a file */
    const struct rule_group *hidden; /* the first of them */
};

/* ERR_NOMEM. The result is given, for ruler_groups_fini(). */
MUST_CHECK enum err ruler_groups_choose(const struct rule_set *set,
                                        const struct stored_groups *stored, struct budget *memory,
                                        struct ruler_groups *ret);
void ruler_groups_fini(struct ruler_groups *groups, struct budget *memory);

/* Returns true if a file has this group. */
bool ruler_groups_has(const struct rule_set *set, struct bytes tenant, const char *file,
                      const char *name);

#endif
