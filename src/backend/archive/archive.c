/*
 * archive.c - source type `archive`: NDJSON objects in a bucket or a directory.
 *
 *     lines.h    a line -> a sample           hours.h, store.h    which objects there are
 *     gather.h   samples -> series in order   scan.h              a question, from end to end
 *
 * Nothing is asked before the first series is wanted.
 */
#include <stdio.h>

#include "backend/archive/scan.h"
#include "backend/reader.h"

struct archive_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct archive_store *store;
    struct archive_cache *cache; /* NULL: nothing is kept */
    struct external_labels external;
};

struct archive_view {
    struct view view; /* first: it is handed out */
    struct archive_reader *of;
    struct budget *budget;
};

struct archive_set {
    struct series_set set; /* first: it is handed out */
    struct budget *budget;
    struct archive_scan *scan;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

static enum err
make_scan(struct archive_view *v, const struct query_request *r, bool names_only,
          struct archive_scan **ret_scan, struct why *why)
{
    const struct archive_reader *reader = v->of;
    const struct archive_settings *x = &reader->options.settings->u.archive;
    struct archive_scan_options options = {.env = reader->options.env,
                                           .budget = v->budget,
                                           .store = reader->store,
                                           .cache = reader->cache,
                                           .counts = reader->options.counts,
                                           .external = reader->external,
                                           .layout = x->layout,
                                           .late_ms = x->late_ms,
                                           .names_only = names_only};
    return archive_scan_new(&options, r, ret_scan, why);
}

/* --- series with their samples ---------------------------------------------------------------- */

static enum err
set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    return archive_scan_next(((struct archive_set *)set)->scan, ret_labels, why);
}

static enum err
set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return archive_scan_batch(((struct archive_set *)set)->scan, ret_batch, why);
}

static const char *
set_warning(struct series_set *set, uint32_t index)
{
    return archive_scan_warning(((struct archive_set *)set)->scan, index);
}

static void
set_free(struct series_set *set)
{
    struct archive_set *s = (struct archive_set *)set;
    archive_scan_free(s->scan);
    mem_free(s->budget, s, sizeof *s);
}

static enum err
select_series(struct view *view, const struct query_request *r, struct series_set **ret_set,
              struct why *why)
{
    static const struct series_set_ops ops = {
        .next = set_next, .batch = set_batch, .warning = set_warning, .free = set_free};
    struct archive_view *v = (struct archive_view *)view;
    struct archive_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return no_memory(why);
    s->set.ops = &ops;
    s->budget = v->budget;
    enum err e = make_scan(v, r, false, &s->scan, why);
    if (e)
        set_free(&s->set);
    else
        *ret_set = &s->set;
    return e;
}

/* --- look-ups --------------------------------------------------------------------------------- */

static enum err
find_series(struct view *view, const struct query_request *r, const struct text_sink *to,
            struct why *why)
{
    struct archive_view *v = (struct archive_view *)view;
    struct archive_scan *scan = NULL;
    struct bytes labels;
    const char *sentence;
    enum err e = make_scan(v, r, true, &scan, why);
    while (e == OK) {
        e = archive_scan_next(scan, &labels, why);
        if (e || labels.at == NULL) break;
        e = to->each(to->context, labels);
    }
    for (uint32_t i = 0; e == OK && (sentence = archive_scan_warning(scan, i)) != NULL; i++) {
        if (to->warning != NULL) e = to->warning(to->context, sentence);
    }
    archive_scan_free(scan);
    return e;
}

/* They are found out of the series. */
static enum err
no_names(struct view *view, const struct query_request *r, const struct text_sink *to,
         struct why *why)
{
    (void)view, (void)r, (void)to, (void)why;
    return ERR_UNSUPPORTED;
}

static enum err
no_values(struct view *view, const struct query_request *r, struct bytes name,
          const struct text_sink *to, struct why *why)
{
    (void)view, (void)r, (void)name, (void)to, (void)why;
    return ERR_UNSUPPORTED;
}

/* --- views and the reader --------------------------------------------------------------------- */

static void
free_view(struct view *view)
{
    struct archive_view *v = (struct archive_view *)view;
    mem_free(v->budget, v, sizeof *v);
}

static enum err
open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    static const struct view_ops ops = {
        .select = select_series,
        .exemplars = reader_no_exemplars,
        .metadata = reader_no_metadata,
        .label_names = no_names,
        .label_values = no_values,
        .series = find_series,
        .free = free_view,
    };
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct archive_view *v = mem_new(budget, sizeof *v);
    if (v == NULL) return no_memory(why);
    v->view.ops = &ops;
    v->of = (struct archive_reader *)answerer;
    v->budget = budget;
    *ret_view = &v->view;
    return OK;
}

static void
free_reader(struct answerer *answerer)
{
    struct archive_reader *reader = (struct archive_reader *)answerer;
    archive_cache_free(reader->cache);
    if (reader->store != NULL) reader->store->ops->free(reader->store);
    mem_free(reader->options.memory, reader, sizeof *reader);
}

static enum err
open_cache(struct archive_reader *reader, struct why *why)
{
    const struct source_settings *settings = reader->options.settings;
    const struct archive_settings *x = &settings->u.archive;
    if (settings->cache.path == NULL) return OK;
    char archive[2048];
    snprintf(archive, sizeof archive, "%s|%s|%s|%s", x->path == NULL ? "" : x->path,
             x->bucket == NULL ? "" : x->bucket, x->endpoint == NULL ? "" : x->endpoint,
             x->path == NULL || x->prefix == NULL ? "" : x->prefix);
    struct archive_cache_options options = {reader->options.env, reader->options.memory,
                                            &settings->cache, archive};
    return archive_cache_new(&options, &reader->cache) ? no_memory(why) : OK;
}

enum err
archive_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                   struct why *why)
{
    static const struct answerer_ops ops = {open_view, reader_any_time, free_reader};
    struct archive_reader *reader = mem_new(options->memory, sizeof *reader);
    if (reader == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a source");
    reader->answerer = (struct answerer){
        .ops = &ops, .name = options->settings->name, .no_exemplars = true, .no_metadata = true};
    reader->options = *options;
    reader->external.texts = &options->settings->external_labels;
    enum err e = options->settings->u.archive.path != NULL
                     ? archive_folder_new(options, &reader->store, why)
                     : archive_bucket_new(options, &reader->store, why);
    if (e == OK) e = open_cache(reader, why);
    if (e)
        free_reader(&reader->answerer);
    else
        *ret_answerer = &reader->answerer;
    return e;
}
