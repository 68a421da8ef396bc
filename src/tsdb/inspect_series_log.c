/* inspect_series_log.c - see inspect_series.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "model/labels.h"
#include "tsdb/inspect_series.h"

enum { SLOTS_FIRST = 1024 };

struct ref_slot {
    uint64_t ref;
    uint32_t item_plus_1;
};

struct log_pass {
    const struct inspect_question *question;
    uint64_t store_pos;
    struct inspect_series *result;
    struct log_list *list;
    struct ref_slot *slots;
    uint32_t capacity;
    uint32_t used;
    struct arena scratch;
    struct arena arena;
    struct wal_segment_info *segments;
    uint32_t segment_count;
    enum err failed; /* of a remark */
};

static struct ref_slot *
slot_of(struct ref_slot *slots, uint32_t capacity, uint64_t ref)
{
    uint32_t at = (uint32_t)hash_mix(ref, 0) & (capacity - 1);
    while (slots[at].item_plus_1 != 0 && slots[at].ref != ref) {
        at = (at + 1) & (capacity - 1);
    }
    return &slots[at];
}

static enum err
slots_grow(struct log_pass *x)
{
    uint32_t capacity = x->capacity == 0 ? SLOTS_FIRST : 2 * x->capacity;
    struct ref_slot *grown = mem_new(x->list->budget, capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < x->capacity; i++) {
        if (x->slots[i].item_plus_1 == 0) continue;
        *slot_of(grown, capacity, x->slots[i].ref) = x->slots[i];
    }
    mem_free(x->list->budget, x->slots, x->capacity * sizeof *grown);
    x->slots = grown;
    x->capacity = capacity;
    return OK;
}

static enum err
list_add(struct log_pass *x, struct bytes labels)
{
    struct log_list *l = x->list;
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity == 0 ? 64 : 2 * l->capacity;
        struct log_series *grown =
            mem_resize(l->budget, l->items, l->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        l->items = grown;
        l->capacity = capacity;
    }
    struct bytes copy = arena_copy(&x->result->arena, labels);
    if (copy.at == NULL) return ERR_NOMEM;
    l->items[l->count++] = (struct log_series){.labels = copy, .time = {INT64_MAX, INT64_MIN}};
    return OK;
}

static bool
is_selected(const struct inspect_question *q, struct bytes labels)
{
    for (uint32_t i = 0; i < q->selector->count; i++) {
        const struct matcher *m = q->selector->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return false;
    }
    return true;
}

/* A reference is defined again in every segment that uses it. */
static enum err
note_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct log_pass *x = context;
    if (!bytes_equal(tenant, x->question->tenant) || !is_selected(x->question, labels)) return OK;
    if (2 * x->used >= x->capacity) {
        enum err e = slots_grow(x);
        if (e) return e;
    }
    struct ref_slot *slot = slot_of(x->slots, x->capacity, ref);
    if (slot->item_plus_1 != 0) return OK;
    if (x->list->count == INSPECT_LOG_SERIES_MAX) {
        x->result->log_series_left_out = true;
        return OK;
    }
    enum err e = list_add(x, labels);
    if (e) return e;
    *slot = (struct ref_slot){ref, x->list->count};
    x->used++;
    return OK;
}

static void
note_sample(struct log_pass *x, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct time_range range = x->question->range;
    if (x->capacity == 0 || t_ms < range.min_ms || t_ms > range.max_ms) return;
    const struct ref_slot *slot = slot_of(x->slots, x->capacity, ref);
    if (slot->item_plus_1 == 0) return;
    struct log_series *s = &x->list->items[slot->item_plus_1 - 1];
    s->samples[kind]++;
    if (kind == LEDGER_EXEMPLAR) return;
    if (t_ms < s->time.min_ms) s->time.min_ms = t_ms;
    if (t_ms > s->time.max_ms) s->time.max_ms = t_ms;
}

static enum err
note_float(void *context, const struct record_float *f)
{
    note_sample(context, f->ref, f->t_ms, LEDGER_FLOAT);
    return OK;
}

static enum err
note_histogram(void *context, const struct record_histogram *h)
{
    note_sample(context, h->ref, h->t_ms, LEDGER_HISTOGRAM);
    return OK;
}

static enum err
note_exemplar(void *context, const struct record_exemplar *e)
{
    note_sample(context, e->ref, e->t_ms, LEDGER_EXEMPLAR);
    return OK;
}

static enum err
note_record(void *context, const struct wal_record_info *info)
{
    struct log_pass *x = context;
    const struct wal_record *r = &info->record;
    enum err e = OK;
    arena_reset(&x->scratch);
    if (r->type == WAL_SERIES) {
        e = record_each_series(r->payload, NULL, note_series, x);
    } else if (r->pos < x->store_pos) {
        return OK;
    } else if (r->type == WAL_FLOATS) {
        e = record_each_float(r->payload, note_float, x, &x->scratch);
    } else if (r->type == WAL_HISTOGRAMS) {
        e = record_each_histogram(r->payload, note_histogram, x, &x->scratch);
    } else if (r->type == WAL_EXEMPLARS) {
        e = record_each_exemplar(r->payload, note_exemplar, x);
    }
    if (e != ERR_CORRUPT) return e;
    char text[100];
    snprintf(text, sizeof text, "the log's record at position %" PRIu64 " makes no sense", r->pos);
    return remark_damage(&x->result->remarks, &x->result->arena, text);
}

static void
note_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct log_pass *x = context;
    if (pos + bytes <= x->store_pos) return; /* parts have it */
    enum err e = remark_damage(&x->result->remarks, &x->result->arena, text);
    x->failed = err_first(x->failed, e);
}

/* --- segments --------------------------------------------------------------------------------- */

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct log_pass *x = context;
    if (info->state != WAL_SEGMENT_LIVE) return OK;
    if (x->segment_count == 0 && info->prev_number != 0 && x->store_pos < info->prev_end_pos) {
        char text[80];
        snprintf(text, sizeof text, "log segment %016" PRIx64 " is missing", info->prev_number);
        enum err e = remark_damage(&x->result->remarks, &x->result->arena, text);
        if (e) return e;
    }
    struct wal_segment_info *grown =
        arena_push(&x->arena, x->segments, x->segment_count, sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    x->segments = grown;
    x->segments[x->segment_count++] = *info;
    return OK;
}

static enum err
segments_read(struct log_pass *x, const struct inspect_options *options, const char *dir,
              bool has_log, struct why *why)
{
    const struct wal_inspector inspector = {
        .record = note_record, .damage = note_damage, .context = x};
    enum err e = wal_segments(options->env, dir, options->memory, note_segment, x, why);
    if (e == ERR_MISSING && !has_log) return OK;
    if (e == OK && x->segment_count == 0 && has_log) {
        e = remark_damage(&x->result->remarks, &x->result->arena, "no segment of the log is there");
    }
    for (uint32_t i = 0; i < x->segment_count && e == OK; i++) {
        const struct wal_segment_info *s = &x->segments[i];
        struct wal_inspection ignored;
        if (s->end_known && s->end_pos <= x->store_pos) continue;
        e = wal_inspect(options->env, dir, s->number, options->memory, &inspector, &ignored, why);
        if (e == OK) e = x->failed;
    }
    return e;
}

static int
by_labels(const void *a, const void *b)
{
    return labels_compare(((const struct log_series *)a)->labels,
                          ((const struct log_series *)b)->labels);
}

/* Those that have nothing in the range, or that parts cover already, are only defined there. */
static void
list_settle(struct log_list *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const uint64_t *n = l->items[i].samples;
        if (n[0] + n[1] + n[2] > 0) l->items[kept++] = l->items[i];
    }
    l->count = kept;
    if (kept > 0) qsort(l->items, kept, sizeof *l->items, by_labels);
}

enum err
log_list_read(const struct inspect_options *options, const char *dir,
              const struct manifest *manifest, const struct inspect_question *question,
              struct inspect_series *result, struct log_list *ret_list, struct why *why)
{
    char path[256];
    struct why reason = {""};
    *ret_list = (struct log_list){.budget = options->memory};
    struct log_pass x = {
        .question = question, .store_pos = manifest->store_pos, .result = result, .list = ret_list};
    arena_init(&x.scratch, options->memory, 0, 0);
    arena_init(&x.arena, options->memory, 0, 0);
    enum err e = path_join(path, sizeof path, dir, "wal");
    if (e == OK) e = segments_read(&x, options, path, manifest_has_log(manifest), &reason);
    if (e) why_set(why, e, "%s", reason.text[0] == '\0' ? err_word(e) : reason.text);
    arena_fini(&x.scratch);
    arena_fini(&x.arena);
    mem_free(options->memory, x.slots, x.capacity * sizeof *x.slots);
    if (e == OK) list_settle(ret_list);
    return e;
}

void
log_list_fini(struct log_list *list)
{
    mem_free(list->budget, list->items, list->capacity * sizeof *list->items);
    *list = (struct log_list){0};
}
