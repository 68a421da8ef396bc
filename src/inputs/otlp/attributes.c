/* attributes.c - see otlp_private.h: values as text, attributes, and the labels that they make. */
#include "inputs/otlp/otlp_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/base64.h"
#include "wire/number.h"
#include "wire/proto.h"

enum { DEPTH_MAX = 16 /* of values in values */ };

/* --- texts of values -------------------------------------------------------------------------- */

static void
put_double(struct buf *to, uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES];
    size_t size = number_print(bits, text);
    if (size > 4 && memcmp(text + size - 4, "e-0", 3) == 0) /* as JSON of Go: 1e-7 */
        text[size - 2] = text[size - 1], size--;
    buf_put(to, text, size);
}

/* As encoding/json of Go, for HTML. */
static void
put_json_text(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool is_separator = c == 0xe2 && text.size - i > 2 && text.at[i + 1] == 0x80 &&
                            (text.at[i + 2] | 1) == 0xa9;
        const char *short_form = strchr("\"\"\\\\\nn\rr\tt\bb\ff", c);
        if (c == '"' || c == '\\') {
            buf_printf(to, "\\%c", c);
        } else if (c != '\0' && c < ' ' && short_form != NULL) {
            buf_printf(to, "\\%c", short_form[1]);
        } else if (c < ' ' || c == '<' || c == '>' || c == '&') {
            buf_printf(to, "\\u%04x", c);
        } else if (is_separator) {
            buf_printf(to, "\\u202%x", text.at[i + 2] & 0xf);
            i += 2;
        } else {
            buf_put_u8(to, c);
        }
    }
    buf_put_u8(to, '"');
}

static int by_key(const void *a, const void *b);
static bool put_value(struct buf *to, struct bytes value, bool is_json, unsigned depth);

static bool
put_array(struct buf *to, struct bytes array, unsigned depth)
{
    struct cursor c = cursor_of(array);
    bool is_first = true;
    buf_put_u8(to, '[');
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            proto_skip(&c, tag, PROTO_KNOWN(1));
            continue;
        }
        if (!is_first) buf_put_u8(to, ',');
        is_first = false;
        if (!put_value(to, proto_bytes(&c), true, depth + 1)) return false;
    }
    buf_put_u8(to, ']');
    return !c.bad;
}

static bool
put_map(struct buf *to, struct bytes map, unsigned depth)
{
    struct attribute items[ATTRIBUTES_MAX];
    struct cursor c = cursor_of(map);
    uint32_t count = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag != PROTO_TAG(1, PROTO_BYTES))
            proto_skip(&c, tag, PROTO_KNOWN(1));
        else if (count == ATTRIBUTES_MAX || !otlp_read_attribute(proto_bytes(&c), &items[count++]))
            return false;
    if (count > 0) qsort(items, count, sizeof *items, by_key);
    buf_put_u8(to, '{');
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        put_json_text(to, items[i].key);
        buf_put_u8(to, ':');
        if (!put_value(to, items[i].value, true, depth + 1)) return false;
    }
    buf_put_u8(to, '}');
    return !c.bad;
}

/* Appends a value as text; texts and bytes in JSON have quotes. False: it is malformed. */
static bool
put_value(struct buf *to, struct bytes value, bool is_json, unsigned depth)
{
    struct cursor c = cursor_of(value);
    size_t begin = to->size;
    bool has_value = false, fits = depth < DEPTH_MAX;
    for (uint32_t tag; fits && (tag = proto_tag(&c)) != 0;) {
        to->size = begin; /* the last one counts */
        has_value = true;
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES):
            if (is_json)
                put_json_text(to, proto_bytes(&c));
            else
                buf_put_bytes(to, proto_bytes(&c));
            break;
        case PROTO_TAG(2, PROTO_VARINT):
            buf_put_text(to, cursor_varint(&c) != 0 ? "true" : "false");
            break;
        case PROTO_TAG(3, PROTO_VARINT):
            buf_printf(to, "%" PRId64, proto_int64(&c));
            break;
        case PROTO_TAG(4, PROTO_FIXED64):
            put_double(to, cursor_le64(&c));
            break;
        case PROTO_TAG(5, PROTO_BYTES):
            fits = put_array(to, proto_bytes(&c), depth);
            break;
        case PROTO_TAG(6, PROTO_BYTES):
            fits = put_map(to, proto_bytes(&c), depth);
            break;
        case PROTO_TAG(7, PROTO_BYTES):
            if (is_json) buf_put_u8(to, '"');
            base64_put(to, proto_bytes(&c));
            if (is_json) buf_put_u8(to, '"');
            break;
        default:
            proto_skip(&c, tag, 0xfe); /* 1 to 7 */
        }
    }
    if (is_json && !has_value) buf_put_text(to, "null");
    return fits && !c.bad;
}

/* --- attributes ------------------------------------------------------------------------------- */

bool
otlp_read_attribute(struct bytes message, struct attribute *ret)
{
    struct cursor c = cursor_of(message);
    *ret = (struct attribute){{NULL, 0}, {NULL, 0}};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_BYTES))
            ret->key = proto_bytes(&c);
        else if (tag == PROTO_TAG(2, PROTO_BYTES))
            ret->value = proto_bytes(&c);
        else
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2));
    return !c.bad;
}

static int
by_key(const void *a, const void *b)
{
    const struct attribute *x = a, *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x > y) - (x < y);
}

bool
otlp_read_attributes(struct otlp *o, struct bytes message, uint32_t field, struct attributes *to)
{
    struct cursor c = cursor_of(message);
    bool is_sorted = true;
    to->count = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(field, PROTO_BYTES)) {
            proto_skip(&c, tag, PROTO_KNOWN(field));
            continue;
        }
        if (to->count == ATTRIBUTES_MAX)
            return refuse_point(o, "more than %d attributes", ATTRIBUTES_MAX) == OK;
        struct attribute *a = &to->items[to->count];
        if (!otlp_read_attribute(proto_bytes(&c), a)) c.bad = true;
        if (c.bad) break;
        is_sorted = is_sorted && (to->count == 0 || bytes_compare(a[-1].key, a->key) <= 0);
        to->count++;
    }
    if (c.bad) return refuse_point(o, "malformed attributes") == OK;
    if (!is_sorted) qsort(to->items, to->count, sizeof *to->items, by_key);
    return true;
}

enum err
otlp_text_of(struct otlp *o, struct bytes value, struct bytes *ret)
{
    struct cursor c = cursor_of(value);
    *ret = bytes_of(NULL, 0);
    if (value.size > 0 && value.at[0] == PROTO_TAG(1, PROTO_BYTES)) {
        (void)proto_tag(&c);
        *ret = proto_bytes(&c);
        if (!c.bad && c.at == c.end) return OK;
    }
    buf_clear(&o->text);
    if (!put_value(&o->text, value, false, 0)) return refuse_point(o, "malformed attribute value");
    if (buf_error(&o->text)) return buf_error(&o->text);
    *ret = rw_fill_text(o->to, buf_bytes(&o->text));
    return ret->at == NULL ? rw_fill_error(o->to) : OK;
}

/* --- labels ----------------------------------------------------------------------------------- */

bool
otlp_find_label(const struct label_set *set, struct bytes name, uint32_t *ret_at)
{
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = bytes_compare(set->items[middle].name, name);
        if (order == 0) {
            *ret_at = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return false;
}

void
otlp_set_label(struct label_set *set, struct bytes name, struct bytes value)
{
    uint32_t at;
    bool is_there = otlp_find_label(set, name, &at);
    struct label *place = &set->items[at];
    if (is_there && value.size == 0) {
        memmove(place, place + 1, (--set->count - at) * sizeof *place);
    } else if (is_there) {
        place->value = value;
    } else if (value.size > 0) {
        memmove(place + 1, place, (set->count++ - at) * sizeof *place);
        *place = (struct label){name, value};
    }
}

static bool
is_plain_name(const struct otlp *o, struct bytes key)
{
    bool fits = key.size > 0 && o->settings->translation < OTLP_KEEP_WITH_SUFFIXES;
    for (size_t i = 0; i < key.size && fits; i++) {
        uint8_t c = key.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        fits = is_letter || (i > 0 && c >= '0' && c <= '9') ||
               (i > 0 && c == '_' && key.at[i - 1] != '_');
    }
    return fits;
}

enum err
otlp_name_label(struct otlp *o, struct bytes key, struct bytes *ret)
{
    *ret = key;
    if (is_plain_name(o, key)) return OK;
    buf_clear(&o->text);
    if (!otlp_label_name(o->settings, key, &o->text))
        return refuse_point(o, "an attribute's key '%.*s' makes no label name",
                            (int)(key.size < 80 ? key.size : 80), (const char *)key.at);
    if (buf_error(&o->text)) return buf_error(&o->text);
    *ret = rw_fill_text(o->to, buf_bytes(&o->text));
    return ret->at == NULL ? rw_fill_error(o->to) : OK;
}

enum err
otlp_add_label(struct otlp *o, const struct attribute *a, struct label_set *to)
{
    struct bytes name, value;
    uint32_t at;
    enum err e = otlp_name_label(o, a->key, &name);
    if (e == OK) e = otlp_text_of(o, a->value, &value);
    if (e) return e;
    if (!otlp_find_label(to, name, &at)) {
        otlp_set_label(to, name, value);
        return OK;
    }
    o->has_joined = true;
    struct bytes before = to->items[at].value;
    uint8_t *joined = rw_fill_alloc(o->to, before.size + 1 + value.size);
    if (joined == NULL) return rw_fill_error(o->to);
    memcpy(joined, before.at, before.size);
    joined[before.size] = ';';
    if (value.size > 0) memcpy(joined + before.size + 1, value.at, value.size);
    to->items[at].value = bytes_of(joined, before.size + 1 + value.size);
    return OK;
}
