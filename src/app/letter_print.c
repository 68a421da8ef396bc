#include "app/letter_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/time_text.h"
#include "model/labels.h"
#include "wire/number.h"

static const char *
kind_word(enum item_kind kind)
{
    static const char *const words[ITEM_KIND_COUNT] = {
        [ITEM_FLOAT] = "float",
        [ITEM_HISTOGRAM] = "histogram",
        [ITEM_EXEMPLAR] = "exemplar",
        [ITEM_METADATA] = "metadata",
    };
    return words[kind];
}

static const char *
state_word(enum dead_letter_state state)
{
    return state == DEAD_LETTER_KEPT ? "kept" : "replaying";
}

static bool
is_finite(uint64_t bits)
{
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

/* --- text ------------------------------------------------------------------------------------- */

static void
text_field(struct buf *to, const char *name, struct bytes value)
{
    buf_printf(to, " %s=", name);
    json_print_string(to, value);
}

static void
text_number(struct buf *to, uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_exact(bits, text));
}

static void
text_count(struct buf *to, const struct histogram *h)
{
    if (h->kind == SAMPLE_HISTOGRAM_INT)
        buf_printf(to, "%" PRIu64, h->count);
    else
        text_number(to, h->count);
}

static void
text_item(struct buf *to, const struct item *item)
{
    char time[TIME_TEXT_BYTES];
    if (item->kind == ITEM_METADATA) {
        text_field(to, "family", item->family);
        buf_printf(to, " type=%s", metric_type_word(item->family_type));
        text_field(to, "help", item->help);
        text_field(to, "unit", item->unit);
        return;
    }
    buf_put_u8(to, ' ');
    labels_print(to, item->labels);
    buf_printf(to, " %s ", time_print(item->t_ms, time));
    if (item->kind == ITEM_HISTOGRAM) {
        buf_put_text(to, "count=");
        text_count(to, item->histogram);
        buf_put_text(to, " sum=");
        text_number(to, item->histogram->sum_bits);
        return;
    }
    text_number(to, item->bits);
    if (item->kind != ITEM_EXEMPLAR) return;
    buf_put_u8(to, ' ');
    labels_print(to, item->exemplar_labels);
}

void
letter_print_text(struct buf *to, const char *destination, const struct dead_letter *letter,
                  enum dead_letter_state state)
{
    char time[TIME_TEXT_BYTES];
    buf_printf(to, "%s %s %" PRIu64 ".%" PRIu32 " %s", time_print(letter->failed_ms, time),
               destination, letter->pos, letter->index, state_word(state));
    text_field(to, "reason", letter->reason);
    text_field(to, "answer", letter->answer);
    text_field(to, "tenant", letter->item.tenant);
    buf_printf(to, " %s", kind_word(letter->item.kind));
    text_item(to, &letter->item);
    buf_put_u8(to, '\n');
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* What was an integer for a reader would lose the sign of zero. */
static void
json_finite(struct json *j, uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES];
    size_t size = number_print(bits, text);
    if (bits == UINT64_C(1) << 63)
        json_put_raw(j, bytes_of_text("-0.0"));
    else
        json_put_raw(j, bytes_of(text, size));
}

static void
json_bits(struct json *j, uint64_t bits)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, bits);
    json_put_text(j, text);
}

static void
json_value(struct json *j, uint64_t bits)
{
    json_key(j, "value");
    if (is_finite(bits)) {
        json_finite(j, bits);
        return;
    }
    json_put_null(j);
    json_key(j, "bits");
    json_bits(j, bits);
}

static void
json_labels(struct json *j, const char *key, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    json_key(j, key);
    json_object_open(j);
    while (labels_next(&c, &label)) {
        json_key_bytes(j, label.name);
        json_put_bytes(j, label.value);
    }
    json_object_close(j);
}

static void
json_double(struct json *j, uint64_t bits)
{
    if (is_finite(bits))
        json_finite(j, bits);
    else
        json_bits(j, bits);
}

static void
json_doubles(struct json *j, const char *key, const uint64_t *bits, uint32_t count)
{
    if (count == 0) return;
    json_key(j, key);
    json_array_open(j);
    for (uint32_t i = 0; i < count; i++) {
        json_double(j, bits[i]);
    }
    json_array_close(j);
}

static void
json_count(struct json *j, const struct histogram *h, const char *name, uint64_t count)
{
    char key[24];
    bool is_int = h->kind == SAMPLE_HISTOGRAM_INT;
    snprintf(key, sizeof key, "%s_%s", name, is_int ? "int" : "float");
    json_key(j, key);
    if (is_int)
        json_put_uint(j, count);
    else
        json_double(j, count);
}

static void
json_side(struct json *j, const char *side, const struct hist_buckets *b)
{
    char key[24];
    if (b->span_count == 0) return;
    snprintf(key, sizeof key, "%s_spans", side);
    json_key(j, key);
    json_array_open(j);
    for (uint32_t i = 0; i < b->span_count; i++) {
        json_object_open(j);
        json_key(j, "offset");
        json_put_int(j, b->spans[i].offset);
        json_key(j, "length");
        json_put_uint(j, b->spans[i].length);
        json_object_close(j);
    }
    json_array_close(j);
    snprintf(key, sizeof key, "%s_counts", side);
    if (b->deltas == NULL) json_doubles(j, key, b->counts, b->bucket_count);
    if (b->deltas == NULL || b->bucket_count == 0) return;
    snprintf(key, sizeof key, "%s_deltas", side);
    json_key(j, key);
    json_array_open(j);
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        json_put_int(j, b->deltas[i]);
    }
    json_array_close(j);
}

static void
json_histogram(struct json *j, const struct histogram *h)
{
    json_key(j, "histogram");
    json_object_open(j);
    json_count(j, h, "count", h->count);
    json_key(j, "sum");
    json_double(j, h->sum_bits);
    json_key(j, "schema");
    json_put_int(j, h->schema);
    json_key(j, "zero_threshold");
    json_double(j, h->zero_threshold_bits);
    json_count(j, h, "zero_count", h->zero_count);
    json_side(j, "negative", &h->negative);
    json_side(j, "positive", &h->positive);
    if (h->reset_hint != RESET_UNKNOWN) {
        json_key(j, "reset_hint");
        json_put_uint(j, h->reset_hint);
    }
    json_doubles(j, "custom_values", h->custom_bits, h->custom_count);
    json_object_close(j);
}

static void
json_text_field(struct json *j, const char *key, struct bytes text)
{
    json_key(j, key);
    json_put_bytes(j, text);
}

static void
json_item(struct json *j, const struct item *item)
{
    if (item->kind == ITEM_METADATA) {
        json_text_field(j, "family", item->family);
        json_text_field(j, "type", bytes_of_text(metric_type_word(item->family_type)));
        json_text_field(j, "help", item->help);
        json_text_field(j, "unit", item->unit);
        return;
    }
    json_labels(j, "labels", item->labels);
    json_key(j, "time");
    json_put_int(j, item->t_ms);
    if (item->start_ms != 0) {
        json_key(j, "start_ms");
        json_put_int(j, item->start_ms);
    }
    if (item->kind == ITEM_HISTOGRAM)
        json_histogram(j, item->histogram);
    else
        json_value(j, item->bits);
    if (item->kind == ITEM_EXEMPLAR) json_labels(j, "exemplar_labels", item->exemplar_labels);
}

void
letter_print_json(struct buf *to, const char *destination, const struct dead_letter *letter,
                  enum dead_letter_state state)
{
    struct json j;
    char text[TIME_TEXT_BYTES + 16];
    json_init(&j, to);
    json_object_open(&j);
    json_text_field(&j, "destination", bytes_of_text(destination));
    snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu32, letter->pos, letter->index);
    json_text_field(&j, "id", bytes_of_text(text));
    json_text_field(&j, "state", bytes_of_text(state_word(state)));
    json_text_field(&j, "tenant", letter->item.tenant);
    json_text_field(&j, "kind", bytes_of_text(kind_word(letter->item.kind)));
    json_item(&j, &letter->item);
    json_text_field(&j, "reason", letter->reason);
    json_text_field(&j, "answer", letter->answer);
    json_text_field(&j, "failed_at", bytes_of_text(time_print(letter->failed_ms, text)));
    json_object_close(&j);
    buf_put_u8(to, '\n');
}
