/* backup.c - stores a storage directory in a repository, verifies what is stored there, restores
 * it, and removes what a policy does not keep. */
#include "backup/backup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/text/texts.h"
#include "model/storage_layout.h"

enum {
    DIR_BYTES = 200,
    BACKUP_BACKUP_PATH_BYTES = DIR_BYTES + BACKUP_PATH_BYTES + 2,
    DEPTH_MAX = 8
};

/* --- several threads -------------------------------------------------------------------------- */

struct each {
    enum err (*call)(void *context, size_t i, struct why *why);
    void *context;
    size_t count;
    _Atomic size_t next; /* number of the next call; relaxed: the calls share nothing through it */
    struct lock lock;    /* LOCK_RANK_LEAF; of the fields below */
    enum err error;      /* the first one */
    struct why *why;
};

static void
run_each(void *argument)
{
    struct each *x = argument;
    for (;;) {
        struct why why = {""};
        lock_take(&x->lock);
        bool failed = x->error != OK;
        lock_drop(&x->lock);
        if (failed) return;
        size_t i = atomic_fetch_add_explicit(&x->next, 1, memory_order_relaxed);
        if (i >= x->count) return;
        enum err e = x->call(x->context, i, &why);
        if (e == OK) continue;
        lock_take(&x->lock);
        if (x->error == OK) {
            x->error = e;
            why_set(x->why, e, "%s", why_text(&why, e));
        }
        lock_drop(&x->lock);
    }
}

/* Calls `call` for 0 to count - 1, on up to `threads` threads, of which the caller's is one, and
 * waits. After the first error no further calls begin; that error is returned. If a thread cannot
 * be started, the others do its work. */
static enum err
each_of(struct env *env, uint32_t threads, size_t count,
        enum err (*call)(void *context, size_t i, struct why *why), void *context, struct why *why)
{
    struct each x = {.call = call, .context = context, .count = count, .why = why};
    struct env_thread *others[BACKUP_THREADS_MAX];
    uint32_t started = 0;
    lock_init(&x.lock, LOCK_RANK_LEAF);
    while (started + 1 < threads && started + 1 < count && started < BACKUP_THREADS_MAX - 1) {
        if (env_thread_start(env, "each", run_each, &x, &others[started])) break;
        started++;
    }
    run_each(&x);
    while (started > 0)
        env_thread_join(env, others[--started]);
    lock_fini(&x.lock);
    return x.error;
}

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

static enum err list_dir(const struct file_list *l);

static enum err
list_name(void *context, const char *name, bool is_dir)
{
    struct file_list *l = context, below;
    struct env *env = l->storing->repository->env;
    char relative[BACKUP_PATH_BYTES], path[BACKUP_BACKUP_PATH_BYTES];
    struct file_facts facts;
    (void)is_dir; /* the facts follow links: the directory of a destination may be one */
    bool is_other = strcmp(name, STORAGE_LOCK) == 0 || strcmp(name, STORAGE_SNAPSHOTS) == 0;
    /* A name with ".tmp" at its end is that of an unfinished file, or of a destination. */
    bool is_unfinished = text_ends_with(name, ".tmp") && strcmp(l->below, STORAGE_RELAY) != 0;
    if (is_unfinished || (l->depth == 0 && is_other)) return OK;
    int n = snprintf(relative, sizeof relative, "%s%s%s", l->below, l->depth == 0 ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof relative)
        return why_set(l->why, ERR_LIMIT, "the path of %s/%.60s... is too long", l->below, name);
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
    char path[BACKUP_BACKUP_PATH_BYTES];
    struct file_list copy = *l;
    if (l->depth > DEPTH_MAX)
        return why_set(l->why, ERR_LIMIT, "%s has too many levels of directories", l->below);
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
        before->modified_ns != file->modified_ns || !place_has(&s->repository->place, before))
        return false;
    memcpy(file->digest, before->digest, sizeof file->digest);
    return true;
}

static enum err
store_file(void *context, size_t i, struct why *why)
{
    struct storing *s = context;
    struct backup_file *file = &s->record.files[i];
    char path[BACKUP_BACKUP_PATH_BYTES];
    bool is_new = false, unchanged = is_unchanged(s, file);
    enum err e = path_in(path, sizeof path, s->dir, file->path, why);
    if (e == OK && !unchanged) e = place_put(s->repository, path, file, &is_new, why);
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
        backup_record_read(s->repository, all[count - 1].text, &s->earlier, NULL) != OK)
        s->earlier.count = 0;
    buf_fini(&ids);
    return e;
}

enum err
backup_store(struct backup_repository *repository, const char *dir, const char *id,
             uint32_t threads, struct backup_report *ret_report, struct why *why)
{
    struct storing s = {.repository = repository, .dir = dir, .report = ret_report};
    *ret_report = (struct backup_report){0};
    if (strlen(dir) >= DIR_BYTES) return why_set(why, ERR_LIMIT, "the path is too long");
    backup_record_init(&s.record, repository->memory);
    backup_record_init(&s.earlier, repository->memory);
    lock_init(&s.lock, LOCK_RANK_LEAF);
    s.record.time_ms = env_realtime_ms(repository->env);
    struct file_list top = {&s, "", 0, why};
    enum err e = list_dir(&top);
    backup_record_sort(&s.record);
    if (e == OK && backup_record_find(&s.record, STORAGE_FORMAT) == NULL) {
        e = why_set(why, ERR_MISSING, "%s is not a storage directory: it has no " STORAGE_FORMAT,
                    s.dir);
    }
    if (e == OK) e = read_earlier(&s, why);
    if (e == OK) e = each_of(s.repository->env, threads, s.record.count, store_file, &s, why);
    if (e == OK) e = backup_record_write(s.repository, id, &s.record, why); /* invariant 2 */

    lock_fini(&s.lock);
    backup_record_fini(&s.earlier);
    backup_record_fini(&s.record);
    return e;
}

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

static enum err
verify_file(void *context, size_t i, struct why *why)
{
    struct object_check *v = context;
    const struct backup_file *file = &v->record.files[i];
    struct why reason = {""};
    const struct backup_verifier *of = v->verifier;
    bool known = of->whole_count > 0 && bsearch(file->digest, of->whole, of->whole_count,
                                                sizeof *of->whole, backup_digest_order) != NULL;
    enum err e = known ? OK : backup_read(v->repository, file, NULL, &reason);
    if (e && e != ERR_CORRUPT && e != ERR_MISSING && e != ERR_IO)
        return why_set(why, e, "%s", why_text(&reason, e));
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
                       v->whole_count + x->record.count))
        return;
    for (size_t i = 0; i < x->record.count; i++) {
        if (!x->whole[i]) continue;
        memcpy(v->whole[v->whole_count++].at, x->record.files[i].digest, BACKUP_DIGEST_BYTES);
    }
    if (v->whole_count > 0) qsort(v->whole, v->whole_count, sizeof *v->whole, backup_digest_order);
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
    size_t bytes = (v.record.count + 1) * sizeof *v.whole;
    if (e == OK) v.whole = mem_new(repository->memory, bytes);
    if (e == OK && v.whole == NULL)
        e = why_set(why, ERR_NOMEM, "not enough memory to verify a backup");
    if (e == OK) e = each_of(repository->env, threads, v.record.count, verify_file, &v, why);
    if (e == OK) note_whole(&v);
    mem_free(repository->memory, v.whole, bytes);
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
    char path[BACKUP_BACKUP_PATH_BYTES];
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
    char path[BACKUP_BACKUP_PATH_BYTES], text[BACKUP_ID_BYTES];
    size_t size = 0;
    enum err e = path_in(path, sizeof path, x->dir, STORAGE_RESTORING, why);
    if (e == OK) e = file_open(x->repository->env, path, FILE_UPDATE, &x->mark, why);
    if (e) return e;
    if (file_lock(&x->mark, NULL) == ERR_AGAIN)
        return why_set(why, ERR_AGAIN, "another process is restoring into %s", x->dir);
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
    char below[BACKUP_PATH_BYTES], path[BACKUP_BACKUP_PATH_BYTES];
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
    char last[BACKUP_PATH_BYTES] = "", path[BACKUP_BACKUP_PATH_BYTES];
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
    char path[BACKUP_BACKUP_PATH_BYTES];
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
    /* The mark goes once the name of FORMAT is durable. */
    if (e == OK) e = env_syncdir(env, x->dir, why);
    if (e == OK) e = env_unlink(env, x->mark.path, why);
    return e ? e : env_syncdir(env, x->dir, why);
}

enum err
backup_restore(struct backup_repository *repository, const char *id, const char *dir,
               uint32_t threads, struct backup_report *ret_report, struct why *why)
{
    struct restore x = {.repository = repository, .dir = dir, .id = id, .report = ret_report};
    x.mark = FILE_CLOSED;
    *ret_report = (struct backup_report){0};
    if (strlen(dir) >= DIR_BYTES) return why_set(why, ERR_LIMIT, "the path is too long");
    backup_record_init(&x.record, repository->memory);
    lock_init(&x.lock, LOCK_RANK_LEAF);
    enum err e = restore(&x, threads, why);
    err_ignore(file_close(&x.mark), "it was only read");
    lock_fini(&x.lock);
    backup_record_fini(&x.record);
    return e;
}

/* --- what is kept ----------------------------------------------------------------------------- */

enum { DAY_MS = 86400000, EPOCH_WEEKDAY = 3 /* 1970 began on a Thursday, 3 days after a Monday */ };

enum period { PERIOD_NONE, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };

/* Keeps the newest backup of each of the last `most` periods; of PERIOD_NONE, each backup is one.
 */
static void
keep(const struct backup_id *ids, size_t count, enum period period, uint64_t most, bool *ret_keep)
{
    uint64_t kept = 0;
    int64_t last = INT64_MIN;
    for (size_t i = count; i > 0 && kept < most; i--) {
        int64_t day = backup_id_ms(ids[i - 1].text) / DAY_MS, now = day;
        int month = 0;
        if (period == PERIOD_WEEK) now = (day + EPOCH_WEEKDAY) / 7;
        if (period == PERIOD_MONTH) now = sscanf(ids[i - 1].text, "%6d", &month) == 1 ? month : 0;
        if (period != PERIOD_NONE && now == last) continue;
        ret_keep[i - 1] = true;
        last = now;
        kept++;
    }
}

void
kept_choose(const struct kept_policy *policy, const struct backup_id *ids, size_t count,
            bool *ret_keep)
{
    if (count > 0) memset(ret_keep, 0, count * sizeof *ret_keep);
    keep(ids, count, PERIOD_NONE, policy->newest, ret_keep);
    keep(ids, count, PERIOD_DAY, policy->daily, ret_keep);
    keep(ids, count, PERIOD_WEEK, policy->weekly, ret_keep);
    keep(ids, count, PERIOD_MONTH, policy->monthly, ret_keep);
}

enum err
kept_prune(struct backup_repository *r, const struct kept_policy *policy, bool dry_run,
           void (*removed)(void *context, const char *id), void *context, size_t *ret_kept,
           struct backup_pruned *ret_pruned, struct why *why)
{
    struct buf ids;
    buf_init(&ids, r->memory, BACKUP_RECORD_BYTES_MAX);
    *ret_kept = 0;
    *ret_pruned = (struct backup_pruned){0};
    enum err e = backup_ids(r, &ids, why);
    const struct backup_id *all = (const struct backup_id *)ids.at;
    size_t count = ids.size / sizeof *all, bytes = (count + 1) * sizeof(bool);
    bool *keep = e ? NULL : mem_new(r->memory, bytes);
    if (e == OK && keep == NULL) e = why_set(why, ERR_NOMEM, "not enough memory");
    if (e == OK) kept_choose(policy, all, count, keep);
    for (size_t i = 0; e == OK && i < count; i++) {
        *ret_kept += keep[i];
        if (keep[i]) continue;
        if (!dry_run) e = backup_record_remove(r, all[i].text, why);
        if (e == OK) removed(context, all[i].text);
    }
    if (e == OK && !dry_run) e = backup_prune_objects(r, ret_pruned, why);
    mem_free(r->memory, keep, bytes);
    buf_fini(&ids);
    return e;
}
