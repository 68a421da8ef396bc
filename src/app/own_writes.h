/*
 * own_writes.h - stores samples that the server makes itself (results of rules, its own metrics)
 * like samples of a sender. Destinations get them, too.
 *
 * Threads: own_writes_new() and own_writes_free() are for the thread that owns the server,
 * own_committed() is for the commit thread; the others are for any.
 */
#ifndef APP_OWN_WRITES_H
#define APP_OWN_WRITES_H

#include "app/keeper.h"
#include "rules/group/group.h"

struct own_writes;
struct own_writes_options {
    struct env *env;
    struct tsdb *tsdb;
    struct budget *memory;
    struct keeper *keeper;
    /* As of struct api_options. */
    const char *(*holds_writes)(void *context);
    bool (*takes_writes)(void *context);
    void *context;
};

/* ERR_NOMEM. */
MUST_CHECK enum err own_writes_new(const struct own_writes_options *options,
                                   struct own_writes **ret_writes);
/* NULL is fine. */
void own_writes_free(struct own_writes *writes);

/*
 * Judges a remote write 1.0 message of a tenant. An error: nothing of it is stored.
 * ERR_UNSUPPORTED: there is neither a store nor a destination; ERR_AGAIN, ERR_NOMEM.
 */
MUST_CHECK enum err own_write(struct own_writes *writes, struct bytes tenant, struct bytes message,
                              struct rules_written *ret, struct why *why);
/* Waits until what was written with this ticket, and all before, is durable. ERR_AGAIN: nothing of
 * it is. ERR_CANCELED: the disk hangs, and it may be or become so. */
MUST_CHECK enum err own_settle(struct own_writes *writes, uint64_t ticket, struct why *why);
/* Waits until what was settled before is on stable storage, whatever wal.ack is: keeper_sync(). */
MUST_CHECK enum err own_sync(struct own_writes *writes, struct why *why);
/* Says why writes are refused now, also those of senders; NULL: they are not. */
const char *own_refuses(struct own_writes *writes);
/* After each commit of the store. */
void own_committed(struct own_writes *writes);

#endif
