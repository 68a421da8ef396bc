/*
 * series.c - finds the series of a selector: their parts, the forms of their blocks, and their
 * samples that are only in the log. Parts and log each give their series in label order; equal
 * labels are joined, as select() does. Of samples only times at the borders of the range are read.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "tsdb/inspect/inspect_private.h"

/* Labels are read from all parts in turns, so the cache holds pages of all. */
enum { TRIES = 5, SERIES_CACHE_BYTES = 32 * 1024 * 1024 };
/* At most this many series of the log are distinguished, and references kept. */
enum { LOG_SERIES_MAX = 100 * 1000, REFS_MAX = 4 * 1024 * 1024 };

/* --- the log ---------------------------------------------------------------------------------- */

struct series_in_log {
    struct bytes labels; /* in the result's arena */
    uint64_t samples[LEDGER_KIND_COUNT];
    struct time_range time;
};

struct log_list {
    struct budget *budget;
    struct series_in_log *items; /* in label order; equal labels may follow one another */
    uint32_t count;
    uint32_t capacity;
};

/* The log defines every series before its samples, also series whose samples are all in parts. So
 * it is walked twice: the first walk keeps references of selected series, and counts their samples;
 * the second keeps the labels of those with samples. */
struct series_log_pass {
    const struct inspect_question *question;
    uint64_t store_pos;
    struct inspect_series *result;
    struct log_list *list;
    struct record_refs refs; /* selected series: 0, or 1 + the index in `list` */
    bool labelling;          /* the second walk */
    struct arena scratch;
    struct arena arena;
    struct wal_segment_info *segments;
    uint32_t segment_count;
    enum err failed; /* error met while a remark was added */
};

static enum err
log_note_series(void *context, struct bytes tenant, uint64_t ref, struct bytes labels)
{
    struct series_log_pass *x = context;
    const uint32_t *known = record_ref_find(&x->refs, ref);
    if (x->labelling) {
        if (known == NULL || *known == 0) return OK;
        struct series_in_log *s = &x->list->items[*known - 1];
        if (s->labels.at != NULL) return OK; /* each segment defines it again */
        s->labels = arena_copy(&x->result->arena, labels);
        return s->labels.at == NULL ? ERR_NOMEM : OK;
    }
    if (known != NULL || !bytes_equal(tenant, x->question->tenant)) return OK;
    for (uint32_t i = 0; i < x->question->selector->count; i++) {
        const struct matcher *m = x->question->selector->matchers[i];
        if (!matcher_matches(m, labels_get(labels, matcher_name(m)))) return OK;
    }
    if (x->refs.count == REFS_MAX) {
        x->result->log_series_left_out = true;
        return OK;
    }
    return record_ref_add(&x->refs, ref) == NULL ? ERR_NOMEM : OK;
}

static enum err
log_note_sample(void *context, uint64_t ref, int64_t t_ms, enum ledger_kind kind)
{
    struct series_log_pass *x = context;
    struct log_list *list = x->list;
    if (t_ms < x->question->range.min_ms || t_ms > x->question->range.max_ms) return OK;
    uint32_t *known = record_ref_find(&x->refs, ref);
    if (known == NULL) return OK;
    if (*known == 0) {
        if (list->count == LOG_SERIES_MAX) {
            x->result->log_series_left_out = true;
            return OK;
        }
        if (!array_reserve(list->budget, &list->items, &list->capacity, list->count + 1)) {
            return ERR_NOMEM;
        }
        list->items[list->count++] = (struct series_in_log){.time = {INT64_MAX, INT64_MIN}};
        *known = list->count;
    }
    struct series_in_log *s = &list->items[*known - 1];
    s->samples[kind]++;
    if (kind == LEDGER_EXEMPLAR) return OK;
    if (t_ms < s->time.min_ms) s->time.min_ms = t_ms;
    if (t_ms > s->time.max_ms) s->time.max_ms = t_ms;
    return OK;
}

static enum err
log_note_record(void *context, const struct wal_record_info *info)
{
    struct series_log_pass *x = context;
    bool pending = info->record.pos >= x->store_pos && !x->labelling;
    struct record_visitor visitor = {
        .series = log_note_series, .sample = pending ? log_note_sample : NULL, .context = x};
    struct why why = {""};
    enum err e = record_walk(&info->record, &visitor, &x->scratch, &why);
    return remark_if_damage(&x->result->remarks, &x->result->arena, e, &why);
}

static void
note_damage(void *context, uint64_t pos, uint64_t bytes, const char *text)
{
    struct series_log_pass *x = context;
    if (pos + bytes <= x->store_pos || x->labelling) return; /* it is in parts, or was reported */
    enum err e = remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE, "%s", text);
    x->failed = err_first(x->failed, e);
}

/* --- segments --------------------------------------------------------------------------------- */

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct series_log_pass *x = context;
    if (info->state != WAL_SEGMENT_LIVE) return OK;
    if (x->segment_count == 0 && info->prev_number != 0 && x->store_pos < info->prev_end_pos) {
        enum err e = remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE,
                            "log segment %016" PRIx64 " is missing", info->prev_number);
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
        .record = log_note_record, .damage = note_damage, .context = x};
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

/* Lists what the log in `dir` has from the store's position on. Damage becomes a remark. */
static enum err
log_list_read(const struct inspect_options *options, const char *dir,
              const struct manifest *manifest, const struct inspect_question *question,
              struct inspect_series *result, struct log_list *ret_list, struct why *why)
{
    char path[256];
    struct why reason = {""};
    struct budget *budget = options->memory;
    *ret_list = (struct log_list){.budget = budget};
    struct series_log_pass x = {.question = question,
                                .store_pos = manifest->store_pos,
                                .result = result,
                                .list = ret_list,
                                .refs.budget = budget};
    arena_init(&x.scratch, budget, 0, 0);
    arena_init(&x.arena, budget, 0, 0);
    enum err e = path_join(path, sizeof path, dir, STORAGE_LOG);
    if (e == OK) e = wal_segments(options->env, path, budget, note_segment, &x, &reason);
    if (e == ERR_MISSING && !manifest_has_log(manifest)) {
        e = OK;
    } else if (e == OK && x.segment_count == 0 && manifest_has_log(manifest)) {
        e = remark(&result->remarks, &result->arena, REMARK_DAMAGE, "no log segments found");
    }
    if (e == OK) e = segments_walk(&x, options, path, &reason);
    x.labelling = true;
    if (e == OK && ret_list->count > 0) e = segments_walk(&x, options, path, &reason);
    if (e) why_set(why, e, "%s", why_text(&reason, e));
    arena_fini(&x.scratch);
    arena_fini(&x.arena);
    record_refs_fini(&x.refs);
    if (e) return e;
    /* A definition may be removed between the two walks. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ret_list->count; i++) {
        if (ret_list->items[i].labels.at != NULL) ret_list->items[kept++] = ret_list->items[i];
    }
    ret_list->count = kept;
    if (kept > 0) qsort(ret_list->items, kept, sizeof *ret_list->items, by_labels);
    return OK;
}

/* --- a selection ------------------------------------------------------------------------------ */

struct series_source {
    struct part *part;
    struct part_index index;
    roaring_bitmap_t *matched;
    roaring_uint32_iterator_t *walk;
    struct row_reader *rows;
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t block_count;
    bool at_end;
};

struct series_pass {
    const struct inspect_options *options;
    const struct inspect_question *question;
    struct inspect_series *result;
    const char *dir;
    char parts_dir[256];
    struct manifest manifest;
    struct page_cache *cache;
    struct arena arena;
    struct series_source *sources;
    uint32_t source_count;
    struct log_list log;
    uint32_t log_at;
    struct inspect_place *places; /* places of the current series */
    uint32_t place_count;
    struct buf labels;
    int64_t *times; /* times of the block that is read */
    uint64_t matched;
    uint64_t done;
    bool missing;
    struct why *why;
};

static enum err
skip_damage(struct series_pass *x, enum err e, const struct why *reason)
{
    e = remark_if_damage(&x->result->remarks, &x->result->arena, e, reason);
    return e ? why_set(x->why, e, "%s", reason->text) : OK;
}

/* --- sources ---------------------------------------------------------------------------------- */

static enum err
source_step(struct series_pass *x, struct series_source *s)
{
    struct why reason = {""};
    while (s->walk->has_value) {
        uint32_t number = s->walk->current_value;
        roaring_advance_uint32_iterator(s->walk);
        x->done++;
        enum err e = row_read(s->rows, number, &s->labels, &s->blocks, &s->block_count, &reason);
        if (e == OK) return OK;
        e = skip_damage(x, e, &reason); /* the series of that page are left out */
        if (e) return e;
    }
    s->at_end = true;
    return OK;
}

static enum err
source_match(struct series_pass *x, struct series_source *s, const struct part_tenant *t)
{
    const struct selector *q = x->question->selector;
    struct why reason = {""};
    s->at_end = true;
    enum err e = part_index_load(s->part, t, &x->arena, &s->index, &reason);
    if (e == OK) e = part_match(&s->index, q->matchers, q->count, &s->matched, &reason);
    if (e) return skip_damage(x, e, &reason);
    x->matched += roaring_bitmap_get_cardinality(s->matched);
    e = row_reader_new(&s->index, x->options->memory, &s->rows);
    s->walk = roaring_create_iterator(s->matched);
    if (e || s->walk == NULL) return ERR_NOMEM;
    s->at_end = false;
    return source_step(x, s);
}

static enum err
source_open(struct series_pass *x, const struct manifest_part *named)
{
    struct why reason = {""};
    struct part *part;
    enum err e = part_open(x->options->env, x->options->memory, x->cache, x->parts_dir,
                           named->number, &part, &reason);
    if (e == ERR_MISSING) {
        x->missing = true;
        e = ERR_CORRUPT;
    }
    if (e) return skip_damage(x, e, &reason);
    const struct part_tenant *t = part_tenant(part, x->question->tenant);
    struct time_range time = {part_info(part)->min_ms, part_info(part)->max_ms};
    if (t == NULL || !ranges_meet(time, x->question->range)) {
        part_unref(part);
        return OK;
    }
    struct series_source *s = &x->sources[x->source_count++];
    s->part = part;
    return source_match(x, s, t);
}

/* --- one series ------------------------------------------------------------------------------- */

static struct inspect_place *
place_new(struct series_pass *x, uint64_t part)
{
    struct inspect_place *p = &x->places[x->place_count++];
    *p = (struct inspect_place){.part = part, .time = {INT64_MAX, INT64_MIN}};
    return p;
}

static void
widen(struct time_range *to, int64_t min_ms, int64_t max_ms)
{
    if (min_ms < to->min_ms) to->min_ms = min_ms;
    if (max_ms > to->max_ms) to->max_ms = max_ms;
}

/* Counts the times of a block within the range, if the block begins before or ends after it. */
static enum err
block_cut(struct series_pass *x, struct part *part, const struct block_ref *b,
          struct inspect_place *to, uint32_t *ret_count)
{
    struct time_range range = x->question->range;
    struct why reason = {""};
    enum err e = block_read_times(part, b, x->times, &reason);
    *ret_count = 0;
    if (e) return skip_damage(x, e, &reason);
    for (uint32_t i = 0; i < b->count; i++) {
        if (x->times[i] < range.min_ms || x->times[i] > range.max_ms) continue;
        widen(&to->time, x->times[i], x->times[i]);
        ++*ret_count;
    }
    return OK;
}

static enum err
block_add(struct series_pass *x, struct part *part, const struct block_ref *b,
          struct inspect_place *to)
{
    struct time_range range = x->question->range, time = {b->min_ms, b->max_ms};
    enum inspect_form form = INSPECT_UNREADABLE;
    struct codec_facts values, times;
    struct why reason = {""};
    uint32_t count = b->count;
    enum err e = OK;
    if (!ranges_meet(range, time)) return OK;
    if (range_holds(range, time))
        widen(&to->time, b->min_ms, b->max_ms);
    else
        e = block_cut(x, part, b, to, &count);
    if (e || count == 0) return e;
    to->blocks++;
    to->samples[ledger_kind_of(block_kind(b))] += count;
    to->bytes += b->values.size + (block_has_third(b) ? b->starts.size : 0);
    to->time_bytes += b->times.size;
    if (x->result->count == x->options->top) return OK; /* the series is only added to the sums */
    e = inspect_block(part, b, &form, &values, &times, &reason);
    to->forms[e ? INSPECT_UNREADABLE : form]++;
    return skip_damage(x, e, &reason);
}

static void
log_place(struct series_pass *x)
{
    struct inspect_place *p = NULL;
    for (; x->log_at < x->log.count; x->log_at++) {
        const struct series_in_log *l = &x->log.items[x->log_at];
        if (!bytes_equal(l->labels, buf_bytes(&x->labels))) break;
        if (p == NULL) {
            p = place_new(x, 0);
            x->result->log_series++;
        }
        widen(&p->time, l->time.min_ms, l->time.max_ms);
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            p->samples[k] += l->samples[k];
        }
    }
}

static enum err
item_keep(struct series_pass *x, struct inspect_series_item *item)
{
    struct inspect_series *r = x->result;
    size_t bytes = x->place_count * sizeof *x->places;
    r->items = arena_push(&r->arena, r->items, r->count, sizeof *r->items);
    item->labels = arena_copy(&r->arena, buf_bytes(&x->labels));
    item->places = arena_alloc(&r->arena, bytes);
    if (r->items == NULL || item->labels.at == NULL || item->places == NULL) return ERR_NOMEM;
    memcpy(item->places, x->places, bytes);
    item->place_count = x->place_count;
    r->items[r->count++] = *item;
    return OK;
}

static enum err
series_finish(struct series_pass *x)
{
    struct inspect_series *r = x->result;
    struct inspect_series_item item = {.time = {INT64_MAX, INT64_MIN}};
    if (x->place_count == 0) return OK;
    for (uint32_t i = 0; i < x->place_count; i++) {
        const struct inspect_place *p = &x->places[i];
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            item.samples[k] += p->samples[k];
            r->samples[k] += p->samples[k];
        }
        item.bytes += p->bytes;
        r->bytes += p->bytes;
        widen(&item.time, p->time.min_ms, p->time.max_ms);
    }
    r->series++;
    return r->count < x->options->top ? item_keep(x, &item) : OK;
}

static enum err
series_walk(struct series_pass *x)
{
    for (;;) {
        /* The least labels of all sources; empty if all are at their end. */
        struct bytes labels = {NULL, 0};
        if (x->log_at < x->log.count) labels = x->log.items[x->log_at].labels;
        for (uint32_t i = 0; i < x->source_count; i++) {
            const struct series_source *s = &x->sources[i];
            if (s->at_end) continue;
            if (labels.at == NULL || labels_compare(s->labels, labels) < 0) labels = s->labels;
        }
        if (labels.at == NULL) return OK;
        buf_clear(&x->labels);
        buf_put_bytes(&x->labels, labels);
        if (buf_error(&x->labels)) return buf_error(&x->labels);
        x->place_count = 0;
        for (uint32_t i = 0; i < x->source_count; i++) {
            struct series_source *s = &x->sources[i];
            if (s->at_end || !bytes_equal(s->labels, buf_bytes(&x->labels))) continue;
            struct inspect_place *p = place_new(x, part_info(s->part)->number);
            for (uint32_t k = 0; k < s->block_count; k++) {
                enum err e = block_add(x, s->part, &s->blocks[k], p);
                if (e) return e;
            }
            if (p->blocks == 0) x->place_count--;
            enum err e = source_step(x, s);
            if (e) return e;
        }
        log_place(x);
        enum err e = series_finish(x);
        if (e) return e;
        if (x->options->progress != NULL) {
            x->options->progress(x->options->context, x->done, x->matched);
        }
    }
}

/* --- the command ------------------------------------------------------------------------------ */

static enum err
series_look(struct series_pass *x)
{
    enum err e = format_check(x->options->env, x->dir, x->why);
    if (e == OK) e = manifest_read(x->options->env, x->dir, &x->arena, &x->manifest, x->why);
    if (e) return e;
    uint32_t parts = x->manifest.part_count;
    for (uint32_t i = 0; i < x->manifest.tombstone_count; i++) {
        const struct manifest_tombstone *t = &x->manifest.tombstones[i];
        x->result->tombstones += bytes_equal(t->tenant, x->question->tenant) &&
                                 ranges_meet(t->range, x->question->range);
    }
    x->sources = arena_new(&x->arena, (parts + 1) * sizeof *x->sources);
    x->places = arena_new(&x->arena, (parts + 1) * sizeof *x->places);
    x->times = arena_new(&x->arena, CODEC_SAMPLES_MAX * sizeof *x->times);
    if (x->sources == NULL || x->places == NULL || x->times == NULL) return ERR_NOMEM;
    e = log_list_read(x->options, x->dir, &x->manifest, x->question, x->result, &x->log, x->why);
    if (e == ERR_MISSING) x->missing = true;
    for (uint32_t i = 0; i < parts && e == OK; i++) {
        e = source_open(x, &x->manifest.parts[i]);
    }
    return e ? e : series_walk(x);
}

static enum err
series_try(const struct inspect_options *options, const char *dir,
           const struct inspect_question *question, struct page_cache *cache,
           struct inspect_series *r, bool *ret_again, struct why *why)
{
    struct series_pass x = {.options = options,
                            .question = question,
                            .result = r,
                            .dir = dir,
                            .cache = cache,
                            .why = why};
    enum err e = path_in(x.parts_dir, sizeof x.parts_dir, dir, STORAGE_PARTS, why);
    if (e) return e;
    arena_init(&r->arena, options->memory, 0, 0);
    arena_init(&x.arena, options->memory, 0, 0);
    buf_init(&x.labels, options->memory, PAGE_BYTES_MAX);
    e = series_look(&x);
    /* Damage to released segments or replaced parts does not count. */
    *ret_again = (x.missing || r->remarks.damage_count > 0) && (e == OK || e == ERR_MISSING) &&
                 inspect_is_edited(options, dir, x.manifest.edit);
    for (uint32_t i = 0; i < x.source_count; i++) {
        struct series_source *s = &x.sources[i];
        if (s->walk != NULL) roaring_free_uint32_iterator(s->walk);
        if (s->matched != NULL) roaring_bitmap_free(s->matched);
        row_reader_free(s->rows);
        part_unref(s->part);
    }
    array_free(x.log.budget, x.log.items, x.log.capacity);
    buf_fini(&x.labels);
    arena_fini(&x.arena);
    return e;
}

enum err
inspect_series(const struct inspect_options *options, const char *dir,
               const struct inspect_question *question, struct inspect_series *ret_series,
               struct why *why)
{
    struct page_cache *cache;
    struct inspect_series r;
    struct why local;
    if (why == NULL) why = &local;
    why->text[0] = '\0';
    enum err e = page_cache_new(options->memory, SERIES_CACHE_BYTES, &cache);
    if (e) return why_set(why, e, "not enough memory to read parts");
    bool again = true;
    for (int tries = 1; again; tries++) {
        memset(&r, 0, sizeof r);
        e = series_try(options, dir, question, cache, &r, &again, why);
        /* A damaged log is read twice: a commit that is being written can look damaged. */
        again = (again || (e == OK && tries == 1 && r.remarks.damage_count > 0)) && tries < TRIES;
        if (e || again) inspect_series_fini(&r);
    }
    page_cache_free(cache);
    if (e == OK) *ret_series = r;
    if (e && why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
    return e;
}

void
inspect_series_fini(struct inspect_series *series)
{
    arena_fini(&series->arena);
}
