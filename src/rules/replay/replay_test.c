/* replay_test.c - group_series_at(): the series of rules at an evaluation, found
 * without writing; and replays of downsampled samples. */
#include "lib/test.h"

#include <stdlib.h>

#include "model/select.h"
#include "rules/group/group.h"
#include "rules/replay/replay.h"
#include "sys/env.h"
#include "wire/number.h"

static struct rules_host host;
static enum err given_open(void *context, struct query_control *control, struct view **ret_view,
                           struct why *why);
static const struct rules_terms terms = {.open = given_open, .lookback_ms = 300000};
static const struct group_defaults defaults = {60000, 0};

/* Which samples of the view are the last ones of windows: those of expressions, or stored results.
 */
static bool thins_samples, thins_stored;

enum { SERIES = 3, MINUTE_MS = 60000, MINUTES = 60 };

static void
put_labels(struct buf *to, const char *name, const char *job)
{
    labels_put(to, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(to, (struct label){bytes_of_text("job"), bytes_of_text(job)});
}

/* --- a view: "up" of two jobs has a sample each minute of the first hour, of another one then - */

struct given_set {
    struct series_set set; /* first */
    struct query_request request;
    struct matcher_set matching;
    uint32_t next;
    bool is_given; /* the samples of the current series were returned */
    struct buf labels;
    int64_t times_ms[MINUTES];
    uint64_t bits[MINUTES];
};

static enum err
given_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    static const char *const jobs[SERIES] = {"a", "b", "late"};
    struct given_set *s = (struct given_set *)set;
    (void)why;
    *ret_labels = bytes_of(NULL, 0);
    while (ret_labels->at == NULL && s->next < SERIES) {
        bool is_wanted = true;
        buf_clear(&s->labels);
        put_labels(&s->labels, "up", jobs[s->next++]);
        if (buf_error(&s->labels)) return ERR_NOMEM;
        for (uint32_t i = 0; i < s->matching.count; i++) {
            const struct matcher *m = s->matching.matchers[i];
            struct bytes value = labels_get(buf_bytes(&s->labels), matcher_name(m));
            is_wanted &= matcher_matches(m, value);
        }
        if (is_wanted) *ret_labels = buf_bytes(&s->labels);
    }
    s->is_given = false;
    return OK;
}

static enum err
given_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    uint32_t count = 0;
    (void)why;
    for (int64_t i = 0; i < MINUTES && !s->is_given; i++) {
        int64_t t_ms = (s->next == SERIES ? MINUTES + i : i) * MINUTE_MS;
        if (t_ms < s->request.min_ms || t_ms > s->request.max_ms) continue;
        s->times_ms[count] = t_ms;
        s->bits[count++] = double_bits(1);
    }
    s->is_given = true;
    *ret_batch = (struct sample_batch){
        .kind = SAMPLE_FLOAT, .count = count, .times_ms = s->times_ms, .value_bits = s->bits};
    return OK;
}

static const char *
given_warning(struct series_set *set, uint32_t index)
{
    (void)set, (void)index;
    return NULL;
}

static void
given_free(struct series_set *set)
{
    struct given_set *s = (struct given_set *)set;
    buf_fini(&s->labels);
    free(s);
}

static enum err
given_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = given_next, .batch = given_batch, .warning = given_warning, .free = given_free};
    struct given_set *s = calloc(1, sizeof *s);
    (void)view, (void)why;
    if (request->stored ? thins_stored : thins_samples) thinned_note(request->control, 3600000);
    s->set.ops = &ops;
    s->request = *request;
    s->matching = request->sets[0];
    buf_init(&s->labels, NULL, 1024);
    *ret_set = &s->set;
    return OK;
}

static void
given_view_free(struct view *view)
{
    (void)view;
}

static enum err
given_open(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {.select = given_select, .free = given_view_free};
    static struct view view = {&ops};
    (void)context, (void)control, (void)why;
    *ret_view = &view;
    return OK;
}

/* --- groups ----------------------------------------------------------------------------------- */

static bool
has(const struct kept_series *series, const char *name, const char *job)
{
    struct buf labels;
    buf_init(&labels, NULL, 1024);
    put_labels(&labels, name, job);
    bool is_there = kept_series_has(series, buf_bytes(&labels));
    buf_fini(&labels);
    return is_there;
}

static struct group *
group_of(struct rule *rules, uint32_t count, uint32_t limit)
{
    struct group *group;
    struct why why = {""};
    host.env = env_real();
    const struct rule_group text = {
        .file = "f", .name = "g", .rules = rules, .rule_count = count, .limit = limit};
    if (group_new(&host, bytes_of_text("t"), &text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

UNIT_TEST(test_rules_have_the_series_that_their_expressions_give_at_the_slot)
{
    struct rule rules[] = {
        {.kind = RULE_RECORDING, .name = "r", .expression = "up + 1"},
        {.kind = RULE_ALERTING, .name = "A", .expression = "up"},
        {.kind = RULE_RECORDING, .name = "s", .expression = "up{job=\"b\"}"},
    };
    struct group *g = group_of(rules, 3, 0);
    struct rules_past past = {&host, &terms, g, NULL};
    struct why why = {""};
    const struct kept_series *r = &g->rules[0].series, *t = &g->rules[2].series;
    assert_int_equal(group_series_at(&past, 30, &why), OK);
    assert_int_equal(g->series_slot, 30);
    assert_int_equal(r->count, 2);
    assert_true(has(r, "r", "a") && has(r, "r", "b"));
    assert_true(t->count == 1 && has(t, "s", "b"));
    assert_int_equal(group_series_at(&past, 100, &why), OK);
    assert_int_equal(g->series_slot, 100);
    assert_true(r->count == 1 && has(r, "r", "late"));
    assert_int_equal(t->count, 0);
    assert_int_equal(g->rules[1].series.count, 0);
    group_free(g);
}

UNIT_TEST(test_rules_that_fail_have_no_series)
{
    struct rule rules[] = {
        {.kind = RULE_RECORDING, .name = "same", .expression = "up", .labels = {NULL, 0}},
        {.kind = RULE_RECORDING, .name = "many", .expression = "up * on () up"},
        {.kind = RULE_RECORDING, .name = "text", .expression = "'a'"},
        {.kind = RULE_RECORDING, .name = "limited", .expression = "up"},
        {.kind = RULE_RECORDING, .name = "good", .expression = "sum(up)"},
    };
    struct named_text job = {"job", ""};
    rules[0].labels = (struct named_texts){&job, 1};
    struct group *g = group_of(rules, 5, 1);
    struct rules_past past = {&host, &terms, g, NULL};
    struct why why = {""};
    assert_int_equal(group_series_at(&past, 30, &why), OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(g->rules[i].series.count, i == 4);
    group_free(g);
}

UNIT_TEST(test_after_refused_memory_nothing_is_taken_to_be_known)
{
    struct rule rule = {.kind = RULE_RECORDING, .name = "r", .expression = "up + 1"};
    struct group *g = group_of(&rule, 1, 0);
    struct rules_past past = {&host, &terms, g, NULL};
    struct why why = {""};
    enum err e;
    uint64_t nth = 0;
    assert_int_equal(group_series_at(&past, 30, &why), OK);
    do {
        mem_fail_nth(++nth, false);
        e = group_series_at(&past, 100, &why);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        assert_int_equal(g->series_slot, e == OK ? 100 : -1);
    } while (e);
    assert_true(nth > 5);
    group_free(g);
}

/* --- downsampled samples ---------------------------------------------------------------------- */

static enum err
count_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
            struct why *why)
{
    (void)tenant, (void)message, (void)why;
    *ret = (struct rules_written){.ticket = 0};
    ++*(int *)context;
    return OK;
}

/* The result of the store: at these times, with this note. */
struct there {
    const char *note;
    int64_t late_ms; /* all are later than asked for */
};

static enum err
evaluate_there(void *context, const char *expression, int64_t first_ms, int64_t last_ms,
               int64_t step_ms, struct replay_part *to, struct buf *error, struct why *why)
{
    const struct there *there = context;
    struct buf labels;
    (void)error;
    assert_string_equal(expression, "up + 1");
    buf_init(&labels, NULL, 1024);
    put_labels(&labels, "up", "a");
    enum err e = replay_take_series(to, buf_bytes(&labels));
    for (int64_t t_ms = first_ms; e == OK && t_ms <= last_ms; t_ms += step_ms) {
        e = replay_take_float(to, t_ms + there->late_ms, 1, why);
        if (step_ms == 0) break;
    }
    if (there->note != NULL) replay_take_note(to, bytes_of_text(there->note));
    buf_fini(&labels);
    return e;
}

UNIT_TEST(test_approximate_results_are_refused_unless_they_are_allowed)
{
    static const char widened[] = "PromQL info: samples are downsampled to 1h; the range was ...";
    static const struct there exact = {.note = "PromQL info: metric might not be a counter"},
                              wide = {.note = widened}, part = {.note = "source 'a' failed"},
                              late = {.late_ms = 1};
    static const struct {
        bool thins_samples, thins_stored, is_exact, overwrites;
        const struct there *there;
        enum err error;
        uint64_t samples; /* written; the view has those of two series */
    } cases[] = {
        {false, false, true, false, NULL, OK, 20},
        {false, false, true, false, &wide, OK, 20}, /* it is not asked */
        {true, false, true, false, NULL, ERR_UNSUPPORTED, 0},
        {true, false, false, false, NULL, OK, 20},
        {true, false, true, false, &exact, OK, 10},
        {true, false, true, false, &wide, ERR_UNSUPPORTED, 0},
        {true, false, false, false, &wide, OK, 10},
        {true, false, true, false, &part, ERR_UNSUPPORTED, 0},
        {true, false, true, false, &late, ERR_IO, 0},
        {false, true, true, false, NULL, ERR_UNSUPPORTED, 0},
        {false, true, false, false, NULL, ERR_UNSUPPORTED, 0},
        {false, true, true, true, NULL, OK, 20},
        {true, true, true, true, NULL, ERR_UNSUPPORTED, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rule rule = {.kind = RULE_RECORDING, .name = "r", .expression = "up + 1"};
        struct group *g = group_of(&rule, 1, 0);
        int writes = 0;
        struct rules_host writing = host;
        writing.write = count_write;
        writing.context = &writes;
        struct replay replay = {.host = &writing,
                                .terms = &terms,
                                .is_exact = cases[i].is_exact,
                                .overwrites = cases[i].overwrites,
                                .evaluate = cases[i].there == NULL ? NULL : evaluate_there,
                                .context = (void *)(uintptr_t)cases[i].there};
        struct replay_counts counts = {0};
        struct replay_from item = replay_from(g, 20 * MINUTE_MS * NS_PER_MS);
        struct why why = {""};
        thins_samples = cases[i].thins_samples;
        thins_stored = cases[i].thins_stored;
        enum err e = replay_group(&replay, &item, (30 * MINUTE_MS - 1) * NS_PER_MS, &counts, &why);
        if (e != cases[i].error) fail_msg("case %u: %d %s", i, e, why.text);
        assert_int_equal(counts.samples, cases[i].samples);
        assert_int_equal(writes, e == OK);
        assert_int_equal(counts.failed, 0);
        if (e == ERR_UNSUPPORTED && cases[i].there != &part)
            assert_non_null(strstr(why.text, "samples are downsampled to 1h"));
        group_free(g);
    }
    thins_samples = thins_stored = false;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_have_the_series_that_their_expressions_give_at_the_slot),
        cmocka_unit_test(test_rules_that_fail_have_no_series),
        cmocka_unit_test(test_after_refused_memory_nothing_is_taken_to_be_known),
        cmocka_unit_test(test_approximate_results_are_refused_unless_they_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
