/*
 * stored_text.c - see opentsdb_reader.h.
 *
 * A text is decoded if the decoded text would be written in the same way. Without that check `_41`
 * would be read as "A", and a search for `A` would not find it.
 */
#include "backend/opentsdb/opentsdb_reader.h"

#include "base/text/utf8.h"
#include "wire/point/opentsdb_point.h"

enum { TEXT_BYTES_MAX = 1 << 20 };

/* As Prometheus' adapter writes it: a single digit for bytes below 0x10. */
static void
short_value_put(struct buf *to, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < 0x10) {
            buf_put_u8(to, '_');
            buf_put_u8(to, (uint8_t) "0123456789ABCDEF"[text.at[i]]);
        } else {
            opentsdb_value_put(to, bytes_of(text.at + i, 1));
        }
    }
}

/* The bytes that were appended after it had this size. */
static struct bytes
added_to(const struct buf *to, size_t before)
{
    if (to->size == before) return bytes_of(NULL, 0); /* `to` may have no memory at all */
    return bytes_of(to->at + before, to->size - before);
}

static bool
is_same_again(struct bytes stored, struct bytes text, struct buf *room,
              void (*put)(struct buf *to, struct bytes text))
{
    buf_clear(room);
    put(room, text);
    return buf_error(room) == OK && bytes_equal(buf_bytes(room), stored);
}

enum err
stored_value_get(struct buf *to, struct bytes stored)
{
    size_t before = to->size;
    if (stored.size == 0 || memchr(stored.at, '_', stored.size) == NULL) {
        buf_put_bytes(to, stored); /* no form has fewer escapes */
        return buf_error(to);
    }
    enum err e = opentsdb_value_get(to, stored);
    if (e == OK) {
        struct bytes text = added_to(to, before);
        struct buf room;
        buf_init(&room, to->budget, TEXT_BYTES_MAX);
        bool right = is_same_again(stored, text, &room, opentsdb_value_put) ||
                     is_same_again(stored, text, &room, short_value_put);
        e = buf_error(&room);
        buf_fini(&room);
        if (e || right) return e;
        to->size = before;
    }
    if (e != OK && e != ERR_INPUT) return e;
    buf_put_bytes(to, stored);
    return buf_error(to);
}

enum err
stored_tag_get(struct buf *to, struct bytes stored)
{
    size_t before = to->size;
    struct buf room;
    enum err e = opentsdb_tag_get(to, stored);
    struct bytes text = added_to(to, before);
    if (e || bytes_equal(text, stored)) return e;
    buf_init(&room, to->budget, TEXT_BYTES_MAX);
    bool right = is_same_again(stored, text, &room, opentsdb_tag_put);
    e = buf_error(&room);
    buf_fini(&room);
    if (e || right) return e;
    to->size = before;
    buf_put_bytes(to, stored);
    return buf_error(to);
}

/* True if the stored text is read as the text. */
static bool
means(struct bytes stored, struct bytes text, struct buf *room)
{
    buf_clear(room);
    return stored_value_get(room, stored) == OK && bytes_equal(buf_bytes(room), text);
}

enum err
stored_value_forms(struct bytes text, struct buf *room, struct bytes forms[STORED_FORMS_MAX],
                   unsigned *ret_count)
{
    struct buf decoded;
    buf_clear(room);
    *ret_count = 0;
    if (!buf_reserve(room, 6 * text.size + 1)) return buf_error(room); /* views do not move */
    buf_init(&decoded, room->budget, TEXT_BYTES_MAX);
    opentsdb_value_put(room, text);
    forms[(*ret_count)++] = buf_bytes(room);
    size_t from = room->size;
    short_value_put(room, text);
    struct bytes candidates[] = {added_to(room, from), text};
    for (int i = 0; i < 2; i++) {
        bool is_new = !bytes_equal(candidates[i], forms[0]) &&
                      (*ret_count == 1 || !bytes_equal(candidates[i], forms[*ret_count - 1]));
        if (is_new && means(candidates[i], text, &decoded)) forms[(*ret_count)++] = candidates[i];
    }
    enum err e = err_first(buf_error(room), buf_error(&decoded));
    buf_fini(&decoded);
    return e;
}

size_t
stored_plain_size(struct bytes text)
{
    size_t size = 0;
    while (size < text.size) {
        uint8_t c = text.at[size];
        if (!ascii_is_letter(c) && !ascii_is_digit(c) && c != '-' && c != '.' && c != '/') break;
        size++;
    }
    return size;
}
