/* machine_memory.h - how much memory there is for this process. */
#ifndef SYS_MACHINE_MEMORY_H
#define SYS_MACHINE_MEMORY_H

#include <stdint.h>

/* Bytes of the machine, or the least limit of the control groups that this process is in. */
uint64_t machine_memory_bytes(void);

/*
 * The least limit of the groups that a file like /proc/self/cgroup names, and of all those above
 * them, below a directory like /sys/fs/cgroup; UINT64_MAX: none.
 */
uint64_t cgroup_memory_limit(const char *groups_file, const char *cgroup_dir);

#endif
