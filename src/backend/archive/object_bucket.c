/*
 * object_bucket.c - see store.h. A request that S3's API makes conditional, "only if there is no
 * such object", is answered with 412 if there is one, also when it is the one that an earlier try
 * of the same request has written, whose response was lost: the caller compares.
 */
#include "backend/archive/store.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/aws/aws.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"

enum {
    OBJECT_BUCKET_URL_BYTES_MAX = 16 * 1024,
    OBJECT_HEADERS_MAX = 4,
    OBJECT_HEADER_BYTES = 96,
    UPLOAD_ID_BYTES = 1024,
    OBJECT_ETAG_BYTES = 128,
    PIECE_TEXT_BYTES = OBJECT_ETAG_BYTES + 160,
    RANGES_AT_ONCE = 64,
    STATUS_EXISTS = 412,
    STATUS_NOT_IMPLEMENTED = 501,
};

/* Headers of a response that are read; the first is for signed requests. */
enum object_wanted {
    OBJECT_WANTED_ERROR_TYPE,
    OBJECT_WANTED_LENGTH,
    OBJECT_WANTED_MODIFIED,
    OBJECT_WANTED_DIGEST,
    OBJECT_WANTED_CLASS,
    OBJECT_WANTED_ETAG,
    OBJECT_WANTED_RESTORE,
    OBJECT_WANTED_VERSION,
};
static const char *const object_bucket_wanted[] = {
    "x-amzn-ErrorType",      "Content-Length",      "Last-Modified",
    "x-amz-checksum-sha256", "x-amz-storage-class", "ETag",
    "x-amz-restore",         "x-amz-version-id",    NULL};

struct object_bucket {
    struct objects objects; /* first: it is handed out */
    struct budget *memory;
    struct fetcher *fetcher;
    const char *prefix;
    char shown[ARCHIVE_KEY_BYTES + AWS_BUCKET_NAME_BYTES_MAX];
    char root[ARCHIVE_ROOT_BYTES];
    uint32_t at_once;             /* ranges that are requested at a time */
    const atomic_bool *stop;      /* may be NULL; relaxed: it orders nothing */
    struct query_control control; /* of all requests that have none of their own */
};

/* A request and its response. */
struct object_exchange {
    struct object_bucket *bucket;
    const char *method, *key; /* for messages */
    struct query_control *control;
    struct fetch_session *session; /* of its own, because max_bytes limits what a session reads */
    struct fetch *fetch;
    const struct http_call_answer *answer;
    struct buf url;
    char headers[OBJECT_HEADERS_MAX][OBJECT_HEADER_BYTES];
    const char *lines[OBJECT_HEADERS_MAX + 1]; /* those in use; NULL after the last */
    uint32_t header_count;
};

static struct object_bucket *
object_bucket_of(struct objects *objects)
{
    return (struct object_bucket *)objects;
}

static bool
is_stopped(void *context)
{
    const struct object_bucket *b = context;
    return b->stop != NULL && atomic_load_explicit(b->stop, memory_order_relaxed);
}

/* --- a request -------------------------------------------------------------------------------- */

/* `key` is that of an object, below the prefix; NULL for the bucket. */
static void
exchange_begin(struct object_exchange *x, struct object_bucket *b, const char *key)
{
    *x = (struct object_exchange){
        .bucket = b, .key = key == NULL ? "all keys" : key, .control = &b->control};
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

PRINTF_LIKE(2, 3)
static void
exchange_header(struct object_exchange *x, const char *format, ...)
{
    va_list values;
    assert(x->header_count < OBJECT_HEADERS_MAX);
    char *line = x->headers[x->header_count];
    va_start(values, format);
    vsnprintf(line, OBJECT_HEADER_BYTES, format, values);
    va_end(values);
    x->lines[x->header_count++] = line;
}

static void
exchange_digest(struct object_exchange *x, const struct object_digest *digest)
{
    struct buf text;
    buf_init(&text, x->bucket->memory, OBJECT_HEADER_BYTES);
    base64_put(&text, bytes_of(digest->at, sizeof digest->at));
    buf_put_u8(&text, '\0');
    /* Without memory the request is sent without: what arrives is looked at in any case. */
    if (buf_error(&text) == OK) exchange_header(x, "x-amz-checksum-sha256: %s", text.at);
    buf_fini(&text);
}

/* Replaces the sentence about a query that is canceled. Returns `e`. */
static enum err
named(enum err e, struct why *why)
{
    return e == ERR_CANCELED ? why_set(why, e, "stopped") : e;
}

static bool
is_final(const struct http_call_answer *answer)
{
    return answer->status == STATUS_EXISTS || answer->status == 404;
}

static enum err
exchange_send(struct object_exchange *x, const char *method, struct bytes body, struct why *why)
{
    struct object_bucket *b = x->bucket;
    x->method = method;
    buf_put_u8(&x->url, '\0');
    if (buf_error(&x->url)) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    if (body.at != NULL) exchange_header(x, "Content-Type: application/octet-stream");
    const struct fetch_request request = {.method = method,
                                          .url = (const char *)x->url.at,
                                          .headers = x->lines,
                                          .body = body,
                                          .wanted = object_bucket_wanted,
                                          .is_final = is_final};
    enum err e = OK;
    if (x->session == NULL) e = fetch_session_open(b->fetcher, b->memory, &x->session, why);
    return e ? e : fetch_open(x->session, x->control, &request, &x->fetch, why);
}

/* Waits for the response. ERR_MISSING: status 404. */
static enum err
exchange_await(struct object_exchange *x, struct why *why)
{
    enum err e = fetch_await(x->fetch, &x->answer, why);
    if (e == OK) e = fetch_expect_ok(x->fetch, why);
    unsigned status = x->answer == NULL ? 0 : x->answer->status;
    if (e == ERR_AGAIN && status == STATUS_NOT_IMPLEMENTED) e = ERR_IO;
    if (e == ERR_IO && status == 404) return ERR_MISSING;
    if (e == ERR_IO) e = why_prefix(why, e, "%s of %s", x->method, x->key);
    return named(e, why);
}

/* Sends the request of the URL, and waits for its response. */
static enum err
exchange(struct object_exchange *x, const char *method, struct bytes body, struct why *why)
{
    enum err e = exchange_send(x, method, body, why);
    return e ? named(e, why) : exchange_await(x, why);
}

/* The bucket is missing, and `why` says so. */
static enum err
refused(enum err e)
{
    return e == ERR_MISSING ? ERR_IO : e;
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
put_content(struct object_bucket *b, const char *key, struct bytes content, bool only_new,
            struct object_digest *ret_digest, bool *ret_written, struct why *why)
{
    struct object_exchange x;
    struct why reason = {""};
    enum err e = object_digest_of(content, ret_digest);
    if (e) return why_set(why, e, "not enough memory for a checksum");
    if (content.at == NULL) content.at = (const uint8_t *)"";
    exchange_begin(&x, b, key);
    exchange_digest(&x, ret_digest);
    if (only_new) exchange_header(&x, "If-None-Match: *");
    e = exchange(&x, "PUT", content, &reason);
    bool exists = e == ERR_IO && only_new && x.answer != NULL && x.answer->status == STATUS_EXISTS;
    if (ret_written != NULL) *ret_written = e == OK;
    exchange_end(&x);
    if (exists || e == OK) return OK;
    return why_set(why, refused(e), "%s", why_text(&reason, e));
}

static enum err
bucket_put(struct objects *objects, const char *key, struct bytes content, bool only_new,
           bool *ret_written, struct why *why)
{
    struct object_digest digest;
    return put_content(object_bucket_of(objects), key, content, only_new, &digest, ret_written,
                       why);
}

/* An object that is sent in pieces. In memory of put_file(). */
struct object_upload {
    struct object_bucket *bucket;
    const char *key;
    struct file *from;
    uint64_t size;
    uint8_t *piece; /* OBJECT_PIECE_BYTES */
    struct object_digester digester;
    char id[UPLOAD_ID_BYTES]; /* "": not begun */
    struct buf list;          /* of pieces, in XML */
};

static void
exchange_upload(struct object_exchange *x, const struct object_upload *u, uint64_t number)
{
    exchange_begin(x, u->bucket, u->key);
    buf_put_text(&x->url, "?");
    if (number > 0) buf_printf(&x->url, "partNumber=%llu&", (unsigned long long)number);
    buf_put_text(&x->url, "uploadId=");
    buf_put_percent(&x->url, bytes_of_text(u->id), "");
}

static enum err
upload_begin(struct object_upload *u, struct why *why)
{
    static const char *const roots[] = {"InitiateMultipartUploadResult", NULL};
    struct aws_xml_field field = {NULL, "UploadId", u->id, sizeof u->id};
    struct object_exchange x;
    struct buf body;
    buf_init(&body, u->bucket->memory, AWS_XML_BYTES_MAX);
    exchange_begin(&x, u->bucket, u->key);
    buf_put_text(&x.url, "?uploads=");
    exchange_header(&x, "x-amz-checksum-algorithm: SHA256");
    enum err e = exchange(&x, "POST", bytes_of("", 0), why);
    if (e == OK) e = fetch_read_all(x.fetch, &body, why);
    if (e == OK && (aws_xml_read(buf_bytes(&body), roots, &field, 1) != OK || u->id[0] == '\0')) {
        (void)why_set(why, ERR_CORRUPT, "the response has no upload id");
        e = fetch_failed(x.fetch, ERR_IO, why);
    }
    exchange_end(&x);
    buf_fini(&body);
    return refused(e);
}

static enum err
upload_piece(struct object_upload *u, uint64_t number, struct bytes piece, struct why *why)
{
    struct object_exchange x;
    struct object_digest digest;
    enum err e = object_digest_of(piece, &digest);
    if (e == OK) e = object_digester_take(&u->digester, piece);
    if (e) return why_set(why, e, "not enough memory for a checksum");
    exchange_upload(&x, u, number);
    exchange_digest(&x, &digest);
    e = exchange(&x, "PUT", piece, why);
    const char *tag = e ? "" : x.answer->wanted[OBJECT_WANTED_ETAG];
    if (strpbrk(tag, "<&") != NULL) e = why_set(why, ERR_IO, "the response has an invalid ETag");
    if (e == OK) {
        buf_printf(&u->list, "<Part><PartNumber>%llu</PartNumber><ETag>%s</ETag><ChecksumSHA256>",
                   (unsigned long long)number, tag);
        base64_put(&u->list, bytes_of(digest.at, sizeof digest.at));
        buf_put_text(&u->list, "</ChecksumSHA256></Part>");
    }
    exchange_end(&x);
    return refused(e);
}

/* S3 may answer 200 with an error, when the pieces are joined. */
static enum err
upload_end(struct object_upload *u, struct why *why)
{
    static const char *const roots[] = {"CompleteMultipartUploadResult", NULL};
    struct object_exchange x;
    struct buf body;
    buf_put_text(&u->list, "</CompleteMultipartUpload>");
    if (buf_error(&u->list)) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    buf_init(&body, u->bucket->memory, AWS_XML_BYTES_MAX);
    exchange_upload(&x, u, 0);
    enum err e = exchange(&x, "POST", buf_bytes(&u->list), why);
    if (e == OK) e = fetch_read_all(x.fetch, &body, why);
    if (e == OK && aws_xml_read(buf_bytes(&body), roots, NULL, 0) != OK) {
        (void)why_set(why, ERR_AGAIN, "the pieces of the object could not be joined");
        e = fetch_failed(x.fetch, ERR_AGAIN, why);
    }
    exchange_end(&x);
    buf_fini(&body);
    return refused(e);
}

static void
upload_abandon(struct object_upload *u)
{
    struct object_exchange x;
    if (u->id[0] == '\0') return;
    exchange_upload(&x, u, 0);
    err_ignore(exchange(&x, "DELETE", bytes_of(NULL, 0), NULL), "the bucket's rules may remove it");
    exchange_end(&x);
}

static enum err
upload_pieces(struct object_upload *u, struct object_digest *ret_digest, struct why *why)
{
    enum err e = object_digester_begin(&u->digester);
    if (e) return why_set(why, e, "not enough memory for a checksum");
    e = upload_begin(u, why);
    uint64_t at = 0;
    for (uint64_t number = 1; at < u->size && e == OK; number++) {
        size_t size =
            u->size - at < OBJECT_PIECE_BYTES ? (size_t)(u->size - at) : OBJECT_PIECE_BYTES;
        e = file_read_at(u->from, u->piece, size, at, why);
        if (e == OK) e = upload_piece(u, number, bytes_of(u->piece, size), why);
        at += size;
    }
    if (e == OK) e = upload_end(u, why);
    if (e) upload_abandon(u);
    return object_digester_end(&u->digester, e, ret_digest);
}

static enum err
bucket_put_file(struct objects *objects, const char *key, struct file *from, uint64_t size,
                struct object_digest *ret_digest, struct why *why)
{
    struct object_bucket *b = object_bucket_of(objects);
    struct object_upload u = {.bucket = b, .key = key, .from = from, .size = size};
    size_t room = size < OBJECT_PIECE_BYTES ? (size_t)size + 1 : OBJECT_PIECE_BYTES;
    enum err e = OK;
    u.piece = mem_alloc(b->memory, room);
    if (u.piece == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", from->path);
    buf_init(&u.list, b->memory, SIZE_MAX);
    buf_put_text(&u.list, "<CompleteMultipartUpload>");
    if (size > OBJECT_PIECE_BYTES) {
        e = upload_pieces(&u, ret_digest, why);
    } else {
        e = file_read_at(from, u.piece, (size_t)size, 0, why);
        const struct bytes content = bytes_of(u.piece, (size_t)size);
        if (e == OK) e = put_content(b, key, content, false, ret_digest, NULL, why);
    }
    buf_fini(&u.list);
    mem_free(b->memory, u.piece, room);
    return e;
}

static enum err
bucket_remove(struct objects *objects, const char *key, struct why *why)
{
    struct object_exchange x;
    exchange_begin(&x, object_bucket_of(objects), key);
    enum err e = exchange(&x, "DELETE", bytes_of(NULL, 0), why);
    exchange_end(&x);
    return e == ERR_MISSING ? OK : e;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads the digest of an object, "BASE64" or "BASE64-PIECES". */
static bool
read_digest(const char *text, struct budget *memory, struct object_digest *ret)
{
    struct buf got;
    buf_init(&got, memory, OBJECT_HEADER_BYTES);
    bool fits =
        base64_get(bytes_of(text, strcspn(text, "-")), &got) == OK && got.size == sizeof ret->at;
    if (fits) memcpy(ret->at, got.at, sizeof ret->at);
    buf_fini(&got);
    return fits;
}

static enum err
bucket_look(struct objects *objects, const char *key, struct object_facts *ret, struct why *why)
{
    struct object_bucket *b = object_bucket_of(objects);
    struct object_exchange x;
    exchange_begin(&x, b, key);
    exchange_header(&x, "x-amz-checksum-mode: ENABLED");
    enum err e = exchange(&x, "HEAD", bytes_of(NULL, 0), why);
    if (e == ERR_MISSING) ret->now_ms = x.answer->date_s == 0 ? INT64_MIN : x.answer->date_s * 1000;
    if (e == OK) {
        const char *storage_class = x.answer->wanted[OBJECT_WANTED_CLASS];
        *ret = (struct object_facts){
            .size = strtoull(x.answer->wanted[OBJECT_WANTED_LENGTH], NULL, 10),
            .written_ms = http_time_ms(x.answer->wanted[OBJECT_WANTED_MODIFIED]),
            .now_ms = x.answer->date_s == 0 ? INT64_MIN : x.answer->date_s * 1000,
            .is_archived = (strcmp(storage_class, "GLACIER") == 0 ||
                            strcmp(storage_class, "DEEP_ARCHIVE") == 0) &&
                           strstr(x.answer->wanted[OBJECT_WANTED_RESTORE], "\"false\"") == NULL,
            .has_versions = x.answer->wanted[OBJECT_WANTED_VERSION][0] != '\0' &&
                            strcmp(x.answer->wanted[OBJECT_WANTED_VERSION], "null") != 0,
        };
        ret->has_digest =
            read_digest(x.answer->wanted[OBJECT_WANTED_DIGEST], b->memory, &ret->digest);
    }
    exchange_end(&x);
    return e;
}

static enum err
expect_range(struct object_exchange *x, struct why *why)
{
    if (x->answer->status == 206) return OK;
    (void)why_set(why, ERR_UNSUPPORTED, "the store does not serve ranges");
    return fetch_failed(x->fetch, ERR_UNSUPPORTED, why);
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
        exchange_header(&x, "Range: bytes=%llu-", (unsigned long long)reading->size);
    enum err e = exchange(&x, "GET", bytes_of(NULL, 0), why);
    if (e == OK && reading->size > 0) e = expect_range(&x, why);
    while (e == OK) {
        e = fetch_read(x.fetch, &piece, why);
        if (e == OK && piece.size == 0) break;
        if (e == OK) e = reading->take(reading->context, piece);
        if (e == OK) reading->size += piece.size;
    }
    exchange_end(&x);
    return named(e, why);
}

static enum err
bucket_get(struct objects *objects, const char *key,
           enum err (*take)(void *context, struct bytes piece), void *context, struct why *why)
{
    struct object_reading reading = {take, context, 0};
    uint64_t before;
    enum err e;
    do {
        before = reading.size;
        e = read_on(object_bucket_of(objects), key, &reading, why);
    } while (e == ERR_AGAIN && reading.size > before); /* it broke off, but not at once */
    return e;
}

/* Asks for the rest of a range, of which `done` bytes are there. */
static enum err
range_send(struct object_exchange *x, struct object_bucket *b, struct fetch_session *session,
           const struct object_range *range, size_t done, struct query_control *control,
           struct why *why)
{
    exchange_begin(x, b, range->key);
    x->session = session;
    if (control != NULL) x->control = control;
    exchange_header(x, "Range: bytes=%llu-%llu", (unsigned long long)(range->offset + done),
                    (unsigned long long)(range->offset + range->size - 1));
    return exchange_send(x, "GET", bytes_of(NULL, 0), why);
}

/* Fills the range as far as bytes come. */
static enum err
range_take(struct object_exchange *x, const struct object_range *range, size_t *done,
           struct why *why)
{
    struct bytes piece = {NULL, 0};
    enum err e = exchange_await(x, why);
    if (e == ERR_IO && x->answer != NULL && x->answer->status == 416)
        e = why_set(why, ERR_CORRUPT, "the object is shorter than its catalog says");
    if (e == OK) e = expect_range(x, why);
    while (e == OK && *done < range->size) {
        e = fetch_read(x->fetch, &piece, why);
        if (e == OK && (piece.size == 0 || piece.size > range->size - *done))
            e = why_set(why, ERR_CORRUPT, "the object has another size than its catalog says");
        if (e) break;
        memcpy(range->to + *done, piece.at, piece.size);
        *done += piece.size;
    }
    return named(e, why);
}

static void
range_end(struct object_exchange *x)
{
    x->session = NULL; /* of all ranges */
    exchange_end(x);
}

/* As many requests are under way as RANGES_AT_ONCE and the settings allow; responses are read in
 * the order of the ranges. They share a session, which waits for others once. */
static enum err
read_ranges(struct object_bucket *b, struct fetch_session *session, struct object_exchange *all,
            const struct object_range *ranges, uint32_t count, struct query_control *control,
            struct why *why)
{
    uint32_t sent = 0, read = 0, at_once = b->at_once;
    enum err e = OK;
    for (; e == OK && read < count; read++) {
        struct object_exchange *x = &all[read % at_once];
        for (; e == OK && sent < count && sent < read + at_once; sent++)
            e = range_send(&all[sent % at_once], b, session, &ranges[sent], 0, control, why);
        size_t done = 0, before = 0;
        if (e == OK) e = range_take(x, &ranges[read], &done, why);
        while (e == ERR_AGAIN && done > before) { /* it broke off, but not at once */
            before = done;
            range_end(x);
            e = range_send(x, b, session, &ranges[read], done, control, why);
            if (e == OK) e = range_take(x, &ranges[read], &done, why);
        }
        if (e) break;
        range_end(x);
    }
    for (; read < sent; read++)
        range_end(&all[read % at_once]);
    return e;
}

static enum err
bucket_read(struct objects *objects, const struct object_range *ranges, uint32_t count,
            struct query_control *control, struct why *why)
{
    struct object_bucket *b = object_bucket_of(objects);
    struct fetch_session *session = NULL;
    struct object_exchange *all = mem_new(b->memory, b->at_once * sizeof *all);
    enum err e = all == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a request") : OK;
    if (e == OK) e = fetch_session_open(b->fetcher, b->memory, &session, why);
    if (e == OK) e = read_ranges(b, session, all, ranges, count, control, why);
    fetch_session_close(session);
    mem_free(b->memory, all, b->at_once * sizeof *all);
    return e;
}

/* --- listing ---------------------------------------------------------------------------------- */

struct object_listing {
    struct object_bucket *bucket;
    enum err (*each)(void *context, const struct object_listed *object);
    void *context;
    char token[LISTING_TOKEN_BYTES];
};

static enum err
pass_on(void *context, const struct listed_object *o)
{
    struct object_listing *l = context;
    size_t size = strlen(l->bucket->prefix);
    if (strncmp(o->key, l->bucket->prefix, size) != 0) return OK;
    struct object_listed found = {o->key + size, o->size, INT64_MIN};
    int64_t written_ms;
    if (time_parse_rfc3339(bytes_of_text(o->modified), &written_ms)) found.written_ms = written_ms;
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

static enum err
bucket_list(struct objects *objects, const char *begin,
            enum err (*each)(void *context, const struct object_listed *object), void *context,
            struct why *why)
{
    struct object_listing l = {
        .bucket = object_bucket_of(objects), .each = each, .context = context};
    enum err e;
    do {
        e = list_page(&l, begin, why);
    } while (e == OK && l.token[0] != '\0');
    return e;
}

/* --- rules of the bucket ---------------------------------------------------------------------- */

enum { RULES_BYTES_MAX = 1 << 20, RULE_TEXT_BYTES = 1100 };

struct rule_reading {
    const char *prefix; /* of the bucket that is used */
    char *found;
    char status[16], prefix_of_rule[RULE_TEXT_BYTES], filter[RULE_TEXT_BYTES];
    char both[RULE_TEXT_BYTES], tag[8], days[16], date[40], storage_class[32];
};

static bool
begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* A rule concerns the prefix if one of the two begins with the other. Objects have no tags. */
static enum err
take_rule(void *context)
{
    struct rule_reading *r = context;
    const char *prefix = r->filter[0] != '\0' ? r->filter
                         : r->both[0] != '\0' ? r->both
                                              : r->prefix_of_rule;
    bool meets = begins_with(prefix, r->prefix) || begins_with(r->prefix, prefix);
    bool expires = r->days[0] != '\0' || r->date[0] != '\0';
    if (strcmp(r->status, "Enabled") != 0 || r->tag[0] != '\0' || !meets) return OK;
    if (expires) {
        snprintf(r->found, OBJECT_RULE_BYTES, "removes objects %s %.40s%s",
                 r->days[0] != '\0' ? "after" : "at", r->days[0] != '\0' ? r->days : r->date,
                 r->days[0] != '\0' ? " days" : "");
    } else if (begins_with(r->storage_class, "GLACIER") ||
               strcmp(r->storage_class, "DEEP_ARCHIVE") == 0) {
        snprintf(r->found, OBJECT_RULE_BYTES, "moves objects to %s", r->storage_class);
    }
    return OK;
}

static enum err
read_rules(struct bytes body, const char *prefix, char *ret_rule)
{
    static const char *const roots[] = {"LifecycleConfiguration", NULL};
    struct rule_reading r = {.prefix = prefix, .found = ret_rule};
    struct aws_xml_field fields[] = {
        {"Rule", "Status", r.status, sizeof r.status},
        {"Rule", "Prefix", r.prefix_of_rule, sizeof r.prefix_of_rule},
        {"Filter", "Prefix", r.filter, sizeof r.filter},
        {"And", "Prefix", r.both, sizeof r.both},
        {"Tag", "Key", r.tag, sizeof r.tag},
        {"Expiration", "Days", r.days, sizeof r.days},
        {"Expiration", "Date", r.date, sizeof r.date},
        {"Transition", "StorageClass", r.storage_class, sizeof r.storage_class},
    };
    const struct aws_xml_form form = {.roots = roots,
                                      .fields = fields,
                                      .count = sizeof fields / sizeof *fields,
                                      .bytes_max = RULES_BYTES_MAX,
                                      .item = "Rule",
                                      .each = take_rule,
                                      .context = &r};
    return aws_xml_walk(body, &form);
}

static enum err
bucket_rule(struct objects *objects, char ret_rule[OBJECT_RULE_BYTES], struct why *why)
{
    struct object_bucket *b = object_bucket_of(objects);
    struct object_exchange x;
    struct buf body;
    ret_rule[0] = '\0';
    buf_init(&body, b->memory, RULES_BYTES_MAX);
    exchange_begin(&x, b, NULL);
    buf_put_text(&x.url, "?lifecycle=");
    enum err e = exchange(&x, "GET", bytes_of(NULL, 0), why);
    if (e == OK) e = fetch_read_all(x.fetch, &body, why);
    if (e == OK) e = read_rules(buf_bytes(&body), b->prefix, ret_rule);
    exchange_end(&x);
    buf_fini(&body);
    /* No rules, or none that may be read, or a store that has none. */
    return e == ERR_AGAIN || e == ERR_NOMEM || e == ERR_CANCELED ? e : OK;
}

/* --- the bucket ------------------------------------------------------------------------------- */

static void
bucket_free(struct objects *objects)
{
    struct object_bucket *b = object_bucket_of(objects);
    fetcher_free(b->fetcher);
    mem_free(b->memory, b, sizeof *b);
}

enum err
objects_bucket(const struct reader_options *options, const atomic_bool *stop,
               struct objects **ret_objects, struct why *why)
{
    static const struct objects_ops ops = {bucket_put,  bucket_put_file, bucket_look,
                                           bucket_get,  bucket_read,     bucket_list,
                                           bucket_rule, bucket_remove,   bucket_free};
    const struct archive_settings *x = &options->settings->u.archive;
    const struct fetch_signing signing = {.aws = &x->aws, .service = "s3", .is_s3 = true};
    const struct fetcher_options fetching = {.reader = *options, .signing = &signing};
    struct object_bucket *b = mem_new(options->memory, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a bucket");
    b->objects = (struct objects){&ops, b->shown};
    b->memory = options->memory;
    b->prefix = x->prefix == NULL ? "" : x->prefix;
    snprintf(b->shown, sizeof b->shown, "s3://%s/%s", x->bucket, b->prefix);
    b->stop = stop;
    uint32_t most = options->settings->max_concurrent;
    b->at_once = most > 0 && most < RANGES_AT_ONCE ? most : RANGES_AT_ONCE;
    b->control =
        (struct query_control){.env = options->env, .is_gone = is_stopped, .gone_context = b};
    enum err e = archive_bucket_root(options, b->root, why);
    if (e == OK) e = fetcher_new(&fetching, &b->fetcher, why);
    if (e)
        bucket_free(&b->objects);
    else
        *ret_objects = &b->objects;
    return e;
}
