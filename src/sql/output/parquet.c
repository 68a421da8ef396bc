/*
 * parquet.c - rows as a Parquet file: row groups of a batch each, and the footer.
 *
 *     "PAR1"  [a column: dictionary page, data page]...  footer  size of the footer  "PAR1"
 *
 * Each column of a row group is one data page (version 1), compressed with zstd. Texts and blobs
 * have a dictionary where that is smaller. Columns are optional: definition levels say which values
 * are there. Headers and the footer are Thrift's compact protocol. Source: parquet.thrift and
 * Encodings.md of Apache Parquet's format 2.
 */
#include "sql/output/columns.h"

#include <zstd.h>

#include "base/hash/hash.h"
#include "base/version.h"

enum {
    PHYSICAL_INT64 = 2,
    PHYSICAL_DOUBLE = 5,
    PHYSICAL_BYTES = 6,
    CONVERTED_UTF8 = 0,
    CONVERTED_MILLIS = 9,
    LOGICAL_STRING = 1,
    LOGICAL_TIMESTAMP = 8,
    ENCODING_PLAIN = 0,
    ENCODING_RLE = 3,
    ENCODING_DICTIONARY = 8,
    CODEC_ZSTD = 6,
    PAGE_DATA = 0,
    PAGE_DICTIONARY = 2,
    ZSTD_LEVEL = 1,
    DICTIONARY_MAX = 1 << 15, /* entries */
    FOOTER_BYTES_MAX = 64 << 20,
    PAGE_BYTES_MAX = 2 * (BATCH_BYTES_MAX + (2 << 20)),
};

struct parquet {
    struct sql_output *out;
    uint64_t at;     /* bytes of the file until now */
    struct buf page; /* uncompressed */
    struct buf packed, header;
    struct buf groups; /* those of the footer: Thrift structs */
    uint32_t group_count;
    uint64_t rows;
    uint32_t *places; /* a hash table of the dictionary, of 2 * DICTIONARY_MAX */
};

/* --- Thrift's compact protocol -----------------------------------------------------------------
 */

enum thrift {
    THRIFT_TRUE = 1,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_STRUCT = 12
};

/* Puts the header of a field; `last` is the field before, of the same struct. */
static void
put_field(struct buf *to, int *last, int field, enum thrift type)
{
    buf_put_u8(to, (uint8_t)((field - *last) << 4 | type));
    *last = field;
}

static void
put_field_int(struct buf *to, int *last, int field, enum thrift type, uint64_t value)
{
    put_field(to, last, field, type);
    buf_put_zigzag(to, (int64_t)value);
}

static void
put_field_text(struct buf *to, int *last, int field, struct bytes text)
{
    put_field(to, last, field, THRIFT_BINARY);
    buf_put_counted(to, text);
}

static void
put_list(struct buf *to, int *last, int field, enum thrift type, uint32_t count)
{
    put_field(to, last, field, THRIFT_LIST);
    if (count < 15) {
        buf_put_u8(to, (uint8_t)(count << 4 | type));
    } else {
        buf_put_u8(to, (uint8_t)(0xf0 | type));
        buf_put_varint(to, count);
    }
}

static void
put_stop(struct buf *to)
{
    buf_put_u8(to, 0);
}

/* --- pages -------------------------------------------------------------------------------------
 */

static unsigned
physical_of(enum sql_type type)
{
    return type == TYPE_REAL                        ? PHYSICAL_DOUBLE
           : type == TYPE_TEXT || type == TYPE_BLOB ? PHYSICAL_BYTES
                                                    : PHYSICAL_INT64;
}

/* Sends a page with its header; adds its sizes. */
static enum err
send_page(struct parquet *p, unsigned type, uint32_t values, unsigned encoding, uint64_t *plain,
          uint64_t *packed)
{
    size_t bound = ZSTD_compressBound(p->page.size);
    int last = 0, inner = 0;
    buf_clear(&p->packed);
    buf_clear(&p->header);
    if (buf_error(&p->page) || !buf_reserve(&p->packed, bound))
        return err_first(buf_error(&p->page), buf_error(&p->packed));
    size_t size = ZSTD_compress(p->packed.at, bound, p->page.at, p->page.size, ZSTD_LEVEL);
    if (ZSTD_isError(size)) return ERR_NOMEM;
    p->packed.size = size;
    struct buf *h = &p->header;
    put_field_int(h, &last, 1, THRIFT_I32, type);
    put_field_int(h, &last, 2, THRIFT_I32, p->page.size);
    put_field_int(h, &last, 3, THRIFT_I32, size);
    put_field(h, &last, type == PAGE_DATA ? 5 : 7, THRIFT_STRUCT);
    put_field_int(h, &inner, 1, THRIFT_I32, values);
    put_field_int(h, &inner, 2, THRIFT_I32, encoding);
    if (type == PAGE_DATA) {
        put_field_int(h, &inner, 3, THRIFT_I32, ENCODING_RLE);
        put_field_int(h, &inner, 4, THRIFT_I32, ENCODING_RLE);
    }
    put_stop(h);
    put_stop(h);
    *plain += h->size + p->page.size;
    *packed += h->size + size;
    p->at += h->size + size;
    enum err e = err_first(buf_error(h), sql_output_send(p->out, buf_bytes(h)));
    return e ? e : sql_output_send(p->out, buf_bytes(&p->packed));
}

/* Puts the definition levels: runs of 8 rows, a bit for each. */
static void
put_levels(struct buf *to, const struct sql_column *c, uint32_t rows)
{
    uint32_t groups = (rows + 7) / 8;
    uint8_t head[VARINT_SIZE_MAX];
    size_t size = varint_put(head, (uint64_t)groups << 1 | 1);
    buf_put_le32(to, (uint32_t)(size + groups));
    buf_put(to, head, size);
    buf_put(to, c->valid.at, groups);
}

static void
put_plain(struct buf *to, const struct sql_column *c, uint32_t row)
{
    if (physical_of(c->type) == PHYSICAL_BYTES) {
        struct bytes value = sql_column_bytes(c, row);
        buf_put_le32(to, (uint32_t)value.size);
        buf_put_bytes(to, value);
    } else {
        buf_put(to, c->values.at + (size_t)row * 8, 8);
    }
}

/* Finds the entry of a text in the dictionary, or adds it. Entries are rows that have it first.
 * False: there are too many. */
static bool
find_entry(struct parquet *p, const struct sql_column *c, uint32_t row, uint32_t *entries,
           uint32_t *count, uint32_t *ret)
{
    struct bytes value = sql_column_bytes(c, row);
    uint32_t mask = 2 * DICTIONARY_MAX - 1, at = (uint32_t)hash_bytes(value, 0) & mask;
    for (; p->places[at] != 0; at = (at + 1) & mask) {
        *ret = p->places[at] - 1;
        if (bytes_equal(sql_column_bytes(c, entries[*ret]), value)) return true;
    }
    if (*count == DICTIONARY_MAX) return false;
    entries[*count] = row;
    *ret = (*count)++;
    p->places[at] = *count;
    return true;
}

/* Packs the entries of the rows, with as many bits as the largest needs. */
static void
put_indices(struct buf *to, const uint32_t *indices, uint32_t count, uint32_t entries)
{
    unsigned width = 1, filled = 0;
    uint64_t bits = 0;
    while (width < 32 && (UINT64_C(1) << width) < entries)
        width++;
    uint32_t groups = (count + 7) / 8;
    buf_put_u8(to, (uint8_t)width);
    buf_put_varint(to, (uint64_t)groups << 1 | 1);
    for (uint32_t i = 0; i < groups * 8; i++) {
        bits |= (uint64_t)(i < count ? indices[i] : 0) << filled;
        for (filled += width; filled >= 8; filled -= 8) {
            buf_put_u8(to, (uint8_t)bits);
            bits >>= 8;
        }
    }
}

/* A column of a row group, as the footer describes it. */
struct column_chunk {
    uint64_t begin, data_begin, plain, packed;
    bool has_dictionary;
};

/* Sends a column of texts with a dictionary. *ret_done is false if it has too many, and nothing was
 * sent. */
static enum err
send_with_dictionary(struct parquet *p, const struct sql_column *c, uint32_t rows,
                     struct column_chunk *chunk, bool *ret_done)
{
    struct budget *budget = p->out->sql->options.budget;
    size_t bytes = ((size_t)rows + DICTIONARY_MAX) * sizeof(uint32_t);
    uint32_t *indices = mem_alloc(budget, bytes), *entries = indices + rows;
    uint32_t count = 0, values = 0;
    if (indices == NULL) return ERR_NOMEM;
    memset(p->places, 0, 2 * DICTIONARY_MAX * sizeof *p->places);
    bool fits = true;
    for (uint32_t i = 0; i < rows && fits; i++)
        if (sql_column_has(c, i)) fits = find_entry(p, c, i, entries, &count, &indices[values++]);
    fits &= count < values / 2;
    enum err e = OK;
    if (fits) {
        buf_clear(&p->page);
        for (uint32_t i = 0; i < count; i++)
            put_plain(&p->page, c, entries[i]);
        e = send_page(p, PAGE_DICTIONARY, count, ENCODING_PLAIN, &chunk->plain, &chunk->packed);
        chunk->has_dictionary = true;
        chunk->data_begin = p->at;
        buf_clear(&p->page);
        put_levels(&p->page, c, rows);
        put_indices(&p->page, indices, values, count);
        if (e == OK)
            e = send_page(p, PAGE_DATA, rows, ENCODING_DICTIONARY, &chunk->plain, &chunk->packed);
    }
    mem_free(budget, indices, bytes);
    *ret_done = fits;
    return e;
}

static enum err
send_column(struct parquet *p, const struct sql_column *c, uint32_t rows,
            struct column_chunk *chunk)
{
    bool is_done = false;
    enum err e = OK;
    *chunk = (struct column_chunk){.begin = p->at, .data_begin = p->at};
    if (physical_of(c->type) == PHYSICAL_BYTES)
        e = send_with_dictionary(p, c, rows, chunk, &is_done);
    if (e || is_done) return e;
    buf_clear(&p->page);
    put_levels(&p->page, c, rows);
    for (uint32_t i = 0; i < rows; i++)
        if (sql_column_has(c, i)) put_plain(&p->page, c, i);
    return send_page(p, PAGE_DATA, rows, ENCODING_PLAIN, &chunk->plain, &chunk->packed);
}

/* --- the footer --------------------------------------------------------------------------------
 */

static void
put_chunk(struct buf *to, const struct sql_column *c, const struct column_chunk *chunk,
          uint32_t rows)
{
    int outer = 0, last = 0;
    put_field_int(to, &outer, 2, THRIFT_I64, chunk->begin);
    put_field(to, &outer, 3, THRIFT_STRUCT);
    put_field_int(to, &last, 1, THRIFT_I32, physical_of(c->type));
    put_list(to, &last, 2, THRIFT_I32, 2);
    buf_put_zigzag(to, ENCODING_RLE);
    buf_put_zigzag(to, chunk->has_dictionary ? ENCODING_DICTIONARY : ENCODING_PLAIN);
    put_list(to, &last, 3, THRIFT_BINARY, 1);
    buf_put_counted(to, c->name);
    put_field_int(to, &last, 4, THRIFT_I32, CODEC_ZSTD);
    put_field_int(to, &last, 5, THRIFT_I64, rows);
    put_field_int(to, &last, 6, THRIFT_I64, chunk->plain);
    put_field_int(to, &last, 7, THRIFT_I64, chunk->packed);
    put_field_int(to, &last, 9, THRIFT_I64, chunk->data_begin);
    if (chunk->has_dictionary) put_field_int(to, &last, 11, THRIFT_I64, chunk->begin);
    put_stop(to);
    put_stop(to);
}

static enum err
send_group(struct parquet *p, const struct sql_batch *batch)
{
    struct column_chunk chunk;
    uint64_t plain = 0;
    int last = 0;
    enum err e = OK;
    put_list(&p->groups, &last, 1, THRIFT_STRUCT, (uint32_t)batch->count);
    for (int i = 0; i < batch->count && e == OK; i++) {
        e = send_column(p, &batch->columns[i], batch->rows, &chunk);
        put_chunk(&p->groups, &batch->columns[i], &chunk, batch->rows);
        plain += chunk.plain;
    }
    put_field_int(&p->groups, &last, 2, THRIFT_I64, plain);
    put_field_int(&p->groups, &last, 3, THRIFT_I64, batch->rows);
    put_stop(&p->groups);
    p->group_count++;
    p->rows += batch->rows;
    return e ? e : buf_error(&p->groups);
}

static void
put_schema_element(struct buf *to, const struct sql_column *c)
{
    int last = 0, inner = 0;
    put_field_int(to, &last, 1, THRIFT_I32, physical_of(c->type));
    put_field_int(to, &last, 3, THRIFT_I32, 1); /* optional */
    put_field_text(to, &last, 4, c->name);
    if (c->type == TYPE_TEXT || c->type == TYPE_TIMESTAMP) {
        bool is_text = c->type == TYPE_TEXT;
        put_field_int(to, &last, 6, THRIFT_I32, is_text ? CONVERTED_UTF8 : CONVERTED_MILLIS);
        put_field(to, &last, 10, THRIFT_STRUCT);
        put_field(to, &inner, is_text ? LOGICAL_STRING : LOGICAL_TIMESTAMP, THRIFT_STRUCT);
        if (!is_text) {
            int time = 0, unit = 0;
            put_field(to, &time, 1, THRIFT_TRUE); /* UTC */
            put_field(to, &time, 2, THRIFT_STRUCT);
            put_field(to, &unit, 1, THRIFT_STRUCT); /* milliseconds */
            put_stop(to);
            put_stop(to);
        }
        put_stop(to);
        put_stop(to);
    }
    put_stop(to);
}

static enum err
send_footer(struct parquet *p, const struct sql_batch *batch)
{
    struct buf footer;
    int last = 0, root = 0;
    buf_init(&footer, p->out->sql->options.budget, FOOTER_BYTES_MAX);
    put_field_int(&footer, &last, 1, THRIFT_I32, 2); /* version */
    put_list(&footer, &last, 2, THRIFT_STRUCT, (uint32_t)batch->count + 1);
    put_field_text(&footer, &root, 4, bytes_of_text("rows"));
    put_field_int(&footer, &root, 5, THRIFT_I32, (uint64_t)batch->count);
    put_stop(&footer);
    for (int i = 0; i < batch->count; i++)
        put_schema_element(&footer, &batch->columns[i]);
    put_field_int(&footer, &last, 3, THRIFT_I64, p->rows);
    put_list(&footer, &last, 4, THRIFT_STRUCT, p->group_count);
    buf_put_bytes(&footer, buf_bytes(&p->groups));
    put_field_text(&footer, &last, 6, bytes_of_text("firekeep version " FIREKEEP_VERSION));
    put_stop(&footer);
    buf_put_le32(&footer, (uint32_t)footer.size);
    buf_put_text(&footer, "PAR1");
    enum err e = err_first(buf_error(&footer), sql_output_send(p->out, buf_bytes(&footer)));
    buf_fini(&footer);
    return e;
}

enum err
sql_write_parquet(struct sql_output *out, struct why *why)
{
    struct budget *budget = out->sql->options.budget;
    struct parquet p = {.out = out, .at = 4};
    struct sql_batch batch;
    bool is_end = false;
    size_t places_bytes = 2 * DICTIONARY_MAX * sizeof *p.places;
    buf_init(&p.page, budget, PAGE_BYTES_MAX);
    buf_init(&p.packed, budget, PAGE_BYTES_MAX + (1 << 20));
    buf_init(&p.header, budget, 1 << 16);
    buf_init(&p.groups, budget, FOOTER_BYTES_MAX);
    p.places = mem_alloc(budget, places_bytes);
    enum err e = sql_batch_init(&batch, out);
    if (p.places == NULL) e = ERR_NOMEM;
    bool is_first = true;
    while (e == OK && !is_end) {
        e = sql_batch_read(&batch, out, &is_end, why);
        if (e == OK && is_first) buf_put_text(out->to, "PAR1");
        is_first = false;
        if (e == OK && batch.rows > 0) e = send_group(&p, &batch);
    }
    if (e == OK) e = send_footer(&p, &batch);
    sql_batch_fini(&batch, out);
    mem_free(budget, p.places, places_bytes);
    buf_fini(&p.page);
    buf_fini(&p.packed);
    buf_fini(&p.header);
    buf_fini(&p.groups);
    return e ? e : buf_error(out->to);
}
