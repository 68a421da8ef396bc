/*
 * table.h - what a ClickHouse server says of itself and of the table that samples go to, and the
 * statements that ask, create and insert.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_TABLE_H
#define BACKEND_CLICKHOUSE_TABLE_H

#include "backend/settings.h"

enum { CLICKHOUSE_COLUMNS = 7, CLICKHOUSE_NAME_BYTES = 128, CLICKHOUSE_KEY_BYTES = 512 };

/* The settings that are sent where the server knows them. */
enum clickhouse_setting {
    CLICKHOUSE_DISTRIBUTED_SYNC, /* insert_distributed_sync: answered when the shards have it */
    CLICKHOUSE_DEDUPLICATE,      /* insert_deduplicate */
    CLICKHOUSE_TOKEN,            /* insert_deduplication_token */
    CLICKHOUSE_ASYNC,            /* async_insert */
    CLICKHOUSE_TYPED_HEADER,     /* input_format_with_types_use_header: not sent, but it tells that
                                    the format RowBinaryWithNamesAndTypes is checked */
    CLICKHOUSE_CANCEL,           /* cancel_http_readonly_queries_on_client_close */
    CLICKHOUSE_READONLY,         /* readonly: not sent; with 1 no setting may be */
    CLICKHOUSE_SETTINGS,
};
const char *clickhouse_setting_word(enum clickhouse_setting setting);

/* A server and a table, as it is there. Texts are cut to fit. */
struct clickhouse_table {
    char version[CLICKHOUSE_NAME_BYTES];
    bool is_modern; /* 21.3 or newer */
    bool knows[CLICKHOUSE_SETTINGS];
    bool is_readonly; /* the user may read, and may send no settings */
    bool found;
    char engine[CLICKHOUSE_NAME_BYTES];
    char key[CLICKHOUSE_KEY_BYTES]; /* "metric, labels, time"; empty of engines without one */
    struct {
        char type[CLICKHOUSE_NAME_BYTES]; /* empty: there is no such column */
        bool takes;                       /* INSERT may name it */
    } columns[CLICKHOUSE_COLUMNS];
};

/* What is taken for granted before anything was asked: the table that 18.16 would get. */
void clickhouse_table_assume(struct clickhouse_table *ret_table);
/* The query for all of it; its answer is read by the next one. Out of memory shows in
 * buf_error(to), as with all that put. */
void clickhouse_table_ask_put(struct buf *to, const struct clickhouse_settings *settings);
/* Names of the columns, in the order of wire/point/clickhouse_row.h. */
extern const char *const clickhouse_column_names[CLICKHOUSE_COLUMNS];
/* `names`: what the columns are called. ERR_INPUT: the answer is not whole, or not of this query.
 */
MUST_CHECK enum err clickhouse_table_read(struct bytes body,
                                          const char *const names[CLICKHOUSE_COLUMNS],
                                          struct clickhouse_table *ret_table);
/* Whether samples can be kept in a table that was found; ERR_INPUT, and why not. */
MUST_CHECK enum err clickhouse_table_check(const struct clickhouse_table *table,
                                           const struct clickhouse_settings *settings,
                                           struct why *why);
/* Whether the column start_time is there. */
bool clickhouse_table_has_start(const struct clickhouse_table *table);

enum clickhouse_create {
    CLICKHOUSE_CREATE_ROWS,        /* with `cluster`: on each host, below the next one */
    CLICKHOUSE_CREATE_DISTRIBUTED, /* only with `cluster` */
};
void clickhouse_table_create_put(struct buf *to, const struct clickhouse_table *server,
                                 const struct clickhouse_settings *settings,
                                 enum clickhouse_create which);

/* "INSERT INTO ... FORMAT ...", and what stands before the first row, which may be nothing. */
void clickhouse_table_insert_put(struct buf *to, const struct clickhouse_table *table,
                                 const struct clickhouse_settings *settings);
void clickhouse_table_head_put(struct buf *to, const struct clickhouse_table *table);

/* "default.samples", for people. */
void clickhouse_table_name(const struct clickhouse_settings *settings,
                           char ret_name[CLICKHOUSE_NAME_BYTES]);

#endif
