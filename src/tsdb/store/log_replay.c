/*
 * log_replay.c - replays the log's tail into the head. Samples of the log were checked when they
 * arrived, and are not checked again. References in the log were given by earlier processes; the
 * head gives its own, greater than all of theirs, because what it logs next may be replayed
 * together with theirs.
 *
 * The log may hold more than the head can: memory.limit was lowered, or the crash happened while
 * another generation was written out. So before each record, a large head becomes a part. On a
 * nearly full disk only a full head does: after a crash all of the log fits into as much memory as
 * before, and reads need no disk space. No manifest names these parts before the log was read to
 * its end: then one edit makes all of them live, with the last generation, and moves the store's
 * position to the end of the log.
 *
 *      head --- large ---> part, not live ---+
 *      head --- end of the log, and there are such parts ---> part ---+---> one edit: live
 *      head --- end of the log, and there are no such parts ---> stays the head
 *
 * A crash before that edit, or an error, leaves the log as it was and parts that the next start
 * sweeps; the account of damage is the same in both cases, as it is made at the end. An edit for
 * each part would save the next start some work, but would also have to record which of the damage
 * found so far lies before its position.
 *
 * With a generation most series leave memory, too, and later samples need them again. So replay
 * remembers where in the log the labels of each reference are, 4 bytes each, and reads them again
 * when a sample needs them. It does so only within the segment being read: each segment has the
 * labels of all its references. (While no generation has left, labels of earlier segments also
 * serve where those of a later one are damaged; then they do not, and the samples count as
 * damaged.)
 *
 * Invariants:
 *  1. The places of a page are those of records in the page's segment.
 *  2. A page has series of the active registry only.
 *  3. Parts that are not live cover the log from the manifest's position to where the active
 *     generation begins, in order.
 *  4. no_series, which pages without series share, is never written.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "tsdb/store/store.h"

enum { REFS_A_PAGE = 64 };

/* References rise one by one and samples come mostly in their order: so series lie in pages of
 * neighbours, and only pages are hashed. (One table by reference took half the time of a replay.)
 */
struct ref_page {
    uint64_t number_plus_1; /* references divided by REFS_A_PAGE, plus 1; 0 if unused */
    struct series **series; /* REFS_A_PAGE series, or no_series; NULL if not in the registry */
    uint32_t *places;       /* places of the records with their labels, see place_of(); 0 if none */
    uint64_t segment;       /* number of the segment that holds those records */
};

/* Shared by all pages without series; never written. */
static struct series *no_series[REFS_A_PAGE];
/* Marks a series whose labels are being read again. */
static struct series wanted_series;

struct log_replay {
    struct tsdb *db;
    const struct manifest *manifest;
    struct arena scratch;       /* memory for one record */
    struct arena again_scratch; /* memory for a record of series that is read again */
    struct wal_reader *again;   /* NULL before a record is read again */
    uint64_t segment;           /* segment of the current record */
    uint64_t segment_pos;       /* position of the first record given from it */
    uint32_t place;             /* place of the current record of series */
    bool series_left;           /* a registry was released: series may have to be read again */
    uint64_t *wanted;           /* references of the current record that have no series */
    uint32_t wanted_count;
    uint32_t wanted_capacity;
    struct part **parts; /* parts that are written and not live */
    uint32_t part_count;
    uint32_t part_capacity;
    bool cut;      /* a generation has left memory */
    bool disk_low; /* the disk may have no space for parts */
    struct ref_page *pages;
    uint32_t page_count;
    uint32_t page_capacity;
    struct table page_table; /* hash of the number -> index in `pages` */
    struct ref_page last;    /* a copy of the page used last */
    uint64_t ref_floor;
    uint64_t max_ref;
    /* Samples of series whose labels are damaged, in valid commits. */
    uint64_t orphans[LEDGER_KIND_COUNT];
    enum tsdb_origin origin; /* origin of samples up to the next ledger record */
    bool salvaged;
    uint64_t salvaged_samples[LEDGER_KIND_COUNT];
    struct tsdb_opening *opening;
};

/* --- references ------------------------------------------------------------------------------- */

static struct ref_page *
ref_page_find(const struct log_replay *r, uint64_t number)
{
    uint64_t hash = hash_mix(number, 0);
    for (uint32_t at = TABLE_START, i; table_next(&r->page_table, hash, &at, &i);)
        if (r->pages[i].number_plus_1 == number + 1) return &r->pages[i];
    return NULL;
}

/* Returns the series of a reference; NULL if it is unknown, or its series left memory. */
static struct series *
series_find(struct log_replay *r, uint64_t ref)
{
    uint64_t number = ref / REFS_A_PAGE;
    if (r->last.number_plus_1 != number + 1) {
        const struct ref_page *page = ref_page_find(r, number);
        if (page == NULL) return NULL;
        r->last = *page;
    }
    return r->last.series[ref % REFS_A_PAGE];
}

enum { SERIES_BYTES = REFS_A_PAGE * sizeof(struct series *) };
enum { PLACES_BYTES = REFS_A_PAGE * sizeof(uint32_t) };

static void
ref_page_free(struct log_replay *r, struct ref_page *page, bool places_too)
{
    struct budget *budget = &r->db->flush_budget;
    if (page->series != no_series) mem_free(budget, page->series, SERIES_BYTES);
    page->series = no_series;
    if (!places_too) return;
    mem_free(budget, page->places, PLACES_BYTES);
    page->places = NULL;
}

/* Finds or makes the page of a number, with its own array of series. */
static enum err
ref_page_get(struct log_replay *r, uint64_t number, struct ref_page **ret_page)
{
    struct budget *budget = &r->db->flush_budget;
    struct ref_page *page = ref_page_find(r, number);
    if (page == NULL) {
        if (!table_reserve(&r->page_table, budget, 1) ||
            !array_reserve(budget, &r->pages, &r->page_capacity, r->page_count + 1))
            return ERR_NOMEM;
        uint32_t *places = mem_new(budget, PLACES_BYTES);
        if (places == NULL) return ERR_NOMEM;
        table_add(&r->page_table, hash_mix(number, 0), r->page_count);
        page = &r->pages[r->page_count++];
        *page = (struct ref_page){number + 1, no_series, places, r->segment};
    }
    assert(page->places != NULL);
    if (page->series == no_series) {
        struct series **series = mem_new(budget, SERIES_BYTES);
        if (series == NULL) return ERR_NOMEM;
        page->series = series;
        r->last.number_plus_1 = 0;
    }
    *ret_page = page;
    return OK;
}

/* The registry was released: pages lose their series. Places of the current segment are kept, as
 * later records may refer to them. */
static void
ref_pages_leave_series(struct log_replay *r)
{
    uint32_t count = 0;
    table_clear(&r->page_table);
    for (uint32_t i = 0; i < r->page_count; i++) {
        struct ref_page *page = &r->pages[i];
        bool kept = page->segment == r->segment;
        ref_page_free(r, page, !kept);
        if (!kept) continue;
        assert(page->series == no_series); /* invariant 2 */
        table_add(&r->page_table, hash_mix(page->number_plus_1 - 1, 0), count);
        r->pages[count++] = *page;
    }
    r->page_count = count;
    r->last.number_plus_1 = 0;
    r->series_left = true;
}

/* Records are aligned to 8 bytes, and a segment is smaller than 2^32 * 8 bytes. */
static uint32_t
place_of(const struct log_replay *r, uint64_t pos)
{
    assert(pos >= r->segment_pos);
    assert((pos - r->segment_pos) / 8 < UINT32_MAX);
    return (uint32_t)((pos - r->segment_pos) / 8) + 1;
}

/* Defines a reference. Every segment decodes alone: a definition is valid from here on. Series that
 * are not used any more have references below the floor. */
static enum err
log_replay_define(void *context, struct bytes tenant_name, uint64_t ref, struct bytes labels)
{
    struct log_replay *r = context;
    struct tenant *tenant;
    struct ref_page *page;
    if (ref > r->max_ref) r->max_ref = ref;
    if (ref < r->ref_floor) return OK;
    enum err e = ref_page_get(r, ref / REFS_A_PAGE, &page);
    if (e == OK) e = tenant_find_or_add(&r->db->head, tenant_name, &tenant);
    if (e) return e;
    if (page->segment != r->segment) {
        memset(page->places, 0, PLACES_BYTES);
        page->segment = r->segment;
    }
    assert(page->series != no_series); /* invariant 4 */
    page->places[ref % REFS_A_PAGE] = r->place;
    struct series **series = &page->series[ref % REFS_A_PAGE];
    if (*series != NULL && (*series)->tenant == tenant->id &&
        series_has_labels(r->db->head.active->registry, *series, labels))
        return OK; /* another segment defined the series before */
    return head_series(&r->db->head, tenant->id, labels, series);
}

/* --- series that left memory ------------------------------------------------------------------ */

static enum err
want(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct log_replay *r = context;
    (void)t_ms;
    (void)kind;
    struct ref_page *page = ref_page_find(r, ref / REFS_A_PAGE);
    uint32_t at = ref % REFS_A_PAGE;
    if (page == NULL || page->series[at] != NULL || page->places[at] == 0) return OK;
    if (page->segment != r->segment) return OK; /* the labels in this segment are damaged */
    struct budget *budget = &r->db->flush_budget;
    enum err e = ref_page_get(r, ref / REFS_A_PAGE, &page);
    if (e) return e;
    if (!array_reserve(budget, &r->wanted, &r->wanted_capacity, r->wanted_count + 1))
        return ERR_NOMEM;
    assert(page->series != no_series); /* invariant 4 */
    page->series[at] = &wanted_series;
    r->wanted[r->wanted_count++] = ref;
    return OK;
}

static enum err
define_wanted(void *context, struct bytes tenant_name, uint64_t ref, struct bytes labels)
{
    struct log_replay *r = context;
    struct ref_page *page = ref_page_find(r, ref / REFS_A_PAGE);
    struct tenant *tenant;
    uint32_t at = ref % REFS_A_PAGE;
    if (page == NULL || page->series[at] != &wanted_series || page->places[at] != r->place)
        return OK;
    enum err e = tenant_find_or_add(&r->db->head, tenant_name, &tenant);
    return e ? e : head_series(&r->db->head, tenant->id, labels, &page->series[at]);
}

/* Reads the labels of series again that left memory and that a record refers to. */
static enum err
series_again(struct log_replay *r, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < r->wanted_count; i++) {
        uint64_t ref = r->wanted[i];
        const struct ref_page *page = ref_page_find(r, ref / REFS_A_PAGE);
        if (page->series[ref % REFS_A_PAGE] != &wanted_series)
            continue; /* read with an earlier one */
        struct wal_record record;
        assert(page->segment == r->segment); /* invariant 1 */
        r->place = page->places[ref % REFS_A_PAGE];
        uint64_t pos = r->segment_pos + (r->place - 1) * UINT64_C(8);
        arena_reset(&r->again_scratch);
        if (r->again == NULL) e = wal_reader_open(r->db->wal, "replay", pos, &r->again, why);
        if (e == OK) e = wal_reader_again(r->again, pos, &record, why);
        if (e == OK)
            e = record_each_series(record.payload, NULL, define_wanted, r, &r->again_scratch);
        bool found = e != OK || page->series[ref % REFS_A_PAGE] != &wanted_series;
        if (e == ERR_CORRUPT || e == ERR_MISSING || !found) /* it was valid a moment ago */
            return why_set(why, ERR_IO, "log record at position %" PRIu64 " has changed", pos);
    }
    r->wanted_count = 0;
    return e;
}

/* --- a head that is full ---------------------------------------------------------------------- */

/* Writes the generation, which has the log up to `pos`, as a part that is not live so far, and
 * frees it. */
static enum err
leave_generation(struct log_replay *r, uint64_t pos, struct why *why)
{
    struct tsdb *db = r->db;
    struct head *head = &db->head;
    const struct gen *gen = head->active;
    assert(r->part_count == 0 ||
           part_info(r->parts[r->part_count - 1])->to_pos == gen->begin_pos); /* invariant 3 */
    const struct registry *registry = gen->registry;
    bool empty = true;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        empty &= gen->sample_count[k] == 0;
    if (!array_reserve(&db->flush_budget, &r->parts, &r->part_capacity, r->part_count + 1))
        return ERR_NOMEM;
    r->opening->replayed_series += gen->series_count;
    enum err e = head_cut_locked(head, pos);
    if (e) return e;
    lock_drop(&head->lock);
    if (!empty && !db->options.log_only) {
        e = flush_write_part(db, &r->parts[r->part_count], why);
        if (e == OK) r->part_count++;
    }
    lock_take(&head->lock);
    if (e) return e;
    r->cut = true;
    /* A generation without samples does not become a part: the next one covers the same range. */
    if (empty) head->active->begin_pos = head->frozen->begin_pos;
    head->active->before = NULL;
    struct gen *frozen = head->frozen;
    head->frozen = NULL;
    cut_free(head, &head->cut);
    if (registry != head->active->registry) ref_pages_leave_series(r);
    gen_unref(frozen);
    return OK;
}

static enum err
cannot_flush(enum err e, struct why *why)
{
    return why_prefix(why, e,
                      "the log is larger than memory.limit allows for the head, and cannot "
                      "be written to parts; free disk space, or raise memory.limit");
}

/* --- samples ---------------------------------------------------------------------------------- */

static enum err
log_replay_sample(struct log_replay *r, uint64_t ref, int64_t t_ms, int64_t start_ms,
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

/* A float touches its series, the series' line of samples, and the end of a chunk, each found
 * through the previous one: they are prefetched in sequence. */
enum { SERIES_AHEAD = 24, SAMPLES_AHEAD = 16, CHUNK_AHEAD = 8 };

static enum err
log_replay_histogram(void *context, const struct record_histogram *h)
{
    struct sample_value v = {h->h.kind, 0, &h->h};
    return log_replay_sample(context, h->ref, h->t_ms, h->start_ms, &v);
}

static enum err
put_exemplar(void *context, const struct record_exemplar *x)
{
    struct log_replay *r = context;
    const struct series *series = series_find(r, x->ref);
    uint32_t epoch;
    if (series == NULL) {
        if (!r->salvaged) r->orphans[LEDGER_EXEMPLAR]++;
        return OK;
    }
    struct ledger *total = &r->db->head.tenants[series->tenant]->total;
    enum err e =
        gen_add_exemplar(r->db->head.active, series, x->t_ms, x->bits, x->labels, 0, &epoch);
    if (e == ERR_AGAIN) { /* the other sample was in another generation when this one arrived */
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
    struct log_replay *r = context;
    struct tenant *tenant;
    enum err e = tenant_find_or_add(&r->db->head, tenant_name, &tenant);
    return e ? e : family_restore(&r->db->head, tenant, m);
}

static enum err
put_floats(struct log_replay *r, struct bytes payload)
{
    struct record_columns columns;
    enum err e = record_unpack_floats(payload, &r->scratch, &columns);
    for (uint64_t i = 0; e == OK && i < columns.count; i++) {
        struct record_float f = record_float_at(&columns, i);
        struct sample_value v = {SAMPLE_FLOAT, f.bits, NULL};
        const struct gen *gen = r->db->head.active;
        const struct series *s = NULL;
        if (i + SERIES_AHEAD < columns.count)
            __builtin_prefetch(series_find(r, columns.refs[i + SERIES_AHEAD]));
        if (i + SAMPLES_AHEAD < columns.count) s = series_find(r, columns.refs[i + SAMPLES_AHEAD]);
        if (s != NULL) gen_prefetch_series(gen, s);
        s = i + CHUNK_AHEAD < columns.count ? series_find(r, columns.refs[i + CHUNK_AHEAD]) : NULL;
        if (s != NULL) gen_prefetch_chunk(gen, s);
        e = log_replay_sample(r, f.ref, f.t_ms, f.start_ms, &v);
    }
    return e;
}

static enum err
replay_record(void *context, const struct wal_record *record, struct why *why)
{
    struct log_replay *r = context;
    struct tsdb *db = r->db;
    struct bytes name;
    struct ledger change;
    struct tenant *tenant;
    enum err e = OK;
    arena_reset(&r->scratch);
    r->salvaged = record->salvaged;
    if (r->segment != record->segment) {
        r->segment = record->segment;
        r->segment_pos = record->pos;
    }
    bool spare = r->disk_low && !r->cut; /* after a first part, the end needs another part anyway */
    bool leaves = spare ? head_is_full(&db->head) : head_is_large(&db->head);
    if (leaves && !db->options.read_only) {
        e = leave_generation(r, record->pos, why);
        if (e) return cannot_flush(e, why);
    }
    if (r->series_left) {
        e = record_walk(record, &(struct record_visitor){.sample = want, .context = r}, &r->scratch,
                        why);
        if (e == OK) e = series_again(r, why);
        if (e == OK) arena_reset(&r->scratch);
    }
    switch (e == OK ? record->type : 0) {
    case WAL_SERIES:
        r->place = place_of(r, record->pos);
        e = record_each_series(record->payload, NULL, log_replay_define, r, &r->scratch);
        break;
    case WAL_FLOATS:
        e = put_floats(r, record->payload);
        break;
    case WAL_HISTOGRAMS:
        e = record_each_histogram(record->payload, log_replay_histogram, r, &r->scratch);
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
        e = record_ledger(record->payload, &name, &change);
        if (e == OK) e = tenant_find_or_add(&db->head, name, &tenant);
        if (e == OK) {
            /* Ends a request, whose last record is its ledger record. Without accepted samples the
             * log does not record its sender. */
            bool has_samples = change.count[LEDGER_FLOAT][LEDGER_ACCEPTED] > 0 ||
                               change.count[LEDGER_HISTOGRAM][LEDGER_ACCEPTED] > 0;
            bool is_known =
                r->origin == TSDB_FROM_SENDER && has_samples && record->realtime_ms != 0;
            if (is_known) tenant->arrivals.sent_ms = record->realtime_ms;
            ledger_add(&tenant->total, &change);
            r->origin = TSDB_FROM_SENDER;
        }
        break;
    default:
        break;
    }
    if (e == ERR_CORRUPT) return record_damaged(record, why);
    if (e == ERR_NOMEM)
        return why_set(why, e, "not enough memory to replay the log; raise memory.limit");
    return e;
}

/* Damage may begin before the manifest's position: samples accepted up to there are in parts, or
 * were counted as damaged. The manifest has their number, if it belongs to this log. */
void
log_damage_note(struct env *env, const char *dir, const struct manifest *m,
                struct wal_damage *damage)
{
    bool known =
        m->log_totals_known && memcmp(m->log_id, damage->log_id, sizeof damage->log_id) == 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT && known && damage->counts_from; k++) {
        uint64_t before = damage->from_totals[k];
        uint64_t stored = m->log_totals[k] > before ? m->log_totals[k] - before : 0;
        damage->samples[k] -= stored < damage->samples[k] ? stored : damage->samples[k];
    }
    identity_note_lost_end(env, dir, m->store_pos, known ? m->log_totals : NULL, damage);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT && known; k++)
        if (damage->end_pos <= m->store_pos && damage->totals[k] < m->log_totals[k])
            damage->totals[k] = m->log_totals[k];
}

/* Adjusts a tenant's totals to the samples that exist, for at most `most` samples, as many as the
 * log has lost. More missing samples stay a difference, which is an alarm. Returns the number of
 * lost samples. */
static uint64_t
mend_totals(struct tenant *tenant, enum ledger_kind kind, uint64_t most)
{
    uint64_t *count = tenant->total.count[kind];
    int64_t gone = ledger_difference(&tenant->total, kind);
    if (gone < 0) { /* samples whose ledger record is lost */
        count[LEDGER_RECEIVED] -= (uint64_t)gone;
        count[LEDGER_ACCEPTED] -= (uint64_t)gone;
        return 0;
    }
    uint64_t known = (uint64_t)gone < most ? (uint64_t)gone : most;
    count[LEDGER_DAMAGED] += known; /* counted samples that are lost */
    return known;
}

/* Samples in damaged places are lost: the log's running totals have their number. If their ledger
 * records are lost too, their tenant is unknown, and they are counted for the first tenant. */
static void
count_damage(struct log_replay *r, const struct wal_damage *damage)
{
    struct tsdb *db = r->db;
    if (damage->places == 0 || db->head.tenant_count == 0) return;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t lost = r->orphans[k], known = 0;
        if (damage->samples[k] > r->salvaged_samples[k])
            lost += damage->samples[k] - r->salvaged_samples[k];
        uint64_t most = damage->samples_unknown ? UINT64_MAX : lost;
        for (uint32_t i = 0; i < db->head.tenant_count; i++) {
            known += mend_totals(db->head.tenants[i], (enum ledger_kind)k, most - known);
            assert(known <= most);
        }
        uint64_t rest = lost > known ? lost - known : 0;
        uint64_t *count = db->head.tenants[0]->total.count[k];
        count[LEDGER_RECEIVED] += rest;
        count[LEDGER_ACCEPTED] += rest;
        count[LEDGER_DAMAGED] += rest;
    }
}

/* Called when the log was read to its end. */
static enum err
replayed(struct log_replay *r, struct wal_damage *damage, struct why *why)
{
    struct tsdb *db = r->db;
    log_damage_note(db->env, db->dir, r->manifest, damage);
    if (!db->options.read_only) wal_raise_totals(db->wal, damage->totals);
    struct registry *registry = db->head.active->registry;
    uint64_t orphans = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        orphans += r->orphans[k];
    if (orphans > 0 && damage->places == 0) {
        /* Labels before the position at which replay begins may be lost, which was not reported. */
        damage->places = 1;
        snprintf(damage->first, sizeof damage->first,
                 "the labels of the series of %" PRIu64 " samples are missing", orphans);
    }
    count_damage(r, damage);
    db->stored_known = r->manifest->log_totals_known &&
                       memcmp(r->manifest->log_id, damage->log_id, sizeof damage->log_id) == 0;
    memcpy(db->stored_totals, r->manifest->log_totals, sizeof db->stored_totals);
    db->replayed_pos = r->manifest->store_pos;
    db->opened_pos = wal_end(db->wal);
    db->gaps = damage->gaps;
    r->opening->replayed_series += db->head.active->series_count;
    /* The head's references so far may be those of other series in the replayed log: later records
     * use new ones. */
    if (r->max_ref >= registry->ref_base) registry->ref_base = r->max_ref + 1;
    db->head.next_ref = registry->ref_base;
    if (!r->cut) return OK;
    /* Makes all that was replayed live as parts; the head is empty afterwards. */
    enum err e = head_cut_locked(&db->head, wal_end(db->wal));
    if (e) return e;
    lock_drop(&db->head.lock);
    e = flush_frozen(db, r->parts, r->part_count, why);
    lock_take(&db->head.lock);
    if (e) return cannot_flush(e, why);
    r->opening->replayed_parts = db->live.version->part_count - r->opening->parts;
    return OK;
}

enum err
replay_log(struct tsdb *db, const struct manifest *m, struct tsdb_opening *ret_opening,
           struct why *why)
{
    struct log_replay r = {
        .db = db, .manifest = m, .ref_floor = m->ref_floor, .opening = ret_opening};
    uint64_t free_bytes, total_bytes;
    /* Parts take less space than the generations they are made of. */
    if (!db->options.log_only && env_space(db->env, db->dir, &free_bytes, &total_bytes, NULL) == OK)
        r.disk_low = free_bytes < db->options.head_bytes_max;
    lock_take(&db->head.lock);
    /* A large head takes one more record; nothing else needs memory now. */
    uint64_t limit = atomic_exchange(&db->head.budget.limit_bytes, 0);
    arena_init(&r.scratch, &db->flush_budget, 0, 0);
    arena_init(&r.again_scratch, &db->flush_budget, 0, 0);
    enum err e = wal_recover(db->wal, m->store_pos, replay_record, &r, &ret_opening->damage, why);
    if (e == OK) e = replayed(&r, &ret_opening->damage, why);
    struct budget *budget = &r.db->flush_budget;
    for (uint32_t i = 0; i < r.page_count; i++)
        ref_page_free(&r, &r.pages[i], true);
    array_free(budget, r.pages, r.page_capacity);
    table_fini(&r.page_table, budget);
    for (uint32_t i = 0; i < r.part_count; i++)
        part_unref(r.parts[i]);
    array_free(budget, r.parts, r.part_capacity);
    array_free(budget, r.wanted, r.wanted_capacity);
    wal_reader_close(r.again);
    arena_fini(&r.scratch);
    arena_fini(&r.again_scratch);
    atomic_store(&db->head.budget.limit_bytes, limit);
    lock_drop(&db->head.lock);
    return e;
}
