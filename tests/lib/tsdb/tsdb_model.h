/*
 * tsdb_model.h - a very simple model of a store, to compare the real one with. For tests.
 *
 * A cell is one time of one series. It has values of these kinds:
 *
 *   won       an acknowledged value: it must be read, bit for bit, whatever happens
 *   pending   accepted, its commit is not done: must not be read (after a crash it may)
 *   may       values whose fate is not known (a request failed half-way, or a crash took the answer
 *             away): may be read; voided ones, of a failed commit, only after a crash that comes
 *             before the next commit that succeeds
 *
 * The model also predicts verdicts: `in_head` says whether the head has a value in the cell.
 * A model is large: it is allocated, not on the stack.
 */
#ifndef LIB_TSDB_TSDB_MODEL_H
#define LIB_TSDB_TSDB_MODEL_H

#include "lib/tsdb/tsdb_streamed.h"
#include "model/selector.h"

enum { TENANTS = 2, SERIES = 10, SLOTS = 400, EXEMPLARS = 24, MAY = 8, SLOT_MS = 1000 };
enum { CELLS = TENANTS * SERIES * SLOTS };

_Static_assert(CELLS % 64 == 0, "bits of all cells fill words");

struct value {
    enum sample_kind kind;
    uint64_t bits; /* for a histogram, the seed that it is made from */
    int64_t start_ms;
};

enum in_head { HEAD_NO, HEAD_YES, HEAD_UNKNOWN };

struct cell {
    struct value won, pending, head, may[MAY];
    uint64_t pending_epoch;
    uint32_t head_gen;
    uint32_t seen; /* number of the last reading that saw it */
    uint8_t in_head;
    uint8_t may_count;
    uint8_t voided; /* bit i: may[i] */
    bool has_won;
    bool has_pending;
    bool must;  /* one of may[] must be read */
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
    /* Number of comparisons. Each fourth asks for chunks, too, which takes twice the rest: a test
     * that repeats a scenario begins with another number each time. */
    uint32_t compared;
    uint32_t gen;
    bool frozen; /* generation gen - 1 is frozen */
    bool doubt;  /* its part may be live already: a flush failed */
    uint64_t durable;
    uint64_t samples_won;
    struct buf labels[SERIES]; /* canonical */
    struct spark sparks[TENANTS * SERIES * EXEMPLARS];
    uint64_t used[CELLS / 64]; /* a bit for each cell that may differ from an empty one */
    struct cell cells[CELLS];
};

extern const char *const model_tenants[TENANTS];

/* Returns the time of a slot. Half of the slots lie before midnight, so that parts are split. */
int64_t slot_time(uint32_t slot);

/* `x` is zero, or has been a model before. */
void model_init(struct model *x, struct machine *m);
void model_fini(struct model *x);

/* Returns the first cell from number `at` on that may differ from an empty one, or NULL. */
struct cell *model_cell_from(struct model *x, uint32_t at);

#define for_each_cell(x, c)                                 \
    for (struct cell *c = model_cell_from(x, 0); c != NULL; \
         c = model_cell_from(x, (uint32_t)(c - (x)->cells) + 1))

/* --- sending ---------------------------------------------------------------------------------- */

struct item {
    uint8_t tenant; /* a request has the tenant of its first item */
    uint8_t series;
    bool is_spark;
    uint16_t slot; /* or the number of the exemplar */
    struct value v;
};

enum { ITEMS_MAX = 64 };

/* Sends a request and checks the verdict. Items of one series follow each other. */
enum err model_send(struct model *x, enum rw_version version, const struct item *items,
                    uint32_t count);

/* --- committing and flushing ------------------------------------------------------------------ */

/* Marks all pending values as those of a failed commit; commits; flushes. */
void model_commit_failed(struct model *x);
enum err model_commit(struct model *x);
enum err model_flush(struct model *x);

/* Merges, which changes no answer. */
enum err model_merge(struct model *x, enum tsdb_merge_mode mode);

/* Flushes, and then deletes a series of a tenant from slot to slot. */
void model_delete(struct model *x, uint32_t tenant, uint32_t series, uint32_t first, uint32_t last);

/* --- comparing -------------------------------------------------------------------------------- */

struct reading {
    struct model *x;
    uint32_t tenant;
    bool after_crash; /* the model adopts what is read */
};

/* Returns the number of a series. */
uint32_t model_series(const struct model *x, struct bytes labels);

/* Says whether a sample is the value. */
bool reads_as(struct model *x, const struct value *v, const struct sample_batch *b, uint32_t i);

/* Checks a sample that was read; an each_sample. `context` is a struct reading. */
void model_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i);

/* Reads everything and checks it. After a crash the model adopts what was in doubt. */
void model_compare(struct model *x, bool after_crash);

/*
 * Notes that the store was closed, killed, or lost with the power. Called before it is opened
 * again; model_compare(x, true) follows.
 */
void model_crashed(struct model *x);

/* Notes that the store was opened: epochs begin again, and the head is empty if replay wrote parts.
 */
void model_opened(struct model *x);

#endif
