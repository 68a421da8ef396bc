/* random_part.c - see random_part.h. */
#include "lib/tsdb/random_part.h"

/* --- making ----------------------------------------------------------------------------------- */

struct bytes
content_text(struct content *c, struct rng *r, const char *stem, uint64_t number)
{
    char text[64];
    snprintf(text, sizeof text, "%s%llu", stem, (unsigned long long)number);
    struct bytes copy = arena_copy(&c->arena, bytes_of_text(text));
    if (rng_below(r, 2000) != 0) return copy;
    uint32_t size = 1 + (uint32_t)rng_below(r, 40000); /* an item larger than a page */
    uint8_t *big = arena_alloc(&c->arena, size + copy.size);
    memcpy(big, copy.at, copy.size);
    memset(big + copy.size, 'x', size);
    return bytes_of(big, size + copy.size);
}

struct bytes
content_labels(struct content *c, struct rng *r, uint32_t values)
{
    static const char *const names[] = {"__name__", "a", "instance", "job", "le", "zone"};
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    do {
        buf_clear(&to);
        for (unsigned n = 0; n < 6; n++) {
            if (n != 0 && rng_below(r, 3) == 0) continue;
            uint64_t value = rng_below(r, 1 + values / (n + 1));
            labels_put(&to, (struct label){bytes_of_text(names[n]),
                                           content_text(c, r, n == 0 ? "metric_" : "v", value)});
        }
    } while (to.size == 0);
    struct bytes labels = arena_copy(&c->arena, buf_bytes(&to));
    buf_fini(&to);
    return labels;
}

int
content_by_labels(const void *a, const void *b)
{
    const struct content_series *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

static int
content_by_pair(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : bytes_compare(x->value, y->value);
}

static void
content_histogram(struct content *c, struct rng *r, struct content_sample *s,
                  const struct content_sample *before)
{
    do {
        s->histogram = before != NULL && before->kind == s->kind
                           ? random_next_histogram(r, &c->arena, &before->histogram)
                           : random_histogram(r, &c->arena, s->kind);
    } while (histogram_check(&s->histogram, NULL) != OK);
}

static void
content_samples(struct content *c, struct rng *r, struct content_series *s, uint32_t most)
{
    uint32_t count = (uint32_t)rng_below(r, 1 + rng_below(r, most + 1));
    unsigned value_class = (unsigned)rng_below(r, RANDOM_VALUE_CLASSES);
    /* Mostly times that series share. */
    unsigned time_class = rng_below(r, 3) > 0 ? 0 : (unsigned)rng_below(r, RANDOM_TIME_CLASSES);
    int64_t t = time_class == 0 ? 1700000000000 : random_first_time(r, time_class), start = 0;
    bool starts = rng_below(r, 4) == 0;
    uint64_t v = 0;
    enum sample_kind kind = rng_below(r, 6) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_FLOAT;
    if (kind != SAMPLE_FLOAT && count > 300) count = 300;
    s->samples = arena_new(&c->arena, (count + 1) * sizeof *s->samples);
    for (uint32_t i = 0; i < count; i++) {
        struct content_sample *x = &s->samples[i];
        if (rng_below(r, 200) == 0) kind = (enum sample_kind)rng_below(r, SAMPLE_KIND_COUNT);
        if (starts && rng_below(r, 30) == 0) start = rng_below(r, 3) == 0 ? 0 : t / 2;
        x->t_ms = t;
        x->start_ms = start;
        x->kind = kind;
        if (kind == SAMPLE_FLOAT)
            x->bits = v = random_value(r, value_class, v);
        else
            content_histogram(c, r, x, i == 0 ? NULL : x - 1);
        s->sample_count++;
        if (!random_next_time(r, time_class, &t)) break;
    }
}

uint32_t
content_unique(void *items, uint32_t count, size_t size, int (*compare)(const void *, const void *))
{
    uint8_t *at = items;
    uint32_t kept = 0;
    if (count > 1) qsort(items, count, size, compare);
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && compare(at + (kept - 1) * size, at + i * size) == 0) continue;
        memmove(at + kept++ * size, at + i * size, size);
    }
    return kept;
}

void
content_pairs(struct content *c, struct content_tenant *t)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < t->series_count; i++)
        total += labels_count(t->series[i].labels);
    t->pairs = arena_new(&c->arena, (total + 1) * sizeof *t->pairs);
    total = 0;
    for (uint32_t i = 0; i < t->series_count; i++) {
        struct cursor at = cursor_of(t->series[i].labels);
        while (labels_next(&at, &t->pairs[total]))
            total++;
    }
    t->pair_count = content_unique(t->pairs, total, sizeof *t->pairs, content_by_pair);
    for (uint32_t i = 0; i < t->series_count; i++) {
        struct content_series *s = &t->series[i];
        struct cursor at = cursor_of(s->labels);
        struct label label;
        s->pairs = arena_new(&c->arena, 8 * sizeof *s->pairs);
        while (labels_next(&at, &label)) {
            const struct label *p =
                bsearch(&label, t->pairs, t->pair_count, sizeof label, content_by_pair);
            s->pairs[s->pair_count++] = (uint32_t)(p - t->pairs);
        }
    }
}

static void
content_rest(struct content *c, struct rng *r, struct content_tenant *t)
{
    uint32_t most = t->series_count == 0 ? 0 : (uint32_t)rng_below(r, 3 * t->series_count + 1);
    t->exemplars = arena_new(&c->arena, (most + 1) * sizeof *t->exemplars);
    uint32_t series = 0;
    for (; t->exemplar_count < most; t->exemplar_count++) {
        series += (uint32_t)rng_below(r, 3);
        if (series >= t->series_count) break;
        struct content_exemplar *x = &t->exemplars[t->exemplar_count];
        *x = (struct content_exemplar){series, (int64_t)rng_next(r), rng_next(r), {NULL, 0}};
        if (rng_below(r, 3) > 0) x->labels = content_labels(c, r, 1000);
    }
    t->metadata_count = (uint32_t)rng_below(r, 5);
    t->metadata = arena_new(&c->arena, 5 * sizeof *t->metadata);
    for (uint32_t i = 0; i < t->metadata_count; i++) {
        t->metadata[i] = (struct metadata){
            content_text(c, r, "family", i),
            (enum metric_type)rng_below(r, METRIC_TYPE_COUNT),
            content_text(c, r, "help ", rng_next(r)),
            {NULL, 0},
        };
    }
}

void
content_make(struct content *c, uint64_t seed, struct content_size size)
{
    struct rng r = {seed};
    *c = (struct content){.tenant_count = size.tenants};
    arena_init(&c->arena, NULL, 0, 0);
    c->tenants = arena_new(&c->arena, (size.tenants + 1) * sizeof *c->tenants);
    for (uint32_t i = 0; i < size.tenants; i++) {
        struct content_tenant *t = &c->tenants[i];
        char name[32];
        snprintf(name, sizeof name, "tenant-%04u", i);
        t->name = arena_copy(&c->arena, bytes_of_text(name));
        t->series_count = (uint32_t)rng_below(&r, size.series + 1);
        t->series = arena_new(&c->arena, (t->series_count + 1) * sizeof *t->series);
        for (uint32_t j = 0; j < t->series_count; j++)
            t->series[j].labels = content_labels(c, &r, size.values);
        t->series_count =
            content_unique(t->series, t->series_count, sizeof *t->series, content_by_labels);
        for (uint32_t j = 0; j < t->series_count; j++)
            content_samples(c, &r, &t->series[j], size.samples);
        content_pairs(c, t);
        content_rest(c, &r, t);
    }
}

void
content_free(struct content *c)
{
    arena_fini(&c->arena);
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
content_write_samples(const struct content_series *s, struct rng *r, struct part_writer *w,
                      struct why *why)
{
    enum { BATCH = 200 };
    static _Thread_local int64_t times[BATCH], starts[BATCH];
    static _Thread_local uint64_t bits[BATCH];
    static _Thread_local struct histogram histograms[BATCH];
    uint32_t i = 0;
    enum err e = OK;
    while (i < s->sample_count && e == OK) {
        struct sample_batch b = {.kind = s->samples[i].kind};
        uint32_t most = 1 + (uint32_t)rng_below(r, BATCH), n = 0;
        bool has_starts = false;
        for (; n < most && i < s->sample_count && s->samples[i].kind == b.kind; n++, i++) {
            times[n] = s->samples[i].t_ms;
            starts[n] = s->samples[i].start_ms;
            bits[n] = s->samples[i].bits;
            histograms[n] = s->samples[i].histogram;
            has_starts |= starts[n] != 0;
        }
        b.count = n;
        b.times_ms = times;
        b.starts_ms = has_starts ? starts : NULL;
        b.value_bits = bits;
        b.histograms = histograms;
        e = part_write_samples(w, &b, why);
    }
    return e;
}

static enum err
content_write_tenant(const struct content_tenant *t, struct rng *r, struct part_writer *w,
                     struct why *why)
{
    enum err e = part_write_tenant(w, t->name, why);
    for (uint32_t i = 0; i < t->pair_count && e == OK; i++)
        e = part_write_pair(w, t->pairs[i], why);
    for (uint32_t i = 0; i < t->series_count && e == OK; i++) {
        const struct content_series *s = &t->series[i];
        e = part_write_series(w, s->pairs, s->pair_count, why);
        if (e == OK) e = content_write_samples(s, r, w, why);
    }
    for (uint32_t i = 0; i < t->exemplar_count && e == OK; i++) {
        const struct content_exemplar *x = &t->exemplars[i];
        e = part_write_exemplar(w, x->series, x->t_ms, x->bits, x->labels, why);
    }
    for (uint32_t i = 0; i < t->metadata_count && e == OK; i++)
        e = part_write_metadata(w, &t->metadata[i], why);
    return e;
}

enum err
content_write(const struct content *c, struct env *env, struct budget *budget, const char *dir,
              uint64_t number, int level, struct part_info *ret_info, struct why *why)
{
    struct part_writer *w = NULL;
    struct rng r = {number};
    enum err e = part_writer_new(env, budget, dir, number, 100, 2000, &w, why);
    if (e == OK) part_writer_set_level(w, level);
    for (uint32_t i = 0; i < c->tenant_count && e == OK; i++)
        e = content_write_tenant(&c->tenants[i], &r, w, why);
    if (e == OK) e = part_writer_finish(w, ret_info, why);
    part_writer_free(w);
    return e;
}
