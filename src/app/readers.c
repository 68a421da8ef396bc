/*
 * readers.c - see server_private.h.
 *
 * A reader is used by generations, which are lists of sources, and by views and sets that read it.
 * One generation is in force; older ones last while a view is opened from them. The last user frees
 * the reader, in any thread, and with it its reference to the settings.
 *
 * Invariants:
 *  1. `users` of a list, a reader, its counts and a generation is above 0 while any of them is
 *     used; only a user adds another one.
 *  2. A generation has the sources of its list, each name once, in the order of the list.
 */
#include "app/server_private.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "backend/source.h"
#include "base/lock.h"
#include "base/text/texts.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "config/lists/lists.h"
#include "model/trouble.h"
#include "views/stack.h"

_Static_assert((int)MERGED_VIEWS_MAX > (int)SOURCES_MAX, "all of them, and what is stored");

struct source_list {
    struct sources sources;
    _Atomic uint32_t users;
};

/* Counts of a source by its name. Reloads that change its settings keep them. */
struct counts {
    struct source_counts requests;
    struct source_tally tally;
    _Atomic uint64_t errors[TROUBLE_COUNT];
    _Atomic uint32_t users;

    struct lock lock; /* LOCK_RANK_LEAF; guards the rest */
    struct why error; /* the last error */
    int64_t error_ms; /* Unix time of it; 0: no error so far */
};

struct source_reader {
    _Atomic uint32_t users;
    struct source_list *list;
    const struct source_settings *settings;
    struct env *env;
    struct counts *counts;
    struct source source;
};

struct generation {
    _Atomic uint32_t users;
    uint32_t count;
    struct source_reader *readers[SOURCES_MAX];
};

struct readers {
    struct answerer answerer; /* first, because readers_answerer() returns a pointer to it */
    struct readers_options options;
    struct http_puller *puller;
    struct metric_collector collector;

    struct lock lock;       /* LOCK_RANK_READERS; guards the rest */
    struct generation *now; /* NULL before the first commit */
};

struct readers_change {
    struct readers *readers;
    struct generation *next;
};

/* Removes a user. Returns true if it was the last one. */
static bool
drop_user(_Atomic uint32_t *users)
{
    uint32_t before = atomic_fetch_sub_explicit(users, 1, memory_order_acq_rel);
    assert(before > 0); /* invariant 1 */
    return before == 1;
}

static void
add_user(_Atomic uint32_t *users)
{
    atomic_fetch_add_explicit(users, 1, memory_order_relaxed);
}

static void
list_drop(struct source_list *list)
{
    if (list == NULL || !drop_user(&list->users)) return;
    sources_free(&list->sources);
    mem_free(NULL, list, sizeof *list);
}

/* --- a reader --------------------------------------------------------------------------------- */

static void
reader_hold(void *owner)
{
    add_user(&((struct source_reader *)owner)->users);
}

static void
reader_drop(void *owner)
{
    struct source_reader *r = owner;
    if (!drop_user(&r->users)) return;
    source_fini(&r->source);
    if (r->counts != NULL && drop_user(&r->counts->users)) {
        lock_fini(&r->counts->lock);
        mem_free(NULL, r->counts, sizeof *r->counts);
    }
    list_drop(r->list);
    mem_free(NULL, r, sizeof *r);
}

static void
reader_failed(void *owner, enum err e, const struct why *why)
{
    const struct source_reader *r = owner;
    struct counts *c = r->counts;
    atomic_fetch_add_explicit(&c->errors[trouble_of(why, e)], 1, memory_order_relaxed);
    lock_take(&c->lock);
    (void)why_set(&c->error, e, "%s", why_text(why, e));
    c->error_ms = env_realtime_ms(r->env);
    lock_drop(&c->lock);
}

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a source");
}

static struct source_reader *
find_reader(const struct generation *g, const char *name)
{
    for (uint32_t i = 0; g != NULL && i < g->count; i++)
        if (strcmp(g->readers[i]->settings->name, name) == 0) return g->readers[i];
    return NULL;
}

static enum err
make_reader(struct readers *all, struct source_list *list, const struct source_settings *settings,
            const struct source_reader *before, struct source_reader **ret_reader, struct why *why)
{
    struct source_reader *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return no_memory(why);
    atomic_init(&r->users, 1);
    add_user(&list->users);
    r->list = list;
    r->settings = settings;
    r->env = all->options.env;
    r->counts = before != NULL ? before->counts : mem_new(NULL, sizeof *r->counts);
    if (before == NULL && r->counts != NULL) lock_init(&r->counts->lock, LOCK_RANK_LEAF);
    enum err e = r->counts == NULL ? no_memory(why) : OK;
    if (e == OK) {
        add_user(&r->counts->users);
        struct reader_options options = {.env = all->options.env,
                                         .memory = all->options.memory,
                                         .settings = settings,
                                         .puller = all->puller,
                                         .counts = &r->counts->requests};
        r->source.options = (struct source_options){.tally = &r->counts->tally,
                                                    .failed = reader_failed,
                                                    .hold = reader_hold,
                                                    .release = reader_drop,
                                                    .owner = r};
        e = source_init(&r->source, &options, why);
    }
    if (e)
        reader_drop(r);
    else
        *ret_reader = r;
    return e;
}

/* --- generations ------------------------------------------------------------------------------ */

static void
generation_drop(struct generation *g)
{
    if (g == NULL || !drop_user(&g->users)) return;
    for (uint32_t i = 0; i < g->count; i++)
        reader_drop(g->readers[i]);
    mem_free(NULL, g, sizeof *g);
}

/* Returns the generation in force, for generation_drop(). NULL: no generation so far. */
static struct generation *
generation_now(struct readers *all)
{
    lock_take(&all->lock);
    struct generation *g = all->now;
    if (g != NULL) add_user(&g->users);
    lock_drop(&all->lock);
    return g;
}

static enum err
fill_generation(struct readers *all, struct generation *g, struct source_list *list,
                struct why *why)
{
    struct generation *now = generation_now(all);
    enum err e = OK;
    for (uint32_t i = 0; i < list->sources.count && e == OK; i++) {
        const struct source_settings *settings = &list->sources.items[i];
        struct source_reader *before = find_reader(now, settings->name);
        if (before != NULL && source_settings_equal(before->settings, settings)) {
            g->readers[i] = before;
            add_user(&before->users);
        } else {
            e = make_reader(all, list, settings, before, &g->readers[i], why);
        }
        if (e == OK) g->count++;
        assert(e || find_reader(g, settings->name) == g->readers[i]); /* invariant 2 */
    }
    assert(e || g->count == list->sources.count); /* invariant 2 */
    generation_drop(now);
    return e;
}

enum err
readers_prepare(struct readers *all, struct sources *sources, struct readers_change **ret_change,
                struct why *why)
{
    struct readers_change *change = mem_new(NULL, sizeof *change);
    struct source_list *list = mem_new(NULL, sizeof *list);
    struct generation *g = mem_new(NULL, sizeof *g);
    if (change == NULL || list == NULL || g == NULL) {
        mem_free(NULL, change, sizeof *change);
        mem_free(NULL, list, sizeof *list);
        mem_free(NULL, g, sizeof *g);
        sources_free(sources);
        return no_memory(why);
    }
    list->sources = *sources;
    *sources = (struct sources){NULL};
    atomic_init(&list->users, 1);
    atomic_init(&g->users, 1);
    *change = (struct readers_change){all, g};
    enum err e = fill_generation(all, g, list, why);
    list_drop(list);
    if (e)
        readers_abandon(change);
    else
        *ret_change = change;
    return e;
}

void
readers_abandon(struct readers_change *change)
{
    if (change == NULL) return;
    generation_drop(change->next);
    mem_free(NULL, change, sizeof *change);
}

void
readers_commit(struct readers_change *change)
{
    struct readers *all = change->readers;
    assert(change->next != NULL && change->next != all->now);
    lock_take(&all->lock);
    struct generation *before = all->now;
    all->now = change->next;
    lock_drop(&all->lock);
    generation_drop(before);
    mem_free(NULL, change, sizeof *change);
}

uint32_t
readers_count(struct readers *all)
{
    lock_take(&all->lock);
    uint32_t count = all->now == NULL ? 0 : all->now->count;
    lock_drop(&all->lock);
    return count;
}

/* --- views ------------------------------------------------------------------------------------ */

static void
times_of(const struct readers *all, const struct source_settings *x, int64_t *ret_min_ms,
         int64_t *ret_max_ms)
{
    struct answerer *local = all->options.local;
    int64_t now_ms = env_realtime_ms(all->options.env), first_ms, last_ms;
    *ret_min_ms = INT64_MIN;
    *ret_max_ms = INT64_MAX;
    if (x->times == TIMES_BETWEEN) {
        *ret_min_ms = source_bound_ms(&x->from, now_ms, INT64_MIN);
        *ret_max_ms = source_bound_ms(&x->to, now_ms, INT64_MAX);
    } else if (x->times == TIMES_OLDER_THAN_LOCAL && local != NULL) {
        local->ops->range(local, &first_ms, &last_ms);
        if (first_ms <= last_ms && first_ms > INT64_MIN) *ret_max_ms = first_ms - 1;
    }
}

/* Says whether views of this control read the source of this name; "" is the store. */
static bool
is_read(const struct query_control *control, const char *name)
{
    return control == NULL || control->source == NULL || strcmp(control->source, name) == 0;
}

static enum err
open_all(struct answerer *answerer, struct query_control *control, struct view **ret_view,
         struct why *why)
{
    struct readers *all = (struct readers *)answerer;
    struct view_stack_source sources[SOURCES_MAX];
    struct view *store = NULL;
    bool reads_store = all->options.local != NULL && is_read(control, "");
    /* Before times_of(): sources are then asked for parts that expire in between, too. */
    enum err e = reads_store ? view_open(all->options.local, control, &store, why) : OK;
    if (e) return e;
    struct generation *g = generation_now(all);
    uint32_t count = 0;
    for (uint32_t i = 0; g != NULL && i < g->count; i++) {
        const struct source_reader *r = g->readers[i];
        if (!is_read(control, r->settings->name)) continue;
        sources[count].options = &r->source.options;
        times_of(all, r->settings, &sources[count].min_ms, &sources[count].max_ms);
        count++;
    }
    if (store == NULL && count == 0 && control != NULL && control->source != NULL)
        e = why_set(why, ERR_INPUT, "there is no source \"%.64s\"", control->source);
    else
        e = view_stack_merge(store, sources, count, control, ret_view, why);
    generation_drop(g);
    return e;
}

/* Finds the range of stored samples. With sources it is unknown, and the answer is all times. */
static void
find_range(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    struct readers *all = (struct readers *)answerer;
    struct answerer *local = all->options.local;
    *ret_min_ms = INT64_MIN;
    *ret_max_ms = INT64_MAX;
    if (local != NULL && readers_count(all) == 0) local->ops->range(local, ret_min_ms, ret_max_ms);
}

static void
free_nothing(struct answerer *answerer)
{
    (void)answerer; /* readers_free() frees it */
}

struct answerer *
readers_answerer(struct readers *all)
{
    return &all->answerer;
}

/* --- metrics and status ----------------------------------------------------------------------- */

static uint64_t
value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The counts of a source: metrics, and members of its status. */
#define OF_REQUESTS(member) offsetof(struct counts, requests.member)
#define OF_TALLY(member)    offsetof(struct counts, tally.member)
static const struct {
    const char *key, *name, *help;
    size_t offset; /* of an _Atomic uint64_t in struct counts */
    enum { OF_ALL, OF_ARCHIVES, OF_TIMESTREAM, OF_CACHES } sources;
} numbers[] = {
    {"requests", "firekeep_source_requests_total", "Requests sent to the source.",
     OF_REQUESTS(requests), OF_ALL},
    {"retries", "firekeep_source_retries_total", "Requests to the source that were sent again.",
     OF_REQUESTS(repeats), OF_ALL},
    {"receivedBytes", "firekeep_source_received_bytes_total",
     "Bytes of responses of the source, as received.", OF_REQUESTS(bytes), OF_ALL},
    {"queries", "firekeep_source_queries_total",
     "Selectors and look-ups that the source was asked for.", OF_TALLY(questions), OF_ALL},
    {"series", "firekeep_source_series_total", "Series read from the source.", OF_TALLY(series),
     OF_ALL},
    {"samples", "firekeep_source_samples_total", "Samples read from the source.", OF_TALLY(samples),
     OF_ALL},
    {"filteredSeries", "firekeep_source_filtered_series_total",
     "Series that the source sent and that were not asked for.", OF_TALLY(filtered), OF_ALL},
    {"failedQueries", "firekeep_source_failed_queries_total",
     "Selectors and look-ups that the source did not answer.", OF_TALLY(failed), OF_ALL},
    {"warnings", "firekeep_source_warnings_total",
     "Failures of the source that became warnings (on_error: warn).", OF_TALLY(excused), OF_ALL},
    {"listings", "firekeep_source_listings_total",
     "Listings of objects, by page, that the source was asked for.", OF_REQUESTS(listings),
     OF_ARCHIVES},
    {"objectsRead", "firekeep_source_objects_read_total",
     "Objects of the source that were read, in whole or in part.", OF_REQUESTS(objects_read),
     OF_ARCHIVES},
    {"objectsSkipped", "firekeep_source_objects_skipped_total",
     "Objects of the source that the cache showed to be of no interest.",
     OF_REQUESTS(objects_skipped), OF_ARCHIVES},
    {"junkLines", "firekeep_source_junk_lines_total",
     "Lines of the source that are not samples and were left out.", OF_REQUESTS(junk_lines),
     OF_ARCHIVES},
    {"scannedBytes", "firekeep_source_scanned_bytes_total",
     "Bytes that the source scanned for queries, which it bills.", OF_REQUESTS(scanned_bytes),
     OF_TIMESTREAM},
    {"cacheHits", "firekeep_source_cache_hits_total", "Objects found in the cache of the source.",
     OF_REQUESTS(cache_hits), OF_CACHES},
    {"cacheMisses", "firekeep_source_cache_misses_total",
     "Objects not found in the cache of the source.", OF_REQUESTS(cache_misses), OF_CACHES},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

/* Returns one of the numbers. False: sources of this kind do not have it. */
static bool
number_of(const struct source_reader *r, size_t i, uint64_t *ret)
{
    const bool has[] = {
        [OF_ALL] = true,
        [OF_ARCHIVES] = r->settings->type == SOURCE_ARCHIVE,
        [OF_TIMESTREAM] = r->settings->type == SOURCE_TIMESTREAM,
        [OF_CACHES] = r->settings->cache.path != NULL || (r->settings->type == SOURCE_BUCKET &&
                                                          r->settings->u.bucket.cache.path != NULL),
    };
    const void *at = (const char *)r->counts + numbers[i].offset;
    *ret = value_of(at);
    return has[numbers[i].sources];
}

static void
collect_one(struct metric_sink *sink, const struct source_reader *r)
{
    static const struct metric_family
        seconds = {"firekeep_source_request_seconds_total",
                   "Time from requests to the source until their responses began, in seconds.",
                   METRIC_KIND_COUNTER},
        errors = {"firekeep_source_errors_total",
                  "Selectors and look-ups that the source did not answer, by kind of failure.",
                  METRIC_KIND_COUNTER};
    struct metric_pair pairs[] = {{"source", bytes_of_text(r->settings->name)},
                                  {"kind", bytes_of_text("")}};
    double waited_ns = (double)value_of(&r->counts->requests.requests_ns);
    metric_put_double(sink, &seconds, pairs, 1, waited_ns / NS_PER_S);
    for (size_t i = 0; i < NUMBERS; i++) {
        struct metric_family family = {numbers[i].name, numbers[i].help, METRIC_KIND_COUNTER};
        uint64_t value;
        if (number_of(r, i, &value)) metric_put_u64(sink, &family, pairs, 1, value);
    }
    for (unsigned i = TROUBLE_UNSET + 1; i < TROUBLE_COUNT; i++) {
        pairs[1].value = bytes_of_text(trouble_word((enum trouble)i));
        metric_put_u64(sink, &errors, pairs, 2, value_of(&r->counts->errors[i]));
    }
}

static void
readers_collect(struct metric_sink *sink, void *context)
{
    struct generation *g = generation_now(context);
    for (uint32_t i = 0; g != NULL && i < g->count; i++)
        collect_one(sink, g->readers[i]);
    generation_drop(g);
}

static void
print_last_error(struct counts *c, struct json *j)
{
    char at[TIME_TEXT_BYTES];
    lock_take(&c->lock);
    struct why error = c->error;
    int64_t error_ms = c->error_ms;
    lock_drop(&c->lock);
    json_member_text(j, "lastError", error.text);
    json_key(j, "lastErrorAt");
    if (error_ms == 0)
        json_put_null(j);
    else
        json_put_text(j, time_print(error_ms, at));
}

static void
print_one(const struct source_reader *r, struct json *j)
{
    json_object_open(j);
    json_members(j, JSON("name", r->settings->name),
                 JSON("type", source_type_word(r->settings->type)),
                 JSON("onError", r->settings->on_error == ON_ERROR_WARN ? "warn" : "fail"));
    for (size_t i = 0; i < NUMBERS; i++) {
        uint64_t value;
        if (number_of(r, i, &value)) json_member_uint(j, numbers[i].key, value);
    }
    json_key(j, "errors");
    json_object_open(j);
    for (unsigned i = TROUBLE_UNSET + 1; i < TROUBLE_COUNT; i++)
        json_member_uint(j, trouble_word((enum trouble)i), value_of(&r->counts->errors[i]));
    json_object_close(j);
    print_last_error(r->counts, j);
    json_object_close(j);
}

void
readers_print(struct readers *all, struct json *j)
{
    struct generation *g = generation_now(all);
    json_array_open(j);
    for (uint32_t i = 0; g != NULL && i < g->count; i++)
        print_one(g->readers[i], j);
    json_array_close(j);
    generation_drop(g);
}

/* Says whether a source has series of one of the tenants, `a|b`. */
static bool
serves(const struct source_limits *x, struct bytes tenants)
{
    do {
        struct bytes tenant = text_cut(&tenants, '|');
        for (uint32_t i = 0; i < x->tenant_count; i++)
            if (bytes_equal(x->tenants[i], tenant)) return true;
    } while (tenants.at != NULL);
    return x->tenant_count == 0;
}

static void
print_name(struct json *j, const char *name, const char *type)
{
    json_put_object(j, JSON("name", name), JSON("type", type));
}

void
readers_print_names(struct readers *all, struct bytes tenants, struct json *j)
{
    struct generation *g = generation_now(all);
    json_array_open(j);
    if (all->options.local != NULL) print_name(j, "", "store");
    for (uint32_t i = 0; g != NULL && i < g->count; i++) {
        const struct source_settings *x = g->readers[i]->settings;
        if (!serves(&g->readers[i]->source.options.limits, tenants)) continue;
        print_name(j, x->name, source_type_word(x->type));
    }
    json_array_close(j);
    generation_drop(g);
}

void
readers_print_yaml(struct readers *all, struct buf *to)
{
    struct source_settings items[SOURCES_MAX];
    struct generation *g = generation_now(all);
    struct sources list = {.items = items};
    for (uint32_t i = 0; g != NULL && i < g->count; i++)
        items[list.count++] = *g->readers[i]->settings;
    sources_print_yaml(&list, to);
    generation_drop(g);
}

/* --- list of sources -------------------------------------------------------------------------- */

enum err
readers_new(const struct readers_options *options, struct readers **ret_readers, struct why *why)
{
    static const struct answerer_ops ops = {open_all, find_range, free_nothing};
    struct readers *all = mem_new(NULL, sizeof *all);
    if (all == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    all->answerer = (struct answerer){.ops = &ops, .name = "all", .restricts = true};
    all->options = *options;
    lock_init(&all->lock, LOCK_RANK_READERS);
    enum err e = http_puller_new(options->env, "Firekeep/" FIREKEEP_VERSION, &all->puller, why);
    if (e) {
        readers_free(all);
        return e;
    }
    all->collector = (struct metric_collector){.collect = readers_collect, .context = all};
    metric_register_collector(&all->collector);
    *ret_readers = all;
    return OK;
}

void
readers_free(struct readers *all)
{
    if (all == NULL) return;
    metric_unregister(&all->collector.link);
    generation_drop(all->now);
    http_puller_free(all->puller);
    lock_fini(&all->lock);
    mem_free(NULL, all, sizeof *all);
}
