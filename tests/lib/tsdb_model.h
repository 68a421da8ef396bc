/*
 * tsdb_model.h - a store so simple that it can be believed, to compare the real one with.
 * For tests only.
 *
 * A cell is one time of one series. What may be read there:
 *
 *   won       an acknowledged value: it must be read, bit for bit, whatever happens
 *   pending   accepted, its commit is not done: must not be read (after a crash it may)
 *   may       values whose fate is not known (a request failed half-way, or a crash took the answer
 *             away): may be read; voided ones, of a failed commit, only after a crash that comes
 *             before the next commit that succeeds
 *
 * and, so that verdicts can be foretold, what the head holds there: nothing, a value, or nobody
 * knows.
 */
#ifndef LIB_TSDB_MODEL_H
#define LIB_TSDB_MODEL_H

#include "lib/tsdb_streamed.h"
#include "model/selector.h"

enum { TENANTS = 2, SERIES = 10, SLOTS = 400, EXEMPLARS = 24, MAY = 8, SLOT_MS = 1000 };

struct value {
    enum sample_kind kind;
    uint64_t bits; /* of a histogram: the seed it is made from */
    int64_t start_ms;
};

enum in_head { HEAD_NO, HEAD_YES, HEAD_UNKNOWN };

struct cell {
    struct value won, pending, head, may[MAY];
    uint64_t pending_epoch;
    uint32_t head_gen;
    uint32_t seen; /* the reading that saw it last */
    uint8_t in_head;
    uint8_t may_count;
    uint8_t voided; /* bits: of may[] */
    bool has_won;
    bool has_pending;
    bool must;  /* one of may[] has to be there */
    bool ghost; /* won, and another value of a failed commit may come back into the head */
};

/* An exemplar has one value only. */
enum fate { FATE_NONE, FATE_MAY, FATE_PENDING, FATE_WON };

struct spark {
    enum fate fate;
    uint64_t epoch;
    bool sure;
    bool voided;
    uint32_t seen;
};

struct model {
    struct machine *m;
    struct arena arena;
    uint32_t reading;
    uint32_t gen;
    bool frozen; /* generation gen - 1 is frozen */
    bool doubt;  /* its part may be live already: a flush failed */
    uint64_t durable;
    uint64_t samples_won;
    struct cell cells[TENANTS * SERIES * SLOTS];
    struct spark sparks[TENANTS * SERIES * EXEMPLARS];
    struct buf labels[SERIES]; /* canonical */
};

extern const char *const model_tenants[TENANTS];

/* Half of them lie before midnight, so that parts are split. */
int64_t slot_time(uint32_t slot);

void model_init(struct model *x, struct machine *m);

void model_fini(struct model *x);

/* --- sending ---------------------------------------------------------------------------------- */

struct item {
    uint8_t tenant; /* of all items of a request: that of the first */
    uint8_t series;
    bool is_spark;
    uint16_t slot; /* or number of the exemplar */
    struct value v;
};

enum { ITEMS_MAX = 64 };

/* Items of one series stand together. */
enum err model_send(struct model *x, enum rw_version version, const struct item *items,
                    uint32_t count);

/* --- committing and flushing ------------------------------------------------------------------ */

void model_commit_failed(struct model *x);

enum err model_commit(struct model *x);

enum err model_flush(struct model *x);

/* Merges change nothing that anybody sees. */
enum err model_merge(struct model *x, enum tsdb_merge_mode mode);

/* One series of a tenant, from slot to slot, with what is in the head flushed before. */
void model_delete(struct model *x, uint32_t tenant, uint32_t series, uint32_t first, uint32_t last);

/* --- comparing -------------------------------------------------------------------------------- */

struct reading {
    struct model *x;
    uint32_t tenant;
    bool after_crash; /* what is seen is adopted */
};

uint32_t model_series(const struct model *x, struct bytes labels);

bool reads_as(struct model *x, const struct value *v, const struct sample_batch *b, uint32_t i);

void model_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i);

/* Reads everything. After a crash, what was in doubt is then known. */
void model_compare(struct model *x, bool after_crash);

/*
 * The process or the machine is gone (or it was closed). Call before the store is opened again,
 * and model_compare(x, true) after.
 */
void model_crashed(struct model *x);

/* After opening: where epochs begin now. If replay wrote parts the head is empty. */
void model_opened(struct model *x);

#endif
