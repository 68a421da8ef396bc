/* merger.h - a thread that merges parts and drops those older than the retention. It pauses after
 * each run for as long as the run took, so that it uses at most half of a processor and of a disk.
 */
#ifndef APP_MERGER_H
#define APP_MERGER_H

#include "sys/env.h"
#include "tsdb/tsdb.h"

struct merger;

/* Starts the thread, which looks for work at once. ERR_NOMEM; ERR_AGAIN: no thread can be started.
 */
MUST_CHECK enum err merger_start(struct env *env, struct tsdb *tsdb, struct merger **ret_merger,
                                 struct why *why);
/*  Expires and merges now, without pauses, until nothing is due, and waits for that. Errors as
 * tsdb_merge(), of the first merge that fails. Any thread, one at a time. */
MUST_CHECK enum err merger_run(struct merger *merger, enum tsdb_merge_mode mode, struct why *why);
/* Looks for work soon, because parts were added. Any thread. */
void merger_wake(struct merger *merger);
/* Cancels the running merge. Requests that wait or come later get ERR_CANCELED. Accepts NULL. */
void merger_stop(struct merger *merger);
void merger_free(struct merger *merger);

#endif
