/*
 * head.c - generations, epochs and time of the head. Samples come in through ingest/; tenants,
 * ledgers and metadata are in tenant.c.
 *
 *      head_new_gen         head_cut_locked         the part is live (store/edit.c)
 *     -------------> active --------------> frozen -------------------------------> freed
 *
 * A commit makes an epoch durable (head_epoch_moved) or, with all later ones, void (head_undo).
 *
 * Invariants, under the head lock:
 *  1. From the first head_new_gen() on there is an active generation. Its `before` is the frozen
 *     one; both are NULL if none is frozen. A frozen generation has no `before`.
 *  2. Generation numbers rise: next_gen is greater than every number given.
 *  3. head->cut describes the frozen generation and is zero without one.
 *  4. durable_epoch never goes back.
 *  5. Void ranges are not empty, and each begins at or after the beginning of the one before: an
 *     undo voids all epochs from the durable one to the one that the log is filling.
 *  6. With HEAD_UNDO_DUE and HEAD_IS_SETTLED the log is down, so nothing is appended. Nothing is
 *     cut with HEAD_UNDO_DUE.
 *  7. A tenant's id is its index in `tenants`.
 */
#include "tsdb/head/head.h"

#include <assert.h>

#include "tsdb/head/ingest/ingest.h"

/* A clock that is earlier was never set: this source was written then. */
#define BUILD_TIME_MS 1763596800000LL

void
head_init(struct head *head)
{
    lock_init(&head->lock, LOCK_RANK_HEAD);
    lock_init(&head->epoch_lock, LOCK_RANK_EPOCH);
    head_watch_arrivals(head, (struct time_range){INT64_MAX, INT64_MIN});
}

enum err
head_begin(struct head *head)
{
    return scratch_new(&head->budget, &head->scratch);
}

void
head_fini(struct head *head)
{
    rules_in_force_fini(&head->rules);
    gen_unref(head->frozen);
    gen_unref(head->active);
    cut_free(head, &head->cut);
    scratch_free(&head->budget, head->scratch);
    tenants_free(head);
    lock_fini(&head->lock);
    lock_fini(&head->epoch_lock);
}

/* --- time ------------------------------------------------------------------------------------- */

int64_t
head_lived_ms(const struct head *head)
{
    return (env_monotonic_ns(head->env) - head->begun_ns) / NS_PER_MS;
}

int64_t
retention_clock_ms(const struct head *head)
{
    int64_t now = env_realtime_ms(head->env);
    if (head->retention_base_ms == INT64_MIN) return now;
    int64_t most = head->retention_base_ms + head_lived_ms(head);
    return now < most ? now : most;
}

int64_t
retention_now_ms(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    int64_t now = retention_clock_ms(head), newest = head->newest_ms;
    bool own_counts = newest == INT64_MIN || head->own_counts;
    if (own_counts && head->own_newest_ms > newest) newest = head->own_newest_ms;
    return newest < now ? newest : now;
}

bool
head_set_limits(struct head *head, const struct tsdb_limits *limits)
{
    assert(lock_is_mine(&head->lock));
    struct rules_configured next = {limits->retention_rules, limits->retention_ms};
    if (head->options->rules_as_stored) next = head->rules.now;
    bool changed = rules_in_force_change(&head->rules, &next, env_realtime_ms(head->env),
                                         env_monotonic_ns(head->env));
    head->limits = *limits;
    head->limits.retention_rules = NULL;
    retention_settle(head);
    head->limits.retention_ms = head->rules.kept_ms;
    return changed;
}

/*
 * The rest of the grace of former rules. The clock counts, so that it passes while no server runs,
 * but not faster than this process lives, and not ahead of the newest sample: a clock that jumps
 * ahead ends no grace. A clock that was ahead when the rules changed does not prolong it: no grace
 * takes longer than its time in one process.
 */
static int64_t
grace_left_ms(const struct head *head, const struct rules_former *former)
{
    int64_t grace_ms = head->limits.retention_grace_ms;
    int64_t now_ns = env_monotonic_ns(head->env), now_ms = env_realtime_ms(head->env);
    int64_t left_ms = grace_ms - (now_ns - former->seen_ns) / NS_PER_MS;
    int64_t newest_ms = head->newest_ms == INT64_MIN ? head->own_newest_ms : head->newest_ms;
    int64_t most_ms = head->begun_ms + head_lived_ms(head);
    if (now_ms > most_ms) now_ms = most_ms;
    if (now_ms > newest_ms) now_ms = newest_ms;
    if (head->clock == TSDB_CLOCK_GOOD && now_ms > former->left_ms) {
        int64_t by_clock_ms = grace_ms - (now_ms - former->left_ms);
        if (by_clock_ms < left_ms) left_ms = by_clock_ms;
    }
    return left_ms < 0 ? 0 : left_ms;
}

bool
retention_settle(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    uint32_t count = head->rules.former_count, left = count;
    while (left > 0 && grace_left_ms(head, &head->rules.former[left - 1]) == 0) {
        left--;
    }
    if (left == count) return false;
    rules_in_force_forget(&head->rules, left);
    rules_in_force_combine(&head->rules);
    head->limits.retention_ms = head->rules.kept_ms;
    return true;
}

int64_t
retention_grace_left_ms(const struct head *head)
{
    assert(lock_is_mine(&head->lock));
    int64_t most_ms = 0;
    for (uint32_t i = 0; i < head->rules.former_count; i++) {
        int64_t left_ms = grace_left_ms(head, &head->rules.former[i]);
        if (left_ms > most_ms) most_ms = left_ms;
    }
    return most_ms;
}

int64_t
retention_rules_now_ms(struct head *head)
{
    if (head->clock != TSDB_CLOCK_GOOD) return INT64_MIN;
    int64_t now_ms = retention_now_ms(head);
    if (now_ms < 0) return INT64_MIN; /* no sample is older than the Unix epoch and a rule */
    return now_ms - now_ms % RETENTION_STEP_MS;
}

struct series_rules *
retention_rules(struct head *head, int64_t *ret_now_ms)
{
    assert(lock_is_mine(&head->lock));
    *ret_now_ms = INT64_MIN;
    if (head->rules.former_count > 0) retention_settle(head);
    if (head->rules.all == NULL) return NULL;
    *ret_now_ms = retention_rules_now_ms(head);
    return *ret_now_ms == INT64_MIN ? NULL : series_rules_ref(head->rules.all);
}

void
look_at_clock(struct head *head)
{
    int64_t now = env_realtime_ms(head->env);
    bool behind =
        head->newest_ms != INT64_MIN && now < head->newest_ms - head->limits.max_future_ms;
    head->clock = behind                ? TSDB_CLOCK_BEFORE_SAMPLES
                  : now < BUILD_TIME_MS ? TSDB_CLOCK_BEFORE_RELEASE
                                        : TSDB_CLOCK_GOOD;
    bool first = head->clock == TSDB_CLOCK_GOOD && head->retention_base_ms == INT64_MIN;
    if (first) head->retention_base_ms = now - head_lived_ms(head);
}

void
head_note_time(struct head *head, enum tsdb_origin origin, int64_t t_ms)
{
    int64_t *newest = origin == TSDB_FROM_SENDER ? &head->newest_ms : &head->own_newest_ms;
    if (t_ms > *newest) *newest = t_ms;
}

/* --- epochs ----------------------------------------------------------------------------------- */

void
head_validate(const struct head *head)
{
    assert(lock_is_mine(&head->lock));
    assert(head->active->before == head->frozen);                 /* invariant 1 */
    assert(head->frozen == NULL || head->frozen->before == NULL); /* invariant 1 */
    assert(head->active->number < head->next_gen);                /* invariant 2 */
    assert(head->frozen != NULL || head->cut.ledgers == NULL);    /* invariant 3 */
    assert(head->frozen != NULL || head->cut.part == NULL);       /* invariant 3 */
    assert(head->cut.tenant_count <= head->tenant_count);         /* invariant 3 */

    for (uint32_t i = 0; i < head->tenant_count; i++) {
        assert(head->tenants[i]->id == i); /* invariant 7 */
    }
    views_validate(&head->views);
    if (head->outage != HEAD_UNDO_DUE) gen_validate(head->active);
    if (head->frozen != NULL) gen_validate(head->frozen);
}

/* Void epochs that directly follow the durable one count as visible, so that the samples that come
 * next are at most two epochs ahead: see gen.h. */
uint64_t
head_visible_epoch(const struct head *head)
{
    if (head->outage == HEAD_UNDO_DUE) return head->durable_epoch;
    uint32_t slot = (head->void_count - 1) % VOIDS_REMEMBERED;
    bool voids_follow = head->void_count > 0 && head->voids[slot].first == head->durable_epoch + 1;
    return voids_follow ? head->voids[slot].last : head->durable_epoch;
}

void
head_epoch_moved(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    uint64_t epoch = wal_durable_epoch(head->wal);
    assert(epoch >= head->durable_epoch); /* invariant 4 */
    lock_take(&head->epoch_lock);
    head->durable_epoch = epoch;
    lock_drop(&head->epoch_lock);
}

void
head_undo(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    views_keep_only(&head->views, (uint32_t)head->durable_epoch);
    assert(wal_is_down(head->wal)); /* invariant 6 */
    bool undone = gen_undo(head->active, (uint32_t)head->durable_epoch) == OK;
    head->outage = undone ? HEAD_IS_SETTLED : HEAD_UNDO_DUE;
    tenants_undo(head, head->durable_epoch);
    uint64_t first = head->durable_epoch + 1, last = wal_filling(head->wal).epoch;
    assert(first <= last); /* invariant 5 */
    lock_take(&head->epoch_lock);
    uint32_t before = (head->void_count - 1) % VOIDS_REMEMBERED;
    assert(head->void_count == 0 || head->voids[before].first <= first); /* invariant 5 */
    uint32_t slot = head->void_count++ % VOIDS_REMEMBERED;
    head->voids[slot].first = first;
    head->voids[slot].last = last;
    lock_drop(&head->epoch_lock);
#ifdef LOCK_CHECK
    head_validate(head);
#endif
}

enum tsdb_epoch
head_epoch_state(struct head *head, uint64_t epoch)
{
    enum tsdb_epoch state = TSDB_EPOCH_DURABLE;
    lock_take(&head->epoch_lock);
    uint32_t known = head->void_count < VOIDS_REMEMBERED ? head->void_count : VOIDS_REMEMBERED;
    for (uint32_t i = 0; i < known; i++) {
        if (epoch >= head->voids[i].first && epoch <= head->voids[i].last) state = TSDB_EPOCH_VOID;
    }
    if (head->void_count > VOIDS_REMEMBERED &&
        epoch < head->voids[head->void_count % VOIDS_REMEMBERED].first) {
        state = TSDB_EPOCH_VOID;
    }
    if (state != TSDB_EPOCH_VOID && epoch > head->durable_epoch) state = TSDB_EPOCH_PENDING;
    lock_drop(&head->epoch_lock);
    return epoch == 0 ? TSDB_EPOCH_DURABLE : state;
}

/* --- generations ------------------------------------------------------------------------------ */

/*
 * Says whether the next generation goes on with the registry of the active one, which saves adding
 * its series again. It gets a new one if this one is large for its budget or a quarter of its
 * series are dead; or any is, while a limit refuses new series.
 */
static bool
registry_lasts(const struct head *head)
{
    const struct gen *gen = head->active;
    const struct registry *r = gen->registry;
    uint64_t limit = head->options->head_bytes_max;
    if (limit != 0 && registry_bytes(r) > limit / 4) return false;
    if (head->series_refused) return gen->series_count == r->series.count;
    return gen->series_count >= r->series.count / 4 * 3;
}

enum err
head_new_gen(struct head *head, struct registry *shared, struct gen **ret_gen)
{
    struct registry *registry = shared;
    struct gen *gen;
    enum err e = OK;
    if (shared != NULL) {
        registry_ref(registry);
    } else {
        e = registry_new(&head->budget, head->next_ref, head->hash_seed, &registry);
    }
    if (e == OK) e = gen_new(&head->budget, head->next_gen, registry, &head->views, &gen);
    registry_unref(registry);
    if (e) return e;
    assert(head->active == NULL || head->active->number < gen->number); /* invariant 2 */
    head->next_gen++;
    gen->begun_ns = env_monotonic_ns(head->env);
    *ret_gen = gen;
    return OK;
}

void
cut_free(struct head *head, struct cut *cut)
{
    mem_free(head->cut_budget, cut->ledgers, cut->tenant_count * sizeof *cut->ledgers);
    part_unref(cut->part);
    *cut = (struct cut){0};
}

static bool
is_beyond(const struct head *head, uint64_t bytes_max)
{
    uint64_t bytes = gen_bytes(head->active) + registry_bytes(head->active->registry);
    return bytes_max != 0 && bytes > bytes_max;
}

bool
head_is_large(const struct head *head)
{
    return is_beyond(head, head->options->head_bytes_max / 5 * 2);
}

bool
head_is_full(const struct head *head)
{
    return is_beyond(head, head->options->head_bytes_max);
}

enum err
head_cut_locked(struct head *head, uint64_t pos)
{
    assert(lock_is_mine(&head->lock));
    assert(head->frozen == NULL);          /* invariant 1 */
    assert(head->active->before == NULL);  /* invariant 1 */
    assert(head->cut.ledgers == NULL);     /* invariant 3 */
    assert(head->outage != HEAD_UNDO_DUE); /* invariant 6 */
    struct cut cut = {.pos = pos,
                      .segment = wal_filling(head->wal).segment,
                      .epoch = head->durable_epoch,
                      .metadata = head->metadata_changed};
    struct wal_stats log;
    wal_stats(head->wal, &log);
    memcpy(cut.log_totals, log.totals, sizeof cut.log_totals);
    cut.tenant_count = head->tenant_count;
    cut.ledgers = mem_alloc(head->cut_budget, head->tenant_count * sizeof *cut.ledgers);
    if (cut.ledgers == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < head->tenant_count; i++) {
        cut.ledgers[i] = head->tenants[i]->total;
    }
    struct registry *registry = head->active->registry;
    head->next_ref = registry->ref_base + registry->series.count;
    struct gen *next;
    enum err e = head_new_gen(head, registry_lasts(head) ? registry : NULL, &next);
    if (e) {
        cut_free(head, &cut);
        return e;
    }
    next->begin_pos = cut.pos;
    next->before = head->active;
    head->frozen = head->active;
    head->active = next;
    head->cut = cut;
    head->cut_wanted = head->parts_wanted = false;
    head->metadata_changed = head->metadata_due = false;
    head->series_refused = false;
#ifdef LOCK_CHECK
    head_validate(head);
#endif
    return OK;
}
