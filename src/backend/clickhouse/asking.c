/* asking.c - see asking.h. */
#include "backend/clickhouse/asking.h"

#include "backend/clickhouse/answer.h"
#include "backend/clickhouse/table.h"
#include "backend/common/http_common.h"

enum { URL_BYTES_MAX = 64 * 1024, QUERY_BYTES_MAX = 16 << 20 };

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

void
clickhouse_ask_init(struct clickhouse_ask *a, const struct source_settings *settings,
                    struct fetch_session *session, struct query_control *control,
                    struct budget *budget)
{
    *a = (struct clickhouse_ask){.settings = settings, .session = session, .control = control};
    buf_init(&a->url, budget, URL_BYTES_MAX);
    buf_init(&a->query, budget, QUERY_BYTES_MAX);
    rows_init(&a->rows, budget);
}

void
clickhouse_ask_stop(struct clickhouse_ask *a)
{
    fetch_close(a->fetch);
    a->fetch = NULL;
}

void
clickhouse_ask_fini(struct clickhouse_ask *a)
{
    clickhouse_ask_stop(a);
    buf_fini(&a->url);
    buf_fini(&a->query);
    rows_fini(&a->rows);
}

void
clickhouse_ask_begin(struct clickhouse_ask *a)
{
    clickhouse_ask_stop(a);
    buf_clear(&a->query);
}

/* --- the request ------------------------------------------------------------------------------ */

/* What is answered is the same the next time, but for what passes. */
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

static enum err
send(struct clickhouse_ask *a, struct why *why)
{
    static const char *const headers[] = {"Content-Type: text/plain; charset=utf-8", NULL};
    const char *base = a->settings->u.clickhouse.server.url;
    clickhouse_ask_stop(a);
    a->form_changed = false;
    a->code = 0;
    buf_clear(&a->url);
    http_url_begin(&a->url, base, "/");
    if (a->cancels) {
        const char *cancel = clickhouse_setting_word(CLICKHOUSE_CANCEL);
        http_url_param(&a->url, cancel, bytes_of_text("1"));
    }
    http_url_end(&a->url, base);
    enum err e = err_first(buf_error(&a->url), buf_error(&a->query));
    if (e == ERR_LIMIT) return why_set(why, e, "the query is too large");
    if (e) return no_memory(why);
    struct fetch_request request = {.method = "POST",
                                    .url = (const char *)a->url.at,
                                    .headers = headers,
                                    .body = buf_bytes(&a->query),
                                    .wanted = clickhouse_wanted_headers,
                                    .judge = judge};
    return fetch_open(a->session, a->control, &request, &a->fetch, why);
}

/* What an answer that says no stands for, beyond the error that it is already. */
static enum err
refusal(struct clickhouse_ask *a, const struct http_call_answer *answer, enum err e)
{
    struct writer_step step = {.next = WRITER_DONE};
    enum clickhouse_meaning meaning = clickhouse_judge(answer, &step);
    a->code = clickhouse_answer_code(answer);
    a->form_changed = meaning == CLICKHOUSE_UNKNOWN_FORM;
    return clickhouse_is_too_much(answer) ? ERR_FULL : e;
}

static enum err
await(struct clickhouse_ask *a, struct why *why)
{
    const struct http_call_answer *answer;
    enum err e = fetch_await(a->fetch, &answer, why);
    if (e) return e;
    e = fetch_expect_ok(a->fetch, why);
    return e ? refusal(a, answer, e) : OK;
}

static enum err
more(void *context, struct bytes *ret_piece, struct why *why)
{
    struct clickhouse_ask *a = context;
    return fetch_read(a->fetch, ret_piece, why);
}

enum err
clickhouse_ask_rows(struct clickhouse_ask *a, const char *kinds, struct why *why)
{
    enum err e = send(a, why);
    if (e == OK) e = await(a, why);
    if (e)
        clickhouse_ask_stop(a);
    else
        rows_begin(&a->rows, kinds, more, a);
    return e;
}

enum err
clickhouse_ask_text(struct clickhouse_ask *a, struct buf *to, struct why *why)
{
    buf_clear(to);
    enum err e = send(a, why);
    if (e == OK) e = await(a, why);
    if (e == OK) e = fetch_read_all(a->fetch, to, why);
    return e;
}

/* --- the end ---------------------------------------------------------------------------------- */

enum err
clickhouse_ask_failed(struct clickhouse_ask *a, enum err e, struct why *why)
{
    e = fetch_failed(a->fetch, e, why);
    clickhouse_ask_stop(a);
    return e;
}

/* An answer without its last row: with an error of ClickHouse at its end, or damaged. */
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
    e = fetch_failed(a->fetch, e, why);
    e = refusal(a, &answer, e);
    clickhouse_ask_stop(a);
    return e;
}

enum err
clickhouse_ask_end(struct clickhouse_ask *a, struct why *why)
{
    enum err e = a->rows.failed;
    if (e == ERR_CORRUPT) return late_error(a, why);
    if (e) *why = a->rows.why;
    clickhouse_ask_stop(a);
    return e;
}
