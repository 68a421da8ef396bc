/*
 * fill.c - see fill.h.
 *
 * A walk goes through what is wanted and can begin at any place: the window of time, the tenant,
 * the labels of the series, the time of the sample. There is one that goes ahead, and a short one
 * for each chunk that is read again.
 */
#include "relay/fill.h"

#include <assert.h>

#include "base/fields.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/search.h"
#include "model/labels.h"

enum {
    CHUNK_ITEMS = 2048,
    SCRATCH_KEEP_BYTES = 64 * 1024,
    GIVEN_BYTES_MAX = 64 * 1024 * 1024,
    PLACE_BYTES_MAX = 16 * 1024 * 1024,
    PLACE_VERSION = 1,
};

/* In this order, for each window and tenant; metadata once for each tenant, behind all windows. */
enum stage { STAGE_SAMPLES = 0, STAGE_EXEMPLARS = 1, STAGE_METADATA = 2 };

/* Where a walk is: what it gives next is at or behind it. */
struct fill_at {
    bool begun;
    enum stage stage;
    int64_t window_ms; /* where the window begins */
    struct buf tenant;
    struct buf labels; /* of the series, as stored; the family's name */
    int64_t t_ms;
};

struct fill_walk {
    struct fill *fill;
    struct fill_at place;
    struct series_set *set; /* NULL: it has to be opened again */
    uint32_t warnings;      /* of the set, that were told */
    bool in_series;
    struct sample_batch batch;
    uint32_t batch_at;
    struct chunk_series series; /* the current one */
    struct arena scratch;       /* of its labels as they are handed on */
    struct query_control control;
};

/* A chunk that was given. */
struct given {
    uint64_t pos;
    uint32_t count;
    uint64_t hash; /* of its items */
    uint8_t *place;
    size_t place_size;
    struct chunk *chunk; /* NULL: it is read again when it is wanted */
};

struct fill {
    struct fill_options options;
    struct fill_walk walk;
    uint64_t next_pos;
    struct given *ring; /* ascending positions */
    uint32_t capacity;  /* a power of two, or 0 */
    uint64_t first, next;
    uint64_t oldest_kept; /* chunks before it are not kept */
    size_t kept_bytes;
    struct samples_left_out left_out; /* by the walk that goes ahead */
    struct chunk loaded;              /* read again */
    uint64_t loaded_pos;              /* 0: nothing is */
    bool met_damage;
    struct buf scratch;
};

/* --- places ----------------------------------------------------------------------------------- */

static void
place_init(struct fill_at *p, struct budget *memory)
{
    *p = (struct fill_at){.t_ms = INT64_MIN};
    buf_init(&p->tenant, memory, TENANT_NAME_BYTES_MAX + 1);
    buf_init(&p->labels, memory, PLACE_BYTES_MAX);
}

static void
place_fini(struct fill_at *p)
{
    buf_fini(&p->tenant);
    buf_fini(&p->labels);
}

/* A place as it is stored. */
struct spot {
    bool begun;
    enum stage stage;
    int64_t window_ms;
    struct bytes tenant;
    struct bytes labels;
    int64_t t_ms;
};

static void
spot_fields(const struct fields *f, struct spot *s)
{
    uint8_t version = PLACE_VERSION, stage = (uint8_t)s->stage;
    field_u8(f, &version);
    field_bool(f, &s->begun);
    field_u8(f, &stage);
    field_zigzag(f, &s->window_ms);
    field_counted(f, &s->tenant);
    field_counted(f, &s->labels);
    field_zigzag(f, &s->t_ms);
    fields_check(f, version == PLACE_VERSION && stage <= STAGE_METADATA);
    s->stage = (enum stage)stage;
}

static void
place_put(const struct fill_at *p, struct buf *to)
{
    const struct fields fields = {.to = to};
    struct spot spot = {
        p->begun, p->stage, p->window_ms, buf_bytes(&p->tenant), buf_bytes(&p->labels), p->t_ms};
    spot_fields(&fields, &spot);
}

static enum err
place_get(struct fill_at *p, struct bytes from)
{
    struct cursor c = cursor_of(from);
    const struct fields fields = {.from = &c};
    struct spot s = {.begun = false};
    spot_fields(&fields, &s);
    if (c.bad || (s.stage != STAGE_METADATA && !labels_valid(s.labels))) return ERR_CORRUPT;
    p->begun = s.begun;
    p->stage = s.stage;
    p->window_ms = s.window_ms;
    p->t_ms = s.t_ms;
    buf_clear(&p->tenant);
    buf_put_bytes(&p->tenant, s.tenant);
    buf_clear(&p->labels);
    buf_put_bytes(&p->labels, s.labels);
    return err_first(buf_error(&p->tenant), buf_error(&p->labels));
}

bool
fill_place_is_one(struct bytes place)
{
    struct fill_at p;
    place_init(&p, NULL);
    enum err e = place.size == 0 ? OK : place_get(&p, place);
    place_fini(&p);
    return e == OK;
}

/* --- walking: windows and tenants ------------------------------------------------------------- */

static void
walk_init(struct fill_walk *w, struct fill *f)
{
    *w = (struct fill_walk){.fill = f};
    place_init(&w->place, f->options.memory);
    arena_init(&w->scratch, f->options.memory, GIVEN_BYTES_MAX, 0);
    w->control = (struct query_control){.env = f->options.env, .budget = f->options.memory};
}

static void
walk_rest(struct fill_walk *w)
{
    const char *warning;
    while (w->set != NULL && (warning = series_set_warning(w->set, w->warnings)) != NULL) {
        w->warnings++;
        w->fill->met_damage = true;
        log_error("relay: part of the store is damaged, skipping it",
                  KV("destination", w->fill->options.name), KV("error", warning));
    }
    series_set_free(w->set);
    w->set = NULL;
    w->warnings = 0;
    w->in_series = false;
    w->batch.count = w->batch_at = 0;
}

static void
walk_fini(struct fill_walk *w)
{
    walk_rest(w);
    place_fini(&w->place);
    arena_fini(&w->scratch);
}

static int64_t
window_of(const struct fill *f, int64_t t_ms)
{
    int64_t rest = t_ms % f->options.window_ms;
    if (rest < 0) rest += f->options.window_ms;
    return t_ms < INT64_MIN + rest ? INT64_MIN : t_ms - rest;
}

static int64_t
window_end(const struct fill_walk *w)
{
    int64_t begin_ms = w->place.window_ms, size_ms = w->fill->options.window_ms;
    return begin_ms > INT64_MAX - size_ms ? INT64_MAX : begin_ms + (size_ms - 1);
}

static void
begin_stage(struct fill_walk *w, enum stage stage)
{
    walk_rest(w);
    w->place.stage = stage;
    buf_clear(&w->place.labels);
    w->place.t_ms = INT64_MIN;
}

/* The next tenant that the destination wants. */
static enum err
next_tenant(struct fill_walk *w)
{
    struct fill *f = w->fill;
    do {
        buf_clear(&f->scratch);
        bool found = tsdb_stretch_next_tenant(f->options.tsdb, &f->options.stretch,
                                              buf_bytes(&w->place.tenant), &f->scratch);
        if (!found) return ERR_MISSING;
        buf_clear(&w->place.tenant);
        buf_put_bytes(&w->place.tenant, buf_bytes(&f->scratch));
        enum err e = buf_error(&f->scratch) ? buf_error(&f->scratch) : buf_error(&w->place.tenant);
        if (e) return e;
    } while (!selection_takes_tenant(f->options.selection, buf_bytes(&w->place.tenant)));
    return OK;
}

/* The first window at or behind this time that has something of a tenant that is wanted; behind all
 * windows there is metadata. ERR_MISSING: nothing. */
static enum err
next_window(struct fill_walk *w, int64_t from_ms)
{
    struct fill *f = w->fill;
    int64_t t_ms;
    bool more = true;
    while (more && tsdb_stretch_next_ms(f->options.tsdb, &f->options.stretch, from_ms, &t_ms)) {
        w->place.window_ms = window_of(f, t_ms);
        buf_clear(&w->place.tenant);
        begin_stage(w, STAGE_SAMPLES);
        enum err e = next_tenant(w);
        if (e != ERR_MISSING) return e;
        more = window_end(w) < INT64_MAX;
        if (more) from_ms = window_end(w) + 1;
    }
    w->place.window_ms = INT64_MAX;
    buf_clear(&w->place.tenant);
    begin_stage(w, STAGE_METADATA);
    return f->options.takes_metadata ? next_tenant(w) : ERR_MISSING;
}

/* Of this stage and tenant there is nothing more. ERR_MISSING: nor of anything. */
static enum err
next_stage(struct fill_walk *w)
{
    enum stage stage = w->place.stage;
    if (stage == STAGE_SAMPLES) {
        begin_stage(w, STAGE_EXEMPLARS);
        return OK;
    }
    enum err e = next_tenant(w);
    if (e == OK) begin_stage(w, stage == STAGE_METADATA ? STAGE_METADATA : STAGE_SAMPLES);
    if (e != ERR_MISSING || stage == STAGE_METADATA) return e;
    int64_t end_ms = window_end(w);
    return next_window(w, end_ms == INT64_MAX ? end_ms : end_ms + 1);
}

/* --- walking: samples ------------------------------------------------------------------------- */

static struct query_request
request_of(struct fill_walk *w)
{
    const struct fill_options *o = &w->fill->options;
    struct query_request request = {
        .tenant = buf_bytes(&w->place.tenant),
        .hints = {.from_labels = buf_bytes(&w->place.labels)},
        .partial = true,
        .min_ms = w->place.window_ms > o->min_ms ? w->place.window_ms : o->min_ms,
        .max_ms = window_end(w),
        .control = &w->control,
    };
    request.sets = selection_sets(o->selection, &request.set_count);
    return request;
}

/* Labels of no size: the destination does not want it. */
static enum err
take_series(struct fill_walk *w, struct bytes stored)
{
    struct bytes tenant = buf_bytes(&w->place.tenant);
    arena_reset_to(&w->scratch, SCRATCH_KEEP_BYTES);
    w->series.stored = stored;
    w->series.hash = hash_bytes(stored, hash_bytes(tenant, 0));
    return selection_apply(w->fill->options.selection, tenant, stored, &w->scratch,
                           &w->series.labels);
}

/* The next series that the destination wants. ERR_MISSING: there is none in this stage. */
static enum err
next_series(struct fill_walk *w, struct why *why)
{
    struct fill_at *p = &w->place;
    w->in_series = false;
    if (w->set == NULL) {
        const struct fill_options *o = &w->fill->options;
        struct query_request request = request_of(w);
        struct view *view;
        enum err e = tsdb_stretch_view(o->tsdb, &o->stretch, &w->control, &view, why);
        if (e) return e;
        e = view_select(view, &request, &w->set, why);
        view_free(view);
        if (e) return e;
    }
    for (;;) {
        struct bytes labels;
        enum err e = series_set_next(w->set, &labels, why);
        if (e) return e;
        if (labels.at == NULL) return ERR_MISSING;
        int order = labels_compare(labels, buf_bytes(&p->labels));
        if (order < 0) continue; /* it was given */
        if (order > 0) {
            buf_clear(&p->labels);
            buf_put_bytes(&p->labels, labels);
            p->t_ms = INT64_MIN;
        }
        if (buf_error(&p->labels)) return buf_error(&p->labels);
        e = take_series(w, buf_bytes(&p->labels));
        if (e) return e;
        if (w->series.labels.size == 0) continue;
        w->in_series = true;
        w->batch.count = w->batch_at = 0;
        return OK;
    }
}

/* The next sample is at batch_at. ERR_MISSING: there is none in this stage. */
static enum err
next_sample(struct fill_walk *w, struct why *why)
{
    for (;;) {
        enum err e = w->in_series ? OK : next_series(w, why);
        if (e) return e;
        while (w->batch_at < w->batch.count) {
            if (w->batch.times_ms[w->batch_at] >= w->place.t_ms) return OK;
            w->batch_at++;
        }
        e = series_set_batch(w->set, &w->batch, why);
        w->batch_at = 0;
        if (e) return e;
        w->in_series = w->batch.count > 0;
    }
}

/* --- chunks ----------------------------------------------------------------------------------- */

/* The columns of a chunk of floats, while it is filled. */
struct columns {
    uint64_t *refs, *times, *starts, *bits;
};

static bool
begin_columns(struct chunk *c, struct columns *columns)
{
    columns->refs = arena_alloc(&c->arena, CHUNK_ITEMS * sizeof *columns->refs);
    columns->times = arena_alloc(&c->arena, CHUNK_ITEMS * sizeof *columns->times);
    columns->starts = arena_alloc(&c->arena, CHUNK_ITEMS * sizeof *columns->starts);
    columns->bits = arena_alloc(&c->arena, CHUNK_ITEMS * sizeof *columns->bits);
    c->floats =
        (struct record_columns){0, columns->refs, columns->times, columns->starts, columns->bits};
    return columns->refs != NULL && columns->times != NULL && columns->starts != NULL &&
           columns->bits != NULL;
}

static bool
copy(struct chunk *c, struct bytes from, struct bytes *ret)
{
    *ret = arena_copy(&c->arena, from);
    return from.size == 0 || ret->at != NULL;
}

static enum err
add_series(struct chunk *c, const struct chunk_series *series)
{
    bool known =
        c->series_count > 0 && bytes_equal(c->series[c->series_count - 1].stored, series->stored);
    if (known) return OK;
    struct chunk_series *grown = chunk_more(c, c->series, c->series_count, sizeof *grown), added;
    if (grown == NULL) return ERR_NOMEM;
    c->series = grown;
    added = *series;
    if (!copy(c, series->stored, &added.stored)) return ERR_NOMEM;
    bool same = bytes_equal(series->labels, series->stored);
    if (same) added.labels = added.stored;
    if (!same && !copy(c, series->labels, &added.labels)) return ERR_NOMEM;
    grown[c->series_count++] = added;
    return OK;
}

/* The sample that the walk is at. */
static enum err
put_sample(struct fill_walk *w, struct chunk *c, struct columns *columns)
{
    const struct sample_batch *b = &w->batch;
    uint32_t i = w->batch_at;
    int64_t t_ms = b->times_ms[i], start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
    enum err e = add_series(c, &w->series);
    if (e == OK && b->kind == SAMPLE_FLOAT) {
        columns->refs[c->count] = c->series_count - 1;
        columns->times[c->count] = (uint64_t)t_ms;
        columns->starts[c->count] = (uint64_t)start_ms;
        columns->bits[c->count] = b->value_bits[i];
        c->floats.count = ++c->count;
    } else if (e == OK) {
        struct record_histogram *grown = chunk_more(c, c->histograms, c->count, sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        c->histograms = grown;
        grown[c->count] = (struct record_histogram){
            .ref = c->series_count - 1, .t_ms = t_ms, .start_ms = start_ms};
        e = histogram_copy(&b->histograms[i], &c->arena, &grown[c->count].h);
        c->count += e == OK;
    }
    if (e) return e;
    w->batch_at++;
    w->place.t_ms = t_ms + 1;
    return OK;
}

static enum err
chunk_of_samples(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    struct columns columns = {NULL, NULL, NULL, NULL};
    while (c->count < count_max) {
        enum err e = next_sample(w, why);
        if (e == ERR_MISSING) break;
        if (e) return e;
        enum item_kind kind = w->batch.kind == SAMPLE_FLOAT ? ITEM_FLOAT : ITEM_HISTOGRAM;
        if (c->count > 0 && kind != c->kind) break;
        c->kind = kind;
        if (c->count == 0 && kind == ITEM_FLOAT && !begin_columns(c, &columns)) return ERR_NOMEM;
        e = put_sample(w, c, &columns);
        if (e) return e;
    }
    return OK;
}

/* What is not read series by series, on its way into a chunk. */
struct fill_listing {
    struct fill_walk *walk;
    struct chunk *chunk;
    uint32_t count_max;
};

static enum err
list_exemplar(void *context, const struct exemplar *x)
{
    struct fill_listing *l = context;
    struct fill_walk *w = l->walk;
    struct chunk *c = l->chunk;
    struct fill_at *p = &w->place;
    int order = labels_compare(x->series_labels, buf_bytes(&p->labels));
    if (order < 0 || (order == 0 && x->t_ms < p->t_ms)) return OK;
    /* Those of one series and time are not taken apart. */
    bool more = order == 0 && x->t_ms == p->t_ms;
    if (c->count >= l->count_max && !more) return ERR_CANCELED;
    buf_clear(&p->labels);
    buf_put_bytes(&p->labels, x->series_labels);
    p->t_ms = x->t_ms;
    enum err e = buf_error(&p->labels);
    if (e == OK) e = take_series(w, buf_bytes(&p->labels));
    if (e || w->series.labels.size == 0) return e;
    e = add_series(c, &w->series);
    struct record_exemplar *grown = chunk_more(c, c->exemplars, c->count, sizeof *grown);
    if (e || grown == NULL) return e ? e : ERR_NOMEM;
    c->exemplars = grown;
    struct record_exemplar added = {
        .ref = c->series_count - 1, .t_ms = x->t_ms, .bits = x->value_bits};
    if (!copy(c, x->labels, &added.labels)) return ERR_NOMEM;
    grown[c->count++] = added;
    return OK;
}

static enum err
list_family(void *context, const struct metadata *m)
{
    struct fill_listing *l = context;
    struct fill_walk *w = l->walk;
    struct chunk *c = l->chunk;
    struct fill_at *p = &w->place;
    if (bytes_compare(m->family, buf_bytes(&p->labels)) < 0) return OK;
    if (c->count >= l->count_max) return ERR_CANCELED;
    buf_clear(&p->labels);
    buf_put_bytes(&p->labels, m->family);
    buf_put_u8(&p->labels, 0); /* behind it, and before all others */
    if (buf_error(&p->labels)) return buf_error(&p->labels);
    struct bytes tenant = buf_bytes(&p->tenant);
    if (!selection_takes_family(w->fill->options.selection, tenant, m->family)) return OK;
    struct metadata *grown = chunk_more(c, c->families, c->count, sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    c->families = grown;
    struct metadata added = {.type = m->type};
    bool copied = copy(c, m->family, &added.family) && copy(c, m->help, &added.help) &&
                  copy(c, m->unit, &added.unit);
    if (!copied) return ERR_NOMEM;
    grown[c->count++] = added;
    return OK;
}

/* Of the stages that are not read series by series. */
static enum err
chunk_of_listed(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    struct fill_listing l = {.walk = w, .chunk = c, .count_max = count_max};
    const struct fill_options *o = &w->fill->options;
    struct query_request request = request_of(w);
    struct view *view = NULL;
    bool exemplars = w->place.stage == STAGE_EXEMPLARS;
    c->kind = exemplars ? ITEM_EXEMPLAR : ITEM_METADATA;
    enum err e = tsdb_stretch_view(o->tsdb, &o->stretch, &w->control, &view, why);
    if (e == OK && exemplars) e = view_exemplars(view, &request, list_exemplar, &l, why);
    if (e == OK && !exemplars)
        e = view_metadata(view, &request, bytes_of(NULL, 0), list_family, &l, why);
    view_free(view);
    if (exemplars) w->place.t_ms++;      /* behind the last one */
    if (exemplars && e == ERR_CORRUPT) { /* what was read stays; once more, and there is nothing */
        w->fill->met_damage = true;
        log_error("relay: exemplars in the store are damaged, skipping them",
                  KV("destination", w->fill->options.name), KV("error", why));
        return OK;
    }
    return e == ERR_CANCELED ? OK : e;
}

/* The next items, all of one stage of one tenant. ERR_MISSING: there are none. */
static enum err
walk_chunk(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    enum err e = w->place.begun ? OK : next_window(w, w->fill->options.min_ms);
    w->place.begun |= e == OK || e == ERR_MISSING;
    while (e == OK) {
        chunk_clear(c);
        c->filled = true;
        if (!copy(c, buf_bytes(&w->place.tenant), &c->tenant)) return ERR_NOMEM;
        if (w->place.stage == STAGE_SAMPLES)
            e = chunk_of_samples(w, c, count_max, why);
        else
            e = chunk_of_listed(w, c, count_max, why);
        if (e || c->count > 0) return e;
        e = next_stage(w);
    }
    return e;
}

/* --- what was given --------------------------------------------------------------------------- */

static struct given *
given_at(const struct fill *f, uint64_t number)
{
    return &f->ring[number & (f->capacity - 1)];
}

static uint64_t
hash_items(const struct chunk *c)
{
    uint64_t hash = c->kind;
    for (uint32_t i = 0; i < c->count; i++) {
        struct item item;
        chunk_item(c, i, &item);
        uint64_t bits = item.kind == ITEM_HISTOGRAM ? item.histogram->sum_bits : item.bits;
        hash = hash_mix(hash ^ item.series_hash, hash_mix((uint64_t)item.t_ms, bits));
    }
    return hash;
}

static void
drop_chunk(struct fill *f, struct given *g)
{
    if (g->chunk == NULL) return;
    f->kept_bytes -= g->chunk->arena.used_bytes;
    chunk_fini(g->chunk);
    mem_free(f->options.memory, g->chunk, sizeof *g->chunk);
    g->chunk = NULL;
}

static void
forget_first(struct fill *f)
{
    struct given *g = given_at(f, f->first++);
    drop_chunk(f, g);
    mem_free(f->options.memory, g->place, g->place_size);
    if (f->oldest_kept < f->first) f->oldest_kept = f->first;
}

static bool
ring_grow(struct fill *f)
{
    if (f->next - f->first < f->capacity) return true;
    uint32_t capacity = f->capacity == 0 ? 16 : 2 * f->capacity;
    struct given *ring = mem_new(f->options.memory, capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (uint64_t i = f->first; i < f->next; i++) {
        ring[i & (capacity - 1)] = *given_at(f, i);
    }
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *ring);
    f->ring = ring;
    f->capacity = capacity;
    return true;
}

static struct given *
find_given(const struct fill *f, uint64_t pos)
{
    uint64_t at =
        search_first(i, f->first, f->next, given_at(f, i)->pos + given_at(f, i)->count > pos);
    struct given *g = at < f->next ? given_at(f, at) : NULL;
    return g != NULL && g->pos <= pos ? g : NULL;
}

uint64_t
fill_first_pos(uint32_t number)
{
    return FILL_BIT | (uint64_t)(number & 0xffff) << FILL_NUMBER_SHIFT;
}

/* --- the whole -------------------------------------------------------------------------------- */

enum err
fill_open(const struct fill_options *options, uint64_t pos, struct bytes place,
          struct fill **ret_fill, struct why *why)
{
    struct fill *f = mem_new(options->memory, sizeof *f);
    if (f == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    f->options = *options;
    f->next_pos = pos;
    buf_init(&f->scratch, options->memory, PLACE_BYTES_MAX + 4096);
    chunk_init(&f->loaded, options->memory);
    walk_init(&f->walk, f);
    f->walk.control.left_out = &f->left_out;
    enum err e = place.size == 0 ? OK : place_get(&f->walk.place, place);
    if (e) {
        fill_close(f);
        return why_set(why, e, "cannot resume reading the store: its saved place is invalid");
    }
    *ret_fill = f;
    return OK;
}

void
fill_close(struct fill *f)
{
    if (f == NULL) return;
    walk_fini(&f->walk);
    while (f->first < f->next) {
        forget_first(f);
    }
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *f->ring);
    chunk_fini(&f->loaded);
    buf_fini(&f->scratch);
    mem_free(f->options.memory, f, sizeof *f);
}

/* A chunk, and the place where it begins: remembered so that both can be given again. */
static enum err
read_given(struct fill *f, struct given *g, struct why *why)
{
    struct budget *memory = f->options.memory;
    g->chunk = mem_new(memory, sizeof *g->chunk);
    if (g->chunk == NULL) return ERR_NOMEM;
    chunk_init(g->chunk, memory);
    struct buf place;
    buf_init(&place, memory, PLACE_BYTES_MAX + 4096);
    place_put(&f->walk.place, &place);
    enum err e = buf_error(&place);
    if (e == OK) e = walk_chunk(&f->walk, g->chunk, CHUNK_ITEMS, why);
    if (e == OK) {
        g->place = mem_alloc(memory, place.size);
        g->place_size = place.size;
        if (g->place == NULL) e = ERR_NOMEM;
    }
    if (e == OK) memcpy(g->place, place.at, place.size);
    if (e && buf_error(&place) == OK) {
        walk_rest(&f->walk);
        enum err back = place_get(&f->walk.place, buf_bytes(&place));
        assert(back == OK); /* its buffers had room for it before */
        (void)back;
    }
    buf_fini(&place);
    if (e) {
        chunk_fini(g->chunk);
        mem_free(memory, g->chunk, sizeof *g->chunk);
    }
    return e;
}

enum err
fill_next(struct fill *f, const struct chunk **ret_chunk, struct why *why)
{
    struct given g = {.pos = f->next_pos};
    if (!ring_grow(f)) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    enum err e = read_given(f, &g, why);
    if (e == ERR_MISSING) return e;
    if (e) return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
    struct chunk *c = g.chunk;
    c->pos = f->next_pos;
    c->end_pos = c->pos + c->count;
    g.count = c->count;
    g.hash = hash_items(c);
    f->kept_bytes += c->arena.used_bytes;
    *given_at(f, f->next++) = g;
    f->next_pos = c->end_pos;
    /* All but the youngest may go. */
    while (f->kept_bytes > f->options.kept_bytes && f->oldest_kept + 1 < f->next) {
        drop_chunk(f, given_at(f, f->oldest_kept++));
    }
    *ret_chunk = c;
    return OK;
}

/* The same items as before, or none. */
static enum err
read_again(struct fill *f, const struct given *g, struct why *why)
{
    struct fill_walk walk;
    walk_init(&walk, f);
    f->loaded_pos = 0;
    enum err e = place_get(&walk.place, bytes_of(g->place, g->place_size));
    if (e == OK) e = walk_chunk(&walk, &f->loaded, g->count, why);
    walk_fini(&walk);
    f->loaded.pos = g->pos;
    bool same = e == OK && f->loaded.count == g->count && hash_items(&f->loaded) == g->hash;
    if (e == ERR_MISSING || (e == OK && !same)) {
        return why_set(why, ERR_CORRUPT, "the store has changed since it was read");
    }
    if (e == OK) f->loaded_pos = g->pos;
    return e;
}

enum err
fill_load(struct fill *f, uint64_t pos, const struct chunk **ret_chunk, struct why *why)
{
    const struct given *g = find_given(f, pos);
    assert(g != NULL);
    enum err e = OK;
    *ret_chunk = g->chunk != NULL ? g->chunk : &f->loaded;
    if (g->chunk == NULL && f->loaded_pos != g->pos) e = read_again(f, g, why);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
}

void
fill_pass(struct fill *f, uint64_t pos)
{
    while (f->first < f->next && given_at(f, f->first)->pos + given_at(f, f->first)->count <= pos) {
        forget_first(f);
    }
}

uint64_t
fill_pos(const struct fill *f)
{
    return f->next_pos;
}

/* Where item `i` of a chunk is; the chunk's own place is where it was sought. */
static void
item_spot(const struct fill *f, const struct chunk *chunk, uint32_t i, struct buf *to)
{
    struct item item;
    chunk_item(chunk, i, &item);
    struct spot spot = {
        .begun = true,
        .stage = STAGE_SAMPLES,
        .tenant = chunk->tenant,
        .t_ms = item.t_ms,
    };
    if (item.kind == ITEM_METADATA) {
        spot.stage = STAGE_METADATA;
        spot.window_ms = INT64_MAX;
        spot.labels = item.family;
    } else {
        if (item.kind == ITEM_EXEMPLAR) spot.stage = STAGE_EXEMPLARS;
        spot.window_ms = window_of(f, item.t_ms);
        spot.labels = chunk->series[chunk_ref(chunk, i)].stored;
    }
    spot_fields(&(const struct fields){.to = to}, &spot);
}

enum err
fill_place(struct fill *f, uint64_t pos, struct buf *to, struct why *why)
{
    const struct given *g = pos == f->next_pos ? NULL : find_given(f, pos);
    if (g == NULL) {
        assert(pos == f->next_pos);
        place_put(&f->walk.place, to);
    } else if (g->pos == pos) {
        buf_put(to, g->place, g->place_size);
    } else {
        const struct chunk *chunk;
        enum err e = fill_load(f, pos, &chunk, why);
        if (e) return e;
        item_spot(f, chunk, (uint32_t)(pos - g->pos), to);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "not enough memory to save the place in the store") : OK;
}

void
fill_left_out(struct fill *f, struct samples_left_out *add_to)
{
    walk_rest(&f->walk); /* it counts when it lets go */
    add_to->beaten += f->left_out.beaten;
    add_to->deleted += f->left_out.deleted;
    add_to->exemplars_beaten += f->left_out.exemplars_beaten;
    add_to->exemplars_deleted += f->left_out.exemplars_deleted;
}

bool
fill_met_damage(const struct fill *f)
{
    return f->met_damage;
}

void
fill_rest(struct fill *f)
{
    walk_rest(&f->walk);
}
