/*
 * clickhouse.h - properties of a ClickHouse server and of the table of samples, and the statements
 * that query, create and insert.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_CLICKHOUSE_H
#define BACKEND_CLICKHOUSE_CLICKHOUSE_H

#include "backend/settings.h"
#include "backend/writer.h"
#include "base/buf.h"

/* Names and texts in the statements of ClickHouse: 'text', `name`. */

/* Does the same and adds the quotes. */
void clickhouse_quoted_put(struct buf *to, char quote, struct bytes text);

enum { CLICKHOUSE_COLUMNS = 7, CLICKHOUSE_NAME_BYTES = 128, CLICKHOUSE_KEY_BYTES = 512 };

/* Settings that are sent if the server knows them; those from CLICKHOUSE_SKIPS_SHARDS on only if
 * the user's value lets a response lack rows without an error. */
enum clickhouse_setting {
    CLICKHOUSE_DISTRIBUTED_SYNC, /* insert_distributed_sync: the response follows when the shards
                                    have the rows */
    CLICKHOUSE_DEDUPLICATE,      /* insert_deduplicate */
    CLICKHOUSE_TOKEN,            /* insert_deduplication_token */
    CLICKHOUSE_ASYNC,            /* async_insert */
    CLICKHOUSE_TYPED_HEADER, /* input_format_with_types_use_header: not sent; a server that knows it
                                checks the format RowBinaryWithNamesAndTypes */
    CLICKHOUSE_CANCEL,       /* cancel_http_readonly_queries_on_client_close */
    CLICKHOUSE_READONLY,     /* readonly: not sent; with 1 settings must not be sent */
    CLICKHOUSE_SKIPS_SHARDS, /* skip_unavailable_shards */
    CLICKHOUSE_READS_PART,   /* read_overflow_mode */
    CLICKHOUSE_GROUPS_PART,  /* group_by_overflow_mode */
    CLICKHOUSE_SORTS_PART,   /* sort_overflow_mode */
    CLICKHOUSE_SETS_PART,    /* set_overflow_mode */
    CLICKHOUSE_TIMES_OUT,    /* timeout_overflow_mode */
    CLICKHOUSE_SETTINGS,
};
/* Returns its name in a URL. */
const char *clickhouse_setting_word(enum clickhouse_setting setting);
/* Returns the value with which no rows are missing; NULL for settings that never omit rows. */
const char *clickhouse_setting_whole(enum clickhouse_setting setting);

/* Properties of a server and a table. Texts are cut to fit. */
struct clickhouse_table {
    char version[CLICKHOUSE_NAME_BYTES];
    bool is_modern; /* 21.3 or newer */
    bool knows[CLICKHOUSE_SETTINGS];
    bool omits[CLICKHOUSE_SETTINGS]; /* the user's value is not clickhouse_setting_whole() */
    bool is_readonly;                /* the user may read, but must not send settings */
    bool found;
    char engine[CLICKHOUSE_NAME_BYTES];
    char key[CLICKHOUSE_KEY_BYTES]; /* "metric, labels, time"; empty for engines without a key */
    struct {
        char type[CLICKHOUSE_NAME_BYTES]; /* empty if the table has no such column */
        bool takes;                       /* true if INSERT may name it */
    } columns[CLICKHOUSE_COLUMNS];
};

/* Sets the properties to be assumed before they were read: those of a table made for 18.16. */
void clickhouse_table_assume(struct clickhouse_table *ret_table);
/* Puts the query for all properties, whose response clickhouse_table_read() reads. Out of memory
 * shows in buf_error(to), as for all functions that put. */
void clickhouse_table_ask_put(struct buf *to, const struct clickhouse_settings *settings);
/* Names of the columns, in the order of wire/point/clickhouse_row.h. */
extern const char *const clickhouse_column_names[CLICKHOUSE_COLUMNS];
/* Reads the response; `names` are the names of the columns. ERR_INPUT: it is incomplete, or not of
 * this query. */
MUST_CHECK enum err clickhouse_table_read(struct bytes body,
                                          const char *const names[CLICKHOUSE_COLUMNS],
                                          struct clickhouse_table *ret_table);
/* Checks that a table can store samples. ERR_INPUT. */
MUST_CHECK enum err clickhouse_table_check(const struct clickhouse_table *table,
                                           const struct clickhouse_settings *settings,
                                           struct why *why);
/* True if the table has the column start_time. */
bool clickhouse_table_has_start(const struct clickhouse_table *table);

enum clickhouse_create {
    CLICKHOUSE_CREATE_ROWS, /* with `cluster`, on each host, below the table of the next member */
    CLICKHOUSE_CREATE_DISTRIBUTED, /* only with `cluster` */
};
/* Puts the statement that creates the table, for the version of `server`. */
void clickhouse_table_create_put(struct buf *to, const struct clickhouse_table *server,
                                 const struct clickhouse_settings *settings,
                                 enum clickhouse_create which);

/* Put the statement "INSERT INTO ... FORMAT ..." and the bytes before the first row, if the format
 * has any. */
void clickhouse_table_insert_put(struct buf *to, const struct clickhouse_table *table,
                                 const struct clickhouse_settings *settings);
void clickhouse_table_head_put(struct buf *to, const struct clickhouse_table *table);

/* "default.samples", for people. */
void clickhouse_table_name(const struct clickhouse_settings *settings,
                           char ret_name[CLICKHOUSE_NAME_BYTES]);

/*
 * The meaning of ClickHouse's responses, by the codes of its exceptions.
 *
 *     Code: 60, e.displayText() = DB::Exception: Table d.t doesn't exist., e.what() = DB::Exception
 *     Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE) (version 22.8.1.2097)
 *
 * The second form is that of newer versions, which also have the code in a header. An exception may
 * follow after status 200 was sent: then it is in the body, after the output before it.
 */

/* The meaning of a response beyond its verdict. */
enum clickhouse_meaning {
    CLICKHOUSE_PLAIN,
    CLICKHOUSE_UNKNOWN_FORM, /* table, column, setting or format have changed */
    CLICKHOUSE_MISREAD,      /* it could not read the rows: some are bad, or the table changed */
    CLICKHOUSE_NO_ROWS,      /* the request had no rows; all else is right */
    CLICKHOUSE_EXISTS,       /* the table that the request creates exists */
};

/* NULL-terminated; for http_call.wanted. */
extern const char *const clickhouse_wanted_headers[];

/* The code in a response; 0 if there is none. `answer` has the headers that
 * clickhouse_wanted_headers names. */
uint32_t clickhouse_answer_code(const struct http_call_answer *answer);

/* The exception at the end of a body with other output, from its code on; empty if there is none. A
 * view of the body. */
struct bytes clickhouse_late_exception(struct bytes body);
/* True if asking for less at a time would help: a limit of memory, rows, bytes or the query's size
 * was reached, except a limit of all queries together. */
bool clickhouse_is_too_much(const struct http_call_answer *answer);

/* Judges the response to a request that has an empty response. CLICKHOUSE_UNKNOWN_FORM is
 * VERDICT_UNPREPARED, CLICKHOUSE_MISREAD is VERDICT_SOME_DEAD, the last two are VERDICT_DELIVERED.
 */
enum clickhouse_meaning clickhouse_judge(const struct http_call_answer *answer,
                                         struct writer_step *ret_step);

/* Does the same for a request whose response has data, if the status is 2xx and the data are
 * incomplete.
 */
enum clickhouse_meaning clickhouse_judge_late(const struct http_call_answer *answer,
                                              struct writer_step *ret_step);

#endif
