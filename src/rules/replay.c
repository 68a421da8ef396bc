/* replay.c - see replay.h. */
#include "rules/replay.h"

#include <stdio.h>

#include "base/array.h"
#include "rules/evaluate_private.h"
#include "rules/relabelled.h"
#include "sys/env.h"
#include "wire/number.h"

enum {
    STEPS_MAX = 4096,            /* evaluations that are made at once */
    MESSAGE_BYTES_MAX = 4 << 20, /* of several evaluations; one alone may have more */
    ARENA_BYTES_MAX = 1 << 30,
    BITS = 64,
};

/* At which of the evaluations at hand a rule had which series. */
struct presence {
    struct kept_series series;
    uint64_t *bits; /* `words` for each series */
    uint32_t capacity;
};

/* Evaluations of a group that are made at once: from slot `first` to `last`. */
struct stretch {
    const struct replay *replay;
    struct evaluating ev;
    int64_t first, last;
    uint32_t words;             /* for a bit of each */
    struct presence *presences; /* of each rule */
    uint64_t *unmade; /* bits of those that met a limit: with another one they are made again */
    struct replay_counts *counts;
    struct why *why;
};

/* One rule, at evaluations from `a` to `b`, counted from the first of the stretch. */
struct part {
    struct stretch *of;
    struct rule_at_work *rule;
    struct presence *presence;
    uint32_t a, b;
    struct arena arena;
    struct rw_build *build;
    struct buf labels;
    struct buf sentence; /* why there is no result */
    uint32_t *counts;    /* series at each evaluation; NULL: there is no limit */
    uint64_t samples;
};

static enum err
no_memory(const struct stretch *s)
{
    return why_set(s->why, ERR_NOMEM, "not enough memory for the rule");
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

/* --- presence --------------------------------------------------------------------------------- */

static bool
has_bit(const struct stretch *s, const struct presence *p, uint32_t series, uint32_t step)
{
    return (p->bits[(size_t)series * s->words + step / BITS] >> step % BITS & 1) != 0;
}

static void
set_bit(const struct stretch *s, struct presence *p, uint32_t series, uint32_t step)
{
    p->bits[(size_t)series * s->words + step / BITS] |= (uint64_t)1 << step % BITS;
}

static void
clear_bits(const struct part *t)
{
    const struct stretch *s = t->of;
    for (uint32_t i = 0; i < t->presence->series.count; i++) {
        for (uint32_t step = t->a; step <= t->b; step++) {
            t->presence->bits[(size_t)i * s->words + step / BITS] &= ~((uint64_t)1 << step % BITS);
        }
    }
}

static bool
has_any_bit(const struct part *t, uint32_t series)
{
    for (uint32_t step = t->a; step <= t->b; step++) {
        if (has_bit(t->of, t->presence, series, step)) return true;
    }
    return false;
}

static enum err
presence_add(const struct stretch *s, struct presence *p, struct bytes labels, uint32_t *ret_series)
{
    bool is_new;
    size_t wanted = ((size_t)p->series.count + 1) * s->words;
    uint32_t capacity = p->capacity;
    if (!array_reserve(s->ev.host->memory, &p->bits, &p->capacity, wanted)) return ERR_NOMEM;
    memset(p->bits + capacity, 0, (p->capacity - capacity) * sizeof *p->bits);
    enum err e = kept_series_add(&p->series, labels, &is_new);
    if (e == OK && !kept_series_find(&p->series, labels, ret_series)) e = ERR_NOMEM;
    return e;
}

static bool
is_present(const struct stretch *s, const struct presence *p, struct bytes labels, uint32_t step)
{
    uint32_t series;
    return kept_series_find(&p->series, labels, &series) && has_bit(s, p, series, step);
}

/* Whether a rule that stands before and records the same name has the series at a step. */
static bool
is_written_before(const struct part *t, struct bytes labels, uint32_t step)
{
    const struct stretch *s = t->of;
    for (const struct rule_at_work *r = t->rule; (r = r->same_before) != NULL;) {
        if (is_present(s, &s->presences[r - s->ev.g->rules], labels, step)) return true;
    }
    return false;
}

/* --- results ---------------------------------------------------------------------------------- */

static enum err
part_fails(struct part *t, const char *sentence)
{
    buf_clear(&t->sentence);
    buf_put_cut(&t->sentence, bytes_of_text(sentence));
    return ERR_INPUT;
}

/* Of the series at hand. */
static void
put_stale(struct part *t, struct bytes labels, uint32_t step)
{
    if (is_written_before(t, labels, step)) return;
    rw_build_float(t->build, sample_ms(t->of, step), STALE_NAN_BITS, 0);
}

static void
set_present(struct part *t, uint32_t series, uint32_t step)
{
    set_bit(t->of, t->presence, series, step);
    if (t->counts != NULL) t->counts[step - t->a]++;
    t->samples++;
}

static uint32_t
step_of(const struct part *t, const struct promql_point *point)
{
    int64_t since_ms = point->t_ms - sample_ms(t->of, t->a);
    return t->a + (uint32_t)(since_ms / interval_ms(t->of));
}

/* A series from step to step: where it ends, it is marked stale. */
struct walk {
    struct part *part;
    struct bytes labels;
    uint32_t series;
    uint32_t next; /* step */
    bool is_alive; /* at the one before */
};

static void
walk_to(struct walk *w, uint32_t step)
{
    for (; w->next < step; w->next++) {
        bool is_there = has_bit(w->part->of, w->part->presence, w->series, w->next);
        if (w->is_alive && !is_there) put_stale(w->part, w->labels, w->next);
        w->is_alive = is_there;
    }
}

/* The message has floats, with staleness markers between them, and histograms apart. */
static enum err
put_points(struct part *t, struct promql_result *result, struct bytes labels, uint32_t series)
{
    struct promql_point point;
    struct histogram h;
    struct walk walk = {t, labels, series, t->a, kept_series_has(&t->rule->past, labels)};
    while (promql_next_point(result, true, &point)) {
        set_present(t, series, step_of(t, &point));
    }
    rw_build_series(t->build, labels);
    while (promql_next_point(result, false, &point)) {
        uint32_t step = step_of(t, &point);
        walk_to(&walk, step);
        set_present(t, series, step);
        rw_build_float(t->build, point.t_ms, double_bits(point.value), 0);
        walk_to(&walk, step + 1);
    }
    walk_to(&walk, t->b + 1);
    while (promql_next_point(result, true, &point)) {
        if (fhist_stored(&t->arena, point.histogram, &h)) return no_memory(t->of);
        rw_build_histogram(t->build, point.t_ms, 0, &h);
    }
    return OK;
}

/* What was there at the evaluation before, and at none of these. What was read from the store may
 * be another server's: see put_stale() of evaluate.c. */
static void
put_ended(struct part *t)
{
    const struct stretch *s = t->of;
    const struct kept_series *past = &t->rule->past;
    int64_t read_ms = t->rule->past_read_ms;
    bool is_known = read_ms == 0;
    struct kept_series own;
    kept_series_init(&own, s->ev.host->memory, s->ev.host->seed);
    for (uint32_t i = 0; i < past->count; i++) {
        uint32_t series;
        struct bytes labels = kept_series_at(past, i);
        bool known = kept_series_find(&t->presence->series, labels, &series);
        if ((known && has_any_bit(t, series)) || is_written_before(t, labels, t->a)) continue;
        if (!is_known && find_own(&s->ev, t->rule, read_ms, &own)) break;
        is_known = true;
        if (read_ms != 0 && !kept_series_has(&own, labels)) continue;
        rw_build_series(t->build, labels);
        put_stale(t, labels, t->a);
    }
    kept_series_fini(&own);
}

static enum err
check_limit(struct part *t)
{
    uint32_t limit = t->of->ev.g->text.limit;
    for (uint32_t step = t->a; t->counts != NULL && step <= t->b; step++) {
        char text[96];
        if (t->counts[step - t->a] <= limit) continue;
        snprintf(text, sizeof text, "exceeded limit of %u with %u series", limit,
                 t->counts[step - t->a]);
        return part_fails(t, text);
    }
    return OK;
}

static enum err
put_result(struct part *t, struct promql_result *result)
{
    struct bytes metric;
    uint32_t over_count, series;
    struct label *over = record_labels(t->rule, &t->arena, &over_count);
    enum err e = over == NULL ? no_memory(t->of) : OK;
    while (e == OK && promql_next_series(result, &metric)) {
        buf_clear(&t->labels);
        relabelled_put(&t->labels, metric, over, over_count);
        e = buf_error(&t->labels);
        if (e == OK) e = presence_add(t->of, t->presence, buf_bytes(&t->labels), &series);
        if (e) return no_memory(t->of);
        /* If not at one time, then of several that are looked at alone. */
        if (has_any_bit(t, series)) {
            return part_fails(t, "vector contains metrics with the same labelset after applying "
                                 "rule labels");
        }
        e = put_points(t, result, buf_bytes(&t->labels), series);
        bool is_large = rw_build_counts(t->build).bytes > MESSAGE_BYTES_MAX;
        if (e == OK && is_large && t->a < t->b) e = ERR_LIMIT;
    }
    if (e == OK) e = check_limit(t);
    if (e == OK) put_ended(t);
    return e;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
tell(const struct stretch *s, const struct rule *rule, uint32_t step, struct bytes sentence)
{
    const struct replay *r = s->replay;
    if (r->failed != NULL) r->failed(r->context, s->ev.g, rule, time_ns(s, step), sentence);
}

static enum err
write_message(struct stretch *s, struct rw_build *build, const struct rule *rule, uint32_t step,
              uint64_t *ret_rejected)
{
    struct rules_written written;
    enum err e = write_durably(s->ev.host, s->ev.g->tenant, build, &written, s->why);
    *ret_rejected = e == OK ? written.rejected : 0;
    s->counts->rejected += *ret_rejected;
    if (*ret_rejected > 0) tell(s, rule, step, bytes_of_text(written.text));
    return e;
}

/* What the rule wrote at the last of these evaluations, for the one after it. */
static enum err
keep_last(struct part *t)
{
    struct kept_series last;
    struct rule_at_work *rule = t->rule;
    enum err e = OK;
    bool is_new;
    kept_series_init(&last, rule->past.budget, rule->past.seed);
    for (uint32_t i = 0; e == OK && i < t->presence->series.count; i++) {
        if (!has_bit(t->of, t->presence, i, t->b)) continue;
        e = kept_series_add(&last, kept_series_at(&t->presence->series, i), &is_new);
    }
    if (e) {
        kept_series_fini(&last);
        return no_memory(t->of);
    }
    kept_series_fini(&rule->past);
    rule->past = last;
    rule->past_read_ms = 0; /* this rule wrote it */
    return OK;
}

/* --- one rule --------------------------------------------------------------------------------- */

static enum err
ask_part(struct part *t)
{
    struct stretch *s = t->of;
    struct asked a = {.result = NULL};
    struct ask_times times = {.first_ms = sample_ms(s, t->a), .last_ms = sample_ms(s, t->b)};
    if (t->a < t->b) times.step_ms = interval_ms(s);
    enum err e = ask(&s->ev, t->rule->tree, &times, &a, &t->sentence, s->why);
    if (e == OK) e = put_result(t, a.result);
    asked_end(&a);
    return e;
}

/* One try of some evaluations. ERR_INPUT with a sentence, ERR_LIMIT: they have no result. */
static enum err
try_part(struct part *t)
{
    struct stretch *s = t->of;
    struct budget *memory = s->ev.host->memory;
    uint32_t steps = t->b - t->a + 1;
    size_t bytes = s->ev.g->text.limit > 0 ? steps * sizeof *t->counts : 0;
    buf_clear(&t->sentence);
    arena_init(&t->arena, memory, ARENA_BYTES_MAX, 0);
    t->samples = 0;
    t->counts = bytes > 0 ? mem_new(memory, bytes) : NULL;
    t->build = NULL;
    enum err e = bytes > 0 && t->counts == NULL ? no_memory(s) : OK;
    if (e == OK && rw_build_new(RW_V1, memory, &t->build)) e = no_memory(s);
    if (e == OK) e = ask_part(t);
    uint64_t rejected = 0;
    if (e == OK) e = write_message(s, t->build, t->rule->text, t->b, &rejected);
    if (e == OK) e = keep_last(t);
    if (e == OK)
        s->counts->samples += t->samples - (rejected < t->samples ? rejected : t->samples);
    else
        clear_bits(t);
    rw_build_free(t->build);
    mem_free(memory, t->counts, bytes);
    arena_fini(&t->arena);
    return e;
}

/* As after group_evaluate(): what it wrote last is what it is taken to have written. */
static enum err
fail_step(struct part *t, enum err failure)
{
    struct stretch *s = t->of;
    const struct kept_series *past = &t->rule->past;
    struct bytes sentence = buf_bytes(&t->sentence);
    uint32_t series;
    s->counts->failed++;
    if (failure == ERR_LIMIT) s->unmade[t->a / BITS] |= (uint64_t)1 << t->a % BITS;
    tell(s, t->rule->text, t->a, sentence.size > 0 ? sentence : bytes_of_text(s->why->text));
    for (uint32_t i = 0; i < past->count; i++) {
        if (presence_add(s, t->presence, kept_series_at(past, i), &series)) return no_memory(s);
        set_bit(s, t->presence, series, t->a);
    }
    return OK;
}

/* Whether the error is one of the evaluations themselves. */
static bool
is_of_rule(const struct part *t, enum err e)
{
    return e == ERR_LIMIT || (e == ERR_INPUT && t->sentence.size > 0);
}

static enum err
replay_rule(struct stretch *s, struct rule_at_work *rule)
{
    struct part t = {.of = s, .rule = rule, .presence = &s->presences[rule - s->ev.g->rules]};
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
            e = fail_step(&t, e);
            t.a++;
        }
    }
    buf_fini(&t.labels);
    buf_fini(&t.sentence);
    return e;
}

/* --- a stretch -------------------------------------------------------------------------------- */

/* Rules of a batch do not read each other: they have one view. */
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
    s->ev.view = NULL;
    return e;
}

/* That the evaluations were made. */
static enum err
put_marks(struct stretch *s)
{
    const struct group *g = s->ev.g;
    struct rw_build *build;
    uint32_t count = (uint32_t)(s->last - s->first) + 1;
    if (rw_build_new(RW_V1, s->ev.host->memory, &build)) return no_memory(s);
    rw_build_series(build, g->marker);
    uint64_t interval = double_bits((double)g->schedule.interval_ns / NS_PER_S);
    for (uint32_t step = 0; step < count; step++) {
        bool is_unmade = (s->unmade[step / BITS] >> step % BITS & 1) != 0;
        if (is_unmade) continue;
        rw_build_float(build, time_ns(s, step) / NS_PER_MS, interval, 0);
    }
    uint64_t rejected;
    bool any = rw_build_counts(build).floats > 0;
    enum err e = any ? write_message(s, build, NULL, count - 1, &rejected) : OK;
    rw_build_free(build);
    return e;
}

static enum err
replay_rules(struct stretch *s)
{
    const struct group *g = s->ev.g;
    enum err e = OK;
    for (uint32_t first = 0, next; e == OK && first < g->text.rule_count; first = next) {
        for (next = first + 1;
             next < g->text.rule_count && g->rules[next].batch == g->rules[first].batch;) {
            next++;
        }
        e = replay_batch(s, first, next);
    }
    return e ? e : put_marks(s);
}

/* Evaluations that follow each other, and are made at once. */
static enum err
replay_stretch(const struct replay *replay, struct group *g, int64_t first, int64_t last,
               struct replay_counts *counts, struct why *why)
{
    struct budget *memory = replay->host->memory;
    struct stretch s = {
        .replay = replay,
        .ev = {.g = g, .host = replay->host, .terms = replay->terms},
        .first = first,
        .last = last,
        .words = (uint32_t)(last - first) / BITS + 1,
        .counts = counts,
        .why = why,
    };
    size_t bytes = (g->text.rule_count + 1) * sizeof *s.presences;
    size_t bit_bytes = s.words * sizeof *s.unmade;
    s.presences = mem_new(memory, bytes);
    s.unmade = mem_new(memory, bit_bytes);
    if (s.presences == NULL || s.unmade == NULL) {
        mem_free(memory, s.presences, bytes);
        mem_free(memory, s.unmade, bit_bytes);
        return no_memory(&s);
    }
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        kept_series_init(&s.presences[i].series, memory, replay->host->seed);
    }
    enum err e = replay_rules(&s);
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        kept_series_fini(&s.presences[i].series);
        array_free(memory, s.presences[i].bits, s.presences[i].capacity);
    }
    mem_free(memory, s.presences, bytes);
    mem_free(memory, s.unmade, bit_bytes);
    if (e == OK) counts->made += (uint64_t)(last - first) + 1;
    g->past_slot = e == OK ? last : -1;
    return e;
}

/* --- a group ---------------------------------------------------------------------------------- */

/* What is to be made of a group. */
struct plan {
    struct group *group;
    int64_t next, last; /* slots; next > last: nothing more */
    struct slots made;  /* whose results are stored, of any text */
    struct slots same;  /* of this text */
    bool one_by_one;
};

/* At or after a time. */
static int64_t
first_slot(const struct schedule *schedule, int64_t min_ns)
{
    int64_t slot = schedule_slot(schedule, min_ns);
    return schedule_time_ns(schedule, slot) < min_ns ? slot + 1 : slot;
}

static void
plan_fini(struct plan *p)
{
    slots_fini(&p->made);
    slots_fini(&p->same);
}

static enum err
plan_init(const struct replay *replay, struct group *g, int64_t min_ns, int64_t max_ns,
          struct plan *p, struct replay_counts *counts, struct why *why)
{
    struct rules_past past = {replay->host, replay->terms, g};
    const struct schedule *schedule = &g->schedule;
    int64_t first = first_slot(schedule, min_ns);
    *p = (struct plan){.group = g, .last = schedule_slot(schedule, max_ns)};
    slots_init(&p->made, replay->host->memory);
    slots_init(&p->same, replay->host->memory);
    p->next = first;
    if (first > p->last) return OK;
    int64_t until_ns = schedule_time_ns(schedule, p->last + 1);
    struct past_slots found = {&p->made, &p->same, NULL};
    enum err e = past_made(&past, min_ns, until_ns, &found, why);
    if (e == OK && group_reads_back(g, &p->one_by_one)) {
        e = why_set(why, ERR_NOMEM, "not enough memory for a group of rules");
    }
    p->next = slots_first_missing(&p->same, first);
    counts->made_before +=
        (uint64_t)(p->last - first + 1) - slots_missing(&p->same, first, p->last + 1);
    return e;
}

/* The next evaluations: as many as can be made at once, or one. */
static enum err
plan_step(const struct replay *replay, struct plan *p, bool one, struct replay_counts *counts,
          struct why *why)
{
    struct rules_past past = {replay->host, replay->terms, p->group};
    int64_t first = p->next, last = first;
    bool alone = one || p->one_by_one;
    while (!alone && last < p->last && last - first < STEPS_MAX - 1 &&
           !slots_has(&p->same, last + 1)) {
        last++;
    }
    enum err e = p->group->past_slot == first - 1 ? OK : past_recorded(&past, first - 1, true, why);
    if (e == OK) e = replay_stretch(replay, p->group, first, last, counts, why);
    /* The one that follows was made, and is not made again. */
    bool is_over = schedule_time_ns(&p->group->schedule, last + 1) > replay->until_ns;
    bool is_closed = slots_has(is_over ? &p->made : &p->same, last + 1);
    if (e == OK && is_closed) e = past_close(&past, last + 1, why);
    p->next = slots_first_missing(&p->same, last + 1);
    return e;
}

enum err
replay_group(const struct replay *replay, struct group *g, int64_t min_ns, int64_t max_ns,
             struct replay_counts *counts, struct why *why)
{
    struct plan p;
    if (!group_records(g)) return OK;
    enum err e = plan_init(replay, g, min_ns, max_ns, &p, counts, why);
    while (e == OK && p.next <= p.last) {
        e = plan_step(replay, &p, false, counts, why);
    }
    plan_fini(&p);
    return e;
}

/* The one whose turn it is. NULL: nothing more. */
static struct plan *
earliest(struct plan *plans, uint32_t count)
{
    struct plan *first = NULL;
    int64_t first_ns = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct plan *p = &plans[i];
        if (p->next > p->last) continue;
        int64_t at_ns = schedule_time_ns(&p->group->schedule, p->next);
        if (at_ns >= first_ns) continue;
        first = p;
        first_ns = at_ns;
    }
    return first;
}

enum err
replay_together(const struct replay *replay, struct group *const *groups, uint32_t count,
                int64_t min_ns, int64_t max_ns, struct replay_counts *counts, struct why *why)
{
    size_t bytes = (count + 1) * sizeof(struct plan);
    struct plan *plans = mem_new(replay->host->memory, bytes), *p;
    if (plans == NULL) return why_set(why, ERR_NOMEM, "not enough memory for groups of rules");
    enum err e = OK;
    uint32_t ready = 0;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        if (group_records(groups[i])) {
            e = plan_init(replay, groups[i], min_ns, max_ns, &plans[ready++], counts, why);
        }
    }
    while (e == OK && (p = earliest(plans, ready)) != NULL) {
        e = plan_step(replay, p, true, counts, why);
    }
    for (uint32_t i = 0; i < ready; i++) {
        plan_fini(&plans[i]);
    }
    mem_free(replay->host->memory, plans, bytes);
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

/* Of every text that the group had. */
static void
put_marks_selector(const struct group *g, struct buf *to)
{
    struct bytes name = bytes_of_text(RULES_EVALUATED_LABEL);
    struct label label = {name, labels_get(g->marker, name)};
    struct buf labels;
    buf_init(&labels, g->memory, RULE_FILE_BYTES_MAX);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(RULES_EVALUATED)});
    labels_put(&labels, label);
    if (buf_error(&labels))
        to->failed = ERR_NOMEM;
    else
        labels_print_selector(to, buf_bytes(&labels));
    buf_fini(&labels);
}

bool
replay_recorded_at(const struct group *g, uint32_t index, int64_t min_ns, int64_t max_ns,
                   struct buf *to, struct replay_recorded *ret)
{
    const struct schedule *schedule = &g->schedule;
    int64_t first = first_slot(schedule, min_ns), last = schedule_slot(schedule, max_ns);
    int64_t offset_ms = 0;
    if (index > g->text.rule_count) return false;
    *ret = (struct replay_recorded){0, -1};
    if (index == g->text.rule_count) {
        put_marks_selector(g, to);
    } else if (g->rules[index].text->kind == RULE_RECORDING) {
        put_selector(g, &g->rules[index], to);
        offset_ms = g->query_offset_ms;
    } else {
        return true;
    }
    if (first > last) return true;
    ret->min_ms = schedule_time_ns(schedule, first) / NS_PER_MS - offset_ms;
    ret->max_ms = schedule_time_ns(schedule, last) / NS_PER_MS - offset_ms;
    return true;
}
