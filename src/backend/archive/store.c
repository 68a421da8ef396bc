/* store.c - see store.h. */
#include "backend/archive/store.h"

#include <stdio.h>

#include "backend/aws/aws.h"
#include "base/text/time_text.h"

/* --- hours ------------------------------------------------------------------------------------ */

/* Hours of this form are in the order of their texts. */

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

/* --- listings --------------------------------------------------------------------------------- */

struct listing_reading {
    enum err (*each)(void *context, const struct listed_object *o);
    void *context;
    struct listed_object object;
    char etag[LISTING_ETAG_BYTES];
    char size[24];
};

static bool
parse_size(const char *text, uint64_t *ret)
{
    uint64_t size = 0;
    if (text[0] == '\0') return false;
    for (const char *p = text; *p != '\0'; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(size, (uint64_t)10, &size) ||
            __builtin_add_overflow(size, (uint64_t)(*p - '0'), &size))
            return false;
    *ret = size;
    return size <= INT64_MAX;
}

void
etag_plain(const char *from, char to[LISTING_ETAG_BYTES])
{
    if (from[0] == 'W' && from[1] == '/') from += 2;
    if (from[0] == '"') from++;
    snprintf(to, LISTING_ETAG_BYTES, "%.*s", (int)strcspn(from, "\""), from);
}

static enum err
store_take_object(void *context)
{
    struct listing_reading *r = context;
    if (r->object.key[0] == '\0' || !parse_size(r->size, &r->object.size)) return ERR_INPUT;
    etag_plain(r->etag, r->object.etag);
    return r->each(r->context, &r->object);
}

enum err
listing_read(struct bytes body, enum err (*each)(void *context, const struct listed_object *o),
             void *context, char ret_token[LISTING_TOKEN_BYTES])
{
    static const char *const roots[] = {"ListBucketResult", NULL};
    struct listing_reading r = {.each = each, .context = context};
    char truncated[8], token[LISTING_TOKEN_BYTES];
    struct aws_xml_field fields[] = {
        {roots[0], "NextContinuationToken", token, sizeof token},
        {roots[0], "IsTruncated", truncated, sizeof truncated},
        {"Contents", "Key", r.object.key, sizeof r.object.key},
        {"Contents", "ETag", r.etag, sizeof r.etag},
        {"Contents", "LastModified", r.object.modified, sizeof r.object.modified},
        {"Contents", "Size", r.size, sizeof r.size},
    };
    const struct aws_xml_form form = {
        .roots = roots,
        .fields = fields,
        .count = sizeof fields / sizeof *fields,
        .bytes_max = LISTING_BYTES_MAX,
        .is_exact = true, /* a cut key would name another object */
        .item = "Contents",
        .each = store_take_object,
        .context = &r,
    };
    enum err e = aws_xml_walk(body, &form);
    if (e) return e == ERR_MISSING ? ERR_INPUT : e;
    bool more = strcmp(truncated, "true") == 0;
    if (more && token[0] == '\0') return ERR_INPUT;
    snprintf(ret_token, LISTING_TOKEN_BYTES, "%s", more ? token : "");
    return OK;
}
