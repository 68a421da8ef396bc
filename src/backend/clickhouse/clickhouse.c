/*
 * clickhouse.c - destination type `clickhouse`: rows of a table, by INSERT over HTTP.
 *
 * A call collects rows; when it is first sent they are compressed, and the compressed bytes take
 * their place, so that a call never holds both. The size of a call is always that of its rows: the
 * ceiling that the relay lowers after a refusal must have one unit.
 *
 * The form of a call depends on server and table: the columns, the bytes before the first row, the
 * compression. The properties are read before the first call, again a day later, and when the
 * server does not know the form of a call. A call with another form than the current one is encoded
 * again.
 *
 *     prepare(): ASK --> [no table, create] --> CREATE --> [cluster] --> CREATE_DISTRIBUTED --> ASK
 *                 |                                                                             |
 *                 +--------------------> ready, or blocked: what does not fit <-----------------+
 *
 * Sending a row twice changes nothing: the table keeps the last of the rows with the same metric,
 * labels and time. But ClickHouse may also skip an INSERT that it has seen before, which would be
 * wrong if a sample was sent, replaced, and is sent again: so each call has a token of its own, the
 * same in all repetitions, and deduplication is switched off for a server that does not know
 * tokens.
 *
 * A call has rows of few days, since ClickHouse makes a part for each partition of the table, and
 * refuses too many.
 */
#include "backend/clickhouse/clickhouse.h"

#include <stdio.h>

#include "backend/common/http_common.h"
#include "backend/common/pack.h"
#include "base/hash/hash.h"
#include "wire/point/clickhouse_row.h"

enum {
    SAMPLES = 20000,
    BODY_BYTES = 4 * 1024 * 1024,
    BODY_BYTES_MAX = 16 * 1024 * 1024,
    TEXT_BYTES_MAX = BODY_BYTES_MAX + 1024 * 1024, /* with a last row of up to 1 MiB */
    LANES = 2,
    DAYS_MAX = 64, /* days in a call; a partition has a month, so a call writes fewer partitions */
    ANSWER_BYTES = 64 * 1024,
    URL_BYTES_MAX = 64 * 1024,
    QUERY_BYTES_MAX = 64 * 1024,
    TOKEN_BYTES = 128,
};
static const int64_t DAY_MS = 24LL * 3600 * 1000;
static const int64_t ASK_AGAIN_NS = 24LL * 3600 * NS_PER_S;
/* Properties that were read so recently are still valid. */
static const int64_t FRESH_NS = 10LL * NS_PER_S;

enum clickhouse_stage { ASK, CREATE, CREATE_DISTRIBUTED, ASK_CREATED };

struct clickhouse_writer {
    struct writer_base base;
    const struct clickhouse_settings *settings;
    struct http_calls_target target;
    struct http_headers headers;
    struct packer *packers[COMPRESSION_ZSTD + 1]; /* gzip and zstd */
    struct buf packed; /* output of a packer, before it replaces a call's rows */
    struct buf url;    /* URL of the server, with a NUL at its end, as `ping_url` */
    struct buf ping_url;
    struct buf query; /* the statement of a preparation or check */

    bool is_described; /* `table` is as the server described it */
    int64_t described_ns;
    enum clickhouse_stage stage;    /* stage of the preparation that is running */
    struct clickhouse_table server; /* the server's properties, before there is a table */

    /* The form of requests. */
    struct clickhouse_table table;
    uint32_t form; /* number of the form; another form has another number */
    enum compression compression;
    struct buf head;
    struct buf insert; /* the statement */
};

struct clickhouse_call {
    struct buf text; /* rows; compressed once `packed` */
    bool packed;
    uint32_t form; /* form of its rows */
    uint32_t rows;
    uint64_t rows_bytes;
    int64_t days[DAYS_MAX]; /* the days of its rows, in the order in which they were added */
    uint32_t day_count;
    uint64_t pos; /* position of its first item, and the position after its last */
    uint32_t index;
    char token[TOKEN_BYTES];
    struct buf url;
};

/* --- the form --------------------------------------------------------------------------------- */

/* Makes the form from the properties of server and table. ERR_NOMEM: the form is unchanged. */
static enum err
learn(struct clickhouse_writer *w, const struct clickhouse_table *table)
{
    struct buf head, insert;
    buf_init(&head, w->base.options.memory, QUERY_BYTES_MAX);
    buf_init(&insert, w->base.options.memory, QUERY_BYTES_MAX);
    clickhouse_table_head_put(&head, table);
    clickhouse_table_insert_put(&insert, table, w->settings);
    enum compression compression = table->is_modern ? COMPRESSION_ZSTD : COMPRESSION_GZIP;
    enum err e = err_first(buf_error(&head), buf_error(&insert));
    if (e) {
        buf_fini(&head);
        buf_fini(&insert);
        return e;
    }
    bool is_same = w->form > 0 && w->compression == compression &&
                   bytes_equal(buf_bytes(&w->head), buf_bytes(&head)) &&
                   bytes_equal(buf_bytes(&w->insert), buf_bytes(&insert));
    buf_fini(&w->head);
    buf_fini(&w->insert);
    w->head = head;
    w->insert = insert;
    w->compression = compression;
    w->table = *table;
    w->form += !is_same;
    return OK;
}

/* --- the writer ------------------------------------------------------------------------------- */

static void
clickhouse_fini(struct writer *writer)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    for (size_t i = 0; i < sizeof w->packers / sizeof *w->packers; i++)
        packer_free(w->packers[i]);
    http_headers_fini(&w->headers);
    buf_fini(&w->packed);
    buf_fini(&w->url);
    buf_fini(&w->ping_url);
    buf_fini(&w->query);
    buf_fini(&w->head);
    buf_fini(&w->insert);
}

static enum err
clickhouse_init(struct writer *writer, struct why *why)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    const struct writer_options *options = &w->base.options;
    struct clickhouse_table assumed;
    w->base.limits = (struct writer_limits){
        .concurrency = LANES,
        .samples = SAMPLES,
        .bytes = BODY_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = BODY_BYTES_MAX,
        .mapped = WRITER_MAPPED_HISTOGRAM,
    };
    w->settings = &options->settings->u.clickhouse;
    http_headers_init(&w->headers, options->memory);
    http_target_init(&w->target, &options->settings->http, options->settings->timeout_ms);
    buf_init(&w->packed, options->memory, 2 * TEXT_BYTES_MAX);
    buf_init(&w->url, options->memory, URL_BYTES_MAX);
    buf_init(&w->ping_url, options->memory, URL_BYTES_MAX);
    buf_init(&w->query, options->memory, QUERY_BYTES_MAX);
    buf_init(&w->head, options->memory, QUERY_BYTES_MAX);
    buf_init(&w->insert, options->memory, QUERY_BYTES_MAX);
    http_url_begin(&w->url, w->settings->url, "/");
    http_url_end(&w->url, w->settings->url);
    http_url_begin(&w->ping_url, w->settings->url, "/ping");
    http_url_end(&w->ping_url, w->settings->url);
    clickhouse_table_assume(&assumed);
    enum err e = err_first(buf_error(&w->url), buf_error(&w->ping_url));
    if (e == OK) e = learn(w, &assumed);
    if (e == ERR_LIMIT) return why_set(why, ERR_INPUT, "url, database or table is too long");
    if (e == OK) e = packer_new(COMPRESSION_GZIP, &w->packers[COMPRESSION_GZIP]);
    return e ? e : packer_new(COMPRESSION_ZSTD, &w->packers[COMPRESSION_ZSTD]);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
clickhouse_call_init(struct writer *writer, struct writer_call *call)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    struct clickhouse_call *c = (struct clickhouse_call *)call;
    buf_init(&c->text, w->base.options.memory, TEXT_BYTES_MAX);
    buf_init(&c->url, w->base.options.memory, URL_BYTES_MAX);
    return OK;
}

static void
clickhouse_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    buf_fini(&((struct clickhouse_call *)call)->text);
    buf_fini(&((struct clickhouse_call *)call)->url);
}

static void
clickhouse_call_clear(struct writer *writer, struct writer_call *call)
{
    struct clickhouse_call *c = (struct clickhouse_call *)call;
    (void)writer;
    buf_clear(&c->text);
    c->packed = false;
    c->rows = c->day_count = 0;
    c->rows_bytes = 0;
}

/* True if a call may have a row of this day; *ret_day is the day. */
static bool
takes_day(const struct clickhouse_call *c, int64_t t_ms, int64_t *ret_day, bool *ret_new)
{
    *ret_day = t_ms / DAY_MS - (t_ms % DAY_MS < 0);
    *ret_new = false;
    for (uint32_t i = c->day_count; i-- > 0;)
        if (c->days[i] == *ret_day) return true;
    *ret_new = true;
    return c->day_count < DAYS_MAX;
}

static enum writer_add
clickhouse_add(struct writer *writer, struct writer_call *call, const struct item *item,
               uint32_t *ret_entry, struct why *why)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    struct clickhouse_call *c = (struct clickhouse_call *)call;
    bool is_first = c->rows == 0, is_new_day;
    int64_t day;
    *ret_entry = 0;
    if (item->kind == ITEM_EXEMPLAR)
        return writer_unfit(why, "the ClickHouse table has no columns for exemplars");
    if (item->kind == ITEM_METADATA)
        return writer_unfit(why, "the ClickHouse table has no columns for metadata");
    if (!is_first && c->text.size >= BODY_BYTES_MAX) return WRITER_FULL;
    if (!takes_day(c, item->t_ms, &day, &is_new_day)) return WRITER_FULL;
    if (!is_first && c->form != w->form) return WRITER_FULL; /* a call has rows of one form */
    struct labelled_sample sample = item_sample(item);
    size_t before = c->text.size;
    if (is_first) buf_put_bytes(&c->text, buf_bytes(&w->head));
    enum err e = clickhouse_row_put(&c->text, &sample, clickhouse_table_has_start(&w->table), why);
    bool full = e == OK && !is_first && c->text.size > BODY_BYTES_MAX;
    if (e || full) {
        c->text.size = before;
        c->text.failed = OK;
    }
    if (e == ERR_INPUT) return WRITER_UNFIT;
    if (e == ERR_LIMIT && is_first) return writer_unfit(why, "metric name and labels are too long");
    if (e == ERR_LIMIT || full) return WRITER_FULL;
    if (e) return WRITER_NO_MEMORY;
    if (is_first) {
        c->form = w->form;
        c->pos = item->pos;
        c->index = item->index;
    }
    if (is_new_day) c->days[c->day_count++] = day;
    c->rows++;
    c->rows_bytes = c->text.size;
    return WRITER_ADDED;
}

static uint64_t
clickhouse_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct clickhouse_call *c = (const struct clickhouse_call *)call;
    (void)writer;
    return c->rows_bytes;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
pack_call(struct clickhouse_writer *w, struct clickhouse_call *c)
{
    if (c->packed) return OK;
    const char *instance = w->base.options.instance;
    snprintf(c->token, sizeof c->token, "%.64s-%llx.%x-%x-%016llx",
             instance == NULL ? "" : instance, (unsigned long long)c->pos, c->index, c->rows,
             (unsigned long long)hash_bytes(buf_bytes(&c->text), 0));
    enum err e = pack_in_place(w->packers[w->compression], &c->text, &w->packed);
    c->packed = e == OK;
    return e;
}

static void
put_setting(const struct clickhouse_writer *w, struct buf *url, enum clickhouse_setting setting,
            const char *value)
{
    if (!w->table.knows[setting]) return;
    http_url_param(url, clickhouse_setting_word(setting), bytes_of_text(value));
}

/* `token` is NULL if nothing is inserted. */
static enum err
make_insert_url(struct clickhouse_writer *w, const char *token, struct buf *url)
{
    const char *base = w->settings->url;
    buf_clear(url);
    http_url_begin(url, base, "/");
    http_url_param(url, "query", buf_bytes(&w->insert));
    put_setting(w, url, CLICKHOUSE_DISTRIBUTED_SYNC, "1");
    put_setting(w, url, CLICKHOUSE_ASYNC, "0");
    if (!w->table.knows[CLICKHOUSE_TOKEN])
        put_setting(w, url, CLICKHOUSE_DEDUPLICATE, "0");
    else if (token != NULL)
        put_setting(w, url, CLICKHOUSE_TOKEN, token);
    http_url_end(url, base);
    return buf_error(url);
}

static void
send_request(struct clickhouse_writer *w, const char *method, const struct buf *url,
             const char *encoding, struct bytes body, struct writer_step *step)
{
    const struct clickhouse_settings *s = w->settings;
    const struct http_plain request = {
        .settings = &w->base.options.settings->http,
        .target = &w->target,
        .method = method,
        .url = (const char *)url->at,
        .content_type = encoding != NULL ? "application/octet-stream" : "text/plain; charset=utf-8",
        .content_encoding = encoding,
        .basic_auth = &s->basic_auth,
        .authorization = &s->authorization,
        .body = body,
        .answer_bytes_max = ANSWER_BYTES,
    };
    http_send_plain(&w->headers, &request, step);
    step->http.wanted = clickhouse_wanted_headers;
}

static void
clickhouse_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    struct clickhouse_call *c = (struct clickhouse_call *)call;
    if (c->form != w->form) {
        step_done(step, VERDICT_REBUILD, "other_form", "the table has changed");
        return;
    }
    if (pack_call(w, c) != OK || make_insert_url(w, c->token, &c->url) != OK) {
        step_no_memory(step, "a request");
        return;
    }
    send_request(w, "POST", &c->url, w->compression == COMPRESSION_ZSTD ? "zstd" : "gzip",
                 buf_bytes(&c->text), step);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
clickhouse_judge_call(struct writer *writer, struct writer_call *call,
                      const struct http_call_answer *answer, struct writer_step *step)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    (void)call;
    enum clickhouse_meaning meaning = clickhouse_judge(answer, step);
    int64_t age_ns = env_monotonic_ns(w->base.options.env) - w->described_ns;
    if (meaning == CLICKHOUSE_NO_ROWS)
        step->verdict = VERDICT_RETRY; /* the request had rows */
    else if (meaning == CLICKHOUSE_MISREAD && age_ns >= FRESH_NS)
        step->verdict = VERDICT_UNPREPARED;
    if (step->verdict == VERDICT_UNPREPARED) w->is_described = false;
}

/* --- before ----------------------------------------------------------------------------------- */

static bool
clickhouse_need_prepare(struct writer *writer)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    int64_t now_ns = env_monotonic_ns(w->base.options.env);
    return !w->is_described || now_ns - w->described_ns >= ASK_AGAIN_NS;
}

static void
send_query(struct clickhouse_writer *w, struct writer_step *step)
{
    if (buf_error(&w->query))
        step_no_memory(step, "a query");
    else
        send_request(w, "POST", &w->url, NULL, buf_bytes(&w->query), step);
}

static void
ask(struct clickhouse_writer *w, enum clickhouse_stage stage, struct writer_step *step)
{
    w->stage = stage;
    buf_clear(&w->query);
    clickhouse_table_ask_put(&w->query, w->settings);
    send_query(w, step);
}

static void
create(struct clickhouse_writer *w, enum clickhouse_stage stage, struct writer_step *step)
{
    w->stage = stage;
    buf_clear(&w->query);
    clickhouse_table_create_put(&w->query, &w->server, w->settings,
                                stage == CREATE ? CLICKHOUSE_CREATE_ROWS
                                                : CLICKHOUSE_CREATE_DISTRIBUTED);
    send_query(w, step);
}

/* Reads the response to ask(). The step is DONE unless it returns OK. */
static enum err
take_table(const struct http_call_answer *answer, struct clickhouse_table *ret_table,
           struct writer_step *step)
{
    bool is_data = answer->failure == HTTP_CALL_ANSWERED && answer->status >= 200 &&
                   answer->status < 300 && !answer->body_cut;
    enum err e = is_data ? clickhouse_table_read(answer->body, clickhouse_column_names, ret_table)
                         : ERR_INPUT;
    if (e == OK) return OK;
    clickhouse_judge_late(answer, step);
    /* A statement that is not understood now will not be understood later. */
    bool is_settled = step->verdict == VERDICT_RETRY || step->verdict == VERDICT_THROTTLED;
    if (!is_settled) step->verdict = VERDICT_BLOCKED;
    return e;
}

/* Judges the properties of a table; the step is DONE. */
static void
judge_table(struct clickhouse_writer *w, const struct clickhouse_table *table,
            struct writer_step *step)
{
    char name[CLICKHOUSE_NAME_BYTES];
    struct why why = {""};
    clickhouse_table_name(w->settings, name);
    if (!table->found) {
        step_done(step, VERDICT_BLOCKED, "no_table", "");
        snprintf(step->answer, sizeof step->answer,
                 "table %s does not exist, or the user may not see it: create it, or set create: "
                 "true",
                 name);
        return;
    }
    if (clickhouse_table_check(table, w->settings, &why) != OK) {
        step_done(step, VERDICT_BLOCKED, "schema", why.text);
        return;
    }
    step_done(step, VERDICT_DELIVERED, "", "");
    snprintf(step->answer, sizeof step->answer, "ClickHouse %s, engine %s", table->version,
             table->engine);
}

static void
take_description(struct clickhouse_writer *w, const struct http_call_answer *answer,
                 struct writer_step *step)
{
    struct clickhouse_table table;
    if (take_table(answer, &table, step) != OK) return;
    if (!table.found && w->settings->create && w->stage == ASK) {
        w->server = table;
        create(w, CREATE, step);
        return;
    }
    judge_table(w, &table, step);
    if (step->verdict != VERDICT_DELIVERED) return;
    if (learn(w, &table) != OK) {
        step_no_memory(step, "a table");
        return;
    }
    w->is_described = true;
    w->described_ns = env_monotonic_ns(w->base.options.env);
}

/* No row can be the cause if CREATE is refused. */
static void
take_created(struct clickhouse_writer *w, const struct http_call_answer *answer,
             struct writer_step *step)
{
    struct writer_step judged = {.next = WRITER_DONE};
    clickhouse_judge(answer, &judged);
    /* With ON CLUSTER, the response lists hosts. */
    bool lists_hosts = judged.verdict == VERDICT_RETRY && clickhouse_answer_code(answer) == 0 &&
                       answer->failure == HTTP_CALL_ANSWERED && answer->status == 200;
    if (judged.verdict == VERDICT_DELIVERED || lists_hosts) {
        if (w->stage == CREATE && w->settings->cluster != NULL)
            create(w, CREATE_DISTRIBUTED, step);
        else
            ask(w, ASK_CREATED, step);
        return;
    }
    *step = judged;
    bool will_pass = judged.verdict == VERDICT_RETRY || judged.verdict == VERDICT_THROTTLED;
    if (!will_pass) step->verdict = VERDICT_BLOCKED;
}

static void
clickhouse_prepare(struct writer *writer, const struct http_call_answer *answer,
                   struct writer_step *ret_step)
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    if (answer == NULL)
        ask(w, ASK, ret_step);
    else if (w->stage == CREATE || w->stage == CREATE_DISTRIBUTED)
        take_created(w, answer, ret_step);
    else
        take_description(w, answer, ret_step);
}

/* --- permission check ------------------------------------------------------------------------- */

static void
check_table(struct clickhouse_writer *w, const struct http_call_answer *answer,
            struct writer_step *step)
{
    struct clickhouse_table table;
    if (answer == NULL) {
        ask(w, ASK, step);
        return;
    }
    if (take_table(answer, &table, step) != OK) return;
    if (!table.found && w->settings->create) {
        step_done(step, VERDICT_DELIVERED, "", "");
        snprintf(step->answer, sizeof step->answer,
                 "ClickHouse %s; the table does not exist and will be created", table.version);
        return;
    }
    judge_table(w, &table, step);
    if (step->verdict == VERDICT_DELIVERED && learn(w, &table) != OK)
        step_no_memory(step, "a table");
}

/* An INSERT of nothing: versions that require a row report that after they have checked user and
 * table. */
static void
check_insert(struct clickhouse_writer *w, const struct http_call_answer *answer,
             struct writer_step *step)
{
    static const struct bytes nothing = {NULL, 0};
    if (answer != NULL) {
        clickhouse_judge(answer, step);
        if (step->verdict != VERDICT_DELIVERED) return;
        step_done(step, VERDICT_DELIVERED, "", "");
    } else if (make_insert_url(w, NULL, &w->query) != OK) {
        step_no_memory(step, "a request");
    } else {
        send_request(w, "POST", &w->query, NULL, nothing, step);
    }
}

static bool
clickhouse_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                 struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct clickhouse_writer *w = (struct clickhouse_writer *)writer;
    static const struct bytes nothing = {NULL, 0};
    char name[CLICKHOUSE_NAME_BYTES];
    clickhouse_table_name(w->settings, name);
    switch (number) {
    case 0:
        snprintf(what, WRITER_ANSWER_BYTES, "response from /ping");
        if (answer != NULL)
            http_judge(answer, ret_step);
        else
            send_request(w, "GET", &w->ping_url, NULL, nothing, ret_step);
        return true;
    case 1:
        snprintf(what, WRITER_ANSWER_BYTES, "table %s", name);
        check_table(w, answer, ret_step);
        return true;
    case 2:
        if (!w->table.found) return false; /* the table will be created */
        snprintf(what, WRITER_ANSWER_BYTES, "an empty INSERT");
        check_insert(w, answer, ret_step);
        return true;
    default:
        return false;
    }
}

const struct writer_class clickhouse_writer = {
    .type = DESTINATION_CLICKHOUSE,
    .writer_bytes = sizeof(struct clickhouse_writer),
    .call_bytes = sizeof(struct clickhouse_call),
    .init = clickhouse_init,
    .fini = clickhouse_fini,
    .call_init = clickhouse_call_init,
    .call_fini = clickhouse_call_fini,
    .call_clear = clickhouse_call_clear,
    .add = clickhouse_add,
    .bytes = clickhouse_bytes,
    .begin = clickhouse_begin,
    .judge = clickhouse_judge_call,
    .need_prepare = clickhouse_need_prepare,
    .prepare = clickhouse_prepare,
    .check = clickhouse_check,
};
