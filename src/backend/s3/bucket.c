/* bucket.c - see delivery.h. */
#include "backend/s3/delivery.h"

#include <stdio.h>

#include "base/hash/hash.h"
#include "base/hash/md5.h"
#include "base/text/base64.h"
#include "base/text/hex.h"

enum {
    PATH_BYTES_MAX = 3 * (S3_KEY_BYTES_MAX + AWS_BUCKET_NAME_BYTES_MAX) + 16,
};

static const char DIGEST_HEADER[] = "x-amz-meta-firekeep-md5";
static const char *const WANTED[] = {
    "x-amzn-ErrorType", "ETag", "x-amz-bucket-region", "Location", "Content-Length",
    DIGEST_HEADER,      NULL};
_Static_assert(S3_WANTED_DIGEST == 5, "the list above begins with aws_wanted");

/* --- address ---------------------------------------------------------------------------------- */

static bool
is_region(const char *text)
{
    size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return size > 0 && size < AWS_REGION_BYTES && text[size] == 0 && text[0] != '-';
}

/* Sets the endpoint of a region; an error leaves the previous one. */
static enum err
find_endpoint(struct s3_bucket *b, const char *region, struct why *why)
{
    const struct aws_bucket bucket = {b->s3->bucket, b->s3->endpoint, b->s3->path_style};
    enum err e = aws_bucket_endpoint(&b->setup, &bucket, region, b->endpoint, &b->in_path, why);
    if (e == OK) snprintf(b->region, sizeof b->region, "%s", region);
    return e;
}

/* Hashes the settings that a learnt region depends on. */
static uint64_t
settings_hash(const struct s3_bucket *b)
{
    uint64_t hash = hash_bytes(bytes_of_text(b->s3->bucket), 1);
    hash = hash_mix(hash, hash_bytes(bytes_of_text(b->configured_region), 2));
    if (b->s3->endpoint == NULL) return hash;
    return hash_mix(hash, hash_bytes(bytes_of_text(b->s3->endpoint), 3));
}

void
s3_bucket_learnt(const struct s3_bucket *b, struct buf *to)
{
    if (strcmp(b->region, b->configured_region) == 0) return;
    buf_put_le64(to, settings_hash(b));
    buf_put_text(to, b->region);
}

enum err
s3_bucket_init(struct s3_bucket *b, const struct writer_options *options,
               const struct aws_variables *variables, struct bytes learnt, struct why *why)
{
    *b = (struct s3_bucket){.settings = options->settings, .s3 = &options->settings->u.s3};
    b->setup =
        (struct aws_setup){options->env, options->memory, &options->settings->aws, variables};
    http_target_init(&b->target, &options->settings->http, options->settings->timeout_ms);
    aws_clock_init(&b->clock, options->env);
    http_headers_init(&b->headers, options->memory);
    aws_request_init(&b->request, options->memory);
    buf_init(&b->path, options->memory, PATH_BYTES_MAX);
    char was[AWS_REGION_BYTES] = "";
    enum err e = aws_region(&b->setup, b->configured_region, why);
    if (e == OK) {
        bool known = learnt.size > 8 && learnt.size < 8 + sizeof was &&
                     load_le64(learnt.at) == settings_hash(b);
        if (known) memcpy(was, learnt.at + 8, learnt.size - 8);
        e = find_endpoint(b, is_region(was) ? was : b->configured_region, why);
    }
    if (e == OK) {
        struct aws_credentials_options who = {b->setup, &b->target, &b->clock,
                                              options->settings->name};
        e = aws_credentials_new(&who, &b->credentials);
    }
    if (e) s3_bucket_fini(b);
    return e;
}

void
s3_bucket_fini(struct s3_bucket *b)
{
    aws_credentials_free(b->credentials);
    http_headers_fini(&b->headers);
    aws_request_fini(&b->request);
    buf_fini(&b->path);
    *b = (struct s3_bucket){0};
}

/* --- requests --------------------------------------------------------------------------------- */

static void
bucket_put_header(struct http_headers *headers, const char *name, const char *value)
{
    if (value != NULL) http_headers_put(headers, name, bytes_of_text(value));
}

static enum err
bucket_make_headers(struct s3_bucket *b, const struct s3_request *r, const char *const **ret_lines,
                    struct why *why)
{
    static const char *const encryptions[] = {
        [S3_SSE_NONE] = NULL, [S3_SSE_AES256] = "AES256", [S3_SSE_KMS] = "aws:kms"};
    struct http_headers *h = &b->headers;
    bool makes_object = r->kind == S3_INDEX || r->kind == S3_OBJECT || r->kind == S3_CREATE;
    http_headers_clear(h);
    bucket_put_header(h, "Content-Type", r->content_type);
    if (makes_object) {
        bucket_put_header(h, "x-amz-server-side-encryption", encryptions[b->s3->sse]);
        bucket_put_header(h, "x-amz-server-side-encryption-aws-kms-key-id", b->s3->kms_key_id);
    }
    if (r->kind == S3_OBJECT || r->kind == S3_CREATE) {
        bucket_put_header(h, "x-amz-storage-class", b->s3->storage_class);
        bucket_put_header(h, DIGEST_HEADER, r->digest);
    }
    if (r->only_new && b->conditional != S3_CONDITIONAL_UNSUPPORTED)
        bucket_put_header(h, "If-None-Match", "*");
    enum err e = OK;
    if (r->kind != S3_PLAIN && r->kind != S3_CREATE) {
        uint8_t digest[MD5_BYTES];
        struct buf text;
        if (r->md5 == NULL) md5(r->body, digest);
        buf_init(&text, NULL, 64);
        base64_put(&text, bytes_of(r->md5 == NULL ? digest : r->md5, MD5_BYTES));
        e = buf_error(&text);
        http_headers_put(h, "Content-MD5", buf_bytes(&text));
        buf_fini(&text);
    }
    if (e == OK) e = http_put_configured(h, &b->settings->http, why);
    return e ? e : http_headers_lines(h, ret_lines);
}

void
s3_bucket_send(struct s3_bucket *b, const struct s3_request *r, struct writer_step *ret)
{
    struct why why = {""};
    const struct sigv4_credentials *keys = aws_credentials_keys(b->credentials);
    if (keys == NULL) {
        step_done(ret, VERDICT_UNPREPARED, "credentials", "credentials are not available yet");
        return;
    }
    struct aws_parts parts = {
        .target = &b->target,
        .method = r->method,
        .endpoint = b->endpoint,
        .query = r->query,
        .body = r->body,
        .service = "s3",
        .region = b->region,
        .is_s3 = true,
    };
    enum err e = bucket_make_headers(b, r, &parts.headers, &why);
    buf_clear(&b->path);
    if (b->in_path) {
        buf_put_u8(&b->path, '/');
        buf_put_text(&b->path, b->s3->bucket);
    }
    if (r->key != NULL || !b->in_path) buf_put_u8(&b->path, '/');
    if (r->key != NULL) buf_put_percent(&b->path, bytes_of_text(r->key), "/");
    buf_put_u8(&b->path, 0);
    if (e == OK) e = buf_error(&b->path);
    if (e == OK) {
        parts.path = (const char *)b->path.at;
        e = aws_sign(&parts, keys, aws_clock_now_s(&b->clock), &b->request, &ret->http, &why);
    }
    if (e) {
        http_judge_unmade(e, &why, ret);
        return;
    }
    b->generation = aws_credentials_generation(b->credentials);
    ret->next = WRITER_SEND;
    ret->http.wanted = WANTED;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Finds the region in "https://bucket.s3.REGION.amazonaws.com/..." or "...s3-REGION...". False:
 * not found. */
static bool
region_of_url(const char *url, char region[AWS_REGION_BYTES])
{
    for (const char *at = url; (at = strstr(at, "s3")) != NULL; at++) {
        bool is_service =
            at > url && (at[-1] == '.' || at[-1] == '/') && (at[2] == '.' || at[2] == '-');
        if (!is_service) continue;
        size_t size = strcspn(at + 3, "./");
        bool named = size > 0 && size < AWS_REGION_BYTES && at[3 + size] == '.' &&
                     strncmp(at + 3, "amazonaws.", 10) != 0;
        if (named) snprintf(region, AWS_REGION_BYTES, "%.*s", (int)size, at + 3);
        return named;
    }
    return false;
}

/* Finds the right region in an answer that refuses the current one. */
static bool
region_of_answer(const struct http_call_answer *answer, char region[AWS_REGION_BYTES])
{
    struct aws_error error;
    bool redirects = answer->status == 301 || answer->status == 307;
    aws_xml_error(answer, &error);
    redirects |= strncmp(error.code, "AuthorizationHeaderMalformed", 28) == 0 ||
                 strcmp(error.code, "IllegalLocationConstraintException") == 0;
    if (redirects && error.region[0] != 0) {
        snprintf(region, AWS_REGION_BYTES, "%s", error.region);
        return true;
    }
    const char *header = answer->wanted[S3_WANTED_REGION];
    if (header[0] != 0 && strlen(header) < AWS_REGION_BYTES) {
        snprintf(region, AWS_REGION_BYTES, "%.*s", AWS_REGION_BYTES - 1, header);
        return true;
    }
    return redirects && region_of_url(answer->wanted[S3_WANTED_LOCATION], region);
}

void
s3_bucket_judge(struct s3_bucket *b, const struct http_call_answer *answer, struct writer_step *ret)
{
    aws_xml_judge(&b->clock, answer, ret);
    if (answer->failure != HTTP_CALL_ANSWERED || ret->verdict == VERDICT_DELIVERED) return;
    char region[AWS_REGION_BYTES];
    bool other =
        region_of_answer(answer, region) && is_region(region) && strcmp(region, b->region) != 0;
    if (other && find_endpoint(b, region, NULL) == OK) {
        ret->verdict = VERDICT_AGAIN;
        snprintf(ret->reason, sizeof ret->reason, "region");
        return;
    }
    switch (ret->verdict) {
    case VERDICT_UNPREPARED:
        aws_credentials_refused(b->credentials, b->generation);
        return;
    case VERDICT_DEAD:
    case VERDICT_SOME_DEAD:
    case VERDICT_TOO_LARGE:
        ret->verdict = VERDICT_BLOCKED;
        return;
    default:
        return;
    }
}
