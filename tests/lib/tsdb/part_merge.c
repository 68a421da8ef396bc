/*
 * part_merge.c - see part_merge.h.
 *
 * Values are mostly a function of series and time, so that inputs agree on the times they share.
 * The model collects each series from all inputs, sorts by time and then by age of the part, and
 * keeps the first of each time, sample by sample, where the merge works block by block.
 */
#include "lib/tsdb/part_merge.h"

#include <roaring/roaring.h>

/* --- making ----------------------------------------------------------------------------------- */

void
merge_world_machine(struct merge_world *w, uint64_t seed)
{
    *w = (struct merge_world){.seed = seed, .r = {seed}};
    assert_int_equal(sim_env_new(1, &w->sim), OK);
    assert_int_equal(fault_env_new(sim_env_env(w->sim), &w->fault), OK);
    w->env = fault_env_env(w->fault);
    assert_int_equal(env_mkdir(w->env, "/parts", NULL), OK);
    budget_init(&w->budget, "parts", 0, NULL);
    budget_init(&w->cache_budget, "cache", 0, NULL);
    assert_int_equal(page_cache_new(&w->cache_budget, CACHE_BYTES, &w->cache), OK);
    arena_init(&w->arena, NULL, 0, 0);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < POOL; i++) {
            struct histogram *h = &w->pool[k][i];
            do {
                *h = random_histogram(&w->r, &w->arena, (enum sample_kind)(k + 1));
            } while (histogram_check(h, NULL) != OK);
        }
    }
}

void
merge_world_fini(struct merge_world *w)
{
    for (unsigned i = 0; i < INPUTS_MAX; i++) {
        part_unref(w->parts[i]);
        content_free(&w->contents[i]);
        for (unsigned d = 0; d < DELETIONS_MAX; d++) {
            const roaring_bitmap_t *set = w->deletions[i][d].series;
            if (set != NULL) roaring_bitmap_free(set);
        }
    }
    page_cache_free(w->cache);
    assert_int_equal(budget_used(&w->cache_budget), 0);
    assert_int_equal(budget_used(&w->budget), 0);
    arena_fini(&w->arena);
    fault_env_free(w->fault);
    sim_env_free(w->sim);
}

/* Returns a sample that mostly follows from series and time, so that inputs agree; some disagree.
 */
static struct content_sample
merge_world_sample(struct merge_world *w, uint64_t series, int64_t t_ms)
{
    struct rng same = {series * 1000003 + (uint64_t)t_ms};
    struct rng stretch = {series * 77 + (uint64_t)t_ms / (40 * STEP_MS)};
    struct rng *r = rng_below(&w->r, 8) == 0 ? &w->r : &same;
    struct content_sample s = {.t_ms = t_ms, .bits = double_bits((double)rng_below(r, 4))};
    if (series % 3 == 0) s.bits = random_value(r, 10, s.bits);
    if (w->shape.plain) return s;
    if (series % 5 == 0) s.start_ms = t_ms / 4 - (int64_t)rng_below(r, 2);
    if (rng_below(&stretch, 4) > 0) return s;
    unsigned kind = (unsigned)rng_below(&stretch, 2);
    if (rng_below(&w->r, 50) == 0) kind = !kind;
    s.kind = (enum sample_kind)(kind + 1);
    s.bits = 0;
    s.histogram = w->pool[kind][rng_below(r, rng_below(&stretch, 2) == 0 ? 1 : POOL)];
    if (rng_below(r, 2) == 0) s.histogram.sum_bits = double_bits((double)rng_below(r, 3));
    return s;
}

static void
merge_world_series(struct merge_world *w, struct content *c, struct content_series *s, uint64_t id,
                   uint32_t input)
{
    struct rng *r = &w->r;
    uint32_t most = w->shape.samples, count = (uint32_t)rng_below(r, most + 1);
    uint32_t keep = 1 + (uint32_t)rng_below(r, 8);
    int64_t t = BASE_MS + (int64_t)(input * most / 2 + rng_below(r, most + 1)) * STEP_MS;
    s->samples = arena_new(&c->arena, (count + 3) * sizeof *s->samples);
    bool ends = !w->shape.plain && rng_below(r, 12) == 0;
    if (ends) s->samples[s->sample_count++] = merge_world_sample(w, id, INT64_MIN);
    for (uint32_t i = 0; i < count; i++, t += STEP_MS) {
        if (keep < 6 && rng_below(r, keep) == 1) continue;
        s->samples[s->sample_count++] = merge_world_sample(w, id, t);
    }
    if (ends) s->samples[s->sample_count++] = merge_world_sample(w, id, INT64_MAX);
}

static int
by_exemplar_order(const void *a, const void *b)
{
    const struct content_exemplar *x = a, *y = b;
    if (x->series != y->series) return x->series < y->series ? -1 : 1;
    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static void
merge_world_exemplars(struct merge_world *w, struct content *c, struct content_tenant *t)
{
    struct rng *r = &w->r;
    uint32_t count = w->shape.plain || t->series_count == 0 || rng_below(r, 3) == 0
                         ? 0
                         : (uint32_t)rng_below(r, 4 * t->series_count + 1);
    uint64_t span = (uint64_t)w->shape.samples * (w->shape.inputs + 1) / 2 + 1;
    t->exemplars = arena_new(&c->arena, (count + 1) * sizeof *t->exemplars);
    for (uint32_t i = 0; i < count; i++) {
        struct content_exemplar *x = &t->exemplars[t->exemplar_count++];
        x->series = (uint32_t)rng_below(r, 1 + t->series_count / 2);
        x->t_ms = BASE_MS + (int64_t)rng_below(r, rng_below(r, 2) == 0 ? 4 : span) * STEP_MS;
        x->bits = rng_below(r, 2);
        char text[32];
        snprintf(text, sizeof text, "%u", (unsigned)rng_below(r, 3));
        struct buf labels;
        buf_init(&labels, NULL, 1 << 20);
        labels_put(&labels, (struct label){bytes_of_text("trace"), bytes_of_text(text)});
        if (rng_below(r, 4) > 0) x->labels = arena_copy(&c->arena, buf_bytes(&labels));
        buf_fini(&labels);
    }
    qsort(t->exemplars, count, sizeof *t->exemplars, by_exemplar_order);
}

static void
merge_world_metadata(struct merge_world *w, struct content *c, struct content_tenant *t)
{
    t->metadata = arena_new(&c->arena, 4 * sizeof *t->metadata);
    if (w->shape.plain || rng_below(&w->r, 2) == 0) return;
    t->metadata_count = (uint32_t)rng_below(&w->r, 4);
    for (uint32_t i = 0; i < t->metadata_count; i++) {
        t->metadata[i] = (struct metadata){content_text(c, &w->r, "family", i),
                                           METRIC_COUNTER,
                                           content_text(c, &w->r, "help", rng_below(&w->r, 9)),
                                           {NULL, 0}};
    }
}

/* Drops series without content, which are never written. */
static void
merge_world_drop_empty(struct content_tenant *t)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->series_count; i++) {
        uint32_t mine = 0;
        for (uint32_t x = 0; x < t->exemplar_count; x++) {
            if (t->exemplars[x].series != i) continue;
            t->exemplars[x].series = kept;
            mine++;
        }
        if (mine == 0 && t->series[i].sample_count == 0) continue;
        t->series[kept++] = t->series[i];
    }
    t->series_count = kept;
}

static void
merge_world_tenant(struct merge_world *w, struct content *c, struct content_tenant *t, uint32_t id,
                   uint32_t input)
{
    char name[32];
    struct rng universe = {w->seed * 31 + id};
    snprintf(name, sizeof name, "tenant-%05u", id);
    t->name = arena_copy(&c->arena, bytes_of_text(name));
    uint32_t most = 1 + (uint32_t)rng_below(&universe, w->shape.series);
    t->series = arena_new(&c->arena, (most + 1) * sizeof *t->series);
    for (uint32_t i = 0; i < most; i++) {
        struct bytes labels = content_labels(c, &universe, 9);
        if (rng_below(&w->r, 3) > 0) t->series[t->series_count++].labels = labels;
    }
    t->series_count =
        content_unique(t->series, t->series_count, sizeof *t->series, content_by_labels);
    for (uint32_t i = 0; i < t->series_count; i++) {
        struct content_series *s = &t->series[i];
        uint64_t hash = 14695981039346656037u;
        for (size_t b = 0; b < s->labels.size; b++)
            hash = (hash ^ s->labels.at[b]) * 1099511628211u;
        merge_world_series(w, c, s, hash >> 20, input);
    }
    merge_world_exemplars(w, c, t);
    merge_world_drop_empty(t);
    merge_world_metadata(w, c, t);
    content_pairs(c, t);
}

static void
merge_world_content(struct merge_world *w, struct content *c, uint32_t input)
{
    arena_init(&c->arena, NULL, 0, 0);
    c->tenants = arena_new(&c->arena, (w->shape.tenants + 1) * sizeof *c->tenants);
    for (uint32_t id = 0; id < w->shape.tenants; id++) {
        if (w->shape.tenants > 1 && rng_below(&w->r, 3) == 0) continue;
        struct content_tenant *t = &c->tenants[c->tenant_count];
        merge_world_tenant(w, c, t, id, input);
        if (t->series_count > 0 || t->metadata_count > 0) c->tenant_count++;
    }
}

void
merge_world_write(struct merge_world *w, uint32_t input)
{
    struct part_info info;
    struct why why = {""};
    enum err e =
        content_write(&w->contents[input], w->env, &w->budget, "/parts", input + 1, 1, &info, &why);
    if (e == OK) {
        e = part_open(w->env, &w->cache_budget, w->cache, "/parts", input + 1, &w->parts[input],
                      &why);
    }
    if (e) fail_msg("seed %llu: %s", (unsigned long long)w->seed, why.text);
    w->inputs[input] = (struct part_merge_input){.part = w->parts[input]};
}

void
merge_world_init(struct merge_world *w, uint64_t seed, struct merge_world_shape shape)
{
    merge_world_machine(w, seed);
    w->shape = shape;
    for (uint32_t i = 0; i < shape.inputs; i++) {
        merge_world_content(w, &w->contents[i], i);
        merge_world_write(w, i);
    }
}

int64_t
merge_world_time(struct merge_world *w)
{
    uint64_t span = (uint64_t)w->shape.samples * (w->shape.inputs + 3) / 2 + 2;
    return BASE_MS + (int64_t)rng_below(&w->r, span) * STEP_MS - (int64_t)rng_below(&w->r, 2);
}

struct time_range
merge_world_range(struct merge_world *w)
{
    int64_t a = merge_world_time(w), b = merge_world_time(w);
    if (rng_below(&w->r, 6) == 0) a = INT64_MIN;
    if (rng_below(&w->r, 6) == 0) b = INT64_MAX;
    return a < b ? (struct time_range){a, b} : (struct time_range){b, a};
}

void
merge_world_delete(struct merge_world *w)
{
    for (uint32_t i = 0; i < w->shape.inputs; i++) {
        uint64_t series = part_info(w->parts[i])->series_count;
        uint32_t count = (uint32_t)rng_below(&w->r, DELETIONS_MAX + 1);
        for (uint32_t d = 0; d < count && w->deletions[i][d].series == NULL; d++) {
            roaring_bitmap_t *set = roaring_bitmap_create();
            for (uint32_t n = 0; n < series; n++)
                if (rng_below(&w->r, 2) == 0) roaring_bitmap_add(set, n);
            w->deletions[i][d] = (struct part_deletion){set, merge_world_range(w)};
            w->inputs[i].deletion_count = d + 1;
        }
        w->inputs[i].deletions = w->deletions[i];
    }
}

struct part_merge_options
merge_world_options(struct merge_world *w)
{
    return (struct part_merge_options){
        .env = w->env,
        .budget = &w->budget,
        .parts_dir = "/parts",
        .inputs = w->inputs,
        .input_count = w->shape.inputs,
        .window = {INT64_MIN, INT64_MAX},
        .expired_before_ms = INT64_MIN,
        .with_metadata = true,
        .number = OUTPUT,
        .from_pos = 7,
        .to_pos = 9000,
        .level = 1,
    };
}

/* --- the model -------------------------------------------------------------------------------- */

/* A series of an input, or a part of its content. */
struct origin {
    struct bytes labels;
    uint32_t input;
    uint32_t number; /* in the part */
    uint32_t index;  /* in the tenant */
    const struct content_tenant *tenant;
    const struct content_sample *sample;
    const struct content_exemplar *exemplar;
    int64_t t_ms;
};

static int
by_origin_labels(const void *a, const void *b)
{
    const struct origin *x = a, *y = b;
    int order = labels_compare(x->labels, y->labels);
    return order != 0 ? order : (x->input > y->input) - (x->input < y->input);
}

static int
by_origin_time(const void *a, const void *b)
{
    const struct origin *x = a, *y = b;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    if (x->input != y->input) return x->input < y->input ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Returns true if it stays; counts it otherwise. */
static bool
model_keeps(struct merge_model *m, const struct origin *o, enum ledger_kind kind)
{
    const struct part_merge_options *options = m->options;
    const struct part_merge_input *input = &options->inputs[o->input];
    if (o->t_ms < options->window.min_ms || o->t_ms > options->window.max_ms) return false;
    for (uint32_t d = 0; d < input->deletion_count; d++) {
        const struct part_deletion *x = &input->deletions[d];
        if (!roaring_bitmap_contains(x->series, o->number)) continue;
        if (o->t_ms < x->range.min_ms || o->t_ms > x->range.max_ms) continue;
        m->count->deleted[kind]++;
        return false;
    }
    if (o->t_ms >= options->expired_before_ms) return true;
    m->count->expired[kind]++;
    return false;
}

static bool
same_value(const struct content_sample *a, const struct content_sample *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == SAMPLE_FLOAT ? a->bits == b->bits
                                   : histogram_equal(&a->histogram, &b->histogram);
}

static void
model_samples(struct merge_model *m, const struct origin *from, uint32_t count,
              struct content_series *to)
{
    uint32_t total = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++)
        total += from[i].tenant->series[from[i].index].sample_count;
    struct origin *all = calloc(total + 1, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        const struct content_series *s = &from[i].tenant->series[from[i].index];
        for (uint32_t n = 0; n < s->sample_count; n++) {
            struct origin *o = &all[kept];
            *o = from[i];
            o->sample = &s->samples[n];
            o->t_ms = o->sample->t_ms;
            kept += model_keeps(m, o, ledger_kind_of(o->sample->kind));
        }
    }
    qsort(all, kept, sizeof *all, by_origin_time);
    to->samples = arena_new(&m->want.arena, (kept + 1) * sizeof *to->samples);
    for (uint32_t i = 0; i < kept; i++) {
        const struct content_sample *s = all[i].sample;
        struct content_sample *last =
            to->sample_count == 0 ? NULL : &to->samples[to->sample_count - 1];
        enum ledger_kind kind = ledger_kind_of(s->kind);
        if (last == NULL || last->t_ms != s->t_ms) {
            to->samples[to->sample_count++] = *s;
            m->count->written[kind]++;
        } else if (same_value(last, s)) {
            m->count->duplicate[kind]++;
        } else {
            m->count->superseded[kind]++;
        }
    }
    free(all);
}

static bool
same_exemplar(const struct content_exemplar *a, const struct content_exemplar *b)
{
    return a->series == b->series && a->t_ms == b->t_ms && a->bits == b->bits &&
           bytes_equal(a->labels, b->labels);
}

/* Appends the exemplars of a series to the tenant's, which has room. */
static void
model_exemplars(struct merge_model *m, const struct origin *from, uint32_t count,
                struct content_tenant *to, uint32_t series)
{
    uint32_t total = 0, kept = 0, first = to->exemplar_count;
    for (uint32_t i = 0; i < count; i++)
        total += from[i].tenant->exemplar_count;
    struct origin *all = calloc(total + 1, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t n = 0; n < from[i].tenant->exemplar_count; n++) {
            struct origin *o = &all[kept];
            *o = from[i];
            o->exemplar = &from[i].tenant->exemplars[n];
            if (o->exemplar->series != o->index) continue;
            o->t_ms = o->exemplar->t_ms;
            o->index = n;
            kept += model_keeps(m, o, LEDGER_EXEMPLAR);
        }
    }
    qsort(all, kept, sizeof *all, by_origin_time);
    for (uint32_t i = 0; i < kept; i++) {
        struct content_exemplar x = *all[i].exemplar;
        bool known = false;
        x.series = series;
        for (uint32_t n = first; n < to->exemplar_count; n++)
            known |= same_exemplar(&to->exemplars[n], &x);
        if (!known) to->exemplars[to->exemplar_count++] = x;
        *(known ? &m->count->duplicate[LEDGER_EXEMPLAR] : &m->count->written[LEDGER_EXEMPLAR]) += 1;
    }
    free(all);
}

/* Collects all series of a tenant in all inputs, sorted. Metadata is from the last input that has
 * any. */
static uint32_t
model_origins(struct merge_model *m, struct bytes name, struct origin *to, uint32_t *ret_exemplars,
              struct content_tenant *tenant)
{
    uint32_t count = 0;
    *ret_exemplars = 0;
    for (uint32_t i = 0; i < m->options->input_count; i++) {
        const struct content *c = &m->world->contents[i];
        uint32_t number = 0;
        for (uint32_t j = 0; j < c->tenant_count; number += c->tenants[j++].series_count) {
            const struct content_tenant *t = &c->tenants[j];
            if (!bytes_equal(t->name, name)) continue;
            for (uint32_t n = 0; n < t->series_count; n++) {
                to[count++] =
                    (struct origin){t->series[n].labels, i, number + n, n, t, NULL, NULL, 0};
            }
            *ret_exemplars += t->exemplar_count;
            if (!m->options->with_metadata || t->metadata_count == 0) continue;
            tenant->metadata = t->metadata;
            tenant->metadata_count = t->metadata_count;
        }
    }
    qsort(to, count, sizeof *to, by_origin_labels);
    return count;
}

static bool
model_tenant(struct merge_model *m, struct bytes name, struct content_tenant *to)
{
    static struct origin all[20000];
    uint32_t exemplars, count = model_origins(m, name, all, &exemplars, to);
    to->name = name;
    to->series = arena_new(&m->want.arena, (count + 1) * sizeof *to->series);
    to->exemplars = arena_new(&m->want.arena, (exemplars + 1) * sizeof *to->exemplars);
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && bytes_equal(all[end].labels, all[i].labels); end++) {
        }
        struct content_series *s = &to->series[to->series_count];
        uint32_t before = to->exemplar_count;
        *s = (struct content_series){.labels = all[i].labels};
        model_samples(m, &all[i], end - i, s);
        model_exemplars(m, &all[i], end - i, to, to->series_count);
        to->series_count += s->sample_count > 0 || to->exemplar_count > before;
    }
    content_pairs(&m->want, to);
    return to->series_count > 0 || to->metadata_count > 0;
}

void
merge_model_init(struct merge_model *m, struct merge_world *w,
                 const struct part_merge_options *options)
{
    *m = (struct merge_model){.options = options, .world = w};
    arena_init(&m->want.arena, NULL, 0, 0);
    m->want.tenants = arena_new(&m->want.arena, (w->shape.tenants + 1) * sizeof *m->want.tenants);
    m->counts = arena_new(&m->want.arena, (w->shape.tenants + 1) * sizeof *m->counts);
    for (uint32_t id = 0; id < w->shape.tenants; id++) {
        char name[32];
        snprintf(name, sizeof name, "tenant-%05u", id);
        m->count = &m->counts[id];
        m->count->tenant = arena_copy(&m->want.arena, bytes_of_text(name));
        struct content_tenant *t = &m->want.tenants[m->want.tenant_count];
        *t = (struct content_tenant){0};
        m->want.tenant_count += model_tenant(m, m->count->tenant, t);
    }
}

void
merge_model_fini(struct merge_model *m)
{
    content_free(&m->want);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct check {
    struct part *part;
    const struct content_tenant *tenant;
    uint32_t first; /* number of the tenant's first series */
    uint32_t count;
};

static void
check_block(struct part *part, const struct block_ref *b, const struct content_series *s,
            uint32_t *at)
{
    static int64_t times[CODEC_SAMPLES_MAX], starts[CODEC_SAMPLES_MAX];
    static uint64_t bits[CODEC_SAMPLES_MAX];
    static struct histogram histograms[CODEC_SAMPLES_MAX];
    struct arena arena;
    struct why why;
    arena_init(&arena, NULL, 0, 0);
    if (block_read(part, b, times, bits, starts, histograms, &arena, &why) != OK)
        fail_msg("%s", why.text);
    assert_in_range(*at + b->count, 1, s->sample_count);
    for (uint32_t i = 0; i < b->count; i++, ++*at) {
        const struct content_sample *x = &s->samples[*at];
        assert_int_equal(x->t_ms, times[i]);
        assert_int_equal(x->kind, block_kind(b));
        assert_int_equal(x->start_ms, b->has_starts ? starts[i] : 0);
        if (x->kind == SAMPLE_FLOAT) {
            assert_int_equal(x->bits, bits[i]);
            continue;
        }
        assert_true(same_histogram_bits(&x->histogram, &histograms[i]));
        assert_int_equal(x->histogram.reset_hint, histograms[i].reset_hint);
    }
    arena_fini(&arena);
    if (block_kind(b) != SAMPLE_FLOAT) return;
    struct codec_stats stats;
    codec_float_stats(bits, b->count, &stats);
    assert_true(b->has_stats);
    assert_int_equal(double_bits(stats.sum), double_bits(b->stats.sum));
    assert_int_equal(double_bits(stats.first), double_bits(b->stats.first));
    assert_int_equal(double_bits(stats.last), double_bits(b->stats.last));
    assert_int_equal(stats.number_count, b->stats.number_count);
    assert_int_equal(stats.reset_count, b->stats.reset_count);
}

static void
check_rows(struct check *x, const struct part_tenant *t)
{
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(part_index_load(x->part, t, &arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
    for (uint32_t i = 0; i < t->series_count; i++) {
        const struct content_series *s = &x->tenant->series[i];
        struct bytes labels;
        const struct block_ref *blocks;
        uint32_t count, at = 0;
        assert_int_equal(row_read(rows, t->first_series + i, &labels, &blocks, &count, NULL), OK);
        assert_true(bytes_equal(labels, s->labels));
        for (uint32_t b = 0; b < count; b++)
            check_block(x->part, &blocks[b], s, &at);
        assert_int_equal(at, s->sample_count);
    }
    row_reader_free(rows);
    arena_fini(&arena);
}

static enum err
check_exemplar(void *context, uint32_t series, const struct exemplar *exemplar)
{
    struct check *x = context;
    if (series - x->first >= x->tenant->series_count) return ERR_CANCELED;
    assert_in_range(x->count + 1, 1, x->tenant->exemplar_count);
    const struct content_exemplar *want = &x->tenant->exemplars[x->count++];
    assert_int_equal(series - x->first, want->series);
    assert_int_equal(exemplar->t_ms, want->t_ms);
    assert_int_equal(exemplar->value_bits, want->bits);
    assert_true(bytes_equal(exemplar->labels, want->labels));
    return OK;
}

static enum err
check_metadata(void *context, const struct metadata *m)
{
    struct check *x = context;
    assert_in_range(x->count + 1, 1, x->tenant->metadata_count);
    const struct metadata *want = &x->tenant->metadata[x->count++];
    assert_true(bytes_equal(m->family, want->family));
    assert_true(bytes_equal(m->help, want->help));
    assert_true(bytes_equal(m->unit, want->unit));
    assert_int_equal(m->type, want->type);
    return OK;
}

static void
no_damage(void *context, uint64_t offset, const struct why *why)
{
    (void)context;
    fail_msg("page at %llu: %s", (unsigned long long)offset, why->text);
}

void
check_part(struct merge_world *w, uint64_t number, const struct content *want)
{
    struct check x = {0};
    struct why why = {""};
    if (part_open(w->env, &w->cache_budget, w->cache, "/parts", number, &x.part, &why) != OK)
        fail_msg("%s", why.text);
    assert_int_equal(part_tenant_count(x.part), want->tenant_count);
    for (uint32_t i = 0; i < want->tenant_count; i++) {
        const struct part_tenant *t = part_tenant_at(x.part, i);
        x.tenant = &want->tenants[i];
        x.first = t->first_series;
        assert_true(bytes_equal(t->name, x.tenant->name));
        assert_int_equal(t->series_count, x.tenant->series_count);
        assert_int_equal(t->pair_count, x.tenant->pair_count);
        check_rows(&x, t);
        x.count = 0;
        assert_int_equal(part_exemplars(x.part, t->first_series, check_exemplar, &x, NULL), OK);
        assert_int_equal(x.count, x.tenant->exemplar_count);
        assert_int_equal(t->sample_count[LEDGER_EXEMPLAR], x.count);
        x.count = 0;
        assert_int_equal(part_metadata(x.part, t, check_metadata, &x, NULL), OK);
        assert_int_equal(x.count, x.tenant->metadata_count);
    }
    assert_int_equal(part_verify(x.part, no_damage, NULL, NULL), OK);
    part_unref(x.part);
}

void
check_counts(const struct merge_model *m, const struct part_merge_counts *counts, uint32_t count)
{
    struct part_merge_counts none = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < m->world->shape.tenants; i++) {
        none.tenant = m->counts[i].tenant;
        if (memcmp(&m->counts[i], &none, sizeof none) == 0) continue;
        assert_in_range(at + 1, 1, count);
        const struct part_merge_counts *got = &counts[at++];
        assert_true(bytes_equal(got->tenant, none.tenant));
        assert_memory_equal(got->written, m->counts[i].written, sizeof got->written);
        assert_memory_equal(got->duplicate, m->counts[i].duplicate, sizeof got->written);
        assert_memory_equal(got->superseded, m->counts[i].superseded, sizeof got->written);
        assert_memory_equal(got->deleted, m->counts[i].deleted, sizeof got->written);
        assert_memory_equal(got->expired, m->counts[i].expired, sizeof got->written);
    }
    assert_int_equal(at, count);
}

/* --- merging ---------------------------------------------------------------------------------- */

static uint64_t merged_seed;

struct merge_outcome
merge_world_merge(const struct part_merge_options *options, uint64_t samples,
                  const struct merge_model *model)
{
    struct merge_outcome o = {.input = UINT32_MAX};
    struct part_merge *m = NULL;
    const struct part_merge_counts *counts;
    uint32_t count;
    bool done = false;
    o.e = part_merge_new(options, &m, &o.why);
    for (; o.e == OK && !done; o.steps++)
        o.e = part_merge_step(m, samples, &done, &o.input, &o.why);
    if (o.e == OK) o.e = part_merge_finish(m, &o.info, &counts, &count, &o.why);
    if (o.e == OK && model != NULL) check_counts(model, counts, count);
    for (uint32_t i = 0; o.e == OK && i < count; i++) {
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            const struct part_merge_counts *c = &counts[i];
            o.counted[k] +=
                c->written[k] + c->duplicate[k] + c->superseded[k] + c->deleted[k] + c->expired[k];
        }
    }
    part_merge_free(m);
    assert_int_equal(budget_used(options->budget), 0);
    return o;
}

struct merge_outcome
merge_world_merge_and_check(struct merge_world *w, const struct part_merge_options *options,
                            uint64_t samples)
{
    struct merge_model m;
    merged_seed = w->seed;
    merge_model_init(&m, w, options);
    struct merge_outcome o = merge_world_merge(options, samples, &m);
    if (o.e) fail_msg("seed %llu: %s", (unsigned long long)w->seed, o.why.text);
    if (m.want.tenant_count == 0) {
        assert_int_equal(o.info.number, 0);
    } else {
        assert_int_equal(o.info.number, options->number);
        assert_int_equal(o.info.from_pos, options->from_pos);
        assert_int_equal(o.info.to_pos, options->to_pos);
        check_part(w, options->number, &m.want);
    }
    merge_model_fini(&m);
    return o;
}

int
merge_world_print_seed(void **state)
{
    (void)state;
    print_message("last seed %llu\n", (unsigned long long)merged_seed);
    return 0;
}
