/* backup_ends.c - see backup_ends.h. */
#include "cli/backup/backup_ends.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

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

enum err
repository_place(const char *text, struct budget *memory, struct place_needs *needs,
                 struct backup_place *ret, struct why *why)
{
    bool is_bucket = strncmp(text, BUCKET_SCHEME, sizeof BUCKET_SCHEME - 1) == 0;
    enum err e = OK;
    if (is_bucket)
        e = bucket_link_read(text, memory, &needs->storage, why);
    else
        needs->storage = (struct object_storage){.type = OBJECTS_DIRECTORY, .path = text};
    if (e == OK)
        e = bucket_link_open(env_real(), &needs->storage, memory, needs->stop, &needs->link, why);
    *ret = (struct backup_place){.env = env_real(),
                                 .objects = needs->link.objects,
                                 .dir = is_bucket ? NULL : text,
                                 .shown = text};
    return e;
}

void
place_needs_fini(struct place_needs *needs)
{
    bucket_link_close(&needs->link);
    object_storage_free(&needs->storage);
}
