/*
 * fault.c - see fault.h. Each call states which kinds of fault could hit it; one function counts
 * and decides; calls that are not hit go to the env inside.
 */
#include "sys/fault.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "base/lock.h"
#include "base/mem.h"

#define SET(kind)  (1u << (kind))
#define ANY_CALL   (SET(FAULT_EIO) | SET(FAULT_EINTR))
#define SPACE_CALL (ANY_CALL | SET(FAULT_ENOSPC))
#define SYNC_CALL  (SPACE_CALL | SET(FAULT_SYNC))

struct fault_env {
    struct env env;
    struct env *inner; /* immutable */

    /* Relaxed: they may be set at any time, and order nothing. */
    _Atomic int64_t sync_delay_ns;
    _Atomic int64_t clock_shift_ms;
    _Atomic uint64_t free_bytes;
    atomic_bool fired;
    _Atomic uint64_t calls[FAULT_KIND_COUNT];
    _Atomic uint64_t hits; /* relaxed */

    struct lock lock; /* LOCK_RANK_LEAF; guards the next field */
    struct fault armed;
};

static struct fault_env *
fault_of(struct env *env)
{
    return (struct fault_env *)((char *)env - offsetof(struct fault_env, env));
}

/* Counts a call that the kinds of `set` apply to. Returns true if the armed fault, of `ret_kind`,
 * hits it. */
static bool
is_hit(struct fault_env *fe, unsigned set, enum fault_kind *ret_kind)
{
    bool hit = false;
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (!(set & SET(kind))) continue;
        atomic_fetch_add_explicit(&fe->calls[kind], 1, memory_order_relaxed);
    }
    lock_take(&fe->lock);
    if (fe->armed.nth > 0 && (set & SET(fe->armed.kind))) hit = --fe->armed.nth == 0;
    if (hit) {
        atomic_store_explicit(&fe->fired, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&fe->hits, 1, memory_order_relaxed);
        *ret_kind = fe->armed.kind;
        /* An interrupted call is repeated: the repetition must succeed. */
        if (fe->armed.forever) fe->armed.nth = fe->armed.kind == FAULT_EINTR ? 2 : 1;
    }
    lock_drop(&fe->lock);
    return hit;
}

/* Handles calls that fail as a whole: returns 0, or the negative errno value to return. */
static int
trip(struct fault_env *fe, unsigned set)
{
    enum fault_kind kind;
    if (!is_hit(fe, set, &kind)) return 0;
    switch (kind) {
    case FAULT_ENOSPC:
        return -ENOSPC;
    case FAULT_EINTR:
        return -EINTR;
    case FAULT_THREAD:
        return -EAGAIN;
    default:
        return -EIO;
    }
}

/* --- files ------------------------------------------------------------------------------------ */

static int
fault_open(struct env *env, const char *path, enum file_mode mode)
{
    struct fault_env *fe = fault_of(env);
    bool creates = mode == FILE_CREATE || mode == FILE_REPLACE;
    int failed = trip(fe, creates ? SPACE_CALL : ANY_CALL);
    return failed ? failed : fe->inner->ops->open(fe->inner, path, mode);
}

/* Closes the descriptor whatever close() returns, as the kernel does. */
static int
fault_close(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    int result = fe->inner->ops->close(fe->inner, file);
    return failed ? failed : result;
}

static ssize_t
fault_pread(struct env *env, int file, void *to, size_t size, uint64_t offset)
{
    struct fault_env *fe = fault_of(env);
    enum fault_kind kind;
    if (is_hit(fe, size > 1 ? ANY_CALL | SET(FAULT_SHORT) : ANY_CALL, &kind)) {
        if (kind != FAULT_SHORT) return kind == FAULT_EINTR ? -EINTR : -EIO;
        size /= 2;
    }
    return fe->inner->ops->pread(fe->inner, file, to, size, offset);
}

/* Returns half of a size, in whole sectors if the size has whole sectors. */
static size_t
half_of(size_t size)
{
    size_t half = size / 2;
    return size % FILE_DIRECT_BYTES == 0 ? half - half % FILE_DIRECT_BYTES : half;
}

static ssize_t
fault_pwrite(struct env *env, int file, const void *from, size_t size, uint64_t offset)
{
    struct fault_env *fe = fault_of(env);
    const struct env_ops *inner = fe->inner->ops;
    unsigned set = SPACE_CALL | SET(FAULT_TORN) | (half_of(size) > 0 ? SET(FAULT_SHORT) : 0);
    enum fault_kind kind;
    if (!is_hit(fe, set, &kind)) return inner->pwrite(fe->inner, file, from, size, offset);
    switch (kind) {
    case FAULT_SHORT:
        return inner->pwrite(fe->inner, file, from, half_of(size), offset);
    case FAULT_TORN:
        /* the call fails either way */
        (void)inner->pwrite(fe->inner, file, from, half_of(size), offset);
        return -EIO;
    case FAULT_ENOSPC:
        return -ENOSPC;
    case FAULT_EINTR:
        return -EINTR;
    default:
        return -EIO;
    }
}

static void
delay_sync(struct fault_env *fe)
{
    int64_t delay_ns = atomic_load_explicit(&fe->sync_delay_ns, memory_order_relaxed);
    if (delay_ns <= 0) return;
    struct timespec left = {delay_ns / NS_PER_S, delay_ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

/* Handles both kinds of sync of a file. */
static int
sync_file(struct fault_env *fe, int file, int (*sync)(struct env *env, int file))
{
    delay_sync(fe);
    int failed = trip(fe, SYNC_CALL);
    if (failed == 0) return sync(fe->inner, file);
    const struct env_ops *inner = fe->inner->ops;
    if (failed != -EINTR && inner->forget_file != NULL) inner->forget_file(fe->inner, file);
    return failed;
}

static int
fault_direct(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    return fe->inner->ops->direct(fe->inner, file);
}

static int
fault_datasync(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    return sync_file(fe, file, fe->inner->ops->datasync);
}

static int
fault_sync(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    return sync_file(fe, file, fe->inner->ops->sync);
}

static int
fault_truncate(struct env *env, int file, uint64_t size)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, SPACE_CALL);
    return failed ? failed : fe->inner->ops->truncate(fe->inner, file, size);
}

static int64_t
fault_size(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->size(fe->inner, file);
}

static int64_t
fault_links(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->links(fe->inner, file);
}

static int
fault_facts(struct env *env, const char *path, struct file_facts *ret_facts)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->facts(fe->inner, path, ret_facts);
}

static int
fault_lock(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->lock(fe->inner, file);
}

/* --- names ------------------------------------------------------------------------------------ */

static int
fault_rename(struct env *env, const char *from, const char *to)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, SPACE_CALL);
    return failed ? failed : fe->inner->ops->rename(fe->inner, from, to);
}

static int
fault_link(struct env *env, const char *from, const char *to)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, SPACE_CALL);
    return failed ? failed : fe->inner->ops->link(fe->inner, from, to);
}

static int
fault_unlink(struct env *env, const char *path)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->unlink(fe->inner, path);
}

static int
fault_mkdir(struct env *env, const char *path)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, SPACE_CALL);
    return failed ? failed : fe->inner->ops->mkdir(fe->inner, path);
}

static int
fault_rmdir(struct env *env, const char *path)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->rmdir(fe->inner, path);
}

static int
fault_syncdir(struct env *env, const char *path)
{
    struct fault_env *fe = fault_of(env);
    const struct env_ops *inner = fe->inner->ops;
    int failed = trip(fe, SYNC_CALL);
    if (failed == 0) return inner->syncdir(fe->inner, path);
    if (failed != -EINTR && inner->forget_dir != NULL) inner->forget_dir(fe->inner, path);
    return failed;
}

static int
fault_listdir(struct env *env, const char *path,
              int (*each)(void *context, const char *name, bool is_dir), void *context)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->listdir(fe->inner, path, each, context);
}

static int
fault_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    if (failed) return failed;
    uint64_t lie = atomic_load_explicit(&fe->free_bytes, memory_order_relaxed);
    int result = fe->inner->ops->space(fe->inner, path, ret_free, ret_total);
    if (result >= 0 && lie != UINT64_MAX) *ret_free = lie;
    return result;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int64_t
fault_realtime_ms(struct env *env)
{
    struct fault_env *fe = fault_of(env);
    return fe->inner->ops->realtime_ms(fe->inner) +
           atomic_load_explicit(&fe->clock_shift_ms, memory_order_relaxed);
}

static int64_t
fault_monotonic_ns(struct env *env)
{
    struct fault_env *fe = fault_of(env);
    return fe->inner->ops->monotonic_ns(fe->inner);
}

static void
fault_sleep(struct env *env, int64_t ns)
{
    struct fault_env *fe = fault_of(env);
    fe->inner->ops->sleep(fe->inner, ns);
}

static int
fault_random(struct env *env, void *to, size_t size)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->random(fe->inner, to, size);
}

static int
fault_thread_start(struct env *env, const char *name, void (*run)(void *argument), void *argument,
                   struct env_thread **ret_thread)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, SET(FAULT_THREAD));
    return failed ? failed
                  : fe->inner->ops->thread_start(fe->inner, name, run, argument, ret_thread);
}

static void
fault_thread_join(struct env *env, struct env_thread *thread)
{
    struct fault_env *fe = fault_of(env);
    fe->inner->ops->thread_join(fe->inner, thread);
}

static int
fault_listen(struct env *env, const char *host, uint16_t port, int backlog)
{
    struct fault_env *fe = fault_of(env);
    int failed = trip(fe, ANY_CALL);
    return failed ? failed : fe->inner->ops->listen(fe->inner, host, port, backlog);
}

static int
fault_shutdown(struct env *env, int socket)
{
    struct fault_env *fe = fault_of(env);
    return fe->inner->ops->shutdown(fe->inner, socket);
}

/* Forwards the call, so that one fault env may wrap another. */
static void
fault_forget_file(struct env *env, int file)
{
    struct fault_env *fe = fault_of(env);
    const struct env_ops *inner = fe->inner->ops;
    if (inner->forget_file != NULL) inner->forget_file(fe->inner, file);
}

static void
fault_forget_dir(struct env *env, const char *path)
{
    struct fault_env *fe = fault_of(env);
    const struct env_ops *inner = fe->inner->ops;
    if (inner->forget_dir != NULL) inner->forget_dir(fe->inner, path);
}

static const struct env_ops fault_ops = {
    .open = fault_open,
    .close = fault_close,
    .pread = fault_pread,
    .pwrite = fault_pwrite,
    .direct = fault_direct,
    .datasync = fault_datasync,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .size = fault_size,
    .links = fault_links,
    .facts = fault_facts,
    .lock = fault_lock,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .mkdir = fault_mkdir,
    .rmdir = fault_rmdir,
    .syncdir = fault_syncdir,
    .listdir = fault_listdir,
    .space = fault_space,
    .realtime_ms = fault_realtime_ms,
    .monotonic_ns = fault_monotonic_ns,
    .sleep = fault_sleep,
    .random = fault_random,
    .thread_start = fault_thread_start,
    .thread_join = fault_thread_join,
    .listen = fault_listen,
    .shutdown = fault_shutdown,
    .forget_file = fault_forget_file,
    .forget_dir = fault_forget_dir,
};

enum err
fault_env_new(struct env *inner, struct fault_env **ret_env)
{
    struct fault_env *fe = mem_new(NULL, sizeof *fe);
    if (fe == NULL) return ERR_NOMEM;
    fe->env.ops = &fault_ops;
    fe->inner = inner;
    atomic_init(&fe->sync_delay_ns, 0);
    atomic_init(&fe->clock_shift_ms, 0);
    atomic_init(&fe->free_bytes, UINT64_MAX);
    lock_init(&fe->lock, LOCK_RANK_LEAF);
    *ret_env = fe;
    return OK;
}

void
fault_env_free(struct fault_env *fe)
{
    if (fe == NULL) return;
    lock_fini(&fe->lock);
    mem_free(NULL, fe, sizeof *fe);
}

struct env *
fault_env_env(struct fault_env *fe)
{
    return &fe->env;
}

void
fault_env_arm(struct fault_env *fe, struct fault fault)
{
    assert((unsigned)fault.kind < FAULT_KIND_COUNT);
    lock_take(&fe->lock);
    fe->armed = fault;
    atomic_store_explicit(&fe->fired, false, memory_order_relaxed);
    lock_drop(&fe->lock);
}

void
fault_env_disarm(struct fault_env *fe)
{
    lock_take(&fe->lock);
    fe->armed.nth = 0;
    lock_drop(&fe->lock);
}

bool
fault_env_fired(const struct fault_env *fe)
{
    return atomic_load_explicit(&fe->fired, memory_order_relaxed);
}

uint64_t
fault_env_hits(const struct fault_env *fe)
{
    return atomic_load_explicit(&fe->hits, memory_order_relaxed);
}

uint64_t
fault_env_calls(const struct fault_env *fe, enum fault_kind kind)
{
    assert((unsigned)kind < FAULT_KIND_COUNT);
    return atomic_load_explicit(&fe->calls[kind], memory_order_relaxed);
}

void
fault_env_slow_sync(struct fault_env *fe, int64_t delay_ns)
{
    atomic_store_explicit(&fe->sync_delay_ns, delay_ns, memory_order_relaxed);
}

void
fault_env_shift_clock(struct fault_env *fe, int64_t shift_ms)
{
    atomic_store_explicit(&fe->clock_shift_ms, shift_ms, memory_order_relaxed);
}

void
fault_env_set_free(struct fault_env *fe, uint64_t free_bytes)
{
    atomic_store_explicit(&fe->free_bytes, free_bytes, memory_order_relaxed);
}
