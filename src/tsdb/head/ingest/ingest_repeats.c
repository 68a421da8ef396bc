/*
 * ingest_repeats.c - finds out whether a sample that conflicts with the head repeats one of a part.
 *
 * A sample is compared only with the head before it is accepted, so a part and the head may have
 * two values for one time; readers then get the one of the part, which came first. If the sample of
 * the part is sent again it is a repeat, although the head has another value.
 *
 * Searching parts reads from disk, which must not happen under the head lock, nor on a thread that
 * others wait for. So there are two steps:
 *
 *   tsdb_ingest_begin()  judges under the lock. Samples that conflict with the head are left
 *                        undecided, neither counted nor refused
 *   tsdb_ingest_end()    searches the parts without a lock, in the order of the log. The first part
 *                        that has a sample at the time which is not deleted decides. Then, under
 *                        the lock, repeats and conflicts are counted
 *
 * In both cases nothing of the sample is stored. If the search fails, because of damage, an I/O
 * error, or the time it takes, the sample counts as a conflict: that loses nothing, and the sender
 * does not retry for as long as the disk is broken.
 *
 * Invariants: a sample is decided at most once; each is counted once, as a duplicate or as
 * rejected.
 */
#include <assert.h>
#include <stdlib.h>

#include "tsdb/head/ingest/ingest.h"

enum {
    UNDECIDED_BYTES_MAX = 16 * 1024 * 1024
}; /* per request; samples beyond count as conflicts */

enum undecided_fate { FATE_OPEN, FATE_REPEAT, FATE_CONFLICT };

struct undecided_sample {
    struct undecided_sample *next; /* next one of the same series */
    int64_t t_ms;
    struct sample_value value; /* the histogram belongs to the request */
    enum undecided_fate fate;
};

struct undecided_series {
    struct undecided_series *next;
    const struct rw_series *from;
    struct bytes labels; /* canonical */
    struct undecided_sample *first;
    struct undecided_sample **last;
};

struct tsdb_undecided {
    struct head *head;
    const struct rw_request *request;
    struct tenant *tenant; /* lives as long as the store */
    struct arena arena;
    struct undecided_series *first;
    struct undecided_series **last;
    struct undecided_series *newest;
    int64_t min_ms; /* bounds of all undecided samples */
    int64_t max_ms;
};

/* --- noting, under the head lock -------------------------------------------------------------- */

void
tsdb_undecided_free(struct tsdb_undecided *d)
{
    if (d == NULL) return;
    arena_fini(&d->arena);
    mem_free(&d->head->budget, d, sizeof *d);
}

static struct undecided_series *
add_series(struct tsdb_undecided *d, const struct ingest *in, const struct ingest_piece *p)
{
    struct buf *labels = &in->s->labels;
    struct undecided_series *s = arena_new(&d->arena, sizeof *s);
    if (s == NULL) return NULL;
    buf_clear(labels);
    series_labels(in->gen->registry, p->series, labels);
    if (buf_error(labels)) return NULL;
    s->from = p->from;
    s->labels = arena_copy(&d->arena, buf_bytes(labels));
    if (s->labels.at == NULL) return NULL;
    s->last = &s->first;
    *d->last = s;
    d->last = &s->next;
    d->newest = s;
    return s;
}

bool
ingest_leave_undecided(struct ingest *in, const struct ingest_piece *p, int64_t t_ms,
                       const struct sample_value *value)
{
    if (in->head->options->log_only) return false;
    struct tsdb_undecided *d = in->undecided;
    if (d == NULL) {
        d = in->undecided = mem_new(&in->head->budget, sizeof *d);
        if (d == NULL) return false;
        d->head = in->head;
        d->request = in->request;
        d->tenant = in->tenant;
        d->last = &d->first;
        d->min_ms = INT64_MAX;
        d->max_ms = INT64_MIN;
        arena_init(&d->arena, &in->head->budget, UNDECIDED_BYTES_MAX, 0);
    }
    struct undecided_sample *sample = arena_new(&d->arena, sizeof *sample);
    bool same = d->newest != NULL && d->newest->from == p->from;
    if (sample == NULL || (!same && add_series(d, in, p) == NULL)) return false;
    *sample = (struct undecided_sample){.t_ms = t_ms, .value = *value};
    *d->newest->last = sample;
    d->newest->last = &sample->next;
    if (t_ms < d->min_ms) d->min_ms = t_ms;
    if (t_ms > d->max_ms) d->max_ms = t_ms;
    return true;
}

/* --- searching parts -------------------------------------------------------------------------- */

struct undecided_search {
    struct tsdb_undecided *undecided;
    int64_t until_ns;   /* deadline, monotonic */
    struct arena arena; /* reset for each part */
    struct arena block; /* reset for each block */
    struct part *part;
    struct row_reader *rows;
    struct part_deletion *deletions;
    uint32_t deletion_count;
};

/* True if the part has series of the tenant, and samples within the times of undecided samples. */
static bool
part_may_hold(const struct tsdb_undecided *d, const struct part *part)
{
    const struct part_tenant *tenant = part_tenant(part, d->tenant->name);
    const struct part_info *info = part_info(part);
    return tenant != NULL && tenant->series_count > 0 && d->min_ms <= info->time.max_ms &&
           d->max_ms >= info->time.min_ms;
}

bool
ingest_undecided_in_parts(const struct tsdb_undecided *d)
{
    bool real = false;
    lock_take(&d->head->live->lock); /* not pinned: the last unref of a version removes files */
    const struct version *version = d->head->live->version;
    for (uint32_t i = 0; i < version->part_count && !real; i++)
        real = part_may_hold(d, version->parts[i]);
    lock_drop(&d->head->live->lock);
    return real;
}

static bool
is_open_in(const struct undecided_sample *sample, int64_t min_ms, int64_t max_ms)
{
    return sample->fate == FATE_OPEN && sample->t_ms >= min_ms && sample->t_ms <= max_ms;
}

static bool
series_is_open_in(const struct undecided_series *s, int64_t min_ms, int64_t max_ms)
{
    for (const struct undecided_sample *d = s->first; d != NULL; d = d->next)
        if (is_open_in(d, min_ms, max_ms)) return true;
    return false;
}

static bool
time_is_up(const struct undecided_search *x)
{
    return env_monotonic_ns(x->undecided->head->env) >= x->until_ns;
}

static int
compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum err
search_block(struct undecided_search *x, struct undecided_series *s, uint32_t row,
             const struct block_ref *b)
{
    arena_reset(&x->block);
    int64_t *times = arena_alloc(&x->block, b->count * sizeof *times);
    enum err e = times == NULL ? ERR_NOMEM : block_read_times(x->part, b, times, NULL);
    bool floats = block_kind(b) == SAMPLE_FLOAT;
    uint64_t *bits = NULL; /* the values are decoded when the first one is needed */
    struct histogram *histograms = NULL;
    for (struct undecided_sample *d = s->first; d != NULL && e == OK; d = d->next) {
        if (!is_open_in(d, b->min_ms, b->max_ms)) continue;
        const int64_t *at = bsearch(&d->t_ms, times, b->count, sizeof *times, compare_times);
        if (at == NULL || deletions_hide(x->deletions, x->deletion_count, row, d->t_ms)) continue;
        if (bits == NULL) {
            bits = arena_alloc(&x->block, b->count * sizeof *bits);
            int64_t *starts = arena_alloc(&x->block, b->count * sizeof *starts);
            histograms = arena_alloc(&x->block, floats ? 1 : b->count * sizeof *histograms);
            if (bits == NULL || starts == NULL || histograms == NULL) return ERR_NOMEM;
            e = block_read_values(x->part, b, bits, starts, histograms, &x->block, NULL);
            if (e) return e;
        }
        bool same =
            sample_value_is(&d->value, block_kind(b), bits[at - times], &histograms[at - times]);
        assert(d->fate == FATE_OPEN);
        d->fate = same ? FATE_REPEAT : FATE_CONFLICT;
    }
    return e;
}

static enum err
search_series(struct undecided_search *x, struct undecided_series *s)
{
    const struct block_ref *blocks;
    uint32_t row, count;
    struct why why;
    enum err e = row_find(x->rows, s->labels, &row, &why);
    if (e == ERR_MISSING) return OK;
    if (e == OK) e = row_blocks(x->rows, &blocks, &count, &why);
    for (uint32_t i = 0; e == OK && i < count; i++) {
        if (time_is_up(x)) return ERR_CANCELED;
        if (!series_is_open_in(s, blocks[i].min_ms, blocks[i].max_ms)) continue;
        e = search_block(x, s, row, &blocks[i]);
    }
    return e;
}

/* ERR_NOMEM; ERR_CANCELED: the deadline has passed. Other errors leave conflicts. */
static enum err
search_part(struct undecided_search *x, const struct tombstones *tombstones)
{
    struct tsdb_undecided *d = x->undecided;
    const struct part_info *info = part_info(x->part);
    const struct part_tenant *tenant = part_tenant(x->part, d->tenant->name);
    struct part_index index;
    arena_reset(&x->arena);
    enum err e = part_index_load(x->part, tenant, &x->arena, &index, NULL);
    if (e == OK) {
        e = tombstones_of_part(tombstones, x->part, tenant->name, &x->arena, &x->deletions,
                               &x->deletion_count, NULL);
    }
    if (e == OK) e = row_reader_new(&index, x->arena.budget, &x->rows);
    bool opened = e == OK;
    for (struct undecided_series *s = d->first; s != NULL; s = s->next) {
        if (!series_is_open_in(s, info->time.min_ms, info->time.max_ms)) continue;
        if (opened) e = time_is_up(x) ? ERR_CANCELED : search_series(x, s);
        if (e == ERR_NOMEM || e == ERR_CANCELED) break;
        /* This part cannot be read, so a later part must not decide. */
        for (struct undecided_sample *sample = s->first; e && sample != NULL; sample = sample->next)
            if (is_open_in(sample, info->time.min_ms, info->time.max_ms))
                sample->fate = FATE_CONFLICT;
    }
    if (opened) row_reader_free(x->rows);
    return e == ERR_NOMEM || e == ERR_CANCELED ? e : OK;
}

/* --- counting --------------------------------------------------------------------------------- */

static enum err
count_undecided(struct tsdb_undecided *d, struct ingest_result *result, struct why *why)
{
    struct head *head = d->head;
    struct ingest in = {.head = head,
                        .request = d->request,
                        .tenant = d->tenant,
                        .result = result,
                        .s = head->scratch,
                        .why = why};
    for (const struct undecided_series *s = d->first; s != NULL; s = s->next) {
        for (const struct undecided_sample *x = s->first; x != NULL; x = x->next) {
            enum ledger_kind kind = ledger_kind_of(x->value.kind);
            if (x->fate != FATE_REPEAT) {
                ingest_reject(&in, s->from, kind, REJECT_CONFLICT, 1, x->t_ms, CONFLICT_DETAIL);
                continue;
            }
            in.change.count[kind][LEDGER_RECEIVED]++;
            in.change.count[kind][LEDGER_DUPLICATE]++;
            result->written[kind]++;
        }
    }
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        const uint64_t *c = in.change.count[k];
        assert(c[LEDGER_RECEIVED] == c[LEDGER_DUPLICATE] + c[LEDGER_REJECTED + REJECT_CONFLICT]);
    }
    struct ledger change = in.change;
    struct ingest_need need = {0};
    lock_take(&head->lock);
    ingest_slice_begin(&in);
    in.change = change;
    enum err e = ingest_reserve(&in, &need);
    if (e == OK) ingest_log(&in);
    lock_drop(&head->lock);
    ingest_result_put_counts(result);
    return e;
}

enum err
tsdb_ingest_end(struct tsdb_undecided *undecided, int64_t until_ns, struct ingest_result *result,
                struct why *why)
{
    struct budget *budget = &undecided->head->budget;
    struct undecided_search x = {.undecided = undecided, .until_ns = until_ns};
    arena_init(&x.arena, budget, 0, 0);
    arena_init(&x.block, budget, 0, 0);
    struct version *version = live_pin(undecided->head->live);
    enum err e = OK;
    for (uint32_t i = 0; i < version->part_count && e == OK; i++) {
        x.part = version->parts[i];
        const struct part_info *info = part_info(x.part);
        bool any = false;
        for (const struct undecided_series *s = undecided->first; s != NULL && !any; s = s->next)
            any = series_is_open_in(s, info->time.min_ms, info->time.max_ms);
        if (!any || !part_may_hold(undecided, x.part)) continue;
        e = time_is_up(&x) ? ERR_CANCELED : search_part(&x, version->tombstones);
    }
    version_unref(version);
    arena_fini(&x.block);
    arena_fini(&x.arena);
    e = e == ERR_NOMEM
            ? why_set(why, e, "not enough memory to look for samples that are sent again")
            : OK;
    if (e == OK || e == ERR_CANCELED) e = count_undecided(undecided, result, why);
    tsdb_undecided_free(undecided);
    return e;
}
