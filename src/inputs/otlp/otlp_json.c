/*
 * otlp_json.c - see otlp.h. JSON is written as protobuf by a table of the messages' fields, so that
 * one decoder reads both. The length of a message is written after it, into the five bytes that a
 * length may have.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/text/base64.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "inputs/otlp/otlp.h"
#include "wire/json/json_scan.h"
#include "wire/proto.h"

enum json_kind {
    JSON_TEXT,
    JSON_BASE64,
    JSON_HEX,
    JSON_DOUBLE,
    JSON_FIXED64, /* and sfixed64 */
    JSON_VARINT,  /* int64, uint64, uint32, enums */
    JSON_SINT32,
    JSON_BOOL,
    JSON_MESSAGE,
};

enum { LENGTH_BYTES = 5, ARENA_BYTES = 64 << 20 };

struct json_message;
struct json_field {
    const char *key; /* NULL after the last */
    uint32_t number;
    enum json_kind kind;
    const struct json_message *message;
    bool is_repeated;
};
struct json_message {
    const struct json_field *fields;
};

static const struct json_message any_value, key_value;

static const struct json_field array_fields[] = {{"values", 1, JSON_MESSAGE, &any_value, true},
                                                 {NULL}};
static const struct json_message array = {array_fields};
static const struct json_field map_fields[] = {{"values", 1, JSON_MESSAGE, &key_value, true},
                                               {NULL}};
static const struct json_message map = {map_fields};
static const struct json_field any_fields[] = {
    {"stringValue", 1, JSON_TEXT},
    {"boolValue", 2, JSON_BOOL},
    {"intValue", 3, JSON_VARINT},
    {"doubleValue", 4, JSON_DOUBLE},
    {"arrayValue", 5, JSON_MESSAGE, &array},
    {"kvlistValue", 6, JSON_MESSAGE, &map},
    {"bytesValue", 7, JSON_BASE64},
    {NULL},
};
static const struct json_message any_value = {any_fields};
static const struct json_field key_value_fields[] = {
    {"key", 1, JSON_TEXT}, {"value", 2, JSON_MESSAGE, &any_value}, {NULL}};
static const struct json_message key_value = {key_value_fields};

static const struct json_field exemplar_fields[] = {
    {"filteredAttributes", 7, JSON_MESSAGE, &key_value, true},
    {"timeUnixNano", 2, JSON_FIXED64},
    {"asDouble", 3, JSON_DOUBLE},
    {"asInt", 6, JSON_FIXED64},
    {"spanId", 4, JSON_HEX},
    {"traceId", 5, JSON_HEX},
    {NULL},
};
static const struct json_message exemplar = {exemplar_fields};

static const struct json_field number_point_fields[] = {
    {"attributes", 7, JSON_MESSAGE, &key_value, true},
    {"startTimeUnixNano", 2, JSON_FIXED64},
    {"timeUnixNano", 3, JSON_FIXED64},
    {"asDouble", 4, JSON_DOUBLE},
    {"asInt", 6, JSON_FIXED64},
    {"exemplars", 5, JSON_MESSAGE, &exemplar, true},
    {"flags", 8, JSON_VARINT},
    {NULL},
};
static const struct json_message number_point_form = {number_point_fields};
static const struct json_field histogram_point_fields[] = {
    {"attributes", 9, JSON_MESSAGE, &key_value, true},
    {"startTimeUnixNano", 2, JSON_FIXED64},
    {"timeUnixNano", 3, JSON_FIXED64},
    {"count", 4, JSON_FIXED64},
    {"sum", 5, JSON_DOUBLE},
    {"bucketCounts", 6, JSON_FIXED64, NULL, true},
    {"explicitBounds", 7, JSON_DOUBLE, NULL, true},
    {"exemplars", 8, JSON_MESSAGE, &exemplar, true},
    {"flags", 10, JSON_VARINT},
    {NULL},
};
static const struct json_message histogram_point_form = {histogram_point_fields};
static const struct json_field buckets_fields[] = {
    {"offset", 1, JSON_SINT32}, {"bucketCounts", 2, JSON_VARINT, NULL, true}, {NULL}};
static const struct json_message buckets = {buckets_fields};
static const struct json_field exponential_point_fields[] = {
    {"attributes", 1, JSON_MESSAGE, &key_value, true},
    {"startTimeUnixNano", 2, JSON_FIXED64},
    {"timeUnixNano", 3, JSON_FIXED64},
    {"count", 4, JSON_FIXED64},
    {"sum", 5, JSON_DOUBLE},
    {"scale", 6, JSON_SINT32},
    {"zeroCount", 7, JSON_FIXED64},
    {"positive", 8, JSON_MESSAGE, &buckets},
    {"negative", 9, JSON_MESSAGE, &buckets},
    {"flags", 10, JSON_VARINT},
    {"exemplars", 11, JSON_MESSAGE, &exemplar, true},
    {"zeroThreshold", 14, JSON_DOUBLE},
    {NULL},
};
static const struct json_message exponential_point_form = {exponential_point_fields};
static const struct json_field quantile_fields[] = {
    {"quantile", 1, JSON_DOUBLE}, {"value", 2, JSON_DOUBLE}, {NULL}};
static const struct json_message quantile = {quantile_fields};
static const struct json_field summary_point_fields[] = {
    {"attributes", 7, JSON_MESSAGE, &key_value, true},
    {"startTimeUnixNano", 2, JSON_FIXED64},
    {"timeUnixNano", 3, JSON_FIXED64},
    {"count", 4, JSON_FIXED64},
    {"sum", 5, JSON_DOUBLE},
    {"quantileValues", 6, JSON_MESSAGE, &quantile, true},
    {"flags", 8, JSON_VARINT},
    {NULL},
};
static const struct json_message summary_point_form = {summary_point_fields};

#define DATA(name, point)                              \
    static const struct json_field name##_fields[] = { \
        {"dataPoints", 1, JSON_MESSAGE, &point, true}, \
        {"aggregationTemporality", 2, JSON_VARINT},    \
        {"isMonotonic", 3, JSON_BOOL},                 \
        {NULL},                                        \
    };                                                 \
    static const struct json_message name = {name##_fields}
DATA(number_data, number_point_form);
DATA(histogram_data, histogram_point_form);
DATA(exponential_data, exponential_point_form);
DATA(summary_data, summary_point_form);
#undef DATA

static const struct json_field metric_fields[] = {
    {"name", 1, JSON_TEXT},
    {"description", 2, JSON_TEXT},
    {"unit", 3, JSON_TEXT},
    {"gauge", 5, JSON_MESSAGE, &number_data},
    {"sum", 7, JSON_MESSAGE, &number_data},
    {"histogram", 9, JSON_MESSAGE, &histogram_data},
    {"exponentialHistogram", 10, JSON_MESSAGE, &exponential_data},
    {"summary", 11, JSON_MESSAGE, &summary_data},
    {NULL},
};
static const struct json_message metric = {metric_fields};
static const struct json_field scope_fields[] = {
    {"name", 1, JSON_TEXT},
    {"version", 2, JSON_TEXT},
    {"attributes", 3, JSON_MESSAGE, &key_value, true},
    {NULL},
};
static const struct json_message scope = {scope_fields};
static const struct json_field scope_metrics_fields[] = {
    {"scope", 1, JSON_MESSAGE, &scope},
    {"metrics", 2, JSON_MESSAGE, &metric, true},
    {"schemaUrl", 3, JSON_TEXT},
    {NULL},
};
static const struct json_message scope_metrics = {scope_metrics_fields};
static const struct json_field resource_fields[] = {
    {"attributes", 1, JSON_MESSAGE, &key_value, true}, {NULL}};
static const struct json_message resource = {resource_fields};
static const struct json_field resource_metrics_fields[] = {
    {"resource", 1, JSON_MESSAGE, &resource},
    {"scopeMetrics", 2, JSON_MESSAGE, &scope_metrics, true},
    {NULL},
};
static const struct json_message resource_metrics = {resource_metrics_fields};
static const struct json_field request_fields[] = {
    {"resourceMetrics", 1, JSON_MESSAGE, &resource_metrics, true}, {NULL}};
static const struct json_message request = {request_fields};

/* --- values ----------------------------------------------------------------------------------- */

/* Returns the digits of an integer, which may be in a text. */
static struct bytes
integer_text(struct scan *s)
{
    return scan_peek(s) == '"' ? scan_text(s) : scan_number(s);
}

static uint64_t
integer(struct scan *s)
{
    struct bytes digits = integer_text(s);
    uint64_t v = 0;
    bool is_negative = digits.size > 0 && digits.at[0] == '-', fits = digits.size > is_negative;
    for (size_t i = is_negative; i < digits.size && fits; i++) {
        uint8_t c = digits.at[i];
        fits = c >= '0' && c <= '9' && !__builtin_mul_overflow(v, (uint64_t)10, &v) &&
               !__builtin_add_overflow(v, (uint64_t)(c - '0'), &v);
    }
    if (!fits || (is_negative && v > (uint64_t)1 << 63)) scan_fail(s, "expected a 64-bit integer");
    return is_negative ? 0 - v : v;
}

static uint64_t
number(struct scan *s)
{
    uint64_t bits = 0;
    if (scan_peek(s) != '"') return scan_double(s);
    struct bytes text = scan_text(s);
    if (s->bad == NULL && !number_parse((const char *)text.at, text.size, &bits))
        scan_fail(s, "expected a number");
    return bits;
}

static bool
boolean(struct scan *s)
{
    if (scan_takes(s, bytes_of_text("true"))) return true;
    if (!scan_takes(s, bytes_of_text("false"))) scan_fail(s, "expected true or false");
    return false;
}

static void put_message(struct scan *s, const struct json_message *message, struct buf *to);

static void
put_sized(struct buf *to, uint32_t number_of_field, struct bytes content)
{
    buf_put_varint(to, PROTO_TAG(number_of_field, PROTO_BYTES));
    buf_put_counted(to, content);
}

static void
put_decoded(struct scan *s, const struct json_field *f, struct buf *to)
{
    struct bytes text = scan_text(s);
    if (s->bad != NULL) return;
    if (f->kind == JSON_TEXT) {
        put_sized(to, f->number, text);
        return;
    }
    uint8_t id[64];
    struct buf bytes;
    buf_init(&bytes, NULL, text.size + 8);
    bool fits = f->kind == JSON_BASE64 ? base64_get(text, &bytes) == OK
                                       : text.size / 2 <= sizeof id && hex_parse(text, id);
    if (fits)
        put_sized(to, f->number,
                  f->kind == JSON_BASE64 ? buf_bytes(&bytes) : bytes_of(id, text.size / 2));
    else
        scan_fail(s, f->kind == JSON_BASE64 ? "expected base64" : "expected hexadecimal digits");
    buf_fini(&bytes);
}

static void
put_field(struct scan *s, const struct json_field *f, struct buf *to)
{
    uint64_t v;
    switch (f->kind) {
    case JSON_TEXT:
    case JSON_BASE64:
    case JSON_HEX:
        put_decoded(s, f, to);
        break;
    case JSON_DOUBLE:
    case JSON_FIXED64:
        v = f->kind == JSON_DOUBLE ? number(s) : integer(s);
        buf_put_varint(to, PROTO_TAG(f->number, PROTO_FIXED64));
        buf_put_le64(to, v);
        break;
    case JSON_VARINT:
    case JSON_SINT32:
    case JSON_BOOL:
        v = f->kind == JSON_BOOL ? (uint64_t)boolean(s) : integer(s);
        if (f->kind == JSON_SINT32) v = (uint32_t)v << 1 ^ (uint32_t)((int32_t)v >> 31);
        buf_put_varint(to, PROTO_TAG(f->number, PROTO_VARINT));
        buf_put_varint(to, v);
        break;
    case JSON_MESSAGE: {
        static const uint8_t room[LENGTH_BYTES] = {0};
        buf_put_varint(to, PROTO_TAG(f->number, PROTO_BYTES));
        size_t begin = to->size;
        buf_put(to, room, sizeof room);
        put_message(s, f->message, to);
        if (buf_error(to)) break;
        size_t size = to->size - begin - LENGTH_BYTES;
        for (unsigned i = 0; i < LENGTH_BYTES; i++)
            to->at[begin + i] = (uint8_t)(size >> 7 * i & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0);
        break;
    }
    }
}

static const struct json_field *
find_field(const struct json_message *message, struct bytes key)
{
    for (const struct json_field *f = message->fields; f->key != NULL; f++)
        if (bytes_equal_text(key, f->key)) return f;
    return NULL;
}

static void
put_message(struct scan *s, const struct json_message *message, struct buf *to)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        const struct json_field *f = find_field(message, key);
        if (f == NULL) {
            scan_skip(s);
        } else if (scan_peek(s) == 'n') {
            scan_null(s);
        } else if (f->is_repeated) {
            scan_expect(s, '[');
            while (scan_item(s))
                put_field(s, f, to);
        } else {
            put_field(s, f, to);
        }
    }
}

enum err
otlp_from_json(struct bytes text, struct buf *to, struct budget *memory, struct why *why)
{
    struct arena arena;
    arena_init(&arena, memory, ARENA_BYTES, 0);
    struct scan s = scan_of(text, &arena);
    buf_clear(to);
    put_message(&s, &request, to);
    scan_end(&s);
    size_t at = (size_t)(s.at - s.start);
    arena_fini(&arena);
    if (s.bad != NULL && s.error != ERR_NOMEM)
        return why_set(why, ERR_INPUT, "JSON, byte %zu: %s", at, s.bad);
    enum err e = s.bad != NULL ? ERR_NOMEM : buf_error(to);
    if (e == ERR_LIMIT) return why_set(why, e, "the message is too large");
    return e ? why_set(why, e, "not enough memory for the request") : OK;
}

/* --- responses -------------------------------------------------------------------------------- */

void
otlp_response_put(struct buf *to, bool is_json, uint64_t refused, const char *reason)
{
    if (is_json) {
        struct json json;
        char digits[24];
        json_init(&json, to);
        json_object_open(&json);
        if (refused > 0) {
            snprintf(digits, sizeof digits, "%" PRIu64, refused);
            json_key(&json, "partialSuccess");
            json_object_open(&json);
            json_key(&json, "rejectedDataPoints");
            json_put_text(&json, digits);
            json_key(&json, "errorMessage");
            json_put_text(&json, reason);
            json_object_close(&json);
        }
        json_object_close(&json);
        return;
    }
    if (refused == 0) return;
    struct buf partial;
    buf_init(&partial, NULL, 4096);
    buf_put_varint(&partial, PROTO_TAG(1, PROTO_VARINT));
    buf_put_varint(&partial, refused);
    put_sized(&partial, 2, bytes_of_text(reason));
    if (buf_error(&partial) == OK) put_sized(to, 1, buf_bytes(&partial));
    buf_fini(&partial);
}

/* The codes of gRPC. */
static unsigned
code_of(unsigned http_status)
{
    switch (http_status) {
    case 401:
        return 16;
    case 403:
        return 7;
    case 413:
        return 8;
    case 501:
        return 12;
    case 503:
        return 14;
    default:
        return http_status < 500 ? 3 : 13;
    }
}

void
otlp_status_put(struct buf *to, bool is_json, unsigned http_status, const char *sentence)
{
    if (!is_json) {
        buf_put_varint(to, PROTO_TAG(1, PROTO_VARINT));
        buf_put_varint(to, code_of(http_status));
        put_sized(to, 2, bytes_of_text(sentence));
        return;
    }
    struct json json;
    json_init(&json, to);
    json_object_open(&json);
    json_key(&json, "code");
    json_put_uint(&json, code_of(http_status));
    json_key(&json, "message");
    json_put_text(&json, sentence);
    json_object_close(&json);
}
