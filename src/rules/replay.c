/*
 * replay.c - see replay.h.
 *
 * A group is replayed in stretches of evaluations, a stretch batch after batch of its rules, and
 * each rule in parts: as many evaluations as have a result together. A part asks twice, what is
 * stored and what the expression gives, compares the two, and writes one message of what is new.
 *
 * group.reads_back and replay_rounds() see to it that a rule finds all that was recorded before an
 * evaluation, and nothing that is recorded after it.
 *
 * group_series_at() is a dry run: a stretch of one evaluation that compares and writes nothing.
 */
#include "rules/replay.h"

#include <stdio.h>

#include "rules/evaluate_private.h"
#include "rules/relabelled.h"
#include "rules/stored_results.h"
#include "sys/env.h"
#include "wire/number.h"

enum {
    STEPS_MAX = 4096,            /* evaluations that are made at once */
    MESSAGE_BYTES_MAX = 4 << 20, /* of several evaluations; one alone may have more */
    ARENA_BYTES_MAX = 1 << 30,
    DIFFERENCES_MAX = 16, /* of a part, that are reported */
};

/* Evaluations of a group that are made at once: from slot `first` to `last`. */
struct stretch {
    const struct replay *replay;
    struct evaluating ev;
    int64_t first, last;
    bool is_dry;      /* only which series the rules have is wanted */
    bool finds_later; /* if the stretch is repeated: what was recorded after it */
    struct replay_counts *counts;
    struct why *why;
};

/* One rule, at evaluations from `a` to `b`, counted from the first of the stretch. What is counted
 * and kept here counts once the part is written. */
struct part {
    struct stretch *of;
    struct rule_at_work *rule;
    uint32_t a, b;
    struct arena arena;
    struct rw_build *build;
    struct stored_results stored; /* under the rule's name and labels, at the part's times */
    struct kept_series found;     /* series that have a result at any of the evaluations, */
    struct kept_series last;      /* and at the last one */
    uint32_t *series;             /* number of them at each evaluation */
    struct buf labels;            /* of the current series, */
    struct stored_run run;        /* what is stored of it, */
    bool *there;                  /* at which of the evaluations it has a result, */
    bool is_begun;                /* and whether it is in the message */
    struct buf sentence;          /* why there is no result */
    struct replay_counts counts;
    struct replay_difference differences[DIFFERENCES_MAX];
    uint32_t difference_count;
};

static enum err
no_memory(const struct stretch *s)
{
    return why_set(s->why, ERR_NOMEM, "not enough memory for the rule");
}

static enum err
part_fails(struct part *t, const char *sentence)
{
    buf_clear(&t->sentence);
    buf_put_cut(&t->sentence, bytes_of_text(sentence));
    return ERR_INPUT;
}

/* --- times ------------------------------------------------------------------------------------ */

static int64_t
time_ns(const struct stretch *s, uint32_t step)
{
    return schedule_time_ns(&s->ev.g->schedule, s->first + step);
}

static int64_t
sample_ms(const struct stretch *s, uint32_t step)
{
    return time_ns(s, step) / NS_PER_MS - s->ev.g->query_offset_ms;
}

static int64_t
interval_ms(const struct stretch *s)
{
    return s->ev.g->schedule.interval_ns / NS_PER_MS;
}

/* Counted from the first of the part. */
static uint32_t
index_of(const struct part *t, int64_t t_ms)
{
    return (uint32_t)((t_ms - sample_ms(t->of, t->a)) / interval_ms(t->of));
}

/* --- one series of a result ------------------------------------------------------------------- */

static enum err
note_difference(struct part *t, int64_t t_ms, const struct replay_value *stored,
                struct replay_value computed)
{
    t->counts.different++;
    if (t->difference_count == DIFFERENCES_MAX) return OK;
    struct bytes labels = arena_copy(&t->arena, buf_bytes(&t->labels));
    if (labels.at == NULL) return no_memory(t->of);
    t->differences[t->difference_count++] =
        (struct replay_difference){t_ms, labels, *stored, computed};
    return OK;
}

/* Compares a result with what is stored at its time. *ret_new: nothing is. If a repeated evaluation
 * may find what was recorded after it, a difference says nothing. */
static enum err
judge(struct part *t, int64_t t_ms, struct replay_value computed, bool *ret_new)
{
    const struct replay_value *stored = stored_run_find(&t->run, t_ms);
    *ret_new = stored == NULL;
    if (stored == NULL) {
        t->counts.samples++;
    } else if (t->of->finds_later ||
               (stored->is_histogram == computed.is_histogram && stored->bits == computed.bits)) {
        t->counts.stored_before++;
    } else {
        return note_difference(t, t_ms, stored, computed);
    }
    return OK;
}

/* A series without new samples is not in the message. */
static void
begin_series(struct part *t)
{
    if (!t->is_begun) rw_build_series(t->build, buf_bytes(&t->labels));
    t->is_begun = true;
}

static void
put_float(struct part *t, int64_t t_ms, uint64_t bits)
{
    begin_series(t);
    rw_build_float(t->build, t_ms, bits, 0);
}

/* The series has ended. Another rule of its name may have written it: that stays. */
static void
put_end(struct part *t, int64_t t_ms)
{
    const struct replay_value *stored = stored_run_find(&t->run, t_ms);
    if (stored == NULL)
        put_float(t, t_ms, STALE_NAN_BITS);
    else if (!stored->is_histogram && stored->bits == STALE_NAN_BITS)
        t->counts.stored_before++;
}

/* Marks the series stale where it ends, from one evaluation to before another one. */
static void
put_ends(struct part *t, uint32_t *next, uint32_t end, bool *was_there)
{
    for (; *next < end; ++*next) {
        if (*was_there && !t->there[*next]) put_end(t, sample_ms(t->of, t->a + *next));
        *was_there = t->there[*next];
    }
}

/* Floats are in the message in order of time, with staleness markers between them. */
static enum err
put_floats(struct part *t, struct promql_result *result)
{
    struct promql_point point;
    bool was_there = kept_series_has(&t->rule->series, buf_bytes(&t->labels)), is_new;
    uint32_t next = 0;
    while (promql_next_point(result, false, &point)) {
        uint64_t bits = double_bits(point.value);
        put_ends(t, &next, index_of(t, point.t_ms), &was_there);
        enum err e = judge(t, point.t_ms, (struct replay_value){.bits = bits}, &is_new);
        if (e) return e;
        if (is_new) put_float(t, point.t_ms, bits);
    }
    put_ends(t, &next, t->b - t->a + 1, &was_there);
    return OK;
}

/* They are in the message apart. */
static enum err
put_histograms(struct part *t, struct promql_result *result)
{
    struct promql_point point;
    struct histogram h;
    bool is_new;
    while (promql_next_point(result, true, &point)) {
        if (fhist_stored(&t->arena, point.histogram, &h)) return no_memory(t->of);
        enum err e = judge(t, point.t_ms, value_of_histogram(&h), &is_new);
        if (e) return e;
        if (!is_new) continue;
        begin_series(t);
        rw_build_histogram(t->build, point.t_ms, 0, &h);
    }
    return OK;
}

/* Notes at which evaluations the series has a result. False: at none. */
static bool
find_points(struct part *t, struct promql_result *result)
{
    struct promql_point point;
    bool any = false;
    memset(t->there, 0, (t->b - t->a + 1) * sizeof *t->there);
    for (int histograms = 0; histograms < 2; histograms++) {
        while (promql_next_point(result, histograms != 0, &point)) {
            uint32_t i = index_of(t, point.t_ms);
            t->there[i] = any = true;
            t->series[i]++;
        }
    }
    return any;
}

/* Adds the current series to the message. */
static enum err
put_series(struct part *t, struct promql_result *result)
{
    struct bytes labels = buf_bytes(&t->labels);
    bool is_new;
    if (!find_points(t, result)) return OK;
    enum err e = kept_series_add(&t->found, labels, &is_new);
    /* If not at one time, then at several that are looked at alone. */
    if (e == OK && !is_new) {
        return part_fails(t, "vector contains metrics with the same labelset after applying "
                             "rule labels");
    }
    if (e == OK && t->there[t->b - t->a]) e = kept_series_add(&t->last, labels, &is_new);
    if (e) return no_memory(t->of);
    if (t->of->is_dry) return OK;
    t->run = stored_results_of(&t->stored, labels);
    t->is_begun = false;
    e = put_floats(t, result);
    return e ? e : put_histograms(t, result);
}

/* --- the result of a part --------------------------------------------------------------------- */

/* Marks series stale that the evaluation before had, and none of these has. */
static enum err
put_ended(struct part *t)
{
    const struct kept_series *past = &t->rule->series;
    for (uint32_t i = 0; i < past->count; i++) {
        if (kept_series_has(&t->found, kept_series_at(past, i))) continue;
        buf_clear(&t->labels);
        buf_put_bytes(&t->labels, kept_series_at(past, i));
        if (buf_error(&t->labels)) return no_memory(t->of);
        t->run = stored_results_of(&t->stored, buf_bytes(&t->labels));
        t->is_begun = false;
        put_end(t, sample_ms(t->of, t->a));
    }
    return OK;
}

static enum err
check_limit(struct part *t)
{
    uint32_t limit = t->of->ev.g->text.limit;
    for (uint32_t i = 0; limit > 0 && i <= t->b - t->a; i++) {
        char text[96];
        if (t->series[i] <= limit) continue;
        snprintf(text, sizeof text, "exceeded limit of %u with %u series", limit, t->series[i]);
        return part_fails(t, text);
    }
    return OK;
}

static enum err
put_result(struct part *t, struct promql_result *result)
{
    struct bytes metric;
    uint32_t over_count;
    struct label *over = record_labels(t->rule, &t->arena, &over_count);
    enum err e = over == NULL ? no_memory(t->of) : OK;
    while (e == OK && promql_next_series(result, &metric)) {
        buf_clear(&t->labels);
        relabelled_put(&t->labels, metric, over, over_count);
        if (buf_error(&t->labels)) return no_memory(t->of);
        e = put_series(t, result);
        bool is_large = rw_build_counts(t->build).bytes > MESSAGE_BYTES_MAX;
        if (e == OK && is_large && t->a < t->b) e = ERR_LIMIT;
    }
    if (e == OK) e = check_limit(t);
    return e ? e : put_ended(t);
}

/* Reads what is stored first: mostly that is nothing. */
static enum err
ask_part(struct part *t)
{
    struct stretch *s = t->of;
    struct asked a = {.result = NULL};
    struct rules_past past = {s->ev.host, s->ev.terms, s->ev.g, s->ev.view};
    struct ask_times times = {.first_ms = sample_ms(s, t->a), .last_ms = sample_ms(s, t->b)};
    if (t->a < t->b) times.step_ms = interval_ms(s);
    enum err e = OK;
    if (!s->is_dry)
        e = stored_results_read(&t->stored, &past, t->rule, times.first_ms, times.last_ms, s->why);
    if (e == OK) e = ask(&s->ev, t->rule->tree, &times, &a, &t->sentence, s->why);
    if (e == ERR_CANCELED && ask_failed(&s->ev, e, &t->sentence)) e = ERR_LIMIT; /* too slow */
    if (e == OK) e = put_result(t, a.result);
    asked_end(&a);
    return e;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
report_failure(const struct part *t, uint32_t step, struct bytes sentence)
{
    const struct stretch *s = t->of;
    const struct replay *r = s->replay;
    if (r->failed == NULL) return;
    r->failed(r->context, s->ev.g, t->rule->text, time_ns(s, step), sentence);
}

static enum err
write_part(struct part *t)
{
    struct stretch *s = t->of;
    struct rules_written written;
    enum err e = write_durably(s->ev.host, s->ev.g->tenant, t->build, &written, s->why);
    if (e || written.rejected == 0) return e;
    uint64_t *samples = &t->counts.samples;
    t->counts.rejected = written.rejected;
    *samples -= written.rejected < *samples ? written.rejected : *samples;
    report_failure(t, t->b, bytes_of_text(written.text));
    return OK;
}

/* The part is written: it counts, and the next one begins after it. */
static void
settle_part(struct part *t)
{
    const struct replay *r = t->of->replay;
    struct replay_counts *all = t->of->counts;
    all->samples += t->counts.samples;
    all->stored_before += t->counts.stored_before;
    all->different += t->counts.different;
    all->rejected += t->counts.rejected;
    for (uint32_t i = 0; r->differs != NULL && i < t->difference_count; i++) {
        r->differs(r->context, t->of->ev.g, t->rule->text, &t->differences[i]);
    }
    struct group *g = t->of->ev.g;
    lock_take(&g->lock);
    struct kept_series before = t->rule->series;
    t->rule->series = t->last;
    lock_drop(&g->lock);
    t->last = before;
}

/* --- one rule --------------------------------------------------------------------------------- */

/* One try of evaluations from `a` to `b`. ERR_INPUT with a sentence, ERR_LIMIT: they have no
 * result. */
static enum err
try_part(struct part *t)
{
    struct stretch *s = t->of;
    struct budget *memory = s->ev.host->memory;
    uint32_t steps = t->b - t->a + 1;
    arena_init(&t->arena, memory, ARENA_BYTES_MAX, 0);
    stored_results_init(&t->stored, memory, s->ev.host->seed);
    kept_series_init(&t->found, memory, s->ev.host->seed);
    kept_series_init(&t->last, s->ev.g->memory, s->ev.g->seed);
    buf_clear(&t->sentence);
    t->counts = (struct replay_counts){0};
    t->difference_count = 0;
    t->build = NULL;
    t->series = mem_new(memory, steps * sizeof *t->series);
    t->there = mem_new(memory, steps * sizeof *t->there);
    enum err e = t->series == NULL || t->there == NULL ? ERR_NOMEM : OK;
    if (e == OK) e = rw_build_new(RW_V1, memory, &t->build);
    if (e) e = no_memory(s);
    if (e == OK) e = ask_part(t);
    if (e == OK) e = write_part(t);
    if (e == OK) settle_part(t);
    rw_build_free(t->build);
    mem_free(memory, t->series, steps * sizeof *t->series);
    mem_free(memory, t->there, steps * sizeof *t->there);
    kept_series_fini(&t->last);
    kept_series_fini(&t->found);
    stored_results_fini(&t->stored);
    arena_fini(&t->arena);
    return e;
}

/* As after group_evaluate(): what the rule wrote last is what it is taken to have written. */
static void
fail_step(struct part *t)
{
    struct bytes sentence = buf_bytes(&t->sentence);
    t->of->counts->failed++;
    report_failure(t, t->a, sentence.size > 0 ? sentence : bytes_of_text(t->of->why->text));
}

/* Says whether an error is one of the evaluations themselves. */
static bool
is_of_rule(const struct part *t, enum err e)
{
    return e == ERR_LIMIT || (e == ERR_INPUT && t->sentence.size > 0);
}

static enum err
replay_rule(struct stretch *s, struct rule_at_work *rule)
{
    struct part t = {.of = s, .rule = rule};
    uint32_t count = (uint32_t)(s->last - s->first) + 1;
    uint32_t most = promql_asks_for_range(rule->tree) ? 1 : count, at_once = most;
    enum err e = OK;
    buf_init(&t.labels, s->ev.host->memory, RULE_FILE_BYTES_MAX);
    buf_init(&t.sentence, s->ev.host->memory, RULE_ERROR_BYTES_MAX);
    for (t.a = 0; e == OK && t.a < count;) {
        t.b = t.a + (at_once < count - t.a ? at_once : count - t.a) - 1;
        e = try_part(&t);
        uint32_t steps = t.b - t.a + 1;
        if (e == OK) {
            t.a += steps;
            at_once = steps < most / 2 ? steps * 2 : most;
        } else if (steps > 1 && (is_of_rule(&t, e) || e == ERR_NOMEM)) {
            at_once = steps / 2;
            if (e != ERR_INPUT) most = at_once; /* so many are too large */
            e = OK;
        } else if (is_of_rule(&t, e)) {
            fail_step(&t);
            t.a++;
            e = OK;
        }
    }
    buf_fini(&t.labels);
    buf_fini(&t.sentence);
    return e;
}

/* --- a stretch -------------------------------------------------------------------------------- */

/* Rules of a batch do not read each other, and write other names: they have one view. */
static enum err
replay_batch(struct stretch *s, uint32_t first, uint32_t next)
{
    const struct group *g = s->ev.g;
    const struct rules_terms *terms = s->ev.terms;
    struct query_control control;
    ask_control(&s->ev, s->ev.host->memory, &control);
    enum err e = terms->open(terms->open_context, &control, &s->ev.view, s->why);
    if (e) return e;
    for (uint32_t i = first; e == OK && i < next; i++) {
        if (g->rules[i].text->kind == RULE_RECORDING) e = replay_rule(s, &g->rules[i]);
    }
    view_free(s->ev.view);
    return e;
}

/* Evaluations that follow each other, and are made at once. */
static enum err
replay_stretch(struct stretch *s)
{
    struct group *g = s->ev.g;
    struct rules_past past = {s->ev.host, s->ev.terms, g, NULL};
    enum err e = OK;
    if (!s->is_dry && g->series_slot != s->first - 1)
        e = group_series_at(&past, s->first - 1, s->why);
    for (uint32_t i = 0, next; e == OK && i < g->text.rule_count; i = next) {
        for (next = i + 1; next < g->text.rule_count && g->rules[next].batch == g->rules[i].batch;)
            next++;
        e = replay_batch(s, i, next);
    }
    if (e == OK) s->counts->made += (uint64_t)(s->last - s->first) + 1;
    g->series_slot = e == OK ? s->last : -1;
    return e;
}

/* A rule that fails has none. */
static void
forget_series(struct group *g)
{
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_RECORDING) continue;
        lock_take(&g->lock);
        struct kept_series before = rule->series;
        kept_series_init(&rule->series, g->memory, g->seed);
        lock_drop(&g->lock);
        kept_series_fini(&before);
    }
}

enum err
group_series_at(const struct rules_past *past, int64_t slot, struct why *why)
{
    struct replay replay = {.host = past->host, .terms = past->terms};
    struct replay_counts counts = {0};
    struct stretch s = {
        .replay = &replay,
        .ev = {.g = past->group, .host = past->host, .terms = past->terms},
        .first = slot,
        .last = slot,
        .is_dry = true,
        .counts = &counts,
        .why = why,
    };
    forget_series(past->group);
    return replay_stretch(&s);
}

/* --- groups ----------------------------------------------------------------------------------- */

/* At or after a time. */
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

/* The next evaluations: as many as can be made at once, or one. */
static enum err
replay_next(const struct replay *replay, struct replay_from *it, bool is_together, int64_t max_ns,
            struct replay_counts *counts, struct why *why)
{
    struct group *g = it->group;
    bool one_by_one = is_together || g->reads_back;
    int64_t last = schedule_slot(&g->schedule, max_ns);
    struct stretch s = {
        .replay = replay,
        .ev = {.g = g, .host = replay->host, .terms = replay->terms},
        .first = it->next,
        .last = it->next + (one_by_one ? 1 : STEPS_MAX) - 1,
        .finds_later = one_by_one,
        .counts = counts,
        .why = why,
    };
    if (s.last > last) s.last = last;
    enum err e = replay_stretch(&s);
    if (e == OK) it->next = s.last + 1;
    return e;
}

enum err
replay_group(const struct replay *replay, struct replay_from *it, int64_t max_ns,
             struct replay_counts *counts, struct why *why)
{
    enum err e = OK;
    while (e == OK && is_left(it, max_ns)) {
        e = replay_next(replay, it, false, max_ns, counts, why);
    }
    return e;
}

/* The one that is next in time, of those whose round is the last one; `rounds` NULL: of all. NULL:
 * nothing is left. */
static struct replay_from *
earliest(struct replay_from *items, const uint32_t *rounds, uint32_t count, int64_t max_ns)
{
    struct replay_from *first = NULL;
    int64_t first_ns = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (rounds != NULL && rounds[i] != REPLAY_TOGETHER) continue;
        if (!is_left(&items[i], max_ns)) continue;
        int64_t at_ns = schedule_time_ns(&items[i].group->schedule, items[i].next);
        if (at_ns >= first_ns) continue;
        first = &items[i];
        first_ns = at_ns;
    }
    return first;
}

static enum err
replay_in_time(const struct replay *replay, struct replay_from *items, const uint32_t *rounds,
               uint32_t count, int64_t max_ns, struct replay_counts *counts, struct why *why)
{
    struct replay_from *it;
    enum err e = OK;
    while (e == OK && (it = earliest(items, rounds, count, max_ns)) != NULL) {
        e = replay_next(replay, it, true, max_ns, counts, why);
    }
    return e;
}

enum err
replay_together(const struct replay *replay, struct replay_from *items, uint32_t count,
                int64_t max_ns, struct replay_counts *counts, struct why *why)
{
    return replay_in_time(replay, items, NULL, count, max_ns, counts, why);
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
        for (uint32_t i = 0; e == OK && i < count; i++) {
            if (rounds[i] == round) e = replay_group(replay, &items[i], max_ns, counts, why);
        }
    }
    if (e == OK) e = replay_in_time(replay, items, rounds, count, max_ns, counts, why);
    mem_free(memory, groups, bytes);
    mem_free(memory, rounds, round_bytes);
    return e;
}

/* --- what was recorded ------------------------------------------------------------------------ */

static void
put_selector(const struct group *g, const struct rule_at_work *rule, struct buf *to)
{
    struct arena arena;
    struct buf labels;
    uint32_t count;
    arena_init(&arena, g->memory, ARENA_BYTES_MAX, 0);
    buf_init(&labels, g->memory, RULE_FILE_BYTES_MAX);
    struct label *over = record_labels(rule, &arena, &count);
    if (over != NULL) relabelled_put(&labels, (struct bytes){NULL, 0}, over, count);
    if (over == NULL || buf_error(&labels))
        to->failed = ERR_NOMEM;
    else
        labels_print_selector(to, buf_bytes(&labels));
    buf_fini(&labels);
    arena_fini(&arena);
}

bool
replay_recorded_at(const struct group *g, uint32_t index, int64_t min_ns, int64_t max_ns,
                   struct buf *to, struct replay_recorded *ret)
{
    const struct schedule *schedule = &g->schedule;
    int64_t first = first_slot(schedule, min_ns), last = schedule_slot(schedule, max_ns);
    if (index >= g->text.rule_count) return false;
    *ret = (struct replay_recorded){0, -1};
    if (g->rules[index].text->kind != RULE_RECORDING || first > last) return true;
    put_selector(g, &g->rules[index], to);
    ret->min_ms = schedule_time_ns(schedule, first) / NS_PER_MS - g->query_offset_ms;
    ret->max_ms = schedule_time_ns(schedule, last) / NS_PER_MS - g->query_offset_ms;
    return true;
}
