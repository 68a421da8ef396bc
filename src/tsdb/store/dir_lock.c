/*
 * dir_lock.c - see store.h.
 *
 * A server holds locks on two files. LOCK alone is not enough, because it looks like a leftover
 * that may be deleted: the next server would create another one and lock that. Then FORMAT still
 * refuses it, and a directory without FORMAT is not a storage directory.
 *
 * Files that are removed or replaced under a running server (rm, a backup unpacked over the
 * directory) protect nothing. So the server checks every second that both paths lead to the locked
 * files, and that LOCK contains the server's own line. If not, it acknowledges nothing until it is
 * restarted. While one of the two is left, that one still refuses other servers, and so does a
 * directory without FORMAT. Then acknowledged samples may be written: the log may be lost with the
 * file. Otherwise another server may be using the directory, and nothing is written any more.
 *
 *       dir_lock_complete          look: LOCK or FORMAT is lost,
 *     --------------------> OURS --- others are still refused ----> CLOSED
 *                           |  ^  \                                    |
 *     look: the path leads  |  |   \  look: others are not             |  the same,
 *     to another directory  v  |    \  refused any more                |  or it moves
 *                          MOVED --------------------> LOST <----------+
 *
 * Locks are a matter of one kernel. Some file systems that several machines mount do not propagate
 * them (NFS with nolock, some container volumes). There the line in LOCK helps, which names the
 * process and the boot of its machine: a server that finds the line of another boot, or no LOCK
 * where it expects one, watches the directory before it reads anything. A running server renews
 * IDENTITY in the meantime, so the start is refused; if it is idle, it finds the other line in LOCK
 * and stops.
 *
 * Invariants:
 *  1. The state never leaves LOST, and leaves CLOSED only to LOST.
 *  2. Both files are locked while the state is OURS or MOVED. While it is CLOSED, one of them is,
 *     or there is no FORMAT.
 *
 * One case is not covered: both LOCK and FORMAT are replaced, and a second server starts within the
 * second before the first one checks, or while the first is still writing a part.
 */
#include "tsdb/store/store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/storage_layout.h"
#include "tsdb/store/identity.h"

enum { AT_LOCK, AT_FORMAT };
enum { WATCH_MS = IDENTITY_RENEW_MS + 1000, WATCH_STEP_MS = 250, PATH_BYTES = 256 };

static const char *const NAMES[DIR_LOCK_FILES] = {
    [AT_LOCK] = STORAGE_LOCK, [AT_FORMAT] = STORAGE_FORMAT};

void
dir_lock_init(struct dir_lock *lock, struct env *env, const char *dir)
{
    *lock = (struct dir_lock){.env = env, .dir = dir};
    for (unsigned i = 0; i < DIR_LOCK_FILES; i++)
        lock->files[i] = FILE_CLOSED;
}

/* --- taking the lock -------------------------------------------------------------------------- */

static enum err
lock_file(struct dir_lock *l, unsigned which, const char *path, struct why *why)
{
    enum err e = file_lock(&l->files[which], NULL);
    if (e == ERR_AGAIN) return why_set(why, e, "%s is in use by another process", l->dir);
    if (e) return why_set(why, e, "cannot lock %s", path);
    if (env_facts(l->env, path, &l->facts[which], NULL) != OK) l->facts[which].number = 0;
    return OK;
}

/* "PID BOOT": the second word is empty if the kernel does not provide it. */
static void
own_line(struct dir_lock *l, char *to)
{
    char boot[40] = "";
    size_t size = 0;
    enum err e = env_read_some(l->env, "/proc/sys/kernel/random/boot_id", boot, sizeof boot - 1,
                               &size, NULL);
    boot[e ? 0 : size] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    snprintf(to, DIR_LOCK_LINE_BYTES, "%ld %s\n", (long)getpid(), boot);
}

static void
read_line(struct dir_lock *l, char *to)
{
    size_t size = 0;
    enum err e = file_read_some(&l->files[AT_LOCK], to, DIR_LOCK_LINE_BYTES - 1, 0, &size, NULL);
    to[e ? 0 : size] = '\0';
}

/* True for the line of a process that ran on another machine, or before a reboot. */
static bool
is_foreign(const char *line, const char *own)
{
    const char *left = strchr(line, ' '), *right = strchr(own, ' ');
    if (left == NULL || right == NULL || left[1] == '\n' || right[1] == '\n') return false;
    return strcmp(left, right) != 0;
}

enum err
dir_lock_take(struct dir_lock *l, struct why *why)
{
    char path[PATH_BYTES], line[DIR_LOCK_LINE_BYTES], own[DIR_LOCK_LINE_BYTES];
    struct file_facts identity;
    enum err e = storage_check_restored(l->env, l->dir, why);
    if (e == OK) e = path_in(path, sizeof path, l->dir, "IDENTITY", why);
    if (e) return e;
    bool was_used = env_facts(l->env, path, &identity, NULL) == OK;
    e = path_in(path, sizeof path, l->dir, NAMES[AT_LOCK], why);
    if (e) return e;
    e = file_open(l->env, path, FILE_UPDATE, &l->files[AT_LOCK], why);
    bool is_missing = e == ERR_MISSING;
    if (is_missing) e = file_open(l->env, path, FILE_REPLACE, &l->files[AT_LOCK], why);
    if (e == OK) e = lock_file(l, AT_LOCK, path, why);
    if (e) return e;
    l->made_file = is_missing;
    read_line(l, line);
    own_line(l, own);
    l->watch = is_missing ? was_used : is_foreign(line, own);
    if (env_facts(l->env, l->dir, &l->place, NULL) != OK) l->place.number = 0;
    return OK;
}

static void
write_line(struct dir_lock *l)
{
    struct file *file = &l->files[AT_LOCK];
    own_line(l, l->line);
    enum err e = file_truncate(file, 0, NULL);
    if (e == OK) e = file_write_at(file, bytes_of(l->line, strlen(l->line)), 0, NULL);
    if (e == OK) e = file_datasync(file, NULL); /* other machines see it only then */
    if (e) l->line[0] = '\0';
}

/* IDENTITY is a new file each time a server renews it. */
static enum err
dir_lock_watch(struct dir_lock *l, struct why *why)
{
    char path[PATH_BYTES];
    struct file_facts was = {0}, is;
    enum err e = path_in(path, sizeof path, l->dir, "IDENTITY", why);
    if (e) return e;
    if (env_facts(l->env, path, &was, NULL) != OK) return OK;
    int64_t until_ns = env_monotonic_ns(l->env) + WATCH_MS * NS_PER_MS;
    while (env_monotonic_ns(l->env) < until_ns) {
        env_sleep(l->env, WATCH_STEP_MS * NS_PER_MS);
        is = was;
        err_ignore(env_facts(l->env, path, &is, NULL), "looked at again soon");
        if (is.changed_ns == was.changed_ns && file_facts_same_file(&is, &was)) continue;
        return why_set(why, ERR_AGAIN,
                       "%s is in use by another process, perhaps on another machine: IDENTITY "
                       "changes; stop that server first",
                       l->dir);
    }
    return OK;
}

enum err
dir_lock_complete(struct dir_lock *l, struct why *why)
{
    char path[PATH_BYTES];
    assert(!l->taken);
    assert(l->files[AT_LOCK].handle >= 0);
    enum err e = path_in(path, sizeof path, l->dir, NAMES[AT_FORMAT], why);
    if (e == OK) e = file_open(l->env, path, FILE_UPDATE, &l->files[AT_FORMAT], why);
    if (e == OK) e = lock_file(l, AT_FORMAT, path, why);
    if (e) return e;
    write_line(l);
    if (l->watch) e = dir_lock_watch(l, why);
    l->taken = e == OK;
    assert(e || l->files[AT_LOCK].handle >= 0);   /* invariant 2 */
    assert(e || l->files[AT_FORMAT].handle >= 0); /* invariant 2 */
    return e;
}

void
dir_lock_drop(struct dir_lock *l)
{
    bool ours = l->taken && atomic_load_explicit(&l->state, memory_order_relaxed) == TSDB_DIR_OURS;
    if (ours) err_ignore(file_truncate(&l->files[AT_LOCK], 0, NULL), "the next start may watch");
    if (l->made_file && !l->taken)
        err_ignore(env_unlink(l->env, l->files[AT_LOCK].path, NULL), "the directory is not ours");
    for (unsigned i = 0; i < DIR_LOCK_FILES; i++)
        file_close(&l->files[i]);
    l->taken = false;
}

/* --- checks of the directory ------------------------------------------------------------------ */

enum seen { SEEN_SAME, SEEN_NONE, SEEN_ANOTHER };

/* Any error but ENOENT is inconclusive: the file may well exist. */
static enum seen
dir_lock_look_at(struct env *env, const char *path, const struct file_facts *was)
{
    struct file_facts is;
    if (was->number == 0) return SEEN_SAME;
    enum err e = env_facts(env, path, &is, NULL);
    if (e == ERR_MISSING) return SEEN_NONE;
    return e == OK && !file_facts_same_file(&is, was) ? SEEN_ANOTHER : SEEN_SAME;
}

/* Returns the state of the two files, and the name of the first one that does not protect the
 * directory. */
static int
look_at_files(struct dir_lock *l, const char **ret_lost)
{
    enum seen seen[DIR_LOCK_FILES] = {SEEN_SAME, SEEN_SAME};
    for (unsigned i = DIR_LOCK_FILES; i-- > 0;) {
        char path[PATH_BYTES];
        if (path_join(path, sizeof path, l->dir, NAMES[i]) != OK) continue;
        seen[i] = dir_lock_look_at(l->env, path, &l->facts[i]);
        if (seen[i] != SEEN_SAME) *ret_lost = NAMES[i];
    }
    char line[DIR_LOCK_LINE_BYTES];
    read_line(l, line); /* empty: it cannot be read, or was emptied */
    bool is_other = l->line[0] != '\0' && line[0] != '\0' && strcmp(line, l->line) != 0;
    if (is_other) *ret_lost = NAMES[AT_LOCK];
    if (is_other || (seen[AT_LOCK] != SEEN_SAME && seen[AT_FORMAT] == SEEN_ANOTHER))
        return TSDB_DIR_LOST;
    return *ret_lost == NULL ? TSDB_DIR_OURS : TSDB_DIR_CLOSED;
}

static int
next_state(int was, int seen)
{
    if (was == TSDB_DIR_LOST) return was; /* invariant 1 */
    if (was == TSDB_DIR_CLOSED && seen == TSDB_DIR_OURS) return was;
    return was == TSDB_DIR_CLOSED && seen == TSDB_DIR_MOVED ? TSDB_DIR_LOST : seen;
}

enum err
dir_lock_look(struct dir_lock *l, struct why *why)
{
    if (!l->taken) return OK; /* the store is only read */
    const char *lost = NULL;
    int seen = dir_lock_look_at(l->env, l->dir, &l->place) != SEEN_SAME ? TSDB_DIR_MOVED
                                                                        : look_at_files(l, &lost);
    int was = atomic_load_explicit(&l->state, memory_order_relaxed), next;
    do {
        next = next_state(was, seen);
    } while (!atomic_compare_exchange_weak_explicit(&l->state, &was, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    assert(was != TSDB_DIR_LOST || next == TSDB_DIR_LOST);   /* invariant 1 */
    assert(was != TSDB_DIR_CLOSED || next != TSDB_DIR_OURS); /* invariant 1 */
    if (next == TSDB_DIR_OURS) return OK;
    if (lost == NULL) return why_set(why, ERR_CORRUPT, "%s: %s", l->dir, tsdb_dir_text(next));
    return why_set(why, ERR_CORRUPT,
                   "%s/%s was removed or replaced while the server runs: make sure that no other "
                   "server uses the directory, then restart this one",
                   l->dir, lost);
}

bool
dir_lock_may_write(const struct dir_lock *l)
{
    int state = atomic_load_explicit(&l->state, memory_order_relaxed);
    return state == TSDB_DIR_OURS || state == TSDB_DIR_CLOSED;
}

const char *
tsdb_dir_text(enum tsdb_dir state)
{
    static const char lost[] =
        "LOCK or FORMAT in the storage directory was removed or replaced while the server runs: "
        "make sure that no other server uses the directory, then restart this one";
    static const char *const texts[] = {
        [TSDB_DIR_OURS] = NULL,
        [TSDB_DIR_MOVED] =
            "the storage directory was moved or replaced: put it back, or stop the server",
        [TSDB_DIR_CLOSED] = lost,
        [TSDB_DIR_LOST] = lost,
    };
    return texts[state];
}

/* --- reading only ----------------------------------------------------------------------------- */

/* The locks are shared, on files opened for reading: this leaves no trace, works on read-only
 * media, and any number of readers may hold them at once. */
enum err
tsdb_reading_lock_take(struct env *env, const char *dir, struct tsdb_reading_lock *ret_lock,
                       struct why *why)
{
    struct tsdb_reading_lock lock = {.lock = FILE_CLOSED, .format = FILE_CLOSED};
    struct file *const files[DIR_LOCK_FILES] = {&lock.lock, &lock.format};
    unsigned found = 0;
    enum err e = storage_check_restored(env, dir, why);
    if (e) return e;
    lock.held = true;
    for (unsigned i = 0; i < DIR_LOCK_FILES; i++) {
        char path[PATH_BYTES];
        e = path_in(path, sizeof path, dir, NAMES[i], why);
        if (e == OK) e = file_open(env, path, FILE_READ, files[i], why);
        if (e == ERR_MISSING) continue; /* a copy without LOCK: no server has used it */
        if (e) break;
        found++;
        e = file_lock(files[i], NULL);
        if (e == ERR_AGAIN) why_set(why, e, "%s is in use by another process", dir);
        if (e == ERR_AGAIN) break;
        if (e) lock.held = false; /* a file system without locks can be read; the caller warns */
        e = OK;
    }
    if (e == ERR_MISSING) {
        e = found > 0 ? OK : why_set(why, e, "%s is not a Firekeep storage directory", dir);
    }
    if (e) {
        tsdb_reading_lock_drop(&lock);
        return e;
    }
    *ret_lock = lock;
    return OK;
}

void
tsdb_reading_lock_drop(struct tsdb_reading_lock *lock)
{
    err_ignore(file_close(&lock->lock), "only read");
    err_ignore(file_close(&lock->format), "only read");
}
