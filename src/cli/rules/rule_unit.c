/*
 * rule_unit.c - see rule_unit.h. All groups are evaluated, one after the other, at each multiple of
 * the evaluation interval, whatever their own intervals are. Before each step, samples up to its
 * time are stored, so that queries after the last step see no newer ones.
 */
#include "cli/rules/rule_unit_private.h"

#include <stdlib.h>

#include "sys/env.h"

enum err
testing_no_memory(struct testing *t)
{
    const struct rule_test_place *place = &t->test->place;
    return why_set(t->why, ERR_NOMEM, "%s:%u:%u: not enough memory for the test", t->options->file,
                   place->line, place->column);
}

enum err
testing_fail(struct testing *t)
{
    if (buf_error(&t->text)) return testing_no_memory(t);
    t->options->fail(t->options->context, buf_bytes(&t->text));
    buf_clear(&t->text);
    return OK;
}

/* --- the host of groups ----------------------------------------------------------------------- */

static enum err
host_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
           struct why *why)
{
    (void)tenant;
    return input_write(context, message, ret, why);
}

static enum err
host_settle(void *context, uint64_t ticket, struct why *why)
{
    (void)context;
    (void)ticket;
    (void)why;
    return OK;
}

static enum err
begin_terms(struct testing *t)
{
    const struct named_texts *labels = &t->test->external_labels;
    struct label *items = arena_alloc(&t->arena, (labels->count + 1) * sizeof *items);
    if (items == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < labels->count; i++) {
        items[i] = (struct label){bytes_of_text(labels->items[i].name),
                                  bytes_of_text(labels->items[i].value)};
    }
    t->terms = (struct rules_terms){
        .open = memory_store_open,
        .open_context = t->store,
        .external_labels = items,
        .external_count = labels->count,
        .external_url = bytes_of_text(t->test->external_url),
        .lookback_ms = LOOKBACK_MS,
        .subquery_step_ms = t->options->evaluation_interval_ms,
        .features = t->options->features,
    };
    t->host = (struct rules_host){
        .env = t->options->env,
        .memory = t->memory,
        .write = host_write,
        .settle = host_settle,
        .context = t,
    };
    return OK;
}

static enum err
begin_groups(struct testing *t)
{
    uint32_t count = t->options->group_count;
    struct group_defaults defaults = {.interval_ms = t->options->evaluation_interval_ms};
    t->groups = arena_new(&t->arena, (count + 1) * sizeof(struct group *));
    if (t->groups == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < count; i++) {
        enum err e = group_new(&t->host, bytes_of(NULL, 0), t->options->groups[i], &defaults,
                               &t->groups[i], t->why);
        if (e) return e;
        t->group_count++;
    }
    return OK;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* Reports the rules of a group that failed. */
static enum err
report_failed(struct testing *t, struct group *group, int64_t since_ms, bool *ret_any)
{
    const struct rule_group *text = &group->text;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < text->rule_count; i++) {
        struct bytes error = group_rule_error(group, i);
        if (error.size == 0) continue;
        *ret_any = true;
        buf_printf(&t->text, "    rule: %s, time: ", text->rules[i].name);
        put_go_duration(&t->text, since_ms);
        buf_put_text(&t->text, ", err: ");
        buf_put_bytes(&t->text, error);
        e = testing_fail(t);
    }
    return e;
}

/* *ret_fine false: rules failed, and the test ends. */
static enum err
unit_step(struct testing *t, int64_t since_ms, bool *ret_fine)
{
    int64_t at_ms = t->test->start_ms + since_ms;
    struct group_evaluation how = {.at_ns = at_ms * NS_PER_MS, .part = GROUP_ALL};
    bool failed = false;
    enum err e = input_until(t, at_ms);
    for (uint32_t i = 0; e == OK && i < t->group_count && !t->input_refused; i++) {
        struct group_outcome outcome;
        group_evaluate(t->groups[i], &t->host, &t->terms, &how, &outcome);
        e = report_failed(t, t->groups[i], since_ms, &failed);
    }
    *ret_fine = !failed;
    return e;
}

/* Orders expected alerts by time, then by their place in the file. */
static int
compare_alert_times(const void *a, const void *b)
{
    const struct rule_test_alerts *x = *(const struct rule_test_alerts *const *)a;
    const struct rule_test_alerts *y = *(const struct rule_test_alerts *const *)b;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    return (x > y) - (x < y); /* the order in the file */
}

static enum err
sort_alerts(struct testing *t, const struct rule_test_alerts ***ret)
{
    uint32_t count = t->test->alerts.count;
    const struct rule_test_alerts **order = arena_alloc(&t->arena, (count + 1) * sizeof *order);
    if (order == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < count; i++) {
        order[i] = &t->test->alerts.items[i];
    }
    if (count > 1) qsort(order, count, sizeof *order, compare_alert_times);
    *ret = order;
    return OK;
}

static int64_t
last_time(const struct rule_test *test)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < test->alerts.count; i++) {
        if (test->alerts.items[i].at_ms > last) last = test->alerts.items[i].at_ms;
    }
    for (uint32_t i = 0; i < test->expressions.count; i++) {
        if (test->expressions.items[i].at_ms > last) last = test->expressions.items[i].at_ms;
    }
    return last;
}

/* *ret_fine false: rules failed, and the test ends. */
static enum err
run_steps(struct testing *t, bool *ret_fine)
{
    const struct rule_test_alerts **alerts = NULL;
    int64_t interval_ms = t->options->evaluation_interval_ms, last_ms = last_time(t->test);
    uint32_t next = 0;
    enum err e = sort_alerts(t, &alerts);
    *ret_fine = true;
    for (int64_t ms = 0; e == OK && ms <= last_ms; ms += interval_ms) {
        e = unit_step(t, ms, ret_fine);
        if (e || !*ret_fine) break;
        for (; e == OK && next < t->test->alerts.count && alerts[next]->at_ms < ms + interval_ms;
             next++) {
            e = compare_alerts(t, alerts[next]);
        }
    }
    return e;
}

/* --- the test --------------------------------------------------------------------------------- */

/* Reports invalid rule files as failures. *ret_fine false: there were any. */
static enum err
report_wrong_files(struct testing *t, bool *ret_fine)
{
    const struct text_list *wrong = &t->options->wrong;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < wrong->count; i++) {
        *ret_fine = false;
        buf_put_text(&t->text, wrong->items[i]);
        e = testing_fail(t);
    }
    return e;
}

/* *ret_fine false: an expected alert has no name, which is a failure. */
static enum err
check_names(struct testing *t, bool *ret_fine)
{
    for (uint32_t i = 0; i < t->test->alerts.count; i++) {
        const struct rule_test_alerts *alerts = &t->test->alerts.items[i];
        if (alerts->alertname[0] != '\0') continue;
        *ret_fine = false;
        buf_put_text(&t->text, "an item under alert_rule_test misses required attribute alertname "
                               "at eval_time ");
        put_duration(&t->text, alerts->at_ms);
        if (t->test->name[0] != '\0') buf_printf(&t->text, " (in TestGroup %s)", t->test->name);
        return testing_fail(t);
    }
    return OK;
}

/* *ret_fine false: the test has too many steps, or so late times that adding the validity of an
 * alert overflows nanoseconds. */
static enum err
check_times(struct testing *t, bool *ret_fine)
{
    const struct rule_test_place *place = &t->test->place;
    int64_t last_ms = last_time(t->test), interval_ms = t->options->evaluation_interval_ms;
    bool is_far = t->test->start_ms + last_ms > INT64_MAX / NS_PER_MS / 2;
    if (!is_far && last_ms / interval_ms <= STEPS_MAX) return OK;
    *ret_fine = false;
    buf_printf(&t->text, "%s:%u:%u: eval_time must be ", t->options->file, place->line,
               place->column);
    if (is_far) {
        buf_put_text(&t->text, "before the year 2116");
    } else {
        buf_printf(&t->text, "at most %d times evaluation_interval (", STEPS_MAX);
        put_duration(&t->text, interval_ms);
        buf_put_u8(&t->text, ')');
    }
    buf_put_text(&t->text, ", got ");
    put_duration(&t->text, last_ms);
    return testing_fail(t);
}

static enum err
unit_run(struct testing *t)
{
    bool fine = true;
    enum err e = memory_store_new(t->memory, &t->store);
    if (e == OK) e = rw_request_init(&t->decoded, t->memory);
    if (e) return testing_no_memory(t);
    e = input_begin(t, &fine);
    if (e == OK && fine) e = report_wrong_files(t, &fine);
    if (e == OK && fine) e = begin_terms(t);
    if (e == OK && fine) e = begin_groups(t);
    if (e == OK && fine) e = check_names(t, &fine);
    if (e == OK && fine) e = check_times(t, &fine);
    if (e == OK && fine) e = run_steps(t, &fine);
    for (uint32_t i = 0; e == OK && fine && i < t->test->expressions.count; i++) {
        e = compare_expression(t, &t->test->expressions.items[i]);
    }
    return e;
}

enum err
rule_unit_run(const struct rule_unit_options *options, const struct rule_test *test,
              struct why *why)
{
    struct testing t = {
        .options = options,
        .test = test,
        .memory = options->memory,
        .why = why,
    };
    arena_init(&t.arena, t.memory, TEST_BYTES_MAX, 0);
    arena_init(&t.scratch, t.memory, TEST_BYTES_MAX, 0);
    buf_init(&t.text, t.memory, TEST_TEXT_BYTES_MAX);
    buf_init(&t.refusal, t.memory, TEST_TEXT_BYTES_MAX);
    enum err e = unit_run(&t);
    for (uint32_t i = 0; i < t.group_count; i++) {
        group_free(t.groups[i]);
    }
    rw_request_fini(&t.decoded);
    memory_store_free(t.store);
    buf_fini(&t.refusal);
    buf_fini(&t.text);
    arena_fini(&t.scratch);
    arena_fini(&t.arena);
    return e;
}
