/*
 * upload.c - see delivery.h.
 *
 * s3_upload_request() makes the request of the current phase, and the same one if called again;
 * only s3_upload_take() changes the phase. The ETags of parts are kept unchanged; because they are
 * sent in XML, their characters are checked. One buffer serves for a part's bytes and, in the end,
 * for the list of parts.
 */
#include "backend/s3/delivery.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "backend/aws/aws.h"
#include "base/text/hex.h"

enum {
    ETAG_BYTES_MAX = 128,
    ETAGS_BYTES_MAX = S3_PARTS_MAX * (ETAG_BYTES_MAX + 2),
    COMPLETE_BYTES_MAX = S3_PARTS_MAX * (ETAG_BYTES_MAX + 80), /* with elements */
    QUERY_BYTES_MAX = 3 * S3_UPLOAD_ID_BYTES + 64,
};
_Static_assert((int)COMPLETE_BYTES_MAX < (int)S3_PART_BYTES, "the same memory serves both");

void
s3_upload_init(struct s3_upload *u, struct budget *memory)
{
    *u = (struct s3_upload){.phase = S3_UPLOAD_DONE};
    buf_init(&u->etags, memory, ETAGS_BYTES_MAX);
    buf_init(&u->body, memory, S3_PART_BYTES);
    buf_init(&u->query, memory, QUERY_BYTES_MAX);
}

void
s3_upload_fini(struct s3_upload *u)
{
    buf_fini(&u->etags);
    buf_fini(&u->body);
    buf_fini(&u->query);
}

void
s3_upload_clear(struct s3_upload *u)
{
    u->phase = S3_UPLOAD_DONE;
    u->id[0] = 0;
    u->refused = u->unseen = u->leftover = false;
    buf_fini(&u->etags);
    buf_fini(&u->body);
}

/* Begins again, with nothing uploaded. */
static void
begin_again(struct s3_upload *u)
{
    u->phase = u->size > S3_PART_BYTES ? S3_UPLOAD_CREATE : S3_UPLOAD_PUT;
    u->id[0] = 0;
    u->part = 0;
    buf_clear(&u->etags);
}

void
s3_upload_begin(struct s3_upload *u, const struct s3_object *o, struct s3_upload_how how)
{
    assert(o->size <= (uint64_t)S3_PART_BYTES * S3_PARTS_MAX);
    u->how = how;
    u->size = o->size;
    u->refused = u->unseen = u->leftover = false;
    s3_object_print_digest(o, u->digest);
    begin_again(u);
    if (how.looks) u->phase = S3_UPLOAD_LOOK;
}

static uint32_t
part_count(const struct s3_upload *u)
{
    return (uint32_t)((u->size + S3_PART_BYTES - 1) / S3_PART_BYTES);
}

/* --- requests --------------------------------------------------------------------------------- */

enum err
s3_upload_request(struct s3_upload *u, struct s3_object *o, const char *content_type,
                  struct s3_request *ret, struct why *why)
{
    enum err e = OK;
    snprintf(u->key, sizeof u->key, "%s%s", o->dir, o->base);
    struct s3_request r = {.method = "PUT", .key = u->key, .kind = S3_PART};
    struct cursor etags = cursor_of(buf_bytes(&u->etags));
    buf_clear(&u->query);
    if (u->phase == S3_UPLOAD_CREATE) buf_put_text(&u->query, "uploads=");
    if (u->phase == S3_UPLOAD_PART) buf_printf(&u->query, "partNumber=%u&", u->part + 1);
    if (u->phase == S3_UPLOAD_PART || u->phase == S3_UPLOAD_COMPLETE) {
        buf_put_text(&u->query, "uploadId=");
        buf_put_percent(&u->query, bytes_of_text(u->id), "");
    }
    buf_put_u8(&u->query, 0);
    buf_clear(&u->body);
    switch (u->phase) {
    case S3_UPLOAD_LOOK:
    case S3_UPLOAD_COMPARE:
        r.method = "HEAD";
        r.kind = S3_PLAIN;
        break;
    case S3_UPLOAD_PUT:
        r.kind = S3_OBJECT;
        r.content_type = content_type;
        r.digest = u->digest;
        r.only_new = u->how.only_new;
        r.md5 = u->md5;
        e = s3_object_read(o, 0, &u->body, u->md5, why);
        break;
    case S3_UPLOAD_CREATE:
        r.method = "POST";
        r.kind = S3_CREATE;
        r.content_type = content_type;
        r.digest = u->digest;
        break;
    case S3_UPLOAD_PART:
        r.content_type = "application/octet-stream";
        r.md5 = u->md5;
        e = s3_object_read(o, u->part, &u->body, u->md5, why);
        break;
    default:
        assert(u->phase == S3_UPLOAD_COMPLETE);
        r.method = "POST";
        r.kind = S3_PLAIN;
        r.content_type = "application/xml";
        r.only_new = u->how.only_new;
        buf_put_text(&u->body, "<CompleteMultipartUpload>");
        for (uint32_t i = 0; i < part_count(u); i++) {
            /* Besides quotes, an ETag has no special characters of XML: see is_etag(). */
            struct bytes etag = cursor_counted(&etags);
            buf_printf(&u->body, "<Part><PartNumber>%u</PartNumber><ETag>%.*s</ETag></Part>", i + 1,
                       (int)etag.size, (const char *)etag.at);
        }
        buf_put_text(&u->body, "</CompleteMultipartUpload>");
        break;
    }
    e = err_first(e, err_first(buf_error(&u->body), buf_error(&u->query)));
    if (e) return e;
    if (u->query.size > 1) r.query = (const char *)u->query.at;
    r.body = buf_bytes(&u->body);
    *ret = r;
    return OK;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
say_odd(struct writer_step *judged, const char *what)
{
    step_done(judged, VERDICT_RETRY, "odd_answer", what);
}

static void
take_created(struct s3_upload *u, const struct http_call_answer *answer, struct writer_step *judged)
{
    static const char *const roots[] = {"InitiateMultipartUploadResult", NULL};
    struct aws_xml_field field = {NULL, "UploadId", u->id, sizeof u->id};
    enum err e = aws_xml_read(answer->body, roots, &field, 1);
    size_t size = strlen(u->id);
    bool odd = e != OK || size == 0 || size + 1 >= sizeof u->id;
    for (size_t i = 0; i < size; i++)
        odd |= u->id[i] <= ' ' || u->id[i] > '~';
    if (odd) {
        u->id[0] = 0;
        say_odd(judged, "the response to CreateMultipartUpload has no upload id");
        return;
    }
    u->phase = S3_UPLOAD_PART;
}

/* The ETag will be sent in XML. */
static bool
is_etag(struct bytes etag)
{
    for (size_t i = 0; i < etag.size; i++) {
        uint8_t c = etag.at[i];
        bool plain = isalnum(c) || c == '"' || c == '-' || c == '_' || c == '+' || c == '/' ||
                     c == '=' || c == '.' || c == ':';
        if (!plain) return false;
    }
    return etag.size > 0 && etag.size <= ETAG_BYTES_MAX;
}

/* True if a refusal means that the uploaded parts are useless. */
static bool
is_lost(const struct s3_upload *u, const struct http_call_answer *answer)
{
    static const char *const codes[] = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder",
                                        "EntityTooSmall"};
    struct aws_error error;
    bool in_parts = u->phase == S3_UPLOAD_PART || u->phase == S3_UPLOAD_COMPLETE;
    if (!in_parts || answer->failure != HTTP_CALL_ANSWERED) return false;
    aws_xml_error(answer, &error);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(error.code, codes[i]) == 0) return true;
    return false;
}

/*
 * True if the existing object is this one: by the checksum in its metadata, or by its ETag, which
 * is the checksum unless the object is encrypted with a customer's key. A proxy may have removed
 * the length.
 */
static bool
is_this_object(const struct s3_upload *u, const struct http_call_answer *answer)
{
    char length[24];
    const char *etag = answer->wanted[S3_WANTED_ETAG], *digest = answer->wanted[S3_WANTED_DIGEST];
    size_t size = strlen(u->digest);
    snprintf(length, sizeof length, "%" PRIu64, u->size);
    const char *sent_length = answer->wanted[S3_WANTED_LENGTH];
    if (sent_length[0] != 0 && strcmp(sent_length, length) != 0) return false;
    if (digest[0] != 0) return strcmp(digest, u->digest) == 0;
    etag += etag[0] == '"';
    return strncmp(etag, u->digest, size) == 0 && (etag[size] == 0 || etag[size] == '"');
}

/* True for a refusal that is not temporary. */
static bool
is_refusal(const struct http_call_answer *answer, const struct writer_step *judged)
{
    bool later = judged->verdict == VERDICT_RETRY || judged->verdict == VERDICT_THROTTLED ||
                 judged->verdict == VERDICT_AGAIN || judged->verdict == VERDICT_UNPREPARED;
    return answer->failure == HTTP_CALL_ANSWERED && answer->status >= 400 && answer->status < 500 &&
           !later;
}

static void
lead_on(struct s3_upload *u, enum s3_upload_phase phase, struct writer_step *judged)
{
    u->phase = phase;
    step_done(judged, VERDICT_DELIVERED, "", "");
}

/*
 * Takes the result of a HEAD. If it is forbidden (403, which without s3:ListBucket is also the
 * answer for a missing object), nothing is known: the next request explains more than a HEAD, which
 * has no body.
 */
static void
take_look(struct s3_upload *u, const struct http_call_answer *answer, struct writer_step *judged)
{
    bool found = judged->verdict == VERDICT_DELIVERED;
    /* Every object store sends one of them; a web page that answers every request with 200 does
     * not. */
    bool names_an_object =
        answer->wanted[S3_WANTED_ETAG][0] != 0 || answer->wanted[S3_WANTED_DIGEST][0] != 0;
    if (!found && !is_refusal(answer, judged)) return;
    if (found && u->phase == S3_UPLOAD_LOOK && !names_an_object) {
        say_odd(judged, "the response to HEAD says that the object exists, but has no ETag: check "
                        "that an object store answers at this endpoint");
    } else if (found) {
        lead_on(u, is_this_object(u, answer) ? S3_UPLOAD_DONE : S3_UPLOAD_TAKEN, judged);
    } else if (u->phase == S3_UPLOAD_LOOK) {
        begin_again(u);
        lead_on(u, u->phase, judged);
    } else if (answer->status == 404) { /* it was removed meanwhile */
        begin_again(u);
        step_done(judged, VERDICT_RETRY, "conflict", "an object of this name existed and is gone");
    } else {
        u->unseen = true;
        lead_on(u, S3_UPLOAD_TAKEN, judged);
    }
}

/* True if the answer has that status or, if the status was sent before the parts were joined,
 * that code. */
static bool
answer_says(const struct http_call_answer *answer, unsigned status, const char *code)
{
    struct aws_error error;
    if (answer->failure != HTTP_CALL_ANSWERED) return false;
    if (answer->status == status) return true;
    aws_xml_error(answer, &error);
    return strcmp(error.code, code) == 0;
}

/* Handles an answer to the condition of `only_new`; false: it is something else. */
static bool
take_condition(struct s3_upload *u, const struct http_call_answer *answer,
               struct writer_step *judged)
{
    bool in_parts = u->phase == S3_UPLOAD_COMPLETE;
    if (!u->how.only_new || !(in_parts || u->phase == S3_UPLOAD_PUT)) return false;
    if (answer_says(answer, 412, "PreconditionFailed")) {
        u->refused = true;
        u->leftover |= in_parts;
        u->id[0] = 0;
        lead_on(u, S3_UPLOAD_COMPARE, judged);
        return true;
    }
    if (answer_says(answer, 501, "NotImplemented")) {
        u->how.only_new = false;
        lead_on(u, u->phase, judged);
        return true;
    }
    /* S3's documentation: "re-initiate the multipart upload and re-upload each part" */
    if (!in_parts || !answer_says(answer, 409, "ConditionalRequestConflict")) return false;
    u->leftover = true;
    begin_again(u);
    step_done(judged, VERDICT_RETRY, "conflict", "another request for the same name is running");
    return true;
}

void
s3_upload_take(struct s3_upload *u, const struct http_call_answer *answer,
               struct writer_step *judged)
{
    static const char *const completed[] = {"CompleteMultipartUploadResult", NULL};
    struct bytes etag = bytes_of_text(answer->wanted[S3_WANTED_ETAG]);
    if (u->phase == S3_UPLOAD_LOOK || u->phase == S3_UPLOAD_COMPARE) {
        take_look(u, answer, judged);
        return;
    }
    if (judged->verdict != VERDICT_DELIVERED) {
        if (take_condition(u, answer, judged) || !is_lost(u, answer)) return;
        begin_again(u);
        judged->verdict = VERDICT_AGAIN;
        snprintf(judged->reason, sizeof judged->reason, "upload_lost");
        return;
    }
    switch (u->phase) {
    case S3_UPLOAD_CREATE:
        take_created(u, answer, judged);
        return;
    case S3_UPLOAD_PART:
        if (!is_etag(etag)) {
            say_odd(judged, "the response to UploadPart has no ETag");
            return;
        }
        buf_put_counted(&u->etags, etag);
        if (buf_error(&u->etags)) {
            begin_again(u);
            step_no_memory(judged, "the parts of an object");
            return;
        }
        if (++u->part == part_count(u)) u->phase = S3_UPLOAD_COMPLETE;
        return;
    case S3_UPLOAD_COMPLETE:
        /* A 200 alone proves nothing: it may be sent before the parts are joined. */
        if (aws_xml_read(answer->body, completed, NULL, 0) != OK) {
            say_odd(judged, "the response to CompleteMultipartUpload is not a valid result");
            return;
        }
        u->phase = S3_UPLOAD_DONE;
        u->id[0] = 0;
        return;
    default:
        assert(u->phase == S3_UPLOAD_PUT);
        if (etag.size == 0)
            say_odd(judged, "the response to PutObject has no ETag");
        else
            u->phase = S3_UPLOAD_DONE;
        return;
    }
}

uint64_t
s3_upload_requests_left(const struct s3_upload *u)
{
    switch (u->phase) {
    case S3_UPLOAD_LOOK:
        return u->size > S3_PART_BYTES ? part_count(u) + 2 : 1;
    case S3_UPLOAD_PUT:
    case S3_UPLOAD_COMPLETE:
        return 1;
    case S3_UPLOAD_CREATE:
        return part_count(u) + 2;
    case S3_UPLOAD_PART:
        return part_count(u) - u->part + 1;
    default:
        return 0;
    }
}

/* --- leftovers -------------------------------------------------------------------------------- */

enum {
    FOUND_BYTES_MAX = S3_SWEEP_PAGE * (S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES + 8),
    LIST_QUERY_BYTES_MAX = 3 * (2 * S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES) + 128,
    AGAINS_MAX = 4,
};

/* --- a page of the listing -------------------------------------------------------------------- */

struct list_reading {
    enum err (*each)(void *context, const char *key, const char *id);
    void *context;
    char key[S3_KEY_BYTES_MAX + 1];
    char id[S3_SWEEP_ID_BYTES];
};

static enum err
upload_take_upload(void *context)
{
    const struct list_reading *r = context;
    return r->key[0] == 0 || r->id[0] == 0 ? OK : r->each(r->context, r->key, r->id);
}

enum err
s3_uploads_read(struct bytes body, enum err (*each)(void *context, const char *key, const char *id),
                void *context, struct s3_uploads_page *ret_page)
{
    static const char *const roots[] = {"ListMultipartUploadsResult", NULL};
    struct s3_uploads_page page;
    struct list_reading r = {.each = each, .context = context};
    char truncated[8];
    struct aws_xml_field fields[] = {
        {roots[0], "NextKeyMarker", page.next_key, sizeof page.next_key},
        {roots[0], "NextUploadIdMarker", page.next_id, sizeof page.next_id},
        {roots[0], "IsTruncated", truncated, sizeof truncated},
        {"Upload", "Key", r.key, sizeof r.key},
        {"Upload", "UploadId", r.id, sizeof r.id},
    };
    const struct aws_xml_form form = {
        .roots = roots,
        .fields = fields,
        .count = sizeof fields / sizeof *fields,
        .bytes_max = S3_SWEEP_LIST_BYTES_MAX,
        .is_exact = true, /* a cut text would name something else */
        .item = "Upload",
        .each = upload_take_upload,
        .context = &r,
    };
    if (body.size > S3_SWEEP_LIST_BYTES_MAX) return ERR_LIMIT;
    enum err e = aws_xml_walk(body, &form);
    if (e) return e == ERR_MISSING ? ERR_INPUT : e;
    page.is_truncated = strcmp(truncated, "true") == 0;
    *ret_page = page;
    return OK;
}

/* --- sweeping --------------------------------------------------------------------------------- */

void
s3_sweep_init(struct s3_sweep *s, struct s3_bucket *bucket, const char *prefix,
              const char *instance, const char *other_key, struct budget *memory)
{
    *s = (struct s3_sweep){
        .bucket = bucket, .prefix = prefix, .instance = instance, .other_key = other_key};
    buf_init(&s->found, memory, FOUND_BYTES_MAX);
    buf_init(&s->query, memory, LIST_QUERY_BYTES_MAX);
}

void
s3_sweep_fini(struct s3_sweep *s)
{
    buf_fini(&s->found);
    buf_fini(&s->query);
}

static void
sweep_send(struct s3_sweep *s, const char *method, const char *key, struct writer_step *ret)
{
    buf_put_u8(&s->query, 0);
    if (buf_error(&s->query)) {
        step_no_memory(ret, "a request");
        return;
    }
    struct s3_request request = {.method = method, .key = key, .query = (char *)s->query.at};
    s3_bucket_send(s->bucket, &request, ret);
    ret->http.answer_bytes_max = S3_SWEEP_LIST_BYTES_MAX;
}

static void
sweep_put_parameter(struct buf *to, const char *name, struct bytes value)
{
    buf_printf(to, "&%s=", name);
    buf_put_percent(to, value, "");
}

static void
send_list(struct s3_sweep *s, struct writer_step *ret)
{
    const char *prefix = s->prefix == NULL ? "" : s->prefix;
    const char *template = strstr(prefix, "${");
    size_t size = template == NULL ? strlen(prefix) : (size_t)(template - prefix);
    s->listing = true;
    buf_clear(&s->query);
    buf_printf(&s->query, "uploads=&max-uploads=%d", S3_SWEEP_PAGE);
    sweep_put_parameter(&s->query, "prefix", bytes_of(prefix, size));
    if (s->page.is_truncated) {
        sweep_put_parameter(&s->query, "key-marker", bytes_of_text(s->page.next_key));
        sweep_put_parameter(&s->query, "upload-id-marker", bytes_of_text(s->page.next_id));
    }
    sweep_send(s, "GET", NULL, ret);
}

/* Aborts the next upload that was found. */
static void
send_abort(struct s3_sweep *s, struct writer_step *ret)
{
    struct cursor at = s->left;
    struct bytes key = cursor_counted(&at), id = cursor_counted(&at);
    s->listing = false;
    memcpy(s->key, key.at, key.size);
    s->key[key.size] = 0;
    buf_clear(&s->query);
    buf_put_text(&s->query, "uploadId=");
    buf_put_percent(&s->query, id, "");
    sweep_send(s, "DELETE", s->key, ret);
}

/* Notes an upload of this destination. */
static enum err
note_upload(void *context, const char *key, const char *id)
{
    struct s3_sweep *s = context;
    const char *slash = strrchr(key, '/'), *base = slash == NULL ? key : slash + 1;
    size_t size = strlen(s->instance);
    bool ours = strncmp(base, s->instance, size) == 0 && base[size] == '-';
    ours |= strcmp(key, s->other_key) == 0;
    if (!ours || (s->keep != NULL && strcmp(s->keep, id) == 0)) return OK;
    buf_put_counted(&s->found, bytes_of_text(key));
    buf_put_counted(&s->found, bytes_of_text(id));
    return buf_error(&s->found);
}

/* Continues with the next upload or page, or ends. */
static void
sweep_go_on(struct s3_sweep *s, struct writer_step *ret)
{
    if (cursor_left(&s->left) > 0) {
        send_abort(s, ret);
        return;
    }
    if (s->page.is_truncated && s->pages < S3_SWEEP_PAGES_MAX) {
        send_list(s, ret);
        return;
    }
    step_done(ret, VERDICT_DELIVERED, "", "no uploads of Firekeep are left");
}

static void
take_list(struct s3_sweep *s, const struct http_call_answer *answer, struct writer_step *ret)
{
    buf_clear(&s->found);
    enum err e = s3_uploads_read(answer->body, note_upload, s, &s->page);
    if (e == ERR_NOMEM) {
        step_no_memory(ret, "the list of uploads");
        return;
    }
    if (e || answer->body_cut) {
        step_done(ret, VERDICT_BLOCKED, "odd_answer", "the list of uploads is invalid");
        return;
    }
    s->pages++;
    s->left = cursor_of(buf_bytes(&s->found));
    sweep_go_on(s, ret);
}

void
s3_sweep_step(struct s3_sweep *s, const char *keep, const struct http_call_answer *answer,
              struct writer_step *ret)
{
    if (answer == NULL) {
        s->keep = keep;
        s->pages = s->agains = s->aborted = 0;
        s->page.is_truncated = false;
        send_list(s, ret);
        return;
    }
    struct aws_error error;
    struct writer_step judged;
    s3_bucket_judge(s->bucket, answer, &judged);
    aws_xml_error(answer, &error);
    bool gone = !s->listing && strcmp(error.code, "NoSuchUpload") == 0;
    if (judged.verdict == VERDICT_AGAIN && ++s->agains <= AGAINS_MAX) {
        if (s->listing)
            send_list(s, ret);
        else
            send_abort(s, ret);
    } else if (judged.verdict == VERDICT_DELIVERED || gone) {
        if (s->listing) {
            take_list(s, answer, ret);
        } else {
            (void)cursor_counted(&s->left);
            (void)cursor_counted(&s->left);
            s->aborted += !gone;
            sweep_go_on(s, ret);
        }
    } else {
        *ret = judged;
    }
}
