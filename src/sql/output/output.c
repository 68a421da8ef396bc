/*
 * output.c - see output.h: rows as JSON, lines of JSON, and CSV.
 *
 *     JSON    {"columns":[{"name":"time","type":"timestamp"},...],"rows":[[1,"a",null],...],
 *              "count":2,"status":"success"}
 *     JSONL   {"time":1,"job":"a"}   ...   {"end":true,"count":2}
 *     CSV     RFC 4180: names, then rows; NULL is nothing, an empty text is ""
 *
 * The end says that the answer is whole. The type of a column is that of its declaration, or else
 * of its value in the first row. Infinities are the texts +Inf and -Inf in JSON, which has none.
 */
#include "sql/output/output.h"

#include <math.h>

#include "base/text/base64.h"
#include "base/text/json.h"
#include "wire/number.h"

enum { PIECE_BYTES = 64 * 1024 };

static const struct {
    const char *word, *type;
    enum err (*write)(struct sql_output *out, struct why *why);
} formats[SQL_FORMATS] = {
    [SQL_JSON] = {"json", "application/json", sql_write_json},
    [SQL_JSONL] = {"jsonl", "application/x-ndjson", sql_write_jsonl},
    [SQL_PARQUET] = {"parquet", "application/vnd.apache.parquet", sql_write_parquet},
    [SQL_ARROW] = {"arrow", "application/vnd.apache.arrow.stream", sql_write_arrow},
    [SQL_CSV] = {"csv", "text/csv; charset=utf-8; header=present", sql_write_csv},
};

const char *
sql_format_word(enum sql_format format)
{
    return format < SQL_FORMATS ? formats[format].word : NULL;
}

const char *
sql_format_type(enum sql_format format)
{
    return formats[format].type;
}

enum err
sql_write(struct sql *sql, enum sql_format format, const struct sql_target *target, struct why *why)
{
    struct sql_output out = {.sql = sql,
                             .target = target,
                             .to = target->to,
                             .columns = sqlite3_column_count(sql->statement)};
    return formats[format].write(&out, why);
}

enum err
sql_output_next(struct sql_output *out, bool *ret_row, struct why *why)
{
    *ret_row = false;
    if (buf_error(out->to)) return buf_error(out->to);
    enum err e = out->to->size < PIECE_BYTES ? OK : out->target->send(out->target->context);
    if (e == OK) e = sql_step(out->sql, ret_row, why);
    out->rows += e == OK && *ret_row;
    return e;
}

struct bytes
sql_output_name(const struct sql_output *out, int column)
{
    const char *name = sqlite3_column_name(out->sql->statement, column);
    return bytes_of_text(name == NULL ? "" : name); /* NULL: without memory */
}

enum err
sql_output_send(struct sql_output *out, struct bytes bytes)
{
    enum err e = OK;
    for (size_t size; bytes.size > 0 && e == OK;
         bytes = bytes_of(bytes.at + size, bytes.size - size)) {
        size = bytes.size < PIECE_BYTES ? bytes.size : PIECE_BYTES;
        buf_put(out->to, bytes.at, size);
        e = buf_error(out->to);
        if (e == OK && out->to->size >= PIECE_BYTES) e = out->target->send(out->target->context);
    }
    return e;
}

const char *
sql_output_type(const struct sql_output *out, int column, bool has_row)
{
    static const char *const words[] = {[SQLITE_INTEGER] = "integer",
                                        [SQLITE_FLOAT] = "real",
                                        [SQLITE_TEXT] = "text",
                                        [SQLITE_BLOB] = "blob",
                                        [SQLITE_NULL] = "null"};
    const char *declared = sqlite3_column_decltype(out->sql->statement, column);
    if (declared != NULL && sqlite3_stricmp(declared, "TIMESTAMP_INT") == 0) return "timestamp";
    if (declared != NULL && sqlite3_stricmp(declared, "REAL") == 0) return "real";
    if (declared != NULL && sqlite3_stricmp(declared, "TEXT") == 0) return "text";
    return has_row ? words[sqlite3_column_type(out->sql->statement, column)] : "null";
}

static struct bytes
text_of_column(const struct sql_output *out, int column)
{
    const uint8_t *at = sqlite3_column_text(out->sql->statement, column);
    return bytes_of(at, (size_t)sqlite3_column_bytes(out->sql->statement, column));
}

static struct bytes
blob_of_column(const struct sql_output *out, int column)
{
    const uint8_t *at = sqlite3_column_blob(out->sql->statement, column);
    return bytes_of(at, (size_t)sqlite3_column_bytes(out->sql->statement, column));
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static void
put_json_double(struct json *json, double value)
{
    char text[NUMBER_TEXT_BYTES];
    if (isinf(value))
        json_put_text(json, value > 0 ? "+Inf" : "-Inf");
    else
        json_put_raw(json, bytes_of(text, number_print_json(double_bits(value), text)));
}

static void
put_json_value(struct json *json, const struct sql_output *out, int column)
{
    sqlite3_stmt *statement = out->sql->statement;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        json_put_int(json, sqlite3_column_int64(statement, column));
        break;
    case SQLITE_FLOAT:
        put_json_double(json, sqlite3_column_double(statement, column));
        break;
    case SQLITE_TEXT:
        json_put_bytes(json, text_of_column(out, column));
        break;
    case SQLITE_BLOB: {
        struct buf text;
        buf_init(&text, out->sql->options.budget, 2 << 20);
        base64_put(&text, blob_of_column(out, column));
        json_put_bytes(json, buf_bytes(&text));
        if (buf_error(&text)) out->to->failed = buf_error(&text);
        buf_fini(&text);
        break;
    }
    default:
        json_put_null(json);
    }
}

enum err
sql_write_json(struct sql_output *out, struct why *why)
{
    struct json json;
    bool is_row;
    enum err e = sql_output_next(out, &is_row, why);
    if (e) return e;
    json_init(&json, out->to);
    json_object_open(&json);
    json_member_array(&json, "columns");
    for (int i = 0; i < out->columns; i++) {
        json_object_open(&json);
        json_member_bytes(&json, "name", sql_output_name(out, i));
        json_member_text(&json, "type", sql_output_type(out, i, is_row));
        json_object_close(&json);
    }
    json_array_close(&json);
    json_member_array(&json, "rows");
    while (e == OK && is_row) {
        json_array_open(&json);
        for (int i = 0; i < out->columns; i++)
            put_json_value(&json, out, i);
        json_array_close(&json);
        e = sql_output_next(out, &is_row, why);
    }
    if (e) return e;
    json_array_close(&json);
    json_member_uint(&json, "count", out->rows);
    out->target->put_end(out->target->context, &json);
    json_member_text(&json, "status", "success");
    json_object_close(&json);
    buf_put_u8(out->to, '\n');
    return buf_error(out->to);
}

enum err
sql_write_jsonl(struct sql_output *out, struct why *why)
{
    struct json json;
    bool is_row;
    enum err e = sql_output_next(out, &is_row, why);
    while (e == OK && is_row) {
        json_init(&json, out->to);
        json_object_open(&json);
        for (int i = 0; i < out->columns; i++) {
            json_key_bytes(&json, sql_output_name(out, i));
            put_json_value(&json, out, i);
        }
        json_object_close(&json);
        buf_put_u8(out->to, '\n');
        e = sql_output_next(out, &is_row, why);
    }
    if (e) return e;
    json_init(&json, out->to);
    json_object_open(&json);
    json_member_bool(&json, "end", true);
    json_member_uint(&json, "count", out->rows);
    out->target->put_end(out->target->context, &json);
    json_object_close(&json);
    buf_put_u8(out->to, '\n');
    return buf_error(out->to);
}

/* --- CSV ---------------------------------------------------------------------------------------
 */

static void
put_csv_text(struct buf *to, struct bytes text)
{
    bool is_plain = text.size > 0;
    for (size_t i = 0; i < text.size && is_plain; i++)
        is_plain = text.at[i] != '"' && text.at[i] != ',' && text.at[i] != '\n' &&
                   text.at[i] != '\r' && text.at[i] != ' ';
    if (is_plain) {
        buf_put_bytes(to, text);
        return;
    }
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '"') buf_put_u8(to, '"');
        buf_put_u8(to, text.at[i]);
    }
    buf_put_u8(to, '"');
}

static void
put_csv_value(const struct sql_output *out, int column)
{
    sqlite3_stmt *statement = out->sql->statement;
    char text[NUMBER_TEXT_BYTES];
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        buf_put_int(out->to, sqlite3_column_int64(statement, column));
        break;
    case SQLITE_FLOAT:
        buf_put(out->to, text,
                number_print(double_bits(sqlite3_column_double(statement, column)), text));
        break;
    case SQLITE_TEXT:
        put_csv_text(out->to, text_of_column(out, column));
        break;
    case SQLITE_BLOB:
        base64_put(out->to, blob_of_column(out, column));
        break;
    default:
        break;
    }
}

enum err
sql_write_csv(struct sql_output *out, struct why *why)
{
    bool is_row;
    enum err e = sql_output_next(out, &is_row, why);
    for (int i = 0; i < out->columns && e == OK; i++) {
        if (i > 0) buf_put_u8(out->to, ',');
        put_csv_text(out->to, sql_output_name(out, i));
    }
    buf_put_text(out->to, "\r\n");
    while (e == OK && is_row) {
        for (int i = 0; i < out->columns; i++) {
            if (i > 0) buf_put_u8(out->to, ',');
            put_csv_value(out, i);
        }
        buf_put_text(out->to, "\r\n");
        e = sql_output_next(out, &is_row, why);
    }
    return e ? e : buf_error(out->to);
}
