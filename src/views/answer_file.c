/*
 * answer_file.c - see answer_file.h. Blocks are compressed by zstd, each with a hash that includes
 * its number, so that blocks cannot be exchanged.
 */
#include "views/answer_file.h"

#include <assert.h>
#include <zstd.h>

#include "base/hash/hash.h"

static const uint8_t magic[8] = {'F', 'K', 'A', 'N', 'S', 'W', 'E', 'R'};

enum {
    VERSION = 1,
    HEADER_BYTES = 16,          /* header of a block: sizes as stored and unpacked, hash */
    BLOCK_BYTES = 64 * 1024,    /* a block ends with the record that reaches this size */
    BLOCK_BYTES_MAX = 16 << 20, /* including that record */
    BATCH_MAX = 1024,           /* floats in a record */
    LEVEL = 1,                  /* level of zstd */
    END_BYTES = 16,             /* last block: numbers of series and samples */
};

enum record { RECORD_SERIES = 1, RECORD_FLOATS = 2, RECORD_HISTOGRAM = 3 };

/* Hashes a block, with its number and its size. */
static uint64_t
block_hash(struct bytes payload, uint64_t number, uint32_t unpacked)
{
    return hash_bytes(payload, number << 32 | unpacked);
}

/* --- writing ---------------------------------------------------------------------------------- */

struct answer_writer {
    struct budget *budget;
    struct file_cache_writer file;
    ZSTD_CCtx *zstd;
    struct buf records;
    struct buf packed;
    uint64_t blocks, series, samples;
    struct buf labels; /* labels of the current series */
    int64_t last_ms;   /* time of its last sample, if `any` */
    bool any;
    bool failed; /* the file is already dropped */
};

static void
writer_fail(struct answer_writer *w)
{
    if (!w->failed) file_cache_drop(&w->file);
    w->failed = true;
}

/* Writes a block: `packed` has room for the header, and the payload. */
static void
write_block(struct answer_writer *w, size_t unpacked)
{
    if (w->failed) return;
    if (buf_error(&w->packed)) {
        writer_fail(w);
        return;
    }
    struct bytes payload = bytes_of(w->packed.at + HEADER_BYTES, w->packed.size - HEADER_BYTES);
    store_le32(w->packed.at, (uint32_t)payload.size);
    store_le32(w->packed.at + 4, (uint32_t)unpacked);
    store_le64(w->packed.at + 8, block_hash(payload, w->blocks, (uint32_t)unpacked));
    w->failed = !file_cache_write(&w->file, buf_bytes(&w->packed));
    w->blocks++;
}

static void
begin_block(struct answer_writer *w)
{
    static const uint8_t header[HEADER_BYTES] = {0};
    buf_clear(&w->packed);
    buf_put(&w->packed, header, sizeof header);
}

static void
writer_flush(struct answer_writer *w)
{
    if (w->failed || w->records.size == 0) return;
    size_t bound = ZSTD_compressBound(w->records.size);
    begin_block(w);
    if (buf_error(&w->records) || !buf_reserve(&w->packed, bound)) {
        writer_fail(w);
        return;
    }
    size_t size = ZSTD_compressCCtx(w->zstd, w->packed.at + HEADER_BYTES, bound, w->records.at,
                                    w->records.size, LEVEL);
    if (ZSTD_isError(size)) {
        writer_fail(w);
        return;
    }
    w->packed.size += size;
    write_block(w, w->records.size);
    buf_clear(&w->records);
}

static void
end_record(struct answer_writer *w)
{
    if (buf_error(&w->records))
        writer_fail(w);
    else if (w->records.size >= BLOCK_BYTES)
        writer_flush(w);
}

static void
free_writer(struct answer_writer *w)
{
    ZSTD_freeCCtx(w->zstd);
    buf_fini(&w->records);
    buf_fini(&w->packed);
    buf_fini(&w->labels);
    mem_free(w->budget, w, sizeof *w);
}

struct answer_writer *
answer_writer_new(struct file_cache *cache, struct file_key key, const struct answer_about *about,
                  struct budget *budget)
{
    if (about->question.size > ANSWER_QUESTION_BYTES_MAX) return NULL;
    struct answer_writer *w = mem_new(budget, sizeof *w);
    if (w == NULL) return NULL;
    w->budget = budget;
    buf_init(&w->records, budget, BLOCK_BYTES_MAX);
    buf_init(&w->packed, budget, HEADER_BYTES + ZSTD_COMPRESSBOUND(BLOCK_BYTES_MAX));
    buf_init(&w->labels, budget, BLOCK_BYTES_MAX);
    w->zstd = ZSTD_createCCtx();
    if (w->zstd == NULL || !file_cache_begin(cache, key, &w->file)) {
        free_writer(w);
        return NULL;
    }
    begin_block(w);
    buf_put(&w->packed, magic, sizeof magic);
    buf_put_le32(&w->packed, VERSION);
    buf_put_le32(&w->packed, VERSION);
    buf_put_le64(&w->packed, (uint64_t)about->min_ms);
    buf_put_le64(&w->packed, (uint64_t)about->max_ms);
    buf_put_le64(&w->packed, (uint64_t)about->as_of_ms);
    buf_put_bytes(&w->packed, about->question);
    write_block(w, 0);
    return w;
}

void
answer_writer_series(struct answer_writer *w, struct bytes labels)
{
    if (w->failed) return;
    /* A file with series out of order could not be read. */
    if (w->series > 0 && labels_compare(labels, buf_bytes(&w->labels)) <= 0) {
        writer_fail(w);
        return;
    }
    buf_clear(&w->labels);
    buf_put_bytes(&w->labels, labels);
    buf_put_u8(&w->records, RECORD_SERIES);
    buf_put_counted(&w->records, labels);
    end_record(w);
    if (buf_error(&w->labels)) writer_fail(w);
    w->series++;
    w->last_ms = 0;
    w->any = false;
}

static void
put_time(struct answer_writer *w, int64_t t_ms)
{
    if (w->any && t_ms <= w->last_ms) writer_fail(w);
    buf_put_zigzag(&w->records, (int64_t)((uint64_t)t_ms - (uint64_t)w->last_ms));
    w->last_ms = t_ms;
    w->any = true;
}

/* Writes a start time: 0 if it is unknown, else one more than its distance from the sample. */
static void
put_start(struct answer_writer *w, int64_t t_ms, int64_t start_ms)
{
    uint64_t distance = zigzag((int64_t)((uint64_t)t_ms - (uint64_t)start_ms));
    buf_put_varint(&w->records, start_ms == 0 || distance == UINT64_MAX ? 0 : distance + 1);
}

static void
put_floats(struct answer_writer *w, const struct sample_batch *b)
{
    buf_put_u8(&w->records, RECORD_FLOATS);
    buf_put_varint(&w->records, b->count);
    buf_put_u8(&w->records, b->starts_ms != NULL);
    for (uint32_t i = 0; i < b->count; i++) {
        put_time(w, b->times_ms[i]);
        if (b->starts_ms != NULL) put_start(w, b->times_ms[i], b->starts_ms[i]);
    }
    buf_put(&w->records, b->value_bits, b->count * sizeof *b->value_bits);
    end_record(w);
}

void
answer_writer_samples(struct answer_writer *w, const struct sample_batch *b)
{
    w->samples += b->count;
    for (uint32_t i = 0; i < b->count && !w->failed && b->kind == SAMPLE_FLOAT; i += BATCH_MAX) {
        uint32_t count = b->count - i < BATCH_MAX ? b->count - i : BATCH_MAX;
        struct sample_batch part = sample_batch_part(b, i, count);
        put_floats(w, &part);
    }
    for (uint32_t i = 0; i < b->count && !w->failed && b->kind != SAMPLE_FLOAT; i++) {
        buf_put_u8(&w->records, RECORD_HISTOGRAM);
        put_time(w, b->times_ms[i]);
        put_start(w, b->times_ms[i], b->starts_ms == NULL ? 0 : b->starts_ms[i]);
        histogram_put(&w->records, &b->histograms[i]);
        end_record(w);
    }
}

bool
answer_writer_keep(struct answer_writer *w)
{
    writer_flush(w);
    assert(w->failed || w->records.size == 0);
    begin_block(w);
    buf_put_le64(&w->packed, w->series);
    buf_put_le64(&w->packed, w->samples);
    write_block(w, 0);
    bool kept = !w->failed && file_cache_keep(&w->file);
    free_writer(w);
    return kept;
}

void
answer_writer_drop(struct answer_writer *w)
{
    if (w == NULL) return;
    writer_fail(w);
    free_writer(w);
}

/* --- reading: blocks -------------------------------------------------------------------------- */

struct answer_set {
    struct series_set set; /* first: callers get it */
    struct budget *budget;
    struct file file;
    uint64_t offset; /* offset of the next block */
    uint64_t blocks; /* number of blocks before it */
    ZSTD_DCtx *zstd;
    struct buf packed;
    struct buf records;
    struct cursor at; /* in the records */
    bool ended;
    int64_t min_ms, max_ms;

    struct buf labels;       /* labels of the current series */
    struct buf next_labels;  /* labels of the next series, if `is_next` */
    bool is_next;            /* the record of the next series was read */
    bool begun;              /* a series was returned */
    struct series_cost read; /* returned so far */

    int64_t last_ms; /* time of the last sample of the series, if `any` */
    bool any;
    int64_t times[BATCH_MAX];
    int64_t starts[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    struct histogram histogram;
    struct arena arena;          /* has the buckets of `histogram` */
    struct sample_batch pending; /* to be returned next; may be empty */
};

static enum err
damaged(struct why *why)
{
    return why_set(why, ERR_AGAIN,
                   "a file of the cache changed while it was read; the next question does without "
                   "it");
}

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* Reads the next block's payload into `packed`. */
static enum err
read_block(struct answer_set *s, uint32_t *ret_unpacked)
{
    uint8_t header[HEADER_BYTES];
    enum err e = file_read_at(&s->file, header, sizeof header, s->offset, NULL);
    if (e) return ERR_CORRUPT;
    uint32_t size = load_le32(header);
    *ret_unpacked = load_le32(header + 4);
    if (size > ZSTD_COMPRESSBOUND(BLOCK_BYTES_MAX) || *ret_unpacked > BLOCK_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    buf_clear(&s->packed);
    if (!buf_reserve(&s->packed, size)) return ERR_NOMEM;
    e = file_read_at(&s->file, s->packed.at, size, s->offset + HEADER_BYTES, NULL);
    if (e) return ERR_CORRUPT;
    s->packed.size = size;
    if (block_hash(buf_bytes(&s->packed), s->blocks, *ret_unpacked) != load_le64(header + 8))
        return ERR_CORRUPT;
    s->offset += HEADER_BYTES + size;
    s->blocks++;
    return OK;
}

static bool
is_about(struct bytes first, const struct answer_about *about)
{
    struct cursor c = cursor_of(first);
    struct bytes name = cursor_bytes(&c, sizeof magic);
    cursor_le32(&c);
    bool ours = bytes_equal(name, bytes_of(magic, sizeof magic)) && cursor_le32(&c) <= VERSION;
    ours &= (int64_t)cursor_le64(&c) == about->min_ms;
    ours &= (int64_t)cursor_le64(&c) == about->max_ms;
    ours &= (int64_t)cursor_le64(&c) == about->as_of_ms;
    struct bytes question = cursor_bytes(&c, cursor_left(&c));
    return ours && !c.bad && bytes_equal(question, about->question);
}

/* Reads all blocks, without unpacking: checks that the file is complete, and answers the question.
 */
static enum err
check_whole(struct answer_set *s, const struct answer_about *about)
{
    uint64_t size, records;
    uint32_t unpacked;
    enum err e = file_size(&s->file, &size, NULL) ? ERR_CORRUPT : read_block(s, &unpacked);
    if (e == OK && (unpacked != 0 || !is_about(buf_bytes(&s->packed), about))) e = ERR_CORRUPT;
    records = s->offset;
    do {
        if (e == OK) e = read_block(s, &unpacked);
    } while (e == OK && unpacked != 0);
    if (e == OK && (s->packed.size != END_BYTES || s->offset != size)) e = ERR_CORRUPT;
    s->offset = records;
    s->blocks = 1;
    return e;
}

/* Reads the next block of records. The last block has none, and sets `ended`. */
static enum err
next_block(struct answer_set *s, struct why *why)
{
    uint32_t unpacked;
    enum err e = read_block(s, &unpacked);
    if (e == ERR_NOMEM) return no_memory(why);
    if (e) return damaged(why);
    s->ended = unpacked == 0;
    buf_clear(&s->records);
    if (!buf_reserve(&s->records, unpacked)) return no_memory(why);
    if (!s->ended && ZSTD_decompressDCtx(s->zstd, s->records.at, unpacked, s->packed.at,
                                         s->packed.size) != unpacked) {
        return damaged(why);
    }
    s->records.size = unpacked;
    s->at = cursor_of(buf_bytes(&s->records));
    return OK;
}

/* --- reading: records ------------------------------------------------------------------------- */

/* Reads a time. False: it is not after the last one of the series. */
static bool
get_time(struct answer_set *s, int64_t *ret_ms)
{
    int64_t t_ms = (int64_t)((uint64_t)s->last_ms + (uint64_t)cursor_zigzag(&s->at));
    bool ascends = !s->any || t_ms > s->last_ms;
    s->last_ms = *ret_ms = t_ms;
    s->any = true;
    return ascends;
}

static int64_t
get_start(struct answer_set *s, int64_t t_ms)
{
    uint64_t distance = cursor_varint(&s->at);
    return distance == 0 ? 0 : (int64_t)((uint64_t)t_ms - (uint64_t)unzigzag(distance - 1));
}

/* Sets `pending` to the samples that are in the requested time. */
static void
offer(struct answer_set *s, const struct sample_batch *b)
{
    uint32_t from = 0, to = b->count;
    while (from < to && b->times_ms[from] < s->min_ms)
        from++;
    while (to > from && b->times_ms[to - 1] > s->max_ms)
        to--;
    s->pending = sample_batch_part(b, from, to - from);
}

static enum err
read_floats(struct answer_set *s)
{
    uint64_t count = cursor_varint(&s->at);
    bool has_starts = cursor_u8(&s->at) != 0, ascend = true;
    if (count > BATCH_MAX) return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        ascend &= get_time(s, &s->times[i]);
        if (has_starts) s->starts[i] = get_start(s, s->times[i]);
    }
    struct bytes bits = cursor_bytes(&s->at, count * sizeof *s->bits);
    if (bits.at == NULL || s->at.bad || !ascend) return ERR_CORRUPT;
    memcpy(s->bits, bits.at, bits.size);
    struct sample_batch b = {.kind = SAMPLE_FLOAT,
                             .count = (uint32_t)count,
                             .times_ms = s->times,
                             .value_bits = s->bits,
                             .starts_ms = has_starts ? s->starts : NULL};
    offer(s, &b);
    return OK;
}

static enum err
read_histogram(struct answer_set *s)
{
    arena_reset(&s->arena);
    bool ascends = get_time(s, &s->times[0]);
    s->starts[0] = get_start(s, s->times[0]);
    enum err e = histogram_get(&s->at, &s->arena, &s->histogram);
    if (e == ERR_LIMIT) return ERR_NOMEM;
    if (e || s->at.bad || !ascends) return ERR_CORRUPT;
    struct sample_batch b = {.kind = s->histogram.kind,
                             .count = 1,
                             .times_ms = s->times,
                             .histograms = &s->histogram,
                             .starts_ms = s->starts[0] == 0 ? NULL : s->starts};
    offer(s, &b);
    return OK;
}

/* Reads the labels of a series, which must come in label order. */
static enum err
read_series(struct answer_set *s)
{
    struct bytes labels = cursor_counted(&s->at);
    if (s->at.bad || !labels_valid(labels)) return ERR_CORRUPT;
    if (s->begun && labels_compare(labels, buf_bytes(&s->labels)) <= 0) {
        return ERR_CORRUPT;
    }
    buf_clear(&s->next_labels);
    buf_put_bytes(&s->next_labels, labels);
    s->is_next = true;
    return buf_error(&s->next_labels) ? ERR_NOMEM : OK;
}

/* Reads records until samples are pending, or the next series begins, or all is read. */
static enum err
answer_advance(struct answer_set *s, struct why *why)
{
    enum err e = OK;
    assert(s->at.at <= s->at.end);
    s->pending.count = 0;
    while (e == OK && !s->ended && !s->is_next && s->pending.count == 0) {
        if (cursor_left(&s->at) == 0) {
            e = next_block(s, why);
            if (e) return e;
            continue;
        }
        uint8_t record = cursor_u8(&s->at);
        e = record == RECORD_SERIES                  ? read_series(s)
            : record == RECORD_FLOATS && s->begun    ? read_floats(s)
            : record == RECORD_HISTOGRAM && s->begun ? read_histogram(s)
                                                     : ERR_CORRUPT;
    }
    if (e == ERR_CORRUPT) return damaged(why);
    return e ? no_memory(why) : OK;
}

/* --- the set ---------------------------------------------------------------------------------- */

/* Finds the next series with samples in the requested time. */
static enum err
answer_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct answer_set *s = (struct answer_set *)set;
    enum err e = OK;
    *ret_labels = bytes_of(NULL, 0);
    do {
        while (e == OK && !s->ended && !s->is_next)
            e = answer_advance(s, why);
        if (e || !s->is_next) return e;
        buf_clear(&s->labels);
        buf_put_bytes(&s->labels, buf_bytes(&s->next_labels));
        if (buf_error(&s->labels)) return no_memory(why);
        s->is_next = false;
        s->begun = true;
        s->last_ms = 0;
        s->any = false;
        e = answer_advance(s, why);
    } while (e == OK && s->pending.count == 0);
    if (e) return e;
    s->read.series++;
    *ret_labels = buf_bytes(&s->labels);
    return OK;
}

static enum err
answer_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct answer_set *s = (struct answer_set *)set;
    enum err e = s->pending.count == 0 ? answer_advance(s, why) : OK;
    *ret_batch = e ? (struct sample_batch){.count = 0} : s->pending;
    s->pending.count = 0;
    s->read.samples += ret_batch->count;
    return e;
}

static const char *
answer_set_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

static struct series_cost
answer_set_spent(const struct series_set *set)
{
    return ((const struct answer_set *)set)->read;
}

static void
answer_set_free(struct series_set *set)
{
    struct answer_set *s = (struct answer_set *)set;
    err_ignore(file_close(&s->file), "it was only read");
    ZSTD_freeDCtx(s->zstd);
    buf_fini(&s->packed);
    buf_fini(&s->records);
    buf_fini(&s->labels);
    buf_fini(&s->next_labels);
    arena_fini(&s->arena);
    mem_free(s->budget, s, sizeof *s);
}

enum err
answer_file_open(struct file *file, const struct answer_about *about, int64_t min_ms,
                 int64_t max_ms, struct budget *budget, struct series_set **ret_set,
                 struct why *why)
{
    static const struct series_set_ops ops = {.next = answer_set_next,
                                              .batch = answer_set_batch,
                                              .warning = answer_set_warning,
                                              .spent = answer_set_spent,
                                              .free = answer_set_free};
    struct answer_set *s = mem_new(budget, sizeof *s);
    if (s == NULL) {
        err_ignore(file_close(file), "it was only read");
        return no_memory(why);
    }
    s->set.ops = &ops;
    s->budget = budget;
    s->file = *file;
    s->min_ms = min_ms;
    s->max_ms = max_ms;
    buf_init(&s->packed, budget, ZSTD_COMPRESSBOUND(BLOCK_BYTES_MAX));
    buf_init(&s->records, budget, BLOCK_BYTES_MAX);
    buf_init(&s->labels, budget, BLOCK_BYTES_MAX);
    buf_init(&s->next_labels, budget, BLOCK_BYTES_MAX);
    arena_init(&s->arena, budget, 0, 0);
    s->zstd = ZSTD_createDCtx();
    enum err e = s->zstd == NULL ? ERR_NOMEM : check_whole(s, about);
    if (e)
        answer_set_free(&s->set);
    else
        *ret_set = &s->set;
    return e == ERR_NOMEM ? no_memory(why) : e;
}
