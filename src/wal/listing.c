/*
 * listing.c - the segments of a directory, in the order of their positions.
 *
 * Each header names the previous segment and its end; the newest header begins the chain. Segments
 * that this chain skips were begun after a failure and never used. A segment that the chain names
 * and that is missing leaves a hole, which readers see as damage: the segment before is read up to
 * where the missing one ended.
 */
#include "base/array.h"
#include "base/text/texts.h"
#include "wal/wal_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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
    if (!array_reserve(l->budget, &list->strays, &list->stray_capacity, list->stray_count + 1u)) {
        return ERR_NOMEM;
    }
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
        for (uint32_t j = 1; j < list->count && s->kind == STRAY_BLANK; j++) {
            if (list->items[j].prev_number == s->number) s->kind = STRAY_DAMAGED;
        }
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

static enum err
sweep_stray(const struct log_sweep *s, const struct stray *stray)
{
    char path[256], aside[sizeof path + sizeof ASIDE];
    if (stray->kind == STRAY_ASIDE) return OK;
    enum err e = segment_path(path, sizeof path, s->dir, stray->number);
    if (e) return e;
    if (stray->kind != STRAY_DAMAGED) return env_unlink(s->env, path, NULL);
    snprintf(aside, sizeof aside, "%s%s", path, ASIDE);
    return env_rename(s->env, path, aside, NULL);
}

void
segment_list_sweep(struct segment_list *list, struct env *env, const char *dir)
{
    struct log_sweep s = {env, dir};
    for (uint32_t i = 0; i < list->stray_count; i++) {
        err_ignore(sweep_stray(&s, &list->strays[i]), "tried again when the log is opened next");
    }
    err_ignore(env_listdir(env, dir, remove_temporary, &s, NULL), "it only costs room");
}
