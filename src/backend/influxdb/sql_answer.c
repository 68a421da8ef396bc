/* sql_answer.c - see sql_answer.h. */
#include "backend/influxdb/sql_answer.h"

#include "base/text/time_text.h"

/* A text, or nothing if it is null. */
static struct bytes
scan_maybe(struct scan *s)
{
    if (scan_peek(s) != 'n') return scan_text(s);
    scan_null(s);
    return bytes_of(NULL, 0);
}

/* A number; true and false are 1 and 0. A text is ignored. */
static struct bytes
scan_value(struct scan *s)
{
    uint8_t c = scan_peek(s);
    if (c == 'n') return scan_maybe(s);
    if (c != 't' && c != 'f' && c != '"') return scan_number(s);
    scan_skip(s);
    return c == '"' ? bytes_of(NULL, 0) : bytes_of_text(c == 't' ? "1" : "0");
}

void
sql_read_column(struct scan *s, struct sql_column *ret)
{
    *ret = (struct sql_column){{NULL, 0}};
    scan_expect(s, '{');
    for (struct bytes key; scan_key(s, &key);) {
        if (bytes_equal_text(key, "table_name"))
            ret->table = scan_maybe(s);
        else if (bytes_equal_text(key, "column_name"))
            ret->name = scan_maybe(s);
        else if (bytes_equal_text(key, "data_type"))
            ret->type = scan_maybe(s);
        else
            scan_skip(s);
    }
}

uint32_t
sql_read_tags(struct scan *s, uint32_t tag_count, struct sql_tag *tags)
{
    uint32_t n = 0;
    scan_expect(s, '{');
    for (struct bytes key; scan_key(s, &key);) {
        int64_t number = 0;
        bool is_tag = key.size > 1 && key.at[0] == 't' &&
                      time_parse_ms(bytes_of(key.at + 1, key.size - 1), &number) && number >= 0 &&
                      number < tag_count;
        if (!is_tag) {
            scan_skip(s);
        } else if (n == tag_count) {
            scan_fail(s, "a row has a column twice");
        } else {
            tags[n++] = (struct sql_tag){(uint32_t)number, scan_maybe(s)};
        }
    }
    return s->bad == NULL ? n : 0;
}

void
sql_read_sample(struct scan *s, struct sql_sample *ret)
{
    struct bytes k = {NULL, 0}, t = k;
    *ret = (struct sql_sample){.whole = false};
    scan_expect(s, '{');
    for (struct bytes key; scan_key(s, &key);) {
        switch (key.size == 1 ? key.at[0] : 0) {
        case 'k':
            k = scan_value(s);
            break;
        case 't':
            t = scan_value(s);
            break;
        case 'v':
            ret->cells[0] = scan_value(s);
            break;
        case 'b':
            ret->cells[1] = scan_maybe(s);
            break;
        case 'h':
            ret->cells[2] = scan_maybe(s);
            break;
        default:
            scan_skip(s);
            break;
        }
    }
    ret->whole = s->bad == NULL && time_parse_ms(k, &ret->key) && time_parse_ms(t, &ret->t_ns);
}
