/*
 * sim_tree.h - the names of the simulated file system, visible and durable ones. A piece of the
 * simulator, for sim.c only.
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
    uint32_t hash; /* hash of the name, kept here because a look-up passes over all entries */
    struct sim_name *name;
    struct sim_node *node;
};

/* A file or a directory. It lives while something refers to it: a name, durable or not, a handle,
 * or a change that may still be undone. */
struct sim_node {
    struct sim_node *previous; /* list of all nodes, oldest first */
    struct sim_node *next;
    uint32_t ref_count;
    uint32_t use_count; /* uses by visible names and handles */
    bool is_dir;
    struct file_facts facts; /* times count events, except the time of modification */

    /* Used by a file. */
    struct sim_pages pages;
    int lock_holder; /* a handle; -1: not locked */
    int lock_sharers;

    /* Used by a directory: its names as seen, and the changes to them that are not durable. */
    struct sim_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    struct sim_change *changes;
    size_t change_first; /* changes before it are durable */
    size_t change_count;
    size_t change_capacity;
    bool changed_since_forgotten; /* false: a sync can make nothing more durable */
    uint64_t kept_below;          /* during a power loss: groups that survive */
};

struct sim_tree {
    struct sim_device *device;
    struct sim_node *root;
    struct sim_node *oldest;
    struct sim_node *newest;
    uint64_t group_count; /* number of atomic changes, which gives their order */
    int64_t event_count;  /* files created and changed, which is their clock */
};

/* -ENOMEM. */
int sim_tree_init(struct sim_tree *tree, struct sim_device *device);
void sim_tree_fini(struct sim_tree *tree);

/* Adds a use: a handle keeps its file, and its space, also after its last name was removed. */
void sim_node_use(struct sim_node *node);
void sim_node_unuse(struct sim_tree *tree, struct sim_node *node);

/* Notes that it has changed: see struct file_facts. */
void sim_tree_touch(struct sim_tree *tree, struct sim_node *node);

/* Returns the text of an entry's name; a view until the entry is freed. */
const char *sim_name_text(const struct sim_name *name);

/* Finds the node that the path names; does not add a reference. */
int sim_tree_find(const struct sim_tree *tree, const char *path, struct sim_node **ret_node);
/* Does the same; -ENOTDIR if it is a file. */
int sim_tree_find_dir(const struct sim_tree *tree, const char *path, struct sim_node **ret_dir);
/* Creates an empty file or directory. -EEXIST. */
int sim_tree_create(struct sim_tree *tree, const char *path, bool is_dir,
                    struct sim_node **ret_node);
int sim_tree_link(struct sim_tree *tree, const char *from, const char *to);
int sim_tree_rename(struct sim_tree *tree, const char *from, const char *to);
int sim_tree_unlink(struct sim_tree *tree, const char *path);
int sim_tree_rmdir(struct sim_tree *tree, const char *path);

/* Makes the names of a directory durable. */
void sim_tree_sync(struct sim_tree *tree, struct sim_node *dir);
/* Notes that its sync failed: a later sync makes these changes durable only after a further change.
 */
void sim_tree_forget(struct sim_node *dir);
/* Undoes names first, then the contents of files that still have names. No handle may be open. */
void sim_tree_power_loss(struct sim_tree *tree, struct sim_random *random);

#endif
