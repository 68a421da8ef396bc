/*
 * series.c - where the series of a selector lie: in which parts, in which form, and what of
 * them is only in the log. Parts and log each give their series in label order; equal labels are
 * put together, as select() does, but of the samples only the times at the borders are read.
 */
#include "tsdb/inspect/series.h"

#include <inttypes.h>
#include <stdio.h>

#include "model/labels.h"

/* Label values are asked for in any order, of all parts at once. */
enum { TRIES = 5, SERIES_CACHE_BYTES = 32 * 1024 * 1024 };

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
    struct inspect_place *places; /* of the series at hand */
    uint32_t place_count;
    struct buf labels;
    int64_t *times; /* of a block */
    uint64_t matched;
    uint64_t done;
    bool missing;
    struct why *why;
};

static enum err
told(struct series_pass *x, enum err e, const struct why *reason)
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
        e = told(x, e, &reason); /* the series of that page are left out */
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
    if (e) return told(x, e, &reason);
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
    if (e) return told(x, e, &reason);
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

/* A block that begins before the range or ends behind it: which of its times lie within. */
static enum err
block_cut(struct series_pass *x, struct part *part, const struct block_ref *b,
          struct inspect_place *to, uint32_t *ret_count)
{
    struct time_range range = x->question->range;
    struct why reason = {""};
    enum err e = block_read_times(part, b, x->times, &reason);
    *ret_count = 0;
    if (e) return told(x, e, &reason);
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
    to->bytes += b->values.size + (b->has_starts ? b->starts.size : 0);
    to->time_bytes += b->times.size;
    if (x->result->count == x->options->top) return OK; /* only summed up */
    e = inspect_block(part, b, &form, &values, &times, &reason);
    to->forms[e ? INSPECT_UNREADABLE : form]++;
    return told(x, e, &reason);
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

/* The least labels of all; empty: all are at their end. */
static struct bytes
next_labels(const struct series_pass *x)
{
    struct bytes least = {NULL, 0};
    if (x->log_at < x->log.count) least = x->log.items[x->log_at].labels;
    for (uint32_t i = 0; i < x->source_count; i++) {
        const struct series_source *s = &x->sources[i];
        if (s->at_end) continue;
        if (least.at == NULL || labels_compare(s->labels, least) < 0) least = s->labels;
    }
    return least;
}

static enum err
series_walk(struct series_pass *x)
{
    for (;;) {
        struct bytes labels = next_labels(x);
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

/* --- all of it -------------------------------------------------------------------------------- */

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
    enum err e = path_join(x.parts_dir, sizeof x.parts_dir, dir, "parts");
    if (e) return why_set(why, e, "%.200s: path is too long", dir);
    arena_init(&r->arena, options->memory, 0, 0);
    arena_init(&x.arena, options->memory, 0, 0);
    buf_init(&x.labels, options->memory, PAGE_BYTES_MAX);
    e = series_look(&x);
    /* Damage to a log that has moved on, or to parts that were replaced, is none. */
    *ret_again = (x.missing || r->remarks.damage_count > 0) && (e == OK || e == ERR_MISSING) &&
                 inspect_is_edited(options, dir, x.manifest.edit);
    for (uint32_t i = 0; i < x.source_count; i++) {
        struct series_source *s = &x.sources[i];
        if (s->walk != NULL) roaring_free_uint32_iterator(s->walk);
        if (s->matched != NULL) roaring_bitmap_free(s->matched);
        row_reader_free(s->rows);
        part_unref(s->part);
    }
    log_list_fini(&x.log);
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
        /* Damage is looked at twice: commits that came meanwhile can look like that in the log. */
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
