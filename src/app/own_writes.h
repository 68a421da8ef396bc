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
    /* See struct api_options. */
    const char *(*holds_writes)(void *context);
    bool (*takes_writes)(void *context);
    void *context;
};

/* ERR_NOMEM. */
MUST_CHECK enum err own_writes_new(const struct own_writes_options *options,
                                   struct own_writes **ret_writes);
/* NULL is fine. */
void own_writes_free(struct own_writes *writes);

/*  Stores a remote write 1.0 message of a tenant, except samples that are refused. After an error
 * nothing of it is stored. ERR_UNSUPPORTED: the server has neither a store nor a destination;
 * ERR_AGAIN, ERR_NOMEM. */
MUST_CHECK enum err own_write(struct own_writes *writes, struct bytes tenant, struct bytes message,
                              struct rules_written *ret, struct why *why);
/* Waits until the message with this ticket, and all before, is durable. ERR_AGAIN: the commit
 * failed, and nothing of the message is durable. ERR_CANCELED: the disk hangs; the message may be
 * durable, then or later. */
MUST_CHECK enum err own_settle(struct own_writes *writes, uint64_t ticket, struct why *why);
/* Waits until all settled messages are on stable storage, whatever wal.ack is: keeper_sync(). */
MUST_CHECK enum err own_sync(struct own_writes *writes, struct why *why);
/* Returns the reason why writes are refused now, also those of senders; NULL if they are not. */
const char *own_refuses(struct own_writes *writes);
/* Call after each commit of the store. Accepts NULL. */
void own_committed(struct own_writes *writes);

#endif
