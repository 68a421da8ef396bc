/* simulated_dir.c - see simulated_dir.h. */
#include "lib/simulated_dir.h"

void
simulated_dir_init(struct simulated_dir *rig, uint64_t seed)
{
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    must(env_mkdir(rig->env, "d", NULL));
    must(env_syncdir(rig->env, ".", NULL));
}

void
simulated_dir_fini(struct simulated_dir *rig)
{
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}
