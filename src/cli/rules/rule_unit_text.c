/* rule_unit_text.c - writes expected and actual results of a test of rules as promtool does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/json.h"
#include "base/text/time_text.h"
#include "cli/rules/rule_unit_private.h"
#include "model/labels.h"
#include "wire/number.h"

#define INDENT "            " /* begins all lines of a failure except the first */

int
label_lists_compare(const struct label_list *a, const struct label_list *b)
{
    uint32_t count = a->count < b->count ? a->count : b->count;
    for (uint32_t i = 0; i < count; i++) {
        int order = bytes_compare(a->items[i].name, b->items[i].name);
        if (order == 0) order = bytes_compare(a->items[i].value, b->items[i].value);
        if (order != 0) return order;
    }
    return (a->count > b->count) - (a->count < b->count);
}

/* --- durations and numbers -------------------------------------------------------------------- */

void
put_duration(struct buf *to, int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(to, time_print_duration(ms, text));
}

void
put_go_duration(struct buf *to, int64_t ms)
{
    long long seconds = ms / 1000, fraction = ms % 1000;
    if (ms > 0 && ms < 1000) {
        buf_printf(to, "%lldms", fraction);
        return;
    }
    if (seconds >= 3600) buf_printf(to, "%lldh", seconds / 3600);
    if (seconds >= 60) buf_printf(to, "%lldm", seconds / 60 % 60);
    buf_printf(to, "%lld", seconds % 60);
    if (fraction > 0) {
        char digits[8];
        int size = snprintf(digits, sizeof digits, ".%03lld", fraction);
        while (digits[size - 1] == '0') {
            size--;
        }
        buf_put(to, digits, (size_t)size);
    }
    buf_put_u8(to, 's');
}

/* Returns false if the value is not finite, after writing it. */
static bool
shortest(struct buf *to, double value, char *text, size_t size)
{
    if (!isfinite(value)) {
        char word[NUMBER_TEXT_BYTES];
        buf_put(to, word, number_print(double_bits(value), word));
        return false;
    }
    int digits = 0;
    do {
        snprintf(text, size, "%.*E", digits++, value);
    } while (strtod(text, NULL) != value);
    return true;
}

void
put_scientific(struct buf *to, double value)
{
    char text[48];
    if (shortest(to, value, text, sizeof text)) buf_put_text(to, text);
}

void
put_plain(struct buf *to, double value)
{
    char text[48], digits[32];
    size_t count = 0;
    if (!shortest(to, value, text, sizeof text)) return;
    char *end = strchr(text, 'E');
    int exponent = (int)strtol(end + 1, NULL, 10);
    for (const char *p = text; p < end; p++) {
        if (*p >= '0' && *p <= '9') digits[count++] = *p;
    }
    if (signbit(value)) buf_put_u8(to, '-');
    if (exponent < 0) buf_put_text(to, "0.");
    for (int i = exponent + 1; i < 0; i++) {
        buf_put_u8(to, '0');
    }
    for (int i = 0; i < (int)count || i <= exponent; i++) {
        if (i > 0 && i == exponent + 1) buf_put_u8(to, '.');
        buf_put_u8(to, i < (int)count ? (uint8_t)digits[i] : '0');
    }
}

/* --- alerts ----------------------------------------------------------------------------------- */

void
put_label_list(struct buf *to, const struct label_list *list)
{
    buf_put_u8(to, '{');
    for (uint32_t i = 0; i < list->count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        label_print(to, &list->items[i], "=");
    }
    buf_put_u8(to, '}');
}

void
put_alerts(struct buf *to, const struct fired_alert *alerts, uint32_t count)
{
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(to, "%s\n" INDENT "%u:\n" INDENT "  Labels:", i > 0 ? "," : "", i);
        put_label_list(to, &alerts[i].labels);
        buf_put_text(to, "\n" INDENT "  Annotations:");
        put_label_list(to, &alerts[i].annotations);
    }
    buf_put_text(to, count == 0 ? "]" : "\n" INDENT "]");
}

/* --- differences ------------------------------------------------------------------------------ */

#define ADDED   "\033[0;32m"
#define CHANGED "\033[0;33m"
#define REMOVED "\033[0;31m"
#define NO_MORE "\033[0m"

static void
put_json(struct buf *to, struct bytes text)
{
    struct json json;
    json_init(&json, to);
    json_put_bytes(&json, text);
}

static void
diff_begin_line(struct buf *to, unsigned depth)
{
    buf_put_text(to, "\n" INDENT);
    for (unsigned i = 0; i < depth; i++) {
        buf_put_text(to, "    ");
    }
}

/* Writes a line that only one side has. */
static void
diff_put_line(struct buf *to, unsigned depth, const char *color, const char *text)
{
    diff_begin_line(to, depth);
    buf_printf(to, "%s%s" NO_MORE, color, text);
}

static void
diff_put_pair(struct buf *to, const struct label *label)
{
    put_json(to, label->name);
    buf_put_text(to, ": ");
    put_json(to, label->value);
}

/* Writes labels or annotations of an alert that only one side has. */
static void
put_lone_list(struct buf *to, const char *color, const char *name, const struct label_list *list,
              const char *after)
{
    char text[64];
    snprintf(text, sizeof text, "\"%s\": {%s%s", name, list->count == 0 ? "}" : "",
             list->count == 0 ? after : "");
    diff_put_line(to, 2, color, text);
    for (uint32_t i = 0; i < list->count; i++) {
        diff_begin_line(to, 3);
        buf_put_text(to, color);
        diff_put_pair(to, &list->items[i]);
        if (i + 1 < list->count) buf_put_u8(to, ',');
        buf_put_text(to, NO_MORE);
    }
    snprintf(text, sizeof text, "}%s", after);
    if (list->count > 0) diff_put_line(to, 2, color, text);
}

static void
put_lone_alert(struct buf *to, const char *color, const struct fired_alert *alert)
{
    diff_put_line(to, 1, color, "{");
    put_lone_list(to, color, "Annotations", &alert->annotations, ",");
    put_lone_list(to, color, "Labels", &alert->labels, "");
    diff_put_line(to, 1, color, "}");
}

static void
put_list_diff(struct buf *to, const char *name, const struct label_list *expected,
              const struct label_list *got, const char *after)
{
    uint32_t i = 0, k = 0;
    diff_begin_line(to, 2);
    buf_printf(to, "\"%s\": {", name);
    for (bool first = true; i < expected->count || k < got->count; first = false) {
        const struct label *x = i < expected->count ? &expected->items[i] : NULL;
        const struct label *y = k < got->count ? &got->items[k] : NULL;
        int order = x == NULL ? 1 : y == NULL ? -1 : bytes_compare(x->name, y->name);
        if (!first) buf_put_u8(to, ',');
        diff_begin_line(to, 3);
        if (order != 0) {
            buf_put_text(to, order < 0 ? REMOVED : ADDED);
            diff_put_pair(to, order < 0 ? x : y);
            buf_put_text(to, NO_MORE);
        } else if (bytes_equal(x->value, y->value)) {
            diff_put_pair(to, x);
        } else {
            put_json(to, x->name);
            buf_put_text(to, ": " CHANGED);
            put_json(to, x->value);
            buf_put_text(to, " => ");
            put_json(to, y->value);
            buf_put_text(to, NO_MORE);
        }
        i += order <= 0;
        k += order >= 0;
    }
    if (expected->count + got->count > 0) diff_begin_line(to, 2);
    buf_printf(to, "}%s", after);
}

void
put_alerts_diff(struct buf *to, const struct fired_alert *expected, uint32_t expected_count,
                const struct fired_alert *got, uint32_t got_count)
{
    static const struct fired_alert nothing; /* no alert at all */
    if (expected_count == 0) expected = &nothing, expected_count = 1;
    if (got_count == 0) got = &nothing, got_count = 1;
    uint32_t count = expected_count > got_count ? expected_count : got_count;
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        if (i >= expected_count || i >= got_count) {
            bool removed = i < expected_count;
            put_lone_alert(to, removed ? REMOVED : ADDED, removed ? &expected[i] : &got[i]);
            continue;
        }
        diff_begin_line(to, 1);
        buf_put_u8(to, '{');
        put_list_diff(to, "Annotations", &expected[i].annotations, &got[i].annotations, ",");
        put_list_diff(to, "Labels", &expected[i].labels, &got[i].labels, "");
        diff_begin_line(to, 1);
        buf_put_u8(to, '}');
    }
    diff_begin_line(to, 0);
    buf_put_u8(to, ']');
}
