/* ndjson_line.c - written without struct json: only the middle of a line changes within a series.
 */
#include "wire/json/ndjson_line.h"

#include "base/text/decimal.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "base/text/utf8.h"
#include "wire/json/histogram_json.h"
#include "wire/label_bytes.h"
#include "wire/number.h"

/* --- labels ----------------------------------------------------------------------------------- */

/* Puts the labels that are not UTF-8. */
static void
put_labels_hex(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool comma = false;
    buf_put_text(to, ",\"labels_hex\":{");
    while (labels_next(&c, &label)) {
        if (utf8_valid(label.name) && utf8_valid(label.value)) continue;
        buf_put_text(to, comma ? ",\"" : "\"");
        buf_put_hex(to, label.name);
        buf_put_text(to, "\":\"");
        buf_put_hex(to, label.value);
        buf_put_u8(to, '"');
        comma = true;
    }
    buf_put_u8(to, '}');
}

/* Puts the labels after a colon. */
static void
ndjson_put_labels(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool comma = false, all = true;
    buf_put_u8(to, '{');
    while (labels_next(&c, &label)) {
        size_t before = to->size;
        if (comma) buf_put_u8(to, ',');
        bool exact = json_print_string(to, label.name);
        buf_put_u8(to, ':');
        exact &= json_print_string(to, label.value);
        if (!exact) to->size = before;
        comma |= exact;
        all &= exact;
    }
    buf_put_u8(to, '}');
    if (!all) put_labels_hex(to, labels);
}

void
ndjson_head_put(struct buf *to, struct bytes labels)
{
    buf_put_text(to, "{\"name\":");
    size_t before = to->size;
    if (json_print_string(to, labels_get(labels, bytes_of_text("__name__")))) return;
    to->size = before;
    buf_put_text(to, "\"\"");
}

void
ndjson_tail_put(struct buf *to, struct bytes labels)
{
    buf_put_text(to, ",\"labels\":");
    ndjson_put_labels(to, labels);
    buf_put_text(to, "}\n");
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
ndjson_put_value(struct buf *to, uint64_t bits)
{
    static const char name[] = ",\"value\":", none[] = ",\"value\":null,\"bits\":\"";
    char text[sizeof none + NUMBER_TEXT_BYTES];
    size_t size;
    if ((bits >> 52 & 0x7ff) != 0x7ff) {
        size = sizeof name - 1;
        memcpy(text, name, size);
        size += number_print_json(bits, text + size);
    } else {
        size = sizeof none - 1;
        memcpy(text, none, size);
        size += hex_print_word(bits, text + size);
        text[size++] = '"';
    }
    buf_put(to, text, size);
}

static void
ndjson_put_time(struct buf *to, const char *name, int64_t ms)
{
    buf_put_text(to, name);
    buf_put_int(to, ms);
}

void
ndjson_sample_put(struct buf *to, const struct labelled_sample *sample)
{
    ndjson_put_time(to, ",\"time\":", sample->t_ms);
    if (sample->histogram == NULL)
        ndjson_put_value(to, sample->bits);
    else
        buf_put_text(to, ",\"value\":null");
    if (sample->start_ms != 0) ndjson_put_time(to, ",\"start_ms\":", sample->start_ms);
    if (sample->histogram == NULL) return;
    buf_put_text(to, ",\"histogram\":");
    histogram_json_put(to, sample->histogram);
}

void
ndjson_line_put(struct buf *to, const struct labelled_sample *sample,
                const struct bytes *exemplar_labels)
{
    struct bytes labels = sample->labels;
    size_t before = to->size;
    /* A low estimate of the size: in long labels, lengths take more bytes than the JSON syntax. */
    if (!buf_reserve(to, labels.size - labels.size / 8 + 32)) return;
    ndjson_head_put(to, labels);
    if (exemplar_labels == NULL) {
        ndjson_sample_put(to, sample);
    } else {
        ndjson_put_time(to, ",\"time\":", sample->t_ms);
        buf_put_text(to, ",\"value\":null,\"exemplars\":[{\"labels\":");
        ndjson_put_labels(to, *exemplar_labels);
        ndjson_put_value(to, sample->bits);
        ndjson_put_time(to, ",\"time\":", sample->t_ms);
        buf_put_text(to, "}]");
    }
    ndjson_tail_put(to, labels);
    if (buf_error(to)) to->size = before;
}
