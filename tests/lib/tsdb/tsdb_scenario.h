/*
 * tsdb_scenario.h - a short life of a store in which any call may fail: every kind of write,
 * commits, cuts, flushes, merges, restarts and reads. For tests.
 */
#ifndef LIB_TSDB_TSDB_SCENARIO_H
#define LIB_TSDB_TSDB_SCENARIO_H

#include "lib/tsdb/tsdb_model.h"

enum { VARIANTS = 3 };

/* Returns one of the values that a slot may be sent with. */
struct value slot_value(uint32_t series, uint32_t slot, uint32_t variant, enum rw_version version);

struct items {
    struct item at[ITEMS_MAX];
    uint32_t count;
    enum rw_version version;
};

/* Add `count` slots from `first` on; an exemplar. Items beyond ITEMS_MAX are left out. */
void items_add(struct items *to, uint32_t tenant, uint32_t series, uint32_t first, uint32_t count,
               uint32_t variant);
void items_add_spark(struct items *to, uint32_t tenant, uint32_t series, uint32_t index);

/* Steps: writes, flushes, and a deletion of times without samples, which may fail unnoticed. */
void scenario_write(struct model *x, uint32_t round);
void scenario_flush(struct model *x);
void scenario_delete(struct model *x);

/* Opens the store and runs all steps until it cannot be opened again. */
void scenario_run(struct model *x);

/*
 * Recovers the store without the fault, writes on, and compares it with the model. After the
 * restart only files, model and clocks decide what happens: a state that was examined before in the
 * program, as after most faults, is not examined again. All machines of a program have the same
 * options here.
 */
void scenario_end(struct model *x);

#endif
