/* retention_size.h - sizes as Prometheus' flags have them, and as Firekeep's configuration does. */
#ifndef CLI_MIGRATE_RETENTION_SIZE_H
#define CLI_MIGRATE_RETENTION_SIZE_H

#include <stdbool.h>
#include <stdint.h>

enum { RETENTION_SIZE_BYTES = 40 };

/* Reads numbers with units of 1024, such as 512MB, 1.5GiB or 1GB512MB. False: it is something else,
 * or has 2^63 bytes or more. */
bool retention_size_read(const char *text, uint64_t *ret_bytes);

/* Writes bytes with the largest unit of which they are a whole number. */
void retention_size_print(uint64_t bytes, char ret_text[static RETENTION_SIZE_BYTES]);

#endif
