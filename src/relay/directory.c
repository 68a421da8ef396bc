/* directory.c - see directory.h. */
#include "relay/directory.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = sizeof(((struct file *)0)->path) };

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

/* What leads nowhere has a name all the same. */
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
    if (e == OK && facts.is_dir) return OK;
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

bool
relay_directory_is_one(struct env *env, const char *parent, const char *name, bool is_dir)
{
    char path[PATH_BYTES];
    struct file_facts facts;
    if (is_dir) return true;
    return path_join(path, sizeof path, parent, name) == OK &&
           env_facts(env, path, &facts, NULL) == OK && facts.is_dir;
}
