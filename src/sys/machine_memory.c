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
    /* "max" is no number. */
    if (fscanf(f, "%" SCNu64, &bytes) != 1 || bytes == 0) bytes = UINT64_MAX;
    fclose(f);
    return bytes;
}

/* Of a group and of those above it. `path` is cut to pieces. */
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

static bool
names_memory(const char *controllers)
{
    const char *at = strstr(controllers, "memory");
    if (at == NULL) return false;
    return (at == controllers || at[-1] == ',') && (at[6] == '\0' || at[6] == ',');
}

static uint64_t
line_limit(char *line, const char *cgroup_dir)
{
    char dir[PATH_BYTES];
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL) return UINT64_MAX;
    *controllers++ = '\0';
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (controllers[0] == '\0') return least_limit(cgroup_dir, path, "memory.max");
    if (!names_memory(controllers)) return UINT64_MAX;
    snprintf(dir, sizeof dir, "%s/memory", cgroup_dir);
    return least_limit(dir, path, "memory.limit_in_bytes");
}

uint64_t
cgroup_memory_limit(const char *groups_file, const char *cgroup_dir)
{
    char line[PATH_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen(groups_file, "re");
    if (f == NULL) return least;
    while (fgets(line, sizeof line, f) != NULL) {
        uint64_t limit = line_limit(line, cgroup_dir);
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
