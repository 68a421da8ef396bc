/*
 * sim.h - a machine in memory: a file system that forgets what was not synced when its power fails,
 * a clock that the test moves, randomness from a seed, threads that do not exist.
 *
 * File system model. A file's contents are pages of 4096 bytes. Writes change the volatile image.
 * datasync/sync of a file makes its pages and size durable. Names (created, renamed, linked,
 * removed) become durable with syncdir of their directory, in the order they were made. At power
 * loss every directory keeps a random prefix of its unsynced name changes; every unsynced page
 * independently becomes old, new, or (512-byte sectors at random) a mixture; a size not synced is
 * old or new. A file none of whose names is durable is gone. Opened handles become invalid
 * (-EBADF). A rename is one change, also between two directories.
 *
 * After a sync that fault.h made fail, the pages it should have written stay readable, but no later
 * sync makes them durable unless they are written again; for a directory, unless it changes again.
 *
 * Paths: "/" exists and is durable; "a" and "/a" are the same; ".." is refused (-EINVAL). listen,
 * shutdown and thread_start are -ENOSYS.
 *
 * Threads: one lock around everything, so it may also be used by threaded tests.
 */
#ifndef SYS_SIM_H
#define SYS_SIM_H

#include "sys/env.h"

struct sim_env;
/* Makes a machine, whose allocations are charged to no budget; refused ones make calls fail with
 * -ENOMEM. ERR_NOMEM. */
MUST_CHECK enum err sim_env_new(uint64_t seed, struct sim_env **ret_env);
/* Makes a machine with the files and clocks of `from` as they are seen, all of them durable, and
 * with the same facts: a copy of its volume. Files with several names become several files. It has
 * other random numbers. ERR_NOMEM. */
MUST_CHECK enum err sim_env_copy(struct sim_env *from, uint64_t seed, struct sim_env **ret_env);
void sim_env_free(struct sim_env *sim);
struct env *sim_env_env(struct sim_env *sim);

/* Cuts the power now and restores it: see the model above. Neither this nor a kill allocates. */
void sim_env_power_loss(struct sim_env *sim);
/* Ends all handles and locks, as SIGKILL does; written data stays. */
void sim_env_kill(struct sim_env *sim);

/* The clocks move only by these; realtime starts at 2026-01-01, monotonic at 1 s. */
void sim_env_advance_ns(struct sim_env *sim, int64_t by_ns); /* both clocks */
void sim_env_set_realtime_ms(struct sim_env *sim, int64_t t_ms);

/* Sets the device's size; writing beyond it is -ENOSPC. Default 1 GiB. */
void sim_env_set_capacity(struct sim_env *sim, uint64_t bytes);

/*
 * Flips one random bit in the durable and volatile image of a file at `offset`. ERR_MISSING: the
 * file does not exist; ERR_INPUT: it is not that long; ERR_NOMEM.
 */
MUST_CHECK enum err sim_env_damage(struct sim_env *sim, const char *path, uint64_t offset);

/* Returns the bytes of all pages in use, as space() counts them. */
uint64_t sim_env_used_bytes(struct sim_env *sim);

/* Returns random numbers of the seed, for the test itself. */
uint64_t sim_env_random(struct sim_env *sim);

#endif
