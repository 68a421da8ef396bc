/*
 * table.c - see table.h.
 *
 * One query reads version, settings, table and columns, so that all are those of one server, even
 * if several servers have the same name. UNION ALL returns rows in any order, so there cannot be a
 * last row; a complete response is a closed JSON object that says how many rows it has. Versions
 * that write an exception into the object, to keep it valid, name it there.
 *
 * A new table has the form for 18.16, except on 21.3 and newer, which get codecs, a dictionary of
 * metric names, and parts that are synced before the response to an INSERT. The query uses only
 * what 18.16 knows.
 */
#include "backend/clickhouse/clickhouse.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* --- quoting ---------------------------------------------------------------------------------- */

/* Puts any bytes as the text between quotes of this kind, ' or `.
 *
 * All other bytes are written as they are, also line feeds and invalid UTF-8. NUL is written as \0,
 * since some versions take it for the end of the statement. */
static void
clickhouse_escaped_put(struct buf *to, char quote, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == (uint8_t)quote || c == '\\' || c == 0) buf_put_u8(to, '\\');
        buf_put_u8(to, c == 0 ? '0' : c);
    }
}

void
clickhouse_quoted_put(struct buf *to, char quote, struct bytes text)
{
    buf_put_u8(to, (uint8_t)quote);
    clickhouse_escaped_put(to, quote, text);
    buf_put_u8(to, (uint8_t)quote);
}

/* --- table ------------------------------------------------------------------------------------ */

enum { MODERN_MAJOR = 21, MODERN_MINOR = 3, COLUMN_START = CLICKHOUSE_COLUMNS - 1 };

const char *const clickhouse_column_names[CLICKHOUSE_COLUMNS] = {
    "metric", "labels", "time", "value", "bits", "histogram", "start_time",
};

/* Columns of rows, in their order (wire/point/clickhouse_row.h). */
static const struct {
    const char *type;
    const char *modern; /* type in a new table */
} columns[CLICKHOUSE_COLUMNS] = {
    {"String", "LowCardinality(String)"},
    {"String", "String CODEC(ZSTD(1))"},
    {"Int64", "Int64 CODEC(DoubleDelta, ZSTD(1))"},
    {"Float64", "Float64 CODEC(ZSTD(1))"},
    {"UInt64", "UInt64 CODEC(ZSTD(1))"},
    {"String", "String CODEC(ZSTD(1))"},
    {"Int64", "Int64 CODEC(ZSTD(1))"},
};

static const struct {
    const char *word;
    const char *whole;
} setting_names[CLICKHOUSE_SETTINGS] = {
    [CLICKHOUSE_DISTRIBUTED_SYNC] = {"insert_distributed_sync", NULL},
    [CLICKHOUSE_DEDUPLICATE] = {"insert_deduplicate", NULL},
    [CLICKHOUSE_TOKEN] = {"insert_deduplication_token", NULL},
    [CLICKHOUSE_ASYNC] = {"async_insert", NULL},
    [CLICKHOUSE_TYPED_HEADER] = {"input_format_with_types_use_header", NULL},
    [CLICKHOUSE_CANCEL] = {"cancel_http_readonly_queries_on_client_close", NULL},
    [CLICKHOUSE_READONLY] = {"readonly", NULL},
    [CLICKHOUSE_SKIPS_SHARDS] = {"skip_unavailable_shards", "0"},
    [CLICKHOUSE_READS_PART] = {"read_overflow_mode", "throw"},
    [CLICKHOUSE_GROUPS_PART] = {"group_by_overflow_mode", "throw"},
    [CLICKHOUSE_SORTS_PART] = {"sort_overflow_mode", "throw"},
    [CLICKHOUSE_SETS_PART] = {"set_overflow_mode", "throw"},
    [CLICKHOUSE_TIMES_OUT] = {"timeout_overflow_mode", "throw"},
};

const char *
clickhouse_setting_word(enum clickhouse_setting setting)
{
    return setting_names[setting].word;
}

const char *
clickhouse_setting_whole(enum clickhouse_setting setting)
{
    return setting_names[setting].whole;
}

/* --- texts in statements ---------------------------------------------------------------------- */

static void
put_quoted(struct buf *to, char quote, const char *text, const char *more)
{
    buf_put_u8(to, (uint8_t)quote);
    clickhouse_escaped_put(to, quote, bytes_of_text(text));
    if (more != NULL) clickhouse_escaped_put(to, quote, bytes_of_text(more));
    buf_put_u8(to, (uint8_t)quote);
}

static void
put_text(struct buf *to, const char *text)
{
    put_quoted(to, '\'', text, NULL);
}

/* `suffix` is appended to the table's name. */
static void
put_table(struct buf *to, const struct clickhouse_settings *s, const char *suffix)
{
    put_quoted(to, '`', s->database, NULL);
    buf_put_u8(to, '.');
    put_quoted(to, '`', s->table, suffix);
}

void
clickhouse_table_name(const struct clickhouse_settings *s, char ret_name[CLICKHOUSE_NAME_BYTES])
{
    snprintf(ret_name, CLICKHOUSE_NAME_BYTES, "%s.%s", s->database, s->table);
}

void
clickhouse_table_assume(struct clickhouse_table *t)
{
    *t = (struct clickhouse_table){.found = false};
    for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
        snprintf(t->columns[i].type, sizeof t->columns[i].type, "%s", columns[i].type);
        t->columns[i].takes = true;
    }
}

/* --- query of the properties ------------------------------------------------------------------ */

void
clickhouse_table_ask_put(struct buf *to, const struct clickhouse_settings *s)
{
    buf_put_text(to, "SELECT 'version' AS what, version() AS a, '' AS b, '' AS c"
                     " UNION ALL SELECT 'setting', name, value, '' FROM system.settings"
                     " WHERE name IN (");
    for (int i = 0; i < CLICKHOUSE_SETTINGS; i++) {
        if (i > 0) buf_put_text(to, ", ");
        put_text(to, clickhouse_setting_word((enum clickhouse_setting)i));
    }
    buf_put_text(to, ") UNION ALL SELECT 'table', engine, sorting_key, '' FROM system.tables"
                     " WHERE database = ");
    put_text(to, s->database);
    buf_put_text(to, " AND name = ");
    put_text(to, s->table);
    buf_put_text(to, " UNION ALL SELECT 'column', name, type, default_kind FROM system.columns"
                     " WHERE database = ");
    put_text(to, s->database);
    buf_put_text(to, " AND table = ");
    put_text(to, s->table);
    buf_put_text(to, " FORMAT JSONCompact");
}

static const char *
text_at(const json_t *row, size_t at)
{
    const char *text = json_string_value(json_array_get(row, at));
    return text == NULL ? "" : text;
}

static void
take_row(struct clickhouse_table *t, const char *const *names, const json_t *row)
{
    const char *what = text_at(row, 0);
    if (strcmp(what, "version") == 0) {
        const char *text = text_at(row, 1);
        char *end = NULL;
        unsigned long major = strtoul(text, &end, 10);
        unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
        snprintf(t->version, sizeof t->version, "%s", text);
        t->is_modern = major > MODERN_MAJOR || (major == MODERN_MAJOR && minor >= MODERN_MINOR);
    } else if (strcmp(what, "setting") == 0) {
        const char *name = text_at(row, 1);
        const char *value = text_at(row, 2);
        for (int i = 0; i < CLICKHOUSE_SETTINGS; i++) {
            const char *whole = setting_names[i].whole;
            if (strcmp(setting_names[i].word, name) != 0) continue;
            t->knows[i] = true;
            t->omits[i] = whole != NULL && strcmp(value, whole) != 0;
            if (i == CLICKHOUSE_READONLY) t->is_readonly = strcmp(value, "1") == 0;
        }
    } else if (strcmp(what, "table") == 0) {
        t->found = true;
        snprintf(t->engine, sizeof t->engine, "%s", text_at(row, 1));
        snprintf(t->key, sizeof t->key, "%s", text_at(row, 2));
    } else if (strcmp(what, "column") == 0) {
        const char *kind = text_at(row, 3);
        for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
            if (strcmp(names[i], text_at(row, 1)) != 0) continue;
            snprintf(t->columns[i].type, sizeof t->columns[i].type, "%s", text_at(row, 2));
            t->columns[i].takes = kind[0] == 0 || strcmp(kind, "DEFAULT") == 0;
        }
    }
}

enum err
clickhouse_table_read(struct bytes body, const char *const names[CLICKHOUSE_COLUMNS],
                      struct clickhouse_table *ret_table)
{
    json_t *root = json_loadb(body.at == NULL ? "" : (const char *)body.at, body.size, 0, NULL);
    const json_t *data = json_object_get(root, "data"), *rows = json_object_get(root, "rows");
    size_t count = json_array_size(data);
    bool whole = json_is_array(data) && json_is_integer(rows) &&
                 json_integer_value(rows) == (json_int_t)count &&
                 json_object_get(root, "exception") == NULL;
    struct clickhouse_table table = {.found = false};
    for (size_t i = 0; whole && i < count; i++)
        take_row(&table, names, json_array_get(data, i));
    json_decref(root);
    if (!whole || table.version[0] == 0) return ERR_INPUT;
    *ret_table = table;
    return OK;
}

/* --- check of the table ----------------------------------------------------------------------- */

/* LowCardinality(String) is written as a String is. */
static bool
is_type(const char *type, const char *wanted)
{
    static const char wrapper[] = "LowCardinality(";
    size_t skip = sizeof wrapper - 1, size = strlen(wanted);
    if (strcmp(type, wanted) == 0) return true;
    return strncmp(type, wrapper, skip) == 0 && strncmp(type + skip, wanted, size) == 0 &&
           strcmp(type + skip + size, ")") == 0;
}

static enum err
check_columns(const struct clickhouse_table *t, const char *name, struct why *why)
{
    for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
        const char *type = t->columns[i].type;
        if (type[0] == 0 && i == COLUMN_START) continue; /* the column is optional */
        if (type[0] == 0) {
            return why_set(why, ERR_INPUT,
                           "table %s has no column %s: add it with type %s, or name another table",
                           name, clickhouse_column_names[i], columns[i].type);
        }
        if (!is_type(type, columns[i].type)) {
            return why_set(why, ERR_INPUT, "column %s of table %s has type %s, expected %s",
                           clickhouse_column_names[i], name, type, columns[i].type);
        }
        if (!t->columns[i].takes) {
            return why_set(why, ERR_INPUT,
                           "column %s of table %s is computed by ClickHouse: expected one that "
                           "INSERT can name",
                           clickhouse_column_names[i], name);
        }
    }
    return OK;
}

/* True if the key, a list of expressions, has a column as one of them. */
static bool
key_has(const char *key, const char *column)
{
    size_t size = strlen(column);
    int depth = 0;
    bool at_front = true;
    for (const char *c = key; *c != 0; c++) {
        if (*c == '(') depth++;
        if (*c == ')') depth--;
        if (depth == 0 && at_front && (*c == ' ' || *c == '`')) continue;
        if (depth == 0 && at_front && strncmp(c, column, size) == 0) {
            const char *end = c + size + (c[size] == '`');
            while (*end == ' ')
                end++;
            if (*end == 0 || *end == ',') return true;
        }
        at_front = depth == 0 && *c == ',';
    }
    return false;
}

/* Rows with the same key become one, so all three columns must be in it. */
static enum err
check_engine(const struct clickhouse_table *t, const char *name, struct why *why)
{
    static const char *const needed[] = {"metric", "labels", "time"};
    static const char *const altering[] = {"SummingMergeTree", "AggregatingMergeTree",
                                           "CollapsingMergeTree", "GraphiteMergeTree"};
    for (size_t i = 0; i < sizeof altering / sizeof *altering; i++) {
        if (strstr(t->engine, altering[i]) == NULL) continue;
        return why_set(why, ERR_INPUT,
                       "table %s has the engine %s, which changes rows: expected "
                       "ReplacingMergeTree",
                       name, t->engine);
    }
    if (strstr(t->engine, "ReplacingMergeTree") == NULL) return OK;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (key_has(t->key, needed[i])) continue;
        return why_set(why, ERR_INPUT,
                       "table %s would lose samples: its ORDER BY (%s) lacks %s, expected ORDER BY "
                       "(metric, labels, time)",
                       name, t->key, needed[i]);
    }
    return OK;
}

enum err
clickhouse_table_check(const struct clickhouse_table *t, const struct clickhouse_settings *s,
                       struct why *why)
{
    char name[CLICKHOUSE_NAME_BYTES];
    clickhouse_table_name(s, name);
    enum err e = check_columns(t, name, why);
    return e ? e : check_engine(t, name, why);
}

bool
clickhouse_table_has_start(const struct clickhouse_table *t)
{
    return t->columns[COLUMN_START].type[0] != 0;
}

/* --- creating --------------------------------------------------------------------------------- */

/* Other characters have a meaning in the path of a replicated table, or are not allowed. */
static void
put_path_name(struct buf *to, const char *name)
{
    for (const char *c = name; *c != 0; c++)
        if (isalnum((unsigned char)*c) || *c == '_' || *c == '-')
            buf_put_u8(to, (uint8_t)*c);
        else
            buf_printf(to, "%%%02X", (unsigned char)*c);
}

static const char LOCAL[] = "_local";

static void
put_engine(struct buf *to, const struct clickhouse_settings *s, enum clickhouse_create which)
{
    if (which == CLICKHOUSE_CREATE_DISTRIBUTED) {
        buf_put_text(to, " ENGINE = Distributed(");
        put_quoted(to, '`', s->cluster, NULL);
        buf_put_text(to, ", ");
        put_quoted(to, '`', s->database, NULL);
        buf_put_text(to, ", ");
        put_quoted(to, '`', s->table, LOCAL);
        /* A series has one shard, so that its repeats meet. */
        buf_put_text(to, ", sipHash64(metric, labels))");
        return;
    }
    if (s->cluster == NULL) {
        buf_put_text(to, " ENGINE = ReplacingMergeTree()");
        return;
    }
    buf_put_text(to, " ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/");
    put_path_name(to, s->database);
    buf_put_u8(to, '/');
    put_path_name(to, s->table);
    buf_put_text(to, LOCAL);
    buf_put_text(to, "', '{replica}')");
}

void
clickhouse_table_create_put(struct buf *to, const struct clickhouse_table *server,
                            const struct clickhouse_settings *s, enum clickhouse_create which)
{
    bool has_rows = which == CLICKHOUSE_CREATE_ROWS;
    buf_put_text(to, "CREATE TABLE IF NOT EXISTS ");
    put_table(to, s, has_rows && s->cluster != NULL ? LOCAL : NULL);
    if (s->cluster != NULL) {
        buf_put_text(to, " ON CLUSTER ");
        put_quoted(to, '`', s->cluster, NULL);
    }
    for (int i = 0; i < CLICKHOUSE_COLUMNS; i++) {
        buf_put_text(to, i == 0 ? " (" : ", ");
        buf_put_text(to, clickhouse_column_names[i]);
        buf_put_u8(to, ' ');
        buf_put_text(to, server->is_modern ? columns[i].modern : columns[i].type);
    }
    buf_put_u8(to, ')');
    put_engine(to, s, which);
    if (!has_rows) return;
    buf_put_text(to, " PARTITION BY toYYYYMM(toDateTime(intDiv(time, 1000), 'UTC'))"
                     " ORDER BY (metric, labels, time)");
    if (server->is_modern)
        buf_put_text(to, " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1");
}

/* --- inserting -------------------------------------------------------------------------------- */

static int
column_count(const struct clickhouse_table *t)
{
    return clickhouse_table_has_start(t) ? CLICKHOUSE_COLUMNS : CLICKHOUSE_COLUMNS - 1;
}

void
clickhouse_table_insert_put(struct buf *to, const struct clickhouse_table *t,
                            const struct clickhouse_settings *s)
{
    buf_put_text(to, "INSERT INTO ");
    put_table(to, s, NULL);
    for (int i = 0; i < column_count(t); i++) {
        buf_put_text(to, i == 0 ? " (" : ", ");
        buf_put_text(to, clickhouse_column_names[i]);
    }
    buf_put_text(to, ") FORMAT RowBinary");
    if (t->knows[CLICKHOUSE_TYPED_HEADER]) buf_put_text(to, "WithNamesAndTypes");
}

void
clickhouse_table_head_put(struct buf *to, const struct clickhouse_table *t)
{
    if (!t->knows[CLICKHOUSE_TYPED_HEADER]) return;
    buf_put_varint(to, (uint64_t)column_count(t));
    for (int i = 0; i < column_count(t); i++)
        buf_put_counted(to, bytes_of_text(clickhouse_column_names[i]));
    for (int i = 0; i < column_count(t); i++)
        buf_put_counted(to, bytes_of_text(t->columns[i].type));
}
