/*
 * sim_pages.h - the contents of one simulated file: written data, and the durable part of it. A
 * piece of the simulator, for sim_tree.c and sim.c only.
 *
 * Results are those of the kernel: >= 0 or a negative errno value.
 * Threads: under the simulator's lock.
 */
#ifndef SYS_SIM_PAGES_H
#define SYS_SIM_PAGES_H

#include <sys/types.h>

#include "base/bytes.h"

enum { SIM_PAGE_BYTES = 4096, SIM_SECTOR_BYTES = 512 };

/* A seeded sequence, the same on every machine. */
struct sim_random {
    uint64_t state;
};

uint64_t sim_random_next(struct sim_random *random);
/* Returns a number of 0 .. bound-1; `bound` > 0. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);

/* The device that all files share. */
struct sim_device {
    uint64_t capacity_bytes;
    uint64_t used_bytes; /* whole pages of the volatile image */
};

struct sim_page;
struct sim_chunk;

struct sim_pages {
    struct sim_device *device;
    uint64_t size_bytes;
    uint64_t durable_size_bytes;
    struct sim_chunk **chunks; /* one for every 32 pages; NULL: all of them are holes */
    size_t chunk_count;
    struct sim_page *unsynced; /* pages whose two images may differ */
    uint64_t used_bytes;
    bool is_counted; /* used_bytes is included in that of the device */
};

void sim_pages_init(struct sim_pages *pages, struct sim_device *device);
/* Gives the space back to the device. */
void sim_pages_fini(struct sim_pages *pages);
/* Sets whether its space counts: not at first, nor when only a power loss could make the file
 * visible again. */
void sim_pages_set_counted(struct sim_pages *pages, bool is_counted);

/* Returns the bytes read: fewer than requested only at the end. */
size_t sim_pages_read(const struct sim_pages *pages, void *to, size_t size, uint64_t offset);
/* Returns the bytes written, fewer than requested if space or memory end on the way; -ENOSPC,
 * -ENOMEM, -EFBIG. */
ssize_t sim_pages_write(struct sim_pages *pages, const void *from, size_t size, uint64_t offset);
/* Changes all or nothing. -ENOMEM, -EFBIG. */
int sim_pages_truncate(struct sim_pages *pages, uint64_t size);

/* Makes durable the size, and all writes since the last failed sync. */
void sim_pages_sync(struct sim_pages *pages);
/* Notes that a sync failed: pages that are not durable become so only when they are written again.
 */
void sim_pages_forget(struct sim_pages *pages);
/* Turns every page not synced into the old one, the new one or a mixture, which is durable. */
void sim_pages_power_loss(struct sim_pages *pages, struct sim_random *random);

/* Flips bits of the byte at `offset`, which is below the size, in both images. -ENOMEM. */
int sim_pages_damage(struct sim_pages *pages, uint64_t offset, uint8_t mask);

#endif
