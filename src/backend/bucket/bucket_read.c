/*
 * bucket_read.c - a source that is a bucket into which another Firekeep writes: its parts, and what
 * is not there yet from the writer itself, by remote read (BUCKET_BEYOND_HEADER).
 *
 * A view pins the newest catalog, and then asks the writer whether that and what lies beyond it are
 * all that it has. If not, a deletion or an upload is just being written into the catalog: the
 * reader looks again, until the source's timeout.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/archive/store.h"
#include "backend/source.h"
#include "base/log.h"
#include "base/text/texts.h"
#include "tsdb/tsdb_bucket.h"

enum {
    PAGES_BYTES = 128 << 20, /* of parts, in memory */
    LOOK_AGAIN_MS = 50,
    URL_BYTES = 2048,
};

struct bucket_reader {
    struct answerer answerer; /* first */
    struct reader_options options;
    struct source_settings store; /* those of requests to the bucket: without authorization */
    struct objects *objects;
    struct object_cache *cache;
    struct tsdb_bucket_reader *reader;
    uint32_t recent_count;
    struct recent {
        struct source_settings settings; /* of a source by remote read */
        char url[URL_BYTES];
        struct answerer *answerer;
    } recent[BUCKET_RECENT_MAX];
};

/* --- what is beyond the catalog --------------------------------------------------------------- */

/* Answers like the writer, with what is beyond the mark, or not at all. */
struct beyond_view {
    struct view view; /* first */
    struct budget *budget;
    struct view *below; /* NULL: the writer did not answer */
    struct bucket_mark mark;
    bool may_fail;
    enum err lost; /* why */
    struct why failed;
    struct why warning; /* the same, for answers without it */
};

/* A set without series that has a warning. */
struct warning_set {
    struct series_set set; /* first */
    struct budget *budget;
    struct why text;
};

static enum err
warning_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    (void)set, (void)why;
    *ret_labels = bytes_of(NULL, 0);
    return OK;
}

static const char *
warning_set_warning(struct series_set *set, uint32_t index)
{
    return index == 0 ? ((struct warning_set *)set)->text.text : NULL;
}

static void
warning_set_free(struct series_set *set)
{
    mem_free(((struct warning_set *)set)->budget, set, sizeof(struct warning_set));
}

static enum err
warning_set_new(struct beyond_view *v, struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {
        .next = warning_set_next, .warning = warning_set_warning, .free = warning_set_free};
    struct warning_set *s = mem_new(v->budget, sizeof *s);
    if (s == NULL) return fetch_no_memory(why);
    s->set.ops = &ops;
    s->budget = v->budget;
    s->text = v->warning;
    *ret_set = &s->set;
    return OK;
}

static enum err
beyond_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct beyond_view *v = (struct beyond_view *)view;
    struct query_request below = *request;
    below.beyond = &v->mark;
    if (v->below != NULL) return view_select(v->below, &below, ret_set, why);
    if (v->may_fail && request->shows_warnings) return warning_set_new(v, ret_set, why);
    if (why != NULL) *why = v->failed;
    return v->lost;
}

/* Labels of all that the writer has are labels of what it has beyond, and of the bucket. */
static enum err
beyond_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
               struct bytes name, const struct text_sink *to, struct why *why)
{
    struct beyond_view *v = (struct beyond_view *)view;
    if (v->below != NULL) return view_look_up(v->below, kind, request, name, to, why);
    if (v->may_fail && request->shows_warnings && to->warning != NULL)
        return to->warning(to->context, v->warning.text);
    if (why != NULL) *why = v->failed;
    return v->lost;
}

static void
beyond_free(struct view *view)
{
    struct beyond_view *v = (struct beyond_view *)view;
    view_free(v->below);
    mem_free(v->budget, v, sizeof *v);
}

/* Asks the writer for no series, which shows whether it goes on from the mark: ERR_MISSING. */
static enum err
ask_writer(struct beyond_view *v, struct query_control *control, struct why *why)
{
    struct matcher *nothing;
    struct series_set *set;
    struct bytes labels;
    enum err e =
        matcher_new(MATCH_EQUAL, bytes_of_text("__name__"), bytes_of_text(""), NULL, &nothing, why);
    if (e) return e;
    const struct matcher_set sets = {&nothing, 1};
    const struct query_request request = {.sets = &sets, .set_count = 1, .control = control};
    e = beyond_select(&v->view, &request, &set, why);
    if (e == OK) {
        e = series_set_next(set, &labels, why);
        series_set_free(set);
    }
    matcher_free(nothing);
    return e;
}

/* Opens the first writer that answers. ERR_MISSING: the catalog has to be read again. */
static enum err
open_beyond(struct bucket_reader *r, struct query_control *control, const struct bucket_mark *mark,
            struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {
        .select = beyond_select, .look_up = beyond_look_up, .free = beyond_free};
    struct budget *budget = control == NULL ? NULL : control->budget;
    struct beyond_view *v = mem_new(budget, sizeof *v);
    enum err e = OK;
    if (v == NULL) return fetch_no_memory(why);
    v->view.ops = &ops;
    v->budget = budget;
    v->mark = *mark;
    v->may_fail = r->options.settings->on_error == ON_ERROR_WARN;
    for (uint32_t i = 0; i < r->recent_count; i++) {
        e = view_open(r->recent[i].answerer, control, &v->below, &v->failed);
        if (e == OK) e = ask_writer(v, control, &v->failed);
        v->lost = e;
        if (e == OK) break;
        view_free(v->below);
        v->below = NULL;
        if (e != ERR_MISSING && e != ERR_CANCELED && e != ERR_NOMEM) continue;
        if (why != NULL) *why = v->failed;
        beyond_free(&v->view);
        return e;
    }
    if (e)
        (void)why_set(&v->warning, e,
                      "source %s: samples that are not in the bucket yet are missing: %s",
                      r->options.settings->name, why_text(&v->failed, e));
    *ret_view = &v->view; /* after other errors its answers fail, or warn */
    return OK;
}

/* --- views ------------------------------------------------------------------------------------ */

static enum err
check_length(struct bucket_reader *r, const struct query_control *control, struct why *why)
{
    int64_t half_ms = tsdb_bucket_reader_grace_ms(r->reader) / 2;
    if (control == NULL || control->deadline_ns == 0 || half_ms == 0) return OK;
    int64_t left_ms = (control->deadline_ns - env_monotonic_ns(r->options.env)) / NS_PER_MS;
    if (left_ms <= half_ms) return OK;
    return why_set(why, ERR_INPUT,
                   "a query may take %" PRId64 " s, longer than half of the bucket's gc_grace: "
                   "set query.timeout to %" PRId64 "s at most",
                   left_ms / 1000, half_ms / 1000);
}

static enum err
bucket_open_view(struct answerer *answerer, struct query_control *control, struct view **ret_view,
                 struct why *why)
{
    struct bucket_reader *r = (struct bucket_reader *)answerer;
    struct env *env = r->options.env;
    int64_t until_ns = env_monotonic_ns(env) + r->options.settings->timeout_ms * NS_PER_MS;
    struct bucket_mark mark;
    struct view *views[2];
    enum err e = ERR_MISSING;
    for (bool is_now = false; e == ERR_MISSING; is_now = true) {
        if (is_now) env_sleep(env, LOOK_AGAIN_MS * NS_PER_MS);
        e = tsdb_bucket_reader_view(r->reader, is_now, control, &views[0], &mark, why);
        if (e == OK)
            e = check_length(r, control, why);
        else
            return e;
        if (e == OK && r->recent_count == 0) {
            *ret_view = views[0];
            return OK;
        }
        if (e == OK) e = open_beyond(r, control, &mark, &views[1], why);
        if (e) view_free(views[0]);
        if (e == ERR_MISSING && env_monotonic_ns(env) >= until_ns) e = ERR_AGAIN;
        if (e == ERR_MISSING && query_control_check(control, why)) e = ERR_CANCELED;
    }
    if (e) return e;
    return merged_view_new(views, 2, control == NULL ? NULL : control->budget, ret_view, why);
}

static void
bucket_free(struct answerer *answerer)
{
    struct bucket_reader *r = (struct bucket_reader *)answerer;
    for (uint32_t i = 0; i < r->recent_count; i++) {
        struct recent *x = &r->recent[i];
        if (x->answerer != NULL) x->answerer->ops->free(x->answerer);
    }
    tsdb_bucket_reader_free(r->reader);
    if (r->objects != NULL) r->objects->ops->free(r->objects);
    object_cache_close(r->cache);
    mem_free(r->options.memory, r, sizeof *r);
}

/* Makes the reader of a writer by its URL. */
static enum err
recent_open(struct bucket_reader *r, const char *url, struct why *why)
{
    struct recent *x = &r->recent[r->recent_count++];
    struct reader_options options = r->options;
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    int written = snprintf(x->url, sizeof x->url, "%.*s/api/v1/read", (int)size, url);
    if (written < 0 || (size_t)written >= sizeof x->url)
        return why_set(why, ERR_INPUT, "a URL of recent_from is too long");
    x->settings = *r->options.settings;
    x->settings.type = SOURCE_REMOTE_READ;
    x->settings.u.remote_read = (struct remote_read_settings){
        .url = x->url,
        .protobuf = REMOTE_READ_STREAMED,
        .tenant_header = r->options.settings->tenants.count > 0 ? "X-Scope-OrgID" : NULL};
    options.settings = &x->settings;
    return remote_reader_new(&options, &x->answerer, why);
}

enum err
bucket_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                  struct why *why)
{
    static const struct answerer_ops ops = {
        .open = bucket_open_view, .range = reader_any_time, .free = bucket_free};
    const struct bucket_read_settings *x = &options->settings->u.bucket;
    struct bucket_reader *r = mem_new(options->memory, sizeof *r);
    if (r == NULL) return fetch_no_memory(why);
    r->answerer.ops = &ops;
    r->answerer.name = "a bucket";
    r->answerer.is_store = true;
    r->options = *options;
    r->store = *options->settings;
    memset(&r->store.basic_auth, 0, sizeof r->store.basic_auth);
    memset(&r->store.authorization, 0, sizeof r->store.authorization);
    memset(&r->store.oauth2, 0, sizeof r->store.oauth2);
    struct reader_options storing = *options;
    storing.settings = &r->store;
    enum err e = x->store.path != NULL ? objects_folder(options->env, options->memory,
                                                        x->store.path, &r->objects, why)
                                       : objects_bucket(&storing, NULL, &r->objects, why);
    if (e == OK && x->cache.path != NULL) {
        e = object_cache_open(options->env, x->cache.path, x->cache.bytes, options->memory,
                              &options->counts->cache_hits, &r->cache, why);
        if (e && e != ERR_NOMEM) {
            log_warn("the cache of a source cannot be used", KV("source", options->settings->name),
                     KV("error", why_text(why, e)));
            e = OK; /* more is read from the bucket */
        }
        r->objects->cache = r->cache;
    }
    const struct tsdb_bucket_reader_options reading = {options->env, r->objects, options->memory,
                                                       PAGES_BYTES};
    if (e == OK) e = tsdb_bucket_reader_new(&reading, &r->reader, why);
    for (uint32_t i = 0; i < x->recent_from.count && e == OK; i++)
        e = recent_open(r, x->recent_from.items[i], why);
    if (e)
        bucket_free(&r->answerer);
    else
        *ret_answerer = &r->answerer;
    return e;
}
