/* files_testing.h - a simulated disk with a directory "d", whose calls can fail and whose power can
 * be lost. For tests of files; after cmocka.h. */
#ifndef RULES_STORED_FILES_TESTING_H
#define RULES_STORED_FILES_TESTING_H

#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

#define VIEW(t)                           \
    {                                     \
        (const uint8_t *)t, sizeof(t) - 1 \
    }
#define TEXT(t) ((struct bytes)VIEW(t))

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
};

static inline void
rig_init(struct rig *rig, uint64_t seed)
{
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    must(env_mkdir(rig->env, "d", NULL));
    must(env_syncdir(rig->env, ".", NULL));
}

static inline void
rig_fini(struct rig *rig)
{
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

#endif
