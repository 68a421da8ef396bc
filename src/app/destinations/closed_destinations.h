/*
 * closed_destinations.h - prints as JSON the saved state of destinations that are not open: no
 * longer configured, or closed. `firekeep check --against URL` reads it.
 *
 * Threads: any.
 */
#ifndef APP_DESTINATIONS_CLOSED_DESTINATIONS_H
#define APP_DESTINATIONS_CLOSED_DESTINATIONS_H

#include "app/destinations/relays.h"
#include "relay/operate/backlog.h"

struct closed_destinations_options {
    struct env *env;
    const char *storage_path;
    struct relays *relays;
    struct budget *memory;
};
/* Prints an array. Reads the states, the log's headers and newest segment and, up to 256 MiB in
 * all, files of dead letters, without a lock. ERR_IO: relay/ cannot be listed; ERR_NOMEM,
 * ERR_LIMIT. After an error the array is incomplete. */
MUST_CHECK enum err closed_destinations_print(const struct closed_destinations_options *options,
                                              struct json *to, struct why *why);

#endif
