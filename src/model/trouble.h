/*
 * trouble.h - what kind of trouble there was with another system that was asked.
 *
 * It travels with the sentence about the failure (base/err.h): whoever knows best says it, and
 * whoever counts failures needs no words to be read.
 */
#ifndef MODEL_TROUBLE_H
#define MODEL_TROUBLE_H

#include "base/err.h"

enum trouble {
    TROUBLE_UNSAID,
    TROUBLE_CONNECT,     /* no connection: name, address, proxy */
    TROUBLE_TLS,         /* no trust */
    TROUBLE_TIMEOUT,     /* nothing came for `timeout` */
    TROUBLE_THROTTLED,   /* too many requests for it */
    TROUBLE_CREDENTIALS, /* it does not know us, or we may not */
    TROUBLE_REFUSED,     /* another 4xx; a directory that cannot be read */
    TROUBLE_SERVER,      /* 5xx */
    TROUBLE_BROKEN,      /* the answer broke off */
    TROUBLE_DAMAGED,     /* the answer is not in the store's format */
    TROUBLE_LIMIT,       /* more than the settings, or the server, let a query have */
    TROUBLE_COUNT,
};

/* "connect", ... */
const char *trouble_word(enum trouble trouble);
/* `why` may be NULL. Returns `e`. */
enum err trouble_say(struct why *why, enum trouble trouble, enum err e);
/* The kind that was said, or the one that `e` stands for. Never TROUBLE_UNSAID. */
enum trouble trouble_of(const struct why *why, enum err e);

#endif
