/*
 * replay.c - see replay.h.
 *
 * A group is replayed in stretches of evaluations, a stretch batch after batch of its rules, and
 * each rule in parts: as many evaluations as have a result together. A part runs two queries, for
 * stored samples and for the expression, compares the results, and writes one message with the new
 * samples.
 *
 * group.reads_back and replay_rounds() ensure that a rule finds all samples recorded before an
 * evaluation, and none recorded after it.
 *
 * group_series_at() is a dry run: a stretch of one evaluation that compares and writes nothing.
 *
 * Invariants:
 *  1. Parts of a rule follow each other from the first evaluation of the stretch to the last one,
 *     without gaps. One that failed for its size is tried again in smaller parts.
 *  2. Each result is at the time of an evaluation of the part.
 *  3. The counts and kept series of a part are taken over once, when its message is durable. A dry
 *     run writes no message, and counts no samples.
 *  4. `next` of a group rises only by evaluations that are durable.
 *  5. `ends` of stored results rises; the samples of a series are those between the end of the
 *     previous one and its own.
 *  6. Times of a series do not fall.
 */
#include "rules/replay/replay.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/text/time_text.h"
#include "model/select.h"
#include "rules/group/evaluate.h"
#include "sys/env.h"
#include "wire/number.h"

enum {
    STEPS_MAX = 4096,            /* evaluations made at once */
    MESSAGE_BYTES_MAX = 4 << 20, /* limit of several evaluations; a single one may have more */
    ARENA_BYTES_MAX = 1 << 30,
    DIFFERENCES_MAX = 16, /* reported differences of a part */
};

/* --- stored results --------------------------------------------------------------------------- */

struct stored_sample {
    int64_t t_ms;
    struct replay_value value;
};

/*
 * Samples stored under the name and the labels of a recording rule between two times. A histogram
 * is kept as its hash: two different ones have the same hash once in 2^64. Usually nothing is
 * stored: then there is neither table nor array.
 */
struct stored_results {
    struct kept_series series;
    uint32_t *ends; /* for each series, the index in `samples` after its last sample */
    struct stored_sample *samples; /* series after series, each in ascending time */
    uint32_t count, capacity, end_capacity;
    uint32_t from, to; /* samples of the current series */
    struct why *why;   /* used during stored_results_read() */
};

/* A histogram as a value for comparison. Staleness markers of both kinds of series are equal. */
static struct replay_value
value_of_histogram(const struct histogram *h)
{
    if (h->sum_bits == STALE_NAN_BITS) return (struct replay_value){.bits = STALE_NAN_BITS};
    return (struct replay_value){.is_histogram = true, .bits = histogram_hash(h)};
}

static enum err
stored_results_add_series(void *context, struct series_set *set, struct bytes labels)
{
    struct stored_results *r = context;
    struct budget *budget = r->series.budget;
    struct sample_batch batch = {.count = 0};
    size_t ends = (size_t)r->series.count + 1;
    const uint32_t first = r->count;
    bool is_new;
    enum err e = array_reserve(budget, &r->ends, &r->end_capacity, ends) ? OK : ERR_NOMEM;
    if (e == OK) e = kept_series_add(&r->series, labels, &is_new);
    if (e) return why_set(r->why, ERR_NOMEM, "not enough memory for stored results");
    while ((e = series_set_batch(set, &batch, r->why)) == OK && batch.count > 0) {
        if (!array_reserve(budget, &r->samples, &r->capacity, (size_t)r->count + batch.count))
            return why_set(r->why, ERR_NOMEM, "not enough memory for stored results");
        for (uint32_t i = 0; i < batch.count; i++) {
            struct replay_value value = batch.kind == SAMPLE_FLOAT
                                            ? (struct replay_value){.bits = batch.value_bits[i]}
                                            : value_of_histogram(&batch.histograms[i]);
            bool is_first = r->count == first;
            assert(is_first ||
                   r->samples[r->count - 1].t_ms <= batch.times_ms[i]); /* invariant 6 */
            r->samples[r->count++] = (struct stored_sample){batch.times_ms[i], value};
        }
    }
    assert(is_new);
    r->ends[r->series.count - 1] = r->count; /* invariant 5 */
    return e;
}

/* Reads samples of all series that include these labels; once. */
static enum err
stored_results_read(struct stored_results *r, const struct rules_past *past,
                    const struct label *labels, uint32_t label_count, int64_t min_ms,
                    int64_t max_ms, struct why *why)
{
    struct past_look look = {
        .labels = labels,
        .label_count = label_count,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .stored = true,
        .each = stored_results_add_series,
        .context = r,
    };
    r->why = why;
    return past_look(past, &look, why);
}

/* The value of the current series at a time, a view; NULL if no sample is stored there. */
static const struct replay_value *
stored_results_at(const struct stored_results *r, int64_t t_ms)
{
    uint32_t at = search_first(i, r->from, r->to, r->samples[i].t_ms >= t_ms);
    return at < r->to && r->samples[at].t_ms == t_ms ? &r->samples[at].value : NULL;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* Evaluations of a group made at once: from slot `first` to `last`. */
struct replay_stretch {
    const struct replay *replay;
    struct evaluating ev;
    int64_t first, last;
    bool is_dry;      /* only finds the series of the rules */
    int64_t dry_ns;   /* Unix: time of the dry run */
    bool finds_later; /* a repeated evaluation may find samples recorded after it */
    struct replay_counts *counts;
    struct why *why;
};

/* The value of a series at one evaluation. */
struct step_result {
    enum { NO_RESULT, FLOAT, HISTOGRAM } kind;
    uint64_t bits; /* bits of the float */
};

/* One rule, at evaluations from `a` to `b`, counted from the first of the stretch. Its counts and
 * series become valid once the part is written. */
struct replay_part {
    struct replay_stretch *of;
    struct rule_at_work *rule;
    uint32_t a, b;
    int64_t interval_ms; /* between two evaluations */
    struct arena arena;
    struct stored_results stored; /* under the rule's name and labels, at the part's times */
    struct rw_build *build;
    struct kept_series found;    /* series with a result at any of the evaluations */
    struct kept_series last;     /* series with a result at the last evaluation */
    uint32_t *series;            /* number of series at each evaluation */
    struct buf labels;           /* labels of the current series */
    struct step_result *results; /* its result at each evaluation */
    bool has_results;            /* it has one at some evaluation */
    bool is_begun;               /* it is in the message */
    struct why approximate;      /* the reason why results differ from those of the raw samples */
    struct buf sentence;         /* reason of a failure */
    struct replay_counts counts;
    struct replay_difference differences[DIFFERENCES_MAX];
    uint32_t difference_count;
};

static enum err
no_memory(const struct replay_stretch *s)
{
    return why_set(s->why, ERR_NOMEM, "not enough memory for the rule");
}

static enum err
part_fails(struct replay_part *t, const char *sentence)
{
    buf_clear(&t->sentence);
    buf_put_cut(&t->sentence, bytes_of_text(sentence));
    return ERR_INPUT;
}

/* --- times ------------------------------------------------------------------------------------ */

static int64_t
time_ns(const struct replay_stretch *s, uint32_t step)
{
    return s->is_dry ? s->dry_ns : schedule_time_ns(&s->ev.g->schedule, s->first + step);
}

static int64_t
sample_ms(const struct replay_stretch *s, uint32_t step)
{
    return time_ns(s, step) / NS_PER_MS - s->ev.g->query_offset_ms;
}

/* --- one series of a result ------------------------------------------------------------------- */

/* Called when the labels change. A series is in the message when it has new samples. */
static void
seek_series(struct replay_part *t)
{
    struct stored_results *r = &t->stored;
    uint32_t index;
    t->is_begun = false;
    r->from = r->to = 0;
    if (!kept_series_find(&r->series, buf_bytes(&t->labels), &index)) return;
    r->from = index == 0 ? 0 : r->ends[index - 1];
    r->to = r->ends[index];
    assert(r->from <= r->to && r->to <= r->count); /* invariant 5 */
}

static void
begin_series(struct replay_part *t)
{
    if (!t->is_begun) rw_build_series(t->build, buf_bytes(&t->labels));
    t->is_begun = true;
}

/* Writes a result, or a histogram if given, unless a sample is stored at its time. If a repeated
 * evaluation may find samples recorded after it, a difference does not count. */
static enum err
put_sample(struct replay_part *t, int64_t t_ms, struct replay_value value,
           const struct histogram *h)
{
    const struct replay_value *stored = stored_results_at(&t->stored, t_ms);
    bool is_equal =
        stored != NULL && stored->is_histogram == value.is_histogram && stored->bits == value.bits;
    if (stored != NULL && !is_equal && !t->of->finds_later) {
        t->counts.different++;
        if (t->difference_count == DIFFERENCES_MAX) return OK;
        struct bytes labels = arena_copy(&t->arena, buf_bytes(&t->labels));
        if (labels.at == NULL) return no_memory(t->of);
        t->differences[t->difference_count++] =
            (struct replay_difference){t_ms, labels, *stored, value};
        return OK;
    }
    if (stored != NULL) {
        t->counts.stored_before++;
        return OK;
    }
    t->counts.samples++;
    begin_series(t);
    if (h != NULL)
        rw_build_histogram(t->build, t_ms, 0, h);
    else
        rw_build_float(t->build, t_ms, value.bits, 0);
    return OK;
}

/* Ends the series. If another rule of its name has written it, it stays. */
static void
put_end(struct replay_part *t, int64_t t_ms)
{
    const struct replay_value *stored = stored_results_at(&t->stored, t_ms);
    if (stored == NULL) {
        begin_series(t);
        rw_build_float(t->build, t_ms, STALE_NAN_BITS, 0);
    } else if (!stored->is_histogram && stored->bits == STALE_NAN_BITS) {
        t->counts.stored_before++;
    }
}

static void
take_result(struct replay_part *t, int64_t t_ms, struct step_result result)
{
    int64_t since_ms = t_ms - sample_ms(t->of, t->a);
    assert(since_ms >= 0 && since_ms % t->interval_ms == 0); /* invariant 2 */
    assert(since_ms / t->interval_ms <= t->b - t->a);        /* invariant 2 */
    uint32_t i = (uint32_t)(since_ms / t->interval_ms);
    t->results[i] = result;
    t->series[i]++;
    t->has_results = true;
}

static enum err
begin_result(struct replay_part *t, struct bytes metric)
{
    buf_clear(&t->labels);
    relabelled_put(&t->labels, metric, t->rule->over, t->rule->over_count);
    memset(t->results, 0, (t->b - t->a + 1) * sizeof *t->results);
    t->has_results = false;
    return buf_error(&t->labels) ? no_memory(t->of) : OK;
}

/* Adds the current series to the message, if it has results. `result` has its histograms; NULL
 * without any. */
static enum err
put_series(struct replay_part *t, struct promql_result *result)
{
    struct bytes labels = buf_bytes(&t->labels);
    bool is_new;
    if (!t->has_results) return OK;
    enum err e = kept_series_add(&t->found, labels, &is_new);
    /* Duplicate labels may be at different times: smaller parts decide. */
    if (e == OK && !is_new) {
        return part_fails(t, "vector contains metrics with the same labelset after applying "
                             "rule labels");
    }
    bool is_last = t->results[t->b - t->a].kind != NO_RESULT;
    if (e == OK && is_last) e = kept_series_add(&t->last, labels, &is_new);
    assert(t->last.count <= t->found.count);
    if (e) return no_memory(t->of);
    if (t->of->is_dry) return OK;
    seek_series(t);
    /* Floats in order of time, with staleness markers between them. */
    bool was_there = kept_series_has(&t->rule->series, buf_bytes(&t->labels));
    for (uint32_t i = 0; e == OK && i <= t->b - t->a; i++) {
        const struct step_result *r = &t->results[i];
        int64_t t_ms = sample_ms(t->of, t->a + i);
        if (r->kind == FLOAT) e = put_sample(t, t_ms, (struct replay_value){.bits = r->bits}, NULL);
        if (r->kind == NO_RESULT && was_there) put_end(t, t_ms);
        was_there = r->kind != NO_RESULT;
    }
    struct promql_point point;
    struct histogram h;
    while (e == OK && result != NULL && promql_next_point(result, true, &point)) {
        if (fhist_stored(&t->arena, point.histogram, &h)) return no_memory(t->of);
        e = put_sample(t, point.t_ms, value_of_histogram(&h), &h);
    }
    bool is_large = rw_build_counts(t->build).bytes > MESSAGE_BYTES_MAX;
    return e == OK && is_large && t->a < t->b ? ERR_LIMIT : e;
}

/* --- the result of a part --------------------------------------------------------------------- */

/* Finds the results of each series. Floats come last, so that put_series() reads histograms from
 * the first one on. */
static enum err
put_result(struct replay_part *t, struct promql_result *result)
{
    struct bytes metric;
    struct promql_point point;
    enum err e = OK;
    while (e == OK && promql_next_series(result, &metric)) {
        e = begin_result(t, metric);
        if (e) return e;
        while (promql_next_point(result, true, &point))
            take_result(t, point.t_ms, (struct step_result){HISTOGRAM, 0});
        while (promql_next_point(result, false, &point))
            take_result(t, point.t_ms, (struct step_result){FLOAT, double_bits(point.value)});
        e = put_series(t, result);
    }
    return e;
}

/* --- evaluations of the store ----------------------------------------------------------------- */

enum err
replay_take_series(struct replay_part *t, struct bytes labels)
{
    enum err e = put_series(t, NULL);
    return e ? e : begin_result(t, labels);
}

enum err
replay_take_float(struct replay_part *t, int64_t t_ms, double value, struct why *why)
{
    int64_t since_ms = t_ms - sample_ms(t->of, t->a);
    if (since_ms < 0 || t_ms > sample_ms(t->of, t->b) || since_ms % t->interval_ms != 0)
        return why_set(why, ERR_IO, "the result has a sample at another time than asked for");
    take_result(t, t_ms, (struct step_result){FLOAT, double_bits(value)});
    return OK;
}

void
replay_take_note(struct replay_part *t, struct bytes sentence)
{
    static const char harmless[] = "PromQL ";
    struct why note;
    why_set(&note, OK, "%.*s", (int)sentence.size, (const char *)sentence.at);
    bool is_thinned = strstr(note.text, THINNED_WORDS) != NULL;
    if (is_thinned || strncmp(note.text, harmless, sizeof harmless - 1) != 0) t->approximate = note;
}

/* Reads stored samples first: most often there are no samples. */
static enum err
ask_part(struct replay_part *t)
{
    struct replay_stretch *s = t->of;
    struct rule_answer a = {.result = NULL};
    struct rules_past past = {s->ev.host, s->ev.terms, s->ev.g, s->ev.view};
    struct ask_times times = {.first_ms = sample_ms(s, t->a), .last_ms = sample_ms(s, t->b)};
    if (t->a < t->b) times.step_ms = t->interval_ms;
    enum err e = OK;
    if (!s->is_dry && !s->replay->overwrites) {
        e = stored_results_read(&t->stored, &past, t->rule->over, t->rule->over_count,
                                times.first_ms, times.last_ms, s->why);
    }
    if (e == OK) e = ask(&s->ev, t->rule->tree, &times, &a, &t->sentence, s->why);
    if (e == ERR_CANCELED && ask_failed(&s->ev, e, &t->sentence))
        e = ERR_LIMIT; /* the timeout expired */
    t->approximate.text[0] = '\0';
    bool is_thinned =
        e == OK && rule_answer_is_approximate(&a, &t->approximate) && thinned_to(&a.control) > 0;
    if (is_thinned && s->replay->evaluate != NULL) {
        t->approximate.text[0] = '\0';
        t->has_results = false;
        e = s->replay->evaluate(s->replay->context, t->rule->text->expression, times.first_ms,
                                times.last_ms, times.step_ms, t, &t->sentence, s->why);
        if (e == OK) e = put_series(t, NULL);
    } else if (e == OK)
        e = put_result(t, a.result);
    rule_answer_end(&a);
    if (e == OK && s->replay->is_exact && t->approximate.text[0] != '\0') {
        char time[TIME_TEXT_BYTES];
        e = why_set(
            t->of->why, ERR_UNSUPPORTED,
            "group '%s', rule '%s', %s: %s; use --allow-approximate, or a --start from which "
            "on results are exact: those of downsampled samples are only if interval and "
            "query_offset of the group put each evaluation at the end of a window",
            t->of->ev.g->text.name, t->rule->text->name,
            time_print(time_ns(t->of, t->a) / NS_PER_MS, time), t->approximate.text);
    }
    uint32_t limit = s->ev.g->text.limit;
    for (uint32_t i = 0; e == OK && limit > 0 && i <= t->b - t->a; i++) {
        char text[96];
        if (t->series[i] <= limit) continue;
        snprintf(text, sizeof text, "exceeded limit of %u with %u series", limit, t->series[i]);
        e = part_fails(t, text);
    }
    /* Marks series stale that the previous evaluation had, and none of these has. */
    const struct kept_series *before = &t->rule->series;
    for (uint32_t i = 0; e == OK && i < before->count; i++) {
        if (kept_series_has(&t->found, kept_series_at(before, i))) continue;
        buf_clear(&t->labels);
        buf_put_bytes(&t->labels, kept_series_at(before, i));
        if (buf_error(&t->labels)) return no_memory(s);
        seek_series(t);
        put_end(t, sample_ms(s, t->a));
    }
    return e;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
report_failure(const struct replay_part *t, uint32_t step, struct bytes sentence)
{
    const struct replay_stretch *s = t->of;
    const struct replay *r = s->replay;
    if (r->failed == NULL) return;
    r->failed(r->context, s->ev.g, t->rule->text, time_ns(s, step), sentence);
}

static void
exchange_series(struct group *g, struct rule_at_work *rule, struct kept_series *series)
{
    lock_take(&g->lock);
    struct kept_series before = rule->series;
    rule->series = *series;
    lock_drop(&g->lock);
    *series = before;
}

/* --- one rule --------------------------------------------------------------------------------- */

/* Tries evaluations from `a` to `b`. ERR_INPUT with a sentence, ERR_LIMIT: they have no result. */
static enum err
try_part(struct replay_part *t)
{
    struct replay_stretch *s = t->of;
    struct budget *memory = s->ev.host->memory;
    uint32_t steps = t->b - t->a + 1;
    arena_init(&t->arena, memory, ARENA_BYTES_MAX, 0);
    t->stored = (struct stored_results){.ends = NULL};
    kept_series_init(&t->stored.series, memory, s->ev.host->seed);
    kept_series_init(&t->found, memory, s->ev.host->seed);
    kept_series_init(&t->last, s->ev.g->memory, s->ev.g->seed);
    buf_clear(&t->sentence);
    t->counts = (struct replay_counts){0};
    t->difference_count = 0;
    t->build = NULL;
    t->series = arena_new(&t->arena, steps * sizeof *t->series);
    t->results = arena_new(&t->arena, steps * sizeof *t->results);
    enum err e = t->series == NULL || t->results == NULL ? ERR_NOMEM : OK;
    if (e == OK) e = rw_build_new(RW_V1, memory, &t->build);
    if (e) e = no_memory(s);
    if (e == OK) e = ask_part(t);
    struct rules_written written = {.rejected = 0};
    if (e == OK) e = write_durably(s->ev.host, s->ev.g->tenant, t->build, &written, s->why);
    if (e == OK && written.rejected > 0) {
        uint64_t *samples = &t->counts.samples;
        t->counts.rejected = written.rejected;
        *samples -= written.rejected < *samples ? written.rejected : *samples;
        report_failure(t, t->b, bytes_of_text(written.text));
    }
    if (e == OK) {
        /* Takes over the counts of a written part; the next one begins after it. */
        const struct replay *r = t->of->replay;
        struct replay_counts *all = t->of->counts;
        assert(!t->of->is_dry || t->counts.samples == 0); /* invariant 3 */
        assert(t->difference_count <= DIFFERENCES_MAX);
        all->samples += t->counts.samples;
        all->stored_before += t->counts.stored_before;
        all->different += t->counts.different;
        all->rejected += t->counts.rejected;
        for (uint32_t i = 0; r->differs != NULL && i < t->difference_count; i++)
            r->differs(r->context, t->of->ev.g, t->rule->text, &t->differences[i]);
        exchange_series(t->of->ev.g, t->rule, &t->last);
    }
    rw_build_free(t->build);
    kept_series_fini(&t->last);
    kept_series_fini(&t->found);
    array_free(memory, t->stored.ends, t->stored.end_capacity);
    array_free(memory, t->stored.samples, t->stored.capacity);
    kept_series_fini(&t->stored.series);
    arena_fini(&t->arena);
    return e;
}

/* Says whether an error concerns the evaluations themselves. */
static bool
is_of_rule(const struct replay_part *t, enum err e)
{
    return e == ERR_LIMIT || (e == ERR_INPUT && t->sentence.size > 0);
}

static enum err
replay_rule(struct replay_stretch *s, struct rule_at_work *rule)
{
    struct replay_part t = {.of = s, .rule = rule};
    t.interval_ms = s->ev.g->schedule.interval_ns / NS_PER_MS;
    uint32_t count = (uint32_t)(s->last - s->first) + 1;
    uint32_t most = promql_asks_for_range(rule->tree) ? 1 : count, at_once = most;
    enum err e = OK;
    buf_init(&t.labels, s->ev.host->memory, RULE_FILE_BYTES_MAX);
    buf_init(&t.sentence, s->ev.host->memory, RULE_ERROR_BYTES_MAX);
    for (t.a = 0; e == OK && t.a < count;) {
        t.b = t.a + (at_once < count - t.a ? at_once : count - t.a) - 1;
        assert(t.a <= t.b && t.b < count); /* invariant 1 */
        e = try_part(&t);
        uint32_t steps = t.b - t.a + 1;
        if (e == OK) {
            t.a += steps;
            at_once = steps < most / 2 ? steps * 2 : most;
        } else if (steps > 1 && (is_of_rule(&t, e) || e == ERR_NOMEM || e == ERR_UNSUPPORTED)) {
            at_once = steps / 2;
            if (e != ERR_INPUT) most = at_once; /* this many evaluations at once exceed a limit */
            e = OK;
        } else if (is_of_rule(&t, e)) {
            /* The series of the rule's last success stay current, as after group_evaluate(). */
            struct bytes sentence = buf_bytes(&t.sentence);
            s->counts->failed++;
            report_failure(&t, t.a, sentence.size > 0 ? sentence : bytes_of_text(s->why->text));
            t.a++;
            e = OK;
        }
    }
    buf_fini(&t.labels);
    buf_fini(&t.sentence);
    return e;
}

/* --- a stretch -------------------------------------------------------------------------------- */

/* Makes evaluations that follow each other at once. Rules of a batch do not read each other, and
 * write other names: they have one view. */
static enum err
replay_rules(struct replay_stretch *s)
{
    struct group *g = s->ev.g;
    const struct rules_terms *terms = s->ev.terms;
    struct query_control control;
    const struct rule_at_work *before = NULL;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_RECORDING) continue;
        if (before == NULL || rule->batch != before->batch) {
            view_free(s->ev.view);
            s->ev.view = NULL;
            ask_control(&s->ev, s->ev.host->memory, &control);
            e = terms->open(terms->open_context, &control, &s->ev.view, s->why);
        }
        if (e == OK) e = replay_rule(s, rule);
        before = rule;
    }
    view_free(s->ev.view);
    g->series_slot = e == OK ? s->last : -1;
    return e;
}

enum err
group_series_at(const struct rules_past *past, int64_t slot, struct why *why)
{
    struct group *g = past->group;
    struct replay replay = {.host = past->host, .terms = past->terms};
    struct replay_counts counts = {0};
    struct replay_stretch s = {
        .replay = &replay,
        .ev = {.g = g, .host = past->host, .terms = past->terms},
        .first = slot,
        .last = slot,
        .is_dry = true,
        .dry_ns = g->before_ns != 0 ? g->before_ns : schedule_time_ns(&g->schedule, slot),
        .counts = &counts,
        .why = why,
    };
    for (uint32_t i = 0; i < g->text.rule_count; i++) { /* a rule that fails has no series */
        struct kept_series none;
        if (g->rules[i].text->kind != RULE_RECORDING) continue;
        kept_series_init(&none, g->memory, g->seed);
        exchange_series(g, &g->rules[i], &none);
        kept_series_fini(&none);
    }
    enum err e = replay_rules(&s);
    if (e == OK) g->before_ns = 0;
    return e;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Returns the first slot at or after a time. */
static int64_t
first_slot(const struct schedule *schedule, int64_t min_ns)
{
    int64_t slot = schedule_slot(schedule, min_ns);
    return schedule_time_ns(schedule, slot) < min_ns ? slot + 1 : slot;
}

struct replay_from
replay_from(struct group *g, int64_t min_ns)
{
    return (struct replay_from){g, first_slot(&g->schedule, min_ns)};
}

static bool
is_left(const struct replay_from *it, int64_t max_ns)
{
    return it->group->records && schedule_time_ns(&it->group->schedule, it->next) <= max_ns;
}

/* Makes the next evaluations: as many as can be made at once, or one. */
static enum err
replay_next(const struct replay *replay, struct replay_from *it, bool is_together, int64_t max_ns,
            struct replay_counts *counts, struct why *why)
{
    struct group *g = it->group;
    bool one_by_one = is_together || g->reads_back;
    int64_t last = schedule_slot(&g->schedule, max_ns);
    struct replay_stretch s = {
        .replay = replay,
        .ev = {.g = g, .host = replay->host, .terms = replay->terms},
        .first = it->next,
        .last = it->next + (one_by_one ? 1 : STEPS_MAX) - 1,
        .finds_later = one_by_one,
        .counts = counts,
        .why = why,
    };
    if (s.last > last) s.last = last;
    assert(s.first <= s.last); /* the caller knows that some are left */
    struct rules_past past = {replay->host, replay->terms, g, NULL};
    enum err e = g->series_slot == s.first - 1 ? OK : group_series_at(&past, s.first - 1, why);
    if (e == OK) e = replay_rules(&s);
    if (e) return e;
    assert(g->series_slot == s.last); /* invariant 4 */
    counts->made += (uint64_t)(s.last - s.first) + 1;
    it->next = s.last + 1;
    return OK;
}

enum err
replay_group(const struct replay *replay, struct replay_from *it, int64_t max_ns,
             struct replay_counts *counts, struct why *why)
{
    enum err e = OK;
    while (e == OK && is_left(it, max_ns))
        e = replay_next(replay, it, false, max_ns, counts, why);
    return e;
}

enum err
replay_together(const struct replay *replay, struct replay_from *items, uint32_t count,
                int64_t max_ns, struct replay_counts *counts, struct why *why)
{
    for (;;) {
        struct replay_from *first = NULL; /* the group that is next in time */
        int64_t first_ns = INT64_MAX;
        for (uint32_t i = 0; i < count; i++) {
            if (!is_left(&items[i], max_ns)) continue;
            int64_t at_ns = schedule_time_ns(&items[i].group->schedule, items[i].next);
            if (at_ns >= first_ns) continue;
            first = &items[i];
            first_ns = at_ns;
        }
        enum err e = first == NULL ? OK : replay_next(replay, first, true, max_ns, counts, why);
        if (e || first == NULL) return e;
    }
}

enum err
replay_all(const struct replay *replay, struct replay_from *items, uint32_t count, int64_t max_ns,
           struct replay_counts *counts, struct why *why)
{
    struct budget *memory = replay->host->memory;
    size_t bytes = (count + 1) * sizeof(struct group *);
    size_t round_bytes = (count + 1) * sizeof(uint32_t);
    struct group **groups = mem_new(memory, bytes);
    uint32_t *rounds = mem_new(memory, round_bytes), round_count = 0;
    enum err e = groups == NULL || rounds == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        groups[i] = items[i].group;
        if (!groups[i]->records) items[i].next = schedule_slot(&groups[i]->schedule, max_ns) + 1;
    }
    if (e == OK) e = replay_rounds(groups, count, rounds, &round_count);
    if (e) e = why_set(why, e, "not enough memory for groups of rules");
    for (uint32_t round = 0; e == OK && round < round_count; round++) {
        for (uint32_t i = 0; e == OK && i < count; i++)
            if (rounds[i] == round) e = replay_group(replay, &items[i], max_ns, counts, why);
    }
    mem_free(memory, groups, bytes);
    mem_free(memory, rounds, round_bytes);
    /* Groups with a round have no evaluations left. */
    return e ? e : replay_together(replay, items, count, max_ns, counts, why);
}

/* --- recorded evaluations --------------------------------------------------------------------- */

/* Says whether the rule records, and sets no labels but a name without characters of regular
 * expressions. */
static bool
is_plain(const struct rule_at_work *rule)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:";
    const char *name = rule->text->name;
    return rule->text->kind == RULE_RECORDING && rule->over_count == 1 &&
           name[strspn(name, plain)] == '\0';
}

/* All plain rules have one selector, the others one each. */
uint32_t
replay_recorded(const struct group *g, struct buf *to)
{
    uint32_t plain = 0, others = 0;
    for (uint32_t i = 0; i < g->text.rule_count; i++)
        if (is_plain(&g->rules[i]))
            buf_printf(to, "%s%s", plain++ == 0 ? "{__name__=~\"" : "|", g->rules[i].text->name);
    if (plain > 0) buf_put(to, "\"}", sizeof "\"}");
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        const struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_RECORDING || is_plain(rule)) continue;
        labels_print_selector(to, rule->writes[0]);
        buf_put_u8(to, '\0');
        others++;
    }
    return (plain > 0) + others;
}

bool
replay_times(const struct group *g, int64_t min_ns, int64_t max_ns, int64_t *ret_min_ms,
             int64_t *ret_max_ms)
{
    const struct schedule *schedule = &g->schedule;
    int64_t first = first_slot(schedule, min_ns), last = schedule_slot(schedule, max_ns);
    *ret_min_ms = schedule_time_ns(schedule, first) / NS_PER_MS - g->query_offset_ms;
    *ret_max_ms = schedule_time_ns(schedule, last) / NS_PER_MS - g->query_offset_ms;
    return first <= last;
}
