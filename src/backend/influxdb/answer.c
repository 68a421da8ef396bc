/* answer.c - see answer.h. Names are found by the words before and after them. A name may contain
 * the same words: then another name is reported, or none. */
#include "backend/influxdb/answer.h"

#include <jansson.h>

#include "base/hash/hash.h"
#include "model/labels.h"
#include "wire/point/line_protocol.h"

enum { NAME_BYTES_MAX = 64 * 1024 };

static bool
says(struct bytes text, const char *words)
{
    return memmem(text.at, text.size, words, strlen(words)) != NULL;
}

/* The text after the first `before`; false if there is none. */
static bool
find_after(struct bytes text, const char *before, struct bytes *ret_rest)
{
    size_t size = strlen(before);
    const uint8_t *at = memmem(text.at, text.size, before, size);
    if (at == NULL) return false;
    at += size;
    *ret_rest = bytes_of(at, (size_t)(text.at + text.size - at));
    return true;
}

/* The text before the first `end`; false if there is none. */
static bool
until(struct bytes text, const char *end, struct bytes *ret_name)
{
    const uint8_t *at = memmem(text.at, text.size, end, strlen(end));
    if (at == NULL) return false;
    *ret_name = bytes_of(text.at, (size_t)(at - text.at));
    return true;
}

/* --- decoded names ---------------------------------------------------------------------------- */

static uint64_t
label_hash(struct bytes name, struct bytes value)
{
    return hash_bytes(value, hash_bytes(name, 0)) | 1;
}

/* Decodes a name of InfluxDB into `scratch`. */
static bool
decode(struct bytes name, struct buf *scratch)
{
    buf_clear(scratch);
    return line_text_decode(scratch, name) == OK && buf_error(scratch) == OK;
}

static void
add_name(struct influxdb_refusal *refusal, struct bytes measurement, uint64_t label,
         struct buf *scratch)
{
    if (refusal->name_count == INFLUXDB_NAMES_MAX || !decode(measurement, scratch)) return;
    refusal->names[refusal->name_count++] =
        (struct influxdb_name){hash_bytes(buf_bytes(scratch), 0), label};
}

/* ... measurement="M" tag="T" value="V" dropped=3 */
static void
take_tag(struct influxdb_refusal *refusal, struct bytes text, struct buf *scratch)
{
    struct bytes rest, measurement, tag, value;
    if (!find_after(text, "max-values-per-tag limit exceeded", &rest)) return;
    if (!find_after(rest, ": measurement=\"", &rest) || !until(rest, "\" tag=\"", &measurement))
        return;
    if (!find_after(rest, "\" tag=\"", &rest) || !until(rest, "\" value=\"", &tag)) return;
    if (!find_after(rest, "\" value=\"", &rest) || !until(rest, "\" dropped=", &value)) return;
    if (!decode(tag, scratch)) return;
    uint64_t name_hash = hash_bytes(buf_bytes(scratch), 0);
    if (!decode(value, scratch)) return;
    uint64_t label = hash_bytes(buf_bytes(scratch), name_hash) | 1; /* as label_hash() makes it */
    add_name(refusal, measurement, label, scratch);
}

/* Takes the measurement of a line that was sent, or of its start. */
static void
take_line(struct influxdb_refusal *refusal, struct bytes line, struct buf *scratch)
{
    struct buf name;
    buf_init(&name, NULL, NAME_BYTES_MAX);
    size_t i = 0;
    while (i < line.size && line.at[i] != ',' && line.at[i] != ' ') {
        bool escapes = line.at[i] == '\\' && i + 1 < line.size &&
                       (line.at[i + 1] == ',' || line.at[i + 1] == ' ');
        buf_put_u8(&name, line.at[i + escapes]);
        i += 1 + (size_t)escapes;
    }
    if (i < line.size && buf_error(&name) == OK) add_name(refusal, buf_bytes(&name), 0, scratch);
    buf_fini(&name);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The last number counts: labels may come before it. */
static uint64_t
read_dropped(struct bytes text)
{
    uint64_t count = 0;
    bool found = false;
    while (find_after(text, "dropped=", &text)) {
        found = true;
    }
    if (!found || text.size == 0) return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return 0;
        if (count <= UINT32_MAX) count = 10 * count + (uint64_t)(text.at[i] - '0');
    }
    return count;
}

static void
take_text(struct influxdb_refusal *refusal, struct bytes text, struct buf *scratch)
{
    /* not shown: searched for in responses */
    static const char partial[] = "partial write: ", shard[] = "partial write: shard ";
    struct bytes rest = text, name;
    /* unable to parse 'LINE': reason; each on a line of its own. */
    while (find_after(rest, "unable to parse '", &rest)) {
        take_line(refusal, rest, scratch);
    }
    if (!find_after(text, partial, &rest)) return;
    refusal->dropped = read_dropped(rest);
    refusal->by_retention = says(rest, "points beyond retention policy");
    refusal->by_series = says(rest, "max-series-per-database");
    refusal->passes = says(text, shard) && says(rest, " is pending deletion");
    struct bytes after_partial = rest;
    /* ... on measurement "M" is type float, ... */
    if (find_after(rest, "\" on measurement \"", &rest) && until(rest, "\" is type ", &name)) {
        add_name(refusal, name, 0, scratch);
    }
    take_tag(refusal, after_partial, scratch);
}

static struct bytes
text_of(const json_t *json)
{
    if (!json_is_string(json)) return bytes_of("", 0);
    return bytes_of(json_string_value(json), json_string_length(json));
}

void
influxdb_answer_read(struct bytes body, struct budget *memory, struct influxdb_refusal *ret_refusal)
{
    struct buf scratch;
    *ret_refusal = (struct influxdb_refusal){.dropped = 0};
    buf_init(&scratch, memory, NAME_BYTES_MAX);
    json_t *root = json_loadb(body.at == NULL ? "" : (const char *)body.at, body.size, 0, NULL);
    take_text(ret_refusal, text_of(json_object_get(root, "error")), &scratch);
    take_text(ret_refusal, text_of(json_object_get(root, "message")), &scratch);
    const json_t *data = json_object_get(root, "data"); /* one object, or an array */
    take_line(ret_refusal, text_of(json_object_get(data, "original_line")), &scratch);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *line = json_object_get(json_array_get(data, i), "original_line");
        take_line(ret_refusal, text_of(line), &scratch);
    }
    json_decref(root);
    buf_fini(&scratch);
}

bool
influxdb_refusal_names(const struct influxdb_refusal *refusal, struct bytes labels)
{
    uint64_t metric = hash_bytes(labels_get(labels, bytes_of_text("__name__")), 0);
    for (uint32_t i = 0; i < refusal->name_count; i++) {
        const struct influxdb_name *name = &refusal->names[i];
        if (name->metric != metric) continue;
        if (name->label == 0) return true;
        struct cursor c = cursor_of(labels);
        for (struct label label; labels_next(&c, &label);) {
            if (label_hash(label.name, label.value) == name->label) return true;
        }
    }
    return false;
}
