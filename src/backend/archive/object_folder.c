/*
 * object_folder.c - objects in a directory, each in a file. An object is written as DIR/tmp/RANDOM
 * and gets its name when it is durable, by link(), which fails if there is an object of that name.
 * What a killed process left in DIR/tmp stays: it may be another process's now. DIR itself is never
 * made: if it is missing, it may be not mounted.
 */
#include "backend/archive/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text/hex.h"

enum {
    OBJECT_PATH_BYTES = FILE_PATH_BYTES,
    OBJECT_NAME_ROOM = 100, /* of the longest key that is used, and of unfinished files */
    COPY_BYTES = 256 * 1024,
    OBJECT_NAMES_BYTES_MAX = 256 << 20
};

struct object_folder {
    struct objects objects; /* first: it is handed out */
    struct env *env;
    struct budget *memory;
    char dir[OBJECT_PATH_BYTES];
};

static struct object_folder *
object_folder_of(struct objects *objects)
{
    return (struct object_folder *)objects;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Turns ERR_MISSING into ERR_AGAIN if DIR itself is missing. */
static enum err
of_object(struct object_folder *f, enum err e, struct why *why)
{
    struct file_facts facts;
    if (e != ERR_MISSING || env_facts(f->env, f->dir, &facts, NULL) != ERR_MISSING) return e;
    return why_set(why, ERR_AGAIN, "the directory %s is missing; is it mounted?", f->dir);
}

/* Splits a path at its last slash, which it has. */
static void
parent_of(const char *path, char to[OBJECT_PATH_BYTES])
{
    snprintf(to, OBJECT_PATH_BYTES, "%.*s", (int)(strrchr(path, '/') - path), path);
}

/* Makes a directory below DIR and those above it, durably. */
static enum err
make_dirs(struct object_folder *f, const char *dir, struct why *why)
{
    char parent[OBJECT_PATH_BYTES];
    struct file_facts facts;
    enum err e = env_facts(f->env, dir, &facts, why);
    if (e != ERR_MISSING || strcmp(dir, f->dir) == 0) return of_object(f, e, why);
    parent_of(dir, parent);
    e = make_dirs(f, parent, why);
    if (e == OK) e = env_mkdir(f->env, dir, why);
    return e ? e : env_syncdir(f->env, parent, why);
}

/* Opens a new file for an object. */
static enum err
begin_file(struct object_folder *f, const char *key, struct file *ret_file, struct why *why)
{
    char path[OBJECT_PATH_BYTES], name[sizeof OBJECTS_UNFINISHED + 20];
    uint64_t number;
    enum err e = path_in(path, sizeof path, f->dir, key, why);
    if (e) return e;
    *strrchr(path, '/') = '\0';
    e = make_dirs(f, path, why);
    if (e == OK) e = path_in(path, sizeof path, f->dir, OBJECTS_UNFINISHED, why);
    if (e == OK) e = make_dirs(f, path, why);
    if (e == OK) e = env_random(f->env, &number, sizeof number);
    if (e) return e;
    snprintf(name, sizeof name, OBJECTS_UNFINISHED "/%016" PRIx64, number);
    e = path_in(path, sizeof path, f->dir, name, why);
    return e ? e : file_open(f->env, path, FILE_CREATE, ret_file, why);
}

/* Makes the file durable and gives it its name. *ret_written is false if there is one already, and
 * `only_new`. */
static enum err
end_file(struct object_folder *f, struct file *file, const char *key, bool only_new,
         bool *ret_written, struct why *why)
{
    char to[OBJECT_PATH_BYTES], dir[OBJECT_PATH_BYTES];
    struct file_facts facts;
    *ret_written = false;
    enum err e = file_sync(file, why);
    e = err_first(e, file_close(file));
    if (e == OK) e = path_in(to, sizeof to, f->dir, key, why);
    if (e == OK) {
        parent_of(to, dir);
        e = only_new ? env_link(f->env, file->path, to, why)
                     : env_rename(f->env, file->path, to, why);
        bool exists = e && only_new && env_facts(f->env, to, &facts, NULL) == OK;
        if (e == OK) e = env_syncdir(f->env, dir, why);
        *ret_written = e == OK;
        if (exists) e = OK;
    }
    err_ignore(env_unlink(f->env, file->path, NULL), "it stays, unused");
    return e;
}

static void
abandon_file(struct object_folder *f, struct file *file)
{
    if (file->handle < 0) return;
    err_ignore(file_close(file), "it is removed");
    err_ignore(env_unlink(f->env, file->path, NULL), "it stays, unused");
}

static enum err
object_folder_put(struct objects *objects, const char *key, struct bytes content, bool only_new,
                  bool *ret_written, struct why *why)
{
    struct object_folder *f = object_folder_of(objects);
    struct file file = FILE_CLOSED;
    bool written = false;
    enum err e = begin_file(f, key, &file, why);
    if (e == OK) e = file_write_at(&file, content, 0, why);
    if (e == OK)
        e = end_file(f, &file, key, only_new, &written, why);
    else
        abandon_file(f, &file);
    if (ret_written != NULL) *ret_written = written;
    return e;
}

static enum err
object_folder_put_file(struct objects *objects, const char *key, struct file *from, uint64_t size,
                       struct object_digest *ret_digest, struct why *why)
{
    struct object_folder *f = object_folder_of(objects);
    struct file file = FILE_CLOSED;
    struct object_digester digester;
    bool written, digests = ret_digest != NULL;
    uint8_t *chunk = mem_alloc(f->memory, COPY_BYTES);
    if (chunk == NULL || (digests && object_digester_begin(&digester))) {
        mem_free(f->memory, chunk, COPY_BYTES);
        return why_set(why, ERR_NOMEM, "not enough memory to read %s", from->path);
    }
    enum err e = begin_file(f, key, &file, why);
    if (e == OK) e = file_truncate(&file, size, why);
    for (uint64_t at = 0; e == OK && at < size;) {
        size_t more = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        e = file_read_at(from, chunk, more, at, why);
        if (e == OK && digests) e = object_digester_take(&digester, bytes_of(chunk, more));
        /* Zeros become holes: a log that is mostly free space takes none. */
        if (e == OK && (chunk[0] != 0 || memcmp(chunk, chunk + 1, more - 1) != 0))
            e = file_write_at(&file, bytes_of(chunk, more), at, why);
        at += more;
    }
    if (digests) e = object_digester_end(&digester, e, ret_digest);
    if (e == OK)
        e = end_file(f, &file, key, false, &written, why);
    else
        abandon_file(f, &file);
    mem_free(f->memory, chunk, COPY_BYTES);
    return e;
}

static enum err
object_folder_remove(struct objects *objects, const char *key, struct why *why)
{
    struct object_folder *f = object_folder_of(objects);
    char path[OBJECT_PATH_BYTES], dir[OBJECT_PATH_BYTES];
    enum err e = path_in(path, sizeof path, f->dir, key, why);
    if (e == OK) e = env_unlink(f->env, path, why);
    if (e) return e;
    parent_of(path, dir);
    return env_syncdir(f->env, dir, why);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
open_object(struct object_folder *f, const char *key, struct file *ret_file, struct why *why)
{
    char path[OBJECT_PATH_BYTES];
    enum err e = path_in(path, sizeof path, f->dir, key, why);
    return e ? e : of_object(f, file_open(f->env, path, FILE_READ, ret_file, why), why);
}

static enum err
object_folder_look(struct objects *objects, const char *key, struct object_facts *ret,
                   struct why *why)
{
    struct object_folder *f = object_folder_of(objects);
    char path[OBJECT_PATH_BYTES];
    struct file_facts facts;
    ret->now_ms = env_realtime_ms(f->env);
    enum err e = path_in(path, sizeof path, f->dir, key, why);
    if (e == OK) e = of_object(f, env_facts(f->env, path, &facts, why), why);
    if (e) return e;
    *ret = (struct object_facts){.size = facts.size_bytes,
                                 .written_ms = facts.modified_ns / NS_PER_MS,
                                 .now_ms = env_realtime_ms(f->env)};
    return OK;
}

static enum err
object_folder_get(struct objects *objects, const char *key,
                  enum err (*take)(void *context, struct bytes piece), void *context,
                  struct why *why)
{
    struct object_folder *f = object_folder_of(objects);
    struct file file = FILE_CLOSED;
    size_t size = 0;
    uint8_t *chunk = mem_alloc(f->memory, COPY_BYTES);
    if (chunk == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", key);
    enum err e = open_object(f, key, &file, why);
    for (uint64_t at = 0; e == OK; at += size) {
        e = file_read_some(&file, chunk, COPY_BYTES, at, &size, why);
        if (e || size == 0) break;
        e = take(context, bytes_of(chunk, size));
    }
    err_ignore(file_close(&file), "it was only read");
    mem_free(f->memory, chunk, COPY_BYTES);
    return e;
}

static enum err
object_folder_read(struct objects *objects, const struct object_range *ranges, uint32_t count,
                   struct query_control *control, struct why *why)
{
    struct file file = FILE_CLOSED;
    enum err e = OK;
    (void)control; /* as reads of the store's own files */
    for (uint32_t i = 0; e == OK && i < count; i++) {
        const struct object_range *r = &ranges[i];
        if (i == 0 || strcmp(r->key, ranges[i - 1].key) != 0) {
            err_ignore(file_close(&file), "it was only read");
            e = open_object(object_folder_of(objects), r->key, &file, why);
        }
        if (e == OK) e = file_read_at(&file, r->to, r->size, r->offset, why);
    }
    err_ignore(file_close(&file), "it was only read");
    return e;
}

static enum err
object_folder_rule(struct objects *objects, char ret_rule[OBJECT_RULE_BYTES], struct why *why)
{
    (void)objects;
    (void)why;
    ret_rule[0] = '\0';
    return OK;
}

/* --- listing ---------------------------------------------------------------------------------- */

struct object_folder_names {
    struct buf names; /* each with a NUL; a directory's with a slash before that */
    uint32_t count;
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    struct object_folder_names *n = context;
    buf_put_text(&n->names, name);
    if (is_dir) buf_put_text(&n->names, "/");
    buf_put_u8(&n->names, '\0');
    n->count++;
    return buf_error(&n->names);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct object_folder_walk {
    struct object_folder *folder;
    const char *begin;
    enum err (*each)(void *context, const struct object_listed *object);
    void *context;
};

/* Gives the objects below a key that ends with a slash, or is empty, in the order of their keys. */
static enum err
walk(struct object_folder_walk *w, const char *above, struct why *why)
{
    struct object_folder *f = w->folder;
    struct object_folder_names found = {.count = 0};
    char path[OBJECT_PATH_BYTES], key[OBJECT_KEY_BYTES];
    struct object_facts facts;
    buf_init(&found.names, f->memory, OBJECT_NAMES_BYTES_MAX);
    enum err e = path_in(path, sizeof path, f->dir, above, why);
    if (e == OK) e = env_listdir(f->env, path, note_name, &found, why);
    size_t bytes = (found.count + 1) * sizeof(char *);
    const char **list = e == OK ? mem_alloc(f->memory, bytes) : NULL;
    if (e == OK && list == NULL) e = ERR_NOMEM;
    if (e == ERR_NOMEM) (void)why_set(why, e, "not enough memory to list %s", path);
    if (e == OK) {
        const char *name = (const char *)found.names.at;
        for (uint32_t i = 0; i < found.count; i++, name += strlen(name) + 1)
            list[i] = name;
        qsort(list, found.count, sizeof *list, by_text);
    }
    for (uint32_t i = 0; e == OK && i < found.count; i++) {
        int n = snprintf(key, sizeof key, "%s%s", above, list[i]);
        if (n < 0 || (size_t)n >= sizeof key || strcmp(key, OBJECTS_UNFINISHED "/") == 0) continue;
        size_t shared = strlen(w->begin) < (size_t)n ? strlen(w->begin) : (size_t)n;
        bool is_dir = key[n - 1] == '/';
        if (strncmp(key, w->begin, is_dir ? shared : strlen(w->begin)) != 0) continue;
        if (is_dir) {
            e = walk(w, key, why);
            continue;
        }
        e = object_folder_look(&f->objects, key, &facts, why);
        if (e == OK)
            e = w->each(w->context, &(struct object_listed){key, facts.size, facts.written_ms});
        else if (e == ERR_MISSING)
            e = OK; /* it was removed meanwhile */
    }
    mem_free(f->memory, list, list == NULL ? 0 : bytes);
    buf_fini(&found.names);
    return e == ERR_MISSING ? OK : e;
}

static enum err
object_folder_list(struct objects *objects, const char *begin,
                   enum err (*each)(void *context, const struct object_listed *object),
                   void *context, struct why *why)
{
    struct object_folder_walk w = {object_folder_of(objects), begin, each, context};
    struct file_facts facts;
    enum err e = of_object(w.folder, env_facts(w.folder->env, w.folder->dir, &facts, why), why);
    return e ? e : walk(&w, "", why);
}

/* --- the folder ------------------------------------------------------------------------------- */

static void
object_folder_free(struct objects *objects)
{
    struct object_folder *f = object_folder_of(objects);
    mem_free(f->memory, f, sizeof *f);
}

enum err
objects_folder(struct env *env, struct budget *memory, const char *dir,
               struct objects **ret_objects, struct why *why)
{
    static const struct objects_ops ops = {
        object_folder_put,  object_folder_put_file, object_folder_look,
        object_folder_get,  object_folder_read,     object_folder_list,
        object_folder_rule, object_folder_remove,   object_folder_free};
    size_t size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    if (size == 0 || size + OBJECT_NAME_ROOM > OBJECT_PATH_BYTES)
        return why_set(why, ERR_LIMIT, "the path of the directory is empty or too long");
    struct object_folder *f = mem_new(memory, sizeof *f);
    if (f == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a bucket");
    f->objects = (struct objects){&ops, f->dir};
    f->env = env;
    f->memory = memory;
    memcpy(f->dir, dir, size);
    *ret_objects = &f->objects;
    return OK;
}
