/* backup_ends.c - see backup_ends.h. A bucket is described as a source in YAML, so that its keys,
 * their checks and their messages are those of a configuration file. */

#include "cli/backup/backup_ends.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/text/json.h"
#include "base/version.h"
#include "cli/lib/client_access.h"
#include "model/storage_layout.h"

/* --- a snapshot ------------------------------------------------------------------------------- */

#define ANSWER_BYTES_MAX ((size_t)1 << 20)
#define WITH_BUCKET_NS   (86400 * NS_PER_S)

struct snapshot_request {
    const struct server_snapshot_options *options;
    struct client_access *access;
    struct server_snapshot *snapshot;
};

/* Requests a page, and returns the answer, for json_decref(); NULL if there is no content. */
static enum err
fetch(struct snapshot_request *a, const char *method, const char *page, json_t **ret_answer,
      struct why *why)
{
    struct buf text;
    struct client_call call = {.access = a->access, .method = method, .path = page};
    if (strcmp(method, "POST") == 0) call.body = bytes_of("", 0);
    if (a->options->with_bucket) call.timeout_ns = WITH_BUCKET_NS;
    buf_init(&text, a->options->memory, ANSWER_BYTES_MAX);
    enum err e = client_call(&call, &text, why);
    bool has_answer = e == OK && text.size > 0;
    *ret_answer = has_answer ? json_loadb((const char *)text.at, text.size, 0, NULL) : NULL;
    if (has_answer && *ret_answer == NULL) {
        e = why_set(why, ERR_UNSUPPORTED, "%s%s: the response is not from Firekeep",
                    client_access_name(a->access), page);
    }
    buf_fini(&text);
    return e;
}

static const char *
text_of(const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, "data"), key));
    return text == NULL ? "" : text;
}

/* Finds the directory of the server's snapshots. */
static enum err
find_directory(struct snapshot_request *a, struct why *why)
{
    char *all = a->snapshot->all;
    json_t *flags = NULL, *process = NULL;
    enum err e = OK;
    if (a->options->storage != NULL)
        return path_in(all, SNAPSHOT_DIR_BYTES, a->options->storage, STORAGE_SNAPSHOTS, why);
    e = fetch(a, "GET", "/api/v1/status/flags", &flags, why);
    if (e == OK) e = fetch(a, "GET", "/api/v1/status/runtimeinfo", &process, why);
    const char *path = text_of(flags, "storage.path"), *cwd = text_of(process, "CWD");
    if (e == OK && path[0] == '\0') {
        e = why_set(why, ERR_UNSUPPORTED, "%s has no storage directory",
                    client_access_name(a->access));
    }
    if (e == OK) {
        int n = snprintf(all, SNAPSHOT_DIR_BYTES, "%s%s%s/" STORAGE_SNAPSHOTS,
                         path[0] == '/' ? "" : cwd, path[0] == '/' ? "" : "/", path);
        if (n >= SNAPSHOT_DIR_BYTES) e = why_set(why, ERR_LIMIT, "%s is too long", path);
    }
    json_decref(flags);
    json_decref(process);
    return e;
}

/* Removes a snapshot as the server does: it has its name only while it is whole. */
static enum err
remove_snapshot(const char *all, const char *dir, struct why *why)
{
    char removing[SNAPSHOT_DIR_BYTES + 8];
    struct env *env = env_real();
    snprintf(removing, sizeof removing, "%s.tmp", dir);
    enum err e = env_rename(env, dir, removing, why);
    if (e == OK) e = env_syncdir(env, all, why);
    if (e == ERR_MISSING) e = OK;
    return e ? e : env_remove_tree(env, removing, why);
}

struct leftovers {
    struct snapshot_request *asking;
    struct why *why;
};

static enum err
remove_left(void *context, const char *name, bool is_dir)
{
    struct leftovers *l = context;
    const struct server_snapshot *s = l->asking->snapshot;
    const char *suffix = l->asking->options->suffix, *rest = strchr(name, '-');
    char dir[SNAPSHOT_DIR_BYTES];
    if (!is_dir || rest == NULL || strncmp(rest + 1, suffix, strlen(suffix)) != 0) return OK;
    enum err e = path_in(dir, sizeof dir, s->all, name, l->why);
    if (e == OK) dir[strlen(s->all) + 1 + strcspn(name, ".")] = '\0'; /* if it is NAME.tmp */
    return e ? e : remove_snapshot(s->all, dir, l->why);
}

/* Has the server remove the snapshot, which is not on this machine. Returns the error. */
static enum err
give_back(struct snapshot_request *a, const char *name, struct why *why)
{
    char page[80];
    json_t *answer = NULL;
    snprintf(page, sizeof page, "/api/v1/admin/tsdb/snapshots/%.40s", name);
    bool remains = fetch(a, "DELETE", page, &answer, NULL) != OK;
    json_decref(answer);
    return why_set(why, ERR_UNSUPPORTED,
                   "the snapshot of %s is not at %s on this machine; run this where the server "
                   "runs, or say with --storage.path where its storage directory is%s",
                   client_access_name(a->access), a->snapshot->dir,
                   remains ? "; the snapshot remains" : "");
}

static enum err
take(struct snapshot_request *a, struct why *why)
{
    struct server_snapshot *s = a->snapshot;
    struct file_facts facts;
    json_t *answer = NULL;
    char page[80];
    snprintf(page, sizeof page, "/api/v1/admin/tsdb/snapshot?suffix=%.16s%s", a->options->suffix,
             a->options->with_bucket ? "&with_bucket=true" : "");
    struct leftovers l = {a, why}; /* snapshots that a killed process left */
    enum err e = env_listdir(env_real(), a->snapshot->all, remove_left, &l, why);
    if (e == ERR_MISSING) e = OK;
    if (e == OK) e = fetch(a, "POST", page, &answer, why);
    if (e) return e;
    const char *name = text_of(answer, "name");
    size_t size = strspn(name, "0123456789abcdefTZ-"); /* a name, not a path */
    if (size == 0 || size >= SNAPSHOT_BYTES || name[size] != '\0') {
        e = why_set(why, ERR_UNSUPPORTED, "%s: the response is not from Firekeep",
                    client_access_name(a->access));
    }
    if (e == OK) e = path_in(s->dir, sizeof s->dir, s->all, name, why);
    if (e == OK && env_facts(env_real(), s->dir, &facts, NULL) != OK) e = give_back(a, name, why);
    if (e == OK) snprintf(s->name, sizeof s->name, "%s", name);
    json_decref(answer);
    return e;
}

enum err
server_snapshot_take(const struct server_snapshot_options *options,
                     struct server_snapshot *ret_snapshot, struct why *why)
{
    struct snapshot_request a = {.options = options, .snapshot = ret_snapshot};
    struct client_access_options reach = {
        .flag = "--url", .url = options->url, .config_file = options->http_config_file};
    *ret_snapshot = (struct server_snapshot){""};
    enum err e = client_access_new(&reach, &a.access, why);
    if (e) return e;
    e = find_directory(&a, why);
    if (e == OK) e = take(&a, why);
    client_access_free(a.access);
    return e;
}

enum err
server_snapshot_remove(struct server_snapshot *snapshot, struct why *why)
{
    return snapshot->name[0] == '\0' ? OK : remove_snapshot(snapshot->all, snapshot->dir, why);
}

/* --- a place ---------------------------------------------------------------------------------- */

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

enum err
bucket_address_yaml(const char *begin, const char *address, const char *end, struct buf *to,
                    struct why *why)
{
    const char *bucket = address + sizeof SCHEME - 1;
    size_t size = strcspn(bucket, "?"), name = strcspn(bucket, "/?");
    const char *prefix = bucket + name + (bucket[name] == '/');
    size_t prefix_size = (size_t)(bucket + size - prefix);
    while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
        prefix_size--;
    buf_put_text(to, begin);
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
    buf_put_text(to, end);
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
    enum err e = bucket_address_yaml(
        "sources: [{name: backup, type: archive, timeout: 5m, max_concurrent: 1000", address,
        "}]\n", &yaml, &reason);
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
