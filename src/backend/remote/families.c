/*
 * families.c - metadata of metric families, by tenant and name: some thousands, which senders send
 * again each minute. Texts lie in one buffer, and those that were replaced are squeezed out when
 * they are half of it.
 */
#include "backend/remote/remote_write.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"

enum { FAMILIES_MAX = 32 * 1024, TEXT_BYTES_MAX = 8 * 1024 * 1024 };

struct kept_family {
    uint32_t at; /* position in the texts: varint-counted tenant, name, help, unit */
    uint32_t size;
    enum metric_type type;
};

struct families {
    struct budget *memory;
    struct kept_family *items;
    uint32_t capacity;
    uint32_t count;
    struct table by_name; /* numbers of items by hash */
    struct buf texts;
    size_t stale; /* bytes of replaced texts */
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
    array_free(f->memory, f->items, f->capacity);
    table_fini(&f->by_name, f->memory);
    buf_fini(&f->texts);
    mem_free(f->memory, f, sizeof *f);
}

static uint64_t
hash_of(struct bytes tenant, struct bytes name)
{
    return hash_bytes(name, hash_bytes(tenant, 0));
}

/* Finds a family and its help and unit; NULL if there is none. */
static struct kept_family *
find(const struct families *f, struct bytes tenant, struct bytes name, struct cursor *ret_rest)
{
    uint64_t hash = hash_of(tenant, name);
    for (uint32_t at = TABLE_START, i; table_next(&f->by_name, hash, &at, &i);) {
        struct kept_family *item = &f->items[i];
        struct cursor c = cursor_of(bytes_of(f->texts.at + item->at, item->size));
        if (!bytes_equal(cursor_counted(&c), tenant)) continue;
        if (!bytes_equal(cursor_counted(&c), name)) continue;
        *ret_rest = c;
        return item;
    }
    return NULL;
}

static enum err
squeeze(struct families *f)
{
    if (f->stale < f->texts.size / 2 || f->stale < 4096) return OK;
    struct buf kept;
    buf_init(&kept, f->memory, TEXT_BYTES_MAX);
    if (!buf_reserve(&kept, f->texts.size - f->stale)) return buf_error(&kept);
    for (uint32_t i = 0; i < f->count; i++) {
        size_t at = kept.size;
        buf_put(&kept, f->texts.at + f->items[i].at, f->items[i].size);
        f->items[i].at = (uint32_t)at;
    }
    buf_fini(&f->texts);
    f->texts = kept;
    f->stale = 0;
    return OK;
}

enum err
families_put(struct families *f, struct bytes tenant, struct bytes name,
             const struct sent_family *family)
{
    struct cursor c;
    struct kept_family *item = find(f, tenant, name, &c);
    bool same = item != NULL && item->type == family->type &&
                bytes_equal(cursor_counted(&c), family->help) &&
                bytes_equal(cursor_counted(&c), family->unit);
    if (same) return OK;
    if (item == NULL) {
        if (f->count == FAMILIES_MAX) return ERR_LIMIT;
        if (!array_reserve(f->memory, &f->items, &f->capacity, f->count + 1)) return ERR_NOMEM;
        if (!table_reserve(&f->by_name, f->memory, 1)) return ERR_NOMEM;
    }
    size_t at = f->texts.size;
    buf_put_counted(&f->texts, tenant);
    buf_put_counted(&f->texts, name);
    buf_put_counted(&f->texts, family->help);
    buf_put_counted(&f->texts, family->unit);
    enum err e = buf_error(&f->texts);
    if (e) {
        f->texts.size = at;
        f->texts.failed = OK;
        return e;
    }
    if (item != NULL) {
        f->stale += item->size;
    } else {
        table_add(&f->by_name, hash_of(tenant, name), f->count);
        item = &f->items[f->count++];
    }
    *item = (struct kept_family){(uint32_t)at, (uint32_t)(f->texts.size - at), family->type};
    return squeeze(f);
}

static bool
find_exactly(const struct families *f, struct bytes tenant, struct bytes name,
             struct sent_family *ret_family)
{
    struct cursor c;
    const struct kept_family *item = find(f, tenant, name, &c);
    if (item == NULL) return false;
    ret_family->type = item->type;
    ret_family->help = cursor_counted(&c);
    ret_family->unit = cursor_counted(&c);
    return true;
}

bool
families_find(const struct families *f, struct bytes tenant, struct bytes metric,
              struct sent_family *ret_family)
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
