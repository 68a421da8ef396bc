/*
 * ingest_append.c - puts samples into the head and into columns, columns into records of the log.
 * Invariants are in ingest.c.
 *
 * Each sample is compared with what the head has at its time, pending or not; only accepted samples
 * go into a chunk and into the columns of the slice, so the log has no duplicates and conflicts and
 * replay does not judge again. Only exemplars and metadata can fail here: step 2 took the memory. A
 * series' labels go into each segment of the log before its first sample there.
 */
#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "tsdb/codec/codec.h"
#include "tsdb/head/ingest/ingest.h"

/* --- columns, and records of them (docs/format/wal.md) ---------------------------------------- */

enum { SCRATCH_BUFS = 6, COLUMN_BYTES = SLICE_FLOATS * (4 * 8 + 1) };

static void
scratch_bufs(struct scratch *s, struct buf *ret[SCRATCH_BUFS])
{
    struct buf *all[SCRATCH_BUFS] = {&s->series,   &s->histograms, &s->exemplars,
                                     &s->metadata, &s->payload,    &s->labels};
    memcpy(ret, all, sizeof all);
}

void
scratch_free(struct budget *budget, struct scratch *s)
{
    if (s == NULL) return;
    struct buf *bufs[SCRATCH_BUFS];
    scratch_bufs(s, bufs);
    for (unsigned i = 0; i < SCRATCH_BUFS; i++)
        buf_fini(bufs[i]);
    mem_free(budget, s->pieces, SLICE_PIECES * sizeof *s->pieces);
    mem_free(budget, s->refs, COLUMN_BYTES);
    array_free(budget, s->label_list, s->label_capacity);
    arena_fini(&s->arena);
    mem_free(budget, s, sizeof *s);
}

enum err
scratch_new(struct budget *budget, struct scratch **ret_scratch)
{
    struct scratch *s = mem_new(budget, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    struct buf *bufs[SCRATCH_BUFS];
    scratch_bufs(s, bufs);
    for (unsigned i = 0; i < SCRATCH_BUFS; i++)
        buf_init(bufs[i], budget, 256 * 1024 * 1024);
    arena_init(&s->arena, budget, 0, 256 * 1024);
    s->slice_floats = SLICE_FLOATS;
    s->pieces = mem_alloc(budget, SLICE_PIECES * sizeof *s->pieces);
    s->refs = mem_alloc(budget, COLUMN_BYTES);
    if (s->pieces == NULL || s->refs == NULL) {
        scratch_free(budget, s);
        return ERR_NOMEM;
    }
    s->bits = s->refs + SLICE_FLOATS;
    s->times = (int64_t *)(s->bits + SLICE_FLOATS);
    s->starts = s->times + SLICE_FLOATS;
    s->hints = (uint8_t *)(s->starts + SLICE_FLOATS);
    *ret_scratch = s;
    return OK;
}

void
record_floats(struct scratch *s, struct buf *to)
{
    uint32_t n = s->float_count;
    buf_clear(to);
    if (!buf_reserve(to, 16 + n * (size_t)(3 * VARINT_SIZE_MAX + 1 + VARINT_SIZE_MAX))) return;
    uint8_t *p = to->at;
    p += varint_put(p, n);
    *p++ = s->has_starts;
    uint64_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        p += varint_put(p, zigzag((int64_t)(s->refs[i] - last)));
        last = s->refs[i];
    }
    last = 0;
    for (uint32_t i = 0; i < n; i++) {
        p += varint_put(p, zigzag((int64_t)((uint64_t)s->times[i] - last)));
        last = (uint64_t)s->times[i];
    }
    uint8_t *exponents = p, *values = p + n;
    for (uint32_t i = 0; i < n; i++) {
        unsigned e;
        int64_t k;
        unsigned hint = s->hints[i] <= RECORD_EXPONENT_MAX ? s->hints[i] : 0;
        if (codec_decimal(s->bits[i], hint, &e, &k)) {
            exponents[i] = (uint8_t)e;
            values += varint_put(values, zigzag(k));
        } else {
            exponents[i] = RECORD_EXPONENT_RAW;
            store_le64(values, s->bits[i]);
            values += 8;
        }
    }
    p = values;
    last = 0;
    for (uint32_t i = 0; i < n && s->has_starts; i++) {
        p += varint_put(p, zigzag((int64_t)((uint64_t)s->starts[i] - last)));
        last = (uint64_t)s->starts[i];
    }
    to->size = (size_t)(p - to->at);
}

/* --- append ----------------------------------------------------------------------------------- */

/* The request must wait for the epoch of a sample that it repeats. */
static void
lean_on(struct ingest *in, uint32_t epoch)
{
    if ((int32_t)(epoch - in->durable) <= 0) return;
    uint64_t full = in->head->durable_epoch + (uint32_t)(epoch - in->durable);
    if (full > in->result->wait_epoch) in->result->wait_epoch = full;
}

enum reject
ingest_time_verdict(const struct ingest *in, int64_t t_ms)
{
    if (t_ms < in->min_ms) return REJECT_TOO_OLD;
    return t_ms > in->max_ms ? REJECT_TOO_FAR_IN_FUTURE : REJECT_NONE;
}

/* Logs the labels of a series if this segment of the log does not have them. */
static void
ingest_define(struct ingest *in, struct series *series)
{
    if (series->defined_in == (uint32_t)in->log.segment) return;
    series->defined_in = (uint32_t)in->log.segment;
    /* Appends a series to the scratch's `series`: reference and labels, of which most equal those
     * of the series before and are left out. */
    static const struct series_pairs NONE;
    const struct series_pairs *now = series->pairs, *last = &NONE;
    uint64_t last_ref = 0, mask = 0;
    assert(series->id < in->gen->registry->series.count); /* invariant 4 */
    if (in->s->series_last != NULL) {
        last = in->s->series_last->pairs;
        last_ref = series_ref(in->gen->registry, in->s->series_last);
    }
    for (uint32_t i = 0; i < now->count && i < RECORD_MASK_BITS; i++)
        if (i >= last->count || now->ids[i] != last->ids[i]) mask |= UINT64_C(1) << i;
    buf_put_zigzag(&in->s->series, (int64_t)(series_ref(in->gen->registry, series) - last_ref));
    buf_put_varint(&in->s->series, now->count);
    buf_put_varint(&in->s->series, mask);
    for (uint32_t i = 0; i < now->count; i++) {
        if (i < RECORD_MASK_BITS && (mask >> i & 1) == 0) continue;
        const struct pair *p = registry_pair(in->gen->registry, now->ids[i]);
        buf_put(&in->s->series, p->field, p->field_size);
    }
    in->s->series_last = series;
    in->s->series_count++;
}

/* Judges a sample, and puts it into the head if accepted: then true, and it must be logged. */
static bool
ingest_append_one(struct ingest *in, const struct ingest_piece *p, int64_t t_ms, int64_t start_ms,
                  const struct sample_value *v)
{
    enum ledger_kind kind = ledger_kind_of(v->kind);
    enum presence presence = PRESENT_NOT;
    enum err e = OK;
    if (t_ms <= p->samples->open.last_ms) { /* mostly it is newer than all */
        uint32_t epoch;
        arena_reset(&in->s->arena);
        e = gen_presence(in->gen, p->series, t_ms, v, &in->s->arena, &presence, &epoch);
        assert(e == OK); /* step 2 reserved the arena's memory */
        lean_on(in, epoch);
    }
    if (presence == PRESENT_OTHER) {
        if (ingest_leave_undecided(in, p, t_ms, v)) return false;
        ingest_reject(in, p->from, kind, REJECT_CONFLICT, 1, t_ms, CONFLICT_DETAIL);
        return false;
    }
    in->change.count[kind][LEDGER_RECEIVED]++;
    in->result->written[kind]++;
    if (presence == PRESENT_SAME) {
        in->change.count[kind][LEDGER_DUPLICATE]++;
        return false;
    }
    in->change.count[kind][LEDGER_ACCEPTED]++;
    e = gen_append(in->gen, p->samples, t_ms, start_ms, v, in->epoch, in->durable);
    assert(e == OK); /* reserved */
    head_note_time(in->head, in->origin, t_ms);
    if (t_ms < in->least_ms) in->least_ms = t_ms;
    ingest_define(in, p->series);
    return true;
}

static void
append_histograms(struct ingest *in, const struct ingest_piece *p)
{
    struct scratch *s = in->s;
    for (uint32_t i = p->histograms.first; i < p->histograms.first + p->histograms.count; i++) {
        const struct rw_histogram *h = &in->request->histograms[i];
        struct why why = {"missing count, integer and float counts mixed, or more than 65536 "
                          "buckets on one side"};
        enum reject reason = ingest_time_verdict(in, h->t_ms);
        if (h->malformed || histogram_check(&h->h, &why) != OK) {
            ingest_reject(in, p->from, LEDGER_HISTOGRAM, REJECT_BAD_HISTOGRAM, 1, h->t_ms,
                          why.text);
            continue;
        }
        if (reason != REJECT_NONE) {
            ingest_reject(in, p->from, LEDGER_HISTOGRAM, reason, 1, h->t_ms, "");
            continue;
        }
        struct sample_value v = {h->h.kind, 0, &h->h};
        if (!ingest_append_one(in, p, h->t_ms, h->start_ms, &v)) continue;
        uint64_t now[3] = {series_ref(in->gen->registry, p->series), (uint64_t)h->t_ms,
                           (uint64_t)h->start_ms};
        for (unsigned k = 0; k < 3; k++) {
            buf_put_zigzag(&s->histograms, (int64_t)(now[k] - s->histogram_last[k]));
            s->histogram_last[k] = now[k];
        }
        histogram_put(&s->histograms, &h->h);
        s->histogram_count++;
    }
}

/* Unlike series, exemplars may have no labels; the other rules are the same. */
static enum err
exemplar_labels(struct ingest *in, const struct rw_exemplar *x, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    buf_clear(&s->labels);
    *ret_reason = x->bad_reference ? REJECT_BAD_REFERENCE : REJECT_NONE;
    if (x->bad_reference || x->label_count == 0) return OK;
    if (!array_reserve(&in->head->budget, &s->label_list, &s->label_capacity, x->label_count))
        return ERR_NOMEM;
    memcpy(s->label_list, in->request->labels + x->label_first,
           x->label_count * sizeof *s->label_list);
    *ret_reason = labels_build(s->label_list, x->label_count, &in->head->limits.labels, &s->labels);
    if (*ret_reason == REJECT_EMPTY_LABELS && buf_error(&s->labels) == OK) {
        bool unnamed = false;
        for (uint32_t i = 0; i < x->label_count; i++)
            unnamed |= s->label_list[i].name.size == 0 && s->label_list[i].value.size > 0;
        if (!unnamed) *ret_reason = REJECT_NONE; /* all values were empty */
    }
    return buf_error(&s->labels);
}

static enum err
append_exemplars(struct ingest *in, const struct ingest_piece *p)
{
    struct scratch *s = in->s;
    for (uint32_t i = p->exemplars.first; i < p->exemplars.first + p->exemplars.count; i++) {
        const struct rw_exemplar *x = &in->request->exemplars[i];
        enum reject reason;
        enum err e = exemplar_labels(in, x, &reason);
        if (e) return e;
        if (reason == REJECT_NONE) reason = ingest_time_verdict(in, x->t_ms);
        if (reason != REJECT_NONE) {
            ingest_reject(in, p->from, LEDGER_EXEMPLAR, reason, 1, x->t_ms, "exemplar");
            continue;
        }
        uint32_t epoch = 0;
        struct bytes labels = buf_bytes(&s->labels);
        e = gen_add_exemplar(in->gen, p->series, x->t_ms, x->bits, labels, in->epoch, &epoch);
        if (e != OK && e != ERR_AGAIN) return e;
        in->change.count[LEDGER_EXEMPLAR][LEDGER_RECEIVED]++;
        in->result->written[LEDGER_EXEMPLAR]++;
        in->change.count[LEDGER_EXEMPLAR][e == OK ? LEDGER_ACCEPTED : LEDGER_DUPLICATE]++;
        lean_on(in, epoch);
        if (e != OK) continue;
        ingest_define(in, p->series);
        uint64_t now[2] = {series_ref(in->gen->registry, p->series), (uint64_t)x->t_ms};
        for (unsigned k = 0; k < 2; k++) {
            buf_put_zigzag(&s->exemplars, (int64_t)(now[k] - s->exemplar_last[k]));
            s->exemplar_last[k] = now[k];
        }
        buf_put_le64(&s->exemplars, x->bits);
        buf_put_counted(&s->exemplars, labels);
        s->exemplar_count++;
    }
    return OK;
}

enum err
ingest_append(struct ingest *in, const struct ingest_piece *p)
{
    struct scratch *s = in->s;
    for (uint32_t i = p->floats.first; i < p->floats.first + p->floats.count; i++) {
        const struct rw_float *f = &in->request->floats[i];
        enum reject reason = ingest_time_verdict(in, f->t_ms);
        if (reason != REJECT_NONE) {
            ingest_reject(in, p->from, LEDGER_FLOAT, reason, 1, f->t_ms, "");
            continue;
        }
        struct sample_value v = {SAMPLE_FLOAT, f->bits, NULL};
        if (!ingest_append_one(in, p, f->t_ms, f->start_ms, &v)) continue;
        uint32_t at = s->float_count++;
        s->refs[at] = series_ref(in->gen->registry, p->series);
        s->times[at] = f->t_ms;
        s->bits[at] = f->bits;
        s->starts[at] = f->start_ms;
        s->hints[at] = p->samples->open.exponent;
        s->has_starts |= f->start_ms != 0;
    }
    if (p->histograms.count > 0) append_histograms(in, p);
    return p->exemplars.count == 0 ? OK : append_exemplars(in, p);
}

/* --- metadata --------------------------------------------------------------------------------- */

enum err
ingest_metadata(struct ingest *in, const struct metadata *m)
{
    bool changed;
    struct scratch *s = in->s;
    enum reject reason = REJECT_NONE;
    if (m->family.size == 0)
        reason = REJECT_EMPTY_LABELS;
    else if (m->family.size > FAMILY_TEXT_MAX)
        reason = REJECT_NAME_TOO_LONG;
    else if (m->help.size > FAMILY_TEXT_MAX || m->unit.size > FAMILY_TEXT_MAX)
        reason = REJECT_VALUE_TOO_LONG;
    else if (!utf8_valid(m->family) || !utf8_valid(m->help) || !utf8_valid(m->unit))
        reason = REJECT_BAD_UTF8;
    if (reason != REJECT_NONE) {
        ingest_reject_metadata(in, m, reason);
        return OK;
    }
    /* Room first: once the family is changed the record must be written. */
    size_t room = m->family.size + m->help.size + m->unit.size + 64;
    if (!buf_reserve(&s->metadata, room)) return ERR_NOMEM;
    enum err e = family_set(in->head, in->tenant, m, in->log.epoch, &changed);
    if (e == ERR_LIMIT) {
        ingest_reject_metadata(in, m, REJECT_LABEL_LIMIT);
        return OK;
    }
    if (e || !changed) return e;
    buf_put_counted(&s->metadata, m->family);
    buf_put_u8(&s->metadata, (uint8_t)m->type);
    buf_put_counted(&s->metadata, m->help);
    buf_put_counted(&s->metadata, m->unit);
    s->metadata_count++;
    return OK;
}

enum err
ingest_series_metadata(struct ingest *in, const struct rw_series *from, struct series *series)
{
    if (!from->has_metadata) return OK;
    uint64_t hash = hash_mix(hash_bytes(from->help, in->head->hash_seed),
                             hash_bytes(from->unit, in->head->hash_seed) + from->type);
    uint32_t short_hash = (uint32_t)hash_mix(hash, in->head->metadata_life) | 1;
    if (series->metadata_hash == short_hash && !from->bad_metadata) return OK;
    struct metadata m = {.type = from->type, .help = from->help, .unit = from->unit};
    struct rw_label_walk walk = rw_labels(in->request, from);
    struct label label;
    while (rw_label_next(&walk, &label))
        if (bytes_equal_text(label.name, "__name__")) m.family = label.value;
    if (from->bad_metadata) {
        ingest_reject_metadata(in, &m, REJECT_BAD_REFERENCE);
        return OK;
    }
    enum err e = ingest_metadata(in, &m);
    if (e == OK) series->metadata_hash = short_hash;
    return e;
}

/* --- log -------------------------------------------------------------------------------------- */

static enum err
put_counted_record(struct ingest *in, enum wal_type type, bool with_tenant, uint32_t count,
                   struct buf *items)
{
    if (count == 0) return OK;
    struct buf *to = &in->s->payload;
    buf_clear(to);
    if (with_tenant) buf_put_counted(to, in->tenant->name);
    buf_put_varint(to, count);
    buf_put_bytes(to, buf_bytes(items));
    return buf_error(to) ? buf_error(to) : wal_put(in->head->wal, type, buf_bytes(to), true);
}

void
ingest_log(struct ingest *in)
{
    struct scratch *s = in->s;
    enum err e = OK;
    assert(s->float_count <= s->slice_floats); /* invariant 3 */
    if (in->origin == TSDB_FROM_SERVER && s->float_count + s->histogram_count > 0)
        e = wal_put(in->head->wal, WAL_OWN, bytes_of(NULL, 0), false);
    if (e == OK) e = put_counted_record(in, WAL_SERIES, true, s->series_count, &s->series);
    if (e == OK && s->float_count > 0) {
        record_floats(s, &s->payload);
        e = wal_put(in->head->wal, WAL_FLOATS, buf_bytes(&s->payload), true);
    }
    if (e == OK)
        e = put_counted_record(in, WAL_HISTOGRAMS, false, s->histogram_count, &s->histograms);
    if (e == OK) e = put_counted_record(in, WAL_EXEMPLARS, false, s->exemplar_count, &s->exemplars);
    if (e == OK) e = put_counted_record(in, WAL_METADATA, true, s->metadata_count, &s->metadata);
    if (e == OK && !ledger_is_zero(&in->change)) {
        struct buf *to = &s->payload;
        buf_clear(to);
        buf_put_counted(to, in->tenant->name);
        ledger_put(to, &in->change);
        uint8_t version = (uint8_t)ledger_version(&in->change);
        e = buf_error(to);
        if (e == OK) e = wal_put_version(in->head->wal, WAL_LEDGER, version, buf_bytes(to), false);
    }
    assert(e == OK); /* reserved: the batch cannot be taken while the head lock is held */
    assert(in->gen == in->head->active); /* invariant 1 */
    const uint32_t columns[LEDGER_KIND_COUNT] = {[LEDGER_FLOAT] = s->float_count,
                                                 [LEDGER_HISTOGRAM] = s->histogram_count,
                                                 [LEDGER_EXEMPLAR] = s->exemplar_count};
    bool logged = s->metadata_count > 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t accepted = in->change.count[k][LEDGER_ACCEPTED];
        assert(accepted == columns[k]); /* invariant 2 */
        if (accepted > 0) wal_count(in->head->wal, (enum ledger_kind)k, accepted);
        logged |= accepted > 0;
        in->change.pending[k] = in->gen->sample_count[k] - in->gen_counts[k];
        assert(in->change.pending[k] == accepted); /* invariant 2 */
    }
    if (logged && in->log.epoch > in->result->wait_epoch) in->result->wait_epoch = in->log.epoch;
    tenant_count(in->tenant, in->log.epoch, &in->change);
    if (in->least_ms < INT64_MAX) {
        changes_add(&in->tenant->written, in->log.epoch, in->least_ms);
        in->least_ms = INT64_MAX;
    }
}
