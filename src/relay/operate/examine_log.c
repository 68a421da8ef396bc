/*
 * examine_log.c - see examine_log.h.
 *
 * Segments are listed once, with the positions at which each begins and ends; the list says whether
 * a position is in the log. Items that a destination would take are counted by reading the log
 * after its cursor, in batches, as a relay does when it reads ahead (account.c).
 */
#include "relay/operate/examine_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "relay/feed/log_items.h"

enum {
    SEGMENTS_BYTES_MAX = 64 * 1024 * 1024,
    LABEL_CACHE_BYTES = 1024 * 1024,
    BATCH_BYTES = 1024 * 1024,
};

struct log_extent {
    uint64_t number;
    uint64_t base_pos;
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted before it */
};

struct examined_log {
    struct env *env;
    struct budget *memory;
    char dir[256];
    struct buf extents;                 /* struct log_extent of live segments, by position */
    uint64_t totals[LEDGER_KIND_COUNT]; /* items accepted before the end of the log */
    struct wal *wal;                    /* opened when something is to be counted */
};

/* --- segments --------------------------------------------------------------------------------- */

static const struct log_extent *
extents(const struct examined_log *log, size_t *ret_count)
{
    *ret_count = log->extents.size / sizeof(struct log_extent);
    return (const struct log_extent *)(const void *)log->extents.at;
}

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct examined_log *log = context;
    struct log_extent extent = {info->number, info->base_pos, info->end_pos, {0}};
    memcpy(extent.totals, info->totals, sizeof extent.totals);
    if (info->state != WAL_SEGMENT_LIVE) return OK;
    memcpy(log->totals, info->end_totals, sizeof log->totals);
    buf_put(&log->extents, &extent, sizeof extent);
    return buf_error(&log->extents);
}

/* The sum of the commits that end after a position. */
struct summing {
    uint64_t pos;
    uint64_t *accepted;
};

static enum err
sum_commit(void *context, const struct wal_commit_info *commit)
{
    struct summing *x = context;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && commit->pos + commit->bytes > x->pos;
         kind++) {
        x->accepted[kind] += commit->accepted[kind];
    }
    return OK;
}

enum err
examined_log_open(struct env *env, const char *dir, struct budget *memory,
                  struct examined_log **ret_log, struct why *why)
{
    struct examined_log *log = mem_new(memory, sizeof *log);
    if (log == NULL) return why_set(why, ERR_NOMEM, "not enough memory to examine the log");
    log->env = env;
    log->memory = memory;
    buf_init(&log->extents, memory, SEGMENTS_BYTES_MAX);
    enum err e = strlen(dir) < sizeof log->dir ? OK : ERR_LIMIT;
    if (e) why_set(why, e, "%.200s...: path is too long", dir);
    if (e == OK) memcpy(log->dir, dir, strlen(dir) + 1);
    if (e == OK) e = wal_segments(env, log->dir, memory, note_segment, log, why);
    if (e == ERR_MISSING && log->extents.size == 0) e = OK; /* else a file was removed meanwhile */
    if (e) {
        examined_log_free(log);
        return e;
    }
    *ret_log = log;
    return OK;
}

void
examined_log_free(struct examined_log *log)
{
    if (log == NULL) return;
    wal_free(log->wal);
    buf_fini(&log->extents);
    mem_free(log->memory, log, sizeof *log);
}

uint64_t
examined_log_end(const struct examined_log *log)
{
    size_t count;
    const struct log_extent *all = extents(log, &count);
    return count == 0 ? 0 : all[count - 1].end_pos;
}

/* --- examination from a position -------------------------------------------------------------- */

struct log_look {
    uint64_t pos;
    bool there;
};

static enum err
look_at_record(void *context, const struct wal_record_info *info)
{
    struct log_look *l = context;
    uint64_t pos = info->record.pos;
    l->there |= l->pos == pos || l->pos == pos + info->record_bytes;
    return OK;
}

/* A position within damage may be one of a record. */
static void
look_at_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct log_look *l = context;
    (void)text;
    l->there |= l->pos >= pos && l->pos <= pos + bytes;
}

enum err
examined_log_find(struct examined_log *log, uint64_t pos, enum log_place *ret_place,
                  struct why *why)
{
    size_t count, i = 0;
    const struct log_extent *all = extents(log, &count);
    *ret_place = LOG_PLACE_NOWHERE;
    if (count > 0 && pos < all[0].base_pos) *ret_place = LOG_PLACE_GONE;
    if (pos > examined_log_end(log)) *ret_place = LOG_PLACE_AHEAD;
    if (pos == 0) *ret_place = LOG_PLACE_THERE; /* the oldest record */
    if (*ret_place != LOG_PLACE_NOWHERE) return OK;
    while (i < count && all[i].end_pos < pos) {
        i++;
    }
    if (pos < all[i].base_pos) return OK; /* there may be gaps between segments */
    struct log_look looking = {pos, pos == all[i].base_pos || pos == all[i].end_pos};
    struct wal_inspector inspector = {
        .record = look_at_record, .damage = look_at_damage, .context = &looking};
    struct wal_inspection inspection;
    enum err e = looking.there ? OK
                               : wal_inspect(log->env, log->dir, all[i].number, log->memory,
                                             &inspector, &inspection, why);
    if (e == OK && looking.there) *ret_place = LOG_PLACE_THERE;
    return e;
}

/* --- totals after a position ------------------------------------------------------------------ */

uint64_t
examined_log_begin(const struct examined_log *log)
{
    size_t count;
    const struct log_extent *all = extents(log, &count);
    return count == 0 ? 0 : all[0].base_pos;
}

uint64_t
examined_log_bytes_from(const struct examined_log *log, uint64_t pos)
{
    size_t count;
    const struct log_extent *all = extents(log, &count);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = pos > all[i].base_pos ? pos : all[i].base_pos;
        if (from < all[i].end_pos) bytes += all[i].end_pos - from;
    }
    return bytes;
}

static uint64_t
behind(uint64_t end, uint64_t begin)
{
    return end > begin ? end - begin : 0; /* a relay may have continued meanwhile */
}

enum err
examined_log_accepted(struct examined_log *log, uint64_t pos, const struct log_count *known,
                      uint64_t ret_accepted[LEDGER_KIND_COUNT], struct why *why)
{
    size_t count, i = 0;
    const struct log_extent *all = extents(log, &count);
    memset(ret_accepted, 0, LEDGER_KIND_COUNT * sizeof *ret_accepted);
    if (count == 0 || pos >= examined_log_end(log)) return OK;
    if (known->known) {
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            ret_accepted[kind] = behind(log->totals[kind], known->of[kind]);
        }
        return OK;
    }
    if (pos == 0) pos = all[0].base_pos; /* the oldest record */
    if (pos < all[0].base_pos)
        return why_set(why, ERR_MISSING, "position %" PRIu64 " is no longer in the log", pos);
    while (i + 1 < count && all[i + 1].base_pos <= pos) {
        i++;
    }
    struct summing summing = {pos, ret_accepted};
    struct wal_inspector inspector = {.commit = sum_commit, .context = &summing};
    struct wal_inspection inspection;
    enum err e =
        wal_inspect(log->env, log->dir, all[i].number, log->memory, &inspector, &inspection, why);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && i + 1 < count; kind++) {
        ret_accepted[kind] += behind(log->totals[kind], all[i + 1].totals[kind]);
    }
    return e;
}

/* --- counting --------------------------------------------------------------------------------- */

static enum err
open_wal(struct examined_log *log, struct why *why)
{
    struct wal_damage damage;
    struct wal_options options = {
        .env = log->env,
        .dir = log->dir,
        .segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .batch_bytes_max = BATCH_BYTES,
        .read_only = true,
        .memory = log->memory,
    };
    if (log->wal != NULL) return OK;
    enum err e = wal_open(&options, &log->wal, why);
    /* Damage is reported by the check of the log. */
    if (e == OK) e = wal_recover(log->wal, examined_log_end(log), NULL, NULL, &damage, why);
    if (e) {
        wal_free(log->wal);
        log->wal = NULL;
    }
    return e;
}

static int64_t
time_of(const struct chunk *c, uint32_t i)
{
    if (c->kind == ITEM_FLOAT) return (int64_t)c->floats.times[i];
    return c->kind == ITEM_HISTOGRAM ? c->histograms[i].t_ms : c->exemplars[i].t_ms;
}

/* Counts what the feed would deliver: see feed_count_wanted() and feed_settled_before(). */
static void
count_chunk(const struct chunk *c, const struct relay_state *s, struct relay_cursor from,
            struct log_items *items, uint64_t count[ITEM_KIND_COUNT])
{
    uint32_t first = c->pos == from.pos ? from.index : 0;
    if (c->pos < from.pos || c->kind == ITEM_METADATA) return;
    for (uint32_t i = first; i < c->count; i++) {
        if (c->pos < s->begin_pos && time_of(c, i) < s->begin_ms) continue;
        count[c->kind] += log_items_takes(items, c, i);
    }
}

enum err
examined_log_count(struct examined_log *log, const struct destination_settings *settings,
                   const struct relay_state *state, struct relay_cursor from,
                   uint64_t ret_count[ITEM_KIND_COUNT], struct why *why)
{
    struct selection *selection = NULL;
    struct log_items *items = NULL;
    struct chunk chunk;
    uint64_t count[ITEM_KIND_COUNT] = {0};
    bool damaged = false;
    memset(ret_count, 0, sizeof count);
    if (log->extents.size == 0) return OK;
    chunk_init(&chunk, log->memory);
    enum err e = open_wal(log, why);
    if (e == OK) e = selection_new(settings, &selection, why);
    if (e == OK) {
        struct log_items_options options = {
            .wal = log->wal,
            .name = settings->name,
            .selection = selection,
            .memory = log->memory,
            .cache_bytes = LABEL_CACHE_BYTES,
        };
        e = log_items_open(&options, from.pos, &items, why);
    }
    while (e == OK || e == ERR_CORRUPT) {
        e = log_items_next(items, &chunk, why);
        damaged |= e == ERR_CORRUPT;
        if (e == OK) count_chunk(&chunk, state, from, items, count);
        if (e == OK) log_items_pass(items, chunk.pos, chunk.segment);
    }
    if (e == ERR_AGAIN) e = damaged ? ERR_CORRUPT : OK;
    if (e == OK || e == ERR_CORRUPT) memcpy(ret_count, count, sizeof count);
    log_items_close(items);
    selection_free(selection);
    chunk_fini(&chunk);
    return e;
}
