/*
 * machine_memory.c - limits of control groups, both versions. A line of /proc/self/cgroup is
 * NUMBER:CONTROLLERS:PATH; version 2 names no controllers. In a container the path may be that of
 * the host, which is not there: then the directory itself is the group.
 */
#include "sys/machine_memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static uint64_t
read_limit(const char *dir, const char *path, const char *name)
{
    char file[2 * PATH_BYTES];
    uint64_t bytes = UINT64_MAX;
    int size = snprintf(file, sizeof file, "%s%s/%s", dir, path, name);
    FILE *f = size < 0 || (size_t)size >= sizeof file ? NULL : fopen(file, "re");
    if (f == NULL) return bytes;
    /* "max" is not a number. */
    if (fscanf(f, "%" SCNu64, &bytes) != 1 || bytes == 0) bytes = UINT64_MAX;
    fclose(f);
    return bytes;
}

/* Returns the lowest limit of a group and of those above it. `path` is modified. */
static uint64_t
least_limit(const char *dir, char *path, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t limit = read_limit(dir, path, name);
        if (limit < least) least = limit;
        char *slash = strrchr(path, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

uint64_t
cgroup_memory_limit(const char *groups_file, const char *cgroup_dir)
{
    char line[PATH_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen(groups_file, "re");
    if (f == NULL) return least;
    while (fgets(line, sizeof line, f) != NULL) {
        char dir[PATH_BYTES], *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) continue;
        *controllers++ = '\0';
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        const char *memory = strstr(controllers, "memory");
        bool named = memory != NULL && (memory == controllers || memory[-1] == ',') &&
                     (memory[6] == '\0' || memory[6] == ',');
        bool is_v2 = controllers[0] == '\0';
        if (!is_v2 && !named) continue;
        snprintf(dir, sizeof dir, "%s%s", cgroup_dir, is_v2 ? "" : "/memory");
        uint64_t limit = least_limit(dir, path, is_v2 ? "memory.max" : "memory.limit_in_bytes");
        if (limit < least) least = limit;
    }
    fclose(f);
    return least;
}

uint64_t
machine_memory_bytes(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = cgroup_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit < machine ? limit : machine;
}
