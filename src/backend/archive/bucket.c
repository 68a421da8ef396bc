/*
 * bucket.c - an archive in a bucket: see store.h.
 *
 * Pages of the listing are read as they are needed. Names of hours are in the order of time, and
 * listings in the order of names: a listing begins at the first hour of the question, and ends
 * after the last.
 *
 * The ETag of a range is compared with that of the listing: an object that was replaced in between
 * is an error.
 */
#include "backend/archive/store.h"

#include <stdio.h>

#include "backend/aws/credentials.h"
#include "backend/fetch/fetch.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/text/hex.h"

enum {
    URL_BYTES_MAX = 64 * 1024,
    NAMES_BYTES_MAX = 16 << 20, /* names of a page */
};

/* Headers of a response that are read; the first is for signed requests. */
enum bucket_wanted { WANTED_ERROR_TYPE, WANTED_ETAG };
static const char *const wanted[] = {"x-amzn-ErrorType", "ETag", NULL};

struct bucket {
    struct archive_store store; /* first: it is handed out */
    struct budget *memory;
    struct source_counts *counts;
    const struct archive_settings *settings;
    const char *prefix;
    char root[ARCHIVE_ROOT_BYTES];
};

/* An object of the current page; positions in `texts`. */
struct page_object {
    size_t key, tag;
    uint64_t size;
    bool is_young;
};

struct bucket_listing {
    struct archive_listing base; /* first: it is handed out */
    struct bucket *of;
    struct buf url, body, texts;
    struct page_object *objects;
    uint32_t count, capacity, next;
    char token[LISTING_TOKEN_BYTES];
    bool begun, ended;
};

struct bucket_range {
    struct archive_range base; /* first: it is handed out */
    const struct archive_object *object;
    struct buf url;
    char header[64];
    const char *headers[2];
    struct fetch *fetch;
    uint64_t left;
    bool answered;
};

static const char *
begin_of(const struct bucket *b)
{
    return b->prefix == NULL ? "" : b->prefix;
}

/* --- listing ---------------------------------------------------------------------------------- */

static enum err
take_object(void *context, const struct listed_object *o)
{
    struct bucket_listing *l = context;
    const char *prefix = begin_of(l->of);
    size_t size = strlen(prefix);
    const struct hours *hours = &l->base.scope.hours;
    if (strncmp(o->key, prefix, size) != 0) return OK;
    struct bytes name = bytes_of_text(o->key + size);
    bool is_after = !hours->all && name.size >= HOUR_TEXT_SIZE &&
                    memcmp(name.at, hours->last, HOUR_TEXT_SIZE) > 0;
    l->ended |= is_after;
    if (o->size == 0 || !archive_name_counts(name) || !hours_have_name(hours, name)) return OK;
    if (!array_reserve(l->base.scope.budget, &l->objects, &l->capacity, l->count + 1))
        return ERR_NOMEM;
    struct page_object object = {.key = l->texts.size, .size = o->size};
    buf_put(&l->texts, o->key, strlen(o->key) + 1);
    object.tag = l->texts.size;
    object.is_young = o->etag[0] == '\0';
    buf_put_text(&l->texts, o->etag);
    buf_put_u8(&l->texts, '|');
    buf_put(&l->texts, o->modified, strlen(o->modified) + 1);
    l->objects[l->count++] = object;
    return buf_error(&l->texts);
}

static void
put_parameter(struct buf *to, const char *name, struct bytes value)
{
    buf_printf(to, "&%s=", name);
    buf_put_percent(to, value, "");
}

static enum err
put_list_url(struct bucket_listing *l)
{
    const struct hours *hours = &l->base.scope.hours;
    const char *prefix = begin_of(l->of);
    buf_clear(&l->url);
    buf_printf(&l->url, "%s/?list-type=2", l->of->root);
    if (l->begun) {
        put_parameter(&l->url, "continuation-token", bytes_of_text(l->token));
    } else if (!hours->all) {
        struct buf after;
        buf_init(&after, NULL, URL_BYTES_MAX);
        buf_printf(&after, "%s%s", prefix, hours->first);
        put_parameter(&l->url, "start-after", buf_bytes(&after));
        if (buf_error(&after)) l->url.failed = buf_error(&after);
        buf_fini(&after);
    }
    put_parameter(&l->url, "prefix", bytes_of_text(prefix));
    buf_put_u8(&l->url, 0);
    return buf_error(&l->url);
}

static enum err
read_page(struct bucket_listing *l, struct fetch *fetch, struct why *why)
{
    const struct http_call_answer *answer;
    enum err e = fetch_await(fetch, &answer, why);
    if (e == OK) e = fetch_expect_ok(fetch, why);
    if (e == OK) e = fetch_read_all(fetch, &l->body, why);
    if (e) return e;
    e = listing_read(buf_bytes(&l->body), take_object, l, l->token);
    if (e == ERR_NOMEM) return fetch_no_memory(why);
    if (e) {
        (void)why_set(why, ERR_CORRUPT, "the response is not a listing of objects");
        return fetch_failed(fetch, ERR_CORRUPT, why);
    }
    l->ended |= l->token[0] == '\0';
    return OK;
}

static enum err
next_page(struct bucket_listing *l, struct why *why)
{
    struct fetch *fetch;
    l->count = l->next = 0;
    buf_clear(&l->body);
    buf_clear(&l->texts);
    enum err e = put_list_url(l);
    if (e) return fetch_no_memory(why);
    const struct fetch_request request = {
        .method = "GET", .url = (const char *)l->url.at, .wanted = wanted};
    e = fetch_open(l->base.scope.session, l->base.scope.control, &request, &fetch, why);
    if (e) return e;
    atomic_fetch_add_explicit(&l->of->counts->listings, 1, memory_order_relaxed);
    e = read_page(l, fetch, why);
    fetch_close(fetch);
    l->begun = true;
    return e;
}

static enum err
list(struct archive_store *store, const struct archive_scope *scope,
     struct archive_listing **ret_listing, struct why *why)
{
    struct bucket_listing *l = mem_new(scope->budget, sizeof *l);
    if (l == NULL) return fetch_no_memory(why);
    l->base = (struct archive_listing){*scope};
    l->of = (struct bucket *)store;
    buf_init(&l->url, scope->budget, URL_BYTES_MAX);
    buf_init(&l->body, scope->budget, LISTING_BYTES_MAX);
    buf_init(&l->texts, scope->budget, NAMES_BYTES_MAX);
    *ret_listing = &l->base;
    return OK;
}

static enum err
bucket_next(struct archive_listing *listing, struct archive_object *ret, bool *ret_more,
            struct why *why)
{
    struct bucket_listing *l = (struct bucket_listing *)listing;
    *ret_more = false;
    while (l->next == l->count) {
        if (l->ended) return OK;
        enum err e = next_page(l, why);
        if (e) return e;
    }
    const struct page_object *o = &l->objects[l->next++];
    snprintf(ret->key, sizeof ret->key, "%s", (const char *)l->texts.at + o->key);
    snprintf(ret->tag, sizeof ret->tag, "%s", (const char *)l->texts.at + o->tag);
    ret->size = o->size;
    ret->is_young = o->is_young;
    *ret_more = true;
    return OK;
}

static void
bucket_free_listing(struct archive_listing *listing)
{
    struct bucket_listing *l = (struct bucket_listing *)listing;
    if (l == NULL) return;
    buf_fini(&l->url);
    buf_fini(&l->body);
    buf_fini(&l->texts);
    array_free(l->base.scope.budget, l->objects, l->capacity);
    mem_free(l->base.scope.budget, l, sizeof *l);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
bucket_close_range(struct archive_range *range)
{
    struct bucket_range *r = (struct bucket_range *)range;
    if (r == NULL) return;
    fetch_close(r->fetch);
    buf_fini(&r->url);
    mem_free(r->base.budget, r, sizeof *r);
}

static enum err
open_range(struct archive_store *store, const struct archive_scope *scope,
           const struct archive_object *object, uint64_t offset, uint64_t size,
           struct archive_range **ret_range, struct why *why)
{
    const struct bucket *b = (const struct bucket *)store;
    struct bucket_range *r = mem_new(scope->budget, sizeof *r);
    if (r == NULL) return fetch_no_memory(why);
    r->base = (struct archive_range){scope->budget};
    r->object = object;
    r->left = size;
    buf_init(&r->url, scope->budget, URL_BYTES_MAX);
    buf_printf(&r->url, "%s/", b->root);
    buf_put_percent(&r->url, bytes_of_text(object->key), "/");
    buf_put_u8(&r->url, 0);
    snprintf(r->header, sizeof r->header, "Range: bytes=%llu-%llu", (unsigned long long)offset,
             (unsigned long long)(offset + size - 1));
    r->headers[0] = r->header;
    const struct fetch_request request = {
        .method = "GET", .url = (const char *)r->url.at, .headers = r->headers, .wanted = wanted};
    enum err e = buf_error(&r->url) ? fetch_no_memory(why) : OK;
    if (e == OK) e = fetch_open(scope->session, scope->control, &request, &r->fetch, why);
    if (e)
        bucket_close_range(&r->base);
    else
        *ret_range = &r->base;
    return e;
}

static enum err
await_range(struct bucket_range *r, struct why *why)
{
    const struct http_call_answer *a;
    char etag[LISTING_ETAG_BYTES];
    enum err e = fetch_await(r->fetch, &a, why);
    if (e) return e;
    const struct archive_object *o = r->object;
    if (a->status == 404 || a->status == 416) {
        return why_set(why, ERR_AGAIN, "%s: the object was removed or replaced after it was listed",
                       o->key);
    }
    e = fetch_expect_ok(r->fetch, why);
    if (e) return e;
    etag_plain(a->wanted[WANTED_ETAG], etag);
    size_t size = strcspn(o->tag, "|");
    bool same =
        size == 0 || etag[0] == '\0' || (strlen(etag) == size && memcmp(etag, o->tag, size) == 0);
    if (!same)
        return why_set(why, ERR_AGAIN, "%s: the object was replaced while it was read", o->key);
    if (a->status != 206) {
        return why_set(why, ERR_UNSUPPORTED, "%s: the store does not serve ranges (status %u)",
                       o->key, a->status);
    }
    r->answered = true;
    return OK;
}

static enum err
read_range(struct archive_range *range, struct bytes *ret_piece, struct why *why)
{
    struct bucket_range *r = (struct bucket_range *)range;
    *ret_piece = bytes_of(NULL, 0);
    enum err e = r->answered ? OK : await_range(r, why);
    if (e == OK) e = fetch_read(r->fetch, ret_piece, why);
    if (e) return e;
    bool is_wrong = ret_piece->size > r->left || (ret_piece->size == 0 && r->left > 0);
    if (is_wrong) {
        return why_set(why, ERR_AGAIN, "%s: the store sent another range than was asked for",
                       r->object->key);
    }
    r->left -= ret_piece->size;
    return OK;
}

/* --- the store -------------------------------------------------------------------------------- */

static void
free_bucket(struct archive_store *store)
{
    struct bucket *b = (struct bucket *)store;
    mem_free(b->memory, b, sizeof *b);
}

enum err
archive_bucket_root(const struct reader_options *options, char ret_root[ARCHIVE_ROOT_BYTES],
                    struct why *why)
{
    const struct archive_settings *x = &options->settings->u.archive;
    const struct aws_bucket bucket = {x->bucket, x->endpoint, x->path_style};
    struct aws_setup setup = {options->env, options->memory, &x->aws, &aws_variables_real};
    char region[AWS_REGION_BYTES], endpoint[AWS_BUCKET_ENDPOINT_BYTES];
    bool in_path;
    enum err e = aws_region(&setup, region, why);
    if (e == OK) e = aws_bucket_endpoint(&setup, &bucket, region, endpoint, &in_path, why);
    if (e) return e;
    snprintf(ret_root, ARCHIVE_ROOT_BYTES, "%s%s%s", endpoint, in_path ? "/" : "",
             in_path ? x->bucket : "");
    return OK;
}

enum err
archive_bucket_new(const struct reader_options *options, struct archive_store **ret_store,
                   struct why *why)
{
    static const struct archive_store_ops ops = {
        .list = list,
        .next = bucket_next,
        .free_listing = bucket_free_listing,
        .open = open_range,
        .read = read_range,
        .close = bucket_close_range,
        .free = free_bucket,
    };
    const struct archive_settings *x = &options->settings->u.archive;
    struct bucket *b = mem_new(options->memory, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    b->store.ops = &ops;
    b->memory = options->memory;
    b->counts = options->counts;
    b->settings = x;
    b->prefix = x->prefix;
    enum err e = archive_bucket_root(options, b->root, why);
    if (e)
        free_bucket(&b->store);
    else
        *ret_store = &b->store;
    return e;
}
