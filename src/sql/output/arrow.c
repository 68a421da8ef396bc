/*
 * arrow.c - rows as a stream of Apache Arrow: a schema, batches of records, and the end.
 *
 *     message    ff ff ff ff, size of the metadata, metadata (a flatbuffer), body
 *     body       of each column: bits of validity, offsets of texts, values; each padded to 8 bytes
 *     end        ff ff ff ff 00 00 00 00
 *
 * A flatbuffer is written from the front: a table after its vtable, and what it refers to after it,
 * when the place of the reference is patched. Source: the columnar format of Apache Arrow, with
 * Schema.fbs and Message.fbs, version 5.
 */
#include "sql/output/columns.h"

enum {
    METADATA_VERSION = 4, /* V5 */
    HEADER_SCHEMA = 1,
    HEADER_BATCH = 3,
    METADATA_BYTES_MAX = 4 << 20,
    FIELDS_MAX = 8,
};

/* --- flatbuffers -------------------------------------------------------------------------------
 */

static void
pad_to(struct buf *to, size_t align, size_t rest)
{
    while (to->size % align != rest && buf_error(to) == OK)
        buf_put_u8(to, 0);
}

static void
patch_u32(struct buf *to, size_t at, size_t value)
{
    uint32_t v = (uint32_t)value;
    if (buf_error(to) == OK) memcpy(to->at + at, &v, sizeof v);
}

/* Writes a table with fields of these sizes (0: absent), all zero. places[i] is that of field i. */
static size_t
put_table(struct buf *to, const uint8_t *sizes, unsigned count, size_t *places)
{
    uint16_t offsets[FIELDS_MAX] = {0};
    uint16_t end = 4; /* after the offset of the vtable */
    for (unsigned size = 8; size > 0; size /= 2)
        for (unsigned i = 0; i < count; i++)
            if (sizes[i] == size) {
                offsets[i] = end;
                end = (uint16_t)(end + size);
            }
    size_t vtable_bytes = 4 + 2 * (size_t)count;
    pad_to(to, 8, (16 - (vtable_bytes % 8) + 4) % 8); /* the table's fields begin at 8 bytes */
    size_t vtable = to->size;
    uint16_t head[2] = {(uint16_t)vtable_bytes, end};
    buf_put(to, head, sizeof head);
    buf_put(to, offsets, 2 * (size_t)count);
    size_t table = to->size;
    buf_put_le32(to, (uint32_t)(table - vtable));
    for (unsigned i = 4; i < end; i++)
        buf_put_u8(to, 0);
    for (unsigned i = 0; i < count; i++)
        places[i] = table + offsets[i];
    return table;
}

/* Sets the reference at a place to what comes next. */
static void
refer(struct buf *to, size_t place)
{
    patch_u32(to, place, to->size - place);
}

static void
put_string(struct buf *to, size_t place, struct bytes text)
{
    pad_to(to, 4, 0);
    refer(to, place);
    buf_put_le32(to, (uint32_t)text.size);
    buf_put_bytes(to, text);
    buf_put_u8(to, 0);
}

static void
put_small(struct buf *to, size_t place, unsigned value)
{
    if (buf_error(to) == OK) to->at[place] = (uint8_t)value;
}

/* Refers to a table, which is put next. */
static size_t
put_referred(struct buf *to, size_t place, const uint8_t *sizes, unsigned count, size_t *places)
{
    size_t table = put_table(to, sizes, count, places);
    patch_u32(to, place, table - place);
    return table;
}

/* --- the schema --------------------------------------------------------------------------------
 */

/* Puts the table of a column's type. Returns its number in the union. */
static unsigned
put_type(struct buf *to, size_t place, enum sql_type type)
{
    static const uint8_t integer[] = {4, 1}, real[] = {2}, timestamp[] = {2, 4}, none[] = {0};
    size_t places[2];
    switch (type) {
    case TYPE_INTEGER:
        put_referred(to, place, integer, 2, places);
        put_small(to, places[0], 64);
        put_small(to, places[1], 1); /* signed */
        return 2;
    case TYPE_REAL:
        put_referred(to, place, real, 1, places);
        put_small(to, places[0], 2); /* double */
        return 3;
    case TYPE_TIMESTAMP:
        put_referred(to, place, timestamp, 2, places);
        put_small(to, places[0], 1); /* milliseconds */
        put_string(to, places[1], bytes_of_text("UTC"));
        return 10;
    default:
        put_referred(to, place, none, 0, places);
        return type == TYPE_BLOB ? 4 : 5; /* binary, or UTF-8 */
    }
}

/* Puts the Message, whose header is the table that comes next. Returns the place of its reference.
 */
static size_t
put_message(struct buf *to, unsigned header, size_t body_bytes)
{
    static const uint8_t sizes[] = {2, 1, 4, 8};
    size_t places[4];
    uint64_t bytes = body_bytes;
    buf_put_le32(to, 0);
    patch_u32(to, 0, put_table(to, sizes, 4, places));
    put_small(to, places[0], METADATA_VERSION);
    put_small(to, places[1], header);
    if (buf_error(to) == OK) memcpy(to->at + places[3], &bytes, sizeof bytes);
    return places[2];
}

static void
put_schema(struct buf *to, const struct sql_batch *batch)
{
    static const uint8_t schema[] = {2, 4}, field[] = {4, 1, 1, 4, 0, 4};
    size_t places[6], reference = put_message(to, HEADER_SCHEMA, 0);
    put_referred(to, reference, schema, 2, places);
    pad_to(to, 4, 0);
    refer(to, places[1]);
    buf_put_le32(to, (uint32_t)batch->count);
    size_t fields = to->size;
    for (int i = 0; i < batch->count; i++)
        buf_put_le32(to, 0);
    for (int i = 0; i < batch->count; i++) {
        const struct sql_column *c = &batch->columns[i];
        put_referred(to, fields + 4 * (size_t)i, field, 6, places);
        put_small(to, places[1], 1); /* nullable */
        put_string(to, places[0], c->name);
        put_small(to, places[2], put_type(to, places[3], c->type));
        pad_to(to, 4, 0);
        refer(to, places[5]);
        buf_put_le32(to, 0); /* no children */
    }
}

/* --- records -----------------------------------------------------------------------------------
 */

/* The buffers of a column: its offsets only if it has some. */
static unsigned
buffers_of(const struct sql_column *c, struct bytes ret[3])
{
    unsigned count = 0;
    ret[count++] = buf_bytes(&c->valid);
    if (c->type == TYPE_TEXT || c->type == TYPE_BLOB) ret[count++] = buf_bytes(&c->offsets);
    ret[count++] = buf_bytes(&c->values);
    return count;
}

static size_t
padded(size_t size)
{
    return (size + 7) / 8 * 8;
}

static void
put_records(struct buf *to, const struct sql_batch *batch)
{
    static const uint8_t sizes[] = {8, 4, 4};
    struct bytes buffers[3];
    size_t places[3], body = 0;
    uint32_t buffer_count = 0;
    uint64_t rows = batch->rows;
    for (int i = 0; i < batch->count; i++) {
        unsigned count = buffers_of(&batch->columns[i], buffers);
        buffer_count += count;
        for (unsigned k = 0; k < count; k++)
            body += padded(buffers[k].size);
    }
    put_referred(to, put_message(to, HEADER_BATCH, body), sizes, 3, places);
    if (buf_error(to) == OK) memcpy(to->at + places[0], &rows, sizeof rows);
    pad_to(to, 8, 4); /* structs begin at 8 bytes */
    refer(to, places[1]);
    buf_put_le32(to, (uint32_t)batch->count);
    for (int i = 0; i < batch->count; i++) {
        buf_put_le64(to, rows);
        buf_put_le64(to, batch->columns[i].null_count);
    }
    pad_to(to, 8, 4);
    refer(to, places[2]);
    buf_put_le32(to, buffer_count);
    body = 0;
    for (int i = 0; i < batch->count; i++) {
        unsigned count = buffers_of(&batch->columns[i], buffers);
        for (unsigned k = 0; k < count; k++) {
            buf_put_le64(to, body);
            buf_put_le64(to, buffers[k].size);
            body += padded(buffers[k].size);
        }
    }
}

/* Puts the metadata before its body. */
static enum err
put_framed(struct buf *to, struct buf *metadata)
{
    pad_to(metadata, 8, 0);
    buf_put_le32(to, 0xffffffff);
    buf_put_le32(to, (uint32_t)metadata->size);
    buf_put_bytes(to, buf_bytes(metadata));
    enum err e = err_first(buf_error(metadata), buf_error(to));
    buf_clear(metadata);
    return e;
}

enum err
sql_write_arrow(struct sql_output *out, struct why *why)
{
    struct sql_batch batch;
    struct buf metadata;
    struct bytes buffers[3];
    bool is_end = false, is_first = true;
    buf_init(&metadata, out->sql->options.budget, METADATA_BYTES_MAX);
    enum err e = sql_batch_init(&batch, out);
    while (e == OK && !is_end) {
        e = sql_batch_read(&batch, out, &is_end, why);
        if (e == OK && is_first) {
            put_schema(&metadata, &batch);
            e = put_framed(out->to, &metadata);
            is_first = false;
        }
        if (e || batch.rows == 0) continue;
        put_records(&metadata, &batch);
        e = put_framed(out->to, &metadata);
        for (int i = 0; i < batch.count; i++) {
            unsigned count = buffers_of(&batch.columns[i], buffers);
            for (unsigned k = 0; k < count && e == OK; k++) {
                e = sql_output_send(out, buffers[k]);
                if (e == OK && buffers[k].size % 8 != 0)
                    buf_put(out->to, "\0\0\0\0\0\0\0", 8 - buffers[k].size % 8);
            }
        }
    }
    buf_put_le32(out->to, 0xffffffff);
    buf_put_le32(out->to, 0);
    sql_batch_fini(&batch, out);
    buf_fini(&metadata);
    return e ? e : buf_error(out->to);
}
