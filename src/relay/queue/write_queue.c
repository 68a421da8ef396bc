/*
 * write_queue.c - see write_queue.h.
 *
 * Invariants:
 * 1. A write is in the list from write_queue_put() until its last part ends; then `done` is called,
 *    once, and the write is freed.
 * 2. `open_parts` of a write is the number of slots that have not ended their part: of those that
 *    existed when it was put. It is above 0 in the list.
 * 3. A write is done with OK only if no part was let go.
 * 4. `to_take` of a slot is the first write after those that it took, all of which came after it
 *    joined; NULL if there is none. A write in the list that a slot has not ended is one that
 *    it took, or is `to_take` or after it.
 * 5. waiting.writes, .samples and .bytes are the sums over the list.
 */
#include "relay/queue/write_queue.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "backend/settings.h"
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

static enum err
copy_series(struct write_copy *c, const struct rw_series *s, struct bytes *last_family)
{
    struct write_items *to = c->to;
    enum reject reason;
    enum err e = series_labels(c, s, &reason);
    if (e) return e;
    if (reason != REJECT_NONE) {
        const struct rw_request *r = c->request;
        int64_t t_ms = s->floats.count > 0       ? r->floats[s->floats.first].t_ms
                       : s->histograms.count > 0 ? r->histograms[s->histograms.first].t_ms
                                                 : 0;
        reject(c, s, LEDGER_FLOAT, reason, s->floats.count, t_ms, "");
        reject(c, s, LEDGER_HISTOGRAM, reason, s->histograms.count, t_ms, "");
        reject(c, s, LEDGER_EXEMPLAR, reason, s->exemplars.count, t_ms, "");
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
    if (e || !s->has_metadata || s->bad_metadata) return e;
    /* Remote write 2.0 repeats the metadata of a family with each of its series, which follow each
     * other. */
    struct metadata m = {.type = s->type, .help = s->help, .unit = s->unit};
    struct rw_label_walk walk = rw_labels(c->request, s);
    for (struct label label; rw_label_next(&walk, &label);)
        if (bytes_equal_text(label.name, "__name__")) m.family = label.value;
    if (bytes_equal(m.family, *last_family)) return OK;
    *last_family = m.family;
    return copy_metadata(c, &m);
}

static enum err
copy_all(struct write_copy *c)
{
    struct write_items *to = c->to;
    const struct rw_request *r = c->request;
    struct bytes last_family = {NULL, 0};
    /* The most items that the request can give. */
    uint64_t families = r->version == RW_V2 ? r->series_count : r->metadata_count;
    uint64_t most = (uint64_t)r->float_count + r->histogram_count + r->exemplar_count + families;
    if (most > UINT32_MAX) return ERR_NOMEM;
    c->item_room = (uint32_t)most;
    to->series = arena_alloc(&to->arena, (r->series_count + (size_t)1) * sizeof *to->series);
    to->items = arena_alloc(&to->arena, (most + 1) * sizeof *to->items);
    if (to->series == NULL || to->items == NULL) return ERR_NOMEM;
    enum err e = OK;
    for (uint32_t i = 0; i < r->series_count && e == OK; i++)
        e = copy_series(c, &r->series[i], &last_family);
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

enum { ANSWER_MS = 2000 /* a write is over so long before its sender gives up */ };

/* A write, as the queue knows it. */
struct waiting_write {
    struct queued_write shown;
    _Atomic bool over; /* set once, when the first destination lets go */

    /* Under the queue's lock. */
    struct waiting_write *next, *before;
    void *waiter;
    struct ingest_result result;
    uint32_t open_parts;
    bool left;                                    /* a part was let go */
    char left_by[DESTINATION_NAME_BYTES_MAX + 1]; /* the first destination that did, */
    char left_text[256];                          /* and its last error */
    uint64_t refused[ITEM_KIND_COUNT];            /* the most of one destination */
    uint64_t samples;                             /* floats and histograms */
    uint64_t bytes;
};

struct write_slot {
    struct write_queue *queue;
    struct write_slot *next;
    const char *name;
    void (*wake)(void *context);
    void *context;
    struct waiting_write *to_take;
};

enum queue_outcome { CONFIRMED, REFUSED, EXPIRED, OUTCOMES };

struct write_queue {
    struct write_queue_options options;
    struct budget memory;

    struct lock lock; /* LOCK_RANK_QUEUE; guards the rest */
    struct write_rules rules;
    uint32_t expected;
    struct write_slot *slots;
    uint32_t slot_count;
    struct cond joined; /* a destination has got a slot */
    struct waiting_write *first, *last;
    struct {
        uint64_t writes, samples, bytes;
    } waiting;
    uint64_t writes_total[OUTCOMES]; /* refused: in part or as a whole */
    uint64_t samples_total[OUTCOMES];
};

enum err
write_queue_new(const struct write_queue_options *options, struct write_queue **ret_queue)
{
    struct write_queue *q = mem_new(NULL, sizeof *q);
    if (q == NULL) return ERR_NOMEM;
    q->options = *options;
    budget_init(&q->memory, "waiting_writes", options->bytes_max, options->memory);
    lock_init(&q->lock, LOCK_RANK_QUEUE);
    cond_init(&q->joined);
    *ret_queue = q;
    return OK;
}

void
write_queue_free(struct write_queue *q)
{
    if (q == NULL) return;
    assert(q->first == NULL);
    assert(q->slots == NULL);
    cond_fini(&q->joined);
    lock_fini(&q->lock);
    mem_free(NULL, q, sizeof *q);
}

void
write_queue_set_rules(struct write_queue *q, const struct write_rules *rules)
{
    lock_take(&q->lock);
    q->rules = *rules;
    lock_drop(&q->lock);
}

void
write_queue_expect(struct write_queue *q, uint32_t destinations)
{
    lock_take(&q->lock);
    q->expected = destinations;
    lock_drop(&q->lock);
}

void
write_queue_await(struct write_queue *q, int64_t until_ns)
{
    lock_take(&q->lock);
    while (q->slot_count < q->expected && env_monotonic_ns(q->options.env) < until_ns)
        cond_wait_until(&q->joined, &q->lock, until_ns);
    lock_drop(&q->lock);
}

/* --- putting ---------------------------------------------------------------------------------- */

static void
write_free(struct write_queue *q, struct waiting_write *w)
{
    write_items_fini(&w->shown.items);
    mem_free(&q->memory, w, sizeof *w);
}

/* Answers a write that is in no list, and frees it. */
static void
finish(struct write_queue *q, struct waiting_write *w)
{
    const struct write_queue_options *o = &q->options;
    struct why why = {""};
    enum err e = OK;
    if (w->left)
        e = why_set(&why, ERR_AGAIN,
                    "destination %s has not confirmed all samples in time; nothing more of the "
                    "request is sent%s%s",
                    w->left_by, w->left_text[0] != 0 ? "; its last error: " : "", w->left_text);
    assert((e == OK) == !w->left); /* invariant 3 */
    o->done(o->context, w->waiter, e, &w->shown.items, &w->result, &why);
    write_free(q, w);
}

static enum err
lacks_memory(struct write_queue *q, struct why *why)
{
    lock_take(&q->lock);
    bool alone = q->waiting.writes == 0;
    lock_drop(&q->lock);
    if (alone && budget_used(&q->memory) < q->options.bytes_max / 8)
        return why_set(why, ERR_LIMIT,
                       "the request needs more than the %" PRIu64
                       " bytes for writes that wait for destinations; send smaller requests",
                       q->options.bytes_max);
    return why_set(why, ERR_NOMEM, "too many writes are waiting for destinations");
}

enum err
write_queue_put(struct write_queue *q, const struct offered_write *offered, struct why *why)
{
    struct waiting_write *w = mem_new(&q->memory, sizeof *w);
    if (w == NULL) return lacks_memory(q, why);
    struct write_items *items = &w->shown.items;
    struct env *env = q->options.env;
    lock_take(&q->lock);
    struct write_rules rules = q->rules;
    lock_drop(&q->lock);
    int64_t now_ns = env_monotonic_ns(env), timeout_ms = q->options.timeout_ms;
    if (offered->timeout_ms > 0 && offered->timeout_ms < timeout_ms)
        timeout_ms = offered->timeout_ms;
    w->shown.until_ns = offered->began_ns + (timeout_ms - ANSWER_MS) * NS_PER_MS;
    w->shown.until_ms = env_realtime_ms(env) + (w->shown.until_ns - now_ns) / NS_PER_MS;
    if (w->shown.until_ns <= now_ns) {
        write_free(q, w);
        return why_set(why, ERR_AGAIN, "the request took longer to arrive than its sender waits");
    }
    enum err e =
        write_items_init(items, &q->memory, q->options.bytes_max, &rules, env_realtime_ms(env),
                         offered->tenant, offered->request, &w->result);
    if (e) {
        write_free(q, w);
        return lacks_memory(q, why);
    }
    w->waiter = offered->waiter;
    w->samples = items->count_of[ITEM_FLOAT] + items->count_of[ITEM_HISTOGRAM];
    w->bytes = sizeof *w + items->arena.used_bytes;
    if (items->count == 0) {
        finish(q, w);
        return OK;
    }
    lock_take(&q->lock);
    bool complete = q->slot_count == q->expected && q->slot_count > 0;
    if (complete) {
        w->open_parts = q->slot_count;
        w->before = q->last;
        *(q->last == NULL ? &q->first : &q->last->next) = w;
        q->last = w;
        q->waiting.writes++;
        q->waiting.samples += w->samples;
        q->waiting.bytes += w->bytes;
    }
    for (struct write_slot *s = complete ? q->slots : NULL; s != NULL; s = s->next) {
        if (s->to_take == NULL) s->to_take = w; /* invariant 4 */
        s->wake(s->context);
    }
    lock_drop(&q->lock);
    if (complete) return OK;
    write_free(q, w);
    return why_set(why, ERR_AGAIN, "a destination is not open; see /api/v1/status/destinations");
}

/* --- ending ----------------------------------------------------------------------------------- */

static struct waiting_write *
waiting_of(struct queued_write *write)
{
    return (struct waiting_write *)write; /* its first member */
}
_Static_assert(offsetof(struct waiting_write, shown) == 0, "waiting_of() needs it");

/* Adds a destination's refusals to the answer. */
static void
note_refused(struct waiting_write *w, const struct write_slot *slot, const struct write_part *part)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += part->refused[kind];
        if (part->refused[kind] > w->refused[kind]) w->refused[kind] = part->refused[kind];
    }
    if (sum == 0) return;
    char *text = w->result.text;
    size_t used = strlen(text);
    snprintf(text + used, sizeof w->result.text - used,
             "%sdestination %s refused %" PRIu64 " of %" PRIu32 ": %s", used > 0 ? "; " : "",
             slot->name, sum, w->shown.items.count, part->text);
}

void
write_slot_end(struct write_slot *slot, struct queued_write *write, const struct write_part *part)
{
    struct write_queue *q = slot->queue;
    struct waiting_write *w = waiting_of(write);
    lock_take(&q->lock);
    assert(w->open_parts > 0); /* invariant 2 */
    w->open_parts--;
    note_refused(w, slot, part);
    if (part->left && !w->left) {
        w->left = true;
        snprintf(w->left_by, sizeof w->left_by, "%s", slot->name);
        snprintf(w->left_text, sizeof w->left_text, "%s", part->text);
        atomic_store_explicit(&w->over, true, memory_order_relaxed);
        for (struct write_slot *s = q->slots; s != NULL; s = s->next)
            if (s != slot) s->wake(s->context);
    }
    bool ended = w->open_parts == 0;
    if (ended) {
        /* Takes the write off the list. */
        *(w->before == NULL ? &q->first : &w->before->next) = w->next;
        *(w->next == NULL ? &q->last : &w->next->before) = w->before;
        assert(q->waiting.writes > 0);            /* invariant 5 */
        assert(q->waiting.samples >= w->samples); /* invariant 5 */
        q->waiting.writes--;
        q->waiting.samples -= w->samples;
        q->waiting.bytes -= w->bytes;
        /* Counts the outcome, and makes the result say it. */
        uint64_t refused = w->refused[ITEM_FLOAT] + w->refused[ITEM_HISTOGRAM];
        assert(refused <= w->samples);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && !w->left; kind++) {
            assert(w->refused[kind] <= w->result.written[kind]);
            w->result.written[kind] -= w->refused[kind];
            w->result.rejected[kind] += w->refused[kind];
            w->result.rejected_total += w->refused[kind];
        }
        if (w->left) w->result = (struct ingest_result){0};
        q->writes_total[w->left ? EXPIRED : refused > 0 ? REFUSED : CONFIRMED]++;
        q->samples_total[w->left ? EXPIRED : CONFIRMED] += w->samples - (w->left ? 0 : refused);
        if (!w->left) q->samples_total[REFUSED] += refused;
    }
    lock_drop(&q->lock);
    if (ended) finish(q, w);
}

/* --- slots ------------------------------------------------------------------------------------ */

enum err
write_slot_join(struct write_queue *q, const char *name, void (*wake)(void *context), void *context,
                struct write_slot **ret_slot)
{
    struct write_slot *slot = mem_new(NULL, sizeof *slot);
    if (slot == NULL) return ERR_NOMEM;
    *slot = (struct write_slot){.queue = q, .name = name, .wake = wake, .context = context};
    lock_take(&q->lock);
    slot->next = q->slots;
    q->slots = slot;
    q->slot_count++;
    cond_wake_all(&q->joined);
    lock_drop(&q->lock);
    *ret_slot = slot;
    return OK;
}

void
write_slot_leave(struct write_slot *slot)
{
    static const struct write_part left = {.left = true};
    if (slot == NULL) return;
    struct write_queue *q = slot->queue;
    lock_take(&q->lock);
    struct write_slot **link = &q->slots;
    while (*link != slot) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = slot->next;
    assert(q->slot_count > 0);
    q->slot_count--;
    struct waiting_write *last = q->last; /* later ones are not this slot's; it stays until then */
    lock_drop(&q->lock);
    while (slot->to_take != NULL) {
        struct queued_write *w = write_slot_take(slot);
        if (waiting_of(w) == last) slot->to_take = NULL;
        write_slot_end(slot, w, &left);
    }
    mem_free(NULL, slot, sizeof *slot);
}

struct queued_write *
write_slot_take(struct write_slot *slot)
{
    struct write_queue *q = slot->queue;
    lock_take(&q->lock);
    struct waiting_write *w = slot->to_take;
    assert(w == NULL || w->open_parts > 0); /* invariant 4 */
    if (w != NULL) slot->to_take = w->next;
    lock_drop(&q->lock);
    return w == NULL ? NULL : &w->shown;
}

bool
write_is_over(const struct queued_write *write, int64_t now_ns, int64_t now_ms)
{
    const struct waiting_write *w = (const struct waiting_write *)write;
    return now_ns >= write->until_ns || now_ms >= write->until_ms ||
           atomic_load_explicit(&w->over, memory_order_relaxed);
}

/* --- metrics ---------------------------------------------------------------------------------- */

void
write_queue_collect(struct metric_sink *sink, void *queue)
{
    static const struct metric_family waiting[] = {
        {"firekeep_waiting_writes", "Writes that wait for destinations.", METRIC_KIND_GAUGE},
        {"firekeep_waiting_samples", "Samples in writes that wait for destinations.",
         METRIC_KIND_GAUGE},
        {"firekeep_waiting_bytes", "Memory of writes that wait for destinations, in bytes.",
         METRIC_KIND_GAUGE},
    };
    static const struct metric_family totals[] = {
        {"firekeep_waited_writes_total",
         "Writes that waited for destinations, by outcome: confirmed by all, refused in part or as "
         "a whole, or expired and answered with 503.",
         METRIC_KIND_COUNTER},
        {"firekeep_waited_samples_total",
         "Samples in writes that waited for destinations, by outcome.", METRIC_KIND_COUNTER},
    };
    static const char *const outcomes[OUTCOMES] = {"confirmed", "refused", "expired"};
    struct write_queue *q = queue;
    lock_take(&q->lock);
    uint64_t now[] = {q->waiting.writes, q->waiting.samples, q->waiting.bytes};
    uint64_t ended[2][OUTCOMES];
    memcpy(ended[0], q->writes_total, sizeof ended[0]);
    memcpy(ended[1], q->samples_total, sizeof ended[1]);
    lock_drop(&q->lock);
    for (unsigned i = 0; i < 3; i++)
        metric_put_u64(sink, &waiting[i], NULL, 0, now[i]);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < OUTCOMES; k++) {
            struct metric_pair pair = {"outcome", bytes_of_text(outcomes[k])};
            metric_put_u64(sink, &totals[i], &pair, 1, ended[i][k]);
        }
    }
}
