/*
 * metric.c - the list of registered metrics, and a scrape that walks it.
 *
 * The format wants all samples of a family in one group, but they come in any order, from several
 * registrations and collectors. So a scrape first writes all samples into one text and notes for
 * each run of the same family where it lies; then it sorts the notes and copies the runs.
 *
 * Two locks. scrape_lock is held for a whole scrape, callbacks included: the exception to "no
 * callback under a lock", because that is how metric_unregister() knows that a callback has
 * returned and will not be called again. list_lock guards the list for moments, ranks last, and so
 * allows registering under any lock. Invariant: nothing leaves the list without scrape_lock, so a
 * scrape may walk it while others append.
 */
#include "base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/lock.h"
#include "base/text/utf8.h"

enum link_what { LINK_COUNTER, LINK_HISTOGRAM, LINK_COLLECTOR };

#define METRIC_OF(pointer, type) ((type *)(void *)((uint8_t *)(pointer)-offsetof(type, link)))

static struct lock scrape_lock = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rank = LOCK_RANK_SCRAPE};
static struct lock list_lock = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rank = LOCK_RANK_LEAF};
/* Guarded by list_lock for writing. A `next` is stored with release, and pairs with the acquire of
 * the scrape's walk: it sees a link whole. */
static _Atomic(struct metric_link *) first;
static struct metric_link *last;

#define US ((uint64_t)1000)
#define MS (1000 * US)
#define S  (1000 * MS)

const uint64_t metric_latency_bounds_ns[METRIC_LATENCY_BOUNDS] = {
    100 * US, 250 * US, 500 * US, 1 * MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
    100 * MS, 250 * MS, 500 * MS, 1 * S,  2500 * MS, 5 * S,  10 * S,  30 * S,  60 * S,
};

/* --- the list --------------------------------------------------------------------------------- */

static bool
is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
    if (name == NULL || name[0] == 0 || strchr(letters, name[0]) == NULL) return false;
    for (const char *p = name; *p != 0; p++)
        if (strchr(letters, *p) == NULL && (*p < '0' || *p > '9')) return false;
    return true;
}

static void
link_append(struct metric_link *link, enum link_what what)
{
    lock_take(&list_lock);
    if (!link->registered) {
        link->registered = true;
        link->what = what;
        atomic_store_explicit(&link->next, NULL, memory_order_relaxed);
        atomic_store_explicit(last == NULL ? &first : &last->next, link, memory_order_release);
        last = link;
    }
    lock_drop(&list_lock);
}

void
metric_register_counter(struct metric_counter *counter)
{
    assert(is_name(counter->name));
    size_t size = strlen(counter->name);
    assert(size > 6 && strcmp(counter->name + size - 6, "_total") == 0);
    assert(counter->help != NULL);
    link_append(&counter->link, LINK_COUNTER);
}

void
metric_register_histogram(struct metric_histogram *histogram)
{
    assert(is_name(histogram->name));
    assert(histogram->help != NULL);
    assert(histogram->bound_count >= 1);
    assert(histogram->bound_count <= METRIC_BOUNDS_MAX);
    for (unsigned i = 1; i < histogram->bound_count; i++)
        assert(histogram->bounds[i - 1] < histogram->bounds[i]);
    link_append(&histogram->link, LINK_HISTOGRAM);
}

void
metric_register_collector(struct metric_collector *collector)
{
    assert(collector->collect != NULL);
    link_append(&collector->link, LINK_COLLECTOR);
}

static struct metric_link *
next_of(struct metric_link *link)
{
    return atomic_load_explicit(link == NULL ? &first : &link->next, memory_order_acquire);
}

void
metric_unregister(struct metric_link *link)
{
    lock_take(&scrape_lock);
    lock_take(&list_lock);
    if (link->registered) {
        struct metric_link *before = NULL;
        while (next_of(before) != link)
            before = next_of(before);
        atomic_store_explicit(before == NULL ? &first : &before->next, next_of(link),
                              memory_order_relaxed);
        if (last == link) last = before;
        link->registered = false;
    }
    lock_drop(&list_lock);
    lock_drop(&scrape_lock);
}

void
metric_reset_all(void)
{
    lock_take(&scrape_lock);
    lock_take(&list_lock);
    for (struct metric_link *link = next_of(NULL), *next; link != NULL; link = next) {
        next = next_of(link);
        if (link->what == LINK_COUNTER) {
            METRIC_OF(link, struct metric_counter)->value = 0;
        } else if (link->what == LINK_HISTOGRAM) {
            struct metric_histogram *h = METRIC_OF(link, struct metric_histogram);
            for (unsigned i = 0; i <= METRIC_BOUNDS_MAX; i++)
                h->buckets[i] = 0;
            h->sum = 0;
        }
        link->registered = false;
        atomic_store_explicit(&link->next, NULL, memory_order_relaxed);
    }
    atomic_store_explicit(&first, NULL, memory_order_relaxed);
    last = NULL;
    lock_drop(&list_lock);
    lock_drop(&scrape_lock);
}

/* --- histograms ------------------------------------------------------------------------------- */

void
metric_record(struct metric_histogram *histogram, uint64_t value)
{
    /* Most latencies are short, so the scan ends early; it stays in two cache lines anyway. */
    unsigned i = 0;
    while (i < histogram->bound_count && value > histogram->bounds[i])
        i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

/* --- the text --------------------------------------------------------------------------------- */

/* A run of samples of one family in the sink's text. */
struct metric_run {
    struct metric_family family;
    size_t offset;
    size_t size;
};

struct metric_sink {
    struct buf text;
    bool json;
    struct metric_run *runs;
    size_t count;
    size_t capacity;
    bool failed; /* no memory for a run; the text knows its own errors */
};

/* Notes that samples of `family` follow. */
static void
begin_run(struct metric_sink *sink, struct metric_family family)
{
    if (sink->count > 0) {
        struct metric_run *open = &sink->runs[sink->count - 1];
        if (strcmp(open->family.name, family.name) == 0) return;
        open->size = sink->text.size - open->offset;
    }
    if (!array_reserve(sink->text.budget, &sink->runs, &sink->capacity, sink->count + 1)) {
        sink->failed = true;
        return;
    }
    sink->runs[sink->count++] = (struct metric_run){.family = family, .offset = sink->text.size};
}

/* "In label values, backslash, double quote and line feed are escaped"; in help texts, quotes are
 * not. A byte that is not UTF-8 becomes U+FFFD, because the scraper would refuse the whole scrape.
 */
static void
put_escaped(struct buf *to, struct bytes text, bool quoted)
{
    for (size_t i = 0; i < text.size;) {
        uint8_t c = text.at[i];
        size_t size = c == 0 ? 0 : utf8_step(text.at + i, text.size - i);
        if (size == 0) {
            buf_put_text(to, UTF8_REPLACEMENT);
            size = 1;
        } else if (c == '\n') {
            buf_put_text(to, "\\n");
        } else {
            if (c == '\\' || (c == '"' && quoted)) buf_put_u8(to, '\\');
            buf_put(to, text.at + i, size);
        }
        i += size;
    }
}

static size_t
pairs_of(const struct metric_label *labels, struct metric_pair *ret_pairs)
{
    size_t count = 0;
    for (; count < METRIC_LABELS_MAX && labels[count].name != NULL; count++) {
        ret_pairs[count] =
            (struct metric_pair){labels[count].name, bytes_of_text(labels[count].value)};
    }
    return count;
}

/* Writes name_suffix{a="b",c="d"} and a space. */
static void
put_series(struct buf *to, const char *name, const char *suffix, const struct metric_pair *pairs,
           size_t count)
{
    buf_put_text(to, name);
    buf_put_text(to, suffix);
    for (size_t i = 0; i < count; i++) {
        buf_put_u8(to, i == 0 ? '{' : ',');
        buf_put_text(to, pairs[i].name);
        buf_put_text(to, "=\"");
        put_escaped(to, pairs[i].value, true);
        buf_put_u8(to, '"');
    }
    buf_put_text(to, count > 0 ? "} " : " ");
}

/* Writes the labels of a metric in JSON. A comma follows each metric; the last one is removed. */
static void
put_json_labels(struct buf *to, const struct metric_pair *pairs, size_t count)
{
    buf_put_text(to, count > 0 ? "{\"label\":[" : "{");
    for (size_t i = 0; i < count; i++) {
        buf_printf(to, "%s{\"name\":\"%s\",\"value\":", i > 0 ? "," : "", pairs[i].name);
        (void)!json_print_string(to, pairs[i].value);
        buf_put_u8(to, '}');
    }
    if (count > 0) buf_put_text(to, "],");
}

/* Prints the shortest of %.15g, %.16g and %.17g that reads back as the same. */
static void
print_finite(char to[static 40], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(to, 40, "%.*g", digits, value);
        if (strtod(to, NULL) == value) break;
    }
}

static void
put_double(struct buf *to, double value)
{
    if (isnan(value)) {
        buf_put_text(to, "NaN");
        return;
    }
    if (isinf(value)) {
        buf_put_text(to, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    char text[40];
    print_finite(text, value);
    buf_put_text(to, text);
}

/* Writes a bound as Prometheus 3 stores that of a scrape: 1.0 for 1. With another spelling, the
 * self-scrape and a Prometheus that scrapes the server would store two buckets for one. */
static void
put_bound(struct buf *to, uint64_t value, uint64_t per_unit)
{
    char text[40];
    print_finite(text, (double)value / (double)(per_unit <= 1 ? 1 : per_unit));
    buf_put_text(to, text);
    if (strpbrk(text, ".e") == NULL) buf_put_text(to, ".0");
}

static const char *
kind_word(enum metric_kind kind)
{
    static const char *const words[] = {"counter", "gauge", "histogram"};
    return words[kind];
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
put_json_histogram(struct buf *to, const struct metric_histogram *h,
                   const struct metric_pair *pairs, size_t pair_count)
{
    uint64_t count = 0;
    double unit = h->per_unit <= 1 ? 1 : (double)h->per_unit;
    put_json_labels(to, pairs, pair_count);
    buf_put_text(to, "\"histogram\":{\"bucket\":[");
    for (unsigned i = 0; i < h->bound_count; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        buf_printf(to, "%s{\"cumulativeCount\":\"%" PRIu64 "\",\"upperBound\":", i > 0 ? "," : "",
                   count);
        put_double(to, (double)h->bounds[i] / unit);
        buf_put_u8(to, '}');
    }
    count += atomic_load_explicit(&h->buckets[h->bound_count], memory_order_relaxed);
    buf_printf(to, "],\"sampleCount\":\"%" PRIu64 "\",\"sampleSum\":", count);
    put_double(to, (double)atomic_load_explicit(&h->sum, memory_order_relaxed) / unit);
    buf_put_text(to, "}},");
}

void
metric_put_histogram(struct metric_sink *sink, const struct metric_histogram *h)
{
    begin_run(sink, (struct metric_family){h->name, h->help, METRIC_KIND_HISTOGRAM});
    struct buf *to = &sink->text;
    struct metric_pair pairs[METRIC_LABELS_MAX + 1];
    size_t pair_count = pairs_of(h->labels, pairs);
    if (sink->json) {
        put_json_histogram(to, h, pairs, pair_count);
        return;
    }
    struct buf le;
    buf_init(&le, to->budget, 64);
    /* _count is the last bucket by construction: the format demands that they are equal. */
    uint64_t count = 0;
    for (unsigned i = 0; i <= h->bound_count; i++) {
        buf_clear(&le);
        if (i < h->bound_count)
            put_bound(&le, h->bounds[i], h->per_unit);
        else
            buf_put_text(&le, "+Inf");
        if (buf_error(&le)) sink->failed = true;
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        pairs[pair_count] = (struct metric_pair){"le", buf_bytes(&le)};
        put_series(to, h->name, "_bucket", pairs, pair_count + 1);
        buf_put_uint(to, count);
        buf_put_u8(to, '\n');
    }
    buf_fini(&le);
    put_series(to, h->name, "_sum", pairs, pair_count);
    uint64_t sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
    if (h->per_unit <= 1)
        buf_put_uint(to, sum);
    else
        put_double(to, (double)sum / (double)h->per_unit);
    buf_put_u8(to, '\n');
    put_series(to, h->name, "_count", pairs, pair_count);
    buf_put_uint(to, count);
    buf_put_u8(to, '\n');
}

/* Writes all of a sample up to its value; end_sample() writes what follows. */
static void
begin_sample(struct metric_sink *sink, const struct metric_family *family,
             const struct metric_pair *pairs, size_t count)
{
    assert(is_name(family->name));
    assert(family->kind != METRIC_KIND_HISTOGRAM);
    begin_run(sink, *family);
    if (!sink->json) {
        put_series(&sink->text, family->name, "", pairs, count);
        return;
    }
    put_json_labels(&sink->text, pairs, count);
    buf_printf(&sink->text, "\"%s\":{\"value\":", kind_word(family->kind));
}

static void
end_sample(struct metric_sink *sink)
{
    buf_put_text(&sink->text, sink->json ? "}}," : "\n");
}

void
metric_put_u64(struct metric_sink *sink, const struct metric_family *family,
               const struct metric_pair *pairs, size_t count, uint64_t value)
{
    begin_sample(sink, family, pairs, count);
    buf_put_uint(&sink->text, value);
    end_sample(sink);
}

static void
put_counter(struct metric_sink *sink, const struct metric_counter *c)
{
    const struct metric_family family = {c->name, c->help, METRIC_KIND_COUNTER};
    struct metric_pair pairs[METRIC_LABELS_MAX];
    metric_put_u64(sink, &family, pairs, pairs_of(c->labels, pairs), metric_value(c));
}

void
metric_put_budget(struct metric_sink *s, const struct budget *b)
{
    static const struct metric_family used = {
        "firekeep_memory_bytes", "Memory in use, by budget, in bytes.", METRIC_KIND_GAUGE};
    static const struct metric_family peak = {
        "firekeep_memory_peak_bytes", "Maximum memory used since startup, by budget, in bytes.",
        METRIC_KIND_GAUGE};
    static const struct metric_family limit = {
        "firekeep_memory_limit_bytes",
        "Memory limit, by budget, in bytes; 0 means no limit of its own.", METRIC_KIND_GAUGE};
    static const struct metric_family refused = {
        "firekeep_memory_refused_total",
        "Allocations refused because the budget was used up, by budget.", METRIC_KIND_COUNTER};
    struct metric_pair pair = {"budget", bytes_of_text(b->name)};
    metric_put_u64(s, &used, &pair, 1, budget_used(b));
    metric_put_u64(s, &peak, &pair, 1, b->peak_bytes);
    metric_put_u64(s, &limit, &pair, 1, b->limit_bytes);
    metric_put_u64(s, &refused, &pair, 1, b->refused_count);
}

void
metric_put_double(struct metric_sink *sink, const struct metric_family *family,
                  const struct metric_pair *pairs, size_t count, double value)
{
    begin_sample(sink, family, pairs, count);
    if (!sink->json || isfinite(value))
        put_double(&sink->text, value);
    else /* ProtoJSON has strings for what JSON cannot write as a number */
        buf_put_text(&sink->text, isnan(value) ? "\"NaN\""
                                  : value > 0  ? "\"Infinity\""
                                               : "\"-Infinity\"");
    end_sample(sink);
}

void
metric_put_one(struct metric_sink *sink, const char *name, enum metric_kind kind, const char *help,
               double value)
{
    const struct metric_family family = {name, help, kind};
    metric_put_double(sink, &family, NULL, 0, value);
}

/* --- the scrape ------------------------------------------------------------------------------- */

static void
gather(struct metric_sink *sink)
{
    for (struct metric_link *link = next_of(NULL); link != NULL; link = next_of(link)) {
        switch ((enum link_what)link->what) {
        case LINK_COUNTER:
            put_counter(sink, METRIC_OF(link, struct metric_counter));
            break;
        case LINK_HISTOGRAM:
            metric_put_histogram(sink, METRIC_OF(link, struct metric_histogram));
            break;
        case LINK_COLLECTOR: {
            struct metric_collector *c = METRIC_OF(link, struct metric_collector);
            c->collect(sink, c->context);
            break;
        }
        }
    }
    if (sink->count == 0) return;
    struct metric_run *open = &sink->runs[sink->count - 1];
    open->size = sink->text.size - open->offset;
}

static int
compare_runs(const void *a, const void *b)
{
    const struct metric_run *x = a, *y = b;
    int order = strcmp(x->family.name, y->family.name);
    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* Collects all samples, in runs by name. The caller ends it with sink_fini() also on an error. */
static enum err
scrape(struct metric_sink *sink, bool json, struct budget *budget, size_t bytes_max)
{
    *sink = (struct metric_sink){.json = json};
    buf_init(&sink->text, budget, bytes_max);
    lock_take(&scrape_lock);
    gather(sink);
    lock_drop(&scrape_lock);
    if (sink->count > 0) qsort(sink->runs, sink->count, sizeof *sink->runs, compare_runs);
    return sink->failed ? ERR_NOMEM : buf_error(&sink->text);
}

static void
sink_fini(struct metric_sink *sink)
{
    array_free(sink->text.budget, sink->runs, sink->capacity);
    buf_fini(&sink->text);
}

/* The first run after `from` that is of another family. */
static size_t
family_end(const struct metric_sink *sink, size_t from)
{
    const struct metric_family *family = &sink->runs[from].family;
    size_t to = from;
    while (to < sink->count && strcmp(sink->runs[to].family.name, family->name) == 0) {
        assert(sink->runs[to].family.kind == family->kind); /* two of our own modules disagree */
        to++;
    }
    return to;
}

void
metric_collect(struct buf *to)
{
    size_t size_before = to->size;
    struct metric_sink sink;
    enum err e = scrape(&sink, false, to->budget, to->limit);
    for (size_t i = 0, end; e == OK && i < sink.count;) {
        const struct metric_family *family = &sink.runs[i].family;
        buf_printf(to, "# HELP %s ", family->name);
        put_escaped(to, bytes_of_text(family->help), false);
        buf_printf(to, "\n# TYPE %s %s\n", family->name, kind_word(family->kind));
        for (end = family_end(&sink, i); i < end; i++)
            buf_put(to, sink.text.at + sink.runs[i].offset, sink.runs[i].size);
    }
    if (e && to->failed == OK) to->failed = e;
    if (buf_error(to)) to->size = size_before;
    sink_fini(&sink);
}

void
metric_collect_json(struct json *json, bool (*wanted)(void *context, const char *name),
                    void *context)
{
    static const char *const types[] = {"COUNTER", "GAUGE", "HISTOGRAM"};
    struct buf *to = json->to;
    struct metric_sink sink;
    enum err e = scrape(&sink, true, to->budget, to->limit);
    json_array_open(json);
    for (size_t i = 0, end; e == OK && i < sink.count; i = end) {
        const struct metric_family *family = &sink.runs[i].family;
        end = family_end(&sink, i);
        if (!wanted(context, family->name)) continue;
        json_object_open(json);
        json_member_text(json, "name", family->name);
        json_member_text(json, "help", family->help);
        json_member_text(json, "type", types[family->kind]);
        json_member_array(json, "metric");
        for (; i < end; i++) {
            size_t size = sink.runs[i].size; /* with a comma at its end */
            json_put_raw(json, bytes_of(sink.text.at + sink.runs[i].offset, size - 1));
        }
        json_array_close(json);
        json_object_close(json);
    }
    json_array_close(json);
    if (e && to->failed == OK) to->failed = e;
    sink_fini(&sink);
}
