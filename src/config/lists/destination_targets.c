/* destination_targets.c - checks that destinations do not write to the same target. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/writer.h"
#include "config/lists/destinations.h"
#include "sys/real_path.h"

static bool
same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

/* Returns the next part of a path, and moves *at after it; empty at the end. */
static struct bytes
path_part(const char **at)
{
    struct bytes part;
    do {
        *at += strspn(*at, "/");
        part = bytes_of(*at, strcspn(*at, "/"));
        *at += part.size;
    } while (bytes_equal_text(part, "."));
    return part;
}

/* Compares paths without regard to repeated slashes and ".". Links are not followed, because
 * their targets may change. */
static bool
same_path(const char *a, const char *b)
{
    if ((a[0] == '/') != (b[0] == '/')) return false;
    for (;;) {
        struct bytes one = path_part(&a), other = path_part(&b);
        if (!bytes_equal(one, other)) return false;
        if (one.size == 0) return true;
    }
}

/* True if both would write to the same target, and delete files there. */
static bool
share_target(const struct destination_settings *a, const struct destination_settings *b)
{
    if (a->type != b->type) return false;
    if (a->type == DESTINATION_FILE) return same_path(a->u.file.path, b->u.file.path);
    return a->type == DESTINATION_S3 && same_text(a->u.s3.bucket, b->u.s3.bucket) &&
           same_text(a->u.s3.prefix, b->u.s3.prefix) &&
           same_text(a->u.s3.endpoint, b->u.s3.endpoint);
}

static const char TENANT_TEMPLATE[] = "${tenant}";

/* For a path with a template: writes the path of the tenant, if there is one, that leads towards
 * `target`. */
static bool
path_towards(const struct destination_settings *d, const char *target,
             char ret_path[REAL_PATH_BYTES])
{
    char base[REAL_PATH_BYTES];
    const char *path = d->u.file.path, *template = strstr(path, TENANT_TEMPLATE);
    const char *after = template + sizeof TENANT_TEMPLATE - 1, *name = template;
    while (name > path && name[-1] != '/') {
        name--;
    }
    int size = snprintf(ret_path, REAL_PATH_BYTES, "%.*s", (int)(name - path), path);
    if (size >= REAL_PATH_BYTES || real_path(ret_path, base) != OK) return false;
    size_t base_size = strlen(base) == 1 ? 0 : strlen(base);
    if (real_path_is_within(base, target)) return true; /* `target` has the paths of all tenants */
    if (!real_path_is_within(target, base)) return false;
    struct bytes next = bytes_of_text(target + base_size + 1);
    next.size = strcspn(target + base_size + 1, "/");
    size_t begin = (size_t)(template - name), end = strcspn(after, "/");
    if (next.size <= begin + end || memcmp(next.at, name, begin) != 0 ||
        memcmp(next.at + next.size - end, after, end) != 0) {
        return false;
    }
    struct bytes tenant = bytes_of(next.at + begin, next.size - begin - end);
    bool takes = d->tenants.count == 0; /* without a list, the destination takes all tenants */
    for (uint32_t i = 0; i < d->tenants.count; i++) {
        const char *text = d->tenants.items[i];
        takes |= strcmp(text, "all") == 0 || bytes_equal_text(tenant, text);
    }
    if (!takes) return false;
    size = snprintf(ret_path, REAL_PATH_BYTES, "%.*s/%.*s%s", (int)base_size, base, (int)next.size,
                    (const char *)next.at, after + end);
    return size < REAL_PATH_BYTES;
}

/* At its start a destination of type file removes unknown and unfinished files in its directory,
 * so the storage directory must not be inside. */
static enum err
check_outside(const struct destination_settings *d, const char *storage, struct why *why)
{
    char path[REAL_PATH_BYTES], real[REAL_PATH_BYTES];
    bool by_tenant = strstr(d->u.file.path, TENANT_TEMPLATE) != NULL;
    if (by_tenant && !path_towards(d, storage, path)) return OK;
    if (real_path(by_tenant ? path : d->u.file.path, real) != OK)
        return OK; /* opening it will fail */
    if (!real_path_is_within(real, storage)) return OK;
    return why_set(why, ERR_INPUT,
                   "destination %s: path %s%s is inside the storage directory %s; choose a "
                   "directory outside it",
                   d->name, d->u.file.path, by_tenant ? " (of one tenant)" : "", storage);
}

enum err
destinations_check(const struct destinations *list, const char *storage_path, struct why *why)
{
    char storage[REAL_PATH_BYTES];
    enum err resolved = real_path(storage_path, storage);
    if (resolved) {
        return why_set(why, ERR_INPUT, "cannot resolve storage.path %s: %s", storage_path,
                       resolved == ERR_LIMIT ? "path is too long" : errno_text(errno).text);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        const struct destination_settings *d = &list->items[i];
        enum err e = d->type == DESTINATION_FILE ? check_outside(d, storage, why) : OK;
        if (e) return e;
        for (uint32_t k = 0; k < i; k++) {
            if (!share_target(d, &list->items[k])) continue;
            return why_set(
                why, ERR_INPUT,
                "destinations %s and %s write to the same target; give each its own path or prefix",
                list->items[k].name, d->name);
        }
        if (writer_class_of(d->type) != NULL) continue;
        return why_set(why, ERR_UNSUPPORTED,
                       "destination %s: this version does not support type %s", d->name,
                       destination_type_word(d->type));
    }
    return OK;
}
