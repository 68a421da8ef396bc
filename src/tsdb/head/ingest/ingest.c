/*
 * ingest.c - a remote write request: judged, put into the head, and into the log's batch.
 *
 * A request is worked on in slices, each under the head lock:
 *
 *   1. resolve   labels to series of the active generation, made where needed
 *   2. reserve   memory in the head and the batch for the worst case: below, nothing fails
 *   3. append    each sample is judged: a new one goes into the head and the slice's columns
 *   4. log       the columns become records of the batch
 *
 * A slice that fails in step 1 or 2 leaves only empty series. The samples of earlier slices stay:
 * when the sender repeats the request they are duplicates. So a request of several slices is not
 * begun unless the head has room for about all of it.
 *
 * Invariants of a slice, checked when its columns are logged:
 *  1. It begins and ends within one generation, one log batch and one epoch: the head lock is held,
 *     and a cut and wal_take() need it.
 *  2. Each accepted item is in the generation and in the columns: the ledger's accepted, the growth
 *     of gen->sample_count, and the lengths of the columns are equal.
 *  3. The columns of floats hold at most slice_floats <= SLICE_FLOATS samples.
 *  4. Series of the scratch's `series` record are in the slice's registry.
 */
#include "tsdb/head/ingest/ingest.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/quote.h"
#include "model/tenant_name.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/*
 * From the labels of a request to a series of the active generation.
 *
 * Series are guessed before they are looked up: senders repeat their order, so each series
 * remembers which one followed it last time, and the fingerprint of the labels is compared with
 * that of the guess. For a sender that shuffles its series, guesses go by keys instead: the table
 * finds a series by a hash of the labels as they were sent, so that labels need not be sorted.
 * Labels are compared if the fingerprint differs, since they may have come in another order or
 * form, and canonical labels are made only for series that are not found.
 *
 * Either way the next series are guessed long before they are used, and the memory that comparing
 * and appending touch is prefetched in steps, because each step needs the address from the one
 * before.
 */

/* Each step prefetches for the series that comes so many series later. */
enum { KEY_AHEAD = 24, SERIES_AHEAD = 15, SAMPLES_AHEAD = 10, CHUNK_AHEAD = 5 };
_Static_assert((int)GUESSES > (int)KEY_AHEAD, "guesses ahead do not overwrite those in use");

/* After at least MISSES_MIN wrong guesses, one in MISSES_SHARE series, the sender counts as having
 * no order. */
enum { MISSES_MIN = 64, MISSES_SHARE = 8 };

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
equal_request_labels(void *context, const struct registry *registry, const struct series *s)
{
    const struct request_labels *r = context;
    if (r->request->version == RW_V1) return series_has_labels(registry, s, r->series->label_bytes);
    struct rw_label_walk walk = rw_labels(r->request, r->series);
    struct label label;
    for (uint32_t i = 0; i < s->pairs->count; i++) {
        if (!rw_label_next(&walk, &label)) return false;
        if (!pair_is(registry_pair(registry, s->pairs->ids[i]), &label)) return false;
    }
    return !rw_label_next(&walk, &label);
}

/* Puts the canonical labels of a series of the request into the scratch, unless they are refused.
 * ERR_NOMEM. */
static MUST_CHECK enum err
ingest_canonical(struct ingest *in, const struct rw_series *series, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    struct rw_label_walk walk = rw_labels(in->request, series);
    struct label label;
    uint32_t count = 0;
    while (rw_label_next(&walk, &label)) {
        /* So many labels are refused in any case. */
        if (count > 4 * in->head->limits.labels.count_max) break;
        if (!array_reserve(&in->head->budget, &s->label_list, &s->label_capacity, count + 1))
            return ERR_NOMEM;
        s->label_list[count++] = label;
    }
    buf_clear(&s->labels);
    *ret_reason = labels_build(s->label_list, count, &in->head->limits.labels, &s->labels);
    if (buf_error(&s->labels) || *ret_reason != REJECT_NONE || !in->require_name)
        return buf_error(&s->labels);
    struct bytes name = labels_get(buf_bytes(&s->labels), bytes_of_text("__name__"));
    if (name.size == 0) *ret_reason = REJECT_MISSING_NAME;
    return OK;
}

/* --- guessing --------------------------------------------------------------------------------- */

static const struct rw_series *
series_at(const struct ingest *in, uint32_t number)
{
    return number < in->request->series_count ? &in->request->series[number] : NULL;
}

/* By order: guesses the series that last followed the previous guess. */
static void
guess_by_order(struct ingest *in, uint32_t number)
{
    const struct series *before = in->guesses[(number - 1) % GUESSES];
    struct series *guess = NULL;
    if (before != NULL && before->after_plus_1 != 0) {
        guess = registry_series(in->gen->registry, before->after_plus_1 - 1);
        __builtin_prefetch(guess, 1);
        __builtin_prefetch(registry_print(in->gen->registry, before->after_plus_1 - 1));
    }
    in->guesses[number % GUESSES] = guess;
}

/* By key: prefetches the key's slot in the table. */
static void
hash_key(struct ingest *in, uint32_t number)
{
    const struct rw_series *s = series_at(in, number);
    if (s == NULL) return;
    uint64_t key = rw_series_key(in->request, s);
    in->keys[number % GUESSES] = key;
    registry_prefetch_key(in->gen->registry, in->tenant->id, key);
}

/* By key, later: the slot is in the cache; prefetches the series it names. */
static void
guess_by_key(struct ingest *in, uint32_t number)
{
    struct series *guess = NULL;
    if (series_at(in, number) != NULL)
        guess = registry_guess(in->gen->registry, in->tenant->id, in->keys[number % GUESSES]);
    in->guesses[number % GUESSES] = guess;
}

/* The series is in the cache: prefetches its samples. */
static void
come_close(const struct ingest *in, uint32_t number)
{
    const struct series *guess = in->guesses[number % GUESSES];
    if (guess != NULL) gen_prefetch_series(in->gen, guess);
}

/* The samples are in the cache: prefetches the end of the chunk. */
static void
come_closest(const struct ingest *in, uint32_t number)
{
    const struct series *guess = in->guesses[number % GUESSES];
    if (guess != NULL) gen_prefetch_chunk(in->gen, guess);
}

/* Guesses the series from `first` on again. */
static void
approach(struct ingest *in, uint32_t first)
{
    for (uint32_t i = 0; i < KEY_AHEAD; i++)
        if (in->by_key)
            hash_key(in, first + i);
        else
            guess_by_order(in, first + i);
    for (uint32_t i = 0; i < SERIES_AHEAD && in->by_key; i++)
        guess_by_key(in, first + i);
    for (uint32_t i = 0; i < SAMPLES_AHEAD; i++)
        come_close(in, first + i);
    for (uint32_t i = 0; i < CHUNK_AHEAD; i++)
        come_closest(in, first + i);
}

/* --- resolving -------------------------------------------------------------------------------- */

/*
 * Says whether a limit refuses a new series. Limits are meant for series that are alive; the
 * registry also counts dead ones, and is replaced soon if that helps (registry_lasts()). A series
 * that was alive in the registry before is not refused.
 */
static bool
series_is_one_too_many(struct ingest *in, struct bytes labels)
{
    const struct tsdb_limits *limits = &in->head->limits;
    const struct registry *r = in->gen->registry;
    const struct registry_tenant *t = registry_tenant(r, in->tenant->id);
    const struct gen *frozen = in->gen->before;
    if (t == NULL) return false;
    bool tenant = limits->tenant_series_max != 0 && t->series.count >= limits->tenant_series_max;
    bool refused = tenant;
    if (limits->metric_series_max != 0 && !refused) {
        uint32_t pair;
        struct label metric = {bytes_of_text("__name__"),
                               labels_get(labels, bytes_of_text("__name__"))};
        refused = registry_find_pair(r, in->tenant->id, metric, &in->s->payload, &pair) &&
                  registry_pair_use(r, pair)->series.count >= limits->metric_series_max;
    }
    if (refused && frozen != NULL && frozen->registry != r)
        refused = registry_find_labels(frozen->registry, in->tenant->id, labels) == NULL;
    in->head->series_refused |= refused;
    if (refused) {
        snprintf(in->series_limit, sizeof in->series_limit,
                 tenant ? "the tenant has reached write.max-series (%" PRIu32 ")"
                        : "the metric has reached write.max-series-per-metric (%" PRIu32 ")",
                 tenant ? limits->tenant_series_max : limits->metric_series_max);
    }
    return refused;
}

/* Adds a series that the active registry does not have. */
static enum err
ingest_resolve_add_series(struct head *head, uint32_t tenant, struct bytes labels,
                          struct series **ret_series)
{
    struct registry *registry = head->active->registry;
    enum err e = registry_add(registry, tenant, labels, ret_series);
    if (e) return e;
    const struct gen *frozen = head->active->before;
    if (frozen == NULL || frozen->registry == registry) return OK;
    const struct series *before = registry_find_labels(frozen->registry, tenant, labels);
    if (before != NULL) (*ret_series)->before_plus_1 = before->id + 1;
    return OK;
}

/* Finds the series in the table, or adds it. */
static enum err
resolve_unguessed(struct ingest *in, struct request_labels *request_labels,
                  struct series **ret_series, enum reject *ret_reason)
{
    const struct rw_series *series = request_labels->series;
    struct registry *registry = in->gen->registry;
    *ret_series = NULL;
    if (series->bad_reference) {
        *ret_reason = REJECT_BAD_REFERENCE;
        return OK;
    }
    uint64_t key = rw_series_key(in->request, series);
    *ret_series =
        registry_find(registry, in->tenant->id, key, equal_request_labels, request_labels);
    if (*ret_series != NULL) return OK;
    enum err e = ingest_canonical(in, series, ret_reason);
    if (e || *ret_reason != REJECT_NONE) return e;
    struct bytes labels = buf_bytes(&in->s->labels);
    *ret_series = registry_find_labels(registry, in->tenant->id, labels);
    if (*ret_series == NULL && series_is_one_too_many(in, labels)) {
        *ret_reason = REJECT_SERIES_LIMIT;
        return OK;
    }
    if (*ret_series == NULL)
        e = ingest_resolve_add_series(in->head, in->tenant->id, labels, ret_series);
    if (e) return e;
    if (key != registry_labels_hash(registry, labels)) registry_alias(registry, *ret_series, key);
    return OK;
}

/* Finds or adds the series; *ret_reason is not REJECT_NONE if it is refused. ERR_NOMEM; ERR_INPUT:
 * rw_series_check() failed. */
static MUST_CHECK enum err
ingest_resolve(struct ingest *in, const struct rw_series *series, struct series **ret_series,
               enum reject *ret_reason)
{
    struct request_labels labels = {in->request, series};
    const struct registry *r = in->gen->registry;
    uint32_t number = (uint32_t)(series - in->request->series);
    struct series *s = in->guesses[number % GUESSES];
    *ret_reason = REJECT_NONE;
    bool known = s != NULL && s->tenant == in->tenant->id;
    if (!known || !fingerprint_equal(*registry_print(r, s->id), series->print)) {
        if (!rw_series_check(series)) return ERR_INPUT;
        if (!known || series->bad_reference || !equal_request_labels(&labels, r, s)) {
            enum err e = resolve_unguessed(in, &labels, &s, ret_reason);
            if (e || *ret_reason != REJECT_NONE) return e;
            if (!in->by_key) { /* the guess was wrong */
                in->by_key = ++in->missed >= MISSES_MIN && in->missed >= number / MISSES_SHARE;
                in->guesses[number % GUESSES] = s;
                approach(in, number + 1);
            }
        }
        *registry_print(r, s->id) = series->print;
    }
    assert(s->tenant == in->tenant->id);
    struct series *last = in->last; /* remembers its follower, for later requests */
    if (last != NULL && last != s && last->after_plus_1 != s->id + 1)
        last->after_plus_1 = s->id + 1;
    in->last = s;
    in->last_gen = in->gen->number;
    *ret_series = s;
    return OK;
}

enum err
head_series(struct head *head, uint32_t tenant, struct bytes labels, struct series **ret_series)
{
    *ret_series = registry_find_labels(head->active->registry, tenant, labels);
    return *ret_series != NULL ? OK : ingest_resolve_add_series(head, tenant, labels, ret_series);
}

/* --- refusals --------------------------------------------------------------------------------- */

enum { OFFENDERS_NAMED = 3, OFFENDER_BYTES = 1024, SLICE_FLOATS_MIN = 16 };
/* Memory of the head for a new series besides its labels, alone and with tables that double; and
 * for a sample. */
enum { NEW_SERIES_BYTES_MIN = 300, NEW_SERIES_BYTES_MAX = 640, NEW_SAMPLE_BYTES = 16 };
#define SLICE_NS_MAX (2 * NS_PER_MS)

static void
cut_to(struct bytes *text, size_t size)
{
    if (text->size > size) text->size = size;
}

static void
note_refused(struct ingest_result *result, enum reject reason, uint64_t count)
{
    result->rejected_for[reason] += count;
    result->rejected_total += count;
}

static bool
name_next(struct ingest_result *result)
{
    return result->named++ < OFFENDERS_NAMED;
}

static void
put_offender(struct ingest_result *result, const struct buf *words)
{
    size_t used = strlen(result->text);
    snprintf(result->text + used, sizeof result->text - used, "; %.*s", (int)words->size,
             words->at);
}

void
ingest_result_reject(struct ingest_result *result, const struct ingest_refusal *r)
{
    if (r->count == 0) return;
    result->rejected[r->kind] += r->count;
    note_refused(result, r->reason, r->count);
    /* Only one exemplar is named, so that exemplars do not displace samples. */
    bool is_first = result->rejected[r->kind] == r->count;
    if (r->kind == LEDGER_EXEMPLAR ? !is_first : !name_next(result)) return;
    char room[OFFENDER_BYTES];
    struct buf words = {.at = (uint8_t *)room, .capacity = sizeof room, .limit = sizeof room};
    buf_printf(&words, "%s at %" PRId64 ": {", reject_word(r->reason), r->t_ms);
    struct rw_label_walk walk = rw_labels(r->request, r->series);
    struct label label;
    size_t begin = words.size;
    while (rw_label_next(&walk, &label) && words.size < begin + 200) {
        if (words.size > begin) buf_put_text(&words, ", ");
        cut_to(&label.name, 64);
        cut_to(&label.value, 64);
        label_print(&words, &label, "=");
    }
    buf_put_u8(&words, '}');
    if (r->detail[0] != '\0') buf_printf(&words, ": %s", r->detail);
    put_offender(result, &words);
}

void
ingest_reject(struct ingest *in, const struct rw_series *series, enum ledger_kind kind,
              enum reject reason, uint64_t count, int64_t t_ms, const char *detail)
{
    in->change.count[kind][LEDGER_RECEIVED] += count;
    in->change.count[kind][LEDGER_REJECTED + reason] += count;
    ingest_result_reject(in->result, &(struct ingest_refusal){in->request, series, kind, reason,
                                                              count, t_ms, detail});
}

void
ingest_reject_metadata(struct ingest *in, const struct metadata *m, enum reject reason)
{
    in->head->metadata_rejected[reason]++;
    if (reason != REJECT_BAD_UTF8 && reason != REJECT_BAD_REFERENCE) return;
    note_refused(in->result, reason, 1);
    if (!name_next(in->result)) return;
    char room[OFFENDER_BYTES];
    struct buf words = {.at = (uint8_t *)room, .capacity = sizeof room, .limit = sizeof room};
    struct label family = {bytes_of_text("family"), m->family};
    cut_to(&family.value, 128);
    buf_printf(&words, "%s: metadata of ", reject_word(reason));
    label_print(&words, &family, "=");
    put_offender(in->result, &words);
}

/* --- memory and room for a slice -------------------------------------------------------------- */

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

/* Takes as much of the series at `at` as the slice has room for, and moves `at` on. */
static struct ingest_piece
take_piece(struct ingest *in, struct ingest_cursor *at, struct ingest_need *need)
{
    const struct rw_series *from = &in->request->series[at->series];
    struct ingest_piece p = {.from = from};
    uint32_t floats_left = in->s->slice_floats - need->floats;
    /* Most series have a few floats, all of which fit. */
    if (from->histograms.count == 0 && from->exemplars.count == 0 && at->at_float == 0 &&
        from->floats.count <= floats_left) {
        p.floats = from->floats;
        need->floats += p.floats.count;
        at->series++;
        return p;
    }
    p.floats.first = from->floats.first + at->at_float;
    p.floats.count = from->floats.count - at->at_float;
    if (p.floats.count > floats_left) p.floats.count = floats_left;
    need->floats += p.floats.count;
    at->at_float += p.floats.count;
    p.histograms.first = from->histograms.first + at->at_histogram;
    while (at->at_histogram < from->histograms.count && need->histogram_bytes < SLICE_BYTES) {
        const struct rw_histogram *h =
            &in->request->histograms[from->histograms.first + at->at_histogram++];
        need->histogram_bytes += rw_histogram_bytes(h);
        if (need->largest_histogram == NULL ||
            buckets_of(&h->h) > buckets_of(need->largest_histogram))
            need->largest_histogram = &h->h;
        p.histograms.count++;
    }
    p.exemplars.first = from->exemplars.first + at->at_exemplar;
    while (at->at_exemplar < from->exemplars.count && need->exemplar_bytes < SLICE_BYTES) {
        need->exemplar_bytes +=
            exemplar_bytes(in, &in->request->exemplars[from->exemplars.first + at->at_exemplar++]);
        p.exemplars.count++;
    }
    if (at->at_float == from->floats.count && at->at_histogram == from->histograms.count &&
        at->at_exemplar == from->exemplars.count)
        *at = (struct ingest_cursor){.series = at->series + 1};
    return p;
}

enum err
ingest_reserve(struct ingest *in, const struct ingest_need *need)
{
    struct scratch *s = in->s;
    struct head *head = in->head;
    if (!buf_reserve(&s->histograms, need->histogram_bytes) ||
        !buf_reserve(&s->exemplars, need->exemplar_bytes) ||
        !buf_reserve(&s->series, need->series_bytes) ||
        !buf_reserve(&s->payload, 4096 + need->floats * 41u + need->histogram_bytes +
                                      need->exemplar_bytes + need->series_bytes + s->metadata.size))
        return why_set(in->why, ERR_NOMEM, "not enough memory for the request");
    arena_reset(&s->arena);
    size_t scratch = 8 + gen_presence_reserve(in->gen, need->largest_histogram);
    if (arena_alloc(&s->arena, scratch) == NULL)
        return why_set(in->why, ERR_NOMEM, "not enough memory for the request");
    enum err e = gmem_reserve(&in->gen->gmem, need->head_bytes);
    if (e) return why_set(in->why, e, "the head has reached its memory budget");
    size_t log_bytes =
        wal_put_bytes(need->series_bytes + 256) + wal_put_bytes(need->floats * 41u + 64) +
        wal_put_bytes(need->histogram_bytes + 16) + wal_put_bytes(need->exemplar_bytes + 16) +
        wal_put_bytes(s->metadata.size + 256) + wal_put_bytes(4096) + wal_put_bytes(0);
    return wal_reserve(head->wal, log_bytes, in->why);
}

/* --- slices ----------------------------------------------------------------------------------- */

static void
slice_clear(struct ingest *in)
{
    struct scratch *s = in->s;
    s->float_count = s->series_count = s->histogram_count = s->exemplar_count = 0;
    s->metadata_count = 0;
    s->has_starts = false;
    s->series_last = NULL;
    memset(s->histogram_last, 0, sizeof s->histogram_last);
    memset(s->exemplar_last, 0, sizeof s->exemplar_last);
    buf_clear(&s->series);
    buf_clear(&s->histograms);
    buf_clear(&s->exemplars);
    buf_clear(&s->metadata);
    memset(&in->change, 0, sizeof in->change);
    memcpy(in->gen_counts, in->gen->sample_count, sizeof in->gen_counts);
}

static void
reject_piece(struct ingest *in, const struct ingest_piece *p, enum reject reason)
{
    int64_t t = p->floats.count > 0       ? in->request->floats[p->floats.first].t_ms
                : p->histograms.count > 0 ? in->request->histograms[p->histograms.first].t_ms
                : p->exemplars.count > 0  ? in->request->exemplars[p->exemplars.first].t_ms
                                          : 0;
    const char *detail = reason == REJECT_SERIES_LIMIT ? in->series_limit : "";
    ingest_reject(in, p->from, LEDGER_FLOAT, reason, p->floats.count, t, detail);
    ingest_reject(in, p->from, LEDGER_HISTOGRAM, reason, p->histograms.count, t, detail);
    ingest_reject(in, p->from, LEDGER_EXEMPLAR, reason, p->exemplars.count, t, detail);
}

/* True if the time of any item of the piece is accepted. */
static bool
piece_is_in_time(const struct ingest *in, const struct ingest_piece *p)
{
    for (uint32_t i = p->floats.first; i < p->floats.first + p->floats.count; i++)
        if (ingest_time_verdict(in, in->request->floats[i].t_ms) == REJECT_NONE) return true;
    for (uint32_t i = p->histograms.first; i < p->histograms.first + p->histograms.count; i++)
        if (ingest_time_verdict(in, in->request->histograms[i].t_ms) == REJECT_NONE) return true;
    for (uint32_t i = p->exemplars.first; i < p->exemplars.first + p->exemplars.count; i++)
        if (ingest_time_verdict(in, in->request->exemplars[i].t_ms) == REJECT_NONE) return true;
    return false;
}

/* Refuses a piece without any item in time; its series is not added. */
static enum err
refuse_out_of_time(struct ingest *in, const struct ingest_piece *p)
{
    enum reject reason = REJECT_BAD_REFERENCE;
    if (!rw_series_check(p->from)) return ERR_INPUT;
    enum err e = p->from->bad_reference ? OK : ingest_canonical(in, p->from, &reason);
    if (e) return e;
    if (reason != REJECT_NONE) {
        reject_piece(in, p, reason);
        return OK;
    }
    return ingest_append(in, p);
}

static enum err
gather_failed(struct ingest *in, enum err e)
{
    return why_set(in->why, e,
                   e == ERR_INPUT ? "cannot decode a series of the request"
                                  : "the head has reached its memory budget");
}

/* Steps 1 and 2 for as many series as fit; their pieces are in the scratch. */
static enum err
slice_gather(struct ingest *in, struct ingest_cursor *at, uint32_t *ret_count)
{
    struct ingest_need need = {0};
    uint32_t count = 0;
    /* Series are guessed and prefetched when a slice begins, then before each one. */
    if (in->last_gen != in->gen->number) in->last = NULL; /* its registry may be freed */
    in->guesses[(at->series - 1) % GUESSES] = in->last;
    approach(in, at->series);
    while (at->series < in->request->series_count && count < SLICE_PIECES) {
        if (need.floats >= in->s->slice_floats || need.histogram_bytes >= SLICE_BYTES ||
            need.exemplar_bytes >= SLICE_BYTES || need.series_bytes >= SLICE_BYTES ||
            need.head_bytes >= 8 * (size_t)SLICE_BYTES)
            break;
        if (in->by_key) {
            hash_key(in, at->series + KEY_AHEAD);
            guess_by_key(in, at->series + SERIES_AHEAD);
        } else {
            guess_by_order(in, at->series + KEY_AHEAD - 1);
        }
        come_close(in, at->series + SAMPLES_AHEAD);
        come_closest(in, at->series + CHUNK_AHEAD);
        struct ingest_piece p = take_piece(in, at, &need);
        enum reject reason;
        enum err e;
        if (!p.from->has_metadata && !piece_is_in_time(in, &p)) {
            e = refuse_out_of_time(in, &p);
            if (e) return gather_failed(in, e);
            continue;
        }
        e = ingest_resolve(in, p.from, &p.series, &reason);
        if (e) return gather_failed(in, e);
        if (reason == REJECT_NONE && in->require_name && p.series->nameless)
            reason = REJECT_MISSING_NAME; /* the series came by a protocol without this rule */
        if (reason != REJECT_NONE) {
            reject_piece(in, &p, reason);
            continue;
        }
        e = gen_series_get(in->gen, p.series, &p.samples);
        if (e) return gather_failed(in, e);
        /* Adds the needs of a piece whose series is known. */
        if (p.series->defined_in != (uint32_t)in->log.segment) {
            need.series_bytes +=
                RECORD_SERIES_BYTES_MAX + series_labels_size(in->gen->registry, p.series);
        }
        /* A request may name a series twice, so the series' present state says nothing about later.
         */
        struct sample_value v = {SAMPLE_FLOAT, 0, NULL};
        need.head_bytes +=
            gen_append_reserve(p.samples, &v, p.floats.count + p.histograms.count) +
            p.floats.count * (size_t)(6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk));
        for (uint32_t i = 0; i < p.histograms.count; i++) {
            const struct rw_histogram *h = &in->request->histograms[p.histograms.first + i];
            need.head_bytes += 6 * rw_histogram_bytes(h) + 4096;
        }
        e = ingest_series_metadata(in, p.from, p.series);
        if (e) return why_set(in->why, e, "not enough memory for metadata");
        in->s->pieces[count++] = p;
    }
    assert(need.floats <= in->s->slice_floats); /* invariant 3 */
    *ret_count = count;
    in->gathered = need.floats;
    return ingest_reserve(in, &need);
}

/* Sets which times are taken. */
static void
set_times(struct ingest *in)
{
    struct head *head = in->head;
    in->max_ms = env_realtime_ms(head->env) + head->limits.max_future_ms;
    /* Before the first sample of a sender nothing is too old. */
    int64_t kept_ms = head->limits.retention_ms, kept = retention_now_ms(head);
    bool all = head->newest_ms == INT64_MIN || kept_ms == 0 || kept < INT64_MIN + kept_ms;
    in->min_ms = all ? INT64_MIN : kept - kept_ms;
}

void
ingest_slice_begin(struct ingest *in)
{
    struct head *head = in->head;
    in->gen = head->active;
    in->log = wal_filling(head->wal);
    in->least_ms = INT64_MAX;
    in->epoch = (uint32_t)in->log.epoch;
    in->durable = (uint32_t)head->durable_epoch;
    set_times(in);
    slice_clear(in);
}

/*
 * A sample in order takes 50 ns; one that must be searched for in many overlapping chunks takes a
 * thousand times as long. Other requests wait while a slice is judged, so slow slices make the next
 * ones smaller.
 */
static void
slice_measure(struct ingest *in, int64_t took_ns)
{
    uint32_t *floats = &in->s->slice_floats;
    bool slow = took_ns > SLICE_NS_MAX;
    /* After a single slow slice the size stays: the thread may have lost the processor. */
    if (slow && in->s->slice_was_slow && *floats > SLICE_FLOATS_MIN) *floats /= 2;
    in->s->slice_was_slow = slow;
    bool full = in->gathered >= *floats; /* a small slice says nothing about larger ones */
    if (took_ns < SLICE_NS_MAX / 4 && full && *floats < SLICE_FLOATS) *floats *= 2;
    assert(*floats <= SLICE_FLOATS); /* invariant 3 */
}

static enum err
slice(struct ingest *in, struct ingest_cursor *at)
{
    uint32_t count = 0;
    struct ingest_cursor before = *at;
    ingest_slice_begin(in);
    enum err e = slice_gather(in, at, &count);
    /* The first slice checks all later series, so that a malformed one leaves nothing stored. */
    for (uint32_t i = at->series; i < in->request->series_count && e == OK && !in->checked; i++)
        if (!rw_series_check(&in->request->series[i])) e = gather_failed(in, ERR_INPUT);
    if (e) {
        if (in->s->metadata_count > 0) families_forget(in->head, in->tenant, in->log.epoch);
        *at = before;
        return e;
    }
    in->checked = true;
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = ingest_append(in, &in->s->pieces[i]);
    ingest_log(in);
    return e ? why_set(in->why, e, "the head has reached its memory budget") : OK;
}

static enum err
metadata_slice(struct ingest *in)
{
    struct ingest_need need = {0};
    ingest_slice_begin(in);
    for (uint32_t i = 0; i < in->request->metadata_count; i++) {
        const struct rw_metadata *r = &in->request->metadata[i];
        struct metadata m = {r->family, r->type, r->help, r->unit};
        enum err e = ingest_metadata(in, &m);
        if (e) return why_set(in->why, e, "not enough memory for metadata");
        if (in->s->metadata.size < SLICE_BYTES && i + 1 < in->request->metadata_count) continue;
        e = ingest_reserve(in, &need);
        if (e == OK && !buf_reserve(&in->s->payload, in->s->metadata.size + 512)) e = ERR_NOMEM;
        if (e) {
            families_forget(in->head, in->tenant, in->log.epoch);
            return e;
        }
        ingest_log(in);
        slice_clear(in);
    }
    return OK;
}

/* Logs the metadata that the request claims, before any of its samples. Another request may have
 * claimed a name since this one was decoded: its sender has to repeat it. */
static enum err
claim_names(struct ingest *in)
{
    bool is_any = false;
    set_times(in);
    for (uint32_t i = 0; i < in->request->float_count && !is_any; i++)
        is_any =
            in->request->floats[i].t_ms >= in->min_ms && in->request->floats[i].t_ms <= in->max_ms;
    if (!is_any) return OK; /* all will be refused, and names nothing */
    for (uint32_t i = 0; i < in->request->metadata_count; i++) {
        const struct rw_metadata *m = &in->request->metadata[i];
        const struct family_text *known = family_newest(in->head, in->tenant, m->family);
        if (known != NULL && !bytes_equal(known->help, m->help))
            return why_set(in->why, ERR_AGAIN, "another request has just named the metric %s",
                           shown_of(m->family).text);
    }
    return metadata_slice(in);
}

/* --- the request ------------------------------------------------------------------------------ */

/*
 * All in one line, and the counts first: senders log only the beginning of the first line.
 */
void
ingest_result_put_counts(struct ingest_result *result)
{
    if (result->rejected_total == 0) return;
    char room[INGEST_TEXT_BYTES];
    struct buf counts = {.at = (uint8_t *)room, .capacity = sizeof room, .limit = sizeof room};
    buf_put_text(&counts, "refused: ");
    const char *separator = "";
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        if (result->rejected_for[r] == 0) continue;
        buf_printf(&counts, "%s%" PRIu64 " %s", separator, result->rejected_for[r],
                   reject_word((enum reject)r));
        separator = ", ";
    }
    char *text = result->text;
    size_t named = strlen(text), left = sizeof result->text - 1 - counts.size;
    if (named > left) named = left;
    memmove(text + counts.size, text, named);
    memcpy(text, room, counts.size);
    text[counts.size + named] = '\0';
}

static uint64_t
bytes_if_new(const struct rw_request *r, uint32_t series_bytes)
{
    uint64_t bytes = (uint64_t)r->series_count * series_bytes;
    bytes += ((uint64_t)r->float_count + r->histogram_count) * NEW_SAMPLE_BYTES;
    for (uint32_t i = 0; i < r->series_count; i++)
        bytes += r->series[i].label_bytes.size;
    return bytes;
}

/*
 * Checks that the head has memory for a request of several slices, as if all of its series were
 * new. At most half of the head is asked for, so that a large request can pass at some time.
 */
static enum err
room_for_all(struct ingest *in)
{
    const struct rw_request *r = in->request;
    struct budget *head = &in->head->budget;
    if (r->float_count <= in->s->slice_floats && r->series_count <= SLICE_PIECES) return OK;
    uint64_t bytes = bytes_if_new(r, NEW_SERIES_BYTES_MAX);
    uint64_t most = in->head->options->head_bytes_max / 2;
    if (most != 0 && bytes > most) bytes = most;
    enum err e = budget_take(head, bytes);
    if (e) return why_set(in->why, e, "not enough memory in the head for the whole request");
    budget_give(head, bytes);
    return OK;
}

/* True if a request that was refused for lack of memory would always be: it is larger than the
 * head, or did not fit in a nearly empty head. Otherwise the sender would repeat it for ever. */
static bool
never_fits(const struct ingest *in, uint64_t used_before)
{
    uint64_t most = in->head->options->head_bytes_max;
    uint64_t bytes = bytes_if_new(in->request, NEW_SERIES_BYTES_MIN);
    if (most == 0) return false;
    return bytes > most || (bytes > most / 2 && used_before < most / 8);
}

enum err
head_ingest_begin(struct head *head, enum tsdb_origin origin, struct bytes tenant,
                  const struct rw_request *request, struct ingest_result *ret_result,
                  struct tsdb_undecided **ret_undecided, struct why *why)
{
    *ret_undecided = NULL;
    memset(ret_result, 0, sizeof *ret_result);
    assert(request->series_count == 0 || request->seed == head->hash_seed);
    assert(request->keys == NULL || request->keys == &head->print_keys);
    struct ingest in = {.head = head,
                        .request = request,
                        .origin = origin,
                        .result = ret_result,
                        .s = head->scratch,
                        .why = why};
    struct ingest_cursor at = {0};
    struct arrival arrival = head_arrival(head, request);
    lock_take(&head->lock);
    enum name_rule rule = head->limits.require_name;
    in.require_name = rule == NAME_ALWAYS || (rule == NAME_AUTO && request->version == RW_V2);
    uint32_t voids = head->void_count;
    uint64_t used_before = budget_used(&head->budget);
    enum err e = OK;
    if (head->disk_low) e = why_set(why, ERR_AGAIN, "the disk is nearly full");
    if (head->dir != TSDB_DIR_OURS) e = why_set(why, ERR_AGAIN, "%s", tsdb_dir_text(head->dir));
    if (e == OK && wal_is_down(head->wal))
        e = why_set(why, ERR_AGAIN, "cannot write to the write-ahead log, retry later");
    /* The number of tenants is limited: an empty request does not make one. */
    bool empty = request->series_count == 0 && request->metadata_count == 0;
    if (e == OK && !empty) e = tenant_name_check(tenant, why);
    if (e == OK && !empty) e = tenant_find_or_add(head, tenant, &in.tenant);
    if (e == ERR_LIMIT)
        e = why_set(why, ERR_INPUT, "too many tenants: tenancy.max-tenants is reached");
    if (e == OK) e = room_for_all(&in);
    bool claims = request->claims_metadata;
    if (e == OK && claims) e = claim_names(&in);
    while (e == OK && at.series < request->series_count) {
        int64_t began = env_monotonic_ns(head->env);
        e = slice(&in, &at);
        slice_measure(&in, env_monotonic_ns(head->env) - began);
        if (e != OK || at.series >= request->series_count) break;
        lock_give_way(&head->lock); /* lets other requests take the lock */
        if (voids == head->void_count) continue;
        /* The samples of earlier slices may have been taken back. */
        e = why_set(why, ERR_AGAIN, "the write-ahead log failed while the request was stored");
    }
    if (e == ERR_NOMEM && never_fits(&in, used_before)) {
        e = why_set(why, ERR_LIMIT,
                    "not enough memory in the head for %u series: send fewer series per request",
                    request->series_count);
    }
    if (e == OK && request->metadata_count > 0 && !claims) e = metadata_slice(&in);
    if (e == OK && ret_result->rejected_for[REJECT_TOO_FAR_IN_FUTURE] > 0) {
        /* If our clock is before the newest stored sample, the fault is probably ours: the sender
         * may retry. The clock may have jumped since housekeeping looked at it. */
        look_at_clock(head);
        if (head->clock == TSDB_CLOCK_BEFORE_SAMPLES) {
            e = why_set(why, ERR_AGAIN,
                        "samples are too far ahead of the system clock, which is earlier than "
                        "stored samples: set the system clock, or delete those samples (/-/ready "
                        "says how)");
        } else if (head->clock == TSDB_CLOCK_BEFORE_RELEASE) {
            e = why_set(why, ERR_AGAIN,
                        "samples are too far ahead of the system clock, which is earlier than "
                        "this release of Firekeep: set the system clock");
        }
    }
    if (head->options->ack_memory) ret_result->wait_epoch = 0;
    /* The times in a malformed message are not trusted. */
    if (in.tenant != NULL && origin == TSDB_FROM_SENDER && e != ERR_INPUT)
        head_note_arrival(head, in.tenant, &arrival);
    lock_drop(&head->lock);
    if (e || in.undecided == NULL) {
        tsdb_undecided_free(in.undecided);
        ingest_result_put_counts(ret_result);
        return e;
    }
    if (!ingest_undecided_in_parts(in.undecided))
        return tsdb_ingest_end(in.undecided, 0, ret_result, why);
    *ret_undecided = in.undecided;
    return OK;
}

enum err
head_ingest(struct head *head, enum tsdb_origin origin, struct bytes tenant,
            const struct rw_request *request, struct ingest_result *ret_result, struct why *why)
{
    struct tsdb_undecided *undecided;
    enum err e = head_ingest_begin(head, origin, tenant, request, ret_result, &undecided, why);
    if (e || undecided == NULL) return e;
    int64_t until_ns = env_monotonic_ns(head->env) + TSDB_LOOK_NS_MAX;
    return tsdb_ingest_end(undecided, until_ns, ret_result, why);
}
