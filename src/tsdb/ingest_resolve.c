/*
 * ingest_resolve.c - from the labels of a request to a series of the active generation.
 *
 * The table knows a series by a hash of the labels as they were sent, so that labels need not be
 * put in order to be found: canonical labels are made only for what is not found. Which memory a
 * look-up will touch is known long before, by the hashes of the request; it is asked for in four
 * steps (slot, series, its samples, chunk), because each tells where the next one is.
 */
#include "base/hash.h"
#include "tsdb/ingest.h"

/* How many series ahead of its use each thing is asked for. */
enum { SLOT_AHEAD = 24, SERIES_AHEAD = 15, SAMPLES_AHEAD = 10, CHUNK_AHEAD = 5 };

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
ingest_label_room(struct ingest *in, uint32_t count)
{
    struct scratch *s = in->s;
    struct budget *budget = &in->db->head_budget;
    if (count <= s->label_capacity) return OK;
    uint32_t capacity = count + count / 2;
    struct label *grown = mem_resize(budget, s->label_list, s->label_capacity * sizeof *grown,
                                     capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    s->label_list = grown;
    s->label_capacity = capacity;
    return OK;
}

enum err
ingest_canonical(struct ingest *in, const struct rw_series *series, enum reject *ret_reason)
{
    struct scratch *s = in->s;
    struct rw_label_walk walk = rw_labels(in->request, series);
    struct label label;
    uint32_t count = 0;
    while (rw_label_next(&walk, &label)) {
        /* More than may be is enough to be refused. */
        if (count > 4 * in->db->limits.labels.count_max) break;
        enum err e = ingest_label_room(in, count + 1);
        if (e) return e;
        s->label_list[count++] = label;
    }
    buf_clear(&s->labels);
    *ret_reason = labels_build(s->label_list, count, &in->db->limits.labels, &s->labels);
    return buf_error(&s->labels);
}

/* Under which the table knows the labels as they were sent; 2.0 keys have a space of their own. */
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
    registry_prefetch_key(in->gen->registry, in->tenant->id,
                          lookup_key(in, &in->request->series[number]));
}

/* The slot is here: asks for the series it names. */
static void
come_nearer(struct ingest *in, uint32_t number)
{
    struct series **guess = &in->guesses[number % GUESSES];
    *guess = NULL;
    if (number >= in->request->series_count) return;
    *guess = registry_guess(in->gen->registry, in->tenant->id,
                            lookup_key(in, &in->request->series[number]));
}

/* The series is here: asks for its row of pairs and its samples; then for the chunk's end. */
static void
come_close(const struct ingest *in, uint32_t number)
{
    const struct series *guess = in->guesses[number % GUESSES];
    if (guess != NULL) gen_prefetch_series(in->gen, guess);
}

static void
come_nearest(const struct ingest *in, uint32_t number)
{
    const struct series *guess = in->guesses[number % GUESSES];
    if (guess != NULL) gen_prefetch_chunk(in->gen, guess);
}

void
ingest_approach_first(struct ingest *in, uint32_t first)
{
    for (uint32_t i = 0; i < SLOT_AHEAD; i++)
        come_near(in, first + i);
    for (uint32_t i = 0; i < SERIES_AHEAD; i++)
        come_nearer(in, first + i);
    for (uint32_t i = 0; i < SAMPLES_AHEAD; i++)
        come_close(in, first + i);
    for (uint32_t i = 0; i < CHUNK_AHEAD; i++)
        come_nearest(in, first + i);
}

void
ingest_approach_next(struct ingest *in, uint32_t number)
{
    come_near(in, number + SLOT_AHEAD);
    come_nearer(in, number + SERIES_AHEAD);
    come_close(in, number + SAMPLES_AHEAD);
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
    enum err e = ingest_canonical(in, series, ret_reason);
    if (e || *ret_reason != REJECT_NONE) return e;
    struct bytes labels = buf_bytes(&in->s->labels);
    struct registry *registry = in->gen->registry;
    e = head_series(in->db, in->tenant->id, labels, ret_series);
    if (e) return e;
    uint64_t key = lookup_key(in, series);
    if (key != registry_labels_hash(registry, labels)) registry_alias(registry, *ret_series, key);
    return OK;
}

enum err
ingest_resolve(struct ingest *in, const struct rw_series *series, struct series **ret_series,
               enum reject *ret_reason)
{
    struct request_labels context = {in->request, series};
    *ret_reason = REJECT_NONE;
    if (!series->bad_reference) {
        struct series *guess = in->guesses[(series - in->request->series) % GUESSES];
        if (guess != NULL && guess->tenant == in->tenant->id &&
            equal_request_labels(&context, in->gen->registry, guess)) {
            *ret_series = guess;
            return OK;
        }
        *ret_series = registry_find(in->gen->registry, in->tenant->id, lookup_key(in, series),
                                    equal_request_labels, &context);
        if (*ret_series != NULL) return OK;
    }
    return resolve_slowly(in, series, ret_series, ret_reason);
}

enum err
head_series(struct tsdb *db, uint32_t tenant, struct bytes labels, struct series **ret_series)
{
    struct registry *registry = db->active->registry;
    struct series *s = registry_find_labels(registry, tenant, labels);
    if (s == NULL) {
        enum err e = registry_add(registry, tenant, labels, &s);
        if (e) return e;
        const struct gen *frozen = db->active->before;
        if (frozen != NULL && frozen->registry != registry) {
            const struct series *before = registry_find_labels(frozen->registry, tenant, labels);
            if (before != NULL) s->before_plus_1 = before->id + 1;
        }
    }
    *ret_series = s;
    return OK;
}
