/* push_test.c - groups of pushed metrics: what each push leaves in them, the samples and markers of
 * its request, and that a fault leaves the old group or the new one. */
#include "lib/test.h"

#include <stdio.h>

#include "inputs/push/push.h"
#include "lib/simulated_dir.h"
#include "model/labels.h"
#include "rules/stored/stored_file.h"
#include "wire/number.h"

static struct simulated_dir rig;
static struct push_store *store;
static struct rw_request request;
static struct buf shown;
static struct input_outcome outcome;
static struct why why;
static enum err repeat_error; /* of storing a group */

static int
setup(void **state)
{
    (void)state;
    repeat_error = OK;
    simulated_dir_init(&rig, 1);
    must(push_store_new(rig.env, "d/pushed", NULL, &store, &why));
    buf_init(&shown, NULL, 1 << 20);
    return rw_request_init(&request, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    buf_fini(&shown);
    push_store_free(store);
    simulated_dir_fini(&rig);
    return 0;
}

static enum err
push_at(enum push_verb verb, const char *path, const char *text, int64_t now_ms)
{
    struct push push = {.verb = verb,
                        .tenant = TEXT("t"),
                        .path = path,
                        .text = bytes_of_text(text),
                        .now_ms = now_ms};
    return push_take(store, &push, 7, &request, &outcome, &why);
}

static void
show(void)
{
    for (uint32_t i = 0; i < request.series_count; i++) {
        const struct rw_series *s = &request.series[i];
        const struct rw_float *f = &request.floats[s->floats.first];
        char number[NUMBER_TEXT_BYTES];
        labels_print_selector(&shown, s->label_bytes);
        buf_put_u8(&shown, ' ');
        buf_put(&shown, number, number_print_exact(f->bits, number));
        buf_put_u8(&shown, '\n');
        assert_int_equal(s->floats.count, 1);
    }
}

static void
expect_push(enum push_verb verb, const char *path, const char *text, const char *expected)
{
    enum err e = push_at(verb, path, text, 5000);
    if (e) fail_msg("%s: %s", err_word(e), why.text);
    buf_clear(&shown);
    show();
    buf_put_u8(&shown, '\0');
    assert_string_equal((const char *)shown.at, expected);
}

static enum err
show_group(void *context, struct bytes tenant, struct rw_request *of, bool settles,
           struct why *ret_why)
{
    (void)context, (void)of, (void)ret_why;
    buf_put_bytes(&shown, tenant);
    buf_put_text(&shown, settles ? ", durably:\n" : ":\n");
    show();
    return repeat_error;
}

static void
expect_repeated(const char *expected)
{
    buf_clear(&shown);
    must(push_repeat(store, 9000, 7, &request, show_group, NULL, &why));
    buf_put_u8(&shown, '\0');
    assert_string_equal((const char *)shown.at, expected);
}

UNIT_TEST(test_a_group_is_written_again_until_it_is_deleted)
{
    expect_push(PUSH_MERGE, "job/j/instance/i", "# TYPE a counter\na{x=\"1\"} 2\nb 3",
                "a{instance=\"i\", job=\"j\", x=\"1\"} 2\nb{instance=\"i\", job=\"j\"} 3\n"
                "push_time_seconds{instance=\"i\", job=\"j\"} 5\n");
    sim_env_power_loss(rig.sim);
    expect_repeated("t:\na{instance=\"i\", job=\"j\", x=\"1\"} 2\nb{instance=\"i\", job=\"j\"} 3\n"
                    "push_failure_time_seconds{instance=\"i\", job=\"j\"} 0\n"
                    "push_time_seconds{instance=\"i\", job=\"j\"} 5\n");
    expect_push(PUSH_DELETE, "job/j/instance/i", "",
                "a{instance=\"i\", job=\"j\", x=\"1\"} stale\nb{instance=\"i\", job=\"j\"} stale\n"
                "push_failure_time_seconds{instance=\"i\", job=\"j\"} stale\n"
                "push_time_seconds{instance=\"i\", job=\"j\"} stale\n");
    must(push_repeat(store, 9000, 7, &request, show_group, NULL, &why));
    expect_repeated("");
    expect_push(PUSH_DELETE, "job/j", "", "");
}

UNIT_TEST(test_markers_are_written_again_until_they_are_durable)
{
    must(push_at(PUSH_REPLACE, "job/j", "a{x=\"1\"} 1\na{x=\"2\"} 2\n{\"b.c\"} 3\n", 5000));
    expect_push(PUSH_REPLACE, "job/j", "a{x=\"2\"} 2\n",
                "a{job=\"j\", x=\"2\"} 2\na{job=\"j\", x=\"1\"} stale\n"
                "{\"b.c\", job=\"j\"} stale\npush_time_seconds{job=\"j\"} 5\n");
    sim_env_power_loss(rig.sim);
    repeat_error = ERR_AGAIN;
    assert_int_equal(push_repeat(store, 9000, 7, &request, show_group, NULL, &why), ERR_AGAIN);
    repeat_error = OK;
    expect_push(PUSH_MERGE, "job/j", "{\"b.c\"} 4\n",
                "{\"b.c\", job=\"j\"} 4\npush_time_seconds{job=\"j\"} 5\n");
    expect_repeated("t, durably:\na{job=\"j\", x=\"1\"} stale\na{job=\"j\", x=\"2\"} 2\n"
                    "{\"b.c\", job=\"j\"} 4\npush_failure_time_seconds{job=\"j\"} 0\n"
                    "push_time_seconds{job=\"j\"} 5\n");
    expect_repeated("t:\na{job=\"j\", x=\"2\"} 2\n{\"b.c\", job=\"j\"} 4\n"
                    "push_failure_time_seconds{job=\"j\"} 0\npush_time_seconds{job=\"j\"} 5\n");
}

UNIT_TEST(test_families_are_replaced_by_post_and_groups_by_put)
{
    expect_push(PUSH_REPLACE, "job/j", "a{x=\"1\"} 1\na{x=\"2\"} 2\nb 3\n",
                "a{job=\"j\", x=\"1\"} 1\na{job=\"j\", x=\"2\"} 2\nb{job=\"j\"} 3\n"
                "push_time_seconds{job=\"j\"} 5\n");
    expect_push(
        PUSH_MERGE, "job/j", "a{x=\"2\"} 4\n",
        "a{job=\"j\", x=\"2\"} 4\na{job=\"j\", x=\"1\"} stale\npush_time_seconds{job=\"j\"} 5\n");
    expect_push(
        PUSH_REPLACE, "job/j", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "h_bucket{job=\"j\", le=\"+Inf\"} 1\nh_sum{job=\"j\"} 1\nh_count{job=\"j\"} 1\n"
        "a{job=\"j\", x=\"2\"} stale\nb{job=\"j\"} stale\npush_time_seconds{job=\"j\"} 5\n");
    expect_push(PUSH_MERGE, "job/j", "# TYPE h histogram\nh_count 2\n",
                "h_count{job=\"j\"} 2\nh_bucket{job=\"j\", le=\"+Inf\"} stale\n"
                "h_sum{job=\"j\"} stale\npush_time_seconds{job=\"j\"} 5\n");
}

UNIT_TEST(test_a_name_with_a_suffix_is_a_part_of_a_histogram_or_summary_alone)
{
    must(push_at(PUSH_REPLACE, "job/j",
                 "jobs 1\njobs_total 5\n# TYPE s summary\ns_sum 1\ns_total 2\n", 5000));
    expect_push(PUSH_MERGE, "job/j", "jobs_total 6\ns_total 3\n",
                "jobs_total{job=\"j\"} 6\ns_total{job=\"j\"} 3\npush_time_seconds{job=\"j\"} 5\n");
    expect_repeated("t:\njobs{job=\"j\"} 1\njobs_total{job=\"j\"} 6\n"
                    "push_failure_time_seconds{job=\"j\"} 0\npush_time_seconds{job=\"j\"} 5\n"
                    "s_sum{job=\"j\"} 1\ns_total{job=\"j\"} 3\n");
}

UNIT_TEST(test_a_refused_push_changes_the_time_of_failure_alone)
{
    expect_push(PUSH_MERGE, "job/j", "a 1\n", "a{job=\"j\"} 1\npush_time_seconds{job=\"j\"} 5\n");
    static const char *const wrong[] = {"a 2 5\n", "a\n", "a 1\na 1\n", "a{x=\"1\",x=\"2\"} 1\n",
                                        "a{job=\"x\"} 1\na{job=\"y\"} 2\n"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(push_at(PUSH_MERGE, "job/j", wrong[i], 7000), ERR_INPUT);
    expect_repeated("t:\na{job=\"j\"} 1\npush_failure_time_seconds{job=\"j\"} 7\n"
                    "push_time_seconds{job=\"j\"} 5\n");
}

UNIT_TEST(test_labels_of_the_path_replace_those_of_the_text)
{
    expect_push(PUSH_MERGE, "job@base64/YS9i/x@base64/=/y/1", "a{job=\"z\",y=\"2\"} 1\n",
                "a{job=\"a/b\", y=\"1\"} 1\npush_time_seconds{job=\"a/b\", y=\"1\"} 5\n");
    static const char *const wrong[] = {"job",           "job/",    "job/a/b", "job/a/__name__/b",
                                        "job@base64/??", "job/a//b"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (push_at(PUSH_MERGE, wrong[i], "a 1\n", 1) != ERR_INPUT) fail_msg("%s", wrong[i]);
}

static enum err
keep_name(void *context, const char *id)
{
    strcpy(context, id);
    return OK;
}

UNIT_TEST(test_a_damaged_group_is_set_aside)
{
    expect_push(PUSH_MERGE, "job/j", "a 1\n", "a{job=\"j\"} 1\npush_time_seconds{job=\"j\"} 5\n");
    must(env_write_whole(rig.env, "d/pushed", "t-0123456789abcdef.groups", TEXT("damaged"), NULL));
    expect_repeated("t:\na{job=\"j\"} 1\npush_failure_time_seconds{job=\"j\"} 0\n"
                    "push_time_seconds{job=\"j\"} 5\n");
    struct file_facts facts;
    must(env_facts(rig.env, "d/pushed/t-0123456789abcdef.groups.damaged", &facts, NULL));
    char name[64];
    must(stored_each(rig.env, "d/pushed", keep_name, name, NULL));
    strcat(name, ".groups");
    must(env_write_whole(rig.env, "d/pushed", name, TEXT("damaged"), NULL));
    expect_push(PUSH_MERGE, "job/j", "b 1\n", "b{job=\"j\"} 1\npush_time_seconds{job=\"j\"} 5\n");
}

/* Pushes with a fault. Returns false if the fault did not fire. */
static bool
push_with_fault(struct fault fault)
{
    must(push_at(PUSH_REPLACE, "job/j", "a 1\n", 5000));
    fault_env_arm(rig.fe, fault);
    enum err e = push_at(PUSH_REPLACE, "job/j", "b 2\n", 6000);
    bool fired = fault_env_fired(rig.fe);
    fault_env_disarm(rig.fe);
    if (e) assert_string_not_equal(why.text, "");
    sim_env_power_loss(rig.sim);
    buf_clear(&shown);
    must(push_repeat(store, 9000, 7, &request, show_group, NULL, &why));
    buf_put_u8(&shown, '\0');
    const char *text = (const char *)shown.at;
    bool is_old = strstr(text, "\na{job=\"j\"} 1\n") != NULL;
    assert_true(is_old != (strstr(text, "\na{job=\"j\"} stale\n") != NULL));
    assert_true(is_old != (strstr(text, "\nb{job=\"j\"} 2\n") != NULL));
    assert_false(e == OK && is_old);
    return fired;
}

UNIT_TEST(test_after_a_fault_and_power_loss_the_group_is_old_or_new)
{
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        if (kind == FAULT_THREAD) continue;
        for (unsigned way = 0; way < 2; way++) {
            unsigned nth = 1;
            while (push_with_fault((struct fault){(enum fault_kind)kind, nth, way == 0}))
                assert_true(nth++ < 100);
        }
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_group_is_written_again_until_it_is_deleted),
        TEST(test_markers_are_written_again_until_they_are_durable),
        TEST(test_families_are_replaced_by_post_and_groups_by_put),
        TEST(test_a_name_with_a_suffix_is_a_part_of_a_histogram_or_summary_alone),
        TEST(test_a_refused_push_changes_the_time_of_failure_alone),
        TEST(test_labels_of_the_path_replace_those_of_the_text),
        TEST(test_a_damaged_group_is_set_aside),
        TEST(test_after_a_fault_and_power_loss_the_group_is_old_or_new),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
