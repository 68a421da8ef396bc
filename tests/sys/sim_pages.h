/*
 * sim_pages.h - the contents of one simulated file: what was written, and what of it is durable.
 * A piece of the simulator, for sim_tree.c and sim.c only.
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
/* 0 .. bound-1; `bound` > 0. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);

/* The device all files share. */
struct sim_device {
    uint64_t capacity_bytes;
    uint64_t used_bytes; /* whole pages, those of the volatile image */
};

struct sim_page;
struct sim_chunk;

struct sim_pages {
    struct sim_device *device;
    uint64_t size_bytes;
    uint64_t durable_size_bytes;
    struct sim_chunk **chunks; /* one for every 32 pages; NULL: all of them holes */
    size_t chunk_count;
    struct sim_page *unsynced; /* pages whose two images may differ */
    uint64_t used_bytes;
    bool is_counted; /* used_bytes is part of the device's */
};

void sim_pages_init(struct sim_pages *pages, struct sim_device *device);
/* Gives the space back to the device. */
void sim_pages_fini(struct sim_pages *pages);
/* Whether its space counts: not at first, nor when only a power loss could make the file be seen
 * again. */
void sim_pages_set_counted(struct sim_pages *pages, bool is_counted);

/* Bytes read: fewer than asked only at the end. */
size_t sim_pages_read(const struct sim_pages *pages, void *to, size_t size, uint64_t offset);
/* Bytes written, fewer than asked if space or memory end on the way; -ENOSPC, -ENOMEM, -EFBIG. */
ssize_t sim_pages_write(struct sim_pages *pages, const void *from, size_t size, uint64_t offset);
/* All or nothing. -ENOMEM, -EFBIG. */
int sim_pages_truncate(struct sim_pages *pages, uint64_t size);

/* Makes the size and what was written since the last failed sync durable. */
void sim_pages_sync(struct sim_pages *pages);
/* A sync failed: what is not durable now becomes so only when it is written again. */
void sim_pages_forget(struct sim_pages *pages);
/* Every page not synced becomes old, new or a mixture, and durable. */
void sim_pages_power_loss(struct sim_pages *pages, struct sim_random *random);

/* Flips bits of the byte at `offset`, which is below the size, in both images. -ENOMEM. */
int sim_pages_damage(struct sim_pages *pages, uint64_t offset, uint8_t mask);

#endif
