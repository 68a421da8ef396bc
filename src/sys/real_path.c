/* real_path.c - see real_path.h. realpath(3) wants all of a path to exist, hence step by step. */
#include "sys/real_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

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
