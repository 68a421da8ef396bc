/*
 * place.c - where a repository is. In a directory, which is locked, an object is one file. In a
 * bucket the content of a file is stored in pieces of BACKUP_PIECE_BYTES, of which the first has
 * the name of the object and is written last: so an object with its name is whole. There is no
 * lock: see place_objects() for what protects a backup from pruning.
 */
#include <stdio.h>
#include <string.h>

#include "backend/archive/store.h"
#include "backup/repository.h"

enum { KEY_BYTES = BACKUP_OBJECT_NAME_BYTES + 12, YOUNG_MS = 86400 * 1000 };

static const char OBJECTS[] = "objects/", RECORDS[] = "backups/", LOCK_NAME[] = "LOCK";

/* --- a new repository ------------------------------------------------------------------------- */

enum err
backup_make_dir(struct env *env, const char *dir, struct why *why)
{
    char parent[FILE_PATH_BYTES];
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
    static const char *const dirs[] = {"lost+found", "objects", "backups", OBJECTS_UNFINISHED};
    bool *found = context, is_known = !is_dir && strcmp(name, LOCK_NAME) == 0;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        is_known |= is_dir && strcmp(name, dirs[i]) == 0;
    *found |= !is_known;
    return OK;
}

static enum err
note_object(void *context, const struct object_listed *object)
{
    bool *found = context;
    (void)object;
    *found = true;
    return ERR_CANCELED;
}

enum err
place_prepare(struct backup_place *p, struct why *why)
{
    bool found = false;
    enum err e = p->dir == NULL ? OK : backup_make_dir(p->env, p->dir, why);
    if (e == OK)
        e = p->dir == NULL ? p->objects->ops->list(p->objects, "", note_object, &found, why)
                           : env_listdir(p->env, p->dir, look_at_name, &found, why);
    if (!found) return e;
    return why_set(why, ERR_MISSING, "%s is not a directory of backups, and is not empty",
                   p->shown);
}

/* --- one process at a time -------------------------------------------------------------------- */

static enum err
take_lock(struct backup_place *p, enum backup_use use, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct why reason = {""};
    enum err e = path_in(path, sizeof path, p->dir, LOCK_NAME, why);
    if (e) return e;
    e = file_open(p->env, path, use == BACKUP_READ ? FILE_READ : FILE_UPDATE, &p->lock_file,
                  &reason);
    if (e == ERR_MISSING && use == BACKUP_READ) return OK; /* it was copied without */
    if (e == ERR_MISSING) e = file_open(p->env, path, FILE_REPLACE, &p->lock_file, &reason);
    if (e) return why_set(why, e, "%s", why_text(&reason, e));
    e = file_lock(&p->lock_file, NULL);
    if (e == ERR_AGAIN) return why_set(why, e, "another process is using %s", p->dir);
    err_ignore(e, "a file system without locks");
    return OK;
}

/* Removes what a process that was killed left unfinished. */
static enum err
sweep_object(void *context, const char *name, bool is_dir)
{
    const struct backup_place *p = context;
    char path[FILE_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/" OBJECTS_UNFINISHED "/%s", p->dir, name);
    return is_dir || n < 0 || (size_t)n >= sizeof path ? OK : env_unlink(p->env, path, NULL);
}

enum err
place_begin(struct backup_place *p, enum backup_use use, struct why *why)
{
    char path[FILE_PATH_BYTES];
    if (p->dir == NULL) return OK;
    enum err e = take_lock(p, use, why);
    if (e || use == BACKUP_READ) return e;
    e = path_in(path, sizeof path, p->dir, OBJECTS_UNFINISHED, why);
    if (e == OK) e = env_listdir(p->env, path, sweep_object, p, why);
    return e == ERR_MISSING ? OK : e;
}

void
place_end(struct backup_place *p)
{
    err_ignore(file_close(&p->lock_file), "nothing was written");
}

/* --- small files ------------------------------------------------------------------------------ */

enum err
place_read(struct backup_place *p, const char *name, struct buf *to, struct why *why)
{
    char path[FILE_PATH_BYTES];
    if (p->dir == NULL) return objects_get(p->objects, name, to, why);
    enum err e = path_in(path, sizeof path, p->dir, name, why);
    return e ? e : env_read_whole(p->env, path, to, why); /* the directory may be missing, too */
}

enum err
place_write(struct backup_place *p, const char *name, struct bytes content, struct why *why)
{
    return p->objects->ops->put(p->objects, name, content, false, NULL, why);
}

enum err
place_remove(struct backup_place *p, const char *name, struct why *why)
{
    return p->objects->ops->remove(p->objects, name, why);
}

/* --- lists ------------------------------------------------------------------------------------ */

struct record_keys {
    enum err (*each)(void *context, const char *name, bool is_dir);
    void *context;
};

static enum err
pass_record(void *context, const struct object_listed *object)
{
    const struct record_keys *l = context;
    return l->each(l->context, object->key + sizeof RECORDS - 1, false);
}

enum err
place_records(struct backup_place *p,
              enum err (*each)(void *context, const char *name, bool is_dir), void *context,
              struct why *why)
{
    struct record_keys list = {each, context};
    return p->objects->ops->list(p->objects, RECORDS, pass_record, &list, why);
}

struct key_walk {
    enum err (*each)(void *context, const char *name, uint64_t size_bytes);
    void *context;
    int64_t until_ms;                     /* objects that were written later are young */
    char young[BACKUP_OBJECT_NAME_BYTES]; /* the last young first piece */
};

enum { FIRST_NAME_BYTES = BACKUP_OBJECT_NAME_BYTES - 1 };

static enum err
pass_object(void *context, const struct object_listed *object)
{
    struct key_walk *l = context;
    bool is_known = object->written_ms != INT64_MIN;
    if (l->young[0] != '\0' && strncmp(object->key, l->young, FIRST_NAME_BYTES) == 0) return OK;
    if (is_known && object->written_ms <= l->until_ms)
        return l->each(l->context, object->key, object->size);
    if (strlen(object->key) == FIRST_NAME_BYTES)
        snprintf(l->young, sizeof l->young, "%s", object->key);
    return OK;
}

static enum err
note_newest(void *context, const struct object_listed *object)
{
    int64_t *newest_ms = context;
    if (object->written_ms > *newest_ms) *newest_ms = object->written_ms;
    return OK;
}

/* Leaves out young objects of a bucket: a backup that runs at the same time may have just written
 * them, and names them in its record at its end. They are as old as they were when the newest
 * record was written, by the clock of the bucket: a clock here that is ahead makes none old. */
enum err
place_objects(struct backup_place *p,
              enum err (*each)(void *context, const char *name, uint64_t size_bytes), void *context,
              struct why *why)
{
    int64_t now_ms = env_realtime_ms(p->env), newest_ms = 0;
    struct key_walk list = {each, context, INT64_MAX, ""};
    enum err e = OK;
    if (p->dir == NULL) {
        e = p->objects->ops->list(p->objects, RECORDS, note_newest, &newest_ms, why);
        list.until_ms = (now_ms < newest_ms ? now_ms : newest_ms) - YOUNG_MS;
    }
    return e ? e : p->objects->ops->list(p->objects, OBJECTS, pass_object, &list, why);
}

/* --- objects ---------------------------------------------------------------------------------- */

static void
print_key(const struct backup_file *file, uint64_t piece, char to[KEY_BYTES])
{
    backup_object_name(file->digest, to);
    size_t size = strlen(to);
    if (piece > 0) snprintf(to + size, KEY_BYTES - size, ".%llu", (unsigned long long)piece);
}

static uint64_t
piece_count(const struct backup_file *file)
{
    return file->size_bytes <= BACKUP_PIECE_BYTES ? 1
                                                  : (file->size_bytes - 1) / BACKUP_PIECE_BYTES + 1;
}

bool
place_has(struct backup_place *p, const struct backup_file *file)
{
    char key[KEY_BYTES];
    struct why ignored = {""};
    struct object_facts facts;
    print_key(file, 0, key);
    if (p->objects->ops->look(p->objects, key, &facts, &ignored)) return false;
    bool is_piece = p->dir == NULL && file->size_bytes > BACKUP_PIECE_BYTES;
    return facts.size == (is_piece ? BACKUP_PIECE_BYTES : file->size_bytes);
}

/* A file that is stored: its first piece stays in memory until all others are. */
struct stored_file {
    struct backup_repository *repository;
    struct backup_file *file;
    struct file from;
    uint8_t *first, *other; /* BACKUP_PIECE_BYTES each; NULL for a directory */
    size_t first_size;
};

/* Reads the first piece of a bucket's, and finds out the digest of all. */
static enum err
read_digest(struct stored_file *s, struct why *why)
{
    struct backup_content got;
    enum err e = content_begin(&got, s->repository, NULL, why);
    if (e) return e;
    if (s->first != NULL) {
        e = file_read_some(&s->from, s->first, BACKUP_PIECE_BYTES, 0, &s->first_size, why);
        if (e == OK) e = content_take(&got, bytes_of(s->first, s->first_size));
    }
    if (e == OK && (s->first == NULL || s->first_size == BACKUP_PIECE_BYTES))
        e = content_take_file(&got, &s->from, why);
    e = content_end(&got, e);
    s->file->size_bytes = got.size_bytes;
    memcpy(s->file->digest, got.digest, sizeof s->file->digest);
    return e;
}

static enum err
put_piece(struct stored_file *s, uint64_t number, struct bytes content, struct why *why)
{
    char key[KEY_BYTES];
    print_key(s->file, number, key);
    return place_write(&s->repository->place, key, content, why);
}

static enum err
changed(const struct stored_file *s, struct why *why)
{
    return why_set(why, ERR_AGAIN, "%s changed while it was read", s->from.path);
}

static enum err
put_others(struct stored_file *s, struct why *why)
{
    struct backup_content got;
    size_t size;
    enum err e = content_begin(&got, s->repository, NULL, why);
    if (e) return e;
    e = content_take(&got, bytes_of(s->first, s->first_size));
    for (uint64_t i = 1; i < piece_count(s->file) && e == OK; i++) {
        e = file_read_some(&s->from, s->other, BACKUP_PIECE_BYTES, i * BACKUP_PIECE_BYTES, &size,
                           why);
        if (e == OK) e = content_take(&got, bytes_of(s->other, size));
        if (e == OK) e = put_piece(s, i, bytes_of(s->other, size), why);
    }
    e = content_end(&got, e);
    if (e || memcmp(got.digest, s->file->digest, sizeof got.digest) == 0) return e;
    return changed(s, why);
}

/* Copies the file whose digest was read: `before` has what it was then. */
static enum err
put_whole(struct stored_file *s, const struct file_facts *before, struct why *why)
{
    struct backup_place *p = &s->repository->place;
    struct file_facts after;
    char key[KEY_BYTES];
    print_key(s->file, 0, key);
    enum err e =
        p->objects->ops->put_file(p->objects, key, &s->from, s->file->size_bytes, NULL, why);
    if (e == OK) e = env_facts(p->env, s->from.path, &after, why);
    /* Not the time of its change: a server may remove its own name of a file in a snapshot. */
    if (e == OK && after.modified_ns == before->modified_ns &&
        after.size_bytes == before->size_bytes && after.number == before->number)
        return OK;
    if (e == OK) e = changed(s, why);
    err_ignore(place_remove(p, key, NULL), "verifying finds it");
    return e;
}

static enum err
put_file(struct stored_file *s, bool *ret_new, struct why *why)
{
    struct backup_place *p = &s->repository->place;
    struct file_facts facts;
    enum err e = env_facts(p->env, s->from.path, &facts, why);
    if (e == OK) e = read_digest(s, why);
    if (e || place_has(p, s->file)) return e;
    if (p->dir != NULL) {
        e = put_whole(s, &facts, why); /* invariant 1 */
    } else {
        if (piece_count(s->file) > 1) e = put_others(s, why);
        if (e == OK) e = put_piece(s, 0, bytes_of(s->first, s->first_size), why); /* invariant 1 */
    }
    *ret_new = e == OK;
    return e;
}

enum err
place_put(struct backup_repository *r, const char *path, struct backup_file *file, bool *ret_new,
          struct why *why)
{
    struct stored_file s = {.repository = r, .file = file, .from = FILE_CLOSED};
    if (r->place.dir == NULL) {
        s.first = mem_alloc(r->memory, BACKUP_FILE_MEMORY);
        if (s.first == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", path);
        s.other = s.first + BACKUP_PIECE_BYTES;
    }
    enum err e = file_open(r->env, path, FILE_READ, &s.from, why);
    if (e == OK) e = put_file(&s, ret_new, why);
    err_ignore(file_close(&s.from), "it was only read");
    mem_free(r->memory, s.first, BACKUP_FILE_MEMORY);
    return e;
}

enum err
place_get(struct backup_place *p, const struct backup_file *file, struct backup_content *to,
          struct why *why)
{
    char key[KEY_BYTES];
    enum err e = OK;
    for (uint64_t i = 0; i < piece_count(file) && e == OK; i++) {
        print_key(file, i, key);
        e = p->objects->ops->get(p->objects, key, content_take, to, why);
        if (p->dir != NULL) break;
    }
    return e;
}
