/* object_storage.c - the section object_storage: the bucket that has the parts, too. */
#include "config/lists/lists.h"

#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"

static enum err
check_object_storage(struct schema_place *place, void *base)
{
    struct object_storage *o = base;
    const char *needed = o->type == OBJECTS_S3 ? "bucket" : "path";
    const char *other = o->type == OBJECTS_S3 ? "path" : "bucket";
    if (schema_given(place, other))
        return schema_complain(place, other, "is for type %s",
                               o->type == OBJECTS_S3 ? "directory" : "s3");
    const char *prefix = o->store.u.archive.prefix;
    if (prefix != NULL && prefix[0] != '\0' && prefix[strlen(prefix) - 1] != '/')
        return schema_complain(place, "prefix", "must end with '/'");
    if (!schema_given(place, needed)) return schema_complain(place, NULL, "requires '%s'", needed);
    o->store.type = SOURCE_ARCHIVE;
    o->store.name = "object_storage";
    return OK;
}

static const struct schema_key keep_local_keys[] = {
    {"time", SCHEMA_DURATION, AT(keep_local, time_ms), .fallback = "0", .min = HOUR,
     .max = 100 * (uint64_t)YEAR, .zero_word = "0",
     .help = "age of samples from which on a part is only in the bucket; 0 means that all parts "
             "stay"},
    {"size", SCHEMA_SIZE, AT(keep_local, size_bytes), .fallback = "0", .max = 1024 * (uint64_t)PIB,
     .help = "maximum size of parts in the storage directory; above it, the oldest ones that the "
             "bucket has are removed there; 0 means no limit"},
    {NULL},
};
static const struct schema keep_local_schema = {keep_local_keys, sizeof(struct keep_local)};

static const struct schema_key object_cache_keys[] = {
    {"path", SCHEMA_TEXT, AT(object_cache_settings, path), .required = true, .max = 200,
     .is_path = true, .what = "a path",
     .help = "directory of the cache; created if its parent exists"},
    {"bytes", SCHEMA_SIZE, AT(object_cache_settings, bytes), .fallback = "10GiB", .min = MIB,
     .max = PIB, .help = "maximum size of the cache"},
    {NULL},
};
const struct schema object_cache_schema = {object_cache_keys, sizeof(struct object_cache_settings)};

#define STORAGE_OF(f) AT(object_storage, f)

static const struct schema_key object_storage_keys[] = {
    {"type", SCHEMA_CHOICE, STORAGE_OF(type), .required = true, .choices = "s3|directory",
     .help = "what has the bucket: a store with the API of S3, or a directory"},
    {"path", SCHEMA_TEXT, STORAGE_OF(path), .max = 120, .is_path = true, .what = "a path",
     .help = "directory, for type directory"},
    {"bucket", SCHEMA_TEXT, STORAGE_OF(store.u.archive.bucket), .check = check_bucket,
     .what = "a bucket", .help = "name of the bucket, for type s3"},
    {"prefix", SCHEMA_TEXT, STORAGE_OF(store.u.archive.prefix), .max = 768, .needs = "bucket",
     .check = check_prefix, .help = "beginning of all keys; one for each writer"},
    {"region", SCHEMA_TEXT, STORAGE_OF(store.u.archive.aws.region), .needs = "bucket",
     .help = "AWS region; default: from the environment or the profile"},
    {"endpoint", SCHEMA_TEXT, STORAGE_OF(store.u.archive.endpoint), .needs = "bucket",
     .check = check_endpoint, .what = "a URL", .help = "URL of the store; default: that of AWS"},
    {"path_style", SCHEMA_BOOL, STORAGE_OF(store.u.archive.path_style), .needs = "bucket",
     .help = "put the bucket into the path of URLs, not into the host name"},
    {"upload_after", SCHEMA_DURATION, STORAGE_OF(upload_after_ms), .fallback = "2h", .max = YEAR,
     .help = "age at which a part is copied into the bucket"},
    {"keep_local", SCHEMA_MAPPING, BELOW(object_storage, keep, keep_local_schema), .quiet = true,
     .help = "which parts stay in the storage directory, too"},
    {"cache", SCHEMA_MAPPING, BELOW(object_storage, cache, object_cache_schema), .quiet = true,
     .help = "cache on disk: what queries have read of the indexes of parts in the bucket"},
    {"gc_grace", SCHEMA_DURATION, STORAGE_OF(grace_ms), .fallback = "24h", .min = HOUR, .max = YEAR,
     .help = "how long an object stays after the catalog has dropped it"},
    {"single_writer", SCHEMA_BOOL, STORAGE_OF(single_writer),
     .help = "no other server ever writes below the prefix, so the store need not obey the "
             "condition If-None-Match"},
    {"max_rate", SCHEMA_SIZE, STORAGE_OF(rate_bytes), .fallback = "0", .max = TIB,
     .help = "maximum size of uploads per second, on average; 0 means no limit"},
    {"timeout", SCHEMA_DURATION, STORAGE_OF(store.timeout_ms), .fallback = "5m", .min = 1,
     .max = HOUR, .help = "maximum time to wait for a response, or for 1 KiB more of it"},
    {"max_concurrent", SCHEMA_COUNT, STORAGE_OF(store.max_concurrent), .fallback = "64", .min = 1,
     .max = 1000, .help = "maximum number of requests at a time"},
    HTTP_KEYS(object_storage, store.http, 0),
    AWS_KEYS(object_storage, store.u.archive.aws, 0),
    {NULL},
};

_Static_assert(offsetof(struct object_storage, given) == 0, "the schema says given_first");

const struct schema object_storage_schema = {object_storage_keys, sizeof(struct object_storage),
                                             .given_first = true, .check = check_object_storage};

/* The mapping is embedded in the struct itself. */
static const struct schema_key object_storage_root_keys[] = {
    {"object_storage", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct object_storage),
     .inner = &object_storage_schema, .help = "the bucket that has the parts, too"},
    {NULL},
};
const struct schema object_storage_root_schema = {object_storage_root_keys,
                                                  sizeof(struct object_storage), .partial = true};

enum err
object_storage_yaml(const char *file_name, struct bytes text, const struct settings *settings,
                    struct object_storage *ret_storage, struct why *why)
{
    struct object_storage read = {.given = false};
    const struct root_context root = {settings, file_name, NULL};
    struct arena *arena;
    enum err e = root_keys_yaml(&object_storage_root_schema, &root, text, &read, &arena, why);
    if (e) return e;
    read.arena = arena;
    *ret_storage = read;
    return OK;
}

void
object_storage_free(struct object_storage *storage)
{
    root_arena_free(storage->arena);
    *storage = (struct object_storage){.given = false};
}

void
object_storage_print_yaml(const struct object_storage *storage, struct buf *to)
{
    enum { KEYS_INDENT = 2 };
    if (!storage->given) return;
    buf_put_text(to, "object_storage:\n");
    schema_print(to, &object_storage_schema, 0, storage, KEYS_INDENT, false);
}
