/* reset.c - see reset.h. Format: docs/format/relay.md. */
#include "relay/operate/reset.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash/crc32c.h"
#include "relay/state/directory.h"

static const char NAME[] = RELAY_RESET_NAME;
static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'E', 'S', 'E', 'T', 0};

enum { VERSION = 1, FROM_AT = 16, FROM_MS_AT = 24, CRC_AT = 32, FILE_BYTES = 36 };

const char *
reset_word(enum reset_from from)
{
    static const char *const words[] = {
        [RESET_NOW] = "now",
        [RESET_OLDEST] = "oldest",
        [RESET_PREVIOUS] = "previous",
        [RESET_TIME] = "time",
    };
    assert(from <= RESET_TIME);
    return words[from];
}

enum err
reset_put(struct env *env, const char *dir, const struct reset *reset, struct why *why)
{
    uint8_t file[FILE_BYTES] = {0};
    memcpy(file, MAGIC, sizeof MAGIC);
    store_le32(file + 8, VERSION);
    store_le32(file + 12, VERSION); /* min_reader */
    store_le32(file + FROM_AT, (uint32_t)reset->from);
    store_le64(file + FROM_MS_AT, (uint64_t)reset->from_ms);
    store_le32(file + CRC_AT, crc32c(0, bytes_of(file, CRC_AT)));
    return env_write_whole(env, dir, NAME, bytes_of(file, sizeof file), why);
}

enum err
reset_read(struct env *env, const char *dir, struct reset *ret_reset, struct why *why)
{
    uint8_t content[FILE_BYTES];
    char path[FILE_PATH_BYTES];
    size_t got = 0;
    enum err e = path_in(path, sizeof path, dir, NAME, why);
    if (e == OK) e = env_read_some(env, path, content, sizeof content, &got, why);
    if (e) return e;
    bool sane = got == sizeof content && memcmp(content, MAGIC, sizeof MAGIC) == 0 &&
                load_le32(content + CRC_AT) == crc32c(0, bytes_of(content, CRC_AT));
    if (sane && load_le32(content + 12) > VERSION) {
        return why_set(why, ERR_UNSUPPORTED, "%s was written by a newer Firekeep; use that version",
                       path);
    }
    uint32_t from = load_le32(content + FROM_AT);
    if (!sane || from > RESET_TIME) {
        const char *slash = strrchr(dir, '/');
        return why_set(why, ERR_CORRUPT,
                       "%s is damaged; reset the destination again: firekeep destinations reset %s "
                       "--from=previous|oldest|now|TIME",
                       path, slash == NULL ? dir : slash + 1);
    }
    *ret_reset = (struct reset){(enum reset_from)from, (int64_t)load_le64(content + FROM_MS_AT)};
    return OK;
}

enum err
reset_remove(struct env *env, const char *dir, struct why *why)
{
    char path[FILE_PATH_BYTES];
    enum err e = path_in(path, sizeof path, dir, NAME, why);
    return e ? e : env_unlink(env, path, why);
}
