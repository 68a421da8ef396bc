/*
 * clickhouse_row.c - a text's length precedes it, but is only known after writing: two bytes are
 * reserved, enough from 128 bytes to 16 KiB; other texts are moved.
 */
#include "wire/point/clickhouse_row.h"

#include "base/text/json.h"
#include "wire/json/sample_json.h"
#include "wire/shape.h"

enum { LENGTH_BYTES = 2 };

/* Begins a text whose length is not known; returns its position. */
static size_t
text_begin(struct buf *to)
{
    static const uint8_t room[LENGTH_BYTES] = {0};
    buf_put(to, room, sizeof room);
    return to->size;
}

static enum err
text_end(struct buf *to, size_t at, const char *what, struct why *why)
{
    uint8_t length[VARINT_SIZE_MAX];
    if (buf_error(to)) return buf_error(to);
    size_t size = to->size - at;
    if (size > CLICKHOUSE_TEXT_BYTES_MAX) {
        return why_set(why, ERR_INPUT, "%s: %zu bytes, ClickHouse allows at most %d", what, size,
                       CLICKHOUSE_TEXT_BYTES_MAX);
    }
    size_t length_bytes = varint_put(length, size);
    if (!buf_reserve(to, length_bytes)) return buf_error(to);
    if (length_bytes != LENGTH_BYTES)
        memmove(to->at + at - LENGTH_BYTES + length_bytes, to->at + at, size);
    memcpy(to->at + at - LENGTH_BYTES, length, length_bytes);
    to->size = at - LENGTH_BYTES + length_bytes + size;
    return OK;
}

void
clickhouse_labels_put(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    uint8_t before = '{';
    for (struct label label; labels_next(&c, &label);) {
        if (bytes_equal_text(label.name, "__name__")) continue;
        buf_put_u8(to, before);
        json_print_bytes(to, label.name);
        buf_put_u8(to, ':');
        json_print_bytes(to, label.value);
        before = ',';
    }
    buf_put_text(to, before == '{' ? "{}" : "}");
}

static enum err
put_row(struct buf *to, const struct labelled_sample *p, bool with_start, struct why *why)
{
    struct bytes metric = labels_get(p->labels, bytes_of_text("__name__"));
    uint64_t bits = p->histogram != NULL ? NORMAL_NAN_BITS : p->bits;
    bool is_finite = (bits >> 52 & 0x7ff) != 0x7ff;
    size_t at = text_begin(to);
    buf_put_bytes(to, metric);
    enum err e = text_end(to, at, "metric name", why);
    if (e) return e;
    at = text_begin(to);
    clickhouse_labels_put(to, p->labels);
    e = text_end(to, at, "labels", why);
    if (e) return e;
    buf_put_le64(to, (uint64_t)p->t_ms);
    buf_put_le64(to, bits);
    buf_put_le64(to, is_finite ? 0 : bits);
    at = text_begin(to);
    if (p->histogram != NULL) histogram_json_put(to, p->histogram);
    e = text_end(to, at, "histogram", why);
    if (with_start) buf_put_le64(to, (uint64_t)p->start_ms);
    return e ? e : buf_error(to);
}

enum err
clickhouse_row_put(struct buf *to, const struct labelled_sample *sample, bool with_start,
                   struct why *why)
{
    size_t before = to->size;
    enum err e = put_row(to, sample, with_start, why);
    if (e) to->size = before;
    return e;
}
