/*
 * merging.c - merges parts, and removes old ones.
 *
 *      live parts --- merge_plan() ---> inputs, windows --- a part_merge for each window --->
 *      outputs, all durable --- one edit: outputs live, inputs not, ledger moved ---> done
 *
 * A plan needs at most the available memory. If its merge needs more after all (the needs of one
 * series or tenant are not known before, see merge/parts.h), the next plan may need half, and so
 * on.
 *
 * Anything that stops a merge before the edit leaves the inputs live and the outputs unnamed.
 *
 * Counts of all outputs add up to those of the inputs, or nothing is changed: damage can break
 * this, so check_counts() returns an error.
 *
 * Merges leave out samples past their rule of retention, and roll up samples that are old enough
 * for a level of downsampling. Other merges only write parts again for that.
 *
 * Invariants:
 * 1. A merge has at most one output for each window of its plan.
 * 2. Retention drops a part at most once, and never the one that has the metadata.
 */
#include "base/hash/hash.h"
#include "model/series_rules.h"
#include "tsdb/merge/parts.h"
#include "tsdb/part/walk.h"
#include "tsdb/store/bucket.h"
#include "tsdb/store/store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* Shares of the memory of a merge. */
struct shares {
    uint64_t cache_bytes;
    size_t writer_bytes;
    uint64_t inputs_bytes;
};

struct merging {
    struct tsdb *db;
    const struct tsdb_merge_options *options;
    struct shares shares;
    struct version *version;
    struct tombstones *due; /* those that can no longer be undone, up to its last_id */
    struct merge_plan plan;
    struct part **live; /* the inputs as objects of the version */
    /* The same files, read through a cache of their own: pages of queries stay cached. */
    struct part_merge_input *inputs;
    struct page_cache *cache;
    struct part **outputs;
    uint32_t output_count;
    uint64_t to_pos;       /* end of the input that ends last: not always the last input */
    struct ledger *change; /* by tenant id */
    uint32_t change_count;
    uint64_t counted[LEDGER_KIND_COUNT]; /* counts of the inputs, in any output or dropped */
    struct series_rules *rules;          /* of retention; NULL: nothing is removed by rules */
    int64_t rules_now_ms;
    int64_t kept_ms;           /* age from which on all samples are expired; 0: never */
    struct rule_done *removed; /* by rule */
    struct part_merge_level levels[TSDB_LEVELS_MAX];
    struct series_rules *level_rules[TSDB_LEVELS_MAX]; /* of these; references */
    uint32_t level_count;
    uint64_t levels_number; /* other levels have another one; 0 for none */
    int64_t levels_now_ms;
    struct time_range *foreign; /* see list_foreign() */
    uint32_t foreign_count;
    struct tsdb_merge_now now;
    struct arena arena;
    struct why *why;
    bool bucket_rests; /* parts in the bucket are not merged */
};

/* --- merges that only write parts again ------------------------------------------------------- */

/*
 * Plans merges that only write parts again: without samples past their rules of retention, or with
 * levels of downsampling in place of samples.
 *
 * A part is worth it from a share of its samples or bytes on, or, in a full merge, from any. The
 * share is estimated by the index of some of its series, at most once per hour. A full merge looks
 * at all series for rules of retention, as it removes all that is past them.
 */

enum {
    ROWS_ESTIMATED = 1024,    /* series of a part that are looked at, evenly spread */
    ROWS_AT_ONCE = 64 * 1024, /* series after which a merge may be stopped */
    LEVEL_PERCENT = 25,       /* share of a part that is worth rolling up */
    LEVEL_SAMPLES_MIN = 8,    /* samples for each window that may be worth it, */
    LEVEL_BYTES_MIN = 2,      /* and their bytes */
};

#define LOOK_AGAIN_NS  (3600 * NS_PER_S)
#define REMOTE_REST_NS (60 * NS_PER_S)

/* ERR_CANCELED: the merge is to stop. */
static MUST_CHECK enum err
merging_check(struct merging *g)
{
    if (g->options->go_on == NULL || g->options->go_on(g->options->context)) return OK;
    return why_set(g->why, ERR_CANCELED, "merge stopped on request");
}

/* Calls `each` for up to `rows_max` series of a part, evenly spread. Views end with the call. */
static enum err
sample_rows(struct merging *g, struct part *part, uint32_t rows_max,
            void (*each)(void *context, struct bytes tenant, struct bytes labels,
                         const struct block_ref *blocks, uint32_t count),
            void *context)
{
    uint32_t step = (uint32_t)(part_info(part)->series_count / rows_max + 1), looked_at = 0;
    struct arena arena;
    enum err e = OK;
    arena_init(&arena, &g->db->merge_budget, 0, 0);
    for (uint32_t t = 0; t < part_tenant_count(part) && e == OK; t++) {
        const struct part_tenant *tenant = part_tenant_at(part, t);
        struct part_index index;
        struct row_reader *rows;
        uint32_t end = tenant->first_series + tenant->series_count;
        arena_reset(&arena);
        e = part_index_load(part, tenant, &arena, &index, g->why);
        if (e == OK) e = row_reader_new(&index, &g->db->merge_budget, &rows);
        if (e) break;
        /* The first multiple of the step in the tenant's range, and those after it. */
        uint32_t first = (tenant->first_series + step - 1) / step * step;
        for (uint32_t number = first; number < end && e == OK; number += step) {
            struct bytes labels;
            const struct block_ref *blocks;
            uint32_t count;
            e = row_read(rows, number, &labels, &blocks, &count, g->why);
            if (e == OK) each(context, tenant->name, labels, blocks, count);
            if (e == OK && ++looked_at % ROWS_AT_ONCE == 0) e = merging_check(g);
        }
        row_reader_free(rows);
    }
    arena_fini(&arena);
    return e;
}

/* --- samples past the rules of retention ------------------------------------------------------ */

/* Samples or bytes of the series that were looked at. */
struct estimate {
    const struct merging *g;
    const struct part *part;
    struct time_range partition; /* of the part */
    uint64_t wanted;             /* those that a merge would remove or replace */
    uint64_t all;
};

static void
add_removable(void *context, struct bytes tenant, struct bytes labels,
              const struct block_ref *blocks, uint32_t count)
{
    struct estimate *x = context;
    int64_t age_ms, cut_ms = INT64_MIN;
    if (series_rules_find(x->g->rules, tenant, labels, &age_ms) != NULL)
        cut_ms = x->g->rules_now_ms - age_ms;
    for (uint32_t i = 0; i < count; i++) {
        const struct block_ref *b = &blocks[i];
        x->all += b->count;
        if (b->min_ms >= cut_ms) continue;
        /* Samples of a block are taken to be evenly spread. */
        double share =
            ((double)cut_ms - (double)b->min_ms) / ((double)b->max_ms - (double)b->min_ms + 1);
        bool all = b->max_ms < cut_ms;
        x->wanted += all ? b->count : 1 + (uint64_t)(share * (double)(b->count - 1));
    }
}

/* Plans to rewrite the first part of which enough is past its rules. */
static MUST_CHECK enum err
merging_plan_rules(struct merging *g, const struct plan_part *parts,
                   const struct merge_plan_options *options)
{
    struct tsdb *db = g->db;
    const struct version *v = g->version;
    int64_t now_ns = env_monotonic_ns(db->env);
    uint64_t serial = series_rules_serial(g->rules);
    bool all = g->options->mode == TSDB_MERGE_FULL, looked = db->rules_looked == serial;
    if (g->rules == NULL || (!all && looked && now_ns < db->rules_look_ns)) return OK;
    lock_take(&db->head.lock);
    uint32_t enough = all ? 1 : db->head.limits.retention_rewrite_percent;
    lock_drop(&db->head.lock);
    for (uint32_t i = 0; i < v->part_count; i++) {
        unsigned percent = 0;
        if (parts[i].fixed) continue;
        if (!part_merge_may_expire(g->rules, g->rules_now_ms, part_info(v->parts[i]))) continue;
        if (parts[i].bytes > options->bytes_max) continue; /* until there is room for its copy */
        if (part_is_within_rules(v->parts[i], serial, g->rules_now_ms)) continue;
        /* Estimates the percentage of a part's samples that are past their rules, by some of its
         * series. */
        struct estimate x = {.g = g, .part = v->parts[i]};
        enum err e =
            sample_rows(g, v->parts[i], all ? UINT32_MAX : ROWS_ESTIMATED, add_removable, &x);
        percent = x.all == 0 ? 0 : (unsigned)((x.wanted * 100 + x.all - 1) / x.all);
        if (e == ERR_CORRUPT) part_leave_alone(v->parts[i], g->why);
        if (e) return e;
        if (percent > 0 && percent >= enough)
            return merge_plan_alone(parts, i, options, &g->arena, &g->plan);
        if (all) part_set_within_rules(v->parts[i], serial, g->rules_now_ms);
    }
    db->rules_looked = serial;
    db->rules_look_ns = now_ns + LOOK_AGAIN_NS;
    return OK;
}

/* --- samples that levels may replace ---------------------------------------------------------- */

/* The end of the last window that the level may replace at a time; INT64_MIN if none. */
static int64_t
level_before_ms(const struct part_merge_level *level, struct bytes tenant, struct bytes labels,
                int64_t now_ms)
{
    int64_t age_ms;
    if (series_rules_find(level->rules, tenant, labels, &age_ms) == NULL) return INT64_MIN;
    if (now_ms < INT64_MIN + age_ms) return INT64_MIN;
    int64_t before_ms = now_ms - age_ms,
            end_ms = rollup_window_end(before_ms, level->resolution_ms);
    return end_ms > before_ms ? end_ms - level->resolution_ms : end_ms;
}

/* True if a level may replace something of the block since the last merge of the part, and that
 * may be worth it. */
static bool
is_replaceable(const struct estimate *x, const struct part_merge_level *level,
               const struct block_ref *b, int64_t done_before_ms, int64_t before_ms)
{
    struct time_range span = block_span(b), window;
    if (b->resolution_ms >= level->resolution_ms) return false;
    if (span.max_ms > before_ms || span.max_ms <= done_before_ms) return false;
    /* The first window that lies in the partition as a whole: it may be after the block. */
    int64_t end_ms = rollup_window_end(block_span(b).min_ms, level->resolution_ms);
    if (end_ms < INT64_MIN + 2 * level->resolution_ms || end_ms > INT64_MAX - level->resolution_ms)
        return false;
    if (end_ms - level->resolution_ms + 1 < x->partition.min_ms) end_ms += level->resolution_ms;
    window = (struct time_range){end_ms - level->resolution_ms + 1, end_ms};
    if (end_ms > x->partition.max_ms) return false;
    if (window.min_ms > span.max_ms || window.max_ms > before_ms) return false;
    uint64_t windows = (uint64_t)(span.max_ms - span.min_ms) / level->resolution_ms + 1;
    if (b->resolution_ms == 0 && b->count / LEVEL_SAMPLES_MIN < windows) return false;
    return block_bytes_stored(b) / LEVEL_BYTES_MIN >= windows;
}

/* Adds the bytes of a series' blocks, and of those that a level may replace. */
static void
add_replaceable(void *context, struct bytes tenant, struct bytes labels,
                const struct block_ref *blocks, uint32_t count)
{
    struct estimate *x = context;
    const struct merging *g = x->g;
    int64_t done_ms = part_leveled_ms(x->part, g->levels_number);
    int64_t before_ms[TSDB_LEVELS_MAX], done_before_ms[TSDB_LEVELS_MAX];
    for (uint32_t k = 0; k < g->level_count; k++) {
        const struct part_merge_level *level = &g->levels[k];
        bool nests = part_merge_nests(x->part, level->resolution_ms);
        before_ms[k] = nests ? level_before_ms(level, tenant, labels, g->levels_now_ms) : INT64_MIN;
        done_before_ms[k] =
            done_ms == INT64_MIN ? INT64_MIN : level_before_ms(level, tenant, labels, done_ms);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool any = false;
        for (uint32_t k = 0; k < g->level_count && !any; k++)
            any = is_replaceable(x, &g->levels[k], &blocks[i], done_before_ms[k], before_ms[k]);
        x->all += block_bytes_stored(&blocks[i]);
        if (any) x->wanted += block_bytes_stored(&blocks[i]);
    }
}

/* Plans to write the first partition again of which levels may replace enough. */
static MUST_CHECK enum err
merging_plan_levels(struct merging *g, const struct plan_part *parts,
                    const struct merge_plan_options *options)
{
    struct tsdb *db = g->db;
    const struct version *v = g->version;
    int64_t now_ns = env_monotonic_ns(db->env);
    bool full = g->options->mode == TSDB_MERGE_FULL;
    bool looked = db->levels_looked == g->levels_number && now_ns < db->levels_look_ns;
    if (g->level_count == 0 || (looked && !full)) return OK;
    for (uint32_t i = 0; i < v->part_count; i++) {
        uint64_t percent;
        bool concerned = false;
        for (uint32_t k = 0; k < g->level_count && !parts[i].fixed; k++) {
            concerned |=
                part_merge_may_expire(g->levels[k].rules, g->levels_now_ms, part_info(v->parts[i]));
        }
        if (!concerned) continue;
        /* Estimates the percentage of a part's bytes that levels may replace. */
        struct estimate x = {.g = g, .part = v->parts[i]};
        x.partition =
            partition_of(part_info(v->parts[i])->time.min_ms, env_realtime_ms(g->db->env));
        enum err e = sample_rows(g, v->parts[i], ROWS_ESTIMATED, add_replaceable, &x);
        percent = x.all == 0 ? 0 : x.wanted * 100 / x.all;
        if (e == ERR_CORRUPT) part_leave_alone(v->parts[i], g->why);
        if (e) return e;
        if (percent < (full ? 1 : LEVEL_PERCENT)) continue;
        e = merge_plan_partition(parts, v->part_count, i, options, &g->arena, &g->plan);
        if (e || g->plan.input_count > 0) return e;
    }
    db->levels_looked = g->levels_number;
    db->levels_look_ns = now_ns + LOOK_AGAIN_NS;
    return OK;
}

/* --- limits ----------------------------------------------------------------------------------- */

enum {
    SAMPLES_AT_ONCE = 64 * 1024,
    LEVEL_SOON = 1,
    LEVEL_LAST = PART_LEVEL_LAST,
    CACHE_BYTES = 4 * 1024 * 1024,
    CACHE_SHARE = 32,         /* at most this share of the memory of a merge */
    MERGING_WRITER_SHARE = 8, /* share of the writer; most is for label values */
    LISTS_BYTES = 512 * 1024, /* memory of lists: parts, tombstones, ledgers */
    HALVINGS_MAX = 6,
    CLEAN_AFTER_MS = 2 * 3600 * 1000, /* deletions come in groups: one rewrite for many */
    RULES_BYTES = 256 * 1024,         /* memory of an input for labels, by which rules are found */
};

/* Samples before this time are expired; INT64_MIN while the clock is not trusted. `ret_kept_ms` is
 * the age that decides. */
static int64_t
expired_before_ms(struct tsdb *db, int64_t *ret_kept_ms)
{
    lock_take(&db->head.lock);
    retention_settle(&db->head);
    int64_t now = retention_now_ms(&db->head), kept = db->head.limits.retention_ms;
    bool none = db->head.clock != TSDB_CLOCK_GOOD || kept == 0 || now < INT64_MIN + kept;
    lock_drop(&db->head.lock);
    *ret_kept_ms = kept;
    return none ? INT64_MIN : now - kept;
}

/* Takes the levels of downsampling; none while the clock is not trusted. */
static void
take_levels(struct merging *g)
{
    struct head *head = &g->db->head;
    lock_take(&head->lock);
    const struct tsdb_limits *limits = &head->limits;
    g->levels_now_ms = retention_now_ms(head);
    for (uint32_t i = 0; i < limits->level_count && head->clock == TSDB_CLOCK_GOOD; i++) {
        struct series_rules *rules = series_rules_ref(limits->levels[i].rules);
        int64_t resolution_ms = limits->levels[i].resolution_ms;
        g->level_rules[i] = rules;
        g->levels[i] = (struct part_merge_level){resolution_ms, rules, NULL};
        g->level_count++;
    }
    g->levels_number = g->level_count == 0 ? 0 : levels_number(limits);
    lock_drop(&head->lock);
    bool has_rollups = g->level_count > 0, has_histograms = false;
    for (uint32_t i = 0; i < g->version->part_count; i++) {
        const struct part_info *info = part_info(g->version->parts[i]);
        has_rollups |= info->rollup_rows > 0;
        has_histograms |= info->sample_count[LEDGER_HISTOGRAM] + info->histogram_rollup_rows > 0;
    }
    uint64_t memory = has_rollups ? part_merge_memory_levels(has_histograms) : 0;
    if (g->shares.inputs_bytes == UINT64_MAX) return;
    g->shares.inputs_bytes -= memory < g->shares.inputs_bytes ? memory : g->shares.inputs_bytes;
}

/* --- counting --------------------------------------------------------------------------------- */

static void
move(struct ledger *change, enum ledger_kind k, enum ledger_field to, uint64_t count)
{
    change->stored[k] -= count;
    change->count[k][to] += count;
    /* A duplicate had been counted as accepted. */
    if (to == LEDGER_DUPLICATE) change->count[k][LEDGER_ACCEPTED] -= count;
}

/* Adds floats and histograms to `samples`, and exemplars to `exemplars`. */
static void
count_kinds(const uint64_t count[LEDGER_KIND_COUNT], uint64_t *samples, uint64_t *exemplars)
{
    *samples += count[LEDGER_FLOAT] + count[LEDGER_HISTOGRAM];
    *exemplars += count[LEDGER_EXEMPLAR];
}

static enum err
ledger_change(struct tsdb *db, struct arena *arena, struct ledger **ret, uint32_t *ret_count)
{
    lock_take(&db->edit_lock);
    *ret_count = db->saved.tenant_count; /* all tenants that can have samples in parts */
    lock_drop(&db->edit_lock);
    *ret = arena_new(arena, (*ret_count + 1u) * sizeof **ret);
    return *ret == NULL ? ERR_NOMEM : OK;
}

static struct ledger *
change_of(struct tsdb *db, struct bytes tenant, struct ledger *change, uint32_t count)
{
    lock_take(&db->head.lock);
    const struct tenant *t = tenant_find(&db->head, tenant);
    lock_drop(&db->head.lock);
    assert(t != NULL);
    assert(t->id < count);
    return &change[t->id];
}

static enum err
check_counts(struct merging *g)
{
    uint64_t held[LEDGER_KIND_COUNT] = {0};
    for (uint32_t i = 0; i < g->plan.input_count; i++)
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            held[k] += part_info(g->live[i])->sample_count[k];
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        if (held[k] == g->counted[k]) continue;
        why_set(g->why, ERR_CORRUPT,
                "merging %u parts would turn %" PRIu64 " %s samples into %" PRIu64
                ": parts left unmerged",
                g->plan.input_count, held[k], ledger_kind_word(k), g->counted[k]);
        for (uint32_t i = 0; i < g->plan.input_count; i++)
            part_leave_alone(g->live[i], g->why);
        return ERR_CORRUPT;
    }
    return OK;
}

/* --- carrying out a plan ---------------------------------------------------------------------- */

static struct shares
shares_of(uint64_t bytes)
{
    if (bytes == 0) return (struct shares){CACHE_BYTES, PART_WRITER_MEMORY, UINT64_MAX};
    struct shares s = {bytes / CACHE_SHARE, bytes / MERGING_WRITER_SHARE, 0};
    if (s.cache_bytes > CACHE_BYTES) s.cache_bytes = CACHE_BYTES;
    if (s.writer_bytes > PART_WRITER_MEMORY) s.writer_bytes = PART_WRITER_MEMORY;
    uint64_t base = part_merge_memory_base(s.writer_bytes) + s.cache_bytes + LISTS_BYTES;
    if (bytes > base) s.inputs_bytes = bytes - base;
    return s;
}

/* True while merges leave parts in the bucket as they are: it did not answer, or its catalog is
 * another writer's now, who may remove what they would read. */
static bool
bucket_rests(struct tsdb *db)
{
    lock_take(&db->live.lock);
    bool stopped = db->bucket != NULL && bucket_is_stopped(db->bucket);
    lock_drop(&db->live.lock);
    return stopped || env_monotonic_ns(db->env) < db->remote_rest_ns;
}

static bool
is_alone(const struct merging *g, const struct part *part)
{
    return part_is_left_alone(part) || (g->bucket_rests && part_is_remote(part));
}

static enum err
list_parts(struct merging *g, struct plan_part **ret_parts)
{
    const struct version *v = g->version;
    uint64_t up_to = g->options->up_to_pos != 0 ? g->options->up_to_pos : UINT64_MAX;
    struct plan_part *parts = arena_alloc(&g->arena, (v->part_count + 1u) * sizeof *parts);
    if (parts == NULL) return ERR_NOMEM;
    g->bucket_rests = bucket_rests(g->db);
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        parts[i] = (struct plan_part){.from_pos = info->from_pos,
                                      .to_pos = info->to_pos,
                                      .time = info->time,
                                      .bytes = info->file_bytes,
                                      .memory = part_merge_memory(v->parts[i]) +
                                                (g->rules == NULL ? 0 : RULES_BYTES),
                                      .fixed = is_alone(g, v->parts[i]) || info->to_pos > up_to,
                                      .loose = info->level < LEVEL_LAST};
    }
    *ret_parts = parts;
    return OK;
}

/* Plans to rewrite a part that has deleted samples; parts that have none are marked as clean. A
 * part waits until the disk has room for its copy, unless a request cleans: the copy may be small.
 */
static enum err
plan_cleaning(struct merging *g, const struct plan_part *parts,
              const struct merge_plan_options *options)
{
    const struct version *v = g->version;
    bool marked = false;
    int64_t before =
        g->options->mode == TSDB_MERGE_CLEAN ? INT64_MAX : options->now_ms - CLEAN_AFTER_MS;
    for (uint32_t i = 0; i < v->part_count; i++) {
        struct part_deletion *deletions;
        uint32_t count;
        bool concerned = false;
        for (uint32_t t = 0; t < g->due->count && !concerned; t++) {
            const struct tombstone *tombstone = g->due->items[t];
            /* A tombstone of a future time was made before the clock was set back. */
            bool due = tombstone->made_ms <= before || tombstone->made_ms > options->now_ms;
            concerned = due && tombstone_concerns(tombstone, v->parts[i]);
        }
        if (!concerned || is_alone(g, v->parts[i])) continue;
        enum err e = tombstones_of_part(g->due, v->parts[i], (struct bytes){NULL, 0}, &g->arena,
                                        &deletions, &count, g->why);
        if (e == ERR_CORRUPT) part_leave_alone(v->parts[i], g->why);
        if (e) return e;
        bool is_asked = g->options->mode == TSDB_MERGE_CLEAN;
        bool fits = parts[i].bytes <= options->bytes_max ||
                    (is_asked && !part_is_remote(v->parts[i])); /* its copy goes then */
        if (count > 0 && !fits && is_asked) {
            return why_set(g->why, ERR_AGAIN,
                           "the disk has no room for the copies of parts that are only in the "
                           "bucket, until these are uploaded: try again later");
        }
        if (count > 0 && !fits) continue;
        if (count > 0) return merge_plan_alone(parts, i, options, &g->arena, &g->plan);
        part_set_applied(v->parts[i], g->due->last_id);
        marked = true;
    }
    struct store_edit nothing_else = {0};
    return marked ? store_edit(g->db, &nothing_else, g->why) : OK;
}

static bool
is_due(void *context, const struct tombstone *tombstone)
{
    const uint64_t *last = context;
    return tombstone->id <= *last;
}

/* Lists the positions across which no parts are joined: borders that are set, and deletions that
 * can be undone: a tombstone hides samples by the position of their part. */
static uint32_t
list_borders(const struct merging *g, uint64_t *borders)
{
    const struct tombstones *set = g->version->tombstones;
    uint32_t count = 0;
    lock_take(&g->db->live.lock);
    for (uint32_t i = 0; i < BORDERS_MAX; i++) {
        const struct border *b = &g->db->borders[i];
        if (b->used && b->pos > 0) borders[count++] = b->pos;
    }
    lock_drop(&g->db->live.lock);
    uint32_t first = count;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct tombstone *t = set->items[i];
        if (t->id <= g->due->last_id) continue;
        if (count > first && borders[count - 1] == t->pos) continue;
        assert(count < BORDERS_MAX + DELETIONS_KEPT_MAX);
        borders[count++] = t->pos;
    }
    return count;
}

static enum err
plan(struct merging *g)
{
    struct tsdb *db = g->db;
    struct plan_part *parts;
    store_look_at_space(db); /* merges of parts in the bucket free none */
    uint64_t borders[BORDERS_MAX + DELETIONS_KEPT_MAX];
    uint64_t free_bytes = atomic_load(&db->free_bytes), reserve = atomic_load(&db->reserve_bytes);
    struct merge_plan_options options = {
        .now_ms = env_realtime_ms(db->env),
        .bytes_max = free_bytes > reserve ? free_bytes - reserve : 0,
        .memory_max = g->shares.inputs_bytes >> atomic_load(&db->merge_halvings),
        .full = g->options->mode == TSDB_MERGE_FULL,
        .borders = borders,
        .border_count = list_borders(g, borders),
    };
    enum err e = list_parts(g, &parts);
    if (e == OK && g->options->mode != TSDB_MERGE_CLEAN)
        e = merge_plan(parts, g->version->part_count, &options, &g->arena, &g->plan);
    if (e || g->plan.input_count > 0) return e;
    e = plan_cleaning(g, parts, &options);
    if (e || g->plan.input_count > 0 || g->options->mode == TSDB_MERGE_CLEAN) return e;
    e = merging_plan_rules(g, parts, &options);
    if (e || g->plan.input_count > 0) return e;
    return merging_plan_levels(g, parts, &options);
}

/* Collects times that are not rolled up: those of the parts that are not inputs, and the ends of
 * deletions that can be undone: windows that one cuts stay as samples, since it would hide them
 * whole. */
static enum err
list_foreign(struct merging *g)
{
    const struct version *v = g->version;
    size_t most = v->part_count + 2 * (size_t)v->tombstones->count + 1;
    g->foreign = arena_alloc(&g->arena, most * sizeof *g->foreign);
    if (g->foreign == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < v->tombstones->count; i++) {
        const struct tombstone *t = v->tombstones->items[i];
        const int64_t min_ms = t->range.min_ms, max_ms = t->range.max_ms;
        bool cuts = false;
        for (uint32_t k = 0; k < g->plan.input_count && t->id > g->due->last_id; k++)
            cuts |= tombstone_concerns(t, g->live[k]);
        if (cuts && min_ms > INT64_MIN)
            g->foreign[g->foreign_count++] = (struct time_range){min_ms - 1, min_ms};
        if (cuts && max_ms < INT64_MAX)
            g->foreign[g->foreign_count++] = (struct time_range){max_ms, max_ms + 1};
    }
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part_info *info = part_info(v->parts[i]);
        if (parts_have(v->parts[i], g->live, g->plan.input_count)) continue;
        if (info->time.min_ms > info->time.max_ms) continue;
        g->foreign[g->foreign_count++] = info->time;
    }
    return OK;
}

static enum err
take_inputs(struct merging *g)
{
    const struct merge_plan *p = &g->plan;
    g->live = arena_new(&g->arena, p->input_count * sizeof *g->live);
    g->inputs = arena_new(&g->arena, p->input_count * sizeof *g->inputs);
    g->outputs = arena_new(&g->arena, p->window_count * sizeof *g->outputs);
    if (g->live == NULL || g->inputs == NULL || g->outputs == NULL) return ERR_NOMEM;
    enum err e = page_cache_new(&g->db->merge_budget, g->shares.cache_bytes, &g->cache);
    if (e == OK) page_cache_report_to(g->cache, g->db->cache);
    for (uint32_t i = 0; e == OK && i < p->input_count; i++) {
        struct tsdb *db = g->db;
        struct part *live = g->version->parts[g->plan.inputs[i]];
        const struct part_info *of = part_info(live);
        g->live[i] = live;
        if (of->to_pos > g->to_pos) g->to_pos = of->to_pos;
        e = part_reopen(live, &db->merge_budget, g->cache, &g->inputs[i].part, g->why);
        if (e == OK) {
            struct part_deletion *deletions;
            struct part_merge_input *input = &g->inputs[i];
            part_set_applied(input->part, part_applied(live));
            e = tombstones_of_part(g->due, input->part, (struct bytes){NULL, 0}, &g->arena,
                                   &deletions, &input->deletion_count, g->why);
            input->deletions = deletions;
        }
        /* The file of a live part was removed: it can be read while it is open, but the next start
         * will miss it. */
        if (e == ERR_MISSING) e = ERR_CORRUPT;
        if (e == ERR_CORRUPT) part_leave_alone(live, g->why);
    }
    if (e == OK) e = list_foreign(g);
    return e ? e : ledger_change(g->db, &g->arena, &g->change, &g->change_count);
}

static int
level_of(const struct merge_plan *plan)
{
    return plan->last ? LEVEL_LAST : LEVEL_SOON;
}

static enum err
merging_run(struct merging *g, struct part_merge *merge)
{
    for (bool done = false; !done;) {
        uint32_t input;
        enum err e = part_merge_step(merge, SAMPLES_AT_ONCE, &done, &input, g->why);
        assert(e != ERR_CORRUPT || input < g->plan.input_count);
        if (e == ERR_CORRUPT) part_leave_alone(g->live[input], g->why);
        if (e) return e;
        if (!done) e = merging_check(g);
        if (e) return e;
    }
    return OK;
}

/* Writes one output; the part is added to the outputs unless it would be empty. */
static enum err
merge_window(struct merging *g, uint32_t window, int64_t expired)
{
    struct tsdb *db = g->db;
    struct part_merge *merge;
    struct part_info info;
    const struct part_merge_counts *counts;
    uint32_t count;
    assert(g->plan.input_count > 0);
    struct part_merge_options options = {
        .env = db->env,
        .budget = &db->merge_budget,
        .parts_dir = db->parts_dir,
        .inputs = g->inputs,
        .input_count = g->plan.input_count,
        .window = g->plan.windows[window],
        .expired_before_ms = expired,
        .rules = g->rules,
        .rules_now_ms = g->rules_now_ms,
        .removed = g->removed,
        .levels = g->levels,
        .level_count = g->level_count,
        .levels_now_ms = g->levels_now_ms,
        .foreign = g->foreign,
        .foreign_count = g->foreign_count,
        .with_metadata =
            window + 1 == g->plan.window_count &&
            parts_have(version_metadata_part(g->version), g->live, g->plan.input_count),
        .number = atomic_fetch_add(&db->next_part, 1),
        .from_pos = part_info(g->live[0])->from_pos,
        .to_pos = g->to_pos,
        .level = level_of(&g->plan),
        .writer_bytes = g->shares.writer_bytes,
    };
    enum err e = part_merge_new(&options, &merge, g->why);
    if (e) return e;
    e = merging_run(g, merge);
    if (e == OK) e = part_merge_finish(merge, &info, &counts, &count, g->why);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        struct ledger *l = change_of(g->db, counts[i].tenant, g->change, g->change_count);
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            move(l, k, LEDGER_DUPLICATE, counts[i].duplicate[k]);
            move(l, k, LEDGER_SUPERSEDED, counts[i].superseded[k]);
            move(l, k, LEDGER_DELETED, counts[i].deleted[k]);
            move(l, k, LEDGER_EXPIRED, counts[i].expired[k]);
            move(l, k, LEDGER_DOWNSAMPLED, counts[i].downsampled[k]);
            move(l, k, LEDGER_SUPERSEDED_BY_WINDOW, counts[i].by_window[k]);
            move(l, k, LEDGER_MISSED_BY_WINDOW, counts[i].missed[k]);
            g->counted[k] += counts[i].written[k] + counts[i].duplicate[k] +
                             counts[i].superseded[k] + counts[i].deleted[k] + counts[i].expired[k] +
                             counts[i].downsampled[k] + counts[i].by_window[k] +
                             counts[i].missed[k];
        }
    }
    if (e == OK && info.number != 0) {
        assert(g->output_count < g->plan.window_count); /* invariant 1 */
        struct part **output = &g->outputs[g->output_count];
        e = part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, info.number, output,
                      g->why);
        if (e == OK) part_set_applied(*output, g->due->last_id);
        if (e == OK) part_set_within_rules(*output, series_rules_serial(g->rules), g->rules_now_ms);
        if (e == OK) part_set_leveled(*output, g->levels_number, g->levels_now_ms);
        if (e == OK) g->output_count++;
    }
    part_merge_free(merge);
    return e;
}

/* Publishes the merge for tsdb_stats(), and how many of its outputs are done. */
static void
show_merge(struct merging *g, uint32_t outputs_done)
{
    struct tsdb_merge_now now = g->now;
    now.outputs_done = outputs_done;
    lock_take(&g->db->live.lock);
    g->db->merge_now = now;
    lock_drop(&g->db->live.lock);
}

/* Once another retention is acknowledged, nothing is removed by the rules, or the shorter time,
 * before it. */
static enum err
publish_outputs(struct merging *g, const struct store_edit *edit)
{
    struct tsdb *db = g->db;
    enum err e = OK;
    lock_take(&db->edit_lock);
    lock_take(&db->head.lock);
    bool changed = series_rules_serial(db->head.rules.all) != series_rules_serial(g->rules);
    bool levels_changed = levels_number(&db->head.limits) != g->levels_number;
    int64_t kept_ms = db->head.limits.retention_ms;
    lock_drop(&db->head.lock);
    if (g->rules != NULL && changed)
        e = why_set(g->why, ERR_CANCELED, "the rules of retention changed during the merge");
    if (e == OK && g->kept_ms != 0 && (kept_ms == 0 || kept_ms > g->kept_ms))
        e = why_set(g->why, ERR_CANCELED, "retention.time became longer during the merge");
    if (e == OK && g->level_count > 0 && levels_changed)
        e = why_set(g->why, ERR_CANCELED, "the rules of downsampling changed during the merge");
    if (e == OK) e = store_edit_locked(db, edit, g->why);
    lock_drop(&db->edit_lock);
    return e;
}

static enum err
merge_all(struct merging *g)
{
    int64_t expired = expired_before_ms(g->db, &g->kept_ms);
    enum err e = take_inputs(g);
    if (e) return e;
    bool concerned = false;
    for (uint32_t i = 0; i < g->plan.input_count; i++)
        concerned |= part_merge_may_expire(g->rules, g->rules_now_ms, part_info(g->live[i]));
    if (!concerned) { /* and no labels are read for the rules */
        series_rules_unref(g->rules);
        g->rules = NULL;
    }
    g->removed = arena_new(&g->arena, (series_rules_count(g->rules) + 1u) * sizeof *g->removed);
    if (g->removed == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < g->level_count; i++) {
        struct part_merge_level *level = &g->levels[i];
        level->rolled =
            arena_new(&g->arena, (series_rules_count(level->rules) + 1u) * sizeof *level->rolled);
        if (level->rolled == NULL) return ERR_NOMEM;
    }
    uint64_t exemplars = 0;
    g->now = (struct tsdb_merge_now){.parts = g->plan.input_count,
                                     .outputs = g->plan.window_count,
                                     .level = (uint8_t)level_of(&g->plan),
                                     .time = {INT64_MAX, INT64_MIN},
                                     .since_ms = env_realtime_ms(g->db->env)};
    for (uint32_t i = 0; i < g->plan.input_count; i++) {
        const struct part_info *info = part_info(g->live[i]);
        g->now.bytes += info->file_bytes;
        count_kinds(info->sample_count, &g->now.samples, &exemplars);
        if (info->time.min_ms < g->now.time.min_ms) g->now.time.min_ms = info->time.min_ms;
        if (info->time.max_ms > g->now.time.max_ms) g->now.time.max_ms = info->time.max_ms;
    }
    for (uint32_t w = 0; w < g->plan.window_count && e == OK; w++) {
        show_merge(g, w);
        e = merge_window(g, w, expired);
    }
    if (e == OK) e = check_counts(g);
    if (e) return e;
    struct store_edit edit = {
        .add = g->outputs,
        .add_count = g->output_count,
        .remove = g->live,
        .remove_count = g->plan.input_count,
        .change = g->change,
        .change_count = g->change_count,
        .rules = g->rules,
        .removed = g->removed,
        .levels = g->levels,
        .level_count = g->level_count,
    };
    e = publish_outputs(g, &edit);
    if (e == OK) return OK;
    for (uint32_t i = 0; i < g->output_count; i++)
        part_unref(g->outputs[i]); /* the parts stay on disk, see edit.c */
    g->output_count = 0;
    return e;
}

void
tsdb_left_alone(struct tsdb *db, void (*each)(void *context, uint64_t part, const char *reason),
                void *context)
{
    struct version *v = live_pin(&db->live);
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct part *p = v->parts[i];
        if (part_is_left_alone(p)) each(context, part_info(p)->number, part_alone_reason(p));
    }
    version_unref(v);
}

enum err
tsdb_merge(struct tsdb *db, const struct tsdb_merge_options *options,
           struct tsdb_merge_result *ret_result, struct why *why)
{
    struct merging g = {
        .db = db, .options = options, .shares = shares_of(db->options.merge_bytes), .why = why};
    *ret_result = (struct tsdb_merge_result){0};
    arena_init(&g.arena, &db->merge_budget, 0, 0);
    uint64_t cleaned = options->held_from - 1; /* UINT64_MAX for 0: all */
    uint64_t final_id = deletions_settle(db, options->mode == TSDB_MERGE_CLEAN ? cleaned : 0);
    g.version = live_pin(&db->live);
    lock_take(&db->head.lock);
    g.rules = retention_rules(&db->head, &g.rules_now_ms);
    lock_drop(&db->head.lock);
    take_levels(&g);
    enum err e = tombstones_new(&db->cache_budget, g.version->tombstones, is_due, &final_id, NULL,
                                0, &g.due);
    if (e == OK) g.due->last_id = final_id;
    if (e == OK) e = plan(&g);
    if (e == OK && g.plan.input_count > 0) e = merge_all(&g);
    if (e == OK) {
        ret_result->input_count = g.plan.input_count;
        ret_result->output_count = g.output_count;
        for (uint32_t i = 0; i < g.plan.input_count; i++)
            ret_result->input_bytes += part_info(g.live[i])->file_bytes;
        for (uint32_t i = 0; i < g.output_count; i++) {
            const struct part_info *info = part_info(g.outputs[i]);
            ret_result->output_bytes += info->file_bytes;
            count_kinds(info->sample_count, &ret_result->samples, &ret_result->exemplars);
        }
    }
    if (e == OK && g.plan.input_count > 0) atomic_fetch_add(&db->merges_total, 1);
    atomic_fetch_add(&db->merge_bytes_total, ret_result->output_bytes);
    for (uint32_t i = 0; i < g.output_count; i++) {
        if (e) part_drop(g.outputs[i]); /* the manifest never named this part */
        part_unref(g.outputs[i]);
    }
    for (uint32_t i = 0; g.inputs != NULL && i < g.plan.input_count; i++)
        part_unref(g.inputs[i].part);
    g.now = (struct tsdb_merge_now){0};
    show_merge(&g, 0);
    page_cache_free(g.cache);
    tombstones_unref(g.due);
    version_unref(g.version);
    series_rules_unref(g.rules);
    for (uint32_t i = 0; i < g.level_count; i++)
        series_rules_unref(g.level_rules[i]);
    arena_fini(&g.arena);
    if (e == OK || e == ERR_CANCELED) return e;
    atomic_fetch_add(&db->merge_failures_total, 1);
    if (e == ERR_AGAIN || e == ERR_IO)
        db->remote_rest_ns = env_monotonic_ns(db->env) + REMOTE_REST_NS;
    if (e == ERR_NOMEM && g.plan.input_count > 1 && atomic_load(&db->merge_halvings) < HALVINGS_MAX)
        atomic_fetch_add(&db->merge_halvings, 1);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to merge parts")
                          : why_prefix(why, e, "merge");
}

/* --- borders ---------------------------------------------------------------------------------- */

/* A border is set and freed only between tsdb_border_new() and tsdb_border_free(). */
enum err
tsdb_border_new(struct tsdb *db, uint32_t *ret_border)
{
    uint32_t i = 0;
    lock_take(&db->live.lock);
    while (i < BORDERS_MAX && db->borders[i].used)
        i++;
    if (i < BORDERS_MAX) db->borders[i] = (struct border){.used = true};
    lock_drop(&db->live.lock);
    *ret_border = i;
    return i < BORDERS_MAX ? OK : ERR_LIMIT;
}

void
tsdb_border_free(struct tsdb *db, uint32_t border)
{
    assert(border < BORDERS_MAX);
    lock_take(&db->live.lock);
    assert(db->borders[border].used);
    db->borders[border].used = false;
    lock_drop(&db->live.lock);
}

void
tsdb_border_set(struct tsdb *db, uint32_t border, uint64_t pos)
{
    assert(border < BORDERS_MAX);
    lock_take(&db->live.lock);
    assert(db->borders[border].used);
    db->borders[border].pos = pos;
    lock_drop(&db->live.lock);
}

/* --- retention -------------------------------------------------------------------------------- */

struct expiry {
    struct tsdb *db;
    struct version *version;
    struct part **drop;
    uint32_t drop_count;
    uint64_t bytes;              /* bytes of the parts that stay */
    uint64_t bytes_too_many;     /* bytes above the limit though only the newest part stays */
    const struct part *metadata; /* part that has the metadata of families */
    bool metadata_wanted; /* `metadata` may be dropped after a flush has written its metadata */
};

static void
drop(struct expiry *x, struct part *part)
{
    assert(part != x->metadata); /* invariant 2 */
    assert(x->drop_count < x->version->part_count);
    assert(part_info(part)->file_bytes <= x->bytes);
    x->drop[x->drop_count++] = part;
    x->bytes -= part_info(part)->file_bytes;
}

static bool
part_has_samples(const struct part *part)
{
    const uint64_t *count = part_info(part)->sample_count;
    if (part_info(part)->rollup_rows > 0) return true;
    return count[LEDGER_FLOAT] + count[LEDGER_HISTOGRAM] + count[LEDGER_EXEMPLAR] > 0;
}

static void
merging_choose(struct expiry *x)
{
    struct tsdb *db = x->db;
    x->metadata = version_metadata_part(x->version);
    int64_t kept_ms, expired = expired_before_ms(db, &kept_ms);
    lock_take(&db->head.lock);
    uint64_t bytes_max = db->head.clock != TSDB_CLOCK_GOOD ? 0 : db->head.limits.retention_bytes;
    lock_drop(&db->head.lock);
    for (uint32_t i = 0; i < x->version->part_count; i++)
        x->bytes += part_info(x->version->parts[i])->file_bytes;
    for (uint32_t i = 0; i < x->version->part_count; i++) {
        struct part *p = x->version->parts[i];
        bool gone = !part_has_samples(p) || part_info(p)->time.max_ms < expired;
        if (gone && p != x->metadata) drop(x, p);
        x->metadata_wanted |= gone && p == x->metadata && part_has_samples(p);
    }
    while (bytes_max != 0 && x->bytes > bytes_max) {
        struct part *oldest = NULL; /* by newest sample */
        uint32_t count = 0;
        for (uint32_t i = 0; i < x->version->part_count; i++) {
            struct part *p = x->version->parts[i];
            if (!part_has_samples(p) || parts_have(p, x->drop, x->drop_count)) continue;
            count++;
            if (oldest == NULL || part_info(p)->time.max_ms < part_info(oldest)->time.max_ms)
                oldest = p;
        }
        if (count == 1) {
            /* A limit that is too small must not drop the only part. */
            x->bytes_too_many = x->bytes - bytes_max;
            return;
        }
        x->metadata_wanted |= oldest != NULL && oldest == x->metadata;
        if (oldest == NULL || oldest == x->metadata) return;
        drop(x, oldest);
    }
}

enum err
tsdb_expire(struct tsdb *db, struct tsdb_merge_result *ret, struct why *why)
{
    struct arena arena;
    struct expiry x = {.db = db, .version = live_pin(&db->live)};
    struct ledger *change;
    uint32_t count;
    *ret = (struct tsdb_merge_result){0};
    arena_init(&arena, &db->merge_budget, 0, 0);
    x.drop = arena_alloc(&arena, (x.version->part_count + 1u) * sizeof *x.drop);
    enum err e = x.drop == NULL ? ERR_NOMEM : OK;
    if (e == OK) merging_choose(&x);
    if (e == OK && x.metadata_wanted) {
        /* The part with the metadata of families may be dropped only when a newer part has it,
         * which the next flush writes. */
        lock_take(&db->head.lock);
        db->head.metadata_changed = db->head.metadata_due = true;
        lock_drop(&db->head.lock);
    }
    if (e == OK) e = ledger_change(db, &arena, &change, &count);
    for (uint32_t i = 0; i < x.drop_count && e == OK; i++) {
        const struct part *p = x.drop[i];
        ret->input_bytes += part_info(p)->file_bytes;
        for (uint32_t t = 0; t < part_tenant_count(p); t++) {
            const struct part_tenant *tenant = part_tenant_at(p, t);
            struct ledger *l = change_of(db, tenant->name, change, count);
            for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
                move(l, k, LEDGER_EXPIRED, tenant->sample_count[k]);
            count_kinds(tenant->sample_count, &ret->samples, &ret->exemplars);
        }
    }
    if (e == OK && x.drop_count > 0) {
        struct store_edit edit = {.remove = x.drop,
                                  .remove_count = x.drop_count,
                                  .change = change,
                                  .change_count = count};
        e = store_edit(db, &edit, why);
    }
    ret->input_count = x.drop_count;
    ret->bytes_too_many = x.bytes_too_many;
    version_unref(x.version);
    arena_fini(&arena);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to drop parts") : e;
}

/* --- list of partitions ----------------------------------------------------------------------- */

static int
by_time(const void *a, const void *b)
{
    const struct part_info *x = part_info(*(struct part *const *)a);
    const struct part_info *y = part_info(*(struct part *const *)b);
    return (x->time.min_ms > y->time.min_ms) - (x->time.min_ms < y->time.min_ms);
}

enum err
tsdb_partitions(struct tsdb *db,
                void (*each)(void *context, const struct tsdb_partition *partition), void *context)
{
    struct arena arena;
    struct version *v = live_pin(&db->live);
    int64_t now = env_realtime_ms(db->env);
    arena_init(&arena, &db->merge_budget, 0, 0);
    struct part **parts = arena_alloc(&arena, (v->part_count + 1u) * sizeof *parts);
    enum err e = parts == NULL ? ERR_NOMEM : OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->part_count && e == OK; i++)
        if (part_has_samples(v->parts[i])) parts[count++] = v->parts[i];
    if (count > 1) qsort(parts, count, sizeof *parts, by_time);
    for (uint32_t i = 0, end; i < count && e == OK; i = end) {
        struct time_range time = partition_of(part_info(parts[i])->time.min_ms, now);
        struct tsdb_partition sum = {.time = time};
        struct rollup_facts *list;
        for (end = i; end < count && part_info(parts[end])->time.min_ms <= time.max_ms; end++) {
            const struct part_info *info = part_info(parts[end]);
            sum.parts++;
            count_kinds(info->sample_count, &sum.samples, &sum.exemplars);
            sum.data_bytes += info->data_bytes;
            sum.index_bytes += info->file_bytes - info->data_bytes;
        }
        e = resolutions_of(parts + i, end - i, &arena, &list, &sum.resolution_count);
        sum.resolutions = list;
        if (e == OK) each(context, &sum);
    }
    version_unref(v);
    arena_fini(&arena);
    return e;
}
