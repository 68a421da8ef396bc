/* kept.h - which backups a policy keeps. */
#ifndef CLI_BACKUP_KEPT_H
#define CLI_BACKUP_KEPT_H

#include "backup/repository.h"

/* The newest backup of each of the last days, weeks (from Monday) and months that have one, in UTC;
 * and the newest ones of all. What any of them keeps is kept. */
struct kept_policy {
    uint64_t newest, daily, weekly, monthly;
};

/* Sets ret_keep[i] for each of the ids, which are sorted, the oldest first. */
void kept_choose(const struct kept_policy *policy, const struct backup_id *ids, size_t count,
                 bool *ret_keep);

#endif
