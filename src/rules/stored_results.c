/*
 * stored_results.c - see stored_results.h.
 *
 * A table of labels, and one array of samples of all series in the order in which the view gives
 * them. A histogram is kept as its hash: two that differ have the same one once in 2^64. Mostly
 * nothing is stored: then there is neither table nor array.
 */
#include "rules/stored_results.h"

#include "base/array.h"

void
stored_results_init(struct stored_results *r, struct budget *budget, uint64_t seed)
{
    *r = (struct stored_results){.ends = NULL};
    kept_series_init(&r->series, budget, seed);
}

void
stored_results_fini(struct stored_results *r)
{
    struct budget *budget = r->series.budget;
    array_free(budget, r->ends, r->end_capacity);
    array_free(budget, r->samples, r->capacity);
    kept_series_fini(&r->series);
}

struct replay_value
value_of_histogram(const struct histogram *h)
{
    if (h->sum_bits == STALE_NAN_BITS) return (struct replay_value){.bits = STALE_NAN_BITS};
    return (struct replay_value){.is_histogram = true, .bits = histogram_hash(h)};
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading_stored {
    struct stored_results *to;
    struct why *why;
};

static bool
add_batch(struct stored_results *r, const struct sample_batch *batch)
{
    struct budget *budget = r->series.budget;
    size_t wanted = (size_t)r->count + batch->count;
    if (!array_reserve(budget, &r->samples, &r->capacity, wanted)) return false;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct stored_sample *sample = &r->samples[r->count++];
        sample->t_ms = batch->times_ms[i];
        sample->value = batch->kind == SAMPLE_FLOAT
                            ? (struct replay_value){.bits = batch->value_bits[i]}
                            : value_of_histogram(&batch->histograms[i]);
    }
    return true;
}

static enum err
add_series(void *context, struct series_set *set, struct bytes labels)
{
    const struct reading_stored *reading = context;
    struct stored_results *r = reading->to;
    struct budget *budget = r->series.budget;
    struct sample_batch batch;
    bool is_new;
    if (!array_reserve(budget, &r->ends, &r->end_capacity, (size_t)r->series.count + 1) ||
        kept_series_add(&r->series, labels, &is_new)) {
        return why_set(reading->why, ERR_NOMEM, "not enough memory for stored results");
    }
    do {
        enum err e = series_set_batch(set, &batch, reading->why);
        if (e) return e;
        if (!add_batch(r, &batch)) {
            return why_set(reading->why, ERR_NOMEM, "not enough memory for stored results");
        }
    } while (batch.count > 0);
    r->ends[r->series.count - 1] = r->count;
    return OK;
}

enum err
stored_results_read(struct stored_results *r, const struct rules_past *past,
                    const struct rule_at_work *rule, int64_t min_ms, int64_t max_ms,
                    struct why *why)
{
    size_t bytes = (rule->label_count + 1) * sizeof(struct label);
    struct label *wanted = mem_new(r->series.budget, bytes);
    struct reading_stored reading = {r, why};
    if (wanted == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the rule");
    wanted[0] = (struct label){bytes_of_text("__name__"), bytes_of_text(rule->text->name)};
    if (rule->label_count > 0) {
        memcpy(wanted + 1, rule->labels, rule->label_count * sizeof *wanted);
    }
    struct past_look look = {
        .labels = wanted,
        .label_count = rule->label_count + 1,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .stored = true,
        .each = add_series,
        .context = &reading,
    };
    enum err e = past_look(past, &look, why);
    mem_free(r->series.budget, wanted, bytes);
    return e;
}

/* --- finding ---------------------------------------------------------------------------------- */

struct stored_run
stored_results_of(const struct stored_results *r, struct bytes labels)
{
    uint32_t index;
    if (!kept_series_find(&r->series, labels, &index)) return (struct stored_run){NULL, 0};
    uint32_t first = index == 0 ? 0 : r->ends[index - 1];
    return (struct stored_run){r->samples + first, r->ends[index] - first};
}

const struct replay_value *
stored_run_find(const struct stored_run *run, int64_t t_ms)
{
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->samples[middle].t_ms < t_ms)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_there = low < run->count && run->samples[low].t_ms == t_ms;
    return is_there ? &run->samples[low].value : NULL;
}
