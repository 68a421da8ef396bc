/*
 * delivery.c - see delivery.h. The states of an object:
 *
 *     FILLING --seal--> SEALED --saved--> UPLOADING --> DELIVERED
 *                         ^                   |
 *                         +---- RENAMED <-----+  another object has the name
 *
 * 1. Sealed: the file is durable, and the object has its name.
 * 2. Saved: the result of save() names the object (first and last item, file, name, checksum), and
 *    is durable before its first byte is sent. So after a crash the same bytes are sent under
 *    the same name: the file is adopted, and its items are only counted when they are added again.
 * 3. The object is in the bucket: it is delivered.
 * 4. The file is removed when the state without it is durable.
 *
 * Names contain the id of the storage directory and positions of the log, so the same name means
 * the same content, unless the volume of the directory is rolled back: then the same id and
 * positions are used again for other content. So an upload never replaces an object with other
 * content (delivery.h). If there is one, names begin with a random id from then on, which is saved
 * with the object's new name before it is used.
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

#include "base/log.h"
#include "base/text/hex.h"

enum { RANDOM_ID_BYTES = 16 };

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
    if (w->adopted.number != 0 && s3_place_compare(o->first, w->adopted.last) > 0) {
        s3_release_adopted(w);
    }
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

static void
begin_upload(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    c->stage = S3_UPLOADING;
    w->uploading = c;
    s3_upload_begin(&w->upload, object_of(w, c), !w->overwrites);
    send_upload(w, c, step);
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
    s3_object_rename(o, w->instance);
    log_warn("s3: the bucket already has an object of this name, because the storage directory was "
             "restored from a copy or another program writes to this prefix; using a new id in "
             "names from now on",
             KV("destination", w->base.options.settings->name), KV("directory", o->dir),
             KV("object", was), KV("new_object", o->base),
             KV("looked_at", w->upload.unseen ? "no: s3:GetObject is missing" : "yes"));
    s3_upload_clear(&w->upload);
    w->uploading = NULL;
    w->names_taken++;
    c->stage = S3_RENAMED;
}

/* No other object can have a random name, so the store's answers are wrong. They may become right,
 * so the upload is retried later with another name. */
static void
say_names_taken(const struct s3_writer *w, struct writer_step *step)
{
    char text[WRITER_ANSWER_BYTES];
    snprintf(text, sizeof text,
             "the store reports for %" PRIu32
             " new random names in a row that an object of that name exists: check that an object "
             "store answers at %.200s",
             w->names_taken, w->bucket.endpoint);
    step_done(step, VERDICT_RETRY, "name_taken", text);
}

static void
save_renamed(struct s3_call *c, struct writer_step *step)
{
    c->stage = c->adopts ? S3_FILLING : S3_SEALED;
    step->next = WRITER_SAVE;
}

/* The object is in the bucket. */
static void
delivery_finish(struct s3_writer *w, struct s3_call *c, struct writer_step *step)
{
    if (w->noted == c) w->noted = NULL;
    if (!c->adopts) s3_store_let_go(w->store, &c->own, false);
    if (c->adopts) w->adopted_arrived = true;
    if (c->has_last) s3_release_adopted(w); /* otherwise more of its items will be added */
    c->stage = S3_DELIVERED;
    step_done(step, VERDICT_DELIVERED, "", "");
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
        save_renamed(c, step);
        return;
    case S3_SEALED:
        begin_upload(w, c, step);
        return;
    case S3_UPLOADING:
        send_upload(w, c, step);
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
    s3_bucket_judge(&w->bucket, answer, step);
    s3_upload_take(&w->upload, answer, step);
    w->overwrites = !w->upload.only_new;
    if (step->verdict != VERDICT_DELIVERED) return;
    if (w->upload.phase == S3_UPLOAD_TAKEN) {
        rename_object(w, c, step);
        if (c->stage != S3_RENAMED) return;
        if (w->names_taken > 1)
            say_names_taken(w, step);
        else
            save_renamed(c, step);
        return;
    }
    if (w->upload.phase != S3_UPLOAD_DONE) {
        send_upload(w, c, step);
        return;
    }
    s3_upload_clear(&w->upload);
    w->uploading = NULL;
    w->names_taken = 0;
    delivery_finish(w, c, step);
}
