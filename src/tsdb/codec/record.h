/*
 * record.h - decodes the payloads of the log's records. Format: docs/format/wal.md.
 *
 * Payloads passed a checksum and are checked all the same: ERR_CORRUPT. Errors of `each` are
 * returned. Arguments of `each` are views of the payload or of `scratch`, which the caller resets.
 */
#ifndef TSDB_CODEC_RECORD_H
#define TSDB_CODEC_RECORD_H

#include "base/mem.h"
#include "base/table.h"
#include "model/histogram.h"
#include "model/ledger.h"
#include "model/select.h"
#include "wal/wal.h"

enum { RECORD_EXPONENT_RAW = 31, RECORD_EXPONENT_MAX = 11, RECORD_MASK_BITS = 63 };

struct record_float {
    uint64_t ref;
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
};
/* Floats as columns, in the scratch. */
struct record_columns {
    uint64_t count;
    const uint64_t *refs;
    const uint64_t *times;
    const uint64_t *starts; /* NULL without start times */
    const uint64_t *bits;
};
MUST_CHECK enum err record_unpack_floats(struct bytes payload, struct arena *scratch,
                                         struct record_columns *ret_columns);
static inline struct record_float
record_float_at(const struct record_columns *c, uint64_t i)
{
    return (struct record_float){c->refs[i], (int64_t)c->times[i],
                                 c->starts == NULL ? 0 : (int64_t)c->starts[i], c->bits[i]};
}
struct record_histogram {
    uint64_t ref;
    int64_t t_ms;
    int64_t start_ms;
    struct histogram h;
};
MUST_CHECK enum err record_each_histogram(struct bytes payload,
                                          enum err (*each)(void *context,
                                                           const struct record_histogram *sample),
                                          void *context, struct arena *scratch);
struct record_exemplar {
    uint64_t ref;
    int64_t t_ms;
    uint64_t bits;
    struct bytes labels;
};
MUST_CHECK enum err record_each_exemplar(struct bytes payload,
                                         enum err (*each)(void *context,
                                                          const struct record_exemplar *x),
                                         void *context);
MUST_CHECK enum err record_each_series(struct bytes payload, struct bytes *ret_tenant,
                                       enum err (*each)(void *context, struct bytes tenant,
                                                        uint64_t ref, struct bytes labels),
                                       void *context, struct arena *scratch);
MUST_CHECK enum err record_each_metadata(struct bytes payload,
                                         enum err (*each)(void *context, struct bytes tenant,
                                                          const struct metadata *metadata),
                                         void *context);
MUST_CHECK enum err record_ledger(struct bytes payload, struct bytes *ret_tenant,
                                  struct ledger *ret_change);
/* Returns ERR_CORRUPT and sets `why`. */
enum err record_damaged(const struct wal_record *record, struct why *why);

/* Callbacks for the items of records. Records whose callback is NULL are not read. */
struct record_visitor {
    enum err (*series)(void *context, struct bytes tenant, uint64_t ref, struct bytes labels);
    enum err (*sample)(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind);
    enum err (*family)(void *context, struct bytes tenant, const struct metadata *metadata);
    enum err (*ledger)(void *context, struct bytes tenant, const struct ledger *change);
    void *context;
};
/* Calls the visitor for a record's items. Resets the scratch. ERR_CORRUPT with a text. */
MUST_CHECK enum err record_walk(const struct wal_record *record, struct record_visitor *visitor,
                                struct arena *scratch, struct why *why);

/* A number that a reader keeps for each reference of a log. Zeroed memory is empty. */
struct record_refs {
    struct budget *budget;
    struct record_ref {
        uint64_t ref;
        uint32_t value;
    } * items;
    uint32_t count;
    uint32_t capacity;
    struct table table; /* by hash of the reference: indexes of `items` */
};
/* Returns the number of a reference; NULL if it was not added. A view until another is added. */
uint32_t *record_ref_find(const struct record_refs *refs, uint64_t ref);
/* Adds a new reference with the number 0, and returns that. NULL without memory. */
uint32_t *record_ref_add(struct record_refs *refs, uint64_t ref);
/* Frees the memory; accepts zeroed memory. */
void record_refs_fini(struct record_refs *refs);

#endif
