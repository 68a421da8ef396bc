/*
 * zone.h - local time of a place, by the machine's database of time zones (tzdata; TZif of RFC 8536
 * in the directory that TZDIR names, else /usr/share/zoneinfo).
 *
 * Threads: a zone is not changed. Memory: the arena that it was read to.
 */
#ifndef SYS_ZONE_H
#define SYS_ZONE_H

#include "base/mem.h"
#include "sys/env.h"

struct zone;

/* Reads "Europe/Berlin", say; "UTC" needs no file. ERR_MISSING: there is no zone of this name;
 * ERR_CORRUPT; ERR_NOMEM; errors of reading. */
MUST_CHECK enum err zone_read(struct env *env, struct bytes name, struct arena *arena,
                              const struct zone **ret, struct why *why);

/* Returns the seconds that local time is ahead of UTC at a Unix time. */
int64_t zone_offset_s(const struct zone *zone, int64_t t_s);
/* Returns the Unix time of a local time, which is given as if it were UTC: one of both where it
 * comes twice, and by the offset before where it is skipped. */
int64_t zone_to_utc_s(const struct zone *zone, int64_t local_s);

#endif
