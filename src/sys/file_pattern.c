/* file_pattern.c - see file_pattern.h. Wildcards in directories are refused, so that a pattern
 * reads only one directory. */
#include "sys/file_pattern.h"

#include <fnmatch.h>
#include <string.h>

static const char wildcards[] = "*?[\\";

/* Returns the last element: after the last '/'. */
static const char *
name_of(const char *pattern)
{
    const char *slash = strrchr(pattern, '/');
    return slash == NULL ? pattern : slash + 1;
}

bool
file_pattern_is_wild(const char *pattern)
{
    return strpbrk(pattern, wildcards) != NULL;
}

/* True if each '[' is closed and each '\\' has a character to escape; fnmatch() would treat others
 * as literals. */
static bool
is_whole(const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '[') {
            name += name[1] == '!' || name[1] == '^' ? 2 : 1;
            name = *name == '\0' ? NULL : strchr(name + 1, ']'); /* []] is a set of one */
            if (name == NULL) return false;
        } else if (*name == '\\' && *++name == '\0') {
            return false;
        }
    }
    return true;
}

enum err
file_pattern_check(const char *pattern, struct why *why)
{
    const char *name = name_of(pattern);
    if (name[0] == '\0') return why_set(why, ERR_INPUT, "must end with the name of a file");
    if (strcspn(pattern, wildcards) < (size_t)(name - pattern)) {
        return why_set(why, ERR_INPUT, "wildcards are only allowed after the last '/'");
    }
    if (is_whole(name)) return OK;
    return why_set(why, ERR_INPUT, "has a '[' without ']', or ends in a backslash");
}

struct pattern_expansion {
    const char *pattern; /* the pattern of names */
    const char *pattern_dir;
    size_t dir_size; /* with its '/'; 0 for the working directory */
    enum err (*each)(void *context, const char *path);
    void *context;
    enum err stopped; /* the error of `each` */
    struct why *why;
};

static enum err
match_one(void *context, const char *name, bool is_dir)
{
    struct pattern_expansion *x = context;
    char path[FILE_PATH_BYTES];
    (void)is_dir;
    if (fnmatch(x->pattern, name, 0) != 0) return OK;
    size_t size = strlen(name);
    if (x->dir_size + size >= sizeof path) {
        return why_set(x->why, ERR_LIMIT, "cannot open %.*s%s: path is longer than %zu bytes",
                       (int)x->dir_size, x->pattern_dir, name, sizeof path - 1);
    }
    memcpy(path, x->pattern_dir, x->dir_size);
    memcpy(path + x->dir_size, name, size + 1);
    return x->stopped = x->each(x->context, path);
}

enum err
file_pattern_expand(struct env *env, const char *pattern,
                    enum err (*each)(void *context, const char *path), void *context,
                    struct why *why)
{
    if (!file_pattern_is_wild(pattern)) return each(context, pattern);
    const char *name = name_of(pattern);
    struct pattern_expansion x = {
        .pattern = name,
        .pattern_dir = pattern,
        .dir_size = (size_t)(name - pattern),
        .each = each,
        .context = context,
        .why = why,
    };
    char dir[FILE_PATH_BYTES] = ".";
    if (x.dir_size >= sizeof dir) {
        return why_set(why, ERR_LIMIT,
                       "cannot list the directory of %s: path is longer than %zu bytes", pattern,
                       sizeof dir - 1);
    }
    if (x.dir_size > 0) {
        memcpy(dir, pattern, x.dir_size);
        dir[x.dir_size] = '\0';
    }
    struct why listing = {""};
    enum err e = env_listdir(env, dir, match_one, &x, &listing);
    if (e == ERR_MISSING && x.stopped == OK) return OK;
    if (e && x.stopped == OK && why != NULL && listing.text[0] != '\0') *why = listing;
    return e;
}
