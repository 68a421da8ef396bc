/*
 * batch.c - the records of a call, and their common attributes.
 *
 * Timestream bills common attributes of the records of a call once, and most of a sample is labels
 * that its neighbours have, too. So the labels that all records have are kept apart: with the first
 * record these are all of its labels, and with each further record they become fewer. A record is
 * encoded with those of its labels that are not common when it is added. A label that is then no
 * longer common is missing in all earlier records, with the same value: so it is written once, at
 * the end of `left`, and each record has the position in `left` after which are the labels that it
 * lacks.
 *
 *     A{job=x,host=1}  common job=x host=1   texts A{}                left
 *     B{job=x,host=2}  common job=x          texts A{} B{host=2}      left host=1 (A's)
 *     body             common job=x          A{host=1} B{host=2}
 *
 * So each label is encoded once, and a record that is refused changes nothing.
 *
 * After a record of another target the others have less in common. If that costs more than rounding
 * another call up to a KiB, the record begins another call; but not before the call is a quarter
 * full, because unsorted series would make calls of a few records. With samples in runs of 40 of
 * one node this saves a third of the bill.
 */
#include "backend/common/pack.h"
#include "backend/timestream/timestream.h"
#include "wire/shape.h"

enum {
    KIB = 1024,
    SPLIT_RECORDS = TIMESTREAM_RECORDS_MAX / 4,
    PIECE_BYTES_MAX = 64 << 10, /* far more than labels or a record that Timestream accepts */
    TEXTS_BYTES_MAX = TIMESTREAM_RECORDS_MAX * PIECE_BYTES_MAX,
    BODY_BYTES_AROUND = 160,
    DIMENSION_BYTES_AROUND = 24,
    LIST_BEGIN_BYTES = 14, /* "Dimensions":[ */
};

/* --- life ------------------------------------------------------------------------------------- */

void
timestream_scratch_init(struct timestream_scratch *s, struct budget *memory)
{
    buf_init(&s->own, memory, PIECE_BYTES_MAX);
    buf_init(&s->staying, memory, PIECE_BYTES_MAX);
    buf_init(&s->leaving, memory, PIECE_BYTES_MAX);
    buf_init(&s->list, memory, PIECE_BYTES_MAX);
    buf_init(&s->record, memory, PIECE_BYTES_MAX);
}

void
timestream_scratch_fini(struct timestream_scratch *s)
{
    buf_fini(&s->own);
    buf_fini(&s->staying);
    buf_fini(&s->leaving);
    buf_fini(&s->list);
    buf_fini(&s->record);
}

void
timestream_batch_init(struct timestream_batch *b, struct budget *memory)
{
    *b = (struct timestream_batch){.count = 0};
    buf_init(&b->texts, memory, TEXTS_BYTES_MAX);
    buf_init(&b->common, memory, PIECE_BYTES_MAX);
    buf_init(&b->left, memory, PIECE_BYTES_MAX);
}

void
timestream_batch_fini(struct timestream_batch *b)
{
    buf_fini(&b->texts);
    buf_fini(&b->common);
    buf_fini(&b->left);
}

void
timestream_batch_clear(struct timestream_batch *b)
{
    b->count = 0;
    buf_clear(&b->texts);
    buf_clear(&b->common);
    b->common_size = (struct timestream_size){0, 0};
    buf_clear(&b->left);
    b->left_bytes = b->counted_bytes = 0;
}

/* --- labels that all records share ------------------------------------------------------------ */

/* Steps through labels except the metric's name, which it keeps. */
struct batch_walk {
    struct cursor rest;
    bool more;
    struct label label;
    struct bytes bytes; /* the label, canonical */
    struct bytes metric;
};

static void
walk_next(struct batch_walk *w)
{
    for (;;) {
        const uint8_t *from = w->rest.at;
        w->more = labels_next(&w->rest, &w->label);
        if (!w->more) return;
        w->bytes = bytes_of(from, (size_t)(w->rest.at - from));
        if (!bytes_equal_text(w->label.name, "__name__")) return;
        w->metric = w->label.value;
    }
}

static struct batch_walk
walk_of(struct bytes labels)
{
    struct batch_walk w = {.rest = cursor_of(labels)};
    walk_next(&w);
    return w;
}

/* Splits an item's labels into its own and those that stay common. Returns the metric's name. */
static struct bytes
split(const struct timestream_batch *b, struct bytes labels, struct timestream_scratch *s)
{
    struct batch_walk mine = walk_of(labels), common = walk_of(buf_bytes(&b->common));
    while (mine.more || common.more) {
        int order = !mine.more     ? 1
                    : !common.more ? -1
                                   : bytes_compare(mine.label.name, common.label.name);
        bool same = order == 0 && bytes_equal(mine.bytes, common.bytes);
        if (same) buf_put_bytes(&s->staying, mine.bytes);
        if (!same && order <= 0) buf_put_bytes(b->count == 0 ? &s->staying : &s->own, mine.bytes);
        if (!same && order >= 0) buf_put_bytes(&s->leaving, common.bytes);
        if (order <= 0) walk_next(&mine);
        if (order >= 0) walk_next(&common);
    }
    return mine.metric;
}

/* --- adding ----------------------------------------------------------------------------------- */

/* The changes that a record makes. */
struct addition {
    struct timestream_size leaving; /* labels that are no longer common */
    struct timestream_size common;  /* labels that stay common */
    uint32_t counted_bytes;
};

/* Measures the changes: labels that leave; for the first record, whose labels are all common, only
 * their size. */
static enum err
measure(const struct timestream_batch *b, struct timestream_scratch *s, struct addition *a,
        struct why *why)
{
    if (b->count == 0)
        return timestream_dimensions_put(&s->list, buf_bytes(&s->staying), &a->common, why);
    a->common = b->common_size;
    if (s->leaving.size == 0) return OK;
    enum err e = timestream_dimensions_put(&s->list, buf_bytes(&s->leaving), &a->leaving, why);
    a->common.count -= a->leaving.count;
    a->common.bytes -= a->leaving.bytes;
    return e;
}

/* Makes a written record part of the batch. Nothing changes after an error. */
static enum err
commit(struct timestream_batch *b, const struct timestream_scratch *s, const struct addition *a)
{
    size_t left_before = b->left.size, texts_before = b->texts.size;
    buf_put_bytes(&b->texts, buf_bytes(&s->record));
    if (a->leaving.count > 0) {
        buf_put_u8(&b->left, ',');
        buf_put(&b->left, s->list.at + LIST_BEGIN_BYTES, s->list.size - LIST_BEGIN_BYTES - 1);
    }
    enum err e = err_first(buf_error(&b->texts), buf_error(&b->left));
    if (e == OK && b->count == 0) {
        buf_put_bytes(&b->common, buf_bytes(&s->staying));
        e = buf_error(&b->common);
    } else if (e == OK && a->leaving.count > 0) { /* fewer attributes stay, so they fit */
        if (s->staying.size > 0) memcpy(b->common.at, s->staying.at, s->staying.size);
        b->common.size = s->staying.size;
    }
    if (e) {
        b->texts.size = texts_before;
        b->left.size = left_before;
        b->texts.failed = b->left.failed = b->common.failed = OK;
        return e;
    }
    b->left_bytes += (uint64_t)b->count * (b->left.size - left_before);
    b->counted_bytes += (uint64_t)b->count * a->leaving.bytes + a->counted_bytes;
    b->common_size = a->common;
    b->records[b->count].end = (uint32_t)b->texts.size;
    b->records[b->count++].left_from = (uint32_t)b->left.size;
    return OK;
}

enum writer_add
timestream_batch_add(struct timestream_batch *b, struct timestream_scratch *s,
                     const struct timestream_form *form, const struct item *item, struct why *why)
{
    struct addition a = {.counted_bytes = 0};
    if (b->count == TIMESTREAM_RECORDS_MAX) return WRITER_FULL;
    buf_clear(&s->own);
    buf_clear(&s->staying);
    buf_clear(&s->leaving);
    buf_clear(&s->list);
    buf_clear(&s->record);
    struct bytes metric = split(b, item->labels, s);
    enum err e = err_first(buf_error(&s->own), buf_error(&s->staying));
    e = err_first(e, buf_error(&s->leaving));
    if (e == OK) e = measure(b, s, &a, why);
    bool dear = b->count >= SPLIT_RECORDS && (uint64_t)b->count * a.leaving.bytes > KIB;
    if (e == OK && dear) return WRITER_FULL;
    struct timestream_record record = {
        .name = metric,
        .sample = item_sample(item),
        .common = a.common,
        .version = form->version,
        .keep_colons = form->keep_colons,
    };
    record.sample.labels = buf_bytes(&s->own);
    if (e == OK) e = timestream_record_put(&s->record, &record, &a.counted_bytes, why);
    if (e == ERR_LIMIT) {
        e = why_set(why, ERR_INPUT, "the record is larger than %d bytes",
                    TIMESTREAM_RECORD_BYTES_MAX);
    }
    if (e == ERR_INPUT) return WRITER_UNFIT;
    if (e == OK) e = commit(b, s, &a);
    return e == OK ? WRITER_ADDED : WRITER_NO_MEMORY;
}

/* --- the call --------------------------------------------------------------------------------- */

uint64_t
timestream_batch_bytes(const struct timestream_batch *b)
{
    if (b->count == 0) return 0;
    uint64_t common = b->common_size.bytes + DIMENSION_BYTES_AROUND * b->common_size.count;
    return BODY_BYTES_AROUND + common + b->texts.size + b->count + b->left_bytes;
}

uint64_t
timestream_batch_kib(const struct timestream_batch *b)
{
    return (b->counted_bytes + b->common_size.bytes + KIB - 1) / KIB;
}

/* Puts a record, with the labels that it lacks in its list of dimensions. */
static void
put_record(const struct timestream_batch *b, uint32_t i, struct buf *to)
{
    uint32_t from = i == 0 ? 0 : b->records[i - 1].end;
    struct bytes text = bytes_of(b->texts.at + from, b->records[i].end - from);
    uint32_t left_from = b->records[i].left_from;
    if (i > 0) buf_put_u8(to, ',');
    if (left_from == b->left.size) {
        buf_put_bytes(to, text);
        return;
    }
    struct bytes left = bytes_of(b->left.at + left_from, b->left.size - left_from);
    /* A time and a version follow the list, and no other bracket. */
    const uint8_t *end = memrchr(text.at, ']', text.size);
    buf_put(to, text.at, (size_t)(end - text.at));
    bool is_first = end[-1] == '[';
    buf_put(to, left.at + is_first, left.size - is_first);
    buf_put(to, end, text.size - (size_t)(end - text.at));
}

enum err
timestream_batch_put(const struct timestream_batch *b, const char *database, const char *table,
                     struct buf *to)
{
    struct timestream_size size = {0, 0};
    if (!buf_reserve(to, timestream_batch_bytes(b) + strlen(database) + strlen(table)))
        return buf_error(to);
    buf_put_text(to, "{\"DatabaseName\":\"");
    buf_put_text(to, database);
    buf_put_text(to, "\",\"TableName\":\"");
    buf_put_text(to, table);
    buf_put_text(to, "\",\"CommonAttributes\":{");
    enum err e = OK;
    if (b->common.size > 0) {
        e = timestream_dimensions_put(to, buf_bytes(&b->common), &size, NULL);
        buf_put_u8(to, ',');
    }
    buf_put_text(to, "\"TimeUnit\":\"MILLISECONDS\"},\"Records\":[");
    for (uint32_t i = 0; i < b->count; i++)
        put_record(b, i, to);
    buf_put_text(to, "]}");
    return err_first(e, buf_error(to));
}
