/*
 * ingest.c - a remote write request: judged, put into the head, and into the log's batch.
 *
 * A request is worked on in slices, each under the head lock:
 *
 *   1. resolve   labels to series of the active generation (made where needed); times and
 * histograms are judged
 *   2. reserve   memory in the head and in the batch for the worst case, so that nothing below can
 * fail
 *   3. append    each sample: is it there already? if not, into the head, and into the slice's
 * columns
 *   4. log       the columns become records of the batch
 *
 * A slice that fails in step 1 or 2 has left nothing but empty series. What earlier slices did
 * stays: the sender repeats the request, and finds its samples there.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "tsdb/internal.h"

enum { OFFENDERS_NAMED = 3 };

/* How many series ahead of its use each thing is asked for, see approach_next(). */
enum { SLOT_AHEAD = 24, SERIES_AHEAD = 12, CHUNK_AHEAD = 6, GUESSES = 16 };

/* Where the work stands within the request. */
struct place {
    uint32_t series;
    uint32_t at_float;
    uint32_t at_histogram;
    uint32_t at_exemplar;
};

struct ingest {
    struct tsdb *db;
    const struct rw_request *request;
    struct tenant *tenant;
    struct ingest_result *result;
    struct scratch *s;
    struct gen *gen;
    struct wal_place log;
    uint32_t epoch; /* low bits of log.epoch, as the head keeps them */
    uint32_t durable;
    int64_t min_ms; /* what is older is too old */
    int64_t max_ms;
    struct ledger change;
    uint64_t rejected[REJECT_COUNT];
    struct series *guesses[GUESSES]; /* by number in the request; of this slice's generation */
    uint32_t named;
    size_t text_used;
    struct why *why;
};

/* --- saying what was refused ------------------------------------------------------------------ */

static void
put_series_text(const struct ingest *in, const struct rw_series *series, struct buf *to)
{
    struct rw_label_walk walk = rw_labels(in->request, series);
    struct label label;
    bool first = true;
    buf_put_text(to, "{");
    while (rw_label_next(&walk, &label) && to->size < 200) {
        if (label.name.size > 64) label.name.size = 64;
        if (label.value.size > 64) label.value.size = 64;
        buf_printf(to, "%s%.*s=\"%.*s\"", first ? "" : ", ", (int)label.name.size,
                   label.name.at == NULL ? "" : (const char *)label.name.at, (int)label.value.size,
                   label.value.at == NULL ? "" : (const char *)label.value.at);
        first = false;
    }
    buf_put_text(to, "}");
}

/* Names the first few; the counts by reason come at the end. */
static void
offender_name(struct ingest *in, const struct rw_series *series, enum reject reason, int64_t t_ms,
              const char *detail)
{
    if (in->named >= OFFENDERS_NAMED) return;
    in->named++;
    char room[512];
    struct buf text = {.at = (uint8_t *)room, .capacity = sizeof room, .limit = sizeof room};
    put_series_text(in, series, &text);
    size_t left = sizeof in->result->text - in->text_used;
    int n = snprintf(in->result->text + in->text_used, left, "%s%s at %" PRId64 ": %.*s%s%s\n",
                     in->text_used == 0 ? "" : "", reject_word(reason), t_ms, (int)text.size, room,
                     detail[0] == '\0' ? "" : ": ", detail);
    if (n > 0) in->text_used += (size_t)n < left ? (size_t)n : left - 1;
}

static void
reject(struct ingest *in, const struct rw_series *series, enum ledger_kind kind, enum reject reason,
       uint64_t count, int64_t t_ms, const char *detail)
{
    if (count == 0) return;
    in->change.count[kind][LEDGER_RECEIVED] += count;
    in->change.count[kind][LEDGER_REJECTED + reason] += count;
    in->rejected[reason] += count;
    in->result->rejected[kind] += count;
    in->result->rejected_total += count;
    offender_name(in, series, reason, t_ms, detail);
}

/* --- 1. resolve ------------------------------------------------------------------------------- */

struct request_labels {
    const struct rw_request *request;
    const struct rw_series *series;
};

/*
 * Below 128 bytes every length is one byte, so a pair's field is 0a L 0a n name 12 v value, and
 * equal sizes and an equal n put name and value where they are expected.
 */
static bool
pair_is(const struct pair *pair, const struct label *label)
{
    size_t name = label->name.size, value = label->value.size;
    if (name + value + 4 >= 128) {
        struct label own = pair_label(pair);
        return bytes_equal(own.name, label->name) && bytes_equal(own.value, label->value);
    }
    const uint8_t *field = pair->field;
    return pair->field_size == name + value + 6 && field[3] == name && name > 0 && value > 0 &&
           memcmp(field + 4, label->name.at, name) == 0 &&
           memcmp(field + 6 + name, label->value.at, value) == 0;
}

static bool
equal_request_labels(void *context, const struct gen *gen, const struct series *s)
{
    const struct request_labels *r = context;
    if (r->request->version == RW_V1) return series_has_labels(gen, s, r->series->label_bytes);
    struct rw_label_walk walk = rw_labels(r->request, r->series);
    struct label label;
    for (uint32_t i = 0; i < s->pair_count; i++) {
        if (!rw_label_next(&walk, &label)) return false;
        if (!pair_is(gen_pair(gen, s->pairs[i]), &label)) return false;
    }
    return !rw_label_next(&walk, &label);
}

static enum err
label_list_room(struct scratch *s, struct budget *budget, uint32_t count)
{
    if (count <= s->label_capacity) return OK;
    uint32_t capacity = count + count / 2;
    struct label *grown = mem_resize(budget, s->label_list, s->label_capacity * sizeof *grown,
                                     capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    s->label_list = grown;
    s->label_capacity = capacity;
    return OK;
}

/* Canonical labels of a series of the request, in s->labels. */
static enum err
canonical_labels(struct ingest *in, const struct rw_series *series, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    struct rw_label_walk walk = rw_labels(in->request, series);
    struct label label;
    uint32_t count = 0;
    while (rw_label_next(&walk, &label)) {
        /* More than may be is enough to be refused. */
        if (count > 4 * in->db->limits.labels.count_max) break;
        enum err e = label_list_room(s, &in->db->head_budget, count + 1);
        if (e) return e;
        s->label_list[count++] = label;
    }
    buf_clear(&s->labels);
    *ret_reason = labels_build(s->label_list, count, &in->db->limits.labels, &s->labels);
    return buf_error(&s->labels);
}

/* Under which the table knows the labels as they were sent; 2.0 keys live in a space of their own.
 */
static uint64_t
lookup_key(const struct ingest *in, const struct rw_series *series)
{
    return in->request->version == RW_V1 ? series->key : ~series->key;
}

/* Asks for the table's slot of a series. */
static void
come_near(const struct ingest *in, uint32_t number)
{
    if (number >= in->request->series_count) return;
    gen_prefetch_key(in->gen, in->tenant->id, lookup_key(in, &in->request->series[number]));
}

/* The slot is here: asks for the series it names. */
static void
come_nearer(struct ingest *in, uint32_t number)
{
    struct series **guess = &in->guesses[number % GUESSES];
    *guess = NULL;
    if (number >= in->request->series_count) return;
    *guess = gen_guess(in->gen, in->tenant->id, lookup_key(in, &in->request->series[number]));
}

/* The series is here: asks for what appending touches. */
static void
come_nearest(const struct ingest *in, uint32_t number)
{
    const struct series *guess = in->guesses[number % GUESSES];
    if (guess != NULL) gen_prefetch_chunk(guess);
}

/* Before the first series of a slice. */
static void
approach_first(struct ingest *in, uint32_t first)
{
    for (uint32_t i = 0; i < SLOT_AHEAD; i++)
        come_near(in, first + i);
    for (uint32_t i = 0; i < SERIES_AHEAD; i++)
        come_nearer(in, first + i);
    for (uint32_t i = 0; i < CHUNK_AHEAD; i++)
        come_nearest(in, first + i);
}

/* Before each. */
static void
approach_next(struct ingest *in, uint32_t number)
{
    come_near(in, number + SLOT_AHEAD);
    come_nearer(in, number + SERIES_AHEAD);
    come_nearest(in, number + CHUNK_AHEAD);
}

static enum err
resolve_slowly(struct ingest *in, const struct rw_series *series, struct series **ret_series,
               enum reject *ret_reason)
{
    *ret_series = NULL;
    if (series->bad_reference) {
        *ret_reason = REJECT_BAD_REFERENCE;
        return OK;
    }
    enum err e = canonical_labels(in, series, ret_reason);
    if (e || *ret_reason != REJECT_NONE) return e;
    struct bytes labels = buf_bytes(&in->s->labels);
    e = head_series(in->db, in->tenant->id, labels, ret_series);
    if (e) return e;
    uint64_t key = lookup_key(in, series);
    if (key != gen_labels_hash(in->gen, labels)) gen_alias(in->gen, *ret_series, key);
    return OK;
}

static enum err
resolve(struct ingest *in, const struct rw_series *series, struct series **ret_series,
        enum reject *ret_reason)
{
    struct request_labels context = {in->request, series};
    *ret_reason = REJECT_NONE;
    if (!series->bad_reference) {
        struct series *guess = in->guesses[(series - in->request->series) % GUESSES];
        if (guess != NULL && guess->tenant == in->tenant->id &&
            equal_request_labels(&context, in->gen, guess)) {
            *ret_series = guess;
            return OK;
        }
        *ret_series = gen_find(in->gen, in->tenant->id, lookup_key(in, series),
                               equal_request_labels, &context);
        if (*ret_series != NULL) return OK;
    }
    return resolve_slowly(in, series, ret_series, ret_reason);
}

enum err
head_series(struct tsdb *db, uint32_t tenant, struct bytes labels, struct series **ret_series)
{
    struct series *s = gen_find_labels(db->active, tenant, labels);
    if (s == NULL) {
        enum err e = gen_add_series(db->active, tenant, labels, &s);
        if (e) return e;
        if (db->active->before != NULL) {
            s->before = gen_find_labels(db->active->before, tenant, labels);
            if (s->before != NULL) s->max_ms = s->before->max_ms;
        }
    }
    *ret_series = s;
    return OK;
}

/* --- 3. append -------------------------------------------------------------------------------- */

/* The request must wait for the epoch that a finding leans on. */
static void
lean_on(struct ingest *in, uint32_t epoch)
{
    if ((int32_t)(epoch - in->durable) <= 0) return;
    uint64_t full = in->db->durable_epoch + (uint32_t)(epoch - in->durable);
    if (full > in->result->wait_epoch) in->result->wait_epoch = full;
}

static enum reject
time_verdict(const struct ingest *in, int64_t t_ms)
{
    if (t_ms < in->min_ms) return REJECT_TOO_OLD;
    return t_ms > in->max_ms ? REJECT_TOO_FAR_IN_FUTURE : REJECT_NONE;
}

/* The labels go into this segment of the log before the first sample does. */
static void
define(struct ingest *in, struct series *series)
{
    if (series->defined_in == (uint32_t)in->log.segment) return;
    series->defined_in = (uint32_t)in->log.segment;
    struct scratch *s = in->s;
    size_t size = 0;
    for (uint32_t i = 0; i < series->pair_count; i++) {
        size += gen_pair(in->gen, series->pairs[i])->field_size;
    }
    buf_put_zigzag(&s->series, (int64_t)(series->ref - s->series_last_ref));
    buf_put_varint(&s->series, size);
    series_labels(in->gen, series, &s->series);
    s->series_last_ref = series->ref;
    s->series_count++;
}

static void
log_float(struct ingest *in, const struct series *series, const struct rw_float *f)
{
    struct scratch *s = in->s;
    uint32_t i = s->float_count++;
    s->refs[i] = series->ref;
    s->times[i] = f->t_ms;
    s->bits[i] = f->bits;
    s->starts[i] = f->start_ms;
    s->hints[i] = series->open.exponent;
    s->has_starts |= f->start_ms != 0;
}

static void
log_histogram(struct ingest *in, const struct series *series, const struct rw_histogram *h)
{
    struct scratch *s = in->s;
    uint64_t now[3] = {series->ref, (uint64_t)h->t_ms, (uint64_t)h->start_ms};
    for (unsigned i = 0; i < 3; i++) {
        buf_put_zigzag(&s->histograms, (int64_t)(now[i] - s->histogram_last[i]));
        s->histogram_last[i] = now[i];
    }
    histogram_put(&s->histograms, &h->h);
    s->histogram_count++;
}

/* True if it was accepted: it is in the head now and must go into the log. */
static bool
append(struct ingest *in, const struct rw_series *from, struct series *series, int64_t t_ms,
       int64_t start_ms, const struct sample_value *v)
{
    enum ledger_kind kind = ledger_kind_of(v->kind);
    enum presence presence = PRESENT_NOT;
    enum err e = OK;
    if (t_ms <= series->max_ms) { /* else it is news, and nearly always it is */
        uint32_t epoch;
        arena_reset(&in->s->arena);
        e = series_presence(in->gen, series, t_ms, v, &in->s->arena, &presence, &epoch);
        assert(e == OK); /* step 2 saw to it that the arena holds a chunk */
        lean_on(in, epoch);
    }
    if (presence == PRESENT_OTHER) {
        reject(in, from, kind, REJECT_CONFLICT, 1, t_ms, "another value is stored for this time");
        return false;
    }
    in->change.count[kind][LEDGER_RECEIVED]++;
    in->result->written[kind]++;
    if (presence == PRESENT_SAME) {
        in->change.count[kind][LEDGER_DUPLICATE]++;
        return false;
    }
    in->change.count[kind][LEDGER_ACCEPTED]++;
    e = series_append(in->gen, series, t_ms, start_ms, v, in->epoch, in->durable);
    assert(e == OK); /* reserved */
    if (t_ms > in->db->newest_ms) in->db->newest_ms = t_ms;
    define(in, series);
    return true;
}

static void
append_floats(struct ingest *in, const struct rw_series *from, struct series *series,
              uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        const struct rw_float *f = &in->request->floats[i];
        enum reject reason = time_verdict(in, f->t_ms);
        if (reason != REJECT_NONE) {
            reject(in, from, LEDGER_FLOAT, reason, 1, f->t_ms, "");
            continue;
        }
        struct sample_value v = {SAMPLE_FLOAT, f->bits, NULL};
        if (append(in, from, series, f->t_ms, f->start_ms, &v)) log_float(in, series, f);
    }
}

static void
append_histograms(struct ingest *in, const struct rw_series *from, struct series *series,
                  uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        const struct rw_histogram *h = &in->request->histograms[i];
        struct why why = {"no count, or a mixed one"};
        enum reject reason = time_verdict(in, h->t_ms);
        if (h->malformed || histogram_check(&h->h, &why) != OK) {
            reject(in, from, LEDGER_HISTOGRAM, REJECT_BAD_HISTOGRAM, 1, h->t_ms, why.text);
            continue;
        }
        if (reason != REJECT_NONE) {
            reject(in, from, LEDGER_HISTOGRAM, reason, 1, h->t_ms, "");
            continue;
        }
        struct sample_value v = {h->h.kind, 0, &h->h};
        if (append(in, from, series, h->t_ms, h->start_ms, &v)) log_histogram(in, series, h);
    }
}

static void
log_exemplar(struct ingest *in, const struct series *series, const struct rw_exemplar *x,
             struct bytes labels)
{
    struct scratch *s = in->s;
    uint64_t now[2] = {series->ref, (uint64_t)x->t_ms};
    for (unsigned i = 0; i < 2; i++) {
        buf_put_zigzag(&s->exemplars, (int64_t)(now[i] - s->exemplar_last[i]));
        s->exemplar_last[i] = now[i];
    }
    buf_put_le64(&s->exemplars, x->bits);
    buf_put_counted(&s->exemplars, labels);
    s->exemplar_count++;
}

/* Exemplars may come without any labels; other rules are those of series. */
static enum err
exemplar_labels(struct ingest *in, const struct rw_exemplar *x, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    buf_clear(&s->labels);
    *ret_reason = x->bad_reference ? REJECT_BAD_REFERENCE : REJECT_NONE;
    if (x->bad_reference || x->label_count == 0) return OK;
    enum err e = label_list_room(s, &in->db->head_budget, x->label_count);
    if (e) return e;
    memcpy(s->label_list, in->request->labels + x->label_first,
           x->label_count * sizeof *s->label_list);
    *ret_reason = labels_build(s->label_list, x->label_count, &in->db->limits.labels, &s->labels);
    if (*ret_reason == REJECT_EMPTY_LABELS && buf_error(&s->labels) == OK) {
        bool unnamed = false;
        for (uint32_t i = 0; i < x->label_count; i++) {
            unnamed |= s->label_list[i].name.size == 0 && s->label_list[i].value.size > 0;
        }
        if (!unnamed) *ret_reason = REJECT_NONE; /* all values were empty */
    }
    return buf_error(&s->labels);
}

static enum err
append_exemplars(struct ingest *in, const struct rw_series *from, struct series *series,
                 uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        const struct rw_exemplar *x = &in->request->exemplars[i];
        enum reject reason;
        enum err e = exemplar_labels(in, x, &reason);
        if (e) return e;
        if (reason == REJECT_NONE) reason = time_verdict(in, x->t_ms);
        if (reason != REJECT_NONE) {
            reject(in, from, LEDGER_EXEMPLAR, reason, 1, x->t_ms, "exemplar");
            continue;
        }
        uint32_t epoch = 0;
        struct bytes labels = buf_bytes(&in->s->labels);
        e = gen_add_exemplar(in->gen, series, x->t_ms, x->bits, labels, in->epoch, &epoch);
        if (e != OK && e != ERR_AGAIN) return e;
        in->change.count[LEDGER_EXEMPLAR][LEDGER_RECEIVED]++;
        in->result->written[LEDGER_EXEMPLAR]++;
        in->change.count[LEDGER_EXEMPLAR][e == OK ? LEDGER_ACCEPTED : LEDGER_DUPLICATE]++;
        lean_on(in, epoch);
        if (e != OK) continue;
        define(in, series);
        log_exemplar(in, series, x, labels);
    }
    return OK;
}

/* --- metadata --------------------------------------------------------------------------------- */

static enum err
note_metadata(struct ingest *in, const struct metadata *m)
{
    bool changed;
    struct scratch *s = in->s;
    /* Room first: once the family is changed the record must be written. */
    size_t room = m->family.size + m->help.size + m->unit.size + 64;
    if (!buf_reserve(&s->metadata, room)) return ERR_NOMEM;
    if (!utf8_valid(m->family) || !utf8_valid(m->help) || !utf8_valid(m->unit)) return OK;
    enum err e = family_set(in->db, in->tenant, m, in->log.epoch, &changed);
    if (e || !changed) return e;
    buf_put_counted(&s->metadata, m->family);
    buf_put_u8(&s->metadata, (uint8_t)m->type);
    buf_put_counted(&s->metadata, m->help);
    buf_put_counted(&s->metadata, m->unit);
    s->metadata_count++;
    return OK;
}

static enum err
series_metadata(struct ingest *in, const struct rw_series *from, struct series *series)
{
    if (!from->has_metadata || from->bad_metadata) return OK;
    uint64_t hash = hash_mix(hash_bytes(from->help, in->db->hash_seed),
                             hash_bytes(from->unit, in->db->hash_seed) + from->type);
    uint32_t short_hash = (uint32_t)hash_mix(hash, in->db->metadata_life) | 1;
    if (series->metadata_hash == short_hash) return OK;
    struct metadata m = {.type = from->type, .help = from->help, .unit = from->unit};
    struct rw_label_walk walk = rw_labels(in->request, from);
    struct label label;
    while (rw_label_next(&walk, &label)) {
        if (bytes_equal_text(label.name, "__name__")) m.family = label.value;
    }
    enum err e = note_metadata(in, &m);
    if (e == OK) series->metadata_hash = short_hash;
    return e;
}

/* --- 2. reserve ------------------------------------------------------------------------------- */

static uint32_t
min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static size_t
buckets_of(const struct histogram *h)
{
    return (size_t)h->positive.bucket_count + h->negative.bucket_count + h->custom_count +
           h->positive.span_count + h->negative.span_count;
}

static size_t
rw_histogram_bytes(const struct rw_histogram *h)
{
    return 256 + 32 * (size_t)(h->h.positive.span_count + h->h.negative.span_count) +
           24 * (size_t)(h->h.positive.bucket_count + h->h.negative.bucket_count +
                         h->h.custom_count);
}

static size_t
exemplar_bytes(const struct ingest *in, const struct rw_exemplar *x)
{
    size_t bytes = 64;
    for (uint32_t i = 0; i < x->label_count; i++) {
        const struct label *l = &in->request->labels[x->label_first + i];
        bytes += l->name.size + l->value.size + 24;
    }
    return bytes;
}

struct need {
    uint32_t floats;
    size_t histogram_bytes;
    const struct histogram *largest_histogram; /* NULL: none */
    size_t exemplar_bytes;
    size_t series_bytes;
    size_t head_bytes;
};

/* What define() may put. */
static size_t
definition_bytes(const struct ingest *in, const struct series *series)
{
    if (series->defined_in == (uint32_t)in->log.segment) return 0;
    size_t bytes = 2 * VARINT_SIZE_MAX;
    for (uint32_t i = 0; i < series->pair_count; i++) {
        bytes += gen_pair(in->gen, series->pairs[i])->field_size;
    }
    return bytes;
}

/*
 * What appending a piece may take from the generation's memory. A request may name a series twice:
 * so nothing is concluded from how the series looks now.
 */
static size_t
piece_head_bytes(const struct ingest *in, const struct piece *p)
{
    struct sample_value v = {SAMPLE_FLOAT, 0, NULL};
    size_t bytes = series_append_reserve(p->series, &v) +
                   p->floats.count * (size_t)(6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk));
    for (uint32_t i = 0; i < p->histograms.count; i++) {
        const struct rw_histogram *h = &in->request->histograms[p->histograms.first + i];
        bytes += 6 * rw_histogram_bytes(h) + 4096;
    }
    return bytes;
}

static enum err
reserve(struct ingest *in, const struct need *need)
{
    struct scratch *s = in->s;
    struct tsdb *db = in->db;
    if (!buf_reserve(&s->histograms, need->histogram_bytes) ||
        !buf_reserve(&s->exemplars, need->exemplar_bytes) ||
        !buf_reserve(&s->series, need->series_bytes) ||
        !buf_reserve(&s->payload, 4096 + need->floats * 41u + need->histogram_bytes +
                                      need->exemplar_bytes + need->series_bytes +
                                      s->metadata.size)) {
        return why_set(in->why, ERR_NOMEM, "no memory for a request");
    }
    /* A chunk unpacked to look for one sample. */
    arena_reset(&s->arena);
    size_t scratch =
        sizeof(struct hchunk_samples) + 8 + gen_presence_reserve(in->gen, need->largest_histogram);
    if (arena_alloc(&s->arena, scratch) == NULL) {
        return why_set(in->why, ERR_NOMEM, "no memory for a request");
    }
    enum err e = gmem_reserve(&in->gen->gmem, need->head_bytes);
    if (e) return why_set(in->why, e, "the head has reached its memory budget");
    size_t log_bytes =
        wal_put_bytes(need->series_bytes + 256) + wal_put_bytes(need->floats * 41u + 64) +
        wal_put_bytes(need->histogram_bytes + 16) + wal_put_bytes(need->exemplar_bytes + 16) +
        wal_put_bytes(s->metadata.size + 256) + wal_put_bytes(4096);
    return wal_reserve(db->wal, log_bytes, in->why);
}

/* --- 4. log ----------------------------------------------------------------------------------- */

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
    return buf_error(to) ? buf_error(to) : wal_put(in->db->wal, type, buf_bytes(to), true);
}

static enum err
put_ledger(struct ingest *in)
{
    if (ledger_is_zero(&in->change)) return OK;
    struct buf *to = &in->s->payload;
    buf_clear(to);
    buf_put_counted(to, in->tenant->name);
    ledger_put(to, &in->change);
    if (buf_error(to)) return buf_error(to);
    return wal_put(in->db->wal, WAL_LEDGER, buf_bytes(to), false);
}

static void
log_slice(struct ingest *in)
{
    struct scratch *s = in->s;
    enum err e = put_counted_record(in, WAL_SERIES, true, s->series_count, &s->series);
    if (e == OK && s->float_count > 0) {
        record_floats(s, &s->payload);
        e = wal_put(in->db->wal, WAL_FLOATS, buf_bytes(&s->payload), true);
    }
    if (e == OK) {
        e = put_counted_record(in, WAL_HISTOGRAMS, false, s->histogram_count, &s->histograms);
    }
    if (e == OK) {
        e = put_counted_record(in, WAL_EXEMPLARS, false, s->exemplar_count, &s->exemplars);
    }
    if (e == OK) e = put_counted_record(in, WAL_METADATA, true, s->metadata_count, &s->metadata);
    if (e == OK) e = put_ledger(in);
    assert(e == OK); /* reserved: the batch cannot be taken while the head lock is held */
    bool logged = false;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        uint64_t accepted = in->change.count[k][LEDGER_ACCEPTED];
        if (accepted > 0) wal_count(in->db->wal, (enum ledger_kind)k, accepted);
        logged |= accepted > 0;
    }
    logged |= s->metadata_count > 0;
    if (logged && in->log.epoch > in->result->wait_epoch) {
        in->result->wait_epoch = in->log.epoch;
    }
    tenant_count(in->tenant, in->log.epoch, &in->change);
}

/* --- slices ----------------------------------------------------------------------------------- */

static void
slice_clear(struct ingest *in)
{
    struct scratch *s = in->s;
    s->float_count = s->series_count = s->histogram_count = s->exemplar_count = 0;
    s->metadata_count = 0;
    s->has_starts = false;
    s->series_last_ref = 0;
    memset(s->histogram_last, 0, sizeof s->histogram_last);
    memset(s->exemplar_last, 0, sizeof s->exemplar_last);
    buf_clear(&s->series);
    buf_clear(&s->histograms);
    buf_clear(&s->exemplars);
    buf_clear(&s->metadata);
    memset(&in->change, 0, sizeof in->change);
}

/* Takes as much of the series at hand as the slice has room for. Moves `at` on. */
static struct piece
piece_take(struct ingest *in, struct place *at, struct need *need)
{
    const struct rw_series *from = &in->request->series[at->series];
    struct piece p = {.from = from};
    p.floats.first = from->floats.first + at->at_float;
    p.floats.count = min_u32(from->floats.count - at->at_float, SLICE_FLOATS - need->floats);
    need->floats += p.floats.count;
    at->at_float += p.floats.count;
    p.histograms.first = from->histograms.first + at->at_histogram;
    while (at->at_histogram < from->histograms.count && need->histogram_bytes < SLICE_BYTES) {
        const struct rw_histogram *h =
            &in->request->histograms[from->histograms.first + at->at_histogram++];
        need->histogram_bytes += rw_histogram_bytes(h);
        if (need->largest_histogram == NULL ||
            buckets_of(&h->h) > buckets_of(need->largest_histogram)) {
            need->largest_histogram = &h->h;
        }
        p.histograms.count++;
    }
    p.exemplars.first = from->exemplars.first + at->at_exemplar;
    while (at->at_exemplar < from->exemplars.count && need->exemplar_bytes < SLICE_BYTES) {
        need->exemplar_bytes +=
            exemplar_bytes(in, &in->request->exemplars[from->exemplars.first + at->at_exemplar++]);
        p.exemplars.count++;
    }
    if (at->at_float == from->floats.count && at->at_histogram == from->histograms.count &&
        at->at_exemplar == from->exemplars.count) {
        *at = (struct place){.series = at->series + 1};
    }
    return p;
}

static void
reject_piece(struct ingest *in, const struct piece *p, enum reject reason)
{
    int64_t t = p->floats.count > 0       ? in->request->floats[p->floats.first].t_ms
                : p->histograms.count > 0 ? in->request->histograms[p->histograms.first].t_ms
                : p->exemplars.count > 0  ? in->request->exemplars[p->exemplars.first].t_ms
                                          : 0;
    reject(in, p->from, LEDGER_FLOAT, reason, p->floats.count, t, "");
    reject(in, p->from, LEDGER_HISTOGRAM, reason, p->histograms.count, t, "");
    reject(in, p->from, LEDGER_EXEMPLAR, reason, p->exemplars.count, t, "");
}

static bool
slice_full(const struct need *need)
{
    return need->floats >= SLICE_FLOATS || need->histogram_bytes >= SLICE_BYTES ||
           need->exemplar_bytes >= SLICE_BYTES || need->series_bytes >= SLICE_BYTES ||
           need->head_bytes >= 8 * (size_t)SLICE_BYTES;
}

/* Steps 1 and 2 for as many series as fit; their pieces are in the scratch arena of the request. */
static enum err
slice_gather(struct ingest *in, struct place *at, struct piece *pieces, uint32_t pieces_max,
             uint32_t *ret_count)
{
    struct need need = {0};
    uint32_t count = 0;
    approach_first(in, at->series);
    while (at->series < in->request->series_count && count < pieces_max && !slice_full(&need)) {
        approach_next(in, at->series);
        struct piece p = piece_take(in, at, &need);
        enum reject reason;
        enum err e = resolve(in, p.from, &p.series, &reason);
        if (e) return why_set(in->why, e, "the head has reached its memory budget");
        if (reason != REJECT_NONE) {
            reject_piece(in, &p, reason);
            continue;
        }
        need.series_bytes += definition_bytes(in, p.series);
        need.head_bytes += piece_head_bytes(in, &p);
        e = series_metadata(in, p.from, p.series);
        if (e) return why_set(in->why, e, "no memory for metadata");
        pieces[count++] = p;
    }
    *ret_count = count;
    return reserve(in, &need);
}

static void
slice_begin(struct ingest *in)
{
    struct tsdb *db = in->db;
    in->gen = db->active;
    in->log = wal_place(db->wal);
    in->epoch = (uint32_t)in->log.epoch;
    in->durable = (uint32_t)db->durable_epoch;
    int64_t now = env_realtime_ms(db->env);
    in->max_ms = now + db->limits.max_future_ms;
    int64_t kept = retention_now_ms(db);
    /* No sample yet: INT64_MIN, nothing is too old. */
    in->min_ms =
        kept < INT64_MIN + db->limits.retention_ms ? INT64_MIN : kept - db->limits.retention_ms;
    slice_clear(in);
}

static enum err
slice(struct ingest *in, struct place *at)
{
    struct piece *pieces = in->s->pieces;
    uint32_t count = 0;
    struct place before = *at;
    slice_begin(in);
    enum err e = slice_gather(in, at, pieces, SLICE_PIECES, &count);
    if (e) {
        if (in->s->metadata_count > 0) families_forget(in->db, in->tenant, in->log.epoch);
        *at = before;
        return e;
    }
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct piece *p = &pieces[i];
        append_floats(in, p->from, p->series, p->floats.first, p->floats.count);
        append_histograms(in, p->from, p->series, p->histograms.first, p->histograms.count);
        e = append_exemplars(in, p->from, p->series, p->exemplars.first, p->exemplars.count);
    }
    log_slice(in);
    return e ? why_set(in->why, e, "the head has reached its memory budget") : OK;
}

static enum err
metadata_slice(struct ingest *in)
{
    struct need need = {0};
    slice_begin(in);
    for (uint32_t i = 0; i < in->request->metadata_count; i++) {
        const struct rw_metadata *r = &in->request->metadata[i];
        struct metadata m = {r->family, r->type, r->help, r->unit};
        enum err e = note_metadata(in, &m);
        if (e) return why_set(in->why, e, "no memory for metadata");
        if (in->s->metadata.size < SLICE_BYTES && i + 1 < in->request->metadata_count) continue;
        e = reserve(in, &need);
        if (e == OK && !buf_reserve(&in->s->payload, in->s->metadata.size + 512)) e = ERR_NOMEM;
        if (e) {
            families_forget(in->db, in->tenant, in->log.epoch);
            return e;
        }
        log_slice(in);
        slice_clear(in);
    }
    return OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void
counts_text(struct ingest *in)
{
    char *text = in->result->text;
    size_t size = sizeof in->result->text, used = in->text_used;
    if (in->result->rejected_total == 0) return;
    int n = snprintf(text + used, size - used, "refused in all: ");
    used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    const char *separator = "";
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        if (in->rejected[r] == 0) continue;
        n = snprintf(text + used, size - used, "%s%" PRIu64 " %s", separator, in->rejected[r],
                     reject_word((enum reject)r));
        if (n < 0 || (size_t)n >= size - used) break;
        used += (size_t)n;
        separator = ", ";
    }
}

/* Reasons to come back later, for whole requests. */
static enum err
ready_locked(struct tsdb *db, struct why *why)
{
    if (db->disk_low) return why_set(why, ERR_AGAIN, "the disk is nearly full");
    if (wal_is_down(db->wal)) return why_set(why, ERR_AGAIN, "the write-ahead log is down");
    return OK;
}

/*
 * With a clock behind the newest sample stored, "too far in the future" says more about us than
 * about the sender: it may try again.
 */
static bool
blame_the_clock(const struct ingest *in)
{
    if (in->rejected[REJECT_TOO_FAR_IN_FUTURE] == 0) return false;
    look_at_clock(in->db); /* it may have jumped since housekeeping looked */
    return in->db->clock_suspect;
}

enum err
tsdb_ingest(struct tsdb *db, struct bytes tenant, const struct rw_request *request,
            struct ingest_result *ret_result, struct why *why)
{
    memset(ret_result, 0, sizeof *ret_result);
    struct ingest in = {
        .db = db, .request = request, .result = ret_result, .s = &db->scratch, .why = why};
    struct place at = {0};
    lock_take(&db->head_lock);
    uint32_t voids = db->void_count;
    enum err e = ready_locked(db, why);
    if (e == OK) e = tenant_find_or_add(db, tenant, &in.tenant);
    if (e == ERR_LIMIT) e = why_set(why, ERR_INPUT, "there are too many tenants");
    while (e == OK && at.series < request->series_count) {
        e = slice(&in, &at);
        if (e != OK || at.series >= request->series_count) break;
        /* Others may have their turn. */
        lock_drop(&db->head_lock);
        lock_take(&db->head_lock);
        if (voids == db->void_count) continue;
        /* What was stored so far may have been taken back. */
        e = why_set(why, ERR_AGAIN, "the write-ahead log failed meanwhile");
    }
    if (e == OK && request->metadata_count > 0) e = metadata_slice(&in);
    if (e == OK && blame_the_clock(&in)) {
        e = why_set(why, ERR_AGAIN, "samples lie in the future of a clock that is suspect");
    }
    if (db->options.ack_memory) ret_result->wait_epoch = 0;
    lock_drop(&db->head_lock);
    counts_text(&in);
    return e;
}
