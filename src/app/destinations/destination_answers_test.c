/*
 * destination_answers_test.c - answers about a destination: its dead letters, a test.
 *
 * It defines functions of relays.h, so that there is a destination without a thread of its own.
 */
#include "app/destinations/relays.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/text/json.h"
#include "config/lists/lists.h"
#include "lib/config/settings_rig.h"
#include "lib/relay/letters_rig.h"
#include "lib/test_dir.h"
#include "lib/tsdb/tsdb_machine.h"

static struct destinations configured;
static struct settings settings;
static struct why why;
static char answer[1 << 16];

struct destinations *
relays_borrow(struct relays *relays)
{
    (void)relays;
    return &configured;
}

void
relays_return(struct destinations *borrowed)
{
    assert_ptr_equal(borrowed, &configured);
}

/* The destination's thread carries out a request once it was asked so many times. */
static unsigned wanted, done, done_after;
static atomic_bool stopping;

enum err
relays_letters_want(struct relays *relays, struct bytes name, bool drop, uint64_t *ret_number,
                    struct why *to)
{
    (void)relays;
    (void)name;
    (void)drop;
    (void)to;
    *ret_number = ++wanted;
    done = 0;
    return OK;
}

enum err
relays_letters_done(struct relays *relays, struct bytes name, uint64_t number, bool *ret_done,
                    uint64_t *ret_lines, struct why *to)
{
    (void)relays;
    (void)name;
    (void)to;
    assert_int_equal(number, wanted);
    *ret_done = ++done >= done_after;
    *ret_lines = 10;
    return OK;
}

static void
configure(const char *yaml)
{
    settings = settings_defaults();
    must(destinations_yaml("file", bytes_of_text(yaml), &settings, &configured, &why));
}

/* Asks, and keeps the answer as text. */
static enum err
ask(const struct destination_answers_options *options, struct destination_question question)
{
    struct buf text;
    struct json json;
    buf_init(&text, NULL, sizeof answer);
    json_init(&json, &text);
    why.text[0] = '\0';
    answer[0] = '\0';
    enum err e = destination_answer(options, &question, &json, &why);
    must(buf_error(&text));
    if (e == OK) snprintf(answer, sizeof answer, "%.*s", (int)text.size, (const char *)text.at);
    buf_fini(&text);
    return e;
}

static void
expect_part(const char *part)
{
    if (strstr(answer, part) == NULL) fail_msg("%s is not in %s", part, answer);
}

static unsigned
parts_of(const char *part)
{
    unsigned count = 0;
    for (const char *at = strstr(answer, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

/* --- dead letters ----------------------------------------------------------------------------- */

#define EAST \
    "destinations: [{name: east, type: file, path: /out}, {name: west, type: file, path: /b}]"

static struct sim_env *sim;
static struct env *env;

static struct destination_answers_options
options_of_letters(void)
{
    must(sim_env_new(1, &sim));
    env = sim_env_env(sim);
    must(env_mkdir(env, "/relay", NULL));
    configure(EAST);
    wanted = done = 0;
    return (struct destination_answers_options){.env = env, .storage_path = ""};
}

static void
end_letters(void)
{
    destinations_free(&configured);
    sim_env_free(sim);
}

static struct destination_question
about(const char *name, enum destination_ask ask, const char *reason)
{
    return (struct destination_question){
        .ask = ask, .name = bytes_of_text(name), .reason = reason, .stop = &stopping};
}

UNIT_TEST(test_dead_letters_are_listed_by_reason_with_three_samples)
{
    const struct destination_answers_options options = options_of_letters();
    char text[128];
    letters_rig_add(env, "/relay/east", 0, 30);
    must(ask(&options, about("east", DESTINATION_LETTERS, NULL)));
    assert_int_equal(parts_of("{\"reason\":\""), REASONS);
    assert_int_equal(parts_of("\"kept\":10,\"replaying\":0,"), REASONS);
    assert_int_equal(parts_of("{\"tenant\":"), 3 * REASONS);
    expect_part("\"others\":0,\"lost\":0,\"damage\":\"\"}");
    must(ask(&options, about("east", DESTINATION_LETTERS, letter_reasons[1])));
    assert_int_equal(parts_of("{\"reason\":\""), 1);
    snprintf(text, sizeof text, "{\"reasons\":[{\"reason\":\"%s\",\"kept\":10,", letter_reasons[1]);
    expect_part(text);
    end_letters();
}

UNIT_TEST(test_a_destination_without_dead_letters_has_an_empty_list)
{
    const struct destination_answers_options options = options_of_letters();
    must(ask(&options, about("west", DESTINATION_LETTERS, NULL)));
    expect_part("{\"reasons\":[],\"others\":0,");
    end_letters();
}

UNIT_TEST(test_a_command_waits_until_it_is_carried_out)
{
    const struct destination_answers_options options = options_of_letters();
    done_after = 3;
    must(ask(&options, about("east", DESTINATION_LETTERS_REPLAY, NULL)));
    assert_string_equal(answer, "{\"letters\":10}");
    assert_int_equal(wanted, 1);
    assert_int_equal(done, 3);
    done_after = 1000000;
    assert_int_equal(ask(&options, about("east", DESTINATION_LETTERS_DROP, NULL)), ERR_AGAIN);
    assert_non_null(strstr(why.text, "has not carried out the request"));
    atomic_store(&stopping, true);
    assert_int_equal(ask(&options, about("east", DESTINATION_LETTERS_DROP, NULL)), ERR_CANCELED);
    atomic_store(&stopping, false);
    end_letters();
}

UNIT_TEST(test_names_without_a_destination_reach_no_file)
{
    static const char long_name[] =
        "a-name-that-is-longer-than-the-names-of-destinations-may-be-and-so-is-the-name-of-none-of-"
        "them-at-all-whatever";
    static const char *const names[] = {"",       "south",  ".test-x", "../relay/east",
                                        "east/.", long_name};
    const struct destination_answers_options options = options_of_letters();
    for (unsigned ask_for = 0; ask_for <= DESTINATION_TEST; ask_for++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            assert_int_equal(ask(&options, about(names[i], ask_for, NULL)), ERR_MISSING);
    end_letters();
}

/* --- a test ----------------------------------------------------------------------------------- */

static bool
exists(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void
make_dir(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(env_mkdir(env_real(), path, &why));
}

static enum err
refuse_entry(void *context, const char *name, bool is_dir)
{
    (void)context, (void)is_dir;
    fail_msg("%s is left", name);
    return OK;
}

UNIT_TEST(test_a_test_has_findings_and_leaves_nothing)
{
    char dir[TEST_DIR_BYTES], yaml[512], relay[512];
    assert_true(make_test_dir(dir));
    make_dir(dir, "relay");
    make_dir(dir, "out");
    snprintf(yaml, sizeof yaml,
             "destinations: [{name: a, type: file, path: %s/out}, {name: b, type: file, path: "
             "/dev/null/out}]",
             dir);
    configure(yaml);
    const struct destination_answers_options options = {.env = env_real(), .storage_path = dir};
    must(ask(&options, about("a", DESTINATION_TEST, NULL)));
    expect_part("{\"findings\":[{\"what\":\"");
    expect_part("\"ok\":true,\"reason\":\"\",");
    expect_part("],\"ok\":true}");
    must(ask(&options, about("b", DESTINATION_TEST, NULL)));
    expect_part("\"ok\":false,\"reason\":\"");
    expect_part("],\"ok\":false}");
    snprintf(relay, sizeof relay, "%s/relay", dir);
    must(env_listdir(env_real(), relay, refuse_entry, NULL, &why));
    destinations_free(&configured);
    must(env_remove_tree(env_real(), dir, NULL));
}

UNIT_TEST(test_files_of_a_test_that_was_killed_are_removed_later)
{
    char dir[TEST_DIR_BYTES];
    assert_true(make_test_dir(dir));
    must(destination_tests_sweep(env_real(), dir, &why));
    make_dir(dir, "relay");
    make_dir(dir, "relay/east");
    make_dir(dir, "relay/.test-0123456789abcdef");
    make_dir(dir, "relay/.test-0123456789abcdef/queue");
    make_dir(dir, "relay/.tests");
    must(destination_tests_sweep(env_real(), dir, &why));
    assert_false(exists(dir, "relay/.test-0123456789abcdef"));
    assert_true(exists(dir, "relay/east") && exists(dir, "relay/.tests"));
    must(env_remove_tree(env_real(), dir, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_letters_are_listed_by_reason_with_three_samples),
        cmocka_unit_test(test_a_destination_without_dead_letters_has_an_empty_list),
        cmocka_unit_test(test_a_command_waits_until_it_is_carried_out),
        cmocka_unit_test(test_names_without_a_destination_reach_no_file),
        cmocka_unit_test(test_a_test_has_findings_and_leaves_nothing),
        cmocka_unit_test(test_files_of_a_test_that_was_killed_are_removed_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
