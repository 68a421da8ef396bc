/* asking.c - see asking.h. */
#include "backend/clickhouse/asking.h"

#include "backend/clickhouse/answer.h"
#include "backend/clickhouse/table.h"
#include "backend/common/http_common.h"

enum { QUERY_BYTES_MAX = 16 << 20 };

void
clickhouse_ask_init(struct clickhouse_ask *a, struct fetch_question *q)
{
    fetch_ask_init(&a->base, q, QUERY_BYTES_MAX);
    rows_init(&a->rows, q->budget);
}

void
clickhouse_ask_fini(struct clickhouse_ask *a)
{
    fetch_ask_fini(&a->base);
    rows_fini(&a->rows);
}

void
clickhouse_ask_begin(struct clickhouse_ask *a)
{
    const char *cancel = clickhouse_setting_word(CLICKHOUSE_CANCEL);
    const struct source_settings *settings = a->base.q->of->options.settings;
    fetch_ask_begin(&a->base, settings->u.clickhouse.server.url, "/");
    if (a->cancels) http_url_param(&a->base.url, cancel, bytes_of_text("1"));
}

/* --- the request ------------------------------------------------------------------------------ */

/* A repeated request gets the same response, except for errors that pass. */
static void
judge(const struct http_call_answer *answer, struct writer_step *step)
{
    if (clickhouse_answer_code(answer) == 0) return;
    (void)clickhouse_judge(answer, step);
    switch (step->verdict) {
    case VERDICT_RETRY:
    case VERDICT_BLOCKED:
        break;
    case VERDICT_THROTTLED:
        if (clickhouse_is_too_much(answer)) step->verdict = VERDICT_DEAD;
        break;
    default:
        step->verdict = VERDICT_DEAD;
        break;
    }
}

/* The error of a refusal, which is `e` unless its code says more. */
static enum err
refusal(struct clickhouse_ask *a, const struct http_call_answer *answer, enum err e)
{
    struct writer_step step = {.next = WRITER_DONE};
    enum clickhouse_meaning meaning = clickhouse_judge(answer, &step);
    a->code = clickhouse_answer_code(answer);
    a->form_changed = meaning == CLICKHOUSE_UNKNOWN_FORM;
    return clickhouse_is_too_much(answer) ? ERR_FULL : e;
}

/* Sends the statement and waits until its response begins. */
static enum err
send(struct clickhouse_ask *a, struct why *why)
{
    static const char *const headers[] = {"Content-Type: text/plain; charset=utf-8", NULL};
    static const struct fetch_request how = {
        .headers = headers, .wanted = clickhouse_wanted_headers, .judge = judge};
    const struct http_call_answer *answer;
    a->form_changed = false;
    a->code = 0;
    if (buf_error(&a->base.body) == ERR_LIMIT) {
        return why_set(why, ERR_LIMIT, "the query is too large");
    }
    enum err e = fetch_ask_send(&a->base, &how, why);
    if (e) return e;
    e = fetch_ask_await(&a->base, &answer, why);
    return e && answer != NULL ? refusal(a, answer, e) : e;
}

enum err
clickhouse_ask_rows(struct clickhouse_ask *a, const char *kinds, struct why *why)
{
    enum err e = send(a, why);
    if (e)
        fetch_ask_end(&a->base);
    else
        rows_begin(&a->rows, kinds, fetch_ask_more, &a->base);
    return e;
}

enum err
clickhouse_ask_text(struct clickhouse_ask *a, struct buf *to, struct why *why)
{
    buf_clear(to);
    enum err e = send(a, why);
    return e ? e : fetch_read_all(a->base.fetch, to, why);
}

/* --- end of a statement ----------------------------------------------------------------------- */

enum err
clickhouse_ask_failed(struct clickhouse_ask *a, enum err e, struct why *why)
{
    e = fetch_ask_failed(&a->base, e, why);
    fetch_ask_end(&a->base);
    return e;
}

/* A response without its last row ends with an error of ClickHouse, or is damaged. */
static enum err
late_error(struct clickhouse_ask *a, struct why *why)
{
    rows_drain(&a->rows);
    struct http_call_answer answer = {.failure = HTTP_CALL_ANSWERED,
                                      .status = 200,
                                      .wanted = {""},
                                      .body = bytes_of(a->rows.tail, a->rows.tail_size)};
    struct bytes text = clickhouse_late_exception(answer.body);
    if (text.size == 0) {
        *why = a->rows.why;
        return clickhouse_ask_failed(a, ERR_CORRUPT, why);
    }
    struct writer_step step = {.next = WRITER_DONE};
    answer.body = text;
    (void)clickhouse_judge(&answer, &step);
    bool passes = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    enum err e = passes ? ERR_AGAIN : ERR_IO;
    why_set(why, e, "the response ends with an error: %s", step.answer);
    e = fetch_ask_failed(&a->base, e, why);
    e = refusal(a, &answer, e);
    fetch_ask_end(&a->base);
    return e;
}

enum err
clickhouse_ask_end(struct clickhouse_ask *a, struct why *why)
{
    enum err e = a->rows.failed;
    if (e == ERR_CORRUPT) return late_error(a, why);
    if (e) *why = a->rows.why;
    fetch_ask_end(&a->base);
    return e;
}
