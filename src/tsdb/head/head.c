/*
 * head.c - generations, epochs and time of the head. What goes in comes by ingest.c, what tenants
 * said of their metrics is in tenant.c.
 */
#include "tsdb/head/head.h"

#include <assert.h>

#include "tsdb/head/ingest.h"

/* A clock before this was never set: the time this source was written. */
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
retention_now_ms(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    int64_t now = env_realtime_ms(head->env), newest = head->newest_ms;
    bool own_counts = newest == INT64_MIN || head->retention_base_ms != INT64_MIN;
    if (own_counts && head->own_newest_ms > newest) newest = head->own_newest_ms;
    if (newest < now) now = newest;
    if (head->retention_base_ms == INT64_MIN) return now;
    int64_t lived = (env_monotonic_ns(head->env) - head->retention_base_ns) / NS_PER_MS;
    int64_t most = head->retention_base_ms + lived;
    return now < most ? now : most;
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
}

void
head_note_time(struct head *head, enum tsdb_origin origin, int64_t t_ms)
{
    int64_t *newest = origin == TSDB_FROM_SENDER ? &head->newest_ms : &head->own_newest_ms;
    if (t_ms > *newest) *newest = t_ms;
}

/* --- epochs ----------------------------------------------------------------------------------- */

/* Void epochs behind the durable one count as seen: samples that come next are two epochs away at
 * most, see views.h. */
uint64_t
head_visible_epoch(const struct head *head)
{
    if (head->undo_due) return head->durable_epoch;
    uint32_t slot = (head->void_count - 1) % VOIDS_REMEMBERED;
    bool voids_follow = head->void_count > 0 && head->voids[slot].first == head->durable_epoch + 1;
    return voids_follow ? head->voids[slot].last : head->durable_epoch;
}

void
head_epoch_moved(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    lock_take(&head->epoch_lock);
    head->durable_epoch = wal_durable_epoch(head->wal);
    lock_drop(&head->epoch_lock);
}

void
head_undo(struct head *head)
{
    assert(lock_is_mine(&head->lock));
    views_keep_only(&head->views, (uint32_t)head->durable_epoch);
    head->undo_due = gen_undo(head->active, (uint32_t)head->durable_epoch) != OK;
    tenants_undo(head, head->durable_epoch);
    lock_take(&head->epoch_lock);
    uint32_t slot = head->void_count++ % VOIDS_REMEMBERED;
    head->voids[slot].first = head->durable_epoch + 1;
    head->voids[slot].last = wal_place(head->wal).epoch;
    lock_drop(&head->epoch_lock);
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
 * New generations take most of their series over. A registry is left behind that is large for its
 * budget or a quarter dead; or that has any dead, while a limit of series refuses new ones.
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
    assert(head->frozen == NULL);
    struct cut cut = {.pos = pos,
                      .segment = wal_place(head->wal).segment,
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
    return OK;
}
