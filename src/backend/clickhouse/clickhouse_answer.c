/* clickhouse_answer.c - see clickhouse.h. Codes keep their meaning from version to version,
 * status and words do not: 18.16 responds to nearly everything with 500. A code that is not in the
 * list is judged by the status, so that an unknown error is retried rather than given up. */
#include "backend/clickhouse/clickhouse.h"

#include <ctype.h>
#include <stdio.h>

#include "backend/common/http_common.h"

enum { CODE_MAX = 9999, SCAN_BYTES_MAX = 64 };

const char *const clickhouse_wanted_headers[] = {"X-ClickHouse-Exception-Code", NULL};

struct answer_rule {
    uint32_t code;
    enum writer_verdict verdict;
    enum clickhouse_meaning meaning;
    const char *reason;
};

static const struct answer_rule rules[] = {
    /* The error passes. */
    {3, VERDICT_RETRY, CLICKHOUSE_PLAIN, "unexpected_end_of_file"},
    {74, VERDICT_RETRY, CLICKHOUSE_PLAIN, "cannot_read_from_file"},
    {75, VERDICT_RETRY, CLICKHOUSE_PLAIN, "cannot_write_to_file"},
    {76, VERDICT_RETRY, CLICKHOUSE_PLAIN, "cannot_open_file"},
    {95, VERDICT_RETRY, CLICKHOUSE_PLAIN, "cannot_read_from_socket"},
    {96, VERDICT_RETRY, CLICKHOUSE_PLAIN, "cannot_write_to_socket"},
    {159, VERDICT_RETRY, CLICKHOUSE_PLAIN, "timeout_exceeded"},
    {160, VERDICT_RETRY, CLICKHOUSE_PLAIN, "too_slow"},
    {198, VERDICT_RETRY, CLICKHOUSE_PLAIN, "dns_error"},
    {209, VERDICT_RETRY, CLICKHOUSE_PLAIN, "socket_timeout"},
    {210, VERDICT_RETRY, CLICKHOUSE_PLAIN, "network_error"},
    {225, VERDICT_RETRY, CLICKHOUSE_PLAIN, "no_keeper"},
    {236, VERDICT_RETRY, CLICKHOUSE_PLAIN, "aborted"},
    {242, VERDICT_RETRY, CLICKHOUSE_PLAIN, "table_is_read_only"},
    {243, VERDICT_RETRY, CLICKHOUSE_PLAIN, "not_enough_space"},
    {254, VERDICT_RETRY, CLICKHOUSE_PLAIN, "no_active_replicas"},
    {279, VERDICT_RETRY, CLICKHOUSE_PLAIN, "all_connection_tries_failed"},
    {285, VERDICT_RETRY, CLICKHOUSE_PLAIN, "too_few_live_replicas"},
    {286, VERDICT_RETRY, CLICKHOUSE_PLAIN, "unsatisfied_quorum"},
    {289, VERDICT_RETRY, CLICKHOUSE_PLAIN, "replica_is_not_in_quorum"},
    {319, VERDICT_RETRY, CLICKHOUSE_PLAIN, "unknown_status_of_insert"},
    {384, VERDICT_RETRY, CLICKHOUSE_PLAIN, "part_is_locked"},
    {394, VERDICT_RETRY, CLICKHOUSE_PLAIN, "query_was_cancelled"},
    {425, VERDICT_RETRY, CLICKHOUSE_PLAIN, "system_error"},
    {473, VERDICT_RETRY, CLICKHOUSE_PLAIN, "deadlock_avoided"},
    {499, VERDICT_RETRY, CLICKHOUSE_PLAIN, "s3_error"},
    {519, VERDICT_RETRY, CLICKHOUSE_PLAIN, "no_remote_shard"},
    {733, VERDICT_RETRY, CLICKHOUSE_PLAIN, "table_is_being_restarted"},
    {999, VERDICT_RETRY, CLICKHOUSE_PLAIN, "keeper_exception"},
    {1000, VERDICT_RETRY, CLICKHOUSE_PLAIN, "poco_exception"},
    {1001, VERDICT_RETRY, CLICKHOUSE_PLAIN, "std_exception"},
    {1002, VERDICT_RETRY, CLICKHOUSE_PLAIN, "unknown_exception"},
    /* The error passes if less is sent at a time. */
    {173, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "cannot_allocate_memory"},
    {201, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "quota_exceeded"},
    {202, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "too_many_simultaneous_queries"},
    {203, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "no_free_connection"},
    {241, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "memory_limit_exceeded"},
    {252, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "too_many_parts"},
    {364, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "too_many_requests"},
    {574, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "too_many_pending_bytes"},
    {700, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "session_limit_exceeded"},
    {745, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "server_overloaded"},
    {762, VERDICT_THROTTLED, CLICKHOUSE_PLAIN, "connection_limit_reached"},
    /* The cause is one of the rows, or a table that has changed. */
    {27, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "cannot_parse"},
    {32, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "read_after_end"},
    {33, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "cannot_read_all_data"},
    {53, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "type_mismatch"},
    {117, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "incorrect_data"},
    {131, VERDICT_SOME_DEAD, CLICKHOUSE_MISREAD, "too_large_string"},
    /* The cause is one of the rows: constraints, and views that the table feeds. */
    {6, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_parse_text"},
    {38, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_parse_date"},
    {41, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_parse_datetime"},
    {69, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "argument_out_of_bound"},
    {70, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_convert_type"},
    {72, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_parse_number"},
    {153, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "illegal_division"},
    {248, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "invalid_partition"},
    {321, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "value_out_of_range"},
    {349, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "cannot_insert_null"},
    {395, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "throw_if"},
    {407, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "decimal_overflow"},
    {469, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "violated_constraint"},
    {691, VERDICT_SOME_DEAD, CLICKHOUSE_PLAIN, "unknown_element_of_enum"},
    /* Fewer rows are accepted. */
    {158, VERDICT_TOO_LARGE, CLICKHOUSE_PLAIN, "too_many_rows"},
    {307, VERDICT_TOO_LARGE, CLICKHOUSE_PLAIN, "too_many_bytes"},
    {396, VERDICT_TOO_LARGE, CLICKHOUSE_PLAIN, "too_many_rows_or_bytes"},
    /* The properties of server and table have to be read again. */
    {8, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "no_such_column"},
    {10, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "no_such_column"},
    {16, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "no_such_column"},
    {20, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "wrong_number_of_columns"},
    {44, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "illegal_column"},
    {47, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_identifier"},
    {60, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_table"},
    {62, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "syntax_error"},
    {73, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_format"},
    {81, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_database"},
    {85, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_format"},
    {89, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_compression"},
    {115, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unknown_setting"},
    {218, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "table_is_dropped"},
    {728, VERDICT_UNPREPARED, CLICKHOUSE_UNKNOWN_FORM, "unexpected_data_type"},
    /* An operator has to act. */
    {164, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "readonly"},
    {192, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "unknown_user"},
    {193, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "wrong_password"},
    {194, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "required_password"},
    {195, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "address_not_allowed"},
    {291, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "database_access_denied"},
    {392, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "query_is_prohibited"},
    {452, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "setting_constraint"},
    {472, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "readonly_setting"},
    {497, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "access_denied"},
    {516, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "authentication_failed"},
    {620, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "query_not_allowed"},
    {720, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "user_expired"},
    {774, VERDICT_BLOCKED, CLICKHOUSE_PLAIN, "table_is_permanently_read_only"},
    /* The request did its work. */
    {57, VERDICT_DELIVERED, CLICKHOUSE_EXISTS, "table_already_exists"},
    {108, VERDICT_DELIVERED, CLICKHOUSE_NO_ROWS, "no_data_to_insert"},
    {389, VERDICT_DELIVERED, CLICKHOUSE_PLAIN, "insert_was_deduplicated"},
};

/* --- the code --------------------------------------------------------------------------------- */

/* The number at the front; 0 if there is none, or it is not a code. */
static uint32_t
answer_number_at(const uint8_t *at, const uint8_t *end)
{
    uint32_t number = 0;
    const uint8_t *from = at;
    for (; at < end && isdigit(*at) && number <= CODE_MAX; at++)
        number = 10 * number + (uint32_t)(*at - '0');
    return at == from || number > CODE_MAX ? 0 : number;
}

/* "Code: 60, e.displayText() = DB::Exception: ", "Code: 60. DB::Exception: " */
static uint32_t
exception_at(const uint8_t *at, const uint8_t *end)
{
    static const char exception[] = "Exception: "; /* not shown: searched for in responses */
    static const char mark[] = "Code: ";
    size_t left = (size_t)(end - at), mark_bytes = sizeof mark - 1;
    if (left < mark_bytes || memcmp(at, mark, mark_bytes) != 0) return 0;
    if (left > SCAN_BYTES_MAX) left = SCAN_BYTES_MAX;
    if (memmem(at, left, exception, sizeof exception - 1) == NULL) return 0;
    return answer_number_at(at + mark_bytes, end);
}

/* An exception after other output is the last one there; names and labels may contain the same text
 * before it. */
struct bytes
clickhouse_late_exception(struct bytes body)
{
    for (size_t at = body.size; at-- > 0;) {
        if (body.at[at] != 'C') continue;
        if (exception_at(body.at + at, body.at + body.size) == 0) continue;
        return bytes_of(body.at + at, body.size - at);
    }
    return bytes_of("", 0);
}

uint32_t
clickhouse_answer_code(const struct http_call_answer *answer)
{
    const char *header = answer->wanted[0];
    uint32_t code =
        answer_number_at((const uint8_t *)header, (const uint8_t *)header + strlen(header));
    if (code > 0 || answer->failure != HTTP_CALL_ANSWERED) return code;
    struct bytes body = answer->body;
    if (answer->status < 200 || answer->status >= 300) {
        /* The first exception counts: its text may mention or quote others. */
        for (; body.size > 0 && isspace(*body.at); body.size--)
            body.at++;
        return body.size == 0 ? 0 : exception_at(body.at, body.at + body.size);
    }
    struct bytes late = clickhouse_late_exception(body);
    return late.size == 0 ? 0 : exception_at(late.at, late.at + late.size);
}

/* --- verdicts --------------------------------------------------------------------------------- */

static const struct answer_rule *
rule_of(uint32_t code)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].code == code) return &rules[i];
    return NULL;
}

static bool
says(const struct http_call_answer *answer, const char *text)
{
    struct bytes body = answer->body;
    return body.size > 0 && memmem(body.at, body.size, text, strlen(text)) != NULL;
}

bool
clickhouse_is_too_much(const struct http_call_answer *answer)
{
    switch (clickhouse_answer_code(answer)) {
    case 62: /* a syntax error, too */
        return says(answer, "Max query size exceeded");
    case 158:
    case 168:
    case 307:
    case 396:
        return true;
    case 241:
        return !says(answer, "(total)");
    default:
        return false;
    }
}

static bool
is_blank(struct bytes body)
{
    for (size_t i = 0; i < body.size; i++)
        if (!isspace(body.at[i])) return false;
    return true;
}

static enum clickhouse_meaning
judge_code(const struct http_call_answer *answer, uint32_t code, struct writer_step *step)
{
    const struct answer_rule *rule = rule_of(code);
    if (rule == NULL) {
        snprintf(step->reason, sizeof step->reason, "code_%u", code);
        if (step->verdict == VERDICT_DELIVERED) step->verdict = VERDICT_RETRY; /* it came late */
        return CLICKHOUSE_PLAIN;
    }
    step->verdict = rule->verdict;
    snprintf(step->reason, sizeof step->reason, "%s", rule->reason);
    /* Two errors have one code: too many unmerged parts, and rows of too many months. */
    bool spreads = code == 252 && says(answer, "Too many partitions");
    if (spreads) {
        step->verdict = VERDICT_TOO_LARGE;
        snprintf(step->reason, sizeof step->reason, "too_many_partitions");
    }
    return rule->meaning;
}

enum clickhouse_meaning
clickhouse_judge(const struct http_call_answer *answer, struct writer_step *step)
{
    http_judge(answer, step);
    if (answer->failure != HTTP_CALL_ANSWERED) return CLICKHOUSE_PLAIN;
    uint32_t code = clickhouse_answer_code(answer);
    if (code > 0) return judge_code(answer, code, step);
    if (step->verdict == VERDICT_DELIVERED && !is_blank(answer->body)) {
        /* A proxy may respond with 200 without the server. */
        step->verdict = VERDICT_RETRY;
        snprintf(step->reason, sizeof step->reason, "unexpected_answer");
    }
    return CLICKHOUSE_PLAIN;
}

enum clickhouse_meaning
clickhouse_judge_late(const struct http_call_answer *answer, struct writer_step *step)
{
    enum clickhouse_meaning meaning = clickhouse_judge(answer, step);
    if (step->verdict == VERDICT_DELIVERED)
        step_done(step, VERDICT_RETRY, "unexpected_answer", "incomplete response from ClickHouse");
    return meaning;
}
