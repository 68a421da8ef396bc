/*
 * select.c - runs queries for samples.
 *
 * A query has sources: each part of its view that meets the time range, and the generations of the
 * head. Each source yields its matching series in label order, and holds the labels of one. The
 * first in order is the next series of the answer; all sources with the same labels add their
 * chunks and blocks to one interleave, which merges samples, and step on. A source's order is its
 * age: of two samples at one time the one that arrived first is returned.
 *
 * - Memory is that of one series and of a batch of rows per part (row_batch.c reads labels for many
 *   rows at once), whatever the answer's size; a limit stops reading early.
 * - The head's series have no order of their own. Those that match are collected and sorted when
 *   the query opens, or, if few are wanted, kept in a heap of as many (head_first()).
 * - Two generations that share a registry are one source: their series have the same ids.
 * - Sources are compared one by one: there are tens of parts at most, and most series are in nearly
 *   all of them, so that a heap would be rebuilt for each series.
 * - Deletions hide whole blocks here and samples in the interleave, before samples at one time are
 *   compared: a deleted sample does not win over a later one.
 * - Rules of retention hide samples of a series before a time: the range of its interleave begins
 *   there. The rule is found once for each series of the answer, by its labels.
 * - With `partial`, damaged blocks and rows are left out with a warning; without, damage is an
 *   error.
 *
 * Invariants:
 *  1. There is at most one source per part of the view, and one per registry of its generations.
 *  2. A source that is not at its end holds the labels of its current series. A source of the head
 *     has taken it from ids[id_at - 1].
 *  3. A series that is returned comes from at least one source; every source that has it is marked
 *     as consumed, and steps on before the next series is chosen.
 */
#include "base/array.h"
#include "base/text/time_text.h"
#include "tsdb/head/series_order.h"
#include "tsdb/part/remote.h"
#include "tsdb/read/select_private.h"

#include <assert.h>
#include <inttypes.h>
#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the first ones --------------------------------------------------------------------------- */

enum { MATCHED_AT_ONCE = 256 };

/* The order of the heap: the series that is last in label order is on top. */
static bool
is_above(const struct registry *r, uint32_t a, uint32_t b)
{
    return series_compare(r, registry_series(r, a), registry_series(r, b)) > 0;
}

/*
 * Fills the source's ids with the first `count` series, in label order, that are in `ids` and have
 * samples in the time range: in one pass, with memory for `count`. ERR_NOMEM, ERR_CANCELED,
 * ERR_AGAIN.
 */
static MUST_CHECK enum err
head_first(struct store_query *q, struct query_source *s, const roaring_bitmap_t *all,
           uint32_t most, struct why *why)
{
    roaring_uint32_iterator_t it;
    uint32_t ids[MATCHED_AT_ONCE], count;
    s->ids = mem_alloc(q->budget, (size_t)most * sizeof *s->ids);
    if (s->ids == NULL) return ERR_NOMEM;
    s->id_capacity = most;
    roaring_init_iterator(all, &it);
    while ((count = roaring_read_uint32_iterator(&it, ids, MATCHED_AT_ONCE)) > 0) {
        lock_take(&q->head->lock);
        enum err e = store_view_check(q->view, why);
        uint32_t kept = 0; /* series with samples in the time range */
        for (uint32_t i = 0; i < count && e == OK; i++) {
            q->found = false;
            e = query_find_samples(q, s, ids[i]);
            if (q->found) ids[kept++] = ids[i];
        }
        lock_drop(&q->head->lock);
        if (e == OK) e = query_control_check(q->control, why);
        if (e) return e;
        const struct registry *r = s->registry;
        for (uint32_t i = 0; i < kept; i++)
            if (s->id_count < most)
                heap_up(s->ids, s->id_count++, ids[i], is_above(r, *a, *b));
            else if (is_above(r, s->ids[0], ids[i]))
                heap_down(s->ids, most, 0, ids[i], is_above(r, *a, *b));
    }
    assert(s->id_count <= most);
    for (uint32_t left = s->id_count; left > 1;) { /* sorts: the top goes to the end */
        uint32_t id = s->ids[--left];
        s->ids[left] = s->ids[0];
        heap_down(s->ids, left, 0, id, is_above(s->registry, *a, *b));
    }
    return OK;
}

/* --- retention by rule ------------------------------------------------------------------------ */

int64_t
query_from_ms(const struct store_query *q, struct bytes labels)
{
    if (q->rules == NULL) return q->min_ms;
    int64_t age_ms;
    if (series_rules_find(q->rules, q->tenant_name, labels, &age_ms) == NULL) return q->min_ms;
    int64_t cut_ms = q->view->rules_now_ms - age_ms;
    return cut_ms > q->min_ms ? cut_ms : q->min_ms;
}

enum err
query_head_from_ms(struct store_query *q, const struct query_source *s, uint32_t id,
                   int64_t *ret_ms)
{
    *ret_ms = q->min_ms;
    if (q->rules == NULL) return OK;
    buf_clear(&q->rule_labels);
    series_labels(s->registry, registry_series(s->registry, id), &q->rule_labels);
    if (buf_error(&q->rule_labels)) return buf_error(&q->rule_labels);
    *ret_ms = query_from_ms(q, buf_bytes(&q->rule_labels));
    return OK;
}

/* Keeps the rules for the query only if one of them hides a part of its time range: most questions
 * are about times that no rule reaches, and cost nothing more. */
static enum err
query_use_rules(struct store_query *q, struct bytes tenant)
{
    int64_t age_ms = series_rules_least_age_ms(q->view->rules, tenant);
    if (age_ms == INT64_MAX || q->min_ms >= q->view->rules_now_ms - age_ms) return OK;
    q->rules = q->view->rules;
    q->tenant_name = arena_copy(&q->arena, tenant);
    return q->tenant_name.at == NULL ? ERR_NOMEM : OK;
}

/* --- sources ---------------------------------------------------------------------------------- */

enum {
    ALIVE_AT_ONCE = 512,
    PASSED_BETWEEN_CHECKS = 1024, /* series of which nothing is given */
    SERIES_BETWEEN_CHECKS = 16,   /* a look at the clock costs as much as a small block */
};

/* The number of series of a source that the limit asks for; 0 if all are wanted. In a part without
 * deletions each row is a series of the answer. */
static uint32_t
rows_wanted(const struct store_query *q)
{
    uint64_t limit = q->request->hints.limit;
    bool limited = q->kind == QUERY_LABELS && limit > 0 && limit < UINT32_MAX;
    limited &= q->request->hints.shard_count < 2; /* most are not of it */
    limited &= q->rules == NULL;                  /* some may have no visible sample */
    return limited ? (uint32_t)limit + 1 : 0;
}

static enum err
head_source_open(struct store_query *q, struct query_source *s, struct why *why)
{
    roaring_bitmap_t *matched;
    buf_init(&s->label_bytes, q->budget, 64 * 1024 * 1024);
    if (q->kind == QUERY_TEXTS && q->request->set_count == 0) return OK;
    enum err e = head_select(q, s->registry, &matched, why);
    if (e) return e;
    if (q->kind == QUERY_TEXTS) {
        s->matched = matched;
        return OK;
    }
    lock_take(&q->head->lock); /* all pairs of the series found are below */
    uint32_t pair_total = s->registry->pairs.count;
    lock_drop(&q->head->lock);
    uint64_t count = roaring_bitmap_get_cardinality(matched);
    if (rows_wanted(q) > 0 && rows_wanted(q) < count) {
        e = head_first(q, s, matched, rows_wanted(q), why);
        roaring_bitmap_free(matched);
        return e;
    }
    if (q->kind == QUERY_EXEMPLARS) {
        e = head_note_exemplars(q, s, matched, why);
        if (e == OK)
            e = series_order(s->registry, pair_total, s->ids, s->id_count, q->budget, q->control,
                             why);
        roaring_bitmap_free(matched);
        return e;
    }
    s->ids = mem_alloc(q->budget, count * sizeof *s->ids);
    if (s->ids != NULL) {
        s->id_capacity = s->id_count = (uint32_t)count;
        roaring_bitmap_to_uint32_array(matched, s->ids);
        /* Removes ids of series that have no samples in the generations. */
        uint32_t kept = 0;
        for (uint32_t at = 0; at < s->id_count;) {
            uint32_t end = s->id_count - at < ALIVE_AT_ONCE ? s->id_count : at + ALIVE_AT_ONCE;
            lock_take(&q->head->lock);
            for (; at < end; at++) {
                const struct gen_series *samples[2] = {NULL, NULL};
                for (unsigned g = 0; g < 2; g++)
                    if (s->gens[g] != NULL) samples[g] = gen_series(s->gens[g], s->ids[at]);
                bool alive = (samples[0] != NULL && !gen_series_is_empty(samples[0])) ||
                             (samples[1] != NULL && !gen_series_is_empty(samples[1]));
                if (alive) s->ids[kept++] = s->ids[at];
            }
            lock_drop(&q->head->lock);
        }
        s->id_count = kept;
        e = series_order(s->registry, pair_total, s->ids, s->id_count, q->budget, q->control, why);
    }
    roaring_bitmap_free(matched);
    return s->ids == NULL ? ERR_NOMEM : e;
}

static enum err
part_select_any(const struct store_query *q, const struct part_index *index, roaring_bitmap_t **ret,
                struct why *why)
{
    const struct query_request *r = q->request;
    if (r->set_count == 0) return part_match(index, NULL, 0, ret, why);
    for (uint32_t i = 0; i < r->set_count; i++) {
        roaring_bitmap_t *set;
        enum err e = part_match(index, r->sets[i].matchers, r->sets[i].count, &set, why);
        if (e) return e;
        if (*ret == NULL) {
            *ret = set;
            continue;
        }
        roaring_bitmap_or_inplace(*ret, set);
        roaring_bitmap_free(set);
    }
    return OK;
}

/* Removes the series before hints.from_labels from `matched`; they are in label order. If rows are
 * damaged, nothing is removed. */
static enum err
leave_out_before(struct store_query *q, struct query_source *s, struct why *why)
{
    struct bytes from_labels = q->request->hints.from_labels;
    if (from_labels.size == 0) return OK;
    struct row_reader *rows;
    enum err e = row_reader_new(&s->index, q->budget, &rows);
    if (e) return e;
    uint64_t low = 0, high = roaring_bitmap_get_cardinality(s->matched), kept = 1ULL << 32;
    uint32_t number;
    while (low < high && e == OK) {
        uint64_t mid = low + (high - low) / 2;
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count;
        if (!roaring_bitmap_select(s->matched, (uint32_t)mid, &number)) break;
        e = row_read(rows, number, &labels, &blocks, &count, why);
        if (e == OK && labels_compare(labels, from_labels) < 0) {
            low = mid + 1;
        } else if (e == OK) {
            high = mid;
            kept = number;
        }
    }
    row_reader_free(rows);
    if (e == OK) roaring_bitmap_remove_range(s->matched, 0, kept);
    return e == ERR_CORRUPT ? OK : e;
}

static enum err
part_source_open(struct store_query *q, struct query_source *s, struct part *part,
                 const struct part_tenant *tenant, struct why *why)
{
    s->part = part;
    enum err e = part_index_load(part, tenant, &q->arena, &s->index, why);
    s->index.control = q->control;
    if (e == OK) e = part_select_any(q, &s->index, &s->matched, why);
    if (e == OK) e = leave_out_before(q, s, why);
    if (e == OK) {
        e = tombstones_of_part(q->view->version->tombstones, part, tenant->name, &q->arena,
                               &s->deletions, &s->deletion_count, why);
    }
    if (e || q->kind == QUERY_TEXTS) return e;
    if (q->kind == QUERY_EXEMPLARS) return row_reader_new(&s->index, q->budget, &s->rows);
    struct row_range range = {
        .min_ms = q->min_ms,
        .max_ms = q->max_ms,
        .rows_max = s->deletion_count == 0 ? rows_wanted(q) : 0,
        .with_blocks = q->kind != QUERY_LABELS || s->deletion_count > 0 || q->rules != NULL,
        .with_stale = q->interleave.summaries == SUMMARY_COUNT,
        .with_bundles = q->chunks && s->deletion_count == 0 && q->rules == NULL};
    return row_batch_new(&s->index, s->matched, &range, q->budget, &s->batch);
}

enum err
query_head_step(struct query_source *s)
{
    assert(s->id_at <= s->id_count); /* invariant 2 */
    s->at_end = s->id_at == s->id_count;
    if (s->at_end) return OK;
    buf_clear(&s->label_bytes);
    series_labels(s->registry, registry_series(s->registry, s->ids[s->id_at++]), &s->label_bytes);
    s->labels = buf_bytes(&s->label_bytes);
    return buf_error(&s->label_bytes);
}

enum err
query_leave_out(struct store_query *q, enum err e, const struct why *reason, struct why *why)
{
    if (e && why != NULL) *why = *reason;
    if (e != ERR_CORRUPT || !q->partial) return e;
    e = warnings_add(&q->interleave.warnings, reason);
    return e ? why_set(why, e, "not enough memory for warnings about damage") : OK;
}

static enum err
source_step(struct store_query *q, struct query_source *s, struct why *why)
{
    s->consumed = false;
    if (s->at_end) return OK;
    if (source_is_head(s)) return query_head_step(s);
    for (;;) {
        struct why reason = {""};
        struct row_of_batch row;
        enum err e = row_batch_next(s->batch, &row, &reason);
        if (e == OK) {
            s->at_end = row.labels.at == NULL;
            s->labels = row.labels;
            s->blocks = row.blocks;
            s->block_count = row.block_count;
            s->number = row.number;
            return OK;
        }
        e = query_leave_out(q, e, &reason, why);
        if (e) return e;
        s->at_end = !row_batch_pass(s->batch);
        if (s->at_end) return OK;
    }
}

/* --- a series of the answer ------------------------------------------------------------------- */

/* Lists the deleted times of the source's current series. */
static enum err
hidden_ranges(struct store_query *q, const struct query_source *s,
              const struct time_range **ret_hidden, uint32_t *ret_count)
{
    struct time_range *list = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->deletion_count; i++) {
        if (!roaring_bitmap_contains(s->deletions[i].series, s->number)) continue;
        if (list == NULL) {
            list = arena_alloc(&q->interleave.items_arena, s->deletion_count * sizeof *list);
            if (list == NULL) return ERR_NOMEM;
        }
        list[count++] = s->deletions[i].range;
    }
    *ret_hidden = list;
    *ret_count = count;
    return OK;
}

enum err
query_add_blocks(struct store_query *q, const struct query_source *s)
{
    const struct time_range *hidden;
    uint32_t hidden_count;
    struct samples_left_out *left_out = q->control == NULL ? NULL : q->control->left_out;
    if (q->from_ms > q->max_ms) return OK;
    enum err e = hidden_ranges(q, s, &hidden, &hidden_count);
    if (e) return e;
    for (uint32_t i = 0; i < s->block_count; i++) {
        const struct block_ref *b = &s->blocks[i];
        struct time_range span = block_span(b);
        if (!ranges_meet(span, (struct time_range){q->from_ms, q->max_ms})) continue;
        bool is_all_hidden = false;
        for (uint32_t k = 0; k < hidden_count; k++)
            is_all_hidden |= range_holds(hidden[k], span);
        if (is_all_hidden) {
            if (left_out != NULL) left_out->deleted += block_samples(b);
            continue;
        }
        struct interleave_item *item = interleave_add(&q->interleave);
        if (item == NULL) return ERR_NOMEM;
        item->type = b->resolution_ms > 0 ? PIECE_ROLLUPS : PIECE_BLOCK;
        item->kind = (uint8_t)block_kind(b);
        item->min_ms = span.min_ms;
        item->max_ms = span.max_ms;
        item->order = s->order;
        item->count = b->count;
        item->hidden = hidden;
        item->hidden_count = hidden_count;
        item->block.part = s->part;
        item->block.ref = b;
        item->block.row = s->number;
        if (b->bundled == 0) continue;
        item->type = PIECE_BUNDLE;
        for (; i + 1 < s->block_count && &s->blocks[i + 1] < b + b->bundled; i++) {
            item->count += s->blocks[i + 1].count;
            item->max_ms = s->blocks[i + 1].max_ms;
        }
    }
    return OK;
}

enum err
query_find_block(struct store_query *q, const struct query_source *s, struct why *why)
{
    const struct interleave *m = &q->interleave;
    struct sample_batch batch;
    if (q->from_ms > q->max_ms) return OK;
    /* The batch gives only rows with a block in the time range. */
    q->found |= s->deletion_count == 0 && q->from_ms == q->min_ms;
    if (q->found) return OK;
    interleave_reset(&q->interleave, q->from_ms, q->max_ms, q->partial);
    enum err e = query_add_blocks(q, s);
    if (e || m->item_count == 0) return e;
    q->found = m->items[0].hidden_count == 0;
    if (q->found) return OK;
    interleave_begin(&q->interleave);
    e = interleave_next(&q->interleave, &batch, why);
    q->found = e == OK && batch.count > 0;
    interleave_reset(&q->interleave, q->from_ms, q->max_ms, q->partial);
    return e;
}

enum err
query_find_samples(struct store_query *q, const struct query_source *s, uint32_t id)
{
    int64_t from_ms;
    enum err e = query_head_from_ms(q, s, id, &from_ms);
    if (e || from_ms > q->max_ms) return e;
    for (unsigned i = 0; i < 2 && !q->found; i++) {
        const struct gen_series *samples = s->gens[i] == NULL ? NULL : gen_series(s->gens[i], id);
        if (samples != NULL)
            q->found =
                gen_series_meets(s->gens[i], samples, from_ms, q->max_ms, q->view->seen.epoch);
    }
    return OK;
}

/* The frozen generation's samples came first. */
enum err
query_add_head(struct store_query *q, const struct query_source *s, uint32_t id, struct why *why)
{
    if (q->from_ms > q->max_ms) return OK;
    lock_take(&q->head->lock);
    enum err e = store_view_check(q->view, why);
    if (e == OK && q->kind == QUERY_LABELS) e = query_find_samples(q, s, id);
    for (unsigned i = 0; i < 2 && e == OK && q->kind != QUERY_LABELS; i++) {
        const struct gen_series *samples = s->gens[i] == NULL ? NULL : gen_series(s->gens[i], id);
        if (samples == NULL) continue;
        e = interleave_add_series(&q->interleave, s->gens[i], samples, q->view->seen.epoch,
                                  s->order + i);
    }
    lock_drop(&q->head->lock);
    return e;
}

struct query_source *
query_first_source(struct store_query *q)
{
    struct query_source *first = NULL;
    for (uint32_t i = 0; i < q->source_count; i++) {
        struct query_source *s = &q->sources[i];
        if (s->at_end) continue;
        if (first == NULL || labels_compare(s->labels, first->labels) < 0) first = s;
    }
    return first;
}

static enum err
gather_series(struct store_query *q, const struct query_source *first, struct why *why)
{
    buf_clear(&q->labels);
    buf_put_bytes(&q->labels, first->labels);
    if (buf_error(&q->labels)) return buf_error(&q->labels);
    q->from_ms = query_from_ms(q, buf_bytes(&q->labels));
    interleave_reset(&q->interleave, q->from_ms, q->max_ms, q->partial);
    q->found = false;
    for (uint32_t i = 0; i < q->source_count; i++) {
        struct query_source *s = &q->sources[i];
        if (s->at_end || !bytes_equal(s->labels, buf_bytes(&q->labels))) continue;
        s->consumed = true;
        assert(!source_is_head(s) || s->id_at > 0); /* invariant 2 */
        enum err e = source_is_head(s)         ? query_add_head(q, s, s->ids[s->id_at - 1], why)
                     : q->kind == QUERY_LABELS ? query_find_block(q, s, why)
                                               : query_add_blocks(q, s);
        if (e) return e;
    }
    assert(first->consumed); /* invariant 3 */
    if (q->kind != QUERY_LABELS) interleave_begin(&q->interleave);
    return OK;
}

bool
query_pass(struct store_query *q, const struct query_source *first)
{
    if (query_hints_want(&q->shard, first->labels)) return false;
    for (uint32_t i = 0; i < q->source_count; i++) {
        struct query_source *s = &q->sources[i];
        if (!s->at_end && bytes_equal(s->labels, first->labels)) s->consumed = true;
    }
    return true;
}

static enum err
next_series(struct store_query *q, struct bytes *ret_labels, struct why *why)
{
    for (uint32_t passed = 1;; passed++) {
        if (passed % PASSED_BETWEEN_CHECKS == 0) {
            enum err e = query_control_check(q->control, why);
            if (e) return e;
        }
        for (uint32_t i = 0; i < q->source_count; i++) {
            if (!q->sources[i].consumed) continue;
            enum err e = source_step(q, &q->sources[i], why);
            if (e) return e;
        }
        const struct query_source *first = query_first_source(q);
        if (first == NULL) {
            *ret_labels = (struct bytes){NULL, 0};
            return OK;
        }
        if (query_pass(q, first)) continue;
        enum err e = gather_series(q, first, why);
        if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for the query");
        if (e) return e;
        if (q->interleave.item_count == 0 && !q->found) continue; /* no sample in the range */
        e = query_control_add_series(q->control, why);
        bool looks = q->control != NULL && q->interleave.read.series % SERIES_BETWEEN_CHECKS == 0;
        q->interleave.read.series++;
        if (e == OK && looks) e = query_control_check(q->control, why);
        if (e) return e;
        *ret_labels = buf_bytes(&q->labels);
        return OK;
    }
}

static enum err
query_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct store_query *q = (struct store_query *)set;
    struct query_control *before = remote_read_for(q->control);
    enum err e = next_series(q, ret_labels, why);
    (void)remote_read_for(before);
    return e;
}

static enum err
query_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct store_query *q = (struct store_query *)set;
    struct query_control *before = remote_read_for(q->control);
    enum err e = interleave_next(&q->interleave, ret_batch, why);
    (void)remote_read_for(before);
    if (e) return e;
    uint64_t samples = ret_batch->summary == NULL ? ret_batch->count : 1;
    q->interleave.read.samples += samples;
    return query_control_add_samples(q->control, samples, why);
}

static const char *
query_warning(struct series_set *set, uint32_t index)
{
    struct store_query *q = (struct store_query *)set;
    return warnings_at(&q->interleave.warnings, index);
}

static void
query_free(struct series_set *set)
{
    struct store_query *q = (struct store_query *)set;
    const struct interleave *m = &q->interleave;
    struct samples_left_out *left_out = q->control == NULL ? NULL : q->control->left_out;
    for (unsigned k = LEDGER_FLOAT; k <= LEDGER_HISTOGRAM && left_out != NULL; k++) {
        left_out->superseded += m->duplicate_count[k] + m->superseded_count[k] +
                                m->by_window_count[k] + m->missed_count[k];
        left_out->deleted += m->deleted_count[k];
    }
    interleave_fini(&q->interleave);
    for (uint32_t i = 0; i < q->source_count; i++) {
        struct query_source *s = &q->sources[i];
        row_batch_free(s->batch);
        if (s->matched != NULL) roaring_bitmap_free(s->matched);
        row_reader_free(s->rows);
        exemplar_walk_fini(&s->exemplars);
        buf_fini(&s->spots);
        mem_free(q->budget, s->ids, s->id_capacity * sizeof *s->ids);
        if (source_is_head(s)) buf_fini(&s->label_bytes);
    }
    buf_fini(&q->labels);
    buf_fini(&q->rule_labels);
    arena_fini(&q->arena);
    store_view_unref(q->view);
    mem_free(q->budget, q, sizeof *q);
}

/* --- estimates -------------------------------------------------------------------------------- */

/* Estimates samples as if all series of a source were alike, with samples at even distances. */
static uint64_t
samples_about(const struct store_query *q, uint64_t series, uint64_t of_series, uint64_t samples,
              int64_t min_ms, int64_t max_ms)
{
    int64_t from = q->min_ms > min_ms ? q->min_ms : min_ms;
    int64_t to = q->max_ms < max_ms ? q->max_ms : max_ms;
    double all = (double)max_ms - (double)min_ms, share = 1;
    if (all > 0 && to > from) share = ((double)to - (double)from) / all;
    if (to < from) share = 0;
    return of_series == 0
               ? 0
               : (uint64_t)((double)samples * share * (double)series / (double)of_series);
}

/* Estimates the cost as if all series of a source were alike. */
static struct series_cost
query_cost(const struct series_set *set)
{
    const struct store_query *q = (const struct store_query *)set;
    struct series_cost cost = {.series = 0};
    for (uint32_t i = 0; i < q->source_count; i++) {
        const struct query_source *s = &q->sources[i];
        uint64_t series = s->id_count;
        if (s->matched != NULL) series = roaring_bitmap_get_cardinality(s->matched);
        if (source_is_head(s)) {
            lock_take(&q->head->lock);
            for (unsigned k = 0; k < 2; k++) {
                const struct gen *g = s->gens[k];
                if (g == NULL) continue;
                uint64_t all = g->sample_count[LEDGER_FLOAT] + g->sample_count[LEDGER_HISTOGRAM];
                cost.samples +=
                    samples_about(q, series, g->series_count, all, g->min_ms, g->max_ms);
            }
            lock_drop(&q->head->lock);
        } else if (s->matched != NULL) {
            const struct part_tenant *t = s->index.tenant;
            const struct part_info *info = part_info(s->part);
            uint64_t samples =
                t->sample_count[LEDGER_FLOAT] + t->sample_count[LEDGER_HISTOGRAM] + t->rollup_rows;
            cost.samples += samples_about(q, series, t->series_count, samples, info->time.min_ms,
                                          info->time.max_ms);
            cost.rollups += samples_about(q, series, t->series_count, t->rollup_rows,
                                          info->time.min_ms, info->time.max_ms);
        }
        if (series > cost.series) cost.series = series; /* most series are in all sources */
    }
    return cost;
}

static struct series_cost
query_spent(const struct series_set *set)
{
    return ((const struct store_query *)set)->interleave.read;
}

static const struct series_set_ops query_ops = {
    .next = query_next,
    .batch = query_batch,
    .warning = query_warning,
    .cost = query_cost,
    .spent = query_spent,
    .free = query_free,
};

/* --- opening ---------------------------------------------------------------------------------- */

/*
 * A part that was set aside may have samples of any tenant: its root, which lists them, cannot be
 * read. Callers that cannot pass a warning on have to fail: see series_set_is_whole().
 */
static enum err
warn_of_aside(struct store_query *q, struct why *why)
{
    const struct live *live = q->head->live;
    for (uint32_t i = 0; i < live->aside_count; i++) {
        const struct part_entry *p = &live->aside[i];
        const struct tsdb_stretch *stretch = &q->view->stretch;
        char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES], when[2 * TIME_TEXT_BYTES + 20] = "";
        struct why warning;
        if (p->time.max_ms < q->min_ms || p->time.min_ms > q->max_ms) continue;
        if (p->to_pos <= q->beyond_pos) continue;
        if (stretch->to_pos > 0 &&
            (p->from_pos >= stretch->to_pos || p->to_pos <= stretch->from_pos))
            continue;
        if (p->time.min_ms != INT64_MIN) {
            snprintf(when, sizeof when, " from %s to %s", time_print(p->time.min_ms, from),
                     time_print(p->time.max_ms, to));
        }
        (void)why_set(&warning, ERR_CORRUPT,
                      "part %016" PRIx64
                      " is damaged and was set aside: its samples%s are missing; "
                      "stop the server, and restore the part or rename it to %016" PRIx64 ".lost",
                      p->number, when, p->number);
        if (warnings_add(&q->interleave.warnings, &warning))
            return why_set(why, ERR_NOMEM, "not enough memory for warnings about damage");
    }
    return OK;
}

/* True if the part may have samples that the query asks for. */
static bool
query_needs(const struct store_query *q, const struct part *part, const struct part_tenant *t)
{
    const struct part_info *info = part_info(part);
    if (t == NULL || t->series_count == 0) return false;
    if (info->time.max_ms < q->min_ms || info->time.min_ms > q->max_ms) return false;
    if (info->to_pos <= q->beyond_pos) return false;
    return q->view->stretch.to_pos == 0 || stretch_has(&q->view->stretch, part);
}

/* Fetches what matching reads of parts in a bucket, of all of them at once. */
static void
fetch_indexes(struct store_query *q, struct bytes tenant)
{
    struct wanted_chunks wanted = {.budget = q->budget};
    for (uint32_t i = 0; i < q->view->version->part_count; i++) {
        struct part *part = q->view->version->parts[i];
        if (part_is_remote(part) && query_needs(q, part, part_tenant(part, tenant)))
            part_want_index(part, &wanted);
    }
    remote_fetch_wanted(&wanted);
}

/* Fetches the first rows of parts in a bucket, and then their samples. */
static void
fetch_rows(struct store_query *q)
{
    struct wanted_chunks wanted = {.budget = q->budget};
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < q->source_count; i++) {
            struct query_source *s = &q->sources[i];
            if (s->batch == NULL || !part_is_remote(s->part)) continue;
            if (round == 0)
                row_batch_want_rows(s->batch, &wanted);
            else
                row_batch_want_blocks(s->batch, &wanted);
        }
        remote_fetch_wanted(&wanted);
    }
}

static enum err
open_sources(struct store_query *q, struct bytes tenant_name, struct why *why)
{
    uint32_t most = q->view->version->part_count + 2;
    q->sources = arena_new(&q->arena, most * sizeof *q->sources);
    if (q->sources == NULL) return ERR_NOMEM;
    enum err e = OK;
    fetch_indexes(q, tenant_name);
    for (uint32_t i = 0; i < q->view->version->part_count && e == OK; i++) {
        struct part *part = q->view->version->parts[i];
        const struct part_tenant *t = part_tenant(part, tenant_name);
        if (!query_needs(q, part, t)) continue;
        struct query_source *s = &q->sources[q->source_count++];
        s->order = i;
        struct why reason = {""};
        e = part_source_open(q, s, part, t, &reason);
        s->at_end |= e != OK; /* its matching series are not known */
        e = query_leave_out(q, e, &reason, why);
    }
    for (unsigned i = 0; i < 2 && e == OK && q->tenant != UINT32_MAX; i++) {
        struct gen *gen = q->view->gens[i];
        if (gen == NULL) continue;
        /* A registry may have a million series of which all samples, of any tenant, are flushed. */
        lock_take(&q->head->lock);
        bool has_samples =
            gen->series_count > 0 || (q->kind == QUERY_EXEMPLARS && gen->exemplars.count > 0);
        lock_drop(&q->head->lock);
        if (!has_samples) continue;
        struct query_source *s = &q->sources[q->source_count++];
        s->order = most + i;
        s->registry = gen->registry;
        s->gens[0] = gen;
        bool both = i == 0 && q->view->gens[1]->registry == s->registry;
        if (both) s->gens[1] = q->view->gens[++i];
        e = head_source_open(q, s, why);
    }
    assert(q->source_count <= most); /* invariant 1 */
    bool steps = q->kind == QUERY_SAMPLES || q->kind == QUERY_LABELS;
    if (e == OK && steps) fetch_rows(q);
    for (uint32_t i = 0; i < q->source_count && e == OK && steps; i++)
        e = source_step(q, &q->sources[i], why);
    return e;
}

static int64_t
earlier(int64_t t_ms, int64_t by_ms)
{
    return t_ms < INT64_MIN + by_ms ? INT64_MIN : t_ms - by_ms;
}

enum err
query_open(struct store_view *view, const struct query_request *request, enum query_kind kind,
           struct store_query **ret_query, struct why *why)
{
    struct budget *budget = request->control == NULL ? NULL : request->control->budget;
    if (request->budget != NULL) budget = request->budget;
    struct store_query *q = mem_new(budget, sizeof *q);
    if (q == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the query");
    q->set.ops = &query_ops;
    q->head = view->head;
    q->budget = budget;
    q->control = request->control;
    q->view = view;
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    q->min_ms = request->min_ms;
    q->max_ms = request->max_ms;
    if (request->hints.rollups == ROLLUP_LAST) {
        /* A window that is in the range, or ended
         * less than its resolution before it, has its last sample less than twice that before the
         * range. */
        int64_t coarsest_ms = 0;
        for (uint32_t i = 0; i < q->view->version->part_count; i++) {
            const struct part_info *info = part_info(q->view->version->parts[i]);
            int64_t resolution_ms = info->resolution_max_ms;
            if (resolution_ms <= coarsest_ms || info->time.min_ms > q->max_ms) continue;
            if (info->time.max_ms > earlier(q->min_ms, 2 * resolution_ms))
                coarsest_ms = resolution_ms;
        }
        q->min_ms = earlier(q->min_ms, coarsest_ms);
    }
    q->from_ms = q->min_ms;
    q->request = request;
    q->partial = request->partial;
    q->chunks = request->kind == SELECT_CHUNKS;
    q->kind = kind;
    arena_init(&q->arena, budget, 0, 4096);
    buf_init(&q->labels, budget, 64 * 1024 * 1024);
    buf_init(&q->rule_labels, budget, 64 * 1024 * 1024);
    interleave_init(&q->interleave, budget, q->control);
    q->interleave.chunks = q->chunks;
    q->interleave.summaries = request->hints.summaries;
    q->interleave.windows = request->hints.windows;
    q->interleave.times_only = request->kind == SELECT_TIMES;
    q->interleave.rollups = request->hints.rollups;
    if (kind == QUERY_LABELS || kind == QUERY_TEXTS) { /* for query_find_block() */
        q->interleave.times_only = true;
        q->interleave.rollups = ROLLUP_COUNTS;
    }
    lock_take(&view->head->lock);
    const struct tenant *t = tenant_find(view->head, request->tenant);
    q->tenant = t == NULL ? UINT32_MAX : t->id;
    lock_drop(&view->head->lock);
    enum err e = query_hints_keep_shard(&request->hints, &q->arena, &q->shard);
    if (request->beyond != NULL) {
        q->beyond_pos = request->beyond->complete_pos;
        if (e == OK && request->beyond->session != 0)
            e = store_view_beyond(view, request->beyond, why);
    }
    if (e == OK) e = query_use_rules(q, request->tenant);
    if (e == OK) e = warn_of_aside(q, why);
    struct query_control *before = remote_read_for(q->control);
    if (e == OK) e = open_sources(q, request->tenant, why);
    (void)remote_read_for(before);
    if (e) {
        query_free(&q->set);
        return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the query") : e;
    }
    q->request = NULL;
    *ret_query = q;
    return OK;
}

enum err
store_samples(struct view *view, const struct query_request *request, struct series_set **ret_set,
              struct why *why)
{
    struct store_query *q;
    enum query_kind kind = request->kind == SELECT_LABELS ? QUERY_LABELS : QUERY_SAMPLES;
    enum err e = query_open((struct store_view *)view, request, kind, &q, why);
    if (e == OK) *ret_set = &q->set;
    return e;
}

enum err
parts_count(struct head *head, struct version *version, enum count_what what,
            const struct query_request *request, struct tsdb_deletion *ret, struct why *why)
{
    const struct time_range range = {request->min_ms, request->max_ms};
    struct query_request asked = *request;
    struct store_view *view;
    struct store_query *q;
    struct bytes labels;
    enum err e = store_view_open(head, VIEW_PARTS, NULL, &view, why);
    if (e) return e;
    if (what == COUNT_STORED) {
        series_rules_unref(view->rules);
        view->rules = NULL;
    }
    version_unref(view->version);
    version_ref(version);
    view->version = version;
    asked.hints.rollups = ROLLUP_COUNTS;
    *ret = (struct tsdb_deletion){.id = 0};
    e = query_open(view, &asked, QUERY_SAMPLES, &q, why);
    store_view_unref(view);
    if (e) return e;
    for (;;) {
        e = query_next(&q->set, &labels, why);
        if (e || labels.at == NULL) break;
        const uint64_t before = ret->samples + ret->windows;
        for (struct sample_batch b = {.count = 1}; e == OK && b.count > 0;) {
            e = query_batch(&q->set, &b, why);
            if (e == OK && !sample_batch_has_windows(&b)) {
                ret->samples += b.count;
                continue;
            }
            for (uint32_t i = 0; e == OK && i < b.count; i++) {
                /* A window that has a sample in the range is hidden whole. */
                const struct rollup window = sample_batch_window(&b, i);
                ret->windows += rollup_is_hidden(&window, &range, 1);
            }
        }
        if (e) break;
        ret->series += ret->samples + ret->windows > before;
    }
    query_free(&q->set);
    return e;
}

static enum err
first_sample(struct store_view *view, const struct query_request *request, int64_t *ret_ms,
             struct why *why)
{
    struct store_query *q;
    struct bytes labels;
    enum err e = query_open(view, request, QUERY_SAMPLES, &q, why);
    if (e) return e;
    while ((e = query_next(&q->set, &labels, why)) == OK && labels.at != NULL) {
        struct sample_batch b;
        e = query_batch(&q->set, &b, why);
        if (e == OK && b.count == 0) continue;
        if (e == OK) *ret_ms = b.times_ms[0];
        break;
    }
    query_free(&q->set);
    return e;
}

enum err
sample_after(struct head *head, int64_t after_ms, int64_t *ret_ms)
{
    struct store_view *view;
    struct query_request request = {.min_ms = after_ms + 1, .max_ms = INT64_MAX, .partial = true};
    *ret_ms = INT64_MIN;
    enum err e = store_view_open(head, VIEW_ALL, NULL, &view, NULL);
    if (e) return e;
    for (uint32_t i = 0; e == OK && *ret_ms == INT64_MIN; i++) {
        lock_take(&head->lock);
        const struct tenant *tenant = i < head->tenant_count ? head->tenants[i] : NULL;
        lock_drop(&head->lock);
        if (tenant == NULL) break; /* tenants stay, in their order */
        request.tenant = tenant->name;
        e = first_sample(view, &request, ret_ms, NULL);
    }
    store_view_unref(view);
    return e;
}
