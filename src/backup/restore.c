/* restore.c - verifies and restores a backup. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/backup.h"
#include "backup/each.h"
#include "base/array.h"
#include "model/storage_layout.h"

enum { TARGET_BYTES = 200, PATH_BYTES = TARGET_BYTES + BACKUP_PATH_BYTES + 2 };

/* --- verify ----------------------------------------------------------------------------------- */

struct object_check {
    struct backup_repository *repository;
    struct backup_verifier *verifier;
    struct backup_record record;
    bool *whole;      /* by file: its object was read and is whole */
    struct lock lock; /* LOCK_RANK_LEAF; of the fields below */
    struct backup_report *report;
    uint64_t wrong;
};

static bool
is_known(const struct backup_verifier *v, const uint8_t digest[BACKUP_DIGEST_BYTES])
{
    return v->whole_count > 0 &&
           bsearch(digest, v->whole, v->whole_count, sizeof *v->whole, backup_digest_order) != NULL;
}

static enum err
verify_file(void *context, size_t i, struct why *why)
{
    struct object_check *v = context;
    const struct backup_file *file = &v->record.files[i];
    struct why reason = {""};
    bool known = is_known(v->verifier, file->digest);
    enum err e = known ? OK : backup_check(v->repository, file, &reason);
    if (e && e != ERR_CORRUPT && e != ERR_MISSING && e != ERR_IO) {
        return why_set(why, e, "%s", why_text(&reason, e));
    }
    v->whole[i] = e == OK && !known;
    lock_take(&v->lock);
    v->report->files++;
    v->report->bytes += file->size_bytes;
    if (e) v->wrong++;
    lock_drop(&v->lock);
    if (e) v->verifier->found(v->verifier->context, why_text(&reason, e));
    return OK;
}

/* Without memory, the objects are read again for the next backup. */
static void
note_whole(struct object_check *x)
{
    struct backup_verifier *v = x->verifier;
    if (!array_reserve(x->repository->memory, &v->whole, &v->whole_capacity,
                       v->whole_count + x->record.count)) {
        return;
    }
    for (size_t i = 0; i < x->record.count; i++) {
        if (!x->whole[i]) continue;
        memcpy(v->whole[v->whole_count++].at, x->record.files[i].digest, BACKUP_DIGEST_BYTES);
    }
    if (v->whole_count > 0) qsort(v->whole, v->whole_count, sizeof *v->whole, backup_digest_order);
}

static enum err
verify_files(struct object_check *v, uint32_t threads, struct why *why)
{
    struct budget *memory = v->repository->memory;
    size_t bytes = (v->record.count + 1) * sizeof *v->whole;
    v->whole = mem_new(memory, bytes);
    if (v->whole == NULL) return why_set(why, ERR_NOMEM, "not enough memory to verify a backup");
    enum err e = each_of(v->repository->env, threads, v->record.count, verify_file, v, why);
    if (e == OK) note_whole(v);
    mem_free(memory, v->whole, bytes);
    return e;
}

enum err
backup_verify(struct backup_repository *repository, const char *id, uint32_t threads,
              struct backup_verifier *verifier, struct backup_report *ret_report,
              uint64_t *ret_wrong, struct why *why)
{
    struct object_check v = {.repository = repository, .verifier = verifier, .report = ret_report};
    *ret_report = (struct backup_report){0};
    backup_record_init(&v.record, repository->memory);
    lock_init(&v.lock, LOCK_RANK_LEAF);
    enum err e = backup_record_read(repository, id, &v.record, why);
    if (e == OK) e = verify_files(&v, threads, why);
    *ret_wrong = v.wrong;
    lock_fini(&v.lock);
    backup_record_fini(&v.record);
    return e;
}

void
backup_verifier_fini(struct backup_verifier *verifier, struct budget *memory)
{
    array_free(memory, verifier->whole, verifier->whole_capacity);
}

/* --- restore ---------------------------------------------------------------------------------- */

struct restore {
    struct backup_repository *repository;
    const char *dir, *id;
    struct backup_record record;
    struct file mark; /* RESTORING, locked: two restores would replace each other's files */
    struct lock lock; /* LOCK_RANK_LEAF; of the report */
    struct backup_report *report;
};

static enum err
find_any(void *context, const char *name, bool is_dir)
{
    (void)context;
    bool is_left =
        is_dir ? strcmp(name, "lost+found") == 0
               : strcmp(name, STORAGE_RESTORING ".tmp") == 0 || strcmp(name, STORAGE_LOCK) == 0;
    return is_left ? OK : ERR_INPUT;
}

/* Removes the LOCK of a server that was killed while it made a storage directory. */
static enum err
remove_lock(struct restore *x, struct why *why)
{
    char path[PATH_BYTES];
    struct file lock;
    enum err e = path_in(path, sizeof path, x->dir, STORAGE_LOCK, why);
    if (e == OK) e = file_open(x->repository->env, path, FILE_UPDATE, &lock, NULL);
    if (e) return e == ERR_MISSING ? OK : why_set(why, e, "cannot open %s", path);
    e = file_lock(&lock, NULL) == ERR_AGAIN
            ? why_set(why, ERR_AGAIN, "%s is in use by another process", x->dir)
            : env_unlink(x->repository->env, path, why);
    err_ignore(file_close(&lock), "nothing was written to it");
    return e;
}

/* Marks the directory, if it is empty. */
static enum err
make_mark(struct restore *x, struct why *why)
{
    struct env *env = x->repository->env;
    enum err e = env_listdir(env, x->dir, find_any, NULL, why);
    if (e == ERR_INPUT)
        why_set(why, e, "%s is not empty; restore into an empty or missing directory", x->dir);
    if (e == OK) e = remove_lock(x, why);
    return e ? e : env_write_whole(env, x->dir, STORAGE_RESTORING, bytes_of_text(x->id), why);
}

/* ERR_MISSING: there is no mark; ERR_INPUT: it is that of another backup. */
static enum err
lock_mark(struct restore *x, struct why *why)
{
    char path[PATH_BYTES], text[BACKUP_ID_BYTES];
    size_t size = 0;
    enum err e = path_in(path, sizeof path, x->dir, STORAGE_RESTORING, why);
    if (e == OK) e = file_open(x->repository->env, path, FILE_UPDATE, &x->mark, why);
    if (e) return e;
    if (file_lock(&x->mark, NULL) == ERR_AGAIN) {
        return why_set(why, ERR_AGAIN, "another process is restoring into %s", x->dir);
    }
    e = file_read_some(&x->mark, text, sizeof text, 0, &size, why);
    if (e || bytes_equal(bytes_of(text, size), bytes_of_text(x->id))) return e;
    return storage_check_restored(x->repository->env, x->dir, why);
}

struct listed {
    struct restore *restore;
    const char *below; /* "": the directory itself */
    struct why *why;
};

/* Refuses a file that the backup does not have: those that it has may have changed, too. */
static enum err
check_name(void *context, const char *name, bool is_dir)
{
    const struct listed *l = context;
    struct restore *x = l->restore;
    char below[BACKUP_PATH_BYTES], path[PATH_BYTES];
    bool is_top = l->below[0] == '\0';
    if (is_top && (is_dir ? strcmp(name, "lost+found") : strcmp(name, STORAGE_RESTORING)) == 0)
        return OK;
    int n = snprintf(below, sizeof below, "%s%s%s", l->below, is_top ? "" : "/", name);
    enum err e = path_in(path, sizeof path, x->dir, below, l->why);
    if (e == OK && is_dir && n < (int)sizeof below) {
        struct listed list = {x, below, l->why};
        return env_listdir(x->repository->env, path, check_name, &list, l->why);
    }
    if (e || (n < (int)sizeof below && backup_record_find(&x->record, below) != NULL)) return e;
    return why_set(l->why, ERR_INPUT,
                   "%s is not in backup %s: a server has used the directory since its restore was "
                   "interrupted; restore into another directory",
                   path, x->id);
}

/* Checks that the directory is empty, or left by an unfinished restore of this backup, and marks
 * it. */
static enum err
begin(struct restore *x, struct why *why)
{
    struct listed top = {x, "", why};
    enum err e = backup_make_dir(x->repository->env, x->dir, why);
    if (e == OK) e = lock_mark(x, why);
    if (e == OK) return env_listdir(x->repository->env, x->dir, check_name, &top, why);
    if (e == ERR_MISSING) e = make_mark(x, why);
    return e ? e : lock_mark(x, why);
}

/* Calls `call` for each directory of the files, a directory before those in it. */
static enum err
each_dir(struct restore *x, enum err (*call)(struct env *env, const char *path, struct why *why),
         struct why *why)
{
    char last[BACKUP_PATH_BYTES] = "", path[PATH_BYTES];
    enum err e = OK;
    for (size_t i = 0; i < x->record.count && e == OK; i++) {
        const char *file = x->record.files[i].path;
        for (const char *slash = strchr(file, '/'); slash != NULL && e == OK;
             slash = strchr(slash + 1, '/')) {
            size_t size = (size_t)(slash - file);
            if (strncmp(last, file, size) == 0 && last[size] == '/') continue;
            e = snprintf(path, sizeof path, "%s/%.*s", x->dir, (int)size, file) < (int)sizeof path
                    ? call(x->repository->env, path, why)
                    : ERR_LIMIT;
        }
        snprintf(last, sizeof last, "%s", file);
    }
    return e;
}

static enum err
get_file(struct restore *x, const struct backup_file *file, struct why *why)
{
    char path[PATH_BYTES];
    enum err e = path_in(path, sizeof path, x->dir, file->path, why);
    if (e == OK) e = backup_get(x->repository, file, path, why);
    if (e) return e;
    lock_take(&x->lock);
    x->report->files++;
    x->report->bytes += file->size_bytes;
    lock_drop(&x->lock);
    return OK;
}

/* FORMAT is written last; RESTORING is in backups of directories that were not restored completely.
 */
static enum err
restore_file(void *context, size_t i, struct why *why)
{
    struct restore *x = context;
    const struct backup_file *file = &x->record.files[i];
    bool later =
        strcmp(file->path, STORAGE_FORMAT) == 0 || strcmp(file->path, STORAGE_RESTORING) == 0;
    return later ? OK : get_file(x, file, why);
}

/* Removes the mark of an unfinished restore, once the name of FORMAT is durable. */
static enum err
unmark(struct restore *x, struct why *why)
{
    struct env *env = x->repository->env;
    enum err e = env_syncdir(env, x->dir, why);
    if (e == OK) e = env_unlink(env, x->mark.path, why);
    return e ? e : env_syncdir(env, x->dir, why);
}

static enum err
restore(struct restore *x, uint32_t threads, struct why *why)
{
    struct env *env = x->repository->env;
    enum err e = backup_record_read(x->repository, x->id, &x->record, why);
    if (e) return e;
    const struct backup_file *format = backup_record_find(&x->record, STORAGE_FORMAT);
    if (format == NULL) return why_set(why, ERR_CORRUPT, "backup %s has no file FORMAT", x->id);
    e = begin(x, why);
    if (e == OK) e = each_dir(x, env_mkdir, why);
    if (e == OK) e = each_of(env, threads, x->record.count, restore_file, x, why);
    if (e == OK) e = each_dir(x, env_syncdir, why);
    if (e == OK) e = env_syncdir(env, x->dir, why);
    if (e == OK) e = get_file(x, format, why);
    return e ? e : unmark(x, why);
}

enum err
backup_restore(struct backup_repository *repository, const char *id, const char *dir,
               uint32_t threads, struct backup_report *ret_report, struct why *why)
{
    struct restore x = {.repository = repository, .dir = dir, .id = id, .report = ret_report};
    x.mark = FILE_CLOSED;
    *ret_report = (struct backup_report){0};
    if (strlen(dir) >= TARGET_BYTES) return why_set(why, ERR_LIMIT, "the path is too long");
    backup_record_init(&x.record, repository->memory);
    lock_init(&x.lock, LOCK_RANK_LEAF);
    enum err e = restore(&x, threads, why);
    err_ignore(file_close(&x.mark), "it was only read");
    lock_fini(&x.lock);
    backup_record_fini(&x.record);
    return e;
}
