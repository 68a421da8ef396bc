/*
 * live.c - versions of the live parts, reference-counted.
 *
 * Invariants of a version that other threads can see:
 *  1. It holds a reference to each of its parts and to its tombstones.
 *  2. Its parts are in the order of the log: by from_pos. Each part is in it once.
 */
#include "tsdb/part/live.h"

#include <assert.h>

enum err
version_new(struct budget *budget, uint32_t part_count, struct version **ret)
{
    struct version *v = mem_new(budget, sizeof *v + part_count * sizeof v->parts[0]);
    if (v == NULL) return ERR_NOMEM;
    atomic_init(&v->references, 1);
    v->budget = budget;
    v->part_count = v->capacity = part_count;
    *ret = v;
    return OK;
}

void
version_ref(struct version *v)
{
    atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
}

struct version *
live_pin(struct live *live)
{
    lock_take(&live->lock);
    struct version *version = live->version;
    version_ref(version);
    lock_drop(&live->lock);
#ifdef LOCK_CHECK
    version_validate(version);
#endif
    return version;
}

void
version_unref(struct version *v)
{
    if (v == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    assert(v->part_count <= v->capacity);
    for (uint32_t i = 0; i < v->part_count; i++) {
        part_unref(v->parts[i]); /* invariant 1 */
    }
    tombstones_unref(v->tombstones);
    mem_free(v->budget, v, sizeof *v + v->capacity * sizeof v->parts[0]);
}

void
version_validate(const struct version *v)
{
    assert(atomic_load_explicit(&v->references, memory_order_relaxed) > 0);
    assert(v->part_count <= v->capacity);
    assert(v->tombstones != NULL); /* invariant 1 */
    for (uint32_t i = 1; i < v->part_count; i++) {
        const struct part *before = v->parts[i - 1], *part = v->parts[i];
        assert(part_info(before)->from_pos <= part_info(part)->from_pos); /* invariant 2 */
        assert(part_info(before)->number != part_info(part)->number);     /* invariant 2 */
    }
}

struct part *
version_metadata_part(const struct version *v)
{
    struct part *newest = NULL;
    for (uint32_t i = 0; i < v->part_count; i++) {
        struct part *p = v->parts[i];
        if (newest != NULL && part_info(newest)->to_pos > part_info(p)->to_pos) continue;
        for (uint32_t t = 0; t < part_tenant_count(p); t++) {
            if (part_tenant_at(p, t)->metadata_page == 0) continue;
            newest = p;
            break;
        }
    }
    return newest;
}
