/*
 * clickhouse_answer.h - the meaning of ClickHouse's responses, by the codes of its exceptions.
 *
 *     Code: 60, e.displayText() = DB::Exception: Table d.t doesn't exist., e.what() = DB::Exception
 *     Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE) (version 22.8.1.2097)
 *
 * The second form is that of newer versions, which also have the code in a header. An exception may
 * follow after status 200 was sent: then it is in the body, after the output before it.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_CLICKHOUSE_ANSWER_H
#define BACKEND_CLICKHOUSE_CLICKHOUSE_ANSWER_H

#include "backend/writer.h"

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
