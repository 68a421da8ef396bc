/*
 * sample_merge.c - invariants:
 *  1. After fill() an input has a current sample, at `at`, or is drained.
 *  2. Current samples are later than all samples that were returned.
 *  3. A run has at least one sample, and ends before the next sample of any other input.
 *     Windows of a level are samples that last from the start to the end of their window.
 *  4. A run is gathered only while SHORT_RUN samples have room, and if it is shorter than that.
 */
#include "model/sample_merge.h"

#include <assert.h>

#include "base/array.h"

enum { SHORT_RUN = 32 };

void
sample_merge_init(struct sample_merge *m,
                  enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why),
                  struct budget *budget)
{
    m->budget = budget;
    m->batch = batch;
    m->inputs = NULL;
    m->count = m->capacity = 0;
}

void
sample_merge_fini(struct sample_merge *m)
{
    array_free(m->budget, m->inputs, m->capacity);
}

void
sample_merge_clear(struct sample_merge *m)
{
    m->count = 0;
}

enum err
sample_merge_add(struct sample_merge *m, void *from)
{
    if (!array_reserve(m->budget, &m->inputs, &m->capacity, m->count + 1)) return ERR_NOMEM;
    m->inputs[m->count++] = (struct sample_merge_input){.from = from};
    return OK;
}

/* Reads the next batch of an input unless it has a current sample. Afterwards invariant 1 holds. */
static enum err
fill(struct sample_merge *m, struct sample_merge_input *p, struct why *why)
{
    if (p->drained || p->at < p->batch.count) return OK;
    p->at = 0;
    enum err e = m->batch(p->from, &p->batch, why);
    p->drained = p->batch.count == 0;
    return e;
}

struct merge_run {
    struct sample_merge_input *of; /* NULL after the series has ended */
    uint32_t count;
};

/* The time of a sample of a batch, or that of the end of its window. */
static int64_t
batch_end(const struct sample_batch *b, uint32_t i)
{
    if (!sample_batch_has_windows(b)) return b->times_ms[i];
    struct rollup r = sample_batch_window(b, i);
    return rollup_window_end(rollup_begin_ms(&r), b->resolution_ms);
}

/* The same, of the current sample of an input, with the first time that the window may have. */
static int64_t
start_of(const struct sample_merge_input *p)
{
    const struct sample_batch *b = &p->batch;
    int64_t end_ms = batch_end(b, p->at);
    if (!sample_batch_has_windows(b)) return end_ms;
    return end_ms < INT64_MIN + b->resolution_ms ? INT64_MIN : end_ms - b->resolution_ms + 1;
}

/* Says whether the current sample of an input is returned before, or in place of, that of another
 * input that was added earlier. */
static bool
precedes(const struct sample_merge_input *p, const struct sample_merge_input *other)
{
    int64_t start_ms = start_of(p), other_ms = start_of(other);
    const struct sample_batch *a = &p->batch, *b = &other->batch;
    if (start_ms != other_ms) return start_ms < other_ms;
    if (!sample_batch_has_windows(a)) return false;
    if (!sample_batch_has_windows(b)) return true;
    if (a->resolution_ms != b->resolution_ms) return a->resolution_ms > b->resolution_ms;
    return sample_batch_window(a, p->at).count > sample_batch_window(b, other->at).count;
}

/* Drops the samples of an input that do not begin after a time. */
static enum err
drop_until(struct sample_merge *m, struct sample_merge_input *p, int64_t end_ms, struct why *why)
{
    enum err e = OK;
    while (e == OK && !p->drained && start_of(p) <= end_ms) {
        p->at++; /* invariant 2 */
        e = fill(m, p, why);
    }
    return e;
}

/* The count of the samples of a batch from one on, up to the first that reaches a time. */
static uint32_t
count_before(const struct sample_batch *b, uint32_t from, int64_t until_ms)
{
    uint32_t i = from + 1;
    if (!sample_batch_has_windows(b))
        return search_first(k, i, b->count, b->times_ms[k] >= until_ms) - from;
    while (i < b->count && batch_end(b, i) < until_ms)
        i++;
    return i - from;
}

/* Finds the run of the earliest sample; other inputs drop their samples of the same time. */
static enum err
find_run(struct sample_merge *m, struct merge_run *ret, struct why *why)
{
    int64_t until_ms = INT64_MAX;
    bool others = false;
    *ret = (struct merge_run){.of = NULL};
    for (uint32_t i = 0; i < m->count; i++) {
        struct sample_merge_input *p = &m->inputs[i];
        enum err e = fill(m, p, why);
        if (e) return e;
        if (p->drained) continue;
        if (ret->of == NULL || precedes(p, ret->of)) ret->of = p;
    }
    if (ret->of == NULL) return OK;
    const struct sample_batch *b = &ret->of->batch;
    uint32_t from = ret->of->at;
    int64_t end_ms = batch_end(b, from);
    for (uint32_t i = 0; i < m->count; i++) {
        struct sample_merge_input *p = &m->inputs[i];
        if (p == ret->of || p->drained) continue;
        enum err e = drop_until(m, p, end_ms, why);
        if (e) return e;
        if (p->drained) continue;
        others = true;
        if (start_of(p) < until_ms) until_ms = start_of(p);
    }
    ret->count = others ? count_before(b, from, until_ms) : b->count - from;
    assert(ret->count > 0); /* invariant 3 */
    return OK;
}

enum err
sample_merge_batch(struct sample_merge *m, struct sample_batch *ret, struct why *why)
{
    struct merge_run run;
    uint32_t gathered = 0;
    *ret = (struct sample_batch){.count = 0};
    if (m->count == 1) return m->batch(m->inputs[0].from, ret, why);
    do {
        enum err e = find_run(m, &run, why);
        if (e) return e;
        if (run.of == NULL || run.of->batch.kind != SAMPLE_FLOAT || run.of->batch.rollups != NULL ||
            run.count >= SHORT_RUN)
            break;
        const struct sample_batch *b = &run.of->batch;
        for (uint32_t i = run.of->at; i < run.of->at + run.count; i++) {
            m->times_ms[gathered] = b->times_ms[i];
            m->value_bits[gathered] = b->value_bits[i];
            m->starts_ms[gathered++] = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        }
        run.of->at += run.count;
    } while (gathered + SHORT_RUN <= SAMPLE_MERGE_GATHERED); /* invariant 4 */
    if (gathered > 0) {
        *ret = (struct sample_batch){.kind = SAMPLE_FLOAT,
                                     .count = gathered,
                                     .times_ms = m->times_ms,
                                     .value_bits = m->value_bits,
                                     .starts_ms = m->starts_ms};
    } else if (run.of != NULL) {
        *ret = sample_batch_part(&run.of->batch, run.of->at, run.count);
        run.of->at += run.count;
    }
    return OK;
}
