/* storage_layout.c - see storage_layout.h. */
#include "model/storage_layout.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/text/hex.h"

static const char *const part_suffixes[] = {
    [STORAGE_PART] = "",
    [STORAGE_PART_DAMAGED] = ".damaged",
    [STORAGE_PART_LOST] = ".lost",
    [STORAGE_PART_UNNAMED] = ".unnamed",
};

enum err
storage_check_restored(struct env *env, const char *dir, struct why *why)
{
    char path[FILE_PATH_BYTES], id[40];
    size_t size = 0;
    enum err e = path_in(path, sizeof path, dir, STORAGE_RESTORING, why);
    if (e == OK) e = env_read_some(env, path, id, sizeof id, &size, why);
    if (e) return e == ERR_MISSING ? OK : e;
    if (size == 0)
        return why_set(why, ERR_INPUT,
                       "%s is not completely restored, and its file RESTORING does not name the "
                       "backup: restore into another directory",
                       dir);
    return why_set(
        why, ERR_INPUT,
        "%s is not completely restored: run firekeep restore --id=%.*s BACKUPS %s, where "
        "BACKUPS is the directory or bucket that has the backup",
        dir, (int)size, id, dir);
}

enum storage_entry
storage_entry_of(const char *name, bool is_dir)
{
    static const struct {
        const char *name;
        enum storage_entry entry;
    } entries[] = {
        {STORAGE_FORMAT, STORAGE_FILE},     {STORAGE_LOCK, STORAGE_FILE},
        {STORAGE_MANIFEST, STORAGE_FILE},   {STORAGE_IDENTITY, STORAGE_FILE},
        {STORAGE_WITNESS_0, STORAGE_FILE},  {STORAGE_WITNESS_1, STORAGE_FILE},
        {STORAGE_CATALOG, STORAGE_FILE},    {STORAGE_LOG, STORAGE_DIRECTORY},
        {STORAGE_PARTS, STORAGE_DIRECTORY}, {STORAGE_RELAY, STORAGE_DESTINATIONS},
        {STORAGE_RULES, STORAGE_DIRECTORY}, {STORAGE_PUSHED, STORAGE_DIRECTORY},
        {STORAGE_SNAPSHOTS, STORAGE_DIRECTORY},
    };
    for (unsigned i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(name, entries[i].name) != 0) continue;
        return is_dir == (entries[i].entry != STORAGE_FILE) ? entries[i].entry : STORAGE_OTHER;
    }
    return STORAGE_OTHER;
}

enum storage_part
storage_part_of(const char *name, uint64_t *ret_number)
{
    const char *rest = hex_name_number(name, HEX_WORD_BYTES, ret_number);
    unsigned kind = rest == NULL ? STORAGE_PART_OTHER : STORAGE_PART;
    while (kind < STORAGE_PART_OTHER && strcmp(rest, part_suffixes[kind]) != 0)
        kind++;
    return (enum storage_part)kind;
}

enum err
storage_part_path(char *to, size_t to_size, const char *parts_dir, uint64_t number,
                  enum storage_part kind)
{
    assert(kind < STORAGE_PART_OTHER);
    int n = snprintf(to, to_size, "%s/%016" PRIx64 "%s", parts_dir, number, part_suffixes[kind]);
    return n > 0 && (size_t)n < to_size ? OK : ERR_LIMIT;
}

enum err
storage_relay_path(char *to, size_t to_size, const char *storage, const char *name)
{
    int n = snprintf(to, to_size, "%s/" STORAGE_RELAY "/%s", storage, name);
    return n > 0 && (size_t)n < to_size ? OK : ERR_LIMIT;
}
