/*
 * wal.c - writes the log: batches, commits, new segments.
 *
 * States of the log, with the function that takes each arrow:
 *
 *      wal_recover         wal_commit, wal_sync, wal_look fail; wal_bring_down
 *     ------------->  up  ----------------------------------------------->  down
 *                      ^                                                      |
 *                      +------------------------------------------------------+
 *                        wal_reopen: a fresh segment that names the last committed position
 *
 * Invariants:
 *  1. The segment of a batch and its position there are fixed from its first record on: records are
 *     checksummed with both when they are put.
 *  2. The batch being filled begins where the one being committed ends; if that one fails, both are
 *     void.
 *  3. Positions and segment numbers given to void batches are never given again (tried_pos,
 *     tried_number), nor are those of earlier processes: each header says which positions its
 *     segment cannot reach (limit_pos), so that the next process begins there.
 *  4. The committing thread makes the segment of a batch when the segment's first batch arrives,
 *     never before: a segment's header names the true end of the one before.
 *  5. The end that a header names was durable before the header was written. (With WAL_SYNC_WRITTEN
 *     and a device that failed: a sync was tried.)
 *  6. Epochs of batches rise by one, and those being filled or committed are above durable_epoch.
 *  7. synced_pos <= end_pos <= tried_pos. A batch begins at or after end_pos.
 *  8. Segments are listed by number. Only the newest has an end that is not known.
 *  9. A batch has memory for all that was reserved, for its commit record and for padding.
 */
#include "wal/wal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <zstd.h>

#include "wal/wal_private.h"

enum {
    COMPRESS_FROM_BYTES = 256,
    BATCH_KEEP_BYTES = 4 * 1024 * 1024, /* larger buffers are not kept */
    LOST_SEGMENTS_MAX = 1 << 20,
    PADDING_BYTES_MAX = FILE_DIRECT_BYTES + RECORD_HEADER_BYTES,
    DIRECT_BYTES = 256 * 1024, /* bytes written at once */
};

/* Limits for headers that were read; far below overflows. */
static const uint64_t NUMBER_MAX = UINT64_C(1) << 61;
static const uint64_t POS_MAX = UINT64_C(1) << 61;

static struct wal_batch *
filling(struct wal *wal)
{
    return &wal->batches[wal->filling];
}

static void
buf_shrink(struct buf *buf)
{
    if (buf->capacity <= BATCH_KEEP_BYTES) return;
    size_t limit = buf->limit;
    struct budget *budget = buf->budget;
    buf_fini(buf);
    buf_init(buf, budget, limit);
}

#ifdef LOCK_CHECK
static void
validate_locked(const struct wal *wal)
{
    assert(lock_is_mine(&wal->lock));
    assert(wal->batches[wal->filling].epoch > wal->durable_epoch); /* invariant 6 */
    assert(wal->synced_pos <= wal->end_pos);                       /* invariant 7 */
    assert(wal->end_pos <= wal->tried_pos);                        /* invariant 7 */
    assert(wal->prepared.count <= PREPARED_MAX);
    assert(wal->recovered || !wal->taken);
    for (uint32_t i = 0; i < wal->list.count; i++) {
        const struct segment *s = &wal->list.items[i];
        assert(i == 0 || s[-1].number < s->number);          /* invariant 8 */
        assert(i == 0 || s[-1].end_pos != SEGMENT_POS_NONE); /* invariant 8 */
        assert(s->number <= wal->tried_number);              /* invariant 3 */
    }
}
#endif

/* Begins an empty batch at `start_pos` of the given segment. */
static void
batch_begin_locked(struct wal *wal, uint64_t epoch, uint64_t segment, uint64_t base_pos,
                   uint64_t start_pos)
{
    assert(lock_is_mine(&wal->lock));
    assert(epoch > wal->durable_epoch); /* invariant 6 */
    assert(start_pos >= base_pos);      /* invariant 1 */
    assert(start_pos >= wal->end_pos);  /* invariant 7 */
    struct wal_batch *b = filling(wal);
    buf_shrink(&b->bytes);
    buf_clear(&b->bytes);
    b->epoch = epoch;
    b->segment = segment;
    b->seed = segment_seed(wal->log_id, segment);
    b->base_pos = base_pos;
    b->start_pos = start_pos;
    b->reserved_to = 0;
    b->record_count = 0;
    memset(b->accepted, 0, sizeof b->accepted);
    if (wal->tried_number < segment) wal->tried_number = segment;
#ifdef LOCK_CHECK
    validate_locked(wal);
#endif
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Returns the most positions a segment can use: it may be almost full before its last batch. */
static uint64_t
segment_span(const struct wal *wal)
{
    return (wal->segment_bytes + wal->batch_limit + PADDING_BYTES_MAX + 7) & ~(uint64_t)7;
}

/* Returns a position after all that were ever given, by the headers. Segments after the newest
 * readable header are lost; their start and end are estimated, generously. */
static uint64_t
first_free_pos(const struct wal *wal)
{
    const struct segment_list *list = &wal->list;
    const struct segment *last = list->count == 0 ? NULL : &list->items[list->count - 1];
    uint64_t span = UINT64_C(1) << 30, lost = 0, newest = last == NULL ? 0 : last->number;
    if (span < segment_span(wal)) span = segment_span(wal);
    if (last != NULL && span < last->limit_pos - last->base_pos)
        span = last->limit_pos - last->base_pos;
    for (uint32_t i = 0; i < list->stray_count; i++) {
        const struct stray *s = &list->strays[i];
        if (!stray_is_loss(list, s, false) || s->number <= newest) continue;
        if (lost < s->number - newest) lost = s->number - newest;
        if (span < s->file_bytes) span = (s->file_bytes + 7) & ~(uint64_t)7;
    }
    if (lost > LOST_SEGMENTS_MAX) lost = LOST_SEGMENTS_MAX;
    if (span > POS_MAX / LOST_SEGMENTS_MAX / 2) span = POS_MAX / LOST_SEGMENTS_MAX / 2;
    return (last == NULL ? WAL_FIRST_POS : last->limit_pos) + lost * span;
}

static enum err
begin_first_batch(struct wal *wal, const struct wal_options *o, struct why *why)
{
    uint64_t pos = first_free_pos(wal), number = wal->list.number_max;
    uint64_t floor_pos = (o->floor_pos + 7) & ~(uint64_t)7;
    if (pos < floor_pos) pos = floor_pos;
    if (number < o->floor_number) number = o->floor_number;
    if (pos > POS_MAX || number >= NUMBER_MAX) {
        return why_set(why, ERR_CORRUPT,
                       "%s: position %" PRIu64 " or segment number %" PRIu64 " is out of range",
                       wal->dir, pos, number);
    }
    lock_take(&wal->lock);
    wal->tried_pos = wal->end_pos = wal->synced_pos = pos;
    batch_begin_locked(wal, 1, number + 1, pos, pos);
    lock_drop(&wal->lock);
    return OK;
}

/*
 * Makes the log's directory, with a durable name. An empty one is removed and made again: the
 * process that made it may have been killed before its name was synced, or when that failed; then
 * another sync proves nothing unless the name is new.
 */
static enum err
make_dir(struct wal *wal, struct why *why)
{
    char parent[sizeof wal->dir];
    const char *slash = strrchr(wal->dir, '/');
    snprintf(parent, sizeof parent, "%.*s", slash == NULL ? 0 : (int)(slash - wal->dir), wal->dir);
    if (parent[0] == 0) snprintf(parent, sizeof parent, "%s", slash == NULL ? "." : "/");
    err_ignore(env_rmdir(wal->env, wal->dir, NULL), "it holds something, or is missing");
    enum err e = env_mkdir(wal->env, wal->dir, why);
    return e ? e : env_syncdir(wal->env, parent, why);
}

enum err
wal_open(const struct wal_options *o, struct wal **ret_wal, struct why *why)
{
    struct wal *wal;
    const size_t dir_size = strlen(o->dir);
    if (dir_size == 0 || dir_size >= sizeof wal->dir)
        return why_set(why, ERR_LIMIT, "log path is empty or too long");
    if (o->segment_bytes < WAL_SEGMENT_BYTES_MIN || o->segment_bytes > WAL_SEGMENT_BYTES_MAX ||
        o->batch_bytes_max > WAL_SEGMENT_BYTES_MAX)
        return why_set(why, ERR_INPUT, "size of log segments or batches is out of range");
    wal = mem_new(o->memory, sizeof *wal);
    if (wal == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the write-ahead log");
    wal->env = o->env;
    wal->memory = o->memory;
    memcpy(wal->dir, o->dir, strlen(o->dir) + 1);
    wal->segment_bytes = (o->segment_bytes + 7) & ~(uint64_t)7;
    wal->batch_bytes_max = o->batch_bytes_max;
    wal->batch_limit = o->batch_bytes_max + 2 * WAL_RECORD_BYTES_MAX;
    wal->budget_bytes = o->budget_bytes;
    wal->sync = o->sync;
    wal->none_yet = o->none_yet;
    wal->keep_for_readers = o->keep_for_readers;
    wal->read_only = o->read_only;
    wal->file = FILE_CLOSED;
    lock_init(&wal->lock, LOCK_RANK_WAL);
    for (unsigned i = 0; i < 2; i++)
        buf_init(&wal->batches[i].bytes, o->memory, wal->batch_limit + PADDING_BYTES_MAX);
    buf_init(&wal->packed, o->memory, 2 * WAL_RECORD_BYTES_MAX);
    wal->sectors_memory = mem_alloc(o->memory, DIRECT_BYTES + FILE_DIRECT_BYTES);
    uint8_t *sectors = wal->sectors_memory;
    enum err e = ERR_NOMEM;
    if (sectors != NULL) {
        wal->sectors = sectors + (FILE_DIRECT_BYTES - (uintptr_t)sectors % FILE_DIRECT_BYTES);
        e = segment_list_read(o->env, wal->dir, o->memory, &wal->list, why);
        if (e == ERR_MISSING) e = OK;
    }
    const struct segment *last = wal_last_segment(wal);
    if (e == OK && last != NULL) {
        memcpy(wal->log_id, last->log_id, sizeof wal->log_id);
    } else if (e == OK) {
        if (!wal->read_only) e = make_dir(wal, why);
        if (e == OK) e = env_random(o->env, wal->log_id, sizeof wal->log_id);
    }
    if (e == OK) e = begin_first_batch(wal, o, why);
    if (e) {
        wal_free(wal);
        return e;
    }
    *ret_wal = wal;
    return OK;
}

void
wal_free(struct wal *wal)
{
    if (wal == NULL) return;
    assert(wal->readers == NULL); /* contract: readers are closed first */
    file_close(&wal->file);
    for (unsigned i = 0; i < 2; i++)
        buf_fini(&wal->batches[i].bytes);
    buf_fini(&wal->packed);
    mem_free(wal->memory, wal->sectors_memory, DIRECT_BYTES + FILE_DIRECT_BYTES);
    ZSTD_freeCCtx(wal->packer);
    segment_list_fini(&wal->list, wal->memory);
    lock_fini(&wal->lock);
    mem_free(wal->memory, wal, sizeof *wal);
}

/* --- putting ---------------------------------------------------------------------------------- */

struct wal_filling
wal_filling(struct wal *wal)
{
    lock_take(&wal->lock);
    struct wal_filling now = {filling(wal)->epoch, filling(wal)->segment};
    lock_drop(&wal->lock);
    return now;
}

size_t
wal_put_bytes(size_t payload_size)
{
    return record_size(payload_size);
}

/* Returns the size of the batch, including its commit record, also while it is empty. */
static size_t
batch_size(const struct wal_batch *b)
{
    return b->bytes.size == 0 ? COMMIT_RECORD_BYTES : b->bytes.size;
}

static bool
batch_is_full(const struct wal *wal, const struct wal_batch *b, size_t more)
{
    return b->record_count > 0 && batch_size(b) + more > wal->batch_bytes_max;
}

/* Allocates memory for `more` bytes after batch_size(), and for padding. ERR_NOMEM. */
static enum err
batch_grow(struct wal_batch *b, size_t more)
{
    size_t all = batch_size(b) - b->bytes.size + more + PADDING_BYTES_MAX;
    if (buf_reserve(&b->bytes, all)) return OK;
    b->bytes.failed = OK; /* clears the sticky error: the caller may try again */
    return ERR_NOMEM;
}

enum err
wal_reserve(struct wal *wal, size_t bytes, struct why *why)
{
    enum err e = OK;
    lock_take(&wal->lock);
    struct wal_batch *b = filling(wal);
    if (bytes > wal->batch_limit - COMMIT_RECORD_BYTES) {
        e = why_set(why, ERR_LIMIT,
                    "request needs %zu bytes in the write-ahead log, more than one batch holds: "
                    "send fewer samples per request",
                    bytes);
    } else if (wal->down) {
        e = why_set(why, ERR_AGAIN, "cannot write to the write-ahead log, retry later");
    } else if (batch_is_full(wal, b, bytes) || bytes > wal->batch_limit - batch_size(b)) {
        e = why_set(why, ERR_AGAIN, "the write-ahead log cannot keep up, retry later");
    } else if (wal_over_budget_locked(wal)) {
        e = why_set(why, ERR_AGAIN, "the write-ahead log has reached wal.budget");
    } else if (batch_grow(b, bytes) != OK) {
        e = why_set(why, ERR_NOMEM, "not enough memory for the write-ahead log");
    } else if (b->reserved_to < batch_size(b) + bytes) {
        b->reserved_to = batch_size(b) + bytes;
    }
    lock_drop(&wal->lock);
    return e;
}

static enum err
put_locked(struct wal *wal, struct bytes stored, uint8_t type, uint8_t version, uint8_t flags)
{
    struct wal_batch *b = filling(wal);
    size_t size = record_size(stored.size);
    if (batch_size(b) + size > b->reserved_to) {
        if (wal->down || batch_is_full(wal, b, size)) return ERR_AGAIN;
        if (size > wal->batch_limit - batch_size(b)) return ERR_AGAIN;
        enum err e = batch_grow(b, size);
        if (e) return e;
    }
    b->bytes.size = batch_size(b);
    assert(b->bytes.size + size <= b->bytes.capacity); /* invariant 9 */
    uint8_t *at = b->bytes.at + b->bytes.size;
    if (stored.size > 0) memcpy(at + RECORD_HEADER_BYTES, stored.at, stored.size);
    record_seal(at, stored.size, type, version, flags, b->seed, b->start_pos + b->bytes.size);
    b->bytes.size += size;
    b->record_count++;
    return OK;
}

enum err
wal_put(struct wal *wal, enum wal_type type, struct bytes payload, bool compress)
{
    return wal_put_version(wal, type, RECORD_VERSION, payload, compress);
}

enum err
wal_put_version(struct wal *wal, enum wal_type type, uint8_t version, struct bytes payload,
                bool compress)
{
    if (payload.size > WAL_RECORD_BYTES_MAX) return ERR_LIMIT;
    uint8_t flags = type == WAL_OWN ? FLAG_SKIPPABLE : 0;
    if (compress && payload.size >= COMPRESS_FROM_BYTES) { /* if it saves enough, given memory */
        size_t bound = ZSTD_compressBound(payload.size);
        buf_clear(&wal->packed);
        buf_shrink(&wal->packed);
        if (wal->packer == NULL) wal->packer = ZSTD_createCCtx();
        if (wal->packer != NULL && buf_reserve(&wal->packed, bound + 4)) {
            uint8_t *at = wal->packed.at;
            size_t got = ZSTD_compressCCtx(wal->packer, at + 4, bound, payload.at, payload.size, 1);
            if (!ZSTD_isError(got) && got + 4 < payload.size - payload.size / 16) {
                store_le32(at, (uint32_t)payload.size);
                flags |= FLAG_ZSTD;
                payload = bytes_of(at, got + 4);
            }
        }
    }
    lock_take(&wal->lock);
    enum err e = put_locked(wal, payload, (uint8_t)type, version, flags);
    lock_drop(&wal->lock);
    return e;
}

void
wal_count(struct wal *wal, enum ledger_kind kind, uint64_t accepted)
{
    lock_take(&wal->lock);
    filling(wal)->accepted[kind] += accepted;
    lock_drop(&wal->lock);
}

/* --- segments begun --------------------------------------------------------------------------- */

static enum err
make_file(struct wal *wal, struct segment *segment, struct file *ret_file, struct why *why)
{
    char path[256];
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, segment->number);
    if (e) return e;
    e = wal_take_prepared(wal, path, &file, why);
    if (e) goto out;
    segment_header_pack(segment, env_realtime_ms(wal->env), header);
    e = file_write_at(&file, bytes_of(header, sizeof header), 0, why);
    if (e == OK) e = file_sync(&file, why);
    if (e == OK) e = env_syncdir(wal->env, wal->dir, why);
    if (e == OK) e = file_size(&file, &segment->file_bytes, why);
    if (e) goto out;
    if (env_facts(wal->env, path, &wal->file_facts, NULL) != OK) wal->file_facts.number = 0;
    *ret_file = file;
    file = FILE_CLOSED;
out:
    file_close(&file);
    /* Files that failed must not fill the disk. If one stays, the next start finds it void. */
    if (e) err_ignore(env_unlink(wal->env, path, NULL), "swept when the log is opened");
    return e;
}

/* Returns the header of a segment that follows the last one at the committed end. */
static struct segment
next_segment_locked(struct wal *wal, uint64_t number, uint64_t base_pos)
{
    const struct segment *last = wal_last_segment(wal);
    struct segment segment = {
        .number = number,
        .base_pos = base_pos,
        .prev_number = last == NULL ? 0 : last->number,
        .prev_end_pos = wal->end_pos,
        .limit_pos = base_pos + segment_span(wal),
        .seed = segment_seed(wal->log_id, number),
        .end_pos = SEGMENT_POS_NONE,
    };
    memcpy(segment.totals, wal->totals, sizeof segment.totals);
    memcpy(segment.log_id, wal->log_id, sizeof segment.log_id);
    return segment;
}

/* Makes segment `number`, which follows the last one. Invariant 4. */
static enum err
segment_begin(struct wal *wal, uint64_t number, uint64_t base_pos, struct why *why)
{
    lock_take(&wal->lock);
    struct segment segment = next_segment_locked(wal, number, base_pos);
    const struct segment *last = wal_last_segment(wal);
    uint64_t last_end = last == NULL ? 0 : segment_end_before(last, &segment);
    uint64_t used = last == NULL ? 0 : segment_offset(last, last_end);
    bool cut = last != NULL && used < wal->segment_bytes && used < last->file_bytes;
    assert(last == NULL || number > last->number); /* invariant 3 */
    assert(base_pos >= wal->end_pos);              /* invariant 7 */
    enum err e = segment_list_reserve(&wal->list, wal->memory);
    lock_drop(&wal->lock);

    struct file file = FILE_CLOSED;
    if (e) return why_set(why, e, "not enough memory for a log segment");
    if (wal->unsynced) e = file_datasync(&wal->file, why); /* invariant 5 */
    if (e == OK) e = make_file(wal, &segment, &file, why);
    if (e) return e;
    file_close(&wal->file);
    wal->file = file;
    /* With WAL_SYNC_WRITTEN commits stay in the page cache until wal_sync(). */
    if (wal->sync == WAL_SYNC_FSYNC) (void)file_make_direct(&wal->file);
    wal->file_number = number;
    wal->file_base_pos = base_pos;
    wal->unsynced = false;

    lock_take(&wal->lock);
    if (last != NULL) wal_last_segment(wal)->end_pos = last_end;
    wal->list.items[wal->list.count++] = segment;
    wal->synced_pos = wal->end_pos;
    wal->stats.segments_made_total++;
#ifdef LOCK_CHECK
    validate_locked(wal);
#endif
    lock_drop(&wal->lock);
    if (cut) wal_cut_tail(wal, segment.prev_number, used);
    return OK;
}

/* --- committing ------------------------------------------------------------------------------- */

bool
wal_has_records(struct wal *wal)
{
    lock_take(&wal->lock);
    bool has = filling(wal)->record_count > 0;
    lock_drop(&wal->lock);
    return has;
}

bool
wal_take(struct wal *wal)
{
    lock_take(&wal->lock);
    assert(wal->recovered);
    struct wal_batch *b = filling(wal);
    bool take = !wal->down && b->record_count > 0;
    if (take) {
        assert(!wal->taken);
        /* Padding fills the last sector, so that it is written once: without padding the next
         * commit would write it again. batch_grow() has made room. */
        size_t odd = (b->start_pos - b->base_pos + b->bytes.size) % FILE_DIRECT_BYTES;
        size_t padding = odd == 0 ? 0 : FILE_DIRECT_BYTES - odd;
        if (odd != 0 && padding < RECORD_HEADER_BYTES) padding += FILE_DIRECT_BYTES;
        assert(b->bytes.size + padding <= b->bytes.capacity); /* invariant 9 */
        if (padding > 0) {
            uint8_t *at = b->bytes.at + b->bytes.size;
            memset(at, 0, padding);
            record_seal(at, padding - RECORD_HEADER_BYTES, WAL_PADDING, RECORD_VERSION,
                        FLAG_SKIPPABLE, b->seed, b->start_pos + b->bytes.size);
            b->bytes.size += padding;
            b->record_count++;
        }
        struct commit commit = {
            .sequence = wal->sequence_base + b->epoch,
            .durable_pos = wal->synced_pos,
            .end_pos = b->start_pos + b->bytes.size,
            .realtime_ms = env_realtime_ms(wal->env),
            .record_count = b->record_count,
            .padding_bytes = (uint32_t)padding,
        };
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            commit.totals_before[k] = wal->totals[k];
            commit.accepted[k] = b->accepted[k];
        }
        commit_pack(&commit, b->bytes.at + RECORD_HEADER_BYTES);
        record_seal(b->bytes.at, COMMIT_PAYLOAD_BYTES, WAL_COMMIT, RECORD_VERSION, 0, b->seed,
                    b->start_pos);
        uint64_t end = b->start_pos + b->bytes.size;
        assert(end > wal->tried_pos); /* invariant 3 */
        wal->taken = true;
        wal->tried_pos = end;
        wal->filling ^= 1;
        bool rotate = end - b->base_pos >= wal->segment_bytes;
        batch_begin_locked(wal, b->epoch + 1, rotate ? b->segment + 1 : b->segment,
                           rotate ? end : b->base_pos, end);
    }
    lock_drop(&wal->lock);
    return take;
}

static enum err
batch_write(struct wal *wal, const struct wal_batch *b, struct why *why)
{
    enum err e = OK;
    if (wal->file_number != b->segment) e = segment_begin(wal, b->segment, b->base_pos, why);
    if (e) return e;
    uint64_t offset = b->start_pos - b->base_pos + SEGMENT_HEADER_BYTES;
    if (!wal->file.direct) e = file_write_at(&wal->file, buf_bytes(&b->bytes), offset, why);
    for (size_t at = 0, size; wal->file.direct && at < b->bytes.size && e == OK; at += size) {
        size = b->bytes.size - at < DIRECT_BYTES ? b->bytes.size - at : DIRECT_BYTES;
        memcpy(wal->sectors, b->bytes.at + at, size);
        e = file_write_at(&wal->file, bytes_of(wal->sectors, size), offset + at, why);
    }
    if (e) return e;
    wal->unsynced = true;
    if (wal->sync != WAL_SYNC_FSYNC) return OK;
    e = file_datasync(&wal->file, why);
    if (e == OK) wal->unsynced = false;
    return e;
}

static void
go_down_locked(struct wal *wal)
{
    wal->down = true;
    wal->stats.failures_total++;
}

enum err
wal_commit(struct wal *wal, struct why *why)
{
    lock_take(&wal->lock);
    assert(wal->taken);
    const struct wal_batch *b = &wal->batches[wal->filling ^ 1];
    bool down = wal->down; /* a sync failed after the batch was taken */
    lock_drop(&wal->lock);

    enum err e =
        down ? why_set(why, ERR_IO, "the write-ahead log is down") : wal_look_written(wal, why);
    if (e == OK) e = batch_write(wal, b, why);

    lock_take(&wal->lock);
    wal->taken = false;
    if (e == OK) {
        uint64_t end = b->start_pos + b->bytes.size;
        struct segment *last = wal_last_segment(wal);
        assert(last->number == b->segment);          /* invariant 4 */
        assert(end <= last->limit_pos);              /* invariant 3 */
        assert(b->epoch > wal->durable_epoch);       /* invariant 6 */
        assert(filling(wal)->epoch == b->epoch + 1); /* invariant 6 */
        assert(filling(wal)->start_pos == end);      /* invariant 2 */
        assert(b->start_pos >= wal->end_pos);        /* invariant 7 */
        wal->durable_epoch = b->epoch;
        wal->end_pos = end;
        if (!wal->unsynced) wal->synced_pos = end;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            wal->totals[k] += b->accepted[k];
        uint64_t used = segment_offset(last, end);
        if (last->file_bytes < used) last->file_bytes = used;
        wal->stats.commits_total++;
        wal->stats.commit_bytes_total += b->bytes.size;
    }
    if (e != OK && !down) go_down_locked(wal);
    lock_drop(&wal->lock);
    return e;
}

enum err
wal_sync(struct wal *wal, struct why *why)
{
    if (!wal->unsynced || wal_is_down(wal)) return OK;
    enum err e = file_datasync(&wal->file, why);
    lock_take(&wal->lock);
    if (e) {
        go_down_locked(wal);
    } else {
        wal->unsynced = false;
        wal->synced_pos = wal->end_pos;
    }
    lock_drop(&wal->lock);
    return e;
}

enum err
wal_look(struct wal *wal, struct why *why)
{
    enum err e = wal_is_down(wal) ? OK : wal_look_written(wal, why);
    if (e) wal_bring_down(wal);
    return e;
}

void
wal_bring_down(struct wal *wal)
{
    lock_take(&wal->lock);
    assert(!wal->taken);
    if (!wal->down) go_down_locked(wal);
    lock_drop(&wal->lock);
}

enum err
wal_reopen(struct wal *wal, struct why *why)
{
    lock_take(&wal->lock);
    assert(wal->down);
    assert(!wal->taken);
    uint64_t from = wal->synced_pos, to = wal->end_pos;
    lock_drop(&wal->lock);

    /*
     * Commits of WAL_SYNC_WRITTEN that are not synced: after a failed sync, one that succeeds
     * proves nothing about them unless they are written again. The file stays open until that
     * succeeds, or until there is a new segment: if the device takes that, but still not these
     * commits, the log goes on without them, and the caller has to write them elsewhere
     * (files.c).
     */
    if (from < wal->file_base_pos) from = wal->file_base_pos;
    enum err rewritten = OK;
    if (wal->file_number != 0 && from < to) {
        uint64_t back = SEGMENT_HEADER_BYTES - wal->file_base_pos;
        rewritten = wal_rewrite(&wal->file, wal->memory, from + back, to + back, NULL);
    }
    if (rewritten == OK) {
        file_close(&wal->file);
        wal->file_number = 0;
    }
    wal->unsynced = false;

    lock_take(&wal->lock);
    if (rewritten == OK) wal->synced_pos = to;
    /* Invariant 3: begin after all positions that void batches were given. */
    const struct wal_batch *b = filling(wal);
    uint64_t filled = b->start_pos + b->bytes.size;
    if (wal->tried_pos < filled) wal->tried_pos = filled;
    assert(wal->tried_pos >= to); /* invariant 7 */
    uint64_t base = wal->tried_pos, epoch = b->epoch + 1;
    uint64_t number = ++wal->tried_number;
    lock_drop(&wal->lock);

    struct file_facts dir;
    enum err e = env_facts(wal->env, wal->dir, &dir, NULL) == ERR_MISSING ? make_dir(wal, why) : OK;
    if (e == OK) e = segment_begin(wal, number, base, why);
    if (e) return e;
    lock_take(&wal->lock);
    if (rewritten != OK && wal->lost_pos < to) wal->lost_pos = to;
    wal->down = false;
    batch_begin_locked(wal, epoch, number, base, base);
    lock_drop(&wal->lock);
    return OK;
}

/* --- state ------------------------------------------------------------------------------------ */

bool
wal_is_down(struct wal *wal)
{
    lock_take(&wal->lock);
    bool down = wal->down;
    lock_drop(&wal->lock);
    return down;
}

uint64_t
wal_durable_epoch(struct wal *wal)
{
    lock_take(&wal->lock);
    uint64_t epoch = wal->durable_epoch;
    lock_drop(&wal->lock);
    return epoch;
}

uint64_t
wal_end(struct wal *wal)
{
    lock_take(&wal->lock);
    uint64_t pos = wal->end_pos;
    lock_drop(&wal->lock);
    return pos;
}

uint64_t
wal_bytes_from(struct wal *wal, uint64_t pos)
{
    uint64_t bytes = 0;
    lock_take(&wal->lock);
    for (uint32_t i = 0; i < wal->list.count; i++) {
        const struct segment *s = &wal->list.items[i];
        uint64_t from = s->base_pos > pos ? s->base_pos : pos;
        uint64_t to = i + 1 < wal->list.count ? s->end_pos : wal->end_pos;
        if (to > from) bytes += to - from;
    }
    lock_drop(&wal->lock);
    return bytes;
}

const uint8_t *
wal_log_id(struct wal *wal)
{
    return wal->log_id;
}
