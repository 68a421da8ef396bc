/*
 * relays.c - starts, changes and ends the threads of destinations.
 *
 * A runner is a destination with its thread. The guard that holds the log for it begins before the
 * thread does, and passes to the next runner of that name, so that a reload loses no position. Its
 * directory has one user at a time: a new runner waits until the one before it has ended.
 *
 * A destination's settings are in the list that it was configured with; a list is freed after its
 * last destination.
 *
 * Invariants:
 *  1. Runners have the names of the list in force, each once, in its order.
 *  2. At most one runner of a name is open: the next one is woken after the one before has ended.
 *  3. `users` of a list counts its runners, borrowers, and one for being in force or prepared.
 *  4. `full` counts the runners whose `full` is set.
 */
#include "app/destinations/relays.h"

#include <assert.h>
#include <stdio.h>

#include "app/worker.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/version.h"
#include "config/lists/lists.h"
#include "model/storage_layout.h"
#include "relay/queue/write_queue.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "tsdb/tsdb.h"

enum {
    REOPEN_MS = 10 * 1000,
    STOP_MS = 5 * 1000,
    LOG_AGAIN_MS = 60 * 1000,
    BATCH_AGE_MS_MAX = 30 * 1000,
};

struct destination_list {
    struct destinations destinations; /* first, because relays_borrow() returns a pointer to it */
    _Atomic uint32_t users;           /* acq_rel: the last one to drop the list sees all uses */
};

struct runner {
    /* Immutable once its thread runs. */
    struct relays *relays;
    struct destination_list *list;
    const struct destination_settings *settings;
    struct budget memory;
    char budget_name[DESTINATION_NAME_BYTES_MAX + 8];
    struct relay_guard *guard;

    /* The thread owns these. */
    bool full;
    int64_t logged_ns; /* monotonic time at which a failure to open was last logged, or 0 */

    struct worker worker; /* woken when the directory has no other user */

    struct lock lock;    /* LOCK_RANK_RELAY_OPEN; guards the rest */
    struct relay *relay; /* NULL while the destination is not open */
    struct why error;
    struct relay_status last; /* status when this runner or the one before last had it open */
    bool counted;             /* `last` is known */
};

struct relays {
    struct relays_options options;
    char dir[200];
    char user_agent[64];
    struct budget memory;
    int64_t epoch_ms, epoch_ns; /* both clocks at the start */
    struct metric_collector collector;
    atomic_uint full; /* runners whose log budget is used up */

    struct lock lock;              /* LOCK_RANK_RELAYS; guards the rest */
    struct destination_list *list; /* NULL before the first commit */
    struct runner *runners[DESTINATIONS_MAX];
    uint32_t count;
};

/* --- one destination -------------------------------------------------------------------------- */

static struct relay_options
options_of(struct runner *r)
{
    const struct relays *all = r->relays;
    return (struct relay_options){
        .env = all->options.env,
        .wal = tsdb_wal(all->options.tsdb),
        .tsdb = all->options.stored ? all->options.tsdb : NULL,
        .dir = all->dir,
        .memory = &r->memory,
        .settings = r->settings,
        .writer = writer_class_of(r->settings->type),
        .instance = tsdb_name_id(all->options.tsdb),
        .user_agent = all->user_agent,
        .guard = r->guard,
        .queue = all->options.queue,
        .epoch_ms = all->epoch_ms,
        .epoch_ns = all->epoch_ns,
    };
}

/* Says whether this server still owns the directory. False: another one may use it and save state
 * there. */
static bool
may_write(const struct runner *r)
{
    return tsdb_dir_trouble(r->relays->options.tsdb) == NULL;
}

static struct relay *
open_relay(struct runner *r)
{
    struct relay_options options = options_of(r);
    struct relay *relay = NULL;
    struct why why = {""};
    enum err e = relay_open(&options, &relay, &why);
    if (e && why.text[0] == '\0') why_set(&why, e, "%s", err_word(e));
    lock_take(&r->lock);
    assert(r->relay == NULL); /* invariant 2 */
    r->relay = relay;
    r->error = why;
    lock_drop(&r->lock);
    int64_t now_ns = env_monotonic_ns(options.env);
    bool said = r->logged_ns != 0 && now_ns - r->logged_ns < LOG_AGAIN_MS * NS_PER_MS;
    if (e && !said) { /* logs the first failure, then one per minute */
        r->logged_ns = now_ns;
        log_error("relay: cannot open destination, retrying", KV("destination", r->settings->name),
                  KV("error", &why),
                  KV("log_bytes_kept", wal_bytes_from(options.wal, relay_guard_pos(r->guard))),
                  KV("retry_s", REOPEN_MS / 1000));
    }
    return relay;
}

/* Stops a relay: pending requests may end within STOP_MS, and their answers count. */
static void
end_relay(struct runner *r, struct relay *relay)
{
    struct env *env = r->relays->options.env;
    int64_t until_ns = env_monotonic_ns(env) + STOP_MS * NS_PER_MS;
    relay_stop(relay);
    while (!relay_is_idle(relay) && env_monotonic_ns(env) < until_ns) {
        int wait_ms = relay_step(relay);
        relay_wait(relay, wait_ms < 50 ? wait_ms : 50);
    }
    lock_take(&r->lock);
    assert(r->relay == relay); /* invariant 2 */
    relay_status(relay, &r->last);
    r->counted = true;
    r->relay = NULL;
    lock_drop(&r->lock);
    struct why why = {""};
    enum err e = OK;
    if (may_write(r))
        e = relay_close(relay, &why);
    else
        relay_free(relay); /* another server may have saved its state there */
    if (e) {
        log_error("relay: cannot save the state of the destination, samples delivered since the "
                  "last save will be sent again",
                  KV("destination", r->settings->name), KV("error", &why));
    }
}

static void
note_full(struct runner *r, bool full)
{
    if (full && !r->full) atomic_fetch_add(&r->relays->full, 1);
    assert(!r->full || atomic_load(&r->relays->full) > 0); /* invariant 4 */
    if (!full && r->full) atomic_fetch_sub(&r->relays->full, 1);
    if (full && !r->full)
        log_error("relay: log budget of the destination is used up, refusing writes until it has "
                  "delivered samples",
                  KV("destination", r->settings->name));
    r->full = full;
}

static void
run(void *context)
{
    struct runner *r = context;
    struct relay *relay = NULL;
    /* the runner before may still use the directory */
    bool go_on = worker_rest(&r->worker, INT64_MAX, REST_UNTIL_WOKEN);
    while (go_on && (!may_write(r) || (relay = open_relay(r)) == NULL)) {
        int64_t until_ns = env_monotonic_ns(r->worker.env) + REOPEN_MS * NS_PER_MS;
        go_on = worker_rest(&r->worker, until_ns, REST_UNTIL_WOKEN);
    }
    if (relay == NULL) return;
    log_info("relay: destination opened", KV("destination", r->settings->name),
             KV("type", destination_type_word(r->settings->type)));
    while (worker_rest(&r->worker, 0, REST_UNTIL_STOPPED)) {
        if (!may_write(r)) {
            relay_wait(relay, 1000);
            continue;
        }
        int wait_ms = relay_step(relay);
        note_full(r, relay_is_full(relay));
        relay_wait(relay, wait_ms);
    }
    note_full(r, false);
    end_relay(r, relay);
}

static void
list_drop(struct destination_list *list)
{
    if (list == NULL) return;
    uint32_t users = atomic_fetch_sub_explicit(&list->users, 1, memory_order_acq_rel);
    assert(users > 0); /* invariant 3 */
    if (users > 1) return;
    destinations_free(&list->destinations);
    mem_free(NULL, list, sizeof *list);
}

static void
runner_stop(struct runner *r)
{
    worker_stop(&r->worker);
    lock_take(&r->lock);
    if (r->relay != NULL) relay_wake(r->relay);
    lock_drop(&r->lock);
}

static void
runner_join(struct runner *r)
{
    runner_stop(r);
    worker_join(&r->worker);
}

static void
runner_free(struct runner *r)
{
    runner_join(r);
    assert(r->relay == NULL && !r->full); /* invariants 2 and 4 */
    relay_guard_free(r->guard);
    worker_fini(&r->worker);
    lock_fini(&r->lock);
    list_drop(r->list);
    mem_free(NULL, r, sizeof *r);
}

/* All destinations have the same share of memory, so that a dead one takes none from the others. */
static uint64_t
share_of(const struct relays *all, uint32_t count)
{
    assert(count > 0);
    return all->options.memory_bytes / count;
}

/* Makes a runner that guards the log from now on. Its thread waits for a wake-up. */
static enum err
runner_new(struct relays *all, struct destination_list *list,
           const struct destination_settings *settings, const struct runner *before,
           struct runner **ret_runner, struct why *why)
{
    struct runner *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a destination");
    r->relays = all;
    r->list = list;
    r->settings = settings;
    list->users++;
    worker_init(&r->worker, all->options.env);
    lock_init(&r->lock, LOCK_RANK_RELAY_OPEN);
    snprintf(r->budget_name, sizeof r->budget_name, "relay:%s", settings->name);
    budget_init(&r->memory, r->budget_name, share_of(all, list->destinations.count), &all->memory);
    struct relay_options options = options_of(r);
    enum err e = relay_guard_new(&options, before == NULL ? NULL : before->guard, &r->guard, why);
    if (e == OK) {
        e = worker_start(&r->worker, r->budget_name, run, r);
        if (e) why_set(why, e, "cannot start a thread for destination %s", settings->name);
    }
    if (e) {
        runner_free(r);
        return e;
    }
    *ret_runner = r;
    return OK;
}

/* --- list of destinations --------------------------------------------------------------------- */

enum err
relays_new(const struct relays_options *options, struct relays **ret_relays, struct why *why)
{
    struct relays *all = mem_new(NULL, sizeof *all);
    if (all == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    all->options = *options;
    all->epoch_ms = env_realtime_ms(options->env);
    all->epoch_ns = env_monotonic_ns(options->env);
    lock_init(&all->lock, LOCK_RANK_RELAYS);
    budget_init(&all->memory, "relays", options->memory_bytes, options->memory);
    snprintf(all->user_agent, sizeof all->user_agent, "Firekeep/%s", FIREKEEP_VERSION);
    enum err e = path_join(all->dir, sizeof all->dir, options->storage_path, STORAGE_RELAY);
    if (e) {
        relays_free(all);
        return why_set(why, e, "--storage.path: path is too long");
    }
    all->collector = (struct metric_collector){.collect = relays_collect, .context = all};
    metric_register_collector(&all->collector);
    *ret_relays = all;
    return OK;
}

/* --- changes of the list ---------------------------------------------------------------------- */

/*  First everything is made that can fail: the list, guards that hold the log, threads that wait.
 * After that nothing fails: destinations that were removed or changed end before the new ones of
 * their names open, since a directory has one user at a time. */
struct relays_change {
    struct relays *relays;
    struct destination_list *list;
    struct runner *next[DESTINATIONS_MAX]; /* runners of the list, in its order */
    bool is_new[DESTINATIONS_MAX]; /* the runner was made by this change; otherwise it stays */
};

static struct runner *
find_runner(const struct relays *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->runners[i]->settings->name, name) == 0) return all->runners[i];
    return NULL;
}

static enum err
prepare_runners(struct relays_change *c, struct why *why)
{
    struct relays *all = c->relays;
    enum err e = OK;
    for (uint32_t i = 0; i < c->list->destinations.count && e == OK; i++) {
        const struct destination_settings *settings = &c->list->destinations.items[i];
        struct runner *now = find_runner(all, settings->name);
        if (now != NULL && destination_settings_equal(now->settings, settings)) {
            c->next[i] = now;
            continue;
        }
        e = runner_new(all, c->list, settings, now, &c->next[i], why);
        c->is_new[i] = e == OK;
    }
    return e;
}

enum err
relays_prepare(struct relays *all, struct destinations *destinations,
               struct relays_change **ret_change, struct why *why)
{
    struct relays_change *c = mem_new(NULL, sizeof *c);
    struct destination_list *list = mem_new(NULL, sizeof *list);
    if (c == NULL || list == NULL) {
        mem_free(NULL, c, sizeof *c);
        mem_free(NULL, list, sizeof *list);
        destinations_free(destinations);
        return why_set(why, ERR_NOMEM, "not enough memory for destinations");
    }
    list->destinations = *destinations;
    *destinations = (struct destinations){NULL};
    list->users = 1;
    *c = (struct relays_change){.relays = all, .list = list};
    struct env *env = all->options.env;
    enum err e = OK;
    if (list->destinations.count > 0) {
        e = relay_directory_look(env, all->dir, why);
        if (e == ERR_MISSING) e = env_mkdir(env, all->dir, why);
        if (e == OK) e = env_syncdir(env, all->options.storage_path, why);
    }
    if (e == OK) e = prepare_runners(c, why);
    if (e) {
        for (uint32_t i = 0; i < c->list->destinations.count; i++)
            if (c->is_new[i]) runner_free(c->next[i]);
        list_drop(c->list);
        mem_free(NULL, c, sizeof *c);
        return e;
    }
    *ret_change = c;
    return OK;
}

/* Puts the new runners in force. Returns the number of those that end, which are in `ret_gone`. */
static uint32_t
switch_runners(struct relays_change *c, struct runner **ret_gone)
{
    struct relays *all = c->relays;
    uint32_t gone_count = 0;
    assert(c->list->destinations.count <= DESTINATIONS_MAX);
    lock_take(&all->lock);
    for (uint32_t k = 0; k < c->list->destinations.count; k++) {
        struct runner *before = find_runner(all, c->next[k]->settings->name);
        if (!c->is_new[k] || before == NULL) continue;
        /* A new runner shows the status of the one before until it is open. */
        lock_take(&before->lock);
        if (before->relay != NULL) relay_status(before->relay, &before->last);
        struct relay_status last = before->last;
        bool counted = before->counted || before->relay != NULL;
        lock_drop(&before->lock);
        lock_take(&c->next[k]->lock);
        c->next[k]->last = last;
        c->next[k]->counted = counted;
        lock_drop(&c->next[k]->lock);
    }
    for (uint32_t i = 0; i < all->count; i++) {
        bool stays = false;
        for (uint32_t k = 0; k < c->list->destinations.count; k++)
            stays |= c->next[k] == all->runners[i];
        if (!stays) ret_gone[gone_count++] = all->runners[i];
    }
    all->count = c->list->destinations.count;
    memcpy(all->runners, c->next, sizeof all->runners);
    struct destination_list *old = all->list;
    all->list = c->list;
    for (uint32_t i = 0; i < all->count; i++) {
        atomic_store_explicit(&all->runners[i]->memory.limit_bytes, share_of(all, all->count),
                              memory_order_relaxed);
    }
    assert(all->list->users > 0); /* invariant 3 */
    lock_drop(&all->lock);
    list_drop(old);
    return gone_count;
}

static uint64_t
all_kinds(const struct fates *fates, enum fate fate)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        sum += fates->count[kind][fate];
    return sum;
}

/* Logs what a reload changes for queued items. */
static void
note_other_settings(const struct runner *before, const struct destination_settings *now)
{
    const struct destination_settings *was = before->settings;
    uint64_t queued = all_kinds(&before->last.fates, FATE_OPEN);
    if (was->type != now->type) {
        log_warn("relay: type of the destination changed, continuing at its current position",
                 KV("destination", now->name), KV("type", destination_type_word(now->type)),
                 KV("was", destination_type_word(was->type)), KV("queued", queued));
    } else if (destination_place_hash(was) != destination_place_hash(now)) {
        log_warn("relay: target of the destination changed, continuing at its current position",
                 KV("destination", now->name), KV("queued", queued));
    }
    if (destination_selection_hash(was) != destination_selection_hash(now) && queued > 0) {
        log_warn("relay: selection or relabelling of the destination changed, for queued samples "
                 "too; those no longer selected are counted as dropped (reason operator)",
                 KV("destination", now->name), KV("queued", queued));
    }
    if (!was->dry_run && now->dry_run) {
        log_warn("relay: destination is now a dry run, queued samples wait until dry_run is false",
                 KV("destination", now->name), KV("queued", queued));
    }
}

/* Says what becomes of the queued samples of a destination that was removed; `gone`: the log no
 * longer has its position. */
static const char *
fate_of_queued(const struct relays *all, bool gone)
{
    if (all->options.stored) return "a destination configured under this name continues from there";
    return gone
               ? "some queued samples are lost for this destination: they were removed from the log"
               : "the log is no longer kept for it, queued samples are lost";
}

/* Logs the end of a runner, and the backlog of a destination that was removed. */
static void
note_end(const struct relays *all, struct runner *r)
{
    const char *name = r->settings->name;
    const struct runner *next = find_runner(all, name);
    if (next != NULL) {
        log_info("relay: destination closed", KV("destination", name));
        note_other_settings(r, next->settings);
        return;
    }
    uint64_t queued = all_kinds(&r->last.fates, FATE_OPEN);
    uint64_t letters = all_kinds(&r->last.fates, FATE_DEAD_LETTERED);
    struct wal *wal = tsdb_wal(all->options.tsdb);
    if (queued == 0 && letters == 0) {
        log_info("relay: destination removed, nothing was queued", KV("destination", name));
        return;
    }
    log_warn("relay: destination removed with a backlog", KV("destination", name),
             KV("queued", queued), KV("log_bytes", wal_bytes_from(wal, relay_guard_pos(r->guard))),
             KV("dead_letters", letters), KV("then", fate_of_queued(all, false)));
}

/* --- directories without a destination -------------------------------------------------------- */

/* Counts the items that the log has accepted after those of a state, and those of the store that
 * the state expects: an upper limit of what is queued, as only the settings say which items the
 * destination was to receive. Returns false if the state does not know them. */
static bool
count_queued(const struct relay_state *s, const struct wal_stats *log, uint64_t *ret_queued)
{
    const struct relay_expected *expected = &s->expected;
    uint64_t begin = s->fill.active ? s->fill.to_pos : s->cursor.pos;
    const struct log_count *at = expected->until_pos > begin ? &expected->log_count : &s->log_count;
    bool known = at->known || begin >= log->end_pos;
    *ret_queued = 0;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && at->known; kind++)
        if (log->totals[kind] > at->of[kind]) *ret_queued += log->totals[kind] - at->of[kind];
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && expected->until_pos > 0; kind++)
        if (expected->count[kind] > 0) *ret_queued += (uint64_t)expected->count[kind];
    return known && (!s->fill.active || expected->until_pos > 0);
}

/* Logs a directory of a destination that is not configured. The log is not kept for it: its backlog
 * is in the store or, without one, in the log as long as others keep that. */
static void
note_left_over(struct relays *all, const char *name)
{
    char dir[RELAY_DIR_BYTES];
    struct why why = {""};
    struct buf memory;
    struct relay_state s;
    struct wal_stats log;
    if (path_join(dir, sizeof dir, all->dir, name) != OK) return;
    buf_init(&memory, &all->memory, RELAY_STATE_BYTES_MAX);
    enum err e = relay_state_read(all->options.env, dir, &memory, &s, &why);
    if (e && e != ERR_MISSING) {
        log_warn("relay: cannot read the state of a destination that is not configured",
                 KV("destination", name), KV("error", why_text(&why, e)), KV("directory", dir));
    }
    if (e == OK) {
        uint64_t queued, letters = all_kinds(&s.fates, FATE_DEAD_LETTERED);
        uint64_t begin = s.fill.active ? s.fill.to_pos : s.cursor.pos;
        wal_stats(tsdb_wal(all->options.tsdb), &log);
        bool counted = count_queued(&s, &log, &queued);
        if (counted && queued == 0 && letters == 0) {
            log_info("relay: found a destination that is not configured, nothing is queued for it",
                     KV("destination", name), KV("directory", dir));
        } else {
            log_warn("relay: a destination that is not configured has a backlog, the log is not "
                     "kept for it",
                     KV("destination", name), KV("queued_at_most", queued),
                     KV("all_counted", counted),
                     KV("log_bytes", wal_bytes_from(tsdb_wal(all->options.tsdb), begin)),
                     KV("dead_letters", letters),
                     KV("then",
                        fate_of_queued(all, !s.fill.active && begin != 0 && begin < log.begin_pos)),
                     KV("to_do",
                        "add the destination to the configuration again, or remove its directory"),
                     KV("directory", dir));
        }
    }
    buf_fini(&memory);
}

static void
note_all_left_over(struct relays *all)
{
    struct why why = {""};
    struct relay_names names = {.env = all->options.env};
    const struct relay_name *at;
    enum err e = relay_directory_look(all->options.env, all->dir, &why);
    if (e == OK) e = relay_names_read(&names, all->options.env, all->dir, &all->memory, &why);
    for (size_t i = 0; e == OK && (at = relay_name_at(&names, i)) != NULL; i++) {
        const char *name = at->text; /* names of unfinished directories begin with a dot */
        if (name[0] == '.' || strlen(name) > DESTINATION_NAME_BYTES_MAX) continue;
        char path[RELAY_DIR_BYTES];
        bool is_file = !at->is_dir && path_join(path, sizeof path, all->dir, name) == OK &&
                       relay_directory_look(all->options.env, path, NULL) == ERR_INPUT;
        if (!is_file && find_runner(all, name) == NULL) note_left_over(all, name);
    }
    buf_fini(&names.all);
    if (e && e != ERR_MISSING)
        log_warn("relay: cannot list the destinations in the storage directory", KV("error", &why));
}

void
relays_commit(struct relays_change *c)
{
    struct relays *all = c->relays;
    struct runner *gone[DESTINATIONS_MAX];
    bool first = all->list == NULL;
    uint32_t gone_count = switch_runners(c, gone);
    if (all->options.queue != NULL) write_queue_expect(all->options.queue, all->count);
    for (uint32_t i = 0; i < gone_count; i++)
        runner_stop(gone[i]);
    for (uint32_t i = 0; i < gone_count; i++) {
        runner_join(gone[i]);
        note_end(all, gone[i]);
        runner_free(gone[i]);
    }
    for (uint32_t i = 0; i < all->count; i++) {
        const char *name = all->runners[i]->settings->name;
        assert(strcmp(name, all->list->destinations.items[i].name) == 0); /* invariant 1 */
        assert(find_runner(all, name) == all->runners[i]);                /* invariant 1 */
        if (c->is_new[i]) worker_wake(&all->runners[i]->worker);
    }
    if (first) note_all_left_over(all);
    mem_free(NULL, c, sizeof *c);
}

void
relays_stop(struct relays *all)
{
    if (all == NULL) return;
    lock_take(&all->lock);
    for (uint32_t i = 0; i < all->count; i++)
        runner_stop(all->runners[i]);
    lock_drop(&all->lock);
}

void
relays_free(struct relays *all)
{
    if (all == NULL) return;
    metric_unregister(&all->collector.link);
    relays_stop(all);
    for (uint32_t i = 0; i < all->count; i++)
        runner_free(all->runners[i]);
    assert(atomic_load(&all->full) == 0);               /* invariant 4 */
    assert(all->list == NULL || all->list->users == 1); /* invariant 3 */
    list_drop(all->list);
    lock_fini(&all->lock);
    mem_free(NULL, all, sizeof *all);
}

/* --- watching --------------------------------------------------------------------------------- */

void
relays_each(struct relays *all, void (*each)(void *context, const struct relays_view *view),
            void *context)
{
    lock_take(&all->lock);
    for (uint32_t i = 0; i < all->count; i++) {
        struct runner *r = all->runners[i];
        struct relays_view view = {.settings = r->settings};
        lock_take(&r->lock);
        view.opened = r->relay != NULL;
        if (view.opened) {
            relay_status(r->relay, &r->last);
            r->counted = true;
        }
        view.status = r->last;
        view.counted = r->counted;
        struct why error = r->error;
        lock_drop(&r->lock);
        view.error = error.text;
        each(context, &view);
    }
    lock_drop(&all->lock);
}

/* Takes the relay of that name, and the lock of its runner. NULL: it is not open; see `why`. */
static struct runner *
take_open(struct relays *all, struct bytes name, enum err *ret_e, struct why *why)
{
    struct runner *found = NULL;
    *ret_e = why_set(why, ERR_MISSING, "destination not found");
    lock_take(&all->lock);
    for (uint32_t i = 0; i < all->count && found == NULL; i++) {
        struct runner *r = all->runners[i];
        if (!bytes_equal_text(name, r->settings->name)) continue;
        lock_take(&r->lock);
        if (r->relay != NULL) {
            found = r;
            break;
        }
        lock_drop(&r->lock);
        *ret_e = why_set(
            why, ERR_AGAIN,
            "the destination is not open; see its lastError in /api/v1/status/destinations");
        break;
    }
    if (found == NULL) lock_drop(&all->lock);
    return found;
}

static void
drop_open(struct relays *all, struct runner *r)
{
    lock_drop(&r->lock);
    lock_drop(&all->lock);
}

enum err
relays_control(struct relays *all, struct bytes name, const struct destination_control *control,
               struct why *why)
{
    enum err e;
    struct runner *r = take_open(all, name, &e, why);
    if (r == NULL) return e;
    e = OK;
    if (control->verb == DESTINATION_REPLAY)
        e = relay_replay(r->relay, control->from_ms, why);
    else
        relay_wish(r->relay, control->verb == DESTINATION_PAUSE);
    drop_open(all, r);
    return e;
}

enum err
relays_letters_want(struct relays *all, struct bytes name, bool drop, uint64_t *ret_number,
                    struct why *why)
{
    enum err e;
    struct runner *r = take_open(all, name, &e, why);
    if (r == NULL) return e;
    e = relay_letters_want(r->relay, drop, ret_number, why);
    drop_open(all, r);
    return e;
}

enum err
relays_letters_done(struct relays *all, struct bytes name, uint64_t number, bool *ret_done,
                    uint64_t *ret_lines, struct why *why)
{
    enum err e;
    struct runner *r = take_open(all, name, &e, why);
    if (r == NULL) return e;
    e = relay_letters_done(r->relay, number, ret_done, ret_lines, why);
    drop_open(all, r);
    return e;
}

struct destinations *
relays_borrow(struct relays *all)
{
    lock_take(&all->lock);
    struct destination_list *list = all->list;
    assert(list != NULL && list->users > 0); /* invariant 3 */
    atomic_fetch_add_explicit(&list->users, 1, memory_order_relaxed);
    lock_drop(&all->lock);
    return &list->destinations;
}

void
relays_return(struct destinations *borrowed)
{
    list_drop((struct destination_list *)borrowed);
}

bool
relays_are_full(struct relays *all)
{
    return atomic_load_explicit(&all->full, memory_order_relaxed) > 0;
}

bool
relays_have_saved(struct relays *all, uint64_t pos)
{
    bool passed = true;
    lock_take(&all->lock);
    for (uint32_t i = 0; i < all->count && passed; i++) {
        struct runner *r = all->runners[i];
        struct relay_status status = {.state = RELAY_PAUSED};
        lock_take(&r->lock);
        if (r->relay != NULL) relay_status(r->relay, &status);
        lock_drop(&r->lock);
        passed = status.state != RELAY_RUNNING || relay_guard_pos(r->guard) >= pos;
    }
    lock_drop(&all->lock);
    return passed;
}

int64_t
relays_batch_age_ms(struct relays *all)
{
    int64_t most_ms = 0;
    lock_take(&all->lock);
    for (uint32_t i = 0; i < all->count; i++) {
        int64_t age_ms = all->runners[i]->settings->batch.max_age_ms;
        if (age_ms > most_ms) most_ms = age_ms;
    }
    lock_drop(&all->lock);
    return most_ms < BATCH_AGE_MS_MAX ? most_ms : BATCH_AGE_MS_MAX;
}

void
relays_print_yaml(struct relays *all, struct buf *to)
{
    lock_take(&all->lock);
    if (all->list != NULL) destinations_print_yaml(&all->list->destinations, to);
    lock_drop(&all->lock);
}
