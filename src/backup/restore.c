/* restore.c - verifies and restores a backup. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/backup.h"
#include "backup/each.h"
#include "base/array.h"
#include "model/storage_layout.h"

enum { TARGET_BYTES = 200, PATH_BYTES = TARGET_BYTES + BACKUP_PATH_BYTES + 2 };

static const char UNFINISHED[] = "RESTORING";

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
    const char *dir;
    struct backup_record record;
    struct lock lock; /* LOCK_RANK_LEAF; of the report */
    struct backup_report *report;
};

static enum err
find_any(void *context, const char *name, bool is_dir)
{
    bool *found = context;
    bool empty = is_dir ? strcmp(name, "lost+found") == 0 : strcmp(name, "RESTORING.tmp") == 0;
    if (!empty) *found = true;
    return OK;
}

/* Checks that the directory is empty, or left by an unfinished restore of this backup, and marks
 * it. */
static enum err
begin(struct restore *x, const char *id, struct why *why)
{
    struct env *env = x->repository->env;
    char path[PATH_BYTES], text[BACKUP_ID_BYTES];
    size_t size = 0;
    bool found = false;
    enum err e = backup_make_dir(env, x->dir, why);
    if (e == OK) e = path_in(path, sizeof path, x->dir, UNFINISHED, why);
    if (e) return e;
    e = env_read_some(env, path, text, sizeof text, &size, NULL);
    if (e == OK && bytes_equal(bytes_of(text, size), bytes_of_text(id))) return OK;
    if (e == OK) {
        return why_set(why, ERR_INPUT, "%s was left by an unfinished restore of another backup",
                       x->dir);
    }
    if (e != ERR_MISSING) return why_set(why, e, "cannot read %s", path);
    e = env_listdir(env, x->dir, find_any, &found, why);
    if (e == OK && found) e = why_set(why, ERR_INPUT, "%s is not empty", x->dir);
    return e ? e : env_write_whole(env, x->dir, UNFINISHED, bytes_of_text(id), why);
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

static enum err
restore_file(void *context, size_t i, struct why *why)
{
    struct restore *x = context;
    const struct backup_file *file = &x->record.files[i];
    return strcmp(file->path, STORAGE_FORMAT) == 0 ? OK : get_file(x, file, why);
}

/* Removes the mark of an unfinished restore, once the name of FORMAT is durable. */
static enum err
unmark(struct restore *x, struct why *why)
{
    struct env *env = x->repository->env;
    char path[PATH_BYTES];
    enum err e = path_in(path, sizeof path, x->dir, UNFINISHED, why);
    if (e == OK) e = env_syncdir(env, x->dir, why);
    if (e == OK) e = env_unlink(env, path, why);
    return e ? e : env_syncdir(env, x->dir, why);
}

static enum err
get_all(struct restore *x, const struct backup_file *format, uint32_t threads, struct why *why)
{
    struct env *env = x->repository->env;
    enum err e = each_dir(x, env_mkdir, why);
    if (e == OK) e = each_of(env, threads, x->record.count, restore_file, x, why);
    if (e == OK) e = each_dir(x, env_syncdir, why);
    if (e == OK) e = env_syncdir(env, x->dir, why);
    return e ? e : get_file(x, format, why);
}

/* Returns true if only the mark was left to be removed. Then no file may be written: a server may
 * have run on the directory since. */
static bool
is_complete(struct restore *x, const struct backup_file *format)
{
    char path[PATH_BYTES];
    return path_in(path, sizeof path, x->dir, STORAGE_FORMAT, NULL) == OK &&
           backup_is_restored(x->repository, format, path);
}

static enum err
restore(struct restore *x, const char *id, uint32_t threads, struct why *why)
{
    enum err e = backup_record_read(x->repository, id, &x->record, why);
    if (e) return e;
    const struct backup_file *format = backup_record_find(&x->record, STORAGE_FORMAT);
    if (format == NULL) return why_set(why, ERR_CORRUPT, "backup %s has no file FORMAT", id);
    e = begin(x, id, why);
    if (e) return e;
    if (is_complete(x, format)) {
        x->report->files = x->record.count;
        x->report->bytes = backup_record_bytes(&x->record);
        return unmark(x, why);
    }
    e = get_all(x, format, threads, why);
    return e ? e : unmark(x, why);
}

enum err
backup_restore(struct backup_repository *repository, const char *id, const char *dir,
               uint32_t threads, struct backup_report *ret_report, struct why *why)
{
    struct restore x = {.repository = repository, .dir = dir, .report = ret_report};
    *ret_report = (struct backup_report){0};
    if (strlen(dir) >= TARGET_BYTES) return why_set(why, ERR_LIMIT, "the path is too long");
    backup_record_init(&x.record, repository->memory);
    lock_init(&x.lock, LOCK_RANK_LEAF);
    enum err e = restore(&x, id, threads, why);
    lock_fini(&x.lock);
    backup_record_fini(&x.record);
    return e;
}
