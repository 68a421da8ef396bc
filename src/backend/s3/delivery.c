/*
 * delivery.c - see delivery.h. The states of an object:
 *
 *     FILLING --seal--> SEALED --saved--> UPLOADING --> INDEX_LOOKING --> INDEXING --> DELIVERED
 *                         ^                   |
 *                         +---- RENAMED <-----+  another object has the name
 *
 * 1. Sealed: the file is durable, the object has its name, the local index names it.
 * 2. Saved: the result of save() names the object (first and last item, file, name, checksum), and
 *    is durable before its first byte is sent. So after a crash the same bytes are sent under
 *    the same name: the file is adopted, and its items are only counted when they are added again.
 * 3. The object is in the bucket, then the index of its hour, then it is delivered.
 * 4. The file is removed when the state without it is durable.
 *
 * Names contain the id of the storage directory and positions of the log, so the same name means
 * the same content, unless the volume of the directory is rolled back: then the same id and
 * positions are used again for other content. So an upload never replaces an object with other
 * content (delivery.h). If there is one, names begin with a random id from then on, which is saved
 * with the object's new name before it is used. The name of an hour's index has the same id: the
 * index is read from the bucket before a run writes it for the first time, and keeps its entries.
 *
 * A file whose checksums do not match is abandoned, and the object is made again from the log.
 *
 * Replayed dead letters have no place in the log by which a repetition could be recognized. Their
 * objects are numbered, are not adopted, and after a crash are made again with another number.
 *
 * There is one lane, so only one object at a time is between SEALED and DELIVERED, and objects are
 * sealed in the order of the log.
 */
#include "backend/s3/delivery.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash/hash.h"
#include "base/log.h"
#include "base/text/hex.h"

enum { RANDOM_ID_BYTES = 16 };
static const int64_t INDEX_KEPT_MS = 2 * 3600 * 1000;

/* --- the index -------------------------------------------------------------------------------- */

/* Makes the index of the object's directory, with the object in it, and its text. */
static enum err
make_index(struct s3_writer *w, const struct s3_object *o, const struct s3_names *names,
           struct why *why)
{
    struct s3_index *x = &w->index;
    enum err e = OK;
    if (strcmp(x->dir, o->dir) != 0 || strcmp(x->instance, w->instance) != 0) {
        e = s3_index_load(x, w->base.options.env, w->index_dir, w->instance, o->dir, o->hour_ms,
                          why);
        s3_index_remove(x, w->void_seal);
    }
    if (e == OK) e = s3_index_put(x, o, names);
    buf_clear(&w->index_text);
    if (e == OK) s3_index_print(x, &w->index_text);
    e = err_first(e, buf_error(&w->index_text));
    if (e == ERR_NOMEM || e == ERR_LIMIT) why_set(why, e, "not enough memory for an index");
    return e;
}

enum err
s3_store_index(struct s3_writer *w, const struct s3_object *o, struct why *why)
{
    struct env *env = w->base.options.env;
    enum err e = s3_index_store(&w->index, env, w->index_dir, buf_bytes(&w->index_text), why);
    if (e == OK) s3_index_forget(env, w->index_dir, o->hour_ms - INDEX_KEPT_MS);
    return e;
}

/* --- sealing ---------------------------------------------------------------------------------- */

static void
say_failed(struct writer_step *step, enum writer_verdict verdict, enum err e, const struct why *why)
{
    const char *reason = e == ERR_FULL ? "disk_full" : e == ERR_NOMEM ? "no_memory" : "io";
    step_done(step, verdict, reason, why_text(why, e));
}

/* Makes everything durable that the upload needs, except for the result of save(). */
static void
seal(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    struct s3_object *o = &c->own;
    struct why why = {""};
    enum err e = s3_flush_text(w, c, &why);
    if (e) {
        say_failed(step, VERDICT_RETRY, e, &why);
        return;
    }
    e = s3_object_seal(w->store, o, &why);
    if (e) { /* it is not known which part of the file is on disk */
        say_failed(step, e == ERR_NOMEM ? VERDICT_RETRY : VERDICT_REBUILD, e, &why);
        return;
    }
    if (o->seal == 0) {
        o->seal = ++w->seal_count;
        uint32_t again = o->first.pos < w->base.options.again_pos ? w->base.options.fills : 0;
        s3_object_name(o, w->instance, w->offered > o->last.pos, again,
                       pack_suffix(w->s3->compression));
    }
    e = make_index(w, o, &c->names, &why);
    if (e == OK) e = s3_store_index(w, o, &why);
    if (e) {
        say_failed(step, VERDICT_RETRY, e, &why);
        return;
    }
    if (w->adopted.number != 0 && s3_place_compare(o->first, w->adopted.last) > 0)
        s3_release_adopted(w);
    buf_fini(&c->text);
    w->noted = c;
    c->stage = S3_SEALED;
    step->next = WRITER_SAVE;
}

/* --- uploading -------------------------------------------------------------------------------- */

static struct s3_object *
object_of(struct s3_writer *w, struct s3_call *c)
{
    return c->adopts ? &w->adopted : &c->own;
}

static void
send_upload(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    static const char *const types[] = {
        [COMPRESSION_NONE] = "application/x-ndjson",
        [COMPRESSION_GZIP] = "application/gzip",
        [COMPRESSION_ZSTD] = "application/zstd",
    };
    struct s3_request request;
    struct why why = {""};
    enum err e =
        s3_upload_request(&w->upload, object_of(w, c), types[w->s3->compression], &request, &why);
    if (e == OK) {
        s3_bucket_send(&w->bucket, &request, step);
        return;
    }
    /* The object's file cannot be read, or is damaged. Its items stay in the log until it is
     * delivered, so there is no reason to wait for the disk. */
    bool lost = e == ERR_MISSING || e == ERR_CORRUPT || e == ERR_IO;
    if (lost) {
        log_error("s3: an undelivered object is damaged on disk, rebuilding it from the log",
                  KV("destination", w->base.options.settings->name),
                  KV("object", object_of(w, c)->base), KV("error", &why));
    }
    if (lost && c->adopts) s3_release_adopted(w);
    say_failed(step, lost ? VERDICT_REBUILD : VERDICT_RETRY, e, &why);
}

/* Unless the store is known to refuse overwriting, a HEAD looks for the name first. It also
 * precedes uploads in parts, where it costs little compared with what it may save. */
static void
begin_upload(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    const struct s3_object *o = object_of(w, c);
    struct s3_upload_how how = {
        .looks = w->bucket.conditional != S3_CONDITIONAL_ENFORCED || o->size > S3_PART_BYTES,
        .only_new = w->bucket.conditional != S3_CONDITIONAL_UNSUPPORTED,
    };
    c->stage = S3_UPLOADING;
    w->uploading = c;
    s3_upload_begin(&w->upload, o, how);
    send_upload(w, c, step);
}

static void
learn_conditional(struct s3_writer *w, enum s3_conditional conditional)
{
    if (w->bucket.conditional == conditional) return;
    w->bucket.conditional = conditional;
    if (conditional == S3_CONDITIONAL_ENFORCED) return;
    log_info("s3: this store ignores If-None-Match and may overwrite objects, looking for an "
             "object of that name before each upload",
             KV("destination", w->base.options.settings->name), KV("bucket", w->s3->bucket));
}

/* --- renaming --------------------------------------------------------------------------------- */

/* Starts names with another id, which becomes durable before one of them is used. */
static void
rename_object(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    struct s3_object *o = object_of(w, c);
    char was[S3_BASE_BYTES];
    uint8_t random[RANDOM_ID_BYTES];
    memcpy(was, o->base, sizeof was);
    if (env_random(w->base.options.env, random, sizeof random) != OK) {
        step_done(step, VERDICT_RETRY, "io", "cannot get random bytes for a name");
        return;
    }
    hex_print(bytes_of(random, sizeof random), w->instance);
    snprintf(w->sweep_key, sizeof w->sweep_key, "%s%s", o->dir, o->base);
    s3_object_rename(o, w->instance);
    log_warn("s3: the bucket already has an object of this name, because the storage directory was "
             "restored from a copy or another program writes to this prefix; using a new id in "
             "names from now on",
             KV("destination", w->base.options.settings->name), KV("directory", o->dir),
             KV("object", was), KV("new_object", o->base),
             KV("looked_at", w->upload.unseen ? "no: s3:GetObject is missing" : "yes"));
    w->sweep_due |= w->upload.leftover;
    s3_upload_clear(&w->upload);
    w->uploading = NULL;
    w->names_taken++;
    c->stage = S3_RENAMED;
}

static void
save_renamed(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    struct why why = {""};
    enum err e = make_index(w, object_of(w, c), &c->names, &why);
    if (e == OK) e = s3_store_index(w, object_of(w, c), &why);
    if (e) {
        say_failed(step, VERDICT_RETRY, e, &why);
        return;
    }
    c->stage = c->adopts ? S3_FILLING : S3_SEALED;
    step->next = WRITER_SAVE;
}

/* --- the index in the bucket ------------------------------------------------------------------ */

static uint64_t
index_hash(const struct s3_writer *w)
{
    return hash_bytes(bytes_of_text(w->index_key), 0) | 1;
}

static void
name_index(struct s3_writer *w, const struct s3_object *o)
{
    snprintf(w->index_key, sizeof w->index_key, "%s_%.64s.json", o->dir, w->instance);
}

/* Uploads the index as known here. The local file may not have an adopted object. */
static void
put_index(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    struct s3_object *o = object_of(w, c);
    struct why why = {""};
    name_index(w, o);
    enum err e = make_index(w, o, &c->names, &why);
    bool unseen = w->index_unseen == index_hash(w);
    if (e == OK && (c->adopts || w->index.cut)) e = s3_store_index(w, o, &why);
    if (e) {
        say_failed(step, VERDICT_RETRY, e, &why);
        return;
    }
    /* An index that this run has written exists: a refusal to overwrite it shows that the store
     * supports the condition, and other stores just overwrite it. */
    bool asks = w->bucket.conditional == S3_CONDITIONAL_UNKNOWN && w->index_put == index_hash(w);
    w->index_only_new = unseen || asks;
    struct s3_request request = {
        .method = "PUT",
        .key = w->index_key,
        .content_type = "application/json",
        .kind = S3_INDEX,
        .body = buf_bytes(&w->index_text),
        .only_new = w->index_only_new,
    };
    c->stage = S3_INDEXING;
    s3_bucket_send(&w->bucket, &request, step);
}

static void
send_index(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    name_index(w, object_of(w, c));
    if (w->looked[index_hash(w) % S3_LOOKED_SLOTS] == index_hash(w)) {
        put_index(w, c, step);
        return;
    }
    struct s3_request request = {.method = "GET", .key = w->index_key};
    c->stage = S3_INDEX_LOOKING;
    s3_bucket_send(&w->bucket, &request, step);
    step->http.answer_bytes_max = S3_INDEX_BYTES_MAX;
}

/* Handles an index of this name in the bucket: its entries are kept. */
static void
take_index_look(struct s3_writer *w, struct s3_call *c, const struct http_call_answer *answer,
                struct writer_step *step)
{
    struct why why = {""};
    enum err e = OK;
    s3_bucket_judge(&w->bucket, answer, step);
    bool found = step->verdict == VERDICT_DELIVERED;
    bool refused = step->verdict == VERDICT_BLOCKED && answer->failure == HTTP_CALL_ANSWERED &&
                   answer->status >= 400 && answer->status < 500;
    if (!found && !refused) return;
    name_index(w, object_of(w, c));
    if (found) e = make_index(w, object_of(w, c), &c->names, &why);
    struct bytes text = answer->body_cut ? bytes_of(NULL, 0) : answer->body;
    if (e == OK && found) e = s3_index_merge(&w->index, text, &w->seal_count);
    if (e) {
        say_failed(step, VERDICT_RETRY, e, &why);
        return;
    }
    w->index_unseen = refused && answer->status != 404 ? index_hash(w) : 0;
    w->looked[index_hash(w) % S3_LOOKED_SLOTS] = index_hash(w);
    put_index(w, c, step);
}

/* Object and index are in the bucket. */
static void
delivery_finish(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    if (w->noted == c) w->noted = NULL;
    if (!c->adopts) s3_store_let_go(w->store, &c->own, false);
    if (c->adopts) w->adopted_arrived = true;
    if (c->has_last) s3_release_adopted(w); /* otherwise more of its items will be added */
    c->stage = S3_DELIVERED;
    buf_fini(&w->index_text);
    step_done(step, VERDICT_DELIVERED, "", "");
}

static void
take_upload(struct s3_writer *w, struct s3_call *c, const struct http_call_answer *answer,
            struct writer_step *step)
{
    bool was_conditional = w->upload.how.only_new;
    s3_bucket_judge(&w->bucket, answer, step);
    s3_upload_take(&w->upload, answer, step);
    if (w->upload.refused) learn_conditional(w, S3_CONDITIONAL_ENFORCED);
    if (was_conditional && !w->upload.how.only_new)
        learn_conditional(w, S3_CONDITIONAL_UNSUPPORTED);
    w->sweep_due |= w->upload.leftover;
    if (step->verdict != VERDICT_DELIVERED) return;
    if (w->upload.phase == S3_UPLOAD_TAKEN) {
        rename_object(w, c, step);
        if (c->stage != S3_RENAMED) return;
        if (w->names_taken > 1) {
            /* No other object can have a random name, so the store's answers are wrong. They may
             * become right, so the upload is retried later with another name. */
            char text[WRITER_ANSWER_BYTES];
            snprintf(text, sizeof text,
                     "the store reports for %" PRIu32 " new random names in a row that an object "
                     "of that name exists: check that an object "
                     "store answers at %.200s",
                     w->names_taken, w->bucket.endpoint);
            step_done(step, VERDICT_RETRY, "name_taken", text);
        } else
            save_renamed(w, c, step);
        return;
    }
    if (w->upload.phase != S3_UPLOAD_DONE) {
        send_upload(w, c, step);
        return;
    }
    s3_upload_clear(&w->upload);
    w->uploading = NULL;
    w->names_taken = 0;
    send_index(w, c, step);
}

static void
take_index(struct s3_writer *w, struct s3_call *c, const struct http_call_answer *answer,
           struct writer_step *step)
{
    bool answered = answer->failure == HTTP_CALL_ANSWERED;
    s3_bucket_judge(&w->bucket, answer, step);
    if (w->index_only_new && answered && (answer->status == 412 || answer->status == 501)) {
        learn_conditional(w, answer->status == 412 ? S3_CONDITIONAL_ENFORCED
                                                   : S3_CONDITIONAL_UNSUPPORTED);
        /* An index exists that cannot be read: its entries are missing in this one. */
        if (w->index_unseen == index_hash(w) && answer->status == 412) w->index.cut = true;
        w->index_unseen = 0;
        put_index(w, c, step);
        return;
    }
    if (step->verdict != VERDICT_DELIVERED) return;
    bool was_there = w->index_put == index_hash(w);
    if (w->index_only_new && was_there) learn_conditional(w, S3_CONDITIONAL_IGNORED);
    w->index_put = index_hash(w);
    w->index_unseen = 0;
    delivery_finish(w, c, step);
}

void
s3_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    switch (c->stage) {
    case S3_FILLING:
        if (!c->adopts)
            seal(w, c, step);
        else if (w->adopted_arrived || w->adopted.number == 0)
            delivery_finish(w, c, step);
        else
            begin_upload(w, c, step);
        return;
    case S3_RENAMED:
        save_renamed(w, c, step);
        return;
    case S3_SEALED:
        begin_upload(w, c, step);
        return;
    case S3_UPLOADING:
        send_upload(w, c, step);
        return;
    case S3_INDEX_LOOKING:
    case S3_INDEXING:
        send_index(w, c, step);
        return;
    default:
        delivery_finish(w, c, step);
        return;
    }
}

void
s3_judge(struct writer *writer, struct writer_call *call, const struct http_call_answer *answer,
         struct writer_step *step)
{
    struct s3_writer *w = (struct s3_writer *)writer;
    struct s3_call *c = (struct s3_call *)call;
    if (c->stage == S3_UPLOADING)
        take_upload(w, c, answer, step);
    else if (c->stage == S3_INDEX_LOOKING)
        take_index_look(w, c, answer, step);
    else
        take_index(w, c, answer, step);
}
