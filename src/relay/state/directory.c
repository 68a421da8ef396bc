/* directory.c - see directory.h. */
#include "relay/state/directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/texts.h"

enum { PATH_BYTES = FILE_PATH_BYTES, NAMES_BYTES_MAX = 64 * 1024 * 1024 };

enum relay_entry
relay_entry_of(const char *name)
{
    static const struct {
        const char *name;
        enum relay_entry entry;
    } entries[] = {
        {RELAY_STATE_NAME, RELAY_ENTRY_STATE},     {RELAY_PREVIOUS_NAME, RELAY_ENTRY_STATE},
        {RELAY_LETTERS_NAME, RELAY_ENTRY_LETTERS}, {RELAY_RESET_NAME, RELAY_ENTRY_RESET},
        {RELAY_LOCK_NAME, RELAY_ENTRY_LOCK},       {RELAY_DAMAGED_NAME, RELAY_ENTRY_DAMAGED},
    };
    for (unsigned i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(name, entries[i].name) == 0) return entries[i].entry;
    }
    return text_ends_with(name, ".tmp") ? RELAY_ENTRY_UNFINISHED : RELAY_ENTRY_OTHER;
}

struct search {
    const char *name;
    bool found;
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    (void)is_dir;
    struct search *search = context;
    search->found |= strcmp(name, search->name) == 0;
    return OK;
}

/* Looks in the parent directory, so that a symbolic link to a missing file is found as well. */
static enum err
look_for_name(struct env *env, const char *path, bool *ret_found, struct why *why)
{
    char parent[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    struct search search = {.name = slash == NULL ? path : slash + 1};
    int size = slash == NULL || slash == path ? 1 : (int)(slash - path);
    *ret_found = false;
    if (size >= PATH_BYTES) return why_set(why, ERR_LIMIT, "%.200s: path is too long", path);
    snprintf(parent, sizeof parent, "%.*s", size, slash == NULL ? "." : path);
    enum err e = env_listdir(env, parent, note_name, &search, why);
    *ret_found = search.found;
    return e == ERR_MISSING ? OK : e;
}

enum err
relay_directory_look(struct env *env, const char *path, struct why *why)
{
    struct file_facts facts;
    bool found;
    enum err e = env_facts(env, path, &facts, why);
    if (e == OK && facts.kind == FILE_KIND_DIR) return OK;
    if (e == OK) {
        return why_set(why, ERR_INPUT,
                       "%s is a file, expected a directory: restore the directory, or move the "
                       "file away to start without it",
                       path);
    }
    if (e != ERR_MISSING) return e;
    e = look_for_name(env, path, &found, why);
    if (e) return e;
    if (!found) return why_set(why, ERR_MISSING, "%s: no such directory", path);
    return why_set(why, ERR_CORRUPT,
                   "%s is a dangling symbolic link: restore its target (is the file system "
                   "mounted?), or remove the link to start without it",
                   path);
}

static enum err
add_name(void *context, const char *text, bool is_dir)
{
    struct relay_names *names = context;
    struct relay_name name = {.is_dir = is_dir};
    char path[PATH_BYTES];
    struct file_facts facts;
    if (strlen(text) >= sizeof name.text) return ERR_LIMIT;
    if (!is_dir && path_join(path, sizeof path, names->dir, text) == OK)
        name.is_dir =
            env_facts(names->env, path, &facts, NULL) == OK && facts.kind == FILE_KIND_DIR;
    memcpy(name.text, text, strlen(text));
    buf_put(&names->all, &name, sizeof name);
    return buf_error(&names->all);
}

static int
order_names(const void *a, const void *b)
{
    return strcmp(((const struct relay_name *)a)->text, ((const struct relay_name *)b)->text);
}

enum err
relay_names_read(struct relay_names *ret_names, struct env *env, const char *dir,
                 struct budget *memory, struct why *why)
{
    *ret_names = (struct relay_names){.env = env, .dir = dir};
    struct buf *all = &ret_names->all;
    buf_init(all, memory, NAMES_BYTES_MAX);
    enum err e = env_listdir(env, dir, add_name, ret_names, why);
    size_t each = sizeof(struct relay_name);
    if (e == OK && all->size > 0) qsort(all->at, all->size / each, each, order_names);
    if (e) buf_fini(all);
    return e;
}

const struct relay_name *
relay_name_at(const struct relay_names *names, size_t i)
{
    const struct relay_name *all = (const struct relay_name *)(const void *)names->all.at;
    return i < names->all.size / sizeof *all ? &all[i] : NULL;
}
