/* order_test.c - the order in which groups are replayed, and groups that are replayed together;
 * see order.c. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "rules/group/group.h"
#include "rules/replay/replay.h"
#include "sys/env.h"

enum { ALL = REPLAY_TOGETHER };

/* A group of one rule, and its round. */
struct given {
    const char *name, *expression;
    int64_t offset_s;
    uint32_t round;
    const char *id, *window; /* labels; NULL if it does not set them */
};

static struct group *
group_of(const struct given *given)
{
    static struct rules_host host;
    static const struct group_defaults defaults = {60000, 0};
    struct rule rule = {
        .kind = RULE_RECORDING, .name = given->name, .expression = given->expression};
    struct named_text labels[2];
    rule.labels = (struct named_texts){labels, 0};
    if (given->id != NULL) labels[rule.labels.count++] = (struct named_text){"id", given->id};
    if (given->window != NULL)
        labels[rule.labels.count++] = (struct named_text){"window", given->window};
    struct rule_group text = {.file = "f",
                              .name = given->name,
                              .rules = &rule,
                              .rule_count = 1,
                              .has_query_offset = true,
                              .query_offset_ms = given->offset_s * 1000};
    struct group *group;
    struct why why = {""};
    host.env = env_real();
    if (group_new(&host, bytes_of_text("t"), &text, &defaults, &group, &why))
        fail_msg("%s", why.text);
    return group;
}

static void
check(const struct given *given, uint32_t count, uint32_t round_count)
{
    struct group **groups = calloc(count, sizeof *groups);
    uint32_t *rounds = calloc(count, sizeof *rounds), found;
    for (uint32_t i = 0; i < count; i++)
        groups[i] = group_of(&given[i]);
    assert_int_equal(replay_rounds(groups, count, rounds, &found), OK);
    for (uint32_t i = 0; i < count; i++) {
        if (rounds[i] != given[i].round) fail_msg("%u: %s has %u", i, given[i].name, rounds[i]);
        group_free(groups[i]);
    }
    assert_int_equal(found, round_count);
    free(groups);
    free(rounds);
}

#define CHECK(given, round_count) check(given, sizeof(given) / sizeof *(given), round_count)

UNIT_TEST(test_readers_come_after_all_that_record_what_they_read)
{
    static const struct given given[] = {
        {"d", "a + b + c", 0, 2}, {"a", "up", 0, 0}, {"b", "a", 0, 1},
        {"c", "a", 0, 1},         {"c", "up", 0, 0}, {"e", "{__name__=~\"[a-d]\"}", 0, 3},
    };
    CHECK(given, 4);
}

UNIT_TEST(test_groups_that_read_each_other_are_together_with_their_readers)
{
    static const struct given given[] = {
        {"a", "up", 0, 0},  {"b", "a + c", 0, ALL}, {"c", "b", 0, ALL},
        {"d", "c", 0, ALL}, {"e", "d", 0, ALL},     {"f", "a", 0, 1},
    };
    CHECK(given, 2);
}

UNIT_TEST(test_a_group_that_reads_its_own_output_waits_for_its_other_writers)
{
    static const struct given one[] = {
        {"a", "a", 0, 2}, {"a", "b", 0, 1}, {"b", "up", 0, 0}, {"c", "a", 0, 3}};
    static const struct given two[] = {
        {"a", "a", 0, ALL}, {"a", "a", 0, ALL}, {"a", "up", 0, 0}, {"c", "a", 0, ALL}};
    static const struct given itself[] = {{"a", "a + a", 0, 0}, {"c", "a", 0, 1}};
    CHECK(one, 4);
    CHECK(two, 1);
    CHECK(itself, 2);
}

UNIT_TEST(test_a_reader_with_a_smaller_offset_runs_with_the_group_it_reads)
{
    static const struct given given[] = {
        {"in", "up", 0, 0},  {"w", "in", 90, ALL}, {"r", "w", 30, ALL}, {"w", "in", 30, 1},
        {"x", "r", 30, ALL}, {"y", "w", 120, ALL}, {"z", "in", 120, 1},
    };
    static const struct given larger[] = {{"r", "w", 90, 1}, {"w", "up", 30, 0}};
    CHECK(given, 2);
    CHECK(larger, 2);
}

UNIT_TEST(test_a_chain_of_many_groups_has_as_many_rounds)
{
    enum { COUNT = 10000 };
    static struct given given[COUNT];
    static char names[COUNT + 1][8];
    snprintf(names[COUNT], sizeof names[COUNT], "r%d", COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "r%u", i);
        given[i] = (struct given){names[i], names[i + 1], 0, COUNT - 1 - i, NULL, NULL};
    }
    check(given, COUNT, COUNT);
}

/* Generators of rules for service level objectives write such groups. */
UNIT_TEST(test_selectors_distinguish_groups_that_record_one_name_by_labels)
{
    static const struct given given[] = {
        {"ratio", "up", 0, 0, "1", "5m"},
        {"ratio", "up", 0, 0, "2", "5m"},
        {"ratio", "ratio{id=\"1\", window=\"5m\"}", 0, 1, "1", "30d"},
        {"ratio", "ratio{id=\"2\", window=\"5m\"}", 0, 1, "2", "30d"},
        {"burn", "ratio{id=\"1\"}", 0, 2, "1", NULL},
        {"none", "ratio{id=\"3\"}", 0, 0, NULL, NULL},
        {"all", "ratio", 0, 2, NULL, NULL},
        {"data", "ratio{team=\"a\"}", 0, 2, NULL, NULL}, /* it may be in the stored data */
        {"long", "ratio{window=~\".*d\", id!=\"1\"}", 0, 2, NULL, NULL},
        {"short", "{__name__=~\"rat.*\", window=\"5m\"}", 0, 1, NULL, NULL},
    };
    CHECK(given, 3);
}

/* Comparing each selector with each group would be too slow. */
UNIT_TEST(test_labels_distinguish_thousands_of_groups_that_record_one_name)
{
    enum { COUNT = 5000 };
    static struct given given[2 * COUNT];
    static char ids[COUNT][8], expressions[COUNT][32];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(ids[i], sizeof ids[i], "%u", i);
        snprintf(expressions[i], sizeof expressions[i], "ratio{id=\"%u\"}", i);
        given[2 * i] = (struct given){"burn", expressions[i], 0, 1, ids[i], NULL};
        given[2 * i + 1] = (struct given){"ratio", "up", 0, 0, ids[i], NULL};
    }
    check(given, 2 * COUNT, 2);
}

/* 4000 sets are compared with each selector without a name, which limits such selectors to 1000. */
UNIT_TEST(test_groups_are_together_when_there_is_too_much_to_compare)
{
    enum { COUNT = 4000 };
    static struct given given[COUNT];
    static char names[COUNT][8];
    for (uint32_t i = 0; i < COUNT; i++) {
        bool is_compared = i <= 1000;
        snprintf(names[i], sizeof names[i], "r%u", i);
        given[i] =
            (struct given){names[i], "{__name__=~\"x.*\"}", 30, is_compared ? 0 : ALL, NULL, NULL};
    }
    given[7] =
        /* the others may read it by its time */
        (struct given){names[7], "up", 60, ALL, NULL, NULL};
    check(given, COUNT, 1);
}

UNIT_TEST(test_refused_memory_is_an_error_and_nothing_else)
{
    static const struct given given[] = {{"a", "up", 0, 0}, {"b", "a", 0, 0}, {"a", "b", 0, 0}};
    struct group *groups[3];
    uint32_t rounds[3], count;
    uint64_t nth = 0;
    enum err e;
    for (uint32_t i = 0; i < 3; i++)
        groups[i] = group_of(&given[i]);
    do {
        mem_fail_nth(++nth, false);
        e = replay_rounds(groups, 3, rounds, &count);
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
    } while (e);
    assert_true(nth > 5);
    assert_int_equal(rounds[0], 0);
    assert_int_equal(rounds[1], REPLAY_TOGETHER);
    for (uint32_t i = 0; i < 3; i++)
        group_free(groups[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_come_after_all_that_record_what_they_read),
        cmocka_unit_test(test_groups_that_read_each_other_are_together_with_their_readers),
        cmocka_unit_test(test_a_group_that_reads_its_own_output_waits_for_its_other_writers),
        cmocka_unit_test(test_a_reader_with_a_smaller_offset_runs_with_the_group_it_reads),
        cmocka_unit_test(test_a_chain_of_many_groups_has_as_many_rounds),
        cmocka_unit_test(test_selectors_distinguish_groups_that_record_one_name_by_labels),
        cmocka_unit_test(test_labels_distinguish_thousands_of_groups_that_record_one_name),
        cmocka_unit_test(test_groups_are_together_when_there_is_too_much_to_compare),
        cmocka_unit_test(test_refused_memory_is_an_error_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
