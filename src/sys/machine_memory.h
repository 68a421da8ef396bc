/* machine_memory.h - the memory that this process may use. */
#ifndef SYS_MACHINE_MEMORY_H
#define SYS_MACHINE_MEMORY_H

#include <stdint.h>

/* Returns the memory of the machine, or the lowest limit of the process's control groups, in bytes.
 */
uint64_t machine_memory_bytes(void);

/* Returns the lowest limit of the groups named by a file like /proc/self/cgroup, and of all groups
 * above them, below a directory like /sys/fs/cgroup; UINT64_MAX without a limit. */
uint64_t cgroup_memory_limit(const char *groups_file, const char *cgroup_dir);

#endif
