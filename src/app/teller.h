/*
 * teller.h - the thread that tells Alertmanagers what alerts say: it drives a notifier (notify/).
 *
 * Threads: the one that owns the server or, one at a time, reloads it.
 */
#ifndef APP_TELLER_H
#define APP_TELLER_H

#include "config/config.h"
#include "notify/notify.h"

struct teller;

/* Without Alertmanagers yet; nothing runs. `external_url` outlives it; `outside` as the notifier
 * has it, NULL but for tests. ERR_NOMEM. */
MUST_CHECK enum err teller_new(struct env *env, struct budget *memory, const char *external_url,
                               struct outside *outside, struct teller **ret_teller,
                               struct why *why);
/* The notifier that it drives, which rules send alerts to. */
struct notifier *teller_notifier(struct teller *teller);
/* As notifier_prepare(), with what settings say. */
MUST_CHECK enum err teller_prepare(struct teller *teller, const struct settings *settings,
                                   struct alerting *alerting, const struct named_texts *labels,
                                   struct notifier_change **ret_change, struct why *why);
/* ERR_AGAIN, ERR_NOMEM: no thread. */
MUST_CHECK enum err teller_run(struct teller *teller, struct why *why);
/* Waits some seconds at most for what is queued. NULL is fine, as for the next. */
void teller_stop(struct teller *teller);
void teller_free(struct teller *teller);

#endif
