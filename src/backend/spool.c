/* spool.c - see spool.h. */
#include "backend/spool.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"

enum { DIRS_MAX = 1024, FINISHED_MAX = 4096, NAME_BYTES = 128, PATH_BYTES = 256 };

/* A file that grows, or that waits for its name. */
struct spool_file {
    char dir[SPOOL_DIR_BYTES_MAX];
    char name[NAME_BYTES]; /* without ".tmp" */
    uint64_t size;         /* confirmed */
    int64_t made_ms;
    struct file file; /* of open ones */
    bool finished;
    bool saved; /* it was finished when save() was called last */
};

struct spool {
    struct spool_options options;
    struct spool_file *files;
    uint32_t count;
    uint32_t capacity;
    uint64_t number; /* of the next file */
    uint64_t files_total;
};

/* --- names ------------------------------------------------------------------------------------ */

/* The file's path, as it is while it grows or as it will be. */
static enum err
file_path(const struct spool_file *f, bool is_final, char *to, struct why *why)
{
    char name[NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s%s", f->name, is_final ? "" : ".tmp");
    enum err e = path_join(to, PATH_BYTES, f->dir, name);
    return e ? why_set(why, e, "%s/%s: the path is too long", f->dir, name) : OK;
}

static enum err
name_file(struct spool *s, struct spool_file *f, int64_t now_ms, struct why *why)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char when[32];
    gmtime_r(&seconds, &utc);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    int n = snprintf(f->name, sizeof f->name, "%.16s-%s-%08" PRIu64 "%s", s->options.instance, when,
                     s->number, s->options.suffix);
    if (n < 0 || (size_t)n >= sizeof f->name) return why_set(why, ERR_LIMIT, "a name is too long");
    s->number++;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
spool_more(struct spool *s, struct spool_file **ret_file)
{
    if (s->count == s->capacity) {
        if (s->capacity >= DIRS_MAX + FINISHED_MAX) return ERR_LIMIT;
        uint32_t capacity = s->capacity == 0 ? 4 : 2 * s->capacity;
        struct spool_file *grown = mem_resize(
            s->options.memory, s->files, s->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        s->files = grown;
        s->capacity = capacity;
    }
    *ret_file = &s->files[s->count];
    **ret_file = (struct spool_file){.file = FILE_CLOSED};
    return OK;
}

static void
spool_remove(struct spool *s, uint32_t at)
{
    file_close(&s->files[at].file);
    memmove(&s->files[at], &s->files[at + 1], (s->count - at - 1) * sizeof *s->files);
    s->count--;
}

/* Appends to the file at hand; what did not become durable is taken back. */
static enum err
file_append(struct spool_file *f, struct bytes bytes, struct why *why)
{
    if (bytes.size == 0) return OK;
    enum err e = file_write_at(&f->file, bytes, f->size, why);
    if (e == OK) e = file_datasync(&f->file, why);
    if (e) {
        err_ignore(file_truncate(&f->file, f->size, NULL), "it is cut after a restart too");
        return e;
    }
    f->size += bytes.size;
    return OK;
}

struct stray_search {
    struct spool *spool;
    const char *dir;
};

/* Begun after what was saved: its samples come again. */
static enum err
remove_stray(void *context, const char *name, bool is_dir)
{
    struct stray_search *x = context;
    struct spool *s = x->spool;
    size_t size = strlen(name), prefix = strnlen(s->options.instance, 16);
    bool ours = !is_dir && size > 4 && strcmp(name + size - 4, ".tmp") == 0 &&
                strncmp(name, s->options.instance, prefix) == 0 && name[prefix] == '-';
    for (uint32_t i = 0; i < s->count && ours; i++) {
        const struct spool_file *f = &s->files[i];
        ours = strcmp(f->dir, x->dir) != 0 || strlen(f->name) != size - 4 ||
               strncmp(f->name, name, size - 4) != 0;
    }
    if (!ours) return OK;
    char path[PATH_BYTES];
    enum err e = path_join(path, sizeof path, x->dir, name);
    if (e == OK) e = env_unlink(s->options.env, path, NULL);
    if (e == OK) log_info("spool: removed a file that was begun before a crash", KV("path", path));
    return OK;
}

static void
remove_strays(struct spool *s, const char *dir)
{
    struct stray_search search = {s, dir};
    err_ignore(env_listdir(s->options.env, dir, remove_stray, &search, NULL),
               "a stray file is in nobody's way");
}

/* One directory whose parent is there; durable on return, as confirmed files lie in it. */
static enum err
make_dir(struct env *env, const char *path, struct why *why)
{
    char parent[SPOOL_DIR_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    enum err e = env_mkdir(env, path, why);
    if (slash == NULL)
        snprintf(parent, sizeof parent, ".");
    else
        snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return e ? e : env_syncdir(env, parent, why);
}

/* A directory and those it lies in. */
static enum err
make_dirs(struct env *env, const char *dir, struct why *why)
{
    char path[SPOOL_DIR_BYTES_MAX];
    int n = snprintf(path, sizeof path, "%s", dir);
    if (n < 0 || (size_t)n >= sizeof path) return why_set(why, ERR_LIMIT, "a path is too long");
    for (char *p = path + 1; *p != 0; p++) {
        if (*p != '/' || p[-1] == '/') continue;
        *p = 0;
        err_ignore(make_dir(env, path, NULL),
                   "it may be there, and not be ours; the last one tells");
        *p = '/';
    }
    return make_dir(env, path, why);
}

static enum err
file_begin(struct spool *s, const char *dir, int64_t now_ms, struct spool_file **ret_file,
           struct why *why)
{
    struct spool_file *f;
    char path[PATH_BYTES];
    enum err e = spool_more(s, &f);
    if (e) return why_set(why, e, "no more files at a time");
    f->made_ms = now_ms;
    e = make_dirs(s->options.env, dir, why);
    if (e) return e;
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    remove_strays(s, dir);
    if (e == OK) e = name_file(s, f, now_ms, why);
    if (e == OK) e = file_path(f, false, path, why);
    if (e == OK) e = file_open(s->options.env, path, FILE_REPLACE, &f->file, why);
    if (e) return e;
    e = env_syncdir(s->options.env, dir, why);
    if (e == OK) e = file_append(f, s->options.head, why);
    if (e) {
        file_close(&f->file);
        err_ignore(env_unlink(s->options.env, path, NULL), "removed after a restart too");
        return e;
    }
    s->count++;
    *ret_file = f;
    return OK;
}

static enum err
file_finish(struct spool *s, struct spool_file *f, struct why *why)
{
    enum err e = file_append(f, s->options.tail, why);
    if (e) return e;
    f->finished = true;
    e = file_close(&f->file);
    return e ? why_set(why, e, "%s/%s", f->dir, f->name) : OK;
}

static struct spool_file *
open_file(struct spool *s, const char *dir)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_file *f = &s->files[i];
        if (!f->finished && strcmp(f->dir, dir) == 0) return f;
    }
    return NULL;
}

static bool
is_due(const struct spool *s, const struct spool_file *f, int64_t now_ms)
{
    bool empty = f->size <= s->options.head.size;
    bool old = now_ms - f->made_ms >= s->options.roll_age_ms || now_ms < f->made_ms;
    return !empty && (f->size >= s->options.roll_bytes || old);
}

enum err
spool_append(struct spool *s, const char *dir, struct bytes bytes, int64_t now_ms, struct why *why)
{
    struct spool_file *f = open_file(s, dir);
    enum err e = OK;
    if (f != NULL && is_due(s, f, now_ms)) {
        e = file_finish(s, f, why);
        f = NULL;
    }
    if (e == OK && f == NULL) e = file_begin(s, dir, now_ms, &f, why);
    return e ? e : file_append(f, bytes, why);
}

enum err
spool_tend(struct spool *s, int64_t now_ms, bool all, struct why *why)
{
    enum err first = OK;
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_file *f = &s->files[i];
        if (f->finished || !(all || is_due(s, f, now_ms))) continue;
        enum err e = file_finish(s, f, first == OK ? why : NULL);
        if (first == OK) first = e;
    }
    return first;
}

static enum err
file_rename(struct spool *s, const struct spool_file *f, struct why *why)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    enum err e = file_path(f, false, from, why);
    if (e == OK) e = file_path(f, true, to, why);
    if (e == OK) e = env_rename(s->options.env, from, to, why);
    if (e == OK) e = env_syncdir(s->options.env, f->dir, why);
    if (e == OK) s->files_total++;
    return e;
}

/* --- what is remembered ----------------------------------------------------------------------- */

void
spool_save(const struct spool *s, struct buf *to)
{
    buf_put_varint(to, s->number);
    buf_put_varint(to, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_file *f = &s->files[i];
        buf_put_counted(to, bytes_of_text(f->dir));
        buf_put_counted(to, bytes_of_text(f->name));
        buf_put_varint(to, f->size);
        buf_put_zigzag(to, f->made_ms);
        buf_put_u8(to, f->finished);
        f->saved = f->finished;
    }
}

enum err
spool_saved(struct spool *s, struct why *why)
{
    for (uint32_t i = s->count; i-- > 0;) {
        if (!s->files[i].saved) continue;
        enum err e = file_rename(s, &s->files[i], why);
        if (e) return e;
        spool_remove(s, i);
    }
    return OK;
}

static enum err
text_get(struct cursor *c, char *to, size_t size)
{
    struct bytes text = cursor_counted(c);
    if (c->bad || text.size >= size || memchr(text.at, 0, text.size) != NULL) return ERR_CORRUPT;
    memcpy(to, text.at, text.size);
    to[text.size] = 0;
    return OK;
}

/*
 * A file as it was saved: cut to what was confirmed then. ERR_MISSING: it has its name already, or
 * somebody took it away.
 */
static enum err
file_restore(struct spool *s, struct spool_file *f, struct why *why)
{
    char path[PATH_BYTES];
    uint64_t size = 0;
    enum err e = file_path(f, false, path, why);
    if (e == OK) e = file_open(s->options.env, path, FILE_UPDATE, &f->file, why);
    if (e == OK) e = file_size(&f->file, &size, why);
    if (e == OK && size < f->size) {
        log_error("spool: a file is shorter than what was confirmed to be in it", KV("path", path),
                  KV("bytes", size), KV("confirmed_bytes", f->size));
        f->size = size;
    }
    if (e == OK && size > f->size) e = file_truncate(&f->file, f->size, why);
    if (e == OK && size > f->size) e = file_sync(&f->file, why);
    if (e == ERR_MISSING && !f->finished) {
        log_error("spool: a file that was confirmed is gone", KV("path", path),
                  KV("confirmed_bytes", f->size));
    }
    return e;
}

static enum err
spool_load(struct spool *s, struct bytes saved, struct why *why)
{
    struct cursor c = cursor_of(saved);
    s->number = cursor_varint(&c);
    uint64_t count = cursor_varint(&c);
    for (uint64_t i = 0; i < count && !c.bad; i++) {
        struct spool_file *f;
        enum err e = spool_more(s, &f);
        if (e == OK) e = text_get(&c, f->dir, sizeof f->dir);
        if (e == OK) e = text_get(&c, f->name, sizeof f->name);
        if (e) return e;
        f->size = cursor_varint(&c);
        f->made_ms = cursor_zigzag(&c);
        f->finished = cursor_u8(&c) != 0;
        if (c.bad) return ERR_CORRUPT;
        e = file_restore(s, f, why);
        if (e == ERR_MISSING) continue;
        if (e) {
            file_close(&f->file);
            return e;
        }
        s->count++;
        f->saved = f->finished;
        if (f->finished) file_close(&f->file);
    }
    return c.bad ? ERR_CORRUPT : OK;
}

enum err
spool_new(const struct spool_options *options, struct bytes saved, struct spool **ret_spool,
          struct why *why)
{
    struct spool *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "no memory for files");
    s->options = *options;
    enum err e = saved.size == 0 ? OK : spool_load(s, saved, why);
    if (e == OK) e = spool_saved(s, why);
    if (e) {
        spool_free(s);
        return e;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        remove_strays(s, s->files[i].dir);
    }
    *ret_spool = s;
    return OK;
}

void
spool_free(struct spool *s)
{
    if (s == NULL) return;
    while (s->count > 0) {
        spool_remove(s, s->count - 1);
    }
    mem_free(s->options.memory, s->files, s->capacity * sizeof *s->files);
    mem_free(s->options.memory, s, sizeof *s);
}

uint64_t
spool_files_total(const struct spool *s)
{
    return s->files_total;
}
