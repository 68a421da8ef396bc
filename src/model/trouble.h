/*
 * trouble.h - kinds of failures of other systems.
 *
 * The kind is passed with the sentence about the failure (base/err.h): the code that detects the
 * failure sets it, so that counters need not parse sentences.
 */
#ifndef MODEL_TROUBLE_H
#define MODEL_TROUBLE_H

#include "base/err.h"

enum trouble {
    TROUBLE_UNSET,       /* the code that failed stated no kind */
    TROUBLE_CONNECT,     /* no connection: name, address or proxy */
    TROUBLE_TLS,         /* no trust in the certificate */
    TROUBLE_TIMEOUT,     /* nothing was received for `timeout` */
    TROUBLE_THROTTLED,   /* it refuses more requests for now */
    TROUBLE_CREDENTIALS, /* it rejects the credentials, or they lack permission */
    TROUBLE_REFUSED,     /* another 4xx; a directory that cannot be read */
    TROUBLE_SERVER,      /* 5xx */
    TROUBLE_BROKEN,      /* the answer ended too early */
    TROUBLE_DAMAGED,     /* the answer is not in the store's format */
    TROUBLE_LIMIT,       /* the query exceeds a limit of the settings or of the server */
    TROUBLE_GONE,        /* what the view has is no longer there: a new one may answer */
    TROUBLE_COUNT,
};

/* "connect", ... */
const char *trouble_word(enum trouble trouble);
/* `why` may be NULL. Returns `e`. */
enum err trouble_say(struct why *why, enum trouble trouble, enum err e);
/* Returns the kind that was set, or the one that follows from `e`. Never TROUBLE_UNSET. */
enum trouble trouble_of(const struct why *why, enum err e);

#endif
