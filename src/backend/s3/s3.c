/*
 * s3.c - destination type `s3`: objects of NDJSON in a bucket.
 *
 * A call is a whole object. While it is filled its lines are packed, a piece at a time, into a
 * local file; memory holds one piece. delivery.c seals, uploads and indexes it. This file does the
 * rest: the saved state, the object that a crash left sealed, adding items, and the sweep of
 * abandoned uploads.
 *
 * A sealed object whose settings have changed is made again from the log, because its content is
 * outdated.
 */
#include "backend/s3/delivery.h"

#include <inttypes.h>
#include <stdio.h>

#include "backend/common/pack.h"
#include "backend/s3/object.h"
#include "base/log.h"
#include "model/labels.h"

enum {
    PIECE_BYTES = 1024 * 1024,          /* size of a piece of text, which is packed at once */
    TEXT_BYTES_MAX = 256 * 1024 * 1024, /* includes the last line, which may be long */
    PACKED_KEPT_BYTES = 4 * PIECE_BYTES,
    CHECK_AGAINS_MAX = 4,
};
static const int64_t SWEEP_AGAIN_MS = 3600 * 1000;

/* --- the saved state -------------------------------------------------------------------------- */

static void
s3_save(const struct writer *writer, struct buf *to)
{
    const struct s3_writer *w = (const struct s3_writer *)writer;
    struct buf learnt;
    buf_init(&learnt, w->base.options.memory, 256);
    s3_bucket_learnt(&w->bucket, &learnt);
    const struct s3_object *pending = NULL;
    if (w->adopted.number != 0) pending = &w->adopted;
    bool replays = w->noted != NULL && s3_object_is_replay(&w->noted->own);
    if (w->noted != NULL && !replays) pending = &w->noted->own;
    struct s3_saved saved = {
        .learnt = buf_bytes(&learnt),
        .seal_count =
            w->seal_count - replays, /* an object that is not adopted is void: see load_saved() */
        .directory = bytes_of_text(w->base.options.instance),
        .instance = bytes_of_text(w->instance),
        .content = w->content,
    };
    s3_saved_put(&saved, pending, to);
    buf_fini(&learnt);
    s3_store_save(w->store);
}

static enum err
s3_saved(struct writer *writer, struct why *why)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    return s3_store_saved(w->store, why);
}

/* The state of an unknown version is ignored. */
static void
load_saved(struct s3_writer *w, struct bytes bytes, struct s3_saved *ret)
{
    if (!s3_saved_get(bytes, ret)) return;
    /* Names keep their beginning as long as the storage directory is the same. */
    struct bytes instance = ret->instance;
    bool same = bytes_equal_text(ret->directory, w->base.options.instance) && instance.size > 0 &&
                instance.size < sizeof w->instance &&
                memchr(instance.at, '-', instance.size) == NULL &&
                memchr(instance.at, 0, instance.size) == NULL;
    if (same) {
        memcpy(w->instance, instance.at, instance.size);
        w->instance[instance.size] = 0;
    }
    /* The next number may be in an index, for an object that was never uploaded. */
    w->void_seal = ret->seal_count + 1;
    w->seal_count = ret->seal_count + 1;
}

/* --- the adopted object ----------------------------------------------------------------------- */

void
s3_release_adopted(struct s3_writer *w)
{
    s3_store_let_go(w->store, &w->adopted, false);
    w->adopted_arrived = false;
}

static enum err
adopt(struct s3_writer *w, const struct s3_saved *saved, struct why *why)
{
    const char *name = w->base.options.settings->name;
    bool same = saved->is_pending && saved->content == w->content;
    bool pretends = w->base.options.settings->dry_run;
    enum err e = s3_store_open(w->store, w->base.options.env, w->base.options.memory,
                               w->base.options.dir, same ? saved->object.number : 0, pretends, why);
    if (e || !saved->is_pending || pretends) return e;
    if (!same) {
        log_info("s3: settings have changed, rebuilding an unconfirmed object",
                 KV("destination", name), KV("object", saved->object.base));
        return OK;
    }
    struct why missing = {""};
    w->adopted = saved->object;
    e = s3_store_adopt(w->store, &w->adopted, saved->has_digest, &missing);
    if (e == OK) {
        snprintf(w->sweep_key, sizeof w->sweep_key, "%s%s", w->adopted.dir, w->adopted.base);
        return OK;
    }
    w->adopted.number = 0;
    if (e != ERR_MISSING && e != ERR_CORRUPT) return why_set(why, e, "%s", missing.text);
    log_error("s3: an undelivered object is missing or damaged on disk, rebuilding it from the log",
              KV("destination", name), KV("object", saved->object.base), KV("error", &missing));
    return OK;
}

/* --- the writer ------------------------------------------------------------------------------- */

static void
s3_fini(struct writer *writer)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    s3_object_fini(&w->adopted);
    s3_bucket_fini(&w->bucket);
    s3_upload_fini(&w->upload);
    s3_index_fini(&w->index);
    s3_sweep_fini(&w->sweep);
    packer_free(w->packer);
    buf_fini(&w->packed);
    buf_fini(&w->index_text);
    mem_free(w->base.options.memory, w->store, sizeof *w->store);
}

static enum err
s3_init(struct writer *writer, struct why *why)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    const struct writer_options *options = &w->base.options;
    w->s3 = &options->settings->u.s3;
    w->base.limits = (struct writer_limits){
        .one_lane = true,
        .concurrency = 1,
        .samples = UINT32_MAX,
        .bytes = w->s3->roll_bytes,
        .samples_max = UINT32_MAX,
        .bytes_max = w->s3->roll_bytes,
        .max_age_ms = w->s3->roll_age_ms,
        .unit = "put_requests",
        .mapped = ITEM_NDJSON_MAPPED,
    };
    w->ratio = 1;
    w->by_tenant = s3_prefix_names_tenant(w->s3->prefix);
    w->content = s3_content_hash(options->settings);
    w->adopted.file = FILE_CLOSED;
    snprintf(w->instance, sizeof w->instance, "%.64s", options->instance);
    w->sweep_due = true;
    buf_init(&w->packed, options->memory, TEXT_BYTES_MAX);
    buf_init(&w->index_text, options->memory, S3_INDEX_BYTES_MAX);
    s3_upload_init(&w->upload, options->memory);
    s3_index_init(&w->index, options->memory);
    s3_sweep_init(&w->sweep, &w->bucket, w->s3->prefix, w->instance, w->sweep_key, options->memory);
    struct s3_saved saved;
    load_saved(w, options->saved, &saved);
    w->store = mem_new(options->memory, sizeof *w->store);
    enum err e = w->store == NULL ? ERR_NOMEM : packer_new(w->s3->compression, &w->packer);
    if (e == OK) e = s3_bucket_init(&w->bucket, options, &aws_variables_real, saved.learnt, why);
    if (e == OK && !options->settings->dry_run) {
        e = path_in(w->index_dir, sizeof w->index_dir, options->dir, "index", why);
        if (e == OK) e = env_mkdir(options->env, w->index_dir, why);
        if (e == OK) e = env_syncdir(options->env, options->dir, why);
    }
    return e ? e : adopt(w, &saved, why);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
s3_call_init(struct writer *writer, struct writer_call *call)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    c->own.file = FILE_CLOSED;
    buf_init(&c->text, w->base.options.memory, TEXT_BYTES_MAX);
    s3_names_init(&c->names, w->base.options.memory);
    return OK;
}

/* The object was not delivered, and is removed: its items are settled otherwise, or added again. */
static void
drop_object(struct s3_writer *w, struct s3_call *c)
{
    bool noted = w->noted == c;
    if (noted) w->noted = NULL;
    if (noted && strcmp(w->index.dir, c->own.dir) == 0) {
        s3_index_remove_name(&w->index, c->own.base);
        buf_clear(&w->index_text);
        s3_index_print(&w->index, &w->index_text);
        enum err e = buf_error(&w->index_text);
        if (e == OK) e = s3_store_index(w, &c->own, NULL);
        err_ignore(e, "a reader that misses an object lists the hour");
    }
    s3_store_let_go(w->store, &c->own, !noted);
}

static void
s3_call_clear(struct writer *writer, struct writer_call *call)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    if (w->uploading == c) {
        w->sweep_due |= w->upload.id[0] != 0;
        s3_upload_clear(&w->upload);
        w->uploading = NULL;
    }
    if (c->own.number != 0) drop_object(w, c);
    w->adopters -= c->adopts;
    c->stage = S3_FILLING;
    c->count = 0;
    c->own = (struct s3_object){.file = FILE_CLOSED};
    c->adopts = c->has_last = false;
    buf_clear(&c->text);
    s3_names_clear(&c->names);
    memset(c->seen, 0, sizeof c->seen);
}

static void
s3_call_fini(struct writer *writer, struct writer_call *call)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    if (w->noted == c) w->noted = NULL;
    if (w->uploading == c) w->uploading = NULL;
    s3_object_fini(&c->own);
    buf_fini(&c->text);
    s3_names_fini(&c->names);
}

/* --- adding ----------------------------------------------------------------------------------- */

/* Packs `text` into the object's file. An error leaves the text. */
enum err
s3_flush_text(struct s3_writer *w, struct s3_call *c, struct why *why)
{
    struct bytes plain = buf_bytes(&c->text), packed = plain;
    enum err e = OK;
    if (plain.size == 0) return OK;
    if (w->s3->compression != COMPRESSION_NONE) {
        buf_clear(&w->packed);
        e = pack(w->packer, plain, &w->packed);
        if (e) why_set(why, e, "not enough memory to compress an object");
        packed = buf_bytes(&w->packed);
    }
    if (e == OK && c->own.number == 0) e = s3_store_begin(w->store, &c->own, why);
    if (e == OK) e = s3_object_append(w->store, &c->own, packed, why);
    if (e == OK) {
        w->ratio = (double)packed.size / (double)plain.size;
        buf_clear(&c->text);
    }
    if (w->packed.capacity > PACKED_KEPT_BYTES) buf_fini(&w->packed);
    return e;
}

enum adoption { ADOPTION_NONE, ADOPTION_COUNTS, ADOPTION_FULL };

/* Decides whether the adopted object, if there is one, contains this item. */
static enum adoption
look_at_adopted(struct s3_writer *w, struct s3_call *c, struct s3_place at)
{
    const struct s3_object *o = &w->adopted;
    if (o->number == 0) return c->adopts ? ADOPTION_FULL : ADOPTION_NONE;
    int to_first = s3_place_compare(at, o->first), to_last = s3_place_compare(at, o->last);
    bool inside = to_first >= 0 && to_last <= 0;
    if (c->count > 0 && inside != c->adopts) return ADOPTION_FULL;
    if (c->count == 0 && to_last > 0 && w->adopters == 0) { /* its items were all passed */
        s3_release_adopted(w);
        return ADOPTION_NONE;
    }
    if (!inside) return ADOPTION_NONE;
    if (!c->adopts) w->adopters++;
    c->adopts = true;
    c->has_last |= to_last == 0;
    c->count++;
    return ADOPTION_COUNTS;
}

/* Decides whether the object can take the item. The first one sets its directory; further ones
 * must have the same tenant if that is part of the directory. */
static enum writer_add
set_directory(struct s3_writer *w, struct s3_call *c, const struct item *item, struct why *why)
{
    bool other = c->count > 0 && w->by_tenant && !bytes_equal_text(item->tenant, c->tenant);
    if (c->count > 0 && !other) return WRITER_ADDED;
    struct s3_object probe = {.number = 0};
    int64_t arrival_ms = item->arrival_ms;
    if (arrival_ms == 0) arrival_ms = env_realtime_ms(w->base.options.env);
    bool fits = s3_object_place(&probe, w->s3->prefix, item->tenant, arrival_ms) &&
                item->tenant.size < sizeof c->tenant;
    if (!fits) return writer_unfit(why, "cannot use the tenant's name in an object name");
    if (other) return WRITER_FULL;
    memcpy(c->own.dir, probe.dir, sizeof probe.dir);
    c->own.hour_ms = probe.hour_ms;
    c->own.first = (struct s3_place){item->pos, item->index};
    c->own.t_min_ms = c->own.t_max_ms = item->t_ms;
    memcpy(c->tenant, item->tenant.at, item->tenant.size);
    c->tenant[item->tenant.size] = 0;
    return WRITER_ADDED;
}

static enum writer_add
s3_add(struct writer *writer, struct writer_call *call, const struct item *item,
       uint32_t *ret_entry, struct why *why)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    struct s3_place at = {item->pos, item->index};
    *ret_entry = 0;
    if (item->pos > w->offered) w->offered = item->pos;
    enum writer_add added = set_directory(w, c, item, why);
    if (added != WRITER_ADDED) return added;
    enum adoption adoption = look_at_adopted(w, c, at);
    if (adoption != ADOPTION_NONE) return adoption == ADOPTION_COUNTS ? WRITER_ADDED : WRITER_FULL;
    /* A failed write is retried, or reported, when the call is sent. */
    if (c->text.size >= PIECE_BYTES && s3_flush_text(w, c, NULL) != OK) return WRITER_FULL;
    item_ndjson_put(&c->text, item);
    enum err e = buf_error(&c->text);
    if (e) {
        c->text.failed = OK;
        if (e != ERR_LIMIT) return WRITER_NO_MEMORY;
        if (c->count > 0) return WRITER_FULL;
        return writer_unfit(why, "the line is larger than %d MiB", TEXT_BYTES_MAX >> 20);
    }
    uint64_t hash = item->series_hash | 1, *seen = &c->seen[(hash >> 1) & (S3_SEEN_SLOTS - 1)];
    if (*seen != hash) {
        s3_names_add(&c->names, labels_get(item->labels, bytes_of_text("__name__")));
        *seen = hash;
    }
    if (item->t_ms < c->own.t_min_ms) c->own.t_min_ms = item->t_ms;
    if (item->t_ms > c->own.t_max_ms) c->own.t_max_ms = item->t_ms;
    c->own.last = at;
    c->own.samples++;
    c->count++;
    return WRITER_ADDED;
}

static uint64_t
s3_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct s3_writer *w = (const struct s3_writer *)writer;
    const struct s3_call *c = (const struct s3_call *)call;
    /* An adopted object is complete with its last item. */
    if (c->adopts) return c->has_last ? w->adopted.size : 0;
    return c->own.size + (uint64_t)((double)c->text.size * w->ratio);
}

/* The number of requests for an object of this size, with that of the index. */
static uint64_t
requests_of(uint64_t size)
{
    if (size <= S3_PART_BYTES) return 2;
    return (size + S3_PART_BYTES - 1) / S3_PART_BYTES + 3;
}

static uint64_t
s3_units(const struct writer *writer, const struct writer_call *call)
{
    const struct s3_writer *w = (const struct s3_writer *)writer;
    const struct s3_call *c = (const struct s3_call *)call;
    if (w->base.options.settings->dry_run) return requests_of(s3_bytes(writer, call));
    switch (c->stage) {
    case S3_FILLING: /* the first step sends nothing, except for an object sealed earlier */
        return c->adopts && !w->adopted_arrived ? requests_of(w->adopted.size) : 0;
    case S3_SEALED:
        return requests_of(c->own.size);
    case S3_RENAMED:
        return 0;
    case S3_UPLOADING:
        return s3_upload_requests_left(&w->upload) + 1;
    case S3_INDEX_LOOKING:
    case S3_INDEXING:
        return 1;
    default:
        return 0;
    }
}

/* --- preparing -------------------------------------------------------------------------------- */

static bool
is_sweep_due(const struct s3_writer *w)
{
    return w->sweep_due && env_realtime_ms(w->base.options.env) >= w->sweep_ms;
}

static bool
s3_need_prepare(struct writer *writer)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    return aws_credentials_due(w->bucket.credentials) || is_sweep_due(w);
}

/* True if a refusal of the list of uploads holds for all requests: the keys or the bucket are
 * wrong. If only this list is forbidden, or unknown, uploads can go on. */
static bool
refuses_all(const struct writer_step *step)
{
    return step->verdict == VERDICT_UNPREPARED ||
           (step->verdict == VERDICT_BLOCKED &&
            (strcmp(step->reason, "not_found") == 0 || strcmp(step->reason, "configuration") == 0));
}

/* Tests the keys with another list: a store that does not know the list of uploads may not have
 * checked them. */
static void
look_at_keys(struct s3_writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    static const struct s3_request request = {.method = "GET", .query = "list-type=2&max-keys=1"};
    w->looking = answer == NULL;
    if (answer == NULL) {
        s3_bucket_send(&w->bucket, &request, step);
        return;
    }
    s3_bucket_judge(&w->bucket, answer, step);
    w->sweep_due |= refuses_all(step);
    if (refuses_all(step)) w->sweep_ms = 0;
    if (!refuses_all(step)) step_done(step, VERDICT_DELIVERED, "", "");
}

/* Errors of the sweep do not stop uploads: abandoned ones only cost money. */
static void
end_sweep(struct s3_writer *w, struct writer_step *step)
{
    const char *name = w->base.options.settings->name;
    w->sweeping = false;
    if (w->sweep.aborted > 0) {
        log_info("s3: aborted uploads left by a crash", KV("destination", name),
                 KV("uploads", w->sweep.aborted));
    }
    if (refuses_all(step)) return; /* it begins again with new keys or another bucket */
    w->sweep_due = step->verdict == VERDICT_RETRY || step->verdict == VERDICT_THROTTLED;
    w->sweep_ms = env_realtime_ms(w->base.options.env) + SWEEP_AGAIN_MS;
    if (step->verdict == VERDICT_DELIVERED) return;
    log_warn("s3: cannot look for uploads left by a crash, retrying later", KV("destination", name),
             KV("reason", step->reason), KV("answer", step->answer));
    bool unknown = strncmp(step->reason, "http_", 5) == 0;
    step_done(step, VERDICT_DELIVERED, "", "");
    if (unknown) look_at_keys(w, NULL, step);
}

static void
sweep(struct s3_writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    const char *keep = w->upload.id[0] == 0 ? NULL : w->upload.id;
    w->sweeping = true;
    s3_sweep_step(&w->sweep, keep, answer, step);
    if (step->next == WRITER_DONE) end_sweep(w, step);
}

static void
s3_prepare(struct writer *writer, const struct http_call_answer *answer,
           struct writer_step *ret_step)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    if (answer == NULL) w->sweeping = w->looking = false;
    if (w->looking) {
        look_at_keys(w, answer, ret_step);
        return;
    }
    if (!w->sweeping) {
        bool fetches = answer != NULL || aws_credentials_due(w->bucket.credentials);
        if (fetches) aws_credentials_step(w->bucket.credentials, answer, ret_step);
        if (fetches && ret_step->next == WRITER_SEND) return;
        if (fetches && ret_step->verdict != VERDICT_DELIVERED) return;
        if (is_sweep_due(w)) sweep(w, NULL, ret_step);
        return;
    }
    sweep(w, answer, ret_step);
}

/* --- permission check ------------------------------------------------------------------------- */

/* A HEAD has no body to explain an error: the explanation is made here. */
static void
explain_head(const struct s3_writer *w, struct writer_step *step)
{
    const char *bucket = w->s3->bucket;
    char text[WRITER_ANSWER_BYTES];
    if (step->verdict == VERDICT_DELIVERED) {
        snprintf(text, sizeof text, "bucket %s exists in region %s", bucket, w->bucket.region);
    } else if (strcmp(step->reason, "http_404") == 0) {
        snprintf(text, sizeof text, "bucket %.255s not found at %.200s", bucket,
                 w->bucket.endpoint);
    } else if (strcmp(step->reason, "http_403") == 0) {
        snprintf(text, sizeof text,
                 "bucket %s: permission s3:ListBucket is missing, or the bucket belongs to another "
                 "account; uploads may still work",
                 bucket);
    } else {
        return;
    }
    snprintf(step->answer, sizeof step->answer, "%s", text);
}

static void
check_head(struct s3_writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    static const struct s3_request request = {.method = "HEAD"};
    if (answer == NULL) {
        w->check_agains = 0;
        s3_bucket_send(&w->bucket, &request, step);
        return;
    }
    s3_bucket_judge(&w->bucket, answer, step);
    if (step->verdict == VERDICT_AGAIN && ++w->check_agains <= CHECK_AGAINS_MAX)
        s3_bucket_send(&w->bucket, &request, step);
    else
        explain_head(w, step);
}

/* Refers to an upload that does not exist: this stores nothing, and a missing permission is
 * reported before the upload is looked for. */
static void
check_may(struct s3_writer *w, const char *method, const struct http_call_answer *answer,
          struct writer_step *step)
{
    static const char query[] = "uploadId=firekeep-destinations-test";
    bool puts = strcmp(method, "PUT") == 0;
    const char *prefix = w->s3->prefix == NULL ? "" : w->s3->prefix;
    char key[S3_KEY_BYTES_MAX], whole_query[64];
    if (answer == NULL) {
        snprintf(key, sizeof key, "%.*sfirekeep-destinations-test", (int)strcspn(prefix, "$"),
                 prefix);
        snprintf(whole_query, sizeof whole_query, "%s%s", puts ? "partNumber=1&" : "", query);
        struct s3_request request = {.method = method,
                                     .key = key,
                                     .query = whole_query,
                                     .kind = puts ? S3_PART : S3_PLAIN,
                                     .body = bytes_of_text(puts ? "test" : "")};
        s3_bucket_send(&w->bucket, &request, step);
        return;
    }
    struct aws_error error;
    s3_bucket_judge(&w->bucket, answer, step);
    aws_xml_error(answer, &error);
    bool missing = strcmp(error.code, "NoSuchUpload") == 0;
    bool unknown = strcmp(error.code, "MethodNotAllowed") == 0 || answer->status == 501;
    if (!missing && !unknown) return;
    step_done(step, VERDICT_DELIVERED, "",
              missing ? "access allowed"
                      : "this store does not support uploads in parts, which large objects need");
}

static void
check_needs(const struct s3_writer *w, struct writer_step *step)
{
    const char *prefix = w->s3->prefix == NULL ? "" : w->s3->prefix;
    char kms[160] = "", shown[100];
    snprintf(shown, sizeof shown, "%.*s", (int)strcspn(prefix, "$"), prefix);
    if (w->s3->sse == S3_SSE_KMS) {
        snprintf(kms, sizeof kms, ", kms:GenerateDataKey and kms:Decrypt on %.80s",
                 w->s3->kms_key_id == NULL ? "the bucket's key" : w->s3->kms_key_id);
    }
    step_done(step, VERDICT_DELIVERED, "", "");
    snprintf(step->answer, sizeof step->answer,
             "uploads need s3:PutObject and s3:AbortMultipartUpload on arn:aws:s3:::%.80s/%s*, "
             "and s3:ListBucketMultipartUploads on the bucket%s",
             w->s3->bucket, shown, kms);
}

static bool
s3_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
         struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct s3_writer *w = (struct s3_writer *)writer;
    switch (number) {
    case 0:
        snprintf(what, WRITER_ANSWER_BYTES, "credentials");
        aws_credentials_step(w->bucket.credentials, answer, ret_step);
        return true;
    case 1:
        snprintf(what, WRITER_ANSWER_BYTES, "bucket %s (s3:ListBucket)", w->s3->bucket);
        check_head(w, answer, ret_step);
        return true;
    case 2:
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to upload, checked with an upload that does not exist (s3:PutObject)");
        check_may(w, "PUT", answer, ret_step);
        return true;
    case 3:
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to abort an upload (s3:AbortMultipartUpload)");
        check_may(w, "DELETE", answer, ret_step);
        return true;
    case 4:
        snprintf(what, WRITER_ANSWER_BYTES, "all required permissions");
        check_needs(w, ret_step);
        return true;
    default:
        return false;
    }
}

const struct writer_class s3_writer = {
    .type = DESTINATION_S3,
    .writer_bytes = sizeof(struct s3_writer),
    .call_bytes = sizeof(struct s3_call),
    .init = s3_init,
    .fini = s3_fini,
    .call_init = s3_call_init,
    .call_fini = s3_call_fini,
    .call_clear = s3_call_clear,
    .add = s3_add,
    .bytes = s3_bytes,
    .units = s3_units,
    .maps = item_ndjson_maps,
    .begin = s3_begin,
    .judge = s3_judge,
    .need_prepare = s3_need_prepare,
    .prepare = s3_prepare,
    .save = s3_save,
    .saved = s3_saved,
    .check = s3_check,
};
