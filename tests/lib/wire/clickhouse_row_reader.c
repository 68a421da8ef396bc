/* clickhouse_row_reader.c - see clickhouse_row_reader.h. */
#include "lib/wire/clickhouse_row_reader.h"

bool
clickhouse_row_next(struct cursor *c, bool with_start, struct clickhouse_row *ret_row)
{
    *ret_row = (struct clickhouse_row){.t_ms = 0};
    if (cursor_left(c) == 0) return false;
    ret_row->metric = cursor_counted(c);
    ret_row->labels = cursor_counted(c);
    ret_row->t_ms = (int64_t)cursor_le64(c);
    ret_row->value_bits = cursor_le64(c);
    ret_row->bits = cursor_le64(c);
    ret_row->histogram = cursor_counted(c);
    if (with_start) ret_row->start_ms = (int64_t)cursor_le64(c);
    return !c->bad;
}

/* Reads a string from its opening quote on; returns the bytes it took, 0 if our writer did not
 * write it. */
static size_t
clickhouse_string_read(struct bytes text, struct buf *to)
{
    if (text.size < 2 || text.at[0] != '"') return 0;
    for (size_t i = 1; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == '"') return i + 1;
        if (c < 0x20 || (c == '\\' && i + 1 == text.size)) return 0;
        if (c == '\\') {
            c = text.at[++i];
            if (c == 'n' || c == 'r' || c == 't') {
                c = c == 'n' ? '\n' : c == 'r' ? '\r' : '\t';
            } else if (c == 'u') {
                if (i + 4 >= text.size || memcmp(text.at + i + 1, "00", 2) != 0) return 0;
                int high = hex_digit(text.at[i + 3]), low = hex_digit(text.at[i + 4]);
                if (high < 0 || low < 0) return 0;
                c = (uint8_t)(high << 4 | low);
                i += 4;
            } else if (c != '"' && c != '\\') {
                return 0;
            }
        }
        buf_put_u8(to, c);
    }
    return 0;
}

bool
clickhouse_labels_read(struct bytes metric, struct bytes text, struct buf *to)
{
    enum { LABELS_MAX = 64 };
    struct label labels[LABELS_MAX];
    uint32_t count = 0;
    struct buf texts;
    size_t ends[2 * LABELS_MAX], at = 1, end_count = 0;
    bool good = text.size >= 2 && text.at[0] == '{' && text.at[text.size - 1] == '}';
    buf_init(&texts, NULL, 2 * text.size + 1);
    while (good && at + 1 < text.size) {
        size_t size = clickhouse_string_read(bytes_of(text.at + at, text.size - at - 1), &texts);
        bool is_name = end_count % 2 == 0;
        good = size > 0 && end_count < 2 * LABELS_MAX;
        if (!good) break;
        ends[end_count++] = texts.size;
        at += size;
        bool is_last = at + 1 == text.size;
        good = is_last ? !is_name : text.at[at++] == (is_name ? ':' : ',');
    }
    good = good && end_count % 2 == 0;
    for (size_t i = 0; good && i < end_count; i += 2) {
        size_t from = i == 0 ? 0 : ends[i - 1];
        labels[count++] = (struct label){bytes_of(texts.at + from, ends[i] - from),
                                         bytes_of(texts.at + ends[i], ends[i + 1] - ends[i])};
        good = count < 2 || bytes_compare(labels[count - 2].name, labels[count - 1].name) < 0;
        good = good && !bytes_equal_text(labels[count - 1].name, "__name__") && count < LABELS_MAX;
    }
    if (good && metric.size > 0)
        labels[count++] = (struct label){bytes_of_text("__name__"), metric};
    if (good) test_put_labels(to, labels, count);
    buf_fini(&texts);
    return good;
}
