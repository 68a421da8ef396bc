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
#include <assert.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "model/tenant_name.h"
#include "tsdb/head/head.h"

enum { FAMILIES_MAX = 100 * 1000 };

struct tenant *
tenant_find(struct head *head, struct bytes name)
{
    uint64_t hash = hash_bytes(name, head->hash_seed);
    for (uint32_t at = TABLE_START, id; table_next(&head->tenant_table, hash, &at, &id);) {
        if (bytes_equal(head->tenants[id]->name, name)) return head->tenants[id];
    }
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
            !array_reserve(budget, &head->tenants, &head->tenant_capacity,
                           head->tenant_count + 1)) {
            return ERR_NOMEM;
        }
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

static enum err
family_get(struct head *head, struct tenant *t, struct bytes name, struct family **ret)
{
    uint64_t hash = hash_bytes(name, head->hash_seed);
    for (uint32_t at = TABLE_START, k; table_next(&t->family_table, hash, &at, &k);) {
        if (!bytes_equal(t->families[k]->name, name)) continue;
        *ret = t->families[k];
        return OK;
    }
    if (t->family_count >= FAMILIES_MAX) return ERR_LIMIT;
    struct budget *budget = &head->budget;
    if (!table_reserve(&t->family_table, budget, 1) ||
        !array_reserve(budget, &t->families, &t->family_capacity, t->family_count + 1)) {
        return ERR_NOMEM;
    }
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
    while (x != NULL && x->epoch > epoch) {
        x = x->older;
    }
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
        bytes_equal(known->unit, m->unit)) {
        return OK;
    }
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
