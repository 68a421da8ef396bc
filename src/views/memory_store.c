/*
 * memory_store.c - see memory_store.h. Series are in an array in the order of their labels, which
 * serves both adding and reading. The samples of a series are runs of one kind each, arrays that
 * batches are views of.
 *
 * Invariants:
 *
 * 1. Series are in the order of their labels, each once.
 * 2. A run of a series has at least one sample, and times ascend within and across runs.
 * 3. Samples are added and the store is freed while no set is open.
 */
#include "views/memory_store.h"

#include <assert.h>

#include "base/array.h"

enum { BATCH_SAMPLES_MAX = 1024 };

/* Consecutive samples of one kind. */
struct memory_run {
    enum sample_kind kind;
    uint32_t count;
    uint32_t time_capacity, bits_capacity, histogram_capacity;
    int64_t *times_ms;
    uint64_t *bits;               /* floats */
    struct histogram *histograms; /* histograms */
};

struct memory_series {
    struct bytes labels;
    struct memory_run *runs;
    uint32_t run_count, run_capacity;
};

struct memory_store {
    struct budget *budget;
    struct arena arena; /* series, their labels, and memory of histograms */
    struct memory_series **series;
    uint32_t count, capacity;
    _Atomic uint32_t open_sets; /* 0 while samples are added; relaxed: only asserted */
};

/* --- the store -------------------------------------------------------------------------------- */

enum err
memory_store_new(struct budget *budget, struct memory_store **ret_store)
{
    struct memory_store *s = mem_new(budget, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->budget = budget;
    arena_init(&s->arena, budget, 0, 0);
    *ret_store = s;
    return OK;
}

static void
run_free(struct budget *budget, struct memory_run *run)
{
    array_free(budget, run->times_ms, run->time_capacity);
    array_free(budget, run->bits, run->bits_capacity);
    array_free(budget, run->histograms, run->histogram_capacity);
}

void
memory_store_free(struct memory_store *s)
{
    if (s == NULL) return;
    assert(atomic_load_explicit(&s->open_sets, memory_order_relaxed) == 0); /* invariant 3 */
    for (uint32_t i = 0; i < s->count; i++) {
        struct memory_series *series = s->series[i];
        for (uint32_t k = 0; k < series->run_count; k++)
            run_free(s->budget, &series->runs[k]);
        array_free(s->budget, series->runs, series->run_capacity);
    }
    array_free(s->budget, s->series, s->capacity);
    arena_fini(&s->arena);
    mem_free(s->budget, s, sizeof *s);
}

/* Finds the first series that is not before these labels. */
static uint32_t
place_of(const struct memory_store *s, struct bytes labels)
{
    return search_first(i, 0u, s->count, labels_compare(s->series[i]->labels, labels) >= 0);
}

static struct memory_series *
find_series(const struct memory_store *s, struct bytes labels)
{
    uint32_t place = place_of(s, labels);
    if (place == s->count || !bytes_equal(s->series[place]->labels, labels)) return NULL;
    return s->series[place];
}

/* NULL: there is not enough memory. */
static struct memory_series *
find_or_make(struct memory_store *s, struct bytes labels)
{
    struct memory_series *series = find_series(s, labels);
    if (series != NULL) return series;
    series = arena_new(&s->arena, sizeof *series);
    struct bytes copy = arena_copy(&s->arena, labels);
    if (series == NULL || (copy.at == NULL && labels.size > 0) ||
        !array_reserve(s->budget, &s->series, &s->capacity, s->count + 1))
        return NULL;
    uint32_t place = place_of(s, labels);
    assert(place == s->count ||
           labels_compare(s->series[place]->labels, labels) > 0); /* invariant 1 */
    series->labels = copy;
    for (uint32_t i = s->count++; i > place; i--)
        s->series[i] = s->series[i - 1];
    s->series[place] = series;
    return series;
}

/* --- adding ----------------------------------------------------------------------------------- */

static const struct memory_run *
last_run(const struct memory_series *series)
{
    if (series == NULL || series->run_count == 0) return NULL;
    return &series->runs[series->run_count - 1];
}

static enum memory_verdict
judge_sample(const struct memory_series *series, const struct memory_sample *sample,
             struct memory_sample *ret_last)
{
    const struct memory_run *run = last_run(series);
    if (run == NULL) return MEMORY_TAKEN;
    uint32_t last = run->count - 1;
    struct memory_sample before = {.t_ms = run->times_ms[last]};
    if (sample->t_ms > before.t_ms) return MEMORY_TAKEN;
    if (run->kind == SAMPLE_FLOAT)
        before.bits = run->bits[last];
    else
        before.histogram = &run->histograms[last];
    if (ret_last != NULL) *ret_last = before;
    if (sample->t_ms < before.t_ms) return MEMORY_LATE;
    bool same = before.histogram == NULL ? sample->histogram == NULL && sample->bits == before.bits
                                         : sample->histogram != NULL &&
                                               histogram_equal(sample->histogram, before.histogram);
    return same ? MEMORY_TAKEN : MEMORY_CONFLICT;
}

enum memory_verdict
memory_store_judge(const struct memory_store *s, struct bytes labels,
                   const struct memory_sample *sample, struct memory_sample *ret_last)
{
    return judge_sample(find_series(s, labels), sample, ret_last);
}

/* Returns the run to which a sample of a kind is appended. NULL: there is not enough memory. */
static struct memory_run *
run_for(struct memory_store *s, struct memory_series *series, enum sample_kind kind)
{
    uint32_t count = series->run_count;
    if (count > 0 && series->runs[count - 1].kind == kind) return &series->runs[count - 1];
    if (!array_reserve(s->budget, &series->runs, &series->run_capacity, count + 1)) return NULL;
    series->runs[count] = (struct memory_run){.kind = kind};
    return &series->runs[count];
}

static enum err
append_sample(struct memory_store *s, struct memory_series *series,
              const struct memory_sample *sample)
{
    const struct histogram *h = sample->histogram;
    struct memory_run *run = run_for(s, series, h == NULL ? SAMPLE_FLOAT : h->kind);
    struct budget *budget = s->budget;
    if (run == NULL) return ERR_NOMEM;
    uint32_t wanted = run->count + 1;
    bool fits = array_reserve(budget, &run->times_ms, &run->time_capacity, wanted);
    if (fits && h == NULL) {
        fits = array_reserve(budget, &run->bits, &run->bits_capacity, wanted);
    } else if (fits) {
        fits = array_reserve(budget, &run->histograms, &run->histogram_capacity, wanted) &&
               histogram_copy(h, &s->arena, &run->histograms[run->count]) == OK;
    }
    if (!fits) {
        if (run->count == 0) run_free(budget, run); /* a new run, which the series does not count */
        return ERR_NOMEM;
    }
    assert(run->count == 0 || run->times_ms[run->count - 1] < sample->t_ms); /* invariant 2 */
    if (h == NULL) run->bits[run->count] = sample->bits;
    run->times_ms[run->count] = sample->t_ms;
    if (run->count++ == 0) series->run_count++;
    return OK;
}

enum err
memory_store_add(struct memory_store *s, struct bytes labels, const struct memory_sample *sample,
                 enum memory_verdict *ret_verdict, struct memory_sample *ret_last)
{
    assert(atomic_load_explicit(&s->open_sets, memory_order_relaxed) == 0); /* invariant 3 */
    struct memory_series *series = find_or_make(s, labels);
    if (series == NULL) return ERR_NOMEM;
    enum memory_verdict verdict = judge_sample(series, sample, ret_last);
    const struct memory_run *last = last_run(series);
    bool is_there = last != NULL && last->times_ms[last->count - 1] >= sample->t_ms;
    enum err e = is_there ? OK : append_sample(s, series, sample);
    if (e == OK) *ret_verdict = verdict;
    return e;
}

/* --- sets of series --------------------------------------------------------------------------- */

struct memory_set {
    struct series_set set; /* first: callers get it */
    struct memory_store *store;
    struct query_control *control;
    struct budget *budget;
    int64_t min_ms, max_ms;
    const struct memory_series **series; /* selected */
    uint32_t count, capacity, next;
    const struct memory_series *present; /* NULL before the first series */
    uint32_t run, sample;                /* the place after the samples that were read */
};

static bool
holds_sample(const struct memory_series *series, int64_t min_ms, int64_t max_ms)
{
    for (uint32_t i = 0; i < series->run_count; i++) {
        const struct memory_run *run = &series->runs[i];
        uint32_t first = search_first(k, 0u, run->count, run->times_ms[k] >= min_ms);
        if (first < run->count) return run->times_ms[first] <= max_ms;
    }
    return false;
}

static bool
is_selected(const struct query_request *request, const struct memory_series *series)
{
    bool selected = request->set_count == 0;
    for (uint32_t i = 0; i < request->set_count && !selected; i++)
        selected = matcher_set_matches(&request->sets[i], series->labels);
    return selected && query_hints_want(&request->hints, series->labels) &&
           holds_sample(series, request->min_ms, request->max_ms);
}

static enum err
memory_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct memory_set *s = (struct memory_set *)set;
    enum err e = query_control_check(s->control, why);
    if (e) return e;
    if (s->next == s->count) {
        *ret_labels = bytes_of(NULL, 0);
        return OK;
    }
    s->present = s->series[s->next++];
    s->run = s->sample = 0;
    *ret_labels = s->present->labels;
    return query_control_add_series(s->control, why);
}

static enum err
memory_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct memory_set *s = (struct memory_set *)set;
    const struct memory_series *series = s->present;
    assert(series != NULL);
    *ret_batch = (struct sample_batch){.kind = SAMPLE_FLOAT};
    for (; s->run < series->run_count; s->run++, s->sample = 0) {
        const struct memory_run *run = &series->runs[s->run];
        assert(s->sample <= run->count);
        uint32_t first = search_first(i, s->sample, run->count, run->times_ms[i] >= s->min_ms);
        uint32_t end = search_first(i, first, run->count, run->times_ms[i] > s->max_ms);
        if (end - first > BATCH_SAMPLES_MAX) end = first + BATCH_SAMPLES_MAX;
        if (first == end) continue;
        s->sample = end;
        *ret_batch = (struct sample_batch){
            .kind = run->kind, .count = end - first, .times_ms = run->times_ms + first};
        if (run->kind == SAMPLE_FLOAT)
            ret_batch->value_bits = run->bits + first;
        else
            ret_batch->histograms = run->histograms + first;
        return query_control_add_samples(s->control, end - first, why);
    }
    return OK;
}

static const char *
memory_set_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    (void)index;
    return NULL;
}

static void
memory_set_free(struct series_set *set)
{
    struct memory_set *s = (struct memory_set *)set;
    uint32_t before = atomic_fetch_sub_explicit(&s->store->open_sets, 1, memory_order_relaxed);
    assert(before > 0); /* invariant 3 */
    array_free(s->budget, s->series, s->capacity);
    mem_free(s->budget, s, sizeof *s);
}

/* --- views ------------------------------------------------------------------------------------ */

struct memory_view {
    struct view view; /* first: callers get it */
    struct memory_store *store;
};

static enum err
view_ask(struct view *view, const struct query_request *request, struct series_set **ret_set,
         struct why *why)
{
    static const struct series_set_ops ops = {
        memory_set_next, memory_set_batch, memory_set_warning, NULL, NULL, memory_set_free};
    struct memory_store *store = ((struct memory_view *)view)->store;
    struct budget *budget = request->budget;
    if (budget == NULL && request->control != NULL) budget = request->control->budget;
    struct memory_set *s = mem_new(budget, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    *s = (struct memory_set){.set = {&ops},
                             .store = store,
                             .control = request->control,
                             .budget = budget,
                             .min_ms = request->min_ms,
                             .max_ms = request->max_ms};
    atomic_fetch_add_explicit(&store->open_sets, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < store->count; i++) {
        if (!is_selected(request, store->series[i])) continue;
        if (!array_reserve(budget, &s->series, &s->capacity, s->count + 1)) {
            memory_set_free(&s->set);
            return why_set(why, ERR_NOMEM, "not enough memory for the query");
        }
        s->series[s->count++] = store->series[i];
    }
    *ret_set = &s->set;
    return OK;
}

static void
view_end(struct view *view)
{
    struct memory_view *v = (struct memory_view *)view;
    mem_free(v->store->budget, v, sizeof *v);
}

enum err
memory_store_open(void *context, struct query_control *control, struct view **ret_view,
                  struct why *why)
{
    static const struct view_ops ops = {.select = view_ask, .free = view_end};
    struct memory_store *store = context;
    (void)control;
    struct memory_view *v = mem_new(store->budget, sizeof *v);
    if (v == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    v->view.ops = &ops;
    v->store = store;
    *ret_view = &v->view;
    return OK;
}
