/*
 * answer.h - what ClickHouse's answers mean, by the codes of its exceptions.
 *
 *     Code: 60, e.displayText() = DB::Exception: Table d.t doesn't exist., e.what() = DB::Exception
 *     Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE) (version 22.8.1.2097)
 *
 * The second is that of newer versions, which also name the code in a header. An exception may come
 * after the status 200 was sent: then it stands in the body, after what was sent before it, and a
 * body that ought to be empty tells it.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_ANSWER_H
#define BACKEND_CLICKHOUSE_ANSWER_H

#include "backend/writer.h"

/* What is said beyond the verdict. */
enum clickhouse_meaning {
    CLICKHOUSE_PLAIN,
    CLICKHOUSE_UNKNOWN_FORM, /* table, column, setting or format are not what they were */
    CLICKHOUSE_MISREAD,      /* it could not read the rows: some are bad, or the table changed */
    CLICKHOUSE_NO_ROWS,      /* it was sent none; all else is right */
    CLICKHOUSE_EXISTS,       /* what is to be created */
};

/* NULL-terminated; for http_call.wanted. */
extern const char *const clickhouse_wanted_headers[];

/*
 * The code in an answer; 0: there is none. `answer` has the headers that
 * clickhouse_wanted_headers names.
 */
uint32_t clickhouse_answer_code(const struct http_call_answer *answer);

/* The exception that stands at the end of a body with other output, from its code on; empty: there
 * is none. A view of it. */
struct bytes clickhouse_late_exception(struct bytes body);
/* Whether it refuses what would be answered if less were asked for at a time: a limit of memory, of
 * rows, bytes or of the query's size, that is not of all queries together. */
bool clickhouse_is_too_much(const struct http_call_answer *answer);

/*
 * Judges the answer to a request that is answered with nothing. CLICKHOUSE_UNKNOWN_FORM is
 * VERDICT_UNPREPARED, CLICKHOUSE_MISREAD is VERDICT_SOME_DEAD, the last two are
 * VERDICT_DELIVERED.
 */
enum clickhouse_meaning clickhouse_judge(const struct http_call_answer *answer,
                                         struct writer_step *ret_step);

/* The same for a request that is answered with data, where the status is 2xx and the data are not
 * whole. */
enum clickhouse_meaning clickhouse_judge_late(const struct http_call_answer *answer,
                                              struct writer_step *ret_step);

#endif
