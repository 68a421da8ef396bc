/*
 * simulated_dir.h - a simulated disk with the directory "d", whose calls can fail and whose power
 * can be lost. For tests of files.
 */
#ifndef LIB_SIMULATED_DIR_H
#define LIB_SIMULATED_DIR_H

#include "lib/test.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

#define VIEW(t)                           \
    {                                     \
        (const uint8_t *)t, sizeof(t) - 1 \
    }
#define TEXT(t) ((struct bytes)VIEW(t))

struct simulated_dir {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
};

void simulated_dir_init(struct simulated_dir *rig, uint64_t seed);
void simulated_dir_fini(struct simulated_dir *rig);

#endif
