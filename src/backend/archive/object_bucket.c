/* object_bucket.c - see store.h. */
#include "backend/archive/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text/hex.h"

enum { OBJECT_BUCKET_URL_BYTES_MAX = 16 * 1024 };

/* Headers of a response that are read; the first is for signed requests. */
enum object_wanted { OBJECT_BUCKET_WANTED_ERROR_TYPE, WANTED_LENGTH };
static const char *const object_bucket_wanted[] = {"x-amzn-ErrorType", "Content-Length", NULL};

struct object_bucket {
    struct budget *memory;
    struct fetcher *fetcher;
    const char *prefix;
    char root[ARCHIVE_ROOT_BYTES];
    const atomic_bool *stop;      /* may be NULL; relaxed: it orders nothing */
    struct query_control control; /* of all requests */
};

/* A request and its response. */
struct object_exchange {
    struct object_bucket *bucket;
    struct fetch_session *session; /* of its own, because max_bytes limits what a session reads */
    struct fetch *fetch;
    const struct http_call_answer *answer;
    struct buf url;
    char range[48]; /* a header; "": none */
};

static bool
is_stopped(void *context)
{
    const struct object_bucket *b = context;
    return b->stop != NULL && atomic_load_explicit(b->stop, memory_order_relaxed);
}

enum err
object_bucket_new(const struct reader_options *options, const atomic_bool *stop,
                  struct object_bucket **ret_bucket, struct why *why)
{
    const struct archive_settings *x = &options->settings->u.archive;
    const struct fetch_signing signing = {.aws = &x->aws, .service = "s3", .is_s3 = true};
    const struct fetcher_options fetching = {.reader = *options, .signing = &signing};
    struct object_bucket *b = mem_new(options->memory, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a bucket");
    b->memory = options->memory;
    b->prefix = x->prefix == NULL ? "" : x->prefix;
    b->stop = stop;
    b->control =
        (struct query_control){.env = options->env, .is_gone = is_stopped, .gone_context = b};
    enum err e = archive_bucket_root(options, b->root, why);
    if (e == OK) e = fetcher_new(&fetching, &b->fetcher, why);
    if (e)
        object_bucket_free(b);
    else
        *ret_bucket = b;
    return e;
}

void
object_bucket_free(struct object_bucket *b)
{
    if (b == NULL) return;
    fetcher_free(b->fetcher);
    mem_free(b->memory, b, sizeof *b);
}

/* --- a request -------------------------------------------------------------------------------- */

/* `key` is that of an object, below the prefix; NULL for the bucket. */
static void
exchange_begin(struct object_exchange *x, struct object_bucket *b, const char *key)
{
    *x = (struct object_exchange){.bucket = b};
    buf_init(&x->url, b->memory, OBJECT_BUCKET_URL_BYTES_MAX);
    buf_printf(&x->url, "%s/", b->root);
    if (key == NULL) return;
    buf_put_percent(&x->url, bytes_of_text(b->prefix), "/");
    buf_put_percent(&x->url, bytes_of_text(key), "/");
}

static void
exchange_end(struct object_exchange *x)
{
    fetch_close(x->fetch);
    fetch_session_close(x->session);
    buf_fini(&x->url);
}

/* Replaces the sentence about a query that is canceled. Returns `e`. */
static enum err
named(enum err e, struct why *why)
{
    return e == ERR_CANCELED ? why_set(why, e, "stopped") : e;
}

/* Sends the request of the URL, and waits for its response. ERR_MISSING: status 404. */
static enum err
exchange(struct object_exchange *x, const char *method, struct bytes body, struct why *why)
{
    const char *const headers[] = {
        x->range[0] == '\0' ? "Content-Type: application/octet-stream" : x->range, NULL};
    struct object_bucket *b = x->bucket;
    buf_put_u8(&x->url, '\0');
    if (buf_error(&x->url)) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    const struct fetch_request request = {
        .method = method,
        .url = (const char *)x->url.at,
        .headers = body.at == NULL && x->range[0] == '\0' ? NULL : headers,
        .body = body,
        .wanted = object_bucket_wanted};
    enum err e = fetch_session_open(b->fetcher, b->memory, &x->session, why);
    if (e == OK) e = fetch_open(x->session, &b->control, &request, &x->fetch, why);
    if (e == OK) e = fetch_await(x->fetch, &x->answer, why);
    if (e == OK) e = fetch_expect_ok(x->fetch, why);
    bool is_missing = e == ERR_IO && x->answer != NULL && x->answer->status == 404;
    return is_missing ? ERR_MISSING : named(e, why);
}

enum err
object_bucket_put(struct object_bucket *b, const char *key, struct bytes content, struct why *why)
{
    struct object_exchange x;
    exchange_begin(&x, b, key);
    enum err e = exchange(&x, "PUT", content, why);
    exchange_end(&x);
    return e == ERR_MISSING ? ERR_IO : e; /* the bucket is missing; `why` says so */
}

enum err
object_bucket_size(struct object_bucket *b, const char *key, uint64_t *ret_size, struct why *why)
{
    struct object_exchange x;
    exchange_begin(&x, b, key);
    enum err e = exchange(&x, "HEAD", bytes_of(NULL, 0), why);
    if (e == OK) *ret_size = strtoull(x.answer->wanted[WANTED_LENGTH], NULL, 10);
    exchange_end(&x);
    return e;
}

struct object_reading {
    enum err (*take)(void *context, struct bytes piece);
    void *context;
    uint64_t size; /* bytes that were taken */
};

/* Reads an object from reading->size on. */
static enum err
read_on(struct object_bucket *b, const char *key, struct object_reading *reading, struct why *why)
{
    struct object_exchange x;
    struct bytes piece = {NULL, 0};
    exchange_begin(&x, b, key);
    if (reading->size > 0)
        snprintf(x.range, sizeof x.range, "Range: bytes=%llu-", (unsigned long long)reading->size);
    enum err e = exchange(&x, "GET", bytes_of(NULL, 0), why);
    if (e == OK && reading->size > 0 && x.answer->status != 206) {
        (void)why_set(why, ERR_UNSUPPORTED, "the store does not serve ranges");
        e = fetch_failed(x.fetch, ERR_UNSUPPORTED, why);
    }
    while (e == OK) {
        e = fetch_read(x.fetch, &piece, why);
        if (e == OK && piece.size == 0) break;
        if (e == OK) e = reading->take(reading->context, piece);
        if (e == OK) reading->size += piece.size;
    }
    exchange_end(&x);
    return named(e, why);
}

enum err
object_bucket_get(struct object_bucket *b, const char *key,
                  enum err (*take)(void *context, struct bytes piece), void *context,
                  struct why *why)
{
    struct object_reading reading = {take, context, 0};
    uint64_t before;
    enum err e;
    do {
        before = reading.size;
        e = read_on(b, key, &reading, why);
    } while (e == ERR_AGAIN && reading.size > before); /* it broke off, but not at once */
    return e;
}

enum err
object_bucket_remove(struct object_bucket *b, const char *key, struct why *why)
{
    struct object_exchange x;
    exchange_begin(&x, b, key);
    enum err e = exchange(&x, "DELETE", bytes_of(NULL, 0), why);
    exchange_end(&x);
    return e == ERR_MISSING ? OK : e;
}

/* --- listing ---------------------------------------------------------------------------------- */

struct object_listing {
    struct object_bucket *bucket;
    enum err (*each)(void *context, const struct found_object *object);
    void *context;
    char token[LISTING_TOKEN_BYTES];
};

static enum err
pass_on(void *context, const struct listed_object *o)
{
    struct object_listing *l = context;
    size_t size = strlen(l->bucket->prefix);
    if (strncmp(o->key, l->bucket->prefix, size) != 0) return OK;
    struct found_object found = {o->key + size, o->size, o->modified};
    return l->each(l->context, &found);
}

static enum err
list_page(struct object_listing *l, const char *begin, struct why *why)
{
    struct object_exchange x;
    struct buf body;
    buf_init(&body, l->bucket->memory, LISTING_BYTES_MAX);
    exchange_begin(&x, l->bucket, NULL);
    buf_put_text(&x.url, "?list-type=2");
    if (l->token[0] != '\0') {
        buf_put_text(&x.url, "&continuation-token=");
        buf_put_percent(&x.url, bytes_of_text(l->token), "");
    }
    buf_put_text(&x.url, "&prefix=");
    buf_put_percent(&x.url, bytes_of_text(l->bucket->prefix), "");
    buf_put_percent(&x.url, bytes_of_text(begin), "");
    enum err e = exchange(&x, "GET", bytes_of(NULL, 0), why);
    if (e == OK) e = fetch_read_all(x.fetch, &body, why);
    if (e == OK) {
        e = listing_read(buf_bytes(&body), pass_on, l, l->token);
        if (e == ERR_INPUT) {
            (void)why_set(why, ERR_CORRUPT, "the response is not a listing of objects");
            e = fetch_failed(x.fetch, ERR_CORRUPT, why);
        }
    } else {
        e = e == ERR_MISSING ? ERR_IO : named(e, why);
    }
    exchange_end(&x);
    buf_fini(&body);
    return e;
}

enum err
object_bucket_list(struct object_bucket *b, const char *begin,
                   enum err (*each)(void *context, const struct found_object *object),
                   void *context, struct why *why)
{
    struct object_listing l = {.bucket = b, .each = each, .context = context};
    enum err e;
    do {
        e = list_page(&l, begin, why);
    } while (e == OK && l.token[0] != '\0');
    return e;
}
