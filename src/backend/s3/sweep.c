/* sweep.c - see sweep.h. */
#include "backend/s3/sweep.h"

#include <expat.h>
#include <stdio.h>

enum {
    FOUND_BYTES_MAX = S3_SWEEP_PAGE * (S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES + 8),
    QUERY_BYTES_MAX = 3 * (2 * S3_KEY_BYTES_MAX + S3_SWEEP_ID_BYTES) + 128,
    DEPTH_MAX = 8,
    NAME_BYTES = 32,
    AGAINS_MAX = 4,
};

/* --- a page of the listing -------------------------------------------------------------------- */

/*
 * What is wanted stands right below the root, or right below an Upload there:
 *
 *     ListMultipartUploadsResult
 *         NextKeyMarker, NextUploadIdMarker, IsTruncated
 *         Upload
 *             Key, UploadId
 */
struct reading {
    XML_Parser parser;
    enum err (*each)(void *context, const char *key, const char *id);
    void *context;
    struct s3_uploads_page *page;
    unsigned depth;
    bool in_upload;
    char *to; /* where text goes; NULL: it is not wanted */
    size_t to_bytes;
    char key[S3_KEY_BYTES_MAX + 1];
    char id[S3_SWEEP_ID_BYTES];
    char truncated[8];
    enum err stopped;
};

static void
stop(struct reading *r, enum err e)
{
    r->stopped = e;
    XML_StopParser(r->parser, XML_FALSE);
}

static void
want(struct reading *r, char *to, size_t to_bytes)
{
    r->to = to;
    r->to_bytes = to_bytes;
    to[0] = 0;
}

static void
on_start(void *context, const char *name, const char **attributes)
{
    struct reading *r = context;
    (void)attributes;
    if (r->stopped != OK) return;
    if (r->depth == DEPTH_MAX) {
        stop(r, ERR_INPUT);
        return;
    }
    r->to = NULL;
    if (r->depth == 0 && strcmp(name, "ListMultipartUploadsResult") != 0) stop(r, ERR_INPUT);
    if (r->depth == 1) {
        r->in_upload = strcmp(name, "Upload") == 0;
        r->key[0] = r->id[0] = 0;
        if (strcmp(name, "NextKeyMarker") == 0) {
            want(r, r->page->next_key, sizeof r->page->next_key);
        } else if (strcmp(name, "NextUploadIdMarker") == 0) {
            want(r, r->page->next_id, sizeof r->page->next_id);
        } else if (strcmp(name, "IsTruncated") == 0) {
            want(r, r->truncated, sizeof r->truncated);
        }
    }
    if (r->depth == 2 && r->in_upload) {
        if (strcmp(name, "Key") == 0) want(r, r->key, sizeof r->key);
        if (strcmp(name, "UploadId") == 0) want(r, r->id, sizeof r->id);
    }
    r->depth++;
}

static void
on_end(void *context, const char *name)
{
    struct reading *r = context;
    (void)name;
    if (r->stopped != OK) return;
    r->to = NULL;
    r->depth--;
    if (r->depth != 1 || !r->in_upload) return;
    r->in_upload = false;
    if (r->key[0] == 0 || r->id[0] == 0) return;
    enum err e = r->each(r->context, r->key, r->id);
    if (e) stop(r, e);
}

static void
on_text(void *context, const char *text, int size)
{
    struct reading *r = context;
    if (r->to == NULL || r->stopped != OK) return;
    size_t used = strlen(r->to);
    if ((size_t)size >= r->to_bytes - used) { /* cut, it would name something else */
        stop(r, ERR_INPUT);
        return;
    }
    memcpy(r->to + used, text, (size_t)size);
    r->to[used + (size_t)size] = 0;
}

static void
on_doctype(void *context, const char *name, const char *system, const char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(context, ERR_INPUT);
}

enum err
s3_uploads_read(struct bytes body, enum err (*each)(void *context, const char *key, const char *id),
                void *context, struct s3_uploads_page *ret_page)
{
    struct s3_uploads_page page = {.is_truncated = false};
    struct reading r = {.each = each, .context = context, .page = &page};
    if (body.size > S3_SWEEP_LIST_BYTES_MAX) return ERR_LIMIT;
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL) return ERR_NOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    const char *at = body.size == 0 ? "" : (const char *)body.at;
    bool read = XML_Parse(r.parser, at, (int)body.size, true) == XML_STATUS_OK;
    bool no_memory = !read && XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    if (r.stopped != OK) return r.stopped;
    if (no_memory) return ERR_NOMEM;
    if (!read) return ERR_INPUT;
    page.is_truncated = strcmp(r.truncated, "true") == 0;
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
send(struct s3_sweep *s, const char *method, const char *key, struct writer_step *ret)
{
    buf_put_u8(&s->query, 0);
    if (buf_error(&s->query)) {
        step_done(ret, VERDICT_RETRY, "no_memory", "no memory for a request");
        return;
    }
    struct s3_request request = {.method = method, .key = key, .query = (char *)s->query.at};
    s3_bucket_send(s->bucket, &request, ret);
    ret->http.answer_bytes_max = S3_SWEEP_LIST_BYTES_MAX;
}

static void
put_parameter(struct buf *to, const char *name, struct bytes value)
{
    buf_printf(to, "&%s=", name);
    s3_put_encoded(to, value, false);
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
    put_parameter(&s->query, "prefix", bytes_of(prefix, size));
    if (s->page.is_truncated) {
        put_parameter(&s->query, "key-marker", bytes_of_text(s->page.next_key));
        put_parameter(&s->query, "upload-id-marker", bytes_of_text(s->page.next_id));
    }
    send(s, "GET", NULL, ret);
}

/* The upload that was found next is aborted; there are more. */
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
    s3_put_encoded(&s->query, id, false);
    send(s, "DELETE", s->key, ret);
}

/* Notes an upload if it is ours. */
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

/* On to the next upload, the next page, or the end. */
static void
go_on(struct s3_sweep *s, struct writer_step *ret)
{
    if (cursor_left(&s->left) > 0) {
        send_abort(s, ret);
        return;
    }
    if (s->page.is_truncated && s->pages < S3_SWEEP_PAGES_MAX) {
        send_list(s, ret);
        return;
    }
    step_done(ret, VERDICT_DELIVERED, "", "no upload of ours is left behind");
}

static void
take_list(struct s3_sweep *s, const struct http_call_answer *answer, struct writer_step *ret)
{
    buf_clear(&s->found);
    enum err e = s3_uploads_read(answer->body, note_upload, s, &s->page);
    if (e == ERR_NOMEM) {
        step_done(ret, VERDICT_RETRY, "no_memory", "no memory for the list of uploads");
        return;
    }
    if (e || answer->body_cut) {
        step_done(ret, VERDICT_BLOCKED, "odd_answer", "the list of uploads makes no sense");
        return;
    }
    s->pages++;
    s->left = cursor_of(buf_bytes(&s->found));
    go_on(s, ret);
}

static void
take_abort(struct s3_sweep *s, bool was_there, struct writer_step *ret)
{
    (void)cursor_counted(&s->left);
    (void)cursor_counted(&s->left);
    s->aborted += was_there;
    go_on(s, ret);
}

void
s3_sweep_step(struct s3_sweep *s, const char *keep, struct http_call_answer *answer,
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
        if (s->listing)
            take_list(s, answer, ret);
        else
            take_abort(s, !gone, ret);
    } else {
        *ret = judged;
    }
}
