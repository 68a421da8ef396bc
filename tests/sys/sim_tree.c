/*
 * sim_tree.c - see sim_tree.h.
 *
 * A directory holds its names as they are seen, and a journal of the changes that are not durable:
 * "this name meant `before` and now means `after`". A sync forgets the journal; a power loss undoes
 * its end, newest first. The changes of one call have one group number and are kept or undone
 * together: a rename is two changes, perhaps in two directories, which are then peers.
 *
 * Invariants:
 *  1. Undoing needs no memory: the room of `entries` never shrinks, and after each undone change
 *     the directory has as many names as it once had.
 *  2. The group numbers of a journal never fall. A group with a peer is in both journals or in
 *     neither.
 *  3. Directories form a tree: a rename into itself is refused.
 */
#include "sys/sim_tree.h"

#include <assert.h>
#include <errno.h>

#include "base/hash/hash.h"
#include "base/mem.h"

enum { NAME_BYTES_MAX = 255 };

/* Shared by entries and changes. */
struct sim_name {
    uint32_t ref_count;
    uint32_t hash;
    size_t size;
    char text[];
};

struct sim_change {
    uint64_t group;
    struct sim_name *name;
    struct sim_node *before; /* NULL: the name did not exist */
    struct sim_node *after;
    struct sim_node *peer; /* the other directory of a rename between two */
};

/* --- nodes and names -------------------------------------------------------------------------- */

static struct sim_name *
name_new(const char *text, size_t size)
{
    struct sim_name *name = mem_alloc(NULL, sizeof *name + size + 1);
    if (name == NULL) return NULL;
    name->ref_count = 1;
    name->hash = (uint32_t)hash_bytes(bytes_of(text, size), 0);
    name->size = size;
    memcpy(name->text, text, size);
    name->text[size] = '\0';
    return name;
}

static void
name_unref(struct sim_name *name)
{
    if (name == NULL || --name->ref_count > 0) return;
    mem_free(NULL, name, sizeof *name + name->size + 1);
}

const char *
sim_name_text(const struct sim_name *name)
{
    return name->text;
}

static struct sim_node *
node_new(struct sim_tree *tree, bool is_dir)
{
    struct sim_node *node = mem_new(NULL, sizeof *node);
    if (node == NULL) return NULL;
    node->ref_count = 1;
    node->is_dir = is_dir;
    node->lock_holder = -1;
    node->facts.born_ns = node->facts.changed_ns = ++tree->event_count;
    node->facts.number = (uint64_t)node->facts.born_ns;
    sim_pages_init(&node->pages, tree->device);
    node->previous = tree->newest;
    if (tree->newest != NULL)
        tree->newest->next = node;
    else
        tree->oldest = node;
    tree->newest = node;
    return node;
}

static void
node_ref(struct sim_node *node)
{
    if (node != NULL) node->ref_count++;
}

static void node_unref(struct sim_tree *tree, struct sim_node *node);

static void
change_drop(struct sim_tree *tree, const struct sim_change *change)
{
    name_unref(change->name);
    node_unref(tree, change->before);
    node_unref(tree, change->after);
    node_unref(tree, change->peer);
}

/* Releases the memory of a node but not what it refers to. */
static void
node_free(struct sim_tree *tree, struct sim_node *node)
{
    sim_pages_fini(&node->pages);
    mem_free(NULL, node->entries, node->entry_capacity * sizeof *node->entries);
    mem_free(NULL, node->changes, node->change_capacity * sizeof *node->changes);
    *(node->previous == NULL ? &tree->oldest : &node->previous->next) = node->next;
    *(node->next == NULL ? &tree->newest : &node->next->previous) = node->previous;
    mem_free(NULL, node, sizeof *node);
}

/* The recursion ends with the depth of the tree: invariant 3. */
static void
node_unref(struct sim_tree *tree, struct sim_node *node)
{
    if (node == NULL || --node->ref_count > 0) return;
    for (size_t i = node->change_first; i < node->change_count; i++)
        change_drop(tree, &node->changes[i]);
    for (size_t i = 0; i < node->entry_count; i++) {
        name_unref(node->entries[i].name);
        sim_node_unuse(tree, node->entries[i].node);
    }
    node_free(tree, node);
}

void
sim_tree_touch(struct sim_tree *tree, struct sim_node *node)
{
    if (node != NULL) node->facts.changed_ns = ++tree->event_count;
}

void
sim_node_use(struct sim_node *node)
{
    node_ref(node);
    if (node->use_count++ == 0) sim_pages_set_counted(&node->pages, true);
}

void
sim_node_unuse(struct sim_tree *tree, struct sim_node *node)
{
    assert(node->use_count > 0);
    if (--node->use_count == 0) sim_pages_set_counted(&node->pages, false);
    node_unref(tree, node);
}

int
sim_tree_init(struct sim_tree *tree, struct sim_device *device)
{
    *tree = (struct sim_tree){.device = device};
    tree->root = node_new(tree, true);
    return tree->root == NULL ? -ENOMEM : 0;
}

/* Frees all nodes. Two removed directories may be peers and keep each other alive, so reference
 * counts are ignored. */
void
sim_tree_fini(struct sim_tree *tree)
{
    while (tree->newest != NULL) {
        struct sim_node *node = tree->newest;
        for (size_t i = node->change_first; i < node->change_count; i++)
            name_unref(node->changes[i].name);
        for (size_t i = 0; i < node->entry_count; i++)
            name_unref(node->entries[i].name);
        node_free(tree, node);
    }
    tree->root = NULL;
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Returns the index of a name in a directory; entry_count if it is missing. */
static size_t
entry_index(const struct sim_node *dir, const char *text, size_t size)
{
    uint32_t hash = (uint32_t)hash_bytes(bytes_of(text, size), 0);
    size_t i = 0;
    for (; i < dir->entry_count; i++) {
        if (dir->entries[i].hash != hash) continue;
        const struct sim_name *name = dir->entries[i].name;
        if (name->size == size && memcmp(name->text, text, size) == 0) break;
    }
    return i;
}

/* The end of a path: the entry, or the position where it could be. */
struct place {
    struct sim_node *dir; /* NULL: the path is the root */
    const char *text;     /* a view into the path */
    size_t size;
    struct sim_name *name; /* the entry's name; NULL: the entry does not exist */
    struct sim_node *node; /* the node of the entry; NULL if there is none */
};

/* Walks to the last part of the path. -EINVAL if it has a ".." or leads through `forbidden`. */
static int
locate(const struct sim_tree *tree, const char *path, const struct sim_node *forbidden,
       struct place *ret_place)
{
    struct place at = {.node = tree->root};
    if (path[0] == '\0') return -ENOENT;
    for (;;) {
        path += strspn(path, "/");
        if (path[0] == '\0') break;
        size_t size = strcspn(path, "/");
        if (size == 2 && path[0] == '.' && path[1] == '.') return -EINVAL;
        if (size > NAME_BYTES_MAX) return -ENAMETOOLONG;
        if (at.node == NULL) return -ENOENT;
        if (!at.node->is_dir) return -ENOTDIR;
        if (size == 1 && path[0] == '.') {
            path += size;
            continue;
        }
        if (at.node == forbidden) return -EINVAL;
        at = (struct place){.dir = at.node, .text = path, .size = size};
        size_t i = entry_index(at.dir, path, size);
        if (i < at.dir->entry_count) {
            at.name = at.dir->entries[i].name;
            at.node = at.dir->entries[i].node;
        }
        path += size;
    }
    *ret_place = at;
    return 0;
}

int
sim_tree_find(const struct sim_tree *tree, const char *path, struct sim_node **ret_node)
{
    struct place place;
    int result = locate(tree, path, NULL, &place);
    if (result < 0) return result;
    if (place.node == NULL) return -ENOENT;
    *ret_node = place.node;
    return 0;
}

int
sim_tree_find_dir(const struct sim_tree *tree, const char *path, struct sim_node **ret_dir)
{
    struct sim_node *node;
    int result = sim_tree_find(tree, path, &node);
    if (result < 0) return result;
    if (!node->is_dir) return -ENOTDIR;
    *ret_dir = node;
    return 0;
}

/* --- changing --------------------------------------------------------------------------------- */

/* Makes room for `more` items after `used`. */
static bool
grow(void **items, size_t *capacity, size_t used, size_t more, size_t each)
{
    if (more <= *capacity - used) return true;
    size_t want = *capacity == 0 ? 4 : 2 * *capacity;
    if (want < used + more) want = used + more;
    void *grown = mem_resize(NULL, *items, *capacity * each, want * each);
    if (grown == NULL) return false;
    *items = grown;
    *capacity = want;
    return true;
}

/* Makes room for one more name and for `changes` more changes, so that dir_change() cannot fail. */
static bool
dir_reserve(struct sim_node *dir, size_t changes)
{
    void *entries = dir->entries, *journal = dir->changes;
    bool fits = grow(&entries, &dir->entry_capacity, dir->entry_count, 1, sizeof *dir->entries);
    dir->entries = entries;
    if (!fits) return false;
    fits = grow(&journal, &dir->change_capacity, dir->change_count, changes, sizeof *dir->changes);
    dir->changes = journal;
    return fits;
}

/* Lets `name` refer to `node` (NULL: removes it), without a trace in the journal. */
static void
dir_set(struct sim_tree *tree, struct sim_node *dir, struct sim_name *name, struct sim_node *node)
{
    size_t i = entry_index(dir, name->text, name->size);
    if (node != NULL) sim_node_use(node);
    if (i == dir->entry_count) {
        if (node == NULL) return;
        assert(dir->entry_count < dir->entry_capacity);
        name->ref_count++;
        dir->entries[dir->entry_count++] = (struct sim_entry){name->hash, name, node};
        return;
    }
    struct sim_entry was = dir->entries[i];
    if (node != NULL) {
        dir->entries[i].node = node;
        was.name = NULL;
    } else {
        dir->entries[i] = dir->entries[--dir->entry_count];
    }
    name_unref(was.name);
    sim_node_unuse(tree, was.node);
}

static void
dir_change(struct sim_tree *tree, struct sim_node *dir, struct sim_change change)
{
    assert(dir->change_count < dir->change_capacity);
    change.group = tree->group_count;
    change.name->ref_count++;
    node_ref(change.before);
    node_ref(change.after);
    node_ref(change.peer);
    sim_tree_touch(tree, change.before);
    sim_tree_touch(tree, change.after);
    dir->changes[dir->change_count++] = change;
    dir->changed_since_forgotten = true;
    dir_set(tree, dir, change.name, change.after);
}

/* Lets a free position refer to `node`. */
static int
add_name(struct sim_tree *tree, const struct place *place, struct sim_node *node)
{
    struct sim_name *name = name_new(place->text, place->size);
    if (name == NULL) return -ENOMEM;
    int result = dir_reserve(place->dir, 1) ? 0 : -ENOMEM;
    if (result == 0) {
        tree->group_count++;
        dir_change(tree, place->dir, (struct sim_change){.name = name, .after = node});
    }
    name_unref(name);
    return result;
}

static int
remove_name(struct sim_tree *tree, const struct place *place)
{
    if (!dir_reserve(place->dir, 1)) return -ENOMEM;
    tree->group_count++;
    dir_change(tree, place->dir, (struct sim_change){.name = place->name, .before = place->node});
    return 0;
}

int
sim_tree_create(struct sim_tree *tree, const char *path, bool is_dir, struct sim_node **ret_node)
{
    struct place place;
    int result = locate(tree, path, NULL, &place);
    if (result < 0) return result;
    if (place.node != NULL) return -EEXIST;
    struct sim_node *node = node_new(tree, is_dir);
    if (node == NULL) return -ENOMEM;
    result = add_name(tree, &place, node);
    if (result == 0) *ret_node = node;
    node_unref(tree, node);
    return result;
}

int
sim_tree_link(struct sim_tree *tree, const char *from, const char *to)
{
    struct place source, target;
    int result = locate(tree, from, NULL, &source);
    if (result == 0) result = locate(tree, to, NULL, &target);
    if (result < 0) return result;
    if (source.node == NULL) return -ENOENT;
    if (source.node->is_dir) return -EPERM;
    if (target.node != NULL) return -EEXIST;
    return add_name(tree, &target, source.node);
}

/* Returns whether `source` may replace `target`: 0, or a negative errno value. */
static int
may_replace(const struct sim_node *source, const struct sim_node *target)
{
    if (target == NULL) return 0;
    if (target->is_dir && !source->is_dir) return -EISDIR;
    if (!target->is_dir && source->is_dir) return -ENOTDIR;
    return target->entry_count > 0 ? -ENOTEMPTY : 0;
}

int
sim_tree_rename(struct sim_tree *tree, const char *from, const char *to)
{
    struct place source, target;
    int result = locate(tree, from, NULL, &source);
    if (result == 0 && source.node == NULL) result = -ENOENT;
    if (result == 0) result = locate(tree, to, source.node, &target);
    if (result < 0) return result;
    if (source.dir == NULL || target.dir == NULL) return -EBUSY; /* the root */
    if (source.node == target.node) return 0;
    result = may_replace(source.node, target.node);
    if (result < 0) return result;

    struct sim_name *name = target.name;
    if (name == NULL) {
        name = name_new(target.text, target.size);
        if (name == NULL) return -ENOMEM;
    } else {
        name->ref_count++;
    }
    bool apart = source.dir != target.dir;
    if (!dir_reserve(source.dir, 2) || !dir_reserve(target.dir, 2)) {
        result = -ENOMEM;
        goto out;
    }
    tree->group_count++;
    dir_change(tree, source.dir,
               (struct sim_change){
                   .name = source.name, .before = source.node, .peer = apart ? target.dir : NULL});
    dir_change(tree, target.dir,
               (struct sim_change){.name = name,
                                   .before = target.node,
                                   .after = source.node,
                                   .peer = apart ? source.dir : NULL});
out:
    name_unref(name);
    return result;
}

int
sim_tree_unlink(struct sim_tree *tree, const char *path)
{
    struct place place;
    int result = locate(tree, path, NULL, &place);
    if (result < 0) return result;
    if (place.node == NULL) return -ENOENT;
    if (place.node->is_dir) return -EISDIR;
    return remove_name(tree, &place);
}

int
sim_tree_rmdir(struct sim_tree *tree, const char *path)
{
    struct place place;
    int result = locate(tree, path, NULL, &place);
    if (result < 0) return result;
    if (place.node == NULL) return -ENOENT;
    if (!place.node->is_dir) return -ENOTDIR;
    if (place.dir == NULL) return -EBUSY;
    if (place.node->entry_count > 0) return -ENOTEMPTY;
    return remove_name(tree, &place);
}

/* --- durability ------------------------------------------------------------------------------- */

/*
 * Makes the changes up to a group durable and, if one is a rename from or to another directory, the
 * changes before it there. The recursion takes a change out first, so it ends.
 */
static void
commit_up_to(struct sim_tree *tree, struct sim_node *dir, uint64_t group)
{
    while (dir->change_first < dir->change_count &&
           dir->changes[dir->change_first].group <= group) {
        struct sim_change change = dir->changes[dir->change_first++];
        if (change.peer != NULL) commit_up_to(tree, change.peer, change.group);
        change_drop(tree, &change);
    }
    if (dir->change_first == dir->change_count) dir->change_first = dir->change_count = 0;
}

void
sim_tree_sync(struct sim_tree *tree, struct sim_node *dir)
{
    if (!dir->changed_since_forgotten) return;
    commit_up_to(tree, dir, UINT64_MAX);
}

void
sim_tree_forget(struct sim_node *dir)
{
    dir->changed_since_forgotten = false;
}

/* Draws the prefix of its journal that each directory keeps... */
static void
draw_prefixes(struct sim_tree *tree, struct sim_random *random)
{
    for (struct sim_node *dir = tree->oldest; dir != NULL; dir = dir->next) {
        size_t unsynced = dir->change_count - dir->change_first;
        size_t kept = unsynced == 0 ? 0 : (size_t)sim_random_below(random, unsynced + 1);
        dir->kept_below =
            kept == unsynced ? UINT64_MAX : dir->changes[dir->change_first + kept].group;
    }
}

/* ... and shortens them until no rename between two directories is kept in one and undone in the
 * other. */
static void
agree_on_prefixes(struct sim_tree *tree)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (struct sim_node *dir = tree->oldest; dir != NULL; dir = dir->next) {
            for (size_t i = dir->change_first; i < dir->change_count; i++) {
                const struct sim_change *change = &dir->changes[i];
                if (change->group >= dir->kept_below) break;
                if (change->peer == NULL || change->peer->kept_below > change->group) continue;
                dir->kept_below = change->group;
                changed = true;
            }
        }
    }
}

static void
undo_and_settle(struct sim_tree *tree, struct sim_node *dir)
{
    while (dir->change_first < dir->change_count &&
           dir->changes[dir->change_count - 1].group >= dir->kept_below) {
        struct sim_change change = dir->changes[--dir->change_count];
        dir_set(tree, dir, change.name, change.before);
        change_drop(tree, &change);
    }
    while (dir->change_first < dir->change_count) {
        struct sim_change change = dir->changes[dir->change_first++];
        change_drop(tree, &change);
    }
    dir->change_first = dir->change_count = 0;
}

void
sim_tree_power_loss(struct sim_tree *tree, struct sim_random *random)
{
    draw_prefixes(tree, random);
    agree_on_prefixes(tree);
    /* References keep nodes from vanishing while the list is walked; the walk that releases them
     * may free the current node and earlier ones, never the next. */
    for (struct sim_node *node = tree->oldest; node != NULL; node = node->next)
        node_ref(node);
    for (struct sim_node *node = tree->oldest; node != NULL; node = node->next)
        undo_and_settle(tree, node);
    struct sim_node *next;
    for (struct sim_node *node = tree->oldest; node != NULL; node = next) {
        next = node->next;
        node_unref(tree, node);
    }
    for (struct sim_node *node = tree->oldest; node != NULL; node = node->next)
        sim_pages_power_loss(&node->pages, random);
}
