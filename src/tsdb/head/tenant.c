/*
 * tenant.c - tenants, their ledgers, and the metadata of their metrics.
 *
 * Invariants, under the head lock:
 *  1. `tenants` and tenant_table have the same tenants; a tenant's id is its index. Tenants and
 *     families are added and never removed, so that readers may keep pointers to them.
 *  2. total contains change[0] and change[1]; these are of different epochs, each later than what
 *     was in its place before.
 *  3. A family's texts are a list from the newest epoch to the oldest. A text goes when no view and
 *     no undo can need it.
 */
#include "base/array.h"
#include "base/hash/hash.h"
#include "model/tenant_name.h"
#include "tsdb/head/head.h"

#include <assert.h>
#include <string.h>

/* Invariant: numbers and times of the items ascend, strictly. */

void
changes_add(struct changes *c, uint64_t number, int64_t from_ms)
{
    assert(c->count <= CHANGES_KEPT);
    assert(c->count == 0 || c->items[c->count - 1].number <= number);
    while (c->count > 0 && c->items[c->count - 1].from_ms >= from_ms)
        c->count--;
    bool is_known = c->count > 0 && c->items[c->count - 1].number == number;
    if (is_known) return; /* with an earlier time */
    assert(c->count == 0 || c->items[c->count - 1].from_ms < from_ms);
    if (c->count == CHANGES_KEPT) {
        /* Joins the two neighbours whose distance is smallest in proportion to their age. */
        double newest = (double)c->items[c->count - 1].from_ms, best_gap = 1, best_age = 0;
        uint32_t best = 0;
        for (uint32_t i = 0; i + 2 < c->count; i++) {
            double gap = (double)c->items[i + 1].from_ms - (double)c->items[i].from_ms;
            double age = newest - (double)c->items[i + 1].from_ms;
            if (gap * best_age >= best_gap * age) continue;
            best = i;
            best_gap = gap;
            best_age = age;
        }
        c->items[best].number = c->items[best + 1].number;
        memmove(&c->items[best + 1], &c->items[best + 2],
                (c->count - best - 2) * sizeof c->items[0]);
        c->count--;
    }
    c->items[c->count].number = number;
    c->items[c->count++].from_ms = from_ms;
}

int64_t
changes_after(const struct changes *c, uint64_t number)
{
    uint32_t i = c->count;
    while (i > 0 && c->items[i - 1].number > number)
        i--;
    return i == c->count ? INT64_MAX : c->items[i].from_ms;
}

/*
 * Times of senders' last requests, per tenant: see struct tsdb_arrivals.
 *
 * It does not matter whether samples are accepted, so nothing is noted while they are judged one by
 * one under the head's lock. Instead a pass over the request's times, before the lock is taken,
 * looks for a recent sample and, while a range is watched, for a late one. The pass ends when it
 * has found them: nearly always at the first sample, because senders rarely lag and a range is
 * rarely watched. A backlog costs about a nanosecond per sample; judging a sample costs fifty.
 */

#define RECENT_MS (60 * 1000)

static void
arrivals_look_at(struct arrival *a, int64_t t_ms)
{
    a->is_recent |= t_ms >= a->now_ms - RECENT_MS;
    a->is_late |= t_ms >= a->late.min_ms && t_ms <= a->late.max_ms;
}

static bool
is_decided(const struct arrival *a)
{
    return a->is_recent && (a->is_late || a->late.min_ms > a->late.max_ms);
}

struct arrival
head_arrival(const struct head *head, const struct rw_request *request)
{
    struct arrival a = {
        .has_samples = request->float_count + request->histogram_count > 0,
        .now_ms = env_realtime_ms(head->env),
        .now_ns = env_monotonic_ns(head->env),
        .late = {atomic_load_explicit(&head->late_min_ms, memory_order_relaxed),
                 atomic_load_explicit(&head->late_max_ms, memory_order_relaxed)},
    };
    for (uint32_t i = 0; i < request->float_count && !is_decided(&a); i++)
        arrivals_look_at(&a, request->floats[i].t_ms);
    for (uint32_t i = 0; i < request->histogram_count && !is_decided(&a); i++)
        arrivals_look_at(&a, request->histograms[i].t_ms);
    return a;
}

void
head_note_arrival(struct head *head, struct tenant *t, const struct arrival *a)
{
    assert(lock_is_mine(&head->lock));
    if (!a->has_samples) return;
    t->arrivals.sent_ms = a->now_ms;
    if (a->is_recent) t->arrivals.recent_ns = a->now_ns;
    if (a->is_late) t->arrivals.late_ns = a->now_ns;
}

enum { FAMILIES_MAX = 100 * 1000 };

struct tenant *
tenant_find(struct head *head, struct bytes name)
{
    uint64_t hash = hash_bytes(name, head->hash_seed);
    for (uint32_t at = TABLE_START, id; table_next(&head->tenant_table, hash, &at, &id);)
        if (bytes_equal(head->tenants[id]->name, name)) return head->tenants[id];
    return NULL;
}

enum err
tenant_find_or_add(struct head *head, struct bytes name, struct tenant **ret_tenant)
{
    if (!tenant_name_fits(name)) return ERR_CORRUPT;
    struct tenant *t = tenant_find(head, name);
    if (t == NULL) {
        struct budget *budget = &head->budget;
        if (head->tenant_count >= head->options->tenants_max) return ERR_LIMIT;
        if (!table_reserve(&head->tenant_table, budget, 1) ||
            !array_reserve(budget, &head->tenants, &head->tenant_capacity, head->tenant_count + 1))
            return ERR_NOMEM;
        t = mem_new(budget, sizeof *t + name.size);
        if (t == NULL) return ERR_NOMEM;
        memcpy(t + 1, name.at, name.size);
        t->name = bytes_of(t + 1, name.size);
        assert(head->tenant_table.count == head->tenant_count); /* invariant 1 */
        t->id = head->tenant_count++;
        head->tenants[t->id] = t;
        table_add(&head->tenant_table, hash_bytes(name, head->hash_seed), t->id);
    }
    *ret_tenant = t;
    return OK;
}

static size_t
text_bytes(const struct family_text *x)
{
    return sizeof *x + x->help.size + x->unit.size;
}

void
tenants_free(struct head *head)
{
    struct budget *budget = &head->budget;
    for (uint32_t i = 0; i < head->tenant_count; i++) {
        struct tenant *t = head->tenants[i];
        for (uint32_t k = 0; k < t->family_count; k++) {
            struct family *f = t->families[k];
            for (struct family_text *x = f->text, *older; x != NULL; x = older) {
                older = x->older;
                mem_free(budget, x, text_bytes(x));
            }
            mem_free(budget, f, sizeof *f + f->name.size);
        }
        array_free(budget, t->families, t->family_capacity);
        table_fini(&t->family_table, budget);
        mem_free(budget, t, sizeof *t + t->name.size);
    }
    array_free(budget, head->tenants, head->tenant_capacity);
    table_fini(&head->tenant_table, budget);
}

/* --- the ledger ------------------------------------------------------------------------------- */

void
tenant_count(struct tenant *t, uint64_t epoch, const struct ledger *change)
{
    unsigned slot = epoch & 1;
    assert(t->change_epoch[slot] <= epoch); /* invariant 2 */
    if (t->change_epoch[slot] != epoch) {
        memset(&t->change[slot], 0, sizeof t->change[slot]);
        t->change_epoch[slot] = epoch;
    }
    ledger_add(&t->change[slot], change);
    ledger_add(&t->total, change);
}

void
families_forget(struct head *head, struct tenant *t, uint64_t epoch)
{
    for (struct family *f = t->newest_family; f != NULL; f = f->before) {
        while (f->text != NULL && f->text->epoch >= epoch) {
            struct family_text *gone = f->text;
            f->text = gone->older;
            mem_free(&head->budget, gone, text_bytes(gone));
        }
    }
    head->metadata_life++;
}

void
tenants_undo(struct head *head, uint64_t durable_epoch)
{
    for (uint32_t i = 0; i < head->tenant_count; i++) {
        struct tenant *t = head->tenants[i];
        for (unsigned slot = 0; slot < 2; slot++) {
            if (t->change_epoch[slot] <= durable_epoch) continue;
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
                assert(t->total.count[k][LEDGER_RECEIVED] >=
                       t->change[slot].count[k][LEDGER_RECEIVED]); /* invariant 2 */
            }
            ledger_subtract(&t->total, &t->change[slot]);
            t->change_epoch[slot] = 0;
        }
        families_forget(head, t, durable_epoch + 1);
    }
}

/* --- metadata --------------------------------------------------------------------------------- */

static struct family *
find_family(const struct tenant *t, uint64_t hash, struct bytes name)
{
    for (uint32_t at = TABLE_START, k; table_next(&t->family_table, hash, &at, &k);)
        if (bytes_equal(t->families[k]->name, name)) return t->families[k];
    return NULL;
}

const struct family_text *
family_newest(const struct head *head, const struct tenant *t, struct bytes name)
{
    const struct family *f = find_family(t, hash_bytes(name, head->hash_seed), name);
    return f == NULL ? NULL : f->text;
}

static enum err
family_get(struct head *head, struct tenant *t, struct bytes name, struct family **ret)
{
    uint64_t hash = hash_bytes(name, head->hash_seed);
    *ret = find_family(t, hash, name);
    if (*ret != NULL) return OK;
    if (t->family_count >= FAMILIES_MAX) return ERR_LIMIT;
    struct budget *budget = &head->budget;
    if (!table_reserve(&t->family_table, budget, 1) ||
        !array_reserve(budget, &t->families, &t->family_capacity, t->family_count + 1))
        return ERR_NOMEM;
    struct family *f = mem_new(budget, sizeof *f + name.size);
    if (f == NULL) return ERR_NOMEM;
    if (name.size > 0) memcpy(f + 1, name.at, name.size);
    f->name = bytes_of(f + 1, name.size);
    f->before = t->newest_family;
    t->newest_family = f;
    assert(t->family_table.count == t->family_count);
    table_add(&t->family_table, hash, t->family_count);
    t->families[t->family_count++] = f;
    *ret = f;
    return OK;
}

const struct family_text *
family_text_at(const struct family *f, uint64_t epoch)
{
    const struct family_text *x = f->text;
    while (x != NULL && x->epoch > epoch)
        x = x->older;
    return x;
}

enum err
family_set(struct head *head, struct tenant *t, const struct metadata *m, uint64_t epoch,
           bool *ret_changed)
{
    struct family *f;
    *ret_changed = false;
    enum err e = family_get(head, t, m->family, &f);
    if (e) return e;
    const struct family_text *known = f->text;
    assert(known == NULL || known->epoch <= epoch); /* invariant 3 */
    if (known != NULL && known->type == m->type && bytes_equal(known->help, m->help) &&
        bytes_equal(known->unit, m->unit))
        return OK;
    struct family_text *text = mem_alloc(&head->budget, sizeof *text + m->help.size + m->unit.size);
    if (text == NULL) return ERR_NOMEM;
    uint8_t *help = (uint8_t *)(text + 1), *unit = help + m->help.size;
    if (m->help.size > 0) memcpy(help, m->help.at, m->help.size);
    if (m->unit.size > 0) memcpy(unit, m->unit.at, m->unit.size);
    *text = (struct family_text){.older = f->text,
                                 .epoch = epoch,
                                 .type = m->type,
                                 .help = bytes_of(help, m->help.size),
                                 .unit = bytes_of(unit, m->unit.size)};
    f->text = text;
    /* Frees older texts that neither a view nor an undo can need. */
    for (struct family_text *newer = text; newer->older != NULL;) {
        struct family_text *x = newer->older;
        if (newer->epoch > head->durable_epoch ||
            views_meet(&head->views, (uint32_t)x->epoch, (uint32_t)newer->epoch)) {
            newer = x;
            continue;
        }
        newer->older = x->older;
        mem_free(&head->budget, x, text_bytes(x));
    }
    head->metadata_changed = true;
    *ret_changed = true;
    return OK;
}

enum err
family_restore(struct head *head, struct tenant *t, const struct metadata *m)
{
    bool changed;
    enum err e = family_set(head, t, m, 0, &changed);
    return e == ERR_LIMIT ? OK : e;
}
