/* columns.c - see columns.h. */
#include "sql/output/columns.h"

enum { COLUMN_BYTES_MAX = BATCH_BYTES_MAX + (2 << 20) };

static enum sql_type
type_declared(const char *word)
{
    return strcmp(word, "timestamp") == 0 ? TYPE_TIMESTAMP
           : strcmp(word, "real") == 0    ? TYPE_REAL
           : strcmp(word, "text") == 0    ? TYPE_TEXT
                                          : TYPE_UNKNOWN;
}

enum err
sql_batch_init(struct sql_batch *batch, struct sql_output *out)
{
    struct budget *budget = out->sql->options.budget;
    *batch = (struct sql_batch){.count = out->columns};
    batch->columns = mem_new(budget, (size_t)out->columns * sizeof *batch->columns);
    if (batch->columns == NULL) return ERR_NOMEM;
    for (int i = 0; i < batch->count; i++) {
        struct sql_column *c = &batch->columns[i];
        c->name = sql_output_name(out, i);
        c->type = type_declared(sql_output_type(out, i, false));
        buf_init(&c->valid, budget, BATCH_ROWS_MAX / 8 + 8);
        buf_init(&c->values, budget, COLUMN_BYTES_MAX);
        buf_init(&c->offsets, budget, (BATCH_ROWS_MAX + 2) * 4);
    }
    return OK;
}

void
sql_batch_fini(struct sql_batch *batch, struct sql_output *out)
{
    for (int i = 0; i < batch->count && batch->columns != NULL; i++) {
        buf_fini(&batch->columns[i].valid);
        buf_fini(&batch->columns[i].values);
        buf_fini(&batch->columns[i].offsets);
    }
    mem_free(out->sql->options.budget, batch->columns,
             (size_t)batch->count * sizeof *batch->columns);
}

static bool
is_of_bytes(const struct sql_column *c)
{
    return c->type == TYPE_TEXT || c->type == TYPE_BLOB;
}

/* Puts what stands for NULL: nothing, or a zero. */
static void
put_null(struct sql_column *c, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        if (is_of_bytes(c))
            buf_put_le32(&c->offsets, (uint32_t)c->values.size);
        else
            buf_put_le64(&c->values, 0);
}

/* Gives a column its type when the first value comes; integers become reals. */
static void
choose_type(struct sql_column *c, int code, uint32_t row)
{
    static const enum sql_type types[] = {[SQLITE_INTEGER] = TYPE_INTEGER,
                                          [SQLITE_FLOAT] = TYPE_REAL,
                                          [SQLITE_TEXT] = TYPE_TEXT,
                                          [SQLITE_BLOB] = TYPE_BLOB};
    if (c->type == TYPE_UNKNOWN) {
        c->type = types[code];
        put_null(c, row);
    } else if (c->type == TYPE_INTEGER && code == SQLITE_FLOAT) {
        c->type = TYPE_REAL;
        for (uint32_t i = 0; i < row; i++) {
            int64_t number;
            memcpy(&number, c->values.at + (size_t)i * 8, sizeof number);
            double real = (double)number;
            memcpy(c->values.at + (size_t)i * 8, &real, sizeof real);
        }
    }
}

static enum err
take_value(struct sql_batch *batch, struct sql_output *out, int column, struct why *why)
{
    static const char *const words[] = {[TYPE_INTEGER] = "integers",
                                        [TYPE_TIMESTAMP] = "integers",
                                        [TYPE_REAL] = "reals",
                                        [TYPE_TEXT] = "texts",
                                        [TYPE_BLOB] = "blobs"};
    sqlite3_stmt *statement = out->sql->statement;
    struct sql_column *c = &batch->columns[column];
    int code = sqlite3_column_type(statement, column);
    uint32_t row = batch->rows;
    if (row % 8 == 0) buf_put_u8(&c->valid, 0);
    if (code == SQLITE_NULL) {
        c->null_count++;
        if (c->type != TYPE_UNKNOWN) put_null(c, 1);
        return OK;
    }
    if (!batch->has_types) choose_type(c, code, row);
    bool fits = c->type == TYPE_TEXT || (c->type == TYPE_BLOB && code == SQLITE_BLOB) ||
                code == SQLITE_INTEGER || (c->type == TYPE_REAL && code == SQLITE_FLOAT);
    if (!fits || (c->type == TYPE_BLOB && code != SQLITE_BLOB))
        return why_set(why, ERR_INPUT,
                       "column %s has %s and other values, which this format cannot hold: CAST it",
                       (const char *)c->name.at, words[c->type]);
    if (buf_error(&c->valid) == OK) c->valid.at[row / 8] |= (uint8_t)(1 << row % 8);
    if (c->type == TYPE_INTEGER || c->type == TYPE_TIMESTAMP) {
        buf_put_le64(&c->values, (uint64_t)sqlite3_column_int64(statement, column));
    } else if (c->type == TYPE_REAL) {
        double real = sqlite3_column_double(statement, column);
        buf_put(&c->values, &real, sizeof real);
    } else {
        const void *at = c->type == TYPE_TEXT ? (const void *)sqlite3_column_text(statement, column)
                                              : sqlite3_column_blob(statement, column);
        buf_put_le32(&c->offsets, (uint32_t)c->values.size);
        buf_put(&c->values, at, (size_t)sqlite3_column_bytes(statement, column));
    }
    return err_first(buf_error(&c->valid),
                     err_first(buf_error(&c->values), buf_error(&c->offsets)));
}

static void
batch_clear(struct sql_batch *batch)
{
    batch->rows = 0;
    for (int i = 0; i < batch->count; i++) {
        struct sql_column *c = &batch->columns[i];
        buf_clear(&c->valid);
        buf_clear(&c->values);
        buf_clear(&c->offsets);
        c->null_count = 0;
    }
}

enum err
sql_batch_read(struct sql_batch *batch, struct sql_output *out, bool *ret_end, struct why *why)
{
    size_t bytes = 0;
    bool is_row = true;
    batch_clear(batch);
    while (batch->rows < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX) {
        enum err e = sql_output_next(out, &is_row, why);
        if (e) return e;
        if (!is_row) break;
        bytes = 0;
        for (int i = 0; i < batch->count; i++) {
            e = take_value(batch, out, i, why);
            if (e) return e;
            bytes += batch->columns[i].values.size;
        }
        batch->rows++;
    }
    *ret_end = !is_row;
    for (int i = 0; i < batch->count; i++) {
        struct sql_column *c = &batch->columns[i];
        if (c->type == TYPE_UNKNOWN) {
            c->type = TYPE_TEXT;
            put_null(c, batch->rows);
        }
        if (is_of_bytes(c)) buf_put_le32(&c->offsets, (uint32_t)c->values.size);
        if (buf_error(&c->offsets)) return buf_error(&c->offsets);
    }
    batch->has_types = true;
    return OK;
}
