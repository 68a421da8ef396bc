/* hours.c - see store.h. Hours of this form are in the order of their texts. */
#include "backend/archive/store.h"

#include "base/text/time_text.h"

#define HOUR_MS      3600000
#define TIME_MS_MIN  (-62167219200000) /* start of the year 0 */
#define TIME_MS_LAST 253402300799999   /* end of the year 9999 */

static void
print_hour(int64_t ms, char to[HOUR_TEXT_BYTES])
{
    char text[TIME_TEXT_BYTES]; /* 2026-01-02T03:... */
    if (ms < TIME_MS_MIN) ms = TIME_MS_MIN;
    if (ms > TIME_MS_LAST) ms = TIME_MS_LAST;
    time_print(ms, text);
    memcpy(to, text, HOUR_TEXT_SIZE);
    to[4] = to[7] = to[10] = to[13] = '/';
    to[HOUR_TEXT_SIZE] = '\0';
}

void
hours_between(int64_t min_ms, int64_t max_ms, int64_t late_ms, struct hours *ret)
{
    int64_t first_ms, last_ms;
    if (__builtin_sub_overflow(min_ms, late_ms, &first_ms)) first_ms = INT64_MIN;
    if (__builtin_add_overflow(max_ms, late_ms, &last_ms)) last_ms = INT64_MAX;
    ret->all = false;
    print_hour(first_ms, ret->first);
    print_hour(last_ms, ret->last);
}

static bool
has_form(struct bytes text)
{
    static const char form[] = "dddd/dd/dd/dd/";
    for (size_t i = 0; i < text.size; i++) {
        bool is_digit = text.at[i] >= '0' && text.at[i] <= '9';
        if (form[i] == 'd' ? !is_digit : text.at[i] != '/') return false;
    }
    return true;
}

bool
hours_have_name(const struct hours *h, struct bytes name)
{
    if (h->all) return true;
    return name.size > HOUR_TEXT_SIZE && has_form(bytes_of(name.at, HOUR_TEXT_SIZE)) &&
           memcmp(name.at, h->first, HOUR_TEXT_SIZE) >= 0 &&
           memcmp(name.at, h->last, HOUR_TEXT_SIZE) <= 0;
}

bool
hours_may_be_in(const struct hours *h, struct bytes dir)
{
    if (h->all) return true;
    size_t size = dir.size < HOUR_TEXT_SIZE ? dir.size : HOUR_TEXT_SIZE;
    return has_form(bytes_of(dir.at, size)) && memcmp(dir.at, h->first, size) >= 0 &&
           memcmp(dir.at, h->last, size) <= 0;
}
