/* kept.h - which backups a policy keeps; removes the others. */
#ifndef BACKUP_KEPT_H
#define BACKUP_KEPT_H

#include "backup/repository.h"

/* The newest backup of each of the last days, weeks (from Monday) and months that have one, in UTC;
 * and the newest ones of all. What any of them keeps is kept. */
struct kept_policy {
    uint64_t newest, daily, weekly, monthly;
};

/* Sets ret_keep[i] for each of the ids, which are sorted, the oldest first. */
void kept_choose(const struct kept_policy *policy, const struct backup_id *ids, size_t count,
                 bool *ret_keep);

/*
 * Removes the backups that the policy does not keep, and the objects that only they had, or only
 * says which. `removed` is called for each of them. ret_kept: number of the others. Errors as
 * backup_record_remove(), backup_prune_objects().
 */
MUST_CHECK enum err kept_prune(struct backup_repository *repository,
                               const struct kept_policy *policy, bool dry_run,
                               void (*removed)(void *context, const char *id), void *context,
                               size_t *ret_kept, struct backup_pruned *ret_pruned, struct why *why);

#endif
