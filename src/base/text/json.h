/*
 * json.h - writes JSON into a buffer, piece by piece. Commas and colons are put by the writer; the
 * caller opens, closes and names things, and a wrong order (a value without a key in an object, a
 * close that does not fit, a second document) is a bug that an assertion stops.
 *
 *     struct json json;
 *     json_init(&json, &buf);
 *     json_object_open(&json);
 *     json_key(&json, "status");
 *     json_put_text(&json, "success");
 *     json_object_close(&json);
 *
 * Out of memory shows in buf_error(); the writer goes on counting its braces meanwhile. The buffer
 * may be sent and cleared at any point between two calls: the writer looks only forward.
 *
 * The names keep clear of those of the jansson library, which reads JSON for us.
 */
#ifndef BASE_TEXT_JSON_H
#define BASE_TEXT_JSON_H

#include "base/buf.h"
#include "base/log.h"

enum { JSON_DEPTH_MAX = 64 };

struct json {
    struct buf *to;
    uint32_t depth;
    bool key_given;   /* in an object: the next thing is its value */
    bool done;        /* the document's one value is complete */
    uint64_t objects; /* a bit for each level: an object (1) or an array (0) */
    uint64_t begun;   /* a bit for each level: it has an item already */
};

/* `to` is borrowed until the document is complete. */
static inline void
json_init(struct json *json, struct buf *to)
{
    *json = (struct json){.to = to};
}

/* Levels nest up to JSON_DEPTH_MAX; the last level opened is the first one closed. */
void json_level_open(struct json *json, bool object);
void json_level_close(struct json *json, bool object);
static inline void
json_object_open(struct json *json)
{
    json_level_open(json, true);
}
static inline void
json_object_close(struct json *json)
{
    json_level_close(json, true);
}
static inline void
json_array_open(struct json *json)
{
    json_level_open(json, false);
}
static inline void
json_array_close(struct json *json)
{
    json_level_close(json, false);
}

/* The name of the next value in an object. */
void json_key_bytes(struct json *json, struct bytes key);
static inline void
json_key(struct json *json, const char *key)
{
    json_key_bytes(json, bytes_of_text(key));
}

/* Writes strings, escaped; each byte that is not part of valid UTF-8 becomes U+FFFD. */
void json_put_bytes(struct json *json, struct bytes text);
static inline void
json_put_text(struct json *json, const char *text)
{
    json_put_bytes(json, bytes_of_text(text));
}

void json_put_int(struct json *json, int64_t value);
void json_put_uint(struct json *json, uint64_t value);
/* Writes a JSON value that the caller has as text, such as a number. It is not checked. */
void json_put_raw(struct json *json, struct bytes value);
static inline void
json_put_bool(struct json *json, bool value)
{
    json_put_raw(json, bytes_of_text(value ? "true" : "false"));
}
static inline void
json_put_null(struct json *json)
{
    json_put_raw(json, bytes_of_text("null"));
}

/* Writes a key with its value. */
static inline void
json_member_text(struct json *json, const char *key, const char *value)
{
    json_key(json, key);
    json_put_text(json, value);
}
static inline void
json_member_bytes(struct json *json, const char *key, struct bytes value)
{
    json_key(json, key);
    json_put_bytes(json, value);
}
static inline void
json_member_int(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_put_int(json, value);
}
static inline void
json_member_uint(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_put_uint(json, value);
}
static inline void
json_member_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_put_bool(json, value);
}
/* Writes a key and opens its object or array. */
static inline void
json_member_object(struct json *json, const char *key)
{
    json_key(json, key);
    json_object_open(json);
}
static inline void
json_member_array(struct json *json, const char *key)
{
    json_key(json, key);
    json_array_open(json);
}

/* Writes members: json_members(&json, JSON("parts", count), JSON("name", text)). A comparison is an
 * int, which JSON() does not take, for it would be a number: json_member_bool(). */
void json_put_members(struct json *json, const struct log_kv *members);
#define json_members(json, ...) json_put_members(json, LOG_FIELDS(__VA_ARGS__))
/* Writes a whole object. */
#define json_put_object(json, ...)       \
    do {                                 \
        json_object_open(json);          \
        json_members(json, __VA_ARGS__); \
        json_object_close(json);         \
    } while (0)
/* clang-format off */
#define JSON(key, v) _Generic((v), bool: kv_bool, char *: kv_text, const char *: kv_text, \
    struct bytes: kv_bytes, long: kv_signed, long long: kv_signed, unsigned char: kv_unsigned, \
    unsigned short: kv_unsigned, unsigned: kv_unsigned, unsigned long: kv_unsigned)((key), (v))
/* clang-format on */

/* Appends a string with its quotes, for callers without a struct json. False if bytes that are not
 * UTF-8 became U+FFFD, so that it does not read back the same. */
bool json_print_string(struct buf *to, struct bytes text);
/* Does the same, but bytes that are not UTF-8 stay as they are: two different texts give different
 * strings. */
void json_print_bytes(struct buf *to, struct bytes text);

#endif
