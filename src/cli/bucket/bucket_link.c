/* bucket_link.c - see bucket_link.h. An address is read as YAML, so that its keys, their checks and
 * their messages are those of a configuration file. */
#include "cli/bucket/bucket_link.h"

#include <stdio.h>
#include <string.h>

#include "backend/archive/store.h"
#include "base/text/json.h"
#include "base/version.h"
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

/* --- addresses -------------------------------------------------------------------------------- */

enum { ADDRESS_BYTES_MAX = 16 * 1024, PREFIX_BYTES = 768 };

/* Appends ", KEY: VALUE". Texts of JSON are texts of YAML. */
static void
put_key(struct buf *to, struct bytes key, struct bytes value)
{
    bool is_word = bytes_equal_text(value, "true") || bytes_equal_text(value, "false");
    struct json json;
    buf_put_text(to, ", ");
    buf_put_bytes(to, key);
    buf_put_text(to, ": ");
    if (is_word) {
        buf_put_bytes(to, value);
        return;
    }
    json_init(&json, to);
    json_put_bytes(&json, value);
}

/* Appends the keys of "KEY=VALUE&KEY=VALUE". False: it is not that. */
static bool
put_keys(struct buf *to, const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    while (*text != '\0') {
        size_t key = strspn(text, letters), size = strcspn(text, "&");
        if (key == 0 || text[key] != '=') return false;
        put_key(to, bytes_of(text, key), bytes_of(text + key + 1, size - key - 1));
        text += size;
        if (*text == '&') text++;
    }
    return true;
}

/* Appends the keys of an address that begins with s3://. */
static enum err
put_address(struct buf *to, const char *address, struct why *why)
{
    const char *bucket = address + sizeof BUCKET_SCHEME - 1;
    size_t size = strcspn(bucket, "?"), name = strcspn(bucket, "/?");
    const char *prefix = bucket + name + (bucket[name] == '/');
    size_t prefix_size = (size_t)(bucket + size - prefix);
    while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
        prefix_size--;
    put_key(to, bytes_of_text("bucket"), bytes_of(bucket, name));
    if (prefix_size > PREFIX_BYTES - 2)
        return why_set(why, ERR_INPUT, "the prefix has more than %d bytes", PREFIX_BYTES - 2);
    if (prefix_size > 0) {
        char text[PREFIX_BYTES];
        snprintf(text, sizeof text, "%.*s/", (int)prefix_size, prefix);
        put_key(to, bytes_of_text("prefix"), bytes_of_text(text));
    }
    if (name == 0 || (bucket[size] == '?' && !put_keys(to, bucket + size + 1))) {
        return why_set(why, ERR_INPUT,
                       "expected a directory, or s3://BUCKET/PREFIX?KEY=VALUE&KEY=VALUE");
    }
    return buf_error(to) ? why_set(why, buf_error(to), "the address of the bucket is too long")
                         : OK;
}

enum err
bucket_link_read(const char *address, struct budget *memory, struct object_storage *ret,
                 struct why *why)
{
    struct settings settings;
    struct buf yaml;
    struct why reason = {""};
    enum err e = OK;
    settings_default(&settings);
    buf_init(&yaml, memory, ADDRESS_BYTES_MAX);
    if (strncmp(address, BUCKET_SCHEME, sizeof BUCKET_SCHEME - 1) == 0) {
        buf_put_text(&yaml, "object_storage: {type: s3");
        e = put_address(&yaml, address, &reason);
    } else {
        buf_put_text(&yaml, "object_storage: {type: directory");
        put_key(&yaml, bytes_of_text("path"), bytes_of_text(address));
    }
    buf_put_text(&yaml, "}\n");
    e = err_first(e, buf_error(&yaml));
    if (e == OK) e = object_storage_yaml("BUCKET", buf_bytes(&yaml), &settings, ret, &reason);
    buf_fini(&yaml);
    return e ? why_set(why, e, "%s", why_text(&reason, e)) : OK;
}
