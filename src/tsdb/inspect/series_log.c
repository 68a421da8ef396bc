/* series_log.c - see inspect_series.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "model/labels.h"
#include "tsdb/inspect/series.h"

enum { SLOTS_FIRST = 1024, SLOTS_MAX = 8 * 1024 * 1024 }; /* of 16 bytes; half of them are used */

/*
 * The log defines every series before it uses it, also those of which parts hold all there is. So
 * it is walked twice: first a selected series is just a reference, until it has a sample; then
 * those that have get their labels.
 */
struct ref_slot {
    uint64_t ref;
    uint32_t item_plus_1; /* 0: no sample yet */
    bool used;
};

struct log_pass {
    const struct inspect_question *question;
    uint64_t store_pos;
    struct inspect_series *result;
    struct log_list *list;
    struct ref_slot *slots;
    uint32_t capacity;
    uint32_t used;
    bool labelling; /* the second walk */
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
    while (slots[at].used && slots[at].ref != ref) {
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
        if (!x->slots[i].used) continue;
        *slot_of(grown, capacity, x->slots[i].ref) = x->slots[i];
    }
    mem_free(x->list->budget, x->slots, x->capacity * sizeof *grown);
    x->slots = grown;
    x->capacity = capacity;
    return OK;
}

/* NULL: no memory. */
static struct log_series *
list_add(struct log_pass *x)
{
    struct log_list *l = x->list;
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity == 0 ? 64 : 2 * l->capacity;
        struct log_series *grown =
            mem_resize(l->budget, l->items, l->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) return NULL;
        l->items = grown;
        l->capacity = capacity;
    }
    struct log_series *s = &l->items[l->count++];
    *s = (struct log_series){.time = {INT64_MAX, INT64_MIN}};
    return s;
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

static enum err
note_labels(struct log_pass *x, uint64_t ref, struct bytes labels)
{
    if (x->capacity == 0) return OK;
    const struct ref_slot *slot = slot_of(x->slots, x->capacity, ref);
    if (slot->item_plus_1 == 0) return OK;
    struct log_series *s = &x->list->items[slot->item_plus_1 - 1];
    if (s->labels.at != NULL) return OK; /* each segment defines it again */
    s->labels = arena_copy(&x->result->arena, labels);
    return s->labels.at == NULL ? ERR_NOMEM : OK;
}

static enum err
note_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct log_pass *x = context;
    if (x->labelling) return note_labels(x, ref, labels);
    if (!bytes_equal(tenant, x->question->tenant) || !is_selected(x->question, labels)) return OK;
    if (2 * x->used >= x->capacity && x->capacity < SLOTS_MAX) {
        enum err e = slots_grow(x);
        if (e) return e;
    }
    struct ref_slot *slot = slot_of(x->slots, x->capacity, ref);
    if (slot->used) return OK;
    if (2 * x->used >= x->capacity) {
        x->result->log_series_left_out = true;
        return OK;
    }
    *slot = (struct ref_slot){.ref = ref, .used = true};
    x->used++;
    return OK;
}

static enum err
note_sample(struct log_pass *x, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct time_range range = x->question->range;
    if (x->capacity == 0 || t_ms < range.min_ms || t_ms > range.max_ms) return OK;
    struct ref_slot *slot = slot_of(x->slots, x->capacity, ref);
    if (!slot->used) return OK;
    if (slot->item_plus_1 == 0) {
        if (x->list->count == INSPECT_LOG_SERIES_MAX) {
            x->result->log_series_left_out = true;
            return OK;
        }
        if (list_add(x) == NULL) return ERR_NOMEM;
        slot->item_plus_1 = x->list->count;
    }
    struct log_series *s = &x->list->items[slot->item_plus_1 - 1];
    s->samples[kind]++;
    if (kind == LEDGER_EXEMPLAR) return OK;
    if (t_ms < s->time.min_ms) s->time.min_ms = t_ms;
    if (t_ms > s->time.max_ms) s->time.max_ms = t_ms;
    return OK;
}

static enum err
note_float(void *context, const struct record_float *f)
{
    return note_sample(context, f->ref, f->t_ms, LEDGER_FLOAT);
}

static enum err
note_histogram(void *context, const struct record_histogram *h)
{
    return note_sample(context, h->ref, h->t_ms, LEDGER_HISTOGRAM);
}

static enum err
note_exemplar(void *context, const struct record_exemplar *e)
{
    return note_sample(context, e->ref, e->t_ms, LEDGER_EXEMPLAR);
}

static enum err
note_record(void *context, const struct wal_record_info *info)
{
    struct log_pass *x = context;
    const struct wal_record *r = &info->record;
    enum err e = OK;
    arena_reset(&x->scratch);
    if (r->type == WAL_SERIES) {
        e = record_each_series(r->payload, NULL, note_series, x, &x->scratch);
    } else if (r->pos < x->store_pos || x->labelling) {
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
    if (pos + bytes <= x->store_pos || x->labelling) return; /* parts have it, or it was told */
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
segments_walk(struct log_pass *x, const struct inspect_options *options, const char *dir,
              struct why *why)
{
    const struct wal_inspector inspector = {
        .record = note_record, .damage = note_damage, .context = x};
    enum err e = OK;
    for (uint32_t i = 0; i < x->segment_count && e == OK; i++) {
        const struct wal_segment_info *s = &x->segments[i];
        struct wal_inspection ignored;
        if (s->end_pos <= x->store_pos) continue;
        e = wal_inspect(options->env, dir, s->number, options->memory, &inspector, &ignored, why);
        if (e == OK) e = x->failed;
    }
    return e;
}

/* Where the newest segment ends nobody says: but often parts have all of it. */
static enum err
newest_end(struct log_pass *x, const struct inspect_options *options, const char *dir,
           struct why *why)
{
    static const struct wal_inspector nobody = {0};
    struct wal_inspection look;
    if (x->segment_count == 0) return OK;
    struct wal_segment_info *newest = &x->segments[x->segment_count - 1];
    enum err e =
        wal_inspect(options->env, dir, newest->number, options->memory, &nobody, &look, why);
    if (e == OK) newest->end_pos = look.end_pos;
    return e;
}

static enum err
segments_read(struct log_pass *x, const struct inspect_options *options, const char *dir,
              bool has_log, struct why *why)
{
    enum err e = wal_segments(options->env, dir, options->memory, note_segment, x, why);
    if (e == ERR_MISSING && !has_log) return OK;
    if (e == OK && x->segment_count == 0 && has_log) {
        e = remark_damage(&x->result->remarks, &x->result->arena, "no segment of the log is there");
    }
    if (e == OK) e = newest_end(x, options, dir, why);
    if (e == OK) e = segments_walk(x, options, dir, why);
    if (e || x->list->count == 0) return e;
    x->labelling = true;
    return segments_walk(x, options, dir, why);
}

static int
by_labels(const void *a, const void *b)
{
    return labels_compare(((const struct log_series *)a)->labels,
                          ((const struct log_series *)b)->labels);
}

/* A definition that was there for the first walk may be gone for the second. */
static void
list_settle(struct log_list *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->items[i].labels.at != NULL) l->items[kept++] = l->items[i];
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
