/*
 * store_options.h - how settings become a store: for the server, and for commands that open a
 * directory themselves.
 */
#ifndef CONFIG_STORE_OPTIONS_H
#define CONFIG_STORE_OPTIONS_H

#include "config/config.h"
#include "tsdb/tsdb.h"

/*
 * The memory of a process. Head, log and requests draw on the foreground, which cannot take what
 * flushes, merges and the cache need: these draw on the process.
 */
struct memory {
    struct budget process;
    struct budget foreground;
    uint64_t flush_bytes; /* what the foreground leaves: the most that each of them needs */
    uint64_t merge_bytes;
    uint64_t cache_bytes;
    uint64_t head_bytes; /* at most, in the foreground */
};
void memory_init(struct memory *memory, uint64_t bytes);

/* `memory` outlives the store; acknowledgement is as `wal.ack` says. */
struct tsdb_options store_options_of(const struct settings *settings, struct env *env,
                                     struct memory *memory);
struct tsdb_limits store_limits_of(const struct settings *settings);

#endif
