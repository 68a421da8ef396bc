/* kept.c - which backups a policy keeps. */
#include "cli/backup/kept.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400, EPOCH_WEEKDAY = 3 /* 1970 began on a Thursday, 3 days after a Monday */ };

enum period { PERIOD_NONE, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };

static int64_t
period_of(const char *id, enum period period)
{
    struct tm utc = {0};
    if (sscanf(id, "%4d%2d%2d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday) != 3) return 0;
    if (period == PERIOD_MONTH) return (int64_t)utc.tm_year * 12 + utc.tm_mon;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    int64_t day = timegm(&utc) / DAY_S;
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
