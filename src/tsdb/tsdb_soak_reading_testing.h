/*
 * tsdb_soak_reading_testing.h - what a store of the soak test answers, compared mark by mark with
 * what it was sent. For tests only.
 */
#ifndef TSDB_TSDB_SOAK_READING_TESTING_H
#define TSDB_TSDB_SOAK_READING_TESTING_H

#include "tsdb/tsdb_soak_testing.h"

struct soak_reading {
    struct soak *x;
    uint32_t tenant;
    enum what what;
    bool adopt; /* what is not seen now never will be */
    int64_t min_ms;
    int64_t max_ms;
    struct matcher *const *matchers;
    uint32_t matcher_count;
    struct soak_series *series; /* at hand; NULL: none yet */
    uint32_t next;              /* mark of it */
};

static inline bool
soak_selects(const struct soak_series *s, struct matcher *const *matchers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        /* Matchers have tests of their own. */
        if (!matcher_matches(matchers[i], labels_get(s->labels, matcher_name(matchers[i])))) {
            return false;
        }
    }
    return true;
}

/* Marks of the series at hand before t_ms are not there. */
static inline void
soak_skip(struct soak_reading *r, int64_t t_ms, bool to_end)
{
    struct marks *m = &r->series->marks[r->what];
    for (; r->next < m->count; r->next++) {
        struct mark *k = &m->at[r->next];
        if (k->t_ms > r->max_ms || (!to_end && k->t_ms >= t_ms)) return;
        if (k->must) {
            soak_fail(r->x, "tenant %s, {%s}: the acknowledged sample at %lld is lost",
                      soak_tenants[r->tenant], r->series->text, (long long)k->t_ms);
        }
        if (r->adopt) k->may = 0;
    }
}

static inline struct mark *
soak_meet(struct soak_reading *r, struct bytes labels, int64_t t_ms)
{
    struct soak *x = r->x;
    if (r->series == NULL || !bytes_equal(r->series->labels, labels)) {
        if (r->series != NULL) soak_skip(r, 0, true);
        uint32_t slot = *soak_slot(x, r->tenant, labels);
        if (slot == 0) soak_fail(x, "a series that nobody sent");
        r->series = &x->series[slot - 1];
        r->series->reading = x->reading;
        r->next = marks_from(&r->series->marks[r->what], r->min_ms);
        if (!soak_selects(r->series, r->matchers, r->matcher_count)) {
            soak_fail(x, "{%s} does not match", r->series->text);
        }
    }
    soak_skip(r, t_ms, false);
    const struct marks *m = &r->series->marks[r->what];
    if (r->next == m->count || m->at[r->next].t_ms != t_ms) {
        soak_fail(x, "tenant %s, {%s}: a sample at %lld that nobody sent", soak_tenants[r->tenant],
                  r->series->text, (long long)t_ms);
    }
    x->read++;
    return &m->at[r->next++];
}

static inline void
soak_saw(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct soak_reading *r = context;
    struct mark *k = soak_meet(r, labels, b->times_ms[i]);
    for (uint8_t code = 0; code < 8; code++) {
        if ((k->may >> code & 1) == 0) continue;
        if (!soak_reads_as(r->series, k->t_ms, code, b, i)) continue;
        r->x->narrowed += k->may != 1u << code;
        k->may = (uint8_t)(1u << code);
        k->must = true;
        return;
    }
    unsigned read_as = 0;
    for (uint8_t code = 0; code < 8; code++) {
        if (soak_reads_as(r->series, k->t_ms, code, b, i)) read_as |= 1u << code;
    }
    soak_fail(r->x,
              "tenant %s, {%s} at %lld: codes %x expected (sent: %x%s), found kind %d, bits %llx, "
              "which are codes %x",
              soak_tenants[r->tenant], r->series->text, (long long)k->t_ms, k->may, k->sent,
              k->pending ? ", pending" : "", b->kind,
              (unsigned long long)(b->kind == SAMPLE_FLOAT ? b->value_bits[i]
                                                           : b->histograms[i].sum_bits),
              read_as);
}

static inline enum err
soak_saw_exemplar(void *context, const struct exemplar *e)
{
    struct soak_reading *r = context;
    char id[20];
    struct mark *k = soak_meet(r, e->series_labels, e->t_ms);
    snprintf(id, sizeof id, "%llx", (long long)e->t_ms);
    bool same = bytes_equal(labels_get(e->labels, text("trace_id")), text(id));
    if (k->may == 0 || !same || e->value_bits != spark_value(e->t_ms)) {
        soak_fail(r->x, "{%s}: a wrong exemplar at %lld", r->series->text, (long long)e->t_ms);
    }
    k->must = true;
    return OK;
}

/* Series that were not met hold nothing that must be seen. */
static inline void
soak_end_reading(struct soak_reading *r)
{
    struct soak *x = r->x;
    if (r->series != NULL) soak_skip(r, 0, true);
    for (uint32_t i = 0; i < x->series_count; i++) {
        struct soak_series *s = &x->series[i];
        if (s->tenant != r->tenant || s->reading == x->reading) continue;
        if (!soak_selects(s, r->matchers, r->matcher_count)) continue;
        r->series = s;
        r->next = marks_from(&s->marks[r->what], r->min_ms);
        soak_skip(r, 0, true);
    }
}

/* One question, compared. */
static inline void
soak_ask(struct soak *x, enum what what, uint32_t tenant, const struct matcher_text *matchers,
         uint32_t count, int64_t min_ms, int64_t max_ms, bool adopt)
{
    struct question q;
    question_init(&q, soak_tenants[tenant], matchers, count, min_ms, max_ms);
    struct soak_reading r = {.x = x,
                             .tenant = tenant,
                             .what = what,
                             .adopt = adopt,
                             .min_ms = min_ms,
                             .max_ms = max_ms,
                             .matchers = q.made,
                             .matcher_count = count};
    x->reading++;
    enum err e = what == SAMPLES ? machine_select(&x->m, &q, soak_saw, &r)
                                 : machine_exemplars(&x->m, &q.request, soak_saw_exemplar, &r);
    soak_must(x, e, "select");
    soak_end_reading(&r);
    question_fini(&q);
}

struct soak_families {
    struct soak *x;
    uint32_t tenant;
    uint32_t count;
};

static inline enum err
soak_saw_family(void *context, const struct metadata *m)
{
    struct soak_families *f = context;
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        if (!bytes_equal_text(m->family, soak_metrics[i].name)) continue;
        f->count++;
        for (unsigned help = 0; help < SOAK_HELPS; help++) {
            char words[20];
            snprintf(words, sizeof words, "help %u", help);
            if ((f->x->helps[f->tenant][i] >> help & 1) != 0 && bytes_equal_text(m->help, words)) {
                return OK;
            }
        }
        break;
    }
    soak_fail(f->x, "metadata that was not to be seen: %.*s: %.*s", (int)m->family.size,
              (const char *)m->family.at, (int)m->help.size, (const char *)m->help.at);
    return OK;
}

static inline void
soak_look_at_metadata(struct soak *x, uint32_t tenant)
{
    uint32_t distinct = 0;
    struct soak_families f = {x, tenant, 0};
    soak_must(x, machine_metadata(&x->m, soak_tenants[tenant], "", soak_saw_family, &f),
              "metadata");
    for (uint32_t i = 0; i < SOAK_METRICS; i++) {
        distinct += i == 0 || strcmp(soak_metrics[i].name, soak_metrics[i - 1].name) != 0;
    }
    if (x->helps_must[tenant] && f.count != distinct) {
        soak_fail(x, "tenant %s has metadata of %u families, not of %u", soak_tenants[tenant],
                  f.count, distinct);
    }
}

/* Everything there is. After a restart what is not there is gone for good. */
static inline void
soak_look(struct soak *x, bool restarted)
{
    bool adopt = restarted || !x->doubt;
    for (uint32_t t = 0; t < SOAK_TENANTS; t++) {
        for (unsigned w = 0; w < WHAT_COUNT; w++) {
            soak_ask(x, (enum what)w, t, every_series, 1, SIM_BEGIN - 400 * DAY_MS,
                     SIM_BEGIN + 4000 * DAY_MS, adopt);
        }
        soak_look_at_metadata(x, t);
    }
    machine_ledger(&x->m, NULL);
    if (restarted) x->doubt = false;
}

#endif
