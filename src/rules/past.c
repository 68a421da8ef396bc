/*
 * past.c - what a group left in the store: which evaluations were made, and what its recording
 * rules wrote then. So an evaluation that is made up, and the first one after a start, know what
 * the one before them wrote.
 */
#include "rules/evaluate_private.h"
#include "sys/env.h"

enum {
    MATCHERS_MAX = 128,       /* of a look; requests of remote read have 256 at most */
    MATCHED_BYTES_MAX = 4096, /* of a name or value; a matcher has a limit, and so has a request */
};

/* --- reading ---------------------------------------------------------------------------------- */

/* Series that have some labels, between two times. */
struct look {
    const struct label *labels; /* borrowed */
    uint32_t label_count;
    bool stored; /* as of struct past_look */
    struct budget budget;
    struct query_control control;
    struct view *view;
    struct series_set *set;
    struct matcher *matchers[MATCHERS_MAX];
    uint32_t matcher_count;
};

/* Whether the view is asked for a label, as it always is for the first one. For others that are too
 * many or too long, series are looked at as they come: what a rule wrote can be read however many
 * labels it sets. */
static bool
is_matched(const struct look *l, uint32_t i)
{
    const struct label *label = &l->labels[i];
    return i == 0 || (i < MATCHERS_MAX && label->name.size <= MATCHED_BYTES_MAX &&
                      label->value.size <= MATCHED_BYTES_MAX);
}

static enum err
make_matchers(struct look *l, struct budget *budget, struct why *why)
{
    for (uint32_t i = 0; i < l->label_count; i++) {
        const struct label *label = &l->labels[i];
        if (!is_matched(l, i)) continue;
        enum err e = matcher_new(MATCH_EQUAL, label->name, label->value, budget,
                                 &l->matchers[l->matcher_count], why);
        if (e) return e;
        l->matcher_count++;
    }
    return OK;
}

static enum err
look_begin(struct look *l, const struct evaluating *ev, int64_t min_ms, int64_t max_ms,
           struct why *why)
{
    struct matcher_set set = {l->matchers, 0};
    enum err e = make_matchers(l, ev->g->memory, why);
    if (e) return e;
    set.count = l->matcher_count;
    budget_init(&l->budget, "rule", 0, ev->host->memory);
    look_control(ev, &l->budget, &l->control);
    struct query_request request = {
        .tenant = ev->g->tenant,
        .sets = &set,
        .set_count = 1,
        .min_ms = min_ms,
        .max_ms = max_ms,
        .stored = l->stored,
        .unmerged = l->stored,
        .control = &l->control,
    };
    if (ev->view != NULL) return view_select(ev->view, &request, &l->set, why);
    e = ev->terms->open(ev->terms->open_context, &l->control, &l->view, why);
    return e ? e : view_select(l->view, &request, &l->set, why);
}

static bool
has_unmatched(const struct look *l, struct bytes series)
{
    for (uint32_t i = 0; i < l->label_count; i++) {
        const struct label *label = &l->labels[i];
        if (is_matched(l, i)) continue;
        if (!bytes_equal(labels_get(series, label->name), label->value)) return false;
    }
    return true;
}

/* The labels of the next series, a view; `at` NULL: there is none. */
static enum err
look_next(struct look *l, struct bytes *ret_series, struct why *why)
{
    enum err e;
    do {
        e = series_set_next(l->set, ret_series, why);
    } while (e == OK && ret_series->at != NULL && !has_unmatched(l, *ret_series));
    return e;
}

static void
look_end(struct look *l)
{
    series_set_free(l->set);
    view_free(l->view);
    for (uint32_t i = 0; i < l->matcher_count; i++) {
        matcher_free(l->matchers[i]);
    }
}

static struct evaluating
evaluating_of(const struct rules_past *past)
{
    return (struct evaluating){
        .g = past->group, .host = past->host, .terms = past->terms, .view = past->view};
}

enum err
past_look(const struct rules_past *past, const struct past_look *look, struct why *why)
{
    struct evaluating ev = evaluating_of(past);
    struct look l = {
        .labels = look->labels, .label_count = look->label_count, .stored = look->stored};
    struct bytes labels = {NULL, 0};
    enum err e = look_begin(&l, &ev, look->min_ms, look->max_ms, why);
    while (e == OK && (e = look_next(&l, &labels, why)) == OK && labels.at != NULL) {
        e = look->each(look->context, l.set, labels);
    }
    look_end(&l);
    return e;
}

/* --- evaluations that were made --------------------------------------------------------------- */

/* Where evaluations that were made are added. */
struct made {
    struct group *g;
    const struct past_slots *to;
    int64_t from_ns;
    struct why *why;
    bool also_longer; /* of series with further labels, too */
    bool is_any;      /* there was one */
};

/* The slots up to `last` that a sample settles. */
static enum err
settle(const struct made *m, int64_t last, int64_t end_ns, uint64_t value_bits)
{
    double seconds = bits_double(value_bits);
    int64_t span_ns = end_ns - m->from_ns;
    if (!(seconds > 0)) return OK;
    if (seconds < (double)span_ns / NS_PER_S) span_ns = (int64_t)(seconds * NS_PER_S);
    int64_t first = schedule_slot(&m->g->schedule, end_ns - span_ns) + 1;
    return first <= last ? slots_add(m->to->settled, first, last) : OK;
}

/* Of a series, its last sample: group_try_store() may write it once more. */
static void
note_marked(struct group *g, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    if (g->marked.at != NULL && g->marked_ms >= t_ms) return;
    g->marked = arena_copy(&g->arena, labels);
    g->marked_ms = t_ms;
    g->marked_bits = bits;
}

static enum err
add_times(void *context, struct series_set *set, struct bytes labels)
{
    struct made *m = context;
    const struct schedule *schedule = &m->g->schedule;
    struct sample_batch batch;
    if (!m->also_longer && labels_count(labels) > labels_count(m->g->marker)) return OK;
    m->is_any = true;
    bool is_same = m->to->same != NULL && bytes_equal(labels, m->g->marker);
    int64_t last_ms = 0;
    uint64_t last_bits = 0;
    for (;;) {
        enum err e = series_set_batch(set, &batch, m->why);
        if (e == OK && batch.count == 0 && last_ms > 0 && !m->also_longer)
            note_marked(m->g, labels, last_ms, last_bits);
        if (e || batch.count == 0) return e;
        if (batch.kind == SAMPLE_FLOAT) {
            last_ms = batch.times_ms[batch.count - 1];
            last_bits = batch.value_bits[batch.count - 1];
        }
        for (uint32_t i = 0; e == OK && i < batch.count; i++) {
            int64_t end_ns = (batch.times_ms[i] + 1) * NS_PER_MS - 1; /* it is cut to ms */
            int64_t slot = schedule_slot(schedule, end_ns);
            bool is_slot = schedule_time_ns(schedule, slot) / NS_PER_MS == batch.times_ms[i];
            if (is_slot) e = slots_add(m->to->made, slot, slot);
            if (e == OK && is_slot && is_same) e = slots_add(m->to->same, slot, slot);
            if (m->to->settled == NULL) continue;
            if (e == OK && is_slot) e = slots_add(m->to->settled, slot, slot);
            if (e == OK && batch.kind == SAMPLE_FLOAT) {
                e = settle(m, slot, end_ns, batch.value_bits[i]);
            }
        }
        if (e) return why_set(m->why, e, "not enough memory");
    }
    return OK;
}

enum err
past_made(const struct rules_past *past, int64_t from_ns, int64_t to_ns,
          const struct past_slots *to, struct why *why)
{
    struct made made = {.g = past->group, .to = to, .from_ns = from_ns, .why = why};
    struct bytes group = bytes_of_text(RULES_EVALUATED_LABEL);
    const struct label wanted[] = {{bytes_of_text("__name__"), bytes_of_text(RULES_EVALUATED)},
                                   {group, labels_get(past->group->marker, group)}};
    struct past_look look = {
        .labels = wanted,
        .label_count = 2,
        .min_ms = from_ns / NS_PER_MS,
        .max_ms = to_ns / NS_PER_MS,
        .each = add_times,
        .context = &made,
    };
    enum err e = past_look(past, &look, why);
    /* With further labels they are those of another server, whose evaluations are not ours; or what
     * this one wrote comes back from a source that adds some. */
    if (e || made.is_any) return e;
    made.also_longer = true;
    return past_look(past, &look, why);
}

/* --- what was recorded ------------------------------------------------------------------------ */

static bool
is_marker(const struct sample_batch *batch, uint32_t i)
{
    uint64_t bits =
        batch->kind == SAMPLE_FLOAT ? batch->value_bits[i] : batch->histograms[i].sum_bits;
    return bits == STALE_NAN_BITS;
}

/* Whether the series at hand has a sample then that is no staleness marker. */
static enum err
is_alive_at(struct series_set *set, int64_t t_ms, bool *ret, struct why *why)
{
    struct sample_batch batch;
    *ret = false;
    for (;;) {
        enum err e = series_set_batch(set, &batch, why);
        if (e || batch.count == 0) return e;
        for (uint32_t i = 0; i < batch.count; i++) {
            if (batch.times_ms[i] == t_ms && !is_marker(&batch, i)) *ret = true;
        }
    }
}

static enum err
recorded_by(const struct evaluating *ev, const struct rule_at_work *rule, int64_t t_ms,
            struct kept_series *to, struct why *why)
{
    size_t bytes = (rule->label_count + 1) * sizeof(struct label);
    struct label *wanted = mem_new(ev->g->memory, bytes);
    if (wanted == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    struct look l = {.labels = wanted, .label_count = rule->label_count + 1};
    struct bytes labels = {NULL, 0};
    bool is_new, alive = false;
    wanted[0] = (struct label){bytes_of_text("__name__"), bytes_of_text(rule->text->name)};
    if (rule->label_count > 0) {
        memcpy(wanted + 1, rule->labels, rule->label_count * sizeof *wanted);
    }
    enum err e = look_begin(&l, ev, t_ms, t_ms, why);
    while (e == OK && (e = look_next(&l, &labels, why)) == OK && labels.at != NULL) {
        e = is_alive_at(l.set, t_ms, &alive, why);
        if (e == OK && alive && kept_series_add(to, labels, &is_new)) {
            e = why_set(why, ERR_NOMEM, "not enough memory");
        }
    }
    look_end(&l);
    mem_free(ev->g->memory, wanted, bytes);
    return e;
}

/* Of rules that record one name it is not known which wrote what: the last one has it. */
static enum err
recorded_as(const struct evaluating *ev, const struct rule_at_work *last, int64_t t_ms,
            struct kept_series *to, struct why *why)
{
    enum err e = OK;
    for (const struct rule_at_work *r = last; e == OK && r != NULL; r = r->same_before) {
        e = recorded_by(ev, r, t_ms, to, why);
    }
    return e;
}

/* Takes `recorded` over. */
static void
set_recorded(struct group *g, struct rule_at_work *rule, bool into_past,
             const struct kept_series *recorded, int64_t read_ms)
{
    struct kept_series *to = into_past ? &rule->past : &rule->series;
    lock_take(&g->lock);
    struct kept_series before = *to;
    *to = *recorded;
    *(into_past ? &rule->past_read_ms : &rule->series_read_ms) = read_ms;
    lock_drop(&g->lock);
    kept_series_fini(&before);
}

enum err
past_recorded(const struct rules_past *past, int64_t slot, bool into_past, struct why *why)
{
    struct group *g = past->group;
    struct evaluating ev = evaluating_of(past);
    int64_t t_ms = schedule_time_ns(&g->schedule, slot) / NS_PER_MS - g->query_offset_ms;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        struct kept_series found;
        if (rule->text->kind != RULE_RECORDING) continue;
        kept_series_init(&found, g->memory, g->seed);
        if (rule->is_last_of_name) e = recorded_as(&ev, rule, t_ms, &found, why);
        set_recorded(g, rule, into_past, &found, t_ms);
    }
    *(into_past ? &g->past_slot : &g->series_slot) = e == OK ? slot : -1;
    return e;
}

enum err
past_pass_series(const struct rules_past *past, bool into_past, struct why *why)
{
    struct group *g = past->group;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        struct rule_at_work *rule = &g->rules[i];
        const struct kept_series *from = into_past ? &rule->series : &rule->past;
        int64_t read_ms = into_past ? rule->series_read_ms : rule->past_read_ms;
        struct kept_series copy;
        if (rule->text->kind != RULE_RECORDING) continue;
        kept_series_init(&copy, g->memory, g->seed);
        e = kept_series_add_all(&copy, from);
        set_recorded(g, rule, into_past, &copy, read_ms);
    }
    *(into_past ? &g->past_slot : &g->series_slot) = -1;
    return e == OK ? OK : why_set(why, e, "not enough memory");
}

/* How the series at hand ends. */
static enum err
read_end(struct series_set *set, struct series_end *end, struct why *why)
{
    struct sample_batch batch;
    for (;;) {
        enum err e = series_set_batch(set, &batch, why);
        if (e || batch.count == 0) return e;
        for (uint32_t i = 0; i < batch.count; i++) {
            if (batch.times_ms[i] <= end->last_ms) continue;
            end->before_ms = end->last_ms;
            end->last_ms = batch.times_ms[i];
            end->is_stale = is_marker(&batch, i);
        }
    }
}

enum err
past_series_end(const struct evaluating *ev, struct bytes series, int64_t min_ms, int64_t max_ms,
                struct series_end *ret, struct why *why)
{
    struct label wanted[MATCHERS_MAX]; /* all are compared below */
    struct look l = {.labels = wanted};
    struct bytes labels = {NULL, 0};
    struct cursor c = cursor_of(series);
    *ret = (struct series_end){INT64_MIN, INT64_MIN, false};
    while (l.label_count < MATCHERS_MAX && labels_next(&c, &wanted[l.label_count])) {
        l.label_count++;
    }
    enum err e = look_begin(&l, ev, min_ms, max_ms, why);
    while (e == OK && (e = look_next(&l, &labels, why)) == OK && labels.at != NULL) {
        if (bytes_equal(labels, series)) e = read_end(l.set, ret, why);
    }
    look_end(&l);
    return e;
}

/* --- the end of a gap ------------------------------------------------------------------------- */

/* The series that are in `past` of any rule, and not in `now`. */
static enum err
mark_missing(const struct rules_past *past, const struct kept_series *now, int64_t t_ms,
             struct why *why)
{
    struct group *g = past->group;
    struct rules_written written;
    struct rw_build *build;
    if (rw_build_new(RW_V1, g->memory, &build)) return why_set(why, ERR_NOMEM, "not enough memory");
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        const struct kept_series *before = &g->rules[i].past;
        if (g->rules[i].past_read_ms != 0)
            continue; /* the rule failed: others may have written it */
        for (uint32_t k = 0; k < before->count; k++) {
            struct bytes labels = kept_series_at(before, k);
            if (!kept_series_has(now, labels)) put_stale_marker(build, labels, t_ms);
        }
    }
    enum err e = write_durably(past->host, g->tenant, build, &written, why);
    rw_build_free(build);
    return e;
}

enum err
past_close(const struct rules_past *past, int64_t slot, struct why *why)
{
    struct group *g = past->group;
    struct evaluating ev = evaluating_of(past);
    int64_t t_ms = schedule_time_ns(&g->schedule, slot) / NS_PER_MS - g->query_offset_ms;
    struct kept_series now; /* of all rules, some of which may share a name */
    enum err e = OK;
    kept_series_init(&now, g->memory, g->seed);
    for (uint32_t i = 0; e == OK && i < g->text.rule_count; i++) {
        const struct rule_at_work *rule = &g->rules[i];
        if (rule->text->kind != RULE_RECORDING || !rule->is_last_of_name) continue;
        e = recorded_as(&ev, rule, t_ms, &now, why);
    }
    if (e == OK) e = mark_missing(past, &now, t_ms, why);
    kept_series_fini(&now);
    g->past_slot = -1;
    return e;
}
