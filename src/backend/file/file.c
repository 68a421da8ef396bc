/*
 * file.c - destination type `file`: a directory of files, each of which is complete once it has its
 * final name.
 *
 * A call is a piece of text, appended and synced as one (compressed: a gzip member or zstd frame of
 * its own), so a call is delivered when begin() returns. With one lane, settled items are always a
 * prefix of the log, and files have exactly those.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/common/pack.h"
#include "backend/common/spool.h"
#include "backend/writer.h"
#include "base/hash/hash.h"
#include "wire/text/text_format.h"

enum {
    CALL_BYTES = 2 * 1024 * 1024,
    CALL_SAMPLES_MAX = 100 * 1000,
    CALL_BYTES_MAX = 64 * 1024 * 1024,
    TEXT_BYTES_MAX = 256 * 1024 * 1024, /* includes the last item, which may be long */
    FRAME_BYTES_MAX = 64 * 1024,
};

struct file_writer {
    struct writer_base base;
    const struct file_settings *settings;
    struct spool *spool;
    struct packer *packer;
    struct text_writer *text; /* for csv and openmetrics */
    char instance[17];        /* identifies files of this destination; others are not touched */
    struct buf packed;
    struct buf head; /* the beginning of each file */
    struct buf tail;
    bool by_tenant; /* the path is a template */
};

struct file_call {
    struct buf text;
    char dir[SPOOL_DIR_BYTES_MAX];
};

static const char TENANT_TEMPLATE[] = "${tenant}";

/* Replaces the template by the tenant. False: the path is too long, or the tenant's name would
 * change the directory. */
static bool
expand_path(const struct file_writer *w, struct bytes tenant, char *to)
{
    const char *path = w->settings->path, *place = strstr(path, TENANT_TEMPLATE);
    int n;
    if (place == NULL) {
        n = snprintf(to, SPOOL_DIR_BYTES_MAX, "%s", path);
    } else {
        bool leads_away = bytes_equal_text(tenant, ".") || bytes_equal_text(tenant, "..") ||
                          memchr(tenant.at, '/', tenant.size) != NULL;
        if (leads_away) return false;
        n = snprintf(to, SPOOL_DIR_BYTES_MAX, "%.*s%.*s%s", (int)(place - path), path,
                     (int)tenant.size, (const char *)tenant.at, place + sizeof TENANT_TEMPLATE - 1);
    }
    return n >= 0 && n < SPOOL_DIR_BYTES_MAX;
}

/* Makes the beginning and end of each file, packed like the rest. */
static enum err
make_frame(struct file_writer *w)
{
    struct buf plain;
    buf_init(&plain, w->base.options.memory, FRAME_BYTES_MAX);
    if (w->text != NULL) text_writer_begin(w->text, &plain);
    enum err e = buf_error(&plain);
    if (e == OK && plain.size > 0) e = pack(w->packer, buf_bytes(&plain), &w->head);
    buf_clear(&plain);
    if (w->text != NULL) text_writer_end(w->text, &plain);
    if (e == OK) e = buf_error(&plain);
    if (e == OK && plain.size > 0) e = pack(w->packer, buf_bytes(&plain), &w->tail);
    buf_fini(&plain);
    return e;
}

static void
file_fini(struct writer *writer)
{
    struct file_writer *w = (struct file_writer *)writer;
    spool_free(w->spool);
    packer_free(w->packer);
    text_writer_free(w->text);
    buf_fini(&w->packed);
    buf_fini(&w->head);
    buf_fini(&w->tail);
}

static enum err
file_init(struct writer *writer, struct why *why)
{
    struct file_writer *w = (struct file_writer *)writer;
    const struct writer_options *options = &w->base.options;
    w->base.limits = (struct writer_limits){
        .one_lane = true,
        .concurrency = 1,
        .samples = CALL_SAMPLES_MAX,
        .bytes = CALL_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = CALL_BYTES_MAX,
    };
    w->settings = &options->settings->u.file;
    if (w->settings->format == FILE_NDJSON) w->base.limits.mapped = ITEM_NDJSON_MAPPED;
    w->by_tenant = strstr(w->settings->path, TENANT_TEMPLATE) != NULL;
    uint64_t of_log = hash_bytes(bytes_of_text(options->instance), 0);
    snprintf(w->instance, sizeof w->instance, "%016" PRIx64,
             hash_bytes(bytes_of_text(options->settings->name), of_log));
    buf_init(&w->packed, options->memory, TEXT_BYTES_MAX);
    buf_init(&w->head, options->memory, FRAME_BYTES_MAX);
    buf_init(&w->tail, options->memory, FRAME_BYTES_MAX);
    enum err e = packer_new(w->settings->compression, &w->packer);
    if (e == OK && w->settings->format != FILE_NDJSON) {
        bool csv = w->settings->format == FILE_CSV;
        e = text_writer_new(csv ? TEXT_CSV : TEXT_OPENMETRICS, options->memory, &w->text);
    }
    if (e == OK) e = make_frame(w);
    static const char *const suffixes[][3] = {
        [FILE_NDJSON] = {".ndjson", ".ndjson.gz", ".ndjson.zst"},
        [FILE_CSV] = {".csv", ".csv.gz", ".csv.zst"},
        [FILE_OPENMETRICS] = {".om", ".om.gz", ".om.zst"},
    };
    struct spool_options spool = {
        .env = options->env,
        .memory = options->memory,
        .instance = w->instance,
        .suffix = suffixes[w->settings->format][w->settings->compression],
        .roll_bytes = w->settings->roll_bytes,
        .roll_age_ms = w->settings->roll_age_ms,
        .head = buf_bytes(&w->head),
        .tail = buf_bytes(&w->tail),
    };
    return e ? e : spool_new(&spool, options->saved, &w->spool, why);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
file_call_init(struct writer *writer, struct writer_call *call)
{
    struct file_writer *w = (struct file_writer *)writer;
    struct file_call *c = (struct file_call *)call;
    buf_init(&c->text, w->base.options.memory, TEXT_BYTES_MAX);
    return OK;
}

static void
file_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    buf_fini(&((struct file_call *)call)->text);
}

static void
file_call_clear(struct writer *writer, struct writer_call *call)
{
    struct file_call *c = (struct file_call *)call;
    (void)writer;
    buf_clear(&c->text);
    c->dir[0] = 0;
}

/* Returns why csv and openmetrics cannot express the item; NULL: they can. */
static const char *
text_complaint(const struct file_writer *w, const struct item *item)
{
    if (item->kind == ITEM_HISTOGRAM) return "this format does not support native histograms";
    if (item->kind == ITEM_EXEMPLAR)
        return "this format supports exemplars only together with samples";
    if (w->settings->format == FILE_CSV) return NULL;
    bool is_nan = (item->bits & INT64_MAX) > 0x7ff0000000000000;
    return is_nan && item->bits != NORMAL_NAN_BITS
               ? "OpenMetrics supports only the ordinary NaN, and no staleness markers"
               : NULL;
}

static enum writer_add
file_add(struct writer *writer, struct writer_call *call, const struct item *item,
         uint32_t *ret_entry, struct why *why)
{
    struct file_writer *w = (struct file_writer *)writer;
    struct file_call *c = (struct file_call *)call;
    char dir[SPOOL_DIR_BYTES_MAX];
    *ret_entry = 0;
    if (c->text.size == 0 || w->by_tenant) {
        if (!expand_path(w, item->tenant, dir))
            return writer_unfit(why, "cannot use the tenant's name in a path");
        if (c->text.size > 0 && strcmp(c->dir, dir) != 0) return WRITER_FULL;
        memcpy(c->dir, dir, sizeof dir);
    }
    size_t before = c->text.size;
    enum writer_add added = WRITER_ADDED;
    if (w->settings->format == FILE_NDJSON) {
        item_ndjson_put(&c->text, item);
    } else {
        const char *complaint = text_complaint(w, item);
        if (complaint != NULL) return writer_unfit(why, "%s", complaint);
        if (text_writer_series(w->text, item->labels) != OK) {
            added = WRITER_NO_MEMORY;
        } else {
            text_writer_floats(w->text, 1, &item->t_ms, &item->bits, &c->text);
            text_writer_series_end(w->text, &c->text);
        }
    }
    if (buf_error(&c->text)) added = WRITER_NO_MEMORY;
    if (added != WRITER_ADDED) {
        c->text.size = before;
        c->text.failed = OK;
    }
    return added;
}

static uint64_t
file_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct file_call *c = (const struct file_call *)call;
    (void)writer;
    return c->text.size;
}

/* Packs the text for the file. */
static enum err
pack_text(struct file_writer *w, struct file_call *c, struct bytes *ret_packed)
{
    *ret_packed = buf_bytes(&c->text);
    if (w->settings->compression == COMPRESSION_NONE) return OK;
    buf_clear(&w->packed);
    enum err e = pack(w->packer, buf_bytes(&c->text), &w->packed);
    *ret_packed = buf_bytes(&w->packed);
    return e;
}

static bool
file_maps(struct writer *writer, enum writer_mapped role, struct bytes text)
{
    struct file_writer *w = (struct file_writer *)writer;
    return w->settings->format == FILE_NDJSON && item_ndjson_maps(writer, role, text);
}

static void
file_begin(struct writer *writer, struct writer_call *call, struct writer_step *ret_step)
{
    struct file_writer *w = (struct file_writer *)writer;
    struct file_call *c = (struct file_call *)call;
    struct why why = {""};
    struct bytes text;
    enum err e = pack_text(w, c, &text);
    int64_t now_ms = env_realtime_ms(w->base.options.env);
    if (e == OK) e = spool_append(w->spool, c->dir, text, now_ms, &why);
    ret_step->next = WRITER_DONE;
    ret_step->verdict = e == OK ? VERDICT_DELIVERED : VERDICT_RETRY;
    if (e == OK) return;
    snprintf(ret_step->reason, sizeof ret_step->reason, "%s", e == ERR_FULL ? "disk_full" : "io");
    snprintf(ret_step->answer, sizeof ret_step->answer, "%s",
             why.text[0] != 0 ? why.text : "not enough memory");
}

/* --- the saved state -------------------------------------------------------------------------- */

static void
file_save(const struct writer *writer, struct buf *to)
{
    const struct file_writer *w = (const struct file_writer *)writer;
    spool_save(w->spool, to);
}

static enum err
file_saved(struct writer *writer, struct why *why)
{
    struct file_writer *w = (struct file_writer *)writer;
    return spool_saved(w->spool, why);
}

static enum err
file_tend(struct writer *writer, bool closing, struct why *why)
{
    struct file_writer *w = (struct file_writer *)writer;
    return spool_tend(w->spool, env_realtime_ms(w->base.options.env), closing, why);
}

/* --- check of the directory ------------------------------------------------------------------- */

static enum err
note_nothing(void *context, const char *name, bool is_dir)
{
    (void)context, (void)name, (void)is_dir;
    return OK;
}

/* Checks the deepest existing directory of the path, before a template in it. Directories are
 * only made for samples. */
static enum err
find_directory(const struct file_writer *w, char path[SPOOL_DIR_BYTES_MAX], struct why *why)
{
    const char *whole = w->settings->path, *template = strstr(whole, TENANT_TEMPLATE);
    size_t size = template == NULL ? strlen(whole) : (size_t)(template - whole);
    if (size >= SPOOL_DIR_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "%.200s: path is too long", whole);
    snprintf(path, SPOOL_DIR_BYTES_MAX, "%.*s", (int)size, whole);
    for (;;) {
        enum err e = env_listdir(w->base.options.env, path, note_nothing, NULL, why);
        char *slash = strrchr(path, '/');
        if (e != ERR_MISSING || strcmp(path, ".") == 0) return e;
        if (slash == NULL)
            snprintf(path, SPOOL_DIR_BYTES_MAX, ".");
        else
            slash[slash == path] = '\0';
    }
}

static bool
file_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
           struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct file_writer *w = (struct file_writer *)writer;
    (void)answer;
    if (number > 0) return false;
    snprintf(what, WRITER_ANSWER_BYTES, "directory %s", w->settings->path);
    char path[SPOOL_DIR_BYTES_MAX], text[WRITER_ANSWER_BYTES];
    uint64_t free_bytes = 0, all_bytes;
    struct why why = {""};
    enum err e = find_directory(w, path, &why);
    if (e == OK && access(path, W_OK | X_OK) != 0)
        e = why_set(&why, ERR_IO, "cannot write to %s: this user has no write permission", path);
    if (e == OK) e = env_space(w->base.options.env, path, &free_bytes, &all_bytes, &why);
    bool there = e == OK && strcmp(path, w->settings->path) == 0;
    snprintf(text, sizeof text, "%s%s, %" PRIu64 " MiB free",
             there ? "exists" : "will be created in ", there ? "" : path, free_bytes >> 20);
    ret_step->next = WRITER_DONE;
    ret_step->verdict = e == OK ? VERDICT_DELIVERED : VERDICT_BLOCKED;
    snprintf(ret_step->reason, sizeof ret_step->reason, "%s", e == OK ? "" : "directory");
    snprintf(ret_step->answer, sizeof ret_step->answer, "%s", e == OK ? text : why.text);
    return true;
}

const struct writer_class file_writer = {
    .type = DESTINATION_FILE,
    .writer_bytes = sizeof(struct file_writer),
    .call_bytes = sizeof(struct file_call),
    .init = file_init,
    .fini = file_fini,
    .call_init = file_call_init,
    .call_fini = file_call_fini,
    .call_clear = file_call_clear,
    .add = file_add,
    .bytes = file_bytes,
    .maps = file_maps,
    .begin = file_begin,
    .save = file_save,
    .saved = file_saved,
    .tend = file_tend,
    .check = file_check,
};
