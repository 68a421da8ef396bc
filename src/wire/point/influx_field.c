/* influx_field.c - see influx_field.h. */
#include "wire/point/influx_field.h"

#include "base/text/quote.h"

static const char *const type_names[] = {"float", "integer", "unsigned", "boolean"};

const char *
influx_type_name(enum influx_type type)
{
    return type_names[type];
}

void
influx_metric_put(struct buf *to, const struct influx_field *f)
{
    buf_put_bytes(to, f->measurement);
    if (bytes_equal_text(f->name, "value")) return;
    buf_put_u8(to, '_');
    buf_put_bytes(to, f->name);
}

void
influx_help_put(struct buf *to, const struct influx_field *f)
{
    buf_printf(to, "InfluxDB: %s field ", type_names[f->type]);
    quote_text(to, f->name);
    buf_put_text(to, " of ");
    quote_text(to, f->measurement);
    buf_put_text(to, " in ");
    quote_text(to, f->database);
}

/* Takes a text off the beginning. */
static bool
take(struct bytes *from, const char *text)
{
    size_t size = strlen(text);
    if (from->size < size || memcmp(from->at, text, size) != 0) return false;
    *from = bytes_of(from->at + size, from->size - size);
    return true;
}

/* Takes a text in quotes, which is appended to `to`. */
static bool
take_quoted(struct bytes *from, struct buf *to)
{
    size_t end = 1;
    if (from->size == 0 || from->at[0] != '"') return false;
    while (end < from->size && from->at[end] != '"')
        end += from->at[end] == '\\' ? 2 : 1;
    if (end >= from->size || !quote_read(bytes_of(from->at, end + 1), to)) return false;
    *from = bytes_of(from->at + end + 1, from->size - end - 1);
    return true;
}

bool
influx_help_read(struct bytes help, struct buf *to, struct influx_field *ret)
{
    size_t from[3], ends[3];
    static const char *const before[] = {" field ", " of ", " in "};
    unsigned type = 0;
    if (!take(&help, "InfluxDB: ")) return false;
    while (type < 4 && !take(&help, type_names[type]))
        type++;
    if (type == 4) return false;
    for (unsigned i = 0; i < 3; i++) {
        from[i] = to->size;
        if (!take(&help, before[i]) || !take_quoted(&help, to)) return false;
        ends[i] = to->size;
    }
    if (buf_error(to) || help.size > 0) return false;
    *ret = (struct influx_field){.type = (enum influx_type)type,
                                 .name = bytes_of(to->at + from[0], ends[0] - from[0]),
                                 .measurement = bytes_of(to->at + from[1], ends[1] - from[1]),
                                 .database = bytes_of(to->at + from[2], ends[2] - from[2])};
    return true;
}
