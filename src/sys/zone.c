/*
 * zone.c - see zone.h. Transitions are those of the file; after the last one its rule goes on,
 * which is TZ of POSIX with days in the form "M10.5.0", the only one that tzdata uses.
 */
#include "sys/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "base/buf.h"

enum {
    ZONE_BYTES_MAX = 64 * 1024,
    NAME_BYTES_MAX = 64,
    HEADER_BYTES = 44,
    OFFSET_MAX_S = 26 * 3600
};

/* The moment of each year when the offset changes. */
struct zone_change {
    int month, week, weekday; /* week 5: the last one */
    int64_t time_s;           /* after local midnight */
};

struct zone {
    uint32_t count;
    const uint8_t *times; /* big-endian, of 8 bytes */
    const uint8_t *kinds; /* of each transition: the type that begins */
    const uint8_t *types; /* of 6 bytes: offset, is summer, name */
    bool has_rule;        /* after the transitions */
    bool has_summer;
    int64_t offset_s, summer_offset_s;
    struct zone_change begin, end; /* of summer */
};

/* --- the rule --------------------------------------------------------------------------------- */

/* Reads "[+-]h[h][:mm[:ss]]" in seconds. */
static bool
rule_time(const char **at, int64_t *ret_s)
{
    int sign = **at == '-' ? -1 : 1;
    int64_t unit = 3600;
    *at += **at == '-' || **at == '+';
    *ret_s = 0;
    for (;; unit /= 60) {
        char *end;
        if (**at < '0' || **at > '9') return false;
        int64_t number = strtol(*at, &end, 10);
        if (end - *at > 3) return false;
        *ret_s += sign * unit * number;
        *at = end;
        if (*end != ':' || unit == 1) return true;
        ++*at;
    }
}

static bool
rule_name(const char **at)
{
    const char *from = *at;
    if (**at == '<') {
        while (**at != '\0' && **at != '>')
            ++*at;
        return *(*at)++ == '>';
    }
    while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z'))
        ++*at;
    return *at > from;
}

static bool
rule_change(const char **at, struct zone_change *to)
{
    int size = 0;
    to->time_s = 7200;
    if (sscanf(*at, ",M%2d.%1d.%1d%n", &to->month, &to->week, &to->weekday, &size) != 3)
        return false;
    *at += size;
    if (to->month < 1 || to->month > 12 || to->week < 1 || to->week > 5) return false;
    if (to->weekday < 0 || to->weekday > 6) return false;
    if (**at != '/') return true;
    ++*at;
    return rule_time(at, &to->time_s);
}

/* Reads "CET-1CEST,M3.5.0,M10.5.0/3", or "JST-9". */
static bool
rule_read(struct zone *z, const char *at)
{
    if (!rule_name(&at) || !rule_time(&at, &z->offset_s)) return false;
    z->offset_s = -z->offset_s; /* POSIX counts to the west */
    z->has_rule = true;
    z->has_summer = *at != '\0';
    if (!z->has_summer) return true;
    if (!rule_name(&at)) return false;
    z->summer_offset_s = z->offset_s + 3600;
    if (*at != ',' && *at != '\0') {
        if (!rule_time(&at, &z->summer_offset_s)) return false;
        z->summer_offset_s = -z->summer_offset_s;
    }
    return rule_change(&at, &z->begin) && rule_change(&at, &z->end) && *at == '\0';
}

/* The local time of a change, as if it were UTC. */
static int64_t
change_s(const struct zone_change *c, int year)
{
    struct tm first = {.tm_year = year, .tm_mon = c->month - 1, .tm_mday = 1};
    struct tm next = {.tm_year = year, .tm_mon = c->month, .tm_mday = 1};
    int64_t begin_s = timegm(&first), end_s = timegm(&next);
    int64_t day_s = begin_s + ((c->weekday - first.tm_wday + 7) % 7 + 7 * (c->week - 1)) * 86400;
    if (day_s >= end_s) day_s -= 7 * 86400;
    return day_s + c->time_s;
}

static int64_t
rule_offset_s(const struct zone *z, int64_t t_s)
{
    struct tm tm;
    time_t local = (time_t)(t_s + z->offset_s);
    if (!z->has_summer || gmtime_r(&local, &tm) == NULL) return z->offset_s;
    int64_t begin_s = change_s(&z->begin, tm.tm_year) - z->offset_s;
    int64_t end_s = change_s(&z->end, tm.tm_year) - z->summer_offset_s;
    bool is_summer =
        begin_s < end_s ? t_s >= begin_s && t_s < end_s : t_s >= begin_s || t_s < end_s;
    return is_summer ? z->summer_offset_s : z->offset_s;
}

/* --- the file --------------------------------------------------------------------------------- */

/* Takes a block of a file, with times of so many bytes. False: it does not fit. */
static bool
take_block(struct bytes *from, unsigned time_bytes, struct zone *z)
{
    uint64_t counts[6];
    if (from->size < HEADER_BYTES || memcmp(from->at, "TZif", 4) != 0) return false;
    for (unsigned i = 0; i < 6; i++)
        counts[i] = load_be32(from->at + 20 + 4 * i);
    uint64_t utc = counts[0], standard = counts[1], leaps = counts[2], chars = counts[5];
    uint64_t size = counts[3] * (time_bytes + 1) + counts[4] * 6 + chars +
                    leaps * (time_bytes + 4) + standard + utc;
    if (from->size - HEADER_BYTES < size || counts[4] == 0 || counts[4] > 256) return false;
    z->count = (uint32_t)counts[3];
    z->times = from->at + HEADER_BYTES;
    z->kinds = z->times + counts[3] * time_bytes;
    z->types = z->kinds + counts[3];
    for (uint32_t i = 0; i < z->count; i++)
        if (z->kinds[i] >= counts[4]) return false;
    for (uint32_t i = 0; i < counts[4]; i++)
        if (llabs((int32_t)load_be32(z->types + 6 * i)) > OFFSET_MAX_S) return false;
    *from = bytes_of(from->at + HEADER_BYTES + size, from->size - HEADER_BYTES - size);
    return true;
}

static bool
zone_parse(struct bytes file, struct zone *z)
{
    char rule[128];
    if (file.size < HEADER_BYTES || file.at[4] < '2') return false; /* 32 bits end in 2038 */
    if (!take_block(&file, 4, z) || !take_block(&file, 8, z)) return false;
    if (file.size < 2 || file.size - 2 >= sizeof rule) return false;
    if (file.at[0] != '\n' || file.at[file.size - 1] != '\n') return false;
    memcpy(rule, file.at + 1, file.size - 2);
    rule[file.size - 2] = '\0';
    return rule[0] == '\0' || rule_read(z, rule);
}

/* True for names of parts of letters, digits, "_", "+" and "-", with "/" between them. */
static bool
is_zone_name(struct bytes name)
{
    if (name.size == 0 || name.size >= NAME_BYTES_MAX || name.at[0] == '/') return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && (c < '0' || c > '9') && memchr("_+-/", c, 4) == NULL) return false;
    }
    return true;
}

enum err
zone_read(struct env *env, struct bytes name, struct arena *arena, const struct zone **ret,
          struct why *why)
{
    char path[FILE_PATH_BYTES];
    const char *folder = getenv("TZDIR");
    struct buf file;
    struct zone *z = arena_new(arena, sizeof *z);
    if (z == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a time zone");
    *ret = z;
    if (bytes_equal_text(name, "UTC")) {
        z->has_rule = true;
        return OK;
    }
    if (!is_zone_name(name)) return why_set(why, ERR_MISSING, "no time zone has this name");
    snprintf(path, sizeof path, "%s/%.*s",
             folder == NULL || folder[0] == '\0' ? "/usr/share/zoneinfo" : folder, (int)name.size,
             (const char *)name.at);
    buf_init(&file, NULL, ZONE_BYTES_MAX);
    enum err e = env_read_whole(env, path, &file, why);
    struct bytes copy = e == OK ? arena_copy(arena, buf_bytes(&file)) : bytes_of(NULL, 0);
    buf_fini(&file);
    if (e) return e;
    if (copy.at == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a time zone");
    if (!zone_parse(copy, z)) return why_set(why, ERR_CORRUPT, "%s is not a time zone file", path);
    return OK;
}

/* --- times ------------------------------------------------------------------------------------ */

int64_t
zone_offset_s(const struct zone *z, int64_t t_s)
{
    uint32_t at = search_first(i, 0u, z->count, (int64_t)load_be64(z->times + 8 * i) > t_s);
    if (at == z->count && z->has_rule) return rule_offset_s(z, t_s);
    unsigned kind = at == 0 ? 0 : z->kinds[at - 1];
    return (int32_t)load_be32(z->types + 6 * kind);
}

int64_t
zone_to_utc_s(const struct zone *z, int64_t local_s)
{
    int64_t offset_s = zone_offset_s(z, local_s), again_s = zone_offset_s(z, local_s - offset_s);
    return local_s - again_s;
}
