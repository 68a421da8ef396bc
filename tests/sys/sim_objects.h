/*
 * sim_objects.h - a bucket in memory, whose requests fail as those of a real one: before they have
 * an effect, after it, or late; and which may ignore conditions, or lag with its lists.
 *
 * Threads: one.
 */
#ifndef SYS_SIM_OBJECTS_H
#define SYS_SIM_OBJECTS_H

#include "model/objects.h"

struct sim_object {
    char key[OBJECT_KEY_BYTES];
    uint8_t *at;
    size_t size;
    int64_t written_ms;
    bool listed;
};

/* A request that takes effect later. */
struct sim_late {
    char key[OBJECT_KEY_BYTES];
    uint8_t *at; /* NULL: it removes */
    size_t size;
    bool only_new;
    int64_t due_ms;
};

enum sim_failure {
    SIM_FAILS_BEFORE,
    SIM_FAILS_AFTER,
    SIM_FAILS_LATE,
    SIM_COMES_AGAIN, /* it does not fail, but takes effect a second time, late */
    SIM_FAILURES
};

struct sim_objects {
    struct objects objects;   /* first: it is handed out */
    struct sim_object *items; /* by key */
    size_t count;
    struct sim_late *late;
    size_t late_count;
    int64_t now_ms;  /* the clock of the bucket */
    int64_t late_ms; /* how late a late request is */
    uint64_t requests;
    uint64_t fails_at; /* number of the request that fails; 0: none */
    enum sim_failure failure;
    bool no_conditions; /* an object is replaced in any case, and the answer says so */
    bool is_away;       /* every request fails before it has an effect */
    bool no_digests;
    bool has_versions;
    const char *refused;  /* writing objects fails whose keys begin so; NULL: none */
    const char *vanishes; /* after the next list of these they are removed; NULL: none */
    const char *rule;     /* of the bucket; NULL: none */
    bool lists_lag;       /* a new object is not listed until sim_objects_settle() */
};

void sim_objects_init(struct sim_objects *bucket);
void sim_objects_fini(struct sim_objects *bucket);
/* Lists have all objects from now on. */
void sim_objects_settle(struct sim_objects *bucket);
/* Sets the clock; what is due takes effect. */
void sim_objects_pass(struct sim_objects *bucket, int64_t ms);
/* Returns the object of that key; NULL: there is none. */
struct sim_object *sim_objects_find(struct sim_objects *bucket, const char *key);

#endif
