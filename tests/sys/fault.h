/*
 * fault.h - an env that wraps another one and makes calls fail, one by one or for good.
 *
 * A test arms it, runs a scenario, and checks whether the fault fired; when a whole run ends
 * without firing, every site has been tried.
 *
 * Threads: any, for all functions but fault_env_free(). It never holds a lock while it calls the
 * env inside.
 */
#ifndef SYS_FAULT_H
#define SYS_FAULT_H

#include "sys/env.h"

enum fault_kind {
    FAULT_EIO,    /* any call on files, names, randomness or a listening socket */
    FAULT_ENOSPC, /* only calls that may need space: open for create, pwrite, truncate, mkdir, link,
                     rename, syncs */
    FAULT_EINTR,  /* like FAULT_EIO; the caller must try again. `forever` hits every second call */
    FAULT_SHORT,  /* pread and pwrite of two bytes or more move about half */
    FAULT_TORN,   /* pwrite writes about half, then fails with EIO */
    FAULT_SYNC,   /* only datasync, sync and syncdir fail, with EIO; unsynced data is lost */
    FAULT_THREAD, /* only thread_start fails, with EAGAIN */
    FAULT_KIND_COUNT
};

/*
 * A call made to fail has done nothing, except close(), which has closed, and a torn pwrite(). A
 * sync made to fail, by any kind but EINTR, loses what it should have made durable: a later sync
 * that succeeds says nothing about it (see env_ops.forget_file).
 */
struct fault {
    enum fault_kind kind;
    uint64_t nth; /* 1 = the next call that this kind applies to; 0 = disarmed */
    bool forever; /* this call and all later ones, until disarmed */
};

struct fault_env; /* its struct env is fault_env_env() */
/* `inner` must outlive it. ERR_NOMEM. */
MUST_CHECK enum err fault_env_new(struct env *inner, struct fault_env **ret_env);
void fault_env_free(struct fault_env *fe);
struct env *fault_env_env(struct fault_env *fe);

void fault_env_arm(struct fault_env *fe, struct fault fault);
void fault_env_disarm(struct fault_env *fe);
/* Says whether it fired since it was last armed; stays true when disarmed. */
bool fault_env_fired(const struct fault_env *fe);
/* Returns the number of calls that were made to fail. */
uint64_t fault_env_hits(const struct fault_env *fe);
/* Returns the number of calls that a fault of this kind could have hit, from which a test draws
 * one. */
uint64_t fault_env_calls(const struct fault_env *fe, enum fault_kind kind);
/* Lets every datasync and sync take this long (real time), to test batching. */
void fault_env_slow_sync(struct fault_env *fe, int64_t delay_ns);
/* Adds this to the results of realtime_ms(). */
void fault_env_shift_clock(struct fault_env *fe, int64_t shift_ms);
/* Sets the free space that space() reports; UINT64_MAX: the real one. */
void fault_env_set_free(struct fault_env *fe, uint64_t free_bytes);

#endif
