/* place_dir.c - a repository in a directory. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backup/repository.h"
#include "base/text/texts.h"

enum { PATH_BYTES = BACKUP_DIR_BYTES + 110, FOLDERS = 256 };

static const char LOCK_NAME[] = "LOCK", OBJECTS[] = "objects", PLACE_DIR_RECORDS[] = "backups";

struct dir_place {
    struct backup_place place; /* first: it is handed out */
    struct env *env;
    struct budget *memory;
    char dir[BACKUP_DIR_BYTES];
    struct file lock_file;
    _Atomic uint64_t unfinished; /* number of the next unfinished object */
};

static struct dir_place *
dir_of(struct backup_place *place)
{
    return (struct dir_place *)place;
}

static enum err
path_of(const struct dir_place *d, char to[PATH_BYTES], const char *name, struct why *why)
{
    return path_in(to, PATH_BYTES, d->dir, name, why);
}

/* Splits a path at its last slash, which it has. */
static void
parent_of(const char path[PATH_BYTES], char to[PATH_BYTES])
{
    snprintf(to, PATH_BYTES, "%.*s", (int)(strrchr(path, '/') - path), path);
}

/* --- a new repository ------------------------------------------------------------------------- */

enum err
backup_make_dir(struct env *env, const char *dir, struct why *why)
{
    char parent[PATH_BYTES];
    size_t size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    while (size > 0 && dir[size - 1] != '/')
        size--;
    if (size >= sizeof parent) return why_set(why, ERR_LIMIT, "the path %.60s... is too long", dir);
    snprintf(parent, sizeof parent, "%.*s", (int)size, size == 0 ? "" : dir);
    enum err e = env_mkdir(env, dir, why);
    return e ? e : env_syncdir(env, size == 0 ? "." : parent, why);
}

/* Sets `context` to true for what neither a new file system nor an unfinished repository has. */
static enum err
look_at_name(void *context, const char *name, bool is_dir)
{
    bool *found = context;
    if (is_dir && (strcmp(name, "lost+found") == 0 || strcmp(name, OBJECTS) == 0 ||
                   strcmp(name, PLACE_DIR_RECORDS) == 0))
        return OK;
    if (!is_dir && (strcmp(name, LOCK_NAME) == 0 || strcmp(name, "BACKUP.tmp") == 0)) return OK;
    *found = true;
    return OK;
}

static enum err
place_dir_prepare(struct backup_place *place, struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    bool found = false;
    enum err e = backup_make_dir(d->env, d->dir, why);
    if (e == OK) e = env_listdir(d->env, d->dir, look_at_name, &found, why);
    if (e == OK && found)
        e = why_set(why, ERR_MISSING, "%s is not a directory of backups, and is not empty", d->dir);
    if (e == OK) e = path_of(d, path, OBJECTS, why);
    if (e == OK) e = env_mkdir(d->env, path, why);
    if (e == OK) e = path_of(d, path, PLACE_DIR_RECORDS, why);
    return e ? e : env_mkdir(d->env, path, why);
}

/* --- one process at a time -------------------------------------------------------------------- */

static enum err
take_lock(struct dir_place *d, enum backup_use use, struct why *why)
{
    char path[PATH_BYTES];
    struct why reason = {""};
    enum err e = path_of(d, path, LOCK_NAME, why);
    if (e) return e;
    e = file_open(d->env, path, use == BACKUP_READ ? FILE_READ : FILE_UPDATE, &d->lock_file,
                  &reason);
    if (e == ERR_MISSING && use == BACKUP_READ) return OK; /* it was copied without */
    if (e == ERR_MISSING) e = file_open(d->env, path, FILE_REPLACE, &d->lock_file, &reason);
    if (e) return why_set(why, e, "%s", why_text(&reason, e));
    e = file_lock(&d->lock_file, NULL);
    if (e == ERR_AGAIN) return why_set(why, e, "another process is using %s", d->dir);
    err_ignore(e, "a file system without locks");
    return OK;
}

/* Removes what a process that was killed left unfinished. */
static enum err
sweep_object(void *context, const char *name, bool is_dir)
{
    struct dir_place *d = context;
    char path[PATH_BYTES];
    if (is_dir || !text_ends_with(name, ".tmp")) return OK;
    int n = snprintf(path, sizeof path, "%s/%s/%s", d->dir, OBJECTS, name);
    if (n < 0 || (size_t)n >= sizeof path) return OK;
    return env_unlink(d->env, path, NULL);
}

static enum err
place_dir_begin(struct backup_place *place, enum backup_use use, struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    enum err e = take_lock(d, use, why);
    if (e || use == BACKUP_READ) return e;
    e = path_of(d, path, OBJECTS, why);
    return e ? e : env_listdir(d->env, path, sweep_object, d, why);
}

/* --- small files ------------------------------------------------------------------------------ */

static enum err
place_dir_read_small(struct backup_place *place, const char *name, struct buf *to, struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    enum err e = path_of(d, path, name, why);
    return e ? e : env_read_whole(d->env, path, to, why);
}

static enum err
place_dir_write_small(struct backup_place *place, const char *name, struct bytes content,
                      struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES], folder[PATH_BYTES];
    enum err e = path_of(d, path, name, why);
    if (e) return e;
    parent_of(path, folder);
    return env_write_whole(d->env, folder, path + strlen(folder) + 1, content, why);
}

static enum err
remove_file(struct backup_place *place, const char *name, struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES], folder[PATH_BYTES];
    enum err e = path_of(d, path, name, why);
    if (e) return e;
    parent_of(path, folder);
    e = env_unlink(d->env, path, why);
    return e ? e : env_syncdir(d->env, folder, why);
}

/* --- lists ------------------------------------------------------------------------------------ */

static enum err
place_dir_records(struct backup_place *place,
                  enum err (*each)(void *context, const char *name, bool is_dir), void *context,
                  struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    enum err e = path_of(d, path, PLACE_DIR_RECORDS, why);
    return e ? e : env_listdir(d->env, path, each, context, why);
}

struct object_names {
    struct dir_place *of;
    char folder[16]; /* "objects/ab" */
    enum err (*each)(void *context, const char *name, uint64_t size_bytes);
    void *context;
    struct why *why;
};

static enum err
place_dir_pass_object(void *context, const char *name, bool is_dir)
{
    const struct object_names *l = context;
    char below[BACKUP_OBJECT_NAME_BYTES], path[PATH_BYTES];
    struct file_facts facts;
    if (is_dir || strlen(name) != 2 * BACKUP_DIGEST_BYTES) return OK;
    snprintf(below, sizeof below, "%s/%s", l->folder, name);
    enum err e = path_of(l->of, path, below, l->why);
    if (e == OK) e = env_facts(l->of->env, path, &facts, l->why);
    return e ? e : l->each(l->context, below, facts.size_bytes);
}

static enum err
place_dir_objects(struct backup_place *place,
                  enum err (*each)(void *context, const char *name, uint64_t size_bytes),
                  void *context, struct why *why)
{
    struct object_names list = {dir_of(place), "", each, context, why};
    char path[PATH_BYTES];
    enum err e = OK;
    for (unsigned i = 0; i < FOLDERS && e == OK; i++) {
        snprintf(list.folder, sizeof list.folder, "%s/%02x", OBJECTS, i);
        e = path_of(list.of, path, list.folder, why);
        if (e == OK) e = env_listdir(list.of->env, path, place_dir_pass_object, &list, why);
        if (e == ERR_MISSING) e = OK;
    }
    return e;
}

/* --- objects ---------------------------------------------------------------------------------- */

static enum err
object_path(const struct dir_place *d, const struct backup_file *file, char to[PATH_BYTES],
            struct why *why)
{
    char name[BACKUP_OBJECT_NAME_BYTES];
    backup_object_name(file->digest, name);
    return path_of(d, to, name, why);
}

static bool
has(struct backup_place *place, const struct backup_file *file)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    struct file_facts facts;
    return object_path(d, file, path, NULL) == OK && env_facts(d->env, path, &facts, NULL) == OK &&
           facts.kind == FILE_KIND_PLAIN && facts.size_bytes == file->size_bytes;
}

/* Gives a durable object its name. */
static enum err
name_object(struct dir_place *d, const char *unfinished, const struct backup_file *file,
            struct why *why)
{
    char folder[PATH_BYTES], path[PATH_BYTES], all[PATH_BYTES];
    struct file_facts facts;
    enum err e = object_path(d, file, path, why);
    if (e == OK) e = path_of(d, all, OBJECTS, why);
    if (e) return e;
    parent_of(path, folder);
    if (env_facts(d->env, folder, &facts, NULL) != OK) {
        e = env_mkdir(d->env, folder, why);
        if (e == OK) e = env_syncdir(d->env, all, why);
    }
    if (e == OK) e = env_rename(d->env, unfinished, path, why);
    return e ? e : env_syncdir(d->env, folder, why);
}

static enum err
copy(struct backup_repository *r, const char *path, struct file *to, struct backup_file *file,
     struct why *why)
{
    struct file from = FILE_CLOSED;
    struct backup_content got;
    enum err e = file_open(r->env, path, FILE_READ, &from, why);
    if (e) return e;
    e = content_begin(&got, r, to, why);
    if (e == OK) e = content_end(&got, content_take_file(&got, &from, why));
    err_ignore(file_close(&from), "it was only read");
    if (e) return e;
    file->size_bytes = got.size_bytes;
    memcpy(file->digest, got.digest, sizeof file->digest);
    return OK;
}

static enum err
place_dir_put(struct backup_place *place, struct backup_repository *r, const char *path,
              struct backup_file *file, bool *ret_new, struct why *why)
{
    struct dir_place *d = dir_of(place);
    char unfinished[PATH_BYTES];
    struct file to = FILE_CLOSED;
    uint64_t number = atomic_fetch_add_explicit(&d->unfinished, 1, memory_order_relaxed);
    snprintf(unfinished, sizeof unfinished, "%s/%s/%" PRIu64 ".tmp", d->dir, OBJECTS, number);
    enum err e = file_open(d->env, unfinished, FILE_REPLACE, &to, why);
    if (e == OK) e = copy(r, path, &to, file, why);
    if (e == OK) *ret_new = !has(place, file);
    if (e == OK && *ret_new) e = file_sync(&to, why);
    enum err closed = file_close(&to);
    if (e == OK && *ret_new && closed) e = why_set(why, closed, "cannot write %s", unfinished);
    if (e == OK && *ret_new) e = name_object(d, unfinished, file, why); /* invariant 1 */
    if (e || !*ret_new) err_ignore(env_unlink(d->env, unfinished, NULL), "the next backup does it");
    return e;
}

static enum err
place_dir_get(struct backup_place *place, const struct backup_file *file, struct backup_content *to,
              struct why *why)
{
    struct dir_place *d = dir_of(place);
    char path[PATH_BYTES];
    struct file from = FILE_CLOSED;
    enum err e = object_path(d, file, path, why);
    if (e == OK) e = file_open(d->env, path, FILE_READ, &from, why);
    if (e == OK) e = content_take_file(to, &from, why);
    err_ignore(file_close(&from), "it was only read");
    return e;
}

static void
place_dir_free_place(struct backup_place *place)
{
    struct dir_place *d = dir_of(place);
    err_ignore(file_close(&d->lock_file), "nothing was written");
    mem_free(d->memory, d, sizeof *d);
}

enum err
backup_place_dir(struct env *env, struct budget *memory, const char *dir,
                 struct backup_place **ret_place, struct why *why)
{
    static const struct backup_place_ops ops = {
        place_dir_prepare, place_dir_begin,   place_dir_read_small, place_dir_write_small,
        remove_file,       place_dir_records, place_dir_objects,    has,
        place_dir_put,     place_dir_get,     place_dir_free_place};
    struct dir_place *d = mem_new(memory, sizeof *d);
    if (d == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    *d = (struct dir_place){
        .place = {&ops, dir}, .env = env, .memory = memory, .lock_file = FILE_CLOSED};
    if (snprintf(d->dir, sizeof d->dir, "%s", dir) >= (int)sizeof d->dir) {
        place_dir_free_place(&d->place);
        return why_set(why, ERR_LIMIT, "the path of the directory of backups is too long");
    }
    *ret_place = &d->place;
    return OK;
}
