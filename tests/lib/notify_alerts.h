/*
 * notify_alerts.h - alerts made up for the purpose, and what bodies of requests say of them. For
 * tests.
 */
#ifndef LIB_NOTIFY_ALERTS_H
#define LIB_NOTIFY_ALERTS_H

#include "lib/failing_memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time_text.h"
#include "notify/encoded_alert.h"

/* Canonical labels: alertname, and more as NAME, VALUE, ... up to NULL. */
void put_alert_labels(struct buf *to, const char *name, const char *const *more);

struct encoded_alert *made_alert(struct budget *memory, const char *name, int64_t starts_ms,
                                 int64_t ends_ms);

/* A time of a request's body in milliseconds. */
int64_t alert_time_of(const json_t *alert, const char *key);

const char *alert_name_of(const json_t *alert);

/* The alerts of a body as NAME:STARTS_MS, with blanks between them. */
void alerts_text(struct bytes body, char *to, size_t size);

#endif
