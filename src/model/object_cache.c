/*
 * object_cache.c - see objects.h. One file of slots; a chunk may be in any of CACHE_WAYS slots
 * beside each other, which the hash of its key gives, and replaces the one whose turn it is.
 *
 *     slot:  magic u32, size u32, hash of the key 16 bytes, XXH3-64 of all and the content u64,
 *            content
 *
 * Nothing is synced, and no state is kept in memory: a slot that was torn, damaged or written by
 * two processes at once fails its checksum, and is not there.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/hash/hash.h"
#include "base/mem.h"
#include "model/objects.h"
#include "model/select.h"
#include "sys/env.h"

enum {
    CACHE_WAYS = 4,
    CACHE_HEADER_BYTES = 32,
    CHUNK_BYTES = 128 * 1024,
    SLOT_BYTES = CACHE_HEADER_BYTES + CHUNK_BYTES,
    CACHED_RANGE_BYTES = 1 << 20, /* larger ranges are samples of scans */
    CACHE_MAGIC = 0x4b43464b,     /* "KFCK" */
};

struct object_cache {
    struct budget *memory;
    struct file file;
    uint64_t sets;
    _Atomic uint64_t turn; /* relaxed: it orders nothing */
    _Atomic uint64_t *hits;
};

enum err
object_cache_open(struct env *env, const char *dir, uint64_t bytes, struct budget *memory,
                  _Atomic uint64_t *hits, struct object_cache **ret, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct object_cache *c = mem_new(memory, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a cache");
    c->memory = memory;
    c->hits = hits;
    c->file = FILE_CLOSED;
    c->sets = bytes / SLOT_BYTES / CACHE_WAYS;
    enum err e = env_mkdir(env, dir, why);
    if (e == OK) e = path_in(path, sizeof path, dir, "chunks", why);
    if (e == OK) e = file_open(env, path, FILE_UPDATE, &c->file, why);
    if (e == ERR_MISSING) e = file_open(env, path, FILE_CREATE, &c->file, why);
    /* A smaller cache than before. */
    uint64_t size = 0, most = c->sets * CACHE_WAYS * SLOT_BYTES;
    if (e == OK) e = file_size(&c->file, &size, why);
    if (e == OK && size > most) e = file_truncate(&c->file, most, why);
    if (e)
        object_cache_close(c);
    else
        *ret = c;
    return e;
}

void
object_cache_close(struct object_cache *c)
{
    if (c == NULL) return;
    err_ignore(file_close(&c->file), "its content is checked when it is read");
    mem_free(c->memory, c, sizeof *c);
}

/* The header of a chunk, but for its checksum. */
static void
header_of(const char *key, uint64_t chunk, size_t size, uint8_t to[CACHE_HEADER_BYTES])
{
    char name[OBJECT_KEY_BYTES + 48];
    int length = snprintf(name, sizeof name, "%s %llu", key, (unsigned long long)chunk);
    struct bytes text = bytes_of(name, (size_t)length);
    store_le32(to, CACHE_MAGIC);
    store_le32(to + 4, (uint32_t)size);
    store_le64(to + 8, hash_bytes(text, 1));
    store_le64(to + 16, hash_bytes(text, 2));
}

static uint64_t
checksum_of(const uint8_t header[CACHE_HEADER_BYTES], struct bytes content)
{
    return hash_bytes(content, hash_bytes(bytes_of(header, CACHE_HEADER_BYTES - 8), 3));
}

static uint64_t
slot_offset(const struct object_cache *c, const uint8_t header[CACHE_HEADER_BYTES], unsigned way)
{
    return (load_le64(header + 8) % c->sets * CACHE_WAYS + way) * SLOT_BYTES;
}

static bool
cache_get(struct object_cache *c, const char *key, uint64_t chunk, void *to, size_t size)
{
    uint8_t wanted[CACHE_HEADER_BYTES], found[CACHE_HEADER_BYTES];
    header_of(key, chunk, size, wanted);
    for (unsigned way = 0; way < CACHE_WAYS; way++) {
        uint64_t at = slot_offset(c, wanted, way);
        size_t got;
        enum err e = file_read_some(&c->file, found, sizeof found, at, &got, NULL);
        if (e || got < sizeof found || memcmp(found, wanted, sizeof wanted - 8) != 0) continue;
        e = file_read_at(&c->file, to, size, at + CACHE_HEADER_BYTES, NULL);
        if (e || checksum_of(found, bytes_of(to, size)) != load_le64(found + 24)) continue;
        atomic_fetch_add_explicit(c->hits, 1, memory_order_relaxed);
        return true;
    }
    return false;
}

/* An empty slot, or the one whose turn it is. */
static unsigned
free_way(struct object_cache *c, const uint8_t header[CACHE_HEADER_BYTES])
{
    uint64_t turn = atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed);
    for (unsigned way = 0; way < CACHE_WAYS; way++) {
        uint8_t found[4] = {0};
        size_t got;
        enum err e =
            file_read_some(&c->file, found, sizeof found, slot_offset(c, header, way), &got, NULL);
        if (e == OK && load_le32(found) != CACHE_MAGIC) return way;
    }
    return (unsigned)(turn % CACHE_WAYS);
}

static void
cache_put(struct object_cache *c, const char *key, uint64_t chunk, struct bytes content)
{
    uint8_t header[CACHE_HEADER_BYTES];
    header_of(key, chunk, content.size, header);
    store_le64(header + 24, checksum_of(header, content));
    uint64_t at = slot_offset(c, header, free_way(c, header));
    enum err e = file_write_at(&c->file, content, at + CACHE_HEADER_BYTES, NULL);
    if (e == OK) e = file_write_at(&c->file, bytes_of(header, sizeof header), at, NULL);
    err_ignore(e, "it is not in the cache then");
}

void
object_cache_forget(struct object_cache *c, const char *key, uint64_t size)
{
    static const uint8_t none[SLOT_BYTES];
    uint8_t wanted[CACHE_HEADER_BYTES], found[CACHE_HEADER_BYTES];
    for (uint64_t at = 0; c != NULL && c->sets > 0 && at < size; at += CHUNK_BYTES) {
        size_t left = size - at < CHUNK_BYTES ? (size_t)(size - at) : CHUNK_BYTES;
        header_of(key, at / CHUNK_BYTES, left, wanted);
        for (unsigned way = 0; way < CACHE_WAYS; way++) {
            uint64_t slot = slot_offset(c, wanted, way);
            size_t got;
            enum err e = file_read_some(&c->file, found, sizeof found, slot, &got, NULL);
            if (e || got < sizeof found || memcmp(found, wanted, sizeof wanted - 8) != 0) continue;
            e = file_write_at(&c->file, bytes_of(none, CACHE_HEADER_BYTES + left), slot, NULL);
            err_ignore(e, "the cache may be removed");
        }
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

static bool
is_cached(const struct object_cache *c, const struct object_range *r)
{
    return c != NULL && c->sets > 0 && r->size <= CACHED_RANGE_BYTES &&
           r->offset % CHUNK_BYTES == 0;
}

/* Takes chunks from the front of the range as far as the cache has them, or keeps all of them. */
static void
pass_chunks(struct object_cache *c, struct object_range *r, bool keeps)
{
    while (r->size > 0) {
        size_t size = r->size < CHUNK_BYTES ? r->size : CHUNK_BYTES;
        uint64_t chunk = r->offset / CHUNK_BYTES;
        if (keeps)
            cache_put(c, r->key, chunk, bytes_of(r->to, size));
        else if (!cache_get(c, r->key, chunk, r->to, size))
            return;
        r->offset += size;
        r->to += size;
        r->size -= size;
    }
}

enum err
objects_read(struct objects *o, const struct object_range *ranges, uint32_t count,
             struct query_control *control, uint32_t *ret_requests, uint64_t *ret_bytes,
             struct why *why)
{
    struct object_range lacking[OBJECT_RANGES_MAX];
    uint32_t lacking_count = 0;
    *ret_bytes = 0;
    assert(count <= OBJECT_RANGES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct object_range r = ranges[i];
        if (is_cached(o->cache, &r)) pass_chunks(o->cache, &r, false);
        if (r.size > 0) lacking[lacking_count++] = r;
        *ret_bytes += r.size;
    }
    *ret_requests = lacking_count;
    if (lacking_count == 0) return OK;
    enum err e = query_control_add_fetched(control, lacking_count, *ret_bytes, why);
    if (e) return e;
    e = o->ops->read(o, lacking, lacking_count, control, why);
    for (uint32_t i = 0; e == OK && i < lacking_count; i++)
        if (is_cached(o->cache, &lacking[i])) pass_chunks(o->cache, &lacking[i], true);
    return e;
}
