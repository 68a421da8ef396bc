/*
 * rules_life_test.c - lives of groups from seeds, whose rules read what senders send, what other
 * rules record, or both: clocks jump forth and back, servers crash and stop, backlogs come late,
 * the store refuses, and reloads move rules between groups and files, change them, their groups and
 * their times. At the end, every evaluation is made once more over what the store has then:
 *
 *   a. what it recorded is what is found then, and nothing else is stored; exempt are evaluations
 *      whose input was not sent yet, if nothing was missed since that is so or
 *      `rules.catch_up_wait` has passed, what read a group that was away, and what read others
 *      ahead of the clock before the rules changed;
 *   b. between two evaluations of a group none is missing, but where its interval changed, and none
 *      is made twice; in the end nothing is owed;
 *   c. a series that an evaluation does not give any more is marked stale, and no other one;
 *   d. an alert is active if and only if its expression finds it, or it is kept firing, whenever
 *      all input was there; and whenever it was not, no alert that is found is told as resolved.
 *
 * SEEDS says how many lives, SEED which one is the first; a failure prints its seed.
 */
#include "app/rules_life_testing.h"

enum {
    SERIES_MAX = 512,
    SAMPLES_MAX = 1 << 18,
    RESULTS_MAX = 64,
};

/* --- the end ---------------------------------------------------------------------------------- */

struct sample {
    int64_t t_ms;
    uint64_t bits;
    bool is_explained;
};

struct series {
    struct bytes labels;
    uint64_t hash;
    char text[160];
    unsigned rule, first, count;
    int team;
    bool goes_on; /* it was written by the group at hand, and not marked since */
};

struct result {
    uint64_t labels; /* hashed */
    uint64_t bits;
};

static struct {
    struct series series[SERIES_MAX];
    struct sample samples[SAMPLES_MAX];
    struct result results[RESULTS_MAX];
    unsigned series_count, sample_count, result_count;
    struct arena arena;
    struct view *view;
} end;

static unsigned
rule_of_name(struct bytes name)
{
    unsigned r = 0;
    while (!bytes_equal_text(name, forms[r].name)) {
        r++;
        assert_true(r < RULES);
    }
    return r;
}

static void
note_sample(void *context, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    (void)context;
    struct series *s = end.series_count == 0 ? NULL : &end.series[end.series_count - 1];
    if (s == NULL || !bytes_equal(s->labels, labels)) {
        struct buf print;
        assert_true(end.series_count < SERIES_MAX);
        s = &end.series[end.series_count++];
        *s = (struct series){.labels = arena_copy(&end.arena, labels), .first = end.sample_count};
        s->hash = hash_bytes(labels, 1);
        s->team = labels_get(labels, text("team")).at[1] - '0';
        s->rule = rule_of_name(labels_get(labels, text("__name__")));
        buf_init(&print, NULL, sizeof s->text);
        labels_print(&print, labels);
        snprintf(s->text, sizeof s->text, "%.*s", (int)print.size, (const char *)print.at);
        buf_fini(&print);
    }
    assert_true(end.sample_count < SAMPLES_MAX);
    end.samples[end.sample_count++] = (struct sample){t_ms, bits, false};
    s->count++;
}

static struct sample *
sample_at(const struct series *s, int64_t t_ms)
{
    struct sample *first = &end.samples[s->first];
    unsigned low = 0, high = s->count;
    while (low < high) {
        unsigned at = (low + high) / 2;
        if (first[at].t_ms < t_ms)
            low = at + 1;
        else
            high = at;
    }
    return low < s->count && first[low].t_ms == t_ms ? &first[low] : NULL;
}

static bool
is_real_at(const struct series *s, int64_t t_ms)
{
    const struct sample *sample = sample_at(s, t_ms);
    return sample != NULL && sample->bits != STALE_NAN_BITS;
}

static const struct result *
find_result(uint64_t labels)
{
    for (unsigned i = 0; i < end.result_count; i++) {
        if (end.results[i].labels == labels) return &end.results[i];
    }
    return NULL;
}

/* Labels of what a rule makes of a series. */
static uint64_t
hash_of_result(const struct config *c, unsigned rule, struct bytes metric)
{
    struct cursor cursor = cursor_of(metric);
    struct label label;
    struct buf labels;
    char team[8];
    const char *name = forms[rule].is_alert ? "alertname" : "__name__";
    buf_init(&labels, NULL, 1024);
    /* No other label that is sent is sorted before the one, or after the other one. */
    labels_put(&labels, (struct label){text(name), text(forms[rule].name)});
    while (labels_next(&cursor, &label)) {
        if (bytes_equal_text(label.name, "__name__") || bytes_equal_text(label.name, "team"))
            continue;
        labels_put(&labels, label);
    }
    snprintf(team, sizeof team, "t%d", c->groups[c->place[rule]].team);
    labels_put(&labels, (struct label){text("team"), text(team)});
    uint64_t hash = hash_bytes(buf_bytes(&labels), 1);
    buf_fini(&labels);
    return hash;
}

/* What a rule gives, into end.results. False: it fails, as two of them are the same. */
static bool
ask_rule(const struct config *c, unsigned rule, int64_t t_ms)
{
    struct promql_tree *tree;
    struct promql_result *result;
    struct promql_point point;
    struct bytes metric;
    struct buf error, expression;
    struct why why;
    struct promql_options options = {
        .tenant = text("t"),
        .first_ms = t_ms,
        .last_ms = t_ms,
        .lookback_ms = l.s.terms.lookback_ms,
        .subquery_step_ms = 60000,
    };
    bool is_good = true;
    end.result_count = 0;
    buf_init(&error, NULL, 1024);
    buf_init(&expression, NULL, 1024);
    put_expression(&expression, c, rule);
    must(promql_parse(buf_bytes(&expression), NULL, NULL, &tree, &error));
    must(promql_run(tree, end.view, &options, &result, &error, &why));
    while (promql_next_series(result, &metric)) {
        struct result *r = &end.results[end.result_count];
        if (!promql_next_point(result, false, &point)) continue;
        r->labels = hash_of_result(c, rule, metric);
        memcpy(&r->bits, &point.value, sizeof r->bits);
        is_good &= find_result(r->labels) == NULL;
        assert_true(++end.result_count < RESULTS_MAX);
    }
    promql_result_free(result);
    promql_free(tree);
    buf_fini(&error);
    buf_fini(&expression);
    return is_good;
}

static long long
since_begin_ms(int64_t t_ms)
{
    return (long long)(t_ms - SIM_BEGIN);
}

static bool
is_exempt(unsigned rule, unsigned order, int64_t t_ms)
{
    for (unsigned i = 0; i < l.absence_count && forms[rule].reads == RECORDED; i++) {
        const struct absence *a = &l.absences[i];
        if (order >= a->from && order < a->to && t_ms >= a->since_ms) return true;
    }
    return false;
}

/* What the rule has recorded is what it gives. */
static void
check_recorded(const struct made *made, unsigned rule, int64_t t_ms)
{
    for (unsigned i = 0; i < end.result_count; i++) {
        const struct result *r = &end.results[i];
        struct series *s = end.series;
        while (s < end.series + end.series_count && s->hash != r->labels) {
            s++;
        }
        struct sample *sample = s == end.series + end.series_count ? NULL : sample_at(s, t_ms);
        double wanted, is = 0;
        memcpy(&wanted, &r->bits, sizeof wanted);
        if (sample != NULL) memcpy(&is, &sample->bits, sizeof is);
        if (sample == NULL || sample->bits != r->bits) {
            fail_msg("a: key %u of config %u at %lld: %s, number %u, is %s%.17g, not %.17g",
                     made->key, made->config, since_begin_ms(made->at_ms), forms[rule].name, i,
                     sample == NULL ? "missing " : "", is, wanted);
        }
        sample->is_explained = true;
    }
}

/* All that the rule has stored then. */
static void
explain(unsigned rule, int64_t t_ms)
{
    for (unsigned i = 0; i < end.series_count; i++) {
        struct sample *sample = sample_at(&end.series[i], t_ms);
        if (end.series[i].rule == rule && sample != NULL) sample->is_explained = true;
    }
}

static bool
is_same_rule(const struct config *a, const struct config *b, unsigned group, unsigned rule)
{
    const struct of_group *x = &a->groups[group], *y = &b->groups[group];
    return has_rule(a, group, rule) && has_rule(b, group, rule) &&
           a->bound[rule] == b->bound[rule] && x->interval_s == y->interval_s &&
           x->team == y->team && offset_ms(a, group) == offset_ms(b, group);
}

/* Whether the rule gives the series at an evaluation as the store is now. */
static bool
is_found_at(const struct made *made, unsigned rule, const struct series *s)
{
    const struct config *c = &l.configs[made->config];
    int64_t t_ms = made->at_ms - offset_ms(c, made->key % GROUPS);
    return ask_rule(c, rule, t_ms) && find_result(s->hash) != NULL;
}

/* `before`: the evaluation of the group before. What it had when input was lacking, or before what
 * it read was marked stale as of then, it may not have any more: then it is taken for another
 * server's. */
static void
check_markers(const struct made *before, const struct made *made, unsigned rule, bool is_good)
{
    unsigned group = made->key % GROUPS;
    const struct config *was = &l.configs[before->config], *is = &l.configs[made->config];
    int64_t before_ms = before->at_ms - offset_ms(was, group);
    int64_t t_ms = made->at_ms - offset_ms(is, group);
    bool is_next = made->at_ms - before->at_ms == is->groups[group].interval_s * 1000;
    bool is_due = is_good && is_next && is_same_rule(was, is, group, rule) && !before->lacks;
    for (unsigned i = 0; i < end.series_count; i++) {
        struct series *s = &end.series[i];
        struct sample *now = sample_at(s, t_ms);
        if (s->rule != rule) continue;
        if (now == NULL && is_due && is_real_at(s, before_ms) && is_found_at(before, rule, s)) {
            fail_msg("c: key %u at %lld: %s is not marked stale", made->key,
                     since_begin_ms(made->at_ms), s->text);
        }
        if (now == NULL) continue;
        bool is_stale = now->bits == STALE_NAN_BITS;
        now->is_explained |= is_stale && s->goes_on;
        s->goes_on = !is_stale;
    }
}

static void
check_made(const struct made *before, const struct made *made)
{
    unsigned group = made->key % GROUPS;
    const struct config *c = &l.configs[made->config];
    int64_t t_ms = made->at_ms - offset_ms(c, group);
    for (unsigned r = 0; r < RULES; r++) {
        if (forms[r].is_alert) continue;
        bool is_good = has_rule(c, group, r) && ask_rule(c, r, t_ms);
        bool is_unsure =
            is_exempt(r, made->order, t_ms) || (made->lacks && forms[r].reads == SENT_SERIES);
        if (is_unsure && has_rule(c, group, r)) explain(r, t_ms);
        if (is_good && !is_unsure) check_recorded(made, r, t_ms);
        check_markers(before == NULL ? made : before, made, r, is_good && !is_unsure);
    }
}

static void
check_hole(const struct made *before, const struct made *made)
{
    unsigned group = made->key % GROUPS;
    const struct config *now = config_now();
    if (key_of(now, group) != made->key || !has_any(now, group, is_recording)) return;
    unsigned first = before->config < made->config ? before->config : made->config;
    unsigned last = before->config < made->config ? made->config : before->config;
    int64_t most_s = l.configs[last].groups[group].interval_s;
    /* Of each interval that it had before, one may have been due, but not two. */
    for (unsigned i = first; i < last; i++) {
        int64_t was_s = l.configs[i].groups[group].interval_s;
        if (was_s != l.configs[i + 1].groups[group].interval_s) most_s += 2 * was_s;
    }
    int64_t is_ms = made->at_ms - before->at_ms;
    if (is_ms == 0) {
        fail_msg("b: key %u is evaluated twice at %lld", made->key, since_begin_ms(made->at_ms));
    }
    if (is_ms > most_s * 1000) {
        fail_msg("b: key %u is not evaluated between %lld and %lld", made->key,
                 since_begin_ms(before->at_ms), since_begin_ms(made->at_ms));
    }
}

static void
check_look(const struct look *k, const struct active *active, unsigned count)
{
    const struct config *c = &l.configs[k->config];
    int64_t t_ms = k->at_ms - offset_ms(c, k->key % GROUPS);
    const char *what = NULL;
    /* A reload before the next evaluation, which has the same order, came after it, or before. */
    if (is_exempt(k->rule, k->order, t_ms)) return;
    if (k->order > 0 && is_exempt(k->rule, k->order - 1, t_ms)) return;
    if (!ask_rule(c, k->rule, t_ms)) return;
    unsigned found_count = 0;
    for (unsigned i = 0; i < count; i++) {
        bool is_kept = forms[k->rule].is_kept && active[i].fires;
        bool is_found = find_result(active[i].labels) != NULL;
        if (active[i].is_over && is_found) what = "is told as resolved, and found";
        if (active[i].is_over) continue;
        if (!is_found && k->is_whole && !is_kept) what = "is active, and not found";
        found_count += is_found;
    }
    if (k->is_whole && found_count < end.result_count) what = "is not active, and found";
    if (what == NULL) return;
    fail_msg("d: key %u of config %u at %lld: an alert of %s %s", k->key, k->config,
             since_begin_ms(k->at_ms), forms[k->rule].name, what);
}

static int
compare_made(const void *a, const void *b)
{
    const struct made *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

/* Of a group that left, or of a rule that left its group, which may have gone on in another one: as
 * in Prometheus, the next evaluation marks what it recorded; just before its time, if it records
 * nothing itself. */
static bool
may_be_marked(const struct series *s, int64_t t_ms)
{
    for (unsigned i = 0; i < l.live_count; i++) {
        const struct live *live = &l.lives[i];
        if (live->sample_ms != t_ms && live->sample_ms != t_ms + 1) continue;
        const struct config *c = &l.configs[live->config];
        unsigned group = live->key % GROUPS;
        if (!has_rule(c, group, s->rule) || c->groups[group].team != s->team) return true;
    }
    for (unsigned a = 0; a < l.absence_count; a++) {
        int64_t after_ms = l.absences[a].at_ms - t_ms;
        if (after_ms >= 0 && after_ms <= 7000) return true;
    }
    return false;
}

static void
check_rest(void)
{
    for (unsigned i = 0; i < end.series_count; i++) {
        const struct series *s = &end.series[i];
        for (unsigned k = s->first; k < s->first + s->count; k++) {
            const struct sample *sample = &end.samples[k];
            bool is_stale = sample->bits == STALE_NAN_BITS;
            bool is_again = k > s->first && sample[-1].bits == STALE_NAN_BITS;
            /* The rule was back before its group recorded. */
            bool is_just_before = k + 1 < s->first + s->count && sample[1].t_ms == sample->t_ms + 1;
            if (sample->is_explained || (is_stale && (is_again || is_just_before)) ||
                (is_stale && may_be_marked(s, sample->t_ms)))
                continue;
            fail_msg("%s at %lld: %s", is_stale ? "c: a marker" : "a: a sample",
                     since_begin_ms(sample->t_ms), s->text);
        }
    }
}

static void
check_life(void)
{
    char names[512] = "";
    struct why why;
    for (unsigned r = 0; r < RULES; r++) {
        if (forms[r].is_alert) continue;
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                 names[0] == '\0' ? "" : "|", forms[r].name);
    }
    end.series_count = end.sample_count = 0;
    arena_init(&end.arena, NULL, 16 << 20, 0);
    sim_each_sample(&l.s, names, 0, INT64_MAX, note_sample, NULL);
    must(view_open(tsdb_answerer(l.s.m.db), NULL, &end.view, &why));
    qsort(l.made, l.made_count, sizeof *l.made, compare_made);
    for (unsigned i = 0; i < l.made_count; i++) {
        const struct made *made = &l.made[i];
        const struct made *before = i > 0 && made[-1].key == made->key ? made - 1 : NULL;
        if (before != NULL && made->at_ms < env_realtime_ms(l.s.m.env)) check_hole(before, made);
        for (unsigned k = 0; k < end.series_count && before == NULL; k++) {
            end.series[k].goes_on = false;
        }
        check_made(before, made);
    }
    check_rest();
    unsigned at = 0;
    for (unsigned i = 0; i < l.look_count; i++) {
        unsigned first = at;
        while (at < l.active_count && l.active[at].look == i) {
            at++;
        }
        check_look(&l.looks[i], &l.active[first], at - first);
    }
    view_free(end.view);
    arena_fini(&end.arena);
}

static void
live(uint64_t seed)
{
    memset(&l, 0, sizeof l);
    sim_init(&l.s, seed, NO_GROUPS);
    l.s.has_own_clock = true;
    l.s.m.limits.max_future_ms =
        24 * 60 * MINUTE_MS; /* while the clock is behind, nothing is lost */
    tsdb_set_limits(l.s.m.db, &l.s.m.limits);
    l.s.look = look_at_job;
    struct config *c = &l.configs[0];
    for (unsigned g = 0; g < GROUPS; g++) {
        c->groups[g].interval_s = intervals_s[below(4)];
    }
    for (unsigned r = 0; r < RULES; r++) {
        c->place[r] = (unsigned)below(GROUPS);
        c->bound[r] = (int)(20 + below(60));
    }
    note_absences(NULL, c);
    l.begun_ms = SIM_BEGIN;
    put_yaml();
    sim_load(&l.s, l.yaml);
    pass(300);
    for (int i = 0; i < TROUBLES; i++) {
        trouble();
        pass((int64_t)below(below(3) == 0 ? 5 : 300));
    }
    pass(900);
    assert_int_equal(owed_now(), 0);
    check_life();
    sim_fini(&l.s);
}

static void
test_what_is_recorded_and_told_is_what_the_input_says_whatever_happens(void **state)
{
    (void)state;
    const char *first = getenv("SEED");
    uint64_t from = first == NULL ? 1 : strtoull(first, NULL, 10);
    for (uint64_t seed = from; seed < from + sim_seed_count(20); seed++) {
        live(seed);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_what_is_recorded_and_told_is_what_the_input_says_whatever_happens, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
