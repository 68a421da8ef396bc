/*
 * store_options.h - how settings become a store: for the server, and for commands that open a
 * directory themselves.
 */
#ifndef APP_STORE_OPTIONS_H
#define APP_STORE_OPTIONS_H

#include "app/config.h"
#include "tsdb/tsdb.h"

/* `memory` is the root of its budgets and has a limit; acknowledgement is as `wal.ack` says. */
struct tsdb_options store_options_of(const struct settings *settings, struct env *env,
                                     struct budget *memory);
struct tsdb_limits store_limits_of(const struct settings *settings);

#endif
