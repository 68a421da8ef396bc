/* repository_place.c - see backup_ends.h. A bucket is described as a source in YAML, so that
 * its keys, their checks and their messages are those of a configuration file. */
#include "cli/backup/backup_ends.h"

#include <stdio.h>
#include <string.h>

#include "base/text/json.h"
#include "base/version.h"

enum { SOURCE_BYTES_MAX = 16 * 1024, PREFIX_BYTES = 768 };

static const char SCHEME[] = "s3://";

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

/* Appends the address as a list of one source. */
static enum err
put_source(struct buf *to, const char *address, struct why *why)
{
    const char *bucket = address + sizeof SCHEME - 1;
    size_t size = strcspn(bucket, "?"), name = strcspn(bucket, "/?");
    const char *prefix = bucket + name + (bucket[name] == '/');
    size_t prefix_size = (size_t)(bucket + size - prefix);
    while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
        prefix_size--;
    buf_put_text(to, "sources: [{name: backup, type: archive, timeout: 5m, max_concurrent: 1000");
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
    buf_put_text(to, "}]\n");
    return buf_error(to) ? why_set(why, buf_error(to), "the address of the bucket is too long")
                         : OK;
}

enum err
repository_place_read(const char *address, struct budget *memory, struct sources *ret,
                      struct why *why)
{
    struct settings settings;
    struct buf yaml;
    struct why reason = {""};
    settings_default(&settings);
    buf_init(&yaml, memory, SOURCE_BYTES_MAX);
    enum err e = put_source(&yaml, address, &reason);
    if (e == OK) e = sources_yaml(address, buf_bytes(&yaml), &settings, ret, &reason);
    buf_fini(&yaml);
    return e ? why_set(why, e, "%s", why_text(&reason, e)) : OK;
}

enum err
repository_place(const char *text, struct budget *memory, struct place_needs *needs,
                 struct backup_place **ret_place, struct why *why)
{
    struct env *env = env_real();
    if (strncmp(text, SCHEME, sizeof SCHEME - 1) != 0)
        return backup_place_dir(env, memory, text, ret_place, why);
    enum err e = repository_place_read(text, memory, &needs->sources, why);
    if (e == OK) e = http_puller_new(env, "Firekeep/" FIREKEEP_VERSION, &needs->puller, why);
    if (e) return e;
    struct backup_bucket_options options = {.env = env,
                                            .memory = memory,
                                            .puller = needs->puller,
                                            .settings = &needs->sources.items[0],
                                            .shown = text,
                                            .stop = needs->stop};
    return backup_place_bucket(&options, ret_place, why);
}

void
place_needs_fini(struct place_needs *needs)
{
    if (needs->puller != NULL) http_puller_free(needs->puller);
    sources_free(&needs->sources);
}
