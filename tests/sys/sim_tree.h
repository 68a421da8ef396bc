/*
 * sim_tree.h - the names of the simulated file system, and which of them are durable. A piece of
 * the simulator, for sim.c only.
 *
 * Results are those of the kernel: 0 or a negative errno value. A failed call has changed nothing.
 * Threads: under the simulator's lock.
 */
#ifndef SYS_SIM_TREE_H
#define SYS_SIM_TREE_H

#include "sys/env.h"
#include "sys/sim_pages.h"

struct sim_name;
struct sim_change;
struct sim_node;

/* One name in a directory. */
struct sim_entry {
    uint32_t hash; /* the name's, at hand: a look-up passes over all entries */
    struct sim_name *name;
    struct sim_node *node;
};

/* A file or a directory. It lives while something refers to it: a name, durable or not, a handle,
 * or a change that may yet be undone. */
struct sim_node {
    struct sim_node *previous; /* all nodes, oldest first */
    struct sim_node *next;
    uint32_t ref_count;
    uint32_t use_count; /* of these, the names that are seen and the handles */
    bool is_dir;
    struct file_facts facts; /* times count what happens, but for that of modification */

    /* Of a file. */
    struct sim_pages pages;
    int lock_holder; /* a handle, -1: not locked */
    int lock_sharers;

    /* Of a directory: its names as seen, and the changes to them that are not durable. */
    struct sim_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    struct sim_change *changes;
    size_t change_first; /* those before are durable */
    size_t change_count;
    size_t change_capacity;
    bool changed_since_forgotten; /* false: a sync has nothing it could still make durable */
    uint64_t kept_below;          /* during a power loss: groups that survive */
};

struct sim_tree {
    struct sim_device *device;
    struct sim_node *root;
    struct sim_node *oldest;
    struct sim_node *newest;
    uint64_t group_count; /* atomic changes so far: their order */
    int64_t event_count;  /* files made and changed: their clock */
};

/* -ENOMEM. */
int sim_tree_init(struct sim_tree *tree, struct sim_device *device);
void sim_tree_fini(struct sim_tree *tree);

/* A handle holds its file, and its space, also when the last name is gone. */
void sim_node_use(struct sim_node *node);
void sim_node_unuse(struct sim_tree *tree, struct sim_node *node);

/* It is changed now: see struct file_facts. */
void sim_tree_touch(struct sim_tree *tree, struct sim_node *node);

/* The text of an entry's name; a view until the entry goes. */
const char *sim_name_text(const struct sim_name *name);

/* What the path names; not a reference of its own. */
int sim_tree_find(const struct sim_tree *tree, const char *path, struct sim_node **ret_node);
/* As above, and -ENOTDIR if that is a file. */
int sim_tree_find_dir(const struct sim_tree *tree, const char *path, struct sim_node **ret_dir);
/* A new empty file or directory. -EEXIST. */
int sim_tree_create(struct sim_tree *tree, const char *path, bool is_dir,
                    struct sim_node **ret_node);
int sim_tree_link(struct sim_tree *tree, const char *from, const char *to);
int sim_tree_rename(struct sim_tree *tree, const char *from, const char *to);
int sim_tree_unlink(struct sim_tree *tree, const char *path);
int sim_tree_rmdir(struct sim_tree *tree, const char *path);

/* Makes the names of a directory durable. */
void sim_tree_sync(struct sim_tree *tree, struct sim_node *dir);
/* A sync of it failed: it needs a further change before another can make these durable. */
void sim_tree_forget(struct sim_node *dir);
/* Names first, then the contents of what is still named. No handle may be open. */
void sim_tree_power_loss(struct sim_tree *tree, struct sim_random *random);

#endif
