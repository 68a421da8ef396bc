/* others.c - see forms.h: points of OpenTSDB, texts as VictoriaMetrics takes them, and what is
 * pushed as to a Pushgateway. */
#include "api/write/forms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auth/gate.h"
#include "base/text/time_text.h"
#include "inputs/opentsdb/opentsdb.h"
#include "inputs/push/push.h"
#include "inputs/text/text.h"
#include "model/labels.h"

/* --- responses -------------------------------------------------------------------------------- */

/* Answers with plain text why points were refused. */
static void
reply_plain(struct api *api, struct http_request *request, const struct write_form *form,
            const struct write_end *end)
{
    char text[sizeof end->result->text + sizeof end->why->text + 64];
    struct http_answer answer = {.status = end->status};
    bool is_bad = end->outcome->refused > 0 || !ingest_result_is_success(end->result);
    (void)api;
    if (end->status != 204) {
        snprintf(text, sizeof text, "%s", end->why->text);
    } else if (is_bad) {
        answer.status = 400;
        put_reasons(end, text, sizeof text);
    } else if (form->input == INPUT_PUSH) {
        answer.status = http_method(request) == HTTP_DELETE ? 202 : 200;
    }
    if (answer.status >= 300) {
        size_t size = strlen(text);
        if (size + 1 < sizeof text) text[size++] = '\n';
        answer.body = bytes_of(text, size);
        answer.content_type = "text/plain; charset=utf-8";
    }
    if (answer.status == 503)
        answer.headers[0] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    http_reply(request, &answer);
}

/* --- texts ------------------------------------------------------------------------------------ */

enum { EXTRA_LABELS_MAX = 32 };

/* Sets the labels of the arguments extra_label, NAME=VALUE each. */
static enum err
set_extra_labels(struct api *api, struct http_request *request, struct rw_request *to,
                 struct why *why)
{
    struct label labels[EXTRA_LABELS_MAX];
    uint32_t count = 0, changed, at = 0;
    struct buf canonical;
    const char *text;
    while ((text = http_argument_next(request, "extra_label", &at)) != NULL) {
        size_t size = strcspn(text, "=");
        bool is_label = size > 0 && text[size] == '=' && text[size + 1] != '\0';
        if (!is_label || count == EXTRA_LABELS_MAX)
            return why_set(why, ERR_INPUT, "extra_label must be NAME=VALUE, at most %d times",
                           EXTRA_LABELS_MAX);
        labels[count++] = (struct label){bytes_of(text, size), bytes_of_text(text + size + 1)};
    }
    if (count == 0) return OK;
    if (!input_sort_labels(labels, &count))
        return why_set(why, ERR_INPUT, "extra_label has a name twice");
    buf_init(&canonical, &api->write_budget, 1 << 20);
    for (uint32_t i = 0; i < count; i++)
        labels_put(&canonical, labels[i]);
    enum err e = buf_error(&canonical);
    if (e == OK) e = rw_overwrite_labels(to, buf_bytes(&canonical), &changed, why);
    buf_fini(&canonical);
    return e;
}

/* Reads the argument `timestamp`, in Unix milliseconds; without it, it is now. */
static enum err
read_now(struct api *api, const struct http_request *request, int64_t *ret_ms, struct why *why)
{
    const char *text = http_argument(request, "timestamp");
    *ret_ms = env_realtime_ms(api->options.env);
    if (text == NULL || text[0] == '\0' || time_parse_ms(bytes_of_text(text), ret_ms)) return OK;
    return why_set(why, ERR_INPUT, "timestamp must be in Unix milliseconds");
}

static enum err
decode_text(struct api *api, struct http_request *request, const struct write_form *form,
            struct buf *unpacked, struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    const char *type = http_header(request, "Content-Type");
    const char *columns = http_argument(request, "format");
    struct text_input input = {.format = TEXT_JSON_LINES, .budget = &api->write_budget};
    struct bytes text;
    enum err e = read_now(api, request, &input.time_ms, why);
    if (e == OK) e = unpack_body(api, request, unpacked, &text, why);
    if (e) return e;
    uint64_t seed = tsdb_hash_seed(api->options.tsdb);
    if (form->input == INPUT_TEXT) {
        bool is_open = type != NULL && strncmp(type, "application/openmetrics-text", 28) == 0;
        input.format = is_open ? TEXT_OPENMETRICS : TEXT_PROMETHEUS;
    }
    if (form->input != INPUT_CSV)
        e = text_decode(&input, text, seed, to, ret, why);
    else if (columns == NULL)
        e = why_set(why, ERR_INPUT, "format is required: 1:metric:NAME,2:label:NAME,3:time:UNIT");
    else
        e = csv_decode(columns, input.time_ms, text, seed, to, ret, why);
    if (e == OK) e = set_extra_labels(api, request, to, why);
    return e;
}

/* --- OpenTSDB --------------------------------------------------------------------------------- */

static enum err
decode_opentsdb(struct api *api, struct http_request *request, const struct write_form *form,
                struct buf *unpacked, struct rw_request *to, struct input_outcome *ret,
                struct why *why)
{
    struct bytes text;
    (void)form;
    enum err e = unpack_body(api, request, unpacked, &text, why);
    if (e) return e;
    return opentsdb_decode(text, &api->write_budget, tsdb_hash_seed(api->options.tsdb), to, NULL,
                           ret, why);
}

/* Names each refused point, whose message is decoded again for that. */
static void
put_point_errors(struct api *api, struct http_request *request, struct json *to)
{
    struct rw_request scratch;
    struct input_outcome outcome;
    struct buf unpacked;
    struct bytes text;
    struct why why;
    buf_init(&unpacked, &api->write_budget, api->options.decoded_bytes_max + 64);
    enum err e = rw_request_init(&scratch, &api->write_budget);
    if (e == OK) {
        e = unpack_body(api, request, &unpacked, &text, &why);
        if (e == OK) e = opentsdb_decode(text, &api->write_budget, 0, &scratch, to, &outcome, &why);
        rw_request_fini(&scratch);
    }
    err_ignore(e, "the counts are right without the errors");
    buf_fini(&unpacked);
}

static void
reply_opentsdb(struct api *api, struct http_request *request, const struct write_form *form,
               const struct write_end *end)
{
    bool has_details = http_argument(request, "details") != NULL;
    bool has_summary = has_details || http_argument(request, "summary") != NULL;
    const struct input_outcome *o = end->outcome;
    uint64_t failed = o->refused + end->result->rejected_total;
    struct http_answer answer = {.status = end->status, .content_type = "application/json"};
    struct buf body;
    struct json j;
    (void)form;
    buf_init(&body, &api->write_budget, 256 << 20);
    json_init(&j, &body);
    if (end->status == 204) answer.status = failed > 0 ? 400 : has_summary ? 200 : 204;
    json_object_open(&j);
    if (end->status == 204 && has_summary) {
        json_member_uint(&j, "success", o->points > failed ? o->points - failed : 0);
        json_member_uint(&j, "failed", failed);
        if (has_details) json_member_array(&j, "errors");
        if (has_details && o->refused > 0) put_point_errors(api, request, &j);
        if (has_details && end->result->rejected_total > 0)
            json_put_object(&j, JSON("error", end->result->text));
        if (has_details) json_array_close(&j);
    } else {
        json_key(&j, "error");
        json_object_open(&j);
        json_member_uint(&j, "code", answer.status);
        json_member_text(&j, "message",
                         end->status == 204 ? "One or more data points had errors"
                                            : end->why->text);
        if (end->status == 204)
            json_member_text(&j, "details", o->refused > 0 ? o->first.text : end->result->text);
        json_object_close(&j);
    }
    json_object_close(&j);
    if (answer.status == 204)
        answer.content_type = NULL;
    else
        answer.body = buf_bytes(&body);
    if (answer.status == 503)
        answer.headers[0] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    http_reply(request, &answer);
    buf_fini(&body);
}

/* --- pushes ----------------------------------------------------------------------------------- */

static enum err
decode_push(struct api *api, struct http_request *request, const struct write_form *form,
            struct buf *unpacked, struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    static const char media[] = "application/vnd.google.protobuf", begin[] = "/metrics/";
    const char *type = http_header(request, "Content-Type"), *sent = http_path_sent(request);
    const struct user *user = gate_user(request);
    enum http_method method = http_method(request);
    struct push push = {
        .verb = method == HTTP_PUT      ? PUSH_REPLACE
                : method == HTTP_DELETE ? PUSH_DELETE
                                        : PUSH_MERGE,
        .path = sent != NULL ? sent : http_path(request),
        .is_escaped = sent != NULL,
        .now_ms = env_realtime_ms(api->options.env),
    };
    struct buf text;
    (void)form;
    if (api->options.pushed == NULL)
        return why_set(why, ERR_UNSUPPORTED,
                       "pushed metrics are kept on this machine: use storage.mode=local, and "
                       "another wal.ack than destination");
    if (one_tenant_named(api, request, &push.tenant, why) != 0) return ERR_INPUT;
    push.path = strstr(push.path, begin) + sizeof begin - 1; /* as the route has it */
    if (user != NULL) push.write_labels = user->write_labels;
    enum err e = unpack_body(api, request, unpacked, &push.text, why);
    if (push.verb == PUSH_DELETE) push.text.size = 0;
    buf_init(&text, &api->write_budget, api->options.decoded_bytes_max);
    if (e == OK && type != NULL && strncmp(type, media, sizeof media - 1) == 0) {
        e = families_put_text(push.text, &text, why);
        push.text = buf_bytes(&text);
    }
    if (e == OK)
        e = push_take(api->options.pushed, &push, tsdb_hash_seed(api->options.tsdb), to, ret, why);
    buf_fini(&text);
    return e;
}

/* --- all -------------------------------------------------------------------------------------- */

const struct write_form *
other_form(const char *path)
{
#define FORM(INPUT, DECODE, REPLY)                                                 \
    {                                                                              \
        .input = (INPUT), .encodings = "gzip, zstd, identity", .decode = (DECODE), \
        .reply = (REPLY)                                                           \
    }
    static const struct {
        const char *path;
        struct write_form form;
    } all[] = {
        {"/api/put", FORM(INPUT_OPENTSDB, decode_opentsdb, reply_opentsdb)},
        {"/api/v1/import", FORM(INPUT_JSON_LINES, decode_text, reply_plain)},
        {"/api/v1/import/prometheus", FORM(INPUT_TEXT, decode_text, reply_plain)},
        {"/api/v1/import/csv", FORM(INPUT_CSV, decode_text, reply_plain)},
        {"/metrics/job*", FORM(INPUT_PUSH, decode_push, reply_plain)},
    };
#undef FORM
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        size_t size = strcspn(all[i].path, "*");
        bool is_prefix = all[i].path[size] == '*';
        if (strncmp(path, all[i].path, size) == 0 && (is_prefix || path[size] == '\0'))
            return &all[i].form;
    }
    return NULL;
}
