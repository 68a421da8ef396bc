/*
 * wal.c - the writing half of the log: batches, commits, segments coming and going.
 *
 * States of the log, with the function that takes each arrow:
 *
 *      wal_open            wal_commit, wal_sync fail
 *     ----------->  up  ------------------------------>  down
 *                    ^                                     |
 *                    +-------------------------------------+
 *                      wal_reopen: a fresh segment that names the last committed position
 *
 * Invariants:
 *  1. A batch knows from its first record on in which segment, and at which position there, it will
 * stand: records are checksummed with both when they are put.
 *  2. The batch being filled begins where the one on its way ends; if that one fails, both are
 * void.
 *  3. Positions given to void batches are never given again (tried_pos).
 *  4. The segment of a batch is made by the committing thread when its first batch arrives, never
 * before: a segment's header names the true end of the one before.
 */
#include "wal/wal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <zstd.h>

#include "wal/internal.h"

enum {
    PREPARE_PIECE_BYTES = 1024 * 1024,
    COMPRESS_FROM_BYTES = 256,
    BATCH_KEEP_BYTES = 4 * 1024 * 1024, /* a batch buffer larger than this is not kept */
};

static const char PREPARED_NAME[] = "prepared.tmp";

bool
wal_type_known(uint8_t type, uint8_t version)
{
    return version == RECORD_VERSION && type >= WAL_COMMIT && type <= WAL_LEDGER;
}

static struct batch *
filling(struct wal *wal)
{
    return &wal->batches[wal->filling];
}

static struct segment *
last_segment(struct wal *wal)
{
    return wal->segment_count == 0 ? NULL : &wal->segments[wal->segment_count - 1];
}

/* Begins an empty batch that will stand at `start_pos` of the given segment. */
static void
batch_begin_locked(struct wal *wal, uint64_t epoch, uint64_t segment, uint64_t base_pos,
                   uint64_t start_pos)
{
    assert(lock_is_mine(&wal->lock));
    struct batch *b = filling(wal);
    if (b->bytes.capacity > BATCH_KEEP_BYTES) {
        size_t limit = b->bytes.limit;
        buf_fini(&b->bytes);
        buf_init(&b->bytes, wal->memory, limit);
    }
    buf_clear(&b->bytes);
    b->epoch = epoch;
    b->segment = segment;
    b->base_pos = base_pos;
    b->start_pos = start_pos;
    b->record_count = 0;
    memset(b->accepted, 0, sizeof b->accepted);
}

/* --- opening ------------------------------------------------------------------------------------
 */

/* Files that hold nothing go; a segment whose header is damaged is put aside for people. */
static enum err
remove_leftover(void *context, const char *name, bool is_dir)
{
    struct wal *wal = context;
    uint64_t number = 0;
    char path[256], aside[300];
    size_t size = strlen(name);
    bool tmp = size > 4 && strcmp(name + size - 4, ".tmp") == 0;
    bool segment = segment_name_parse(name, &number);
    for (uint32_t i = 0; i < wal->segment_count; i++) {
        if (wal->segments[i].number == number) return OK;
    }
    if (is_dir || (!tmp && !segment)) return OK;
    enum err e = path_join(path, sizeof path, wal->dir, name);
    bool blank = true;
    if (e == OK && segment) e = segment_is_blank(wal->env, path, number, &blank, NULL);
    if (e) return e;
    if (blank) return env_unlink(wal->env, path, NULL);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    return env_rename(wal->env, path, aside, NULL);
}

static enum err
wal_open_dir(struct wal *wal, const struct wal_options *o, struct why *why)
{
    enum err e = env_mkdir(o->env, o->dir, why);
    if (e) return e;
    e = segments_list(o->env, o->dir, o->memory, &wal->segments, &wal->segment_count,
                      &wal->segment_capacity, &wal->damaged_count, why);
    if (e) return e;
    if (wal->segment_count > 0) {
        memcpy(wal->log_id, last_segment(wal)->log_id, sizeof wal->log_id);
        return OK;
    }
    return env_random(o->env, wal->log_id, sizeof wal->log_id);
}

enum err
wal_open(const struct wal_options *o, struct wal **ret_wal, struct why *why)
{
    struct wal *wal = mem_new(o->memory, sizeof *wal);
    if (wal == NULL) return ERR_NOMEM;
    wal->env = o->env;
    wal->memory = o->memory;
    wal->segment_bytes = o->segment_bytes;
    wal->batch_bytes_max = o->batch_bytes_max;
    wal->budget_bytes = o->budget_bytes;
    wal->sync = o->sync;
    wal->file = FILE_CLOSED;
    lock_init(&wal->lock, LOCK_RANK_WAL);
    for (unsigned i = 0; i < 2; i++) {
        buf_init(&wal->batches[i].bytes, o->memory, o->batch_bytes_max + 2 * WAL_RECORD_BYTES_MAX);
    }
    enum err e = strlen(o->dir) < sizeof wal->dir ? OK : ERR_LIMIT;
    if (e) why_set(why, e, "the path of the log is too long");
    if (e == OK) {
        memcpy(wal->dir, o->dir, strlen(o->dir) + 1);
        e = wal_open_dir(wal, o, why);
    }
    if (e) {
        wal_free(wal);
        return e;
    }
    const struct segment *last = last_segment(wal);
    uint64_t pos = last == NULL ? WAL_FIRST_POS
                                : last->base_pos + last->file_bytes; /* behind any byte tried */
    uint64_t floor_pos = (o->floor_pos + 7) & ~(uint64_t)7;
    if (pos < floor_pos) pos = floor_pos;
    pos = (pos + 7) & ~(uint64_t)7;
    uint64_t number = last == NULL ? 0 : last->number;
    if (number < o->floor_number) number = o->floor_number;
    wal->tried_pos = pos;
    wal->end_pos = wal->synced_pos = pos;
    lock_take(&wal->lock);
    batch_begin_locked(wal, 1, number + 1, pos, pos);
    lock_drop(&wal->lock);
    *ret_wal = wal;
    return OK;
}

void
wal_free(struct wal *wal)
{
    if (wal == NULL) return;
    assert(wal->readers == NULL);
    file_close(&wal->file);
    for (unsigned i = 0; i < 2; i++) {
        buf_fini(&wal->batches[i].bytes);
    }
    mem_free(wal->memory, wal->segments, wal->segment_capacity * sizeof *wal->segments);
    lock_fini(&wal->lock);
    mem_free(wal->memory, wal, sizeof *wal);
}

/* --- putting
 * -------------------------------------------------------------------------------------- */

struct wal_place
wal_place(struct wal *wal)
{
    lock_take(&wal->lock);
    struct wal_place place = {filling(wal)->epoch, filling(wal)->segment};
    lock_drop(&wal->lock);
    return place;
}

static bool
over_budget_locked(const struct wal *wal)
{
    uint64_t bytes = filling((struct wal *)(uintptr_t)wal)->bytes.size;
    for (uint32_t i = 0; i < wal->segment_count; i++) {
        bytes += wal->segments[i].file_bytes;
    }
    return wal->budget_bytes != 0 && bytes > wal->budget_bytes;
}

size_t
wal_put_bytes(size_t payload_size)
{
    size_t bound = ZSTD_compressBound(payload_size) + 4;
    return record_size(bound > payload_size ? bound : payload_size);
}

enum err
wal_reserve(struct wal *wal, size_t bytes, struct why *why)
{
    enum err e = OK;
    lock_take(&wal->lock);
    struct batch *b = filling(wal);
    if (wal->down) {
        e = why_set(why, ERR_AGAIN, "the write-ahead log is down");
    } else if (b->record_count > 0 && b->bytes.size + bytes > wal->batch_bytes_max) {
        e = why_set(why, ERR_AGAIN, "the write-ahead log is behind");
    } else if (over_budget_locked(wal)) {
        e = why_set(why, ERR_AGAIN, "the write-ahead log has reached its budget");
    } else if (!buf_reserve(&b->bytes, bytes + COMMIT_RECORD_BYTES)) {
        e = buf_error(&b->bytes) == ERR_LIMIT ? ERR_AGAIN : ERR_NOMEM;
        b->bytes.failed = OK;
        why_set(why, e, "no memory for the write-ahead log");
    }
    lock_drop(&wal->lock);
    return e;
}

/* The payload, compressed or not, at to + RECORD_HEADER_BYTES; its size. 0: no room. */
static size_t
put_payload(struct buf *to, struct bytes payload, bool compress, uint8_t *ret_flags)
{
    *ret_flags = 0;
    size_t bound = ZSTD_compressBound(payload.size) + 4;
    size_t room = bound > payload.size ? bound : payload.size;
    if (!buf_reserve(to, record_size(room))) return SIZE_MAX;
    uint8_t *at = to->at + to->size + RECORD_HEADER_BYTES;
    if (compress && payload.size >= COMPRESS_FROM_BYTES) {
        size_t got = ZSTD_compress(at + 4, bound - 4, payload.at, payload.size, 1);
        if (!ZSTD_isError(got) && got + 4 < payload.size - payload.size / 16) {
            store_le32(at, (uint32_t)payload.size);
            *ret_flags = FLAG_ZSTD;
            return got + 4;
        }
    }
    if (payload.size > 0) memcpy(at, payload.at, payload.size);
    return payload.size;
}

enum err
wal_put(struct wal *wal, enum wal_type type, struct bytes payload, bool compress)
{
    if (payload.size > WAL_RECORD_BYTES_MAX) return ERR_LIMIT;
    lock_take(&wal->lock);
    struct batch *b = filling(wal);
    enum err e = wal->down ? ERR_AGAIN : OK;
    if (e == OK && b->bytes.size == 0 && buf_reserve(&b->bytes, COMMIT_RECORD_BYTES)) {
        b->bytes.size = COMMIT_RECORD_BYTES;
    }
    uint8_t flags = 0;
    size_t size = e == OK ? put_payload(&b->bytes, payload, compress, &flags) : 0;
    if (e == OK && (size == SIZE_MAX || b->bytes.size < COMMIT_RECORD_BYTES)) {
        e = buf_error(&b->bytes) == ERR_LIMIT ? ERR_AGAIN : ERR_NOMEM;
        b->bytes.failed = OK;
    }
    if (e == OK) {
        record_seal(b->bytes.at + b->bytes.size, size, (uint8_t)type, flags, b->segment,
                    b->start_pos + b->bytes.size);
        b->bytes.size += record_size(size);
        b->record_count++;
    }
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

/* --- segments coming
 * -------------------------------------------------------------------------------- */

static enum err
segments_push_locked(struct wal *wal, const struct segment *segment)
{
    if (wal->segment_count == wal->segment_capacity) {
        uint32_t capacity = wal->segment_capacity == 0 ? 16 : wal->segment_capacity * 2;
        struct segment *grown =
            mem_resize(wal->memory, wal->segments, wal->segment_capacity * sizeof *grown,
                       capacity * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        wal->segments = grown;
        wal->segment_capacity = capacity;
    }
    wal->segments[wal->segment_count++] = *segment;
    return OK;
}

/* Opens the file of a new segment: the prepared one under its new name, or an empty one. */
static enum err
segment_take_file(struct wal *wal, const char *path, bool prepared, struct file *ret_file,
                  struct why *why)
{
    char from[256];
    enum err e = prepared ? path_join(from, sizeof from, wal->dir, PREPARED_NAME) : ERR_MISSING;
    if (e == OK) e = env_rename(wal->env, from, path, why);
    if (e == ERR_MISSING) return file_open(wal->env, path, FILE_REPLACE, ret_file, why);
    return e ? e : file_open(wal->env, path, FILE_UPDATE, ret_file, why);
}

static enum err
segment_make_file(struct wal *wal, struct segment *segment, bool prepared, struct file *ret_file,
                  struct why *why)
{
    char path[256];
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, segment->number);
    if (e == OK) e = segment_take_file(wal, path, prepared, &file, why);
    if (e) goto out;
    segment_header_pack(segment, env_realtime_ms(wal->env), header);
    e = file_write_at(&file, bytes_of(header, sizeof header), 0, why);
    if (e == OK) e = file_sync(&file, why);
    if (e == OK) e = env_syncdir(wal->env, wal->dir, why);
    if (e == OK) e = file_size(&file, &segment->file_bytes, why);
    if (e) goto out;
    *ret_file = file;
    file = FILE_CLOSED;
out:
    file_close(&file);
    return e;
}

/*
 * What stands behind the end of the segment before was never committed; cutting it off
 * gives its room back. Only a file that a crash or a failure left unfinished has such a tail worth
 * cutting.
 */
static void
segment_cut_tail(struct wal *wal, uint64_t number, uint64_t file_bytes)
{
    char path[256];
    struct file file = FILE_CLOSED;
    enum err e = segment_path(path, sizeof path, wal->dir, number);
    if (e == OK) e = file_open(wal->env, path, FILE_UPDATE, &file, NULL);
    if (e == OK) e = file_truncate(&file, file_bytes, NULL);
    file_close(&file);
    if (e == OK) {
        lock_take(&wal->lock);
        for (uint32_t i = 0; i < wal->segment_count; i++) {
            if (wal->segments[i].number == number) wal->segments[i].file_bytes = file_bytes;
        }
        lock_drop(&wal->lock);
    }
    err_ignore(e, "the room comes back when the segment is given up");
}

/* Makes segment `number`, which follows the last one at the committed end. Invariant 4. */
static enum err
segment_begin(struct wal *wal, uint64_t number, uint64_t base_pos, struct why *why)
{
    lock_take(&wal->lock);
    const struct segment *last = last_segment(wal);
    struct segment segment = {
        .number = number,
        .base_pos = base_pos,
        .prev_number = last == NULL ? 0 : last->number,
        .prev_end_pos = last == NULL ? 0 : wal->end_pos,
        .end_pos = SEGMENT_POS_NONE,
    };
    memcpy(segment.log_id, wal->log_id, sizeof segment.log_id);
    bool prepared = wal->prepared;
    wal->prepared = false;
    uint64_t used = last == NULL ? 0 : wal->end_pos - last->base_pos + SEGMENT_HEADER_BYTES;
    bool cut = last != NULL && used < wal->segment_bytes && used < last->file_bytes;
    lock_drop(&wal->lock);

    struct file file = FILE_CLOSED;
    enum err e = OK;
    if (wal->unsynced && wal->file.handle >= 0) e = file_datasync(&wal->file, why);
    if (e == OK) e = segment_make_file(wal, &segment, prepared, &file, why);
    if (e) return e;
    file_close(&wal->file);
    wal->file = file;
    wal->file_number = number;
    wal->unsynced = false;

    lock_take(&wal->lock);
    uint64_t before = segment.prev_number;
    if (wal->segment_count > 0) last_segment(wal)->end_pos = segment.prev_end_pos;
    e = segments_push_locked(wal, &segment);
    wal->stats.segments_made_total++;
    lock_drop(&wal->lock);
    if (e == OK && cut) segment_cut_tail(wal, before, used);
    return e;
}

/* Writes zeros to the whole of a new file, so that later syncs need not write its block map. */
static enum err
prepare_file(struct wal *wal, const char *path, struct why *why)
{
    struct file file = FILE_CLOSED;
    uint8_t *zeros = mem_new(wal->memory, PREPARE_PIECE_BYTES);
    enum err e = zeros == NULL ? ERR_NOMEM : file_open(wal->env, path, FILE_REPLACE, &file, why);
    uint64_t size = wal->segment_bytes + SEGMENT_HEADER_BYTES;
    for (uint64_t at = 0; e == OK && at < size; at += PREPARE_PIECE_BYTES) {
        uint64_t piece = size - at < PREPARE_PIECE_BYTES ? size - at : PREPARE_PIECE_BYTES;
        e = file_write_at(&file, bytes_of(zeros, piece), at, why);
    }
    if (e == OK) e = file_sync(&file, why);
    enum err closed = file_close(&file);
    mem_free(wal->memory, zeros, PREPARE_PIECE_BYTES);
    return err_first(e, closed);
}

enum err
wal_prepare(struct wal *wal, struct why *why)
{
    lock_take(&wal->lock);
    bool wanted = !wal->prepared && !wal->down && !over_budget_locked(wal);
    lock_drop(&wal->lock);
    if (!wanted) return OK;
    char half[256], path[256];
    enum err e = path_join(half, sizeof half, wal->dir, "half-prepared.tmp");
    if (e == OK) e = path_join(path, sizeof path, wal->dir, PREPARED_NAME);
    if (e == OK) e = prepare_file(wal, half, why);
    /* A segment given up in the meantime may stand there already: the new one replaces it. */
    if (e == OK) e = env_rename(wal->env, half, path, why);
    if (e) {
        err_ignore(env_unlink(wal->env, half, NULL), "swept when the log is opened");
        return e;
    }
    lock_take(&wal->lock);
    wal->prepared = true;
    lock_drop(&wal->lock);
    return OK;
}

/* --- committing
 * --------------------------------------------------------------------------------------- */

bool
wal_has_records(struct wal *wal)
{
    lock_take(&wal->lock);
    bool has = filling(wal)->record_count > 0;
    lock_drop(&wal->lock);
    return has;
}

static void
batch_close(struct wal *wal, struct batch *b)
{
    struct commit commit = {
        .epoch = b->epoch,
        .durable_pos = wal->synced_pos,
        .end_pos = b->start_pos + b->bytes.size,
        .realtime_ms = env_realtime_ms(wal->env),
        .record_count = b->record_count,
    };
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        commit.totals_before[k] = wal->totals[k];
        commit.accepted[k] = (uint32_t)b->accepted[k];
    }
    commit_pack(&commit, b->bytes.at + RECORD_HEADER_BYTES);
    record_seal(b->bytes.at, COMMIT_PAYLOAD_BYTES, WAL_COMMIT, 0, b->segment, b->start_pos);
}

bool
wal_take(struct wal *wal)
{
    lock_take(&wal->lock);
    struct batch *b = filling(wal);
    bool take = !wal->down && b->record_count > 0;
    if (take) {
        assert(!wal->taken);
        batch_close(wal, b);
        uint64_t end = b->start_pos + b->bytes.size;
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
batch_write(struct wal *wal, struct batch *b, struct why *why)
{
    enum err e = OK;
    if (wal->file_number != b->segment) e = segment_begin(wal, b->segment, b->base_pos, why);
    if (e) return e;
    uint64_t offset = b->start_pos - b->base_pos + SEGMENT_HEADER_BYTES;
    e = file_write_at(&wal->file, buf_bytes(&b->bytes), offset, why);
    if (e) return e;
    wal->unsynced = true;
    if (wal->sync != WAL_SYNC_FSYNC) return OK;
    e = file_datasync(&wal->file, why);
    if (e == OK) wal->unsynced = false;
    return e;
}

static void
go_down(struct wal *wal)
{
    lock_take(&wal->lock);
    wal->down = true;
    wal->stats.failures_total++;
    lock_drop(&wal->lock);
}

enum err
wal_commit(struct wal *wal, struct why *why)
{
    struct batch *b = &wal->batches[wal->filling ^ 1];
    assert(wal->taken);
    wal->taken = false;
    enum err e = batch_write(wal, b, why);
    if (e) {
        go_down(wal);
        return e;
    }
    uint64_t end = b->start_pos + b->bytes.size;
    lock_take(&wal->lock);
    wal->durable_epoch = b->epoch;
    wal->end_pos = end;
    if (!wal->unsynced) wal->synced_pos = end;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        wal->totals[k] += b->accepted[k];
    }
    struct segment *last = last_segment(wal);
    uint64_t used = end - last->base_pos + SEGMENT_HEADER_BYTES;
    if (last->file_bytes < used) last->file_bytes = used;
    wal->stats.commits_total++;
    wal->stats.commit_bytes_total += b->bytes.size;
    lock_drop(&wal->lock);
    return OK;
}

enum err
wal_sync(struct wal *wal, struct why *why)
{
    if (!wal->unsynced || wal_is_down(wal)) return OK;
    enum err e = file_datasync(&wal->file, why);
    if (e) {
        go_down(wal);
        return e;
    }
    wal->unsynced = false;
    lock_take(&wal->lock);
    wal->synced_pos = wal->end_pos;
    lock_drop(&wal->lock);
    return OK;
}

enum err
wal_reopen(struct wal *wal, struct why *why)
{
    lock_take(&wal->lock);
    assert(wal->down);
    const struct segment *last = last_segment(wal);
    uint64_t number = filling(wal)->segment + 1;
    if (last != NULL && number <= last->number) number = last->number + 1;
    /* Invariant 3: behind whatever the void batches were given. */
    uint64_t base = wal->tried_pos;
    uint64_t filled = filling(wal)->start_pos + filling(wal)->bytes.size;
    if (base < filled) base = filled;
    wal->tried_pos = base;
    uint64_t epoch = filling(wal)->epoch + 1;
    lock_drop(&wal->lock);

    /* Its pages are not to be trusted, nor is another sync of them: the new header says where it
     * ends. */
    file_close(&wal->file);
    wal->file_number = 0;
    wal->unsynced = false;
    enum err e = segment_begin(wal, number, base, why);
    if (e) return e;
    lock_take(&wal->lock);
    wal->down = false;
    wal->synced_pos = wal->end_pos;
    batch_begin_locked(wal, epoch, number, base, base);
    lock_drop(&wal->lock);
    return OK;
}

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

/* --- segments going
 * ------------------------------------------------------------------------------------- */

/* Marks readers that still want something before `pos`; returns how many there are. */
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

/* The oldest segment, if it may go now: taken off the list. The newest one always stays. */
static bool
oldest_take_locked(struct wal *wal, uint64_t store_pos, struct segment *ret_segment)
{
    if (wal->segment_count < 2) return false;
    uint64_t end = wal->segments[0].end_pos; /* known: it is not the newest */
    if (end > store_pos) return false;
    bool over = over_budget_locked(wal);
    if (readers_before_locked(wal, end, false) > 0) {
        if (!over) return false;
        readers_before_locked(wal, end, true);
    }
    *ret_segment = wal->segments[0];
    memmove(wal->segments, wal->segments + 1, --wal->segment_count * sizeof *wal->segments);
    return true;
}

enum err
wal_trim(struct wal *wal, uint64_t store_pos, struct why *why)
{
    char path[256], prepared[256];
    enum err e = path_join(prepared, sizeof prepared, wal->dir, PREPARED_NAME);
    while (e == OK) {
        struct segment old;
        lock_take(&wal->lock);
        bool go = oldest_take_locked(wal, store_pos, &old);
        bool recycle = go && !wal->prepared && !over_budget_locked(wal) &&
                       old.file_bytes >= wal->segment_bytes + SEGMENT_HEADER_BYTES;
        lock_drop(&wal->lock);
        if (!go) break;
        e = segment_path(path, sizeof path, wal->dir, old.number);
        if (e == OK && recycle) {
            e = env_rename(wal->env, path, prepared, why);
        } else if (e == OK) {
            e = env_unlink(wal->env, path, why);
        }
        if (e == OK && recycle) {
            lock_take(&wal->lock);
            wal->prepared = true;
            wal->stats.segments_recycled_total++;
            lock_drop(&wal->lock);
        }
    }
    return e;
}

void
wal_set_budget(struct wal *wal, uint64_t budget_bytes)
{
    lock_take(&wal->lock);
    wal->budget_bytes = budget_bytes;
    lock_drop(&wal->lock);
}

void
wal_stats(struct wal *wal, struct wal_stats *ret_stats)
{
    lock_take(&wal->lock);
    struct wal_stats s = wal->stats;
    s.end_pos = wal->end_pos;
    s.begin_pos = wal->segment_count == 0 ? wal->end_pos : wal->segments[0].base_pos;
    s.segment_count = wal->segment_count;
    for (uint32_t i = 0; i < wal->segment_count; i++) {
        s.segment_bytes += wal->segments[i].file_bytes;
    }
    for (struct wal_reader *r = wal->readers; r != NULL; r = r->next) {
        s.readers++;
        s.readers_behind += r->behind;
    }
    s.down = wal->down;
    s.over_budget = over_budget_locked(wal);
    lock_drop(&wal->lock);
    *ret_stats = s;
}

const uint8_t *
wal_log_id(struct wal *wal)
{
    return wal->log_id;
}

/* Called once recovery knows where the log ends. */
void
wal_begin_at(struct wal *wal, uint64_t end_pos, const uint64_t *totals)
{
    lock_take(&wal->lock);
    assert(filling(wal)->record_count == 0);
    wal->end_pos = wal->synced_pos = end_pos;
    memcpy(wal->totals, totals, sizeof wal->totals);
    lock_drop(&wal->lock);
    err_ignore(env_listdir(wal->env, wal->dir, remove_leftover, wal, NULL),
               "files that hold nothing only cost room");
}
