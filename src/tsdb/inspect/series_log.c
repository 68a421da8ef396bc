/* series_log.c - see series.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/table.h"
#include "model/labels.h"
#include "tsdb/inspect/series.h"

enum { REFS_MAX = 4 * 1024 * 1024 };

/*
 * The log defines every series before it uses it, also those of which parts hold all there is. So
 * it is walked twice: first a selected series is just a reference, until it has a sample; then
 * those that have get their labels.
 */
struct log_ref {
    uint64_t ref;
    uint32_t item_plus_1; /* 0: no sample yet */
};

struct series_log_pass {
    const struct inspect_question *question;
    uint64_t store_pos;
    struct inspect_series *result;
    struct log_list *list;
    struct log_ref *refs;
    uint32_t ref_count;
    uint32_t ref_capacity;
    struct table table; /* by hash of the reference, places in `refs` */
    bool labelling;     /* the second walk */
    struct arena scratch;
    struct arena arena;
    struct wal_segment_info *segments;
    uint32_t segment_count;
    enum err failed; /* of a remark */
};

/* NULL: it is not selected. */
static struct log_ref *
find_ref(const struct series_log_pass *x, uint64_t ref)
{
    uint64_t hash = hash_mix(ref, 0);
    for (uint32_t at = TABLE_START, i; table_next(&x->table, hash, &at, &i);) {
        if (x->refs[i].ref == ref) return &x->refs[i];
    }
    return NULL;
}

static enum err
note_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct series_log_pass *x = context;
    const struct log_ref *known = find_ref(x, ref);
    if (x->labelling) {
        if (known == NULL || known->item_plus_1 == 0) return OK;
        struct series_in_log *s = &x->list->items[known->item_plus_1 - 1];
        if (s->labels.at != NULL) return OK; /* each segment defines it again */
        s->labels = arena_copy(&x->result->arena, labels);
        return s->labels.at == NULL ? ERR_NOMEM : OK;
    }
    if (known != NULL || !bytes_equal(tenant, x->question->tenant)) return OK;
    for (uint32_t i = 0; i < x->question->selector->count; i++) {
        const struct matcher *m = x->question->selector->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return OK;
    }
    if (x->ref_count == REFS_MAX) {
        x->result->log_series_left_out = true;
        return OK;
    }
    struct budget *budget = x->list->budget;
    if (!table_reserve(&x->table, budget, 1) ||
        !array_reserve(budget, &x->refs, &x->ref_capacity, x->ref_count + 1)) {
        return ERR_NOMEM;
    }
    table_add(&x->table, hash_mix(ref, 0), x->ref_count);
    x->refs[x->ref_count++] = (struct log_ref){.ref = ref};
    return OK;
}

static enum err
note_sample(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct series_log_pass *x = context;
    struct log_list *list = x->list;
    if (t_ms < x->question->range.min_ms || t_ms > x->question->range.max_ms) return OK;
    struct log_ref *known = find_ref(x, ref);
    if (known == NULL) return OK;
    if (known->item_plus_1 == 0) {
        if (list->count == INSPECT_LOG_SERIES_MAX) {
            x->result->log_series_left_out = true;
            return OK;
        }
        if (!array_reserve(list->budget, &list->items, &list->capacity, list->count + 1)) {
            return ERR_NOMEM;
        }
        list->items[list->count++] = (struct series_in_log){.time = {INT64_MAX, INT64_MIN}};
        known->item_plus_1 = list->count;
    }
    struct series_in_log *s = &list->items[known->item_plus_1 - 1];
    s->samples[kind]++;
    if (kind == LEDGER_EXEMPLAR) return OK;
    if (t_ms < s->time.min_ms) s->time.min_ms = t_ms;
    if (t_ms > s->time.max_ms) s->time.max_ms = t_ms;
    return OK;
}

static enum err
note_record(void *context, const struct wal_record_info *info)
{
    struct series_log_pass *x = context;
    const struct wal_record *r = &info->record;
    enum err e = OK;
    arena_reset(&x->scratch);
    if (r->type == WAL_SERIES) {
        e = record_each_series(r->payload, NULL, note_series, x, &x->scratch);
    } else if (r->pos >= x->store_pos && !x->labelling) {
        e = record_each_time(r->type, r->payload, note_sample, x, &x->scratch);
    }
    if (e != ERR_CORRUPT) return e;
    char text[100];
    snprintf(text, sizeof text, "cannot decode the log record at position %" PRIu64, r->pos);
    return remark_damage(&x->result->remarks, &x->result->arena, text);
}

static void
note_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct series_log_pass *x = context;
    if (pos + bytes <= x->store_pos || x->labelling) return; /* parts have it, or it was told */
    enum err e = remark_damage(&x->result->remarks, &x->result->arena, text);
    x->failed = err_first(x->failed, e);
}

/* --- segments --------------------------------------------------------------------------------- */

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct series_log_pass *x = context;
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
segments_walk(struct series_log_pass *x, const struct inspect_options *options, const char *dir,
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

static int
by_labels(const void *a, const void *b)
{
    return labels_compare(((const struct series_in_log *)a)->labels,
                          ((const struct series_in_log *)b)->labels);
}

enum err
log_list_read(const struct inspect_options *options, const char *dir,
              const struct manifest *manifest, const struct inspect_question *question,
              struct inspect_series *result, struct log_list *ret_list, struct why *why)
{
    char path[256];
    struct why reason = {""};
    struct budget *budget = options->memory;
    *ret_list = (struct log_list){.budget = budget};
    struct series_log_pass x = {
        .question = question, .store_pos = manifest->store_pos, .result = result, .list = ret_list};
    arena_init(&x.scratch, budget, 0, 0);
    arena_init(&x.arena, budget, 0, 0);
    enum err e = path_join(path, sizeof path, dir, "wal");
    if (e == OK) e = wal_segments(options->env, path, budget, note_segment, &x, &reason);
    if (e == ERR_MISSING && !manifest_has_log(manifest)) {
        e = OK;
    } else if (e == OK && x.segment_count == 0 && manifest_has_log(manifest)) {
        e = remark_damage(&result->remarks, &result->arena, "no log segments found");
    }
    if (e == OK && x.segment_count > 0) {
        /* Where the newest segment ends nobody says: but often parts have all of it. */
        static const struct wal_inspector nobody = {0};
        struct wal_inspection look;
        struct wal_segment_info *newest = &x.segments[x.segment_count - 1];
        e = wal_inspect(options->env, path, newest->number, budget, &nobody, &look, &reason);
        if (e == OK) newest->end_pos = look.end_pos;
    }
    if (e == OK) e = segments_walk(&x, options, path, &reason);
    x.labelling = true;
    if (e == OK && ret_list->count > 0) e = segments_walk(&x, options, path, &reason);
    if (e) why_set(why, e, "%s", reason.text[0] == '\0' ? err_word(e) : reason.text);
    arena_fini(&x.scratch);
    arena_fini(&x.arena);
    array_free(budget, x.refs, x.ref_capacity);
    table_fini(&x.table, budget);
    if (e) return e;
    /* A definition that was there for the first walk may be gone for the second. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ret_list->count; i++) {
        if (ret_list->items[i].labels.at != NULL) ret_list->items[kept++] = ret_list->items[i];
    }
    ret_list->count = kept;
    if (kept > 0) qsort(ret_list->items, kept, sizeof *ret_list->items, by_labels);
    return OK;
}

void
log_list_fini(struct log_list *list)
{
    array_free(list->budget, list->items, list->capacity);
    *list = (struct log_list){0};
}
