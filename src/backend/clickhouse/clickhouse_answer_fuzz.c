/* clickhouse_answer_fuzz.c - reads any bytes as an answer of ClickHouse to an INSERT, and to the
 * query for server and table. Each text fits its field, and a response with a text is not judged as
 * delivered. */
#include <ctype.h>
#include <stdlib.h>

#include "backend/clickhouse/clickhouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_step(const struct writer_step *step)
{
    if (step->next != WRITER_DONE || (unsigned)step->verdict > VERDICT_BLOCKED) abort();
    if (strnlen(step->reason, sizeof step->reason) == sizeof step->reason) abort();
    if (strnlen(step->answer, sizeof step->answer) == sizeof step->answer) abort();
}

static void
check_table(struct bytes body)
{
    static const struct clickhouse_settings settings = {
        .url = "http://h", .database = "d", .table = "t", .create = true};
    struct clickhouse_table table;
    struct why why = {""};
    struct buf text;
    if (clickhouse_table_read(body, clickhouse_column_names, &table) != OK) return;
    buf_init(&text, NULL, 1 << 16);
    bool fits = table.found && clickhouse_table_check(&table, &settings, &why) == OK;
    if (table.found && !fits && why.text[0] == 0) abort();
    clickhouse_table_create_put(&text, &table, &settings, CLICKHOUSE_CREATE_ROWS);
    clickhouse_table_insert_put(&text, &table, &settings);
    clickhouse_table_head_put(&text, &table);
    if (buf_error(&text) != OK) abort();
    buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned statuses[] = {200, 204, 400, 404, 500, 503, 0, 302};
    if (size < 1) return 0;
    struct http_call_answer answer = {.status = statuses[data[0] % 8],
                                      .body = bytes_of(data + 1, size - 1)};
    struct writer_step step = {.next = WRITER_SEND};
    bool is_blank = true;
    for (size_t i = 1; i < size; i++)
        is_blank = is_blank && isspace(data[i]);
    clickhouse_judge(&answer, &step);
    check_step(&step);
    bool is_success = answer.status == 200 || answer.status == 204;
    bool is_delivered = step.verdict == VERDICT_DELIVERED;
    if (is_delivered && clickhouse_answer_code(&answer) == 0 && !(is_success && is_blank)) abort();
    clickhouse_judge_late(&answer, &step);
    check_step(&step);
    if (step.verdict == VERDICT_DELIVERED) abort();
    check_table(answer.body);
    return 0;
}
