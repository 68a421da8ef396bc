/*
 * files.c - the files of a log: its segments in the order of their positions, and their disk space.
 *
 * Each header names the previous segment and its end; the newest header begins the chain. Segments
 * that this chain skips were begun after a failure and never used. A segment that the chain names
 * and that is missing leaves a hole, which readers see as damage: the segment before is read up to
 * where the missing one ended.
 */
#include "base/array.h"
#include "base/text/texts.h"
#include "wal/wal_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- disk space ------------------------------------------------------------------------------- */

/*
 * Prepared files for the next segments are named by index and used as a stack. The first one is
 * filled with zeros before it is needed; later, released segments are recycled. The number of files
 * that a log needs varies: so some are kept, as long as the budget has room for a new segment.
 *
 * Invariants, under the log's lock:
 *  1. prepared.count <= PREPARED_MAX; files 0 to count - 1 exist, or were removed by others.
 *  2. With prepared.busy one thread works on a prepared file; only that thread changes count.
 *  3. The newest segment is never released. A segment that is `going` is the oldest one, and only
 *     one is.
 */

enum { PREPARE_PIECE_BYTES = 1024 * 1024 };

static const char HALF_NAME[] = "half-prepared.tmp";

/* --- the budget ------------------------------------------------------------------------------- */

/* The sizes of all files, in bytes. */
static uint64_t
used_bytes_locked(const struct wal *wal)
{
    uint64_t bytes = wal->prepared.making_bytes;
    for (uint32_t i = 0; i < wal->prepared.count; i++)
        bytes += wal->prepared.bytes[i];
    for (uint32_t i = 0; i < wal->list.count; i++)
        bytes += wal->list.items[i].file_bytes;
    return bytes;
}

bool
wal_over_budget_locked(const struct wal *wal)
{
    /* There is always one segment; a budget smaller than that must not stop all writers. */
    return wal->budget_bytes != 0 && wal->list.count > 1 &&
           used_bytes_locked(wal) > wal->budget_bytes;
}

/* True if there is room for another file of a segment's size. */
static bool
has_room_locked(const struct wal *wal)
{
    return wal->budget_bytes == 0 ||
           used_bytes_locked(wal) + wal_segment_file_bytes(wal) <= wal->budget_bytes;
}

void
wal_set_budget(struct wal *wal, uint64_t budget_bytes)
{
    lock_take(&wal->lock);
    wal->budget_bytes = budget_bytes;
    lock_drop(&wal->lock);
}

/* --- prepared files --------------------------------------------------------------------------- */

static enum err
prepared_path(const struct wal *wal, uint32_t index, char *to, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "prepared-%" PRIu32 ".tmp", index);
    return path_join(to, size, wal->dir, name);
}

bool
wal_next_is_near(struct wal *wal)
{
    lock_take(&wal->lock);
    const struct segment *last = wal_last_segment(wal);
    bool near = last == NULL || last->base_pos + wal->segment_bytes / 2 <= wal->end_pos;
    lock_drop(&wal->lock);
    return near;
}

enum err
wal_prepare(struct wal *wal, struct why *why)
{
    struct wal_prepared *p = &wal->prepared;
    lock_take(&wal->lock);
    bool wanted = !p->busy && p->count == 0 && !wal->down && has_room_locked(wal);
    if (wanted) {
        p->busy = true;
        p->making_bytes = wal_segment_file_bytes(wal);
    }
    lock_drop(&wal->lock);
    if (!wanted) return OK;
    char half[256], path[256];
    enum err e = path_join(half, sizeof half, wal->dir, HALF_NAME);
    if (e == OK) e = prepared_path(wal, 0, path, sizeof path);
    if (e == OK) {
        /* Writes zeros to the whole of a new file, so that later syncs need not write its block
         * map. */
        struct file file = FILE_CLOSED;
        uint8_t *zeros = mem_new(wal->memory, PREPARE_PIECE_BYTES);
        e = zeros == NULL ? why_set(why, ERR_NOMEM, "not enough memory to prepare a log segment")
                          : file_open(wal->env, half, FILE_REPLACE, &file, why);
        uint64_t size = wal_segment_file_bytes(wal);
        for (uint64_t at = 0; e == OK && at < size; at += PREPARE_PIECE_BYTES) {
            uint64_t piece = size - at < PREPARE_PIECE_BYTES ? size - at : PREPARE_PIECE_BYTES;
            e = file_write_at(&file, bytes_of(zeros, piece), at, why);
        }
        if (e == OK) e = file_sync(&file, why);
        enum err closed = file_close(&file);
        mem_free(wal->memory, zeros, PREPARE_PIECE_BYTES);
        e = err_first(e, closed);
    }
    if (e == OK) e = env_rename(wal->env, half, path, why);
    if (e) err_ignore(env_unlink(wal->env, half, NULL), "swept when the log is opened");
    lock_take(&wal->lock);
    assert(p->busy);       /* invariant 2 */
    assert(p->count == 0); /* invariant 2 */
    if (e == OK) p->bytes[p->count++] = p->making_bytes;
    p->making_bytes = 0;
    p->busy = false;
    lock_drop(&wal->lock);
    return e;
}

/* Takes the last file, until prepared_taken(). False without a file, or if a thread is busy. */
static bool
prepared_take_locked(struct wal *wal)
{
    struct wal_prepared *p = &wal->prepared;
    if (p->busy || p->count == 0) return false;
    p->busy = true;
    return true;
}

static void
prepared_taken(struct wal *wal, bool gone)
{
    lock_take(&wal->lock);
    assert(wal->prepared.busy);      /* invariant 2 */
    assert(wal->prepared.count > 0); /* invariant 2 */
    wal->prepared.busy = false;
    if (gone) wal->prepared.count--;
    lock_drop(&wal->lock);
}

enum err
wal_take_prepared(struct wal *wal, const char *path, struct file *ret_file, struct why *why)
{
    char from[256];
    lock_take(&wal->lock);
    bool taken = prepared_take_locked(wal);
    uint32_t count = wal->prepared.count;
    lock_drop(&wal->lock);
    enum err e = taken ? prepared_path(wal, count - 1, from, sizeof from) : ERR_MISSING;
    if (e == OK) e = env_rename(wal->env, from, path, why);
    if (taken) prepared_taken(wal, e == OK || e == ERR_MISSING);
    if (e == ERR_MISSING) return file_open(wal->env, path, FILE_REPLACE, ret_file, why);
    return e ? e : file_open(wal->env, path, FILE_UPDATE, ret_file, why);
}

/* Removes prepared files but one while the budget has no room for a new segment. */
static enum err
remove_spares(struct wal *wal, struct why *why)
{
    for (;;) {
        char path[256];
        lock_take(&wal->lock);
        uint32_t count = wal->prepared.count;
        bool go = count > 1 && !has_room_locked(wal) && prepared_take_locked(wal);
        lock_drop(&wal->lock);
        if (!go) return OK;
        enum err e = prepared_path(wal, count - 1, path, sizeof path);
        if (e == OK) e = env_unlink(wal->env, path, why);
        if (e == ERR_MISSING) e = OK;
        prepared_taken(wal, e == OK);
        if (e) return e;
    }
}

/* --- released segments ------------------------------------------------------------------------ */

/* Counts the readers that still need records before `pos`; with `leave_behind` marks them. */
static unsigned
readers_before_locked(struct wal *wal, uint64_t pos, bool leave_behind)
{
    unsigned count = 0;
    for (struct wal_reader *r = wal->readers; r != NULL; r = r->next) {
        if (r->behind || r->pass_pos >= pos) continue;
        count++;
        if (leave_behind) r->behind = true;
    }
    return count;
}

/* Marks the oldest segment as going, if it may be released; it stays in the list until its file is
 * removed. Segments that readers need are released before the budget is reached: the next segment
 * needs room, too. */
static bool
oldest_take_locked(struct wal *wal, uint64_t store_pos, struct segment *ret_segment,
                   bool *ret_recycle)
{
    if (wal->list.count < 2) return false; /* invariant 3 */
    struct segment *oldest = &wal->list.items[0];
    assert(!oldest->going);         /* invariant 3 */
    uint64_t end = oldest->end_pos; /* known: it is not the newest */
    if (end > store_pos) return false;
    struct wal_prepared *p = &wal->prepared;
    bool tight = p->count == 0 ? !has_room_locked(wal) : wal_over_budget_locked(wal);
    if (readers_before_locked(wal, end, false) > 0) {
        if (!tight || wal->keep_for_readers) return false;
        readers_before_locked(wal, end, true);
    }
    oldest->going = true;
    uint64_t whole = wal_segment_file_bytes(wal), bytes = oldest->file_bytes;
    *ret_segment = *oldest;
    bool room = p->count == 0 ? !wal_over_budget_locked(wal) : has_room_locked(wal);
    *ret_recycle =
        !p->busy && p->count < PREPARED_MAX && bytes >= whole && bytes <= 2 * whole && room;
    if (*ret_recycle) p->busy = true;
    return true;
}

enum err
wal_trim(struct wal *wal, uint64_t store_pos, struct why *why)
{
    enum err e = remove_spares(wal, why);
    while (e == OK) {
        char path[256], prepared[256];
        struct segment oldest;
        bool recycle = false;
        lock_take(&wal->lock);
        bool go = oldest_take_locked(wal, store_pos, &oldest, &recycle);
        uint32_t index = wal->prepared.count;
        lock_drop(&wal->lock);
        if (!go) break;
        e = segment_path(path, sizeof path, wal->dir, oldest.number);
        if (e == OK) e = prepared_path(wal, index, prepared, sizeof prepared);
        if (e == OK && recycle) e = env_rename(wal->env, path, prepared, why);
        if (e == OK && !recycle) e = env_unlink(wal->env, path, why);
        struct wal_prepared *p = &wal->prepared;
        lock_take(&wal->lock);
        assert(wal->list.count > 1);                        /* invariant 3 */
        assert(wal->list.items[0].number == oldest.number); /* invariant 3 */
        assert(wal->list.items[0].going);                   /* invariant 3 */
        if (e == OK || e == ERR_MISSING) { /* missing: removed by another process */
            memmove(wal->list.items, wal->list.items + 1,
                    --wal->list.count * sizeof *wal->list.items);
        } else {
            wal->list.items[0].going = false;
        }
        if (recycle && e == OK) {
            assert(p->count < PREPARED_MAX); /* invariant 1 */
            p->bytes[p->count++] = oldest.file_bytes;
            wal->stats.segments_recycled_total++;
        }
        if (recycle) p->busy = false;
        lock_drop(&wal->lock);
        if (e == ERR_MISSING) e = OK;
    }
    return e;
}

/*
 * A crash or a failure left a segment unfinished: after its end are bytes that were never
 * committed, or zeros, which readers do not read. If it is released or recycled meanwhile, nothing
 * is lost: only the committing thread, which is here, opens a recycled file as a segment.
 */
void
wal_cut_tail(struct wal *wal, uint64_t number, uint64_t file_bytes)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, number);
    if (e == OK) e = file_open(wal->env, path, FILE_UPDATE, &file, NULL);
    if (e == OK) e = file_truncate(&file, file_bytes, NULL);
    file_close(&file);
    if (e == OK) {
        lock_take(&wal->lock);
        for (uint32_t i = 0; i < wal->list.count; i++) {
            struct segment *s = &wal->list.items[i];
            if (s->number == number) s->file_bytes = file_bytes;
        }
        lock_drop(&wal->lock);
    }
    err_ignore(e, "the room comes back when the segment is released");
}

void
wal_stats(struct wal *wal, struct wal_stats *ret_stats)
{
    lock_take(&wal->lock);
    struct wal_stats s = wal->stats;
    s.end_pos = wal->end_pos;
    s.next_pos = wal->tried_pos;
    memcpy(s.totals, wal->totals, sizeof s.totals);
    s.begin_pos = wal->list.count == 0 ? wal->end_pos : wal->list.items[0].base_pos;
    s.before_pos = wal->list.count == 0 ? wal->end_pos : wal->list.items[0].prev_end_pos;
    if (s.before_pos == WAL_FIRST_POS) s.before_pos = 0;
    s.segment_count = wal->list.count;
    s.segment_bytes = used_bytes_locked(wal);
    for (struct wal_reader *r = wal->readers; r != NULL; r = r->next) {
        s.readers++;
        s.readers_behind += r->behind;
    }
    s.down = wal->down;
    s.over_budget = wal_over_budget_locked(wal);
    lock_drop(&wal->lock);
    *ret_stats = s;
}

/* --- lost files ------------------------------------------------------------------------------- */

/*
 * Notices that files of the log were removed, replaced or emptied while it is open.
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
    if (e == ERR_MISSING || (e && lost_dir(wal)))
        what = "removed";
    else if (e == OK && known != NULL && !file_facts_same_file(&is, known))
        what = "replaced";
    else if (e == OK && is.size_bytes < bytes)
        what = "truncated";
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

/* --- the list of segments --------------------------------------------------------------------- */

static const char ASIDE[] = ".damaged";

/* A file with a larger number and without a valid header never was a segment. */
static const uint64_t STRAY_NUMBER_MAX = UINT64_C(1) << 48;

struct log_listing {
    struct env *env;
    const char *dir;
    struct budget *budget;
    struct segment_list *list;
    struct why *why;
};

enum err
segment_list_reserve(struct segment_list *list, struct budget *budget)
{
    return array_reserve(budget, &list->items, &list->capacity, list->count + 1u) ? OK : ERR_NOMEM;
}

void
segment_list_fini(struct segment_list *list, struct budget *budget)
{
    array_free(budget, list->items, list->capacity);
    array_free(budget, list->strays, list->stray_capacity);
    *list = (struct segment_list){0};
}

static enum err
add_stray(struct log_listing *l, uint64_t number, uint64_t file_bytes, enum stray_kind kind)
{
    struct segment_list *list = l->list;
    if (!array_reserve(l->budget, &list->strays, &list->stray_capacity, list->stray_count + 1u))
        return ERR_NOMEM;
    list->strays[list->stray_count++] = (struct stray){number, file_bytes, kind};
    return OK;
}

static enum err
add_name(void *context, const char *name, bool is_dir)
{
    struct log_listing *l = context;
    char plain[32];
    uint64_t number;
    size_t size = strlen(name), aside = sizeof ASIDE - 1;
    bool is_aside = size > aside && size < sizeof plain && strcmp(name + size - aside, ASIDE) == 0;
    snprintf(plain, sizeof plain, "%.*s", is_aside ? (int)(size - aside) : 31, name);
    (void)is_dir; /* reading a directory named like a segment fails: its number cannot be used */
    if (!wal_segment_name(plain, &number)) return OK;
    char path[256];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct bytes header;
    uint64_t file_bytes = 0;
    enum segment_state state;
    struct segment segment = {0};
    enum err e = path_join(path, sizeof path, l->dir, name);
    if (e == OK) e = segment_header_read(l->env, path, bytes, &header, &file_bytes, l->why);
    if (e) return e;
    e = segment_header_unpack(header, number, &state, &segment, l->why);
    if (e) return why_prefix(l->why, e, "%s", path);
    if (is_aside) return add_stray(l, number, file_bytes, STRAY_ASIDE);
    if (state == SEGMENT_BLANK) return add_stray(l, number, file_bytes, STRAY_BLANK);
    if (state == SEGMENT_DAMAGED) return add_stray(l, number, file_bytes, STRAY_DAMAGED);
    segment.file_bytes = file_bytes;
    e = segment_list_reserve(l->list, l->budget);
    if (e == OK) l->list->items[l->list->count++] = segment;
    return e;
}

/* --- the chain -------------------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->number, y = ((const struct segment *)b)->number;
    return (x > y) - (x < y);
}

/* Walks back from the newest header. Segments of the chain are moved to the end of the array, then
 * to its beginning. */
static enum err
link_segments(struct log_listing *l)
{
    struct segment *items = l->list->items;
    uint32_t count = l->list->count;
    if (count == 0) return OK;
    qsort(items, count, sizeof *items, by_number);
    /* The directory has files of two logs: only the operator knows which ones are meant. */
    for (uint32_t i = 1; i < count; i++) {
        if (memcmp(items[i].log_id, items[0].log_id, WAL_LOG_ID_BYTES) == 0) continue;
        return why_set(l->why, ERR_CORRUPT,
                       "%s: segments %016" PRIx64 " and %016" PRIx64
                       " belong to different logs: move one of them away",
                       l->dir, items[0].number, items[i].number);
    }
    uint32_t keep = count - 1;
    for (uint32_t i = keep; i-- > 0;) {
        const struct segment *newer = &items[keep], *s = &items[i];
        if (s->number > newer->prev_number) {
            enum err e = add_stray(l, s->number, s->file_bytes, STRAY_VOID);
            if (e) return e;
        } else {
            items[i].end_pos = segment_end_before(s, newer);
            items[--keep] = items[i];
        }
    }
    l->list->count -= keep;
    memmove(items, items + keep, l->list->count * sizeof *items);
    return OK;
}

enum err
segment_list_read(struct env *env, const char *dir, struct budget *budget,
                  struct segment_list *ret_list, struct why *why)
{
    *ret_list = (struct segment_list){0};
    struct log_listing l = {env, dir, budget, ret_list, why};
    enum err e = env_listdir(env, dir, add_name, &l, why);
    if (e == OK) e = link_segments(&l);
    if (e) {
        segment_list_fini(ret_list, budget);
        return e;
    }
    struct segment_list *list = ret_list;
    uint64_t max = list->count == 0 ? 0 : list->items[list->count - 1].number;
    for (uint32_t i = 0; i < list->stray_count; i++) {
        struct stray *s = &list->strays[i];
        /* A file that the chain names had a header: it is damaged, not blank. */
        for (uint32_t j = 1; j < list->count && s->kind == STRAY_BLANK; j++)
            if (list->items[j].prev_number == s->number) s->kind = STRAY_DAMAGED;
        if (s->number > max && s->number < STRAY_NUMBER_MAX) max = s->number;
    }
    list->number_max = max;
    return OK;
}

bool
stray_is_loss(const struct segment_list *list, const struct stray *stray, bool from_oldest)
{
    if (stray->kind != STRAY_DAMAGED && stray->kind != STRAY_ASIDE) return false;
    if (stray->number >= STRAY_NUMBER_MAX) return false;
    if (list->count == 0 || stray->number > list->items[list->count - 1].number) return true;
    /* A file that was put aside while it was the oldest may not be needed since. */
    return from_oldest && stray->number < list->items[0].number && stray->kind == STRAY_DAMAGED;
}

/* --- sweeping --------------------------------------------------------------------------------- */

struct log_sweep {
    struct env *env;
    const char *dir;
};

static enum err
remove_temporary(void *context, const char *name, bool is_dir)
{
    struct log_sweep *s = context;
    char path[256];
    if (is_dir || !text_ends_with(name, ".tmp")) return OK;
    enum err e = path_join(path, sizeof path, s->dir, name);
    return e ? e : env_unlink(s->env, path, NULL);
}

void
segment_list_sweep(struct segment_list *list, struct env *env, const char *dir)
{
    struct log_sweep s = {env, dir};
    for (uint32_t i = 0; i < list->stray_count; i++) {
        const struct stray *stray = &list->strays[i];
        char path[256], aside[sizeof path + sizeof ASIDE];
        if (stray->kind == STRAY_ASIDE) continue;
        enum err e = segment_path(path, sizeof path, dir, stray->number);
        snprintf(aside, sizeof aside, "%s%s", e ? "" : path, ASIDE);
        if (e == OK && stray->kind == STRAY_DAMAGED) e = env_rename(env, path, aside, NULL);
        if (e == OK && stray->kind != STRAY_DAMAGED) e = env_unlink(env, path, NULL);
        err_ignore(e, "tried again when the log is opened next");
    }
    err_ignore(env_listdir(env, dir, remove_temporary, &s, NULL), "it only costs room");
}
