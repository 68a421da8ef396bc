/*
 * gate_rig.h - a gate before a real HTTP server, with users and clocks of the test. For tests.
 *
 * There is one at a time: gate_rig_begin() makes it, gate_rig_end() frees it and checks that no
 * memory is left.
 */
#ifndef LIB_AUTH_GATE_RIG_H
#define LIB_AUTH_GATE_RIG_H

#include "auth/gate.h"
#include "lib/net/http_rig.h"

/* The SHA-256 of "abc"; the bcrypt hash of "secret", of cost 4. */
#define ABC_SHA256    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SECRET_BCRYPT "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

struct gate_rig {
    struct gate *gate;
    struct budget memory;
    struct env env;
    struct env_ops ops; /* of `env`: the real ones, of which a test may replace some */
};
extern struct gate_rig gate_rig;

/* Starts the server; the gate has no users yet. */
struct http_rig *gate_rig_begin(void);

/* Gives the gate these users; `issuers` may be NULL. */
void gate_rig_set_users(const struct user_list *list, struct issuers *issuers);

void gate_rig_end(struct http_rig *http);

#endif
