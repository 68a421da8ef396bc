/* store.c - stores a storage directory in a repository. */
#include <stdio.h>
#include <string.h>

#include "backup/backup.h"
#include "backup/each.h"
#include "base/text/ends.h"
#include "model/storage_layout.h"

enum { SOURCE_BYTES = 200, PATH_BYTES = SOURCE_BYTES + BACKUP_PATH_BYTES + 2, DEPTH_MAX = 8 };

struct storing {
    struct backup_repository *repository;
    const char *dir;
    struct backup_record record;
    struct backup_record earlier; /* the newest earlier backup; empty if this is the first */
    struct lock lock;             /* LOCK_RANK_LEAF; of the report */
    struct backup_report *report;
};

/* --- listing ---------------------------------------------------------------------------------- */

struct file_list {
    struct storing *storing;
    const char *below; /* path of the directory below the storage directory; "": that itself */
    int depth;
    struct why *why;
};

/* A name with ".tmp" at its end is that of an unfinished file, or of a destination. */
static bool
is_left_out(const struct file_list *l, const char *name)
{
    bool is_other = strcmp(name, STORAGE_LOCK) == 0 || strcmp(name, STORAGE_SNAPSHOTS) == 0;
    bool is_unfinished = text_ends_with(name, ".tmp") && strcmp(l->below, STORAGE_RELAY) != 0;
    return is_unfinished || (l->depth == 0 && is_other);
}

static enum err list_dir(const struct file_list *l);

static enum err
list_name(void *context, const char *name, bool is_dir)
{
    struct file_list *l = context, below;
    struct env *env = l->storing->repository->env;
    char relative[BACKUP_PATH_BYTES], path[PATH_BYTES];
    struct file_facts facts;
    (void)is_dir; /* the facts follow links: the directory of a destination may be one */
    if (is_left_out(l, name)) return OK;
    int n = snprintf(relative, sizeof relative, "%s%s%s", l->below, l->depth == 0 ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof relative) {
        return why_set(l->why, ERR_LIMIT, "the path of %s/%.60s... is too long", l->below, name);
    }
    enum err e = path_in(path, sizeof path, l->storing->dir, relative, l->why);
    if (e == OK) e = env_facts(env, path, &facts, l->why);
    if (e) return e;
    below = (struct file_list){l->storing, relative, l->depth + 1, l->why};
    if (facts.kind == FILE_KIND_DIR) return list_dir(&below);
    if (facts.kind != FILE_KIND_PLAIN) return OK;
    if (strcmp(name, BACKUP_FORMAT) == 0) {
        return why_set(l->why, ERR_INPUT,
                       "%s/%s is a directory of backups: move it out of the storage directory",
                       l->storing->dir, l->below);
    }
    return backup_record_add(&l->storing->record, relative, facts.size_bytes, facts.modified_ns,
                             l->why);
}

static enum err
list_dir(const struct file_list *l)
{
    char path[PATH_BYTES];
    struct file_list copy = *l;
    if (l->depth > DEPTH_MAX) {
        return why_set(l->why, ERR_LIMIT, "%s has too many levels of directories", l->below);
    }
    enum err e = path_in(path, sizeof path, l->storing->dir, l->below, l->why);
    return e ? e : env_listdir(l->storing->repository->env, path, list_name, &copy, l->why);
}

/* --- storing ---------------------------------------------------------------------------------- */

/* Returns true if an earlier backup has the file, which is a part: parts never change. */
static bool
is_unchanged(struct storing *s, struct backup_file *file)
{
    if (strncmp(file->path, STORAGE_PARTS "/", sizeof STORAGE_PARTS) != 0) return false;
    const struct backup_file *before = backup_record_find(&s->earlier, file->path);
    if (before == NULL || before->size_bytes != file->size_bytes ||
        before->modified_ns != file->modified_ns || !backup_has(s->repository, before)) {
        return false;
    }
    memcpy(file->digest, before->digest, sizeof file->digest);
    return true;
}

static enum err
store_file(void *context, size_t i, struct why *why)
{
    struct storing *s = context;
    struct backup_file *file = &s->record.files[i];
    char path[PATH_BYTES];
    bool is_new = false, unchanged = is_unchanged(s, file);
    enum err e = path_in(path, sizeof path, s->dir, file->path, why);
    if (e == OK && !unchanged) e = backup_put(s->repository, path, file, &is_new, why);
    if (e) return e;
    lock_take(&s->lock);
    s->report->files++;
    s->report->bytes += file->size_bytes;
    s->report->unchanged += unchanged;
    s->report->new_objects += is_new;
    s->report->new_bytes += is_new ? file->size_bytes : 0;
    lock_drop(&s->lock);
    return OK;
}

/* Reads the newest earlier backup. One that is damaged only costs reading all files again. */
static enum err
read_earlier(struct storing *s, struct why *why)
{
    struct buf ids;
    buf_init(&ids, s->repository->memory, BACKUP_RECORD_BYTES_MAX);
    enum err e = backup_ids(s->repository, &ids, why);
    size_t count = ids.size / sizeof(struct backup_id);
    const struct backup_id *all = (const struct backup_id *)ids.at;
    if (e == OK && count > 0 &&
        backup_record_read(s->repository, all[count - 1].text, &s->earlier, NULL) != OK) {
        s->earlier.count = 0;
    }
    buf_fini(&ids);
    return e;
}

static enum err
store(struct storing *s, const char *id, uint32_t threads, struct why *why)
{
    struct file_list top = {s, "", 0, why};
    enum err e = list_dir(&top);
    backup_record_sort(&s->record);
    if (e == OK && backup_record_find(&s->record, STORAGE_FORMAT) == NULL) {
        e = why_set(why, ERR_MISSING, "%s is not a storage directory: it has no " STORAGE_FORMAT,
                    s->dir);
    }
    if (e == OK) e = read_earlier(s, why);
    if (e == OK) {
        e = each_of(s->repository->env, threads, s->record.count, store_file, s, why);
    }
    if (e == OK) e = backup_record_write(s->repository, id, &s->record, why); /* invariant 2 */
    return e;
}

enum err
backup_store(struct backup_repository *repository, const char *dir, const char *id,
             uint32_t threads, struct backup_report *ret_report, struct why *why)
{
    struct storing s = {.repository = repository, .dir = dir, .report = ret_report};
    *ret_report = (struct backup_report){0};
    if (strlen(dir) >= SOURCE_BYTES) return why_set(why, ERR_LIMIT, "the path is too long");
    backup_record_init(&s.record, repository->memory);
    backup_record_init(&s.earlier, repository->memory);
    lock_init(&s.lock, LOCK_RANK_LEAF);
    s.record.time_ms = env_realtime_ms(repository->env);
    enum err e = store(&s, id, threads, why);
    lock_fini(&s.lock);
    backup_record_fini(&s.earlier);
    backup_record_fini(&s.record);
    return e;
}
