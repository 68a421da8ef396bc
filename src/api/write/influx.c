/* influx.c - see forms.h: lines of InfluxDB, on the paths of its three versions. */
#include "api/write/forms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text/json.h"
#include "base/text/quote.h"
#include "inputs/influx/influx.h"

/* --- parameters ------------------------------------------------------------------------------- */

enum { V1 = 1, V2, V3 };

/* Reads the unit of the times, by the names of all versions. `ret_ns` is 0 if each time says it by
 * its size. */
static bool
read_unit(const char *word, int64_t *ret_ns)
{
    static const struct {
        const char *words[3];
        int64_t ns;
    } units[] = {{{"ns", "n", "nanosecond"}, 1},
                 {{"us", "u", "microsecond"}, 1000},
                 {{"ms", "ms", "millisecond"}, NS_PER_MS},
                 {{"s", "s", "second"}, NS_PER_S},
                 {{"m", "m", "m"}, 60 * NS_PER_S},
                 {{"h", "h", "h"}, 3600 * NS_PER_S},
                 {{"auto", "auto", "auto"}, 0}};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        for (unsigned k = 0; k < 3; k++) {
            if (strcmp(units[i].words[k], word) != 0) continue;
            *ret_ns = units[i].ns;
            return true;
        }
    return false;
}

struct help_finder {
    struct tsdb *tsdb;
    struct bytes tenant;
};

static enum err
find_help(void *context, struct bytes metric, struct buf *to)
{
    const struct help_finder *f = context;
    return tsdb_help(f->tsdb, f->tenant, metric, to);
}

static enum err
decode_influx(struct api *api, struct http_request *request, const struct write_form *form,
              struct buf *unpacked, struct rw_request *to, struct input_outcome *ret,
              struct why *why)
{
    const char *name = form->dialect == V2 ? "bucket" : "db";
    const char *database = http_argument(request, name);
    const char *precision = http_argument(request, "precision");
    const char *partial = http_argument(request, "accept_partial");
    struct help_finder finding = {.tsdb = api->options.tsdb};
    struct influx_lines lines = {
        .now_ms = env_realtime_ms(api->options.env), .find_help = find_help, .context = &finding};
    struct bytes text;
    if (database == NULL || database[0] == '\0')
        return why_set(why, ERR_INPUT, "%s is required", form->dialect == V2 ? name : "database");
    if (precision == NULL || precision[0] == '\0') precision = form->dialect == V3 ? "auto" : "ns";
    if (!read_unit(precision, &lines.unit_ns))
        return why_set(why, ERR_INPUT, "invalid precision \"%.20s\"", precision);
    if (one_tenant_named(api, request, &finding.tenant, why) != 0) return ERR_INPUT;
    /* A bucket of a 1.x database is DATABASE/RETENTION-POLICY; policies are not kept apart. */
    lines.database =
        bytes_of(database, form->dialect == V2 ? strcspn(database, "/") : strlen(database));
    enum err e = unpack_body(api, request, unpacked, &text, why);
    if (e == OK) e = influx_decode(&lines, text, tsdb_hash_seed(api->options.tsdb), to, ret, why);
    if (e == OK && ret->refused > 0 && partial != NULL && strcmp(partial, "false") == 0) {
        rw_request_clear(to);
        e = why_set(why, ERR_INPUT, "%s", ret->first.text);
    }
    return e;
}

/* --- responses -------------------------------------------------------------------------------- */

static const char *
code_of(unsigned status)
{
    return status == 413   ? "request too large"
           : status == 503 ? "unavailable"
           : status == 403 ? "forbidden"
           : status < 500  ? "invalid"
                           : "internal error";
}

static void
put_error(struct buf *body, unsigned dialect, unsigned status, const char *sentence,
          const struct input_outcome *o)
{
    struct json j;
    json_init(&j, body);
    json_object_open(&j);
    if (dialect == V2) {
        json_member_text(&j, "code", code_of(status));
        json_member_text(&j, "message", sentence);
    } else if (dialect == V3 && o->refused > 0) {
        json_member_text(&j, "error", "partial write of line protocol occurred");
        json_member_array(&j, "data");
        json_object_open(&j);
        json_member_text(&j, "original_line", o->line_text);
        json_member_uint(&j, "line_number", o->line);
        json_member_text(&j, "error_message", sentence);
        json_object_close(&j);
        json_array_close(&j);
    } else {
        json_member_text(&j, "error", sentence);
    }
    json_object_close(&j);
}

static void
reply_influx(struct api *api, struct http_request *request, const struct write_form *form,
             const struct write_end *end)
{
    char reasons[sizeof end->result->text + sizeof end->why->text + 64];
    char text[sizeof reasons + 64];
    const struct input_outcome *o = end->outcome;
    struct http_answer answer = {.status = end->status,
                                 .headers = {{"X-Influxdb-Version", INFLUX_VERSION}}};
    struct buf body;
    (void)api;
    buf_init(&body, NULL, sizeof text * 8);
    uint64_t dropped = o->refused + end->result->rejected_total;
    if (end->status != 204) {
        snprintf(text, sizeof text, "%s", end->why->text);
    } else if (dropped > 0) {
        answer.status = 400;
        put_reasons(end, reasons, sizeof reasons);
        bool is_partial = end->result->written[LEDGER_FLOAT] > 0;
        snprintf(text, sizeof text, "%s%s dropped=%" PRIu64, is_partial ? "partial write: " : "",
                 reasons, dropped);
    }
    if (answer.status != 204) {
        put_error(&body, form->dialect, answer.status, text, o);
        answer.content_type = "application/json";
        answer.body = buf_bytes(&body);
    }
    if (answer.status == 503)
        answer.headers[1] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    http_reply(request, &answer);
    buf_fini(&body);
}

const struct write_form *
influx_form(const char *path)
{
#define FORM(VERSION)                                                                     \
    {                                                                                     \
        .dialect = (VERSION), .encodings = "gzip, zstd, identity", .input = INPUT_INFLUX, \
        .decode = decode_influx, .reply = reply_influx                                    \
    }
    static const struct write_form forms[] = {[V1] = FORM(V1), [V2] = FORM(V2), [V3] = FORM(V3)};
#undef FORM
    static const char other[] = "/influx";
    if (strncmp(path, other, sizeof other - 1) == 0) path += sizeof other - 1;
    if (strcmp(path, "/write") == 0) return &forms[V1];
    if (strcmp(path, "/api/v2/write") == 0) return &forms[V2];
    return strcmp(path, "/api/v3/write_lp") == 0 ? &forms[V3] : NULL;
}
