/* rule_unit_text.c - writes expected and actual results of a test of rules as promtool does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

void
put_scientific(struct buf *to, double value)
{
    char text[48], word[NUMBER_TEXT_BYTES];
    if (!isfinite(value)) {
        buf_put(to, word, number_print(double_bits(value), word));
        return;
    }
    int digits = 0;
    do {
        snprintf(text, sizeof text, "%.*E", digits++, value);
    } while (strtod(text, NULL) != value);
    buf_put_text(to, text);
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
