/*
 * families.c - metadata of metric families, by tenant and name: some thousands, which senders name
 * again each minute. A table of hashes; texts lie in one buffer, and those that were replaced are
 * squeezed out when they are half of it.
 */
#include "backend/remote/remote_write.h"
#include "base/hash.h"

enum { FAMILIES_MAX = 32 * 1024, SLOTS_FIRST = 256, TEXT_BYTES_MAX = 8 * 1024 * 1024 };

struct slot {
    uint64_t hash; /* 0: free */
    uint32_t at;   /* in the texts: varint-counted tenant, name, help, unit */
    uint32_t size;
    enum metric_type type;
};

struct families {
    struct budget *memory;
    struct slot *slots;
    uint32_t capacity;
    uint32_t count;
    struct buf texts;
    size_t stale; /* bytes of texts that were replaced */
};

enum err
families_new(struct budget *memory, struct families **ret_families)
{
    struct families *f = mem_new(memory, sizeof *f);
    if (f == NULL) return ERR_NOMEM;
    f->memory = memory;
    buf_init(&f->texts, memory, TEXT_BYTES_MAX);
    *ret_families = f;
    return OK;
}

void
families_free(struct families *f)
{
    if (f == NULL) return;
    mem_free(f->memory, f->slots, f->capacity * sizeof *f->slots);
    buf_fini(&f->texts);
    mem_free(f->memory, f, sizeof *f);
}

static uint64_t
hash_of(struct bytes tenant, struct bytes name)
{
    return hash_bytes(name, hash_bytes(tenant, 0)) | 1;
}

/* The slot of a family, or the free one where it would be. */
static struct slot *
slot_of(const struct families *f, uint64_t hash, struct bytes tenant, struct bytes name)
{
    for (uint32_t i = (uint32_t)(hash >> 1);; i++) {
        struct slot *slot = &f->slots[i & (f->capacity - 1)];
        if (slot->hash == 0) return slot;
        if (slot->hash != hash) continue;
        struct cursor c = cursor_of(bytes_of(f->texts.at + slot->at, slot->size));
        if (bytes_equal(cursor_counted(&c), tenant) && bytes_equal(cursor_counted(&c), name)) {
            return slot;
        }
    }
}

static enum err
grow(struct families *f)
{
    if (2 * (f->count + 1) <= f->capacity) return OK;
    uint32_t capacity = f->capacity == 0 ? SLOTS_FIRST : 2 * f->capacity;
    struct slot *slots = mem_new(f->memory, capacity * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < f->capacity; i++) {
        if (f->slots[i].hash == 0) continue;
        uint32_t at = (uint32_t)(f->slots[i].hash >> 1);
        while (slots[at & (capacity - 1)].hash != 0) {
            at++;
        }
        slots[at & (capacity - 1)] = f->slots[i];
    }
    mem_free(f->memory, f->slots, f->capacity * sizeof *slots);
    f->slots = slots;
    f->capacity = capacity;
    return OK;
}

static enum err
squeeze(struct families *f)
{
    if (f->stale < f->texts.size / 2 || f->stale < 4096) return OK;
    struct buf kept;
    buf_init(&kept, f->memory, TEXT_BYTES_MAX);
    if (!buf_reserve(&kept, f->texts.size - f->stale)) return buf_error(&kept);
    for (uint32_t i = 0; i < f->capacity; i++) {
        struct slot *slot = &f->slots[i];
        if (slot->hash == 0) continue;
        size_t at = kept.size;
        buf_put(&kept, f->texts.at + slot->at, slot->size);
        slot->at = (uint32_t)at;
    }
    buf_fini(&f->texts);
    f->texts = kept;
    f->stale = 0;
    return OK;
}

static bool
is_same(const struct families *f, const struct slot *slot, const struct family *family)
{
    struct cursor c = cursor_of(bytes_of(f->texts.at + slot->at, slot->size));
    cursor_counted(&c);
    cursor_counted(&c);
    return slot->type == family->type && bytes_equal(cursor_counted(&c), family->help) &&
           bytes_equal(cursor_counted(&c), family->unit);
}

enum err
families_put(struct families *f, struct bytes tenant, struct bytes name,
             const struct family *family)
{
    uint64_t hash = hash_of(tenant, name);
    enum err e = grow(f);
    if (e) return e;
    struct slot *slot = slot_of(f, hash, tenant, name);
    bool known = slot->hash != 0;
    if (known && is_same(f, slot, family)) return OK;
    if (!known && f->count == FAMILIES_MAX) return ERR_LIMIT;
    size_t at = f->texts.size;
    buf_put_counted(&f->texts, tenant);
    buf_put_counted(&f->texts, name);
    buf_put_counted(&f->texts, family->help);
    buf_put_counted(&f->texts, family->unit);
    e = buf_error(&f->texts);
    if (e) {
        f->texts.size = at;
        f->texts.failed = OK;
        return e;
    }
    if (known) f->stale += slot->size;
    f->count += !known;
    *slot = (struct slot){hash, (uint32_t)at, (uint32_t)(f->texts.size - at), family->type};
    return squeeze(f);
}

static bool
find_exactly(const struct families *f, struct bytes tenant, struct bytes name,
             struct family *ret_family)
{
    const struct slot *slot = slot_of(f, hash_of(tenant, name), tenant, name);
    if (slot->hash == 0) return false;
    struct cursor c = cursor_of(bytes_of(f->texts.at + slot->at, slot->size));
    cursor_counted(&c);
    cursor_counted(&c);
    ret_family->type = slot->type;
    ret_family->help = cursor_counted(&c);
    ret_family->unit = cursor_counted(&c);
    return true;
}

bool
families_find(const struct families *f, struct bytes tenant, struct bytes metric,
              struct family *ret_family)
{
    static const char *const suffixes[] = {"_total",   "_bucket", "_count",  "_sum",
                                           "_created", "_info",   "_gcount", "_gsum"};
    if (f->count == 0) return false;
    if (find_exactly(f, tenant, metric, ret_family)) return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t size = strlen(suffixes[i]);
        if (metric.size <= size) continue;
        struct bytes end = bytes_of(metric.at + metric.size - size, size);
        if (!bytes_equal_text(end, suffixes[i])) continue;
        return find_exactly(f, tenant, bytes_of(metric.at, metric.size - size), ret_family);
    }
    return false;
}
