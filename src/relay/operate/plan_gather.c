/*
 * plan_gather.c - see plan_gather.h.
 *
 * All items of a stretch of time are collected in one array, with the bytes that they are views of,
 * sorted, and handed on. A stretch that has too many is gathered again from its start in shorter
 * ones; a stretch that has few makes the next one longer. So memory is bounded, except by the
 * number of items of one millisecond, and a sparse store is not read a thousand times.
 */
#include "relay/operate/plan_gather.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"

enum {
    TENANTS_MAX = 64 * 1024,
    ITEMS_MAX = 512 * 1024, /* items of a stretch; one millisecond may have more */
    ITEMS_FEW = ITEMS_MAX / 8,
    STRETCH_PARTS = 8, /* a stretch with too many items is divided by this */
};
#define POINT_SERIES UINT32_MAX
static const size_t MOMENT_BYTES_MAX = (size_t)1 << 32;
static const int64_t STRETCH_MS = 5LL * 60 * 1000;
static const int64_t STRETCH_MAX_MS = INT64_MAX / 4;

/* A series of the current stretch. */
struct plan_series {
    struct bytes tenant;
    struct bytes labels; /* labels as they are sent */
    uint64_t hash;
};

/* An item of the current stretch. */
struct point {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram;
    struct bytes exemplar_labels;
    uint32_t series;
    uint8_t kind; /* enum item_kind */
};

struct plan_gather {
    struct plan_gather_options options;
    struct query_control control;
    struct buf tenants; /* names, each after its size */
    uint64_t number;    /* number of the item given last */
    struct plan *plan;

    /* The current stretch. */
    struct arena arena;
    struct arena scratch;
    struct buf series; /* struct plan_series */
    struct buf points; /* struct point */
    struct bytes tenant;
    uint64_t seen;         /* samples, wanted or not */
    uint64_t with_samples; /* series that have samples */
    uint64_t damaged;
    int64_t min_ms, max_ms;
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the samples of one timestamp");
}

/* --- a stretch of time ------------------------------------------------------------------------ */

static uint32_t
point_count(const struct plan_gather *g)
{
    return (uint32_t)(g->points.size / sizeof(struct point));
}

static uint32_t
series_count(const struct plan_gather *g)
{
    return (uint32_t)(g->series.size / sizeof(struct plan_series));
}

/* True if the stretch has more items than fit. */
static bool
is_too_much(const struct plan_gather *g)
{
    return g->min_ms != g->max_ms && point_count(g) > ITEMS_MAX;
}

/* Adds a series; its number is POINT_SERIES if the destination does not want it. */
static enum err
take_series(struct plan_gather *g, struct bytes stored, uint32_t *ret_series, struct why *why)
{
    struct plan_series series = {.tenant = g->tenant};
    *ret_series = POINT_SERIES;
    arena_reset(&g->scratch);
    enum err e =
        selection_apply(g->options.selection, g->tenant, stored, &g->scratch, &series.labels);
    if (e) return no_memory(why);
    if (series.labels.size == 0) return OK;
    series.labels = arena_copy(&g->arena, series.labels);
    series.hash = hash_bytes(stored, hash_bytes(g->tenant, 0));
    buf_put(&g->series, &series, sizeof series);
    if (series.labels.at == NULL || buf_error(&g->series)) return no_memory(why);
    *ret_series = series_count(g) - 1;
    return OK;
}

static enum err
take_batch(struct plan_gather *g, uint32_t series, const struct sample_batch *b, struct why *why)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct point point = {
            .t_ms = b->times_ms[i],
            .start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i],
            .series = series,
            .kind = b->kind == SAMPLE_FLOAT ? ITEM_FLOAT : ITEM_HISTOGRAM,
        };
        if (b->kind == SAMPLE_FLOAT) {
            point.bits = b->value_bits[i];
        } else {
            struct histogram *copy = arena_new(&g->arena, sizeof *copy);
            if (copy == NULL || histogram_copy(&b->histograms[i], &g->arena, copy) != OK) {
                return no_memory(why);
            }
            point.histogram = copy;
        }
        buf_put(&g->points, &point, sizeof point);
    }
    return buf_error(&g->points) ? no_memory(why) : OK;
}

static struct query_request
request_of(struct plan_gather *g)
{
    return (struct query_request){
        .tenant = g->tenant,
        .min_ms = g->min_ms,
        .max_ms = g->max_ms,
        .partial = true,
        .control = &g->control,
    };
}

static enum err
note_damage(void *context, const char *sentence)
{
    struct plan_gather *g = context;
    bool first = g->plan->damaged + g->damaged++ == 0;
    if (first) snprintf(g->plan->damage, sizeof g->plan->damage, "%s", sentence);
    return OK;
}

static enum err
gather_samples(struct plan_gather *g, struct view *view, struct why *why)
{
    struct query_request request = request_of(g);
    struct series_set *set = NULL;
    enum err e = view_select(view, &request, &set, why);
    while (e == OK && !is_too_much(g)) {
        struct bytes labels;
        const atomic_bool *stop = g->options.stop;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        uint32_t series;
        e = take_series(g, labels, &series, why);
        while (e == OK && !is_too_much(g)) {
            struct sample_batch b;
            e = series_set_batch(set, &b, why);
            if (e || b.count == 0) break;
            g->seen += b.count;
            if (series != POINT_SERIES) e = take_batch(g, series, &b, why);
        }
        bool stopped = stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
        if (e == OK && stopped) e = why_set(why, ERR_CANCELED, "stopped");
        if (e == OK) e = query_control_check(&g->control, why);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && !is_too_much(g); i++) {
        if ((sentence = series_set_warning(set, i)) == NULL) break;
        e = note_damage(g, sentence);
    }
    series_set_free(set);
    return e;
}

static enum err
gather_exemplar(void *context, const struct exemplar *x)
{
    struct plan_gather *g = context;
    struct point point = {.t_ms = x->t_ms, .bits = x->value_bits, .kind = ITEM_EXEMPLAR};
    enum err e = take_series(g, x->series_labels, &point.series, NULL);
    if (e || point.series == POINT_SERIES) return e;
    point.exemplar_labels = arena_copy(&g->arena, x->labels);
    if (x->labels.size > 0 && point.exemplar_labels.at == NULL) return ERR_NOMEM;
    buf_put(&g->points, &point, sizeof point);
    return buf_error(&g->points);
}

/* Makes the next tenant the current one. */
static bool
next_tenant(struct plan_gather *g, struct cursor *c)
{
    if (c->at == c->end) return false;
    g->tenant = cursor_counted(c);
    return !c->bad;
}

static enum err
gather(struct plan_gather *g, struct why *why)
{
    struct cursor tenants = cursor_of(buf_bytes(&g->tenants));
    struct view *view = NULL;
    enum err e = view_open(g->options.answerer, &g->control, &view, why);
    arena_reset(&g->arena);
    buf_clear(&g->series);
    buf_clear(&g->points);
    g->seen = g->with_samples = g->damaged = 0;
    while (e == OK && !is_too_much(g) && next_tenant(g, &tenants)) {
        uint32_t before = series_count(g);
        e = gather_samples(g, view, why);
        g->with_samples += series_count(g) - before;
        if (e || is_too_much(g)) break;
        struct query_request request = request_of(g);
        struct exemplar_sink to = {gather_exemplar, g, note_damage};
        e = view_exemplars(view, &request, &to, why);
        if (e == ERR_NOMEM) e = no_memory(why);
    }
    view_free(view);
    return e;
}

/* Sorts exemplars after the samples of their time. */
static int
compare_points(const void *x, const void *y)
{
    const struct point *a = x, *b = y;
    if (a->t_ms != b->t_ms) return a->t_ms < b->t_ms ? -1 : 1;
    bool a_last = a->kind == ITEM_EXEMPLAR, b_last = b->kind == ITEM_EXEMPLAR;
    if (a_last != b_last) return a_last ? 1 : -1;
    return a->series < b->series ? -1 : a->series > b->series;
}

static enum err
hand_on(struct plan_gather *g, const struct item *item, struct why *why)
{
    return g->options.each(g->options.context, item, why);
}

static enum err
hand_on_points(struct plan_gather *g, struct why *why)
{
    const struct plan_series *series = (const struct plan_series *)(const void *)g->series.at;
    uint32_t count = point_count(g);
    enum err e = OK;
    if (count > 0) qsort(g->points.at, count, sizeof(struct point), compare_points);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        const struct point *point = &((const struct point *)(const void *)g->points.at)[i];
        const struct plan_series *s = &series[point->series];
        struct item item = {
            .kind = (enum item_kind)point->kind,
            .pos = FILL_BIT | ++g->number,
            .arrival_ms = point->t_ms,
            .tenant = s->tenant,
            .labels = s->labels,
            .series_hash = s->hash,
            .t_ms = point->t_ms,
            .start_ms = point->start_ms,
            .bits = point->bits,
            .histogram = point->histogram,
            .exemplar_labels = point->exemplar_labels,
        };
        e = hand_on(g, &item, why);
    }
    return e;
}

/* --- all stretches ---------------------------------------------------------------------------- */

enum err
plan_gather_samples(struct plan_gather *g, struct plan *plan, struct why *why)
{
    int64_t stretch_ms = STRETCH_MS, from_ms = g->options.from_ms, to_ms = g->options.to_ms;
    g->plan = plan;
    while (from_ms <= to_ms) {
        g->min_ms = from_ms;
        bool beyond = __builtin_add_overflow(from_ms, stretch_ms - 1, &g->max_ms);
        if (beyond || g->max_ms > to_ms) g->max_ms = to_ms;
        enum err e = gather(g, why);
        bool too_much = e == OK && is_too_much(g);
        if (too_much || (e == ERR_NOMEM && g->min_ms != g->max_ms)) {
            /* Tries again with a shorter stretch. */
            int64_t whole_ms = g->max_ms - g->min_ms;
            stretch_ms = whole_ms > STRETCH_PARTS ? whole_ms / STRETCH_PARTS : 1;
            continue;
        }
        if (e == OK) e = hand_on_points(g, why);
        if (e) return e;
        plan->seen += g->seen;
        plan->damaged += g->damaged;
        if (g->with_samples > plan->series) plan->series = g->with_samples;
        if (point_count(g) < ITEMS_FEW && stretch_ms < STRETCH_MAX_MS) stretch_ms *= 2;
        if (g->max_ms == to_ms) break;
        from_ms = g->max_ms + 1;
    }
    return OK;
}

/* --- metadata --------------------------------------------------------------------------------- */

static enum err
hand_on_family(void *context, const struct metadata *m)
{
    struct plan_gather *g = context;
    if (!selection_takes_family(g->options.selection, g->tenant, m->family)) return OK;
    struct item item = {
        .kind = ITEM_METADATA,
        .pos = FILL_BIT | ++g->number,
        .tenant = g->tenant,
        .series_hash = hash_bytes(m->family, 0),
        .family = m->family,
        .family_type = m->type,
        .help = m->help,
        .unit = m->unit,
    };
    return hand_on(g, &item, NULL);
}

enum err
plan_gather_metadata(struct plan_gather *g, struct why *why)
{
    struct view *view = NULL;
    struct cursor tenants = cursor_of(buf_bytes(&g->tenants));
    enum err e = view_open(g->options.answerer, &g->control, &view, why);
    while (e == OK && next_tenant(g, &tenants)) {
        struct query_request request = request_of(g);
        e = view_metadata(view, &request, bytes_of(NULL, 0), hand_on_family, g, why);
    }
    view_free(view);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for metadata") : e;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
note_tenant(void *context, struct bytes tenant, const struct ledger *ledger)
{
    struct plan_gather *g = context;
    (void)ledger;
    if (selection_takes_tenant(g->options.selection, tenant)) {
        buf_put_counted(&g->tenants, tenant);
    }
}

enum err
plan_gather_new(const struct plan_gather_options *options, struct plan_gather **ret_gather,
                struct why *why)
{
    struct plan_gather *g = mem_new(options->memory, sizeof *g);
    if (g == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    struct budget *memory = options->memory;
    g->options = *options;
    g->control = (struct query_control){
        .env = options->env, .budget = memory, .deadline_ns = options->deadline_ns};
    buf_init(&g->tenants, memory, TENANTS_MAX * (size_t)TENANT_NAME_BYTES_MAX);
    buf_init(&g->series, memory, MOMENT_BYTES_MAX);
    buf_init(&g->points, memory, MOMENT_BYTES_MAX);
    arena_init(&g->arena, memory, 0, 0);
    arena_init(&g->scratch, memory, 0, 0);
    tsdb_ledgers(options->tsdb, note_tenant, g);
    if (buf_error(&g->tenants)) {
        plan_gather_free(g);
        return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    }
    *ret_gather = g;
    return OK;
}

void
plan_gather_free(struct plan_gather *g)
{
    if (g == NULL) return;
    buf_fini(&g->tenants);
    buf_fini(&g->series);
    buf_fini(&g->points);
    arena_fini(&g->arena);
    arena_fini(&g->scratch);
    mem_free(g->options.memory, g, sizeof *g);
}
