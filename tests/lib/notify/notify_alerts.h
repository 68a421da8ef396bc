/* notify_alerts.h - alerts, and what the bodies of requests say about them. For tests. */
#ifndef LIB_NOTIFY_NOTIFY_ALERTS_H
#define LIB_NOTIFY_NOTIFY_ALERTS_H

#include "lib/failing_memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "notify/notify_private.h"

/* Appends canonical labels: alertname, and more as NAME, VALUE, ... up to NULL. */
void put_alert_labels(struct buf *to, const char *name, const char *const *more);

/* Returns an encoded alert, which is given: encoded_alert_unref(). Times are in milliseconds. */
struct encoded_alert *made_alert(struct budget *memory, const char *name, int64_t starts_ms,
                                 int64_t ends_ms);

/* Return a time of an alert of a body, in milliseconds, and its name, a view. */
int64_t alert_time_of(const json_t *alert, const char *key);
const char *alert_name_of(const json_t *alert);

/* Writes the alerts of a body as "NAME:STARTS_MS NAME:STARTS_MS ...". */
void alerts_text(struct bytes body, char *to, size_t size);

#endif
