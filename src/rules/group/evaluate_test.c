/* evaluate_test.c - one evaluation of a group: the samples written and settled, alerts sent,
 * and failures. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "model/select.h"
#include "rules/group/group.h"
#include "sys/env.h"

#define AT_NS (INT64_C(1700000000) * NS_PER_S)

/* A host that records calls, and behaves as configured. */
struct fake_host {
    uint64_t tickets; /* number of tickets given */
    uint64_t settled[8];
    uint32_t settled_count;
    enum err settle_errors[8]; /* results of each call */
    enum err write_error;      /* result of the write with the ticket `write_fails` */
    uint64_t write_fails;
    enum err open_error, select_error;
    bool lacks; /* the view has a warning */
    char warned[64];
    uint64_t rejected;
    int64_t thinned_to_ms; /* resolution of which the view has the last sample of each window */
    uint32_t calls, notices, most; /* of send() */
    char sent[512];                /* its last notice as text; times in seconds since AT_NS */
};

static struct fake_host fake;

static enum err
fake_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
           struct why *why)
{
    (void)context;
    assert_true(bytes_equal_text(tenant, "t"));
    assert_true(message.size > 0);
    uint64_t ticket = ++fake.tickets;
    *ret = (struct rules_written){.ticket = ticket, .rejected = fake.rejected};
    if (fake.rejected > 0) snprintf(ret->text, sizeof ret->text, "too_old");
    return ticket == fake.write_fails ? why_set(why, fake.write_error, "the log is full") : OK;
}

static enum err
fake_settle(void *context, uint64_t ticket, struct why *why)
{
    (void)context;
    assert_in_range(fake.settled_count, 0, 7);
    enum err e = fake.settle_errors[fake.settled_count];
    fake.settled[fake.settled_count++] = ticket;
    return e ? why_set(why, e, "the disk is broken") : OK;
}

static void
print_notice(const struct alert_notice *n)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 16);
    buf_printf(&to, "%.*s ", (int)n->tenant.size, (const char *)n->tenant.at);
    labels_print(&to, n->labels);
    for (uint32_t i = 0; i < n->annotation_count; i++) {
        const struct label *a = &n->annotations[i];
        buf_printf(&to, " %.*s='%.*s'", (int)a->name.size, (const char *)a->name.at,
                   (int)a->value.size, (const char *)a->value.at);
    }
    buf_printf(&to, " of %.*s from %lld to %lld", (int)n->expression.size,
               (const char *)n->expression.at, (long long)((n->starts_ns - AT_NS) / NS_PER_S),
               (long long)((n->ends_ns - AT_NS) / NS_PER_S));
    buf_put_u8(&to, '\0');
    assert_int_equal(buf_error(&to), OK);
    snprintf(fake.sent, sizeof fake.sent, "%s", (const char *)to.at);
    buf_fini(&to);
}

static void
fake_send(void *context, const struct alert_notice *notices, uint32_t count)
{
    (void)context;
    assert_true(count > 0);
    print_notice(&notices[count - 1]);
    fake.calls++;
    fake.notices += count;
    if (count > fake.most) fake.most = count;
}

/* --- a view without series -------------------------------------------------------------------- */

static enum err
empty_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    (void)set, (void)why;
    *ret_labels = bytes_of(NULL, 0);
    return OK;
}

static const char *
empty_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    return fake.lacks && index == 0 ? "part 7 is missing" : NULL;
}

static void
empty_free(struct series_set *set)
{
    (void)set;
}

static enum err
empty_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = empty_next, .warning = empty_warning, .free = empty_free};
    static struct series_set set = {&ops};
    (void)view;
    thinned_note(request->control, fake.thinned_to_ms);
    *ret_set = &set;
    return fake.select_error ? why_set(why, fake.select_error, "the source ended") : OK;
}

static void
empty_view_free(struct view *view)
{
    (void)view;
}

static enum err
empty_open(void *context, struct query_control *control, struct view **ret_view, struct why *why)
{
    static const struct view_ops ops = {.select = empty_select, .free = empty_view_free};
    static struct view view = {&ops};
    (void)context, (void)control;
    *ret_view = &view;
    return fake.open_error ? why_set(why, fake.open_error, "no view") : OK;
}

/* --- groups ----------------------------------------------------------------------------------- */

static struct rules_host host = {.write = fake_write, .settle = fake_settle, .send = fake_send};
static void
fake_warn(void *context, const char *sentence)
{
    snprintf(fake.warned, sizeof fake.warned, "%s: %s", (const char *)context, sentence);
}

static char warned_context[] = "terms";
static const struct rules_terms terms = {.open = empty_open,
                                         .open_context = warned_context,
                                         .warn = fake_warn,
                                         .lookback_ms = 300000,
                                         .resend_ns = 60 * NS_PER_S,
                                         .external_url = {(const uint8_t *)"http://f", 8}};

static struct group *
group_of(struct rule *rules, uint32_t count)
{
    static const struct group_defaults defaults = {60000, 0};
    struct group *group;
    struct why why = {""};
    const struct rule_group text = {.file = "f", .name = "g", .rules = rules, .rule_count = count};
    fake = (struct fake_host){.tickets = 0};
    host.env = env_real();
    if (group_new(&host, bytes_of_text("t"), &text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

/* Returns a group whose first two rules are a batch; the third reads the first one's result. */
static struct group *
two_batches(void)
{
    static struct rule rules[] = {
        {.kind = RULE_RECORDING, .name = "a", .expression = "vector(1)"},
        {.kind = RULE_RECORDING, .name = "b", .expression = "vector(2)"},
        {.kind = RULE_RECORDING, .name = "c", .expression = "vector(3) unless a"},
    };
    return group_of(rules, 3);
}

static struct group_outcome
evaluate(struct group *g, int64_t at_ns)
{
    struct group_evaluation how = {.at_ns = at_ns};
    struct group_outcome outcome;
    group_evaluate(g, &host, &terms, &how, &outcome);
    return outcome;
}

static void
expect_error(struct group *g, uint32_t rule, const char *words)
{
    char text[256];
    struct bytes error = group_rule_error(g, rule);
    snprintf(text, sizeof text, "%.*s", (int)error.size, (const char *)error.at);
    if (strstr(text, words) == NULL || (words[0] == '\0' && text[0] != '\0'))
        fail_msg("rule %u: '%s' is not in '%s'", rule, words, text);
}

UNIT_TEST(test_each_batch_is_settled_before_the_next_one_begins)
{
    struct group *g = two_batches();
    struct group_outcome outcome = evaluate(g, AT_NS);
    assert_true(outcome.stored);
    assert_int_equal(outcome.samples, 3);
    assert_int_equal(outcome.failed, 0);
    assert_int_equal(fake.settled_count, 2);
    assert_int_equal(fake.settled[0], 2);
    assert_int_equal(fake.settled[1], 3);
    for (uint32_t i = 0; i < 3; i++)
        expect_error(g, i, "");
    group_free(g);
}

UNIT_TEST(test_rules_whose_results_do_not_become_durable_fail)
{
    for (unsigned batch = 0; batch < 2; batch++) {
        struct group *g = two_batches();
        fake.settle_errors[batch] = ERR_IO;
        struct group_outcome outcome = evaluate(g, AT_NS);
        assert_false(outcome.stored);
        assert_int_equal(outcome.failed, batch == 0 ? 2 : 1);
        assert_int_equal(fake.settled_count, 2); /* the other batch is evaluated */
        expect_error(g, 0, batch == 0 ? "the disk is broken" : "");
        expect_error(g, 1, batch == 0 ? "the disk is broken" : "");
        expect_error(g, 2, batch == 1 ? "the disk is broken" : "");
        group_free(g);
    }
}

UNIT_TEST(test_a_rule_whose_results_cannot_be_written_fails_alone)
{
    struct group *g = two_batches();
    fake.write_fails = 2;
    fake.write_error = ERR_AGAIN;
    struct group_outcome outcome = evaluate(g, AT_NS);
    assert_false(outcome.stored);
    assert_int_equal(outcome.failed, 1);
    expect_error(g, 0, "");
    expect_error(g, 1, "the log is full");
    expect_error(g, 2, "");
    assert_int_equal(fake.settled[0], 1);
    assert_int_equal(fake.settled[1], 3);
    group_free(g);
}

UNIT_TEST(test_a_rule_whose_results_are_refused_fails)
{
    struct group *g = two_batches();
    fake.rejected = 1;
    struct group_outcome outcome = evaluate(g, AT_NS);
    assert_int_equal(outcome.failed, 3);
    expect_error(g, 0, "too_old");
    group_free(g);
}

/* Prints the rules as /api/v1/rules does. */
static void
expect_health(struct group *g, const char *health, const char *error)
{
    static const struct group_question all = {.recording = true, .alerting = true};
    struct json j;
    struct buf text;
    buf_init(&text, NULL, 1 << 16);
    json_init(&j, &text);
    assert_true(group_print(g, &all, &j));
    buf_put_u8(&text, '\0');
    const char *at = strstr((const char *)text.at, health);
    if (at == NULL || strstr(at, error) == NULL) fail_msg("%s", (const char *)text.at);
    buf_fini(&text);
}

UNIT_TEST(test_a_rule_that_reads_downsampled_samples_is_good_and_says_it)
{
    static struct rule rule = {.kind = RULE_RECORDING, .name = "a", .expression = "sum(m)"};
    static const char sentence[] = "samples are downsampled to 1h; each is the last one";
    struct group *g = group_of(&rule, 1);
    char logged[4096] = "";
    FILE *log = tmpfile();
    assert_non_null(log);
    log_to_fd(fileno(log));
    fake.thinned_to_ms = 3600000;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(evaluate(g, AT_NS + i * 60 * NS_PER_S).failed, 0);
        expect_error(g, 0, sentence);
        expect_health(g, "\"health\":\"ok\"", sentence);
    }
    log_to_fd(-1);
    rewind(log);
    assert_true(fread(logged, 1, sizeof logged - 1, log) > 0);
    fclose(log);
    const char *first = strstr(logged, sentence);
    assert_non_null(first);
    assert_null(strstr(first + 1, sentence));
    fake.thinned_to_ms = 0;
    evaluate(g, AT_NS + 120 * NS_PER_S);
    expect_error(g, 0, "");
    group_free(g);
}

UNIT_TEST(test_a_warning_about_what_a_rule_reads_is_passed_on)
{
    for (unsigned lacks = 0; lacks < 2; lacks++) {
        struct group *g = two_batches();
        fake.lacks = lacks;
        assert_true(evaluate(g, AT_NS).stored);
        assert_string_equal(fake.warned, lacks ? "terms: part 7 is missing" : "");
        expect_error(g, 2, "");
        group_free(g);
    }
}

UNIT_TEST(test_rules_fail_without_a_view)
{
    struct group *g = two_batches();
    fake.open_error = ERR_NOMEM;
    struct group_outcome outcome = evaluate(g, AT_NS);
    assert_false(outcome.stored);
    assert_int_equal(outcome.failed, 3);
    assert_int_equal(fake.tickets, 0);
    assert_int_equal(fake.settled_count, 0);
    expect_error(g, 0, "no view");
    group_free(g);
}

/* A failed evaluation is over; one that the server's end broke off has to be repeated. */
UNIT_TEST(test_an_evaluation_that_the_end_broke_off_is_not_counted_as_stored)
{
    static _Atomic(const char *) canceled;
    for (int ends = 0; ends < 2; ends++) {
        struct group *g = two_batches();
        atomic_store(&canceled, NULL);
        host.all_canceled = &canceled;
        fake.select_error = ends ? ERR_CANCELED : ERR_IO;
        if (ends) atomic_store(&canceled, "the server is stopping");
        struct group_outcome outcome = evaluate(g, AT_NS);
        assert_int_equal(outcome.stored, !ends);
        expect_error(g, 2, "the source ended");
        group_free(g);
    }
    host.all_canceled = NULL;
}

/* --- alerts ----------------------------------------------------------------------------------- */

/* Returns a group with `count` alerts of one rule. */
static struct group *
many_alerts(unsigned count)
{
    static char expression[32768];
    struct rule rule = {.kind = RULE_ALERTING, .name = "A", .expression = expression};
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += (size_t)snprintf(expression + size, sizeof expression - size,
                                 "%slabel_replace(vector(1), \"i\", \"%u\", \"\", \"\")",
                                 i == 0 ? "" : " or ", i);
        assert_true(size < sizeof expression);
    }
    return group_of(&rule, 1);
}

UNIT_TEST(test_all_alerts_are_sent_some_at_a_time)
{
    static const unsigned counts[] = {1, 63, 64, 65, 128, 129};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct group *g = many_alerts(counts[i]);
        struct group_outcome outcome = evaluate(g, AT_NS);
        assert_true(outcome.has_changed);
        assert_int_equal(fake.notices, 0); /* a checkpoint is saved first */
        group_send(g, &host, &terms, AT_NS);
        assert_int_equal(fake.notices, counts[i]);
        assert_int_equal(fake.calls, (counts[i] + 63) / 64);
        assert_in_range(fake.most, 1, 64);
        group_free(g);
    }
}

UNIT_TEST(test_alerts_that_did_not_change_are_sent_again_when_it_is_time)
{
    struct group *g = many_alerts(2);
    (void)evaluate(g, AT_NS);
    group_send(g, &host, &terms, AT_NS);
    assert_int_equal(fake.notices, 2);
    struct group_outcome outcome = evaluate(g, AT_NS + 120 * NS_PER_S);
    assert_false(outcome.has_changed);
    assert_int_equal(fake.notices, 4);
    group_free(g);
}

/* A firing alert ends after four intervals, unless it is sent again. */
UNIT_TEST(test_an_alert_is_sent_with_its_labels_annotations_and_times)
{
    static struct named_text labels[] = {{"severity", "page {{ $value }}"}};
    static struct named_text annotations[] = {{"says", "{{ $labels.i }} is {{ $value }}"},
                                              {"url", "{{ $externalURL }}/x"}};
    static struct rule rule = {.kind = RULE_ALERTING,
                               .name = "A",
                               .expression = "label_replace(vector(7),'i','one','','')",
                               .labels = {labels, 1},
                               .annotations = {annotations, 2}};
    struct group *g = group_of(&rule, 1);
    (void)evaluate(g, AT_NS);
    group_send(g, &host, &terms, AT_NS);
    assert_string_equal(
        fake.sent,
        "t {alertname=\"A\", i=\"one\", severity=\"page 7\"} says='one is 7' url='http://f/x' "
        "of label_replace(vector(7), \"i\", \"one\", \"\", \"\") from 0 to 240");
    group_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_batch_is_settled_before_the_next_one_begins),
        cmocka_unit_test(test_rules_whose_results_do_not_become_durable_fail),
        cmocka_unit_test(test_a_rule_whose_results_cannot_be_written_fails_alone),
        cmocka_unit_test(test_a_rule_whose_results_are_refused_fails),
        cmocka_unit_test(test_a_rule_that_reads_downsampled_samples_is_good_and_says_it),
        cmocka_unit_test(test_a_warning_about_what_a_rule_reads_is_passed_on),
        cmocka_unit_test(test_rules_fail_without_a_view),
        cmocka_unit_test(test_an_evaluation_that_the_end_broke_off_is_not_counted_as_stored),
        cmocka_unit_test(test_all_alerts_are_sent_some_at_a_time),
        cmocka_unit_test(test_an_alert_is_sent_with_its_labels_annotations_and_times),
        cmocka_unit_test(test_alerts_that_did_not_change_are_sent_again_when_it_is_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
