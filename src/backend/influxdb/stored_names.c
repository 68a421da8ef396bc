/* stored_names.c - see influxdb_reader.h. */
#include "backend/influxdb/influxdb_reader.h"

static bool
looks_coded(struct bytes text)
{
    return text.size >= 2 && memcmp(text.at, "~%", 2) == 0;
}

/* Only texts that Firekeep would have written are decoded; other texts that look coded are not. */
enum err
stored_name_decode(struct bytes text, enum line_role role, struct buf *to)
{
    size_t before = to->size;
    if (!looks_coded(text)) {
        buf_put_bytes(to, text);
        return buf_error(to);
    }
    enum err e = line_text_decode(to, text);
    if (e && e != ERR_INPUT) return e;
    bool ours = e == OK;
    if (ours) {
        struct bytes name = bytes_of(to->at + before, to->size - before);
        struct buf again;
        buf_init(&again, to->budget, 4 * (size_t)LINE_KEY_BYTES_MAX + text.size);
        line_text_put(&again, name, role);
        e = buf_error(&again);
        ours = e == OK && bytes_equal(buf_bytes(&again), text);
        buf_fini(&again);
        if (e == ERR_NOMEM) return e;
    }
    if (ours) return OK;
    to->size = before;
    buf_put_bytes(to, text);
    return buf_error(to);
}

enum err
stored_names_of(struct bytes name, enum line_role role, struct buf *room,
                struct bytes ret_texts[STORED_NAMES_MAX], unsigned *ret_count)
{
    *ret_count = 0;
    if (!line_text_is_coded(name, role)) {
        ret_texts[(*ret_count)++] = name;
        return OK;
    }
    size_t from = room->size;
    struct buf plain;
    buf_init(&plain, room->budget, name.size + 1);
    enum err e = stored_name_decode(name, role, &plain);
    bool is_itself = e == OK && name.size > 0 && bytes_equal(buf_bytes(&plain), name);
    buf_fini(&plain);
    if (e) return e;
    /* Growing would move the views. */
    if (!buf_reserve(room, 3 * name.size + 2)) return buf_error(room);
    line_text_put(room, name, role);
    if (buf_error(room)) return buf_error(room);
    ret_texts[(*ret_count)++] = bytes_of(room->at + from, room->size - from);
    if (is_itself) ret_texts[(*ret_count)++] = name;
    return OK;
}
