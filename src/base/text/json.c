/*
 * json.c - the writer remembers two bits for each open level (object or array; empty or not), so it
 * allocates nothing and a document may be sent in pieces.
 *
 * Nearly all texts need no escapes: a text is copied eight bytes at a time while they are looked
 * at, and only one that turns out to need escapes is written again, run by run.
 */
#include "base/text/json.h"

#include <assert.h>

#include "base/buf.h"
#include "base/text/utf8.h"

static uint64_t
level_bit(const struct json *json)
{
    assert(json->depth > 0);
    return (uint64_t)1 << (json->depth - 1);
}

/* The comma between neighbours on one level. */
static void
separate(struct json *json)
{
    uint64_t bit = level_bit(json);
    if (json->begun & bit) buf_put_u8(json->to, ',');
    json->begun |= bit;
}

/* Before every value: it must be allowed here. */
static void
value_begin(struct json *json)
{
    if (json->depth == 0) {
        assert(!json->done);
    } else if (json->objects & level_bit(json)) {
        assert(json->key_given);
        json->key_given = false;
    } else {
        separate(json);
    }
}

/* After every value: at the top it was the only one. */
static void
value_end(struct json *json)
{
    if (json->depth == 0) json->done = true;
}

void
json_level_open(struct json *json, bool object)
{
    value_begin(json);
    assert(json->depth < JSON_DEPTH_MAX);
    json->depth++;
    uint64_t bit = level_bit(json);
    json->begun &= ~bit;
    json->objects = object ? json->objects | bit : json->objects & ~bit;
    buf_put_u8(json->to, object ? '{' : '[');
}

void
json_level_close(struct json *json, bool object)
{
    bool is_object = (json->objects & level_bit(json)) != 0;
    assert(is_object == object);
    assert(!json->key_given);
    json->depth--;
    buf_put_u8(json->to, object ? '}' : ']');
    value_end(json);
}

/* True if no byte of eight needs an escape in a string. */
static inline bool
is_plain(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    /* The high bit of a byte is set if it is below 0x20, zero after the xor, or not ASCII. A borrow
     * may set the bit of one byte too many, but only after a byte that is not plain. */
    uint64_t special = (w - ones * 0x20) | (quote - ones) | (slash - ones) | w;
    return (special & highs) == 0;
}

/* Returns how many of the first bytes need no escape in a string. */
static size_t
plain_run(const uint8_t *at, size_t size)
{
    size_t n = 0;
    while (n + 8 <= size && is_plain(load_le64(at + n)))
        n += 8;
    while (n < size && at[n] >= 0x20 && at[n] < 0x80 && at[n] != '"' && at[n] != '\\')
        n++;
    return n;
}

/* Copies a text of plain bytes. False, after some of it, if there are others. The last step, of
 * eight or four bytes, copies some bytes a second time. */
static bool
copy_plain(uint8_t *to, const uint8_t *at, size_t size)
{
    if (size >= 8) {
        for (size_t n = 0;; n = n + 16 <= size ? n + 8 : size - 8) {
            uint64_t w = load_le64(at + n);
            if (!is_plain(w)) return false;
            store_le64(to + n, w);
            if (n + 8 == size) return true;
        }
    }
    if (size >= 4) {
        uint32_t begin = load_le32(at), end = load_le32(at + size - 4);
        store_le32(to, begin);
        store_le32(to + size - 4, end);
        return is_plain((uint64_t)end << 32 | begin);
    }
    uint64_t w = 0x2020202020202020u;
    for (size_t i = 0; i < size; i++) {
        w = w << 8 | at[i];
        to[i] = at[i];
    }
    return is_plain(w);
}

static void
put_escape(struct buf *to, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    char short_form = 0;
    switch (byte) {
    case '"':
    case '\\':
        short_form = (char)byte;
        break;
    case '\n':
        short_form = 'n';
        break;
    case '\r':
        short_form = 'r';
        break;
    case '\t':
        short_form = 't';
        break;
    default:
        break;
    }
    if (short_form != 0) {
        char two[2] = {'\\', short_form};
        buf_put(to, two, sizeof two);
        return;
    }
    char six[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    buf_put(to, six, sizeof six);
}

enum no_utf8 { NO_UTF8_REPLACED, NO_UTF8_KEPT };

/* Writes the string after its opening quote. False if some bytes are not UTF-8. */
static bool
put_string_rest(struct buf *to, struct bytes text, enum no_utf8 no_utf8)
{
    bool exact = true;
    size_t at = 0;
    while (at < text.size) {
        size_t plain = plain_run(text.at + at, text.size - at);
        buf_put(to, text.at + at, plain);
        at += plain;
        if (at == text.size) break;
        if (text.at[at] < 0x80) {
            put_escape(to, text.at[at]);
            at++;
            continue;
        }
        size_t step = utf8_step(text.at + at, text.size - at);
        if (step == 0) {
            if (no_utf8 == NO_UTF8_KEPT)
                buf_put_u8(to, text.at[at]);
            else
                buf_put_text(to, UTF8_REPLACEMENT);
            exact = false;
            at++;
        } else {
            buf_put(to, text.at + at, step);
            at += step;
        }
    }
    buf_put_u8(to, '"');
    return exact;
}

static bool
print_string(struct buf *to, struct bytes text, enum no_utf8 no_utf8)
{
    if (!buf_reserve(to, text.size + 2)) return true;
    to->at[to->size++] = '"';
    if (!copy_plain(to->at + to->size, text.at, text.size))
        return put_string_rest(to, text, no_utf8);
    to->size += text.size;
    to->at[to->size++] = '"';
    return true;
}

bool
json_print_string(struct buf *to, struct bytes text)
{
    return print_string(to, text, NO_UTF8_REPLACED);
}

void
json_print_bytes(struct buf *to, struct bytes text)
{
    print_string(to, text, NO_UTF8_KEPT);
}

void
json_key_bytes(struct json *json, struct bytes key)
{
    assert(json->objects & level_bit(json));
    assert(!json->key_given);
    separate(json);
    json_print_string(json->to, key);
    buf_put_u8(json->to, ':');
    json->key_given = true;
}

void
json_put_bytes(struct json *json, struct bytes text)
{
    value_begin(json);
    json_print_string(json->to, text);
    value_end(json);
}

void
json_put_raw(struct json *json, struct bytes value)
{
    assert(value.size > 0);
    value_begin(json);
    buf_put_bytes(json->to, value);
    value_end(json);
}

void
json_put_int(struct json *json, int64_t value)
{
    char text[DECIMAL_BYTES];
    json_put_raw(json, bytes_of(text, decimal_print_int(value, text)));
}

void
json_put_uint(struct json *json, uint64_t value)
{
    char text[DECIMAL_BYTES];
    json_put_raw(json, bytes_of(text, decimal_print_uint(value, text)));
}

void
json_put_members(struct json *json, const struct log_kv *members)
{
    for (const struct log_kv *m = members; m->kind != KV_END; m++) {
        json_key(json, m->key);
        if (m->kind == KV_TEXT)
            json_put_text(json, m->value.text);
        else if (m->kind == KV_BYTES)
            json_put_bytes(json, m->value.bytes);
        else if (m->kind == KV_BOOL)
            json_put_bool(json, m->value.u != 0);
        else if (m->kind == KV_SIGNED)
            json_put_int(json, m->value.i);
        else
            json_put_uint(json, m->value.u);
    }
}
