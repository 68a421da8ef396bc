/*
 * archive.c - source type `archive`: NDJSON objects in a bucket or a directory.
 *
 *     lines.c    a line -> a sample           store.h   which objects there are
 *     gather.c   samples -> series in order   scan.h    a question, from start to end
 *
 * Nothing is read before the first series is asked for. Names and values are found out of the
 * series.
 */
#include "backend/archive/scan.h"

#include <stdio.h>

#include "backend/fetch/fetch_reader.h"

struct archive_reader {
    struct fetch_reader base; /* first */
    struct archive_store *store;
    struct archive_cache *cache; /* NULL without a cache */
};

struct archive_question {
    struct fetch_question base; /* first */
    struct archive_scan *scan;
};

static struct archive_scan *
scan_of_question(struct fetch_question *base)
{
    return ((struct archive_question *)base)->scan;
}

static void
question_fini(struct fetch_question *base)
{
    archive_scan_free(scan_of_question(base));
}

static enum err
begin(struct fetch_question *base, struct why *why)
{
    const struct archive_reader *reader = (const struct archive_reader *)base->of;
    const struct archive_settings *x = &base->of->options.settings->u.archive;
    struct archive_scan_options options = {.env = base->of->options.env,
                                           .budget = base->budget,
                                           .store = reader->store,
                                           .fetcher = base->of->fetcher,
                                           .cache = reader->cache,
                                           .counts = base->of->options.counts,
                                           .external = base->of->external,
                                           .layout = x->layout,
                                           .late_ms = x->late_ms,
                                           .names_only = base->purpose == FETCH_SERIES};
    return archive_scan_new(&options, &base->request, &((struct archive_question *)base)->scan,
                            why);
}

static enum err
archive_next(struct fetch_question *base, struct bytes *ret_labels, struct why *why)
{
    return archive_scan_next(scan_of_question(base), ret_labels, why);
}

static enum err
batch(struct fetch_question *base, struct sample_batch *ret_batch, struct why *why)
{
    return archive_scan_batch(scan_of_question(base), ret_batch, why);
}

static const char *
warning(struct fetch_question *base, uint32_t index)
{
    return archive_scan_warning(scan_of_question(base), index);
}

static enum err
list_series(struct fetch_question *base, struct why *why)
{
    const struct text_sink *to = base->to;
    struct bytes labels;
    const char *sentence;
    enum err e = begin(base, why);
    while (e == OK) {
        e = archive_next(base, &labels, why);
        if (e || labels.at == NULL) break;
        e = to->each(to->context, labels);
    }
    for (uint32_t i = 0; e == OK && (sentence = warning(base, i)) != NULL; i++)
        if (to->warning != NULL) e = to->warning(to->context, sentence);
    return e;
}

/* --- the reader ------------------------------------------------------------------------------- */

static enum err
open_cache(struct archive_reader *reader, struct why *why)
{
    const struct source_settings *settings = reader->base.options.settings;
    const struct archive_settings *x = &settings->u.archive;
    if (settings->cache.path == NULL) return OK;
    char archive[2048];
    snprintf(archive, sizeof archive, "%s|%s|%s|%s", x->path == NULL ? "" : x->path,
             x->bucket == NULL ? "" : x->bucket, x->endpoint == NULL ? "" : x->endpoint,
             x->path == NULL || x->prefix == NULL ? "" : x->prefix);
    struct archive_cache_options options = {reader->base.options.env, reader->base.options.memory,
                                            &settings->cache, archive};
    return archive_cache_new(&options, &reader->cache) ? fetch_no_memory(why) : OK;
}

static enum err
open_reader(struct fetch_reader *base, struct why *why)
{
    struct archive_reader *reader = (struct archive_reader *)base;
    enum err e = base->options.settings->u.archive.path != NULL
                     ? archive_folder_new(&base->options, &reader->store, why)
                     : archive_bucket_new(&base->options, &reader->store, why);
    return e ? e : open_cache(reader, why);
}

static void
close_reader(struct fetch_reader *base)
{
    struct archive_reader *reader = (struct archive_reader *)base;
    archive_cache_free(reader->cache);
    if (reader->store != NULL) reader->store->ops->free(reader->store);
}

enum err
archive_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                   struct why *why)
{
    static const struct fetch_type type = {
        .reader_bytes = sizeof(struct archive_reader),
        .question_bytes = sizeof(struct archive_question),
        .min_ms = INT64_MIN,
        .max_ms = INT64_MAX,
        .open = open_reader,
        .close = close_reader,
        .fini = question_fini,
        .begin = begin,
        .next = archive_next,
        .batch = batch,
        .warning = warning,
        .series = list_series,
    };
    const struct archive_settings *x = &options->settings->u.archive;
    const struct fetch_signing signing = {.aws = &x->aws, .service = "s3", .is_s3 = true};
    return fetch_reader_new(&type, options, x->path == NULL ? &signing : NULL, ret_answerer, why);
}
