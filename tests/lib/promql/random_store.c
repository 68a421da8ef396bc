/* random_store.c - see random_store.h. */
#include "lib/promql/random_store.h"

#include <math.h>

/* --- content ---------------------------------------------------------------------------------- */

static int
compare_stored(const void *a, const void *b)
{
    const struct stored_series *x = a, *y = b;
    return labels_compare(buf_bytes(&x->labels), buf_bytes(&y->labels));
}

/* Returns false if the labels are empty, or another series has them. */
static bool
store_labels(struct random_store *s, struct choices *c, struct buf *to)
{
    static const struct labels_limits limits = {20, 100, 100};
    struct label list[6] = {
        {bytes_of_text("__name__"), bytes_of_text(choose_text(c, metric_names))}};
    uint32_t count = 1;
    for (uint32_t i = choose(c, 5); i > 0; i--) {
        uint32_t name = choose(c, 10);
        if (name == 5) name = 4; /* the metric's name has only one variant */
        list[count++] = (struct label){bytes_of_text(label_names[name]),
                                       bytes_of_text(choose_text(c, label_values))};
    }
    if (labels_build(list, count, &limits, to) != REJECT_NONE) return false;
    for (uint32_t i = 0; i < s->count; i++)
        if (bytes_equal(buf_bytes(&s->series[i].labels), buf_bytes(to))) return false;
    return true;
}

/* Makes a histogram that is valid, but that senders do not make. */
static void
make_odd(struct rng *r, struct arena *arena, struct histogram *h)
{
    struct hist_buckets *b = &h->positive;
    if (b->bucket_count == 0) return;
    if (rng_below(r, 2) == 0 && h->schema != HISTOGRAM_SCHEMA_CUSTOM) {
        struct hist_span *spans = arena_alloc(arena, b->span_count * sizeof *spans);
        memcpy(spans, b->spans, b->span_count * sizeof *spans);
        static const int32_t far[] = {INT32_MIN, INT32_MAX - 200, 100000, -1100, 1 << 20};
        spans[rng_below(r, b->span_count)].offset = far[rng_below(r, 5)];
        b->spans = spans;
    } else if (h->kind == SAMPLE_HISTOGRAM_FLOAT) {
        uint64_t *counts = arena_alloc(arena, b->bucket_count * sizeof *counts);
        memcpy(counts, b->counts, b->bucket_count * sizeof *counts);
        static const double odd[] = {INFINITY, NAN, 1e308, 5e-324, 0};
        counts[rng_below(r, b->bucket_count)] = double_bits(odd[rng_below(r, 5)]);
        b->counts = counts;
        if (rng_below(r, 2) == 0) h->count = double_bits(odd[rng_below(r, 5)]);
    }
}

static struct histogram
store_histogram(struct rng *r, struct arena *arena, const struct stored_sample *before, bool odd)
{
    enum sample_kind kind = rng_below(r, 2) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    struct histogram h = before != NULL && before->kind != SAMPLE_FLOAT
                             ? random_next_histogram(r, arena, &before->histogram)
                             : random_histogram(r, arena, kind);
    struct histogram plain = h;
    if (odd && rng_below(r, 6) == 0) make_odd(r, arena, &h);
    if (histogram_check(&h, NULL)) h = plain;
    return histogram_check(&h, NULL) ? random_histogram(r, arena, kind) : h;
}

/* The first choices are ordinary series. */
static void
store_samples(struct random_store *s, struct choices *c, struct stored_series *series)
{
    static const unsigned value_classes[] = {5, 6, 10, 8, 1, 2, 3, 4, 9, 7, 0};
    static const unsigned time_classes[] = {0, 1, 0, 0, 1, 2, 3, 0, 1, 4, 5, 0};
    static const int64_t bases_ms[] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, -STORE_BASE_MS, INT64_MAX / 2, INT64_MIN / 2};
    uint32_t values = choose_text(c, value_classes), times = choose_text(c, time_classes);
    uint32_t kinds = choose(c, 5), count = 1 + choose(c, STORE_SAMPLES_MAX);
    uint32_t gaps = choose(c, 3), starts = choose(c, 4);
    bool odd = choose(c, 4) == 3;
    int64_t base_ms = choose_text(c, bases_ms);
    struct rng r = {choose(c, 65536)};
    int64_t t_ms = times == 5 ? random_first_time(&r, 5)
                              : base_ms + STORE_BASE_MS + (int64_t)rng_below(&r, 60000);
    int64_t start_ms = 0;
    series->samples = arena_alloc(&s->arena, count * sizeof *series->samples);
    for (uint32_t i = 0; i < count; i++) {
        struct stored_sample *x = &series->samples[i], *before = i > 0 ? x - 1 : NULL;
        bool is_float = kinds < 2 || (kinds == 4 && rng_below(&r, 4) > 0);
        if (starts > 1 && rng_below(&r, 8) == 0)
            start_ms = (int64_t)((uint64_t)t_ms - rng_below(&r, (uint64_t)1 << starts * 8));
        if (starts == 3 && rng_below(&r, 16) == 0) start_ms = (int64_t)rng_next(&r);
        *x = (struct stored_sample){.t_ms = t_ms, .start_ms = start_ms};
        if (is_float) {
            x->bits = random_value(&r, values, before == NULL ? 0 : before->bits);
            if (rng_below(&r, 20) == 0) x->bits = STALE_NAN_BITS;
        } else {
            x->histogram = store_histogram(&r, &s->arena, before, odd);
            x->kind = x->histogram.kind;
        }
        series->count++;
        if (!random_next_time(&r, times, &t_ms)) break;
        if (gaps > 0 && times < 2 && rng_below(&r, 6) == 0) t_ms += (int64_t)gaps * 200000;
    }
}

void
random_store_init(struct random_store *s, struct choices *c, const struct view_ops *ops)
{
    memset(s, 0, sizeof *s);
    s->view.ops = ops;
    arena_init(&s->arena, NULL, 0, 0);
    for (uint32_t i = 2 + choose(c, STORE_SERIES_MAX - 1); i > 0; i--) {
        struct stored_series *series = &s->series[s->count];
        buf_init(&series->labels, NULL, 1 << 16);
        if (s->count < STORE_SERIES_MAX && store_labels(s, c, &series->labels)) {
            store_samples(s, c, series);
            s->count++;
        } else {
            buf_fini(&series->labels);
        }
    }
    qsort(s->series, s->count, sizeof *s->series, compare_stored);
}

void
random_store_fini(struct random_store *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        buf_fini(&s->series[i].labels);
    arena_fini(&s->arena);
}

/* --- queries ---------------------------------------------------------------------------------- */

/* A set that copies each batch to memory of exactly its size. */
struct stored_set {
    struct series_set set; /* first */
    const struct random_store *store;
    struct query_request request;
    bool selected[STORE_SERIES_MAX];
    uint32_t next_series;
    uint32_t next_sample;
    const struct stored_series *series;
    int64_t *times_ms;
    int64_t *starts_ms;
    uint64_t *bits;
    struct histogram *histograms;
};

static void
batch_free(struct stored_set *s)
{
    free(s->times_ms);
    free(s->starts_ms);
    free(s->bits);
    free(s->histograms);
    s->times_ms = s->starts_ms = NULL;
    s->bits = NULL;
    s->histograms = NULL;
}

static bool
is_selected(const struct query_request *request, struct bytes labels)
{
    const struct query_hints *hints = &request->hints;
    if (hints->shard_count > 1 && shard_of_labels(labels, hints->shard_count) != hints->shard)
        return false;
    for (uint32_t i = 0; i < request->sets->count; i++) {
        const struct matcher *m = request->sets->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return false;
    }
    return true;
}

static enum err
stored_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct stored_set *s = (struct stored_set *)set;
    const struct random_store *store = s->store;
    while (s->next_series < store->count && !s->selected[s->next_series])
        s->next_series++;
    *ret_labels = (struct bytes){NULL, 0};
    batch_free(s);
    if (s->next_series == store->count) return OK;
    s->series = &store->series[s->next_series++];
    s->next_sample = 0;
    *ret_labels = buf_bytes(&s->series->labels);
    return query_control_add_series(s->request.control, why);
}

static enum err
stored_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct stored_set *s = (struct stored_set *)set;
    const struct stored_sample *list = s->series->samples;
    batch_free(s);
    *ret_batch = (struct sample_batch){.kind = SAMPLE_FLOAT};
    while (s->next_sample < s->series->count && list[s->next_sample].t_ms < s->request.min_ms)
        s->next_sample++;
    uint32_t first = s->next_sample, n = 0;
    while (first + n < s->series->count && list[first + n].t_ms <= s->request.max_ms &&
           list[first + n].kind == list[first].kind && n < 13)
        n++;
    if (n == 0) return OK;
    s->next_sample += n;
    bool is_float = list[first].kind == SAMPLE_FLOAT;
    s->times_ms = malloc(n * sizeof *s->times_ms);
    s->starts_ms = malloc(n * sizeof *s->starts_ms);
    if (is_float) s->bits = malloc(n * sizeof *s->bits);
    if (!is_float) s->histograms = malloc(n * sizeof *s->histograms);
    for (uint32_t i = 0; i < n; i++) {
        s->times_ms[i] = list[first + i].t_ms;
        s->starts_ms[i] = list[first + i].start_ms;
        if (is_float) s->bits[i] = list[first + i].bits;
        if (!is_float) s->histograms[i] = list[first + i].histogram;
    }
    *ret_batch = (struct sample_batch){.kind = list[first].kind,
                                       .count = n,
                                       .times_ms = s->times_ms,
                                       .value_bits = s->bits,
                                       .histograms = s->histograms,
                                       .starts_ms = s->starts_ms};
    return query_control_add_samples(s->request.control, n, why);
}

static const char *
stored_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    (void)index;
    return NULL;
}

static void
stored_free(struct series_set *set)
{
    batch_free((struct stored_set *)set);
    free(set);
}

enum err
random_store_select(struct view *view, const struct query_request *request,
                    struct series_set **ret_set, struct why *why)
{
    static const struct series_set_ops ops = {stored_next, stored_batch, stored_warning,
                                              NULL,        NULL,         stored_free};
    struct stored_set *s = calloc(1, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "no memory for the set");
    s->set.ops = &ops;
    s->store = (const struct random_store *)view;
    s->request = *request;
    for (uint32_t i = 0; i < s->store->count; i++)
        s->selected[i] = is_selected(request, buf_bytes(&s->store->series[i].labels));
    *ret_set = &s->set;
    return OK;
}
