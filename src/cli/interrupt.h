/*
 * interrupt.h - SIGINT and SIGTERM for commands that work for long: they finish what they are at,
 * note how far they came, and end. A second signal ends them at once.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>

/* From now on a signal sets the flag that this gives; it lives as long as the process. */
const atomic_bool *interrupt_watch(void);

#endif
