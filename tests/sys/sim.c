/*
 * sim.c - the machine of sim.h: handles, clocks and randomness around a tree of names
 * (sim_tree.c) of files made of pages (sim_pages.c).
 *
 * A handle is a slot of a table and the slot's generation, so that the number of a closed handle,
 * or of one from before a power loss, is not soon the number of another one.
 */
#include "sys/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "sys/sim_tree.h"

enum {
    SLOT_BITS = 12,
    SLOT_COUNT_MAX = 1 << SLOT_BITS,
    GENERATION_MAX = (1 << (31 - SLOT_BITS)) - 1,
    COPIED_PATH_BYTES = 512,
};

static const uint64_t CAPACITY_DEFAULT_BYTES = UINT64_C(1) << 30;
static const int64_t REALTIME_START_MS = 1767225600000; /* 2026-01-01T00:00:00Z */
static const int64_t MONOTONIC_START_NS = NS_PER_S;

struct slot {
    struct sim_node *node; /* NULL: free */
    int generation;
    int next_free;
    bool writable;
    bool direct;
    bool shares_lock;
};

struct sim_env {
    struct env env;

    /* Read without the lock, because every env_ clock may be; relaxed, they order nothing. */
    _Atomic int64_t monotonic_ns;
    _Atomic int64_t realtime_offset_ms; /* realtime less monotonic time; wraps */

    struct lock lock; /* LOCK_RANK_ENV; guards everything below */
    struct sim_random random;
    struct sim_device device;
    struct sim_tree tree;
    struct slot *slots;
    int slot_count;
    int first_free; /* -1: none */
};

static struct sim_env *
sim_of(struct env *env)
{
    return (struct sim_env *)((char *)env - offsetof(struct sim_env, env));
}

/* --- handles ---------------------------------------------------------------------------------- */

/* Ensures that slots[first_free] exists. */
static int
slot_reserve(struct sim_env *sim)
{
    if (sim->first_free >= 0) return 0;
    int count = sim->slot_count == 0 ? 8 : 2 * sim->slot_count;
    if (count > SLOT_COUNT_MAX) return -EMFILE;
    size_t each = sizeof *sim->slots;
    struct slot *slots =
        mem_resize(NULL, sim->slots, (size_t)sim->slot_count * each, (size_t)count * each);
    if (slots == NULL) return -ENOMEM;
    for (int i = count - 1; i >= sim->slot_count; i--) {
        slots[i] = (struct slot){.generation = 1, .next_free = sim->first_free};
        sim->first_free = i;
    }
    sim->slots = slots;
    sim->slot_count = count;
    return 0;
}

static int
slot_open(struct sim_env *sim, struct sim_node *node, bool writable)
{
    int index = sim->first_free;
    struct slot *slot = &sim->slots[index];
    sim->first_free = slot->next_free;
    slot->node = node;
    slot->writable = writable;
    slot->direct = false;
    sim_node_use(node);
    return slot->generation << SLOT_BITS | index;
}

static void
slot_close(struct sim_env *sim, int index)
{
    struct slot *slot = &sim->slots[index];
    struct sim_node *node = slot->node;
    int handle = slot->generation << SLOT_BITS | index;
    if (node->lock_holder == handle) node->lock_holder = -1;
    if (slot->shares_lock) node->lock_sharers--;
    slot->shares_lock = false;
    slot->node = NULL;
    slot->generation = slot->generation == GENERATION_MAX ? 1 : slot->generation + 1;
    slot->next_free = sim->first_free;
    sim->first_free = index;
    sim_node_unuse(&sim->tree, node);
}

/* Returns the open file of a handle; NULL: -EBADF. */
static struct slot *
slot_of(struct sim_env *sim, int handle)
{
    int index = handle & (SLOT_COUNT_MAX - 1);
    if (handle < 0 || index >= sim->slot_count) return NULL;
    struct slot *slot = &sim->slots[index];
    bool is_it = slot->node != NULL && slot->generation == handle >> SLOT_BITS;
    return is_it ? slot : NULL;
}

/* --- files ------------------------------------------------------------------------------------ */

static int64_t sim_realtime_ms(struct env *env);

/* Notes that its content has changed. */
static void
note_change(struct sim_env *sim, struct sim_node *node)
{
    sim_tree_touch(&sim->tree, node);
    node->facts.modified_ns = sim_realtime_ms(&sim->env) * NS_PER_MS;
}

static int
open_locked(struct sim_env *sim, const char *path, enum file_mode mode)
{
    struct sim_node *node = NULL;
    int result = slot_reserve(sim);
    if (result < 0) return result;
    result = sim_tree_find(&sim->tree, path, &node);
    if (result == 0 && mode == FILE_CREATE) return -EEXIST;
    if (result == 0 && node->is_dir) return -EISDIR;
    if (result == 0 && mode == FILE_REPLACE) {
        result = sim_pages_truncate(&node->pages, 0);
        note_change(sim, node);
    }
    if (result == -ENOENT && (mode == FILE_CREATE || mode == FILE_REPLACE)) {
        result = sim_tree_create(&sim->tree, path, false, &node);
        if (result == 0) note_change(sim, node);
    }
    if (result < 0) return result;
    return slot_open(sim, node, mode != FILE_READ);
}

static int
sim_open(struct env *env, const char *path, enum file_mode mode)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    int result = open_locked(sim, path, mode);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_close(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    struct slot *slot = slot_of(sim, file);
    if (slot != NULL) slot_close(sim, (int)(slot - sim->slots));
    lock_drop(&sim->lock);
    return slot == NULL ? -EBADF : 0;
}

static ssize_t
sim_pread(struct env *env, int file, void *to, size_t size, uint64_t offset)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    ssize_t result = -EBADF;
    if (slot != NULL) result = (ssize_t)sim_pages_read(&slot->node->pages, to, size, offset);
    lock_drop(&sim->lock);
    return result;
}

static ssize_t
sim_pwrite(struct env *env, int file, const void *from, size_t size, uint64_t offset)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    ssize_t result = -EBADF;
    uint64_t odd = ((uintptr_t)from | size | offset) % FILE_DIRECT_BYTES;
    if (slot != NULL && slot->direct && odd != 0) {
        result = -EINVAL;
    } else if (slot != NULL && slot->writable) {
        result = sim_pages_write(&slot->node->pages, from, size, offset);
        note_change(sim, slot->node);
    }
    lock_drop(&sim->lock);
    return result;
}

static int
sim_direct(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    struct slot *slot = slot_of(sim, file);
    if (slot != NULL) slot->direct = true;
    lock_drop(&sim->lock);
    return slot != NULL;
}

static int
sim_sync(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    if (slot != NULL) sim_pages_sync(&slot->node->pages);
    lock_drop(&sim->lock);
    return slot == NULL ? -EBADF : 0;
}

static void
sim_forget_file(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    if (slot != NULL) sim_pages_forget(&slot->node->pages);
    lock_drop(&sim->lock);
}

static int
sim_truncate(struct env *env, int file, uint64_t size)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    int result = slot == NULL ? -EBADF : -EINVAL;
    if (slot != NULL && slot->writable) {
        result = sim_pages_truncate(&slot->node->pages, size);
        note_change(sim, slot->node);
    }
    lock_drop(&sim->lock);
    return result;
}

static int64_t
sim_size(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    int64_t result = slot == NULL ? -EBADF : (int64_t)slot->node->pages.size_bytes;
    lock_drop(&sim->lock);
    return result;
}

/* Returns the uses of a file: its names and the handles on it. */
static int64_t
sim_links(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    const struct slot *slot = slot_of(sim, file);
    int64_t result = slot == NULL ? -EBADF : (int64_t)slot->node->use_count;
    for (int i = 0; slot != NULL && i < sim->slot_count; i++)
        result -= sim->slots[i].node == slot->node;
    lock_drop(&sim->lock);
    return result;
}

static int
sim_facts(struct env *env, const char *path, struct file_facts *ret_facts)
{
    struct sim_env *sim = sim_of(env);
    struct sim_node *node;
    lock_take(&sim->lock);
    int result = sim_tree_find(&sim->tree, path, &node);
    if (result == 0) {
        *ret_facts = node->facts;
        ret_facts->kind = node->is_dir ? FILE_KIND_DIR : FILE_KIND_PLAIN;
        ret_facts->size_bytes = node->is_dir ? 0 : node->pages.size_bytes;
    }
    lock_drop(&sim->lock);
    return result;
}

static int
sim_lock(struct env *env, int file)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    struct slot *slot = slot_of(sim, file);
    int result = 0;
    if (slot == NULL) {
        result = -EBADF;
    } else if ((slot->node->lock_holder != -1 && slot->node->lock_holder != file) ||
               (slot->writable && slot->node->lock_sharers > 0)) {
        result = -EAGAIN;
    } else if (!slot->writable) {
        slot->node->lock_sharers += !slot->shares_lock;
        slot->shares_lock = true;
    } else {
        slot->node->lock_holder = file;
    }
    lock_drop(&sim->lock);
    return result;
}

/* --- names ------------------------------------------------------------------------------------ */

static int
sim_rename(struct env *env, const char *from, const char *to)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    int result = sim_tree_rename(&sim->tree, from, to);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_link(struct env *env, const char *from, const char *to)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    int result = sim_tree_link(&sim->tree, from, to);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_unlink(struct env *env, const char *path)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    int result = sim_tree_unlink(&sim->tree, path);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_mkdir(struct env *env, const char *path)
{
    struct sim_env *sim = sim_of(env);
    struct sim_node *node;
    lock_take(&sim->lock);
    int result = sim_tree_create(&sim->tree, path, true, &node);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_rmdir(struct env *env, const char *path)
{
    struct sim_env *sim = sim_of(env);
    lock_take(&sim->lock);
    int result = sim_tree_rmdir(&sim->tree, path);
    lock_drop(&sim->lock);
    return result;
}

static int
sim_syncdir(struct env *env, const char *path)
{
    struct sim_env *sim = sim_of(env);
    struct sim_node *dir;
    lock_take(&sim->lock);
    int result = sim_tree_find_dir(&sim->tree, path, &dir);
    if (result == 0) sim_tree_sync(&sim->tree, dir);
    lock_drop(&sim->lock);
    return result;
}

static void
sim_forget_dir(struct env *env, const char *path)
{
    struct sim_env *sim = sim_of(env);
    struct sim_node *dir;
    lock_take(&sim->lock);
    if (sim_tree_find_dir(&sim->tree, path, &dir) == 0) sim_tree_forget(dir);
    lock_drop(&sim->lock);
}

/* A copy of a directory's names: each is a byte that is 1 for a directory, then text and a NUL. */
struct name_list {
    char *at;
    size_t size;
};

/* Begins anywhere, as kernels do, so that no caller relies on an order. */
static int
copy_names_locked(struct sim_env *sim, const char *path, struct name_list *ret_list)
{
    struct sim_node *dir;
    int result = sim_tree_find_dir(&sim->tree, path, &dir);
    if (result < 0) return result;
    struct name_list list = {NULL, 0};
    for (size_t i = 0; i < dir->entry_count; i++)
        list.size += strlen(sim_name_text(dir->entries[i].name)) + 2;
    if (list.size > 0) {
        list.at = mem_alloc(NULL, list.size);
        if (list.at == NULL) return -ENOMEM;
        size_t start = (size_t)sim_random_below(&sim->random, dir->entry_count);
        char *to = list.at;
        for (size_t i = 0; i < dir->entry_count; i++) {
            const struct sim_entry *entry = &dir->entries[(start + i) % dir->entry_count];
            size_t size = strlen(sim_name_text(entry->name)) + 1;
            *to++ = (char)entry->node->is_dir;
            memcpy(to, sim_name_text(entry->name), size);
            to += size;
        }
    }
    *ret_list = list;
    return 0;
}

/* Calls `each` for the names at the moment of the call, which it may change. */
static int
sim_listdir(struct env *env, const char *path,
            int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    struct sim_env *sim = sim_of(env);
    struct name_list list;
    lock_take(&sim->lock);
    int result = copy_names_locked(sim, path, &list);
    lock_drop(&sim->lock);
    if (result < 0) return result;
    for (size_t at = 0; at < list.size && result == 0; at += strlen(list.at + at + 1) + 2)
        result = each(context, list.at + at + 1, list.at[at] != 0);
    mem_free(NULL, list.at, list.size);
    return result;
}

static int
sim_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct sim_env *sim = sim_of(env);
    struct sim_node *node;
    lock_take(&sim->lock);
    int result = sim_tree_find(&sim->tree, path, &node);
    if (result == 0) {
        const struct sim_device *device = &sim->device;
        bool any = device->used_bytes < device->capacity_bytes;
        *ret_free = any ? device->capacity_bytes - device->used_bytes : 0;
        *ret_total = device->capacity_bytes;
    }
    lock_drop(&sim->lock);
    return result;
}

/* --- clock, randomness, what does not exist --------------------------------------------------- */

static int64_t
sim_monotonic_ns(struct env *env)
{
    return atomic_load_explicit(&sim_of(env)->monotonic_ns, memory_order_relaxed);
}

/* Moves the clock on, as nothing else runs meanwhile. */
static void
sim_sleep(struct env *env, int64_t ns)
{
    sim_env_advance_ns(sim_of(env), ns);
}

static int64_t
sim_realtime_ms(struct env *env)
{
    struct sim_env *sim = sim_of(env);
    int64_t offset = atomic_load_explicit(&sim->realtime_offset_ms, memory_order_relaxed);
    return (int64_t)((uint64_t)offset + (uint64_t)(sim_monotonic_ns(env) / NS_PER_MS));
}

static int
sim_random(struct env *env, void *to, size_t size)
{
    struct sim_env *sim = sim_of(env);
    uint8_t *at = to;
    lock_take(&sim->lock);
    while (size > 0) {
        uint64_t word = sim_random_next(&sim->random);
        size_t part = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, part);
        at += part;
        size -= part;
    }
    lock_drop(&sim->lock);
    return 0;
}

static int
sim_thread_start(struct env *env, const char *name, void (*run)(void *argument), void *argument,
                 struct env_thread **ret_thread)
{
    (void)env;
    (void)name;
    (void)run;
    (void)argument;
    (void)ret_thread;
    return -ENOSYS;
}

static void
sim_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env;
    (void)thread;
    assert(!"a simulated machine has no threads to join");
}

static int
sim_listen(struct env *env, const char *host, uint16_t port, int backlog)
{
    (void)env;
    (void)host;
    (void)port;
    (void)backlog;
    return -ENOSYS;
}

static int
sim_shutdown(struct env *env, int socket)
{
    (void)env;
    (void)socket;
    return -ENOSYS;
}

/* --- the machine ------------------------------------------------------------------------------ */

static const struct env_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .direct = sim_direct,
    .datasync = sim_sync,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .size = sim_size,
    .links = sim_links,
    .facts = sim_facts,
    .lock = sim_lock,
    .rename = sim_rename,
    .link = sim_link,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .rmdir = sim_rmdir,
    .syncdir = sim_syncdir,
    .listdir = sim_listdir,
    .space = sim_space,
    .realtime_ms = sim_realtime_ms,
    .monotonic_ns = sim_monotonic_ns,
    .sleep = sim_sleep,
    .random = sim_random,
    .thread_start = sim_thread_start,
    .thread_join = sim_thread_join,
    .listen = sim_listen,
    .shutdown = sim_shutdown,
    .forget_file = sim_forget_file,
    .forget_dir = sim_forget_dir,
};

enum err
sim_env_new(uint64_t seed, struct sim_env **ret_env)
{
    struct sim_env *sim = mem_new(NULL, sizeof *sim);
    if (sim == NULL) return ERR_NOMEM;
    sim->env.ops = &sim_ops;
    sim->random.state = seed;
    sim->device.capacity_bytes = CAPACITY_DEFAULT_BYTES;
    sim->first_free = -1;
    atomic_init(&sim->monotonic_ns, MONOTONIC_START_NS);
    atomic_init(&sim->realtime_offset_ms, REALTIME_START_MS - MONOTONIC_START_NS / NS_PER_MS);
    lock_init(&sim->lock, LOCK_RANK_ENV);
    if (sim_tree_init(&sim->tree, &sim->device) < 0) {
        sim_env_free(sim);
        return ERR_NOMEM;
    }
    *ret_env = sim;
    return OK;
}

void
sim_env_free(struct sim_env *sim)
{
    if (sim == NULL) return;
    sim_tree_fini(&sim->tree);
    mem_free(NULL, sim->slots, (size_t)sim->slot_count * sizeof *sim->slots);
    lock_fini(&sim->lock);
    mem_free(NULL, sim, sizeof *sim);
}

static int
copy_content(struct sim_node *to, const struct sim_node *from)
{
    uint8_t piece[SIM_PAGE_BYTES];
    ssize_t done = 0;
    for (uint64_t at = 0; done >= 0 && at < from->pages.size_bytes; at += sizeof piece) {
        size_t size = sim_pages_read(&from->pages, piece, sizeof piece, at);
        done = sim_pages_write(&to->pages, piece, size, at);
    }
    sim_pages_sync(&to->pages);
    return done < 0 ? (int)done : 0;
}

/* The recursion ends with the depth of the tree. */
static int
copy_dir(struct sim_env *to, const struct sim_node *from, const char *path)
{
    struct sim_node *node;
    int result = 0;
    for (size_t i = 0; result == 0 && i < from->entry_count; i++) {
        const struct sim_node *inner = from->entries[i].node;
        char name[COPIED_PATH_BYTES];
        if (path_join(name, sizeof name, path, sim_name_text(from->entries[i].name)))
            return -ENAMETOOLONG;
        result = sim_tree_create(&to->tree, name, inner->is_dir, &node);
        if (result < 0) return result;
        result = inner->is_dir ? copy_dir(to, inner, name) : copy_content(node, inner);
        node->facts = inner->facts;
    }
    if (result == 0) result = sim_tree_find_dir(&to->tree, path, &node);
    if (result == 0) sim_tree_sync(&to->tree, node);
    return result;
}

enum err
sim_env_copy(struct sim_env *from, uint64_t seed, struct sim_env **ret_env)
{
    struct sim_env *to;
    enum err e = sim_env_new(seed, &to);
    if (e) return e;
    lock_take(&from->lock);
    to->device.capacity_bytes = from->device.capacity_bytes;
    if (copy_dir(to, from->tree.root, "/") < 0) e = ERR_NOMEM;
    to->tree.event_count = from->tree.event_count;
    lock_drop(&from->lock);
    atomic_init(&to->monotonic_ns, sim_monotonic_ns(&from->env));
    sim_env_set_realtime_ms(to, sim_realtime_ms(&from->env));
    if (e)
        sim_env_free(to);
    else
        *ret_env = to;
    return e;
}

struct env *
sim_env_env(struct sim_env *sim)
{
    return &sim->env;
}

static void
close_all_locked(struct sim_env *sim)
{
    assert(lock_is_mine(&sim->lock));
    for (int i = 0; i < sim->slot_count; i++)
        if (sim->slots[i].node != NULL) slot_close(sim, i);
}

void
sim_env_power_loss(struct sim_env *sim)
{
    lock_take(&sim->lock);
    close_all_locked(sim);
    sim_tree_power_loss(&sim->tree, &sim->random);
    lock_drop(&sim->lock);
}

void
sim_env_kill(struct sim_env *sim)
{
    lock_take(&sim->lock);
    close_all_locked(sim);
    lock_drop(&sim->lock);
}

void
sim_env_advance_ns(struct sim_env *sim, int64_t by_ns)
{
    assert(by_ns >= 0);
    atomic_fetch_add_explicit(&sim->monotonic_ns, by_ns, memory_order_relaxed);
}

void
sim_env_set_realtime_ms(struct sim_env *sim, int64_t t_ms)
{
    uint64_t monotonic_ms = (uint64_t)(sim_monotonic_ns(&sim->env) / NS_PER_MS);
    atomic_store_explicit(&sim->realtime_offset_ms, (int64_t)((uint64_t)t_ms - monotonic_ms),
                          memory_order_relaxed);
}

void
sim_env_set_capacity(struct sim_env *sim, uint64_t bytes)
{
    lock_take(&sim->lock);
    sim->device.capacity_bytes = bytes;
    lock_drop(&sim->lock);
}

uint64_t
sim_env_used_bytes(struct sim_env *sim)
{
    lock_take(&sim->lock);
    uint64_t used_bytes = sim->device.used_bytes;
    lock_drop(&sim->lock);
    return used_bytes;
}

enum err
sim_env_damage(struct sim_env *sim, const char *path, uint64_t offset)
{
    struct sim_node *node;
    lock_take(&sim->lock);
    uint8_t mask = (uint8_t)(1u << sim_random_below(&sim->random, 8));
    int result = sim_tree_find(&sim->tree, path, &node);
    enum err e = result < 0 ? ERR_MISSING : OK;
    if (e == OK && (node->is_dir || offset >= node->pages.size_bytes)) e = ERR_INPUT;
    if (e == OK && sim_pages_damage(&node->pages, offset, mask) < 0) e = ERR_NOMEM;
    lock_drop(&sim->lock);
    return e;
}

uint64_t
sim_env_random(struct sim_env *sim)
{
    lock_take(&sim->lock);
    uint64_t random = sim_random_next(&sim->random);
    lock_drop(&sim->lock);
    return random;
}
