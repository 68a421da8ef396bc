/*
 * identity.c - the lock and the id of a storage directory.
 *
 * A witness is an empty file. IDENTITY holds the id and facts of the witness that no copy has: its
 * inode number and its birth time; also those of the directory, which hard links to all its files
 * do not share. Copying, unpacking or synchronising a directory makes files that differ in at least
 * one of them; moving it (rename), mounting it elsewhere or changing its owner does not. (On a file
 * system without birth times the time of the last change is used, and a new owner makes a new id.)
 * While the log grows, two witnesses take turns. So if an older copy is written over the directory
 * file by file, its IDENTITY names a witness that is gone; if files that seem unchanged are not
 * written, the newer IDENTITY stays, which names a longer log.
 *
 *     make the other witness --> IDENTITY that names it, written beside and renamed --> remove the
 *                                                                                       first
 *
 * The rename decides: a crash before it leaves the witness that IDENTITY names untouched, so the
 * directory is recognised at any moment. Renewals are not all synced; a power loss that reverts one
 * makes the directory unknown at worst, which costs a new id.
 *
 * Witnesses do not detect that single files are restored (the log without IDENTITY): so IDENTITY
 * also has the position that the log had reached. A volume that is rolled back as a whole is not
 * detected: destinations have to refuse to overwrite.
 *
 * Considered: a new id at each start, without any witness. Then a restored directory could not be
 * distinguished from a restart, and files that grow elsewhere would be cut to what the copy knows
 * of them.
 */
#include "tsdb/store/store.h"

#include "base/hash/crc32c.h"
#include "model/storage_layout.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- the lock --------------------------------------------------------------------------------- */

/*
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
    struct file *file = &l->files[AT_LOCK];
    own_line(l, l->line);
    e = file_truncate(file, 0, NULL);
    if (e == OK) e = file_write_at(file, bytes_of(l->line, strlen(l->line)), 0, NULL);
    if (e == OK) e = file_datasync(file, NULL); /* other machines see it only then */
    if (e) l->line[0] = '\0';
    e = OK;
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
    if (e == ERR_MISSING)
        e = found > 0 ? OK : why_set(why, e, "%s is not a Firekeep storage directory", dir);
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

static const char NAME[] = STORAGE_IDENTITY;
static const char *const WITNESSES[] = {STORAGE_WITNESS_0, STORAGE_WITNESS_1};
static const uint8_t MAGIC[8] = {'F', 'K', 'I', 'D', 'E', 'N', 'T', 0};

enum {
    VERSION = 1,
    HEADER_BYTES = 24,
    OLD_SIZE_BYTES = 112, /* without totals */
    SIZE_BYTES = OLD_SIZE_BYTES + LEDGER_KIND_COUNT * 8,
};

/* --- the file of the id ----------------------------------------------------------------------- */

static enum err
unpack(struct identity *x, struct bytes file, const char *path, struct why *why)
{
    const uint8_t *at = file.at;
    if (file.size < HEADER_BYTES || memcmp(at, MAGIC, sizeof MAGIC) != 0)
        return why_set(why, ERR_CORRUPT, "%s is damaged", path);
    if (load_le32(at + 12) > VERSION) {
        return why_set(why, ERR_UNSUPPORTED,
                       "%s: version %u (minimum reader %u) is newer than version %d, which this "
                       "program reads; use a newer Firekeep",
                       path, load_le32(at + 8), load_le32(at + 12), VERSION);
    }
    uint32_t crc = crc32c(0, bytes_of(at, 20));
    crc = crc32c(crc, bytes_of(at + HEADER_BYTES, file.size - HEADER_BYTES));
    bool whole = file.size >= OLD_SIZE_BYTES && load_le32(at + 16) == file.size - HEADER_BYTES &&
                 load_le32(at + 20) == crc && load_le64(at + 40) < 2;
    if (!whole) return why_set(why, ERR_CORRUPT, "%s is damaged", path);
    memcpy(x->id, at + 24, IDENTITY_BYTES);
    x->slot = (unsigned)load_le64(at + 40);
    x->witness.number = load_le64(at + 48);
    x->witness.born_ns = (int64_t)load_le64(at + 56);
    x->witness.changed_ns = (int64_t)load_le64(at + 64);
    x->place.number = load_le64(at + 72);
    x->place.born_ns = (int64_t)load_le64(at + 80);
    memcpy(x->log_id, at + 88, WAL_LOG_ID_BYTES);
    x->end_pos = load_le64(at + 104);
    x->totals_known = file.size >= SIZE_BYTES;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT && x->totals_known; k++)
        x->totals[k] = load_le64(at + OLD_SIZE_BYTES + 8 * k);
    return OK;
}

static enum err
read_file(struct identity *x, struct why *why)
{
    char path[PATH_BYTES];
    uint8_t bytes[4 * SIZE_BYTES]; /* a newer version may append more */
    struct file file;
    size_t size = 0;
    enum err e = path_join(path, sizeof path, x->dir, NAME);
    if (e == OK) e = file_open(x->env, path, FILE_READ, &file, why);
    if (e) return e;
    e = file_read_some(&file, bytes, sizeof bytes, 0, &size, why);
    err_ignore(file_close(&file), "only read");
    return e ? e : unpack(x, bytes_of(bytes, size), path, why);
}

enum err
identity_check(struct env *env, const char *dir, struct why *why)
{
    struct identity x = {.env = env, .dir = dir};
    return read_file(&x, why);
}

/* --- the witness ------------------------------------------------------------------------------ */

/* Compares witness and directory with those of the last run. ERR_CORRUPT: they differ. */
static enum err
look_at_witness(const struct identity *x, struct why *why)
{
    char path[PATH_BYTES];
    struct file_facts is, place, was = x->witness;
    enum err e = path_join(path, sizeof path, x->dir, WITNESSES[x->slot]);
    if (e == OK) e = env_facts(x->env, path, &is, why);
    if (e == OK) e = env_facts(x->env, x->dir, &place, why);
    if (e) return e;
    bool born = was.born_ns != 0 && is.born_ns != 0; /* some file systems have no such time */
    bool same = born ? was.born_ns == is.born_ns : was.changed_ns == is.changed_ns;
    if (!same || was.number != is.number) {
        return why_set(why, ERR_CORRUPT,
                       "%s is not the file that it was when the storage was last open", path);
    }
    if (file_facts_same_file(&x->place, &place)) return OK;
    return why_set(why, ERR_CORRUPT,
                   "%s is not the directory that it was when the storage was last open", x->dir);
}

static enum err
remove_witness(struct identity *x, unsigned slot, struct why *why)
{
    char path[PATH_BYTES];
    enum err e = path_join(path, sizeof path, x->dir, WITNESSES[slot]);
    return e ? e : env_unlink(x->env, path, why);
}

/* Makes a new witness, replacing what a failed renewal left. */
static enum err
make_witness(struct identity *x, unsigned slot, bool synced, struct file_facts *ret_facts,
             struct why *why)
{
    char path[PATH_BYTES];
    struct file file;
    enum err e = remove_witness(x, slot, why);
    if (e == OK) e = path_join(path, sizeof path, x->dir, WITNESSES[slot]);
    if (e == OK) e = file_open(x->env, path, FILE_CREATE, &file, why);
    if (e) return e;
    if (synced) e = file_sync(&file, why);
    enum err closed = file_close(&file);
    if (e == OK) e = closed;
    return e ? e : env_facts(x->env, path, ret_facts, why);
}

/* Like env_write_whole(), but without a sync of the directory: the older file is valid, too. */
static enum err
write_file(struct identity *x, struct bytes content, struct why *why)
{
    char path[PATH_BYTES], beside[PATH_BYTES];
    struct file file;
    enum err e = path_join(path, sizeof path, x->dir, NAME);
    if (e == OK) e = path_join(beside, sizeof beside, x->dir, STORAGE_IDENTITY ".tmp");
    if (e == OK) e = file_open(x->env, beside, FILE_REPLACE, &file, why);
    if (e) return e;
    e = file_write_at(&file, content, 0, why);
    if (e == OK) e = file_datasync(&file, why);
    enum err closed = file_close(&file);
    if (e == OK) e = closed;
    return e ? e : env_rename(x->env, beside, path, why);
}

static enum err
renew(struct identity *x, bool synced, struct why *why)
{
    uint8_t bytes[SIZE_BYTES];
    struct identity next = *x;
    next.slot = x->slot ^ 1;
    enum err e = make_witness(x, next.slot, synced, &next.witness, why);
    if (e == OK) e = env_facts(x->env, x->dir, &next.place, why);
    if (e) return e;
    memset(bytes, 0, SIZE_BYTES);
    memcpy(bytes, MAGIC, sizeof MAGIC);
    store_le32(bytes + 8, VERSION);
    store_le32(bytes + 12, VERSION); /* min_reader */
    store_le32(bytes + 16, SIZE_BYTES - HEADER_BYTES);
    memcpy(bytes + 24, next.id, IDENTITY_BYTES);
    store_le64(bytes + 40, next.slot);
    store_le64(bytes + 48, next.witness.number);
    store_le64(bytes + 56, (uint64_t)next.witness.born_ns);
    store_le64(bytes + 64, (uint64_t)next.witness.changed_ns);
    store_le64(bytes + 72, next.place.number);
    store_le64(bytes + 80, (uint64_t)next.place.born_ns);
    memcpy(bytes + 88, next.log_id, WAL_LOG_ID_BYTES);
    store_le64(bytes + 104, next.end_pos);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        store_le64(bytes + OLD_SIZE_BYTES + 8 * k, next.totals[k]);
    uint32_t crc = crc32c(0, bytes_of(bytes, 20));
    store_le32(bytes + 20, crc32c(crc, bytes_of(bytes + HEADER_BYTES, SIZE_BYTES - HEADER_BYTES)));
    struct bytes content = bytes_of(bytes, sizeof bytes);
    e = synced ? env_write_whole(x->env, x->dir, NAME, content, why) : write_file(x, content, why);
    if (e) return e;
    *x = next;
    /* Otherwise an older IDENTITY that is restored alone would find it. */
    return remove_witness(x, x->slot ^ 1, why);
}

/* --- the identity ----------------------------------------------------------------------------- */

static void
note_log(struct identity *x, struct identity_log log)
{
    memset(x->log_id, 0, sizeof x->log_id);
    if (log.id != NULL) memcpy(x->log_id, log.id, sizeof x->log_id);
    x->end_pos = log.end_pos;
    memcpy(x->totals, log.totals, sizeof x->totals);
}

/* Compares the log with that of the last run. ERR_CORRUPT: it is another one, or shorter. */
static enum err
look_at_log(const struct identity *x, struct identity_log log, struct why *why)
{
    static const uint8_t none[WAL_LOG_ID_BYTES];
    bool was_none = memcmp(x->log_id, none, sizeof none) == 0;
    bool same = was_none || (log.id != NULL && memcmp(x->log_id, log.id, sizeof none) == 0);
    if (!same)
        return why_set(why, ERR_CORRUPT,
                       "its log is not the one that it had when the storage was last open");
    if (log.end_pos >= x->end_pos) return OK;
    return why_set(why, ERR_CORRUPT,
                   "its log ends at position %" PRIu64 ", but had reached %" PRIu64, log.end_pos,
                   x->end_pos);
}

void
identity_note_lost_end(struct env *env, const char *dir, uint64_t from_pos,
                       const uint64_t *from_totals, struct wal_damage *damage)
{
    static const uint8_t none[WAL_LOG_ID_BYTES];
    struct identity x = {.env = env, .dir = dir};
    if (memcmp(damage->log_id, none, sizeof none) == 0) return; /* no segments: judged elsewhere */
    bool same = read_file(&x, NULL) == OK && look_at_witness(&x, NULL) == OK &&
                memcmp(x.log_id, damage->log_id, sizeof x.log_id) == 0;
    if (!same || x.end_pos < damage->end_pos) return;
    uint64_t lost[LEDGER_KIND_COUNT], any = 0;
    bool stored = damage->end_pos <= from_pos && from_totals != NULL;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t before = damage->totals[k];
        if (stored && from_totals[k] > before) before = from_totals[k];
        lost[k] = x.totals_known && x.totals[k] > before ? x.totals[k] - before : 0;
        any += lost[k];
        if (x.totals_known && x.totals[k] > damage->totals[k]) damage->totals[k] = x.totals[k];
    }
    uint64_t end_pos = damage->end_pos < from_pos ? from_pos : damage->end_pos;
    if (x.end_pos <= end_pos && any == 0) return;
    if (damage->places++ == 0) {
        snprintf(damage->first, sizeof damage->first,
                 "the log ends at position %" PRIu64 ", but had reached %" PRIu64
                 ": its last commits are missing",
                 damage->end_pos, x.end_pos);
    }
    damage->bytes += x.end_pos > end_pos ? x.end_pos - end_pos : 0;
    damage->samples_unknown |= !x.totals_known;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        damage->samples[k] += lost[k];
}

enum err
identity_open(struct identity *x, struct env *env, const char *dir, struct identity_log log,
              struct why *ret_reason)
{
    uint8_t fresh[IDENTITY_BYTES];
    *x = (struct identity){.env = env, .dir = dir};
    enum err e = env_random(env, fresh, sizeof fresh);
    if (e) return why_set(ret_reason, e, "cannot get random bytes for an id");
    e = read_file(x, ret_reason);
    x->finding = e == ERR_MISSING ? TSDB_IDENTITY_FIRST : TSDB_IDENTITY_UNKEPT;
    if (e == OK) {
        e = look_at_witness(x, ret_reason);
        if (e == OK) e = look_at_log(x, log, ret_reason);
        if (e == ERR_MISSING) e = ERR_CORRUPT;
    }
    if (e == OK) x->finding = TSDB_IDENTITY_SAME;
    if (e == ERR_CORRUPT) x->finding = TSDB_IDENTITY_CHANGED;
    /* After other errors the file may be readable later, so it is kept. */
    if (x->finding != TSDB_IDENTITY_SAME) memcpy(x->id, fresh, sizeof fresh);
    note_log(x, log);
    x->renewed_ns =
        env_monotonic_ns(env) - IDENTITY_RENEW_MS * NS_PER_MS; /* renewed by the next call */
    if (x->finding == TSDB_IDENTITY_UNKEPT) return OK;
    /* The id must be durable before it is used: otherwise an older copy could have the same id. */
    x->kept = renew(x, true, ret_reason) == OK;
    if (x->kept) return OK;
    x->finding = TSDB_IDENTITY_UNKEPT;
    memcpy(x->id, fresh, sizeof fresh);
    return OK;
}

enum err
identity_renew(struct identity *x, struct identity_log log, struct why *why)
{
    int64_t now_ns = env_monotonic_ns(x->env);
    if (!x->kept || log.end_pos == x->end_pos) return OK;
    if (now_ns - x->renewed_ns < IDENTITY_RENEW_MS * NS_PER_MS) return OK;
    x->renewed_ns = now_ns;
    note_log(x, log);
    enum err e = renew(x, false, why);
    if (e) x->end_pos = 0; /* the next call writes it again, even if the log does not grow */
    return e;
}
