/* write_items.c - see write_items.h. */
#include "relay/queue/write_items.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash/hash.h"

enum { METADATA_TEXT_MAX = 64 * 1024 };

/* The state of write_items_init(). */
struct write_copy {
    struct write_items *to;
    const struct write_rules *rules;
    const struct rw_request *request;
    struct ingest_result *result;
    struct label *labels; /* scratch in the items' arena */
    uint32_t label_room;
    struct buf canonical;
    int64_t max_ms;     /* later samples are refused */
    uint32_t item_room; /* elements of to->items */
    bool require_name;
};

/* --- refusals --------------------------------------------------------------------------------- */

static void
reject(struct write_copy *c, const struct rw_series *series, enum ledger_kind kind,
       enum reject reason, uint64_t count, int64_t t_ms, const char *detail)
{
    c->to->rejected[kind][reason] += count;
    ingest_result_reject(
        c->result, &(struct ingest_refusal){c->request, series, kind, reason, count, t_ms, detail});
}

static void
reject_series(struct write_copy *c, const struct rw_series *s, enum reject reason)
{
    const struct rw_request *r = c->request;
    int64_t t_ms = s->floats.count > 0       ? r->floats[s->floats.first].t_ms
                   : s->histograms.count > 0 ? r->histograms[s->histograms.first].t_ms
                                             : 0;
    reject(c, s, LEDGER_FLOAT, reason, s->floats.count, t_ms, "");
    reject(c, s, LEDGER_HISTOGRAM, reason, s->histograms.count, t_ms, "");
    reject(c, s, LEDGER_EXEMPLAR, reason, s->exemplars.count, t_ms, "");
}

/* --- copying ---------------------------------------------------------------------------------- */

/* Makes labels canonical; ERR_NOMEM. */
static enum err
canonical(struct write_copy *c, struct label *given, uint32_t count, enum reject *ret_reason)
{
    buf_clear(&c->canonical);
    *ret_reason = labels_build(given, count, &c->rules->labels, &c->canonical);
    return buf_error(&c->canonical);
}

/* Room for `count` labels; NULL if memory is refused. */
static struct label *
label_room(struct write_copy *c, uint32_t count)
{
    if (count <= c->label_room) return c->labels;
    struct label *more = arena_alloc(&c->to->arena, 2 * (size_t)count * sizeof *more);
    if (more == NULL) return NULL;
    if (c->label_room > 0) memcpy(more, c->labels, c->label_room * sizeof *more);
    c->label_room = 2 * count;
    return c->labels = more;
}

static enum err
series_labels(struct write_copy *c, const struct rw_series *s, enum reject *ret_reason)
{
    struct rw_label_walk walk = rw_labels(c->request, s);
    struct label label;
    uint32_t count = 0;
    *ret_reason = REJECT_BAD_REFERENCE;
    if (s->bad_reference) return OK;
    while (rw_label_next(&walk, &label) && count <= 4 * c->rules->labels.count_max) {
        if (label_room(c, count + 1) == NULL) return ERR_NOMEM;
        c->labels[count++] = label;
    }
    enum err e = canonical(c, c->labels, count, ret_reason);
    if (e || *ret_reason != REJECT_NONE || !c->require_name) return e;
    struct bytes name = labels_get(buf_bytes(&c->canonical), bytes_of_text("__name__"));
    if (name.size == 0) *ret_reason = REJECT_MISSING_NAME;
    return OK;
}

static void
push(struct write_copy *c, const struct queued_item *item)
{
    struct write_items *to = c->to;
    assert(to->count < c->item_room);
    to->items[to->count++] = *item;
    to->count_of[item->kind]++;
    if (item->kind < LEDGER_KIND_COUNT) c->result->written[item->kind]++;
}

static void
copy_floats(struct write_copy *c, const struct rw_series *s, uint32_t series)
{
    for (uint32_t i = s->floats.first; i < s->floats.first + s->floats.count; i++) {
        const struct rw_float *f = &c->request->floats[i];
        if (f->t_ms > c->max_ms) {
            reject(c, s, LEDGER_FLOAT, REJECT_TOO_FAR_IN_FUTURE, 1, f->t_ms, "");
            continue;
        }
        push(c, &(struct queued_item){.kind = ITEM_FLOAT,
                                      .series = series,
                                      .t_ms = f->t_ms,
                                      .start_ms = f->start_ms,
                                      .bits = f->bits});
    }
}

static enum err
copy_histograms(struct write_copy *c, const struct rw_series *s, uint32_t series)
{
    for (uint32_t i = s->histograms.first; i < s->histograms.first + s->histograms.count; i++) {
        const struct rw_histogram *h = &c->request->histograms[i];
        struct why why = {"missing count, integer and float counts mixed, or more than 65536 "
                          "buckets on one side"};
        if (h->malformed || histogram_check(&h->h, &why) != OK) {
            reject(c, s, LEDGER_HISTOGRAM, REJECT_BAD_HISTOGRAM, 1, h->t_ms, why.text);
            continue;
        }
        if (h->t_ms > c->max_ms) {
            reject(c, s, LEDGER_HISTOGRAM, REJECT_TOO_FAR_IN_FUTURE, 1, h->t_ms, "");
            continue;
        }
        struct histogram *copy = arena_new(&c->to->arena, sizeof *copy);
        if (copy == NULL || histogram_copy(&h->h, &c->to->arena, copy) != OK) return ERR_NOMEM;
        push(c, &(struct queued_item){.kind = ITEM_HISTOGRAM,
                                      .series = series,
                                      .t_ms = h->t_ms,
                                      .start_ms = h->start_ms,
                                      .more = copy});
    }
    return OK;
}

/* Unlike series, exemplars may have no labels. */
static enum err
copy_exemplars(struct write_copy *c, const struct rw_series *s, uint32_t series)
{
    for (uint32_t i = s->exemplars.first; i < s->exemplars.first + s->exemplars.count; i++) {
        const struct rw_exemplar *x = &c->request->exemplars[i];
        enum reject reason = x->bad_reference ? REJECT_BAD_REFERENCE : REJECT_NONE;
        buf_clear(&c->canonical);
        if (reason == REJECT_NONE && x->label_count > 0) {
            if (label_room(c, x->label_count) == NULL) return ERR_NOMEM;
            memcpy(c->labels, c->request->labels + x->label_first,
                   x->label_count * sizeof *c->labels);
            if (canonical(c, c->labels, x->label_count, &reason) != OK) return ERR_NOMEM;
        }
        if (reason == REJECT_NONE && x->t_ms > c->max_ms) reason = REJECT_TOO_FAR_IN_FUTURE;
        if (reason != REJECT_NONE) {
            reject(c, s, LEDGER_EXEMPLAR, reason, 1, x->t_ms, "exemplar");
            continue;
        }
        struct bytes *labels = arena_new(&c->to->arena, sizeof *labels);
        if (labels == NULL) return ERR_NOMEM;
        *labels = arena_copy(&c->to->arena, buf_bytes(&c->canonical));
        if (labels->at == NULL && labels->size > 0) return ERR_NOMEM;
        push(c, &(struct queued_item){.kind = ITEM_EXEMPLAR,
                                      .series = series,
                                      .t_ms = x->t_ms,
                                      .bits = x->bits,
                                      .more = labels});
    }
    return OK;
}

/* Metadata that is not kept loses no sample, and is left out silently. */
static enum err
copy_metadata(struct write_copy *c, const struct metadata *m)
{
    struct arena *arena = &c->to->arena;
    bool fits = m->family.size > 0 && m->family.size <= METADATA_TEXT_MAX &&
                m->help.size <= METADATA_TEXT_MAX && m->unit.size <= METADATA_TEXT_MAX;
    if (!fits || !utf8_valid(m->family) || !utf8_valid(m->help) || !utf8_valid(m->unit)) return OK;
    struct metadata *copy = arena_new(arena, sizeof *copy);
    if (copy == NULL) return ERR_NOMEM;
    *copy = (struct metadata){arena_copy(arena, m->family), m->type, arena_copy(arena, m->help),
                              arena_copy(arena, m->unit)};
    bool copied = copy->family.at != NULL && (copy->help.at != NULL || m->help.size == 0) &&
                  (copy->unit.at != NULL || m->unit.size == 0);
    if (!copied) return ERR_NOMEM;
    push(c, &(struct queued_item){.kind = ITEM_METADATA, .more = copy});
    return OK;
}

/* Remote write 2.0 repeats the metadata of a family with each of its series, which follow each
 * other. */
static enum err
copy_series_metadata(struct write_copy *c, const struct rw_series *s, struct bytes *last_family)
{
    struct metadata m = {.type = s->type, .help = s->help, .unit = s->unit};
    struct rw_label_walk walk = rw_labels(c->request, s);
    struct label label;
    while (rw_label_next(&walk, &label)) {
        if (bytes_equal_text(label.name, "__name__")) m.family = label.value;
    }
    if (!s->has_metadata || s->bad_metadata || bytes_equal(m.family, *last_family)) return OK;
    *last_family = m.family;
    return copy_metadata(c, &m);
}

static enum err
copy_series(struct write_copy *c, const struct rw_series *s, struct bytes *last_family)
{
    struct write_items *to = c->to;
    enum reject reason;
    enum err e = series_labels(c, s, &reason);
    if (e) return e;
    if (reason != REJECT_NONE) {
        reject_series(c, s, reason);
        return OK;
    }
    uint32_t number = to->series_count++;
    struct queued_series *series = &to->series[number];
    series->labels = arena_copy(&to->arena, buf_bytes(&c->canonical));
    if (series->labels.at == NULL) return ERR_NOMEM;
    series->hash = hash_bytes(series->labels, hash_bytes(to->tenant, 0));
    copy_floats(c, s, number);
    e = copy_histograms(c, s, number);
    if (e == OK) e = copy_exemplars(c, s, number);
    return e ? e : copy_series_metadata(c, s, last_family);
}

/* The most items that the request can give. */
static uint64_t
items_max(const struct rw_request *r)
{
    uint64_t families = r->version == RW_V2 ? r->series_count : r->metadata_count;
    return (uint64_t)r->float_count + r->histogram_count + r->exemplar_count + families;
}

static enum err
copy_all(struct write_copy *c)
{
    struct write_items *to = c->to;
    const struct rw_request *r = c->request;
    struct bytes last_family = {NULL, 0};
    uint64_t most = items_max(r);
    if (most > UINT32_MAX) return ERR_NOMEM;
    c->item_room = (uint32_t)most;
    to->series = arena_alloc(&to->arena, (r->series_count + (size_t)1) * sizeof *to->series);
    to->items = arena_alloc(&to->arena, (most + 1) * sizeof *to->items);
    if (to->series == NULL || to->items == NULL) return ERR_NOMEM;
    enum err e = OK;
    for (uint32_t i = 0; i < r->series_count && e == OK; i++) {
        e = copy_series(c, &r->series[i], &last_family);
    }
    for (uint32_t i = 0; i < r->metadata_count && e == OK; i++) {
        const struct rw_metadata *m = &r->metadata[i];
        e = copy_metadata(c, &(struct metadata){m->family, m->type, m->help, m->unit});
    }
    return e;
}

enum err
write_items_init(struct write_items *items, struct budget *memory, uint64_t bytes_max,
                 const struct write_rules *rules, int64_t now_ms, struct bytes tenant,
                 const struct rw_request *request, struct ingest_result *ret_result)
{
    *items = (struct write_items){.arrival_ms = now_ms};
    *ret_result = (struct ingest_result){0};
    arena_init(&items->arena, memory, bytes_max, 0);
    struct write_copy c = {
        .to = items,
        .rules = rules,
        .request = request,
        .result = ret_result,
        .max_ms = now_ms + rules->max_future_ms,
        .require_name = rules->require_name == NAME_ALWAYS ||
                        (rules->require_name == NAME_AUTO && request->version == RW_V2),
    };
    buf_init(&c.canonical, memory, bytes_max);
    items->tenant = arena_copy(&items->arena, tenant);
    enum err e = items->tenant.at == NULL && tenant.size > 0 ? ERR_NOMEM : copy_all(&c);
    buf_fini(&c.canonical);
    ingest_result_put_counts(ret_result);
    return e;
}

void
write_items_count(const struct write_items *items, struct ledger *add_to)
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        uint64_t *count = add_to->count[kind];
        count[LEDGER_RECEIVED] += items->count_of[kind];
        count[LEDGER_ACCEPTED] += items->count_of[kind];
        count[LEDGER_PASSED_ON] += items->count_of[kind];
        for (unsigned reason = 0; reason < REJECT_COUNT; reason++) {
            count[LEDGER_RECEIVED] += items->rejected[kind][reason];
            count[LEDGER_REJECTED + reason] += items->rejected[kind][reason];
        }
    }
}

void
write_items_fini(struct write_items *items)
{
    arena_fini(&items->arena);
}

void
write_items_item(const struct write_items *items, uint32_t i, struct item *ret_item)
{
    assert(i < items->count);
    const struct queued_item *q = &items->items[i];
    *ret_item = (struct item){
        .kind = (enum item_kind)q->kind,
        .index = i,
        .arrival_ms = items->arrival_ms,
        .tenant = items->tenant,
        .t_ms = q->t_ms,
        .start_ms = q->start_ms,
        .bits = q->bits,
    };
    if (q->kind == ITEM_METADATA) {
        const struct metadata *m = q->more;
        ret_item->family = m->family;
        ret_item->family_type = m->type;
        ret_item->help = m->help;
        ret_item->unit = m->unit;
        ret_item->series_hash = hash_bytes(m->family, hash_bytes(items->tenant, 0));
        return;
    }
    const struct queued_series *series = &items->series[q->series];
    ret_item->labels = series->labels;
    ret_item->series_hash = series->hash;
    if (q->kind == ITEM_HISTOGRAM) ret_item->histogram = q->more;
    if (q->kind == ITEM_EXEMPLAR) ret_item->exemplar_labels = *(const struct bytes *)q->more;
}
