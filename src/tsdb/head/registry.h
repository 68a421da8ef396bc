/*
 * registry.h - private to head/: the series that the head knows: their labels and an index over
 * them. Generations hold samples of its series by number.
 *
 * A registry is shared by generation after generation while most of its series are alive, so that a
 * series costs its making once and not with every flush; when too many are dead, the next
 * generation begins a new one, and the old goes with the last generation that uses it. Series
 * without samples in a generation are in its registry all the same: whoever reads leaves them out.
 *
 * Locking: everything is changed, and found, under the head lock. What a reader keeps beyond it
 * stays valid while the reader holds a reference: series, pairs and names have stable addresses and
 * their labels never change; id lists may be walked on (id_list.h).
 */
#ifndef TSDB_HEAD_REGISTRY_H
#define TSDB_HEAD_REGISTRY_H

#include "base/fingerprint.h"
#include "model/labels.h"
#include "tsdb/head/id_list.h"
#include "tsdb/head/id_table.h"
#include "tsdb/head/paged.h"

/* One label of one tenant: the bytes of its field in canonical labels. */
struct pair {
    const uint8_t *field;
    uint32_t field_size;
    uint32_t tenant;
};

/* By the same id: who has it. Apart, because labels are compared more often than looked up. */
struct pair_use {
    uint32_t name;
    struct id_list series;
};

struct registry_name {
    struct bytes text;
    uint32_t tenant;
    struct id_list pairs; /* one per value, in the order they came */
};

struct registry_tenant {
    struct id_list names;
    struct id_list series;
};

struct series_pairs {
    uint32_t count;
    uint32_t ids[]; /* in label order */
};

struct series {
    const struct series_pairs *pairs;
    uint32_t id;
    uint32_t tenant : 31;
    uint32_t nameless : 1;  /* it has no __name__ */
    uint32_t metadata_hash; /* of what was last said about it; 0: nothing */
    uint32_t defined_in;    /* low bits of the log segment that holds its labels */
    uint32_t after_plus_1;  /* the series that came after it last time; 0: none */
    uint32_t before_plus_1; /* the same series in the registry of the frozen generation, if that is
                               another one; 0: it was not there */
};

struct registry {
    struct budget *budget;       /* "head" */
    _Atomic uint32_t references; /* acquire-release: the last one frees */
    uint64_t ref_base;           /* of the log: a series' reference is this and its id */
    uint64_t hash_seed;
    struct gmem gmem;
    struct id_table series_table;
    struct id_table pair_table;
    struct id_table name_table;
    struct paged series;
    struct paged prints; /* by series: struct fingerprint of its labels as they came last time */
    struct paged pairs;
    struct paged pair_uses;
    struct paged names;
    struct paged tenants; /* by tenant id */
    uint8_t *row_at;      /* where the next series_pairs goes */
    uint8_t *row_end;
    uint32_t alias_count;
};

MUST_CHECK enum err registry_new(struct budget *budget, uint64_t ref_base, uint64_t hash_seed,
                                 struct registry **ret_registry);
void registry_ref(struct registry *r);
void registry_unref(struct registry *r);
/* Memory that goes with it. */
uint64_t registry_bytes(const struct registry *r);

static inline struct series *
registry_series(const struct registry *r, uint32_t id)
{
    return paged_at(&r->series, id);
}

static inline struct fingerprint *
registry_print(const struct registry *r, uint32_t id)
{
    return paged_at(&r->prints, id);
}

static inline struct pair *
registry_pair(const struct registry *r, uint32_t id)
{
    return paged_at(&r->pairs, id);
}

static inline struct pair_use *
registry_pair_use(const struct registry *r, uint32_t id)
{
    return paged_at(&r->pair_uses, id);
}

static inline struct registry_name *
registry_name(const struct registry *r, uint32_t id)
{
    return paged_at(&r->names, id);
}

static inline uint64_t
series_ref(const struct registry *r, const struct series *series)
{
    return r->ref_base + series->id;
}

/* NULL: the tenant has nothing here. */
struct registry_tenant *registry_tenant(const struct registry *r, uint32_t tenant);
struct label pair_label(const struct pair *pair);

/* Hash of canonical labels (equal to rw_series.key of a 1.0 series that is canonical). */
uint64_t registry_labels_hash(const struct registry *r, struct bytes labels);

/* Finds a series by any key under which it was seen; `equal` decides. */
struct series *registry_find(const struct registry *r, uint32_t tenant, uint64_t key,
                             bool (*equal)(void *context, const struct registry *r,
                                           const struct series *series),
                             void *context);
struct series *registry_find_labels(const struct registry *r, uint32_t tenant, struct bytes labels);
/* The name of a tenant; NULL: none of its series has it. */
struct registry_name *registry_find_name(const struct registry *r, uint32_t tenant,
                                         struct bytes text);
/* The pair of a tenant with exactly this label. False: there is none. `scratch` is overwritten. */
bool registry_find_pair(const struct registry *r, uint32_t tenant, struct label label,
                        struct buf *scratch, uint32_t *ret_id);

/*
 * For many keys in a row: asks the processor for a key's place in the table; some keys later, says
 * which series it is likely to be (NULL: none) and asks for that. The caller compares: another
 * series may have the same hash.
 */
void registry_prefetch_key(const struct registry *r, uint32_t tenant, uint64_t key);
struct series *registry_guess(const struct registry *r, uint32_t tenant, uint64_t key);

/* Remembers a further key (labels sent in another order or form). Failing is harmless. */
void registry_alias(struct registry *r, const struct series *series, uint64_t key);

/* A new series; it must not exist yet. ERR_NOMEM: labels of it may stay behind without a series. */
MUST_CHECK enum err registry_add(struct registry *r, uint32_t tenant, struct bytes labels,
                                 struct series **ret_series);

bool series_has_labels(const struct registry *r, const struct series *series, struct bytes labels);
size_t series_labels_size(const struct registry *r, const struct series *series);
/* Appends the canonical labels. */
void series_labels(const struct registry *r, const struct series *series, struct buf *to);
/* Label order, of two series of one tenant. */
int series_compare(const struct registry *r, const struct series *a, const struct series *b);

#endif
