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

#include "app/own_writes.h"
#include "app/rules/stored_rules.h"
#include "base/metric.h"
#include "config/config.h"
#include "config/rule_set.h"
#include "notify/notify.h"
#include "rules/schedule/scheduler.h"

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
/* Prints "groups" and "groupNextToken" into the open object. ERR_MISSING: no group has the token.
 */
MUST_CHECK enum err ruler_print(struct ruler *ruler, const struct rules_question *question,
                                struct json *to);
/* Prints active alerts into the open array, those that are permitted; NULL: all. */
void ruler_print_alerts(struct ruler *ruler, struct bytes tenant, const struct permitted *permitted,
                        struct json *to);
#endif
