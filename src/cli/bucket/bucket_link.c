/* bucket_link.c - see bucket_link.h. */
#include "cli/bucket/bucket_link.h"

#include <string.h>

#include "backend/archive/store.h"
#include "base/text/json.h"
#include "base/version.h"
#include "cli/backup/backup_ends.h"
#include "config/config.h"

enum err
bucket_link_open(struct env *env, const struct object_storage *s, struct budget *memory,
                 const atomic_bool *stop, struct bucket_link *ret, struct why *why)
{
    *ret = (struct bucket_link){NULL};
    if (s->type == OBJECTS_DIRECTORY)
        return objects_folder(env, memory, s->path, &ret->objects, why);
    enum err e = http_puller_new(env, "Firekeep/" FIREKEEP_VERSION, &ret->puller, why);
    if (e) return e;
    const struct reader_options reading = {.env = env,
                                           .memory = memory,
                                           .settings = &s->store,
                                           .puller = ret->puller,
                                           .counts = &ret->counts};
    return objects_bucket(&reading, stop, &ret->objects, why);
}

void
bucket_link_close(struct bucket_link *place)
{
    if (place->objects != NULL) place->objects->ops->free(place->objects);
    if (place->puller != NULL) http_puller_free(place->puller);
    *place = (struct bucket_link){NULL};
}

enum { ADDRESS_BYTES_MAX = 16 * 1024 };

enum err
bucket_link_read(const char *address, struct budget *memory, struct object_storage *ret,
                 struct why *why)
{
    struct settings settings;
    struct buf yaml;
    struct json json;
    struct why reason = {""};
    enum err e = OK;
    settings_default(&settings);
    buf_init(&yaml, memory, ADDRESS_BYTES_MAX);
    if (strncmp(address, "s3://", 5) == 0) {
        e = bucket_address_yaml("object_storage: {type: s3", address, "}\n", &yaml, &reason);
    } else {
        buf_put_text(&yaml, "object_storage: {type: directory, path: ");
        json_init(&json, &yaml); /* texts of JSON are texts of YAML */
        json_put_bytes(&json, bytes_of_text(address));
        buf_put_text(&yaml, "}\n");
        e = buf_error(&yaml);
    }
    if (e == OK) e = object_storage_yaml("BUCKET", buf_bytes(&yaml), &settings, ret, &reason);
    buf_fini(&yaml);
    return e ? why_set(why, e, "%s", why_text(&reason, e)) : OK;
}
