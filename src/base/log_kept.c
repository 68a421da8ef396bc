/*
 * log_kept.c - keeps the last lines in a ring of bytes.
 *
 * Invariants, under the lock:
 *   1. `used` is the sum of the sizes of whole entries, and at most LOG_KEPT_BYTES_MAX.
 *   2. Numbers of entries ascend by one, up to `number`.
 *
 * The lock is a plain mutex and not a ranked one, like that of log.c: a line may be logged
 * under any lock. It is held for a memcpy of the ring at most.
 */
#include "base/log_kept.h"

#include <assert.h>
#include <pthread.h>

struct entry {
    uint64_t number;
    int64_t t_ms;
    uint32_t level;
    uint32_t size; /* size of the text after the entry */
};

static struct {
    pthread_mutex_t lock;
    size_t begin, used;
    uint64_t number;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint8_t ring[LOG_KEPT_BYTES_MAX];

static void
ring_put(const void *from, size_t size)
{
    size_t at = (kept.begin + kept.used) % sizeof ring;
    size_t first = size < sizeof ring - at ? size : sizeof ring - at;
    memcpy(ring + at, from, first);
    memcpy(ring, (const uint8_t *)from + first, size - first);
    kept.used += size;
    assert(kept.used <= sizeof ring); /* invariant 1 */
}

/* Copies the first bytes of the ring. */
static void
ring_get(void *to, size_t size)
{
    size_t first = size < sizeof ring - kept.begin ? size : sizeof ring - kept.begin;
    assert(size <= kept.used); /* invariant 1 */
    memcpy(to, ring + kept.begin, first);
    memcpy((uint8_t *)to + first, ring, size - first);
}

void
log_kept_put(enum log_level level, int64_t t_ms, const char *line, size_t size)
{
    assert(size <= LOG_LINE_BYTES_MAX);
    if (size > 0 && line[size - 1] == '\n') size--;
    pthread_mutex_lock(&kept.lock);
    struct entry entry = {++kept.number, t_ms, (uint32_t)level, (uint32_t)size}; /* invariant 2 */
    while (sizeof ring - kept.used < sizeof entry + size) {
        struct entry oldest;
        ring_get(&oldest, sizeof oldest);
        size_t old_size = sizeof oldest + oldest.size;
        assert(old_size <= kept.used); /* invariant 1 */
        kept.begin = (kept.begin + old_size) % sizeof ring;
        kept.used -= old_size;
    }
    ring_put(&entry, sizeof entry);
    ring_put(line, size);
    pthread_mutex_unlock(&kept.lock);
}

enum err
log_kept_copy(struct buf *to)
{
    if (!buf_reserve(to, LOG_KEPT_BYTES_MAX)) return buf_error(to);
    pthread_mutex_lock(&kept.lock);
    ring_get(to->at + to->size, kept.used);
    to->size += kept.used;
    pthread_mutex_unlock(&kept.lock);
    return OK;
}

bool
log_kept_next(struct bytes *from, struct log_kept_line *ret)
{
    struct entry entry;
    if (from->size == 0) return false;
    assert(from->size >= sizeof entry);
    memcpy(&entry, from->at, sizeof entry);
    size_t size = sizeof entry + entry.size;
    assert(from->size >= size);
    *ret = (struct log_kept_line){entry.number, entry.t_ms, (enum log_level)entry.level,
                                  bytes_of(from->at + sizeof entry, entry.size)};
    *from = bytes_of(from->at + size, from->size - size);
    return true;
}
