/* gate_rig.c - see gate_rig.h. */
#include "lib/auth/gate_rig.h"

struct gate_rig gate_rig;

struct http_rig *
gate_rig_begin(void)
{
    struct http_options options = http_rig_options();
    gate_rig.ops = *env_real()->ops;
    gate_rig.env.ops = &gate_rig.ops;
    budget_init(&gate_rig.memory, "gate", 0, NULL);
    assert_int_equal(gate_new(&gate_rig.env, &gate_rig.memory, &gate_rig.gate, NULL), OK);
    options.gate = gate_of_server(gate_rig.gate);
    return http_rig_new(options);
}

void
gate_rig_set_users(const struct user_list *list, struct issuers *issuers)
{
    struct users *users = NULL;
    assert_int_equal(users_new(list, issuers, &gate_rig.memory, &users, NULL), OK);
    gate_set_users(gate_rig.gate, users);
    users_release(users);
}

void
gate_rig_end(struct http_rig *http)
{
    http_rig_free(http);
    gate_free(gate_rig.gate);
    assert_int_equal(budget_used(&gate_rig.memory), 0);
}
