/*
 * missing.c - notices that files of the log were removed, replaced or emptied while it is open.
 *
 * A file that has lost its name still takes writes and syncs, so commits to it succeed, and the
 * next start does not find them. A file that was truncated grows again with the next write, with a
 * hole where commits were. So each commit first checks the size and the link count of its open
 * file, and once per second its path, which also shows that the file was renamed: the same inode
 * has to be there, with all committed bytes. If not, the log goes down as after a failed write and
 * continues in a new segment. Segments that are complete but still needed are checked once per
 * second, by wal_look_kept().
 *
 * Invariant: commits before wal->lost_pos may be missing at the next start, so the caller has to
 * write their samples elsewhere. lost_pos only rises. wal_reopen() raises it, too.
 *
 * A commit that is pending when its file loses its name is acknowledged, and so are those of the
 * second in which the file is renamed; the next check finds it.
 */

#include "wal/wal_private.h"

#define LOOK_NS NS_PER_S

static void
note_lost(struct wal *wal, uint64_t pos)
{
    lock_take(&wal->lock);
    if (wal->lost_pos < pos) wal->lost_pos = pos;
    lock_drop(&wal->lock);
}

uint64_t
wal_lost_pos(struct wal *wal)
{
    lock_take(&wal->lock);
    uint64_t pos = wal->lost_pos;
    lock_drop(&wal->lock);
    return pos;
}

/* True if the log's directory is missing or not a directory any more. */
static bool
lost_dir(struct wal *wal)
{
    struct file_facts dir;
    enum err e = env_facts(wal->env, wal->dir, &dir, NULL);
    return e == ERR_MISSING || (e == OK && dir.kind != FILE_KIND_DIR);
}

/* Checks that the segment holds at least `bytes` under its path, and is the file `known` if that is
 * not NULL. If the path cannot be examined (an I/O error, no permission) the segment counts as
 * existing: the following write finds out. */
static enum err
check_there(struct wal *wal, uint64_t number, const struct file_facts *known, uint64_t bytes,
            struct why *why)
{
    char path[256];
    struct file_facts is;
    enum err e = segment_path(path, sizeof path, wal->dir, number);
    if (e) return e;
    e = env_facts(wal->env, path, &is, NULL);
    const char *what = NULL;
    if (e == ERR_MISSING || (e && lost_dir(wal))) {
        what = "removed";
    } else if (e == OK && known != NULL && !file_facts_same_file(&is, known)) {
        what = "replaced";
    } else if (e == OK && is.size_bytes < bytes) {
        what = "truncated";
    }
    if (what == NULL) return OK;
    return why_set(why, ERR_IO, "%s was %s while the server runs", path, what);
}

enum err
wal_look_written(struct wal *wal, struct why *why)
{
    if (wal->file_number == 0 || wal->file_facts.number == 0) return OK;
    uint64_t end = wal_end(wal), used = SEGMENT_HEADER_BYTES, size, links;
    if (end > wal->file_base_pos) used += end - wal->file_base_pos;
    int64_t now_ns = env_monotonic_ns(wal->env);
    bool suspect = file_size(&wal->file, &size, NULL) == OK && size < used;
    suspect |= file_links(&wal->file, &links, NULL) == OK && links == 0;
    if (!suspect && now_ns - wal->looked_ns < LOOK_NS) return OK;
    wal->looked_ns = now_ns;
    enum err e = check_there(wal, wal->file_number, &wal->file_facts, used, why);
    if (e == ERR_IO) note_lost(wal, end);
    return e;
}

enum err
wal_look_kept(struct wal *wal, uint64_t from_pos, struct why *why)
{
    if (from_pos < wal_lost_pos(wal)) from_pos = wal_lost_pos(wal);
    for (uint32_t i = 0;; i++) {
        lock_take(&wal->lock);
        bool closed = i + 1 < wal->list.count;
        struct segment s = closed ? wal->list.items[i] : (struct segment){0};
        lock_drop(&wal->lock);
        if (!closed) return OK;
        if (s.end_pos <= from_pos || s.end_pos <= s.base_pos) continue;
        enum err e = check_there(wal, s.number, NULL, segment_offset(&s, s.end_pos), why);
        if (e == ERR_IO) note_lost(wal, s.end_pos);
        if (e) return e;
    }
}
