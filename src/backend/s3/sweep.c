/* sweep.c - see delivery.h. */
#include "backend/s3/delivery.h"

#include <stdio.h>

#include "backend/aws/xml.h"
#include "base/text/hex.h"

enum {
    FOUND_BYTES_MAX = S3_SWEEP_PAGE * (S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES + 8),
    QUERY_BYTES_MAX = 3 * (2 * S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES) + 128,
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
take_upload(void *context)
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
        .each = take_upload,
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
    buf_init(&s->query, memory, QUERY_BYTES_MAX);
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
