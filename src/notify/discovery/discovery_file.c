/*
 * discovery_file.c - members that files list.
 *
 * The patterns are expanded every few seconds. A file is read if it was not read for refresh_ms, or
 * if its facts in the file system have changed. A file that cannot be read, or is malformed, keeps
 * its targets; a removed file loses them.
 */
#include "notify/discovery/discovery.h"

#include <assert.h>
#include <strings.h>

#include "base/array.h"
#include "base/log.h"
#include "sys/paths.h"

enum { LOOK_MS = 5000, FILES_MAX = 1000, FILE_REFRESH_MS = 5 * 60 * 1000 };

struct found_file {
    char *path;
    size_t path_bytes;
    bool is_there; /* found by the current look */
    bool is_lost;  /* its facts cannot be read, and the log has a line about it */
    bool was_read; /* `facts` are those at the last attempt to read it */
    struct file_facts facts;
    int64_t refresh_ns; /* when to read it again, even if it has not changed */
    struct targets targets;
};

struct file_discovery {
    struct discovery base;
    const struct file_members *settings;
    struct found_file *files;
    uint32_t count;
    uint32_t capacity;
    int64_t look_ms;
    bool is_full;    /* more than FILES_MAX files match, and the log has a line about it */
    bool has_failed; /* a directory cannot be read, and the log has a line about it */
};

static void
file_fini(struct file_discovery *f, struct found_file *file)
{
    targets_fini(&file->targets);
    mem_free(f->base.options.memory, file->path, file->path_bytes);
}

static void
file_free(struct discovery *discovery)
{
    struct file_discovery *f = (struct file_discovery *)discovery;
    for (uint32_t i = 0; i < f->count; i++)
        file_fini(f, &f->files[i]);
    array_free(f->base.options.memory, f->files, f->capacity);
    mem_free(f->base.options.memory, f, sizeof *f);
}

static void
file_each(const struct discovery *discovery,
          void (*take)(void *context, const struct targets *targets), void *context)
{
    const struct file_discovery *f = (const struct file_discovery *)discovery;
    for (uint32_t i = 0; i < f->count; i++)
        take(context, &f->files[i].targets);
}

/* --- one file --------------------------------------------------------------------------------- */

/* Reads the targets of a file. After an error it keeps those it has. */
static enum err
read_found_file(struct file_discovery *f, struct found_file *file, struct why *why)
{
    struct budget *memory = f->base.options.memory;
    const struct label meta = {bytes_of_text("__meta_filepath"), bytes_of_text(file->path)};
    const char *dot = strrchr(file->path, '.');
    bool is_json = dot != NULL && strcasecmp(dot, ".json") == 0;
    struct targets found;
    struct buf text;
    buf_init(&text, memory, TARGETS_TEXT_BYTES_MAX + 1);
    targets_init(&found, memory);
    enum err e = file->facts.kind == FILE_KIND_PLAIN
                     ? env_read_whole(f->base.options.env, file->path, &text, why)
                     : why_set(why, ERR_INPUT, "%s: not a regular file", file->path);
    if (e == OK && is_json)
        e = target_groups_json(file->path, buf_bytes(&text), meta, &found, why);
    else if (e == OK)
        e = target_groups_yaml(file->path, buf_bytes(&text), meta, &found, why);
    buf_fini(&text);
    return discovery_found(&f->base, &file->targets, &found, e);
}

static void
log_unread(const struct found_file *file, const struct why *why, enum err e)
{
    log_warn("notify: cannot read targets from file, keeping the previous targets",
             KV("path", file->path), KV("error", why_text(why, e)));
}

/* --- all files -------------------------------------------------------------------------------- */

/* Returns NULL if memory is short. */
static struct found_file *
add_file(struct file_discovery *f, const char *path)
{
    assert(f->count < FILES_MAX);
    struct budget *memory = f->base.options.memory;
    size_t size = strlen(path) + 1;
    if (!array_reserve(memory, &f->files, &f->capacity, f->count + 1)) return NULL;
    char *copy = mem_alloc(memory, size);
    if (copy == NULL) return NULL;
    memcpy(copy, path, size);
    struct found_file *file = &f->files[f->count++];
    *file = (struct found_file){.path = copy, .path_bytes = size};
    targets_init(&file->targets, memory);
    return file;
}

static enum err
discovery_take_path(void *context, const char *path)
{
    struct file_discovery *f = context;
    struct file_facts facts;
    struct why why = {""};
    enum err e = env_facts(f->base.options.env, path, &facts, &why);
    if (e == ERR_MISSING) return OK;
    struct found_file *file = NULL;
    for (uint32_t i = 0; i < f->count && file == NULL; i++)
        if (strcmp(f->files[i].path, path) == 0) file = &f->files[i];
    if (file == NULL && f->count == FILES_MAX) {
        if (!f->is_full) {
            log_warn("notify: too many files of targets, ignoring the rest", KV("files", FILES_MAX),
                     KV("path", path));
        }
        f->is_full = true;
        return OK;
    }
    if (file == NULL) file = add_file(f, path);
    if (file == NULL) return OK; /* at the next look */
    file->is_there = true;
    if (e && !file->is_lost) log_unread(file, &why, e);
    file->is_lost = e != OK; /* it keeps its targets */
    int64_t now_ns = env_monotonic_ns(f->base.options.env);
    int64_t refresh_ms = f->settings->refresh_ms > 0 ? f->settings->refresh_ms : FILE_REFRESH_MS;
    bool has_changed = !file->was_read || memcmp(&file->facts, &facts, sizeof facts) != 0;
    if (e || (!has_changed && now_ns < file->refresh_ns)) return OK;
    file->facts = facts;
    e = read_found_file(f, file, &why);
    file->was_read = e != ERR_NOMEM;
    file->refresh_ns = now_ns + refresh_ms * NS_PER_MS;
    if (e && has_changed) log_unread(file, &why, e);
    return OK;
}

static void
file_step(struct discovery *discovery)
{
    struct file_discovery *f = (struct file_discovery *)discovery;
    struct env *env = f->base.options.env;
    struct why why = {""};
    enum err e = OK;
    if (env_monotonic_ns(env) < f->base.due_ns) return;
    for (uint32_t i = 0; i < f->count; i++)
        f->files[i].is_there = false;
    for (uint32_t i = 0; i < f->settings->files.count; i++) {
        enum err failed = file_pattern_expand(env, f->settings->files.items[i], discovery_take_path,
                                              f, e ? NULL : &why);
        e = err_first(e, failed);
    }
    if (e && !f->has_failed) {
        log_warn("notify: cannot list files of targets, keeping the previous targets",
                 KV("error", why_text(&why, e)));
    }
    f->has_failed = e != OK;
    if (e == OK) { /* forgets removed files */
        uint32_t left = 0;
        for (uint32_t i = 0; i < f->count; i++) {
            if (f->files[i].is_there) {
                f->files[left++] = f->files[i];
            } else {
                file_fini(f, &f->files[i]);
                f->base.has_changed = true;
            }
        }
        if (left < FILES_MAX) f->is_full = false;
        f->count = left;
    }
    f->base.due_ns = env_monotonic_ns(env) + f->look_ms * NS_PER_MS;
}

enum err
discovery_file_new(const struct outside_context *options, const struct file_members *settings,
                   struct discovery **ret_discovery)
{
    static const struct discovery_class class = {
        .step = file_step, .free = file_free, .each = file_each};
    struct file_discovery *f = mem_new(options->memory, sizeof *f);
    if (f == NULL) return ERR_NOMEM;
    f->base = (struct discovery){.class = &class, .options = *options};
    f->settings = settings;
    f->look_ms =
        settings->refresh_ms > 0 && settings->refresh_ms < LOOK_MS ? settings->refresh_ms : LOOK_MS;
    *ret_discovery = &f->base;
    return OK;
}
