/* clickhouse_exchange.c - see clickhouse_reader.h. */
#include "backend/clickhouse/clickhouse_reader.h"

#include "backend/clickhouse/clickhouse_answer.h"
#include "backend/common/http_common.h"

enum { QUERY_BYTES_MAX = 16 << 20 };

void
clickhouse_exchange_init(struct clickhouse_exchange *x, struct fetch_question *q)
{
    fetch_exchange_init(&x->base, q, QUERY_BYTES_MAX);
    rows_init(&x->rows, q->budget);
}

void
clickhouse_exchange_fini(struct clickhouse_exchange *x)
{
    fetch_exchange_fini(&x->base);
    rows_fini(&x->rows);
}

static void
put_setting(struct clickhouse_exchange *x, enum clickhouse_setting setting, const char *value)
{
    http_url_param(&x->base.url, clickhouse_setting_word(setting), bytes_of_text(value));
}

void
clickhouse_exchange_begin(struct clickhouse_exchange *x)
{
    const struct source_settings *settings = x->base.q->of->options.settings;
    fetch_exchange_begin(&x->base, settings->u.clickhouse.server.url, "/");
    if (x->table == NULL) return;
    if (x->table->knows[CLICKHOUSE_CANCEL]) put_setting(x, CLICKHOUSE_CANCEL, "1");
    for (enum clickhouse_setting i = 0; i < CLICKHOUSE_SETTINGS; i++) {
        if (x->table->omits[i]) put_setting(x, i, clickhouse_setting_whole(i));
    }
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
refusal(struct clickhouse_exchange *x, const struct http_call_answer *answer, enum err e)
{
    struct writer_step step = {.next = WRITER_DONE};
    enum clickhouse_meaning meaning = clickhouse_judge(answer, &step);
    x->code = clickhouse_answer_code(answer);
    x->form_changed = meaning == CLICKHOUSE_UNKNOWN_FORM;
    return clickhouse_is_too_much(answer) ? ERR_FULL : e;
}

/* Sends the statement and waits until its response begins. */
static enum err
send(struct clickhouse_exchange *x, struct why *why)
{
    static const char *const headers[] = {"Content-Type: text/plain; charset=utf-8", NULL};
    static const struct fetch_request how = {
        .headers = headers, .wanted = clickhouse_wanted_headers, .judge = judge};
    const struct http_call_answer *answer;
    x->form_changed = false;
    x->code = 0;
    if (buf_error(&x->base.body) == ERR_LIMIT) {
        return why_set(why, ERR_LIMIT, "the query is too large");
    }
    enum err e = fetch_exchange_send(&x->base, &how, why);
    if (e) return e;
    e = fetch_exchange_await(&x->base, &answer, why);
    return e && answer != NULL ? refusal(x, answer, e) : e;
}

enum err
clickhouse_exchange_rows(struct clickhouse_exchange *x, const char *kinds, struct why *why)
{
    enum err e = send(x, why);
    if (e)
        fetch_exchange_end(&x->base);
    else
        rows_begin(&x->rows, kinds, fetch_exchange_more, &x->base);
    return e;
}

enum err
clickhouse_exchange_text(struct clickhouse_exchange *x, struct buf *to, struct why *why)
{
    buf_clear(to);
    enum err e = send(x, why);
    return e ? e : fetch_read_all(x->base.fetch, to, why);
}

/* --- end of a statement ----------------------------------------------------------------------- */

enum err
clickhouse_exchange_failed(struct clickhouse_exchange *x, enum err e, struct why *why)
{
    e = fetch_exchange_failed(&x->base, e, why);
    fetch_exchange_end(&x->base);
    return e;
}

/* A response without its last row ends with an error of ClickHouse, or is damaged. */
static enum err
late_error(struct clickhouse_exchange *x, struct why *why)
{
    rows_drain(&x->rows);
    struct http_call_answer answer = {.failure = HTTP_CALL_ANSWERED,
                                      .status = 200,
                                      .wanted = {""},
                                      .body = bytes_of(x->rows.tail, x->rows.tail_size)};
    struct bytes text = clickhouse_late_exception(answer.body);
    if (text.size == 0) {
        *why = x->rows.why;
        return clickhouse_exchange_failed(x, ERR_CORRUPT, why);
    }
    struct writer_step step = {.next = WRITER_DONE};
    answer.body = text;
    (void)clickhouse_judge(&answer, &step);
    bool passes = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    enum err e = passes ? ERR_AGAIN : ERR_IO;
    why_set(why, e, "the response ends with an error: %s", step.answer);
    e = fetch_exchange_failed(&x->base, e, why);
    e = refusal(x, &answer, e);
    fetch_exchange_end(&x->base);
    return e;
}

enum err
clickhouse_exchange_end(struct clickhouse_exchange *x, struct why *why)
{
    enum err e = x->rows.failed;
    if (e == ERR_CORRUPT) return late_error(x, why);
    if (e) *why = x->rows.why;
    fetch_exchange_end(&x->base);
    return e;
}
