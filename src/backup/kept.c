/* kept.c - see kept.h. */
#include "backup/kept.h"

#include <stdio.h>
#include <string.h>

enum { DAY_MS = 86400000, EPOCH_WEEKDAY = 3 /* 1970 began on a Thursday, 3 days after a Monday */ };

enum period { PERIOD_NONE, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };

static int64_t
period_of(const char *id, enum period period)
{
    int month = 0;
    if (period == PERIOD_MONTH) return sscanf(id, "%6d", &month) == 1 ? month : 0;
    int64_t day = backup_id_ms(id) / DAY_MS;
    return period == PERIOD_DAY ? day : (day + EPOCH_WEEKDAY) / 7;
}

/* Keeps the newest backup of each of the last `most` periods; of PERIOD_NONE, each backup is one.
 */
static void
keep(const struct backup_id *ids, size_t count, enum period period, uint64_t most, bool *ret_keep)
{
    uint64_t kept = 0;
    int64_t last = INT64_MIN;
    for (size_t i = count; i > 0 && kept < most; i--) {
        int64_t now = period == PERIOD_NONE ? 0 : period_of(ids[i - 1].text, period);
        if (period != PERIOD_NONE && now == last) continue;
        ret_keep[i - 1] = true;
        last = now;
        kept++;
    }
}

void
kept_choose(const struct kept_policy *policy, const struct backup_id *ids, size_t count,
            bool *ret_keep)
{
    if (count > 0) memset(ret_keep, 0, count * sizeof *ret_keep);
    keep(ids, count, PERIOD_NONE, policy->newest, ret_keep);
    keep(ids, count, PERIOD_DAY, policy->daily, ret_keep);
    keep(ids, count, PERIOD_WEEK, policy->weekly, ret_keep);
    keep(ids, count, PERIOD_MONTH, policy->monthly, ret_keep);
}

static enum err
prune(struct backup_repository *r, const struct backup_id *ids, size_t count, const bool *keep,
      bool dry_run, void (*removed)(void *context, const char *id), void *context, size_t *ret_kept,
      struct why *why)
{
    enum err e = OK;
    for (size_t i = 0; i < count && e == OK; i++) {
        if (keep[i]) {
            (*ret_kept)++;
            continue;
        }
        if (!dry_run) e = backup_record_remove(r, ids[i].text, why);
        if (e == OK) removed(context, ids[i].text);
    }
    return e;
}

enum err
kept_prune(struct backup_repository *r, const struct kept_policy *policy, bool dry_run,
           void (*removed)(void *context, const char *id), void *context, size_t *ret_kept,
           struct backup_pruned *ret_pruned, struct why *why)
{
    struct buf ids;
    buf_init(&ids, r->memory, BACKUP_RECORD_BYTES_MAX);
    *ret_kept = 0;
    *ret_pruned = (struct backup_pruned){0};
    enum err e = backup_ids(r, &ids, why);
    const struct backup_id *all = (const struct backup_id *)ids.at;
    size_t count = ids.size / sizeof *all, bytes = (count + 1) * sizeof(bool);
    bool *keep = e ? NULL : mem_new(r->memory, bytes);
    if (e == OK && keep == NULL) e = why_set(why, ERR_NOMEM, "not enough memory");
    if (e == OK) {
        kept_choose(policy, all, count, keep);
        e = prune(r, all, count, keep, dry_run, removed, context, ret_kept, why);
    }
    if (e == OK && !dry_run) e = backup_prune_objects(r, ret_pruned, why);
    mem_free(r->memory, keep, bytes);
    buf_fini(&ids);
    return e;
}
