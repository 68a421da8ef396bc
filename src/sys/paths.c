/* paths.c - wildcards in directories are refused, so that a pattern reads only one directory. */
#include "sys/paths.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

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
    if (strcspn(pattern, wildcards) < (size_t)(name - pattern))
        return why_set(why, ERR_INPUT, "wildcards are only allowed after the last '/'");
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

/* --- links ------------------------------------------------------------------------------------ */

/* realpath(3) wants all of a path to exist, hence step by step. */

/* Appends one name to the path resolved so far. */
static enum err
step_down(char path[REAL_PATH_BYTES], struct bytes name)
{
    size_t size = strlen(path);
    bool root = size == 1;
    if (size + 1 + name.size >= REAL_PATH_BYTES) return ERR_LIMIT;
    if (!root) path[size++] = '/';
    memcpy(path + size, name.at, name.size);
    path[size + name.size] = '\0';
    char *real = realpath(path, NULL);
    if (real == NULL) return errno == ENOENT || errno == ENOTDIR ? OK : ERR_IO;
    size_t real_size = strlen(real);
    if (real_size < REAL_PATH_BYTES) memcpy(path, real, real_size + 1);
    free(real);
    return real_size < REAL_PATH_BYTES ? OK : ERR_LIMIT;
}

enum err
real_path(const char *path, char ret_path[REAL_PATH_BYTES])
{
    char at[REAL_PATH_BYTES] = "/";
    enum err e = OK;
    if (path[0] != '/' && realpath(".", at) == NULL) return ERR_IO;
    while (*path != '\0' && e == OK) {
        struct bytes name = bytes_of(path, strcspn(path, "/"));
        path += name.size + (path[name.size] == '/');
        if (name.size == 0 || bytes_equal_text(name, ".")) continue;
        char *slash = strrchr(at, '/');
        if (bytes_equal_text(name, ".."))
            slash[slash == at] = '\0';
        else
            e = step_down(at, name);
    }
    if (e == OK) memcpy(ret_path, at, sizeof at);
    return e;
}

bool
real_path_is_within(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    if (size == 1) return true; /* everything is below "/" */
    return strncmp(path, dir, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

/* --- relative paths --------------------------------------------------------------------------- */

/* Appends the elements of a path to `size` bytes in `to`, which begin with `root` bytes that ".."
 * cannot remove. Returns the new size. */
static size_t
append_elements(char *to, size_t size, size_t root, const char *path, size_t path_size)
{
    for (size_t i = 0, length; i < path_size; i += length) {
        const char *element = path + i;
        const char *slash = memchr(element, '/', path_size - i);
        length = slash == NULL ? path_size - i : (size_t)(slash - element) + 1;
        size_t bytes = slash == NULL ? length : length - 1;
        if (bytes == 0 || (bytes == 1 && element[0] == '.')) continue;
        if (bytes == 2 && element[0] == '.' && element[1] == '.') {
            size_t last = size; /* index at which the last element begins */
            while (last > root && to[last - 1] != '/')
                last--;
            bool above = size - last == 2 && memcmp(to + last, "..", 2) == 0;
            if (size > root && !above) { /* it and its '/' go */
                size = last > root ? last - 1 : root;
                continue;
            }
            if (root > 0) continue; /* there is nothing above the root */
        }
        if (size > root) to[size++] = '/';
        memcpy(to + size, element, bytes);
        size += bytes;
    }
    return size;
}

const char *
path_from(struct arena *arena, const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    size_t dir_size = path[0] == '/' || slash == NULL ? 0 : (size_t)(slash - file);
    size_t path_size = strlen(path);
    char *to = arena_alloc(arena, dir_size + path_size + 3);
    if (to == NULL) return NULL;
    if (path[0] == '/') return memcpy(to, path, path_size + 1);
    size_t root = slash != NULL && file[0] == '/';
    if (root > 0) to[0] = '/';
    size_t size = append_elements(to, root, root, file, dir_size);
    size = append_elements(to, size, root, path, path_size);
    if (size == 0) to[size++] = '.';
    to[size] = '\0';
    return to;
}
