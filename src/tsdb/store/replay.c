/*
 * replay.c - the log's tail back into the head. What is in the log was judged when it came: it is
 * not judged again. References of the log are those of processes long gone; the head gives its own,
 * beyond all of theirs, because what it logs next may be replayed together with what they logged.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/table.h"
#include "tsdb/store/store.h"

enum { REFS_A_PAGE = 64 };

/*
 * References rise one by one and samples come in their order, or nearly: so series lie in pages of
 * neighbours, and only pages are hashed. (One table by reference was half of the time of a replay.)
 */
struct ref_page {
    uint64_t number_plus_1; /* of references divided by REFS_A_PAGE; 0: none */
    struct series **series; /* REFS_A_PAGE of them, in the arena; NULL: its labels are not known */
};

struct replay {
    struct tsdb *db;
    struct arena arena;   /* of the pages */
    struct arena scratch; /* of one record */
    struct ref_page *pages;
    uint32_t page_count;
    uint32_t page_capacity;
    struct table page_table; /* by hash of the number, places in `pages` */
    struct ref_page last;    /* the one looked at last */
    uint64_t ref_floor;
    uint64_t max_ref;
    /* Of series whose labels were damaged, in commits that are not. */
    uint64_t orphans[LEDGER_KIND_COUNT];
    enum tsdb_origin origin; /* of samples up to the next ledger record */
    bool salvaged;
    uint64_t salvaged_samples[LEDGER_KIND_COUNT];
    struct tsdb_opening *opening;
};

/* --- references ------------------------------------------------------------------------------- */

static const struct ref_page *
page_find(const struct replay *r, uint64_t number)
{
    uint64_t hash = hash_mix(number, 0);
    for (uint32_t at = TABLE_START, i; table_next(&r->page_table, hash, &at, &i);) {
        if (r->pages[i].number_plus_1 == number + 1) return &r->pages[i];
    }
    return NULL;
}

/* NULL: nothing was said of the reference. */
static struct series *
series_find(struct replay *r, uint64_t ref)
{
    uint64_t number = ref / REFS_A_PAGE;
    if (r->last.number_plus_1 != number + 1) {
        const struct ref_page *page = page_find(r, number);
        if (page == NULL) return NULL;
        r->last = *page;
    }
    return r->last.series[ref % REFS_A_PAGE];
}

/* Its place, which may be empty. */
static enum err
series_place(struct replay *r, uint64_t ref, struct series ***ret_place)
{
    uint64_t number = ref / REFS_A_PAGE;
    const struct ref_page *page = page_find(r, number);
    if (page == NULL) {
        struct budget *budget = &r->db->flush_budget;
        struct series **series = arena_new(&r->arena, REFS_A_PAGE * sizeof *series);
        if (series == NULL || !table_reserve(&r->page_table, budget, 1) ||
            !array_reserve(budget, &r->pages, &r->page_capacity, r->page_count + 1)) {
            return ERR_NOMEM;
        }
        table_add(&r->page_table, hash_mix(number, 0), r->page_count);
        r->pages[r->page_count] = (struct ref_page){number + 1, series};
        page = &r->pages[r->page_count++];
    }
    *ret_place = &page->series[ref % REFS_A_PAGE];
    return OK;
}

/*
 * Every segment decodes alone: what it says of a reference holds from here on. Labels stand where
 * a sample follows; those of series that nothing uses any more are below the floor.
 */
static enum err
define(void *context, struct bytes tenant_name, uint64_t ref, struct bytes labels)
{
    struct replay *r = context;
    struct tenant *tenant;
    struct series **place;
    if (ref > r->max_ref) r->max_ref = ref;
    if (ref < r->ref_floor) return OK;
    enum err e = series_place(r, ref, &place);
    if (e == OK) e = tenant_find_or_add(&r->db->head, tenant_name, &tenant);
    if (e) return e;
    const struct series *known = *place;
    if (known != NULL && known->tenant == tenant->id &&
        series_has_labels(r->db->head.active->registry, known, labels)) {
        return OK; /* the same again, in another segment */
    }
    return head_series(&r->db->head, tenant->id, labels, place);
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
put_sample(struct replay *r, uint64_t ref, int64_t t_ms, int64_t start_ms,
           const struct sample_value *v)
{
    const struct series *series = series_find(r, ref);
    if (series == NULL) {
        if (!r->salvaged) r->orphans[ledger_kind_of(v->kind)]++;
        return OK;
    }
    struct gen_series *samples;
    enum err e = gen_series_get(r->db->head.active, series, &samples);
    if (e == OK) e = gen_append(r->db->head.active, samples, t_ms, start_ms, v, 0, 0);
    if (e) return e;
    head_note_time(&r->db->head, r->origin, t_ms);
    r->opening->replayed_samples++;
    r->db->head.tenants[series->tenant]->total.pending[ledger_kind_of(v->kind)]++;
    if (r->salvaged) r->salvaged_samples[ledger_kind_of(v->kind)]++;
    return OK;
}

/* A float touches its series, that one's line of samples, and the end of a chunk, each told by the
 * one before: they are asked for ahead, one after another. */
enum { SERIES_AHEAD = 24, SAMPLES_AHEAD = 16, CHUNK_AHEAD = 8 };

static void
approach(struct replay *r, const struct record_columns *c, uint64_t i)
{
    const struct gen *gen = r->db->head.active;
    const struct series *s = NULL;
    if (i + SERIES_AHEAD < c->count) __builtin_prefetch(series_find(r, c->refs[i + SERIES_AHEAD]));
    if (i + SAMPLES_AHEAD < c->count) s = series_find(r, c->refs[i + SAMPLES_AHEAD]);
    if (s != NULL) gen_prefetch_series(gen, s);
    s = i + CHUNK_AHEAD < c->count ? series_find(r, c->refs[i + CHUNK_AHEAD]) : NULL;
    if (s != NULL) gen_prefetch_chunk(gen, s);
}

static enum err
put_histogram(void *context, const struct record_histogram *h)
{
    struct sample_value v = {h->h.kind, 0, &h->h};
    return put_sample(context, h->ref, h->t_ms, h->start_ms, &v);
}

static enum err
put_exemplar(void *context, const struct record_exemplar *x)
{
    struct replay *r = context;
    const struct series *series = series_find(r, x->ref);
    uint32_t epoch;
    if (series == NULL) {
        if (!r->salvaged) r->orphans[LEDGER_EXEMPLAR]++;
        return OK;
    }
    struct ledger *total = &r->db->head.tenants[series->tenant]->total;
    enum err e =
        gen_add_exemplar(r->db->head.active, series, x->t_ms, x->bits, x->labels, 0, &epoch);
    if (e == ERR_AGAIN) { /* the other was in another generation when this one came */
        total->count[LEDGER_EXEMPLAR][LEDGER_ACCEPTED]--;
        total->count[LEDGER_EXEMPLAR][LEDGER_DUPLICATE]++;
        return OK;
    }
    if (e) return e;
    total->pending[LEDGER_EXEMPLAR]++;
    if (r->salvaged) r->salvaged_samples[LEDGER_EXEMPLAR]++;
    return OK;
}

static enum err
put_metadata(void *context, struct bytes tenant_name, const struct metadata *m)
{
    struct replay *r = context;
    struct tenant *tenant;
    enum err e = tenant_find_or_add(&r->db->head, tenant_name, &tenant);
    return e ? e : family_restore(&r->db->head, tenant, m);
}

static enum err
replay_record(void *context, const struct wal_record *record, struct why *why)
{
    struct replay *r = context;
    struct record_columns columns;
    struct bytes name;
    struct ledger change;
    struct tenant *tenant;
    enum err e = OK;
    arena_reset(&r->scratch);
    r->salvaged = record->salvaged;
    switch (record->type) {
    case WAL_SERIES:
        e = record_each_series(record->payload, NULL, define, r, &r->scratch);
        break;
    case WAL_FLOATS:
        e = record_unpack_floats(record->payload, &r->scratch, &columns);
        for (uint64_t i = 0; e == OK && i < columns.count; i++) {
            struct record_float f = record_float_at(&columns, i);
            struct sample_value v = {SAMPLE_FLOAT, f.bits, NULL};
            approach(r, &columns, i);
            e = put_sample(r, f.ref, f.t_ms, f.start_ms, &v);
        }
        break;
    case WAL_HISTOGRAMS:
        e = record_each_histogram(record->payload, put_histogram, r, &r->scratch);
        break;
    case WAL_EXEMPLARS:
        e = record_each_exemplar(record->payload, put_exemplar, r);
        break;
    case WAL_METADATA:
        e = record_each_metadata(record->payload, put_metadata, r);
        break;
    case WAL_OWN:
        r->origin = TSDB_FROM_SERVER;
        break;
    case WAL_LEDGER:
        r->origin = TSDB_FROM_SENDER;
        e = record_ledger(record->payload, &name, &change);
        if (e == OK) e = tenant_find_or_add(&r->db->head, name, &tenant);
        if (e == OK) ledger_add(&tenant->total, &change);
        break;
    default:
        break;
    }
    if (e == ERR_CORRUPT) return record_damaged(record, why);
    if (e) return why_set(why, e, "not enough memory to replay the log");
    return OK;
}

/*
 * Brings a tenant's totals and what is there together, as far as the log tells of losses: `most`.
 * What is missing beyond that stays a difference, which is an alarm. Returns how many are gone.
 */
static uint64_t
mend_totals(struct tenant *tenant, enum ledger_kind kind, uint64_t most)
{
    uint64_t *count = tenant->total.count[kind];
    int64_t gone = ledger_difference(&tenant->total, kind);
    if (gone < 0) { /* there, but their ledger record is gone */
        count[LEDGER_RECEIVED] -= (uint64_t)gone;
        count[LEDGER_ACCEPTED] -= (uint64_t)gone;
        return 0;
    }
    uint64_t known = (uint64_t)gone < most ? (uint64_t)gone : most;
    count[LEDGER_DAMAGED] += known; /* counted, but not there */
    return known;
}

/*
 * Samples in damaged places are gone: the log's running totals say how many there were. Where their
 * ledger records are gone with them nobody knows whose they were: the first tenant's, then.
 */
static void
count_damage(struct replay *r, const struct wal_damage *damage)
{
    struct tsdb *db = r->db;
    if (damage->places == 0 || db->head.tenant_count == 0) return;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t told = r->orphans[k], known = 0;
        if (damage->samples[k] > r->salvaged_samples[k])
            told += damage->samples[k] - r->salvaged_samples[k];
        uint64_t most = damage->samples_unknown ? UINT64_MAX : told;
        for (uint32_t i = 0; i < db->head.tenant_count; i++) {
            known += mend_totals(db->head.tenants[i], (enum ledger_kind)k, most - known);
        }
        uint64_t nobodys = told > known ? told - known : 0;
        uint64_t *count = db->head.tenants[0]->total.count[k];
        count[LEDGER_RECEIVED] += nobodys;
        count[LEDGER_ACCEPTED] += nobodys;
        count[LEDGER_DAMAGED] += nobodys;
    }
}

enum err
replay_log(struct tsdb *db, const struct manifest *m, struct tsdb_opening *ret_opening,
           struct why *why)
{
    struct replay r = {.db = db, .ref_floor = m->ref_floor, .opening = ret_opening};
    /* What was in two generations comes back in one, beside this: nothing else wants memory yet. */
    uint64_t limit = atomic_exchange(&db->head.budget.limit_bytes, 0);
    arena_init(&r.arena, &db->flush_budget, 0, 0);
    arena_init(&r.scratch, &db->flush_budget, 0, 0);
    enum err e = wal_recover(db->wal, m->store_pos, replay_record, &r, &ret_opening->damage, why);
    if (e == OK) {
        struct wal_damage *damage = &ret_opening->damage;
        identity_note_lost_end(db->env, db->dir, damage);
        struct registry *registry = db->head.active->registry;
        uint64_t orphans = 0;
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            orphans += r.orphans[k];
        if (orphans > 0 && damage->places == 0) {
            /* Labels may be gone that stood before the place where replay begins: nobody has told
             * of those. */
            damage->places = 1;
            snprintf(damage->first, sizeof damage->first,
                     "the labels of the series of %" PRIu64 " samples are missing", orphans);
        }
        count_damage(&r, damage);
        db->opened_pos = wal_end(db->wal);
        ret_opening->replayed_series = db->head.active->series_count;
        /* The head's references so far may be those of other series in the log that was just read:
         * what is logged from now on gets new ones. */
        if (r.max_ref >= registry->ref_base) registry->ref_base = r.max_ref + 1;
        db->head.next_ref = registry->ref_base;
    }
    array_free(&db->flush_budget, r.pages, r.page_capacity);
    table_fini(&r.page_table, &db->flush_budget);
    arena_fini(&r.arena);
    arena_fini(&r.scratch);
    atomic_store(&db->head.budget.limit_bytes, limit);
    return e;
}
