/* tenant.c - who there is, what became of what they sent, and what they said about their metrics.
 */
#include <assert.h>

#include "base/hash.h"
#include "tsdb/head/head.h"

enum { FAMILIES_FIRST = 16, FAMILIES_MAX = 100 * 1000 };

/* Where in the table the name is, or would be put. The table is never full. */
static struct tenant **
tenant_slot(struct tenant **table, uint32_t capacity, uint64_t hash, struct bytes name)
{
    uint32_t at = (uint32_t)hash & (capacity - 1);
    while (table[at] != NULL && (table[at]->hash != hash || !bytes_equal(table[at]->name, name))) {
        at = (at + 1) & (capacity - 1);
    }
    return &table[at];
}

struct tenant *
tenant_find(struct head *head, struct bytes name)
{
    if (head->tenant_capacity == 0) return NULL;
    return *tenant_slot(head->tenant_table, 2 * head->tenant_capacity,
                        hash_bytes(name, head->hash_seed), name);
}

/* The list by id, and a table of twice its capacity. */
static enum err
tenants_room(struct head *head)
{
    if (head->tenant_count < head->tenant_capacity) return OK;
    uint32_t old = head->tenant_capacity, capacity = old == 0 ? 8 : old * 2;
    struct tenant **table = mem_new(&head->budget, 2 * capacity * sizeof *table);
    if (table == NULL) return ERR_NOMEM;
    struct tenant **grown =
        mem_resize(&head->budget, head->tenants, old * sizeof *grown, capacity * sizeof *grown);
    if (grown == NULL) {
        mem_free(&head->budget, table, 2 * capacity * sizeof *table);
        return ERR_NOMEM;
    }
    mem_free(&head->budget, head->tenant_table, 2 * old * sizeof *table);
    for (uint32_t i = 0; i < head->tenant_count; i++) {
        *tenant_slot(table, 2 * capacity, grown[i]->hash, grown[i]->name) = grown[i];
    }
    head->tenants = grown;
    head->tenant_table = table;
    head->tenant_capacity = capacity;
    return OK;
}

enum err
tenant_find_or_add(struct head *head, struct bytes name, struct tenant **ret_tenant)
{
    assert(name.size > 0 && name.size <= TENANT_NAME_BYTES_MAX);
    struct tenant *t = tenant_find(head, name);
    if (t == NULL) {
        if (head->tenant_count >= head->options->tenants_max) return ERR_LIMIT;
        enum err e = tenants_room(head);
        if (e) return e;
        t = mem_new(&head->budget, sizeof *t + name.size);
        if (t == NULL) return ERR_NOMEM;
        memcpy(t + 1, name.at, name.size);
        t->name = bytes_of(t + 1, name.size);
        t->hash = hash_bytes(name, head->hash_seed);
        t->id = head->tenant_count;
        head->tenants[head->tenant_count++] = t;
        *tenant_slot(head->tenant_table, 2 * head->tenant_capacity, t->hash, t->name) = t;
    }
    *ret_tenant = t;
    return OK;
}

static size_t
family_bytes(const struct family *f)
{
    return sizeof *f + f->name.size;
}

static size_t
text_bytes(const struct family_text *x)
{
    return sizeof *x + x->help.size + x->unit.size;
}

static void
texts_free(struct head *head, struct family_text *x)
{
    while (x != NULL) {
        struct family_text *older = x->older;
        mem_free(&head->budget, x, text_bytes(x));
        x = older;
    }
}

void
tenants_free(struct head *head)
{
    for (uint32_t i = 0; i < head->tenant_count; i++) {
        struct tenant *t = head->tenants[i];
        for (uint32_t s = 0; s < t->family_capacity; s++) {
            for (struct family *f = t->families[s], *next; f != NULL; f = next) {
                next = f->next;
                texts_free(head, f->text);
                mem_free(&head->budget, f, family_bytes(f));
            }
        }
        mem_free(&head->budget, t->families, t->family_capacity * sizeof *t->families);
        mem_free(&head->budget, t, sizeof *t + t->name.size);
    }
    mem_free(&head->budget, head->tenants, head->tenant_capacity * sizeof *head->tenants);
    mem_free(&head->budget, head->tenant_table, 2 * head->tenant_capacity * sizeof *head->tenants);
}

/* --- the ledger ------------------------------------------------------------------------------- */

void
tenant_count(struct tenant *t, uint64_t epoch, const struct ledger *change)
{
    unsigned slot = epoch & 1;
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
            ledger_subtract(&t->total, &t->change[slot]);
            t->change_epoch[slot] = 0;
        }
        families_forget(head, t, durable_epoch + 1);
    }
}

/* --- metadata --------------------------------------------------------------------------------- */

static enum err
families_grow(struct head *head, struct tenant *t)
{
    uint32_t capacity = t->family_capacity == 0 ? FAMILIES_FIRST : t->family_capacity * 2;
    struct family **grown = mem_new(&head->budget, capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    for (uint32_t s = 0; s < t->family_capacity; s++) {
        for (struct family *f = t->families[s], *next; f != NULL; f = next) {
            next = f->next;
            struct family **slot = &grown[f->hash & (capacity - 1)];
            f->next = *slot;
            *slot = f;
        }
    }
    mem_free(&head->budget, t->families, t->family_capacity * sizeof *grown);
    t->families = grown;
    t->family_capacity = capacity;
    return OK;
}

static enum err
family_get(struct head *head, struct tenant *t, struct bytes name, struct family **ret)
{
    uint64_t hash = hash_bytes(name, head->hash_seed);
    if (t->family_capacity > 0) {
        for (struct family *f = t->families[hash & (t->family_capacity - 1)]; f != NULL;
             f = f->next) {
            if (f->hash != hash || !bytes_equal(f->name, name)) continue;
            *ret = f;
            return OK;
        }
    }
    if (t->family_count >= FAMILIES_MAX) return ERR_LIMIT;
    if (t->family_count >= t->family_capacity) {
        enum err e = families_grow(head, t);
        if (e) return e;
    }
    struct family *f = mem_new(&head->budget, sizeof *f + name.size);
    if (f == NULL) return ERR_NOMEM;
    if (name.size > 0) memcpy(f + 1, name.at, name.size);
    f->name = bytes_of(f + 1, name.size);
    f->hash = hash;
    f->before = t->newest_family;
    t->newest_family = f;
    struct family **slot = &t->families[hash & (t->family_capacity - 1)];
    f->next = *slot;
    *slot = f;
    t->family_count++;
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

static struct family_text *
text_new(struct head *head, const struct metadata *m, uint64_t epoch)
{
    size_t size = sizeof(struct family_text) + m->help.size + m->unit.size;
    struct family_text *x = mem_alloc(&head->budget, size);
    if (x == NULL) return NULL;
    uint8_t *at = (uint8_t *)(x + 1);
    if (m->help.size > 0) memcpy(at, m->help.at, m->help.size);
    if (m->unit.size > 0) memcpy(at + m->help.size, m->unit.at, m->unit.size);
    *x = (struct family_text){.epoch = epoch,
                              .type = m->type,
                              .help = bytes_of(at, m->help.size),
                              .unit = bytes_of(at + m->help.size, m->unit.size)};
    return x;
}

/* Takes away what neither a view nor an undone commit can want any more. */
static void
drop_old_texts(struct head *head, struct family *f)
{
    struct family_text *newer = f->text;
    while (newer->older != NULL) {
        struct family_text *x = newer->older;
        bool wanted = newer->epoch > head->durable_epoch ||
                      views_meet(&head->views, (uint32_t)x->epoch, (uint32_t)newer->epoch);
        if (wanted) {
            newer = x;
            continue;
        }
        newer->older = x->older;
        mem_free(&head->budget, x, text_bytes(x));
    }
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
    if (known != NULL && known->type == m->type && bytes_equal(known->help, m->help) &&
        bytes_equal(known->unit, m->unit)) {
        return OK;
    }
    struct family_text *text = text_new(head, m, epoch);
    if (text == NULL) return ERR_NOMEM;
    text->older = f->text;
    f->text = text;
    drop_old_texts(head, f);
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
