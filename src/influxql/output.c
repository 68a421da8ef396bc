/* output.c - see influxql.h: results as InfluxDB writes them, in JSON and CSV.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text/json.h"
#include "base/text/time_text.h"
#include "influxql/influxql_private.h"
#include "sys/env.h"
#include "wire/number.h"

enum { CELL_BYTES = 64 };

/* Writes a time; returns its size. */
static size_t
print_time(const struct result_form *form, const struct zone *zone, int64_t t,
           char to[static CELL_BYTES])
{
    if (form->unit_ns != 0) return (size_t)snprintf(to, CELL_BYTES, "%" PRId64, t / form->unit_ns);
    struct tm tm;
    time_t s = t / NS_PER_S - (t % NS_PER_S < 0);
    long ns = (long)(t - s * NS_PER_S), offset_s = zone == NULL ? 0 : (long)zone_offset_s(zone, s);
    s += offset_s;
    gmtime_r(&s, &tm);
    size_t size = strftime(to, CELL_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    if (ns != 0) {
        size += (size_t)snprintf(to + size, CELL_BYTES - size, ".%09ld", ns);
        while (to[size - 1] == '0')
            size--;
    }
    if (offset_s == 0) {
        to[size++] = 'Z';
        return size;
    }
    long minutes = labs(offset_s) / 60;
    return size + (size_t)snprintf(to + size, CELL_BYTES - size, "%c%02ld:%02ld",
                                   offset_s < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

/* Writes a number; returns its size. An exponent has no leading zero. */
static size_t
print_number(enum cell_type type, double v, char to[static CELL_BYTES])
{
    if (type == CELL_BOOLEAN) return (size_t)snprintf(to, CELL_BYTES, v != 0 ? "true" : "false");
    if (type == CELL_INTEGER && fabs(v) < 0x1p63)
        return (size_t)snprintf(to, CELL_BYTES, "%" PRId64, (int64_t)v);
    size_t size = number_print(double_bits(v), to);
    for (size_t i = 0; i + 3 < size + 1 && size >= 4; i++) {
        if (to[i] != 'e' || to[i + 2] != '0' || i + 3 >= size) continue;
        memmove(to + i + 2, to + i + 3, size - i - 3);
        size--;
    }
    return size;
}

static bool
is_null(double v)
{
    return isnan(v) || isinf(v); /* JSON has no infinities, and InfluxDB neither */
}

static void
put_json(struct buf *to, const struct result_series *r, const struct texts *texts,
         const struct result_form *form, uint32_t from, uint32_t count, bool is_partial)
{
    char text[CELL_BYTES];
    struct json j;
    json_init(&j, to);
    json_object_open(&j);
    if (r->name.size > 0) json_member_bytes(&j, "name", r->name);
    if (r->tag_count > 0) json_member_object(&j, "tags");
    for (uint32_t i = 0; i < r->tag_count; i++) {
        json_key_bytes(&j, r->tags[i].name);
        json_put_bytes(&j, r->tags[i].value);
    }
    if (r->tag_count > 0) json_object_close(&j);
    json_member_array(&j, "columns");
    if (r->times != NULL) json_put_text(&j, "time");
    for (uint32_t i = 0; i < r->column_count; i++)
        json_put_bytes(&j, r->columns[i].name);
    json_array_close(&j);
    json_member_array(&j, "values");
    for (uint32_t i = from; i < from + count; i++) {
        json_array_open(&j);
        if (r->times != NULL) {
            struct bytes time = bytes_of(text, print_time(form, r->zone, r->times[i], text));
            if (form->unit_ns == 0)
                json_put_bytes(&j, time);
            else
                json_put_raw(&j, time);
        }
        for (uint32_t c = 0; c < r->column_count; c++) {
            double v = r->cells[(size_t)i * r->column_count + c];
            if (is_null(v))
                json_put_null(&j);
            else if (r->columns[c].type == CELL_TEXT)
                json_put_bytes(&j, text_of_cell(texts, v));
            else
                json_put_raw(&j, bytes_of(text, print_number(r->columns[c].type, v, text)));
        }
        json_array_close(&j);
    }
    json_array_close(&j);
    if (is_partial) json_member_bool(&j, "partial", true);
    json_object_close(&j);
}

/* --- CSV -------------------------------------------------------------------------------------- */

static void
put_field(struct buf *to, struct bytes text)
{
    bool is_plain = true;
    for (size_t i = 0; i < text.size; i++)
        is_plain &= strchr(",\"\r\n", text.at[i]) == NULL || text.at[i] == '\0';
    if (is_plain) {
        buf_put_bytes(to, text);
        return;
    }
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '"') buf_put_u8(to, '"');
        buf_put_u8(to, text.at[i]);
    }
    buf_put_u8(to, '"');
}

static void
put_csv(struct buf *to, const struct result_series *r, const struct texts *texts,
        const struct result_form *form, uint32_t from, uint32_t count)
{
    char text[CELL_BYTES];
    struct buf tags;
    if (from == 0) {
        buf_put_text(to, r->times == NULL ? "name,tags" : "name,tags,time");
        for (uint32_t i = 0; i < r->column_count; i++) {
            buf_put_u8(to, ',');
            put_field(to, r->columns[i].name);
        }
        buf_put_u8(to, '\n');
    }
    buf_init(&tags, to->budget, to->limit);
    for (uint32_t i = 0; i < r->tag_count; i++) {
        if (i > 0) buf_put_u8(&tags, ',');
        buf_put_bytes(&tags, r->tags[i].name);
        buf_put_u8(&tags, '=');
        buf_put_bytes(&tags, r->tags[i].value);
    }
    for (uint32_t i = from; i < from + count; i++) {
        put_field(to, r->name);
        buf_put_u8(to, ',');
        put_field(to, buf_bytes(&tags));
        if (r->times != NULL) {
            buf_put_u8(to, ',');
            buf_put(to, text, print_time(form, r->zone, r->times[i], text));
        }
        for (uint32_t c = 0; c < r->column_count; c++) {
            double v = r->cells[(size_t)i * r->column_count + c];
            buf_put_u8(to, ',');
            if (is_null(v)) continue;
            if (r->columns[c].type == CELL_TEXT)
                put_field(to, text_of_cell(texts, v));
            else
                buf_put(to, text, print_number(r->columns[c].type, v, text));
        }
        buf_put_u8(to, '\n');
    }
    if (buf_error(&tags)) to->failed = buf_error(&tags);
    buf_fini(&tags);
}

void
result_series_put(struct buf *to, const struct result_series *series, const struct texts *texts,
                  const struct result_form *form, uint32_t from, uint32_t count, bool is_partial)
{
    if (form->is_csv)
        put_csv(to, series, texts, form, from, count);
    else
        put_json(to, series, texts, form, from, count, is_partial);
}
