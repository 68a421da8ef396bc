/*
 * ingest_resolve.c - from the labels of a request to a series of the active generation.
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
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "tsdb/head/ingest/ingest.h"

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

enum err
ingest_canonical(struct ingest *in, const struct rw_series *series, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    struct rw_label_walk walk = rw_labels(in->request, series);
    struct label label;
    uint32_t count = 0;
    while (rw_label_next(&walk, &label)) {
        /* So many labels are refused in any case. */
        if (count > 4 * in->head->limits.labels.count_max) break;
        if (!array_reserve(&in->head->budget, &s->label_list, &s->label_capacity, count + 1)) {
            return ERR_NOMEM;
        }
        s->label_list[count++] = label;
    }
    buf_clear(&s->labels);
    *ret_reason = labels_build(s->label_list, count, &in->head->limits.labels, &s->labels);
    if (buf_error(&s->labels) || *ret_reason != REJECT_NONE || !in->require_name) {
        return buf_error(&s->labels);
    }
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
    if (series_at(in, number) != NULL) {
        guess = registry_guess(in->gen->registry, in->tenant->id, in->keys[number % GUESSES]);
    }
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
    for (uint32_t i = 0; i < KEY_AHEAD; i++) {
        if (in->by_key) {
            hash_key(in, first + i);
        } else {
            guess_by_order(in, first + i);
        }
    }
    for (uint32_t i = 0; i < SERIES_AHEAD && in->by_key; i++)
        guess_by_key(in, first + i);
    for (uint32_t i = 0; i < SAMPLES_AHEAD; i++)
        come_close(in, first + i);
    for (uint32_t i = 0; i < CHUNK_AHEAD; i++)
        come_closest(in, first + i);
}

void
ingest_approach_first(struct ingest *in, uint32_t first)
{
    if (in->last_gen != in->gen->number) in->last = NULL; /* its registry may be freed */
    in->guesses[(first - 1) % GUESSES] = in->last;
    approach(in, first);
}

void
ingest_approach_next(struct ingest *in, uint32_t number)
{
    if (in->by_key) {
        hash_key(in, number + KEY_AHEAD);
        guess_by_key(in, number + SERIES_AHEAD);
    } else {
        guess_by_order(in, number + KEY_AHEAD - 1);
    }
    come_close(in, number + SAMPLES_AHEAD);
    come_closest(in, number + CHUNK_AHEAD);
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
    if (refused && frozen != NULL && frozen->registry != r) {
        refused = registry_find_labels(frozen->registry, in->tenant->id, labels) == NULL;
    }
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

enum err
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
    if (last != NULL && last != s && last->after_plus_1 != s->id + 1) {
        last->after_plus_1 = s->id + 1;
    }
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
