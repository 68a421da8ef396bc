/* path_from.c - see path_from.h. */
#include "base/text/path_from.h"

#include <string.h>

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
            while (last > root && to[last - 1] != '/') {
                last--;
            }
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
