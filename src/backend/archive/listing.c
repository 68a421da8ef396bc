/* listing.c - see listing.h. */
#include "backend/archive/listing.h"

#include <stdio.h>

#include "backend/aws/xml.h"

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
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(size, (uint64_t)10, &size) ||
            __builtin_add_overflow(size, (uint64_t)(*p - '0'), &size)) {
            return false;
        }
    }
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
take_object(void *context)
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
        .each = take_object,
        .context = &r,
    };
    enum err e = aws_xml_walk(body, &form);
    if (e) return e == ERR_MISSING ? ERR_INPUT : e;
    bool more = strcmp(truncated, "true") == 0;
    if (more && token[0] == '\0') return ERR_INPUT;
    snprintf(ret_token, LISTING_TOKEN_BYTES, "%s", more ? token : "");
    return OK;
}
