/* trial_test.c - steps of a trial of a destination, their order, and its findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/test.h"
#include "model/labels.h"
#include "relay/operate/operate.h"
#include "sys/sim.h"

/* The answers of the destination, in order. */
struct script {
    struct {
        const char *what;
        enum writer_verdict verdict;
        const char *reason;
    } checks[4];
    uint32_t check_count;
    enum writer_verdict prepared;
    enum writer_verdict verdicts[4]; /* for the sample */
    enum writer_verdict entry;
    bool saves; /* saves the state first */
    bool unfit;
};

static struct script script;
static struct {
    uint32_t checks, prepares, adds, steps, saves, saveds, tends;
    char labels[128];
    char tenant[32];
} did;
static char reported[4096]; /* one line per finding */

/* --- the destination -------------------------------------------------------------------------- */

struct writer {
    struct writer_base base;
    bool prepared;
    bool saved;
};
struct writer_call {
    uint32_t count;
};

static enum err
init(struct writer *w, struct why *why)
{
    (void)why;
    assert_string_equal(w->base.options.dir, "dir");
    return OK;
}

static void
fini(struct writer *w)
{
    (void)w;
}

static enum err
call_init(struct writer *w, struct writer_call *c)
{
    (void)w;
    (void)c;
    return OK;
}

static void
call_clear(struct writer *w, struct writer_call *c)
{
    (void)w;
    c->count = 0;
}

static enum writer_add
add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
    struct why *why)
{
    struct buf text;
    (void)w;
    buf_init(&text, NULL, 1024);
    labels_print(&text, item->labels);
    snprintf(did.labels, sizeof did.labels, "%.*s", (int)text.size, (char *)text.at);
    snprintf(did.tenant, sizeof did.tenant, "%.*s", (int)item->tenant.size,
             (const char *)item->tenant.at);
    buf_fini(&text);
    assert_int_equal(item->t_ms, item->arrival_ms);
    assert_true(item->t_ms > 0);
    did.adds++;
    c->count++;
    *ret_entry = 0;
    if (!script.unfit) return WRITER_ADDED;
    err_ignore(why_set(why, ERR_INPUT, "no form"), "the verdict says it");
    return WRITER_UNFIT;
}

static void
say(struct writer_step *step, enum writer_verdict verdict, const char *reason)
{
    step->next = WRITER_DONE;
    step->verdict = verdict;
    snprintf(step->reason, sizeof step->reason, "%s", reason);
    snprintf(step->answer, sizeof step->answer, "it said %s", reason);
}

static void
begin(struct writer *w, struct writer_call *c, struct writer_step *ret_step)
{
    assert_int_equal(c->count, 1);
    ret_step->next = WRITER_SAVE;
    if (script.saves && !w->saved) return;
    say(ret_step, script.verdicts[did.steps++], "a word");
}

static void
entry(const struct writer *w, const struct writer_call *c, uint32_t number,
      struct writer_entry *ret_entry)
{
    (void)w;
    (void)c;
    assert_int_equal(number, 0);
    *ret_entry = (struct writer_entry){.verdict = script.entry, .reason = "of its own"};
}

static bool
need_prepare(struct writer *w)
{
    return !w->prepared;
}

static void
prepare(struct writer *w, const struct http_call_answer *answer, struct writer_step *ret_step)
{
    assert_null(answer);
    did.prepares++;
    w->prepared = script.prepared == VERDICT_DELIVERED;
    say(ret_step, script.prepared, "credentials");
}

static void
save(const struct writer *w, struct buf *to)
{
    (void)w;
    (void)to;
    did.saves++;
}

static enum err
saved(struct writer *w, struct why *why)
{
    (void)why;
    w->saved = true;
    did.saveds++;
    return OK;
}

static enum err
tend(struct writer *w, bool closing, struct why *why)
{
    (void)w;
    (void)why;
    assert_true(closing);
    did.tends++;
    return OK;
}

static bool
check(struct writer *w, uint32_t number, const struct http_call_answer *answer,
      struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    assert_null(answer);
    if (number >= script.check_count) return false;
    did.checks++;
    snprintf(what, WRITER_ANSWER_BYTES, "%s", script.checks[number].what);
    if (script.checks[number].verdict == VERDICT_UNPREPARED && w->prepared) {
        say(ret_step, VERDICT_DELIVERED, "");
        return true;
    }
    say(ret_step, script.checks[number].verdict, script.checks[number].reason);
    return true;
}

static void
call_fini(struct writer *w, struct writer_call *c)
{
    (void)w;
    (void)c;
}

static const struct writer_class class = {
    .type = DESTINATION_KINESIS,
    .writer_bytes = sizeof(struct writer),
    .call_bytes = sizeof(struct writer_call),
    .init = init,
    .fini = fini,
    .call_init = call_init,
    .call_fini = call_fini,
    .call_clear = call_clear,
    .add = add,
    .begin = begin,
    .entry = entry,
    .need_prepare = need_prepare,
    .prepare = prepare,
    .save = save,
    .saved = saved,
    .tend = tend,
    .check = check,
};

/* --- running ---------------------------------------------------------------------------------- */

static void
note(void *context, const struct trial_finding *f)
{
    size_t used = strlen(reported);
    (void)context;
    snprintf(reported + used, sizeof reported - used, "%s %s|%s|%s\n", f->ok ? "ok" : "no", f->what,
             f->reason, f->advice);
}

static uint32_t
run(bool write, struct text_list tenants)
{
    struct sim_env *sim;
    struct why why = {""};
    struct destination_settings settings = {.name = "there", .tenants = tenants};
    uint32_t failed = 99;
    assert_int_equal(sim_env_new(1, &sim), OK);
    memset(&did, 0, sizeof did);
    reported[0] = '\0';
    struct trial_options options = {
        .env = sim_env_env(sim),
        .settings = &settings,
        .writer = &class,
        .dir = "dir",
        .instance = "00",
        .user_agent = "test",
        .write = write,
        .each = note,
    };
    assert_int_equal(trial_run(&options, &failed, &why), OK);
    sim_env_free(sim);
    return failed;
}

static const struct text_list nobody = {NULL, 0};

UNIT_TEST(test_all_checks_are_reported_and_nothing_is_written)
{
    script = (struct script){.checks = {{"one", VERDICT_DELIVERED, ""},
                                        {"two (x:Put)", VERDICT_BLOCKED, "access_denied"},
                                        {"three", VERDICT_RETRY, "odd"}},
                             .check_count = 3};
    assert_int_equal(run(false, nobody), 2);
    assert_string_equal(reported, "ok one||\n"
                                  "no two (x:Put)|access_denied|allow the action x:Put\n"
                                  "no three|odd|\n");
    assert_int_equal(did.adds, 0);
    assert_int_equal(did.tends, 0);
}

UNIT_TEST(test_after_a_failure_no_sample_is_written)
{
    script = (struct script){.checks = {{"one", VERDICT_RETRY, "connect"}}, .check_count = 1};
    assert_int_equal(run(true, nobody), 1);
    assert_int_equal(did.adds, 0);
}

UNIT_TEST(test_who_lacks_credentials_gets_them_and_is_checked_again)
{
    script =
        (struct script){.checks = {{"one", VERDICT_UNPREPARED, "credentials"}}, .check_count = 1};
    script.prepared = VERDICT_DELIVERED;
    assert_int_equal(run(false, nobody), 0);
    assert_int_equal(did.prepares, 1);
    assert_non_null(strstr(reported, "ok one||\n"));
    script.prepared = VERDICT_BLOCKED;
    script.checks[1].what = "two";
    script.check_count = 2;
    assert_int_equal(run(false, nobody), 1);
    assert_null(strstr(reported, "one")); /* the first check did not run */
    assert_int_equal(did.checks, 1);
}

UNIT_TEST(test_a_check_that_never_ends_is_a_failure)
{
    script = (struct script){.checks = {{"one", VERDICT_AGAIN, "clock"}}, .check_count = 1};
    assert_int_equal(run(false, nobody), 1);
    assert_in_range(did.checks, 2, 10);
}

UNIT_TEST(test_a_sample_is_marked_and_confirmed)
{
    const char *names[] = {"north", "south"};
    script = (struct script){.prepared = VERDICT_DELIVERED, .saves = true};
    assert_int_equal(script.verdicts[0], VERDICT_DELIVERED);
    assert_int_equal(run(true, (struct text_list){names, 2}), 0);
    assert_string_equal(did.labels,
                        "{__name__=\"firekeep_destination_test\", destination=\"there\"}");
    assert_string_equal(did.tenant, "north");
    assert_int_equal(did.adds, 1);
    assert_int_equal(did.steps, 1);
    assert_int_equal(did.saveds, 2); /* once when requested, once at the end */
    assert_int_equal(did.tends, 1);
    assert_non_null(strstr(reported, "ok sample firekeep_destination_test{destination=\"there\"}"));
    names[0] = "all";
    assert_int_equal(run(true, (struct text_list){names, 1}), 0);
    assert_string_equal(did.tenant, "anonymous");
}

UNIT_TEST(test_a_sample_is_sent_again_where_a_relay_would_at_once)
{
    script = (struct script){.prepared = VERDICT_DELIVERED,
                             .verdicts = {VERDICT_AGAIN, VERDICT_REBUILD, VERDICT_DELIVERED}};
    assert_int_equal(run(true, nobody), 0);
    assert_int_equal(did.steps, 3);
    assert_int_equal(did.adds, 2); /* only while rebuilding */
}

UNIT_TEST(test_a_sample_that_is_refused_is_a_failure)
{
    script = (struct script){.prepared = VERDICT_DELIVERED, .verdicts = {VERDICT_RETRY}};
    assert_int_equal(run(true, nobody), 1);
    assert_int_equal(did.steps, 1); /* the caller decides about another attempt */
    assert_int_equal(did.tends, 0);
    assert_non_null(strstr(reported, "|a word|"));
    script = (struct script){
        .prepared = VERDICT_DELIVERED, .verdicts = {VERDICT_MIXED}, .entry = VERDICT_DEAD};
    assert_int_equal(run(true, nobody), 1);
    assert_non_null(strstr(reported, "|of its own|"));
    script.entry = VERDICT_DELIVERED;
    assert_int_equal(run(true, nobody), 0);
    script = (struct script){.prepared = VERDICT_DELIVERED, .unfit = true};
    assert_int_equal(run(true, nobody), 1);
    assert_non_null(strstr(reported, "|unrepresentable|"));
    assert_int_equal(did.steps, 0);
    script = (struct script){.prepared = VERDICT_BLOCKED};
    assert_int_equal(run(true, nobody), 1);
    assert_int_equal(did.adds, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_checks_are_reported_and_nothing_is_written),
        cmocka_unit_test(test_after_a_failure_no_sample_is_written),
        cmocka_unit_test(test_who_lacks_credentials_gets_them_and_is_checked_again),
        cmocka_unit_test(test_a_check_that_never_ends_is_a_failure),
        cmocka_unit_test(test_a_sample_is_marked_and_confirmed),
        cmocka_unit_test(test_a_sample_is_sent_again_where_a_relay_would_at_once),
        cmocka_unit_test(test_a_sample_that_is_refused_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
