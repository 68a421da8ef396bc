/* letter_print.c - prints a dead letter as one line of text, or as one JSON object. */
#include "cli/destinations/letter_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text/hex.h"
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "model/labels.h"
#include "relay/state/fate.h"
#include "wire/json/histogram_json.h"
#include "wire/number.h"

static const char *
state_word(enum dead_letter_state state)
{
    return state == DEAD_LETTER_KEPT ? "kept" : "replaying";
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
        if (item->histogram->kind == SAMPLE_HISTOGRAM_INT)
            buf_printf(to, "%" PRIu64, item->histogram->count);
        else
            text_number(to, item->histogram->count);
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
    buf_printf(to, " %s", item_kind_word(letter->item.kind));
    text_item(to, &letter->item);
    buf_put_u8(to, '\n');
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void
json_value(struct json *j, uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES];
    bool finite = (bits >> 52 & 0x7ff) != 0x7ff;
    json_key(j, "value");
    if (finite) {
        json_put_raw(j, bytes_of(text, number_print_json(bits, text)));
        return;
    }
    json_put_null(j);
    json_member_bytes(j, "bits", bytes_of(text, hex_print_word(bits, text)));
}

static bool
is_text(const struct label *label)
{
    return utf8_valid(label->name) && utf8_valid(label->value);
}

/* Prints labels that are not UTF-8 in hex. */
static void
json_labels_hex(struct json *j, const char *key, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    struct buf name, value;
    buf_init(&name, NULL, 2 * labels.size + 1);
    buf_init(&value, NULL, 2 * labels.size + 1);
    json_member_object(j, key);
    while (labels_next(&c, &label)) {
        if (is_text(&label)) continue;
        buf_clear(&name);
        buf_clear(&value);
        buf_put_hex(&name, label.name);
        buf_put_hex(&value, label.value);
        json_key_bytes(j, buf_bytes(&name));
        json_put_bytes(j, buf_bytes(&value));
    }
    json_object_close(j);
    if (buf_error(&name) || buf_error(&value)) j->to->failed = ERR_NOMEM;
    buf_fini(&name);
    buf_fini(&value);
}

static void
json_labels(struct json *j, const char *key, const char *hex_key, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool all = true;
    json_member_object(j, key);
    while (labels_next(&c, &label)) {
        bool text = is_text(&label);
        all &= text;
        if (!text) continue;
        json_key_bytes(j, label.name);
        json_put_bytes(j, label.value);
    }
    json_object_close(j);
    if (!all) json_labels_hex(j, hex_key, labels);
}

static void
json_histogram(struct json *j, const struct histogram *h)
{
    struct buf text;
    buf_init(&text, j->to->budget, j->to->limit);
    histogram_json_put(&text, h);
    json_key(j, "histogram");
    if (buf_error(&text)) {
        json_put_null(j);
        j->to->failed = buf_error(&text);
    } else {
        json_put_raw(j, buf_bytes(&text));
    }
    buf_fini(&text);
}

static void
json_item(struct json *j, const struct item *item)
{
    if (item->kind == ITEM_METADATA) {
        json_member_bytes(j, "family", item->family);
        json_member_bytes(j, "type", bytes_of_text(metric_type_word(item->family_type)));
        json_member_bytes(j, "help", item->help);
        json_member_bytes(j, "unit", item->unit);
        return;
    }
    json_labels(j, "labels", "labels_hex", item->labels);
    json_member_int(j, "time", item->t_ms);
    if (item->start_ms != 0) {
        json_member_int(j, "start_ms", item->start_ms);
    }
    if (item->kind == ITEM_HISTOGRAM)
        json_histogram(j, item->histogram);
    else
        json_value(j, item->bits);
    if (item->kind != ITEM_EXEMPLAR) return;
    json_labels(j, "exemplar_labels", "exemplar_labels_hex", item->exemplar_labels);
}

void
letter_print_json(struct buf *to, const char *destination, const struct dead_letter *letter,
                  enum dead_letter_state state)
{
    struct json j;
    char text[TIME_TEXT_BYTES + 16];
    json_init(&j, to);
    json_object_open(&j);
    json_member_bytes(&j, "destination", bytes_of_text(destination));
    snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu32, letter->pos, letter->index);
    json_member_bytes(&j, "id", bytes_of_text(text));
    json_member_bytes(&j, "state", bytes_of_text(state_word(state)));
    json_member_bytes(&j, "tenant", letter->item.tenant);
    json_member_bytes(&j, "kind", bytes_of_text(item_kind_word(letter->item.kind)));
    json_item(&j, &letter->item);
    json_member_bytes(&j, "reason", letter->reason);
    json_member_bytes(&j, "answer", letter->answer);
    json_member_bytes(&j, "failed_at", bytes_of_text(time_print(letter->failed_ms, text)));
    json_object_close(&j);
    buf_put_u8(to, '\n');
}
