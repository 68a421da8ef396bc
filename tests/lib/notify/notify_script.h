/*
 * notify_script.h - tests of a notifier that are scripts (see script.h), with a rig for each test:
 * defines script_command(), script_setup() and script_teardown(). For tests.
 *
 * A line of a script is commands and then, after " => ", the events that they cause: requests with
 * their alerts, wanted log lines, members that changed, and what was asked to be shown. An event
 * has the seconds since the start in front, unless they are those of the event before. A URL
 * http://HOST/api/v2/alerts is written as HOST.
 *
 *     am a b | start | fire Down:1 | run 0 => 0s a Down:1; b Down:1
 *
 * Settings of the next start; after am, most are of that Alertmanager:
 *     am [ADDRESS...], queue N, batch N, pause SECONDS, tenant LABEL, external NAME VALUE,
 *     relabel targets|alerts|all drop|keep|replace SOURCE REGEX [TARGET REPLACEMENT],
 *     hash N, line N, scheme S, path_prefix P, token, sigv4, password TEXT, label NAME VALUE (of
 *     targets), files PATTERN, list, list_token, names (A records), services (SRV records),
 *     start, prepare (and abandon).
 * The world:
 *     fire NAME:STARTS_MS[:BYTES of an annotation]..., run SECONDS, clock [+-]SECONDS,
 *     answer URL STATUS [SECONDS, -1: never], retry_after SECONDS, date none|[+-]SECONDS,
 *     location|body|error_type|type [TEXT], list_is JSON, zone [fails|cut|slow SECONDS]
 * [RECORD...], memory full|free, outside fails|works, env NAME [VALUE], put PATH TEXT, rm|mkdir
 * PATH, mv FROM TO. Commands that show something: log TEXT (lines with it are events from now on),
 * members (as the API has them), idle, metrics PREFIX, headers and labels (of the last request),
 * under_way, look_ups.
 */
#ifndef LIB_NOTIFY_NOTIFY_SCRIPT_H
#define LIB_NOTIFY_NOTIFY_SCRIPT_H

#include <sys/mman.h>
#include <unistd.h>

#include "lib/notify/notify_rig.h"
#include "lib/script.h"

#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

extern struct notify_rig notify_rig; /* the rig of the running test */

/* Events of the running test. */
extern struct notify_seen {
    int64_t began_ns;
    int64_t now_ns;            /* time of the last event */
    char body[RIG_TEXT_BYTES]; /* body of the last request */
    char headers[4096];
    int log_fd;
    const char *log_text; /* log lines that contain it are events; NULL if none are */
    bool has_hosts;       /* changes of members are events */
    char hosts[RIG_TEXT_BYTES];
} notify_seen;

/* Writes a file of the simulated machine. */
void notify_put_file(const char *path, const char *text);

#endif
