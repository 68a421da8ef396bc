/* inputs.c - see forms.h: messages of other protocols than remote write. */
#include "api/write/forms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backend/common/pack.h"
#include "base/log.h"
#include "inputs/otlp/otlp.h"

#define REQUESTS(NAME)                                                                    \
    {                                                                                     \
        .name = "firekeep_input_requests_total",                                          \
        .help = "Requests with samples in another form than remote write, by that form.", \
        .labels = {                                                                       \
            {"input", NAME}                                                               \
        }                                                                                 \
    }
#define REFUSED(NAME)                                                                    \
    {                                                                                    \
        .name = "firekeep_input_refused_points_total",                                   \
        .help = "Points of such requests that were refused before they became samples.", \
        .labels = {                                                                      \
            {"input", NAME}                                                              \
        }                                                                                \
    }
#define EACH_INPUT(OF)                                                                            \
    {                                                                                             \
        [INPUT_OTLP] = OF("otlp"), [INPUT_INFLUX] = OF("influx"),                                 \
        [INPUT_OPENTSDB] = OF("opentsdb"), [INPUT_TEXT] = OF("text"),                             \
        [INPUT_JSON_LINES] = OF("json_lines"), [INPUT_CSV] = OF("csv"), [INPUT_PUSH] = OF("push") \
    }
struct metric_counter input_requests[INPUT_COUNT] = EACH_INPUT(REQUESTS);
static struct metric_counter input_refused[INPUT_COUNT] = EACH_INPUT(REFUSED);

void
inputs_metrics_register(void)
{
    for (unsigned i = INPUT_NONE + 1; i < INPUT_COUNT; i++) {
        metric_register_counter(&input_requests[i]);
        metric_register_counter(&input_refused[i]);
    }
}

void
input_count_refused(struct api *api, const struct http_request *request, enum input_name input,
                    const struct input_outcome *o)
{
    static struct log_gate gates[INPUT_COUNT];
    uint64_t held_back;
    metric_add(&input_refused[input], o->refused);
    if (o->refused == 0) return;
    if (!log_often(&gates[input], env_monotonic_ns(api->options.env), 60 * NS_PER_S, &held_back))
        return;
    log_warn("points refused", KV("input", input_refused[input].labels[0].value),
             KV("count", o->refused), KV("of", o->points), KV("first", o->first.text),
             KV("peer", http_peer(request)), KV("requests_before", held_back));
}

/* --- the body --------------------------------------------------------------------------------- */

static enum err
unpack_all(struct archive_unpacker *unpacker, struct bytes body, struct buf *to, struct why *why)
{
    struct bytes text;
    archive_unpacker_begin(unpacker);
    archive_unpacker_give(unpacker, body);
    enum err e = archive_unpacker_take(unpacker, &text, why);
    for (; e == OK && text.size > 0; e = archive_unpacker_take(unpacker, &text, why)) {
        buf_put_bytes(to, text);
        if (buf_error(to)) return buf_error(to);
    }
    return e ? e : archive_unpacker_end(unpacker, why);
}

enum err
unpack_body(struct api *api, struct http_request *request, struct buf *to, struct bytes *ret,
            struct why *why)
{
    const char *encoding = http_header(request, "Content-Encoding");
    struct archive_unpacker *unpacker;
    *ret = http_body(request);
    if (encoding == NULL || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0) return OK;
    buf_clear(to);
    enum err e = archive_unpacker_new(api->options.memory, &unpacker);
    if (e == OK) {
        e = unpack_all(unpacker, *ret, to, why);
        if (e == OK && archive_unpacker_is_plain(unpacker) && ret->size > 0) e = ERR_CORRUPT;
        archive_unpacker_free(unpacker);
    }
    *ret = buf_bytes(to);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the request");
    if (e == OK && to->size > api->options.decoded_bytes_max) e = ERR_LIMIT;
    if (e == ERR_LIMIT)
        return why_set(why, e, "the message is larger than %" PRIu64 " bytes uncompressed",
                       api->options.decoded_bytes_max);
    return e ? why_set(why, ERR_INPUT, "the body is not compressed with %s", encoding) : OK;
}

/* --- OTLP ------------------------------------------------------------------------------------- */

static enum err
decode_otlp(struct api *api, struct http_request *request, const struct write_form *form,
            struct buf *unpacked, struct rw_request *to, struct input_outcome *ret, struct why *why)
{
    struct bytes body;
    struct buf text; /* JSON, unpacked */
    buf_init(&text, api->options.memory, api->options.decoded_bytes_max);
    enum err e = unpack_body(api, request, form->is_json ? &text : unpacked, &body, why);
    if (e == OK && form->is_json) {
        e = otlp_from_json(body, unpacked, api->options.memory, why);
        body = buf_bytes(unpacked);
    }
    buf_fini(&text);
    if (e == OK)
        e = otlp_decode(api->options.otlp, body, tsdb_hash_seed(api->options.tsdb), to, ret, why);
    if (e == OK && ret->deltas > 0 && !atomic_exchange(&api->took_deltas, true))
        log_warn("otlp: deltas are stored; remote read, and destinations without start times, pass "
                 "them on as samples of which rate() makes nothing",
                 KV("peer", http_peer(request)));
    return e;
}

void
put_reasons(const struct write_end *end, char *to, size_t bytes)
{
    const struct input_outcome *o = end->outcome;
    int n = 0;
    to[0] = '\0';
    if (o->refused > 0)
        n = snprintf(to, bytes, "%" PRIu64 " of %" PRIu64 " points refused: %s%s", o->refused,
                     o->points, o->first.text, end->result->text[0] == '\0' ? "" : "; ");
    if (n >= 0 && (size_t)n < bytes) snprintf(to + n, bytes - (size_t)n, "%s", end->result->text);
}

static void
reply_otlp(struct api *api, struct http_request *request, const struct write_form *form,
           const struct write_end *end)
{
    char text[sizeof end->result->text + sizeof end->why->text + 64];
    struct http_answer answer = {.status = end->status};
    struct buf body;
    const struct input_outcome *o = end->outcome;
    uint64_t samples = end->result->rejected_total - end->result->rejected[LEDGER_EXEMPLAR];
    uint64_t left = o->points - o->refused;
    uint64_t refused = o->refused + (samples < left ? samples : left);
    uint64_t written = end->result->written[LEDGER_FLOAT] + end->result->written[LEDGER_HISTOGRAM];
    (void)api;
    buf_init(&body, NULL, sizeof text * 8);
    put_reasons(end, text, sizeof text);
    if (end->status == 204) answer.status = refused > 0 && written == 0 ? 400 : 200;
    if (answer.status == 200)
        otlp_response_put(&body, form->is_json, refused, text);
    else
        otlp_status_put(&body, form->is_json, answer.status,
                        end->status == 204 ? text : end->why->text);
    if (answer.status == 503)
        answer.headers[0] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    answer.content_type = form->is_json ? "application/json" : "application/x-protobuf";
    answer.body = buf_bytes(&body);
    http_reply(request, &answer);
    buf_fini(&body);
}

const struct write_form *
otlp_form(const struct http_request *request)
{
    static const struct write_form protobuf = {.encodings = "gzip, zstd, identity",
                                               .input = INPUT_OTLP,
                                               .decode = decode_otlp,
                                               .reply = reply_otlp};
    static const struct write_form json = {.is_json = true,
                                           .encodings = "gzip, zstd, identity",
                                           .input = INPUT_OTLP,
                                           .decode = decode_otlp,
                                           .reply = reply_otlp};
    const char *type = http_header(request, "Content-Type");
    size_t size = type == NULL ? 0 : strcspn(type, "; \t");
    if (size == 22 && strncasecmp(type, "application/x-protobuf", size) == 0) return &protobuf;
    if (size == 16 && strncasecmp(type, "application/json", size) == 0) return &json;
    return NULL;
}
