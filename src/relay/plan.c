/*
 * plan.c - see plan.h.
 *
 * The store gives samples series by series; a destination that keeps up gets them in the order of
 * time, and for what is billed by call that makes all the difference. So a stretch of time is
 * gathered whole, put in order, and handed on, then the next. How long a stretch is follows from
 * how much is found in it.
 */
#include "relay/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "model/labels.h"
#include "relay/selection.h"

enum {
    LANES_MAX = 64,
    TENANTS_MAX = 64 * 1024,
    ITEMS_MAX = 512 * 1024, /* of a stretch, but of one millisecond there may be more */
    ITEMS_FEW = ITEMS_MAX / 8,
    STRETCH_PARTS = 8, /* so much less at a time where there was too much */
    SEEN_FIRST = 256,
    EXAMPLE_BYTES_MAX = 16 << 20,
};
#define POINT_SERIES UINT32_MAX
static const size_t MOMENT_BYTES_MAX = (size_t)1 << 32;
static const int64_t STRETCH_MS = 5LL * 60 * 1000;
static const int64_t STRETCH_MAX_MS = INT64_MAX / 4;

/* A series of the stretch at hand. */
struct plan_series {
    struct bytes tenant;
    struct bytes labels; /* as they are handed on */
    uint64_t hash;
};

/* What is to be handed on, in a stretch. */
struct point {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram;
    struct bytes exemplar_labels;
    uint32_t series;
    uint8_t kind; /* enum item_kind */
};

/* Series that a call has one of. */
struct seen {
    uint64_t *slots; /* 0: free */
    uint32_t capacity;
    uint32_t count;
};

struct lane {
    struct writer_call *call;
    uint64_t count; /* items */
    int64_t first_ms;
    struct seen seen;
};

struct planner {
    struct plan_options options;
    struct destination_settings settings; /* with dry_run */
    const struct writer_class *class;
    struct writer *writer;
    struct writer_limits limits;
    struct selection *selection;
    struct query_control control;
    struct matcher *all; /* matches every series */
    uint32_t samples_max;
    uint64_t bytes_max;
    int64_t age_max_ms;
    struct lane lanes[LANES_MAX];
    uint32_t lane_count;
    struct buf tenants; /* counted names */
    uint64_t number;    /* of the next item */
    struct plan *plan;

    /* Of the stretch at hand. */
    struct arena arena;
    struct arena scratch;
    struct buf series; /* struct plan_series */
    struct buf points; /* struct point */
    struct bytes tenant;
    uint64_t stretch_seen; /* samples */
    int64_t min_ms, max_ms;
};

/* --- what is found ---------------------------------------------------------------------------- */

static void
note_example(const struct item *item, struct plan_example *ret)
{
    struct buf text;
    buf_init(&text, NULL, EXAMPLE_BYTES_MAX);
    if (item->kind == ITEM_METADATA)
        buf_put_bytes(&text, item->family);
    else
        labels_print(&text, item->labels);
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)text.size, (const char *)text.at);
    ret->t_ms = item->t_ms;
    buf_fini(&text);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether two sentences differ in numbers only. */
static bool
same_reason(const char *a, const char *b)
{
    for (;;) {
        bool numbers = is_digit(*a) && is_digit(*b);
        while (numbers && is_digit(*a)) {
            a++;
        }
        while (numbers && is_digit(*b)) {
            b++;
        }
        if (numbers) continue;
        if (*a != *b) return false;
        if (*a == '\0') return true;
        a++;
        b++;
    }
}

static void
note_dead(struct planner *p, const struct item *item, const char *why)
{
    struct plan *plan = p->plan;
    char text[PLAN_TEXT_BYTES];
    uint32_t i = 0;
    plan->dead_total[item->kind]++;
    snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, why);
    while (i < plan->dead_count && !same_reason(plan->dead[i].why, text)) {
        i++;
    }
    if (i == PLAN_DEAD_MAX) {
        plan->dead_others++;
        return;
    }
    struct plan_dead *dead = &plan->dead[i];
    if (i == plan->dead_count) {
        plan->dead_count++;
        memcpy(dead->why, text, sizeof dead->why);
        note_example(item, &dead->example);
    }
    dead->count[item->kind]++;
}

static void
note_mapped(struct planner *p, const struct item *item)
{
    unsigned bits = p->class->mapped == NULL ? 0 : p->class->mapped(p->writer, item);
    for (unsigned kind = 0; kind < PLAN_MAPPED_COUNT; kind++) {
        struct plan_mapped *mapped = &p->plan->mapped[kind];
        if ((bits >> kind & 1) == 0) continue;
        if (mapped->samples++ == 0) note_example(item, &mapped->example);
    }
}

static void
note_taken(struct planner *p, const struct item *item)
{
    struct plan *plan = p->plan;
    plan->taken[item->kind]++;
    if (item->kind == ITEM_METADATA) return;
    if (item->t_ms < plan->first_ms) plan->first_ms = item->t_ms;
    if (item->t_ms > plan->last_ms) plan->last_ms = item->t_ms;
}

const char *
plan_mapped_word(uint32_t kind)
{
    static const char *const words[PLAN_MAPPED_COUNT] = {
        "metric names", "label names", "label values", "NaN, +Inf, -Inf", "native histograms"};
    return words[kind];
}

/* --- calls ------------------------------------------------------------------------------------ */

static uint64_t *
seen_slot(const struct seen *seen, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash;; i++) {
        uint64_t *slot = &seen->slots[i & (seen->capacity - 1)];
        if (*slot == 0 || *slot == hash) return slot;
    }
}

static bool
seen_grow(struct planner *p, struct seen *seen)
{
    if (2 * (seen->count + 1) <= seen->capacity) return true;
    struct seen grown = {.capacity = seen->capacity == 0 ? SEEN_FIRST : 2 * seen->capacity,
                         .count = seen->count};
    grown.slots = mem_new(p->options.memory, grown.capacity * sizeof *grown.slots);
    if (grown.slots == NULL) return false;
    for (uint32_t i = 0; i < seen->capacity; i++) {
        if (seen->slots[i] != 0) *seen_slot(&grown, seen->slots[i]) = seen->slots[i];
    }
    mem_free(p->options.memory, seen->slots, seen->capacity * sizeof *seen->slots);
    *seen = grown;
    return true;
}

static void
lane_clear(struct planner *p, struct lane *lane)
{
    p->class->call_clear(p->writer, lane->call);
    if (lane->seen.count > 0) {
        memset(lane->seen.slots, 0, lane->seen.capacity * sizeof *lane->seen.slots);
    }
    lane->seen.count = 0;
    lane->count = 0;
}

/* The call as it would be sent. */
static enum err
lane_send(struct planner *p, struct lane *lane, struct why *why)
{
    if (lane->count == 0) return OK;
    uint64_t bytes = p->class->bytes(p->writer, lane->call);
    enum err e = p->class->make == NULL ? OK : p->class->make(p->writer, lane->call, &bytes);
    if (e) return why_set(why, e, "a call cannot be made: %s", err_word(e));
    p->plan->calls++;
    p->plan->bytes += bytes;
    p->plan->units += p->class->units(p->writer, lane->call);
    lane_clear(p, lane);
    return OK;
}

/* Those that are as old as calls get, at this time. */
static enum err
send_old(struct planner *p, int64_t t_ms, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < p->lane_count && e == OK; i++) {
        struct lane *lane = &p->lanes[i];
        bool old = lane->count > 0 && t_ms - lane->first_ms >= p->age_max_ms;
        if (old) e = lane_send(p, lane, why);
    }
    return e;
}

static enum err
send_all(struct planner *p, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < p->lane_count && e == OK; i++) {
        e = lane_send(p, &p->lanes[i], why);
    }
    return e;
}

/* As the relay fills its calls (lane.c). */
static enum writer_add
lane_add(struct planner *p, struct lane *lane, const struct item *item, struct why *why)
{
    uint32_t entry;
    uint64_t hash = item->series_hash | 1;
    bool one = p->limits.one_of_a_series;
    if (one && !seen_grow(p, &lane->seen)) return WRITER_NO_MEMORY;
    if (one && *seen_slot(&lane->seen, hash) != 0) return WRITER_FULL;
    enum writer_add added = p->class->add(p->writer, lane->call, item, &entry, why);
    if (added != WRITER_ADDED) return added;
    if (one) {
        *seen_slot(&lane->seen, hash) = hash;
        lane->seen.count++;
    }
    if (lane->count++ == 0) lane->first_ms = item->t_ms;
    return WRITER_ADDED;
}

static enum err
hand_on(struct planner *p, const struct item *item, struct why *why)
{
    struct lane *lane = &p->lanes[item->series_hash % p->lane_count];
    struct why unfit = {""};
    note_taken(p, item);
    for (;;) {
        switch (lane_add(p, lane, item, &unfit)) {
        case WRITER_ADDED:
            if (item->kind != ITEM_METADATA) note_mapped(p, item);
            if (lane->count < p->samples_max &&
                p->class->bytes(p->writer, lane->call) < p->bytes_max) {
                return OK;
            }
            return lane_send(p, lane, why);
        case WRITER_UNFIT:
            note_dead(p, item, unfit.text);
            return OK;
        case WRITER_FULL:
            break;
        default:
            if (lane->count == 0) return why_set(why, ERR_NOMEM, "no memory for a call");
            break;
        }
        enum err e = lane_send(p, lane, why);
        if (e) return e;
    }
}

/* --- a stretch of time ------------------------------------------------------------------------ */

static uint32_t
point_count(const struct planner *p)
{
    return (uint32_t)(p->points.size / sizeof(struct point));
}

static struct point *
points_of(const struct planner *p)
{
    return (struct point *)(void *)p->points.at;
}

/* Whether there is more in the stretch than is taken at a time. */
static bool
is_too_much(const struct planner *p)
{
    return p->min_ms != p->max_ms && point_count(p) > ITEMS_MAX;
}

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "no memory for the samples of a moment");
}

/* Its number; POINT_SERIES: the destination does not want it. */
static enum err
take_series(struct planner *p, struct bytes stored, uint32_t *ret_series, struct why *why)
{
    struct plan_series series = {.tenant = p->tenant};
    *ret_series = POINT_SERIES;
    arena_reset(&p->scratch);
    enum err e = selection_apply(p->selection, p->tenant, stored, &p->scratch, &series.labels);
    if (e) return no_memory(why);
    if (series.labels.size == 0) return OK;
    series.labels = arena_copy(&p->arena, series.labels);
    series.hash = hash_bytes(stored, hash_bytes(p->tenant, 0));
    buf_put(&p->series, &series, sizeof series);
    if (series.labels.at == NULL || buf_error(&p->series)) return no_memory(why);
    *ret_series = (uint32_t)(p->series.size / sizeof series) - 1;
    return OK;
}

static enum err
take_batch(struct planner *p, uint32_t series, const struct sample_batch *b, struct why *why)
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
            struct histogram *copy = arena_new(&p->arena, sizeof *copy);
            if (copy == NULL || histogram_copy(&b->histograms[i], &p->arena, copy) != OK) {
                return no_memory(why);
            }
            point.histogram = copy;
        }
        buf_put(&p->points, &point, sizeof point);
    }
    return buf_error(&p->points) ? no_memory(why) : OK;
}

static enum err
gather_series(struct planner *p, struct series_set *set, struct bytes labels, struct why *why)
{
    uint32_t series;
    enum err e = take_series(p, labels, &series, why);
    while (e == OK) {
        struct sample_batch b;
        e = series_set_batch(set, &b, why);
        if (e || b.count == 0) return e;
        p->stretch_seen += b.count;
        if (series != POINT_SERIES) e = take_batch(p, series, &b, why);
        if (e == OK && is_too_much(p)) return OK;
    }
    return e;
}

static struct select_request
request_of(struct planner *p)
{
    return (struct select_request){
        .tenant = p->tenant,
        .matchers = &p->all,
        .matcher_count = 1,
        .min_ms = p->min_ms,
        .max_ms = p->max_ms,
        .partial = true,
        .control = &p->control,
    };
}

static void
note_damage(struct planner *p, struct series_set *set)
{
    const char *text;
    for (uint32_t i = 0; (text = series_set_warning(set, i)) != NULL; i++) {
        if (p->plan->damaged++ == 0) snprintf(p->plan->damage, PLAN_EXAMPLE_BYTES, "%s", text);
    }
}

static enum err
gather_samples(struct planner *p, struct why *why)
{
    struct answerer *store = tsdb_answerer(p->options.tsdb);
    struct select_request request = request_of(p);
    struct series_set *set = NULL;
    enum err e = store->ops->select(store, &request, &set, why);
    while (e == OK && !is_too_much(p)) {
        struct bytes labels;
        const atomic_bool *stop = p->options.stop;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        e = gather_series(p, set, labels, why);
        bool stopped = stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
        if (e == OK && stopped) e = why_set(why, ERR_CANCELED, "stopped");
    }
    if (e == OK && !is_too_much(p)) note_damage(p, set);
    series_set_free(set);
    return e;
}

static enum err
gather_exemplar(void *context, const struct exemplar *x)
{
    struct planner *p = context;
    struct point point = {.t_ms = x->t_ms, .bits = x->value_bits, .kind = ITEM_EXEMPLAR};
    enum err e = take_series(p, x->series_labels, &point.series, NULL);
    if (e || point.series == POINT_SERIES) return e;
    point.exemplar_labels = arena_copy(&p->arena, x->labels);
    if (x->labels.size > 0 && point.exemplar_labels.at == NULL) return ERR_NOMEM;
    buf_put(&p->points, &point, sizeof point);
    return buf_error(&p->points);
}

static enum err
gather_exemplars(struct planner *p, struct why *why)
{
    struct answerer *store = tsdb_answerer(p->options.tsdb);
    struct select_request request = request_of(p);
    enum err e = store->ops->exemplars(store, &request, gather_exemplar, p, why);
    return e == ERR_NOMEM ? no_memory(why) : e;
}

/* The next of the names, which are counted. */
static bool
next_tenant(struct planner *p, struct cursor *c)
{
    if (c->at == c->end) return false;
    p->tenant = cursor_counted(c);
    return !c->bad;
}

static enum err
gather(struct planner *p, struct why *why)
{
    struct cursor tenants = cursor_of(buf_bytes(&p->tenants));
    enum err e = OK;
    arena_reset(&p->arena);
    buf_clear(&p->series);
    buf_clear(&p->points);
    p->stretch_seen = 0;
    while (e == OK && !is_too_much(p) && next_tenant(p, &tenants)) {
        e = gather_samples(p, why);
        uint64_t series = p->series.size / sizeof(struct plan_series);
        if (e == OK && !is_too_much(p)) e = gather_exemplars(p, why);
        if (e == OK && series > p->plan->series && !is_too_much(p)) p->plan->series = series;
    }
    return e;
}

/* Exemplars behind the samples of their time. */
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
hand_on_points(struct planner *p, struct why *why)
{
    const struct plan_series *series = (const struct plan_series *)(const void *)p->series.at;
    uint32_t count = point_count(p);
    int64_t last_ms = INT64_MIN;
    enum err e = OK;
    if (count > 0) qsort(p->points.at, count, sizeof(struct point), compare_points);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        const struct point *point = &points_of(p)[i];
        const struct plan_series *s = &series[point->series];
        struct item item = {
            .kind = (enum item_kind)point->kind,
            .pos = FILL_BIT | ++p->number,
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
        if (point->t_ms != last_ms) e = send_old(p, point->t_ms, why);
        last_ms = point->t_ms;
        if (e == OK) e = hand_on(p, &item, why);
    }
    p->plan->seen += p->stretch_seen;
    return e;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int64_t
end_of(int64_t from_ms, int64_t stretch_ms, int64_t to_ms)
{
    int64_t end_ms;
    bool beyond = __builtin_add_overflow(from_ms, stretch_ms - 1, &end_ms) || end_ms > to_ms;
    return beyond ? to_ms : end_ms;
}

static enum err
walk(struct planner *p, struct why *why)
{
    int64_t stretch_ms = STRETCH_MS, from_ms = p->options.from_ms, to_ms = p->options.to_ms;
    while (from_ms <= to_ms) {
        p->min_ms = from_ms;
        p->max_ms = end_of(from_ms, stretch_ms, to_ms);
        enum err e = gather(p, why);
        bool smaller = (e == OK && is_too_much(p)) || (e == ERR_NOMEM && p->min_ms != p->max_ms);
        if (smaller) {
            int64_t whole_ms = p->max_ms - p->min_ms;
            stretch_ms = whole_ms > STRETCH_PARTS ? whole_ms / STRETCH_PARTS : 1;
            continue;
        }
        if (e == OK) e = hand_on_points(p, why);
        if (e) return e;
        if (point_count(p) < ITEMS_FEW && stretch_ms < STRETCH_MAX_MS) stretch_ms *= 2;
        if (p->max_ms == to_ms) break;
        from_ms = p->max_ms + 1;
    }
    return OK;
}

static void
note_tenant(void *context, struct bytes tenant, const struct ledger *ledger)
{
    struct planner *p = context;
    (void)ledger;
    if (selection_takes_tenant(p->selection, tenant)) buf_put_counted(&p->tenants, tenant);
}

static enum err
hand_on_family(void *context, const struct metadata *m)
{
    struct planner *p = context;
    if (!selection_takes_family(p->selection, p->tenant, m->family)) return OK;
    struct item item = {
        .kind = ITEM_METADATA,
        .pos = FILL_BIT | ++p->number,
        .tenant = p->tenant,
        .series_hash = hash_bytes(m->family, 0),
        .t_ms = p->options.from_ms,
        .family = m->family,
        .family_type = m->type,
        .help = m->help,
        .unit = m->unit,
    };
    return hand_on(p, &item, NULL);
}

static enum err
hand_on_metadata(struct planner *p, struct why *why)
{
    struct answerer *store = tsdb_answerer(p->options.tsdb);
    struct cursor tenants = cursor_of(buf_bytes(&p->tenants));
    enum err e = OK;
    while (e == OK && p->limits.takes_metadata && next_tenant(p, &tenants)) {
        e = store->ops->metadata(store, p->tenant, bytes_of(NULL, 0), hand_on_family, p, why);
    }
    return e ? e : send_all(p, why);
}

/* As the relay does it (run.c). */
static enum err
open_writer(struct planner *p, struct why *why)
{
    const struct batch_settings *batch = &p->settings.batch;
    struct writer_options options = {
        .env = p->options.env,
        .memory = p->options.memory,
        .settings = &p->settings,
        .dir = "",
        .instance = "0",
    };
    enum err e = p->class->create(&options, &p->writer, why);
    if (e) return e;
    p->limits = p->class->limits(p->writer);
    p->samples_max = batch->max_samples != 0 ? batch->max_samples : p->limits.samples;
    if (p->samples_max > p->limits.samples_max) p->samples_max = p->limits.samples_max;
    p->bytes_max = batch->max_bytes != 0 ? batch->max_bytes : p->limits.bytes;
    if (p->bytes_max > p->limits.bytes_max) p->bytes_max = p->limits.bytes_max;
    p->age_max_ms = p->limits.max_age_ms != 0 ? p->limits.max_age_ms : batch->max_age_ms;
    uint32_t lanes = p->settings.concurrency != 0 ? p->settings.concurrency : p->limits.concurrency;
    if (lanes > LANES_MAX) lanes = LANES_MAX;
    if (p->limits.one_lane) lanes = 1;
    while (p->lane_count < lanes) {
        struct lane *lane = &p->lanes[p->lane_count];
        e = p->class->call_new(p->writer, &lane->call);
        if (e) return why_set(why, e, "no memory for calls");
        p->lane_count++;
        lane_clear(p, lane);
    }
    return OK;
}

static void
close_writer(struct planner *p)
{
    for (uint32_t i = 0; i < p->lane_count; i++) {
        struct lane *lane = &p->lanes[i];
        p->class->call_free(p->writer, lane->call);
        mem_free(p->options.memory, lane->seen.slots,
                 lane->seen.capacity * sizeof *lane->seen.slots);
    }
    if (p->writer != NULL) p->class->destroy(p->writer);
}

static void
init(struct planner *p, const struct plan_options *options, struct plan *plan)
{
    p->options = *options;
    p->settings = *options->settings;
    p->settings.dry_run = true;
    p->class = options->writer;
    p->plan = plan;
    p->control = (struct query_control){.env = options->env, .budget = options->memory};
    buf_init(&p->tenants, options->memory, TENANTS_MAX * (size_t)TENANT_NAME_BYTES_MAX);
    buf_init(&p->series, options->memory, MOMENT_BYTES_MAX);
    buf_init(&p->points, options->memory, MOMENT_BYTES_MAX);
    arena_init(&p->arena, options->memory, 0, 0);
    arena_init(&p->scratch, options->memory, 0, 0);
    *plan = (struct plan){.first_ms = INT64_MAX, .last_ms = INT64_MIN};
}

static void
fini(struct planner *p)
{
    close_writer(p);
    matcher_free(p->all);
    selection_free(p->selection);
    buf_fini(&p->tenants);
    buf_fini(&p->series);
    buf_fini(&p->points);
    arena_fini(&p->arena);
    arena_fini(&p->scratch);
}

enum err
plan_run(const struct plan_options *options, struct plan *ret_plan, struct why *why)
{
    struct planner *p = mem_new(options->memory, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "no memory for a plan");
    init(p, options, ret_plan);
    enum err e = selection_new(&p->settings, &p->selection, why);
    /* No label has this value. */
    struct bytes never = bytes_of_text("\x01 of no series");
    if (e == OK) e = matcher_new(MATCH_NOT_EQUAL, bytes_of_text("__name__"), never, &p->all, why);
    if (e == OK) e = open_writer(p, why);
    if (e == OK) {
        ret_plan->unit = p->limits.unit;
        ret_plan->bytes_are_exact = p->class->make != NULL;
        tsdb_ledgers(options->tsdb, note_tenant, p);
        if (buf_error(&p->tenants)) e = no_memory(why);
    }
    if (e == OK) e = hand_on_metadata(p, why);
    if (e == OK) e = walk(p, why);
    if (e == OK) e = send_all(p, why);
    fini(p);
    mem_free(options->memory, p, sizeof *p);
    return e;
}
