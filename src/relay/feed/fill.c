/*
 * fill.c - see fill.h.
 *
 * Guarantees that an item which was given is the same item, under the same position, until it is
 * passed: a refused call is rebuilt from its items, perhaps in pieces, and a restart begins at the
 * oldest item that is not settled.
 *
 * Chunks that were given are in a ring, the oldest first: each with its position, the place of the
 * walk before it, and a hash of its items. The youngest chunks are kept in memory, as many as
 * `kept_bytes` allow; others are read again by a short walk of their own from their place, into
 * `loaded`, which holds one. The hash shows whether the store still has the same items: a deletion
 * or the retention may have changed them. Then the relay restarts the fill from its last durable
 * place, since positions count items, and all later ones would mean others.
 *
 * Places (window, tenant, labels, time) could have served as positions, without a ring; but they
 * are as long as labels, and every pending item has a position.
 *
 * Invariants:
 * 1. Chunks in the ring are not empty, and each begins where the one before it ends; the last one
 *    ends at next_pos.
 * 2. Chunks from oldest_kept on are in memory, those before it are not; kept_bytes is their size.
 * 3. first <= oldest_kept <= next.
 */
#include "relay/feed/fill.h"

#include <assert.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "model/labels.h"
#include "model/select.h"

/* --- the walk --------------------------------------------------------------------------------- */

/*
 * A place is (stage, window of time, tenant, labels, time). A walk finds what comes at or after it:
 * the next window in which a part has something, in it the next tenant whose name is greater, there
 * a view of the stretch's parts, and in it the series from these labels on. So a walk can be left
 * and resumed anywhere, without the parts it read and without a list of what it gave: parts may be
 * merged or removed meanwhile, which changes neither order nor content.
 *
 * Metadata comes once for each tenant, after all windows. Exemplars and metadata are not read
 * series by series: the store lists those of a window, and what is before the place is skipped.
 * Items of one series and time are given together, since a place does not distinguish them.
 *
 * Invariants of the walk:
 * 1. The place only moves forward, except by fill_walk_go_to().
 * 2. A set of series is open only in STAGE_SAMPLES, of the place's window and tenant.
 * 3. A chunk has items of one stage, tenant and kind, and of samples at most FILL_CHUNK_ITEMS.
 */

enum {
    FILL_CHUNK_ITEMS = 2048,
    FILL_PLACE_BYTES_MAX = 16 * 1024 * 1024,
    SCRATCH_KEEP_BYTES = 64 * 1024,
    GIVEN_BYTES_MAX = 64 * 1024 * 1024,
    PLACE_VERSION = 1,
};

/* Stages of each window and tenant, in this order; metadata comes once for each tenant, after all
 * windows. */
enum fill_stage { STAGE_SAMPLES = 0, STAGE_EXEMPLARS = 1, STAGE_METADATA = 2 };

/* The place of a walk: the next item is at or after it. */
struct fill_at {
    bool begun;
    enum fill_stage stage;
    int64_t window_ms; /* start of the window */
    struct buf tenant;
    struct buf labels; /* labels of the series as stored; for metadata, the family's name */
    int64_t t_ms;
};

/* A walk through what the store has, which can begin at any place, and gives its current one. */
struct fill_walk {
    const struct fill_options *options;
    bool found_damage;      /* something could not be read, and was skipped */
    bool exemplars_damaged; /* damaged exemplars were logged */
    struct query_control control;
    struct fill_at place;
    struct series_set *set; /* NULL if it must be opened first */
    int64_t thinned_to_ms;  /* coarsest resolution of downsampled samples that was logged */
    uint32_t warnings;      /* warnings of the set that were logged */
    bool in_series;
    struct sample_batch batch;
    uint32_t batch_at;
    struct chunk_series series; /* the current one */
    struct arena scratch;       /* memory for its labels as they are sent */
    struct buf name;            /* name of the next tenant */
};

/* --- places as bytes -------------------------------------------------------------------------- */

static void
place_init(struct fill_at *p, struct budget *memory)
{
    *p = (struct fill_at){.t_ms = INT64_MIN};
    buf_init(&p->tenant, memory, TENANT_NAME_BYTES_MAX + 1);
    buf_init(&p->labels, memory, FILL_PLACE_BYTES_MAX);
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
    enum fill_stage stage;
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
    s->stage = (enum fill_stage)stage;
}

/* Appends the walk's place. Out of memory shows in buf_error(to). */
static void
fill_walk_put_place(const struct fill_walk *w, struct buf *to)
{
    const struct fill_at *p = &w->place;
    struct spot spot = {
        p->begun, p->stage, p->window_ms, buf_bytes(&p->tenant), buf_bytes(&p->labels), p->t_ms};
    spot_fields(&(const struct fields){.to = to}, &spot);
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

/* Releases the parts that are being read; they are opened again when needed. Afterwards `control`
 * has the counts of what the store left out. */
static void
fill_walk_rest(struct fill_walk *w)
{
    const char *warning;
    while (w->set != NULL && (warning = series_set_warning(w->set, w->warnings)) != NULL) {
        w->warnings++;
        w->found_damage = true;
        log_error("relay: part of the store is damaged, skipping it",
                  KV("destination", w->options->name), KV("error", warning));
    }
    int64_t thinned_to_ms = thinned_to(&w->control);
    if (thinned_to_ms > w->thinned_to_ms) {
        struct why sentence;
        w->thinned_to_ms = thinned_to_ms;
        thinned_say(thinned_to_ms, &sentence);
        log_warn("relay: filled with downsampled samples", KV("destination", w->options->name),
                 KV("warning", sentence.text));
    }
    series_set_free(w->set);
    w->set = NULL;
    w->warnings = 0;
    w->in_series = false;
    w->batch.count = w->batch_at = 0;
}

/* Goes to a place that was put. ERR_CORRUPT: it is invalid; ERR_NOMEM. */
static MUST_CHECK enum err
fill_walk_go_to(struct fill_walk *w, struct bytes place)
{
    fill_walk_rest(w);
    return place_get(&w->place, place);
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

/* Begins before the first item. `options` outlive the walk. */
static void
fill_walk_init(struct fill_walk *w, const struct fill_options *options)
{
    *w = (struct fill_walk){.options = options};
    place_init(&w->place, options->memory);
    buf_init(&w->name, options->memory, TENANT_NAME_BYTES_MAX + 1);
    arena_init(&w->scratch, options->memory, GIVEN_BYTES_MAX, 0);
    w->control = (struct query_control){.env = options->env, .budget = options->memory};
}

static void
fill_walk_fini(struct fill_walk *w)
{
    fill_walk_rest(w);
    place_fini(&w->place);
    buf_fini(&w->name);
    arena_fini(&w->scratch);
}

static int64_t
window_of(const struct fill_options *o, int64_t t_ms)
{
    int64_t rest = t_ms % o->window_ms;
    if (rest < 0) rest += o->window_ms;
    return t_ms < INT64_MIN + rest ? INT64_MIN : t_ms - rest;
}

static int64_t
window_end(const struct fill_walk *w)
{
    int64_t begin_ms = w->place.window_ms, size_ms = w->options->window_ms;
    return begin_ms > INT64_MAX - size_ms ? INT64_MAX : begin_ms + (size_ms - 1);
}

static void
begin_stage(struct fill_walk *w, enum fill_stage stage)
{
    fill_walk_rest(w); /* invariant 2 of the walk */
    w->place.stage = stage;
    buf_clear(&w->place.labels);
    w->place.t_ms = INT64_MIN;
}

/* Moves to the next tenant that the destination wants. */
static enum err
next_tenant(struct fill_walk *w)
{
    const struct fill_options *o = w->options;
    struct buf *tenant = &w->place.tenant;
    do {
        buf_clear(&w->name);
        if (!tsdb_stretch_next_tenant(o->tsdb, &o->stretch, buf_bytes(tenant), &w->name))
            return ERR_MISSING;
        buf_clear(tenant);
        buf_put_bytes(tenant, buf_bytes(&w->name));
        enum err e = err_first(buf_error(&w->name), buf_error(tenant));
        if (e) return e;
    } while (!selection_takes_tenant(o->selection, buf_bytes(tenant)));
    return OK;
}

/* Moves to the first window at or after this time that has something of a wanted tenant, or after
 * all windows to metadata. ERR_MISSING: there is nothing more. */
static enum err
next_window(struct fill_walk *w, int64_t from_ms)
{
    const struct fill_options *o = w->options;
    int64_t t_ms;
    bool more = true;
    while (more && tsdb_stretch_next_ms(o->tsdb, &o->stretch, from_ms, &t_ms)) {
        w->place.window_ms = window_of(o, t_ms);
        assert(t_ms >= from_ms); /* invariant 1 of the walk */
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
    return o->takes_metadata ? next_tenant(w) : ERR_MISSING;
}

/* Moves on after the last item of this stage and tenant. ERR_MISSING: there is nothing more. */
static enum err
next_stage(struct fill_walk *w)
{
    enum fill_stage stage = w->place.stage;
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
    const struct fill_options *o = w->options;
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

/* Sets the current series; its labels are empty if the destination does not want it. */
static enum err
take_series(struct fill_walk *w, struct bytes stored)
{
    struct bytes tenant = buf_bytes(&w->place.tenant);
    arena_reset_to(&w->scratch, SCRATCH_KEEP_BYTES);
    w->series.stored = stored;
    w->series.hash = hash_bytes(stored, hash_bytes(tenant, 0));
    return selection_apply(w->options->selection, tenant, stored, &w->scratch, &w->series.labels);
}

/* Moves to the next series that the destination wants. ERR_MISSING: there is none in this stage. */
static enum err
next_series(struct fill_walk *w, struct why *why)
{
    struct fill_at *p = &w->place;
    assert(p->stage == STAGE_SAMPLES); /* invariant 2 of the walk */
    w->in_series = false;
    if (w->set == NULL) {
        const struct fill_options *o = w->options;
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
        if (order < 0) continue; /* given before */
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

/* Moves batch_at to the next sample. ERR_MISSING: there is none in this stage. */
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
struct fill_columns {
    uint64_t *refs, *times, *starts, *bits;
};

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

/* Adds the current sample to the chunk. */
static enum err
put_sample(struct fill_walk *w, struct chunk *c, struct fill_columns *columns)
{
    const struct sample_batch *b = &w->batch;
    uint32_t i = w->batch_at;
    int64_t t_ms = b->times_ms[i], start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
    assert(c->count < FILL_CHUNK_ITEMS); /* invariant 3 of the walk; also the size of a column */
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
    assert(t_ms >= w->place.t_ms); /* invariant 1 of the walk */
    w->batch_at++;
    w->place.t_ms = t_ms + 1;
    return OK;
}

static enum err
chunk_of_samples(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    struct fill_columns columns = {NULL, NULL, NULL, NULL};
    /* A chunk that is read again may ask for more: exemplars of one time exceed a chunk, and the
     * store may have none of them left. */
    if (count_max > FILL_CHUNK_ITEMS) count_max = FILL_CHUNK_ITEMS;
    while (c->count < count_max) {
        enum err e = next_sample(w, why);
        if (e == ERR_MISSING) break;
        if (e) return e;
        enum item_kind kind = w->batch.kind == SAMPLE_FLOAT ? ITEM_FLOAT : ITEM_HISTOGRAM;
        if (c->count > 0 && kind != c->kind) break;
        c->kind = kind;
        if (c->count == 0 && kind == ITEM_FLOAT) {
            uint64_t *all = arena_alloc(&c->arena, 4 * FILL_CHUNK_ITEMS * sizeof *all);
            if (all == NULL) return ERR_NOMEM;
            columns = (struct fill_columns){all, all + FILL_CHUNK_ITEMS, all + 2 * FILL_CHUNK_ITEMS,
                                            all + 3 * FILL_CHUNK_ITEMS};
            c->floats = (struct record_columns){0, columns.refs, columns.times, columns.starts,
                                                columns.bits};
        }
        e = put_sample(w, c, &columns);
        if (e) return e;
    }
    return OK;
}

/* Puts listed exemplars or families into a chunk. */
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
    /* Exemplars of one series and time stay together. */
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
    buf_put_u8(&p->labels, 0); /* a place after this family and before all others */
    if (buf_error(&p->labels)) return buf_error(&p->labels);
    struct bytes tenant = buf_bytes(&p->tenant);
    if (!selection_takes_family(w->options->selection, tenant, m->family)) return OK;
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

/* Logs a damaged page once, though the walk meets it again with each chunk. */
static enum err
note_exemplars_damage(void *context, const char *sentence)
{
    struct fill_listing *l = context;
    struct fill_walk *w = l->walk;
    if (!w->exemplars_damaged) {
        log_error("relay: exemplars in the store are damaged, skipping them",
                  KV("destination", w->options->name), KV("error", sentence));
    }
    w->exemplars_damaged = w->found_damage = true;
    return OK;
}

/* Fills a chunk in a stage that is not read series by series. */
static enum err
chunk_of_listed(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    struct fill_listing l = {.walk = w, .chunk = c, .count_max = count_max};
    const struct fill_options *o = w->options;
    struct query_request request = request_of(w);
    struct view *view = NULL;
    bool exemplars = w->place.stage == STAGE_EXEMPLARS;
    c->kind = exemplars ? ITEM_EXEMPLAR : ITEM_METADATA;
    enum err e = tsdb_stretch_view(o->tsdb, &o->stretch, &w->control, &view, why);
    struct exemplar_sink to = {list_exemplar, &l, note_exemplars_damage};
    if (e == OK && exemplars) e = view_exemplars(view, &request, &to, why);
    if (e == OK && !exemplars)
        e = view_metadata(view, &request, bytes_of(NULL, 0), list_family, &l, why);
    view_free(view);
    assert(w->set == NULL);         /* invariant 2 of the walk */
    if (exemplars) w->place.t_ms++; /* after the last one */
    return e == ERR_CANCELED ? OK : e;
}

/* Reads at most `count_max` items, all of one stage, tenant and kind; of exemplars of one time a
 * few more. ERR_MISSING: there are none. After other errors call fill_walk_go_to(). */
static MUST_CHECK enum err
fill_walk_chunk(struct fill_walk *w, struct chunk *c, uint32_t count_max, struct why *why)
{
    enum err e = w->place.begun ? OK : next_window(w, w->options->min_ms);
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

/* --- items ------------------------------------------------------------------------------------ */

/* A chunk that fill_next() has returned. */
struct fill_given {
    uint64_t pos;
    uint32_t count;
    uint64_t hash;       /* hash of its items */
    struct buf place;    /* place of the walk before it */
    struct chunk *chunk; /* NULL if it is not in memory: it is read again when needed */
};

struct fill {
    struct fill_options options;
    struct fill_walk walk; /* walk of the next chunk; other walks read chunks again */
    uint64_t next_pos;
    struct fill_given *ring; /* indexed by number, modulo the capacity */
    uint32_t capacity;       /* a power of two, or 0 */
    uint64_t first, next;    /* numbers of the oldest chunk, and of the next one */
    uint64_t oldest_kept;    /* number of the oldest chunk that is in memory */
    size_t kept_bytes;
    struct samples_left_out left_out; /* samples that `walk` read and did not give */
    struct chunk loaded;              /* a chunk that was read again */
    uint64_t loaded_pos;              /* its position; 0 if there is none */
    bool found_damage;                /* walks that read again found damage */
};

/* --- hashes of given items -------------------------------------------------------------------- */

static struct fill_given *
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
        uint64_t times = hash_mix((uint64_t)item.t_ms, (uint64_t)item.start_ms);
        hash = hash_mix(hash ^ item.series_hash, hash_mix(times, bits));
    }
    return hash;
}

static void
drop_chunk(struct fill *f, struct fill_given *g)
{
    if (g->chunk == NULL) return;
    assert(g->chunk->arena.used_bytes <= f->kept_bytes); /* invariant 2 */
    f->kept_bytes -= g->chunk->arena.used_bytes;
    chunk_fini(g->chunk);
    mem_free(f->options.memory, g->chunk, sizeof *g->chunk);
    g->chunk = NULL;
}

static void
forget_first(struct fill *f)
{
    assert(f->first < f->next);
    struct fill_given *g = given_at(f, f->first++);
    drop_chunk(f, g);
    buf_fini(&g->place);
    if (f->oldest_kept < f->first) f->oldest_kept = f->first;
    assert(f->oldest_kept <= f->next); /* invariant 3 */
}

static bool
ring_grow(struct fill *f)
{
    if (f->next - f->first < f->capacity) return true;
    uint32_t capacity = f->capacity == 0 ? 16 : 2 * f->capacity;
    struct fill_given *ring = mem_new(f->options.memory, capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (uint64_t i = f->first; i < f->next; i++)
        ring[i & (capacity - 1)] = *given_at(f, i);
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *ring);
    f->ring = ring;
    f->capacity = capacity;
    return true;
}

static struct fill_given *
find_given(const struct fill *f, uint64_t pos)
{
    uint64_t at =
        search_first(i, f->first, f->next, given_at(f, i)->pos + given_at(f, i)->count > pos);
    struct fill_given *g = at < f->next ? given_at(f, at) : NULL;
    return g != NULL && g->pos <= pos ? g : NULL;
}

uint64_t
fill_first_pos(uint32_t number)
{
    return FILL_BIT | (uint64_t)(number & 0xffff) << FILL_NUMBER_SHIFT;
}

/* --- the fill --------------------------------------------------------------------------------- */

enum err
fill_open(const struct fill_options *options, uint64_t pos, struct bytes place,
          struct fill **ret_fill, struct why *why)
{
    struct fill *f = mem_new(options->memory, sizeof *f);
    if (f == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    f->options = *options;
    f->next_pos = pos;
    chunk_init(&f->loaded, options->memory);
    fill_walk_init(&f->walk, &f->options);
    f->walk.control.left_out = &f->left_out;
    enum err e = place.size == 0 ? OK : fill_walk_go_to(&f->walk, place);
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
    fill_walk_fini(&f->walk);
    while (f->first < f->next)
        forget_first(f);
    mem_free(f->options.memory, f->ring, f->capacity * sizeof *f->ring);
    chunk_fini(&f->loaded);
    mem_free(f->options.memory, f, sizeof *f);
}

/* Reads the next chunk, and remembers the place before it. On an error the walk is back there. */
static enum err
read_given(struct fill *f, struct fill_given *g, struct why *why)
{
    struct budget *memory = f->options.memory;
    g->chunk = mem_new(memory, sizeof *g->chunk);
    if (g->chunk == NULL) return ERR_NOMEM;
    chunk_init(g->chunk, memory);
    buf_init(&g->place, memory, FILL_PLACE_BYTES_MAX + 4096);
    fill_walk_put_place(&f->walk, &g->place);
    enum err e = buf_error(&g->place);
    if (e == OK) {
        e = fill_walk_chunk(&f->walk, g->chunk, FILL_CHUNK_ITEMS, why);
        enum err back = e ? fill_walk_go_to(&f->walk, buf_bytes(&g->place)) : OK;
        assert(back == OK); /* its buffers held the same place before */
    }
    if (e) {
        buf_fini(&g->place);
        chunk_fini(g->chunk);
        mem_free(memory, g->chunk, sizeof *g->chunk);
    }
    return e;
}

enum err
fill_next(struct fill *f, const struct chunk **ret_chunk, struct why *why)
{
    struct fill_given g = {.pos = f->next_pos};
    if (!ring_grow(f)) return why_set(why, ERR_NOMEM, "not enough memory to read the store");
    enum err e = read_given(f, &g, why);
    if (e == ERR_MISSING) return e;
    if (e) return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
    struct chunk *c = g.chunk;
    assert(c->count > 0); /* invariant 1 */
    c->pos = f->next_pos;
    c->end_pos = c->pos + c->count;
    g.count = c->count;
    g.hash = hash_items(c);
    f->kept_bytes += c->arena.used_bytes;
    *given_at(f, f->next++) = g;
    f->next_pos = c->end_pos;
    /* The youngest chunk is kept whatever its size. */
    while (f->kept_bytes > f->options.kept_bytes && f->oldest_kept + 1 < f->next) {
        assert(given_at(f, f->oldest_kept)->chunk != NULL); /* invariant 2 */
        drop_chunk(f, given_at(f, f->oldest_kept++));
    }
    *ret_chunk = c;
    return OK;
}

enum err
fill_load(struct fill *f, uint64_t pos, const struct chunk **ret_chunk, struct why *why)
{
    const struct fill_given *g = find_given(f, pos);
    assert(g != NULL);
    *ret_chunk = g->chunk != NULL ? g->chunk : &f->loaded;
    if (g->chunk != NULL || f->loaded_pos == g->pos) return OK;
    struct fill_walk walk;
    fill_walk_init(&walk, &f->options);
    f->loaded_pos = 0;
    enum err e = fill_walk_go_to(&walk, buf_bytes(&g->place));
    if (e == OK) e = fill_walk_chunk(&walk, &f->loaded, g->count, why);
    fill_walk_fini(&walk);
    f->found_damage |= walk.found_damage;
    f->loaded.pos = g->pos;
    bool same = e == OK && f->loaded.count == g->count && hash_items(&f->loaded) == g->hash;
    if (e == ERR_MISSING || (e == OK && !same))
        return why_set(why, ERR_CORRUPT, "the store has changed since it was read");
    if (e == OK) f->loaded_pos = g->pos;
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read the store") : e;
}

void
fill_pass(struct fill *f, uint64_t pos)
{
    assert(pos <= f->next_pos);
    while (f->first < f->next && given_at(f, f->first)->pos + given_at(f, f->first)->count <= pos)
        forget_first(f);
}

uint64_t
fill_pos(const struct fill *f)
{
    return f->next_pos;
}

enum err
fill_place(struct fill *f, uint64_t pos, struct buf *to, struct why *why)
{
    const struct fill_given *g = pos == f->next_pos ? NULL : find_given(f, pos);
    if (g == NULL) {
        assert(pos == f->next_pos);
        fill_walk_put_place(&f->walk, to);
    } else if (g->pos == pos) {
        buf_put_bytes(to, buf_bytes(&g->place));
    } else {
        const struct chunk *chunk;
        enum err e = fill_load(f, pos, &chunk, why);
        if (e) return e;
        uint32_t i = (uint32_t)(pos - g->pos);
        struct item item;
        chunk_item(chunk, i, &item); /* a walk from its place gives it first */
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
            spot.window_ms = window_of(&f->options, item.t_ms);
            spot.labels = chunk->series[chunk_ref(chunk, i)].stored;
        }
        spot_fields(&(const struct fields){.to = to}, &spot);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "not enough memory to save the place in the store") : OK;
}

void
fill_left_out(struct fill *f, struct samples_left_out *add_to)
{
    fill_walk_rest(&f->walk); /* counts what it left out */
    add_to->superseded += f->left_out.superseded;
    add_to->deleted += f->left_out.deleted;
    add_to->exemplars_superseded += f->left_out.exemplars_superseded;
    add_to->exemplars_deleted += f->left_out.exemplars_deleted;
}

bool
fill_found_damage(const struct fill *f)
{
    return f->found_damage || f->walk.found_damage;
}

void
fill_rest(struct fill *f)
{
    fill_walk_rest(&f->walk);
}
