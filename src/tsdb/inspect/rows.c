/*
 * rows.c - computes the size of a part's rows, by label, metric and series.
 *
 * One pass over the rows counts blocks, series by label pair, and the size of each metric. Counters
 * of pairs cover a window of the tenant's pairs; if there are more, each further window takes
 * another pass over the rows. Labels are only built for series that are in the ranking.
 */
#include "tsdb/codec/rollups.h"
#include "tsdb/inspect/inspect_private.h"

#include <inttypes.h>

#include "base/hash/hash.h"
#include "base/table.h"
#include "model/labels.h"

enum {
    PAIRS_AT_ONCE = 16 * 1024 * 1024,
    METRICS_MAX = 1024 * 1024,
    COLUMNS_MAX = 4 * 1024 * 1024, /* 64 MiB if every column is distinct */
    ROWS_PER_LOOK = 1024,
};

struct metric_sum {
    uint32_t series;
    uint64_t samples;
    uint64_t blocks;
    uint64_t bytes;
};

struct row_pass {
    const struct inspect_options *options;
    struct inspect_part *result;
    struct part *part;
    struct why *why;
    uint64_t *counted;
    struct table columns; /* columns of times seen so far: 63 bits of a hash of their place */
    struct top tenants, names, pairs, by_series, by_samples, by_bytes, series;

    /* The current tenant. */
    struct inspect_item tenant;
    struct part_index index;
    struct row_reader *rows;
    uint32_t window_first; /* pairs counted in this pass */
    uint32_t window_count;
    uint32_t *window;
    const struct part_name *metric_name; /* NULL if no series has a metric name */
    uint32_t metric_count;
    struct metric_sum *metrics;   /* by the number of the pair of __name__ */
    struct metric_sum metricless; /* series without a metric name, and those beyond METRICS_MAX */
    uint64_t name_series;         /* series of the name whose pairs are being ranked */
};

/* --- blocks ----------------------------------------------------------------------------------- */

/* Adds a column; `ret_new` is true if it was not there. Beyond COLUMNS_MAX nothing is new. */
static enum err
column_add(struct row_pass *x, const struct page_place *place, bool *ret_new)
{
    uint64_t hash = hash_mix(hash_mix(1, place->page), place->at);
    uint32_t id, other_half = (uint32_t)(hash >> 33);
    *ret_new = false;
    for (uint32_t at = TABLE_START; table_next(&x->columns, hash, &at, &id);) {
        if (id == other_half) return OK;
    }
    if (x->columns.count == COLUMNS_MAX) {
        x->result->times.incomplete = true;
        return OK;
    }
    if (!table_reserve(&x->columns, x->options->memory, 1)) return ERR_NOMEM;
    table_add(&x->columns, hash, other_half);
    *ret_new = true;
    return OK;
}

static void
add_block(struct inspect_blocks *to, const struct block_ref *b)
{
    to->blocks++;
    to->samples += b->count;
    to->bytes += b->values.size;
}

enum err
inspect_block(struct part *part, const struct block_ref *b, enum inspect_form *ret_form,
              struct codec_facts *ret_values, struct codec_facts *ret_times, struct why *why)
{
    static const enum inspect_form forms[CODEC_FORM_COUNT] = {
        [CODEC_FORM_CONSTANT] = INSPECT_CONSTANT,
        [CODEC_FORM_DECIMAL] = INSPECT_DECIMAL,
        [CODEC_FORM_CORRECTED] = INSPECT_CORRECTED,
        [CODEC_FORM_BITS] = INSPECT_BITS,
    };
    struct block_bytes bytes;
    enum sample_kind kind = block_kind(b);
    enum err e = block_hold(part, b, &bytes, why);
    if (e) return e;
    e = codec_times_describe(bytes.times, b->count, ret_times);
    if (e == OK && b->is_constant) {
        *ret_form = INSPECT_CONSTANT;
        *ret_values = (struct codec_facts){.form = CODEC_FORM_CONSTANT,
                                           .exponent = b->scale,
                                           .mode = UINT8_MAX,
                                           .stale_at_end = b->stats.number_count < b->count,
                                           .no_frames = true};
    } else if (e == OK && kind == SAMPLE_FLOAT) {
        e = codec_float_describe(bytes.values, b->count, ret_values);
        if (e == OK) *ret_form = forms[ret_values->form];
    } else if (e == OK) {
        *ret_form = kind == SAMPLE_HISTOGRAM_INT ? INSPECT_HISTOGRAM_INT : INSPECT_HISTOGRAM_FLOAT;
    }
    block_release(part, &bytes);
    if (e == OK) return OK;
    return why_set(why, e, "%s: page at %" PRIu64 " is damaged: cannot decode a block",
                   part->source.file.path, b->values.page);
}

/* Counts the columns of a block of rollups of floats. */
static enum err
count_columns(struct row_pass *x, const struct block_ref *b, struct why *why)
{
    struct block_bytes bytes;
    if (b->resolution_ms == 0 || block_kind(b) != SAMPLE_FLOAT) return OK;
    enum err e = block_hold(x->part, b, &bytes, why);
    if (e) return e;
    unsigned columns = codec_rollups_columns(bytes.third);
    for (unsigned c = 0; c < INSPECT_ROLLUP_COLUMNS; c++) {
        x->result->rollup_columns[c] += columns >> c & 1;
    }
    block_release(x->part, &bytes);
    return OK;
}

static enum err
count_block(struct row_pass *x, const struct block_ref *b, uint64_t *bytes)
{
    struct inspect_part *r = x->result;
    enum inspect_form form = INSPECT_UNREADABLE;
    struct codec_facts values, times;
    struct why reason;
    bool is_new;
    enum err e = column_add(x, &b->times, &is_new);
    if (e) return e;
    r->blocks_by_kind++;
    r->stats_blocks += b->has_stats;
    r->times.references++;
    x->counted[ledger_kind_of(block_kind(b))] += block_samples(b);
    *bytes += b->values.size;
    if (is_new) {
        r->times.columns++;
        r->times.samples += b->count;
        r->times.bytes += b->times.size;
        *bytes += b->times.size;
    }
    if (b->has_starts) {
        r->starts.blocks++;
        r->starts.samples += b->count;
        r->starts.bytes += b->starts.size;
        *bytes += b->starts.size;
    }
    if (b->resolution_ms > 0) {
        r->rollups.blocks++;
        r->rollups.samples += b->count;
        r->rollups.bytes += b->rollups.size;
        *bytes += b->rollups.size;
    }
    e = inspect_block(x->part, b, &form, &values, &times, &reason);
    if (e == OK) e = count_columns(x, b, &reason);
    if (e == OK && is_new) r->times.modes[times.mode % INSPECT_MODES]++;
    if (e == OK && block_kind(b) == SAMPLE_FLOAT) {
        bool scaled = values.form != CODEC_FORM_BITS && values.exponent < INSPECT_EXPONENTS;
        r->stale_blocks += values.stale_at_end;
        add_block(&r->exponents[scaled ? values.exponent : INSPECT_EXPONENTS - 1], b);
        if (values.mode < INSPECT_MODES)
            add_block(&r->modes[values.mode], b);
        else
            r->no_stream_blocks++;
    }
    if (e) {
        form = INSPECT_UNREADABLE;
        e = remark_if_damage(&r->remarks, &r->arena, e, &reason);
        if (e) why_set(x->why, e, "%s", reason.text);
    }
    add_block(&r->forms[form], b);
    return e;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void
count_pairs(struct row_pass *x)
{
    const uint32_t *pairs;
    uint32_t count;
    row_pairs(x->rows, &pairs, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (pairs[i] - x->window_first < x->window_count) x->window[pairs[i] - x->window_first]++;
    }
}

static struct metric_sum *
metric_of(struct row_pass *x)
{
    const uint32_t *pairs;
    uint32_t count;
    row_pairs(x->rows, &pairs, &count);
    for (uint32_t i = 0; i < count && x->metric_name != NULL; i++) {
        uint32_t at = pairs[i] - x->metric_name->first_pair;
        if (at < x->metric_count) return &x->metrics[at];
    }
    return &x->metricless;
}

/* Reads the row again, with its labels, and ranks it. */
static enum err
rank_series(struct row_pass *x, uint32_t number, struct inspect_item *item)
{
    struct bytes labels;
    const struct block_ref *blocks;
    uint32_t count;
    struct why reason;
    enum err e = row_read(x->rows, number, &labels, &blocks, &count, &reason);
    if (e == ERR_CORRUPT) {
        labels = (struct bytes){NULL, 0};
        e = remark_if_damage(&x->result->remarks, &x->result->arena, e, &reason);
    } else if (e) {
        why_set(x->why, e, "%s", reason.text);
    }
    item->text = labels;
    return e ? e : top_put(&x->series, item->bytes, item);
}

/* Returns the first row after the page that has a row; UINT32_MAX if it cannot be found. */
static uint32_t
row_after_page(struct row_pass *x, uint32_t number)
{
    uint64_t offset;
    uint32_t first, next;
    enum err e = part_directory_find(x->part, &x->part->rows, number, &offset, &first, &next, NULL);
    return e == OK ? next : UINT32_MAX;
}

/* *ret_next is the next row; after a damaged page the first of the next page. */
static enum err
count_row(struct row_pass *x, uint32_t number, uint32_t *ret_next)
{
    const struct block_ref *blocks;
    uint32_t count;
    struct why reason;
    struct inspect_item item = {.tenant = x->tenant.text, .series = 1};
    enum err e = row_read(x->rows, number, NULL, &blocks, &count, &reason);
    *ret_next = number + 1;
    if (e == ERR_CORRUPT) {
        *ret_next = row_after_page(x, number);
        return remark(&x->result->remarks, &x->result->arena, REMARK_DAMAGE, "%s", reason.text);
    }
    if (e) return why_set(x->why, e, "%s", reason.text);
    count_pairs(x);
    struct metric_sum *metric = metric_of(x);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        item.samples += blocks[i].count;
        e = count_block(x, &blocks[i], &item.bytes);
    }
    if (e) return e;
    item.blocks = count;
    metric->series++;
    metric->samples += item.samples;
    metric->blocks += count;
    metric->bytes += item.bytes;
    x->tenant.samples += item.samples;
    x->tenant.blocks += count;
    x->tenant.bytes += item.bytes;
    x->result->series++;
    return top_offer(&x->series, item.bytes) ? rank_series(x, number, &item) : OK;
}

/* Counts a further window; damage was reported by the first pass. */
static enum err
count_rows_again(struct row_pass *x, const struct part_tenant *t)
{
    uint32_t number = t->first_series, end = t->first_series + t->series_count;
    while (number < end) {
        enum err e = row_seek(x->rows, number, x->why);
        if (e && e != ERR_CORRUPT) return e;
        if (e == OK) count_pairs(x);
        number = e == OK ? number + 1 : row_after_page(x, number);
    }
    return OK;
}

/* --- labels ----------------------------------------------------------------------------------- */

/* Ranks the pairs of the window, in order; a name is ranked with its last pair. */
static enum err
rank_window(struct row_pass *x)
{
    struct value_walk walk;
    struct buf label;
    enum err e = OK;
    value_walk_init(&walk, x->part, x->options->memory);
    buf_init(&label, x->options->memory, PAGE_BYTES_MAX);
    for (uint32_t i = 0; i < x->window_count && e == OK; i++) {
        uint32_t pair = x->window_first + i;
        const struct part_name *name = part_name_of_pair(&x->index, pair);
        if (name == NULL) continue;
        struct inspect_item item = {.tenant = x->tenant.text, .series = x->window[i]};
        x->name_series += item.series;
        if (top_offer(&x->pairs, item.series)) {
            struct why reason;
            buf_clear(&label);
            e = value_walk_get(&walk, pair, &reason);
            if (e == OK) {
                labels_put(&label, (struct label){name->name, buf_bytes(&walk.value)});
                e = buf_error(&label);
            } else { /* ranked without its text */
                e = remark_if_damage(&x->result->remarks, &x->result->arena, e, &reason);
                if (e) why_set(x->why, e, "%s", reason.text);
            }
            item.text = buf_bytes(&label);
            if (e == OK) e = top_put(&x->pairs, item.series, &item);
        }
        if (e || pair + 1 - name->first_pair < name->pair_count) continue;
        struct inspect_item all = {.tenant = x->tenant.text,
                                   .text = name->name,
                                   .values = name->pair_count,
                                   .series = x->name_series};
        x->name_series = 0;
        x->result->names++;
        if (top_offer(&x->names, all.values)) e = top_put(&x->names, all.values, &all);
    }
    value_walk_fini(&walk);
    buf_fini(&label);
    return e;
}

/* Offers a metric to its three rankings; its name is read once. */
static enum err
rank_metric(struct row_pass *x, struct value_walk *walk, uint32_t pair, const struct metric_sum *m)
{
    struct inspect_item item = {.tenant = x->tenant.text,
                                .series = m->series,
                                .samples = m->samples,
                                .blocks = m->blocks,
                                .bytes = m->bytes};
    bool wanted[] = {top_offer(&x->by_series, m->series), top_offer(&x->by_samples, m->samples),
                     top_offer(&x->by_bytes, m->bytes)};
    enum err e = OK;
    if (!wanted[0] && !wanted[1] && !wanted[2]) return OK;
    if (walk != NULL) {
        struct why reason;
        e = value_walk_get(walk, pair, &reason);
        if (e == OK) item.text = buf_bytes(&walk->value);
        if (e) e = remark_if_damage(&x->result->remarks, &x->result->arena, e, &reason);
        if (e) why_set(x->why, e, "%s", reason.text);
    }
    if (e == OK && wanted[0]) e = top_put(&x->by_series, m->series, &item);
    if (e == OK && wanted[1]) e = top_put(&x->by_samples, m->samples, &item);
    if (e == OK && wanted[2]) e = top_put(&x->by_bytes, m->bytes, &item);
    return e;
}

/* --- tenants ---------------------------------------------------------------------------------- */

static enum err
tenant_begin(struct row_pass *x, const struct part_tenant *t, struct arena *arena)
{
    struct inspect_part *r = x->result;
    uint32_t at_once = x->options->pairs_at_once == 0 ? PAIRS_AT_ONCE : x->options->pairs_at_once;
    struct bytes name = arena_copy(&r->arena, t->name);
    if (name.at == NULL && t->name.size > 0) return ERR_NOMEM;
    x->tenant =
        (struct inspect_item){.text = name, .series = t->series_count, .values = t->pair_count};
    memcpy(x->tenant.kinds, t->sample_count, sizeof x->tenant.kinds);
    x->metricless = (struct metric_sum){0};
    x->name_series = 0;
    enum err e = part_index_load(x->part, t, arena, &x->index, x->why);
    if (e == OK) e = row_reader_new(&x->index, x->options->memory, &x->rows);
    if (e) return e;
    x->metric_name = part_find_name(&x->index, bytes_of_text("__name__"));
    x->metric_count = x->metric_name == NULL ? 0 : x->metric_name->pair_count;
    if (x->metric_count > METRICS_MAX) {
        x->metric_count = METRICS_MAX;
        e = remark(&r->remarks, &r->arena, REMARK_NOTE,
                   "only the first %d metric names are ranked; the others are counted together",
                   METRICS_MAX);
        if (e) return e;
    }
    x->metrics = mem_new(x->options->memory, x->metric_count * sizeof *x->metrics);
    x->window_count = t->pair_count < at_once ? t->pair_count : at_once;
    x->window = mem_new(x->options->memory, x->window_count * sizeof *x->window);
    return (x->metrics == NULL && x->metric_count > 0) || (x->window == NULL && t->pair_count > 0)
               ? ERR_NOMEM
               : OK;
}

static enum err
tenant_count_all(struct row_pass *x, const struct part_tenant *t)
{
    uint32_t room = x->window_count;
    x->window_first = t->first_pair;
    enum err e = OK;
    uint32_t number = t->first_series, end = t->first_series + t->series_count;
    while (number < end && e == OK) {
        e = count_row(x, number, &number);
        if (x->options->progress == NULL || number % ROWS_PER_LOOK != 0) continue;
        const struct part_info *info = part_info(x->part);
        double share = (double)number / (double)(info->series_count + 1);
        x->options->progress(x->options->context,
                             info->file_bytes + (uint64_t)(share * (double)info->file_bytes),
                             2 * info->file_bytes);
    }
    if (e == OK) e = rank_window(x);
    for (uint32_t done = room; e == OK && done < t->pair_count; done += room) {
        x->window_first = t->first_pair + done;
        x->window_count = t->pair_count - done < room ? t->pair_count - done : room;
        memset(x->window, 0, room * sizeof *x->window);
        e = count_rows_again(x, t);
        if (e == OK) e = rank_window(x);
    }
    x->window_count = room;
    if (e == OK) {
        struct value_walk walk;
        value_walk_init(&walk, x->part, x->options->memory);
        for (uint32_t i = 0; i < x->metric_count && e == OK; i++) {
            e = rank_metric(x, &walk, x->metric_name->first_pair + i, &x->metrics[i]);
        }
        if (e == OK && x->metricless.series > 0) e = rank_metric(x, NULL, 0, &x->metricless);
        value_walk_fini(&walk);
    }
    if (e == OK && top_offer(&x->tenants, x->tenant.samples)) {
        e = top_put(&x->tenants, x->tenant.samples, &x->tenant);
    }
    return e;
}

static enum err
tenant_inspect(struct row_pass *x, const struct part_tenant *t)
{
    struct arena arena;
    struct inspect_part *r = x->result;
    struct why *why = x->why, reason = {""};
    x->rows = NULL;
    x->metrics = NULL;
    x->window = NULL;
    x->metric_count = x->window_count = 0;
    x->why = &reason;
    arena_init(&arena, x->options->memory, 0, 0);
    enum err e = tenant_begin(x, t, &arena);
    if (e == ERR_CORRUPT) { /* nothing of the tenant can be described without its names */
        e = remark(&r->remarks, &r->arena, REMARK_DAMAGE, "%s", reason.text);
    } else if (e == OK) {
        e = tenant_count_all(x, t);
    }
    row_reader_free(x->rows);
    mem_free(x->options->memory, x->metrics, x->metric_count * sizeof *x->metrics);
    mem_free(x->options->memory, x->window, x->window_count * sizeof *x->window);
    arena_fini(&arena);
    x->why = why;
    return e ? why_set(why, e, "%s", why_text(&reason, e)) : OK;
}

enum { RANKINGS = 7 };

enum err
inspect_rows(const struct inspect_options *options, struct part *part, struct inspect_part *result,
             uint64_t *ret_counted, struct why *why)
{
    struct why local;
    struct row_pass x = {.options = options,
                         .result = result,
                         .part = part,
                         .why = why == NULL ? &local : why,
                         .counted = ret_counted};
    struct top *tops[RANKINGS] = {&x.tenants,    &x.names,    &x.pairs, &x.by_series,
                                  &x.by_samples, &x.by_bytes, &x.series};
    struct inspect_ranking *to[RANKINGS] = {
        &result->by_tenant,
        &result->by_name,
        &result->by_pair,
        &result->metrics_by_series,
        &result->metrics_by_samples,
        &result->metrics_by_bytes,
        &result->by_series,
    };
    enum err e = OK;
    result->tenants = part_tenant_count(part);
    for (unsigned i = 0; i < RANKINGS && e == OK; i++) {
        e = top_init(tops[i], options->memory, options->top);
    }
    for (uint32_t i = 0; i < part_tenant_count(part) && e == OK; i++) {
        e = tenant_inspect(&x, part_tenant_at(part, i));
    }
    for (unsigned i = 0; i < RANKINGS; i++) {
        if (e == OK) e = top_take(tops[i], &result->arena, to[i]);
        top_fini(tops[i]);
    }
    table_fini(&x.columns, options->memory);
    return e;
}
